# The key with which the hub reaches users' machines. Its private half is made here and stays here.
# Also makes the account and the folder that everything of the hub belongs to.
state=/var/lib/jupyterhub
if ! getent passwd jupyterhub >/dev/null; then
    useradd --system --user-group --home-dir "$state" --shell /usr/sbin/nologin --comment "JupyterHub" jupyterhub
fi
install -d -o jupyterhub -g jupyterhub -m 0700 "$state"
key="$state/worker_key"
if ! ssh-keygen -y -P '' -f "$key" >/dev/null 2>&1; then
    rm -f "$key" "$key.pub" "$key.new" "$key.new.pub"
    ssh-keygen -q -t ed25519 -N '' -C cloudjhub-worker -f "$key.new"
    chown jupyterhub:jupyterhub "$key.new"
    chmod 0600 "$key.new"
    sync "$key.new"
    mv "$key.new" "$key"
    rm -f "$key.new.pub"
fi
answer "{\"public\": \"$(ssh-keygen -y -P '' -f "$key")\"}"
