/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Peers and VMMs that follow the formats and not the order: what they say comes too early, twice,
 * too late or after they died. The daemon lives, no guest runs twice, and the last whole one is
 * not thrown away.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "tests/integration/fakenote.h"
#include "tests/integration/hostile.h"
#include "tests/integration/pair.h"
#include "tests/integration/scene.h"

#define VM         SCENE_VM
#define CUT_NS     (2 * NS_PER_SEC) /* more than LIMIT_CUT_CAUSE */
#define UNDO_NS    (3 * NS_PER_SEC) /* more than LIMIT_UNDO_AGAIN */
#define CUT_TRIES  10
#define UUID       "75000000-0000-0000-0000-000000000000"
#define UUID_FIRST 0x75

/* --- COMMIT before READY --------------------------------------------------------------------- */

enum early { AFTER_OPEN, AFTER_ACCEPT, IN_ACTIVE };

static void early_commit(enum early when)
{
	static const struct wire_session s = {.session = {{7}}, .uuid = {{UUID_FIRST}}};
	struct pair p = pair_new(&(struct pair_opts){
		.source = {.rate = 1000, .uuid = UUID},
		.destination = {.rate = 1000, .uuid = UUID},
		.b.hold = "in-prepare",
	});
	struct talk control, data = {.fd = -1};

	talk_dial(&control, p.b, NULL, WIRE_ROLE_CONTROL);
	talk_open(&control, &s, PAIR_VM);
	host_held(p.b, PAIR_VM, "in-prepare");
	if (when != AFTER_OPEN) {
		host_do(p.b, "x-continue", "{'vm': '" PAIR_VM "'}");
		talk_expect(&control, WIRE_ACCEPT);
	}
	if (when == IN_ACTIVE) {
		talk_join(&control, &data, &s.session);
		host_status(p.b, PAIR_VM, "active");
	}
	talk_session(&control, WIRE_COMMIT, &s);
	talk_ends(&control);
	host_status(p.b, PAIR_VM, "failed");
	talk_close(&control);
	talk_close(&data);

	pair_is_as_before(&p);
	pair_incoming(&p);
	pair_migrate(&p);
	host_held(p.b, PAIR_VM, "in-prepare");
	host_do(p.b, "x-continue", "{'vm': '" PAIR_VM "'}");
	pair_completes(&p);
	pair_free(&p);
}

START_TEST(commit_after_open)
{
	early_commit(AFTER_OPEN);
}
END_TEST

START_TEST(commit_after_accept)
{
	early_commit(AFTER_ACCEPT);
}
END_TEST

START_TEST(commit_in_active)
{
	early_commit(IN_ACTIVE);
}
END_TEST

/* --- VMMs with strange notes ----------------------------------------------------------------- */

static void answered_running(struct scene *s, struct talk *question)
{
	talk_session(question, WIRE_RUNNING, &s->dest.session);
	talk_expect(question, WIRE_CLOSED);
	talk_close(question);
	host_status(s->host, VM, "completed");
}

/* A guest that was handed over twice: one session is asked about, the other when that is over. */
START_TEST(two_committing_notes)
{
	static const struct session_id sessions[] = {{{1}}, {{2}}};
	struct session_id first;
	struct talk question;
	struct scene s;

	scene_new(&s);
	s.vmm.reg.running = false;
	for (unsigned i = 0; i < 2; i++)
		fake_note(&s.vmm, &sessions[i], NOTE_COMMITTING, s.dest.uri);
	fake_vmm_register(&s.vmm);
	fake_dest_question(&s.dest, &question);
	first = s.dest.session.session;
	json_object_put(host_query(s.host, VM)); /* a turn of its loop */
	h_check(s.h, !fake_dest_called(&s.dest), "both sessions are asked about at once");
	answered_running(&s, &question);
	fake_dest_question(&s.dest, &question);
	h_check(s.h, !session_eq(&first, &s.dest.session.session), "the same session is asked for");
	answered_running(&s, &question);
	scene_free(&s);
}
END_TEST

/*
 * A copy was given up while its VMM was away; the VMM is told when it is back, and answers after
 * another guest began to arrive.
 */
