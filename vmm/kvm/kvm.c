/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/kvm/kvm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/fd.h"
#include "proto/htab.h"

static_assert(HTAB_FD_BOLTED_ONLY == KVM_GET_HTAB_BOLTED_ONLY, "KVM's flag");
static_assert(HTAB_FD_WRITE == KVM_GET_HTAB_WRITE, "KVM's flag");
static_assert(HTAB_HDR_SIZE == sizeof(struct kvm_get_htab_header), "KVM's header");

int kvm_htab_open(
	const struct kvm_vm *vm, uint32_t flags, uint64_t start_index, int *ret_fd, struct err *e)
{
	struct kvm_get_htab_fd ghf = {.flags = flags, .start_index = start_index};
	int fd = ioctl(vm->vm_fd, KVM_PPC_GET_HTAB_FD, &ghf);

	if (fd < 0)
		return err_set(e, -errno, "KVM gives no htab fd: %s", strerror(errno));
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		fd_close(fd);
		return err_set(
			e, -errno, "the htab fd cannot be made close-on-exec: %s", strerror(errno));
	}
	*ret_fd = fd;
	return 0;
}

int kvm_htab_reset(struct kvm_vm *vm, unsigned order, struct err *e)
{
	uint32_t arg = order;

	if (!htab_order_ok(order))
		return err_set(e, -EINVAL, "a page table of order %u is none: it has %u to %u",
			order, HTAB_ORDER_MIN, HTAB_ORDER_MAX);
	/* The order that it has already: KVM then clears the table that there is. */
	if (ioctl(vm->vm_fd, KVM_PPC_ALLOCATE_HTAB, &arg) < 0)
		return err_set(e, -errno, "KVM gives no empty page table of order %u: %s", order,
			strerror(errno));
	vm->order = order;
	return 0;
}

int kvm_pvr(const struct kvm_vm *vm, uint32_t *ret_pvr, struct err *e)
{
	struct kvm_sregs s;

	if (ioctl(vm->vcpu_fds[0], KVM_GET_SREGS, &s) < 0)
		return err_set(e, -errno, "KVM does not tell vCPU 0's PVR: %s", strerror(errno));
	*ret_pvr = s.pvr;
	return 0;
}
