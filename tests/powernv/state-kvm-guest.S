/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What state-kvm's guest runs: at 0, in real mode, in the host's byte order, one routine for each
 * vCPU. Each makes an unknown hypercall, with which KVM exits to user space, to be moved; goes on
 * at the destination; and makes another with what it found: r4 0 when all is well, else what is
 * wrong, r5 and r6 details.
 *
 * vCPU 0: registers of every kind, the timebase, and a decrementer that runs far into the future:
 * timebase + decrementer is the same before and after, to 1 ms (KVM reads one after the other when
 * the guest exits, and the emulation takes its time; an offset that is wrong is wrong by 32 ms).
 * vCPU 1: a decrementer that has expired while MSR[EE] was 0: after the move EE is set, and the
 * interrupt comes.
 */
#define HCALL    0xf0000
#define SPR_DEC  22
#define SPR_SRR0 26

	.section .rodata
	.balign	16
	.globl	state_kvm_guest, state_kvm_guest_cpu0, state_kvm_guest_cpu1, state_kvm_guest_end
state_kvm_guest:
	.rept	0x900 / 4
	b	unexpected
	.endr
	/* the decrementer: r20 counts; away with it */
	addi	20, 20, 1
	lis	21, 0x7fff
	mtspr	SPR_DEC, 21
	mfspr	22, SPR_SRR0
	rfid
	.org	state_kvm_guest + 0x2000

	.macro	hcall
	lis	3, HCALL >> 16
	sc	1
	.endm

	.macro	expect is, should, number
	cmpd	\is, \should
	beq+	9f
	li	4, \number
	mr	5, \is
	mr	6, \should
	b	done
9:
	.endm

	/* timebase + decrementer in r10, read within 1024 ticks; the timebase in r11 */
	.macro	expiry
8:	mftb	11
	mfspr	10, SPR_DEC
	mftb	9
	extsw	10, 10
	subf	8, 11, 9
	cmpldi	8, 1024
	bgt-	8b
	add	10, 10, 11
	.endm

state_kvm_guest_cpu0:
	lis	14, 0x7fff
	mtspr	SPR_DEC, 14
	expiry
	mr	15, 10
	mr	16, 11
	/* what the registers hold follows from r17 */
	lis	17, 0x1234
	ori	17, 17, 0x5678
	sldi	17, 17, 7
	mtvsrd	14, 17
	mtvsrdd	15, 17, 14
	mtvsrdd	52, 17, 15
	not	18, 17
	mtvsrd	63, 18
	mtspr	272, 17		/* SPRG0 to SPRG3 */
	mtspr	273, 18
	mtspr	274, 17
	mtspr	275, 18
	mtspr	256, 17		/* VRSAVE */
	mtspr	815, 18		/* TAR, if FSCR has it on */
	mtspr	19, 17		/* DAR */
	clrldi	19, 17, 32
	mtspr	18, 19		/* DSISR */
	mtctr	18
	mtlr	17
	li	19, 0x55
	mtcrf	0xff, 17
	li	4, 0
	hcall
	/* here after the move; the hypercall keeps all but r3 to r12, CTR and some of CR */
	mftb	11
	cmpld	11, 16
	bge+	1f
	li	4, 1		/* the timebase went back */
	mr	5, 11
	mr	6, 16
	b	done
1:	expiry
	subf	12, 15, 10
	cmpdi	12, 0
	bge	1f
	neg	12, 12
1:	lis	8, 8
	cmpld	12, 8
	ble+	1f
	li	4, 2		/* the decrementer expires at another time */
	mr	5, 10
	mr	6, 15
	b	done
1:	mfvsrd	7, 14
	expect	7, 17, 3
	mfvsrd	7, 15
	expect	7, 17, 4
	mfvsrd	7, 52
	expect	7, 17, 5
	mfvsrd	7, 63
	expect	7, 18, 6
	mfspr	7, 272
	expect	7, 17, 7
	mfspr	7, 273
	expect	7, 18, 8
	mfspr	7, 274
	expect	7, 17, 9
	mfspr	7, 275
	expect	7, 18, 10
	mfspr	7, 256
	clrldi	8, 17, 32
	expect	7, 8, 11
	mfspr	7, 815
	expect	7, 18, 12
	mfspr	7, 19
	expect	7, 17, 13
	mfspr	7, 18
	expect	7, 8, 14
	mflr	7
	expect	7, 17, 15
	li	8, 0x55
	expect	19, 8, 16
	li	4, 0
	mr	5, 11
	mr	6, 16
done:	hcall
2:	b	2b

state_kvm_guest_cpu1:
	li	20, 0
	li	14, 1
	mtspr	SPR_DEC, 14
1:	mfspr	14, SPR_DEC
	extsw	14, 14
	cmpdi	14, 0
	bge	1b
	li	4, 0
	hcall
	/* moved: not one interrupt so far, and one at once when they are let in */
	li	8, 0
	expect	20, 8, 20
	mfmsr	14
	ori	14, 14, 0x8000
	mtmsrd	14, 1
	li	15, 1000
	mtctr	15
1:	cmpdi	20, 0
	bne	2f
	bdnz	1b
2:	li	8, 1
	expect	20, 8, 21
	li	4, 0
	mr	5, 20
	mr	6, 22
	b	done

unexpected:
	li	4, 99
	mfspr	5, SPR_SRR0
	mfspr	6, 27
	b	done
state_kvm_guest_end:
	.section .note.GNU-stack,"",@progbits
