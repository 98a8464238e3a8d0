/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The software HPT. Numbers are those of the facts about KVM's table that the tests are about. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/htab.h"
#include "proto/pack.h"
#include "proto/vmm.h"
#include "vmm/swhpt.h"

#define ORDER   18u
#define ENTRIES (1u << (ORDER - 4))
#define MEMORY  (64ull << 20)
#define V(n)    ((uint64_t)(n) << 12 | HPTE_V_VALID)
#define R(page) ((uint64_t)(page) << 16 | 0x10 | 2) /* M, read-write */

static struct swhpt *h;
static uint8_t buf[HTAB_REC_MAX];

static void setup(void)
{
	ck_assert_int_eq(swhpt_new(ORDER, &h), 0);
	/* Away from 0, so that entering a vCPU maps no virtual real mode area. */
	ck_assert_int_eq(swhpt_add_memory(h, MEMORY, MEMORY, 16), 0);
}

static void teardown(void)
{
	h = swhpt_free(h);
}

static struct swhpt_fd *open_fd(uint64_t flags, uint64_t start)
{
	struct swhpt_fd *fd = NULL;

	ck_assert_int_eq(swhpt_open(h, flags, start, &fd), 0);
	return fd;
}

static int64_t hcall(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t *ret)
{
	uint64_t args[SWHPT_HCALL_ARGS] = {a, b, c, d}, scratch[SWHPT_HCALL_ARGS];
	int64_t r;

	swhpt_vcpu_enter(h);
	r = swhpt_hcall(h, nr, args, ret ? ret : scratch);
	swhpt_vcpu_leave(h);
	return r;
}

static int64_t enter(uint64_t flags, uint64_t index, uint64_t v, uint64_t r, uint64_t *ret_index)
{
	uint64_t ret[SWHPT_HCALL_ARGS];
	int64_t x = hcall(H_ENTER, flags, index, v, r, ret);

	if (ret_index)
		*ret_index = ret[0];
	return x;
}

/* A record of n valid HPTEs, all v and r, in buf; its length. */
static size_t record(
	void *dst, uint32_t index, unsigned n, unsigned n_invalid, uint64_t v, uint64_t r)
{
	uint8_t *p = dst;

	htab_put_header(p, HTAB_HOST, index, (uint16_t)n, (uint16_t)n_invalid);
	for (unsigned i = 0; i < n; i++) {
		be64_put(p + 8 + 16 * i, v);
		be64_put(p + 16 + 16 * i, r);
	}
	return 8 + 16 * (size_t)n;
}

/* The next record of a read that gave n bytes, at *off. */
static struct htab_rec next(size_t n, size_t *off)
{
	struct htab_iter it;
	struct htab_rec rec;

	htab_iter_init(&it, buf + *off, n - *off, swhpt_entries(h), HTAB_HOST);
	ck_assert_int_eq(htab_iter_next(&it, &rec), 1);
	*off += 8 + 16 * (size_t)rec.n_valid;
	return rec;
}

static void expect_rec(size_t n, size_t *off, uint32_t index, unsigned valid, unsigned invalid)
{
	struct htab_rec rec = next(n, off);

	ck_assert_uint_eq(rec.index, index);
	ck_assert_uint_eq(rec.n_valid, valid);
	ck_assert_uint_eq(rec.n_invalid, invalid);
}

