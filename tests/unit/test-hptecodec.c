/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The HPTE codec: every table comes back as it was, nothing that a peer may send does harm. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/hptecodec.h"
#include "proto/hptemodel.h"
#include "proto/pack.h"
#include "proto/wire.h"

static uint64_t seed;

static uint64_t rnd(uint64_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed % below;
}

/* A table as a guest fills it: by hash, the first free slot of the group, then of the second. */
struct table {
	unsigned order;
	uint64_t *v, *r;
	uint64_t entries;
};

static struct table table_new(unsigned order)
{
	struct table t = {.order = order, .entries = htab_entries(order)};

	t.v = calloc(t.entries, sizeof(*t.v));
	t.r = calloc(t.entries, sizeof(*t.r));
	ck_assert(t.v && t.r);
	return t;
}

static void table_free(struct table *t)
{
	free(t->v);
	free(t->r);
}

struct mapping {
	bool tb; /* 1 TiB segment */
	unsigned shift;
	uint64_t vsid, flags, lp;
};

static bool enter(struct table *t, const struct mapping *m, uint64_t page, uint64_t r)
{
	uint64_t hash = m->vsid ^ page ^ (m->tb ? m->vsid << 25 : 0);
	uint64_t va = m->vsid << (m->tb ? 40 : 28) | page << m->shift;

	for (unsigned second = 0; second < 2; second++) {
		uint64_t group = (second ? ~hash : hash) & (t->entries / 8 - 1);

		for (uint64_t i = group * 8; i < group * 8 + 8; i++) {
			if (t->v[i])
				continue;
			t->v[i] = (va >> 23 << 7 & ((1ull << 62) - 1)) | (uint64_t)m->tb << 62 |
				m->flags | HPTE_V_VALID | (second ? HPTE_V_SECONDARY : 0);
			t->r[i] = r | m->lp << 12;
			return true;
		}
	}
	return false;
}

/* The kernel's linear mapping, and what processes map at random. */
static void fill(struct table *t, const struct mapping *linear, unsigned maps, bool rc)
{
	uint64_t n = t->entries / 4;
	struct mapping user[64];

	for (uint64_t p = 0; p < n; p++)
		enter(t, linear, p, p << linear->shift | 0x194);
	for (unsigned i = 0; i < maps; i++)
		user[i] = (struct mapping){.tb = rnd(2), .shift = 12, .vsid = rnd(1ull << 30)};
	for (uint64_t p = 0; maps && p < n / 2; p++) {
		const struct mapping *m = &user[rnd(maps)];
		uint64_t flags = rc ? rnd(4) << 7 : 0;

		enter(t, m, rnd(1 << 16), rnd(1 << 20) << 12 | 0x114 | flags);
	}
}

struct records {
	uint8_t *buf;
	size_t len, cap;
};

/* The next records of the table from *at. changed: about one entry in so many. */
static void read_some(struct records *o, const struct table *t, uint64_t *at, unsigned changed)
{
	o->len = 0;
	while (*at < t->entries && o->len + 24 <= o->cap) {
		uint8_t *head = o->buf + o->len;
		unsigned nv = 0, ni = 0;
		uint64_t first;

		if (changed)
			*at += rnd(changed);
		first = *at;
		o->len += 8;
		for (; *at < t->entries && t->v[*at] && o->len + 16 <= o->cap && nv < 65535;
			++*at, nv++, o->len += 16) {
			be64_put(o->buf + o->len, t->v[*at]);
			be64_put(o->buf + o->len + 8, t->r[*at]);
		}
		for (; *at < t->entries && !t->v[*at] && ni < 65535; ++*at)
			ni++;
		if (nv == 0 && ni == 0) {
			o->len -= 8;
			break;
		}
		htab_put_header(head, HTAB_WIRE, (uint32_t)first, (uint16_t)nv, (uint16_t)ni);
	}
}

