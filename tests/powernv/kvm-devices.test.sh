#!/bin/sh
# The kernel's XICS, XIVE and TCE tables move between two VMs: all values arrive, masks come off.
# hosts: one
# needs: tests/powernv/kvm-devices
# limit: 60
. /t/guest.sh
for device in xics xive tce; do
	if kvm-devices $device >$device.log; then
		pass "$device"
	else
		fail "$device" "$(grep '^FAIL' $device.log || echo 'it ended in another way')"
	fi
	cat $device.log
done
finish
