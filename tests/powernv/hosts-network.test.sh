#!/bin/sh
# Two emulated hosts see each other: by name, by TCP, and at the meetings of the harness.
# hosts: two
. /t/guest.sh
check "ping $PEER from $HOST" ping -c 2 -w 20 "$PEER"
check "meet exchanges values on $HOST" test "$(meet names "$HOST is here")" = "$PEER is here"
if [ "$HOST" = hosta ]; then
	start server nc -l -p 4000
	meet listening >/dev/null
	check "a line over TCP" await server '^hello from hostb$'
else
	meet listening >/dev/null
	check "a connection over TCP" sh -c 'echo "hello from hostb" | nc hosta 4000'
fi
meet over >/dev/null
check "/dev/kvm exists on $HOST" test -c /dev/kvm
finish
