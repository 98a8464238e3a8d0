/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/flow/chunk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static size_t aligned(size_t size)
{
	return (size + CHUNK_ALIGN - 1) / CHUNK_ALIGN * CHUNK_ALIGN;
}

int ring_init(struct ring *r, unsigned size, size_t payload_max, bool in_place, size_t plain_max)
{
	size_t stride = aligned(CHUNK_ROOM + payload_max);

	assert(size >= 1 && size <= WIRE_RING_MAX);
	*r = (struct ring){
		.size = size,
		.plains = size,
		.payload_max = payload_max,
		.plain_max = plain_max,
	};
	r->chunk = calloc(size, sizeof(*r->chunk));
	r->slab = aligned_alloc(CHUNK_ALIGN, stride * size);
	if (!in_place) {
		r->plains = size < RING_PLAINS ? size : RING_PLAINS;
		r->plain_slab = aligned_alloc(CHUNK_ALIGN, aligned(plain_max) * r->plains);
	}
	if (!r->chunk || !r->slab || (!in_place && !r->plain_slab)) {
		ring_fini(r);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < size; i++)
		r->chunk[i].frame = r->slab + i * stride;
	return 0;
}

struct chunk *ring_records(const struct ring *r, uint64_t seq)
{
	struct chunk *c = ring_chunk(r, seq);

	c->plain = r->plain_slab ? r->plain_slab + (seq - 1) % r->plains * aligned(r->plain_max)
				 : chunk_payload(c);
	return c;
}

void ring_fini(struct ring *r)
{
	free(r->chunk);
	free(r->slab);
	free(r->plain_slab);
	*r = (struct ring){0};
}

const char *wire_stream_name(enum wire_stream stream)
{
	switch (stream) {
	case WIRE_STREAM_HTAB: return "HTAB";
	case WIRE_STREAM_VERIFY: return "VERIFY";
	case WIRE_STREAM_MEMORY: return "MEMORY";
	case WIRE_STREAM_TLB: return "TLB";
	}
	return "?";
}
