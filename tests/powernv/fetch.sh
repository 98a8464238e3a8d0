#!/bin/bash
# Fetch what an emulated POWER9 host with KVM-HV needs, from Debian's packages alone.
#
# usage: fetch.sh [-s SUITE]
#	-s SUITE  the Debian suite whose kernel and programs are taken (default: bookworm)
#
# Prints the directory, which is $HTAB_CACHE/powernv-SUITE (HTAB_CACHE is by default
# ${XDG_CACHE_HOME:-$HOME/.cache}/htab-migrated). What is complete is not fetched again;
# the directory appears at once or not at all, and a changed recipe replaces it. In it:
#	vmlinux       Debian's ppc64el kernel
#	rootfs/       a ppc64el Debian tree: programs, libraries, headers, systemd. It is the cross
#	              compiler's sysroot and what the hosts' programs and libraries come from.
#	busybox.cpio, systemd.cpio.zst
#	              the part of the initrd that is the same for every boot (see boot.sh)
#
# The mirror is the one that this machine's own apt uses for SUITE; HTAB_MIRROR overrides it.
# Nothing of the packages is executed here, and the system's own apt set-up is not touched.
#
# To cross-build against it, with R=DIR/rootfs T=powerpc64le-linux-gnu:
#	PKG_CONFIG_SYSROOT_DIR=$R \
#	PKG_CONFIG_LIBDIR=$R/usr/lib/$T/pkgconfig:$R/usr/share/pkgconfig \
#	configure --host=$T CC="$T-gcc --sysroot=$R"
set -euo pipefail

suite=bookworm
while getopts s: o; do
	case $o in
	s) suite=$OPTARG ;;
	*) exit 2 ;;
	esac
done
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${HTAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/htab-migrated}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
dir=$cache/powernv-$suite
recipe=$(sha256sum "$here/fetch.sh" | cut -d' ' -f1)

complete() {
	[ "$(cat "$dir/.complete" 2>/dev/null)" = "$recipe" ]
}

if complete; then
	echo "$dir"
	exit 0
fi
exec 9>"$cache/.powernv-$suite.lock"
flock 9
if complete; then # somebody else fetched it meanwhile
	echo "$dir"
	exit 0
fi

say() {
	echo "fetch.sh: $*" >&2
}

