#!/bin/bash
# Build the e500v2 host's program, static, for 32-bit powerpc.
#
# usage: build.sh OUTPUT
# Needs gcc-powerpc-linux-gnu libc6-dev-powerpc-cross. Debian 12 has no powerpc packages, so what
# needs OpenSSL, libevent, json-c or zstd is left out: TLS, the event loop, QMP, the codecs.
set -euo pipefail
output=$(realpath "$1")
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
sources=(tests/e500/*.c tests/e500/guest.S tests/mpic-move.c common/{clock,err,fd,foreign}.c
	daemon/flow/{bucket,chunk,flow,htabio,link,reader,receiver,recvring}.c
	daemon/flow/{sender,sendring,verify,writer}.c
	proto/*.c
	vmm/{lib,device,tlb}/*.c vmm/kvm/{booke,kvm-none}.c)
# zstd's
left_out=" proto/hptecodec.c proto/planes.c "
take=()
for f in "${sources[@]}"; do
	[[ $left_out == *" $f "* ]] || take+=("$f")
done
exec powerpc-linux-gnu-gcc -std=gnu17 -O2 -g -static -pthread -Wall -Wextra -Wno-unused-parameter \
	-Wno-format-truncation -Wvla -Wshadow -Werror -D_GNU_SOURCE \
	-D_FILE_OFFSET_BITS=64 -D_TIME_BITS=64 -I. -Wa,-me500 \
	-o "$output" "${take[@]}" -latomic
