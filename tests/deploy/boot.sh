#!/usr/bin/env bash
# Starts systemd as the first process of new namespaces, on a copy-on-write view of this machine's files, and lets it run a script:
# unshare --mount --pid --fork --net --uts --ipc --cgroup bash boot.sh FOLDER SCRIPT
#
# FOLDER is the same inside and outside, and is the only thing that keeps what is written. SCRIPT's output goes to FOLDER/out, and its
# exit status to FOLDER/status. No service of the machine is started, and no network is there but loopback.
set -euo pipefail
shared=$1
script=$2

scratch=$shared/scratch
mkdir "$scratch"
mount -t tmpfs none "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
root=$scratch/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" "$root"
mount -t proc none "$root/proc"
mount -t sysfs -o ro none "$root/sys"
mount -t tmpfs none "$root/sys/fs"
mkdir "$root/sys/fs/cgroup"
mount -t cgroup2 none "$root/sys/fs/cgroup"
for folder in run tmp dev; do
    mount -t tmpfs -o mode=755 none "$root/$folder"
done
chmod 1777 "$root/tmp"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts" "$root/shared"
mount -t devpts -o newinstance,ptmxmode=666 none "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
touch "$root/dev/kmsg" "$shared/console"
mount --bind "$shared/console" "$root/dev/kmsg"
mount --bind "$shared" "$root/shared"
: >"$root/etc/machine-id"
ip link set lo up

units=$root/run/systemd/system
mkdir -p "$units"
cat >"$units/test.target" <<'END'
[Unit]
Description=Nothing but the test
DefaultDependencies=no
Wants=test.service
END
cat >"$units/test.service" <<END
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/bin/bash -c 'bash /shared/$script; echo \$? > /shared/status'
StandardOutput=file:/shared/out
StandardError=inherit
ExecStopPost=/bin/systemctl --no-block exit
END
# What sysinit.target would wait for is not there.
cat >"$units/sysinit.target" <<'END'
[Unit]
Description=Nothing to wait for
DefaultDependencies=no
END
# systemd moves mounts below the root of its namespace, so a chroot is not enough.
cd "$root"
mkdir old
pivot_root . old
umount -l old
exec /usr/bin/env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=test.target --log-target=kmsg </dev/null
