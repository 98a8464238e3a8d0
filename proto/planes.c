/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/planes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define LEVEL    1
#define ZSTD_MIN 24u /* fewer bytes are not worth a frame */

enum planes_mode {
	PLANE_EMPTY = 0,
	PLANE_SAME = 1,
	PLANE_STORED = 2,
	PLANE_ZSTD = 3,
};

int planes_init(struct planes *p, unsigned n, const size_t *cap)
{
	size_t total = 0;
	uint8_t *at;

	*p = (struct planes){.n = n};
	for (unsigned i = 0; i < n; i++)
		total += cap[i];
	p->slab = malloc(total);
	p->cctx = ZSTD_createCCtx();
	p->dctx = ZSTD_createDCtx();
	if (!p->slab || !p->cctx || !p->dctx)
		return -ENOMEM;
	ZSTD_CCtx_setParameter(p->cctx, ZSTD_c_compressionLevel, LEVEL);
	ZSTD_CCtx_setParameter(p->cctx, ZSTD_c_contentSizeFlag, 0);
	ZSTD_CCtx_setParameter(p->cctx, ZSTD_c_checksumFlag, 0);
	at = p->slab;
	for (unsigned i = 0; i < n; i++) {
		p->plane[i] = (struct plane){.buf = at, .cap = cap[i]};
		at += cap[i];
	}
	return 0;
}

void planes_fini(struct planes *p)
{
	ZSTD_freeCCtx(p->cctx);
	ZSTD_freeDCtx(p->dctx);
	free(p->slab);
	*p = (struct planes){0};
}

void planes_reset(struct planes *p)
{
	for (unsigned i = 0; i < p->n; i++)
		p->plane[i].len = p->plane[i].at = 0;
}

struct out {
	uint8_t *p, *end;
	bool full;
};

static void out_varint(struct out *o, size_t v)
{
	uint8_t buf[10];
	struct plane b = {.buf = buf};

	plane_put_varint(&b, v);
	if ((size_t)(o->end - o->p) < b.len) {
		o->full = true;
		return;
	}
	memcpy(o->p, buf, b.len);
	o->p += b.len;
}

static void out_bytes(struct out *o, const void *src, size_t len)
{
	if (o->full || (size_t)(o->end - o->p) < len) {
		o->full = true;
		return;
	}
	memcpy(o->p, src, len);
	o->p += len;
}

static bool all_same(const struct plane *s)
{
	return memcmp(s->buf, s->buf + 1, s->len - 1) == 0;
}

/* zstd's frame behind its length, when both are shorter than the bytes themselves. */
static bool pack_zstd(struct planes *p, const struct plane *s, struct out *o)
{
	size_t room = (size_t)(o->end - o->p), n;
	uint8_t *frame = o->p + VARINT_MAX;
	struct plane head = {.buf = o->p};

	if (o->full || room <= VARINT_MAX)
		return false;
	if (room - VARINT_MAX > s->len)
		room = s->len + VARINT_MAX;
	n = ZSTD_compress2(p->cctx, frame, room - VARINT_MAX, s->buf, s->len);
	if (ZSTD_isError(n) || n + 3 >= s->len)
		return false;
	plane_put_varint(&head, n);
	memmove(o->p + head.len, frame, n);
	o->p += head.len + n;
	return true;
}

static enum planes_mode pack_one(struct planes *p, const struct plane *s, struct out *o)
{
	if (s->len == 0)
		return PLANE_EMPTY;
	out_varint(o, s->len);
	if (all_same(s)) {
		out_bytes(o, s->buf, 1);
		return PLANE_SAME;
	}
	if (s->len >= ZSTD_MIN && pack_zstd(p, s, o))
		return PLANE_ZSTD;
	out_bytes(o, s->buf, s->len);
	return PLANE_STORED;
}

size_t planes_pack(struct planes *p, uint8_t *dst, size_t cap)
{
	size_t head = (p->n + 1) / 2;
	struct out o = {.p = dst + head, .end = dst + cap};

	if (cap < head)
		return 0;
	memset(dst, 0, head);
	for (unsigned i = 0; i < p->n && !o.full; i++)
		dst[i / 2] |= (uint8_t)(pack_one(p, &p->plane[i], &o) << (i % 2 * 4));
	return o.full ? 0 : (size_t)(o.p - dst);
}

static int unpack_one(struct planes *p, enum planes_mode mode, struct plane *s, struct plane *in)
{
	uint64_t len, coded;
	uint8_t v;
	size_t n;

	if (mode == PLANE_EMPTY)
		return 0;
	if (!plane_get_varint(in, &len) || len == 0 || len > s->cap)
		return -EBADMSG;
	s->len = (size_t)len;
	switch (mode) {
	case PLANE_SAME:
		if (!plane_get(in, &v))
			return -EBADMSG;
		memset(s->buf, v, s->len);
		return 0;
	case PLANE_STORED:
		if (in->len - in->at < s->len)
			return -EBADMSG;
		memcpy(s->buf, in->buf + in->at, s->len);
		in->at += s->len;
		return 0;
	case PLANE_ZSTD:
		if (!plane_get_varint(in, &coded) || coded > in->len - in->at)
			return -EBADMSG;
		if (ZSTD_findFrameCompressedSize(in->buf + in->at, (size_t)coded) != coded)
			return -EBADMSG; /* one frame, and nothing behind it */
		n = ZSTD_decompressDCtx(p->dctx, s->buf, s->len, in->buf + in->at, (size_t)coded);
		in->at += (size_t)coded;
		return ZSTD_isError(n) || n != s->len ? -EBADMSG : 0;
	case PLANE_EMPTY: break;
	}
	return -EBADMSG;
}

int planes_unpack(struct planes *p, const uint8_t *src, size_t len)
{
	size_t head = (p->n + 1) / 2;
	struct plane in = {.buf = (uint8_t *)(uintptr_t)src, .len = len, .at = head};

	planes_reset(p);
	if (len < head || (p->n % 2 && src[head - 1] >> 4))
		return -EBADMSG;
	for (unsigned i = 0; i < p->n; i++)
		if (unpack_one(p, src[i / 2] >> (i % 2 * 4) & 0xf, &p->plane[i], &in) < 0)
			return -EBADMSG;
	return in.at == len ? 0 : -EBADMSG;
}
