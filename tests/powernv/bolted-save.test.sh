#!/bin/sh
# On real KVM a save of the bolted entries alone holds them and no other, and loads.
# hosts: one
# needs: htab-migrated htab-kvmvm htabctl tests/powernv/migrate.sh
# limit: 80
# cpus: 2
. /t/guest.sh
. /t/migrate.sh

ctl() {
	htabctl --socket control.sock "$@"
}

# its_entries FILE: of a flat table, a line each: number and the entry in hexadecimal
its_entries() {
	hexdump -v -e '16/1 "%02x" "\n"' "$1" | awk '$1 !~ /^0+$/ { print NR - 1, $1 }'
}

# Of those: HPTE_V_BOLTED is 0x10 of the first doubleword.
bolted() {
	awk '{ n = substr($2, 15, 1) } n ~ /[13579bdf]/'
}

start daemon htab-migrated --control control.sock --vmm-socket vmm.sock --name hosta
check "the daemon is ready" see daemon "ready at "
vmm guest1 vmm.sock --order 18 --dump whole.hpt
check "the guest counts" counts_past guest1 2000
check "bolted-only" ctl set --vm vm1 bolted-only=true
check "it is saved" sh -c 'htabctl --socket control.sock --json migrate vm1 "file:$PWD/bolted.sav" \
	>migrate.json' || tail -n 20 daemon.log
check "its VMM ends well" see guest1 "^=== guest1 ended with 0$"
ALL=$(its_entries whole.hpt | wc -l)
its_entries whole.hpt | bolted >want
check "the guest had both kinds: $ALL entries, $(wc -l <want) bolted" \
	test "$(wc -l <want)" -gt 100 -a "$(wc -l <want)" -lt "$ALL"
htabctl dump ./bolted.sav
check "the file is whole" sh -c 'htabctl --json dump ./bolted.sav >dump.json'
check "all of its entries are bolted" sh -c \
	'test "$(htabctl --json dump ./bolted.sav --bolted)" = "$(cat dump.json)"'
check "as many are told" test "$(field migrate.json entries)" = "$(wc -l <want)"

vmm guest2 vmm.sock --order 18 --incoming --stay --dump loaded.hpt
check "it loads" ctl incoming vm1 --load "$PWD/bolted.sav"
check "it starts, and stands" see guest2 '"event":"started".*"running":false'
check "with the counter that it had" test "$(event guest2 ready counter)" = \
	"$(event guest1 migrated counter)"
ends guest2
its_entries loaded.hpt >got
check "the table that it has is the bolted entries, each where it was" diff want got
ends daemon
finish
