/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * vCPU state of Book3S between KVM and a state image. The vCPUs must be stopped. -ENOTSUP with a
 * sentence where there is no KVM for Book3S.
 *
 *	kvm/state.c        what this kernel has; saving
 *	kvm/state_check.c  an image from elsewhere, taken apart and held against this VM
 *	kvm/state_set.c    setting it, in the order that KVM needs
 *	kvm/state_time.c   the guest's time
 */
#include <stdbool.h>
#include <stddef.h>

#include "proto/state.h"
#include "vmm/kvm/kvm.h"

/* A guest's timebase, as an image tells it. */
struct state_kvm_tb {
	bool known;
	bool same_host; /* the source's: its timebase is this one */
	uint64_t guest; /* at the pause */
};

/* Find out which registers this kernel has, so that it is not done while a guest stands still. */
void state_kvm_prepare(const struct kvm_vm *vm);

/* ARCH_COMPAT of the guest; and the newest mode that KVM takes. 0 where there is none. */
uint32_t state_kvm_compat(const struct kvm_vm *vm);
uint32_t state_kvm_newest_compat(const struct kvm_vm *vm);

/* The guest's timebase now: with the vCPUs stopped it is past everything that the guest read. */
int state_kvm_timebase(const struct kvm_vm *vm, uint64_t *ret, struct err *e);

/* Append every vCPU's registers, and guest_tb. */
int state_kvm_save(const struct kvm_vm *vm, uint64_t guest_tb, struct pack *k, struct err *e);

/*
 * Set an image. First everything is checked that can be told without setting it; nothing has
 * changed when that fails. Then each register is set and read back; after a failure the vCPUs must
 * not run, but another image may be set. Elements of other kinds than REG, SREG, ONE_REG and TIME
 * are passed over.
 */
int state_kvm_apply(const struct kvm_vm *vm, const void *image, size_t size,
	struct state_kvm_tb *ret, struct err *e);

/*
 * Before the guest starts: its timebase goes on from tb->guest, which it had at `paused`, ns of
 * this host's CLOCK_MONOTONIC (0: not known, no time has passed); on the host where it was it has
 * gone on by itself, with the offset that it had. *ret_error: proto/timebase.h's.
 */
int state_kvm_start_time(const struct kvm_vm *vm, const struct state_kvm_tb *tb, uint64_t paused,
	int64_t *ret_error, struct err *e);