START_TEST(fact_9_a_read_of_24_bytes_gives_nothing)
{
	struct swhpt_fd *fd = open_fd(0, 0);
	size_t off = 0;

	ck_assert_int_eq(enter(H_EXACT, 0, V(1), R(MEMORY >> 16), NULL), H_SUCCESS);
	for (size_t n = 0; n <= 24; n++)
		ck_assert_int_eq(swhpt_read(fd, buf, n), 0);
	ck_assert_int_eq(swhpt_read(fd, buf, 25), 24);
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
	ck_assert_int_eq(swhpt_read(fd, buf, sizeof(buf)), 0);
	ck_assert_int_eq(swhpt_read(fd, buf, sizeof(buf)), 0);
	for (uint32_t i = 100; i < 104; i++)
		ck_assert_int_eq(enter(H_EXACT, i, V(i), R(MEMORY >> 16), NULL), H_SUCCESS);
	/* Room for two HPTEs: the cursor stops behind them. */
	ck_assert_int_eq(n = swhpt_read(fd, buf, 8 + 32 + 1), 40);
	expect_rec((size_t)n, &off, 100, 2, 0);
	/* Now one behind the cursor changes: zero bytes after the rest do not say clean. */
	ck_assert_int_eq(hcall(H_REMOVE, 0, 100, 0, 0, NULL), H_SUCCESS);
	ck_assert_int_eq(n = swhpt_read(fd, buf, sizeof(buf)), 40);
	off = 0;
	expect_rec((size_t)n, &off, 102, 2, 0);
	ck_assert(htab_read_wrapped((size_t)n, sizeof(buf), 104, ENTRIES));
	ck_assert_int_eq(n = swhpt_read(fd, buf, sizeof(buf)), 8);
	off = 0;
	expect_rec((size_t)n, &off, 100, 0, 1);
	ck_assert_int_eq(swhpt_read(fd, buf, sizeof(buf)), 0);
	ck_assert_int_eq(swhpt_read(fd, buf, sizeof(buf)), 0);
	swhpt_close(fd);
}
END_TEST

START_TEST(fact_11_r_and_c_count_as_changes_once)
{
	struct swhpt_fd *fd = open_fd(0, ENTRIES);
	size_t off = 0;
	ssize_t n;

	ck_assert_int_eq(swhpt_read(fd, buf, sizeof(buf)), 0);
	ck_assert_int_eq(enter(H_EXACT, 5, V(5), R(MEMORY >> 16), NULL), H_SUCCESS);
	ck_assert_int_eq(swhpt_read(fd, buf, sizeof(buf)), 24);
	ck_assert(swhpt_touch(h, 5, HPTE_R_R));
	ck_assert_int_eq(n = swhpt_read(fd, buf, sizeof(buf)), 24);
	ck_assert_uint_eq(be64_get(next((size_t)n, &off).hptes + 8), R(MEMORY >> 16) | HPTE_R_R);
	ck_assert(swhpt_touch(h, 5, HPTE_R_R));
	ck_assert_int_eq(swhpt_read(fd, buf, sizeof(buf)), 0);
	ck_assert(swhpt_touch(h, 5, HPTE_R_R | HPTE_R_C));
	ck_assert_int_eq(n = swhpt_read(fd, buf, sizeof(buf)), 24);
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
	n = swhpt_read(fd, buf, 8 + 16 + 1);
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

	ck_assert_int_eq(swhpt_read(bolted, buf, sizeof(buf)), 0);
	ck_assert_int_eq(swhpt_read(all, buf, sizeof(buf)), 0);
	enter(H_EXACT, 8, V(8), R(MEMORY >> 16), NULL);
	enter(H_EXACT, 9, V(9) | HPTE_V_BOLTED, R(MEMORY >> 16), NULL);
	n = swhpt_read(bolted, buf, sizeof(buf));
	expect_rec((size_t)n, &off, 8, 0, 1); /* not bolted: shown as invalid */
	expect_rec((size_t)n, &off, 9, 1, 0);
	ck_assert_int_eq(swhpt_read(all, buf, sizeof(buf)), 0);
	swhpt_close(bolted);
	swhpt_close(all);
}
END_TEST

START_TEST(fact_11_changes_are_tracked_while_a_read_fd_is_open)
{
	struct swhpt_fd *fd;

	enter(H_EXACT, 8, V(8), R(MEMORY >> 16), NULL);
	fd = open_fd(0, ENTRIES);
	ck_assert_int_eq(swhpt_read(fd, buf, sizeof(buf)), 0);
	ck_assert_int_eq(swhpt_read(fd, buf, sizeof(buf)), 0);
	swhpt_close(fd);
	hcall(H_PROTECT, 3, 8, 0, 0, NULL);
	fd = open_fd(0, ENTRIES);
	ck_assert_int_eq(swhpt_read(fd, buf, sizeof(buf)), 0);
	ck_assert_int_eq(swhpt_read(fd, buf, sizeof(buf)), 0);
	swhpt_close(fd);
}
END_TEST

