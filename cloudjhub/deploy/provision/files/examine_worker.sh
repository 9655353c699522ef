# What a worker must have, one "name=value" a line; judged by whoever asked. Needs only sh's own tools,
# since anything may be missing. Arguments: notebook account, folders of programs (with colons).
account=$1 folders=$2
say() { printf 'fact %s=%s\n' "$1" "$2"; }
say python3 "$(python3 -c 'import platform; print(platform.python_version())' 2>/dev/null || true)"
say systemd "$(systemctl is-system-running 2>/dev/null || true)"
say cloud_init "$(command -v cloud-init || true)"
say mkfs "$(command -v mkfs.ext4 || true)"
say account "$(getent passwd "$account" || true)"
say groups "$(id -nG "$account" 2>/dev/null || true)"
say password "$(passwd --status "$account" 2>/dev/null | cut -d' ' -f2 || true)"
if command -v sudo >/dev/null && sudo -n -l -U "$account" 2>/dev/null | grep -q 'may run'; then say may_sudo yes; else say may_sudo no; fi
home=$(getent passwd "$account" | cut -d: -f6 || true)
say home_owner "$(stat -c %U "$home" 2>/dev/null || true)"
program=$(PATH="$PATH:$folders" command -v jupyterhub-singleuser || true)
say singleuser "$program"
version=""
if [ -n "$program" ]; then version=$("$program" --version 2>/dev/null | tail -n 1 || true); fi
say jupyterhub "$version"
lab=""
if [ -n "$program" ]; then
    lab=$(PATH="$(dirname "$program"):$PATH" jupyter-lab --version 2>/dev/null | tail -n 1 || true)
fi
say jupyterlab "$lab"
say hibernation "$(systemctl cat hibinit-agent.service 2>/dev/null | head -n 1 || true)"
