/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* KVM's records: iterate, validate, split, convert, digest. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "proto/htab.h"
#include "proto/pack.h"

#define ENTRIES (1ull << 14) /* order 18 */

struct stream {
	uint8_t buf[4096];
	size_t len;
};

/* A record of valid entries whose doublewords say which they are. */
static void add(struct stream *s, enum htab_endian endian, uint32_t index, uint16_t n_valid,
	uint16_t n_invalid)
{
	htab_put_header(s->buf + s->len, endian, index, n_valid, n_invalid);
	s->len += HTAB_HDR_SIZE;
	for (uint32_t i = 0; i < n_valid; i++) {
		be64_put(s->buf + s->len, (uint64_t)(index + i) << 12 | HPTE_V_VALID);
		be64_put(s->buf + s->len + 8, index + i);
		s->len += HTAB_HPTE_SIZE;
	}
}

static void sample(struct stream *s, enum htab_endian endian)
{
	s->len = 0;
	add(s, endian, 0, 3, 0);
	add(s, endian, 3, 0, 5);
	add(s, endian, 100, 20, 7);
	add(s, endian, ENTRIES - 2, 1, 1);
}

/* What a copy on the heap of exactly len bytes gives: ASan sees any look past its end. */
static int check_copy(const void *buf, size_t len, struct htab_count *ret)
{
	void *p = malloc(len ? len : 1);
	const char *why = NULL;
	int r;

	ck_assert_ptr_nonnull(p);
	memcpy(p, buf, len);
	r = htab_check(p, len, ENTRIES, HTAB_WIRE, ret, &why);
	ck_assert((r < 0) == (why != NULL));
	free(p);
	return r;
}

START_TEST(test_iterate)
{
	enum htab_endian endian = (enum htab_endian)_i;
	struct htab_iter it;
	struct htab_rec rec;
	struct stream s;

	sample(&s, endian);
	htab_iter_init(&it, s.buf, s.len, ENTRIES, endian);
	ck_assert_int_eq(htab_iter_next(&it, &rec), 1);
	ck_assert(rec.index == 0 && rec.n_valid == 3 && rec.n_invalid == 0);
	ck_assert_int_eq(htab_iter_next(&it, &rec), 1);
	ck_assert(rec.index == 3 && rec.n_valid == 0 && rec.n_invalid == 5);
	ck_assert_int_eq(htab_iter_next(&it, &rec), 1);
	ck_assert(rec.index == 100 && rec.n_valid == 20 && rec.n_invalid == 7);
	ck_assert_uint_eq(be64_get(rec.hptes + 19 * HTAB_HPTE_SIZE + 8), 119);
	ck_assert_int_eq(htab_iter_next(&it, &rec), 1);
	ck_assert_uint_eq(rec.index, ENTRIES - 2);
	ck_assert_int_eq(htab_iter_next(&it, &rec), 0);
	ck_assert_int_eq(htab_iter_next(&it, &rec), 0);
}
END_TEST

START_TEST(test_count)
{
	struct htab_count c;
	struct stream s;

	sample(&s, HTAB_WIRE);
	ck_assert_int_eq(check_copy(s.buf, s.len, &c), 0);
	ck_assert_uint_eq(c.records, 4);
	ck_assert_uint_eq(c.valid, 24);
	ck_assert_uint_eq(c.invalid, 13);
	ck_assert_uint_eq(c.end, ENTRIES);
	ck_assert_int_eq(check_copy(s.buf, 0, &c), 0);
	ck_assert_uint_eq(c.records, 0);
	ck_assert_uint_eq(c.end, 0);
}
END_TEST

START_TEST(test_cut_at_every_byte)
{
	struct htab_count c, whole;
	struct stream s;

	sample(&s, HTAB_WIRE);
	ck_assert_int_eq(check_copy(s.buf, s.len, &whole), 0);
	for (size_t len = 0; len < s.len; len++) {
		bool boundary = len == 0 || len == 56 || len == 64 || len == 64 + 328;

		ck_assert_int_eq(check_copy(s.buf, len, &c), boundary ? 0 : -EBADMSG);
	}
}
END_TEST