START_TEST(fact_7_two_readers_steal_from_each_other)
{
	struct swhpt_fd *a = open_fd(0, ENTRIES), *b = open_fd(0, ENTRIES);

	swhpt_read(a, buf, sizeof(buf));
	swhpt_read(b, buf, sizeof(buf));
	enter(H_EXACT, 8, V(8), R(MEMORY >> 16), NULL);
	ck_assert_int_eq(swhpt_read(b, buf, sizeof(buf)), 24);
	ck_assert_int_eq(swhpt_read(a, buf, sizeof(buf)), 0);
	swhpt_close(a);
	swhpt_close(b);
}
END_TEST

START_TEST(fact_3_fds_read_or_write)
{
	struct swhpt_fd *r = open_fd(0, 0), *w = open_fd(HTAB_FD_WRITE, 0), *x = NULL;
	struct iovec iov = {buf, 8};

	ck_assert_int_eq(swhpt_open(h, 4, 0, &x), -EINVAL);
	ck_assert_int_eq(swhpt_open(h, 1ull << 40, 0, &x), -EINVAL);
	ck_assert_ptr_null(x);
	ck_assert_int_eq(swhpt_read(w, buf, 100), -EBADF);
	ck_assert_int_eq(swhpt_write(r, buf, 8), -EBADF);
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

	ck_assert_int_eq(swhpt_write(w, buf, record(buf, 3, 1, 0, v | 0x60, re | 1ull << 62)), 24);
	r = open_fd(0, 3);
	ck_assert_int_eq(swhpt_read(r, buf, 25), 24);
	off = 0;
	struct htab_rec rec = next(24, &off);
	ck_assert_uint_eq(be64_get(rec.hptes), v | HPTE_V_HVLOCK);
	ck_assert_uint_eq(be64_get(rec.hptes + 8), re);
	/* Little-endian doublewords have their valid bit elsewhere. */
	record(buf, 3, 1, 0, __builtin_bswap64(v), re);
	ck_assert_int_eq(swhpt_write(w, buf, 24), -EINVAL);
	swhpt_close(w);
	swhpt_close(r);
}
END_TEST

START_TEST(fact_14_a_second_record_in_one_write_is_parsed_from_hpte_bytes)
{
	struct swhpt_fd *w = open_fd(HTAB_FD_WRITE, 0);
	size_t n = record(buf, 10, 1, 0, V(10), R(MEMORY >> 16));
	uint64_t ret[SWHPT_HCALL_ARGS];

	n += record(buf + n, 20, 1, 0, V(20), R(MEMORY >> 16));
	ck_assert_int_lt(swhpt_write(w, buf, n), (ssize_t)n);
	hcall(H_READ, 0, 20, 0, 0, ret);
	ck_assert_uint_eq(ret[0], 0);
	/* Records without valid entries do follow each other. */
	n = record(buf, 10, 0, 1, 0, 0);
	n += record(buf + n, 30, 0, 5, 0, 0);
	ck_assert_int_eq(enter(H_EXACT, 34, V(34), R(1), NULL), H_SUCCESS);
	ck_assert_int_eq(swhpt_write(w, buf, n), 16);
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
		iov[i] = (struct iovec){buf + 64 * i,
			record(buf + 64 * i, 10 * i, 1, 0, V(10 * i + 1), R(MEMORY >> 16))};
	ck_assert_int_eq(swhpt_writev(w, iov, 3), 72);
	hcall(H_READ, 0, 20, 0, 0, ret);
	ck_assert_uint_eq(ret[0], V(21));
	/* An error after something was written is a short count. */
	buf[64 + 15] = 0; /* the second record's valid bit */
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

	record(buf, 1, 2, 0, V(1), re);
	ck_assert_int_eq(swhpt_write(w, buf, 7), 0);
	ck_assert_int_eq(swhpt_write(w, buf, 24), 0);
	record(buf, ENTRIES, 1, 0, V(1), re);
	ck_assert_int_eq(swhpt_write(w, buf, 24), -EINVAL);
	record(buf, ENTRIES - 1, 1, 1, V(1), re);
	ck_assert_int_eq(swhpt_write(w, buf, 24), -EINVAL);
	/* A page size that KVM does not know; what came before the bad entry stays. */
	record(buf, 1, 2, 0, V(1), re);
	be64_put(buf + 24, V(2) | HPTE_V_LARGE);
	be64_put(buf + 32, re | 2 << 12);
	ck_assert_int_eq(swhpt_write(w, buf, 40), -EINVAL);
	hcall(H_READ, 0, 1, 0, 0, ret);
	ck_assert_uint_eq(ret[0], V(1));
	/*
	 * Not to be inserted: a guest page of 16 MiB on host pages of 64 KiB. The old entry is
	 * gone.
	 */
	record(buf, 1, 1, 0, V(1) | HPTE_V_LARGE, MEMORY | 0x10);
	ck_assert_int_eq(swhpt_write(w, buf, 24), -EIO);
	hcall(H_READ, 0, 1, 0, 0, ret);
	ck_assert_uint_eq(ret[0], 0);
	/* A reserved segment size. */
	record(buf, 1, 1, 0, V(1) | 1ull << 63, re);
	ck_assert_int_eq(swhpt_write(w, buf, 24), -EIO);
	swhpt_vcpu_enter(h);
	ck_assert_int_eq(swhpt_write(w, buf, 24), -EBUSY);
	ck_assert_int_eq(swhpt_write(w, buf, 0), -EBUSY);
	swhpt_vcpu_leave(h);
	swhpt_close(w);
}
END_TEST

