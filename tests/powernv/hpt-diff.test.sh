#!/bin/sh
# The software HPT is the kernel's: one random sequence on both gives the same bytes and errnos.
# hosts: one
# needs: tests/powernv/hpt-diff
# limit: 180
. /t/guest.sh
for seed in 1 2; do
	if hpt-diff --seed $seed --ops 100000; then
		pass "seed $seed, 100000 operations"
	else
		fail "seed $seed, 100000 operations" "the software HPT differs from the kernel's"
	fi
done
finish
