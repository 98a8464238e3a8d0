/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * How a chunk's plain records become its payload, and back. The one place that knows the codecs
 * by name. A struct codec is a workspace, of one thread at a time.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/wire.h"

struct codec;

/* Can this build encode and decode it? */
bool codec_known(enum wire_codec codec);
/* "none", "zstd", "hpte"; "?" for a number that is none. For people and parameters. */
const char *codec_name(enum wire_codec codec);
/* Most bytes that `plain` bytes, up to WIRE_PLAIN_MAX, become: WIRE_PLAIN_MAX / 32 more at most. */
size_t codec_bound(enum wire_codec codec, size_t plain);

/* For tables of 2^order bytes. 0 and *ret; -EOPNOTSUPP: not known; -ENOMEM. */
int codec_new(enum wire_codec codec, unsigned order, struct codec **ret);
/* From the next chunk on: tables of another order. */
void codec_set_order(struct codec *c, unsigned order);
/* From the next chunk on: zstd's level, 0 (its own choice) to CODEC_LEVEL_MAX; others have none. */
#define CODEC_LEVEL_MAX 20
#define CODEC_LEVEL     1 /* unless it is set */
void codec_set_level(struct codec *c, int level);
struct codec *codec_free(struct codec *c); /* takes NULL, returns NULL */

/* Is the payload the records themselves? Then src may be dst below; else they do not overlap. */
bool codec_in_place(enum wire_codec codec);

/*
 * Encode: dst has codec_bound(plain) bytes; 0 and *ret_len, or -EIO. Decode: dst has room for
 * `plain`; 0 when the payload's len bytes gave exactly that, else -EBADMSG, and dst is undefined.
 */
int codec_encode(struct codec *c, const uint8_t *src, size_t plain, uint8_t *dst, size_t *ret_len);
int codec_decode(struct codec *c, const uint8_t *src, size_t len, uint8_t *dst, size_t plain);
