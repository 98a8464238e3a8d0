/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A channel that is taken from its actor and replaced, in every order that two threads can have:
 * what each does between two locks is one move here, and all sequences of moves are played.
 */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "daemon/flow/link.h"

#define DEPTH 14

enum actor_at {
	ASKS,  /* link_is_cut() is next */
	PARKS, /* it said yes */
	USES,  /* it said no: one read or write */
};

struct state {
	struct link link;
	enum actor_at at;
	bool asleep;   /* FLOW_WAIT: until the loop wakes it */
	bool attached; /* the loop has not closed the actor's channel */
	bool wished;   /* the loop cut this channel */
	bool over;     /* this channel broke or ended */
	unsigned attaches;
};

static struct flow flow;
static uint64_t played, longest;

static enum flow_next no_step(void *ctx, struct flow_wait *wait)
{
	return FLOW_WAIT;
}

static void setup(void)
{
	flow_init(&flow, NULL);
	flow_add(&flow, "actor", no_step, NULL);
	played = longest = 0;
}

static void teardown(void)
{
	flow_fini(&flow);
}

/* -- moves; false: not now -- */

static bool actor_goes_on(struct state *s)
{
	if (s->asleep)
		return false;
	switch (s->at) {
	case ASKS: s->at = link_is_cut(&s->link, &flow) ? PARKS : USES; break;
	case PARKS:
		s->at = ASKS;
		s->asleep = link_park(&s->link, &flow) == FLOW_WAIT;
		break;
	case USES:
		ck_assert_msg(s->attached, "the actor uses a channel that the loop has closed");
		s->at = ASKS;
		break;
	}
	return true;
}

static bool channel_breaks(struct state *s)
{
	if (s->asleep || s->at != USES || !s->attached)
		return false;
	s->over = true;
	s->at = ASKS;
	ck_assert_int_eq(link_break(&s->link, &flow, -EPIPE, "broken"), FLOW_MORE);
	return true;
}

static bool channel_ends(struct state *s)
{
	if (s->asleep || s->at != USES || !s->attached)
		return false;
	s->over = true;
	s->at = ASKS;
	ck_assert_int_eq(link_end(&s->link, &flow), FLOW_MORE);
	return true;
}

static bool loop_cuts(struct state *s)
{
	if (s->wished || !s->attached)
		return false;
	s->wished = true;
	link_cut(&s->link, &flow, 0);
	s->asleep = false;
	return true;
}

static bool loop_looks(struct state *s)
{
	bool lost, down;
	struct err err;

	link_report(&s->link, &flow, &lost, &err, &down);
	ck_assert_msg(!lost || s->over, "a channel is said to be lost that is not");
	if (!down)
		return lost;
	ck_assert_msg(s->wished || s->over, "the actor let go of a channel that nobody took");
	s->attached = false;
	return true;
}

static bool loop_attaches(struct state *s)
{
	if (s->attached)
		return false;
	link_up(&s->link);
	s->attaches++;
	s->attached = true;
	s->wished = s->over = false;
	s->asleep = false;
	return true;
}

/* Somebody has news for the actor (an ACK, a limit): it looks around, whatever it does. */
static bool loop_wakes(struct state *s)
{
	if (!s->asleep)
		return false;
	s->asleep = false;
	return true;
}

static bool (*const moves[])(struct state *s) = {actor_goes_on, channel_breaks, channel_ends,
	loop_cuts, loop_looks, loop_attaches, loop_wakes};

/* Nobody does anything new from here on: what was begun still ends. */
static void must_settle(struct state s)
{
	bool pending = s.wished || s.over;

	for (int i = 0; i < 6; i++) {
		actor_goes_on(&s);
		loop_looks(&s);
	}
	ck_assert_int_eq(s.attached, !pending);
	ck_assert_int_eq(s.link.down, !s.attached);
}

static void play(const struct state *s, unsigned depth)
{
	must_settle(*s);
	played++;
	if (s->attaches > longest)
		longest = s->attaches;
	if (depth == 0)
		return;
	for (size_t i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
		struct state next = *s;

		if (moves[i](&next))
			play(&next, depth - 1);
	}
}

START_TEST(in_every_order)
{
	struct state s = {.link.recovers = true, .attached = true};

	play(&s, DEPTH);
	ck_assert_uint_ge(longest, 2); /* a second replacement was reached */
	ck_assert_uint_gt(played, 10000);
}
END_TEST

/* A flow that keeps nothing: what broke is its failure, an end is an end. */
START_TEST(without_recovery)
{
	struct link l = {0};

	ck_assert_int_eq(link_end(&l, &flow), FLOW_END);
	ck_assert(!flow.failed && !l.down);
	ck_assert_int_eq(link_break(&l, &flow, -EPIPE, "no %s", "more"), FLOW_END);
	ck_assert(flow.failed && !l.down);
	ck_assert_str_eq(flow.err.text, "no more");
	ck_assert_int_eq(flow.err.code, -EPIPE);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("link");
	TCase *tc = tcase_create("link");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, in_every_order);
	tcase_add_test(tc, without_recovery);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