START_TEST(test_every_bit_flipped)
{
	struct htab_count c;
	struct stream s;

	sample(&s, HTAB_WIRE);
	for (size_t bit = 0; bit < s.len * 8; bit++) {
		s.buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (check_copy(s.buf, s.len, &c) == 0) /* then it is a stream of whole records */
			ck_assert_uint_le(c.end, ENTRIES);
		s.buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}
END_TEST

/* protocol.md 7: "n_invalid | u16 | entries after those that are empty; not both 0" */
START_TEST(test_refusals)
{
	struct htab_count c;
	struct stream s = {.len = 0};

	add(&s, HTAB_WIRE, ENTRIES - 1, 1, 1);
	ck_assert_int_eq(check_copy(s.buf, s.len, &c), -EBADMSG);
	s.len = 0;
	add(&s, HTAB_WIRE, UINT32_MAX, 1, 0); /* no sum may wrap */
	ck_assert_int_eq(check_copy(s.buf, s.len, &c), -EBADMSG);
	s.len = 0;
	add(&s, HTAB_WIRE, 5, 0, 0);
	ck_assert_int_eq(check_copy(s.buf, s.len, &c), -EBADMSG);
	s.len = 0;
	add(&s, HTAB_WIRE, 5, 2, 0);
	s.buf[HTAB_HDR_SIZE + HTAB_HPTE_SIZE + 7] &= (uint8_t)~HPTE_V_VALID;
	ck_assert_int_eq(check_copy(s.buf, s.len, &c), -EBADMSG);
}
END_TEST

/* The iterator judges as the check does, and says what is wrong. */
START_TEST(test_iterator_refuses)
{
	static const struct {
		uint32_t index;
		uint16_t n_valid, n_invalid;
		const char *why;
	} cases[] = {
		{5, 0, 0, "a record holds no entries"},
		{ENTRIES, 0, 1, "a record reaches past the end of the table"},
		{UINT32_MAX, 0, 1, "a record reaches past the end of the table"},
		{5, 300, 0, "a record's entries are cut short"},
	};
	struct htab_count c;
	struct htab_iter it;
	struct htab_rec rec;
	struct stream s;
	const char *why;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		s.len = HTAB_HDR_SIZE;
		htab_put_header(
			s.buf, HTAB_WIRE, cases[i].index, cases[i].n_valid, cases[i].n_invalid);
		htab_iter_init(&it, s.buf, s.len, ENTRIES, HTAB_WIRE);
		ck_assert_int_eq(htab_iter_next(&it, &rec), -EBADMSG);
		ck_assert_str_eq(it.why, cases[i].why);
		ck_assert_int_eq(htab_check(s.buf, s.len, ENTRIES, HTAB_WIRE, &c, &why), -EBADMSG);
		ck_assert_str_eq(why, cases[i].why);
	}
}
END_TEST

START_TEST(test_split)
{
	/* A part of any size joins with the others to the same entries. */
	for (size_t max = HTAB_HDR_SIZE + HTAB_HPTE_SIZE; max < 400; max += 5) {
		struct stream s = {.len = 0}, parts = {.len = 0};
		uint32_t next = 100, valid = 0, invalid = 0;
		struct htab_iter it;
		struct htab_rec rec;

		add(&s, HTAB_HOST, 100, 20, 7);
		htab_iter_init(&it, s.buf, s.len, ENTRIES, HTAB_HOST);
		ck_assert_int_eq(htab_iter_next(&it, &rec), 1);
		while (rec.n_valid || rec.n_invalid) {
			size_t n = htab_split(&rec, parts.buf + parts.len, max, HTAB_WIRE);

			ck_assert_uint_le(n, max);
			parts.len += n;
		}
		htab_iter_init(&it, parts.buf, parts.len, ENTRIES, HTAB_WIRE);
		while (htab_iter_next(&it, &rec) > 0) {
			ck_assert_uint_eq(rec.index, next);
			for (uint32_t i = 0; i < rec.n_valid; i++)
				ck_assert_uint_eq(be64_get(rec.hptes + i * 16 + 8), next + i);
			next += rec.n_valid + rec.n_invalid;
			valid += rec.n_valid;
			invalid += rec.n_invalid;
		}
		ck_assert_uint_eq(valid, 20);
		ck_assert_uint_eq(invalid, 7);
	}
}
END_TEST

START_TEST(test_split_longest)
{
	size_t bytes = (size_t)HTAB_RUN_MAX * HTAB_HPTE_SIZE;
	uint8_t *hptes = calloc(1, bytes), *part = malloc(HTAB_REC_MAX);
	struct htab_rec rec = {0, HTAB_RUN_MAX, HTAB_RUN_MAX, hptes};

	ck_assert(hptes && part);
	ck_assert_uint_eq(htab_split(&rec, part, HTAB_REC_MAX, HTAB_HOST), HTAB_REC_MAX);
	ck_assert(rec.n_valid == 0 && rec.n_invalid == 0);
	ck_assert_uint_eq(rec.index, 2 * HTAB_RUN_MAX);
	free(hptes);
	free(part);
}
END_TEST

