/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A data channel that may be taken from its actor (sender or receiver) and replaced by another: it
 * broke, or the loop cuts it. While it is down the actor waits and nothing else stops: a reader
 * fills its ring, a writer empties it. One struct for each channel, inside its ring.
 *
 * All fields but `recovers` are guarded by the flow's lock.
 */
#include "common/err.h"
#include "daemon/flow/flow.h"

struct link {
	bool recovers; /* one that broke goes down; else it fails the flow. Set before the start */
	bool cut;      /* the loop wishes to have the channel */
	bool down;     /* it has: the actor waits, and has nothing half done */
	bool told;     /* and the loop knows it */
	bool lost;     /* it broke by itself, by err, and the loop does not know it yet */
	struct err err;
};

/* -- the actor, first forgetting what it has half done -- */

/* Must the actor let go of its channel, or has it? Then it forgets, and calls link_park(). */
bool link_is_cut(struct link *l, struct flow *f);
/*
 * The actor lets go, or has: FLOW_WAIT. FLOW_MORE when the loop gave it another channel since it
 * asked, which it must not let go of: nobody would ever bring the next one.
 */
enum flow_next link_park(struct link *l, struct flow *f);
/* The channel broke. FLOW_MORE, or FLOW_END when it cannot be replaced. */
enum flow_next link_break(struct link *l, struct flow *f, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* The same of one that the other end closed in order: nothing is lost by it. */
enum flow_next link_end(struct link *l, struct flow *f);

/* -- the loop -- */

void link_cut(struct link *l, struct flow *f, unsigned actor);
/* News: *ret_lost (with *err): it broke by itself. *ret_down: it is the loop's from now on. */
void link_report(struct link *l, struct flow *f, bool *ret_lost, struct err *err, bool *ret_down);
/* The actor has another channel: under the lock. */
void link_up(struct link *l);
