/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/text.h"

#include <stdint.h>
#include <string.h>

/* RFC 3629, section 4. False: c cannot come here. */
static bool utf8_step(struct utf8 *u, unsigned char c)
{
	if (u->need) {
		if (c < u->lo || c > u->hi)
			return false;
		*u = (struct utf8){(unsigned char)(u->need - 1), 0x80, 0xbf};
		return true;
	}
	if (c < 0x80)
		return true;
	*u = (struct utf8){0, 0x80, 0xbf};
	if (c >= 0xc2 && c <= 0xdf)
		u->need = 1;
	else if (c >= 0xe0 && c <= 0xef)
		u->need = 2;
	else if (c >= 0xf0 && c <= 0xf4)
		u->need = 3;
	if (c == 0xe0)
		u->lo = 0xa0; /* not shorter than it could be */
	else if (c == 0xed)
		u->hi = 0x9f; /* no surrogates */
	else if (c == 0xf0)
		u->lo = 0x90;
	else if (c == 0xf4)
		u->hi = 0x8f; /* up to U+10FFFF */
	return u->need;
}

size_t utf8_scan(struct utf8 *u, const char *buf, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		struct utf8 before = *u;

		if (!utf8_step(u, (unsigned char)buf[i])) {
			*u = before;
			return i;
		}
	}
	return len;
}

/* Bytes of the character that s begins with; 0: it begins with none. */
static size_t character(const char *s, uint32_t *ret)
{
	struct utf8 u = {0};
	size_t n = 0;

	do {
		if (!utf8_step(&u, (unsigned char)s[n]))
			return 0;
		n++;
	} while (u.need);
	*ret = (unsigned char)s[0];
	if (n > 1)
		*ret &= 0xffu >> (n + 1);
	for (size_t i = 1; i < n; i++)
		*ret = *ret << 6 | ((unsigned char)s[i] & 0x3f);
	return n;
}

static bool acts(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x061c || c == 0x200e || c == 0x200f ||
		(c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

void text_utf8(char *text)
{
	uint32_t c;

	while (*text) {
		size_t n = character(text, &c);

		if (!n)
			*text = '?';
		text += n ? n : 1;
	}
}

void text_clean(char *text)
{
	char *to = text;
	uint32_t c;

	while (*text) {
		size_t n = character(text, &c);

		if (n && !acts(c)) {
			memmove(to, text, n);
			to += n;
		} else {
			*to++ = n && (c == '\t' || c == '\n' || c == '\r') ? ' ' : '?';
		}
		text += n ? n : 1;
	}
	*to = '\0';
}

bool text_is_clean(const char *text)
{
	uint32_t c;

	while (*text) {
		size_t n = character(text, &c);

		if (!n || acts(c))
			return false;
		text += n;
	}
	return true;
}
