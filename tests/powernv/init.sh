#!/bin/sh
# PID 1 of an emulated host without systemd: mounts, modules, then what it was booted for (boot.sh).
/bin/busybox --install -s /bin
export PATH=/t:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
for word in $(cat /proc/cmdline); do
	case $word in
	systemd.hostname=*) echo "${word#*=}" >/proc/sys/kernel/hostname ;;
	esac
done
ip link set lo up
modprobe kvm-hv
exec sh /t/.run
