#!/bin/sh
# An emulated host offers what the other scenarios stand on: KVM-HV, and what guest.sh promises.
# hosts: one
. /t/guest.sh
check "kvm-hv is loaded" test -d /sys/module/kvm_hv
check "/dev/kvm exists" test -c /dev/kvm
check "the host is called hosta" test "$HOST" = hosta
if meet nobody >/dev/null; then
	fail "nobody to meet" "but somebody came"
else
	pass "nobody to meet"
fi
start echo sh -c 'echo ready; exec cat /dev/hvc0'
check "a line of a program in the background" await echo '^ready$'
check "its end by a signal" stop echo
if await echo never 5; then
	fail "waiting for a program that ended fails"
else
	pass "waiting for a program that ended fails"
fi
finish
