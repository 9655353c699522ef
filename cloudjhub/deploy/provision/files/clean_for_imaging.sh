# Takes away what must not be the same on every machine of the image, and what is nobody's business.
# Nobody can log in afterwards; the session that runs this goes on.
phase "caches and logs"
apt-get -qq clean
rm -rf /var/lib/apt/lists/* /root/.cache /home/*/.cache /var/tmp/* /tmp/*
find /var/log -type f -exec truncate --size 0 {} +
rm -rf /var/log/journal/* /var/log/*.gz /var/log/*.1

phase "identity"
if command -v cloud-init >/dev/null; then cloud-init clean --logs; fi
rm -f /etc/ssh/ssh_host_* /var/lib/systemd/random-seed
truncate --size 0 /etc/machine-id
rm -f /var/lib/dbus/machine-id

phase "keys and histories"
for home in /root /home/*; do
    rm -f "$home"/.ssh/authorized_keys "$home"/.*_history "$home"/.python_history "$home"/.lesshst "$home"/.wget-hsts
done
sync
