/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "vmm/kvm/kvm.h"
#include "vmm/kvm/state.h"

static int none(struct err *e)
{
	return err_set(e, -ENOTSUP,
		"this libhtabvmm is built for a machine without KVM for "
		"hashed page tables");
}

int kvm_htab_open(
	const struct kvm_vm *vm, uint32_t flags, uint64_t start_index, int *ret_fd, struct err *e)
{
	return none(e);
}

int kvm_htab_reset(struct kvm_vm *vm, unsigned order, struct err *e)
{
	return none(e);
}

int kvm_pvr(const struct kvm_vm *vm, uint32_t *ret_pvr, struct err *e)
{
	return none(e);
}

void state_kvm_prepare(const struct kvm_vm *vm)
{
}

uint32_t state_kvm_compat(const struct kvm_vm *vm)
{
	return 0;
}

uint32_t state_kvm_newest_compat(const struct kvm_vm *vm)
{
	return 0;
}

int state_kvm_timebase(const struct kvm_vm *vm, uint64_t *ret, struct err *e)
{
	return none(e);
}

int state_kvm_start_time(const struct kvm_vm *vm, const struct state_kvm_tb *from, uint64_t paused,
	int64_t *ret_error, struct err *e)
{
	return none(e);
}

int state_kvm_save(const struct kvm_vm *vm, uint64_t guest_tb, struct pack *k, struct err *e)
{
	return none(e);
}

int state_kvm_apply(const struct kvm_vm *vm, const void *image, size_t size,
	struct state_kvm_tb *ret, struct err *e)
{
	return none(e);
}
