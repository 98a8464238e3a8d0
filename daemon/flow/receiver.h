/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Reads a data channel's frames into the chunks of a ring, judging each header before anything that
 * it speaks of is read. A step is one read of the channel.
 */
#include "daemon/flow/recvring.h"

enum receiver_state {
	RECEIVER_HEADER,   /* a frame's header */
	RECEIVER_CHUNK,    /* CHUNK's own header */
	RECEIVER_PAYLOAD,  /* CHUNK's payload, into the ring */
	RECEIVER_PASS_END, /* PASS_END's body */
	RECEIVER_BARRIER,  /* GENERATION's body */
	RECEIVER_MARK,     /* either is here; room for it has to come */
};

struct receiver {
	struct recvring *ring;
	struct flow_io io;
	int timeout_ms; /* of silence inside a frame */
	enum receiver_state state;
	uint8_t head[WIRE_HDR_SIZE + WIRE_CHUNK_HDR];
	size_t got, want; /* of head, or of the payload */
	size_t body;      /* the frame's, from its header */
	size_t payload;
	struct wire_chunk meta;
	struct marker marker;
	uint64_t progress;
};

void receiver_init(struct receiver *r, struct recvring *ring, struct flow_io io, int timeout_ms);
enum flow_next receiver_step(void *receiver, struct flow_wait *wait);
