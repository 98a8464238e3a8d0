/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest of hpt-diff: takes a batch of operations from a mailbox, carries them out and makes an
 * unknown hypercall, with which KVM exits to user space. Little-endian, real mode, position
 * independent. The mailbox is at real address 0x10000:
 *	0x000	number of operations
 *	0x008	the guest writes 1 here when it begins to spin
 *	0x010	it spins until something else than 0 is here
 *	0x100	operations of 128 bytes: r3 to r11 before and, in their place, after
 * r3 is a hypercall's number, or 0x10000 and up for: load from r4 with data relocation on, store r5
 * to r4 in the same way, slbmte r4,r5, spin.
 */
	.section .rodata
	.balign	16
	.globl	hpt_diff_guest
hpt_diff_guest:
next_batch:
	lis	31, 1
	ld	30, 0(31)
	addi	29, 31, 0x100
next_operation:
	cmpdi	30, 0
	beq	batch_done
	ld	3, 0(29)
	ld	4, 8(29)
	ld	5, 16(29)
	lis	12, 1
	cmpld	3, 12
	bge	special
	ld	6, 24(29)
	ld	7, 32(29)
	ld	8, 40(29)
	ld	9, 48(29)
	ld	10, 56(29)
	ld	11, 64(29)
	sc	1
	std	3, 0(29)
	std	4, 8(29)
	std	5, 16(29)
	std	6, 24(29)
	std	7, 32(29)
	std	8, 40(29)
	std	9, 48(29)
	std	10, 56(29)
	std	11, 64(29)
operation_done:
	addi	29, 29, 128
	addi	30, 30, -1
	b	next_operation

special:
	mfmsr	28
	ori	27, 28, 0x10	/* MSR[DR] */
	subf	3, 12, 3
	cmpdi	3, 0
	beq	load
	cmpdi	3, 1
	beq	store
	cmpdi	3, 2
	beq	slb
	li	6, 1
	std	6, 8(31)
spin:
	ld	6, 16(31)
	cmpdi	6, 0
	beq	spin
	b	special_done
load:
	mtmsrd	27
	isync
	ld	6, 0(4)
	b	relocation_off
store:
	mtmsrd	27
	isync
	std	5, 0(4)
relocation_off:
	sync
	mtmsrd	28
	isync
	b	special_done
slb:
	isync
	slbmte	4, 5
	isync
special_done:
	li	3, 0
	std	3, 0(29)
	b	operation_done

batch_done:
	lis	3, 15		/* not a hypercall that KVM knows */
	sc	1
	b	next_batch
	.globl	hpt_diff_guest_end
hpt_diff_guest_end:
	.section .note.GNU-stack,"",@progbits
