/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <string.h>
#include <sys/platform/ppc.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "proto/htab.h"
#include "proto/timebase.h"
#include "vmm/kvm/state_impl.h"

uint64_t state_kvm_boot(void)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char id[64];
	ssize_t n = fd < 0 ? -1 : read(fd, id, sizeof(id));

	fd_close(fd);
	return n > 0 ? stream_digest(STREAM_DIGEST_INIT, id, (size_t)n) : 0;
}

/* Guests of KVM-PR have none: they read the host's timebase, in problem state. */
static int get_offset(const struct kvm_vm *vm, uint64_t *ret)
{
	alignas(16) uint64_t offset;
	int r = kvm_get_one(vm->vcpu_fds[0], KVM_REG_PPC_TB_OFFSET, &offset);

	if (r == 0)
		*ret = offset;
	return r;
}

int state_kvm_timebase(const struct kvm_vm *vm, uint64_t *ret, struct err *e)
{
	uint64_t offset = 0;
	int r = get_offset(vm, &offset);

	if (r < 0 && r != -EINVAL)
		return err_set(e, r, "KVM does not give the timebase offset: %s", strerror(-r));
	*ret = __ppc_get_timebase() + offset;
	return 0;
}

/* Nothing can be set: it is the host's timebase, or the guest cannot be here. */
static int take_hosts_time(const struct state_kvm_tb *from, uint64_t passed, uint64_t tb,
	uint64_t hz, int64_t *ret_error, struct err *e)
{
	if (tb < from->guest)
		return err_set(e, -ERANGE,
			"the guest's timebase would go back from %llu to %llu: KVM-PR gives it this host's, which was started later",
			(unsigned long long)from->guest, (unsigned long long)tb);
	*ret_error = from->same_host
		? 0
		: timebase_ns((int64_t)(tb - from->guest - timebase_ticks(passed, hz)), hz);
	return 0;
}

/*
 * One offset for all vCPUs, whose timebases must not differ. DEC_EXPIRY is in the guest's timebase,
 * but kernels before 5.16 keep it in the host's and so move it with the offset: it is set after it.
 */
int state_kvm_start_time(const struct kvm_vm *vm, const struct state_kvm_tb *from, uint64_t paused,
	int64_t *ret_error, struct err *e)
{
	uint64_t hz = __ppc_get_timebase_freq(), before = clock_ns(), tb = __ppc_get_timebase();
	uint64_t now = before + (clock_ns() - before) / 2;
	uint64_t passed = paused && paused < now ? now - paused : 0;
	uint64_t offset, was = 0; /* the source's own, which came with the image */
	int r = get_offset(vm, &was);

	if (r == -EINVAL)
		return take_hosts_time(from, passed, tb, hz, ret_error, e);
	if (r < 0)
		return err_set(e, r, "KVM does not give the timebase offset: %s", strerror(-r));
	offset = timebase_offset(from->guest, passed, tb, was, hz, ret_error);
	if (from->same_host) {
		offset = was;
		*ret_error = 0;
	}

	for (unsigned i = 0; i < vm->vcpus && r == 0; i++) {
		alignas(16) uint64_t value = offset, expiry;
		bool has_expiry = kvm_get_one(vm->vcpu_fds[i], KVM_REG_PPC_DEC_EXPIRY, &expiry) ==
			0;

		r = kvm_set_one(vm->vcpu_fds[i], KVM_REG_PPC_TB_OFFSET, &value);
		if (r == 0 && has_expiry)
			r = kvm_set_one(vm->vcpu_fds[i], KVM_REG_PPC_DEC_EXPIRY, &expiry);
		if (r < 0)
			err_set(e, r, "KVM does not set the timebase of vCPU %u: %s", i,
				strerror(-r));
	}
	return r;
}
