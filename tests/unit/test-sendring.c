/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a destination may say that it has of a channel: what was sent, and nothing between. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "daemon/flow/sendring.h"

static struct flow flow;
static struct sendrings rings;

static void nobody_wakes(struct flow *f, unsigned id)
{
}

/* Chunks 1 to 4, all but the last one sent: passes 1 and 2 of generation 1, 1 and 2 of the next. */
static void setup(void)
{
	static const uint32_t generation[] = {1, 1, 2, 2}, pass[] = {1, 2, 1, 2};
	struct outflow_config config = {
		.order = 18, .generation = 1, .channels = 1, .ring = 4, .chunk = 100};
	struct sendring *r = &rings.ring[0];

	flow_init(&flow, clock_ns);
	rings.reader = flow_add(&flow, "reader", NULL, NULL);
	flow.wake = nobody_wakes;
	ck_assert_int_eq(sendrings_init(&rings, &flow, &config), 0);
	for (uint64_t seq = 1; seq <= 4; seq++)
		ring_chunk(&r->ring, seq)->meta = (struct wire_chunk){
			.generation = generation[seq - 1], .pass = pass[seq - 1], .seq = seq};
	r->acked = 1;
	r->sent = r->sending = 3;
	r->sealed = r->filled = 4;
	r->told = rings.generation = 2;
	r->ended = 1;
	r->link.down = true;
}

static void teardown(void)
{
	sendrings_fini(&rings);
	flow_fini(&flow);
}

/*
 * protocol.md 6.8: "A source refuses a seq below what was acknowledged or beyond what it sent, a
 * generation that it did not begin or that has no place before the chunk after seq, a pass whose
 * PASS_END it did not send or that has chunks beyond seq; the session fails."
 */
START_TEST(resumed_has_to_fit)
{
	static const struct {
		struct wire_resumed_channel c;
		bool good;
		const char *what;
	} cases[] = {
		{{3, 2, 1}, true, "all that was sent"},
		{{3, 2, 0}, true, "without the end of the pass"},
		{{2, 2, 0}, true, "up to the generation"},
		{{2, 1, 2}, true, "up to the end of the last pass of the one before"},
		{{1, 1, 1}, true, "what is acknowledged"},
		{{1, 1, 0}, true, "the same, without the end of its pass"},
		{{0, 1, 0}, false, "less than was acknowledged"},
		{{4, 2, 1}, false, "a chunk that was read, and not sent"},
		{{5, 2, 1}, false, "a chunk that there is not"},
		{{UINT64_MAX, 2, 1}, false, "the last chunk of all"},
		{{3, 3, 0}, false, "a generation that did not begin"},
		{{3, UINT32_MAX, 0}, false, "the last generation of all"},
		{{3, 1, 2}, false, "a chunk of a generation that it does not know"},
		{{1, 2, 0}, false, "a generation before the last chunks of the one before"},
		{{3, 2, 2}, false, "a pass that has not ended"},
		{{3, 2, UINT32_MAX}, false, "the last pass of all"},
		{{2, 2, 1}, false, "a pass whose chunks are missing"},
		{{1, 1, 2}, false, "the same in an earlier generation"},
	};
	struct wire_resumed m = {.channels = 1, .channel = {cases[_i].c}};
	struct sendring *r = &rings.ring[0];
	int ret = sendrings_resume(&rings, &m);

	ck_assert_msg(ret == (cases[_i].good ? 0 : -EBADMSG), "%s: %d", cases[_i].what, ret);
	if (cases[_i].good) {
		ck_assert(r->acked == m.channel[0].seq && r->sending == r->acked);
		ck_assert(r->told == m.channel[0].generation && r->ended == m.channel[0].pass);
	} else {
		ck_assert(r->acked == 1 && r->sent == 3 && r->told == 2 && r->ended == 1);
	}
}
END_TEST

START_TEST(resumed_has_every_channel)
{
	struct wire_resumed m = {.channels = 2, .channel = {{3, 2, 1}, {3, 2, 1}}};

	ck_assert_int_eq(sendrings_resume(&rings, &m), -EBADMSG);
	m.channels = 0;
	ck_assert_int_eq(sendrings_resume(&rings, &m), -EBADMSG);
}
END_TEST

/* protocol.md 6.3: "every chunk up to and with this one is **written** (or compared); none that was
 * not sent" */
START_TEST(ack_is_of_what_was_sent)
{
	ck_assert_int_eq(sendrings_ack(&rings, 0, 4), -EBADMSG);
	ck_assert_int_eq(sendrings_ack(&rings, 1, 1), -EBADMSG);
	ck_assert_int_eq(sendrings_ack(&rings, UINT32_MAX, 1), -EBADMSG);
	ck_assert_uint_eq(rings.ring[0].acked, 1);
	ck_assert_int_eq(sendrings_ack(&rings, 0, 3), 0);
	ck_assert_int_eq(sendrings_ack(&rings, 0, 2), 0); /* goes back, and changes nothing */
	ck_assert_uint_eq(rings.ring[0].acked, 3);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sendring");
	TCase *tc = tcase_create("sendring");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, resumed_has_to_fit, 0, 18);
	tcase_add_test(tc, resumed_has_every_channel);
	tcase_add_test(tc, ack_is_of_what_was_sent);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
