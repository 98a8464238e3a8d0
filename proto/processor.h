/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Which processor a guest needs, as far as two ends can compare it before anything moves: the PVR
 * of its host's, the older processor that it runs as (KVM's ARCH_COMPAT, a logical PVR of PAPR:
 * 0x0f000004 is POWER8's), and the ids of its vCPUs. Pure; any thread.
 */
#include <stdbool.h>
#include <stdint.h>

struct processor {
	uint32_t pvr;
	/* A guest's mode, 0: none. Where one is waited for, the newest that KVM takes, 0: none. */
	uint32_t compat;
	uint64_t vcpu_ids; /* processor_vcpu_ids() */
};

/* ids: n of them. 0 when they are 0, 1, 2, ...; else a digest of them that is not 0. */
uint64_t processor_vcpu_ids(const unsigned *ids, unsigned n);

/* A logical PVR: 0, or PAPR's. */
bool processor_compat_ok(uint32_t compat);

/*
 * Does a host with `here` run that guest? KVM runs a guest on the same processor, or as any that is
 * not newer than the newest it takes (kvmppc_set_arch_compat(), arch/powerpc/kvm/book3s_hv.c).
 */
bool processor_runs(const struct processor *here, const struct processor *guest);

/* A mode in an event's text: 8 hex digits. 0 and *ret, or -EBADMSG. */
#define PROCESSOR_TEXT 9
void processor_format(uint32_t compat, char text[static PROCESSOR_TEXT]);
int processor_parse(const char *text, uint32_t *ret);
