#!/bin/bash
# Build the kernel of kernel.config, for an emulated POWER9 host, from Debian's source package.
#
# usage: kernel.sh [-n]
#	-n  only look: fail with status 3 when the kernel is not there yet
#
# Prints the directory, which is $HTAB_CACHE/powernv-pr-6.1 (HTAB_CACHE is by default
# ${XDG_CACHE_HOME:-$HOME/.cache}/htab-migrated). In it: vmlinux. It appears at once or not at all;
# a changed recipe or configuration replaces it. Building takes some minutes and 2 GB, which are
# given back. The source comes through this machine's own apt; it is unpacked, not installed.
# Needs gcc-powerpc64le-linux-gnu flex bison bc libelf-dev libssl-dev xz-utils make.
set -euo pipefail

look=
while getopts n o; do
	case $o in
	n) look=1 ;;
	*) exit 2 ;;
	esac
done
source=linux-source-6.1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${HTAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/htab-migrated}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
dir=$cache/powernv-pr-${source#linux-source-}
recipe=$(cat "$here"/{kernel.sh,kernel.config} | sha256sum | cut -d' ' -f1)

complete() {
	[ "$(cat "$dir/.complete" 2>/dev/null)" = "$recipe" ]
}

if complete; then
	echo "$dir"
	exit 0
fi
[ -z "$look" ] || exit 3
exec 9>"$cache/.${dir##*/}.lock"
flock 9
if complete; then # somebody else built it meanwhile
	echo "$dir"
	exit 0
fi

say() {
	echo "kernel.sh: $*" >&2
}

rm -rf "$dir".new.*
new=$(mktemp -d "$dir.new.XXXXXX")
trap 'rm -rf "$new"' EXIT
mkdir "$new/deb" "$new/linux" "$new/obj"

quietly() { # quietly WHAT COMMAND...: its output only when it fails
	local what=$1
	shift
	if ! "$@" >"$new/log" 2>&1 </dev/null; then
		tail -n 30 "$new/log" >&2
		say "$what failed"
		exit 1
	fi
}

say "taking $source (about 130 MB) and building a POWER9 kernel with KVM-PR"
cd "$new/deb"
# apt drops its privileges to a user who may write nowhere here
quietly "apt-get download $source" apt-get -o APT::Sandbox::User= download "$source"
quietly "unpacking the package" dpkg-deb -x "$new"/deb/*.deb "$new/deb"
# Headers of graphics cards are a third of it, and nothing here includes them.
quietly "unpacking the kernel" tar -C "$new/linux" --strip-components=1 \
	--exclude='*/drivers/gpu/drm/amd/include' --exclude='*/Documentation/*/*' \
	-xf "$new/deb/usr/src/$source.tar.xz"
rm -rf "$new/deb"

cd "$new/linux"
export ARCH=powerpc CROSS_COMPILE=powerpc64le-linux-gnu- KBUILD_OUTPUT=$new/obj
export KCONFIG_ALLCONFIG=$here/kernel.config KBUILD_BUILD_USER=htab KBUILD_BUILD_HOST=migrated
quietly "make allnoconfig" make allnoconfig
for option in $(sed -n 's/^\(CONFIG_[A-Z0-9_]*=y\)$/\1/p' "$here/kernel.config"); do
	if ! grep -qx "$option" "$new/obj/.config"; then
		say "$source does not take $option"
		exit 1
	fi
done
quietly "make vmlinux" make -j"$(nproc)" vmlinux
cd "$new"
powerpc64le-linux-gnu-strip -o vmlinux obj/vmlinux
rm -rf linux obj log
echo "$recipe" >.complete
rm -rf "$dir"
mv -T "$new" "$dir"
echo "$dir"
