#!/usr/bin/env bash
# The life of the package on a machine with systemd: installed, started, asked, upgraded, stopped, removed, purged.
set -euxo pipefail
export XDG_RUNTIME_DIR=/run DEBIAN_FRONTEND=noninteractive

state() {
    systemctl show --value -p "$1" area-net
}

# Some images forbid packages to start services.
rm -f /usr/sbin/policy-rc.d
dpkg -i /shared/area-net_*.deb
systemctl cat area-net >/dev/null
[ "$(systemctl is-enabled area-net)" = disabled ]
[ "$(state ActiveState)" = inactive ]
man -w area-net || [ -e /usr/share/man/man1/area-net.1.gz ]

# There is no journal here.
mkdir -p /run/systemd/system/area-net.service.d
printf '[Unit]\nDefaultDependencies=no\n[Service]\nStandardError=append:/shared/node.log\n' >/run/systemd/system/area-net.service.d/log.conf
systemctl daemon-reload

# The call returns when the node says that it is ready.
systemctl start area-net || { systemctl status --no-pager area-net; exit 1; }
[ "$(state ActiveState)" = active ]
pid=$(state MainPID)
status() {
    sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid/status"
}
[ "$(status Uid | cut -f 1)" -ne 0 ]
[ "$(status CapEff)" = 0000000000000000 ]
[ "$(status NoNewPrivs)" = 1 ]
[ "$(status Seccomp)" = 2 ]
[ "$(stat -c %a /var/lib/private/area-net/certs/node/key.pem)" = 600 ]
grep -q sandboxed /shared/node.log
area-net -V
area-net status -p node

# It links with a node outside of its confinement.
mkdir -p /tmp/other/config/network
cd /tmp/other
touch config/network/default.toml
echo '["[::1]:8083"]' >targets.json
area-net -c config -s network.controller.listen.port=8099 -s network.controller.target.path=targets.json 2>/shared/other.log &
area-net wait -p node --nodes 2 --timeout 20s
kill $!
wait $!
cd /

# An upgrade restarts a node that runs.
systemctl enable area-net
dpkg -i /shared/area-net_*.deb
[ "$(state ActiveState)" = active ]
[ "$(state MainPID)" != "$pid" ]
[ "$(systemctl is-enabled area-net)" = enabled ]

systemctl stop area-net
[ "$(state Result)" = success ]
systemctl start area-net || { systemctl status --no-pager area-net; exit 1; }

dpkg -r area-net
[ "$(state LoadState)" != loaded ]
[ ! -e /usr/bin/area-net ]
[ -e /etc/area-net/network/node.toml ]
[ -e /var/lib/private/area-net/certs/node/key.pem ]

dpkg -P area-net
[ ! -e /var/lib/private/area-net ]
[ ! -e /etc/area-net ]
if grep -e panicked -e 'Operation not permitted' /shared/node.log; then
    exit 1
fi
echo complete
