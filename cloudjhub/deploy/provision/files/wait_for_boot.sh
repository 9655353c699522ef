# The first boot is over: nobody else installs packages or writes keys. A machine without cloud-init,
# or with one that complains, goes on; what is missing is noticed later, by name.
if command -v cloud-init >/dev/null; then
    timeout 600 cloud-init status --wait >/dev/null 2>&1 || true
fi
