/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/onereg.h"

#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <string.h>

#define PSSCR    ONE_REG_ID(U64, 0xbd)
#define MASK(id) ((id) == PSSCR ? ONE_REG_PSSCR_MASK : ONE_REG_LPCR_MASK)

#define ROW(name, nr, size, phase, policy)                                       \
	{ONE_REG_ID(size, nr##ull), 1, #name, ONE_REG_##phase, ONE_REG_##policy, \
		ONE_REG_##policy == ONE_REG_MASK ? MASK(ONE_REG_ID(size, nr##ull)) : 0},
#define RANGE(name, nr, count, size, phase, policy) \
	{ONE_REG_ID(size, nr##ull), count, #name, ONE_REG_##phase, ONE_REG_##policy, 0},

const struct one_reg one_regs[] = {
	ONE_REG_RANGES(RANGE) ONE_REGS(ROW) ONE_REGS_NEW(ROW) ONE_REGS_TM(ROW)};
const size_t one_regs_n = sizeof(one_regs) / sizeof(one_regs[0]);

#define COUNT(name, nr, count, size, phase, policy) +1
#define RANGES                                      (0 ONE_REG_RANGES(COUNT))

const struct one_reg *one_reg_find(uint64_t id)
{
	size_t low = RANGES, high = one_regs_n;

	for (size_t i = 0; i < RANGES; i++)
		if (id >= one_regs[i].id && id - one_regs[i].id < one_regs[i].count)
			return &one_regs[i];
	while (low < high) { /* the first one with that number */
		size_t middle = (low + high) / 2;

		if (ONE_REG_NR(one_regs[middle].id) < ONE_REG_NR(id))
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < one_regs_n && ONE_REG_NR(one_regs[low].id) == ONE_REG_NR(id); low++)
		if (one_regs[low].id == id)
			return &one_regs[low];
	return NULL;
}

void one_reg_name(uint64_t id, char buf[static ONE_REG_NAME_MAX])
{
	const struct one_reg *r = one_reg_find(id);

	if (!r)
		snprintf(buf, ONE_REG_NAME_MAX, "ONE_REG %#llx", (unsigned long long)id);
	else if (r->count == 1)
		snprintf(buf, ONE_REG_NAME_MAX, "%s", r->name);
	else
		snprintf(buf, ONE_REG_NAME_MAX, "%s%u", r->name, (unsigned)(id - r->id));
}

const char *one_reg_phase_name(enum one_reg_phase phase)
{
	switch (phase) {
	case ONE_REG_COMPAT: return "compat";
	case ONE_REG_FP: return "fp";
	case ONE_REG_SPR: return "spr";
	case ONE_REG_TMS: return "tm";
	case ONE_REG_STATUS: return "status";
	case ONE_REG_VPA: return "vpa";
	case ONE_REG_VPA_REST: return "vpa-rest";
	case ONE_REG_TIME: return "time";
	case ONE_REG_DOORBELL: return "doorbell";
	case ONE_REG_PHASES: break;
	}
	return "?";
}

const char *one_reg_policy_name(enum one_reg_policy policy)
{
	switch (policy) {
	case ONE_REG_MUST: return "must";
	case ONE_REG_ZERO: return "zero";
	case ONE_REG_MASK: return "mask";
	case ONE_REG_ANEW: return "anew";
	case ONE_REG_BLIND: return "blind";
	case ONE_REG_NEVER: return "never";
	}
	return "?";
}

bool one_reg_ok(uint64_t id)
{
	uint64_t size = id & 0x00f0000000000000ull;

	return (id & ~(size | 0xffffffffull)) == ONE_REG_PPC &&
		(size == ONE_REG_U32 || size == ONE_REG_U64 || size == ONE_REG_U128);
}

bool one_reg_is_pair(uint64_t id)
{
	return id == ONE_REG_ID(U128, 0x83) || id == ONE_REG_ID(U128, 0x84); /* VPA_SLB, VPA_DTL */
}

void one_reg_swap_for(bool big_endian_host, uint64_t id, void *dst, const void *src)
{
	size_t size = one_reg_size(id), unit = one_reg_is_pair(id) ? 8 : size;
	const uint8_t *from = src;
	uint8_t *to = dst;

	assert(size <= ONE_REG_SIZE_MAX);
	if (big_endian_host) {
		memcpy(to, from, size);
		return;
	}
	for (size_t i = 0; i < size; i++)
		to[i] = from[i / unit * unit + unit - 1 - i % unit];
}

void one_reg_swap(uint64_t id, void *dst, const void *src)
{
	one_reg_swap_for(BYTE_ORDER == BIG_ENDIAN, id, dst, src);
}