START_TEST(fact_17_a_record_8_bytes_too_short_is_read_past_its_end)
{
	struct swhpt_fd *w = open_fd(HTAB_FD_WRITE, 0);
	struct iovec iov[2] = {{buf, 24}, {buf, 24}};

	record(buf, 1, 1, 0, V(1), R(MEMORY >> 16));
	ck_assert_int_eq(swhpt_write_from(w, buf, 16, 24), 24);
	ck_assert_int_eq(swhpt_write_from(w, buf, 12, 24), 0);
	/* The memory ends where the count does. */
	ck_assert_int_eq(swhpt_write(w, buf, 16), -EFAULT);
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
				swhpt_write(w, buf, record(buf, 4000, 1, 0, v, 0x1190)), 24);
		swhpt_vcpu_enter(h);
		swhpt_vcpu_leave(h);
		for (total = 0; (n = (size_t)swhpt_read(r, buf, sizeof(buf))); total += count.valid)
			ck_assert_int_eq(htab_check(buf, n, ENTRIES, HTAB_HOST, &count, &why), 0);
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

	swhpt_read(r, buf, sizeof(buf));
	ck_assert_int_eq(swhpt_write(w, buf, record(buf, 50, 2, 3, V(1), R(MEMORY >> 16))), 40);
	n = swhpt_read(r, buf, sizeof(buf));
	expect_rec((size_t)n, &off, 50, 2, 0); /* what was free already is no change */
	ck_assert_int_eq(n, 40);
	/* Replacing and clearing are changes. */
	ck_assert_int_eq(swhpt_write(w, buf, record(buf, 50, 1, 1, V(9), R(MEMORY >> 16))), 24);
	n = swhpt_read(r, buf, sizeof(buf));
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

	swhpt_read(r, buf, sizeof(buf));
	enter(H_EXACT, 1, V(1), R(1), NULL);
	ck_assert_int_eq(swhpt_read(r, buf, sizeof(buf)), 24);
	enter(H_EXACT, 2, V(2), R(1), NULL);
	swhpt_reset(h, ORDER);
	/* Entry 1 was read and then zeroed: nobody hears of it. Entry 2's mark is still there. */
	n = swhpt_read(r, buf, sizeof(buf));
	ck_assert_int_eq(n, 8);
	expect_rec((size_t)n, &off, 2, 0, 1);
	swhpt_close(r);
}
END_TEST

START_TEST(h_enter_takes_the_first_free_slot_of_a_group)
{
	uint64_t index = 0;

	for (unsigned i = 0; i < 8; i++) {
		ck_assert_int_eq(enter(0, 83, V(i), R(1), &index), H_SUCCESS);
		ck_assert_uint_eq(index, 80 + i);
	}
	ck_assert_int_eq(enter(0, 83, V(9), R(1), NULL), H_PTEG_FULL);
	ck_assert_int_eq(enter(H_EXACT, 83, V(9), R(1), NULL), H_PTEG_FULL);
	ck_assert_int_eq(hcall(H_REMOVE, 0, 84, 0, 0, NULL), H_SUCCESS);
	ck_assert_int_eq(enter(0, 80, V(9), R(1), &index), H_SUCCESS);
	ck_assert_uint_eq(index, 84);
	ck_assert_int_eq(enter(0, ENTRIES, V(9), R(1), NULL), H_PARAMETER);
}
END_TEST

