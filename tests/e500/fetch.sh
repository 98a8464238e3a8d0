#!/bin/bash
# Build the kernel of an emulated e500v2 host with KVM, from Debian's kernel source package.
#
# usage: fetch.sh [-n]
#	-n  only look: fail with status 3 when the kernel is not there yet
#
# Prints the directory, which is $HTAB_CACHE/e500-SOURCE (HTAB_CACHE is by default
# ${XDG_CACHE_HOME:-$HOME/.cache}/htab-migrated). In it: vmlinux. It appears at once or not at all;
# a changed recipe, configuration or patch replaces it. Building takes some minutes (E500_JOBS
# processes, by default as many as there are processors) and 2 GB, which are given back.
#
# Debian 12 has no powerpc kernel, so there is nothing ready to fetch. The source comes as
# linux-source-6.1 through this machine's own apt; it is unpacked, not installed.
# Needs gcc-powerpc-linux-gnu flex bison bc libelf-dev libssl-dev xz-utils make patch.
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
dir=$cache/e500-${source#linux-source-}
recipe=$(cat "$here"/{fetch.sh,kernel.config,exit_nr.patch} | sha256sum | cut -d' ' -f1)

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
	echo "fetch.sh: $*" >&2
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

say "taking $source (about 130 MB) and building an e500v2 kernel with KVM"
# apt drops its privileges to a user who may write nowhere here
cd "$new/deb"
quietly "apt-get download $source" apt-get -o APT::Sandbox::User= download "$source"
quietly "unpacking the package" dpkg-deb -x "$new"/deb/*.deb "$new/deb"
# Headers of graphics cards are a third of it, and nothing here includes them.
quietly "unpacking the kernel" tar -C "$new/linux" --strip-components=1 \
	--exclude='*/drivers/gpu/drm/amd/include' --exclude='*/Documentation/*/*' \
	-xf "$new/deb/usr/src/$source.tar.xz"
rm -rf "$new/deb"

cd "$new/linux"
quietly "exit_nr.patch" patch -p1 --forward --input="$here/exit_nr.patch"
export ARCH=powerpc CROSS_COMPILE=powerpc-linux-gnu- KBUILD_OUTPUT=$new/obj
export KCONFIG_ALLCONFIG=$here/kernel.config KBUILD_BUILD_USER=htab KBUILD_BUILD_HOST=migrated
quietly "make allnoconfig" make allnoconfig
for option in $(sed -n 's/^\(CONFIG_[A-Z0-9_]*=y\)$/\1/p' "$here/kernel.config"); do
	if ! grep -qx "$option" "$new/obj/.config"; then
		say "$source does not take $option"
		exit 1
	fi
done
quietly "make vmlinux" make -j"${E500_JOBS:-$(nproc)}" vmlinux
cd "$new"
powerpc-linux-gnu-strip -o vmlinux obj/vmlinux
rm -rf linux obj log
echo "$recipe" >.complete
rm -rf "$dir"
mv -T "$new" "$dir"
echo "$dir"
