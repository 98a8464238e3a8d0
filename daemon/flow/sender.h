/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Encodes a ring's chunks, frames them and writes them to their channel, in order, PASS_END behind
 * each pass, GENERATION before another table's. A step is one write of the channel.
 */
#include "daemon/flow/sendring.h"

struct sender {
	struct sendring *ring;
	struct flow_io io;
	int timeout_ms; /* of a channel, or a destination, where nothing moves */
	/* The frame under way: a chunk's, or pass_end's, PASS_END or GENERATION. */
	struct chunk *chunk;
	bool barrier;         /* what is in pass_end is GENERATION */
	uint32_t generation;  /* of the last chunk sealed */
	const uint8_t *frame; /* NULL: none */
	size_t len, off;
	uint64_t sealed;   /* seq of the last chunk that is a frame: a new channel gets it again */
	uint64_t digest;   /* chunks up to that one */
	uint64_t progress; /* when the channel last took something */
	uint8_t pass_end[WIRE_HDR_SIZE + WIRE_CHUNK_HDR];
	bool watched; /* the last wait watched an idle channel */
};

void sender_init(struct sender *s, struct sendring *ring, struct flow_io io, int timeout_ms);
enum flow_next sender_step(void *sender, struct flow_wait *wait);
