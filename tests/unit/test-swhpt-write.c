/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes to the software HPT: many entries at once do what one hypercall for each does. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/pack.h"
#include "tests/unit/swhpt-harness.h"

static uint64_t seed;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

/* Entries of every kind that a write takes, in runs: pages of 4K, 64K and 16M, memory and none. */
static void random_entry(uint64_t *v, uint64_t *r)
{
	static const uint64_t wimg[] = {0x10, 0x10, 0x10, 0x50, 0x70, 0x28, 0x00};
	uint64_t x = random64(), lp = random64() % 8;
	uint64_t gpa = random64() % 6 * (MEMORY / 2) + (random64() & 0x3fff000);

	*v = (x & 0x7fffffffffffff9aull) | HPTE_V_VALID | (x >> 8 & 0x60);
	*r = (random64() & 0x7000000000000f87ull) | wimg[x % 7];
	if (lp < 3) {
		*r |= gpa;
		return;
	}
	*v |= HPTE_V_LARGE;
	if (lp == 3 && (gpa < MEMORY || gpa >= 2 * MEMORY)) /* larger than the host's pages */
		*r |= gpa & ~0xffffffull;
	else
		*r |= (gpa & ~0xf000ull) | 0x1000;
}

/* A record of a few entries, which resemble each other more often than not. */
static size_t random_record(uint8_t *dst, uint32_t index)
{
	unsigned n = random64() % 12, n_invalid = random64() % 4 + (n == 0);
	uint64_t v, r;

	htab_put_header(dst, HTAB_HOST, index, (uint16_t)n, (uint16_t)n_invalid);
	random_entry(&v, &r);
	for (unsigned i = 0; i < n; i++) {
		if (random64() % 4 == 0)
			random_entry(&v, &r);
		else
			r ^= random64() & 0x180;
		be64_put(dst + 8 + 16 * i, v);
		be64_put(dst + 16 + 16 * i, r);
	}
	return 8 + 16 * (size_t)n;
}

/* What such a record means, by hypercalls. */
static void apply(struct swhpt *t, const uint8_t *p)
{
	uint64_t args[SWHPT_HCALL_ARGS], ret[SWHPT_HCALL_ARGS];
	struct htab_iter it;
	struct htab_rec rec;

	htab_iter_init(&it, p, HTAB_REC_MAX, ENTRIES, HTAB_HOST);
	ck_assert_int_eq(htab_iter_next(&it, &rec), 1);
	for (unsigned i = 0; i < (unsigned)rec.n_valid + rec.n_invalid; i++) {
		memset(args, 0, sizeof(args));
		args[1] = rec.index + i;
		swhpt_hcall(t, H_REMOVE, args, ret);
		if (i >= rec.n_valid)
			continue;
		args[0] = H_EXACT;
		args[2] = be64_get(rec.hptes + 16 * (size_t)i);
		args[3] = be64_get(rec.hptes + 16 * (size_t)i + 8);
		ck_assert_int_eq(swhpt_hcall(t, H_ENTER, args, ret), H_SUCCESS);
	}
}

/* Both as a guest sees them, and what hardware may use of them. */
static void compare(struct swhpt *a, struct swhpt *b)
{
	uint64_t args[SWHPT_HCALL_ARGS] = {0}, x[SWHPT_HCALL_ARGS], y[SWHPT_HCALL_ARGS];

	swhpt_vcpu_enter(a);
	swhpt_vcpu_enter(b);
	for (uint64_t i = 0; i < ENTRIES; i++) {
		args[1] = i;
		ck_assert_int_eq(swhpt_hcall(a, H_READ, args, x), H_SUCCESS);
		ck_assert_int_eq(swhpt_hcall(b, H_READ, args, y), H_SUCCESS);
		ck_assert_uint_eq(x[0], y[0]);
		if (x[0] & HPTE_V_VALID)
			ck_assert_uint_eq(x[1], y[1]);
		ck_assert(swhpt_touch(a, i, 0) == swhpt_touch(b, i, 0));
		/* "if the entry has none of these bits": as it lies in the table */
		args[0] = H_ANDCOND;
		args[2] = HPTE_V_ABSENT;
		ck_assert(swhpt_hcall(a, H_REMOVE, args, x) == swhpt_hcall(b, H_REMOVE, args, y));
		args[0] = args[2] = 0;
	}
	swhpt_vcpu_leave(a);
	swhpt_vcpu_leave(b);
}

/* What a reader of all that changed is told, of either table. */
static void compare_changes(struct swhpt_fd *a, struct swhpt_fd *b)
{
	static uint8_t other[sizeof(bytes)];
	ssize_t n;

	do {
		n = swhpt_read(a, bytes, sizeof(bytes));
		ck_assert_int_eq(swhpt_read(b, other, sizeof(other)), n);
		ck_assert_mem_eq(bytes, other, (size_t)n);
	} while (n > 0);
}

