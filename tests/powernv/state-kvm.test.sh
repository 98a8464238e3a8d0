#!/bin/sh
# Every register of a vCPU moves from one KVM to another and is read back; images that are wrong are
# refused by name; a guest finds its registers, its timebase and its decrementer as they were.
# hosts: one
# needs: tests/powernv/state-kvm docs/state.md
# limit: 120
. /t/guest.sh
state-kvm /t/state.md
rc=$?
[ $rc = 0 ] || fail "state-kvm" "it ended with $rc"
finish
