#!/bin/bash
# Boot one or two emulated POWER9 (PowerNV) hosts with KVM-HV and run commands on them.
#
# usage: boot.sh [OPTIONS] -c COMMAND [-c COMMAND] [FILE...]
#	-c COMMAND  run by the host's shell in /t. Given twice, two hosts are booted, hosta for the
#	            first command and hostb for the second, with a network of their own between them
#	-S          boot with systemd as PID 1; COMMAND runs in a unit after multi-user.target is
#	            reached. Without -S the host has busybox, kvm-hv is loaded, and that is all
#	-i DESTDIR  a tree made by `make install DESTDIR=...`, laid at / before the boot
#	-m SIZE     memory of each host (default 1g, with -S 2g)
#	-p CPUS     CPUs of each host (default 1)
#	-t SECONDS  time limit for everything (default 300)
#	-n NETDEV   one host only: a QEMU -netdev value without its id, for its network card
#	-l DIR      keep the whole console, firmware and kernel included, as DIR/HOST.console
#	-k KERNEL   boot this one, with everything built in, instead of Debian's
#	-a ARGS     more of the kernel's command line
#	-M MODULE   lay this module of the host's kernel at /t/MODULE.ko; may be repeated
#	-s SUITE    the Debian suite that the hosts are made of (default bookworm)
# FILE... are ppc64le programs, scripts, data and directories, laid at /t/NAME. A program
# that libtool wraps is replaced by the real one; the libraries that programs need come along.
#
# On a host: PATH has /t; HOST is hosta or hostb, PEER the other; with two hosts eth0 is up and has
# the address that /etc/hosts gives for $HOST; `meet NAME [VALUE]` waits for the other host to
# come to the same point and prints its VALUE.
#
# The console goes to standard output as it comes, with "HOST: " in front when there are two.
# The exit status is COMMAND's (the first one that is not 0); 124 when the time was up; 125 when a
# host did not boot or went down before its command had ended. QEMU never outlives this script.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
commands=() systemd='' destdir='' memory='' cpus=1 limit=300 netdev='' logdir='' suite=bookworm
kernel='' append=''
modules=()
usage() {
	sed -n '/^# usage/,/^# FILE/p' "$here/boot.sh" | sed '$d; s/^# \{0,1\}//' >&2
	exit 2
}
while getopts c:Si:m:p:t:n:l:k:a:M:s: o; do
	case $o in
	c) commands+=("$OPTARG") ;;
	S) systemd=1 ;;
	i) destdir=$OPTARG ;;
	m) memory=$OPTARG ;;
	p) cpus=$OPTARG ;;
	t) limit=$OPTARG ;;
	n) netdev=$OPTARG ;;
	l) logdir=$OPTARG ;;
	k) kernel=$OPTARG ;;
	a) append=$OPTARG ;;
	M) modules+=("$OPTARG") ;;
	s) suite=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
