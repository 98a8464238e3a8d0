/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * How a chunk's plain records become its payload, and back. The one place that knows the codecs
 * by name. Pure functions over the caller's memory; any thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/wire.h"

/* Can this build encode and decode it? */
bool codec_known(enum wire_codec codec);
/* Room that `plain` bytes may need when encoded. */
size_t codec_bound(enum wire_codec codec, size_t plain);
/*
 * dst may be src where the codec changes nothing. Encode: 0 and *ret_len (cap: codec_bound()).
 * Decode: 0 when the payload gave exactly `plain` bytes, else -EBADMSG. -EOPNOTSUPP: not known.
 */
int codec_encode(enum wire_codec codec, const uint8_t *src, size_t plain, uint8_t *dst, size_t cap,
	size_t *ret_len);
int codec_decode(enum wire_codec codec, const uint8_t *src, size_t len, uint8_t *dst, size_t plain);