START_TEST(test_convert)
{
	struct stream host, wire, s;

	sample(&host, HTAB_HOST);
	sample(&wire, HTAB_WIRE);
	s = host;
	htab_convert(s.buf, s.len, HTAB_HOST, HTAB_WIRE);
	ck_assert_int_eq(memcmp(s.buf, wire.buf, wire.len), 0);
	htab_convert(s.buf, s.len, HTAB_WIRE, HTAB_HOST);
	ck_assert_int_eq(memcmp(s.buf, host.buf, host.len), 0);
	/* Big-endian on the wire: index 100 = 0x64, 20 valid, 7 invalid. */
	ck_assert_int_eq(memcmp(wire.buf + 64, "\0\0\0\x64\0\x14\0\x07", 8), 0);
}
END_TEST

/* Checked and turned at once, against one after the other. */
static void both(const struct stream *s, size_t len, enum htab_endian from)
{
	enum htab_endian to = from == HTAB_HOST ? HTAB_WIRE : HTAB_HOST;
	uint8_t *p = malloc(len ? len : 1), *q = malloc(len ? len : 1);
	struct htab_count a = {0}, b = {0};
	const char *why_a = "", *why_b = "";
	struct htab_iter it;
	struct htab_rec rec;
	int r, n;

	ck_assert(p && q);
	memcpy(p, s->buf, len);
	memcpy(q, s->buf, len);
	r = htab_check(p, len, ENTRIES, from, &a, &why_a);
	ck_assert_int_eq(
		htab_check_convert(HTAB_HPT, q, len, ENTRIES, from, to, HTAB_UNORDERED, &b, &why_b),
		r);
	ck_assert_str_eq(why_a, why_b);
	ck_assert_mem_eq(&a, &b, sizeof(a));
	if (r == 0) {
		htab_convert(p, len, from, to);
		ck_assert_mem_eq(p, q, len);
	}
	/* and the iterator says the same */
	memcpy(p, s->buf, len);
	htab_iter_init(&it, p, len, ENTRIES, from);
	while ((n = htab_iter_next(&it, &rec)) > 0)
		continue;
	ck_assert_int_eq(n, r);
	ck_assert_str_eq(n < 0 ? it.why : "", why_b);
	free(p);
	free(q);
}