/* Encode and decode, in buffers of exactly the size: ASan sees a look past their ends. */
static size_t both_ways(struct hptecodec *enc, struct hptecodec *dec, const void *src, size_t plain)
{
	uint8_t *coded = malloc(hptecodec_bound(plain)), *back = malloc(plain), *copy;
	size_t len = hptecodec_encode(enc, src, plain, coded);

	ck_assert(coded && back);
	ck_assert_uint_le(len, hptecodec_bound(plain));
	copy = malloc(len);
	ck_assert_ptr_nonnull(copy);
	memcpy(copy, coded, len);
	ck_assert_int_eq(hptecodec_decode(dec, copy, len, back, plain), 0);
	ck_assert_mem_eq(back, src, plain);
	free(copy);
	free(coded);
	free(back);
	return len;
}

static double table_ratio(const struct table *t, size_t chunk, unsigned changed)
{
	struct hptecodec *enc = hptecodec_new(t->order), *dec = hptecodec_new(t->order);
	struct records o = {.buf = malloc(chunk), .cap = chunk};
	size_t plain = 0, coded = 0;

	ck_assert(enc && dec && o.buf);
	for (uint64_t at = 0; at < t->entries;) {
		read_some(&o, t, &at, changed);
		if (o.len == 0)
			break;
		plain += o.len;
		coded += both_ways(enc, dec, o.buf, o.len);
	}
	hptecodec_free(enc);
	hptecodec_free(dec);
	free(o.buf);
	return (double)plain / (double)coded;
}

static const struct mapping linears[] = {
	{.tb = true, .shift = 12, .vsid = 0xea1b217, .flags = HPTE_V_BOLTED | 0x40},
	{.tb = false, .shift = 12, .vsid = 0x1a2b3c4d5, .flags = HPTE_V_BOLTED},
	{.tb = true, .shift = 16, .vsid = 0x123, .flags = HPTE_V_BOLTED | HPTE_V_LARGE, .lp = 1},
	{.tb = true, .shift = 24, .vsid = 0x3fffff, .flags = HPTE_V_BOLTED | HPTE_V_LARGE},
	{.tb = false, .shift = 16, .vsid = 0x77777, .flags = HPTE_V_LARGE, .lp = 1},
};
#define LINEARS (sizeof(linears) / sizeof(linears[0]))

START_TEST(test_tables)
{
	const struct mapping *linear = &linears[_i];

	for (unsigned order = 18; order <= 22; order += 2) {
		struct table t = table_new(order);

		seed = 1 + (unsigned)_i;
		fill(&t, linear, 0, false);
		/* A mapping that goes on costs next to nothing, whatever its pages. */
		ck_assert_double_gt(table_ratio(&t, WIRE_PLAIN_MAX, 0), order == 18 ? 20 : 100);
		fill(&t, linear, 40, true);
		ck_assert_double_gt(table_ratio(&t, WIRE_PLAIN_MAX, 0), 6);
		table_ratio(&t, 1000, 0);
		ck_assert_double_gt(table_ratio(&t, WIRE_PLAIN_MAX, 50), 2);
		table_free(&t);
	}
}
END_TEST

/* An order that no test has memory for: the records alone, far up. */
START_TEST(test_top_of_the_largest_table)
{
	struct hptecodec *enc = hptecodec_new(HTAB_ORDER_MAX), *dec = hptecodec_new(HTAB_ORDER_MAX);
	uint8_t buf[24 * 64];

	ck_assert(enc && dec);
	for (unsigned i = 0; i < 64; i++) {
		uint8_t *p = buf + 24 * i;

		htab_put_header(p, HTAB_WIRE, UINT32_MAX - 511 + 8 * i, 1, 7);
		be64_put(p + 8, ~0ull - i);
		be64_put(p + 16, ~0ull << i);
	}
	both_ways(enc, dec, buf, sizeof(buf));
	hptecodec_free(enc);
	hptecodec_free(dec);
}
END_TEST

