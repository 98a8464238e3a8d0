/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Known values in every register that takes one: by id, so that no two have the same. */
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/kvm.h>

#include "proto/onereg.h"
#include "tests/powernv/state-kvm.h"

#define FILLED_MAX 512

static uint64_t filled[FILLED_MAX];
static unsigned n_filled;

bool was_filled(uint64_t id)
{
	for (unsigned i = 0; i < n_filled; i++)
		if (filled[i] == id)
			return true;
	return false;
}

static int one(int fd, unsigned long request, uint64_t id, void *value)
{
	struct kvm_one_reg reg = {.id = id, .addr = (uintptr_t)value};

	return ioctl(fd, request, &reg);
}

/* What a register may hold, where it may not hold everything. */
static const struct {
	uint64_t id, mask, must;
} limits[] = {
	{KVM_REG_PPC_HIOR, 0, 0},
	/* POWER10's; Linux 6.1's KVM_SET_ONE_REG reads it instead */
	{KVM_REG_PPC_MMCR3, 0, 0}, {KVM_REG_PPC_VPA_ADDR, 0, 0x180000},
	{KVM_REG_PPC_ARCH_COMPAT, 0, 0x0f000004}, {KVM_REG_PPC_ONLINE, 0, 1},
	{KVM_REG_PPC_DPDES, 0, 1}, {KVM_REG_PPC_TB_OFFSET, 0x000000ffff000000, 1 << 24},
	/* DPFD, ILE, AIL 3, LD, TC */
	{KVM_REG_PPC_LPCR_64, 0, 0x0030000003820200}, {KVM_REG_PPC_DAWRX, 0x7b, 3},
	{KVM_REG_PPC_DAWRX1, 0x7b, 3}, {KVM_REG_PPC_DABRX, 0xb, 3}, {KVM_REG_PPC_CIABR, ~3ull, 2},
	{KVM_REG_PPC_PSSCR, 0xf0000000000003ff, 0},
	{KVM_REG_PPC_PID, 0xfffff, 1}, /* KVM keeps 32 bits of it */
};

static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static void pattern(uint64_t id, unsigned cpu, uint64_t value[static 2])
{
	value[0] = mix(id + cpu + 1);
	value[1] = mix(id + cpu + 101);
	if (id == KVM_REG_PPC_VPA_SLB) {
		value[0] = 0x190000 + cpu * 0x1000ull;
		value[1] = 0x280;
	} else if (id == KVM_REG_PPC_VPA_DTL) {
		value[0] = 0x1a0000 + cpu * 0x1000ull;
		value[1] = 48 * 7;
	}
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		if (limits[i].id == id)
			value[0] = (value[0] & limits[i].mask) | limits[i].must;
	if (id == KVM_REG_PPC_VPA_ADDR)
		value[0] += cpu * 0x1000ull;
	/* 4 bytes are the first of the value on a host of either order */
	if (one_reg_size(id) == 4)
		((uint32_t *)value)[0] = (uint32_t)value[0];
}

static void fill(int fd, unsigned cpu, uint64_t id)
{
	alignas(16) uint64_t was[2] = {0}, want[2] = {0}, got[2] = {0};
	size_t size = one_reg_size(id);
	char name[ONE_REG_NAME_MAX];

	one_reg_name(id, name);
	if (one(fd, KVM_GET_ONE_REG, id, was) < 0)
		return;
	pattern(id, cpu, want);
	if (one(fd, KVM_SET_ONE_REG, id, want) < 0) {
		say(false, "vCPU %u's %s takes no value: %m", cpu, name);
		return;
	}
	one(fd, KVM_GET_ONE_REG, id, got);
	if (memcmp(got, want, size) != 0 && id != KVM_REG_PPC_LPCR_64) {
		say(false, "vCPU %u's %s was set to %#llx and is %#llx", cpu, name,
			(unsigned long long)want[0], (unsigned long long)got[0]);
		return;
	}
	if (memcmp(got, was, size) == 0)
		return; /* shows nothing */
	if (!was_filled(id) && n_filled < FILLED_MAX)
		filled[n_filled++] = id;
}

unsigned fill_registers(int fd, unsigned cpu)
{
	for (enum one_reg_phase phase = 0; phase < ONE_REG_PHASES; phase++) {
		for (size_t i = 0; i < one_regs_n; i++) {
			const struct one_reg *r = &one_regs[i];

			/* FPRs are a half of VSRs, which come after them */
			if (r->phase == phase && r->policy != ONE_REG_NEVER)
				for (unsigned n = 0; n < r->count; n++)
					fill(fd, cpu, r->id + n);
		}
	}
	return n_filled;
}

void fill_structs(int fd, unsigned cpu)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	ioctl(fd, KVM_GET_REGS, &r);
	for (unsigned i = 0; i < 32; i++)
		r.gpr[i] = mix(0x1000 + i + 100 * cpu);
	r.pc = 0x2000;
	r.msr |= 0x8000000000000000ull;
	r.cr = 0x12345678;
	r.ctr = mix(1 + cpu);
	r.lr = mix(2 + cpu);
	r.xer = 0xa0000000u;
	r.srr0 = mix(3 + cpu) & ~3ull;
	r.srr1 = mix(4 + cpu);
	r.pid = 0x1234 + cpu;
	r.sprg0 = mix(5 + cpu);
	r.sprg1 = mix(6 + cpu);
	r.sprg2 = mix(7 + cpu);
	r.sprg3 = mix(8 + cpu);
	r.sprg4 = mix(9 + cpu);
	r.sprg5 = mix(10 + cpu);
	r.sprg6 = mix(11 + cpu);
	r.sprg7 = mix(12 + cpu);
	say(ioctl(fd, KVM_SET_REGS, &r) == 0, "vCPU %u's registers are filled", cpu);

	/* All 32 slots of the SLB but three, the last first. */
	ioctl(fd, KVM_GET_SREGS, &s);
	for (unsigned i = 0, n = 0; i < 32; i++) {
		unsigned slot = 31 - i;

		if (slot == 5 || slot == 17 || slot == 30)
			continue;
		s.u.s.ppc64.slb[n].slbe = (mix(slot + cpu) & 0xfffffffff0000000ull) | 0x08000000 |
			slot;
		s.u.s.ppc64.slb[n].slbv = mix(slot + 1000 + cpu) & 0x0fffffffffffff00ull;
		n++;
	}
	say(ioctl(fd, KVM_SET_SREGS, &s) == 0, "vCPU %u's SLB is filled, out of order", cpu);
}
