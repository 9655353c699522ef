# Arguments: notebook account, archive packages (one word), JupyterHub version, JupyterLab requirement.
# Variables: REQUIREMENTS, a pip requirements file of the class; HIBERNATES, "yes" where machines do.
account=$1 packages=$2 jupyterhub=$3 jupyterlab=$4
venv=/opt/cloudjhub

phase "packages of the distribution"
apt_install $packages

# A kernel that is at another place after each boot may not find back into the memory it wrote. A
# line after the distribution's own; ec2-hibinit-agent adds where the memory lies, on each machine.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/hibernation-disable-kaslr.html
if [ "$HIBERNATES" = yes ] && [ -d /etc/default/grub.d ] && command -v update-grub >/dev/null; then
    phase "a kernel that can hibernate"
    echo 'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT nokaslr"' \
        >/etc/default/grub.d/98-cloudjhub-hibernation.cfg
    update-grub
fi

phase "account $account"
if ! getent passwd "$account" >/dev/null; then
    useradd --create-home --shell /bin/bash --comment "Notebooks" "$account"
fi
usermod --lock --shell /bin/bash "$account"
for group in sudo adm admin docker lxd; do
    if id -nG "$account" | tr ' ' '\n' | grep -qx "$group"; then gpasswd --delete "$account" "$group"; fi
done
home=$(getent passwd "$account" | cut -d: -f6)
chown "$account:$(id -gn "$account")" "$home"
chmod 0750 "$home"

phase "Python environment in $venv"
if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    rm -rf "$venv"
    python3 -m venv "$venv"
fi
# While we install, only what lies in the environment counts.
sed -i 's/^include-system-site-packages.*/include-system-site-packages = false/' "$venv/pyvenv.cfg"
rm -f "$venv/cloudjhub.json"
python="$venv/bin/python"
"$python" -m pip install --quiet --no-input --upgrade pip
echo "jupyterhub==$jupyterhub" >"$venv/constraints.txt"
# For root only: an index or a repository may be named with a password, and this stays in the image.
rm -f "$venv/requirements.txt"
printf '%s\n' "$REQUIREMENTS" | install --mode 0600 /dev/stdin "$venv/requirements.txt"
"$python" -m pip install --no-input --progress-bar off --no-warn-script-location \
    --constraint "$venv/constraints.txt" "jupyterhub==$jupyterhub" "$jupyterlab" \
    --requirement "$venv/requirements.txt"
"$python" -m pip check
# Two formats of JSON schemas, which nothing in Jupyter uses, cost each start of a server a second of
# CPU (https://github.com/python-jsonschema/jsonschema/issues/1428); without this, they are not checked.
needed_by=$("$python" -m pip show rfc3987-syntax 2>/dev/null | sed -n 's/^Required-by: *//p')
if [ -z "$needed_by" ] && ! grep -qi 'rfc3987.syntax' "$venv/requirements.txt"; then
    "$python" -m pip uninstall --quiet --yes rfc3987-syntax
fi

# Students install packages of their own with pip; these go to ~/.local on their home volume, and
# their kernels find them there. The server itself looks away from ~/.local (-s), so that nobody
# can break the page that they would mend it from.
sed -i 's/^include-system-site-packages.*/include-system-site-packages = true/' "$venv/pyvenv.cfg"
sed -i "1s|^#!.*|#!$python -s|" "$venv/bin/jupyterhub-singleuser"
cat >/etc/profile.d/cloudjhub.sh <<PROFILE
if [ "\$(id -un)" = "$account" ]; then PATH="\$HOME/.local/bin:$venv/bin:\$PATH"; fi
PROFILE

"$venv/bin/jupyterhub-singleuser" --version >/dev/null
facts=$("$python" -s - "$account" <<'PYTHON'
import json, platform, sys
from importlib.metadata import version
print(json.dumps({
    "jupyterhub": version("jupyterhub"),
    "jupyterlab": version("jupyterlab"),
    "python": platform.python_version(),
    "account": sys.argv[1],
}))
PYTHON
)
answer "$facts"
