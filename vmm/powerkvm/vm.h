/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A small wrapper on KVM for POWER guests with a hashed page table: one memory slot at address 0,
 * vCPUs with a thread each, stopped, started and slowed down together. For htab-kvmvm and for tests
 * on real KVM.
 *
 * KVM refuses ioctls of other processes than the one that created the VM, but not of other threads.
 * A vCPU's ioctls wait while its thread is in the guest: make them between kvm_vm_pause() and
 * kvm_vm_resume(). Functions return 0 or a negative errno unless stated otherwise.
 * Built for POWER only (automake's POWER_KVM).
 */
#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KVM_VM_VCPUS_MAX 64u

struct kvm_vm;
struct kvm_vcpu;

struct kvm_vm_config {
	unsigned order; /* of the hashed page table */
	size_t memory;  /* bytes at guest real address 0, a multiple of the host's page size */
	bool populate;  /* have every page there at once and locked: no later host page faults */
	bool dirty_log; /* KVM_MEM_LOG_DIRTY_PAGES */
};

/* A new VM, its table and its memory (shared, so that a fork sees it; no huge pages). */
int kvm_vm_new(const struct kvm_vm_config *config, struct kvm_vm **ret_vm);
/* Stops the vCPUs' threads first. Not from a vCPU's thread. */
struct kvm_vm *kvm_vm_free(struct kvm_vm *vm);
/* The fds and the memory stay the VM's. */
int kvm_vm_fd(const struct kvm_vm *vm);
void *kvm_vm_memory(const struct kvm_vm *vm, size_t *ret_size);
/* KVM_PPC_ALLOCATE_HTAB. An order that KVM refuses costs it the table: -EINVAL before that. */
int kvm_vm_allocate_htab(struct kvm_vm *vm, unsigned order);
/*
 * KVM_PPC_RESIZE_HPT_PREPARE: 0 when a table of that order is ready to be committed, a number of ms
 * to ask again after, or a negative errno. Order 0 gives up what was being prepared. Any time.
 */
int kvm_vm_prepare_resize(struct kvm_vm *vm, unsigned order);
/*
 * KVM_PPC_RESIZE_HPT_COMMIT of what was prepared: 0, or a negative errno with the table as it was
 * (-ENOSPC: two bolted entries would meet). Paused; KVM then keeps the bolted entries alone.
 */
int kvm_vm_commit_resize(struct kvm_vm *vm, unsigned order);
/* KVM_PPC_GET_HTAB_FD: an fd (the caller's, close-on-exec), or a negative errno. */
int kvm_vm_open_htab(struct kvm_vm *vm, uint64_t flags, uint64_t start_index);
/* Let KVM handle a hypercall that it leaves to user space by default (H_CLEAR_REF, H_CLEAR_MOD). */
int kvm_vm_enable_hcall(struct kvm_vm *vm, uint64_t nr);

/* A vCPU with PAPR hypercalls. It has no thread yet. Freed with the VM. */
int kvm_vm_add_vcpu(struct kvm_vm *vm, unsigned id, struct kvm_vcpu **ret_vcpu);
unsigned kvm_vm_vcpus(const struct kvm_vm *vm);
struct kvm_vcpu *kvm_vm_vcpu(const struct kvm_vm *vm, unsigned i);
int kvm_vcpu_fd(const struct kvm_vcpu *vcpu);
unsigned kvm_vcpu_id(const struct kvm_vcpu *vcpu);

/*
 * One KVM_RUN on the calling thread, for a vCPU without a thread of its own: 0 and *ret_run (the
 * reason of the exit is in it, and it is the vCPU's), -EINTR after a signal, another -errno.
 */
int kvm_vcpu_run(struct kvm_vcpu *vcpu, struct kvm_run **ret_run);

enum kvm_vcpu_next {
	KVM_VCPU_CONTINUE,
	KVM_VCPU_STOP, /* this vCPU never runs again */
};

/*
 * Called on the vCPU's thread for every exit to user space, and with run NULL when KVM_RUN failed
 * and the vCPU has ended. It must not pause the VM.
 */
typedef enum kvm_vcpu_next kvm_vcpu_exit_fn(struct kvm_vcpu *vcpu, struct kvm_run *run, void *arg);

/*
 * Give a vCPU its thread, paused. An errno that KVM_RUN gives (EINTR and EAGAIN aside) stops the
 * vCPU; kvm_vcpu_error() tells it.
 */
int kvm_vcpu_start(struct kvm_vcpu *vcpu, kvm_vcpu_exit_fn *exit, void *arg);
/* The errno that ended it (negative), 0 when the exit function did, 1 while it is not ended. */
int kvm_vcpu_error(const struct kvm_vcpu *vcpu);

/*
 * Stop and start all vCPU threads. Returns when each is out of the guest and its last exit is
 * completed, so that its registers are final. Repeated calls do nothing. Not from a vCPU's thread.
 */
void kvm_vm_pause(struct kvm_vm *vm);
void kvm_vm_resume(struct kvm_vm *vm);
bool kvm_vm_paused(struct kvm_vm *vm);

/*
 * Slow the vCPUs down: each runs for 10 ms at a time and then stands still, so that it does so for
 * `percent` of the time (0 to 99; 0 ends it). A pause does not wait for that. Not from a vCPU's
 * thread. 0, -EINVAL, or the errno of the thread that does it.
 */
int kvm_vm_throttle(struct kvm_vm *vm, unsigned percent);
