/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Inside state_kvm*.c only. */
#include <linux/kvm.h>
#include <stdbool.h>

#include "proto/onereg.h"
#include "vmm/kvm/state.h"

#define SLBE_VALID 0x08000000ull /* SLB_ESID_V */
#define SLBE_SLOT  0xfffull
#define MSR_TS     0x0000000600000000ull /* a transaction is suspended or active */

/* ioctl's result, 0 or -errno. value: in host order, aligned to 16 bytes. */
int kvm_get_one(int vcpu, uint64_t id, void *value);
int kvm_set_one(int vcpu, uint64_t id, void *value);

/* Did this kernel give that register when it was asked for all? After state_kvm_prepare(). */
bool state_kvm_has(uint64_t id);

/* The field of a REG element: NULL for an id that is none. */
uint64_t *state_kvm_reg(struct kvm_regs *g, uint64_t id);

/* A digest of this boot of this host, 0 when that is not known. */
uint64_t state_kvm_boot(void);

/* KVM_CREATE_VCPU's argument of the VM's n-th vCPU. */
uint32_t kvm_vcpu_number(const struct kvm_vm *vm, unsigned n);

/* One vCPU of an image: what KVM takes as a struct. */
struct image_vcpu {
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	uint64_t have_regs, have_slb; /* a bit for each register, each slot */
	uint64_t have_sregs;          /* a bit for each id below 64 */
	unsigned slbs;
	uint32_t compat; /* ARCH_COMPAT */
};

struct image {
	const struct kvm_vm *vm;
	const void *bytes;
	size_t size;
	struct image_vcpu *vcpus; /* vm->vcpus of them */
	uint64_t guest_tb;
	bool has_tb, same_host;
};

/* "KVM refuses vCPU 3 register MSR: why" */
int state_kvm_refuse(const struct state_elem *elem, int error, const char *why, struct err *e);

/* Take it apart and check it; image_free() in any case. */
int image_take(struct image *m, struct err *e);
void image_free(struct image *m);
