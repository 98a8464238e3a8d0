/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * htab-kvmvm's guest: runs in real mode at address 0, on each vCPU in a stripe of the hashed page
 * table that is its own. It counts, in memory and in registers of every kind; picks a slot at
 * random; compares the slot with what its shadow says; then inserts, removes or changes an entry.
 * Now and then it reads and writes through a mapping of its own, which moves from page to page. No
 * interrupt is expected. At the start r31 is the vCPU's block and everything else 0.
 *
 * With --registers every other register that it can read keeps what it was given; a decrementer
 * and an external interrupt of XICS may wait for it, and are let in after it has moved. Where a
 * doorbell waits nothing is let in: QEMU 7.2 ends itself when it has to deliver one.
 *
 *	r14 counter	r16 slot	r17 its shadow	r18 this step's random number
 *	r19, r20	the two doublewords that the slot should hold
 *	r22 the page mapped now		r23 the mapping's first doubleword	r24 its slot
 *	r25 its address			r26 vCPU	r27 stride		r28 random number
 *	r29 last timebase		r30 shadow	r31 block
 */
#include "vmm/kvmvm/layout.h"

#define H_REMOVE  0x04
#define H_ENTER   0x08
#define H_READ    0x0c
#define H_PROTECT 0x18
#define H_EOI     0x64
#define H_XIRR    0x74

#define SPR_DSCR   17
#define SPR_DEC    22
#define SPR_FSCR   153
#define SPR_VRSAVE 256
#define SPR_SPRG0  272
#define SPR_TAR    815

#define SLOTS        6    /* of a PTEG; the others are for mappings and for KVM's own entries */
#define TOUCH_EVERY  0xf  /* counts */
#define MOVE_EVERY   0x7f
#define CTR_COUNTS   64
#define V_VALID      0x01
#define V_BOLTED     0x10
#define V_HIDDEN     0x60 /* HVLOCK and ABSENT: KVM's own */
#define R_RC         0x180
#define R_RW         0x192 /* referenced, changed, memory coherence, read and write */
#define R_PROTECTION 0x7   /* N and PP */

	.macro fail_unless_equal is, should, number, detail
	cmpd	\is, \should
	beq+	9f
	li	6, \detail
	mr	7, \is
	mr	8, \should
	li	4, \number
	b	fail
9:
	.endm

	/* r3 after a hypercall */
	.macro fail_unless_success number
	cmpdi	3, 0
	beq+	9f
	li	6, \number
	mr	7, 3
	mr	8, 16
	li	4, FAILED_HCALL
	b	fail
9:
	.endm

	/* All that keeps the counter. r3 is lost. */
	.macro set_registers
	mtvsrd	14, 14
	mtvsrdd	15, 28, 14
	mtvsrdd	52, 14, 28
	mtspr	SPR_SPRG0, 14
	not	3, 14
	mtspr	SPR_TAR, 3
	mtspr	SPR_VRSAVE, 14
	clrldi	3, 14, 61
	mtspr	SPR_DSCR, 3
	mtlr	14
	mtcrf	0x38, 14
	.endm

	/* Those that the loop does not use: `what` with the number, and where it is kept. */
	.macro each_vsr what
	.set	number, 0
	.rept	64
	.if	number != 14 && number != 15 && number != 52
	\what	number, 16 * number
	.endif
	.set	number, number + 1
	.endr
	.endm

	/* Each SPR that a guest may read, and that does not count or say where it is. */
	.macro each_spr what
	.set	kept, 16 * 64
	/* DSISR, DAR, AMR, PID, IAMR, UAMOR, PSPB, SPRG1 to SPRG3 */
	.irp	spr, 18, 19, 29, 48, 61, 157, 159, 273, 274, 275
	\what	\spr, kept
	.set	kept, kept + 8
	.endr
	/* SIER, MMCR2, MMCRA, PMC1 to PMC6, MMCR0, SIAR, SDAR, MMCR1, EBBHR, EBBRR, BESCR */
	.irp	spr, 784, 785, 786, 787, 788, 789, 790, 791, 792, 795, 796, 797, 798, 804, 805, 806
	\what	\spr, kept
	.set	kept, kept + 8
	.endr
	.endm

	.macro keep_vsr vsr, at
	mfvsrd	3, \vsr
	std	3, \at(10)
	mfvsrld	3, \vsr
	std	3, \at + 8(10)
	.endm

	.macro check_vsr vsr, at
	mfvsrd	3, \vsr
	ld	5, \at(10)
	fail_unless_equal 3, 5, FAILED_REGISTER, REG_VSR + \vsr
	mfvsrld	3, \vsr
	ld	5, \at + 8(10)
	fail_unless_equal 3, 5, FAILED_REGISTER, REG_VSR_2 + \vsr
	.endm

	.macro keep_spr spr, at
	mfspr	3, \spr
	std	3, \at(10)
	.endm

	.macro check_spr spr, at
	mfspr	3, \spr
	ld	5, \at(10)
	fail_unless_equal 3, 5, FAILED_REGISTER, REG_SPR + \spr
	.endm

	.macro count field, scratch
	ld	\scratch, \field(31)
	addi	\scratch, \scratch, 1
	std	\scratch, \field(31)
	.endm

	/* The decrementer, far into the future: LPCR[LD] makes it large. */
	.macro set_decrementer scratch
	li	\scratch, 1
	sldi	\scratch, \scratch, 40
	mtspr	SPR_DEC, \scratch
	.endm

	.section .rodata
	.balign	16
	.globl	kvmvm_code
