/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The software HPT. Numbers are those of the facts about KVM's table that the tests are about. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/pack.h"
#include "tests/unit/swhpt-harness.h"

START_TEST(fact_9_a_read_of_24_bytes_gives_nothing)
{
	struct swhpt_fd *fd = open_fd(0, 0);
	size_t off = 0;

	ck_assert_int_eq(enter(H_EXACT, 0, V(1), R(MEMORY >> 16), NULL), H_SUCCESS);
	for (size_t n = 0; n <= 24; n++)
		ck_assert_int_eq(swhpt_read(fd, bytes, n), 0);
	ck_assert_int_eq(swhpt_read(fd, bytes, 25), 24);
	expect_rec(24, &off, 0, 1, ENTRIES - 1);
	swhpt_close(fd);
}
END_TEST

START_TEST(fact_10_zero_bytes_means_clean_from_the_cursor_to_the_end)
{
	struct swhpt_fd *fd = open_fd(0, ENTRIES);
	size_t off = 0;
	ssize_t n;

	/* Beyond the end: one empty read, then changes only. */
	ck_assert_int_eq(swhpt_read(fd, bytes, sizeof(bytes)), 0);
	ck_assert_int_eq(swhpt_read(fd, bytes, sizeof(bytes)), 0);
	for (uint32_t i = 100; i < 104; i++)
		ck_assert_int_eq(enter(H_EXACT, i, V(i), R(MEMORY >> 16), NULL), H_SUCCESS);
	/* Room for two HPTEs: the cursor stops behind them. */
	ck_assert_int_eq(n = swhpt_read(fd, bytes, 8 + 32 + 1), 40);
	expect_rec((size_t)n, &off, 100, 2, 0);
	/* Now one behind the cursor changes: zero bytes after the rest do not say clean. */
	ck_assert_int_eq(hcall(H_REMOVE, 0, 100, 0, 0, NULL), H_SUCCESS);
	ck_assert_int_eq(n = swhpt_read(fd, bytes, sizeof(bytes)), 40);
	off = 0;
	expect_rec((size_t)n, &off, 102, 2, 0);
	ck_assert(htab_read_wrapped((size_t)n, sizeof(bytes), 104, ENTRIES));
	ck_assert_int_eq(n = swhpt_read(fd, bytes, sizeof(bytes)), 8);
	off = 0;
	expect_rec((size_t)n, &off, 100, 0, 1);
	ck_assert_int_eq(swhpt_read(fd, bytes, sizeof(bytes)), 0);
	ck_assert_int_eq(swhpt_read(fd, bytes, sizeof(bytes)), 0);
	swhpt_close(fd);
}
END_TEST

START_TEST(fact_11_r_and_c_count_as_changes_once)
{
	struct swhpt_fd *fd = open_fd(0, ENTRIES);
	size_t off = 0;
	ssize_t n;

	ck_assert_int_eq(swhpt_read(fd, bytes, sizeof(bytes)), 0);
	ck_assert_int_eq(enter(H_EXACT, 5, V(5), R(MEMORY >> 16), NULL), H_SUCCESS);
	ck_assert_int_eq(swhpt_read(fd, bytes, sizeof(bytes)), 24);
	ck_assert(swhpt_touch(h, 5, HPTE_R_R));
	ck_assert_int_eq(n = swhpt_read(fd, bytes, sizeof(bytes)), 24);
	ck_assert_uint_eq(be64_get(next((size_t)n, &off).hptes + 8), R(MEMORY >> 16) | HPTE_R_R);
	ck_assert(swhpt_touch(h, 5, HPTE_R_R));
	ck_assert_int_eq(swhpt_read(fd, bytes, sizeof(bytes)), 0);
	ck_assert(swhpt_touch(h, 5, HPTE_R_R | HPTE_R_C));
	ck_assert_int_eq(n = swhpt_read(fd, bytes, sizeof(bytes)), 24);
	off = 0;
	ck_assert_uint_eq(
		be64_get(next((size_t)n, &off).hptes + 8), R(MEMORY >> 16) | HPTE_R_R | HPTE_R_C);
	ck_assert(!swhpt_touch(h, 6, HPTE_R_R));
	swhpt_close(fd);
}
END_TEST

