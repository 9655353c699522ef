# Arguments: "keep", before anything is changed; then "use", the name to try from outside, the way there (https,
# http or acme), and the hub's own address if its configuration changed. What does not answer is taken back.
act=$1 name=${2:-} way=${3:-} hub=${4:-}
before=/opt/cloudjhub/https-before
config=/etc/jupyterhub/jupyterhub_config.d
if [ "$act" = keep ]; then
    # The state before the first attempt, also when an attempt that was cut off is repeated.
    if [ ! -e "$before/whole" ]; then
        rm -rf "$before"
        mkdir -m 0700 "$before"
        cp -a --parents /etc/caddy/Caddyfile /etc/jupyterhub/ssl "$config/10-manager.py" "$config/20-login.py" "$before"
        touch "$before/whole"
    fi
    answer '{}'
    return
fi
answers_in_time() {
    deadline=$((SECONDS + $1)); shift
    while [ "$SECONDS" -lt "$deadline" ]; do
        if curl --silent --fail --max-time 5 --noproxy '*' --output /dev/null "$@"; then return; fi
        sleep 0.5
    done
    return 1
}
restart_hub() {
    [ -n "$hub" ] || return 0
    systemctl restart jupyterhub.service 9>&- && answers_in_time 120 "http://$hub:8081/hub/health"
}
back() {
    echo "$1 Going back to the former way." >&2
    rm -rf /etc/jupyterhub/ssl
    for path in /etc/caddy/Caddyfile /etc/jupyterhub/ssl "$config/10-manager.py" "$config/20-login.py"; do
        cp -aT "$before$path" "$path"
    done
    if restart_hub && systemctl restart caddy.service 9>&-; then echo "The former way is in force again." >&2; fi
    rm -rf "$before"
    exit 1
}
phase "the web server's configuration"
chown -R caddy:caddy /etc/jupyterhub/ssl
if ! words=$(caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile 2>&1); then
    tail -n 5 <<<"$words" >&2
    back "Caddy refuses its new configuration."
fi
if [ -n "$hub" ]; then phase "hub"; fi
restart_hub || back "The hub does not answer."
phase "web server"
port=$([ "$way" = http ] && echo 80 || echo 443)
scheme=$([ "$way" = http ] && echo http || echo https)
systemctl restart caddy.service 9>&- || back "Caddy does not start."
if ! answers_in_time 120 --insecure --connect-to "::127.0.0.1:$port" "$scheme://$name/hub/health"; then
    journalctl --no-pager --output=cat --lines=8 --unit=caddy.service >&2
    if [ "$way" = acme ]; then back "No certificate for $name could be had."; fi
    back "Nothing answers at $scheme://$name/."
fi
rm -rf "$before"
# A launch that goes over this manager starts them with what it writes.
rm -f /opt/cloudjhub/running/caddy.service
answer '{}'