kvmvm_code:
	.rept	0x500 / 4
	bl	interrupted
	.endr
	b	external
	.rept	(0x900 - 0x504) / 4
	bl	interrupted
	.endr
	count	BLOCK_DECREMENTERS, 6
	set_decrementer 6
	rfid
	.rept	(KVMVM_ENTRY - 0x91c) / 4
	bl	interrupted
	.endr
	.org	kvmvm_code + KVMVM_ENTRY

	mfspr	3, SPR_FSCR
	ori	3, 3, 0x100	/* FSCR[TAR] */
	mtspr	SPR_FSCR, 3
	ld	26, BLOCK_CPU(31)
	ld	27, BLOCK_STRIDE_SHIFT(31)
	ld	30, BLOCK_SHADOW(31)
	ld	28, BLOCK_SEED(31)
	ld	14, BLOCK_COUNTER(31)	/* 0, or what it was when its table was changed */
	ld	22, BLOCK_TOUCH(31)
	ld	24, BLOCK_TOUCH_SLOT(31)
	ld	23, BLOCK_TOUCH_VSID(31)
	sldi	23, 23, 12
	lis	25, 0x1000
	/* segment 1, in slot 3 */
	lis	4, 0x1800
	ori	4, 4, 3
	slbmte	23, 4
	isync
	ori	23, 23, V_VALID | V_BOLTED
	mftb	29
	bl	enter_touch
	ld	10, BLOCK_EXPECTED(31)
	cmpdi	10, 0
	beq	1f
	bl	keep_registers
1:	set_registers

loop:
	ld	3, BLOCK_COUNTER(31)
	fail_unless_equal 3, 14, FAILED_MEMORY, 0
	mfvsrd	3, 14
	fail_unless_equal 3, 14, FAILED_REGISTER, REG_FPR
	mfvsrd	3, 15
	fail_unless_equal 3, 28, FAILED_REGISTER, REG_VSR_HI
	mfvsrld	3, 15
	fail_unless_equal 3, 14, FAILED_REGISTER, REG_VSR_LO
	mfvsrd	3, 52
	fail_unless_equal 3, 14, FAILED_REGISTER, REG_VR_HI
	mfvsrld	3, 52
	fail_unless_equal 3, 28, FAILED_REGISTER, REG_VR_LO
	mfspr	3, SPR_SPRG0
	fail_unless_equal 3, 14, FAILED_REGISTER, REG_SPRG
	mfspr	3, SPR_TAR
	not	3, 3
	fail_unless_equal 3, 14, FAILED_REGISTER, REG_TAR
	mfspr	3, SPR_VRSAVE
	clrldi	5, 14, 32
	fail_unless_equal 3, 5, FAILED_REGISTER, REG_VRSAVE
	mfspr	3, SPR_DSCR
	clrldi	5, 14, 61
	fail_unless_equal 3, 5, FAILED_REGISTER, REG_DSCR
	mflr	3
	fail_unless_equal 3, 14, FAILED_REGISTER, REG_LR
	mfcr	3
	rlwinm	3, 3, 0, 8, 19
	rlwinm	5, 14, 0, 8, 19
	fail_unless_equal 3, 5, FAILED_REGISTER, REG_CR
	/* hypercalls use CTR up: it counts here, in between */
	li	5, CTR_COUNTS
	mtctr	5
	li	3, 0
1:	addi	3, 3, 1
	bdnz	1b
	fail_unless_equal 3, 5, FAILED_REGISTER, REG_CTR
	mftb	3
	cmpld	3, 29
	bge+	1f
	li	6, 0
	mr	7, 3
	mr	8, 29
	li	4, FAILED_TIMEBASE
	b	fail
