/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frames, one after another as on a connection: what is taken packs to the bytes that it was, but
 * for text.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/wire-cases.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The frame packed again, or 0 when its body is refused. */
static int again(enum wire_type type, const uint8_t *body, size_t len, uint8_t *buf, size_t cap)
{
	union wire_message m;

	if (wire_message_unpack(type, body, len, &m) < 0)
		return 0;
	if (type == WIRE_CHUNK) {
		assert(m.payload == body + WIRE_CHUNK_HDR);
		assert(m.payload_len == len - WIRE_CHUNK_HDR);
	}
	return wire_message_pack(type, &m, buf, cap);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX], more[sizeof(buf)];
	enum wire_type type;
	size_t body;
	bool known;
	int n;

	while (len >= WIRE_HDR_SIZE && wire_unpack_header(data, &type, &body) == 0) {
		uint8_t *copy;

		assert(body <= wire_body_max(type, &known) && known);
		if (body > len - WIRE_HDR_SIZE)
			return 0;
		/* Memory that ends with the body. */
		copy = malloc(body ? body : 1);
		assert(copy);
		memcpy(copy, data + WIRE_HDR_SIZE, body);
		n = again(type, copy, body, buf, sizeof(buf));
		free(copy);
		assert(n >= 0);
		assert((size_t)n <= WIRE_HDR_SIZE + body);
		if (memcmp(buf, data, (size_t)n) != 0) {
			/* Text was made harmless, which nothing has to be done to again. */
			assert(type == WIRE_HELLO || type == WIRE_WELCOME || type == WIRE_REFUSE ||
				type == WIRE_ABORT || type == WIRE_REASON);
			assert(again(type, buf + WIRE_HDR_SIZE, (size_t)n - WIRE_HDR_SIZE, more,
				       sizeof(more)) == n);
			assert(memcmp(buf, more, (size_t)n) == 0);
		}
		data += WIRE_HDR_SIZE + body;
		len -= WIRE_HDR_SIZE + body;
	}
	return 0;
}
