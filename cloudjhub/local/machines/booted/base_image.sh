#!/bin/sh
# Turns a fresh Debian tree into an image as EC2 would boot it. mmdebstrap calls it with the tree.
# All of this file is part of the recipe: a change of it makes the image anew.
set -eu
tree=$1

# The network is on when systemd is: its address is written before each boot.
systemctl --root="$tree" enable systemd-networkd ssh
# No device to check, and nobody to wait for: the metadata service is asked until it answers.
systemctl --root="$tree" mask e2scrub_reap.service e2scrub_all.timer \
    systemd-networkd-wait-online.service
# Each machine gets its own at its first boot.
rm -f "$tree"/etc/ssh/ssh_host_* "$tree"/var/lib/dbus/machine-id "$tree"/etc/hostname
: > "$tree/etc/machine-id"
mkdir -p "$tree/var/log/journal"

# As in Debian's own images for EC2: the account admin, opened by the key pair alone.
mkdir -p "$tree/etc/cloud/cloud.cfg.d"
cat > "$tree/etc/cloud/cloud.cfg.d/90-local-ec2.cfg" <<'END'
datasource_list: [ Ec2 ]
datasource:
  Ec2:
    strict_id: false
    metadata_urls: [ "http://169.254.169.254" ]
    timeout: 5
    max_wait: 60
system_info:
  default_user:
    name: admin
    gecos: Debian
    groups: [adm, sudo]
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
    shell: /bin/bash
    lock_passwd: true
network: {config: disabled}
manage_etc_hosts: true
warnings: {dsid_missing_source: 'off'}
# A key of RSA takes longer to make than the rest of a boot, and nobody asks for it.
ssh_genkeytypes: [ed25519, ecdsa]
# There is no boot loader, no partition to grow, and no locale to generate.
grub_dpkg: {enabled: false}
growpart: {mode: 'off'}
resize_rootfs: false
locale: false
END
echo 'policy: enabled' > "$tree/etc/cloud/ds-identify.cfg"

# A container cannot read the firmware's tables, by which cloud-init knows EC2. Told that this is
# EC2 it asks for metadata with a token, as machines that require one need it to.
source=$tree/usr/lib/python3/dist-packages/cloudinit/sources/DataSourceEc2.py
sed -i 's/^def identify_platform():.*/&\n    return CloudNames.AWS/' "$source"
grep -q 'return CloudNames.AWS$' "$source"
# Before the network is up it would run a DHCP client and wait a minute for nobody.
sed -i '/(DataSourceEc2Local, (sources.DEP_FILESYSTEM,))/d' "$source"

# systemd makes no mount units of /etc/fstab's devices in a container: they are mounted here.
cat > "$tree/etc/systemd/system/local-ec2-fstab.service" <<'END'
[Unit]
Description=Devices of /etc/fstab
DefaultDependencies=no
After=systemd-remount-fs.service local-fs-pre.target
Before=local-fs.target
Conflicts=umount.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-/bin/mount -a
[Install]
WantedBy=local-fs.target
END
systemctl --root="$tree" enable local-ec2-fstab.service