/* A 16 MiB page whose AVPN has the bit that lies within the page: no mapping that goes on. */
START_TEST(test_page_bit_below_the_page)
{
	struct hptecodec *enc = hptecodec_new(18), *dec = hptecodec_new(18);
	const uint64_t vsid = 0x1230;
	uint8_t buf[24 * 16];

	ck_assert(enc && dec);
	for (uint64_t page = 0; page < 16; page++) {
		uint64_t pteg = (vsid ^ page) & 0x7ff;
		uint8_t *p = buf + 24 * page;

		htab_put_header(p, HTAB_WIRE, (uint32_t)pteg * 8, 1, 7);
		be64_put(p + 8,
			vsid << 12 | page << 8 | (page & 1) << 7 | HPTE_V_LARGE | HPTE_V_VALID);
		be64_put(p + 16, page << 24 | 0x190);
	}
	both_ways(enc, dec, buf, sizeof(buf));
	hptecodec_free(enc);
	hptecodec_free(dec);
}
END_TEST

/* What is no record, or cut, or at random, comes back too, for one byte more. */
START_TEST(test_any_bytes)
{
	struct hptecodec *enc = hptecodec_new(20), *dec = hptecodec_new(20);
	static uint8_t buf[WIRE_PLAIN_MAX];

	ck_assert(enc && dec);
	seed = 7;
	for (unsigned round = 0; round < 300; round++) {
		size_t n = 1 + rnd(round < 295 ? 600 : sizeof(buf));

		for (size_t i = 0; i < n; i++)
			buf[i] = (uint8_t)(round % 3 ? rnd(256) : rnd(3));
		both_ways(enc, dec, buf, n);
	}
	hptecodec_free(enc);
	hptecodec_free(dec);
}
END_TEST

/* Entries of as many segments as no model holds: raw and no more than 2% besides. */
START_TEST(test_random_entries_cost_no_more_than_raw)
{
	struct table t = table_new(20);

	seed = 3;
	for (uint64_t i = 0; i < t.entries; i++) {
		t.v[i] = rnd(UINT64_MAX) | HPTE_V_VALID;
		t.r[i] = rnd(UINT64_MAX);
	}
	ck_assert_double_gt(table_ratio(&t, WIRE_PLAIN_MAX, 0), 1 / 1.02);
	for (uint64_t i = 0; i < t.entries; i++)
		t.v[i] = t.r[i] = 0;
	for (uint64_t n = 0; n < t.entries / 2; n++) {
		struct mapping m = {.tb = n & 1, .shift = 12, .vsid = rnd(1ull << 26)};

		enter(&t, &m, rnd(1 << 16), rnd(UINT64_MAX));
	}
	ck_assert_double_gt(table_ratio(&t, WIRE_PLAIN_MAX, 0), 1 / 1.02);
	table_free(&t);
}
END_TEST

/* One chunk of everything: cut at each byte, each bit changed. Never more than an error. */
START_TEST(test_hostile)
{
	struct hptecodec *enc = hptecodec_new(18), *dec = hptecodec_new(18);
	struct records o = {.buf = malloc(8192), .cap = 8192};
	struct table t = table_new(18);
	uint8_t *coded, *bad, *back;
	unsigned refused = 0;
	uint64_t at = 0;
	size_t len;

	seed = 5;
	fill(&t, &linears[0], 5, true);
	read_some(&o, &t, &at, 0);
	coded = malloc(hptecodec_bound(o.len));
	back = malloc(o.len);
	ck_assert(enc && dec && coded && back);
	len = hptecodec_encode(enc, o.buf, o.len, coded);
	ck_assert_uint_lt(len, o.len / 4);
	for (size_t n = 0; n < len; n++) {
		bad = malloc(n ? n : 1);
		ck_assert_ptr_nonnull(bad);
		memcpy(bad, coded, n);
		ck_assert_int_lt(hptecodec_decode(dec, bad, n, back, o.len), 0);
		free(bad);
	}
	bad = malloc(len);
	ck_assert_ptr_nonnull(bad);
	for (size_t n = 0; n < len * 8; n++) {
		memcpy(bad, coded, len);
		bad[n / 8] ^= (uint8_t)(1u << n % 8);
		if (hptecodec_decode(dec, bad, len, back, o.len) < 0)
			refused++;
	}
	ck_assert_uint_gt(refused, len);
	/* a length that is not what was encoded */
	ck_assert_int_lt(hptecodec_decode(dec, coded, len, back, o.len - 1), 0);
	ck_assert_int_lt(hptecodec_decode(dec, coded, len, back, 0), 0);
	/* the workspace is none the worse for it */
	ck_assert_int_eq(hptecodec_decode(dec, coded, len, back, o.len), 0);
	ck_assert_mem_eq(back, o.buf, o.len);
	free(bad);
	free(coded);
	free(back);
	free(o.buf);
	table_free(&t);
	hptecodec_free(enc);
	hptecodec_free(dec);
}
END_TEST

