/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/htab.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "proto/pack.h"

static uint32_t get32(const uint8_t *p, enum htab_endian endian)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return endian == HTAB_WIRE ? be32toh(v) : v;
}

static uint16_t get16(const uint8_t *p, enum htab_endian endian)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return endian == HTAB_WIRE ? be16toh(v) : v;
}

void htab_iter_init_kind(struct htab_iter *it, enum htab_kind kind, const void *buf, size_t len,
	uint64_t entries, enum htab_endian endian)
{
	*it = (struct htab_iter){
		.p = buf,
		.end = (const uint8_t *)buf + len,
		.entries = entries,
		.endian = endian,
		.kind = kind,
	};
}

/* Inlined with constants: the HPT's loop is the hot one. No branch for an entry but the loop's. */
static inline bool all_valid(const uint8_t *p, size_t n, size_t size, size_t at, uint8_t bit)
{
	uint8_t all = bit;

	for (; n >= 4; n -= 4, p += 4 * size)
		all &= p[at] & p[size + at] & p[2 * size + at] & p[3 * size + at];
	for (; n > 0; n--, p += size)
		all &= p[at];
	return all & bit;
}

static inline bool entries_valid(enum htab_kind kind, const uint8_t *p, size_t n)
{
	if (kind == HTAB_TLB) /* the top bit of mas1 */
		return all_valid(p, n, TLB_ENTRY_SIZE, 4, MAS1_VALID >> 24);
	return all_valid(p, n, HTAB_HPTE_SIZE, 7, HPTE_V_VALID);
}

static int refuse(struct htab_iter *it, const char *why)
{
	it->why = why;
	return -EBADMSG;
}

int htab_iter_next(struct htab_iter *it, struct htab_rec *ret_rec)
{
	size_t left = (size_t)(it->end - it->p);
	struct htab_rec rec;

	if (left == 0)
		return 0;
	if (left < HTAB_HDR_SIZE)
		return refuse(it, "a record's header is cut short");
	rec.index = get32(it->p, it->endian);
	rec.n_valid = get16(it->p + 4, it->endian);
	rec.n_invalid = get16(it->p + 6, it->endian);
	rec.hptes = it->p + HTAB_HDR_SIZE;
	rec.kind = it->kind;
	if (rec.n_valid == 0 && rec.n_invalid == 0)
		return refuse(it, "a record holds no entries");
	if ((uint64_t)rec.index + rec.n_valid + rec.n_invalid > it->entries)
		return refuse(it, "a record reaches past the end of the table");
	if (left < htab_rec_size(&rec))
		return refuse(it, "a record's entries are cut short");
	if (!entries_valid(rec.kind, rec.hptes, rec.n_valid))
		return refuse(it, "an entry given as valid lacks the valid bit");
	it->p += htab_rec_size(&rec);
	*ret_rec = rec;
	return 1;
}

bool htab_iter_step(struct htab_iter *it, struct htab_rec *ret_rec)
{
	if (it->p == it->end)
		return false;
	*ret_rec = (struct htab_rec){
		.index = get32(it->p, it->endian),
		.n_valid = get16(it->p + 4, it->endian),
		.n_invalid = get16(it->p + 6, it->endian),
		.hptes = it->p + HTAB_HDR_SIZE,
		.kind = it->kind,
	};
	assert((size_t)(it->end - it->p) >= htab_rec_size(ret_rec));
	it->p += htab_rec_size(ret_rec);
	return true;
}

/* Why is the record there bad? */
static int find_reason(enum htab_kind kind, const uint8_t *p, const uint8_t *end, uint64_t entries,
	enum htab_endian endian, const char **ret_why)
{
	struct htab_iter it;
	struct htab_rec rec;

	htab_iter_init_kind(&it, kind, p, (size_t)(end - p), entries, endian);
	*ret_why = htab_iter_next(&it, &rec) < 0 ? it.why
						 : "a record goes back to where the pass has been";
	return -EBADMSG;
}

/* Inlined with constants, each time. Nothing is written when from is to. */
__attribute__((always_inline)) static inline int check(enum htab_kind kind, uint8_t *p, size_t len,
	uint64_t entries, enum htab_endian from, enum htab_endian to, uint64_t start,
	struct htab_count *ret_count, const char **ret_why)
{
	struct htab_count c = {.end = start == HTAB_UNORDERED ? 0 : start};
	const uint8_t *end = p + len;

