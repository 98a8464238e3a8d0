/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * a * b / c with a product of 128 bits, rounded down; UINT64_MAX when the quotient is more than
 * that. c is not 0. Compilers for 32-bit machines have no such type: there it is done by hand.
 */
#include <stdint.h>

static inline uint64_t mul_div_by_hand(uint64_t a, uint64_t b, uint64_t c)
{
	uint64_t low = (a & UINT32_MAX) * (b & UINT32_MAX);
	uint64_t mid = (a >> 32) * (b & UINT32_MAX) + (low >> 32);
	uint64_t cross = (a & UINT32_MAX) * (b >> 32) + (mid & UINT32_MAX);
	uint64_t high = (a >> 32) * (b >> 32) + (mid >> 32) + (cross >> 32);
	uint64_t quotient = 0;

	if (high >= c)
		return UINT64_MAX;
	low = cross << 32 | (low & UINT32_MAX);
	for (int i = 0; i < 64; i++) {
		uint64_t carry = high >> 63;

		high = high << 1 | low >> 63;
		low <<= 1;
		quotient <<= 1;
		if (carry || high >= c) {
			high -= c;
			quotient |= 1;
		}
	}
	return quotient;
}

static inline uint64_t mul_div(uint64_t a, uint64_t b, uint64_t c)
{
#ifdef __SIZEOF_INT128__
	unsigned __int128 q = (unsigned __int128)a * b / c;

	return q > UINT64_MAX ? UINT64_MAX : (uint64_t)q;
#else
	return mul_div_by_hand(a, b, c);
#endif
}
