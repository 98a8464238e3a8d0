/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* Every type of frame behind one pair of functions, for tests that go through all of them. */
#include "proto/wire.h"

union wire_message {
	struct wire_hello hello;
	struct wire_welcome welcome;
	struct wire_refuse refuse;
	struct wire_open open;
	struct wire_accept accept;
	struct wire_ack ack;
	struct wire_verified verified;
	uint64_t u64;
	struct wire_join join;
	struct wire_resume resume;
	struct wire_resumed resumed;
	struct {
		struct wire_chunk chunk;
		/* Where unpacking found it; packing wants its length alone. */
		const uint8_t *payload;
		size_t payload_len;
	};
	struct wire_pass_end pass_end;
	struct wire_generation generation;
	struct wire_last_lap lap;
	struct wire_end end;
	struct wire_session session;
};

#define WIRE_TYPES 32

/* In the order of their numbers. */
extern const enum wire_type wire_types[WIRE_TYPES];

/* A frame: its length or a negative errno. Of a CHUNK the header alone; a STATE is empty. */
int wire_message_pack(enum wire_type type, const union wire_message *m, void *buf, size_t cap);

/* A body; 0 or -EBADMSG. The payload of a CHUNK points into it, a STATE is taken only if empty. */
int wire_message_unpack(enum wire_type type, const void *body, size_t len, union wire_message *ret);