/* _i & 1: somebody reads, so that changes are marked; 2: entry by entry. */
START_TEST(a_write_of_many_is_a_hypercall_for_each)
{
	struct swhpt_fd *w = open_fd(HTAB_FD_WRITE, 0), *ra = NULL, *rb = NULL;
	struct swhpt *other = NULL;
	uint8_t *one = malloc(HTAB_REC_MAX);

	seed = 0x1234567 + (uint64_t)_i;
	swhpt_no_vec = _i & 2;
	ck_assert_int_eq(swhpt_new(ORDER, &other), 0);
	ck_assert_int_eq(swhpt_add_memory(other, MEMORY, MEMORY, 16), 0);
	if (_i & 1) {
		ra = open_fd(0, ENTRIES);
		ck_assert_int_eq(swhpt_open(other, 0, ENTRIES, &rb), 0);
		compare_changes(ra, rb);
	}
	for (unsigned round = 0; round < 400; round++) {
		size_t len = 0;

		swhpt_vcpu_enter(other);
		for (unsigned k = 0; k < 40; k++) {
			size_t n = random_record(one, (uint32_t)(random64() % (ENTRIES - 16)));

			apply(other, one);
			memcpy(bytes + len, one, n);
			len += n;
		}
		swhpt_vcpu_leave(other);
		ck_assert_int_eq(swhpt_write_records(w, bytes, len), (ssize_t)len);
	}
	if (_i & 1)
		compare_changes(ra, rb);
	compare(h, other);
	swhpt_close(ra);
	swhpt_close(rb);
	swhpt_close(w);
	swhpt_free(other);
	free(one);
}
END_TEST

/* Entries of the real mode area among others that are like them but for their address. */
START_TEST(one_of_several_sets_up_the_real_mode_area)
{
	const uint64_t area = 0x4001ffffff000000ull | HPTE_V_BOLTED | HPTE_V_LARGE | HPTE_V_VALID;
	struct swhpt_fd *w = open_fd(HTAB_FD_WRITE, 0), *r = open_fd(0, ENTRIES);
	size_t len;

	swhpt_no_vec = _i;
	ck_assert_int_eq(swhpt_add_memory(h, 0, 1 << 20, 16), 0);
	len = record(bytes, 800, 2, 6, V(5) | HPTE_V_LARGE, 0x1190); /* what others are like */
	len += record(bytes + len, 808, 4, 4, V(6) | HPTE_V_LARGE, 0x1190);
	be64_put(bytes + 48 + 16, area); /* the second and the fourth of the second record */
	be64_put(bytes + 48 + 48, area);
	ck_assert_int_eq(swhpt_write_records(w, bytes, len), (ssize_t)len);
	swhpt_vcpu_enter(h); /* maps nothing: somebody did */
	swhpt_vcpu_leave(h);
	ck_assert_int_eq(swhpt_read(r, bytes, sizeof(bytes)), 0); /* the end of the table */
	len = (size_t)swhpt_read(r, bytes, sizeof(bytes));
	ck_assert_uint_eq(len, 2 * 8 + 6 * 16);
	swhpt_close(r);
	swhpt_close(w);
}
END_TEST

START_TEST(memory_that_comes_later_is_memory)
{
	struct swhpt_fd *w = open_fd(HTAB_FD_WRITE, 0);

	for (uint32_t i = 0; i < 2; i++) {
		size_t len = record(bytes, 10 * i, 3, 0, V(1), R((2 * MEMORY + (64 << 10)) >> 16));

		ck_assert_int_eq(swhpt_write_records(w, bytes, len), (ssize_t)len);
		ck_assert(swhpt_touch(h, 10 * i + 2, HPTE_R_R) == (i == 1));
		if (i == 0)
			ck_assert_int_eq(swhpt_add_memory(h, 2 * MEMORY, MEMORY, 16), 0);
	}
	swhpt_close(w);
}
END_TEST

