# Arguments: what hub, proxy and web server are to run with, the hub's own address, the name to try from
# outside, the way there (https, http or acme).
hub_state=$1 proxy_state=$2 caddy_state=$3 hub=$4 public=$5 scheme=$6
running=/opt/cloudjhub/running
mkdir -p "$running"
last_words() { journalctl --no-pager --output=cat --lines=40 --unit="$1" >&2; }
# Restarts a service that runs with something else than it is to; starts one that does not run.
start() {
    unit=$1 state=$2 verb=start
    systemctl enable --quiet "$unit"
    if [ "$(cat "$running/$unit" 2>/dev/null)" != "$state" ]; then verb=restart; fi
    if ! systemctl "$verb" "$unit" 9>&-; then last_words "$unit"; echo "$unit does not start." >&2; exit 1; fi
    echo "$state" >"$running/$unit"
}
answers_in_time() {
    deadline=$((SECONDS + $1)); shift
    while [ "$SECONDS" -lt "$deadline" ]; do
        if curl --silent --fail --max-time 5 --noproxy '*' --output /dev/null "$@"; then return; fi
        sleep 0.5
    done
    return 1
}
until_answers() {
    unit=$1; shift
    if answers_in_time 180 "$@"; then return; fi
    last_words "$unit"
    echo "$unit runs but does not answer." >&2
    exit 1
}
systemctl daemon-reload
systemctl enable --quiet --now cloudjhub-metadata.service
systemctl restart cloudjhub-metadata.service
phase "proxy"
start jupyterhub-proxy.service "$proxy_state"
phase "hub"
# What former versions said there of idle machines stands in jupyterhub_config.py now.
rm -f /etc/jupyterhub/jupyterhub_config.d/30-idle.py
start jupyterhub.service "$hub_state"
until_answers jupyterhub.service "http://$hub:8081/hub/health"
until_answers jupyterhub-proxy.service "http://127.0.0.1:8000/hub/health"
phase "web server"
if ! words=$(caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile 2>&1); then
    tail -n 5 <<<"$words" >&2
    echo "Caddy refuses its configuration." >&2
    exit 1
fi
start caddy.service "$caddy_state"
if [ "$scheme" != acme ]; then
    port=$([ "$scheme" = https ] && echo 443 || echo 80)
    until_answers caddy.service --insecure --connect-to "::127.0.0.1:$port" "$scheme://$public/hub/health"
fi
certified=true
if [ "$scheme" = acme ]; then
    phase "certificate"
    # Caddy goes on asking for it by itself; without one, no connection comes about.
    if ! answers_in_time 60 --insecure --connect-to "::127.0.0.1:443" "https://$public/hub/health"; then
        certified=false
        journalctl --no-pager --output=cat --lines=5 --priority=warning --unit=caddy.service
    fi
fi
answer "{\"certified\": $certified}"