START_TEST(fact_11_absent_entries_read_as_valid)
{
	struct swhpt_fd *fd;
	size_t off = 0;
	uint64_t ret[SWHPT_HCALL_ARGS];
	ssize_t n;

	/* No memory there: emulated MMIO, which hardware does not see. */
	ck_assert_int_eq(enter(H_EXACT, 7, V(7), R(1), NULL), H_SUCCESS);
	ck_assert(!swhpt_touch(h, 7, HPTE_R_R));
	ck_assert_int_eq(hcall(H_READ, 0, 7, 0, 0, ret), H_SUCCESS);
	ck_assert_uint_eq(ret[0], V(7));
	ck_assert_uint_eq(ret[1], R(1));
	/* but a condition on VALID sees it */
	ck_assert_int_eq(hcall(H_REMOVE, H_ANDCOND, 7, HPTE_V_ABSENT, 0, NULL), H_NOT_FOUND);
	fd = open_fd(0, 7);
	n = swhpt_read(fd, bytes, 8 + 16 + 1);
	ck_assert_int_eq(n, 24);
	ck_assert_uint_eq(be64_get(next((size_t)n, &off).hptes), V(7) | HPTE_V_HVLOCK);
	swhpt_close(fd);
}
END_TEST

START_TEST(fact_11_a_bolted_only_read_takes_the_other_changes_away)
{
	struct swhpt_fd *bolted = open_fd(HTAB_FD_BOLTED_ONLY, ENTRIES);
	struct swhpt_fd *all = open_fd(0, ENTRIES);
	size_t off = 0;
	ssize_t n;

	ck_assert_int_eq(swhpt_read(bolted, bytes, sizeof(bytes)), 0);
	ck_assert_int_eq(swhpt_read(all, bytes, sizeof(bytes)), 0);
	enter(H_EXACT, 8, V(8), R(MEMORY >> 16), NULL);
	enter(H_EXACT, 9, V(9) | HPTE_V_BOLTED, R(MEMORY >> 16), NULL);
	n = swhpt_read(bolted, bytes, sizeof(bytes));
	expect_rec((size_t)n, &off, 8, 0, 1); /* not bolted: shown as invalid */
	expect_rec((size_t)n, &off, 9, 1, 0);
	ck_assert_int_eq(swhpt_read(all, bytes, sizeof(bytes)), 0);
	swhpt_close(bolted);
	swhpt_close(all);
}
END_TEST

START_TEST(fact_11_changes_are_tracked_while_a_read_fd_is_open)
{
	struct swhpt_fd *fd;

	enter(H_EXACT, 8, V(8), R(MEMORY >> 16), NULL);
	fd = open_fd(0, ENTRIES);
	ck_assert_int_eq(swhpt_read(fd, bytes, sizeof(bytes)), 0);
	ck_assert_int_eq(swhpt_read(fd, bytes, sizeof(bytes)), 0);
	swhpt_close(fd);
	hcall(H_PROTECT, 3, 8, 0, 0, NULL);
	fd = open_fd(0, ENTRIES);
	ck_assert_int_eq(swhpt_read(fd, bytes, sizeof(bytes)), 0);
	ck_assert_int_eq(swhpt_read(fd, bytes, sizeof(bytes)), 0);
	swhpt_close(fd);
}
END_TEST

START_TEST(fact_7_two_readers_steal_from_each_other)
{
	struct swhpt_fd *a = open_fd(0, ENTRIES), *b = open_fd(0, ENTRIES);

	swhpt_read(a, bytes, sizeof(bytes));
	swhpt_read(b, bytes, sizeof(bytes));
	enter(H_EXACT, 8, V(8), R(MEMORY >> 16), NULL);
	ck_assert_int_eq(swhpt_read(b, bytes, sizeof(bytes)), 24);
	ck_assert_int_eq(swhpt_read(a, bytes, sizeof(bytes)), 0);
	swhpt_close(a);
	swhpt_close(b);
}
END_TEST

START_TEST(fact_3_fds_read_or_write)
{
	struct swhpt_fd *r = open_fd(0, 0), *w = open_fd(HTAB_FD_WRITE, 0), *x = NULL;
	struct iovec iov = {bytes, 8};

	ck_assert_int_eq(swhpt_open(h, 4, 0, &x), -EINVAL);
	ck_assert_int_eq(swhpt_open(h, 1ull << 40, 0, &x), -EINVAL);
	ck_assert_ptr_null(x);
	ck_assert_int_eq(swhpt_read(w, bytes, 100), -EBADF);
	ck_assert_int_eq(swhpt_write(r, bytes, 8), -EBADF);
	ck_assert_int_eq(swhpt_writev(r, &iov, 1), -EBADF);
	swhpt_close(r);
	swhpt_close(w);
}
END_TEST