START_TEST(hypercalls_check_and_answer)
{
	uint64_t ret[SWHPT_HCALL_ARGS], args[SWHPT_HCALL_ARGS];
	const uint64_t re = R(MEMORY >> 16) | HPTE_R_R;

	ck_assert_int_eq(enter(H_EXACT, 40, V(40), re, NULL), H_SUCCESS);
	ck_assert_int_eq(enter(H_EXACT, 41, V(41), re, NULL), H_SUCCESS);
	ck_assert_int_eq(hcall(H_REMOVE, H_AVPN, 40, 1 << 7, 0, NULL), H_NOT_FOUND);
	ck_assert_int_eq(hcall(H_PROTECT, H_AVPN | 3, 40, 1 << 7, 0, NULL), H_NOT_FOUND);
	ck_assert_int_eq(hcall(H_PROTECT, H_AVPN | 3, 40, 40ull << 12, 0, NULL), H_SUCCESS);
	ck_assert_int_eq(hcall(H_READ, H_READ_4, 43, 0, 0, ret), H_SUCCESS);
	ck_assert_uint_eq(ret[0], V(40));
	ck_assert_uint_eq(ret[1], re | 3);
	ck_assert_uint_eq(ret[2], V(41));
	ck_assert_uint_eq(ret[4], 0);
	ck_assert_int_eq(hcall(H_CLEAR_REF, 0, 40, 0, 0, ret), H_SUCCESS);
	ck_assert_uint_eq(ret[0] & HPTE_R_R, HPTE_R_R);
	ck_assert_int_eq(hcall(H_CLEAR_REF, 0, 40, 0, 0, ret), H_SUCCESS);
	ck_assert_uint_eq(ret[0] & HPTE_R_R, 0);
	ck_assert(swhpt_touch(h, 40, HPTE_R_R | HPTE_R_C));
	ck_assert_int_eq(hcall(H_CLEAR_MOD, 0, 40, 0, 0, ret), H_SUCCESS);
	ck_assert_uint_eq(ret[0] & 0x180, 0x180);
	ck_assert_int_eq(hcall(H_CLEAR_MOD, 0, 42, 0, 0, ret), H_NOT_FOUND);

	/* absolute, AVPN that differs, none there, end of list */
	memset(args, 0, sizeof(args));
	args[0] = 1ull << 62 | 40;
	args[2] = 1ull << 62 | 2ull << 56 | 41;
	args[3] = 7 << 7;
	args[4] = 1ull << 62 | 42;
	args[6] = 3ull << 62;
	swhpt_vcpu_enter(h);
	ck_assert_int_eq(swhpt_hcall(h, H_BULK_REMOVE, args, ret), H_SUCCESS);
	swhpt_vcpu_leave(h);
	ck_assert_uint_eq(ret[0], 0x88ull << 56 | 40);
	ck_assert_uint_eq(ret[2], 0x92ull << 56 | 41);
	ck_assert_uint_eq(ret[4], 0x90ull << 56 | 42);
	ck_assert_uint_eq(ret[6], args[6]);
	ck_assert_int_eq(hcall(H_REMOVE, 0, 41, 0, 0, ret), H_SUCCESS);
	ck_assert_uint_eq(ret[0], V(41));
	ck_assert_uint_eq(ret[1], re);
	ck_assert_int_eq(hcall(H_REMOVE, 0, ENTRIES, 0, 0, ret), H_PARAMETER);
	ck_assert_int_eq(hcall(0x444, 0, 0, 0, 0, ret), H_FUNCTION);
}
END_TEST

