/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/hptecodec.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/hptemodel.h"
#include "proto/pack.h"
#include "proto/planes.h"
#include "proto/wire.h"

/*
 * The payload: a byte METHOD_*; STORED: the bytes; MODEL: the planes. The records are, in turn, a
 * number of records that are as expected (PLANE_RUN) and one that is written out, until the plain
 * bytes are there. As expected: it begins where the last one ended, its counts are those of the
 * last one written out, and so is each entry what its slot goes on with.
 */
enum method {
	METHOD_STORED = 0,
	METHOD_MODEL = 1,
};

enum plane_name {
	PLANE_RUN,       /* varint: records as expected before the next one written out */
	PLANE_SKIP,      /* varint: its index less where the last one ended, modulo 2^32 */
	PLANE_VALID,     /* varint: its n_valid */
	PLANE_INVALID,   /* varint: its n_invalid less what is left of the PTEG, folded (fold()) */
	PLANE_CODE,      /* of its valid entries whose slot was as expected before: enum code */
	PLANE_CODE_MISS, /* of the others */
	PLANE_MAP_LOW,   /* the map's number, by bytes */
	PLANE_MAP_HIGH,
	PLANE_HIGH, /* varint: page number above the PTEG's bits, XOR the map's last */
	PLANE_R,    /* 8: the second doubleword, from its lowest byte upwards, XOR by code */
	PLANE_V = PLANE_R + 8, /* 8: the first doubleword */
	PLANE_END = PLANE_V + 8,
};

/* What an entry is. Its first doubleword, then the second. */
enum code {
	CODE_SLOT = 0,      /* the slot's; as expected */
	CODE_SLOT_XOR = 1,  /* the slot's; XOR what is expected */
	CODE_SLOT_LAST = 2, /* the slot's; XOR the slot's last one */
	CODE_MAP = 3,       /* a map's; as expected */
	CODE_MAP_XOR = 4,   /* a map's; XOR what is expected */
	CODE_MAP_LAST = 5,  /* a map's; XOR the map's last one */
	CODE_NEW = 6,       /* both as they are: a map begins */
	CODE_RAW = 7,       /* both as they are: nothing begins, the slot is empty */
};

#define ENTRIES_MAX (WIRE_PLAIN_MAX / HTAB_HPTE_SIZE)
#define RECORDS_MAX (WIRE_PLAIN_MAX / HTAB_HDR_SIZE)
#define FIND_BITS   13u
#define FIND_SIZE   (1u << FIND_BITS)

static_assert(FIND_SIZE >= 2 * MODEL_MAPS, "a search ends at a free place");
static_assert(PLANE_END <= PLANES_MAX, "all planes fit");

struct counts {
	uint32_t next; /* index after the last record */
	uint16_t n_valid, n_invalid;
};

struct hptecodec {
	struct model model;
	struct planes planes;
	uint16_t find[FIND_SIZE]; /* encoder: number of a map + 1 */
};

struct hptecodec *hptecodec_new(unsigned order)
{
	struct hptecodec *c;
	size_t cap[PLANE_END];

	assert(order >= HTAB_ORDER_MIN && order <= HTAB_ORDER_MAX);
	for (unsigned i = 0; i < PLANE_END; i++)
		cap[i] = i <= PLANE_INVALID ? (RECORDS_MAX + 1) * VARINT_MAX : ENTRIES_MAX;
	cap[PLANE_HIGH] = ENTRIES_MAX * VARINT_MAX;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	model_init(&c->model, order);
	if (planes_init(&c->planes, PLANE_END, cap) < 0)
		return hptecodec_free(c);
	return c;
}

void hptecodec_set_order(struct hptecodec *c, unsigned order)
{
	assert(htab_order_ok(order));
	model_init(&c->model, order);
}

struct hptecodec *hptecodec_free(struct hptecodec *c)
{
	if (c) {
		planes_fini(&c->planes);
		free(c);
	}
	return NULL;
}

/* What is left of the PTEG that an index is in; runs of empty entries mostly end there. */
static int32_t left(uint32_t index)
{
	return (int32_t)(-index % MODEL_SLOTS);
}

/* -- encoding --------------------------------------------------------------------------------- */

static void put_word(struct hptecodec *c, enum plane_name first, uint64_t w)
{
	for (unsigned i = 0; i < 8; i++)
		plane_put(&c->planes.plane[first + i], (uint8_t)(w >> (8 * i)));
}

