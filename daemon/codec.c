/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/codec.h"

#include <errno.h>
#include <string.h>

struct codec {
	size_t (*bound)(size_t plain);
	int (*encode)(const uint8_t *src, size_t plain, uint8_t *dst, size_t cap, size_t *ret_len);
	int (*decode)(const uint8_t *src, size_t len, uint8_t *dst, size_t plain);
};

static size_t none_bound(size_t plain)
{
	return plain;
}

static int none_encode(const uint8_t *src, size_t plain, uint8_t *dst, size_t cap, size_t *ret_len)
{
	if (plain > cap)
		return -EMSGSIZE;
	if (dst != src)
		memmove(dst, src, plain);
	*ret_len = plain;
	return 0;
}

static int none_decode(const uint8_t *src, size_t len, uint8_t *dst, size_t plain)
{
	if (len != plain)
		return -EBADMSG;
	if (dst != src)
		memmove(dst, src, plain);
	return 0;
}

static const struct codec codecs[] = {
	[WIRE_CODEC_NONE] = {none_bound, none_encode, none_decode},
};

bool codec_known(enum wire_codec codec)
{
	return codec < sizeof(codecs) / sizeof(codecs[0]) && codecs[codec].encode;
}

size_t codec_bound(enum wire_codec codec, size_t plain)
{
	return codec_known(codec) ? codecs[codec].bound(plain) : plain;
}

int codec_encode(enum wire_codec codec, const uint8_t *src, size_t plain, uint8_t *dst, size_t cap,
	size_t *ret_len)
{
	if (!codec_known(codec))
		return -EOPNOTSUPP;
	return codecs[codec].encode(src, plain, dst, cap, ret_len);
}

int codec_decode(enum wire_codec codec, const uint8_t *src, size_t len, uint8_t *dst, size_t plain)
{
	if (!codec_known(codec))
		return -EOPNOTSUPP;
	return codecs[codec].decode(src, len, dst, plain);
}
