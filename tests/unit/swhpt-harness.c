/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/swhpt-harness.h"

#include <check.h>

#include "proto/pack.h"

struct swhpt *h;
uint8_t bytes[HTAB_REC_MAX];

void setup(void)
{
	ck_assert_int_eq(swhpt_new(ORDER, &h), 0);
	/* Away from 0, so that entering a vCPU maps no virtual real mode area. */
	ck_assert_int_eq(swhpt_add_memory(h, MEMORY, MEMORY, 16), 0);
}

void teardown(void)
{
	h = swhpt_free(h);
	swhpt_no_vec = false;
}

struct swhpt_fd *open_fd(uint64_t flags, uint64_t start)
{
	struct swhpt_fd *fd = NULL;

	ck_assert_int_eq(swhpt_open(h, flags, start, &fd), 0);
	return fd;
}

int64_t hcall(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t *ret)
{
	uint64_t args[SWHPT_HCALL_ARGS] = {a, b, c, d}, scratch[SWHPT_HCALL_ARGS];
	int64_t r;

	swhpt_vcpu_enter(h);
	r = swhpt_hcall(h, nr, args, ret ? ret : scratch);
	swhpt_vcpu_leave(h);
	return r;
}

int64_t enter(uint64_t flags, uint64_t index, uint64_t v, uint64_t r, uint64_t *ret_index)
{
	uint64_t ret[SWHPT_HCALL_ARGS];
	int64_t x = hcall(H_ENTER, flags, index, v, r, ret);

	if (ret_index)
		*ret_index = ret[0];
	return x;
}

size_t record(void *dst, uint32_t index, unsigned n, unsigned n_invalid, uint64_t v, uint64_t r)
{
	uint8_t *p = dst;

	htab_put_header(p, HTAB_HOST, index, (uint16_t)n, (uint16_t)n_invalid);
	for (unsigned i = 0; i < n; i++) {
		be64_put(p + 8 + 16 * i, v);
		be64_put(p + 16 + 16 * i, r);
	}
	return 8 + 16 * (size_t)n;
}

struct htab_rec next(size_t n, size_t *off)
{
	struct htab_iter it;
	struct htab_rec rec;

	htab_iter_init(&it, bytes + *off, n - *off, swhpt_entries(h), HTAB_HOST);
	ck_assert_int_eq(htab_iter_next(&it, &rec), 1);
	*off += 8 + 16 * (size_t)rec.n_valid;
	return rec;
}

void expect_rec(size_t n, size_t *off, uint32_t index, unsigned valid, unsigned invalid)
{
	struct htab_rec rec = next(n, off);

	ck_assert_uint_eq(rec.index, index);
	ck_assert_uint_eq(rec.n_valid, valid);
	ck_assert_uint_eq(rec.n_invalid, invalid);
}
