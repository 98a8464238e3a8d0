/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The software HPT: hypercalls, flat tables, passes while it changes, a socket to it. */
#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/pack.h"
#include "proto/vmm.h"
#include "tests/unit/swhpt-harness.h"

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

	htab_iter_init(&it, bytes, len, ENTRIES, HTAB_HOST);
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
		replay((size_t)swhpt_read(r, bytes, 100 + (n * 7919) % (64 << 10)));
	for (unsigned i = 0; i < MUTATORS; i++)
		pthread_join(t[i], NULL);
	while (empty < 2) {
		ssize_t n = swhpt_read(r, bytes, sizeof(bytes));

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
		memcpy(bytes, packet + HTABSOCK_ANS_SIZE, (size_t)result);
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
			htab_iter_init(&it, bytes, 40, ENTRIES, HTAB_WIRE);
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

/* Map page `page` of segment vsid as Linux does: its slot, in a table of that many entries. */
static uint64_t map(uint64_t vsid, uint64_t page, bool secondary, uint64_t flags, uint64_t entries)
{
	uint64_t hash = vsid ^ page, v = (vsid << 16 | page) >> 11 << 7 | HPTE_V_VALID | flags;
	uint64_t group = (secondary ? ~hash : hash) & (entries / 8 - 1), index;

	if (secondary)
		v |= HPTE_V_SECONDARY;
	ck_assert_int_eq(enter(0, group * 8, v, R(1), &index), H_SUCCESS);
	return index;
}

/* Where such a mapping has to be after a resize: the group by its hash, the slot as it was. */
static uint64_t moved(uint64_t vsid, uint64_t page, bool secondary, uint64_t slot, uint64_t entries)
{
	uint64_t hash = vsid ^ page;

	return ((secondary ? ~hash : hash) & (entries / 8 - 1)) * 8 + slot % 8;
}

START_TEST(a_resize_keeps_the_bolted_entries_where_their_hash_is)
{
	enum { PAGES = 600 };
	unsigned order = ORDER + 1 + (unsigned)_i;
	uint64_t entries = htab_entries(order), slot[PAGES], ret[SWHPT_HCALL_ARGS], bolted = 0;
	uint8_t *flat = malloc((size_t)1 << order);
	struct swhpt_fd *fd = open_fd(0, 0);

	for (uint64_t i = 0; i < PAGES; i++) /* pages of several segments, beyond the hash's bits */
		slot[i] = map(
			0x1234567 + i % 7, i * 107, i % 3 == 0, i % 2 ? HPTE_V_BOLTED : 0, ENTRIES);
	swhpt_vcpu_enter(h);
	ck_assert_int_eq(swhpt_resize(h, order), -EBUSY);
	swhpt_vcpu_leave(h);
	ck_assert_int_eq(swhpt_resize(h, 17), -EINVAL);
	ck_assert_uint_eq(swhpt_order(h), ORDER);
	ck_assert_int_eq(swhpt_resize(h, order), 0);
	ck_assert_uint_eq(swhpt_order(h), order);
	ck_assert_uint_eq(swhpt_entries(h), entries);
	for (uint64_t i = 1; i < PAGES; i += 2) {
		uint64_t at = moved(0x1234567 + i % 7, i * 107, i % 3 == 0, slot[i], entries);

		ck_assert_int_eq(hcall(H_READ, 0, at, 0, 0, ret), H_SUCCESS);
		ck_assert_uint_eq(ret[0] & ~(HPTE_V_SECONDARY | HPTE_V_BOLTED),
			((0x1234567 + i % 7) << 16 | i * 107) >> 11 << 7 | HPTE_V_VALID);
	}
	ck_assert_int_eq(swhpt_save_flat(h, flat, (size_t)1 << order), 0);
	for (uint64_t i = 0; i < entries; i++)
		bolted += be64_get(flat + i * 16) & HPTE_V_VALID;
	ck_assert_uint_eq(bolted, PAGES / 2);
	/* and back, to where they were */
	ck_assert_int_eq(swhpt_resize(h, ORDER), 0);
	for (uint64_t i = 1; i < PAGES; i += 2) {
		ck_assert_int_eq(hcall(H_READ, 0, slot[i], 0, 0, ret), H_SUCCESS);
		ck_assert_uint_ne(ret[0] & HPTE_V_VALID, 0);
	}
	swhpt_close(fd);
	free(flat);
}
END_TEST

/* In a smaller table two bolted entries may meet; nothing has changed then. */
START_TEST(a_resize_that_has_no_room_changes_nothing)
{
	uint64_t a, b, ret[SWHPT_HCALL_ARGS];

	ck_assert_int_eq(swhpt_resize(h, ORDER + 1), 0);
	a = map(0x1000, 0, false, HPTE_V_BOLTED, 2 * ENTRIES);
	b = map(0x1000, ENTRIES / 8, false, HPTE_V_BOLTED, 2 * ENTRIES);
	ck_assert_uint_ne(a, b);
	ck_assert_int_eq(swhpt_resize(h, ORDER), -ENOSPC);
	ck_assert_uint_eq(swhpt_order(h), ORDER + 1);
	ck_assert_int_eq(hcall(H_READ, 0, a, 0, 0, ret), H_SUCCESS);
	ck_assert_uint_ne(ret[0] & HPTE_V_VALID, 0);
	ck_assert_int_eq(hcall(H_READ, 0, b, 0, 0, ret), H_SUCCESS);
	ck_assert_uint_ne(ret[0] & HPTE_V_VALID, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("swhpt-table");
	TCase *tc = tcase_create("swhpt-table");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, h_enter_takes_the_first_free_slot_of_a_group);
	tcase_add_test(tc, hypercalls_check_and_answer);
	tcase_add_test(tc, flat_tables_come_back_normalised);
	tcase_add_test(tc, passes_replayed_equal_the_final_table);
	tcase_add_test(tc, a_socket_stands_in_for_an_fd);
	tcase_add_loop_test(tc, a_resize_keeps_the_bolted_entries_where_their_hash_is, 0, 3);
	tcase_add_test(tc, a_resize_that_has_no_room_changes_nothing);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
