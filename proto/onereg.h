/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * KVM's ONE_REG registers of PowerPC: every id that the kernel's
 * arch/powerpc/include/uapi/asm/kvm.h has, with its name, its size, when it is set, and what it
 * means that a destination lacks it or reads another value back. Held against <linux/kvm.h> in
 * vmm/powerkvm/abi_check.c, against docs/state.md in tests/unit/test-onereg, and against the header
 * as a whole in tests/suites/cross.
 *
 * An id is PowerPC's number (ONE_REG_PPC), the size of the value and a number. A register that is
 * not in the table moves all the same; it has no name.
 *
 * Pure functions over constant data; any thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ONE_REG_PPC          0x1000000000000000ull
#define ONE_REG_U32          0x0020000000000000ull
#define ONE_REG_U64          0x0030000000000000ull
#define ONE_REG_U128         0x0040000000000000ull
#define ONE_REG_SIZE_MAX     16u
#define ONE_REG_TM           0x80000000ull /* transactional memory's checkpointed registers */
#define ONE_REG_NAME_MAX     32u

#define ONE_REG_NR(id)       ((uint32_t)(id)) /* without architecture and size */
#define ONE_REG_ID(size, nr) (ONE_REG_PPC | ONE_REG_##size | (nr))

/* In which order KVM needs them; what is set later relies on what was set before. */
enum one_reg_phase {
	ONE_REG_COMPAT, /* first: what the processor is to the guest */
	ONE_REG_FP,     /* with KVM_SET_REGS: FP, VMX and VSX */
	ONE_REG_SPR,    /* after KVM_SET_SREGS */
	ONE_REG_TMS,    /* while MSR[TS] is not 0 */
	/* KVM sets VSCR when it is asked for TM_VSCR (book3s_hv.c): it comes after. */
	ONE_REG_STATUS,
	ONE_REG_VPA,      /* KVM refuses the next ones before it */
	ONE_REG_VPA_REST, /* taken back in reverse */
	ONE_REG_TIME,     /* again when the guest starts: TB_OFFSET, then what is measured by it */
	ONE_REG_DOORBELL, /* last: a doorbell is an interrupt */
	ONE_REG_PHASES,
};

enum one_reg_policy {
	/* Set, and read back as it was, or the guest is refused. */
	ONE_REG_MUST = 0,
	/* The same; a destination that lacks it takes the guest if the value is 0, its reset's. */
	ONE_REG_ZERO,
	/* The same, in the bits of mask; the rest is KVM's own. */
	ONE_REG_MASK,
	/* Set anew when the guest starts: protocol.md, "The guest's time". */
	ONE_REG_ANEW,
	/* Set, and not read back: KVM gives one thing and sets another. */
	ONE_REG_BLIND,
	/* Not the guest's, or moved in another way: not in an image, refused there. */
	ONE_REG_NEVER,
};

struct one_reg {
	uint64_t id; /* of the first */
	unsigned count;
	const char *name; /* of one register, or in front of the number of each */
	enum one_reg_phase phase;
	enum one_reg_policy policy;
	uint64_t mask; /* ONE_REG_MASK: the bits that count */
};

/* LPCR: DPFD, ILE, AIL, LD, TC: what KVM lets a VMM set. */
#define ONE_REG_LPCR_MASK 0x0070000003820200ull
/* PSSCR: what a guest can see. KVM reads the rest with it once the guest ran, and never sets it. */
#define ONE_REG_PSSCR_MASK 0xf0000000000003ffull

/*
 * X(name, number, size, phase, policy), for KVM_REG_PPC_<name>, by number. Those of BookE
 * processors move as KVM_GET_SREGS gives them.
 */
