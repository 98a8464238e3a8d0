/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * htab-kvmvm's guest: where its things are in guest real memory. For C and for the assembler.
 *
 *	0          interrupt vectors and code (kvmvm/code.S)
 *	BLOCKS     a block for each vCPU: its counters and what it was told at its start
 *	TOUCHES    two pages for each vCPU, mapped in turn through its segment
 *	           --registers: KVM's own areas of each vCPU (powerkvm/fill.h), and behind them
 *	EXPECTED   what the vCPU's registers hold
 *	SHADOWS    a shadow for each vCPU: what each table slot of its own should hold
 *	QUEUES     XIVE's event queues, 64 KiB each
 */
#define KVMVM_ENTRY         0x2000
#define KVMVM_CODE_MAX      0x8000
#define KVMVM_BLOCKS        0x10000
#define KVMVM_BLOCK_SIZE    0x1000
#define KVMVM_TOUCHES       0x100000
#define KVMVM_TOUCH_SIZE    0x2000
#define KVMVM_EXPECTED      0x1c0000
#define KVMVM_EXPECTED_SIZE 0x1000
#define KVMVM_SHADOWS       0x200000
#define KVMVM_SHADOW_SIZE   0x10000
#define KVMVM_QUEUES        0x600000
#define KVMVM_MEMORY_MIN    0x800000

/* A block's doublewords, in the guest's byte order. */
#define BLOCK_COUNTER      0x00
#define BLOCK_CHANGES      0x08
#define BLOCK_CPU          0x10
#define BLOCK_GROUP_MASK   0x18 /* number of its PTEGs - 1 */
#define BLOCK_STRIDE_SHIFT 0x20 /* log2 of the distance between two of them */
#define BLOCK_SHADOW       0x28
#define BLOCK_PAGE_MASK    0x30 /* of real addresses to map */
#define BLOCK_TOUCH        0x38 /* the first of its two pages */
#define BLOCK_TOUCH_SLOT   0x40
#define BLOCK_TOUCH_VSID   0x48
#define BLOCK_LARGE        0x50 /* HPTE_V_LARGE when it may map pages of 64 KiB */
#define BLOCK_SEED         0x58
#define BLOCK_BOLTED       0x60 /* HPTE_V_BOLTED when it may bolt entries where no hash puts them */
#define BLOCK_EXPECTED     0x68 /* what its registers hold, in EXPECTED; 0: without --registers */
#define BLOCK_ARRIVED      0x70 /* set from outside: it came here, and may take its interrupts */
#define BLOCK_PENDING      0x78 /* those that it is to take then: PENDING_ */
#define BLOCK_TAKEN        0x80 /* those that it took so far: a doubleword each, as they follow */
#define BLOCK_EXTERNALS    0x80
#define BLOCK_DECREMENTERS 0x88
#define BLOCK_SOURCE       0x90 /* of the last external one */
#define BLOCK_EXPIRY       0x98 /* timebase at which its decrementer is 0 */

/* Interrupts that wait for a vCPU while it moves. */
#define PENDING_EXTERNAL    1
#define PENDING_DECREMENTER 2
#define PENDING_DOORBELL    4

/*
 * The hypercall that KVM does not know, with which the guest says what is wrong: r4 is one of the
 * numbers below, r5 the vCPU, r6 to r8 are details.
 */
#define KVMVM_HCALL_FAILED 0xf0000

#define FAILED_INTERRUPT   1  /* vector, SRR0, SRR1 */
#define FAILED_MEMORY      2  /* 0, counter in memory, in a register */
#define FAILED_REGISTER    3  /* which, is, should be */
#define FAILED_TIMEBASE    4  /* 0, now, before */
#define FAILED_HCALL       5  /* its number, what it answered, slot */
#define FAILED_ENTRY_V     6  /* slot, is, should be */
#define FAILED_ENTRY_R     7  /* slot, is, should be */
#define FAILED_REMOVED_V   8  /* slot, is, should be */
#define FAILED_REMOVED_R   9  /* slot, is, should be */
#define FAILED_TOUCH       10 /* 0 before a store, 1 after it; through the mapping, in real mode */
#define FAILED_TAKEN       11 /* offset from BLOCK_TAKEN, is, should be */
#define FAILED_DECREMENTER 12 /* 0, expires at, before */

/* Which register failed. */
#define REG_FPR    0
#define REG_VSR_HI 1
#define REG_VSR_LO 2
#define REG_VR_HI  3
#define REG_VR_LO  4
#define REG_SPRG   5
#define REG_TAR    6
#define REG_VRSAVE 7
#define REG_DSCR   8
#define REG_CTR    9
#define REG_LR     10
#define REG_CR     11
#define REG_VSR    0x100  /* + number: its first doubleword */
#define REG_VSR_2  0x200  /* + number: its second */
#define REG_SPR    0x1000 /* + number */
