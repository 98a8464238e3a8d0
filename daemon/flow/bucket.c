/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/flow/bucket.h"

#include "common/clock.h"
#include "proto/muldiv.h"

#define BURST_PER_SEC 20u /* what an idle channel may save up: a 20th of a second */

/* wanted: bytes, which may be more than an idle channel saves up. */
static void refill(struct bucket *b, uint64_t wanted, uint64_t now)
{
	/* Of several threads, one may come after another that read its clock later. */
	uint64_t gone = now > b->last ? now - b->last : 0;
	uint64_t add = mul_div(gone, b->rate, NS_PER_SEC);
	int64_t burst = (int64_t)(b->rate / BURST_PER_SEC) + 1;

	if (burst < (int64_t)wanted)
		burst = (int64_t)wanted;
	if (add == 0)
		return; /* keep the time: it counts towards the first byte */
	b->last = now;
	if (b->tokens >= burst)
		return;
	if (add >= (uint64_t)(burst - b->tokens))
		b->tokens = burst;
	else
		b->tokens += (int64_t)add;
}

void bucket_set_rate(struct bucket *b, uint64_t rate, uint64_t now)
{
	if (b->rate)
		refill(b, 0, now);
	if (rate > INT64_MAX / 2)
		rate = INT64_MAX / 2;
	b->rate = rate;
	if (b->last < now)
		b->last = now;
}

uint64_t bucket_take(struct bucket *b, uint64_t bytes, uint64_t now)
{
	uint64_t ns;

	if (b->rate == 0)
		return 0;
	refill(b, bytes, now);
	if (b->tokens >= (int64_t)bytes) {
		b->tokens -= (int64_t)bytes;
		return 0;
	}
	ns = mul_div(bytes - (uint64_t)b->tokens, NS_PER_SEC, b->rate);
	return ns >= NS_PER_SEC * 3600 ? NS_PER_SEC * 3600 : ns + 1;
}