/* The map that it belongs to: where that is, or has to go, in find[]. */
static uint16_t *find_map(struct hptecodec *c, const struct model_map *key)
{
	uint64_t h = (key->vbase ^ (uint64_t)key->shift << 56) * 0x9e3779b97f4a7c15ull;
	unsigned at = (unsigned)(h >> (64 - FIND_BITS));

	for (;; at = (at + 1) % FIND_SIZE) {
		uint16_t *f = &c->find[at];

		if (*f == 0 ||
			(c->model.map[*f - 1].vbase == key->vbase &&
				c->model.map[*f - 1].shift == key->shift))
			return f;
	}
}

/* 0, -1, 1, -2, ... as 0, 1, 2, 3, ... */
static uint32_t fold(int32_t v)
{
	return (uint32_t)v << 1 ^ (uint32_t)(v >> 31);
}

static void code(struct hptecodec *c, struct model_slot *s, enum code v)
{
	plane_put(&c->planes.plane[s->hit ? PLANE_CODE : PLANE_CODE_MISS], (uint8_t)v);
	s->hit = v == CODE_SLOT;
}

/* The second doubleword by one of two guesses: the last one, unless the other is far nearer. */
static void put_r(struct hptecodec *c, struct model_slot *s, enum code xor_code, uint64_t r,
	uint64_t expected, uint64_t last)
{
	bool nearer = (r ^ expected) <= (r ^ last) >> 8;

	code(c, s, nearer ? xor_code : xor_code + 1);
	put_word(c, PLANE_R, r ^ (nearer ? expected : last));
}

static void put_map(struct hptecodec *c, unsigned n, const struct model_map *t, uint64_t high)
{
	unsigned unit = c->model.bits + t->shift;

	plane_put(&c->planes.plane[PLANE_MAP_LOW], (uint8_t)n);
	plane_put(&c->planes.plane[PLANE_MAP_HIGH], (uint8_t)(n >> 8));
	plane_put_varint(&c->planes.plane[PLANE_HIGH], (high ^ t->high) >> unit);
}

static void put_raw(
	struct hptecodec *c, struct model_slot *s, enum code v_code, uint64_t v, uint64_t r)
{
	code(c, s, v_code);
	s->set = false;
	put_word(c, PLANE_V, v);
	put_word(c, PLANE_R, r);
}

static void put_entry(struct hptecodec *c, uint64_t index, uint64_t v, uint64_t r)
{
	struct model *m = &c->model;
	struct model_slot *s = &m->slot[index % MODEL_SLOTS];
	struct model_map key, *t;
	uint64_t addr;
	uint16_t *f;
	bool same;

	if (!model_map_of(m, index, v, r, &key, &addr)) {
		put_raw(c, s, CODE_RAW, v, r);
		return;
	}
	same = s->set && s->vbase == key.vbase && s->shift == key.shift && s->high == key.high;
	if (same && r == s->line + addr) {
		code(c, s, CODE_SLOT);
		return;
	}
	f = find_map(c, &key);
	if (*f == 0) {
		if (m->n_maps == MODEL_MAPS) {
			put_raw(c, s, CODE_RAW, v, r);
			return;
		}
		put_raw(c, s, CODE_NEW, v, r);
		m->map[m->n_maps] = key;
		*f = (uint16_t)++m->n_maps;
		model_learn(m, index, *f - 1u, key.high, addr, r);
		return;
	}
	t = &m->map[*f - 1];
	if (r == t->line + addr) {
		code(c, s, CODE_MAP);
		put_map(c, *f - 1u, t, key.high);
	} else if (same) {
		put_r(c, s, CODE_SLOT_XOR, r, s->line + addr, s->last);
	} else {
		put_r(c, s, CODE_MAP_XOR, r, t->line + addr, t->last);
		put_map(c, *f - 1u, t, key.high);
	}
	model_learn(m, index, *f - 1u, key.high, addr, r);
}

/* Is each of n entries what its slot goes on with? */
static bool expected(const struct model *m, const uint8_t *p, uint64_t index, unsigned n)
{
	for (unsigned i = 0; i < n; i++, index++, p += HTAB_HPTE_SIZE) {
		const struct model_slot *s = &m->slot[index % MODEL_SLOTS];
		uint64_t addr = model_low(m, index, s->hash, s->shift) | s->high;

		if (!s->set || be64_get(p) != model_v(s->vbase, s->avpn, addr) ||
			be64_get(p + 8) != s->line + addr)
			return false;
	}
	return true;
}

