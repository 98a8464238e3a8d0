/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/powerkvm/fill.h"

#include <errno.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "proto/onereg.h"

#define SLB_SLOTS 32u

/* What a register may hold, where it may not hold everything. */
static const struct {
	uint64_t id, mask, must;
} limits[] = {
	{KVM_REG_PPC_HIOR, 0, 0},
	/* POWER10's; Linux 6.1's KVM_SET_ONE_REG reads it instead */
	{KVM_REG_PPC_MMCR3, 0, 0},
	{KVM_REG_PPC_VPA_ADDR, 0, KVM_FILL_AREAS},
	{KVM_REG_PPC_ARCH_COMPAT, 0, 0x0f000004},
	{KVM_REG_PPC_ONLINE, 0, 1},
	{KVM_REG_PPC_DPDES, 0, 1},
	{KVM_REG_PPC_TB_OFFSET, 0x000000ffff000000, 1 << 24},
	/* DPFD, ILE, AIL 3, LD, TC */
	{KVM_REG_PPC_LPCR_64, 0, 0x0030000003820200},
	{KVM_REG_PPC_DAWRX, 0x7b, 3},
	{KVM_REG_PPC_DAWRX1, 0x7b, 3},
	{KVM_REG_PPC_DABRX, 0xb, 3},
	{KVM_REG_PPC_CIABR, ~3ull, 2},
	{KVM_REG_PPC_PSSCR, 0xf0000000000003ff, 0},
	{KVM_REG_PPC_PID, 0xfffff, 1}, /* KVM keeps 32 bits of it, and of the next two */
	{KVM_REG_PPC_TM_CR, 0xffffffff, 0},
	{KVM_REG_PPC_TM_VRSAVE, 0xffffffff, 0},
};

static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

void kvm_fill_value(uint64_t id, unsigned cpu, uint64_t value[static 2])
{
	value[0] = mix(id + cpu + 1);
	value[1] = mix(id + cpu + 101);
	if (id == KVM_REG_PPC_VPA_SLB) {
		value[0] = KVM_FILL_AREAS + 0x10000 + cpu * 0x1000ull;
		value[1] = 0x280;
	} else if (id == KVM_REG_PPC_VPA_DTL) {
		value[0] = KVM_FILL_AREAS + 0x20000 + cpu * 0x1000ull;
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

int kvm_fill_structs(int fd, unsigned cpu, uint64_t msr)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	if (ioctl(fd, KVM_GET_REGS, &r) < 0)
		return -errno;
	for (unsigned i = 0; i < 32; i++)
		r.gpr[i] = mix(0x1000 + i + 100 * cpu);
	r.pc = 0x2000;
	r.msr |= 0x8000000000000000ull | msr;
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
	if (ioctl(fd, KVM_SET_REGS, &r) < 0 || ioctl(fd, KVM_GET_SREGS, &s) < 0)
		return -errno;
	for (unsigned i = 0, n = 0; i < SLB_SLOTS; i++) {
		unsigned slot = SLB_SLOTS - 1 - i;

		if (slot == 5 || slot == 17 || slot == 30)
			continue;
		s.u.s.ppc64.slb[n].slbe = (mix(slot + cpu) & 0xfffffffff0000000ull) | 0x08000000 |
			slot;
		s.u.s.ppc64.slb[n].slbv = mix(slot + 1000 + cpu) & 0x0fffffffffffff00ull;
		n++;
	}
	return ioctl(fd, KVM_SET_SREGS, &s) < 0 ? -errno : 0;
}