/* -- payloads made by hand: one record of entries of those codes -- */

enum { RUN, SKIP, VALID, INVALID, HIT, MISS, MAP_LOW, MAP_HIGH, HIGH, R = 9, V = 17, PLANES = 25 };

struct payload {
	uint8_t bytes[1 << 17];
	size_t len;
};

static int extra = -1;   /* the plane that gets a byte too many */
static int hollow = -1;  /* the empty plane that has a length all the same: 0 */
static uint64_t invalid; /* what the record says of those, see craft() */
static uint8_t more;     /* records as expected that follow it */

/* The next plane: its bytes as they are. */
static void put_plane(struct payload *p, int plane, const void *bytes, size_t n)
{
	size_t len = n + (plane == extra), v = len;

	if (len == 0 && plane != hollow)
		return;
	p->bytes[1 + plane / 2] |= (uint8_t)(2 << plane % 2 * 4);
	for (; v >= 0x80; v >>= 7)
		p->bytes[p->len++] = (uint8_t)(v | 0x80);
	p->bytes[p->len++] = (uint8_t)v;
	memcpy(p->bytes + p->len, bytes, n);
	p->len += len;
}

/* n entries that begin at index 0, all of that code, with words of their own where it has some. */
static void craft(struct payload *p, unsigned n, uint8_t code, const uint64_t *v, uint64_t r)
{
	static const uint8_t zero[3];
	/* of three bytes: 16384 and more */
	uint8_t long_number[3] = {(uint8_t)(invalid | 0x80), (uint8_t)(invalid >> 7 | 0x80),
		(uint8_t)(invalid >> 14)};
	uint8_t valid[3] = {(uint8_t)(n & 0x7f), (uint8_t)(n >> 7)};
	uint8_t *byte = malloc(n);
	bool map = code >= 3 && code <= 5, x = code != 0 && code != 3;

	ck_assert_ptr_nonnull(byte);
	if (n >= 0x80)
		valid[0] |= 0x80;
	memset(p, 0, sizeof(*p));
	p->bytes[0] = 1;
	p->len = 14;
	put_plane(p, RUN, (uint8_t[]){0, more}, 2);
	put_plane(p, SKIP, zero, 1);
	put_plane(p, VALID, valid, n >= 0x80 ? 2 : 1);
	put_plane(p, INVALID, invalid ? long_number : zero, invalid ? 3 : 1);
	memset(byte, code, n);
	put_plane(p, HIT, byte, 0);
	put_plane(p, MISS, byte, n);
	memset(byte, 0, n);
	for (int i = MAP_LOW; i <= HIGH; i++)
		put_plane(p, i, byte, map ? n : 0);
	for (int i = 0; i < 8; i++) {
		memset(byte, (uint8_t)(r >> 8 * i), n);
		put_plane(p, R + i, byte, x ? n : 0);
	}
	for (int i = 0; i < 8; i++) {
		for (unsigned k = 0; k < n; k++)
			byte[k] = (uint8_t)(v[k] >> 8 * i);
		put_plane(p, V + i, byte, code >= 6 ? n : 0);
	}
	free(byte);
}

static int decode_crafted(struct payload *p, unsigned n)
{
	struct hptecodec *dec = hptecodec_new(18);
	size_t plain = 8 + 16 * (size_t)n;
	uint8_t *back = malloc(plain), *copy = malloc(p->len);
	int r;

	ck_assert(dec && back && copy);
	memcpy(copy, p->bytes, p->len);
	r = hptecodec_decode(dec, copy, p->len, back, plain);
	free(back);
	free(copy);
	hptecodec_free(dec);
	return r;
}

