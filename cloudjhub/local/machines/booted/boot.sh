#!/bin/sh
# boot.sh FOLDER DEVICE LAYER... -- COMMAND...
#
# Runs in a mount namespace of its own, so that all it mounts is gone with the machine, however
# that ends. FOLDER is the machine's; DEVICE holds its root disk, LAYERs what lies below, the
# nearest first: a folder, or a device with an image. COMMAND boots FOLDER/root.
set -eu
folder=$1 device=$2
shift 2
mkdir -p "$folder/disk" "$folder/root"

# Inode tables stay unwritten and freed blocks go back: the file below is sparse.
mount -t ext4 -o discard,noinit_itable "$device" "$folder/disk"
mkdir -p "$folder/disk/up" "$folder/disk/work"

number=0 below=
while [ "$1" != -- ]; do
    case $1 in
    /dev/*)
        number=$((number + 1))
        mkdir -p "$folder/layer$number"
        # noload: nothing may be written, and an image's journal is clean.
        mount -t ext4 -o ro,noload "$1" "$folder/layer$number"
        below=$below:$folder/layer$number/up
        ;;
    *) below=$below:$1 ;;
    esac
    shift
done
shift

mount -t overlay overlay "$folder/root" \
    -o "lowerdir=${below#:},upperdir=$folder/disk/up,workdir=$folder/disk/work,xino=off"
cp -R --no-preserve=ownership --remove-destination "$folder/files/." "$folder/root/"
exec "$@"