mirror=${HTAB_MIRROR:-$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' \
	'Created-By: Packages' | awk -v s="$suite" '$2 == s && !n++ { print $1 }')}
if [ -z "$mirror" ]; then
	say "apt knows no mirror for $suite: run apt-get update, or name one in HTAB_MIRROR"
	exit 1
fi

packages=systemd,systemd-sysv,dbus,udev,kmod,bash,coreutils,util-linux,mount,grep,sed,gawk,procps
packages+=,findutils,iproute2,iputils-ping,base-files,base-passwd,libc-bin,jq,socat,openssl
packages+=,busybox-static,libc6-dev,linux-libc-dev,libevent-dev,libssl-dev,libjson-c-dev
packages+=,libsystemd-dev,libzstd-dev,check
modules="kvm kvm-hv e1000e tls sch_netem"

rm -rf "$cache/.powernv-$suite".new.*
new=$(mktemp -d "$cache/.powernv-$suite.new.XXXXXX")
trap 'rm -rf "$new"' EXIT
root=$new/rootfs

say "taking $suite's ppc64el kernel and programs (about 200 MB)"
sudo=()
[ "$(id -u)" = 0 ] || sudo=(sudo)
if ! "${sudo[@]}" mmdebstrap --quiet --mode=root --variant=extract --architectures=ppc64el \
	--include="$packages,linux-image-powerpc64le" "$suite" "$root" \
	"deb $mirror $suite main" >"$new/log" 2>&1; then
	tail -n 20 "$new/log" >&2
	say "mmdebstrap failed"
	exit 1
fi
[ "$(id -u)" = 0 ] || sudo chown -R "$(id -u):$(id -g)" "$root"
chmod 755 "$new" "$root"

# Absolute links would leave the tree when it serves as a sysroot.
find "$root"/lib* "$root"/usr/lib* -type l -lname '/*' | while read -r l; do
	target=$root$(readlink "$l")
	[ ! -e "$target" ] || ln -sfrn "$target" "$l"
done
cp "$root"/boot/vmlinux-* "$new/vmlinux"

# The modules that the hosts load, found by modprobe, are in both initrds.
version=$(basename "$root"/lib/modules/*)
mods=$new/mods/lib/modules/$version
mkdir -p "$mods"
for m in $modules; do
	f=$(find "$root/lib/modules/$version" -name "$m.ko*")
	case $f in
	*.ko.xz) xz -dkc "$f" >"$mods/$m.ko" ;;
	*.ko.zst) zstd -qdkc "$f" >"$mods/$m.ko" ;;
	*.ko) cp "$f" "$mods/$m.ko" ;;
	*)
		say "$suite's kernel $version has no module $m"
		exit 1
		;;
	esac
done
cp "$root/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} "$mods"
PATH=$PATH:/sbin depmod -b "$new/mods" "$version"

pack() { # pack TREE: as an initrd, everything owned by root
	(cd "$1" && find . -mindepth 1 -print0 | sort -z |
		cpio -o -0 -H newc --quiet -R +0:+0 --reproducible)
}

say "making the initrds"
tree=$new/tree
mkdir -p "$tree"/{bin,sbin,dev,proc,sys,tmp,run,etc,root,t,lib,lib64,var,usr/{bin,sbin}}
cp "$root/bin/busybox" "$tree/bin/"
ln -s busybox "$tree/bin/sh"
cp -r "$new/mods/lib/modules" "$tree/lib/"
echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/etc/passwd"
echo 'root:x:0:' >"$tree/etc/group"
ln -s ../proc/self/mounts "$tree/etc/mtab"
pack "$tree" >"$new/busybox.cpio"
rm -rf "$tree"

mkdir -p "$tree"
left_out=(./dev/\* ./boot ./lib/modules ./usr/lib/modules ./usr/include \*.a \*.o ./usr/share/doc
	./usr/share/man ./usr/share/info ./usr/share/locale ./usr/share/zoneinfo ./usr/share/i18n
	./usr/share/perl ./usr/lib/\*/perl\* ./usr/lib/\*/gconv hwdb.d
	./usr/share/bash-completion ./usr/share/lintian ./usr/share/bug ./var/cache ./var/lib/apt
	./var/lib/dpkg)
tar -C "$root" "${left_out[@]/#/--exclude=}" -cf - . | tar -C "$tree" -xf - --no-same-owner
lib=$(cd "$tree/lib" && pwd -P)
mkdir -p "$tree/t" "$tree/root" "$tree"/var/{cache,log,tmp} "$lib/modules"
cp -r "$new/mods/lib/modules/." "$lib/modules/"
cp "$tree/usr/share/base-passwd/passwd.master" "$tree/etc/passwd"
cp "$tree/usr/share/base-passwd/group.master" "$tree/etc/group"
# as udev's postinst does
printf '%s\n' kvm:x:101: input:x:102: render:x:103: sgx:x:104: >>"$tree/etc/group"
: >"$tree/etc/machine-id"
[ -e "$tree/bin/sh" ] || ln -s bash "$tree/bin/sh"
ln -sf lib/systemd/systemd "$tree/init"
ln -sf ../proc/self/mounts "$tree/etc/mtab"
units=$tree/etc/systemd/system
mkdir -p "$units/multi-user.target.wants" "$tree"/etc/{modules-load.d,udev/rules.d}
for u in serial-getty@hvc0 getty@tty1 console-getty systemd-timesyncd; do
	ln -sf /dev/null "$units/$u.service"
done
ln -sf /lib/systemd/system/multi-user.target "$units/default.target"
echo kvm-hv >"$tree/etc/modules-load.d/kvm.conf"
cat >"$units/boot-command.service" <<'U'
[Unit]
Description=The command that this host was booted for
After=multi-user.target

[Service]
Type=exec
ExecStart=/bin/sh /t/.run
StandardOutput=tty
StandardError=inherit
TTYPath=/dev/hvc0
KillMode=process
U
ln -sf ../boot-command.service "$units/multi-user.target.wants/boot-command.service"
pack "$tree" | zstd -q -6 -T0 >"$new/systemd.cpio.zst"
truncate -s %512 "$new/systemd.cpio.zst" # what follows it must be aligned
rm -rf "$tree" "$new/mods" "$new/log"

for f in vmlinux busybox.cpio systemd.cpio.zst rootfs/bin/busybox \
	rootfs/usr/lib/powerpc64le-linux-gnu/pkgconfig/libsystemd.pc; do
	if [ ! -s "$new/$f" ]; then
		say "incomplete: there is no $f"
		exit 1
	fi
done
echo "$recipe" >"$new/.complete"
rm -rf "$dir"
mv -T "$new" "$dir"
echo "$dir"
