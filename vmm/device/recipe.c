/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Recipes for KVM's own devices. Numbers are KVM's (arch/powerpc/include/uapi/asm/kvm.h, which
 * other architectures lack; checked against it in powerkvm/abi_check.c); orders are those of
 * Documentation/virt/kvm/devices/ and of arch/powerpc/kvm/.
 */
#include "vmm/device/recipe.h"

#include <errno.h>
#include <string.h>

#include "vmm/htabvmm.h"

#define RECIPE(a)                                                 \
	{                                                         \
		.steps = (a), .count = sizeof(a) / sizeof((a)[0]) \
	}

/*
 * XICS. Sources before ICP_STATE: one that names a source in a block that does not exist yet is
 * refused, and a pending one is sent again by whichever comes second. The XIVE-backed XICS of
 * POWER9 scans its queues when the first source is read and counts the reads to know the last:
 * all sources have to be read.
 */
static const struct htabvmm_step xics[] = {
	{.verb = HTABVMM_STEP_MOVE,
		.space = HTABVMM_IN_DEVICE,
		.each = HTABVMM_EACH_SOURCE,
		.flags = HTABVMM_STEP_OPTIONAL,
		.group = RECIPE_XICS_SOURCES,
		.scale = 1,
		.fields = {8}},
	{.verb = HTABVMM_STEP_MOVE,
		.space = HTABVMM_IN_VCPU_REG,
		.first = RECIPE_REG_ICP_STATE,
		.fields = {8}},
};

/*
 * XIVE. Hold: each source is asked for by a sync (one that does not exist has no ESB page and would
 * raise SIGBUS), masked, and the queues flushed into the guest's memory. Load: queues, since
 * targets depend on them; sources and targets; thread contexts; P and Q. Priority 7 is the
 * hypervisor's.
 */
static const struct htabvmm_step xive[] = {
	{.verb = HTABVMM_STEP_AT_LOAD,
		.space = HTABVMM_IN_DEVICE,
		.group = RECIPE_XIVE_CTRL,
		.first = RECIPE_XIVE_RESET},
	{.verb = HTABVMM_STEP_MOVE,
		.space = HTABVMM_IN_DEVICE,
		.each = HTABVMM_EACH_SERVER,
		.flags = HTABVMM_STEP_SPARSE,
		.group = RECIPE_XIVE_EQ_CONFIG,
		.scale = 8,
		.stride = 1,
		.count = 7,
		/* struct kvm_ppc_xive_eq: flags, qshift, qaddr, qtoggle, qindex */
		.fields = {4, 4, 8, 4, 4},
		.size = 64},
	{.verb = HTABVMM_STEP_MOVE,
		.space = HTABVMM_IN_DEVICE,
		.each = HTABVMM_EACH_SOURCE,
		.group = RECIPE_XIVE_SOURCE,
		.scale = 1,
		.shadow = 1,
		.fields = {8}},
	{.verb = HTABVMM_STEP_MOVE,
		.space = HTABVMM_IN_DEVICE,
		.each = HTABVMM_EACH_SOURCE,
		.group = RECIPE_XIVE_SOURCE_CONFIG,
		.scale = 1,
		.shadow = 2,
		.fields = {8}},
	/* Words 0 and 1 of the thread context as they are in memory; KVM leaves the rest unset. */
	{.verb = HTABVMM_STEP_MOVE,
		.space = HTABVMM_IN_VCPU_REG,
		.first = RECIPE_REG_VP_STATE,
		.fields = {HTABVMM_BYTES(8)},
		.size = 16},
	{.verb = HTABVMM_STEP_AT_HOLD,
		.space = HTABVMM_IN_DEVICE,
		.each = HTABVMM_EACH_SOURCE,
		.group = RECIPE_XIVE_SOURCE_SYNC,
		.scale = 1},
	{.verb = HTABVMM_STEP_MOVE,
		.space = HTABVMM_IN_XIVE_ESB,
		.each = HTABVMM_EACH_SOURCE,
		.scale = 1,
		.fields = {1}},
	{.verb = HTABVMM_STEP_AT_HOLD,
		.space = HTABVMM_IN_DEVICE,
		.group = RECIPE_XIVE_CTRL,
		.first = RECIPE_XIVE_EQ_SYNC},
};

#define MPIC_REG(...)                                                     \
	{                                                                 \
		.verb = HTABVMM_STEP_MOVE, .space = HTABVMM_IN_DEVICE,    \
		.group = RECIPE_MPIC_REGISTER, .fields = {4}, __VA_ARGS__ \
	}

/*
 * Freescale's MPIC. Reset, then registers (vectors last of a source's, since they let it through),
 * task priorities, and the inputs, which raise again what was raised. KVM's model gives no way to
 * read which interrupts a vCPU has taken and not ended, nor an MSI's bits without clearing them,
 * and its timers do not count: those stay behind.
 */
static const struct htabvmm_step mpic[] = {
	{.verb = HTABVMM_STEP_AT_LOAD,
		.space = HTABVMM_IN_DEVICE,
		.group = RECIPE_MPIC_REGISTER,
		.first = 0x1020,
		.constant = 0x80000000,
		.fields = {4}},
	MPIC_REG(.first = 0x1020),                                                /* GCR */
	MPIC_REG(.first = 0x10e0),                                                /* SPVE */
	MPIC_REG(.first = 0x10a0, .stride = 0x10, .count = 4),                    /* IPIVPR */
	MPIC_REG(.first = 0x10010, .scale = 0x20, .each = HTABVMM_EACH_SOURCE),   /* IDR */
	MPIC_REG(.first = 0x10018, .scale = 0x20, .each = HTABVMM_EACH_SOURCE),   /* ILR */
	MPIC_REG(.first = 0x10000, .scale = 0x20, .each = HTABVMM_EACH_SOURCE),   /* IVPR */
	MPIC_REG(.first = 0x20080, .scale = 0x1000, .each = HTABVMM_EACH_SERVER), /* CTPR */
	{.verb = HTABVMM_STEP_MOVE,
		.space = HTABVMM_IN_DEVICE,
		.each = HTABVMM_EACH_SOURCE,
		.group = RECIPE_MPIC_IRQ_ACTIVE,
		.scale = 1,
		.fields = {4}},
	{.verb = HTABVMM_STEP_MOVE,
		.space = HTABVMM_IN_DEVICE,
		.group = RECIPE_MPIC_MISC,
		.first = 0, /* KVM_DEV_MPIC_BASE_ADDR */
		.fields = {8}},
};

static const struct htabvmm_step tsc[] = {
	{.verb = HTABVMM_STEP_MOVE, .space = HTABVMM_IN_CLOCK, .fields = {8, 8, 8}},
	{.verb = HTABVMM_STEP_MOVE, .space = HTABVMM_IN_VCPU_TSC, .fields = {8, 4}},
};

const struct htabvmm_recipe *htabvmm_recipe(const char *name)
{
	static const struct {
		const char *name;
		struct htabvmm_recipe recipe;
	} all[] = {
		{"xics", RECIPE(xics)},
		{"xive", RECIPE(xive)},
		{"mpic", RECIPE(mpic)},
		{"tsc", RECIPE(tsc)},
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(all[i].name, name) == 0)
			return &all[i].recipe;
	return NULL;
}
