/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * KVM's ONE_REG ids for PowerPC: a number that states its architecture and the value's size.
 * Checked against <linux/kvm.h> in state_kvm.c. Pure.
 */
#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ONE_REG_PPC      0x1000000000000000ull
#define ONE_REG_U32      0x0020000000000000ull
#define ONE_REG_U64      0x0030000000000000ull
#define ONE_REG_U128     0x0040000000000000ull
#define ONE_REG_SIZE_MAX 16u
#define ONE_REG_TM       0x80000000ull /* transactional memory's checkpointed registers */

#define ONE_REG_NR(id)   ((uint32_t)(id)) /* without architecture and size */

static inline size_t one_reg_size(uint64_t id)
{
	return (size_t)1 << (id >> 52 & 15);
}

/* PowerPC's, of 4, 8 or 16 bytes, without a bit that means nothing. */
static inline bool one_reg_ok(uint64_t id)
{
	uint64_t size = id & 0x00f0000000000000ull;

	return (id & ~(size | 0xffffffffull)) == ONE_REG_PPC &&
		(size == ONE_REG_U32 || size == ONE_REG_U64 || size == ONE_REG_U128);
}

/*
 * From host order to the image's big-endian one or back. Vector registers are integers of 128 bits;
 * VPA_SLB (0x83) and VPA_DTL (0x84) are two doublewords, address and length, in that order.
 */
static inline void one_reg_swap(uint64_t id, void *dst, const void *src)
{
	size_t size = one_reg_size(id);
	bool pair = ONE_REG_NR(id) == 0x83 || ONE_REG_NR(id) == 0x84;
	size_t unit = pair && size == 16 ? 8 : size;
	const uint8_t *from = src;
	uint8_t *to = dst;

	if (BYTE_ORDER == BIG_ENDIAN) {
		memcpy(to, from, size);
		return;
	}
	for (size_t i = 0; i < size; i++)
		to[i] = from[i / unit * unit + unit - 1 - i % unit];
}
