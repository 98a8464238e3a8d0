/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The inside of htabvmm-tlb.h: the array that KVM shares, which entries were changed in it, and how
 * it is read while a vCPU writes it.
 *
 *	tlb/tlb.c      the API
 *	tlb/tlbsock.c  the descriptors over which the daemon reads and writes all vCPUs' TLBs
 */
#include <stdbool.h>

#include "proto/tlb.h"
#include "vmm/htabvmm-tlb.h"

struct htabvmm_tlb {
	int vcpu_fd;
	bool configured;
	bool held; /* by a struct htabvmm */
	enum tlb_mmu mmu;
	struct tlb_geometry geometry;
	uint32_t entries;
	struct tlb_entry *array;
	uint8_t *dirty; /* a bit for each entry, in KVM's order: bit 0 of byte 0 first */
	size_t dirty_size;
	uint32_t n_dirty;
};

/* An entry, copied word by word: a vCPU may be writing it. */
void tlb_load(const struct htabvmm_tlb *t, uint32_t index, struct tlb_entry *ret);
void tlb_store(struct htabvmm_tlb *t, uint32_t index, const struct tlb_entry *e);

/* Instead of ioctl(), for tests: 0 or -errno. */
extern int (*tlb_ioctl)(int fd, unsigned long request, void *arg);
