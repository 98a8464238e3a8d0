/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Inside powerkvm/vm.c, powerkvm/vcpu.c and powerkvm/throttle.c only. */
#include <pthread.h>

#include "vmm/powerkvm/vm.h"

enum kvm_vcpu_state {
	KVM_VCPU_NO_THREAD,
	KVM_VCPU_PARKED,  /* waits for kvm_vm_resume() */
	KVM_VCPU_RUNNING, /* in KVM_RUN or in the exit function */
	KVM_VCPU_ENDED,   /* its thread is over, to be joined */
};

struct kvm_vcpu {
	struct kvm_vm *vm;
	int fd;
	unsigned id;
	struct kvm_run *run;
	kvm_vcpu_exit_fn *exit;
	void *arg;
	pthread_t thread;
	/* under the VM's lock */
	enum kvm_vcpu_state state;
	int error;
	bool owes; /* its slice is over: it is throttled and stands still before it runs on */
};

struct kvm_vm {
	int kvm_fd, fd;
	size_t run_size;
	void *memory;
	size_t memory_size;
	unsigned n_vcpus;
	struct kvm_vcpu *vcpus[KVM_VM_VCPUS_MAX];
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a state, paused, ending or the throttle */
	bool paused;            /* under lock; what the threads shall be */
	bool ending;
	unsigned throttle; /* percent; 0: none */
	bool throttler_runs;
	pthread_t throttler;
};

void kvm_vm_end_threads(struct kvm_vm *vm);
/* Out of the guest soon. Under the lock, vcpu RUNNING. */
void kvm_vcpu_kick(struct kvm_vcpu *vcpu);

/* -- powerkvm/throttle.c -- */

/* What vcpu owes; ends early by a pause. Under the lock, on the vCPU's thread. */
void kvm_throttle_stand(struct kvm_vcpu *vcpu);
/* The VM is ending: joins the throttle's thread. Without the lock. */
void kvm_throttle_end(struct kvm_vm *vm);