START_TEST(fact_4_the_lock_bit_is_shown_and_ignored)
{
	struct swhpt_fd *w = open_fd(HTAB_FD_WRITE, 0), *r;
	const uint64_t v = V(3) | HPTE_V_BOLTED, re = R(MEMORY >> 16);
	size_t off = 0;

	ck_assert_int_eq(
		swhpt_write(w, bytes, record(bytes, 3, 1, 0, v | 0x60, re | 1ull << 62)), 24);
	r = open_fd(0, 3);
	ck_assert_int_eq(swhpt_read(r, bytes, 25), 24);
	off = 0;
	struct htab_rec rec = next(24, &off);
	ck_assert_uint_eq(be64_get(rec.hptes), v | HPTE_V_HVLOCK);
	ck_assert_uint_eq(be64_get(rec.hptes + 8), re);
	/* Little-endian doublewords have their valid bit elsewhere. */
	record(bytes, 3, 1, 0, __builtin_bswap64(v), re);
	ck_assert_int_eq(swhpt_write(w, bytes, 24), -EINVAL);
	swhpt_close(w);
	swhpt_close(r);
}
END_TEST

START_TEST(fact_14_a_second_record_in_one_write_is_parsed_from_hpte_bytes)
{
	struct swhpt_fd *w = open_fd(HTAB_FD_WRITE, 0);
	size_t n = record(bytes, 10, 1, 0, V(10), R(MEMORY >> 16));
	uint64_t ret[SWHPT_HCALL_ARGS];

	n += record(bytes + n, 20, 1, 0, V(20), R(MEMORY >> 16));
	ck_assert_int_lt(swhpt_write(w, bytes, n), (ssize_t)n);
	hcall(H_READ, 0, 20, 0, 0, ret);
	ck_assert_uint_eq(ret[0], 0);
	/* Records without valid entries do follow each other. */
	n = record(bytes, 10, 0, 1, 0, 0);
	n += record(bytes + n, 30, 0, 5, 0, 0);
	ck_assert_int_eq(enter(H_EXACT, 34, V(34), R(1), NULL), H_SUCCESS);
	ck_assert_int_eq(swhpt_write(w, bytes, n), 16);
	hcall(H_READ, 0, 34, 0, 0, ret);
	ck_assert_uint_eq(ret[0], 0);
	swhpt_close(w);
}
END_TEST

START_TEST(fact_15_writev_writes_once_for_each_segment)
{
	struct swhpt_fd *w = open_fd(HTAB_FD_WRITE, 0);
	struct iovec iov[3];
	uint64_t ret[SWHPT_HCALL_ARGS];

	for (unsigned i = 0; i < 3; i++)
		iov[i] = (struct iovec){bytes + 64 * i,
			record(bytes + 64 * i, 10 * i, 1, 0, V(10 * i + 1), R(MEMORY >> 16))};
	ck_assert_int_eq(swhpt_writev(w, iov, 3), 72);
	hcall(H_READ, 0, 20, 0, 0, ret);
	ck_assert_uint_eq(ret[0], V(21));
	/* An error after something was written is a short count. */
	bytes[64 + 15] = 0; /* the second record's valid bit */
	ck_assert_int_eq(swhpt_writev(w, iov, 3), 24);
	ck_assert_int_eq(swhpt_writev(w, iov + 1, 2), -EINVAL);
	swhpt_close(w);
}
END_TEST

START_TEST(fact_16_bad_writes)
{
	struct swhpt_fd *w = open_fd(HTAB_FD_WRITE, 0);
	const uint64_t re = R(MEMORY >> 16);
	uint64_t ret[SWHPT_HCALL_ARGS];

	record(bytes, 1, 2, 0, V(1), re);
	ck_assert_int_eq(swhpt_write(w, bytes, 7), 0);
	ck_assert_int_eq(swhpt_write(w, bytes, 24), 0);
	record(bytes, ENTRIES, 1, 0, V(1), re);
	ck_assert_int_eq(swhpt_write(w, bytes, 24), -EINVAL);
	record(bytes, ENTRIES - 1, 1, 1, V(1), re);
	ck_assert_int_eq(swhpt_write(w, bytes, 24), -EINVAL);
	/* A page size that KVM does not know; what came before the bad entry stays. */
	record(bytes, 1, 2, 0, V(1), re);
	be64_put(bytes + 24, V(2) | HPTE_V_LARGE);
	be64_put(bytes + 32, re | 2 << 12);
	ck_assert_int_eq(swhpt_write(w, bytes, 40), -EINVAL);
	hcall(H_READ, 0, 1, 0, 0, ret);
	ck_assert_uint_eq(ret[0], V(1));
	/*
	 * Not to be inserted: a guest page of 16 MiB on host pages of 64 KiB. The old entry is
	 * gone.
	 */
	record(bytes, 1, 1, 0, V(1) | HPTE_V_LARGE, MEMORY | 0x10);
	ck_assert_int_eq(swhpt_write(w, bytes, 24), -EIO);
	hcall(H_READ, 0, 1, 0, 0, ret);
	ck_assert_uint_eq(ret[0], 0);
	/* A reserved segment size. */
	record(bytes, 1, 1, 0, V(1) | 1ull << 63, re);
	ck_assert_int_eq(swhpt_write(w, bytes, 24), -EIO);
	swhpt_vcpu_enter(h);
	ck_assert_int_eq(swhpt_write(w, bytes, 24), -EBUSY);
	ck_assert_int_eq(swhpt_write(w, bytes, 0), -EBUSY);
	swhpt_vcpu_leave(h);
	swhpt_close(w);
}
END_TEST