/* The third of four records is refused: two are written, and nothing of what follows. */
START_TEST(a_write_of_many_ends_at_the_record_that_is_refused)
{
	static const struct {
		uint32_t index;
		uint64_t v, r;
		int err;
		bool gone; /* the entry that was there is removed before the new one fails */
	} bad[] = {
		{ENTRIES, V(9), R(MEMORY >> 16), -EINVAL, false},
		{30, V(9) & ~HPTE_V_VALID, R(MEMORY >> 16), -EINVAL, false},
		{30, V(9) | HPTE_V_LARGE, R(MEMORY >> 16) | 2 << 12, -EINVAL, false},
		{30, V(9) | HPTE_V_LARGE, MEMORY | 0x10, -EIO, true},
		{30, V(9) | 1ull << 63, R(MEMORY >> 16), -EIO, true},
	};
	struct swhpt_fd *w = open_fd(HTAB_FD_WRITE, 0), *r = NULL;
	uint64_t ret[SWHPT_HCALL_ARGS];
	size_t len = 0, good;

	for (uint32_t i = 10; i <= 50; i += 10)
		ck_assert_int_eq(enter(H_EXACT, i, V(1), R(MEMORY >> 16), NULL), H_SUCCESS);
	len += record(bytes, 10, 1, 0, V(2), R(MEMORY >> 16));
	len += record(bytes + len, 20, 1, 0, V(2), R(MEMORY >> 16));
	good = len;
	len += record(bytes + len, bad[_i].index, 1, 0, bad[_i].v, bad[_i].r);
	len += record(bytes + len, 40, 1, 0, V(2), R(MEMORY >> 16));
	ck_assert_int_eq(swhpt_write_records(w, bytes, len), (ssize_t)good);
	for (uint32_t i = 10; i <= 50; i += 10) {
		hcall(H_READ, 0, i, 0, 0, ret);
		ck_assert_uint_eq(ret[0], i <= 20 ? V(2) : i == 30 && bad[_i].gone ? 0 : V(1));
	}
	ck_assert_int_eq(swhpt_write_records(w, bytes + good, len - good), bad[_i].err);
	/* a record cut short ends it, too */
	ck_assert_int_eq(swhpt_write_records(w, bytes, good - 1), (ssize_t)good / 2);
	r = open_fd(0, 0);
	ck_assert_int_eq(swhpt_write_records(r, bytes, good), -EBADF);
	swhpt_vcpu_enter(h);
	ck_assert_int_eq(swhpt_write_records(w, bytes, good), -EBUSY);
	swhpt_vcpu_leave(h);
	swhpt_close(r);
	swhpt_close(w);
}
END_TEST

/* -- a reader and a writer of one table at once -- */

#define ROUNDS 300

static void *write_on(void *arg)
{
	static uint8_t buf[64 << 10];
	struct swhpt_fd *w = arg;

	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t len = 0;

		while (len < sizeof(buf) - 256)
			len += random_record(buf + len, (uint32_t)(random64() % (ENTRIES - 16)));
		ck_assert_int_eq(swhpt_write_records(w, buf, len), (ssize_t)len);
	}
	return NULL;
}

static uint64_t seen[2 * ENTRIES];

static void replay(size_t len)
{
	struct htab_iter it;
	struct htab_rec rec;
	int r;

	htab_iter_init(&it, bytes, len, ENTRIES, HTAB_HOST);
	while ((r = htab_iter_next(&it, &rec)) > 0) {
		for (unsigned i = 0; i < (unsigned)rec.n_valid + rec.n_invalid; i++) {
			uint64_t *m = &seen[2 * (rec.index + (size_t)i)];

			m[0] = i < rec.n_valid ? be64_get(rec.hptes + 16 * (size_t)i) : 0;
			m[1] = i < rec.n_valid ? be64_get(rec.hptes + 16 * (size_t)i + 8) : 0;
			hpte_normalise(&m[0], &m[1]);
		}
	}
	ck_assert_int_eq(r, 0);
}

START_TEST(what_is_written_while_one_reads_is_read)
{
	size_t len = (size_t)ENTRIES * 16;
	struct swhpt_fd *w = open_fd(HTAB_FD_WRITE, 0), *r = open_fd(0, 0);
	uint8_t *final = malloc(len);
	pthread_t thread;

	seed = 99;
	memset(seen, 0xff, sizeof(seen));
	ck_assert_int_eq(pthread_create(&thread, NULL, write_on, w), 0);
	for (unsigned n = 0; n < 2 * ROUNDS; n++)
		replay((size_t)swhpt_read(r, bytes, 100 + (n * 7919) % (64 << 10)));
	pthread_join(thread, NULL);
	for (unsigned empty = 0; empty < 2;) {
		ssize_t n = swhpt_read(r, bytes, sizeof(bytes));

		empty = n ? 0 : empty + 1;
		replay((size_t)n);
	}
	ck_assert_int_eq(swhpt_save_flat(h, final, len), 0);
	for (size_t i = 0; i < 2 * (size_t)ENTRIES; i++)
		ck_assert_uint_eq(be64_get(final + 8 * i), seen[i]);
	swhpt_close(r);
	swhpt_close(w);
	free(final);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("swhpt-write");
	TCase *tc = tcase_create("swhpt-write");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, a_write_of_many_is_a_hypercall_for_each, 0, 4);
	tcase_add_loop_test(tc, one_of_several_sets_up_the_real_mode_area, 0, 2);
	tcase_add_test(tc, memory_that_comes_later_is_memory);
	tcase_add_loop_test(tc, a_write_of_many_ends_at_the_record_that_is_refused, 0, 5);
	tcase_add_test(tc, what_is_written_while_one_reads_is_read);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
