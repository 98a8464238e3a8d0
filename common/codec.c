/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/codec.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "proto/hptecodec.h"

#define PAYLOAD_MAX (WIRE_CHUNK_MAX - WIRE_CHUNK_HDR)

static_assert(ZSTD_COMPRESSBOUND(WIRE_PLAIN_MAX) <= PAYLOAD_MAX, "zstd's worst fits in a chunk");

struct codec {
	enum wire_codec codec;
	int level;
	struct hptecodec *hpte;
	ZSTD_CCtx *cctx;
	ZSTD_DCtx *dctx;
};

bool codec_known(enum wire_codec codec)
{
	switch (codec) {
	case WIRE_CODEC_NONE:
	case WIRE_CODEC_ZSTD:
	case WIRE_CODEC_HPTE: return true;
	}
	return false;
}

const char *codec_name(enum wire_codec codec)
{
	switch (codec) {
	case WIRE_CODEC_NONE: return "none";
	case WIRE_CODEC_ZSTD: return "zstd";
	case WIRE_CODEC_HPTE: return "hpte";
	}
	return "?";
}

size_t codec_bound(enum wire_codec codec, size_t plain)
{
	switch (codec) {
	case WIRE_CODEC_NONE: break;
	case WIRE_CODEC_ZSTD: return ZSTD_COMPRESSBOUND(plain);
	case WIRE_CODEC_HPTE: return hptecodec_bound(plain);
	}
	return plain;
}

int codec_new(enum wire_codec codec, unsigned order, struct codec **ret)
{
	struct codec *c;
	bool ok = true;

	if (!codec_known(codec))
		return -EOPNOTSUPP;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->codec = codec;
	c->level = CODEC_LEVEL;
	if (codec == WIRE_CODEC_HPTE) {
		c->hpte = hptecodec_new(order);
		ok = c->hpte;
	} else if (codec == WIRE_CODEC_ZSTD) {
		c->cctx = ZSTD_createCCtx();
		c->dctx = ZSTD_createDCtx();
		ok = c->cctx && c->dctx;
	}
	if (!ok) {
		codec_free(c);
		return -ENOMEM;
	}
	*ret = c;
	return 0;
}

void codec_set_order(struct codec *c, unsigned order)
{
	if (c->hpte)
		hptecodec_set_order(c->hpte, order);
}

void codec_set_level(struct codec *c, int level)
{
	c->level = level;
}

struct codec *codec_free(struct codec *c)
{
	if (c) {
		hptecodec_free(c->hpte);
		ZSTD_freeCCtx(c->cctx);
		ZSTD_freeDCtx(c->dctx);
		free(c);
	}
	return NULL;
}

bool codec_in_place(enum wire_codec codec)
{
	return codec == WIRE_CODEC_NONE;
}

static void copy(const uint8_t *src, size_t len, uint8_t *dst)
{
	if (src != dst)
		memcpy(dst, src, len);
}

int codec_encode(struct codec *c, const uint8_t *src, size_t plain, uint8_t *dst, size_t *ret_len)
{
	size_t n = plain;

	switch (c->codec) {
	case WIRE_CODEC_NONE: copy(src, plain, dst); break;
	case WIRE_CODEC_ZSTD:
		n = ZSTD_compressCCtx(
			c->cctx, dst, ZSTD_COMPRESSBOUND(plain), src, plain, c->level);
		if (ZSTD_isError(n))
			return -EIO;
		break;
	case WIRE_CODEC_HPTE: n = hptecodec_encode(c->hpte, src, plain, dst); break;
	}
	*ret_len = n;
	return 0;
}

int codec_decode(struct codec *c, const uint8_t *src, size_t len, uint8_t *dst, size_t plain)
{
	if (len > PAYLOAD_MAX || plain > WIRE_PLAIN_MAX)
		return -EBADMSG;
	switch (c->codec) {
	case WIRE_CODEC_NONE:
		if (len != plain)
			return -EBADMSG;
		copy(src, len, dst);
		return 0;
	case WIRE_CODEC_HPTE: return hptecodec_decode(c->hpte, src, len, dst, plain);
	case WIRE_CODEC_ZSTD: break;
	}
	if (ZSTD_findFrameCompressedSize(src, len) != len) /* one frame, and nothing behind it */
		return -EBADMSG;
	return ZSTD_decompressDCtx(c->dctx, dst, plain, src, len) == plain ? 0 : -EBADMSG;
}
