#!/bin/sh
# On real KVM a guest with known values in every register moves, with interrupts that wait for it.
# Every element of its state is at the destination what it was at the source.
# hosts: one
# needs: htab-migrated htab-kvmvm htabctl tests/mkcerts tests/powernv/migrate.sh
# limit: 150
# cpus: 2
. /t/guest.sh
. /t/migrate.sh

check "certificates" mkcerts pki
port=4691
for d in a b; do
	mkdir $d
	start daemon-$d htab-migrated --control $d/control.sock --vmm-socket $d/vmm.sock \
		--listen tcp:127.0.0.1:$port --tls-creds pki --name host$d
	port=$((port + 1))
done
for d in a b; do
	check "daemon $d is ready" see daemon-$d "ready at "
done

ctl() { # ctl a|b COMMAND...
	local d=$1
	shift
	htabctl --socket "$d/control.sock" "$@"
}

# All but the one exception: the guest's timebase goes on.
elements() { # elements FILE
	sed -n '2,$p' "$1" | grep -v ' guest timebase '
}

for kind in xics xive; do
	devices="--vcpus 3 --irqchip $kind --tces 100"
	# shellcheck disable=SC2086
	{
		vmm $kind-1 a/vmm.sock $devices --registers
		vmm $kind-2 b/vmm.sock $devices --incoming --stay
	}
	check "$kind: the guest counts" counts_past $kind-1 2000
	check "$kind: it waits" ctl b incoming vm1
	check "$kind: held at the hand-over" ctl a set --vm vm1 verify=true \
		pause-before-switchover=true downtime-limit=3000
	start $kind ctl a --json migrate vm1 tcp:127.0.0.1:4692
	check "$kind: it is" sh -c 'until htabctl --socket a/control.sock --json qmp query-migrate |
		grep -q "\"status\" *: *\"pre-switchover\""; do :; done'
	check "$kind: the source's state" sh -c "htabctl --socket a/control.sock info vm1 --state \
		>$kind.before"
	check "$kind: it goes on" ctl a qmp migrate-continue '{"state": "pre-switchover"}'
	check "$kind: it is over" see $kind "^=== $kind ended with 0$"
	grep -v '^===' $kind.log >migrate.json
	left $kind-1 $kind
	check "$kind: it starts, and stands" see $kind-2 '"event":"started".*"running":false'
	check "$kind: the destination's state" sh -c "htabctl --socket b/control.sock info vm1 --state \
		>$kind.after"
	elements $kind.before >before
	elements $kind.after >after
	cat $kind.after
	check "$kind: their values are known ones" test "$(grep -cvE ' 0x0+( 0x0+)?$' before)" -gt 600
	check "$kind: $(wc -l <before) elements are what they were" diff before after
	its_time b/control.sock $kind
	kill -USR2 "$(cat $kind-2.pid)"
	check "$kind: the guest counts on" counts_past $kind-2 \
		$(($(event $kind-1 migrated counter) + 2000))
	waited=0
	[ $kind = xive ] || waited=1
	check "$kind: what waited for it came, once" test "$(event $kind-2 status text)" = \
		"interrupts taken: $waited external and 1 decrementer"
	guest_ends $kind-2
done
ends daemon-a
ends daemon-b
finish