START_TEST(test_check_and_convert)
{
	enum htab_endian from = (enum htab_endian)_i;
	struct stream s;

	sample(&s, from);
	for (size_t len = 0; len <= s.len; len++)
		both(&s, len, from);
	for (size_t bit = 0; bit < s.len * 8; bit++) {
		s.buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		both(&s, s.len, from);
		s.buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}
END_TEST

START_TEST(test_ascending)
{
	static const struct {
		uint32_t first, second;
		uint64_t start;
		bool good;
	} cases[] = {
		{10, 13, HTAB_UNORDERED, true},
		{13, 10, HTAB_UNORDERED, true},
		{10, 13, 0, true},
		{10, 13, 10, true},
		{10, 13, 11, false},
		{10, 12, 10, false}, /* within the one before */
		{13, 10, 0, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stream s = {.len = 0};
		struct htab_count c;
		const char *why = NULL;
		int r;

		add(&s, HTAB_HOST, cases[i].first, 1, 2);
		add(&s, HTAB_HOST, cases[i].second, 1, 0);
		r = htab_check_convert(HTAB_HPT, s.buf, s.len, ENTRIES, HTAB_HOST, HTAB_WIRE,
			cases[i].start, &c, &why);
		ck_assert_int_eq(r, cases[i].good ? 0 : -EBADMSG);
		if (!cases[i].good)
			ck_assert_str_eq(why, "a record goes back to where the pass has been");
	}
}
END_TEST

START_TEST(test_wrapped)
{
	ck_assert(htab_read_wrapped(0, 25, 0, ENTRIES));
	ck_assert(!htab_read_wrapped(0, 24, 0, ENTRIES)); /* a read that short says nothing */
	ck_assert(htab_read_wrapped(75, 100, 7, ENTRIES));
	ck_assert(!htab_read_wrapped(76, 100, 7, ENTRIES));
	ck_assert(htab_read_wrapped(100, 100, ENTRIES, ENTRIES));
	ck_assert(!htab_read_wrapped(100, 100, ENTRIES - 1, ENTRIES));
}
END_TEST

START_TEST(test_normalise)
{
	uint64_t v = 0x5051, r = HPTE_R_MODIFIED | 0x190;

	hpte_normalise(&v, &r);
	ck_assert_uint_eq(v, 0x5011);
	ck_assert_uint_eq(r, 0x190);
	v = 0x5000 | HPTE_V_ABSENT;
	hpte_normalise(&v, &r);
	ck_assert_uint_eq(v, 0x5001);
	v = 0x5000 | HPTE_V_HVLOCK;
	hpte_normalise(&v, &r);
	ck_assert(v == 0 && r == 0);
}
END_TEST

static uint64_t mix(uint64_t d, uint64_t w)
{
	d = (d ^ w) * 0x9fb21c651e98df25ull;
	return d << 29 | d >> 35;
}

START_TEST(test_digest)
{
	static const uint8_t b[11] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
	const uint64_t init = STREAM_DIGEST_INIT;
	uint8_t padded[16] = {0}, large[4096], *p = large;
	uint64_t d = mix(init, 8);

	d = mix(d, mix(init, 0x0706050403020100ull));
	for (uint64_t lane = 1; lane < 8; lane++)
		d = mix(d, init + lane);
	ck_assert_uint_eq(stream_digest(init, b, 8), d);
	ck_assert_uint_eq(stream_digest(d, b, 0), d);
	/* Zeros that are there are not zeros that are not. */
	memcpy(padded, b, sizeof(b));
	ck_assert_uint_ne(stream_digest(init, b, sizeof(b)), stream_digest(init, padded, 16));
	/* Every bit of every word, in every lane and in the tail, is looked at. */
	memset(large, 0x5a, sizeof(large));
	d = stream_digest(init, large, sizeof(large) - 3);
	for (size_t i = 0; i < sizeof(large) - 3; i += 5) {
		p[i] ^= (uint8_t)(1 << i % 8);
		ck_assert_uint_ne(stream_digest(init, large, sizeof(large) - 3), d);
		p[i] ^= (uint8_t)(1 << i % 8);
	}
}
END_TEST

/* What END is to find: entries that changed places, came twice, or not at all; and so units. */
START_TEST(test_digest_of_what_went_wrong)
{
	enum { N = 64 };
	const uint64_t init = STREAM_DIGEST_INIT;
	uint8_t good[16 * N], bad[16 * (N + 1)];
	uint64_t d, halves;

	/* neighbours, whose entries differ in a few bits */
	for (unsigned i = 0; i < N; i++) {
		be64_put(good + 16 * (size_t)i, (uint64_t)(i / 8) << 12 | HPTE_V_VALID);
		be64_put(good + 16 * (size_t)i + 8, (uint64_t)i << 12 | 0x190);
	}
	d = stream_digest(init, good, sizeof(good));
	for (size_t i = 0; i < N; i++) {
		for (size_t k = 0; k < i; k++) { /* in each other's place */
			memcpy(bad, good, sizeof(good));
			memcpy(bad + 16 * i, good + 16 * k, 16);
			memcpy(bad + 16 * k, good + 16 * i, 16);
			ck_assert_uint_ne(stream_digest(init, bad, sizeof(good)), d);
		}
		memcpy(bad, good, 16 * i); /* left out */
		memcpy(bad + 16 * i, good + 16 * (i + 1), 16 * (N - i - 1));
		ck_assert_uint_ne(stream_digest(init, bad, sizeof(good) - 16), d);
		memcpy(bad, good, 16 * (i + 1)); /* twice */
		memcpy(bad + 16 * (i + 1), good + 16 * i, 16 * (N - i));
		ck_assert_uint_ne(stream_digest(init, bad, sizeof(bad)), d);
	}
	halves = stream_digest(stream_digest(init, good, 512), good + 512, 512);
	ck_assert_uint_ne(stream_digest(stream_digest(init, good + 512, 512), good, 512), halves);
	ck_assert_uint_ne(stream_digest(init, good, 512), halves);
	ck_assert_uint_ne(stream_digest(halves, good + 512, 512), halves);
	ck_assert_uint_ne(d, halves); /* units are not cut elsewhere */
}
END_TEST

int main(void)
{
	Suite *s = suite_create("proto-htab");
	TCase *t = tcase_create("htab");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, test_iterate, HTAB_HOST, HTAB_WIRE + 1);
	tcase_add_test(t, test_count);
	tcase_add_test(t, test_cut_at_every_byte);
	tcase_add_test(t, test_every_bit_flipped);
	tcase_add_test(t, test_refusals);
	tcase_add_test(t, test_iterator_refuses);
	tcase_add_test(t, test_split);
	tcase_add_test(t, test_split_longest);
	tcase_add_test(t, test_convert);
	tcase_add_loop_test(t, test_check_and_convert, HTAB_HOST, HTAB_WIRE + 1);
	tcase_add_test(t, test_ascending);
	tcase_add_test(t, test_wrapped);
	tcase_add_test(t, test_normalise);
	tcase_add_test(t, test_digest);
	tcase_add_test(t, test_digest_of_what_went_wrong);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