START_TEST(flat_tables_come_back_normalised)
{
	size_t len = (size_t)ENTRIES * 16;
	uint8_t *flat = calloc(1, len), *back = malloc(len);
	uint64_t index;

	ck_assert_ptr_nonnull(flat);
	ck_assert_ptr_nonnull(back);
	for (unsigned i = 0; i < ENTRIES; i += 3) {
		be64_put(flat + 16 * (size_t)i, V(i) | (i & 1 ? HPTE_V_HVLOCK : 0));
		be64_put(flat + 16 * (size_t)i + 8, R(i));
	}
	ck_assert_int_eq(swhpt_load_flat(h, flat, len - 16, &index), -EINVAL);
	ck_assert_int_eq(swhpt_load_flat(h, flat, len, &index), 0);
	ck_assert_uint_eq(index, ENTRIES);
	ck_assert_int_eq(swhpt_save_flat(h, back, len), 0);
	for (unsigned i = 0; i < ENTRIES; i++) {
		ck_assert_uint_eq(be64_get(back + 16 * (size_t)i), i % 3 ? 0 : V(i));
		ck_assert_uint_eq(be64_get(back + 16 * (size_t)i + 8), i % 3 ? 0 : R(i));
	}
	be64_put(flat + 16 * 6, 1ull << 63 | HPTE_V_VALID);
	ck_assert_int_eq(swhpt_load_flat(h, flat, len, &index), -EIO);
	ck_assert_uint_eq(index, 6);
	free(flat);
	free(back);
}
END_TEST

/* Mutators change the table, one reader replays every pass into a model. */
#define MUTATORS 8
#define CHANGES  (40 * 1000)

static uint64_t model[2 * ENTRIES];

static void *mutate(void *arg)
{
	uint64_t x = (uintptr_t)arg * 0x9e3779b97f4a7c15ull + 1, args[SWHPT_HCALL_ARGS];

	swhpt_vcpu_enter(h);
	for (unsigned n = 0; n < CHANGES; n++) {
		uint64_t index;

		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		index = (x >> 20) % ENTRIES;
		memset(args, 0, sizeof(args));
		args[1] = index;
		switch (x % 8) {
		case 0:
		case 1:
		case 2:
			args[2] = V(x >> 40);
			args[3] = R((MEMORY >> 16) + (x >> 50) % 1024);
			swhpt_hcall(h, H_ENTER, args, args);
			break;
		case 3: swhpt_hcall(h, H_REMOVE, args, args); break;
		case 4:
			args[0] = x >> 50 & 3;
			swhpt_hcall(h, H_PROTECT, args, args);
			break;
		case 5: swhpt_hcall(h, x & 64 ? H_CLEAR_REF : H_CLEAR_MOD, args, args); break;
		case 6: swhpt_touch(h, index, x & 64 ? HPTE_R_R : HPTE_R_R | HPTE_R_C); break;
		default:
			for (unsigned i = 0; i < 4; i++)
				args[2 * i] = 1ull << 62 | ((index + i * 97) % ENTRIES);
			swhpt_hcall(h, H_BULK_REMOVE, args, args);
		}
	}
	swhpt_vcpu_leave(h);
	return NULL;
}

static void replay(size_t len)
{
	struct htab_iter it;
	struct htab_rec rec;
	int r;

	htab_iter_init(&it, buf, len, ENTRIES, HTAB_HOST);
	while ((r = htab_iter_next(&it, &rec)) > 0) {
		for (unsigned i = 0; i < (unsigned)rec.n_valid + rec.n_invalid; i++) {
			uint64_t *m = &model[2 * (rec.index + (size_t)i)];

			m[0] = i < rec.n_valid ? be64_get(rec.hptes + 16 * (size_t)i) : 0;
			m[1] = i < rec.n_valid ? be64_get(rec.hptes + 16 * (size_t)i + 8) : 0;
			hpte_normalise(&m[0], &m[1]);
		}
	}
	ck_assert_int_eq(r, 0);
}