1:	mr	29, 3

	/* the next number: xorshift */
	sldi	3, 28, 13
	xor	28, 28, 3
	srdi	3, 28, 7
	xor	28, 28, 3
	sldi	3, 28, 17
	xor	28, 28, 3
	mr	18, 28
	addi	14, 14, 1
	std	14, BLOCK_COUNTER(31)
	set_registers

	/* the slot: PTEG ((x >> 8 & mask) << stride) + vCPU, in it x >> 40 */
	srdi	3, 18, 8
	ld	4, BLOCK_GROUP_MASK(31)
	and	3, 3, 4
	rldicl	5, 18, 24, 61
	cmpldi	5, SLOTS
	blt	1f
	addi	5, 5, -3
1:	sld	16, 3, 27
	add	16, 16, 26
	sldi	16, 16, 3
	add	16, 16, 5
	sldi	17, 3, 3
	add	17, 17, 5
	sldi	17, 17, 4
	add	17, 17, 30
	ld	19, 0(17)
	ld	20, 8(17)

	li	3, H_READ
	li	4, 0
	mr	5, 16
	sc	1
	fail_unless_success H_READ
	cmpdi	19, 0
	bne	1f
	andi.	7, 4, V_VALID
	beq+	insert
	b	wrong_v
1:	xor	7, 4, 19
	li	8, V_HIDDEN
	andc.	7, 7, 8
	bne-	wrong_v
	xor	7, 5, 20
	li	8, R_RC
	andc.	7, 7, 8
	bne-	wrong_r
	andis.	7, 18, 0x100
	beq	remove

	/* change its protection */
	rldicl	21, 18, 34, 61
	li	4, 1
	sldi	4, 4, 31	/* H_AVPN */
	or	4, 4, 21
	mr	5, 16
	clrrdi	6, 19, 7
	li	3, H_PROTECT
	sc	1
	fail_unless_success H_PROTECT
	clrrdi	20, 20, 3
	or	20, 20, 21
	b	changed

remove:
	li	4, 1
	sldi	4, 4, 31
	mr	5, 16
	clrrdi	6, 19, 7
	li	3, H_REMOVE
	sc	1
	fail_unless_success H_REMOVE
	xor	7, 4, 19
	li	8, V_HIDDEN | V_VALID
	andc.	7, 7, 8
	beq+	1f
	li	9, FAILED_REMOVED_V
	b	wrong
1:	xor	7, 5, 20
	li	8, R_RC
	andc.	7, 7, 8
	beq+	1f
	li	9, FAILED_REMOVED_R
	b	wrong
1:	li	19, 0
	li	20, 0
	b	changed

insert:
	rldicl	6, 18, 22, 42
	sldi	6, 6, 12
	ld	7, BLOCK_BOLTED(31)
	and	7, 7, 18
	or	6, 6, 7
	ori	19, 6, V_VALID
	ld	7, BLOCK_PAGE_MASK(31)
	rotldi	8, 18, 20
	and	7, 7, 8
	ori	20, 7, R_RW
	ld	7, BLOCK_LARGE(31)
	and.	7, 7, 18
	beq	1f
	or	19, 19, 7
	clrrdi	20, 20, 16	/* a page of 64 KiB: its number, and 1 as its size */
	ori	20, 20, 0x1000 | R_RW
1:	li	3, H_ENTER
	li	4, 1
	sldi	4, 4, 39	/* H_EXACT */
	mr	5, 16
	mr	6, 19
	mr	7, 20
	sc	1
	fail_unless_success H_ENTER
	fail_unless_equal 4, 16, FAILED_HCALL, H_ENTER

changed:
	std	19, 0(17)
	std	20, 8(17)
	ld	3, BLOCK_CHANGES(31)
	addi	3, 3, 1
	std	3, BLOCK_CHANGES(31)
	andi.	3, 14, TOUCH_EVERY
	bne	loop
	ld	10, BLOCK_EXPECTED(31)
	cmpdi	10, 0
	beq	1f
	bl	check_registers
	mtlr	14
1:
	/* through the mapping and in real mode there is the same */
	mfmsr	21
	ori	10, 21, 0x10	/* MSR[DR] */
	ld	8, 0(22)
	mtmsrd	10
	isync
	ld	7, 0(25)
	std	14, 0(25)
	ld	9, 0(25)
	sync
	mtmsrd	21
	isync
	ld	10, 0(22)
	fail_unless_equal 7, 8, FAILED_TOUCH, 0
	fail_unless_equal 9, 14, FAILED_TOUCH, 1
	fail_unless_equal 10, 14, FAILED_TOUCH, 2
	andi.	3, 14, MOVE_EVERY
	bne	loop

	/* the mapping moves to the other page */
	mr	16, 24
	li	4, 0
	mr	5, 24
	li	6, 0
	li	3, H_REMOVE
	sc	1
	fail_unless_success H_REMOVE
	xori	22, 22, 0x1000
	bl	enter_touch
	mtlr	14
	b	loop