/* Fill the planes. False: these are no whole records. */
static bool encode_records(struct hptecodec *c, const uint8_t *p, size_t plain)
{
	const uint8_t *end = p + plain;
	struct plane *pl = c->planes.plane;
	struct counts last = {0};
	uint32_t run = 0;

	while (p < end) {
		uint32_t index;
		uint16_t nv, ni;

		if ((size_t)(end - p) < HTAB_HDR_SIZE)
			return false;
		index = be32_get(p);
		nv = be16_get(p + 4);
		ni = be16_get(p + 6);
		p += HTAB_HDR_SIZE;
		if ((size_t)(end - p) < (size_t)nv * HTAB_HPTE_SIZE)
			return false;
		if (index == last.next && nv == last.n_valid && ni == last.n_invalid &&
			expected(&c->model, p, index, nv)) {
			run++;
			p += (size_t)nv * HTAB_HPTE_SIZE;
		} else {
			plane_put_varint(&pl[PLANE_RUN], run);
			plane_put_varint(&pl[PLANE_SKIP], index - last.next);
			plane_put_varint(&pl[PLANE_VALID], nv);
			plane_put_varint(&pl[PLANE_INVALID], fold(ni - left(index + nv)));
			for (uint64_t i = index; i < (uint64_t)index + nv; i++, p += HTAB_HPTE_SIZE)
				put_entry(c, i, be64_get(p), be64_get(p + 8));
			run = 0;
		}
		last = (struct counts){index + nv + ni, nv, ni};
	}
	plane_put_varint(&pl[PLANE_RUN], run);
	return true;
}

size_t hptecodec_encode(struct hptecodec *c, const void *src, size_t plain, void *dst)
{
	uint8_t *to = dst;
	size_t n = 0;

	assert(plain >= 1 && plain <= WIRE_PLAIN_MAX);
	model_reset(&c->model);
	planes_reset(&c->planes);
	memset(c->find, 0, sizeof(c->find));
	if (encode_records(c, src, plain))
		n = planes_pack(&c->planes, to + 1, plain - 1);
	if (n) {
		to[0] = METHOD_MODEL;
		return n + 1;
	}
	to[0] = METHOD_STORED;
	memcpy(to + 1, src, plain);
	return plain + 1;
}

/* -- decoding --------------------------------------------------------------------------------- */

static uint64_t unfold(uint32_t v)
{
	return (uint64_t)(int64_t)((int32_t)(v >> 1) ^ -(int32_t)(v & 1));
}

static bool get_word(struct hptecodec *c, enum plane_name first, uint64_t *ret)
{
	uint64_t w = 0;
	uint8_t b;

	for (unsigned i = 0; i < 8; i++) {
		if (!plane_get(&c->planes.plane[first + i], &b))
			return false;
		w |= (uint64_t)b << (8 * i);
	}
	*ret = w;
	return true;
}

static bool get_map(struct hptecodec *c, unsigned *ret_n, uint64_t *ret_high)
{
	const struct model_map *t;
	uint8_t low, high;
	uint64_t page;

	if (!plane_get(&c->planes.plane[PLANE_MAP_LOW], &low) ||
		!plane_get(&c->planes.plane[PLANE_MAP_HIGH], &high) ||
		!plane_get_varint(&c->planes.plane[PLANE_HIGH], &page))
		return false;
	*ret_n = low | (unsigned)high << 8;
	if (*ret_n >= c->model.n_maps)
		return false;
	t = &c->model.map[*ret_n];
	*ret_high = page << (c->model.bits + t->shift) ^ t->high;
	return true;
}

static bool get_raw(struct hptecodec *c, enum code code, uint64_t index, uint64_t *v, uint64_t *r)
{
	struct model *m = &c->model;
	struct model_map key;
	uint64_t addr;

	if (!get_word(c, PLANE_V, v) || !get_word(c, PLANE_R, r))
		return false;
	if (code == CODE_RAW) {
		m->slot[index % MODEL_SLOTS].set = false;
		return true;
	}
	if (m->n_maps == MODEL_MAPS || !model_map_of(m, index, *v, *r, &key, &addr))
		return false;
	m->map[m->n_maps] = key;
	model_learn(m, index, m->n_maps++, key.high, addr, *r);
	return true;
}

static bool get_entry(struct hptecodec *c, uint64_t index, uint64_t *v, uint64_t *r)
{
	struct model *m = &c->model;
	struct model_slot *s = &m->slot[index % MODEL_SLOTS];
	const struct model_map *t;
	uint64_t high, addr, xor = 0;
	uint8_t code;
	unsigned n;
	bool slot;

	if (!plane_get(&c->planes.plane[s->hit ? PLANE_CODE : PLANE_CODE_MISS], &code) ||
		code > CODE_RAW)
		return false;
	s->hit = code == CODE_SLOT;
	if (code >= CODE_NEW)
		return get_raw(c, code, index, v, r);
	slot = code <= CODE_SLOT_LAST;
	if (slot) {
		if (!s->set)
			return false;
		n = s->map;
		high = s->high;
	} else if (!get_map(c, &n, &high)) {
		return false;
	}
	t = &m->map[n];
	addr = model_low(m, index, t->hash, t->shift) | high;
	*v = model_v(t->vbase, t->avpn, addr);
	*r = (slot ? s->line : t->line) + addr;
	if (code == CODE_SLOT)
		return true;
	if (code != CODE_MAP && !get_word(c, PLANE_R, &xor))
		return false;
	if (code == CODE_SLOT_LAST || code == CODE_MAP_LAST)
		*r = slot ? s->last : t->last;
	*r ^= xor;
	model_learn(m, index, n, high, addr, *r);
	return true;
}

