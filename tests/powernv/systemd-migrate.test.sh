#!/bin/sh
# The installed service: ready, telling what it does, migrating a KVM guest by one line of JSON; and
# stopped in the middle of a migration it leaves the guest running.
# hosts: systemd
# needs: tests/mkcerts tests/powernv/migrate.sh
# limit: 150
# cpus: 2
. /t/guest.sh
. /t/migrate.sh

pki=/etc/pki/htab-migrated run=/run/htab-migrated
line='{"execute":"migrate","arguments":{"vm":"vm1","uri":"tcp:localhost:4661"}}'

status_text() { # status_text REGEX: until the service says so
	local n=0
	until systemctl show -p StatusText htab-migrated | tee status | grep -E "$1"; do
		n=$((n + 1))
		[ $n -lt 200 ] || break
	done
	[ $n -lt 200 ] || { cat status; return 1; }
}

show() { # show PROPERTY
	systemctl show --value -p "$1" htab-migrated
}

check "the service's user is there" id htab-migrated
check "its credentials' directory is there" test "$(stat -c %U:%G:%a $pki)" = root:htab-migrated:750
check "it starts without credentials" systemctl start htab-migrated
check "and says that it has none" status_text 'refuses migrations'
mkcerts $pki
chgrp htab-migrated $pki/*.pem
chmod 640 $pki/*.pem
check "restart" systemctl restart htab-migrated
check "it is active" test "$(show ActiveState):$(show SubState)" = active:running
check "it runs as its own user" test "$(stat -c %U "/proc/$(show MainPID)")" = htab-migrated
check "it says where it listens" status_text 'listening at tcp:.*4660'

mkdir b
start daemon-b htab-migrated --control b/control.sock --vmm-socket b/vmm.sock \
	--listen tcp:localhost:4661 --tls-creds $pki --name hostb
check "the other daemon is ready" see daemon-b 'ready at '

# a migration by one line of JSON
vmm guest1 $run/vmm.sock
vmm guest2 b/vmm.sock --incoming
check "guest2 waits" htabctl --socket b/control.sock incoming vm1
check "verify is on" htabctl set --vm vm1 verify=true \
		downtime-limit=3000
check "the guest counts" counts_past guest1 1000
start qmp sh -c "(echo '{\"execute\":\"qmp_capabilities\"}'; echo '$line'; exec tail -f /dev/null) |
	socat - UNIX-CONNECT:$run/control.sock"
check "one line of JSON migrates" see qmp '"status": *"completed"' ||
	journalctl -u htab-migrated -o cat -q | tail -n 30
htabctl --json qmp query-migrate '{"vm":"vm1"}' >migrate.json
left guest1 "by the service"
came guest2 "$(event guest1 migrated counter)" "by the service"
guest_ends guest2

# systemctl stop in the middle of another
vmm guest3 $run/vmm.sock
vmm guest4 b/vmm.sock --incoming
check "guest4 waits" htabctl --socket b/control.sock incoming vm1
check "a slow migration" htabctl set --vm vm1 max-bandwidth=1000
check "it begins" htabctl migrate --no-wait vm1 tcp:localhost:4661
check "guest4 loads" see guest4 '"event":"loading"'
check "the service says what it is doing" status_text 'vm1'
check "systemctl stop" systemctl stop htab-migrated
check "the service ends well" test "$(show Result):$(show ActiveState)" = success:inactive
check "guest4 never runs" see guest4 '"event":"dead"'
check "guest3 lost its daemon" see guest3 '"event":"disconnected"'
check "guest3 runs on" counts_past guest3 $(($(counter guest3) + 1000))
check "start again" systemctl start htab-migrated
check "guest3 is known again" see guest3 '"event":"registered"' 2
guest_ends guest3
ends guest4
ends daemon-b
journalctl -u htab-migrated -o cat -q | tail -n 30
finish
