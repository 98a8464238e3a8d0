#!/bin/bash
# Boot an emulated x86-64 host with KVM (AMD's SVM, emulated by QEMU's TCG) and run a command on it.
#
# usage: boot.sh [-t SECONDS] [-l DIR] -c COMMAND [FILE...]
#	-c COMMAND  run by the host's shell in /t, where FILE... and their libraries are laid
#	-t SECONDS  time limit for everything (default 120)
#	-l DIR      keep the whole console as DIR/console
#
# What COMMAND prints goes to standard output. The exit status is COMMAND's; 124 when the time was
# up; 125 when the host did not boot. The kernel and busybox are Debian's for this machine's own
# suite, fetched once by apt into $HTAB_CACHE/x86 (see tests/powernv/fetch.sh) and not installed.
# QEMU never outlives this script.
set -euo pipefail

command='' limit=120 logdir=''
while getopts c:t:l: o; do
	case $o in
	c) command=$OPTARG ;;
	t) limit=$OPTARG ;;
	l) logdir=$OPTARG ;;
	*) exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ -n "$command" ] || exit 2

cache=${HTAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/htab-migrated}
dir=$cache/x86
work=$(mktemp -d)
qemu=
cleanup() {
	[ -z "$qemu" ] || kill -KILL "$qemu" 2>/dev/null || true
	wait
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
: "${logdir:=$work}"
mkdir -p "$logdir" "$cache"

# --- the kernel, its modules and busybox, once -------------------------------------------------
fetch() {
	local new=$work/new version d
	mkdir -p "$new" "$work/debs" "$work/root"
	version=$(apt-cache depends linux-image-amd64 | sed -n 's/^ *Depends: //p' | head -n 1)
	(cd "$work/debs" && apt-get -qq -o APT::Sandbox::User=root download "$version" \
		busybox-static) >"$logdir/fetch.log" 2>&1 || {
		tail -n 5 "$logdir/fetch.log" >&2
		return 1
	}
	for d in "$work"/debs/*.deb; do
		dpkg-deb -x "$d" "$work/root"
	done
	cp "$work"/root/boot/vmlinuz-* "$new/vmlinuz"
	cp "$work/root/bin/busybox" "$new/"
	# in the order in which they are loaded
	for d in irqbypass ccp kvm kvm-amd; do
		find "$work/root/lib/modules" -name "$d.ko" -exec cp {} "$new/" \;
	done
	[ -s "$new/kvm-amd.ko" ]
	touch "$new/.complete"
	rm -rf "$dir"
	mv -T "$new" "$dir"
}

exec 9>"$cache/.x86.lock"
flock 9
if [ ! -e "$dir/.complete" ] && ! fetch; then
	echo "boot.sh: there is no kernel for an emulated x86 host" >&2
	exit 125
fi
exec 9>&-

# --- the initrd --------------------------------------------------------------------------------
tree=$work/tree
mkdir -p "$tree"/{bin,dev,proc,sys,tmp,t,modules}
cp "$dir/busybox" "$tree/bin/"
ln -s busybox "$tree/bin/sh"
cp "$dir"/*.ko "$tree/modules/"
lay() { # lay FILE: at /t, libtool's wrapper replaced by the program, and its libraries
	local file=$1 lib
	if head -c 300 "$file" | grep -qa 'temporary wrapper script'; then
		file=$(dirname "$file")/.libs/$(basename "$file")
	fi
	cp -L "$file" "$tree/t/"
	for lib in $(ldd "$file" 2>/dev/null | grep -oE '/[^ ]+' || true); do
		install -D "$lib" "$tree$lib"
	done
}
for f in "$@"; do
	lay "$f"
done
token=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
printf '%s\n' "$command" >"$tree/t/.command"
cat >"$tree/init" <<I
#!/bin/sh
/bin/busybox --install -s /bin
export PATH=/t:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
for m in irqbypass ccp kvm kvm-amd; do
	[ ! -e /modules/\$m.ko ] || insmod /modules/\$m.ko
done
cd /t
echo "### $token begin"
sh .command
echo "### $token exit \$?"
poweroff -f
I
chmod 755 "$tree/init"
(cd "$tree" && find . -mindepth 1 -print0 | cpio -o -0 -H newc --quiet -R +0:+0) >"$work/initrd"

# --- the host ----------------------------------------------------------------------------------
setpriv --pdeathsig KILL qemu-system-x86_64 -machine q35 -accel tcg \
	-cpu EPYC,+svm,+invtsc,tsc-frequency=1000000000 -smp 1 -m 512 -display none -monitor none \
	-no-reboot -serial "file:$logdir/console" -kernel "$dir/vmlinuz" -initrd "$work/initrd" \
	-append "console=ttyS0 quiet loglevel=4 panic=-1 tsc=reliable clocksource=tsc" \
	</dev/null >"$work/stderr" 2>&1 &
qemu=$!
status=0
timeout "$limit" tail --pid="$qemu" -f /dev/null || status=124
if [ $status = 0 ]; then
	wait "$qemu" || true
	qemu=
fi
tr -d '\r' <"$logdir/console" | sed -n "/### $token begin/,/### $token exit/p" | grep -v "^### " ||
	true
[ $status = 0 ] || exit $status
status=$(tr -d '\r' <"$logdir/console" | sed -n "s/^### $token exit \([0-9]*\)$/\1/p")
if [ -z "$status" ]; then
	tail -n 20 "$logdir/console" "$work/stderr" >&2
	exit 125
fi
exit "$status"
