/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vCPUs that are slowed down, as QEMU does it: a thread ends each one's slice, and the vCPU's own
 * thread then stands still for its share.
 */
#include <errno.h>
#include <time.h>

#include "common/clock.h"
#include "vmm/powerkvm/vm_impl.h"

#define SLICE_NS    (10 * NS_PER_MS)
#define PERCENT_MAX 99u

/* Until then, or something changed. Under the lock. */
static void wait_until(struct kvm_vm *vm, uint64_t at)
{
	struct timespec t = {
		.tv_sec = (time_t)(at / NS_PER_SEC),
		.tv_nsec = (long)(at % NS_PER_SEC),
	};

	pthread_cond_clockwait(&vm->changed, &vm->lock, CLOCK_MONOTONIC, &t);
}

/* How long a vCPU stands still after each slice. */
static uint64_t share_ns(unsigned percent)
{
	return SLICE_NS * percent / (100 - percent);
}

void kvm_throttle_stand(struct kvm_vcpu *vcpu)
{
	struct kvm_vm *vm = vcpu->vm;
	uint64_t from = clock_ns();

	while (vcpu->owes && vm->throttle && !vm->paused && !vm->ending) {
		uint64_t until = from + share_ns(vm->throttle);

		if (clock_ns() >= until)
			break;
		wait_until(vm, until);
	}
	vcpu->owes = false;
}

static void end_slices(struct kvm_vm *vm)
{
	for (unsigned i = 0; i < vm->n_vcpus; i++) {
		if (vm->vcpus[i]->state != KVM_VCPU_RUNNING || vm->vcpus[i]->owes)
			continue;
		vm->vcpus[i]->owes = true;
		kvm_vcpu_kick(vm->vcpus[i]);
	}
}

static void *throttle_thread(void *arg)
{
	struct kvm_vm *vm = arg;
	uint64_t from;

	pthread_mutex_lock(&vm->lock);
	from = clock_ns();
	while (!vm->ending) {
		uint64_t until = from + SLICE_NS + share_ns(vm->throttle);

		if (!vm->throttle || vm->paused) {
			pthread_cond_wait(&vm->changed, &vm->lock);
			from = clock_ns();
		} else if (clock_ns() < until) {
			wait_until(vm, until);
		} else {
			end_slices(vm);
			from = clock_ns();
		}
	}
	pthread_mutex_unlock(&vm->lock);
	return NULL;
}

int kvm_vm_throttle(struct kvm_vm *vm, unsigned percent)
{
	int r = 0;

	if (percent > PERCENT_MAX)
		return -EINVAL;
	pthread_mutex_lock(&vm->lock);
	if (percent && !vm->throttler_runs) {
		r = -pthread_create(&vm->throttler, NULL, throttle_thread, vm);
		vm->throttler_runs = r == 0;
	}
	if (r == 0)
		vm->throttle = percent;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
	return r;
}

void kvm_throttle_end(struct kvm_vm *vm)
{
	if (vm->throttler_runs)
		pthread_join(vm->throttler, NULL);
	vm->throttler_runs = false;
}
