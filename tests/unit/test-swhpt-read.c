/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pass 1 of the software HPT, whole groups at once, gives what entry after entry gives. */
#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "proto/pack.h"
#include "tests/unit/swhpt-harness.h"

static uint64_t seed;
static struct swhpt *other;

static uint64_t random64(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static void both(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
	uint64_t args[SWHPT_HCALL_ARGS] = {a, b, c, d}, x[SWHPT_HCALL_ARGS], y[SWHPT_HCALL_ARGS];

	swhpt_vcpu_enter(h);
	swhpt_vcpu_enter(other);
	ck_assert_int_eq(swhpt_hcall(h, nr, args, x), swhpt_hcall(other, nr, args, y));
	swhpt_vcpu_leave(h);
	swhpt_vcpu_leave(other);
}

/* Groups that are full, empty, filled from the front and with holes; R, C and their traces. */
static void change(unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		uint64_t x = random64(), group = x % (ENTRIES / 8) * 8, i = group + (x >> 32) % 8;
		uint64_t v = (random64() & 0x7fffffffffffff80ull) >> 1 | (x >> 40 & 0x10);
		uint64_t page = (x >> 44) % 3 ? MEMORY >> 16 : 0x7000; /* none there */

		switch (x >> 60) {
		case 0:
		case 1:
		case 2: both(H_REMOVE, 0, i, 0, 0); break;
		case 3:
		case 4:
		case 5:
			ck_assert(swhpt_touch(h, i, x >> 50 & (HPTE_R_R | HPTE_R_C)) ==
				swhpt_touch(other, i, x >> 50 & (HPTE_R_R | HPTE_R_C)));
			break;
		case 6:
		case 7:
		case 8:
			for (i = group; i < group + 8; i++)
				both(H_ENTER, H_EXACT, i, v & ~0x7full, R(page) | (x & 0x180));
			break;
		default: both(H_ENTER, H_EXACT, i, v & ~0x7full, R(page) | (x & 0x180)); break;
		}
	}
}

/* By reads of the same sizes, most of them small. Returns how many records there were. */
static unsigned pass(struct swhpt_fd *a, struct swhpt_fd *b)
{
	static uint8_t beside[sizeof(bytes)];
	unsigned records = 0;
	size_t off, count;
	ssize_t n;

	do {
		count = random64() % 16 ? 25 + random64() % 1000 : sizeof(bytes);
		memset(bytes, 0x55, sizeof(bytes));
		swhpt_no_vec = false;
		n = swhpt_read(a, bytes, count);
		for (off = count; off < count + 200 && off < sizeof(bytes); off++)
			ck_assert_uint_eq(bytes[off], 0x55); /* nothing behind the buffer */
		swhpt_no_vec = true;
		ck_assert_int_eq(swhpt_read(b, beside, count), n);
		ck_assert_int_ge(n, 0);
		ck_assert_mem_eq(bytes, beside, (size_t)n);
		for (off = 0; off < (size_t)n; records++)
			next((size_t)n, &off);
	} while ((size_t)n + HTAB_HDR_SIZE + HTAB_HPTE_SIZE >= count);
	return records;
}

START_TEST(whole_groups_read_as_their_entries)
{
	unsigned records = 0;

	seed = 0x1234567 + (uint64_t)_i;
	ck_assert_int_eq(swhpt_new(ORDER, &other), 0);
	ck_assert_int_eq(swhpt_add_memory(other, MEMORY, MEMORY, 16), 0);
	for (unsigned round = 0; round < 6; round++) {
		uint64_t start = round % 2 ? random64() % ENTRIES : 0;
		struct swhpt_fd *a = open_fd(0, start), *b;

		ck_assert_int_eq(swhpt_open(other, 0, start, &b), 0);
		change(ENTRIES / 4); /* marked, since somebody reads */
		records += pass(a, b);
		pass(a, b); /* and no change is left behind, or lost */
		swhpt_close(a);
		swhpt_close(b);
		change(ENTRIES / 64);
	}
	ck_assert_uint_gt(records, ENTRIES / 8);
	swhpt_no_vec = false;
	other = swhpt_free(other);
}
END_TEST

#define FLICKER 64u /* entries that come and go */
#define PASSES  2000u

static atomic_bool over;

/* Each time with another page, which the first doubleword tells as well. */
static void *flicker(void *arg)
{
	uint64_t args[SWHPT_HCALL_ARGS], ret[SWHPT_HCALL_ARGS];

	swhpt_vcpu_enter(h);
	for (uint64_t n = 1; !atomic_load(&over); n++) {
		uint64_t page = (MEMORY >> 16) + n % (MEMORY >> 16);

		memcpy(args, (uint64_t[SWHPT_HCALL_ARGS]){0, n % FLICKER}, sizeof(args));
		swhpt_hcall(h, H_REMOVE, args, ret);
		memcpy(args, (uint64_t[SWHPT_HCALL_ARGS]){H_EXACT, n % FLICKER, V(page), R(page)},
			sizeof(args));
		ck_assert_int_eq(swhpt_hcall(h, H_ENTER, args, ret), H_SUCCESS);
	}
	swhpt_vcpu_leave(h);
	return NULL;
}

static void *read_pass_1(void *arg)
{
	uint8_t *buf = malloc(64 << 10);

	for (unsigned n = 0; n < PASSES; n++) {
		struct swhpt_fd *fd = open_fd(0, 0);
		ssize_t len = swhpt_read(fd, buf, 25 + FLICKER * 8 * 3);
		struct htab_iter it;
		struct htab_rec rec;

		htab_iter_init(&it, buf, (size_t)len, ENTRIES, HTAB_HOST);
		while (htab_iter_next(&it, &rec) > 0)
			for (unsigned i = 0; i < rec.n_valid; i++) {
				uint64_t v = be64_get(rec.hptes + 16 * (size_t)i) >> 12;

				ck_assert_uint_eq(
					v, be64_get(rec.hptes + 16 * (size_t)i + 8) >> 16);
			}
		swhpt_close(fd);
	}
	free(buf);
	return NULL;
}

/* Two who read, since either takes the marks of changes away from the other. */
START_TEST(entries_that_change_are_read_as_they_were_or_are)
{
	pthread_t changer, reader;

	atomic_store(&over, false);
	ck_assert_int_eq(pthread_create(&changer, NULL, flicker, NULL), 0);
	ck_assert_int_eq(pthread_create(&reader, NULL, read_pass_1, NULL), 0);
	read_pass_1(NULL);
	pthread_join(reader, NULL);
	atomic_store(&over, true);
	pthread_join(changer, NULL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("swhpt-read");
	TCase *c = tcase_create("swhpt-read");
	SRunner *r;
	int failed;

	suite_add_tcase(s, c);
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, entries_that_change_are_read_as_they_were_or_are);
	tcase_add_loop_test(c, whole_groups_read_as_their_entries, 0, 4);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
