/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The HPTE codec: payloads as a peer sends them, and records of any kind that have to come back. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/hptecodec.h"
#include "proto/wire.h"

#define PLAIN_MAX 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* First byte: even, a payload; odd, bytes to encode. The rest of it is the table's order. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct hptecodec *codecs[HTAB_ORDER_MAX + 1];
	struct hptecodec **c;
	uint8_t *coded, *back;
	unsigned choice;
	size_t n;

	if (len < 2)
		return 0;
	choice = *data++;
	len--;
	c = &codecs[HTAB_ORDER_MIN + choice / 2 % (HTAB_ORDER_MAX - HTAB_ORDER_MIN + 1)];
	if (!*c)
		*c = hptecodec_new((unsigned)(c - codecs));
	assert(*c);
	if (choice % 2 == 0) {
		/* The golden file's plain length, and one that depends on the payload. */
		back = malloc(PLAIN_MAX);
		assert(back);
		hptecodec_decode(*c, data, len, back, 448);
		hptecodec_decode(*c, data, len, back, data[len - 1] * 24u + 8);
		free(back);
		return 0;
	}
	if (len > PLAIN_MAX)
		return 0;
	coded = malloc(hptecodec_bound(len));
	back = malloc(len);
	assert(coded && back);
	n = hptecodec_encode(*c, data, len, coded);
	assert(n <= hptecodec_bound(len));
	assert(hptecodec_decode(*c, coded, n, back, len) == 0);
	assert(memcmp(back, data, len) == 0);
	free(coded);
	free(back);
	return 0;
}
