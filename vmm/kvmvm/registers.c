/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * htab-kvmvm --registers: known values in every register that takes one and lets the guest run, and
 * interrupts that wait for it until it has moved.
 */
#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "proto/onereg.h"
#include "vmm/powerkvm/fill.h"
#include "vmm/kvmvm/kvmvm.h"
#include "vmm/kvmvm/layout.h"

_Static_assert(KVM_FILL_AREAS >= KVMVM_TOUCHES + KVM_FILL_VCPUS_MAX * KVMVM_TOUCH_SIZE, "apart");
_Static_assert(KVM_FILL_AREAS + KVM_FILL_AREAS_SIZE <= KVMVM_EXPECTED, "apart");
_Static_assert(KVMVM_EXPECTED + KVM_FILL_VCPUS_MAX * KVMVM_EXPECTED_SIZE <= KVMVM_SHADOWS, "apart");

/*
 * Where what follows from the id would not let the guest run as it does: key 0 of AMR denies it its
 * mapping, counters that count are not what they were, and FSCR has TAR on.
 */
static const struct {
	uint64_t id, mask, must;
} limits[] = {
	{KVM_REG_PPC_AMR, 0x3fffffffffffffff, 0},
	{KVM_REG_PPC_MMCR0, 0x40000000, 0x80000000}, /* FC: frozen */
	{KVM_REG_PPC_FSCR, 0, 0x100},
};

/* Bytes of a VPA by which KVM knows what to keep: EBB's, FP, PMU's and VMX registers are in use. */
static const unsigned in_use[] = {177, 186, 187, 255};

static int one(int fd, unsigned long request, uint64_t id, void *value)
{
	struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};

	return ioctl(fd, request, &reg) < 0 ? -errno : 0;
}

/* What KVM does not give, it does not have. */
static int fill(int fd, unsigned cpu, uint64_t id, struct err *e)
{
	alignas(16) uint64_t v[2];
	char name[ONE_REG_NAME_MAX];
	int r;

	if (one(fd, KVM_GET_ONE_REG, id, v) < 0)
		return 0;
	kvm_fill_value(id, cpu, v);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (limits[i].id == id)
			v[0] = (v[0] & limits[i].mask) | limits[i].must;
	r = one(fd, KVM_SET_ONE_REG, id, v);
	if (r == 0)
		return 0;
	one_reg_name(id, name);
	return err_set(e, r, "vCPU %u's register %s does not take %#llx: %s", cpu, name,
		(unsigned long long)v[0], strerror(-r));
}

static int fill_phase(int fd, unsigned cpu, enum one_reg_phase phase, struct err *e)
{
	int r = 0;

	for (size_t i = 0; i < one_regs_n; i++) {
		const struct one_reg *o = &one_regs[i];

		/*
		 * The guest itself sets its decrementer; and with a TB_OFFSET an emulated host
		 * loses time (docs/kvm.md).
		 */
		if (o->phase != phase || phase == ONE_REG_TIME || o->policy == ONE_REG_NEVER)
			continue;
		for (unsigned n = 0; n < o->count && r == 0; n++)
			r = fill(fd, cpu, o->id + n, e);
	}
	return r;
}

int kvmvm_registers_fill(struct kvmvm_guest *g, unsigned cpu, struct err *e)
{
	uint8_t *vpa = g->memory + KVM_FILL_AREAS + (size_t)cpu * 0x1000;
	int r = kvm_fill_structs(g->fds[cpu], cpu, 0);

	if (r < 0)
		return err_set(e, r, "vCPU %u's registers do not take known values: %s", cpu,
			strerror(-r));
	for (enum one_reg_phase phase = 0; phase < ONE_REG_PHASES && r == 0; phase++)
		if (phase != ONE_REG_DOORBELL || kvmvm_registers_pending(g, cpu) & PENDING_DOORBELL)
			r = fill_phase(g->fds[cpu], cpu, phase, e);
	for (size_t i = 0; i < sizeof(in_use) / sizeof(in_use[0]); i++)
		vpa[in_use[i]] = 1;
	return r;
}

uint64_t kvmvm_registers_pending(const struct kvmvm_guest *g, unsigned cpu)
{
	switch (cpu % 3) {
	case 1: return PENDING_DECREMENTER;
	case 2: return PENDING_DOORBELL;
	default: break;
	}
	/* XICS: all sources are for vCPU 0, one of them waits */
	return cpu == 0 && g->devices.irqchip == KVMVM_XICS ? PENDING_EXTERNAL : 0;
}
