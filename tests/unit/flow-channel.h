/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A model of a data channel for the simulator of the flows: takes and gives as little as it likes,
 * by the simulator's random numbers, and breaks on demand.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "daemon/flow/flow.h"
#include "tests/unit/flow-model.h"

#define CHAN_SIZE (64u << 10)

struct chan {
	uint64_t *random;
	const size_t *capacity; /* 1 to CHAN_SIZE */
	const bool *stalled;    /* nothing moves, and nothing ends it */
	uint8_t bytes[CHAN_SIZE];
	size_t head, tail; /* counters */
	bool reset;        /* both ways */
	bool cut;          /* it ends, orderly as far as anyone can see */
};

static inline uint64_t chan_rnd(const struct chan *c, uint64_t n)
{
	return model_random(c->random) % n;
}

/* Another connection in its place. */
static inline void chan_renew(struct chan *c)
{
	c->head = c->tail = 0;
	c->reset = c->cut = false;
}

/* A bit of what is under way changes. */
static inline void chan_flip(struct chan *c)
{
	if (c->head != c->tail)
		c->bytes[(c->tail + chan_rnd(c, c->head - c->tail)) % CHAN_SIZE] ^= (uint8_t)(1u
			<< chan_rnd(c, 8));
}

/* n bytes at the channel's position `at`, around its end. */
static inline void chan_put(struct chan *c, size_t at, const uint8_t *in, size_t n)
{
	size_t off = at % CHAN_SIZE, first = n < CHAN_SIZE - off ? n : CHAN_SIZE - off;

	memcpy(c->bytes + off, in, first);
	memcpy(c->bytes, in + first, n - first);
}

static inline void chan_get(const struct chan *c, size_t at, uint8_t *out, size_t n)
{
	size_t off = at % CHAN_SIZE, first = n < CHAN_SIZE - off ? n : CHAN_SIZE - off;

	memcpy(out, c->bytes + off, first);
	memcpy(out + first, c->bytes, n - first);
}

static inline ssize_t chan_write(void *ctx, const void *buf, size_t len)
{
	struct chan *c = ctx;
	size_t room = *c->capacity - (c->head - c->tail), n = 1 + chan_rnd(c, len);

	if (c->reset || c->cut)
		return -ECONNRESET;
	if (*c->stalled || room == 0 || chan_rnd(c, 16) == 0)
		return -EAGAIN;
	n = n < room ? n : room;
	chan_put(c, c->head, buf, n);
	c->head += n;
	return (ssize_t)n;
}

static inline ssize_t chan_read(void *ctx, void *buf, size_t len)
{
	struct chan *c = ctx;
	size_t there = c->head - c->tail, n = 1 + chan_rnd(c, len);

	if (c->reset)
		return -ECONNRESET;
	if (there == 0 && c->cut)
		return 0;
	if (*c->stalled || there == 0 || chan_rnd(c, 16) == 0)
		return -EAGAIN;
	n = n < there ? n : there;
	chan_get(c, c->tail, buf, n);
	c->tail += n;
	return (ssize_t)n;
}

static inline void chan_want_write(void *ctx, struct flow_wait *wait)
{
	wait->fd = 0;
	wait->events = POLLOUT;
}

static inline void chan_want_read(void *ctx, struct flow_wait *wait)
{
	wait->fd = 0;
	wait->events = POLLIN;
}

static inline const char *chan_error(void *ctx)
{
	return "Connection reset by peer";
}

/* What poll() would say. */
static inline short chan_poll(const struct chan *c, const struct flow_wait *wait)
{
	short r = 0;

	if (wait->fd < 0)
		return 0;
	if (c->reset || c->cut)
		return wait->events | POLLHUP;
	if (*c->stalled)
		return 0;
	if (wait->events & POLLOUT && c->head - c->tail < *c->capacity)
		r |= POLLOUT;
	if (wait->events & POLLIN && c->head != c->tail)
		r |= POLLIN;
	return r;
}