case ${#commands[@]} in
1) hosts=(hosta) ;;
2) hosts=(hosta hostb) ;;
*) usage ;;
esac
[ -z "$netdev" ] || [ ${#hosts[@]} = 1 ] || usage
: "${memory:=$([ -n "$systemd" ] && echo 2g || echo 1g)}"

dir=$("$here/fetch.sh" -s "$suite")
root=$dir/rootfs
triplet=powerpc64le-linux-gnu
work=$(mktemp -d)
declare -A qemu=() # by host: QEMU's process id
stop() { # stop HOST
	kill -KILL "${qemu[$1]}" 2>/dev/null || true
	wait "${qemu[$1]}" 2>/dev/null || true
}
cleanup() {
	local h
	trap - EXIT
	trap '' HUP INT TERM
	for h in "${!qemu[@]}"; do
		stop "$h"
	done
	wait
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
: "${logdir:=$work}"
mkdir -p "$logdir"

# --- the initrd: the cached part, and on top of it what this boot is for ----------------------
tree=$work/tree
mkdir -p "$tree/t" "$tree/etc"
if [ -n "$systemd" ]; then
	base=$dir/systemd.cpio.zst
	# a directory over a link would replace it
	for d in bin sbin lib lib64; do
		[ ! -L "$root/$d" ] || cp -P "$root/$d" "$tree/"
	done
	mkdir -p "$tree"/usr/{bin,sbin,lib,lib64}
else
	base=$dir/busybox.cpio
	install -m 755 "$here/init.sh" "$tree/init"
fi

libtool_dirs=()
lay() { # lay FILE: copy it to /t, with libtool's wrapper replaced by the program
	local file=$1 top
	if [ -f "$file" ] && head -c 300 "$file" | grep -qa 'temporary wrapper script'; then
		top=$(cd "$(dirname "$file")" && pwd)
		file=$top/.libs/$(basename "$file")
		while [ ! -e "$top/config.status" ] && [ "$top" != / ]; do
			top=$(dirname "$top")
		done
		libtool_dirs+=("$top"/*/.libs)
	fi
	cp -RL "$file" "$tree/t/"
}

lay_libraries() { # what the ELF files of the tree need, and what that needs
	local todo=() f n d
	declare -A seen=()
	mapfile -d '' -t todo < <(find "$tree" -type f -print0)
	while [ ${#todo[@]} -gt 0 ]; do
		f=${todo[0]}
		todo=("${todo[@]:1}")
		[ "$(head -c 4 "$f" | tr -d '\0')" = $'\177ELF' ] || continue
		while read -r n; do
			[ -z "${seen[$n]-}" ] || continue
			seen[$n]=1
			for d in "$tree"/usr/{local/,}lib{/$triplet,} "${libtool_dirs[@]}" \
				"$root"{/usr,}/lib/$triplet "$root/lib64"; do
				[ -e "$d/$n" ] || continue
				if [[ $d != "$tree"/* ]]; then
					mkdir -p "$tree/usr/lib/$triplet"
					cp -L "$d/$n" "$tree/usr/lib/$triplet/"
				fi
				todo+=("$tree${d#"$tree"}/$n")
				[ -e "${todo[-1]}" ] || todo[-1]=$tree/usr/lib/$triplet/$n
				continue 2
			done
			echo "boot.sh: $(basename "$f") needs $n, which is not there" >&2
			exit 125
		done < <($triplet-objdump -p "$f" 2>/dev/null | awk '$1 == "NEEDED" { print $2 }')
	done
}

[ -z "$destdir" ] || tar -C "$destdir" -cf - . |
	tar -C "$tree" -xf - --keep-directory-symlink --no-same-owner
for f in "$@"; do
	lay "$f"
done
for m in ${modules[@]+"${modules[@]}"}; do
	f=$(find "$root/lib/modules" -name "$m.ko*" | head -n 1)
	case $f in
	*.ko.xz) xz -dkc "$f" >"$tree/t/$m.ko" ;;
	*.ko.zst) zstd -qdkc "$f" >"$tree/t/$m.ko" ;;
	*.ko) cp "$f" "$tree/t/" ;;
	*)
		echo "boot.sh: $suite's kernel has no module $m" >&2
		exit 125
		;;
	esac
done
if [ -n "$systemd" ]; then
	# the base has every library but our own
	for d in "${libtool_dirs[@]}"; do
		mkdir -p "$tree/usr/lib/$triplet"
		find "$d" -name '*.so*' \( -type f -o -type l \) \
			-exec cp -P -t "$tree/usr/lib/$triplet" {} +
	done
else
	lay_libraries
	if [ -d "$tree/usr/lib/$triplet" ]; then
		mkdir -p "$tree"/lib64 "$tree/lib"
		ln -s "../usr/lib/$triplet" "$tree/lib/$triplet"
		cp -L "$root"{/usr,}/lib*/ld64.so.2 "$tree/lib64/" 2>/dev/null || true
	fi
fi
token=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
echo "$token" >"$tree/t/.token"
install -m 755 "$here/meet.sh" "$tree/t/meet"
for i in "${!hosts[@]}"; do
	printf '%s\n' "${commands[i]}" >"$tree/t/.command.${hosts[i]}"
done
printf '127.0.0.1 localhost\n::1 localhost\n10.0.0.1 hosta\n10.0.0.2 hostb\n' >"$tree/etc/hosts"
cat >"$tree/t/.run" <<R
cd /t
export PATH=/t:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export TERM=dumb SYSTEMD_COLORS=0 SYSTEMD_PAGER=cat
export HOST=\$(cat /proc/sys/kernel/hostname)
[ \$HOST = hosta ] && export PEER=hostb || export PEER=hosta
stty -echo -opost </dev/hvc0
exec >/dev/hvc0 2>&1 </dev/null
if [ ${#hosts[@]} = 2 ] || [ -n "$netdev" ]; then
	modprobe e1000e
	ip addr add \$(awk -v h=\$HOST '\$2 == h { print \$1 }' /etc/hosts)/24 dev eth0
	ip link set eth0 up
fi
tries=0
until [ ${#hosts[@]} = 1 ] || ping -c 1 -W 1 \$PEER || [ \$tries = 60 ]; do
	tries=\$((tries + 1))
done >/dev/null 2>&1
echo "### $token begin"
sh .command.\$HOST
echo "### $token exit \$?"
exec cat /dev/hvc0 >/dev/null
R
(cd "$tree" && find . -mindepth 1 -print0 | cpio -o -0 -H newc --quiet -R +0:+0) >"$work/top"
if [ "$(stat -c %s "$work/top")" -gt $((48 << 20)) ]; then # QEMU takes 128 MiB at most
	zstd -q -3 -T0 "$work/top" -o "$work/top.zst"
	mv "$work/top.zst" "$work/top"
fi
cat "$base" "$work/top" >"$work/initrd"
rm -rf "$tree" "$work/top"

# --- the hosts --------------------------------------------------------------------------------
mkfifo "$work/events"
exec {events}<>"$work/events"
declare -A input=() begun=() status=() meeting=() value=()

start() { # start HOST PEER MAC
	local h=$1 nic=() in
	if [ ${#hosts[@]} = 2 ]; then
		nic=(-netdev "dgram,id=n,local.type=unix,local.path=$work/$1.net,$(:
			)remote.type=unix,remote.path=$work/$2.net")
	elif [ -n "$netdev" ]; then
		nic=(-netdev "${netdev%%,*},id=n${netdev#"${netdev%%,*}"}")
	fi
	[ ${#nic[@]} = 0 ] ||
		nic+=(-device "e1000e,netdev=n,bus=pcie.0,addr=0x0,romfile=,mac=52:54:00:00:00:$3")
	mkfifo "$work/$h.in" "$work/$h.out"
	# shellcheck disable=SC2094 # the console's log is no input of this
	{
		tee "$logdir/$h.console" <"$work/$h.out" | sed -u "s/\r//g; s/^/$h|/"
		printf '\n%s!\n' "$h"
	} >"$work/events" 2>/dev/null {events}>&- &
	exec {in}<>"$work/$h.in"
	input[$h]=$in
	setpriv --pdeathsig KILL qemu-system-ppc64 -M powernv9 -accel tcg,thread=multi \
		-smp "$cpus,cores=$cpus,threads=1" -m "$memory" -display none -monitor none \
		-no-reboot -chardev stdio,id=c,mux=off,signal=off -serial chardev:c \
		-kernel "${kernel:-$dir/vmlinux}" -initrd "$work/initrd" "${nic[@]}" \
		-append "console=hvc0 quiet loglevel=4 panic=-1 oops=panic net.ifnames=0 $(:
			)systemd.show_status=0 systemd.hostname=$h $append" \
		<"$work/$h.in" >"$work/$h.out" 2>"$work/$h.stderr" {events}>&- {in}>&- &
	qemu[$h]=$!
}

tell() { # tell HOST LINE
	printf '%s\n' "$2" >&"${input[$1]}"
}

refuse() { # refuse HOST: the meeting that it waits for will not be
	tell "$1" "gone-$token ${meeting[$1]}"
	unset "meeting[$1]"
}

other() {
	[ "$1" = hosta ] && echo hostb || echo hosta
}

ended() { # ended HOST STATUS
	local peer
	peer=$(other "$1")
	status[$1]=$2
	stop "$1"
	[ -n "${qemu[$peer]-}" ] || return 0
	if [ "$2" != 0 ] && [ $((deadline - SECONDS)) -gt 10 ]; then
		deadline=$((SECONDS + 10)) # for the other to say what it thinks of that
	fi
	[ -z "${meeting[$peer]-}" ] || refuse "$peer"
}

meet() { # meet HOST NAME VALUE
	local h=$1 peer
	peer=$(other "$h")
	meeting[$h]=$2 value[$h]=$3
	if [ -n "${status[$peer]-}" ] || [ ${#hosts[@]} = 1 ]; then
		refuse "$h"
	elif [ "${meeting[$peer]-}" = "$2" ]; then
		tell "$h" "meet-$token $2 ${value[$peer]}"
		tell "$peer" "meet-$token $2 ${value[$h]}"
		meeting=() value=()
	elif [ -n "${meeting[$peer]-}" ]; then # each would wait for the other for ever
		[[ $2 == =* ]] || refuse "$h"
		[[ ${meeting[$peer]} == =* ]] || refuse "$peer"
	fi
}

show() { # show HOST TEXT
	if [ ${#hosts[@]} = 2 ]; then
		printf '%s: %s\n' "$1" "$2"
	else
		printf '%s\n' "$2"
	fi
}

deadline=$((SECONDS + limit))
start hosta hostb 01
[ ${#hosts[@]} = 1 ] || start hostb hosta 02
while [ ${#status[@]} -lt ${#hosts[@]} ]; do
	left=$((deadline - SECONDS))
	if [ $left -le 0 ] || ! IFS= read -r -t $left -u "$events" line; then
		for h in "${hosts[@]}"; do
			[ -n "${status[$h]-}" ] || echo "boot.sh: time is up for $h" >&2
			[ -n "${begun[$h]-}" ] || tail -n 20 "$logdir/$h.console" >&2
			: "${status[$h]:=124}"
		done
		break
	fi
	case $line in
	host?\|*) h=${line%%|*} text=${line#*|} ;;
	host?!)
		h=${line%!}
		[ -z "${status[$h]-}" ] || continue
		echo "boot.sh: $h went down before its command had ended" >&2
		[ -n "${begun[$h]-}" ] || tail -n 20 "$logdir/$h.console" >&2
		head -n 5 "$work/$h.stderr" >&2
		ended "$h" 125
		continue
		;;
	*) continue ;;
	esac
	case $text in
	*"### $token "*)
		before=${text%%"### $token "*}
		[ -z "$before" ] || show "$h" "$before"
		read -r verb name rest <<<"${text#*"### $token "}"
		case $verb in
		begin) begun[$h]=1 ;;
		exit) ended "$h" "$name" ;;
		meet) meet "$h" "$name" "$rest" ;;
		esac
		;;
	*)
		[ -z "${begun[$h]-}" ] || show "$h" "$text"
		;;
	esac
done
for h in "${hosts[@]}"; do
	[ "${status[$h]}" = 0 ] || exit "${status[$h]}"
done