START_TEST(late_answer_of_dead)
{
	static const struct wire_session old = {.session = {{1}}, .uuid = {{'1'}}},
					 new = {.session = {{2}}, .uuid = {{'1'}}};
	struct vmm_request dead;
	struct talk control;
	struct scene s;

	scene_new(&s);
	s.vmm.reg.incoming = true;
	s.vmm.reg.running = false;
	fake_vmm_register(&s.vmm);
	host_do(s.host, "migrate-incoming", "{'vm': '" VM "'}");
	talk_dial(&control, s.host, &s.vmm, WIRE_ROLE_CONTROL);
	talk_open(&control, &old, VM);
	talk_expect(&control, WIRE_ACCEPT);
	talk_close(&control);
	fake_vmm_request(&s.vmm, VMM_NOTE, &dead);
	fake_vmm_answer(&s.vmm, &dead);
	host_status(s.host, VM, "failed");

	fake_vmm_close(&s.vmm);
	fake_note(&s.vmm, &old.session, NOTE_READY, NULL);
	fake_vmm_register(&s.vmm);
	fake_vmm_request(&s.vmm, VMM_NOTE, &dead);
	h_check(s.h, dead.note == NOTE_DEAD && session_eq(&dead.session, &old.session),
		"the copy is not given up");
	host_do(s.host, "migrate-incoming", "{'vm': '" VM "'}");
	talk_dial(&control, s.host, &s.vmm, WIRE_ROLE_CONTROL);
	talk_open(&control, &new, VM);
	talk_expect(&control, WIRE_ACCEPT);
	fake_vmm_answer(&s.vmm, &dead);

	talk_close(&control);
	fake_vmm_request(&s.vmm, VMM_NOTE, &dead);
	h_check(s.h, dead.note == NOTE_DEAD && session_eq(&dead.session, &new.session),
		"the new copy is not given up");
	fake_vmm_answer(&s.vmm, &dead);
	host_status(s.host, VM, "failed");
	scene_free(&s);
}
END_TEST

/* --- VMMs that die at END -------------------------------------------------------------------- */

START_TEST(never_and_dead)
{
	struct talk question;
	struct scene s;

	scene_to_end(&s);
	scene_vmm_dies(&s);
	talk_close(&s.dest.control);
	fake_dest_question(&s.dest, &question);
	talk_session(&question, WIRE_NEVER, &s.dest.session);
	host_status(s.host, VM, "failed");
	h_check(s.h, scene_error_says(&s, "the VMM here is dead"),
		"it does not say that it is lost");
	talk_close(&question); /* that ended a daemon: scene_free() sees how it ends */
	json_object_put(host_query(s.host, VM));
	scene_free(&s);
}
END_TEST

/* Its connection ends, READY comes, then its process ends: the guest over there is the last one. */
START_TEST(dying_while_ready)
{
	uint64_t deadline;
	struct scene s;

	scene_to_end(&s);
	fake_vmm_close(&s.vmm);
	scene_vmm_is_closing(&s);
	scene_say(&s, WIRE_READY);
	deadline = harness_deadline();
	for (bool there = false; !there;) {
		struct json_object *q = host_query(s.host, VM);

		there = !strcmp(member_text(q, "step", ""), "committing");
		h_check(s.h, there || !strcmp(member_text(q, "step", ""), "end"), "it is at '%s'",
			member_text(q, "step", ""));
		h_check(s.h, clock_ns() < deadline, "READY is not noticed");
		json_object_put(q);
	}
	fake_vmm_kill(&s.vmm);
	scene_commits(&s);
	scene_free(&s);
}
END_TEST

START_TEST(cancel_of_the_dead)
{
	struct scene s;
	struct err err;

	scene_to_end(&s);
	scene_vmm_dies(&s);
	host_refused(s.host, &err, "migrate_cancel", "{'vm': '" VM "'}");
	h_check_text(s.h, err.text, "ends by the destination's answer");
	scene_say(&s, WIRE_READY);
	scene_commits(&s);
	scene_free(&s);
}
END_TEST

/*
 * The data channel breaks when the comparison begins, everything else goes on: the daemon still
 * waits a second for the cause when VMM and READY have made it too late to give up. False: that
 * second was over before the test came so far.
 */
