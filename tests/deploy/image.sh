#!/usr/bin/env bash
# Runs an image's root as a container runtime does: unshare --mount --pid --fork --net --uts --ipc bash image.sh ROOT HEALTH... -- ENTRY...
#
# ROOT is read-only but for /data, the node is user 65532 without capabilities, and there is no network but loopback. It prints what
# the health check said before the node runs, while it runs, and while it hangs, and how the node ended.
set -euo pipefail
root=$1
shift
health=()
while [ "$1" != -- ]; do
    health+=("$1")
    shift
done
shift

ip link set lo up
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o mode=700,uid=65532,gid=65532 none "$root/data"
mount -t proc none "$root/proc"
# As user 65532, in the image's working directory, with nothing of this environment.
as_user=(unshare "--root=$root" --wd=/data --setgid 65532 --setuid 65532)
check() {
    local status=0
    env -i "${as_user[@]}" "${health[@]}" >"$1.out" 2>&1 || status=$?
    echo "health $2: $status"
}
said=$(mktemp -d)
check "$said/before" before
env -i "${as_user[@]}" "$@" >"$said/node" 2>&1 &
node=$!
for _ in $(seq 100); do
    ! grep -q 'node started' "$said/node" || break
    sleep 0.1
done
check "$said/running" running
grep -E "^(Uid|CapEff):" "$root/proc/$node/status"
kill -STOP "$node"
check "$said/hung" hung
kill -CONT "$node"
kill -TERM "$node"
status=0
wait "$node" || status=$?
echo "ended: $status"
ls -A "$root/data"
cat "$said/node" "$said/running.out"