/*
 * protocol.md 6.6: "Codes 0 to 2 with an empty slot are refused, and so are a map that is not there,
 * a 2,049th map, and code 6 for a first doubleword that address and base do not give."
 */
START_TEST(test_codes_out_of_place)
{
	static struct payload p;
	static uint64_t v[2049];
	const uint64_t within = 0x5000 | 0x80 | HPTE_V_LARGE | HPTE_V_VALID; /* of 16 MiB */

	for (unsigned i = 0; i < 2049; i++)
		v[i] = (uint64_t)(i + 1) << 12 | HPTE_V_VALID; /* each of a segment of its own */
	craft(&p, 1, 7, v, 0x190);
	ck_assert_int_eq(decode_crafted(&p, 1), 0);
	for (uint8_t code = 0; code <= 5; code++) {
		craft(&p, 1, code, v, 0x190);
		ck_assert_msg(decode_crafted(&p, 1) < 0, "code %u", code);
	}
	craft(&p, 1, 8, v, 0x190);
	ck_assert_int_lt(decode_crafted(&p, 1), 0);
	craft(&p, 2048, 6, v, 0x190);
	ck_assert_int_eq(decode_crafted(&p, 2048), 0);
	craft(&p, 2049, 6, v, 0x190);
	ck_assert_int_lt(decode_crafted(&p, 2049), 0);
	craft(&p, 1, 7, &within, 0);
	ck_assert_int_eq(decode_crafted(&p, 1), 0);
	craft(&p, 1, 6, &within, 0);
	ck_assert_int_lt(decode_crafted(&p, 1), 0);
}
END_TEST

/* Records and planes that no encoder makes, each one a good one but for that. */
START_TEST(test_good_but_for_one_thing)
{
	static const uint64_t v = 0x5000 | HPTE_V_VALID;
	static uint8_t back[WIRE_PLAIN_MAX + 1], stored[WIRE_PLAIN_MAX + 2];
	struct hptecodec *dec = hptecodec_new(18);
	static struct payload p;

	ck_assert_ptr_nonnull(dec);
	craft(&p, 1, 7, &v, 0x190);
	ck_assert_int_eq(hptecodec_decode(dec, p.bytes, p.len, back, 24), 0);
	p.bytes[0] = 2; /* no method */
	ck_assert_int_lt(hptecodec_decode(dec, p.bytes, p.len, back, 24), 0);
	more = 1; /* as expected, of a slot that is empty */
	craft(&p, 1, 7, &v, 0x190);
	ck_assert_int_lt(hptecodec_decode(dec, p.bytes, p.len, back, 48), 0);
	craft(&p, 1, 6, &v, 0x190); /* the second's index is 8 away, so its slot is the first's */
	ck_assert_int_eq(hptecodec_decode(dec, p.bytes, p.len, back, 48), 0);
	more = 0;
	/* 7 follow by themselves; 2d of 65,528 more, and one more than a record takes */
	invalid = UINT64_C(2) * 65528;
	craft(&p, 1, 7, &v, 0x190);
	ck_assert_int_eq(hptecodec_decode(dec, p.bytes, p.len, back, 24), 0);
	invalid += 2;
	craft(&p, 1, 7, &v, 0x190);
	ck_assert_int_lt(hptecodec_decode(dec, p.bytes, p.len, back, 24), 0);
	invalid = 0;
	hollow = HIT;
	craft(&p, 1, 7, &v, 0x190);
	ck_assert_int_lt(hptecodec_decode(dec, p.bytes, p.len, back, 24), 0);
	hollow = -1;

	/* the bytes as they are */
	ck_assert_int_eq(hptecodec_decode(dec, stored, 25, back, 24), 0);
	ck_assert_int_lt(hptecodec_decode(dec, stored, 24, back, 24), 0);
	ck_assert_int_lt(hptecodec_decode(dec, stored, 26, back, 24), 0);
	ck_assert_int_lt(hptecodec_decode(dec, stored, 0, back, 24), 0);
	ck_assert_int_lt(hptecodec_decode(dec, stored, 1, back, 0), 0);
	ck_assert_int_eq(
		hptecodec_decode(dec, stored, WIRE_PLAIN_MAX + 1, back, WIRE_PLAIN_MAX), 0);
	ck_assert_int_lt(
		hptecodec_decode(dec, stored, WIRE_PLAIN_MAX + 2, back, WIRE_PLAIN_MAX + 1), 0);
	hptecodec_free(dec);
}
END_TEST