static bool cut_channel(void)
{
	struct vmm_request req;
	unsigned got;
	struct scene s;
	uint64_t cut, deadline;

	scene_new(&s);
	fake_vmm_register(&s.vmm);
	host_capability(s.host, "verify", true);
	scene_migrate(&s);
	fake_vmm_request(&s.vmm, VMM_OPEN_HTAB, &req); /* for the passes */
	fake_vmm_answer(&s.vmm, &req);
	fake_vmm_request(&s.vmm, VMM_OPEN_HTAB, &req); /* to compare */
	talk_close(&s.dest.data);
	cut = clock_ns();
	fake_vmm_answer(&s.vmm, &req);
	deadline = harness_deadline();
	while (!scene_error_says(&s, "channel"))
		h_check(s.h, clock_ns() < deadline, "the cut is not noticed");
	talk_verified(&s.dest.control);
	got = talk_frame(&s.dest.control);
	if (got == WIRE_STATE)
		got = talk_frame(&s.dest.control);
	if (got == WIRE_END) {
		fake_vmm_kill(&s.vmm);
		scene_say(&s, WIRE_READY);
		got = talk_frame(&s.dest.control);
	}
	if (got == WIRE_COMMIT) {
		talk_ping_after(&s.dest.control, cut + CUT_NS);
		scene_say(&s, WIRE_RUNNING);
		talk_expect(&s.dest.control, WIRE_CLOSED);
		host_status(s.host, VM, "completed");
	}
	h_check(s.h, got == WIRE_COMMIT || (got == WIRE_ABORT && clock_ns() > cut + NS_PER_SEC),
		"%s instead of COMMIT", got ? wire_type_name(got) : "the end");
	scene_free(&s);
	return got == WIRE_COMMIT;
}

START_TEST(channel_cut_in_verify)
{
	unsigned tries = 1;

	while (!cut_channel())
		ck_assert_msg(tries++ < CUT_TRIES, "the test is too slow, %u times", CUT_TRIES);
}
END_TEST

/* --- VMMs that live and may not be believed -------------------------------------------------- */

/* "The guest runs again", and then as if it had let it go. */
START_TEST(resumed_and_noted)
{
	struct vmm_request note;
	struct scene s;

	scene_to_end(&s);
	scene_say(&s, WIRE_READY);
	fake_vmm_request(&s.vmm, VMM_NOTE, &note);
	fake_vmm_resumed(&s.vmm, &note.session);
	fake_vmm_answer(&s.vmm, &note);
	talk_expect(&s.dest.control, WIRE_ABORT);
	host_status(s.host, VM, "failed");
	scene_free(&s);
}
END_TEST

/* What it says later is not heard any more: its guest may run, and its death tells nothing. */
START_TEST(malformed_while_paused)
{
	struct scene s;

	scene_to_end(&s);
	fake_vmm_send(&s.vmm, "x", 1);
	scene_vmm_dies(&s);
	scene_say(&s, WIRE_READY);
	talk_expect(&s.dest.control, WIRE_ABORT);
	host_status(s.host, VM, "failed");
	scene_free(&s);
}
END_TEST

/*
 * It says that it will say no more, and lives. A VMM takes the end of the connection as leave to
 * resume its guest, so the daemon keeps it until it has given up itself.
 */
START_TEST(half_closed)
{
	struct scene s;

	scene_to_end(&s);
	h_check(s.h, shutdown(s.vmm.sock, SHUT_WR) == 0, "shutdown: %m");
	scene_vmm_is_closing(&s);
	h_check(s.h, !fake_vmm_ended(&s.vmm), "the daemon closes before it knows what happened");
	scene_say(&s, WIRE_READY);
	s.dest.control.vmm = NULL; /* its end is looked at below */
	talk_expect(&s.dest.control, WIRE_ABORT);
	fake_vmm_ends(&s.vmm);
	host_status(s.host, VM, "failed");
	scene_free(&s);
}
END_TEST

/*
 * UNDO fails, which is tried again by and by; the VMM comes back before, and is asked at once. It
 * may not be asked again before it has answered. Another migration, which waits for its answer,
 * tells by its PINGs how the daemon's time passes.
 */
