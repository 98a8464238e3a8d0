/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>

#include "vmm/kvm/booke.h"

static int none(struct err *e)
{
	return err_set(e, -ENOTSUP, "this libhtabvmm is built for a machine without KVM for BookE");
}

int state_booke_pvr(const struct kvm_vm *vm, uint32_t *ret_pvr, struct err *e)
{
	return none(e);
}

int state_booke_save(const struct kvm_vm *vm, struct pack *k, struct err *e)
{
	return none(e);
}

int state_booke_apply(const struct kvm_vm *vm, const void *image, size_t size, struct err *e)
{
	return none(e);
}