START_TEST(fact_17_a_record_8_bytes_too_short_is_read_past_its_end)
{
	struct swhpt_fd *w = open_fd(HTAB_FD_WRITE, 0);
	struct iovec iov[2] = {{bytes, 24}, {bytes, 24}};

	record(bytes, 1, 1, 0, V(1), R(MEMORY >> 16));
	ck_assert_int_eq(swhpt_write_from(w, bytes, 16, 24), 24);
	ck_assert_int_eq(swhpt_write_from(w, bytes, 12, 24), 0);
	/* The memory ends where the count does. */
	ck_assert_int_eq(swhpt_write(w, bytes, 16), -EFAULT);
	ck_assert_int_eq(swhpt_writev(w, iov, 2), 48);
	swhpt_close(w);
}
END_TEST

START_TEST(fact_18_memory_decides_what_an_entry_is)
{
	struct swhpt *old = h;

	ck_assert_int_eq(swhpt_add_memory(h, MEMORY, 1 << 16, 16), -EEXIST);
	ck_assert_int_eq(swhpt_add_memory(h, 0, 0x8000, 16), -EINVAL);
	ck_assert_int_eq(swhpt_add_memory(h, 1ull << 40, 1 << 24, 24), 0);
	ck_assert_int_eq(
		enter(H_EXACT, 1, V(1) | HPTE_V_LARGE, 1ull << 40 | 0x10, NULL), H_SUCCESS);
	ck_assert_int_eq(enter(H_EXACT, 2, V(1) | HPTE_V_LARGE, MEMORY | 0x10, NULL), H_PARAMETER);
	ck_assert(swhpt_touch(h, 1, HPTE_R_R));
	ck_assert_ptr_eq(old, h);
}
END_TEST

START_TEST(fact_19_the_first_run_maps_the_real_mode_area_unless_it_was_written)
{
	const uint64_t v = 0x4001ffffff000000ull | HPTE_V_BOLTED | HPTE_V_LARGE | HPTE_V_VALID;
	struct swhpt_fd *w = open_fd(HTAB_FD_WRITE, 0);
	struct htab_count count;
	const char *why;
	size_t n, total;

	ck_assert_int_eq(swhpt_add_memory(h, 0, 1 << 20, 16), 0);
	for (int written = 0; written < 2; written++) {
		struct swhpt_fd *r = open_fd(0, 0);

		ck_assert_int_eq(swhpt_reset(h, ORDER), 0);
		if (written)
			ck_assert_int_eq(
				swhpt_write(w, bytes, record(bytes, 4000, 1, 0, v, 0x1190)), 24);
		swhpt_vcpu_enter(h);
		swhpt_vcpu_leave(h);
		for (total = 0; (n = (size_t)swhpt_read(r, bytes, sizeof(bytes)));
			total += count.valid)
			ck_assert_int_eq(htab_check(bytes, n, ENTRIES, HTAB_HOST, &count, &why), 0);
		ck_assert_uint_eq(total, written ? 1 : 16);
		swhpt_close(r);
	}
	swhpt_close(w);
}
END_TEST