START_TEST(undo_once_at_a_time)
{
	static const struct session_id session = {{1}}, other = {{2}};
	struct talk question, waits;
	struct vmm_request undo;
	struct fake_vmm second;
	struct scene s;
	uint64_t failed;

	scene_new(&s);
	s.vmm.reg.running = false;
	fake_note(&s.vmm, &session, NOTE_COMMITTING, s.dest.uri);
	fake_vmm_register(&s.vmm);
	fake_dest_question(&s.dest, &question);
	talk_session(&question, WIRE_NEVER, &s.dest.session);
	fake_vmm_request(&s.vmm, VMM_UNDO, &undo);
	fake_vmm_reply(&s.vmm, undo.serial, -EIO, NOTE_COMMITTING);
	failed = clock_ns();
	fake_vmm_close(&s.vmm);
	fake_vmm_register(&s.vmm);
	fake_vmm_request(&s.vmm, VMM_UNDO, &undo);

	fake_vmm_new(&second, s.host, "vm2");
	second.reg.running = false;
	fake_note(&second, &other, NOTE_COMMITTING, s.dest.uri);
	fake_vmm_register(&second);
	fake_dest_question(&s.dest, &waits);
	talk_ping_after(&waits, failed + UNDO_NS);
	h_check(s.h, !s.vmm.answered[VMM_UNDO], "UNDO was asked twice");

	fake_vmm_answer(&s.vmm, &undo);
	host_status(s.host, VM, "failed");
	talk_close(&question);
	talk_close(&waits);
	fake_vmm_free(&second);
	scene_free(&s);
}
END_TEST

/* --- operators ------------------------------------------------------------------------------- */

/* What was asked for at the beginning holds, whatever is wished while it runs. */
START_TEST(capabilities_on_the_way)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 1000}});
	struct err err;

	host_capability(p.a, "pause-before-switchover", true);
	pair_migrate(&p);
	host_status(p.a, PAIR_VM, "pre-switchover");
	host_refused(p.a, &err, "migrate-set-capabilities",
		"{'capabilities': [{'capability': 'verify', 'state': true}]}");
	h_check_text(p.h, err.text, "migration process in progress");
	host_do(p.a, "migrate-continue", "{'vm': '" PAIR_VM "', 'state': 'pre-switchover'}");
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

/* The operator gives the guest up here. COMMIT could start a copy there, so it is not said. */
START_TEST(discard_says_nothing)
{
	static const struct session_id session = {{1}};
	struct vmm_request release;
	struct talk question;
	struct scene s;

	scene_new(&s);
	s.vmm.reg.running = false;
	fake_note(&s.vmm, &session, NOTE_COMMITTING, s.dest.uri);
	fake_vmm_register(&s.vmm);
	fake_dest_question(&s.dest, &question);
	host_do(s.host, "resolve", "{'vm': '" VM "', 'session': '%s', 'action': 'discard'}",
		"01000000000000000000000000000000");
	talk_ends(&question);
	talk_close(&question);
	if (!s.vmm.answered[VMM_RELEASE]) {
		fake_vmm_request(&s.vmm, VMM_RELEASE, &release);
		fake_vmm_answer(&s.vmm, &release);
	}
	host_status(s.host, VM, "completed");
	h_check(s.h, !fake_dest_called(&s.dest), "the destination is asked after 'discard'");
	scene_free(&s);
}
END_TEST

/* The destination says that the guest runs there, and that it never does. */
START_TEST(contradiction)
{
	static const struct session_id session = {{1}};
	struct vmm_request release;
	struct talk question;
	struct scene s;

	scene_new(&s);
	s.vmm.reg.running = false;
	fake_note(&s.vmm, &session, NOTE_COMMITTING, s.dest.uri);
	fake_vmm_register(&s.vmm);
	fake_dest_question(&s.dest, &question);
	talk_session(&question, WIRE_RUNNING, &s.dest.session);
	fake_vmm_request(&s.vmm, VMM_RELEASE, &release);
	talk_close(&question);
	json_object_put(host_query(s.host, VM)); /* a turn of its loop */
	fake_vmm_answer(&s.vmm, &release);
	fake_dest_question(&s.dest, &question);
	talk_session(&question, WIRE_NEVER, &s.dest.session);
	json_object_put(host_event(s.host, "MIGRATION_CONTRADICTION", VM, "desc", "NEVER"));
	host_status(s.host, VM, "completed");
	talk_close(&question);
	scene_free(&s);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("hostile", &c);

	harness_add(c, commit_after_open);
	harness_add(c, commit_after_accept);
	harness_add(c, commit_in_active);
	harness_add(c, two_committing_notes);
	harness_add(c, late_answer_of_dead);
	harness_add(c, never_and_dead);
	harness_add(c, dying_while_ready);
	harness_add(c, cancel_of_the_dead);
	harness_add(c, channel_cut_in_verify);
	harness_add(c, resumed_and_noted);
	harness_add(c, malformed_while_paused);
	harness_add(c, half_closed);
	harness_add(c, undo_once_at_a_time);
	harness_add(c, capabilities_on_the_way);
	harness_add(c, discard_says_nothing);
	harness_add(c, contradiction);
	return harness_main(s);
}
