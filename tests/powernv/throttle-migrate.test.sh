#!/bin/sh
# On real KVM a guest that does not converge has its vCPUs slowed down, and arrives at full speed.
# hosts: one
# needs: htab-migrated htab-kvmvm htabctl tests/mkcerts tests/powernv/migrate.sh
# limit: 100
# cpus: 2
. /t/guest.sh
. /t/migrate.sh

check "certificates" mkcerts pki
port=4681
# a's guest runs on, slowed down, until it is said that it may be paused
export HTAB_MIGRATED_HOLD=pause
for d in a b; do
	mkdir $d
	start daemon-$d htab-migrated --control $d/control.sock --vmm-socket $d/vmm.sock \
		--listen tcp:127.0.0.1:$port --tls-creds pki --name host$d
	port=$((port + 1))
done
for d in a b; do
	check "daemon $d is ready" see daemon-$d "ready at "
done

centiseconds() {
	sed 's/ .*//; s/\.//' /proc/uptime
}

rate() { # rate NAME COUNTS: its guest's counts a second, over at least so many
	local from at
	from=$(counter "$1") at=$(centiseconds)
	counts_past "$1" $((from + $2)) || return 1
	echo $((($(field "$1.status" counter) - from) * 100 / ($(centiseconds) - at + 1)))
}

vmm guest1 a/vmm.sock --order 18
vmm guest2 b/vmm.sock --order 18 --incoming
check "the guest counts" counts_past guest1 2000
full=$(rate guest1 3000)
check "guest2 waits" htabctl --socket b/control.sock incoming vm1
# no downtime is short enough: it never converges
check "auto-converge" htabctl --socket a/control.sock set --vm vm1 verify=true \
	downtime-limit=0 max-passes=1000000 auto-converge=true cpu-throttle-initial=99
start migration htabctl --socket a/control.sock --json migrate vm1 tcp:127.0.0.1:4682
check "its vCPUs are slowed down" see daemon-a 'slowed down by 99%'
# What the daemon says it has asked for; the vCPUs follow in a moment.
for try in 1 2 3 4 5; do
	slow=$(rate guest1 600)
	[ $((slow * 2)) -ge "$full" ] || break
done
echo "$full counts a second, slowed down $slow"
check "they are, by more than half" test "${slow:-0}" -gt 0 -a $((slow * 2)) -lt "$full"
check "it may converge" htabctl --socket a/control.sock set --vm vm1 downtime-limit=10000
held=yes
while [ $held = yes ]; do
	if htabctl --socket a/control.sock qmp x-continue '{"vm": "vm1"}' >continue.log 2>&1; then
		held=no
	elif ! grep -q 'is not held' continue.log; then
		break
	fi
done
check "it may be paused" test $held = no
check "it is over" see migration "^=== migration ended with 0$"
grep -v '^===' migration.log >migrate.json
left guest1 "slowed down"
came guest2 "$(event guest1 migrated counter)" "slowed down"
guest_ends guest2
ends daemon-a
ends daemon-b
finish
