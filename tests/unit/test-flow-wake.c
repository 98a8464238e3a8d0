/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads that sleep and wake each other: a wake-up that is lost leaves them asleep for ever. */
#include <check.h>
#include <stdlib.h>

#include "common/clock.h"
#include "daemon/flow/flow.h"

#define ROUNDS 20000u
#define ACTORS 3u

struct ring {
	struct flow flow;
	unsigned long turn; /* under the lock: whose it is is turn % ACTORS */
	unsigned steps[ACTORS];
	struct player {
		struct ring *ring;
		unsigned id;
	} player[ACTORS];
};

/* Take the turn and hand it on; every so often wake somebody whose turn it is not. */
static enum flow_next play(void *ctx, struct flow_wait *wait)
{
	struct player *p = ctx;
	struct ring *r = p->ring;
	unsigned long turn;
	bool mine;

	r->steps[p->id]++;
	pthread_mutex_lock(&r->flow.lock);
	turn = r->turn;
	mine = turn % ACTORS == p->id && turn < ROUNDS;
	if (mine)
		r->turn++;
	pthread_mutex_unlock(&r->flow.lock);
	if (turn >= ROUNDS)
		return FLOW_END;
	if (!mine) {
		/* The wake may come between the look and the sleep. */
		for (uint64_t until = clock_ns() + turn % 23 * 1000; clock_ns() < until;)
			;
		return FLOW_WAIT;
	}
	flow_wake(&r->flow, (p->id + 1) % ACTORS);
	if (turn % 7 == 0)
		flow_wake(&r->flow, (p->id + 2) % ACTORS);
	if (turn + 1 == ROUNDS)
		for (unsigned i = 0; i < ACTORS; i++)
			flow_wake(&r->flow, i);
	return FLOW_MORE;
}

START_TEST(no_wake_is_lost)
{
	struct ring r = {.turn = 0};
	struct err err;

	flow_init(&r.flow, clock_ns);
	for (unsigned i = 0; i < ACTORS; i++) {
		r.player[i] = (struct player){&r, i};
		ck_assert_uint_eq(flow_add(&r.flow, "player", play, &r.player[i]), i);
	}
	ck_assert_int_eq(flow_start(&r.flow, &err), 0);
	flow_join(&r.flow);
	ck_assert_uint_eq(r.turn, ROUNDS);
	/* They slept in between, else this proves nothing. */
	for (unsigned i = 0; i < ACTORS; i++)
		ck_assert_uint_lt(r.steps[i], 50 * ROUNDS);
	flow_fini(&r.flow);
}
END_TEST

/* One wake before a wait is remembered; once used it is not found again. */
static enum flow_next look(void *ctx, struct flow_wait *wait)
{
	unsigned *steps = ctx;

	if (*steps == 1)
		wait->until = clock_ns() + 2 * NS_PER_MS;
	return ++*steps == 3 ? FLOW_END : FLOW_WAIT; /* the first wait is for ever */
}

START_TEST(a_wake_before_the_wait_ends_it_once)
{
	unsigned steps = 0;
	struct flow f;
	struct err err;
	uint64_t start;

	flow_init(&f, clock_ns);
	flow_add(&f, "looks", look, &steps);
	flow_wake(&f, 0); /* before there is a thread */
	start = clock_ns();
	ck_assert_int_eq(flow_start(&f, &err), 0);
	flow_join(&f);
	ck_assert_uint_eq(steps, 3);
	ck_assert_uint_ge(clock_ns() - start, 2 * NS_PER_MS); /* the second wait lasted */
	flow_fini(&f);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("flow-wake");
	TCase *c = tcase_create("flow-wake");
	SRunner *r;
	int failed;

	suite_add_tcase(s, c);
	tcase_add_test(c, no_wake_is_lost);
	tcase_add_test(c, a_wake_before_the_wait_ends_it_once);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
