#!/bin/bash
# Boot an emulated e500v2 host with one static ppc32 program as its /init; its console is ours.
#
# usage: boot.sh INIT [QEMU-ARGUMENT...]
# The kernel is fetch.sh's. INIT powers the host off by reboot(2). LIMIT: seconds (300).
set -euo pipefail
init=$1
shift
kernel=$("$(dirname "${BASH_SOURCE[0]}")/fetch.sh")/vmlinux
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/root"/{dev,proc,sys}
cp "$init" "$work/root/init"
(cd "$work/root" && find . | cpio -o -H newc --quiet -R 0:0 | gzip -1) >"$work/initrd"
timeout -k 5 "${LIMIT:-300}" qemu-system-ppc -M ppce500 -cpu e500v2_v30 -m 256 -nographic -no-reboot \
	-nodefaults -serial stdio -kernel "$kernel" -initrd "$work/initrd" \
	-append "console=ttyS0 panic=-1 quiet" "$@" </dev/null
