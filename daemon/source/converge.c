/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/source/converge.h"

#include "common/clock.h"

/* Fewer entries in less time than that say more about one wakeup than about the channels. */
#define MEASURE_ENTRIES 4096
#define MEASURE_NS      (50 * NS_PER_MS)
/* No word of any: the way is blocked, and not one of the hosts busy for a moment. */
#define SILENT_NS NS_PER_SEC

#define IDLE_NS   (200 * NS_PER_MS)

static uint64_t max64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t scaled(uint64_t v, uint64_t mul, uint64_t div)
{
	unsigned __int128 r = (unsigned __int128)v * mul / max64(div, 1);

	return r > UINT64_MAX ? UINT64_MAX : (uint64_t)r;
}

static uint64_t sum(uint64_t a, uint64_t b)
{
	uint64_t r;

	return __builtin_add_overflow(a, b, &r) ? UINT64_MAX : r;
}

/* What is taken in a second, by what came to be known since the last measure. */
static void measure(struct converge *c, const struct converge_in *in)
{
	uint64_t entries = in->acked - c->last.acked;
	/* not that of a connection that was lost, which had counted */
	uint64_t busy = in->busy_ns > c->last.busy_ns ? in->busy_ns - c->last.busy_ns : 0;
	uint64_t waits = scaled(in->bursts - c->last.bursts, in->rtt_ns, 1);

	/* the way there and back is paid once in the pause, not with every chunk */
	busy = busy > waits ? busy - waits : 0;
	busy = max64(busy, in->encode_ns - c->last.encode_ns);
	if (entries < MEASURE_ENTRIES && busy < (entries ? MEASURE_NS : SILENT_NS) &&
		(c->rates[0] || !entries))
		return; /* it counts with what comes next */
	c->rates[1] = c->rates[0];
	c->rates[0] = max64(scaled(entries, NS_PER_SEC, busy), 1);
	c->last = *in;
}

static uint64_t rate(const struct converge *c)
{
	if (!c->rates[0])
		return c->sent_rate;
	return c->rates[1] ? min64(c->rates[0], c->rates[1]) : c->rates[0];
}

void converge(struct converge *c, const struct converge_in *in)
{
	uint64_t prev_ns = c->pass_ns, scan, drain;

	measure(c, in);
	c->sent_rate = max64(c->sent_rate, scaled(in->entries, NS_PER_SEC, in->pass_ns));
	c->remaining = c->entries = in->entries;
	c->pass_ns = in->pass_ns;
	c->idle_ns = in->entries ? 0 : sum(c->idle_ns, in->pass_ns);
	c->downtime = CONVERGE_UNKNOWN;
	if (in->pass < 2)
		return;
	if (!c->scan_ns || in->scan_ns < c->scan_ns)
		c->scan_ns = in->scan_ns;
	/*
	 * These entries changed while the pass before ran; as many a second changed during this
	 * one.
	 */
	c->remaining = min64(scaled(in->entries, in->pass_ns, prev_ns), in->table);
	drain = scaled(in->unacked, NS_PER_SEC, rate(c));
	scan = max64(c->scan_ns, drain);
	c->downtime = sum(sum(scan, 2 * in->rtt_ns), scaled(c->remaining, NS_PER_SEC, rate(c)));
}

bool converge_done(const struct converge *c, uint64_t limit)
{
	return c->downtime != CONVERGE_UNKNOWN && (c->downtime <= limit || c->idle_ns >= IDLE_NS);
}

void converge_forget(struct converge *c)
{
	*c = (struct converge){
		.sent_rate = c->sent_rate,
		.rates = {c->rates[0], c->rates[1]},
		.last = c->last,
	};
}
