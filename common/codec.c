/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/codec.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "proto/hptecodec.h"

#define ZSTD_LEVEL  1
#define SCRATCH_MAX (WIRE_CHUNK_MAX - WIRE_CHUNK_HDR)

static_assert(ZSTD_COMPRESSBOUND(WIRE_PLAIN_MAX) <= SCRATCH_MAX, "zstd's worst fits in a chunk");

struct codec {
	enum wire_codec codec;
	struct hptecodec *hpte;
	ZSTD_CCtx *cctx;
	ZSTD_DCtx *dctx;
	uint8_t *scratch;
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
	if (codec == WIRE_CODEC_HPTE) {
		c->hpte = hptecodec_new(order);
		ok = c->hpte;
	} else if (codec == WIRE_CODEC_ZSTD) {
		c->cctx = ZSTD_createCCtx();
		c->dctx = ZSTD_createDCtx();
		ok = c->cctx && c->dctx;
	}
	if (ok && codec != WIRE_CODEC_NONE) {
		c->scratch = malloc(SCRATCH_MAX);
		ok = c->scratch;
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

struct codec *codec_free(struct codec *c)
{
	if (c) {
		hptecodec_free(c->hpte);
		ZSTD_freeCCtx(c->cctx);
		ZSTD_freeDCtx(c->dctx);
		free(c->scratch);
		free(c);
	}
	return NULL;
}

int codec_encode(struct codec *c, uint8_t *buf, size_t plain, size_t *ret_len)
{
	size_t n = plain;

	switch (c->codec) {
	case WIRE_CODEC_NONE: *ret_len = plain; return 0;
	case WIRE_CODEC_ZSTD:
		n = ZSTD_compressCCtx(c->cctx, c->scratch, SCRATCH_MAX, buf, plain, ZSTD_LEVEL);
		if (ZSTD_isError(n))
			return -EIO;
		break;
	case WIRE_CODEC_HPTE: n = hptecodec_encode(c->hpte, buf, plain, c->scratch); break;
	}
	memcpy(buf, c->scratch, n);
	*ret_len = n;
	return 0;
}

int codec_decode(struct codec *c, uint8_t *buf, size_t len, size_t plain)
{
	if (c->codec == WIRE_CODEC_NONE)
		return len == plain ? 0 : -EBADMSG;
	if (len > SCRATCH_MAX || plain > WIRE_PLAIN_MAX)
		return -EBADMSG;
	memcpy(c->scratch, buf, len);
	if (c->codec == WIRE_CODEC_HPTE)
		return hptecodec_decode(c->hpte, c->scratch, len, buf, plain);
	return ZSTD_decompressDCtx(c->dctx, buf, plain, c->scratch, len) == plain ? 0 : -EBADMSG;
}
