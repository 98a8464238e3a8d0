#!/bin/sh
# On real KVM a guest whose page table is reset and resized while it moves arrives with the last.
# hosts: one
# needs: htab-migrated htab-kvmvm htabctl tests/mkcerts tests/powernv/migrate.sh
# limit: 120
# cpus: 2
. /t/guest.sh
. /t/migrate.sh

check "certificates" mkcerts pki
port=4671
for d in a b; do
	mkdir $d
	hold=active
	[ $d = a ] || hold=''
	start daemon-$d env HTAB_MIGRATED_HOLD=$hold htab-migrated \
		--control $d/control.sock --vmm-socket $d/vmm.sock \
		--listen tcp:127.0.0.1:$port --tls-creds pki --name host$d
	eval port_$d=$port
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

change() { # change NAME COUNT COMMAND...: its COUNTth change of its table
	local name=$1 n=$2
	shift 2
	echo "$*" >"$name.fifo"
	check "$name: $*" see "$name" '"event":"htab-changed"' "$n"
}

# --- without a migration: KVM's reset and resize, and the guest's check of what they leave ---
vmm guest1 a/vmm.sock --order 18 --monitor guest1.fifo
check "the guest counts" counts_past guest1 2000
change guest1 1 reset
check "the guest counts on after a reset" counts_past guest1 $(($(counter guest1) + 2000))
change guest1 2 resize 19
check "the guest counts on after a resize" counts_past guest1 $(($(counter guest1) + 2000))
change guest1 3 reset 18
check "the guest counts on after another reset" counts_past guest1 $(($(counter guest1) + 2000))

# --- while it moves: held before pass 1, changed three times, and then with passes under way ---
vmm guest2 b/vmm.sock --order 18 --incoming
check "guest2 waits" ctl b incoming vm1
check "verify is on" ctl a set --vm vm1 verify=true downtime-limit=3000
start migration ctl a --json migrate vm1 "tcp:127.0.0.1:$port_b"
check "it is held" sh -c 'until htabctl --socket a/control.sock --json qmp query-migrate |
	grep -q "\"step\" *: *\"active\""; do :; done'
change guest1 4 reset
change guest1 5 resize 20
change guest1 6 reset 19
counts_past guest1 $(($(counter guest1) + 500))
check "it goes on" ctl a qmp x-continue '{"vm": "vm1"}'
check "it is over" see migration "^=== migration ended with 0$"
grep -v '^===' migration.log >migrate.json
left guest1 "the move"
check "in generation 4" test "$(field migrate.json generation)" = 4
check "with order 19" test "$(field migrate.json order)" = 19
came guest2 "$(event guest1 migrated counter)" "the move"

guest_ends guest2
ends daemon-a
ends daemon-b
finish
