/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long a guest stands still: what ends the pause at once, and what happens when somebody whose
 * answer is needed does not give it.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/integration/handover.h"
#include "tests/integration/hostile.h"

#define VM STAGE_VM

/* An hour: what waits for one of these waits longer than any test. */
#define NO_LINGERING "peer-finish=3600000,redial=3600000"

/* The guest that a destination gave up is asked for at once, on a connection that it reads. */
static void taken_back(struct stage *s)
{
	stage_go_on(s);
	host_status(s->a, VM, "failed");
	stage_ends(s, AT_SOURCE);
	stage_free(s);
}

START_TEST(dead_after_ready)
{
	struct stage s = stage_new(&(struct stage_opts){
		.hold_a = "commit",
		.limits_a = NO_LINGERING,
		.limits_b = NO_LINGERING,
	});

	stage_migrate(&s);
	host_held(s.a, VM, "commit");
	stage_strike(&s, DESTINATION_VMM);
	taken_back(&s);
}
END_TEST

/* The session that a's migration has, for who would ask about it. */
static struct wire_session session_of(struct stage *s)
{
	const char *text = stage_session(s);
	struct wire_session w = {0};

	for (size_t i = 0; i < sizeof(w.session.b); i++) {
		char digits[3] = {text[2 * i], text[2 * i + 1], 0};

		w.session.b[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return w;
}

/* A question comes while its VMM is being asked for the note: the answer waits for that. */
START_TEST(cancelled_after_ready)
{
	struct stage s = stage_new(&(struct stage_opts){
		.hold_a = "commit",
		.hold_b = "in-stopping",
		.limits_a = NO_LINGERING,
		.limits_b = NO_LINGERING,
	});
	struct wire_session session;
	struct talk t;

	stage_migrate(&s);
	host_held(s.a, VM, "commit");
	session = session_of(&s);
	host_do(s.b, "migrate_cancel", "{'vm': '" VM "'}");
	host_held(s.b, VM, "in-stopping");
	talk_dial(&t, s.b, NULL, WIRE_ROLE_QUESTION);
	talk_session(&t, WIRE_COMMIT, &session);
	talk_ping_after(&t, 0); /* it is the session's connection now */
	host_do(s.b, "x-continue", "{'vm': '" VM "'}");
	talk_expect(&t, WIRE_NEVER);
	talk_close(&t);
	taken_back(&s);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("pause", &c);

	harness_add(c, dead_after_ready);
	harness_add(c, cancelled_after_ready);
	return harness_main(s);
}
