/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What needs libraries that no package brings for powerpc: of common/codec.h there is codec NONE
 * alone, and there is no event loop to notify.
 */
#include "common/codec.h"

#include <errno.h>
#include <stdlib.h>

#include "daemon/base/notify.h"

struct codec {
	char unused;
};

bool codec_known(enum wire_codec codec)
{
	return codec == WIRE_CODEC_NONE;
}

size_t codec_bound(enum wire_codec codec, size_t plain)
{
	return plain;
}

int codec_new(enum wire_codec codec, unsigned order, struct codec **ret)
{
	struct codec *c = codec_known(codec) ? malloc(sizeof(*c)) : NULL;

	if (!c)
		return codec_known(codec) ? -ENOMEM : -EOPNOTSUPP;
	*ret = c;
	return 0;
}

void codec_set_order(struct codec *c, unsigned order)
{
	/* codec NONE has no use for it */
}

struct codec *codec_free(struct codec *c)
{
	free(c);
	return NULL;
}

void codec_set_level(struct codec *c, int level)
{
	/* nor for that */
}

bool codec_in_place(enum wire_codec codec)
{
	return true;
}

int codec_encode(struct codec *c, const uint8_t *src, size_t plain, uint8_t *dst, size_t *ret_len)
{
	*ret_len = plain;
	return 0;
}

int codec_decode(struct codec *c, const uint8_t *src, size_t len, uint8_t *dst, size_t plain)
{
	return len == plain ? 0 : -EBADMSG;
}

void notify_post(struct notify *n)
{
	/* nobody is told: every actor is stepped in turn */
}
