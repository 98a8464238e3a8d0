/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * vCPU state of BookE between KVM and a state image: KVM_GET/SET_REGS, KVM_GET/SET_SREGS by feature
 * bits, the debug registers' ONE_REGs. The vCPUs must be stopped, and an MMIO read that a vCPU left
 * KVM_RUN for completed (KVM_RUN with immediate_exit). -ENOTSUP with a sentence where there is no
 * KVM for BookE. The TLB goes another way (tlb/tlbsock.h); its geometry is in the image, by
 * lib/state.c.
 *
 * Not to be had from KVM, and so not moved: an interrupt queued by KVM_INTERRUPT (the VMM queues it
 * again), DBCR, L1CSR, the SPE's registers, TLB0's replacement counter. The guest's timebase is the
 * host's.
 */
#include <stddef.h>

#include "proto/booke.h"
#include "vmm/kvm/kvm.h"

int state_booke_pvr(const struct kvm_vm *vm, uint32_t *ret_pvr, struct err *e);

/* Append every vCPU's registers. It may take 5 ms more, see get_settled(). */
int state_booke_save(const struct kvm_vm *vm, struct pack *k, struct err *e);

/*
 * Set an image: all of it is checked against this VM before anything is set. Elements of other
 * kinds than REG, SREG, ONE_REG, TIME and BOOKE are passed over.
 */
int state_booke_apply(const struct kvm_vm *vm, const void *image, size_t size, struct err *e);
