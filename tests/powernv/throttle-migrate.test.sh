#!/bin/sh
# On real KVM a guest that changes its table too fast arrives once its vCPUs are slowed down.
# hosts: one
# needs: htab-migrated htab-kvmvm htabctl tests/mkcerts tests/powernv/migrate.sh
# limit: 100
# cpus: 2
. /t/guest.sh
. /t/migrate.sh

check "certificates" mkcerts pki
port=4681
for d in a b; do
	mkdir $d
	start daemon-$d htab-migrated --control $d/control.sock --vmm-socket $d/vmm.sock \
		--listen tcp:127.0.0.1:$port --tls-creds pki --name host$d
	port=$((port + 1))
done
for d in a b; do
	check "daemon $d is ready" see daemon-$d "ready at "
done

go() {
	check "guest2 waits" htabctl --socket b/control.sock incoming vm1
	htabctl --socket a/control.sock --json migrate vm1 tcp:127.0.0.1:4682 >migrate.json
}

vmm guest1 a/vmm.sock --order 18
vmm guest2 b/vmm.sock --order 18 --incoming
check "the guest counts" counts_past guest1 2000
# bytes a second: fewer than the guest's changes take
check "a slow network" htabctl --socket a/control.sock set --vm vm1 max-bandwidth=40000 \
	verify=true htab-compression=none max-passes=4 downtime-limit=50
go
check "it does not converge by itself" test "$(field migrate.json status)" = cancelled
check "and that is said" grep 'changes its table faster than it converges' migrate.json
check "the guest runs on" counts_past guest1 $(($(counter guest1) + 1000))

check "auto-converge" htabctl --socket a/control.sock set --vm vm1 auto-converge=true \
	cpu-throttle-initial=90 cpu-throttle-increment=9 max-passes=40
go
left guest1 "slowed down"
check "its vCPUs were slowed down" grep 'slowed down by 99%' daemon-a.log
came guest2 "$(event guest1 migrated counter)" "slowed down"
guest_ends guest2
ends daemon-a
ends daemon-b
finish
