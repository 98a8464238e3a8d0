/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The TLBs of all vCPUs as one table for the daemon, over sockets that speak htabsock
 * (docs/protocol.md): index = vCPU * entries of one array + index in the array, records of TLB
 * entries. KVM has no descriptor for them, so the library answers itself, from the thread that
 * calls htabvmm_dispatch(), without blocking.
 *
 * A reader has a copy of what it was told: its first pass names every entry, later ones those that
 * are different now. Readers do not disturb each other.
 */
#include <stdint.h>

#include "vmm/tlb/tlb.h"

#define TLBSOCKS_MAX 4u

struct tlbsock; /* one descriptor handed out */

struct tlbsocks {
	int epfd; /* in which they wait */
	struct htabvmm_tlb **tlbs;
	unsigned vcpus;
	uint32_t per_vcpu; /* entries of one array: all are alike */
	struct tlbsock *sock[TLBSOCKS_MAX];
	uint8_t *packet;
};

/* tlbs: vcpus of them, configured alike; they stay the caller's and are held until the end. */
int tlbsocks_init(struct tlbsocks *s, struct htabvmm_tlb *const *tlbs, unsigned vcpus, int epfd);
void tlbsocks_fini(struct tlbsocks *s);
/* HTAB_FD_* flags (BOLTED_ONLY is refused: -EOPNOTSUPP); *ret_fd is the caller's. */
int tlbsocks_open(struct tlbsocks *s, uint32_t flags, uint64_t start_index, int *ret_fd);
/*
 * All entries into a file, from its position on: the records of a first pass. -EFBIG when they may
 * take more than VMM_TLB_IMAGE_MAX bytes.
 */
int tlbsocks_save(struct tlbsocks *s, int fd);
/* Every entry of every vCPU becomes invalid. */
int tlbsocks_reset(struct tlbsocks *s);
/* Tell KVM of what was written, before a vCPU runs. */
int tlbsocks_flush(struct tlbsocks *s);
/* Answer what was asked. */
void tlbsocks_dispatch(struct tlbsocks *s);
