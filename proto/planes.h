/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Byte streams of one statistic each, packed together: empty, one byte repeated, stored, or zstd.
 *
 * The pack is a nibble for each stream (enum planes_mode; padded to a byte), then for each that is
 * not empty its length (varint) and: the byte; the bytes; or the coded length (varint) and a zstd
 * frame. Each has room for `cap` bytes. A workspace is one thread's.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLANES_MAX 32u
#define VARINT_MAX 5u

struct plane {
	uint8_t *buf;
	size_t len, cap;
	size_t at; /* the reader's */
};

struct planes {
	unsigned n;
	struct plane plane[PLANES_MAX];
	uint8_t *slab;
	void *cctx, *dctx; /* zstd's */
};

/* n streams of cap[i] bytes. 0 or -ENOMEM; planes_fini() in either case. */
int planes_init(struct planes *p, unsigned n, const size_t *cap);
void planes_fini(struct planes *p);
void planes_reset(struct planes *p);

/* The caller knows that there is room. */
static inline void plane_put(struct plane *p, uint8_t v)
{
	p->buf[p->len++] = v;
}

static inline void plane_put_varint(struct plane *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		p->buf[p->len++] = (uint8_t)(v | 0x80);
	p->buf[p->len++] = (uint8_t)v;
}

/* False at the stream's end. */
static inline bool plane_get(struct plane *p, uint8_t *ret)
{
	if (p->at == p->len)
		return false;
	*ret = p->buf[p->at++];
	return true;
}

/* Up to 32 bits, the shortest form alone. */
static inline bool plane_get_varint(struct plane *p, uint64_t *ret)
{
	uint64_t v = 0;
	uint8_t b;

	for (unsigned i = 0; i < VARINT_MAX; i++) {
		if (!plane_get(p, &b))
			return false;
		v |= (uint64_t)(b & 0x7f) << (7 * i);
		if (!(b & 0x80)) {
			*ret = v;
			return (b || i == 0) && v <= UINT32_MAX;
		}
	}
	return false;
}

/* Pack all streams into dst: the length, or 0 when cap bytes do not do. */
size_t planes_pack(struct planes *p, uint8_t *dst, size_t cap);
/* Unpack exactly len bytes into the streams, readers at their beginnings. 0 or -EBADMSG. */
int planes_unpack(struct planes *p, const uint8_t *src, size_t len);
