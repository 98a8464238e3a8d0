/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Big-endian fields, put and taken one by one.
 *
 * A pack writes into a caller's buffer, an unpack reads from one. Neither allocates. Both remember
 * the first overflow or underflow and turn later calls into no-ops, so a message is built or taken
 * apart without a check after each field and judged once, by pack_end() or unpack_end().
 * Plain values: any thread, no state but the struct's.
 */
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/text.h"

static inline uint16_t be16_get(const void *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return be16toh(v);
}

static inline uint32_t be32_get(const void *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

static inline uint64_t be64_get(const void *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static inline void be16_put(void *p, uint16_t v)
{
	v = htobe16(v);
	memcpy(p, &v, sizeof(v));
}

static inline void be32_put(void *p, uint32_t v)
{
	v = htobe32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void be64_put(void *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

struct pack {
	uint8_t *buf;
	size_t len, cap;
	bool overflow;
};

static inline void pack_init(struct pack *k, void *buf, size_t cap)
{
	*k = (struct pack){.buf = buf, .cap = cap};
}

/* The next n bytes to fill in, or NULL when they do not fit. */
static inline uint8_t *pack_space(struct pack *k, size_t n)
{
	uint8_t *p;

	if (k->overflow || n > k->cap - k->len) {
		k->overflow = true;
		return NULL;
	}
	p = k->buf + k->len;
	k->len += n;
	return p;
}

static inline void pack_u8(struct pack *k, uint8_t v)
{
	uint8_t *p = pack_space(k, 1);

	if (p)
		*p = v;
}

static inline void pack_u16(struct pack *k, uint16_t v)
{
	uint8_t *p = pack_space(k, 2);

	if (p)
		be16_put(p, v);
}

static inline void pack_u32(struct pack *k, uint32_t v)
{
	uint8_t *p = pack_space(k, 4);

	if (p)
		be32_put(p, v);
}

static inline void pack_u64(struct pack *k, uint64_t v)
{
	uint8_t *p = pack_space(k, 8);

	if (p)
		be64_put(p, v);
}

static inline void pack_bytes(struct pack *k, const void *src, size_t n)
{
	uint8_t *p = pack_space(k, n);

	if (p && n)
		memcpy(p, src, n);
}

/* A string as u16 length and bytes, without its NUL. */
static inline void pack_str(struct pack *k, const char *s)
{
	size_t n = strlen(s);

	if (n > UINT16_MAX) {
		k->overflow = true;
		return;
	}
	pack_u16(k, (uint16_t)n);
	pack_bytes(k, s, n);
}

/* 0, or -EMSGSIZE when something did not fit. */
static inline int pack_end(const struct pack *k)
{
	return k->overflow ? -EMSGSIZE : 0;
}

struct unpack {
	const uint8_t *p;
	size_t left;
	bool bad;
};

static inline void unpack_init(struct unpack *u, const void *buf, size_t len)
{
	*u = (struct unpack){.p = buf, .left = len};
}

/* The next n bytes inside the buffer, or NULL when there are fewer. */
static inline const uint8_t *unpack_bytes(struct unpack *u, size_t n)
{
	const uint8_t *p = u->p;

	if (u->bad || n > u->left) {
		u->bad = true;
		return NULL;
	}
	u->p += n;
	u->left -= n;
	return p;
}

static inline uint8_t unpack_u8(struct unpack *u)
{
	const uint8_t *p = unpack_bytes(u, 1);

	return p ? *p : 0;
}

static inline uint16_t unpack_u16(struct unpack *u)
{
	const uint8_t *p = unpack_bytes(u, 2);

	return p ? be16_get(p) : 0;
}

static inline uint32_t unpack_u32(struct unpack *u)
{
	const uint8_t *p = unpack_bytes(u, 4);

	return p ? be32_get(p) : 0;
}

static inline uint64_t unpack_u64(struct unpack *u)
{
	const uint8_t *p = unpack_bytes(u, 8);

	return p ? be64_get(p) : 0;
}

static inline void unpack_copy(struct unpack *u, void *dst, size_t n)
{
	const uint8_t *p = unpack_bytes(u, n);

	if (p)
		memcpy(dst, p, n);
	else
		memset(dst, 0, n);
}

/* A string of at most cap - 1 bytes without NUL bytes inside; dst is always terminated. */
static inline void unpack_str(struct unpack *u, char *dst, size_t cap)
{
	size_t n = unpack_u16(u);
	const uint8_t *p = n < cap ? unpack_bytes(u, n) : NULL;

	if (!p || memchr(p, 0, n)) {
		u->bad = true;
		n = 0;
	} else {
		memcpy(dst, p, n);
	}
	dst[n] = 0;
}

/* The same of what people will see: another host's or VMM's word, made harmless. */
static inline void unpack_text(struct unpack *u, char *dst, size_t cap)
{
	unpack_str(u, dst, cap);
	text_clean(dst);
}

/* 0 when every byte was taken and none was missing, else -EBADMSG. */
static inline int unpack_end(const struct unpack *u)
{
	return u->bad || u->left ? -EBADMSG : 0;
}
