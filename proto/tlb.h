/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The software TLB of a BookE guest: its geometry, its entries, and what they mean.
 *
 * The ABI is KVM_CAP_SW_TLB's (Linux, Documentation/virt/kvm/api.rst 4.66 KVM_DIRTY_TLB and
 * arch/powerpc/include/uapi/asm/kvm.h): one array for each vCPU that holds all of TLB0, set by set,
 * then all of TLB1. Its structs are stated here, since other machines' headers lack them, and
 * checked against <linux/kvm.h> by vmm/kvm/booke.c. Fields are Freescale's MAS registers (Power
 * ISA 2.06 III-E, 6.10.3.10).
 *
 * Pure functions over the caller's memory; any thread; nothing is allocated.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLB_ARRAYS         4u  /* that KVM's structs have room for */
#define TLB_ENTRY_SIZE     24u /* bytes of an entry, in memory and in a record */
#define TLB0_WAYS_MIN      2u
#define TLB0_WAYS_MAX      16u
#define TLB0_ENTRIES_MAX   65536u /* ours: KVM's own limit is its array's length */
#define TLB1_ENTRIES_MAX   64u
#define TLB_PAGE_SHIFT     12u /* all of TLB0's pages have 4 KiB */
#define TLB_TEXT_MAX       128

#define MAS0_TLBSEL(n)     ((uint32_t)(n) << 28 & 0x30000000u)
#define MAS0_ESEL(n)       ((uint32_t)(n) << 16 & 0x0fff0000u)
#define MAS0_GET_TLBSEL(m) ((m) >> 28 & 3)
#define MAS0_GET_ESEL(m)   ((m) >> 16 & 0xfff)
#define MAS1_VALID         0x80000000u
#define MAS1_IPROT         0x40000000u
#define MAS1_TID(n)        ((uint32_t)(n) << 16 & 0x3fff0000u)
#define MAS1_GET_TID(m)    ((m) >> 16 & 0x3fff)
#define MAS1_TS            0x00001000u
#define MAS1_TSIZE(n)      ((uint32_t)(n) << 7 & 0xf80u)
#define MAS1_GET_TSIZE(m)  ((m) >> 7 & 31) /* log2 of the page's size in KiB */
#define MAS2_EPN           0xfffffffffffff000ull
#define MAS2_WIMGE         0x1full /* W is the first */
#define MAS3_RPN           0xfffffffffffff000ull
#define MAS3_PERMS         0x3full /* UX SX UW SW UR SR */
#define MAS5_SGS           0x80000000u
#define MAS5_SLPID         0xfffu
#define MAS6_SPID(n)       ((uint32_t)(n) << 16 & 0x3fff0000u)
#define MAS6_GET_SPID(m)   ((m) >> 16 & 0x3fff)
#define MAS6_SAS           0x1u
#define MAS8_TGS           0x80000000u
#define MAS8_TLPID         0xfffu

/* KVM's mmu types (uapi asm/kvm.h). */
enum tlb_mmu {
	TLB_MMU_FSL_NOHV = 0, /* KVM_MMU_FSL_BOOKE_NOHV: e500v1, e500v2 */
	TLB_MMU_FSL_HV = 1,   /* KVM_MMU_FSL_BOOKE_HV: e500mc and later */
};

struct tlb_entry { /* struct kvm_book3e_206_tlb_entry, host byte order */
	uint32_t mas8;
	uint32_t mas1;
	uint64_t mas2;
	uint64_t mas7_3;
};

struct tlb_geometry {               /* the first part of struct kvm_book3e_206_tlb_params */
	uint32_t sizes[TLB_ARRAYS]; /* entries */
	uint32_t ways[TLB_ARRAYS];
};

/*
 * Does KVM take it? 0, or -EINVAL and in why (a sentence's part for people) what is wrong: TLB0's
 * ways a power of two from 2 to 16, its sets a power of two; TLB1 fully associative, 1 to 64
 * entries (KVM takes 0 and goes wrong later); TLB2 and TLB3 empty.
 */
int tlb_geometry_check(const struct tlb_geometry *g, char why[static TLB_TEXT_MAX]);
bool tlb_geometry_eq(const struct tlb_geometry *a, const struct tlb_geometry *b);

/* Entries of one vCPU's array. */
static inline uint32_t tlb_entries(const struct tlb_geometry *g)
{
	return g->sizes[0] + g->sizes[1];
}

static inline bool tlb_valid(const struct tlb_entry *e)
{
	return e->mas1 & MAS1_VALID;
}

/* The set of TLB0 that holds the page of that effective address. */
static inline uint32_t tlb_set_of(const struct tlb_geometry *g, uint64_t epn)
{
	return (uint32_t)(epn >> TLB_PAGE_SHIFT) & (g->sizes[0] / g->ways[0] - 1);
}

/*
 * The index of an entry in the array by MAS0[TLBSEL], MAS0[ESEL] (in TLB0 the way) and, for TLB0,
 * the EPN that selects the set. Returns 0 and *ret; -EINVAL for a TLB or an ESEL that is not there.
 */
int tlb_index(
	const struct tlb_geometry *g, unsigned tlbsel, unsigned esel, uint64_t epn, uint32_t *ret);
/* The other way: TLBSEL and ESEL of an index below tlb_entries(). */
void tlb_place(
	const struct tlb_geometry *g, uint32_t index, unsigned *ret_tlbsel, unsigned *ret_esel);

/*
 * Bytes of the page that entry maps: TLB0's all have 4 KiB whatever TSIZE says (KVM forces it at
 * tlbwe); others 1 KiB shifted by TSIZE, 2 TiB at most.
 */
uint64_t tlb_page_size(const struct tlb_entry *e, unsigned tlbsel);

/*
 * Does the entry translate effective address ea for MAS5's guest state and LPID and MAS6's PID and
 * address space, as tlbsx asks? TID 0 fits every PID, TLPID 0 every LPID.
 */
bool tlb_matches(
	const struct tlb_entry *e, unsigned tlbsel, uint32_t mas5, uint32_t mas6, uint64_t ea);

/* An entry as people read it. */
struct tlb_fields {
	uint64_t epn, rpn; /* addresses of the page: effective, and real for the guest */
	uint64_t size;     /* bytes */
	uint32_t tid;      /* 0: every PID */
	unsigned ts;       /* address space, 0 or 1 */
	bool iprot;
	char user[4], supervisor[4]; /* "rwx", '-' for what is not permitted */
	char wimge[6];               /* "WIMGE", '-' for what is not set */
};

/* What a valid entry says; tlbsel: where it is. */
void tlb_decode(const struct tlb_entry *e, unsigned tlbsel, struct tlb_fields *ret);

/* As records and the state image have it: mas8, mas1, mas2, mas7_3, all big-endian. */
void tlb_entry_put(uint8_t dst[static TLB_ENTRY_SIZE], const struct tlb_entry *e);
void tlb_entry_get(const uint8_t src[static TLB_ENTRY_SIZE], struct tlb_entry *ret);
