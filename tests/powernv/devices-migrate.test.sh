#!/bin/sh
# On real KVM a guest's interrupt controller and TCE table move with it, or stay as they were.
# hosts: one
# needs: htab-migrated htab-kvmvm htabctl tests/mkcerts tests/powernv/migrate.sh
# limit: 150
# cpus: 2
. /t/guest.sh
. /t/migrate.sh

check "certificates" mkcerts pki
port=4661
for d in a b; do
	mkdir $d
	start daemon-$d htab-migrated --control $d/control.sock --vmm-socket $d/vmm.sock \
		--listen tcp:127.0.0.1:$port --tls-creds pki --name host$d
	eval port_$d=$port
	port=$((port + 1))
done
for d in a b; do
	check "daemon $d is ready" see daemon-$d "ready at "
done

move() { # move GUEST NEXT FROM TO PORT
	check "$2 waits" htabctl --socket "$4/control.sock" incoming vm1
	check "$1 moves" sh -c "htabctl --socket $3/control.sock --json migrate vm1 \
		tcp:127.0.0.1:$5 >migrate.json" || tail -n 20 daemon-a.log daemon-b.log
	check "$1 ends well" see "$1" "^=== $1 ended with 0$"
	check "$2: all of the devices arrived" see "$2" '"event":"started"'
	check "$2 counts on" counts_past "$2" $(($(event "$1" migrated counter) + 1000))
}

for kind in xics xive; do
	devices="--irqchip $kind --tces 5000"
	# shellcheck disable=SC2086
	{
		vmm $kind-1 a/vmm.sock $devices
		check "$kind: the guest counts" counts_past $kind-1 1000
		vmm $kind-2 b/vmm.sock $devices --incoming
		move $kind-1 $kind-2 a b "$port_b"
		vmm $kind-3 a/vmm.sock $devices --incoming
		move $kind-2 $kind-3 b a "$port_a"
	}
	# Looking at it holds its devices for a moment, and lets them go.
	htabctl --socket a/control.sock info vm1 --state >state.log 2>&1
	check "$kind: its devices are shown" grep -E "$kind group 1 attr 0x|$kind source 0x1001" \
		state.log || head -n 60 state.log
	check "$kind: the guest runs on after that" counts_past $kind-3 \
		$(($(counter $kind-3) + 1000))

	# The destination has no such devices. The source was held by then, and is let go.
	vmm $kind-4 b/vmm.sock --incoming
	check "$kind-4 waits" htabctl --socket b/control.sock incoming vm1
	htabctl --socket a/control.sock migrate vm1 "tcp:127.0.0.1:$port_b" >refused.log 2>&1
	rc=$?
	cat refused.log
	check "$kind: a destination without it refuses" test $rc = 1
	check "$kind: it is named" grep "device $kind " refused.log
	check "$kind: the guest runs on as before" counts_past $kind-3 \
		$(($(counter $kind-3) + 1000))
	ends $kind-4
	guest_ends $kind-3
done
ends daemon-a
ends daemon-b
finish