/* What the slots go on with: n entries to p. False: a slot is empty. */
static bool put_expected(const struct model *m, uint8_t *p, uint64_t index, unsigned n)
{
	for (unsigned i = 0; i < n; i++, index++, p += HTAB_HPTE_SIZE) {
		const struct model_slot *s = &m->slot[index % MODEL_SLOTS];
		uint64_t addr = model_low(m, index, s->hash, s->shift) | s->high;

		if (!s->set)
			return false;
		be64_put(p, model_v(s->vbase, s->avpn, addr));
		be64_put(p + 8, s->line + addr);
	}
	return true;
}

static size_t record_size(const struct counts *r)
{
	return HTAB_HDR_SIZE + (size_t)r->n_valid * HTAB_HPTE_SIZE;
}

static void put_header(uint8_t *p, const struct counts *last)
{
	be32_put(p, last->next);
	be16_put(p + 4, last->n_valid);
	be16_put(p + 6, last->n_invalid);
}

/* The records as expected: run of them. */
static uint8_t *decode_run(
	const struct model *m, struct counts *last, uint64_t run, uint8_t *p, const uint8_t *end)
{
	size_t size = record_size(last);

	if (run > (size_t)(end - p) / size)
		return NULL;
	for (; run; run--, p += size) {
		put_header(p, last);
		if (!put_expected(m, p + HTAB_HDR_SIZE, last->next, last->n_valid))
			return NULL;
		last->next += (uint32_t)last->n_valid + last->n_invalid;
	}
	return p;
}

static uint8_t *decode_record(
	struct hptecodec *c, struct counts *last, uint8_t *p, const uint8_t *end)
{
	struct plane *pl = c->planes.plane;
	uint64_t skip, nv, ni, v, r, index;

	if (!plane_get_varint(&pl[PLANE_SKIP], &skip) || !plane_get_varint(&pl[PLANE_VALID], &nv) ||
		!plane_get_varint(&pl[PLANE_INVALID], &ni))
		return NULL;
	ni = unfold((uint32_t)ni) + left(last->next + (uint32_t)(skip + nv));
	if (nv > HTAB_RUN_MAX || ni > HTAB_RUN_MAX)
		return NULL;
	*last = (struct counts){last->next + (uint32_t)skip, (uint16_t)nv, (uint16_t)ni};
	if (record_size(last) > (size_t)(end - p))
		return NULL;
	put_header(p, last);
	p += HTAB_HDR_SIZE;
	index = last->next;
	for (uint64_t i = index; i < index + nv; i++, p += HTAB_HPTE_SIZE) {
		if (!get_entry(c, i, &v, &r))
			return NULL;
		be64_put(p, v);
		be64_put(p + 8, r);
	}
	last->next += (uint32_t)(nv + ni);
	return p;
}

static int decode_records(struct hptecodec *c, uint8_t *p, size_t plain)
{
	const uint8_t *end = p + plain;
	struct counts last = {0};
	uint64_t run;

	for (;;) {
		if (!plane_get_varint(&c->planes.plane[PLANE_RUN], &run))
			return -EBADMSG;
		p = decode_run(&c->model, &last, run, p, end);
		if (!p)
			return -EBADMSG;
		if (p == end)
			break;
		p = decode_record(c, &last, p, end);
		if (!p)
			return -EBADMSG;
	}
	for (unsigned i = 0; i < PLANE_END; i++)
		if (c->planes.plane[i].at != c->planes.plane[i].len)
			return -EBADMSG;
	return 0;
}

int hptecodec_decode(struct hptecodec *c, const void *src, size_t len, void *dst, size_t plain)
{
	const uint8_t *p = src;

	if (len < 1 || plain < 1 || plain > WIRE_PLAIN_MAX)
		return -EBADMSG;
	if (p[0] == METHOD_STORED) {
		if (len != plain + 1)
			return -EBADMSG;
		memcpy(dst, p + 1, plain);
		return 0;
	}
	if (p[0] != METHOD_MODEL || planes_unpack(&c->planes, p + 1, len - 1) < 0)
		return -EBADMSG;
	model_reset(&c->model);
	return decode_records(c, dst, plain);
}
