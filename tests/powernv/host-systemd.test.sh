#!/bin/sh
# A host with systemd comes up whole, with KVM, a journal, and sandboxes that services can ask for.
# hosts: systemd
. /t/guest.sh
state=$(systemctl is-system-running --wait)
check "the system is running (it is $state)" test "$state" = running
check "multi-user.target is active" systemctl is-active multi-user.target
check "no unit failed" sh -c '! systemctl --failed --plain --no-legend | grep .'
check "the journal has this boot" sh -c 'journalctl -b -q -n 1 | grep -q .'
check "/dev/kvm is for group kvm" test "$(stat -c %G /dev/kvm)" = kvm
check "a sandboxed unit runs" systemd-run -q --wait -p ProtectSystem=strict -p PrivateTmp=yes \
	-p PrivateDevices=yes -p DynamicUser=yes -p SystemCallFilter=@system-service \
	-p MemoryDenyWriteExecute=yes sh -c 'test "$(id -u)" != 0 && ! test -w /usr'
finish
