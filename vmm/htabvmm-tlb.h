/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef HTABVMM_TLB_H
#define HTABVMM_TLB_H
/*
 * The software TLB of a BookE guest, as an object: part of libhtabvmm.
 *
 * KVM keeps a BookE vCPU's TLB in an array that it shares with the VMM (KVM_CAP_SW_TLB; Linux,
 * Documentation/virt/kvm/api.rst, KVM_DIRTY_TLB). This library owns such an array for each vCPU and
 * gives operations on it in place of bytes: set the MMU's type and geometry, invalidate everything,
 * set, get, walk, search. Without KVM (vcpu_fd -1) it is an array and nothing else, for a VMM that
 * runs its guest in software. htabvmm_config.tlbs gives the TLBs to a migration.
 *
 * An entry is named by MAS0[TLBSEL] (0 or 1) and MAS0[ESEL]; in TLB0 ESEL is the way, and the
 * effective page number selects the set. Entries are MAS registers in host byte order (Power ISA
 * 2.06, III-E).
 *
 * Threads: one at a time, and the vCPU must not run while something is changed. While it runs, what
 * is read may be a moment old, and an entry that the guest writes just then half of each.
 * Errors: 0 or a negative errno; results are untouched on failure. Nothing here blocks.
 */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct htabvmm_tlb;

enum htabvmm_tlb_mmu {
	HTABVMM_TLB_FSL_NOHV = 0, /* KVM_MMU_FSL_BOOKE_NOHV: e500v1, e500v2 */
	HTABVMM_TLB_FSL_HV = 1,   /* KVM_MMU_FSL_BOOKE_HV: e500mc and later */
};

/*
 * Entries and ways of TLB0 to TLB3. TLB0: 2, 4, 8 or 16 ways, a power of two of sets, 65,536
 * entries at most; TLB1: ways equal to the size, 1 to 64; TLB2 and TLB3: 0.
 */
struct htabvmm_tlb_geometry {
	uint32_t sizes[4];
	uint32_t ways[4];
};

struct htabvmm_tlb_entry { /* as struct kvm_book3e_206_tlb_entry */
	uint32_t mas8;
	uint32_t mas1;
	uint64_t mas2;
	uint64_t mas7_3;
};

/* Where an entry is, from htabvmm_tlb_first(), _next() and _search(). */
struct htabvmm_tlb_place {
	unsigned tlbsel, esel;
	uint32_t index; /* in the array */
};

/*
 * A TLB that is not configured yet. vcpu_fd: the KVM vCPU, which stays the VMM's and must outlive
 * it, or -1. Free it with htabvmm_tlb_free(), after the vCPU is closed or never runs again: KVM
 * keeps the array's pages, but what the guest then writes is nobody's.
 */
int htabvmm_tlb_new(int vcpu_fd, struct htabvmm_tlb **ret);
struct htabvmm_tlb *htabvmm_tlb_free(struct htabvmm_tlb *t); /* takes NULL, returns NULL */

/*
 * Set the MMU's type and geometry: a new array, all invalid (KVM_ENABLE_CAP of KVM_CAP_SW_TLB).
 * -EINVAL for a geometry out of the rules above, or that KVM refuses; -EBUSY while a struct htabvmm
 * has it; -ENOTSUP for a KVM without the capability.
 */
int htabvmm_tlb_configure(struct htabvmm_tlb *t, enum htabvmm_tlb_mmu mmu,
	const struct htabvmm_tlb_geometry *geometry);
/* -ENXIO when it is not configured; so do all below. */
int htabvmm_tlb_geometry(const struct htabvmm_tlb *t, struct htabvmm_tlb_geometry *ret);

/*
 * Changes. KVM knows of them after htabvmm_tlb_flush() (KVM_DIRTY_TLB), which is due before the
 * vCPU runs; the library does it by itself before it lets a guest run that arrived.
 */
int htabvmm_tlb_invalidate_all(struct htabvmm_tlb *t);
/* entry->mas2 selects TLB0's set. -EINVAL when there is no such TLB or ESEL. */
int htabvmm_tlb_set(struct htabvmm_tlb *t, unsigned tlbsel, unsigned esel,
	const struct htabvmm_tlb_entry *entry);
int htabvmm_tlb_flush(struct htabvmm_tlb *t);

/* Valid or not. epn: an effective address, of which TLB0's set follows; TLB1 ignores it. */
int htabvmm_tlb_get(const struct htabvmm_tlb *t, unsigned tlbsel, unsigned esel, uint64_t epn,
	struct htabvmm_tlb_entry *ret);
/* The first valid entry; the next one after *place. -ENOENT when there is none (any more). */
int htabvmm_tlb_first(const struct htabvmm_tlb *t, struct htabvmm_tlb_place *ret_place,
	struct htabvmm_tlb_entry *ret);
int htabvmm_tlb_next(const struct htabvmm_tlb *t, struct htabvmm_tlb_place *place,
	struct htabvmm_tlb_entry *ret);
/*
 * The entry that translates effective address ea, as tlbsx finds it: MAS5 has the guest state and
 * the LPID, MAS6 the PID and the address space. TLB0 before TLB1. -ENOENT.
 */
int htabvmm_tlb_search(const struct htabvmm_tlb *t, uint32_t mas5, uint32_t mas6, uint64_t ea,
	struct htabvmm_tlb_place *ret_place, struct htabvmm_tlb_entry *ret);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
