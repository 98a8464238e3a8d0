/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/golden-harness.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/pack.h"

const struct session_id session = {{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99,
	0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}};
const struct vm_uuid uuid = {{0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0, 0x12, 0x34, 0x56,
	0x78, 0x9a, 0xbc, 0xde, 0xf0}};

char *slurp(const char *name)
{
	const char *top = getenv("abs_top_srcdir");
	char path[4096], *text;
	FILE *f;
	long size;

	snprintf(path, sizeof(path), "%s/%s", top ? top : ".", name);
	f = fopen(path, "rb");
	ck_assert_msg(f != NULL, "%s cannot be opened", path);
	ck_assert_int_eq(fseek(f, 0, SEEK_END), 0);
	size = ftell(f);
	rewind(f);
	text = malloc((size_t)size + 1);
	ck_assert_ptr_nonnull(text);
	ck_assert_uint_eq(fread(text, 1, (size_t)size, f), (size_t)size);
	text[size] = 0;
	fclose(f);
	return text;
}

void load(const char *name, struct bytes *ret)
{
	char path[128], *text;

	snprintf(path, sizeof(path), "tests/golden/%s.hex", name);
	text = slurp(path);
	ret->len = 0;
	for (const char *p = text; *p;) {
		unsigned v;

		if (*p == '#') {
			p += strcspn(p, "\n");
		} else if (*p == ' ' || *p == '\n') {
			p++;
		} else {
			ck_assert_msg(strspn(p, "0123456789abcdef") >= 2, "%s.hex: %.9s", name, p);
			ck_assert_int_eq(sscanf(p, "%2x", &v), 1);
			ck_assert_uint_lt(ret->len, BYTES_MAX);
			ret->b[ret->len++] = (uint8_t)v;
			p += 2;
		}
	}
	free(text);
}

void same(const char *name, const void *got, size_t len, const void *want, size_t want_len)
{
	const uint8_t *a = got, *b = want;
	size_t i = 0;

	while (i < len && i < want_len && a[i] == b[i])
		i++;
	ck_assert_msg(len == want_len && i == len,
		"%s.hex: %zu bytes of %zu packed, and byte %zu is the first that differs", name,
		want_len, len, i);
}

void add_record(struct bytes *s, enum htab_endian endian, uint32_t index,
	const uint64_t (*hptes)[2], uint16_t n_valid, uint16_t n_invalid)
{
	htab_put_header(s->b + s->len, endian, index, n_valid, n_invalid);
	s->len += HTAB_HDR_SIZE;
	for (unsigned i = 0; i < n_valid; i++, s->len += HTAB_HPTE_SIZE) {
		be64_put(s->b + s->len, hptes[i][0]);
		be64_put(s->b + s->len + 8, hptes[i][1]);
	}
}