enter_touch:
	li	3, H_ENTER
	li	4, 1
	sldi	4, 4, 39
	mr	16, 24
	mr	5, 24
	mr	6, 23
	ori	7, 22, R_RW
	sc	1
	fail_unless_success H_ENTER
	blr

wrong_v:
	li	9, FAILED_ENTRY_V
	b	wrong
wrong_r:
	li	9, FAILED_ENTRY_R
	/* r4, r5: the entry; r9: what is wrong */
wrong:	andi.	10, 9, 1
	beq	1f
	mr	7, 5
	mr	8, 20
	b	2f
1:	mr	7, 4
	mr	8, 19
2:	mr	6, 16
	mr	4, 9
	b	fail

	/* What the registers hold, to r10. One decrementer expires here and now, and waits. */
keep_registers:
	each_vsr keep_vsr
	each_spr keep_spr
	set_decrementer 3
	ld	5, BLOCK_PENDING(31)
	andi.	5, 5, PENDING_DECREMENTER
	beqlr
	li	3, 1
	mtspr	SPR_DEC, 3
1:	mfspr	3, SPR_DEC
	cmpdi	3, 0
	bge	1b
	blr

check_registers:
	each_vsr check_vsr
	each_spr check_spr
	ld	5, BLOCK_PENDING(31)
	ld	3, BLOCK_DECREMENTERS(31)
	sldi	3, 3, 1
	xor	3, 3, 5
	andi.	3, 3, PENDING_DECREMENTER
	bne	2f		/* it has expired and waits */
	/* when it expires: within a second of before, since every exit to KVM moves it a bit */
	mftb	7
	mfspr	3, SPR_DEC
	add	7, 7, 3
	ld	8, BLOCK_EXPIRY(31)
	std	7, BLOCK_EXPIRY(31)
	cmpdi	8, 0
	beq	2f
	subf	3, 8, 7
	sradi	9, 3, 63
	xor	3, 3, 9
	srdi	3, 3, 29
	cmpdi	3, 0
	beq+	2f
	li	6, 0
	li	4, FAILED_DECREMENTER
	b	fail
2:	ld	3, BLOCK_ARRIVED(31)
	cmpdi	3, 0
	beqlr
	andi.	3, 5, PENDING_DOORBELL
	bnelr

	/* It came here: all that waited, at once. */
	mfmsr	21
	ori	3, 21, 0x8000	/* MSR[EE] */
	mtmsrd	3, 1
	lis	3, 0x10
	mtctr	3
1:	ld	5, BLOCK_PENDING(31)
	ld	3, BLOCK_EXTERNALS(31)
	ld	7, BLOCK_DECREMENTERS(31)
	sldi	7, 7, 1
	or	3, 3, 7
	cmpd	3, 5
	beq	2f
	bdnz	1b
2:	mtmsrd	21, 1
	ld	5, BLOCK_PENDING(31)
	ld	7, BLOCK_EXTERNALS(31)
	rldicl	8, 5, 0, 63
	fail_unless_equal 7, 8, FAILED_TAKEN, BLOCK_EXTERNALS - BLOCK_TAKEN
	ld	7, BLOCK_DECREMENTERS(31)
	rldicl	8, 5, 63, 63
	fail_unless_equal 7, 8, FAILED_TAKEN, BLOCK_DECREMENTERS - BLOCK_TAKEN
	li	3, 0
	std	3, BLOCK_ARRIVED(31)
	std	3, BLOCK_EXPIRY(31)
	blr

	/* Accepts it and ends it. In the window above, where r13, r15 and r18 are nobody's. */
external:
	mfsrr0	13
	mfsrr1	15
	mfcr	18
	li	3, H_XIRR
	sc	1
	cmpdi	3, 0
	bne	interrupted_here
	clrldi	5, 4, 40
	std	5, BLOCK_SOURCE(31)
	li	3, H_EOI
	sc	1
	cmpdi	3, 0
	bne	interrupted_here
	count	BLOCK_EXTERNALS, 3
	mtsrr0	13
	mtsrr1	15
	mtcr	18
	rfid

interrupted_here:
	bl	interrupted

interrupted:
	mflr	6
	addi	6, 6, -4
	mfsrr0	7
	mfsrr1	8
	li	4, FAILED_INTERRUPT
fail:
	mr	5, 26
	lis	3, KVMVM_HCALL_FAILED >> 16
	sc	1
1:	b	1b
	.globl	kvmvm_code_end
kvmvm_code_end:
	.section .note.GNU-stack,"",@progbits
