/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/powernv/hpt-diff.h"

#include <string.h>

#include "proto/htab.h"
#include "proto/pack.h"

static uint64_t state;

void random_seed(uint64_t seed)
{
	state = seed;
}

uint64_t rnd(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint64_t below(uint64_t n)
{
	return rnd() % n;
}

uint64_t random_dw0(bool odd)
{
	uint64_t v = below(1 << 16) << 12 | below(32) << 7 | (rnd() & 0x1b);

	v |= below(3) ? 0 : HPTE_V_LARGE;
	v |= below(10) ? 0 : 1ull << 62; /* 1 TiB segment */
	if (!odd)
		return v;
	v |= below(3) ? 0 : rnd() & 0x6a;                  /* lock, absent, software bits */
	v |= below(10) ? 0 : 1ull << 63;                   /* reserved segment size */
	v |= below(3) ? 0 : rnd() & 0x3ff0000000000000ull; /* lost in the POWER9 format */
	return v;
}

uint64_t random_dw1(uint64_t v, bool odd)
{
	uint64_t r = rnd() & 0x187; /* R, C, N, PP */

	switch (below(5)) {
	case 0: r |= rnd() & 0x0ffffffffffff000ull; break; /* hardly any memory there */
	case 1: r |= below(2 * MEMORY) & ~0xfffull; break;
	default: r |= below(MEMORY) & ~0xfffull;
	}
	r |= below(4) ? 0x10 : rnd() & 0x78;               /* M, or any of W, I, M, G */
	r |= below(4) ? 0 : rnd() & 0xb000000000000e00ull; /* PP0, key */
	if (!odd)
		return v & HPTE_V_LARGE ? (r & ~0xf000ull) | (below(4) ? 0x1000 : 0x7000) : r;
	r |= below(4) ? 0 : HPTE_R_MODIFIED;
	switch (v & HPTE_V_LARGE ? below(6) : 0) {
	case 0: return r;
	case 1: return r & ~0xff000ull;
	case 2: return (r & ~0xff000ull) | 0x8000;
	case 3: return (r & ~0xff000ull) | below(256) << 12;
	default: return (r & ~0xf000ull) | 0x1000;
	}
}

size_t random_size(void)
{
	switch (below(40)) {
	case 0: return 200000 + below(100000);
	case 1: return below(128 << 10);
	case 2: return 128 << 10;
	case 3:
	case 4:
	case 5:
	case 6: return below(8192);
	case 7:
	case 8:
	case 9: return below(26);
	default: return below(1000);
	}
}

size_t random_record(uint8_t *p, uint64_t index, size_t *ret_len)
{
	unsigned n_valid = (unsigned)(below(30) ? below(8) : below(300));
	unsigned n_invalid = (unsigned)(below(3) ? below(10) : below(30) ? 0 : below(2000));
	size_t len = HTAB_HDR_SIZE + 16ul * n_valid;
	bool odd = !below(4);

	htab_put_header(p, HTAB_HOST, (uint32_t)index, (uint16_t)n_valid, (uint16_t)n_invalid);
	for (unsigned i = 0; i < n_valid; i++) {
		bool is_odd = odd && !below(4);
		uint64_t v = random_dw0(is_odd) | HPTE_V_VALID, r = random_dw1(v, is_odd);

		if (is_odd && !below(10))
			v &= ~HPTE_V_VALID;
		be64_put(p + 8 + 16ul * i, v);
		be64_put(p + 16 + 16ul * i, r);
	}
	*ret_len = len;
	switch (odd ? below(6) : 3) {
	case 0: return len - below(len < 24 ? len : 24);
	case 1: return len - below(9); /* the quirk of 8 bytes */
	case 2: return len + below(9);
	default: return len;
	}
}

bool write_is_safe(const uint8_t *p, size_t n, size_t readable, uint64_t entries)
{
	for (size_t nb = 0, off = 0; nb + HTAB_HDR_SIZE <= n;) {
		uint32_t index;
		uint16_t n_valid, n_invalid;
		uint64_t end;

		memcpy(&index, p + off, 4);
		memcpy(&n_valid, p + off + 4, 2);
		memcpy(&n_invalid, p + off + 6, 2);
		end = (uint64_t)index + n_valid + n_invalid;
		if (nb + 16ul * n_valid > n)
			return true;
		nb += HTAB_HDR_SIZE + 16ul * n_valid;
		off += HTAB_HDR_SIZE;
		if (off + 16ul * n_valid > readable)
			return false;
		if (index >= entries || end > entries)
			return true;
		if (end > entries - PRIVATE)
			return false;
	}
	return true;
}
