/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Known values in every register that takes one: by id, so that no two have the same. */
#include <stdalign.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/kvm.h>

#include "proto/onereg.h"
#include "tests/powernv/state-kvm.h"
#include "vmm/powerkvm/fill.h"

#define FILLED_MAX       512
#define MSR_TS_SUSPENDED (1ull << 33)

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

static void fill(int fd, unsigned cpu, uint64_t id)
{
	alignas(16) uint64_t was[2] = {0}, want[2] = {0}, got[2] = {0};
	size_t size = one_reg_size(id);
	char name[ONE_REG_NAME_MAX];

	one_reg_name(id, name);
	if (one(fd, KVM_GET_ONE_REG, id, was) < 0)
		return;
	kvm_fill_value(id, cpu, want);
	if (one(fd, KVM_SET_ONE_REG, id, want) < 0) {
		say(false, "vCPU %u's %s takes no value: %m", cpu, name);
		return;
	}
	one(fd, KVM_GET_ONE_REG, id, got);
	/* LPCR keeps the host's bits; TM_VSCR's set sets VSCR, which comes later */
	if (id == KVM_REG_PPC_TM_VSCR)
		return;
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

bool has_tm(int fd)
{
	uint64_t v;

	return one(fd, KVM_GET_ONE_REG, KVM_REG_PPC_TFHAR, &v) == 0;
}

void fill_structs(int fd, unsigned cpu)
{
	int r = kvm_fill_structs(fd, cpu, has_tm(fd) ? MSR_TS_SUSPENDED : 0);

	say(r == 0, "vCPU %u's registers and its SLB are filled, out of order (%d)", cpu, r);
}