START_TEST(fact_20_what_is_written_is_read_as_changes)
{
	struct swhpt_fd *r = open_fd(0, ENTRIES), *w = open_fd(HTAB_FD_WRITE, 0);
	size_t off = 0;
	ssize_t n;

	swhpt_read(r, bytes, sizeof(bytes));
	ck_assert_int_eq(swhpt_write(w, bytes, record(bytes, 50, 2, 3, V(1), R(MEMORY >> 16))), 40);
	n = swhpt_read(r, bytes, sizeof(bytes));
	expect_rec((size_t)n, &off, 50, 2, 0); /* what was free already is no change */
	ck_assert_int_eq(n, 40);
	/* Replacing and clearing are changes. */
	ck_assert_int_eq(swhpt_write(w, bytes, record(bytes, 50, 1, 1, V(9), R(MEMORY >> 16))), 24);
	n = swhpt_read(r, bytes, sizeof(bytes));
	off = 0;
	expect_rec((size_t)n, &off, 50, 1, 1);
	swhpt_close(r);
	swhpt_close(w);
}
END_TEST

START_TEST(fact_21_reset)
{
	struct swhpt *bad = NULL;
	uint64_t ret[SWHPT_HCALL_ARGS];

	ck_assert_int_eq(swhpt_new(17, &bad), -EINVAL);
	ck_assert_int_eq(swhpt_new(47, &bad), -EINVAL);
	ck_assert_ptr_null(bad);
	enter(H_EXACT, 1, V(1), R(1), NULL);
	swhpt_vcpu_enter(h);
	ck_assert_int_eq(swhpt_reset(h, ORDER), -EBUSY);
	ck_assert_int_eq(swhpt_reset(h, ORDER + 1), -EBUSY);
	swhpt_vcpu_leave(h);
	ck_assert_int_eq(swhpt_reset(h, ORDER), 0);
	hcall(H_READ, 0, 1, 0, 0, ret);
	ck_assert_uint_eq(ret[0], 0);
	ck_assert_int_eq(swhpt_reset(h, 20), 0);
	ck_assert_uint_eq(swhpt_order(h), 20);
	ck_assert_uint_eq(swhpt_entries(h), 1 << 16);
	ck_assert_int_eq(enter(H_EXACT, ENTRIES + 1, V(1), R(1), NULL), H_SUCCESS);
}
END_TEST

START_TEST(fact_21_a_reset_is_no_change_and_keeps_the_marks)
{
	struct swhpt_fd *r = open_fd(0, ENTRIES);
	size_t off = 0;
	ssize_t n;

	swhpt_read(r, bytes, sizeof(bytes));
	enter(H_EXACT, 1, V(1), R(1), NULL);
	ck_assert_int_eq(swhpt_read(r, bytes, sizeof(bytes)), 24);
	enter(H_EXACT, 2, V(2), R(1), NULL);
	swhpt_reset(h, ORDER);
	/* Entry 1 was read and then zeroed: nobody hears of it. Entry 2's mark is still there. */
	n = swhpt_read(r, bytes, sizeof(bytes));
	ck_assert_int_eq(n, 8);
	expect_rec((size_t)n, &off, 2, 0, 1);
	swhpt_close(r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("swhpt");
	TCase *tc = tcase_create("swhpt");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, fact_3_fds_read_or_write);
	tcase_add_test(tc, fact_4_the_lock_bit_is_shown_and_ignored);
	tcase_add_test(tc, fact_7_two_readers_steal_from_each_other);
	tcase_add_test(tc, fact_9_a_read_of_24_bytes_gives_nothing);
	tcase_add_test(tc, fact_10_zero_bytes_means_clean_from_the_cursor_to_the_end);
	tcase_add_test(tc, fact_11_r_and_c_count_as_changes_once);
	tcase_add_test(tc, fact_11_absent_entries_read_as_valid);
	tcase_add_test(tc, fact_11_a_bolted_only_read_takes_the_other_changes_away);
	tcase_add_test(tc, fact_11_changes_are_tracked_while_a_read_fd_is_open);
	tcase_add_test(tc, fact_14_a_second_record_in_one_write_is_parsed_from_hpte_bytes);
	tcase_add_test(tc, fact_15_writev_writes_once_for_each_segment);
	tcase_add_test(tc, fact_16_bad_writes);
	tcase_add_test(tc, fact_17_a_record_8_bytes_too_short_is_read_past_its_end);
	tcase_add_test(tc, fact_18_memory_decides_what_an_entry_is);
	tcase_add_test(tc, fact_19_the_first_run_maps_the_real_mode_area_unless_it_was_written);
	tcase_add_test(tc, fact_20_what_is_written_is_read_as_changes);
	tcase_add_test(tc, fact_21_reset);
	tcase_add_test(tc, fact_21_a_reset_is_no_change_and_keeps_the_marks);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