#define ONE_REGS(X)                             \
	X(HIOR, 0x01, U64, SPR, ZERO)           \
	X(IAC1, 0x02, U64, SPR, NEVER)          \
	X(IAC2, 0x03, U64, SPR, NEVER)          \
	X(IAC3, 0x04, U64, SPR, NEVER)          \
	X(IAC4, 0x05, U64, SPR, NEVER)          \
	X(DAC1, 0x06, U64, SPR, NEVER)          \
	X(DAC2, 0x07, U64, SPR, NEVER)          \
	X(DABR, 0x08, U64, SPR, ZERO)           \
	X(DSCR, 0x09, U64, SPR, MUST)           \
	X(PURR, 0x0a, U64, SPR, MUST)           \
	X(SPURR, 0x0b, U64, SPR, MUST)          \
	X(DAR, 0x0c, U64, SPR, MUST)            \
	X(DSISR, 0x0d, U32, SPR, MUST)          \
	X(AMR, 0x0e, U64, SPR, MUST)            \
	X(UAMOR, 0x0f, U64, SPR, MUST)          \
	X(MMCR0, 0x10, U64, SPR, MUST)          \
	X(MMCR1, 0x11, U64, SPR, MUST)          \
	X(MMCRA, 0x12, U64, SPR, MUST)          \
	X(MMCR2, 0x13, U64, SPR, MUST)          \
	X(MMCRS, 0x14, U64, SPR, ZERO)          \
	X(SIAR, 0x15, U64, SPR, MUST)           \
	X(SDAR, 0x16, U64, SPR, MUST)           \
	X(SIER, 0x17, U64, SPR, MUST)           \
	X(PMC1, 0x18, U32, SPR, MUST)           \
	X(PMC2, 0x19, U32, SPR, MUST)           \
	X(PMC3, 0x1a, U32, SPR, MUST)           \
	X(PMC4, 0x1b, U32, SPR, MUST)           \
	X(PMC5, 0x1c, U32, SPR, MUST)           \
	X(PMC6, 0x1d, U32, SPR, MUST)           \
	X(PMC7, 0x1e, U32, SPR, ZERO)           \
	X(PMC8, 0x1f, U32, SPR, ZERO)           \
	X(FPSCR, 0x80, U64, FP, MUST)           \
	X(VSCR, 0x81, U32, STATUS, MUST)        \
	X(VPA_ADDR, 0x82, U64, VPA, ZERO)       \
	X(VPA_SLB, 0x83, U128, VPA_REST, ZERO)  \
	X(VPA_DTL, 0x84, U128, VPA_REST, ZERO)  \
	X(EPCR, 0x85, U32, SPR, NEVER)          \
	X(EPR, 0x86, U32, SPR, NEVER)           \
	X(OR_TSR, 0x87, U32, SPR, NEVER)        \
	X(CLEAR_TSR, 0x88, U32, SPR, NEVER)     \
	X(TCR, 0x89, U32, SPR, NEVER)           \
	X(TSR, 0x8a, U32, SPR, NEVER)           \
	X(DEBUG_INST, 0x8b, U32, SPR, NEVER)    \
	X(MAS0, 0x8c, U32, SPR, NEVER)          \
	X(ICP_STATE, 0x8c, U64, SPR, NEVER)     \
	X(MAS1, 0x8d, U32, SPR, NEVER)          \
	X(VP_STATE, 0x8d, U128, SPR, NEVER)     \
	X(MAS2, 0x8e, U64, SPR, NEVER)          \
	X(MAS7_3, 0x8f, U64, SPR, NEVER)        \
	X(MAS4, 0x90, U32, SPR, NEVER)          \
	X(MAS6, 0x91, U32, SPR, NEVER)          \
	X(MMUCFG, 0x92, U32, SPR, NEVER)        \
	X(TLB0CFG, 0x93, U32, SPR, NEVER)       \
	X(TLB1CFG, 0x94, U32, SPR, NEVER)       \
	X(TLB2CFG, 0x95, U32, SPR, NEVER)       \
	X(TLB3CFG, 0x96, U32, SPR, NEVER)       \
	X(TLB0PS, 0x97, U32, SPR, NEVER)        \
	X(TLB1PS, 0x98, U32, SPR, NEVER)        \
	X(TLB2PS, 0x99, U32, SPR, NEVER)        \
	X(TLB3PS, 0x9a, U32, SPR, NEVER)        \
	X(EPTCFG, 0x9b, U32, SPR, NEVER)        \
	X(TB_OFFSET, 0x9c, U64, TIME, ANEW)     \
	X(SPMC1, 0x9d, U32, SPR, ZERO)          \
	X(SPMC2, 0x9e, U32, SPR, ZERO)          \
	X(IAMR, 0x9f, U64, SPR, ZERO)           \
	X(TFHAR, 0xa0, U64, SPR, ZERO)          \
	X(TFIAR, 0xa1, U64, SPR, ZERO)          \
	X(TEXASR, 0xa2, U64, SPR, ZERO)         \
	X(FSCR, 0xa3, U64, SPR, MUST)           \
	X(PSPB, 0xa4, U32, SPR, ZERO)           \
	X(EBBHR, 0xa5, U64, SPR, ZERO)          \
	X(EBBRR, 0xa6, U64, SPR, ZERO)          \
	X(BESCR, 0xa7, U64, SPR, ZERO)          \
	X(TAR, 0xa8, U64, SPR, ZERO)            \
	X(DPDES, 0xa9, U64, DOORBELL, ZERO)     \
	X(DAWR, 0xaa, U64, SPR, ZERO)           \
	X(DAWRX, 0xab, U64, SPR, ZERO)          \
	X(CIABR, 0xac, U64, SPR, ZERO)          \
	X(IC, 0xad, U64, SPR, ZERO)             \
	X(VTB, 0xae, U64, SPR, ZERO)            \
	X(CSIGR, 0xaf, U64, SPR, ZERO)          \
	X(TACR, 0xb0, U64, SPR, ZERO)           \
	X(TCSCR, 0xb1, U64, SPR, ZERO)          \
	X(PID, 0xb2, U64, SPR, MUST)            \
	X(ACOP, 0xb3, U64, SPR, ZERO)           \
	X(VRSAVE, 0xb4, U32, SPR, MUST)         \
	X(LPCR, 0xb5, U32, SPR, NEVER)          \
	X(LPCR_64, 0xb5, U64, SPR, MASK)        \
	X(PPR, 0xb6, U64, SPR, ZERO)            \
	X(ARCH_COMPAT, 0xb7, U32, COMPAT, ZERO) \
	X(DABRX, 0xb8, U32, SPR, ZERO)          \
	X(WORT, 0xb9, U64, SPR, ZERO)           \
	X(SPRG9, 0xba, U64, SPR, NEVER)         \
	X(DBSR, 0xbb, U32, SPR, NEVER)          \
	X(TIDR, 0xbc, U64, SPR, ZERO)           \
	X(PSSCR, 0xbd, U64, SPR, MASK)          \
	X(DEC_EXPIRY, 0xbe, U64, TIME, MUST)    \
	X(ONLINE, 0xbf, U32, SPR, ZERO)         \
	X(PTCR, 0xc0, U64, SPR, ZERO)           \
	X(MMCR3, 0xc1, U64, SPR, ZERO)          \
	X(SIER2, 0xc2, U64, SPR, ZERO)          \
	X(SIER3, 0xc3, U64, SPR, ZERO)          \
	X(DAWR1, 0xc4, U64, SPR, ZERO)          \
	X(DAWRX1, 0xc5, U64, SPR, ZERO)