START_TEST(passes_replayed_equal_the_final_table)
{
	size_t len = (size_t)ENTRIES * 16;
	uint8_t *final = malloc(len);
	struct swhpt_fd *r = open_fd(0, 0);
	pthread_t t[MUTATORS];
	unsigned empty = 0;

	ck_assert_ptr_nonnull(final);
	memset(model, 0xff, sizeof(model));
	for (uintptr_t i = 0; i < MUTATORS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, mutate, (void *)(i + 1)), 0);
	for (unsigned n = 0; n < 300; n++)
		replay((size_t)swhpt_read(r, buf, 100 + (n * 7919) % (64 << 10)));
	for (unsigned i = 0; i < MUTATORS; i++)
		pthread_join(t[i], NULL);
	while (empty < 2) {
		ssize_t n = swhpt_read(r, buf, sizeof(buf));

		empty = n ? 0 : empty + 1;
		replay((size_t)n);
	}
	ck_assert_int_eq(swhpt_save_flat(h, final, len), 0);
	for (size_t i = 0; i < 2 * (size_t)ENTRIES; i++)
		ck_assert_uint_eq(be64_get(final + 8 * i), model[i]);
	swhpt_close(r);
	free(final);
}
END_TEST

static struct swhpt_fd *served;
static int served_sock;

static void *serve(void *arg)
{
	static uint8_t packet[HTABSOCK_PACKET_MAX];
	int r;

	do
		r = swhpt_serve_one(served, served_sock, packet);
	while (r > 0);
	return (void *)(intptr_t)r;
}

static int32_t exchange(
	int sock, enum htabsock_op op, uint32_t count, const void *records, size_t len)
{
	static uint8_t packet[HTABSOCK_PACKET_MAX];
	int32_t result = -1;
	ssize_t n;

	htabsock_pack_request(packet, op, count);
	memcpy(packet + HTABSOCK_REQ_SIZE, records, len);
	ck_assert_int_eq(
		send(sock, packet, HTABSOCK_REQ_SIZE + len, 0), (ssize_t)(HTABSOCK_REQ_SIZE + len));
	n = recv(sock, packet, sizeof(packet), 0);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(htabsock_unpack_answer(packet, (size_t)n, op, count, &result), 0);
	if (op == HTABSOCK_READ && result > 0)
		memcpy(buf, packet + HTABSOCK_ANS_SIZE, (size_t)result);
	return result;
}

START_TEST(a_socket_stands_in_for_an_fd)
{
	uint8_t rec[64];
	size_t len = record(rec, 60, 1, 2, V(6), R(MEMORY >> 16));
	void *end;

	for (int write = 1; write >= 0; write--) {
		pthread_t t;
		int s[2];

		ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s), 0);
		served = open_fd(write ? HTAB_FD_WRITE : 0, 60);
		served_sock = s[0];
		ck_assert_int_eq(pthread_create(&t, NULL, serve, NULL), 0);
		if (write) {
			htab_convert(rec, len, HTAB_HOST, HTAB_WIRE);
			memcpy(rec + len, rec, len);
			rec[len + 3]++; /* the index */
			ck_assert_int_eq(
				exchange(s[1], HTABSOCK_WRITE, (uint32_t)(2 * len), rec, 2 * len),
				(int32_t)(2 * len));
			ck_assert_int_eq(exchange(s[1], HTABSOCK_READ, 100, "", 0), -EBADF);
			rec[len] = 0x80;
			ck_assert_int_eq(
				exchange(s[1], HTABSOCK_WRITE, (uint32_t)(2 * len), rec, 2 * len),
				-EINVAL);
		} else {
			struct htab_rec r;
			struct htab_iter it;

			ck_assert_int_eq(exchange(s[1], HTABSOCK_READ, 1000, "", 0), 40);
			htab_iter_init(&it, buf, 40, ENTRIES, HTAB_WIRE);
			ck_assert_int_eq(htab_iter_next(&it, &r), 1);
			ck_assert_uint_eq(r.index, 60);
			ck_assert_uint_eq(r.n_valid, 2);
			ck_assert_uint_eq(r.n_invalid, ENTRIES - 62);
		}
		close(s[1]);
		pthread_join(t, &end);
		ck_assert_ptr_null(end);
		close(s[0]);
		served = swhpt_close(served);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("swhpt");
	TCase *tc = tcase_create("swhpt");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
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
	tcase_add_test(tc, h_enter_takes_the_first_free_slot_of_a_group);
	tcase_add_test(tc, hypercalls_check_and_answer);
	tcase_add_test(tc, flat_tables_come_back_normalised);
	tcase_add_test(tc, passes_replayed_equal_the_final_table);
	tcase_add_test(tc, a_socket_stands_in_for_an_fd);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
