/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * KVM's ioctls on a VM: the htab fd, its reset, the processor's version. On machines without KVM
 * for Book3S each answers -ENOTSUP with a sentence (kvm/kvm-none.c). The fds stay the VMM's; any
 * thread of the process that made the VM.
 */
#include <stdint.h>

#include "common/err.h"

struct kvm_vm {
	int vm_fd;                /* -1: no KVM */
	const int *vcpu_fds;      /* vcpus of them */
	const unsigned *vcpu_ids; /* KVM_CREATE_VCPU's arguments; NULL: 0, 1, 2, ... */
	unsigned vcpus;
	unsigned order; /* of the table that it has now */
};

int kvm_htab_open(
	const struct kvm_vm *vm, uint32_t flags, uint64_t start_index, int *ret_fd, struct err *e);
/*
 * Make the table an empty one of 2^order bytes, and vm->order that. KVM frees a table before it
 * looks for room for one of another order: after a failure the VM may have none, which the next
 * reset mends.
 */
int kvm_htab_reset(struct kvm_vm *vm, unsigned order, struct err *e);
int kvm_pvr(const struct kvm_vm *vm, uint32_t *ret_pvr, struct err *e);
