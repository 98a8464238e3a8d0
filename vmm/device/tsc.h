/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The offset of an x86 guest's TSC at the destination (Linux's
 * Documentation/virt/kvm/devices/vcpu.rst, KVM_VCPU_TSC_OFFSET). Pure.
 *
 * offset + TSC - kvmclock * frequency is the guest's TSC at the moment when its kvmclock was 0: the
 * same at both ends. So the guest's TSC goes on by as much as its kvmclock did.
 */
#include <stdint.h>

#include "proto/muldiv.h"

struct tsc_moment {
	uint64_t host_tsc; /* the host's TSC */
	uint64_t clock;    /* and the guest's kvmclock, ns, */
	uint64_t realtime; /* and the time of day, ns since 1970, at one moment */
};

#define TSC_KHZ_NS 1000000 /* ns * kHz / this: cycles */

static inline uint64_t tsc_offset(
	uint64_t offset, const struct tsc_moment *from, const struct tsc_moment *to, uint32_t khz)
{
	int64_t passed = (int64_t)(to->clock - from->clock);
	uint64_t magnitude = passed < 0 ? 0 - (uint64_t)passed : (uint64_t)passed;
	uint64_t cycles = mul_div(magnitude, khz, TSC_KHZ_NS);

	return offset + (passed < 0 ? 0 - cycles : cycles) + (from->host_tsc - to->host_tsc);
}
