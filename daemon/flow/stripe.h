/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Which channel an entry of the table goes by. The table is cut into stripes, dealt out to the
 * channels in turn: an entry always goes by the same one, so its channel's order is its order. The
 * destination need not know them. Pure arithmetic.
 */
#include <stdint.h>

#include "proto/htab.h"

/*
 * Entries: few enough that the rings of all channels fill while the reader walks on, many enough
 * that most of what is read at once belongs to one.
 */
#define STRIPE_MIN   64u
#define STRIPE_MAX   (1u << 16) /* 1 MiB where all are valid: half a ring */
#define STRIPE_TURNS 4u         /* of each channel in a small table */

struct stripes {
	uint64_t size; /* entries of a stripe */
	unsigned channels;
};

static inline struct stripes stripes_of(uint64_t entries, unsigned channels)
{
	uint64_t size = entries / STRIPE_TURNS / channels & ~7ull; /* whole PTEGs */

	size = size < STRIPE_MIN ? STRIPE_MIN : size > STRIPE_MAX ? STRIPE_MAX : size;
	return (struct stripes){size, channels};
}

static inline unsigned stripe_channel(const struct stripes *s, uint64_t index)
{
	return (unsigned)(index / s->size % s->channels);
}

/* The record's first part, all of one stripe. *rec becomes what is left, perhaps nothing. */
static inline struct htab_rec stripe_cut(const struct stripes *s, struct htab_rec *rec)
{
	uint64_t room = s->size - rec->index % s->size;
	struct htab_rec part = *rec;

	if (part.n_valid > room)
		part.n_valid = (uint16_t)room;
	room -= part.n_valid;
	if (part.n_valid < rec->n_valid)
		part.n_invalid = 0;
	else if (part.n_invalid > room)
		part.n_invalid = (uint16_t)room;
	rec->index += (uint32_t)part.n_valid + part.n_invalid;
	rec->n_valid -= part.n_valid;
	rec->n_invalid -= part.n_invalid;
	rec->hptes += (size_t)part.n_valid * htab_entry_size(rec->kind);
	return part;
}