/* Since Linux 6.8 and 6.13: older headers lack them. */
#define ONE_REGS_NEW(X)                   \
	X(DEXCR, 0xc6, U64, SPR, ZERO)    \
	X(HASHKEYR, 0xc7, U64, SPR, ZERO) \
	X(HASHPKEYR, 0xc8, U64, SPR, ZERO)

/* Transactional memory's; the vector registers and GPRs are below. */
#define ONE_REGS_TM(X)                           \
	X(TM_CR, 0x80000060, U64, TMS, MUST)     \
	X(TM_LR, 0x80000061, U64, TMS, MUST)     \
	X(TM_CTR, 0x80000062, U64, TMS, MUST)    \
	X(TM_FPSCR, 0x80000063, U64, TMS, MUST)  \
	X(TM_AMR, 0x80000064, U64, TMS, MUST)    \
	X(TM_PPR, 0x80000065, U64, TMS, MUST)    \
	X(TM_VRSAVE, 0x80000066, U64, TMS, MUST) \
	X(TM_VSCR, 0x80000067, U32, TMS, BLIND)  \
	X(TM_DSCR, 0x80000068, U64, TMS, MUST)   \
	X(TM_TAR, 0x80000069, U64, TMS, MUST)    \
	X(TM_XER, 0x8000006a, U64, TMS, MUST)

/* X(name, number of the first, how many, size, phase, policy), for KVM_REG_PPC_<name>0 and on. */
#define ONE_REG_RANGES(X)                         \
	X(FPR, 0x20, 32, U64, FP, MUST)           \
	X(VR, 0x40, 32, U128, FP, MUST)           \
	X(VSR, 0x60, 32, U128, FP, MUST)          \
	X(TM_GPR, 0x80000000, 32, U64, TMS, MUST) \
	X(TM_VSR, 0x80000020, 64, U128, TMS, MUST)

/* The table: the ranges, then the others by number. */
extern const struct one_reg one_regs[];
extern const size_t one_regs_n;

/* The row of an id: NULL where the table has none of that number and size. */
const struct one_reg *one_reg_find(uint64_t id);

/* "MSR", "FPR17"; "ONE_REG 0x1030000000000123" for an id that is not in the table. */
void one_reg_name(uint64_t id, char buf[static ONE_REG_NAME_MAX]);
const char *one_reg_phase_name(enum one_reg_phase phase);
const char *one_reg_policy_name(enum one_reg_policy policy);

static inline size_t one_reg_size(uint64_t id)
{
	return (size_t)1 << (id >> 52 & 15);
}

/* PowerPC's, of 4, 8 or 16 bytes, without a bit that means nothing. */
bool one_reg_ok(uint64_t id);

/* Two doublewords, address and length, in that order; not an integer of 128 bits. */
bool one_reg_is_pair(uint64_t id);

/* From host order to the image's big-endian one or back: one_reg_size(id) bytes. */
void one_reg_swap(uint64_t id, void *dst, const void *src);
/* The same for a host of the other order than big-endian, or of that one. */
void one_reg_swap_for(bool big_endian_host, uint64_t id, void *dst, const void *src);
