#!/bin/sh
# On real KVM a guest that keeps changing its page table moves between two daemons and runs on.
# hosts: one
# needs: htab-migrated htab-kvmvm htabctl tests/mkcerts tests/powernv/migrate.sh
# limit: 110
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

move() { # move N FROM TO PORT: guest N at FROM becomes guest N + 1 at TO
	local from=guest$1 to=guest$(($1 + 1))
	vmm "$to" "$3/vmm.sock" --incoming
	check "$to waits" htabctl --socket "$3/control.sock" incoming vm1
	check "verify is on" htabctl --socket "$2/control.sock" set --vm vm1 verify=true \
		downtime-limit=3000
	check "move $1" sh -c "htabctl --socket $2/control.sock --json migrate vm1 \
		tcp:127.0.0.1:$4 >migrate.json" || tail -n 20 daemon-a.log daemon-b.log
	left "$from" "move $1"
	came "$to" "$(event "$from" migrated counter)" "move $1"
	its_time "$3/control.sock" "move $1"
	# on one host the timebase is one: nothing is to be corrected
	check "move $1: the timebase's offset stays 0" sh -c "htabctl --socket $3/control.sock \
		info vm1 --state --vcpu 1 | grep -E ' TB_OFFSET  *0x0000000000000000'"
}

vmm guest1 a/vmm.sock
check "the guest counts" counts_past guest1 2000
move 1 a b "$port_b"
move 2 b a "$port_a"
move 3 a b "$port_b"
# what it is made of, while it runs
check "its state is shown" sh -c "htabctl --socket b/control.sock info vm1 --state >state"
check "of each vCPU a program counter" test "$(grep -c ' PC  *0x' state)" = 2
check "its SLB by slot" grep -E '^ *1 +special-register +SLB slot 3 +0x0*1800.* 0x' state
check "and its memory by size" grep -E ' blob .* bytes' state
check "the guest counts on" counts_past guest4 $(($(counter guest4) + 1000))
guest_ends guest4

# KVM at the destination refuses an entry: the guest's page of 16 MiB does not fit its memory slot.
vmm guest5 a/vmm.sock --memory 32 --large-entry
vmm guest6 b/vmm.sock --memory 24 --incoming
check "guest6 waits" htabctl --socket b/control.sock incoming vm1
htabctl --socket a/control.sock migrate vm1 "tcp:127.0.0.1:$port_b" >refused.log 2>&1
rc=$?
cat refused.log
check "a refused entry fails the migration" test $rc = 1
check "it is named, and why" grep 'Input/output error' refused.log
check "guest6 never runs" see guest6 '"event":"dead"'
check "guest5 runs on" counts_past guest5 $(($(counter guest5) + 1000))
guest_ends guest5
ends guest6
ends daemon-a
ends daemon-b
finish
