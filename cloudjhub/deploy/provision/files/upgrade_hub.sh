# Arguments: the new wheel, its extras, the version of JupyterHub, the hub's own address, what the hub runs with.
wheel=$1 extras=$2 jupyterhub=$3 hub=$4 state=$5
base=/opt/cloudjhub
python="$base/venv/bin/python"
unit=/etc/systemd/system/jupyterhub.service
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
back() {
    echo "$1 Going back to the version that ran before." >&2
    journalctl --no-pager --output=cat --lines=30 --unit=jupyterhub.service >&2 || true
    cp -p "$base/unit-before" "$unit"
    $pip --requirement "$base/packages-before.txt"
    $pip --force-reinstall --no-deps "$former"
    sed -n 's/^jupyterhub==/jupyterhub==/p' "$base/packages-before.txt" >"$base/constraints.txt"
    if restart; then echo "The version that ran before runs again." >&2; else echo "The hub does not start." >&2; fi
    rm -f "$base/upgrading"
    exit 1
}

phase "new version into $base/venv"
install_wheel "$wheel" "$jupyterhub" || back "The new version cannot be installed."
if [ -s "$base/unit-new" ]; then install -m 0644 "$base/unit-new" "$unit"; fi
phase "hub"
restart || back "The new version does not answer."
mkdir -p "$base/running"
echo "$state" >"$base/running/jupyterhub.service"
mv -f "$wheel" "$base/wheels/"
find "$base/wheels" -maxdepth 1 -name '*.whl' ! -name "$(basename "$wheel")" -delete
rm -f "$base/upgrading"
answer "{\"before\": \"$before\", \"cloudjhub\": \"$(version cloudjhub)\", \"jupyterhub\": \"$(version jupyterhub)\"}"
