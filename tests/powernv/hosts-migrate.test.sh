#!/bin/sh
# On real KVM a guest that keeps changing its page table moves to another host and back.
# hosts: two
# needs: htab-migrated htab-kvmvm htabctl tests/mkcerts tests/powernv/migrate.sh
# limit: 150
. /t/guest.sh
. /t/migrate.sh

# One throw-away CA, on hosta; hostb gets its own certificates by HTTP.
if [ "$HOST" = hosta ]; then
	mkcerts hosta --cn hosta --dns hosta
	mkcerts hostb --cn hostb --dns hostb --ca hosta
	tar cf hostb.tar hostb
	start web httpd -f -p 8000 -h .
fi
meet certificates >/dev/null
[ "$HOST" = hosta ] || wget -q -O - http://hosta:8000/hostb.tar | tar x
check "$HOST has certificates" test -s "$HOST/server-cert.pem"
start daemon htab-migrated --control control.sock --vmm-socket vmm.sock \
	--listen "tcp:$HOST:4660" --tls-creds "$HOST" --name "$HOST"
check "the daemon of $HOST is ready" see daemon 'ready at '

wait_for_guest() { # wait_for_guest NAME: which comes from the peer
	vmm "$1" vmm.sock --incoming
	check "$1 waits on $HOST" htabctl --socket control.sock incoming vm1 --from "CN=$PEER"
}

leave() { # leave NAME WHAT: for the peer
	check "verify is on" htabctl --socket control.sock set --vm vm1 verify=true \
		downtime-limit=3000
	check "$2" sh -c "htabctl --socket control.sock --json migrate vm1 tcp:$PEER:4660 \
		>migrate.json" || tail -n 20 daemon.log
	left "$1" "$2"
	meet "$2" "$(event "$1" migrated counter)" >/dev/null
}

come() { # come NAME WHAT: from the peer
	came "$1" "$(meet "$2")" "$2"
	its_time control.sock "$2"
}

if [ "$HOST" = hosta ]; then
	vmm guest1 vmm.sock
	check "the guest counts" counts_past guest1 2000
	meet there-waits >/dev/null
	leave guest1 there
	wait_for_guest guest3
	meet back-waits >/dev/null
	come guest3 back
	guest_ends guest3
else
	wait_for_guest guest2
	meet there-waits >/dev/null
	come guest2 there
	meet back-waits >/dev/null
	leave guest2 back
fi
meet over >/dev/null
ends daemon
finish
