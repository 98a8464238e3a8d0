/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frames, one after another as on a connection: what is taken packs to the bytes that it was. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The frame packed again, or 0 when its body is refused. */
static int again(enum wire_type type, const uint8_t *body, size_t len, uint8_t *buf, size_t cap)
{
	const uint8_t *payload;
	size_t payload_len;
	union {
		struct wire_hello hello;
		struct wire_welcome welcome;
		struct wire_refuse refuse;
		struct wire_open open;
		struct wire_accept accept;
		struct wire_ack ack;
		struct wire_verified verified;
		uint64_t u64;
		struct wire_join join;
		struct wire_chunk chunk;
		struct wire_pass_end pass_end;
		struct wire_end end;
		struct wire_session session;
	} m;

#define AGAIN(name, member) \
	(wire_unpack_##name(body, len, &m.member) < 0 ? 0 : wire_pack_##name(&m.member, buf, cap))
#define AGAIN_TYPE(name, member)                      \
	(wire_unpack_##name(body, len, &m.member) < 0 \
			? 0                           \
			: wire_pack_##name(type, &m.member, buf, cap))
	switch (type) {
	case WIRE_HELLO: return AGAIN(hello, hello);
	case WIRE_WELCOME: return AGAIN(welcome, welcome);
	case WIRE_REFUSE:
	case WIRE_ABORT: return AGAIN_TYPE(refuse, refuse);
	case WIRE_OPEN: return AGAIN(open, open);
	case WIRE_ACCEPT: return AGAIN(accept, accept);
	case WIRE_ACK: return AGAIN(ack, ack);
	case WIRE_VERIFIED: return AGAIN(verified, verified);
	case WIRE_PING:
	case WIRE_PONG:
		return wire_unpack_u64(body, len, &m.u64) < 0
			? 0
			: wire_pack_u64(type, m.u64, buf, cap);
	case WIRE_JOIN: return AGAIN(join, join);
	case WIRE_CHUNK:
		if (wire_unpack_chunk(body, len, &m.chunk, &payload, &payload_len) < 0)
			return 0;
		assert(payload == body + WIRE_CHUNK_HDR);
		assert(payload_len == len - WIRE_CHUNK_HDR);
		return wire_pack_chunk(&m.chunk, payload_len, buf, cap);
	case WIRE_PASS_END: return AGAIN(pass_end, pass_end);
	case WIRE_END: return AGAIN(end, end);
	case WIRE_READY:
	case WIRE_COMMIT:
	case WIRE_RUNNING:
	case WIRE_CLOSED:
	case WIRE_NEVER:
	case WIRE_UNKNOWN:
	case WIRE_LOST: return AGAIN_TYPE(session, session);
	case WIRE_STATE:
	case WIRE_JOINED: break;
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];
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
		assert(memcmp(buf, data, (size_t)n) == 0);
		data += WIRE_HDR_SIZE + body;
		len -= WIRE_HDR_SIZE + body;
	}
	return 0;
}
