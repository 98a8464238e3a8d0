/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The registers of a BookE vCPU that KVM_GET_SREGS gives (struct kvm_sregs, u.e and its impl.fsl),
 * as elements of a state image: one id for each register, and the feature bit of
 * kvm_sregs.u.e.features that says whether a processor has it. And the TLB's set-up (STATE_TLB).
 *
 * What stands here is the image's form; where in the struct a register is knows
 * vmm/kvm/booke.c. Ids are never renumbered. Pure; any thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/ident.h"
#include "proto/state.h"
#include "proto/tlb.h"

/* KVM_SREGS_E_*, checked against <linux/kvm.h> in vmm/kvm/booke.c. */
#define BOOKE_E_BASE    (1u << 0)
#define BOOKE_E_ARCH206 (1u << 1)
#define BOOKE_E_64      (1u << 2)
#define BOOKE_E_SPRG8   (1u << 3)
#define BOOKE_E_MCIVPR  (1u << 4)
#define BOOKE_E_IVOR    (1u << 5)
#define BOOKE_E_MMU     (1u << 6) /* KVM_SREGS_E_ARCH206_MMU */
#define BOOKE_E_DEBUG   (1u << 7)
#define BOOKE_E_ED      (1u << 8)
#define BOOKE_E_SPE     (1u << 9)
#define BOOKE_E_PD      (1u << 11)
#define BOOKE_E_PC      (1u << 12)
#define BOOKE_E_PT      (1u << 13)
#define BOOKE_E_PM      (1u << 14)

#define BOOKE_IMPL_NONE 0u
#define BOOKE_IMPL_FSL  1u
#define BOOKE_FSL_PIDN  (1u << 0)

enum booke_sreg {
	BOOKE_FEATURES = 0, /* u.e.features: which of the others there are */
	BOOKE_IMPL_ID = 1,
	BOOKE_CSRR0 = 16,
	BOOKE_CSRR1,
	BOOKE_ESR,
	BOOKE_DEAR,
	BOOKE_MCSR,
	BOOKE_TSR,
	BOOKE_TCR,
	BOOKE_DEC,
	BOOKE_VRSAVE,
	BOOKE_PIR = 32,
	BOOKE_MCSRR0,
	BOOKE_MCSRR1,
	BOOKE_DECAR,
	BOOKE_IVPR,
	BOOKE_EPCR = 40,
	BOOKE_SPRG8,
	BOOKE_MCIVPR,
	BOOKE_MAS0 = 48,
	BOOKE_MAS1,
	BOOKE_MAS2,
	BOOKE_MAS7_3,
	BOOKE_MAS4,
	BOOKE_MAS6,
	BOOKE_MMUCFG,
	BOOKE_TLBCFG = 56, /* to 59 */
	BOOKE_TLBPS = 60,  /* to 63 */
	BOOKE_DBSR = 64,
	BOOKE_DBCR,     /* 0 to 2 */
	BOOKE_IAC = 68, /* 1 to 4 */
	BOOKE_DAC = 72, /* 1, 2 */
	BOOKE_DVC = 74, /* 1, 2 */
	BOOKE_DSRR0 = 80,
	BOOKE_DSRR1,
	BOOKE_SPRG9,
	BOOKE_EPLC = 84,
	BOOKE_EPSC,
	BOOKE_EPTCFG,
	BOOKE_IVOR = 0x100, /* + n: 0 to 15, 32 to 37 */
	BOOKE_FSL_FEATURES = 0x200,
	BOOKE_SVR,
	BOOKE_MCAR,
	BOOKE_HID0,
	BOOKE_PID1,
	BOOKE_PID2,
};

enum booke_policy {
	BOOKE_SET,     /* KVM_SET_SREGS sets it */
	BOOKE_SPECIAL, /* only with its bit of update_special */
	/* KVM does not set it: a destination where it is different refuses the guest. */
	BOOKE_SAME,
	/* As SAME, but feature bits that the destination has more do no harm. */
	BOOKE_SUPERSET,
};

/* Registers of consecutive ids, sizes and features. */
struct booke_range {
	uint16_t id, count;
	uint8_t size;      /* 4 or 8 bytes, each */
	uint32_t features; /* all of these bits, BOOKE_E_*; 0: always there */
	bool fsl, pidn;    /* with BOOKE_IMPL_FSL; with BOOKE_FSL_PIDN as well */
	enum booke_policy policy;
	const char *name; /* "MAS0"; with count > 1 a number from `first` follows */
	unsigned first;
};

/* All ranges, and their number. */
const struct booke_range *booke_ranges(size_t *ret_n);
/* The range of an id, or NULL. */
const struct booke_range *booke_find(uint64_t id);
/* Has a processor with these words of kvm_sregs the range's registers? */
bool booke_has(const struct booke_range *range, uint32_t features, uint32_t impl_id,
	uint32_t fsl_features);
/* "MAS0", "IVOR13"; false, and nothing in buf, for an id that is none. */
bool booke_name(uint64_t id, char *buf, size_t size);

/*
 * The one element STATE_TLB of a vCPU (id 0): u32 mmu type (enum tlb_mmu), u32 sizes[4], u32
 * ways[4]. The entries themselves go as records. Unpack gives 0 and *ret, or -EBADMSG (size, type,
 * a geometry that KVM would not take).
 */
#define BOOKE_TLB_CONFIG_SIZE 36u
struct booke_tlb_config {
	enum tlb_mmu mmu;
	struct tlb_geometry geometry;
};

void booke_put_tlb_config(struct pack *k, uint16_t vcpu, const struct booke_tlb_config *c);
int booke_get_tlb_config(const struct state_elem *elem, struct booke_tlb_config *ret);

/* The table that a VM or an OPEN states: an order for an HPT, order 0 and a geometry for BookE. */
bool mmu_table_ok(enum mmu_kind mmu, uint32_t order, const struct tlb_geometry *tlb);

/* A geometry as eight u32, sizes and ways, in a message or an element. */
void tlb_geometry_pack(struct pack *k, const struct tlb_geometry *g);
void tlb_geometry_unpack(struct unpack *u, struct tlb_geometry *ret);
