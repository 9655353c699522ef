# Arguments: the new wheel, its extras, the version of JupyterHub, the hub's own address, what the hub runs with.
wheel=$1 extras=$2 jupyterhub=$3 hub=$4 state=$5
base=/opt/cloudjhub
python="$base/venv/bin/python"
unit=/etc/systemd/system/jupyterhub.service config=/etc/jupyterhub/jupyterhub_config.py
idle=/etc/jupyterhub/jupyterhub_config.d/30-idle.py
database=/var/lib/jupyterhub/jupyterhub.sqlite copy="$base/database-before"
pip="$python -m pip install --no-input --progress-bar off --no-warn-script-location --quiet"
version() { "$python" -c "from importlib.metadata import version; print(version('$1'))"; }

[ -x "$python" ] || { echo "There is no cloudJHub on this machine: its launch has not finished." >&2; exit 1; }
if "$python" -c 'import psycopg' 2>/dev/null; then extras="$extras,postgresql"; fi
former=$(find "$base/wheels" -maxdepth 1 -name '*.whl' | head -n 1)
[ -n "$former" ] || { echo "The wheel of the running version is gone." >&2; exit 1; }
before=$(version cloudjhub)
# The state before the first attempt, also when an attempt that was cut off is repeated.
if [ ! -e "$base/upgrading" ]; then
    "$python" -m pip freeze --exclude cloudjhub >"$base/packages-before.txt"
    cp -p "$unit" "$base/unit-before"
    cp -p "$config" "$base/config-before"
    rm -f "$base/idle-before"
    if [ -e "$idle" ]; then cp -p "$idle" "$base/idle-before"; fi
    touch "$base/upgrading"
fi

install_wheel() { # wheel, version of JupyterHub
    echo "jupyterhub==$2" >"$base/constraints.txt"
    $pip --constraint "$base/constraints.txt" "$1[$extras]" && $pip --force-reinstall --no-deps "$1" &&
        "$python" -m pip check
}
answers() {
    for _ in $(seq 240); do
        if curl --silent --fail --max-time 5 --noproxy '*' --output /dev/null "http://$hub:8081/hub/health"; then return 0; fi
        systemctl is-active --quiet jupyterhub.service || sleep 1
        sleep 0.5
    done
    return 1
}
restart() { systemctl daemon-reload && systemctl restart jupyterhub.service 9>&- && answers; }
# A new JupyterHub may change the schema, which the former one would not understand.
sqlite() { /usr/bin/python3 -I -c "import sqlite3, sys; db = sqlite3.connect(f'file:{sys.argv[1]}?mode=ro', uri=True); $1" "${@:2}"; }
revision() { sqlite 'print(*db.execute("select version_num from alembic_version").fetchone())' "$1" 2>/dev/null || true; }
# In WAL mode whoever looks into it leaves two files beside it.
forget_copy() { rm -f "$copy" "$copy-wal" "$copy-shm" "$copy.new" "$copy.new-wal" "$copy.new-shm"; }
same_schema() { [ "$(revision "$copy")" = "$(revision "$database")" ]; }
keep_database() {
    [ -s "$database" ] || return 0
    systemctl stop jupyterhub.service || return 1
    # Of an attempt that was cut off, the copy from before a change of the schema is the one to keep.
    if [ -s "$copy" ] && ! same_schema; then return 0; fi
    forget_copy
    (umask 077 && sqlite 'db.backup(sqlite3.connect(sys.argv[2]))' "$database" "$copy.new") && mv -f "$copy.new" "$copy"
}
database_back() {
    if [ ! -s "$copy" ] || same_schema; then return 0; fi
    echo "The users' database is put back as it was before its schema was changed." >&2
    systemctl stop jupyterhub.service
    rm -f "$database-journal" "$database-wal" "$database-shm"
    install -o jupyterhub -g jupyterhub -m "$(stat -c %a "$database")" "$copy" "$database"
}
back() {
    echo "$1 Going back to the version that ran before." >&2
    journalctl --no-pager --output=cat --lines=30 --unit=jupyterhub.service >&2 || true
    cp -p "$base/unit-before" "$unit"
    if [ -e "$base/config-before" ]; then cp -p "$base/config-before" "$config"; fi
    rm -f "$idle"
    if [ -e "$base/idle-before" ]; then cp -p "$base/idle-before" "$idle"; fi
    $pip --requirement "$base/packages-before.txt"
    $pip --force-reinstall --no-deps "$former"
    sed -n 's/^jupyterhub==/jupyterhub==/p' "$base/packages-before.txt" >"$base/constraints.txt"
    database_back
    if restart; then echo "The version that ran before runs again." >&2; else echo "The hub does not start." >&2; fi
    rm -f "$base/upgrading" "$base/config-new" "$base/config-before" "$base/idle-new" "$base/idle-before"
    forget_copy
    exit 1
}

phase "new version into $base/venv"
install_wheel "$wheel" "$jupyterhub" || back "The new version cannot be installed."
if [ -s "$base/unit-new" ]; then install -m 0644 "$base/unit-new" "$unit"; fi
if [ -s "$base/config-new" ]; then install -m 0644 "$base/config-new" "$config"; fi
# What former versions said there of idle machines stands in jupyterhub_config.py now.
rm -f "$idle"
if [ -s "$base/idle-new" ]; then install -o jupyterhub -g jupyterhub -m 0600 "$base/idle-new" "$idle"; fi
phase "hub"
keep_database || back "The users' database cannot be copied."
restart || back "The new version does not answer."
mkdir -p "$base/running"
echo "$state" >"$base/running/jupyterhub.service"
mv -f "$wheel" "$base/wheels/"
find "$base/wheels" -maxdepth 1 -name '*.whl' ! -name "$(basename "$wheel")" -delete
if [ -s "$base/config-new" ]; then mv -f "$base/config-new" "$base/jupyterhub_config-written.py"; fi
rm -f "$base/upgrading" "$base/config-new" "$base/config-before" "$base/idle-new" "$base/idle-before"
forget_copy
answer "{\"before\": \"$before\", \"cloudjhub\": \"$(version cloudjhub)\", \"jupyterhub\": \"$(version jupyterhub)\"}"