	while (p < end) {
		size_t left = (size_t)(end - p), size;
		uint32_t index;
		uint16_t n_valid, n_invalid;
		uint64_t last;

		if (left < HTAB_HDR_SIZE)
			return find_reason(kind, p, end, entries, from, ret_why);
		index = get32(p, from);
		n_valid = get16(p + 4, from);
		n_invalid = get16(p + 6, from);
		last = (uint64_t)index + n_valid + n_invalid;
		size = HTAB_HDR_SIZE + (size_t)n_valid * htab_entry_size(kind);
		if ((last == index) | (last > entries) | (size > left) |
				((start != HTAB_UNORDERED) & (index < c.end)) ||
			!entries_valid(kind, p + HTAB_HDR_SIZE, n_valid))
			return find_reason(kind, p, end, entries, from, ret_why);
		if (from != to)
			htab_put_header(p, to, index, n_valid, n_invalid);
		c.records++;
		c.valid += n_valid;
		c.invalid += n_invalid;
		c.end = last;
		p += size;
	}
	*ret_count = c;
	return 0;
}

int htab_check_kind(enum htab_kind kind, const void *buf, size_t len, uint64_t entries,
	enum htab_endian endian, struct htab_count *ret_count, const char **ret_why)
{
	uint8_t *p = (uint8_t *)(uintptr_t)buf; /* not written */

	return check(kind, p, len, entries, endian, endian, HTAB_UNORDERED, ret_count, ret_why);
}

int htab_check_convert(enum htab_kind kind, void *buf, size_t len, uint64_t entries,
	enum htab_endian from, enum htab_endian to, uint64_t start, struct htab_count *ret_count,
	const char **ret_why)
{
	if (kind != HTAB_HPT || from == to)
		return check(kind, buf, len, entries, from, to, start, ret_count, ret_why);
	if (from == HTAB_HOST)
		return check(HTAB_HPT, buf, len, entries, HTAB_HOST, HTAB_WIRE, start, ret_count,
			ret_why);
	return check(HTAB_HPT, buf, len, entries, HTAB_WIRE, HTAB_HOST, start, ret_count, ret_why);
}

void htab_convert_kind(
	enum htab_kind kind, void *buf, size_t len, enum htab_endian from, enum htab_endian to)
{
	uint8_t *p = buf, *end = p + len;

	while (p < end) {
		uint16_t n_valid = get16(p + 4, from);
		size_t size = HTAB_HDR_SIZE + (size_t)n_valid * htab_entry_size(kind);

		assert((size_t)(end - p) >= size);
		htab_put_header(p, to, get32(p, from), n_valid, get16(p + 6, from));
		p += size;
	}
}

size_t htab_split(struct htab_rec *rec, void *dst, size_t max, enum htab_endian endian)
{
	size_t entry = htab_entry_size(rec->kind);
	size_t fit = (max - HTAB_HDR_SIZE) / entry;
	uint16_t n = fit < rec->n_valid ? (uint16_t)fit : rec->n_valid;
	uint16_t n_invalid = n == rec->n_valid ? rec->n_invalid : 0;
	size_t bytes = (size_t)n * entry;

	assert(max >= HTAB_HDR_SIZE + entry);
	htab_put_header(dst, endian, rec->index, n, n_invalid);
	memcpy((uint8_t *)dst + HTAB_HDR_SIZE, rec->hptes, bytes);
	rec->index += (uint32_t)n + n_invalid;
	rec->n_valid -= n;
	rec->n_invalid -= n_invalid;
	rec->hptes += bytes;
	return HTAB_HDR_SIZE + bytes;
}

static inline uint64_t mix(uint64_t d, uint64_t w)
{
	d = (d ^ w) * 0x9fb21c651e98df25ull;
	return d << 29 | d >> 35;
}

static inline uint64_t le64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/*
 * Eight lanes: one is a chain of multiplications that waits for itself, and so many keep a core's
 * multiplier busy. Each is a variable, so that it stays in a register.
 */
uint64_t stream_digest(uint64_t digest, const void *unit, size_t len)
{
	uint64_t a = digest, b = digest + 1, c = digest + 2, d = digest + 3;
	uint64_t e = digest + 4, f = digest + 5, g = digest + 6, h = digest + 7;
	uint64_t lane[STREAM_DIGEST_LANES];
	const uint8_t *p = unit, *end = p + len / 64 * 64;
	size_t left = len % 64;

	if (len == 0)
		return digest;
	for (; p < end; p += 64) {
		a = mix(a, le64(p));
		b = mix(b, le64(p + 8));
		c = mix(c, le64(p + 16));
		d = mix(d, le64(p + 24));
		e = mix(e, le64(p + 32));
		f = mix(f, le64(p + 40));
		g = mix(g, le64(p + 48));
		h = mix(h, le64(p + 56));
	}
	memcpy(lane, (uint64_t[STREAM_DIGEST_LANES]){a, b, c, d, e, f, g, h}, sizeof(lane));
	for (unsigned i = 0; left > 0; i++) {
		size_t n = left < 8 ? left : 8;
		uint8_t word[8] = {0};

		memcpy(word, p, n);
		lane[i] = mix(lane[i], le64(word));
		p += n;
		left -= n;
	}
	digest = mix(digest, len);
	for (unsigned i = 0; i < STREAM_DIGEST_LANES; i++)
		digest = mix(digest, lane[i]);
	return digest;
}
