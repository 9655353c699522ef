# A one-time password for each account named that has not chosen a password of its own yet.
setpriv --reuid=jupyterhub --regid=jupyterhub --init-groups env HOME=/var/lib/jupyterhub \
    /opt/cloudjhub/venv/bin/python -m cloudjhub.logins.one_time --new-only --file /var/lib/jupyterhub/one_time_passwords.json "$@" |
    { IFS= read -r line; answer "$line"; }
