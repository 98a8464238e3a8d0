/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/chunk.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int ring_init(struct ring *r, unsigned size, size_t payload_max)
{
	size_t stride = (CHUNK_ROOM + payload_max + CHUNK_ALIGN - 1) / CHUNK_ALIGN * CHUNK_ALIGN;

	assert(size >= 1 && size <= WIRE_RING_MAX);
	*r = (struct ring){.size = size, .payload_max = payload_max};
	r->chunk = calloc(size, sizeof(*r->chunk));
	r->slab = aligned_alloc(CHUNK_ALIGN, stride * size);
	if (!r->chunk || !r->slab) {
		ring_fini(r);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < size; i++)
		r->chunk[i].frame = r->slab + i * stride;
	return 0;
}

void ring_fini(struct ring *r)
{
	free(r->chunk);
	free(r->slab);
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