/* protocol.md 6.6: "No byte is left over, in the payload or in any plane." */
START_TEST(test_bytes_left_over)
{
	static const uint64_t v = 0x5000 | HPTE_V_VALID;
	static struct payload p;

	for (int plane = 0; plane < PLANES; plane++) {
		extra = plane;
		craft(&p, 1, 7, &v, 0x190);
		ck_assert_msg(decode_crafted(&p, 1) < 0, "plane %d", plane);
	}
	extra = -1;
	craft(&p, 1, 7, &v, 0x190);
	ck_assert_int_eq(decode_crafted(&p, 1), 0);
	p.bytes[p.len++] = 0;
	ck_assert_int_lt(decode_crafted(&p, 1), 0);
}
END_TEST

/*
 * A payload that asks for more than there can be.
 *
 * protocol.md 6.6: "A length is at least 1, at most 163,845 for planes 0 to 3"
 * protocol.md 6.6: "5 bytes at most, below 2^32, the shortest form alone."
 */
START_TEST(test_numbers_out_of_bounds)
{
	static const struct {
		const char *what;
		uint8_t bytes[40];
		size_t len;
	} bad[] = {
		{"no method", {2}, 1},
		{"no planes", {1}, 1},
		{"empty planes", {1}, 14},
		{"a run of 2^32 - 1", {1, 2, [14] = 5, 0xff, 0xff, 0xff, 0xff, 0x0f}, 20},
		{"a run past the end", {1, 2, [14] = 1, 0x05}, 16},
		{"a plane longer than its room", {1, 1, [14] = 0xff, 0xff, 0xff, 0x7f, 0}, 19},
		{"a plane mode that is none", {1, 4, [14] = 1, 0}, 16},
		{"the padding nibble", {1, [13] = 0x20, 1, 0}, 16},
		{"a plane that is too short", {1, 2, [14] = 2, 0}, 16},
		{"a long form of 0", {1, 2, [14] = 2, 0x80, 0}, 17},
		{"a byte too many", {1, 1, [14] = 1, 0, 0}, 17},
		{"a plane of no bytes", {1, 2, [14] = 0}, 15},
		{"a frame longer than what is there", {1, 3, [14] = 2, 9, 0x28}, 17},
		{"a number of six bytes", {1, 2, [14] = 6, 0x80, 0x80, 0x80, 0x80, 0x80, 1}, 21},
		{"2^32", {1, 2, [14] = 5, 0x80, 0x80, 0x80, 0x80, 0x10}, 20},
	};
	struct hptecodec *dec = hptecodec_new(18);
	uint8_t back[32];

	ck_assert_ptr_nonnull(dec);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(hptecodec_decode(dec, bad[i].bytes, bad[i].len, back, 32) < 0, "%s",
			bad[i].what);
	hptecodec_free(dec);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("hptecodec");
	TCase *tc = tcase_create("hptecodec");
	SRunner *sr = srunner_create(s);
	int failed;

	suite_add_tcase(s, tc);
	tcase_add_loop_test(tc, test_tables, 0, (int)LINEARS);
	tcase_add_test(tc, test_top_of_the_largest_table);
	tcase_add_test(tc, test_page_bit_below_the_page);
	tcase_add_test(tc, test_any_bytes);
	tcase_add_test(tc, test_random_entries_cost_no_more_than_raw);
	tcase_add_test(tc, test_hostile);
	tcase_add_test(tc, test_numbers_out_of_bounds);
	tcase_add_test(tc, test_codes_out_of_place);
	tcase_add_test(tc, test_bytes_left_over);
	tcase_add_test(tc, test_good_but_for_one_thing);
	srunner_run_all(sr, CK_ENV);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? 1 : 0;
}
