/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest of the e500v2 host: it maps pages by tlbwe all the time, in TLB0 and in four sizes in
 * TLB1, and looks through every mapping that it ever made; a decrementer ticks. Whatever is not as
 * it left it ends in FAIL. Placed by move.c: this at GPA 0x1000, the vectors at 0x10000.
 *
 * Words at 0x8000 (r21), which the host sees in the guest's memory:
 *	+0  mode: 0 work, 1 wait with a pending decrementer, 2 look for it and go on (the host's)
 *	+4  rounds   +8  decrementer interrupts   +16  those when the pending one was left
 *	+20 which of TLB1's pages are mapped      +24  what is at the page that the host maps, or 0
 * At 0x9000 (r22): what the word behind each of TLB0's 64 pages has to be, 0: not mapped yet.
 * MMIO at 0xe0000000 (r10): +0 64 rounds more, +4 pending, +8 the pending one came, +64 FAIL.
 */
	.section .note.GNU-stack,"",@progbits
	.section .rodata
	.balign 16
	.globl guest_code, guest_code_end, guest_vectors, guest_vectors_end
#define DEC    22
#define DECAR  54
#define DEAR   61
#define IVPR   63
#define SPRG0  272
#define TSR    336
#define TCR    340
#define IVOR   400
#define MAS0   624
#define MAS1   625
#define MAS2   626
#define MAS3   627
#define MAS4   628
#define MAS7   944
#define PERIOD 0x100000 /* of the timebase: some ms */
guest_code:
	lis	10,0xe000
	lis	21,0
	ori	21,21,0x8000
	lis	22,0
	ori	22,22,0x9000
	li	20,0
	lis	3,1
	mtspr	IVPR,3
	li	3,0x100
	mtspr	IVOR + 13,3		/* data TLB miss */
	li	3,0x200
	mtspr	IVOR + 14,3		/* instruction TLB miss */
	li	3,0x300
	mtspr	IVOR + 6,3		/* program */
	li	3,0x400
	mtspr	IVOR + 2,3		/* data storage */
	li	3,0x500
	mtspr	IVOR + 3,3		/* instruction storage */
	li	3,0x700
	mtspr	IVOR + 10,3		/* decrementer */
	li	3,0x100
	mtspr	MAS4,3
	b	tick

loop:
	lwz	3,0(21)
	cmpwi	3,1
	beq	hold
	addi	20,20,1
	stw	20,4(21)
	/* TLB0, page i = round % 64, way i % 4: EA 0x50000000 + i pages, which is set i */
	andi.	4,20,63
	andi.	5,4,3
	slwi	5,5,16
	mtspr	MAS0,5
	lis	5,0x8000
	ori	5,5,0x100
	mtspr	MAS1,5
	slwi	6,4,12
	oris	6,6,0x5000
	mtspr	MAS2,6
	/* real page 0x40 + (7 * round + round / 64) % 16: another each time */
	mulli	7,20,7
	srwi	8,20,6
	add	7,7,8
	andi.	7,7,15
	addi	7,7,0x40
	slwi	8,7,12
	ori	8,8,0x15
	mtspr	MAS3,8
	li	5,0
	mtspr	MAS7,5
	isync
	tlbwe
	isync
	lis	5,0xcafe
	or	5,5,7
	slwi	9,4,2
	stwx	5,22,9
	lwz	11,0(6)
	li	3,1
	cmpw	11,5
	bne	fail
	andi.	12,20,15
	bne	1f
	/* TLB1, entry 5 + j: 4, 16, 64 or 256 KiB at EA 0x60000000 + 16 MiB * j, to 0x80000 */
	srwi	13,20,4
	andi.	13,13,3
	addi	14,13,5
	slwi	14,14,16
	oris	14,14,0x1000
	mtspr	MAS0,14
	slwi	15,13,8
	addi	15,15,0x100
	oris	15,15,0xc000
	mtspr	MAS1,15
	slwi	16,13,24
	oris	16,16,0x6000
	mtspr	MAS2,16
	lis	17,8
	ori	17,17,0x15
	mtspr	MAS3,17
	isync
	tlbwe
	isync
	lwz	19,20(21)
	li	5,1
	slw	5,5,13
	or	19,19,5
	stw	19,20(21)
1:	andi.	12,20,63
	bne	loop

	/* everything that was ever mapped */
	li	4,0
2:	slwi	9,4,2
	lwzx	5,22,9
	cmpwi	5,0
	beq	3f
	slwi	6,4,12
	oris	6,6,0x5000
	lwz	11,0(6)
	li	3,2
	cmpw	11,5
	bne	fail
3:	addi	4,4,1
	cmpwi	4,64
	blt	2b
	lwz	19,20(21)
	lis	5,0xcafe
	ori	5,5,0x80
	li	4,0
4:	srw	11,19,4
	andi.	11,11,1
	beq	5f
	slwi	6,4,24
	oris	6,6,0x6000
	lwz	11,0(6)
	li	3,3
	cmpw	11,5
	bne	fail
5:	addi	4,4,1
	cmpwi	4,4
	blt	4b
	lwz	5,24(21)
	cmpwi	5,0
	beq	6f
	lis	6,0x7000
	lwz	11,0(6)
	li	3,4
	cmpw	11,5
	bne	fail
6:	stw	20,0(10)
	b	loop

	/* a decrementer interrupt is left pending, and no other follows */
hold:
	wrteei	0
	lis	3,0x0400		/* DIE */
	mtspr	TCR,3
	lis	3,0x0800		/* DIS */
	mtspr	TSR,3
	li	3,100
	mtspr	DEC,3
1:	mfspr	3,TSR
	andis.	3,3,0x0800
	beq	1b
	lwz	3,8(21)
	stw	3,16(21)
	stw	3,4(10)
2:	lwz	3,0(21)
	cmpwi	3,1
	beq	2b
	mfspr	4,TSR
	andis.	4,4,0x0800
	li	3,5
	beq	fail
	wrteei	1
	isync
	wrteei	0
	lwz	4,8(21)
	lwz	5,16(21)
	addi	5,5,1
	li	3,6
	cmpw	4,5
	bne	fail
	stw	4,8(10)
tick:
	lis	3,0x0800
	mtspr	TSR,3
	/* reload (ARE) before DEC runs: one that ran out before would stay at 0 */
	lis	3,0x0440		/* DIE, ARE */
	mtspr	TCR,3
	lis	3,PERIOD >> 16
	mtspr	DECAR,3
	mtspr	DEC,3
	wrteei	1
	b	loop

fail:
	stw	3,64(10)
	b	.
guest_code_end:

	.balign 16
guest_vectors:
	.org	guest_vectors + 0x100
	li	3,0x100
	b	lost
	.org	guest_vectors + 0x200
	li	3,0x200
	b	lost
	.org	guest_vectors + 0x300
	li	3,0x300
	b	lost
	.org	guest_vectors + 0x400
	li	3,0x400
	b	lost
	.org	guest_vectors + 0x500
	li	3,0x500
lost:
	stw	3,64(10)
	b	.
	.org	guest_vectors + 0x700
	mtspr	SPRG0,3
	lis	3,0x0800
	mtspr	TSR,3
	lwz	3,8(21)
	addi	3,3,1
	stw	3,8(21)
	mfspr	3,SPRG0
	rfi
guest_vectors_end:
