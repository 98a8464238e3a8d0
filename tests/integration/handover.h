/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A migration that is stopped at a step, what strikes it there, and who runs afterwards: for the
 * tests of the hand-over. Who ran is judged by what the simulated guests say themselves.
 */
#include "tests/integration/harness.h"
#include "tests/integration/relay.h"

#define STAGE_VM "vm1"

struct stage_opts {
	const char *hold_a, *hold_b;
	const char *limits_a, *limits_b; /* HTAB_MIGRATED_LIMITS */
	bool pre_switchover, verify;     /* capabilities at a */
	bool tls;
	const char *source[6], *destination[6]; /* more arguments */
};

/* a's connections to b go through the relay, which is found where b was before and after. */
struct stage {
	struct harness *h;
	struct host *a, *b;
	struct guest *source, *destination;
	struct relay *relay;
	char uri[HARNESS_PATH]; /* of b, by the relay */
	char session[33];       /* stage_session() */
};

enum victim {
	SOURCE_DAEMON,
	SOURCE_VMM,
	DESTINATION_DAEMON,
	DESTINATION_VMM,
	CONNECTION,
	BOTH_DAEMONS,
	VICTIMS,
};

enum outcome {
	AT_SOURCE,
	AT_DESTINATION,
	NOWHERE,    /* every VMM that had the whole guest is dead */
	UNRESOLVED, /* RUN was asked and that VMM died: the source's stays paused */
};

struct stage stage_new(const struct stage_opts *opts);
void stage_migrate(struct stage *s);
void stage_free(struct stage *s);
/* The session that a's migration has, also kept. */
const char *stage_session(struct stage *s);
/* Kill it, by SIGKILL, and wait until that is noticed; a daemon is started again, without holds. */
void stage_strike(struct stage *s, enum victim victim);
/* Whatever is held goes on. */
void stage_go_on(struct stage *s);
/* Wait for that outcome, and see that the guest ran at no other end. */
void stage_ends(struct stage *s, enum outcome outcome);
/* An operator's word at that host. */
void stage_resolve(struct stage *s, struct host *host, const char *action);
/* Wait until the migration of that host is over, one way or another. */
void stage_over(struct host *host);

/*
 * Most of such a test is waiting: one(0) to one(n - 1), each with a harness of its own, in
 * processes under way at once. Fails with the names of those that failed.
 */
void stage_together(
	unsigned n, void (*one)(unsigned i), void (*name)(unsigned i, char *buf, size_t len));

const char *victim_name(enum victim v);
const char *outcome_name(enum outcome o);
