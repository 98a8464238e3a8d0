/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the end of a VMM means, and when it is seen: while it is being judged nothing is given up;
 * a child that holds its socket hides no death; what it was never told it never did. And RELEASE,
 * which a VMM has to acknowledge, or die, before the other end hears CLOSED.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "common/clock.h"
#include "daemon/server.h"
#include "proto/state.h"
#include "tests/integration/fakenote.h"
#include "tests/integration/scene.h"

#define VM SCENE_VM

/* Turns of its loop: what it can see by now it has seen. */
static void turns(struct host *host)
{
	for (int i = 0; i < 3; i++)
		json_object_put(host_ask(host, "query-daemon", NULL));
}

/* The process dies; this one goes on holding its connection, as a child of its would. */
static void dies_with_a_child(struct fake_vmm *v)
{
	kill(v->pid, SIGKILL);
	h_check(v->host->h, waitpid(v->pid, NULL, 0) == v->pid, "waitpid: %m");
	v->pid = 0;
}

static bool is_at(struct host *host, const char *step)
{
	struct json_object *q = host_query(host, VM);
	bool at = !strcmp(member_text(q, "step", ""), step);

	json_object_put(q);
	return at;
}

static void gets_to(struct host *host, const char *step)
{
	uint64_t deadline = harness_deadline();

	while (!is_at(host, step))
		h_check(host->h, clock_ns() < deadline, "it does not get to '%s'", step);
}

/* It comes back with the note that it was asked for. */
static void is_back(struct fake_vmm *v, const struct vmm_request *note)
{
	struct vmm_note *n = &v->reg.notes[v->reg.n_notes++];

	n->session = note->session;
	n->note = NOTE_COMMITTING;
	n->cookie_len = note->cookie_len;
	memcpy(n->cookie, note->cookie, note->cookie_len);
	v->reg.running = false;
	fake_vmm_register(v);
}

/* --- the source's: judged ------------------------------------------------------------------ */

START_TEST(cancelled_while_it_is_judged)
{
	struct scene s;
	struct err err;

	scene_to_end_with(&s, "vmm-death=600000");
	fake_vmm_close(&s.vmm);
	scene_vmm_is_closing(&s);
	host_refused(s.host, &err, "migrate_cancel", NULL);
	h_check_text(s.h, err.text, "it is not known yet whether it died");
	fake_vmm_kill(&s.vmm);
	scene_say(&s, WIRE_READY);
	scene_commits(&s);
	scene_free(&s);
}
END_TEST

/* The connection ends as well: the session is asked about anew. No ABORT kills the last copy. */
START_TEST(disconnected_while_it_is_judged)
{
	struct talk question;
	struct scene s;

	scene_to_end_with(&s, "vmm-death=600000");
	fake_vmm_close(&s.vmm);
	scene_vmm_is_closing(&s);
	talk_close(&s.dest.data);
	talk_close(&s.dest.control);
	turns(s.host);
	h_check(s.h, is_at(s.host, "end"), "it did not wait for the VMM's end");
	h_check(s.h, !fake_dest_called(&s.dest), "it calls before it knows what to say");
	fake_vmm_kill(&s.vmm);
	fake_dest_question(&s.dest, &question);
	talk_session(&question, WIRE_RUNNING, &s.dest.session);
	talk_expect(&question, WIRE_CLOSED);
	host_status(s.host, VM, "completed");
	talk_close(&question);
	scene_free(&s);
}
END_TEST

/* The time for READY is over while it is judged, which changes nothing. */
START_TEST(late_while_it_is_judged)
{
	struct talk question;
	struct scene s;

	scene_new_with(&s, "vmm-death=600000");
	host_do(s.host, "migrate-set-parameters", "{'switchover-timeout': 1}");
	fake_vmm_register(&s.vmm);
	scene_migrate(&s);
	fake_dest_end(&s.dest);
	fake_vmm_close(&s.vmm);
	talk_ping_after(&s.dest.control, clock_ns() + 2 * NS_PER_SEC);
	h_check(s.h, is_at(s.host, "end"), "it did not wait for the VMM's end");
	talk_close(&s.dest.control);
	fake_vmm_kill(&s.vmm);
	fake_dest_question(&s.dest, &question);
	talk_session(&question, WIRE_RUNNING, &s.dest.session);
	talk_expect(&question, WIRE_CLOSED);
	host_status(s.host, VM, "completed");
	talk_close(&question);
	scene_free(&s);
}
END_TEST

/* It is dead, and the destination takes its time to check the last copy: it is not disturbed. */
START_TEST(late_when_it_is_dead)
{
	struct scene s;

	scene_new(&s);
	host_do(s.host, "migrate-set-parameters", "{'switchover-timeout': 1}");
	fake_vmm_register(&s.vmm);
	scene_migrate(&s);
	fake_dest_end(&s.dest);
	scene_vmm_dies(&s);
	talk_ping_after(&s.dest.control, clock_ns() + 2 * NS_PER_SEC);
	h_check(s.h, is_at(s.host, "end"), "it did not wait for READY");
	json_object_put(host_event(s.host, "MIGRATION_UNRESOLVED", VM, NULL, NULL));
	scene_say(&s, WIRE_READY);
	scene_commits(&s);
	scene_free(&s);
}
END_TEST

/* It lives: its guest may run, and the copy there has grown stale. */
START_TEST(disconnected_and_alive)
{
	struct scene s;

	scene_to_end_with(&s, "vmm-death=100");
	fake_vmm_close(&s.vmm);
	talk_expect(&s.dest.control, WIRE_ABORT);
	host_status(s.host, VM, "failed");
	scene_free(&s);
}
END_TEST

/* --- the source's: a child holds its socket ------------------------------------------------- */

START_TEST(dead_though_its_socket_is_open)
{
	struct scene s;

	scene_to_end(&s);
	s.dest.vmm = s.dest.control.vmm = NULL; /* nobody answers for it */
	dies_with_a_child(&s.vmm);
	json_object_put(host_event(s.host, "VM_GONE", VM, NULL, NULL));
	scene_say(&s, WIRE_READY);
	scene_commits(&s);
	scene_free(&s);
}
END_TEST

/* What it said before it died is heard first, what the child says after that is not. */
START_TEST(resumed_and_dead)
{
	struct scene s;

	scene_to_end(&s);
	s.dest.vmm = s.dest.control.vmm = NULL;
	process_signal(s.host->process, SIGSTOP);
	fake_vmm_resumed(&s.vmm, &s.dest.session.session);
	dies_with_a_child(&s.vmm);
	process_signal(s.host->process, SIGCONT);
	scene_say(&s, WIRE_READY);
	talk_expect(&s.dest.control, WIRE_ABORT);
	host_status(s.host, VM, "failed");
	scene_free(&s);
}
END_TEST

/* --- RELEASE ---------------------------------------------------------------------------------- */

static void to_release(struct scene *s, const char *limits, struct vmm_request *ret)
{
	scene_to_end_with(s, limits);
	scene_say(s, WIRE_READY);
	talk_expect(&s->dest.control, WIRE_COMMIT);
	scene_say(s, WIRE_RUNNING);
	fake_vmm_request(&s->vmm, VMM_RELEASE, ret);
}

/* An error, and no answer at all: it is asked again, and CLOSED waits. */
START_TEST(release_fails)
{
	struct vmm_request release;
	struct scene s;

	to_release(&s, "vmm-answer=1500,redial=10", &release);
	for (int i = 0; i < 3; i++) {
		if (i != 1)
			fake_vmm_reply(&s.vmm, release.serial, -EIO, 0);
		fake_vmm_request(&s.vmm, VMM_RELEASE, &release);
		h_check(s.h, is_at(s.host, "release"), "the guest counts as released");
		h_check(s.h, scene_error_says(&s, "does not let it go"), "nobody is told why");
	}
	fake_vmm_answer(&s.vmm, &release);
	talk_expect(&s.dest.control, WIRE_CLOSED);
	host_status(s.host, VM, "completed");
	scene_free(&s);
}
END_TEST

/* CLOSED needs another connection, on which nobody answers: it is tried on one more. */
START_TEST(silent_at_release)
{
	struct talk silent, question;
	struct vmm_request release;
	struct scene s;

	to_release(&s, "redial=10,redial-max=500", &release);
	talk_close(&s.dest.control);
	fake_vmm_answer(&s.vmm, &release);
	fake_dest_question(&s.dest, &silent);
	fake_dest_question(&s.dest, &question);
	talk_session(&question, WIRE_RUNNING, &s.dest.session);
	talk_expect(&question, WIRE_CLOSED);
	host_status(s.host, VM, "completed");
	talk_close(&silent);
	talk_close(&question);
	scene_free(&s);
}
END_TEST

START_TEST(dies_at_release)
{
	struct vmm_request release;
	struct scene s;

	to_release(&s, NULL, &release);
	fake_vmm_kill(&s.vmm);
	talk_expect(&s.dest.control, WIRE_CLOSED);
	host_status(s.host, VM, "completed");
	scene_free(&s);
}
END_TEST

/* It is away, alive, and comes back, or dies, before it is given up: then CLOSED is said. */
START_TEST(away_at_release)
{
	struct vmm_request note, release;
	struct scene s;

	scene_to_end_with(&s, "vmm-death=1,vmm-back=600000");
	scene_say(&s, WIRE_READY);
	fake_vmm_request(&s.vmm, VMM_NOTE, &note);
	fake_vmm_answer(&s.vmm, &note);
	talk_expect(&s.dest.control, WIRE_COMMIT);
	fake_vmm_close(&s.vmm);
	json_object_put(host_event(s.host, "VM_GONE", VM, NULL, NULL));
	scene_say(&s, WIRE_RUNNING);
	gets_to(s.host, "release");
	if (_i) {
		fake_vmm_kill(&s.vmm);
	} else {
		is_back(&s.vmm, &note);
		fake_vmm_request(&s.vmm, VMM_RELEASE, &release);
		fake_vmm_answer(&s.vmm, &release);
	}
	talk_expect(&s.dest.control, WIRE_CLOSED);
	host_status(s.host, VM, "completed");
	scene_free(&s);
}
END_TEST

/* For too long: it is over here, nobody is told CLOSED, and that is made up for when it is back. */
START_TEST(away_for_good)
{
	struct vmm_request note, release;
	struct talk question;
	struct scene s;

	scene_to_end_with(&s, "vmm-death=1,vmm-back=1");
	scene_say(&s, WIRE_READY);
	fake_vmm_request(&s.vmm, VMM_NOTE, &note);
	fake_vmm_answer(&s.vmm, &note);
	talk_expect(&s.dest.control, WIRE_COMMIT);
	fake_vmm_close(&s.vmm);
	json_object_put(host_event(s.host, "VM_GONE", VM, NULL, NULL));
	scene_say(&s, WIRE_RUNNING);
	talk_ends(&s.dest.control); /* which fails at CLOSED */

	is_back(&s.vmm, &note);
	fake_vmm_request(&s.vmm, VMM_RELEASE, &release);
	h_check(s.h, !fake_dest_called(&s.dest), "CLOSED is on its way too early");
	fake_vmm_answer(&s.vmm, &release);
	fake_dest_question(&s.dest, &question);
	talk_session(&question, WIRE_RUNNING, &s.dest.session);
	talk_expect(&question, WIRE_CLOSED);
	host_status(s.host, VM, "completed");
	talk_close(&question);
	scene_free(&s);
}
END_TEST

/* NEVER, and the VMM that has the guest is away: people hear of it until it is back, and has it. */
START_TEST(away_when_it_never_runs)
{
	struct vmm_request note, undo;
	struct talk question;
	struct scene s;

	scene_to_end_with(&s, "vmm-death=1,redial=10");
	scene_say(&s, WIRE_READY);
	fake_vmm_request(&s.vmm, VMM_NOTE, &note);
	fake_vmm_answer(&s.vmm, &note);
	talk_expect(&s.dest.control, WIRE_COMMIT);
	fake_vmm_close(&s.vmm);
	json_object_put(host_event(s.host, "VM_GONE", VM, NULL, NULL));
	scene_say(&s, WIRE_NEVER);
	fake_dest_question(&s.dest, &question);
	talk_session(&question, WIRE_NEVER, &s.dest.session);
	json_object_put(host_event(s.host, "MIGRATION_UNRESOLVED", VM, NULL, NULL));
	talk_close(&question);

	is_back(&s.vmm, &note);
	fake_dest_question(&s.dest, &question);
	talk_session(&question, WIRE_NEVER, &s.dest.session);
	fake_vmm_request(&s.vmm, VMM_UNDO, &undo);
	fake_vmm_answer(&s.vmm, &undo);
	host_status(s.host, VM, "failed");
	talk_close(&question);
	scene_free(&s);
}
END_TEST

/*
 * An answer that names another VM is none.
 *
 * protocol.md 10.2: "and an answer with another one, is out of order."
 */
START_TEST(answer_with_another_uuid)
{
	struct wire_session wrong;
	struct talk question;
	struct scene s;

	scene_to_end(&s);
	scene_say(&s, WIRE_READY);
	talk_expect(&s.dest.control, WIRE_COMMIT);
	wrong = s.dest.session;
	wrong.uuid.b[15] ^= 1;
	talk_session(&s.dest.control, WIRE_NEVER, &wrong);
	fake_dest_question(&s.dest, &question);
	talk_session(&question, WIRE_RUNNING, &s.dest.session);
	talk_expect(&question, WIRE_CLOSED);
	host_status(s.host, VM, "completed");
	talk_close(&question);
	scene_free(&s);
}
END_TEST

/* --- the destination's ------------------------------------------------------------------------ */

struct arrival {
	struct harness *h;
	struct host *host;
	struct fake_vmm vmm;
	struct wire_session session;
	struct talk control, data;
};

/* A whole guest: READY is said. */
static void arrival_new(struct arrival *a, const char *limits)
{
	static const uint8_t image[24] = {0, 1, 0, 0, 0, 0, 0, 8};
	struct wire_pass_end pass = {WIRE_STREAM_HTAB, 1, 1, 0};
	struct wire_end end = {
		.session = {{9}},
		.generation = 1,
		.passes = 1,
		.state_size = sizeof(image),
		.state_digest = stream_digest(STREAM_DIGEST_INIT, image, sizeof(image)),
		.channels = 1,
		.channel[0].digest = STREAM_DIGEST_INIT,
	};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	*a = (struct arrival){.h = harness_new(), .session.session = {{9}}};
	a->host = host_start(a->h, "b", &(struct host_opts){.limits = limits});
	fake_vmm_new(&a->vmm, a->host, VM);
	a->vmm.reg.incoming = true;
	a->vmm.reg.running = false;
	a->session.uuid = a->vmm.reg.uuid;
	fake_vmm_register(&a->vmm);
	host_do(a->host, "migrate-incoming", "{'vm': '" VM "'}");
	talk_dial(&a->control, a->host, &a->vmm, WIRE_ROLE_CONTROL);
	talk_open(&a->control, &a->session, VM);
	talk_expect(&a->control, WIRE_ACCEPT);
	talk_join(&a->control, &a->data, &a->session.session);
	talk_send(&a->data, buf, wire_pack_pass_end(&pass, buf, sizeof(buf)));
	wire_pack_header(buf, WIRE_STATE, sizeof(image));
	memcpy(buf + WIRE_HDR_SIZE, image, sizeof(image));
	talk_send(&a->control, buf, WIRE_HDR_SIZE + sizeof(image));
	talk_send(&a->control, buf, wire_pack_end(&end, buf, sizeof(buf)));
	talk_expect(&a->control, WIRE_READY);
}

static void arrival_free(struct arrival *a)
{
	talk_close(&a->control);
	talk_close(&a->data);
	fake_vmm_free(&a->vmm);
	harness_free(a->h);
}

static void is_closing(struct arrival *a)
{
	struct json_object *vm;

	while ((vm = host_vm(a->host, VM)))
		json_object_put(vm);
}

/* COMMIT comes when its connection has ended, and it is not known yet whether it died. */
START_TEST(never_asked_to_run)
{
	struct arrival a;

	arrival_new(&a, "vmm-death=600000");
	fake_vmm_close(&a.vmm);
	is_closing(&a);
	talk_session(&a.control, WIRE_COMMIT, &a.session);
	gets_to(a.host, "in-run");
	fake_vmm_kill(&a.vmm);
	talk_expect(&a.control, WIRE_NEVER);
	host_status(a.host, VM, "failed");
	arrival_free(&a);
}
END_TEST

/* It lives, and is asked when it is back. */
START_TEST(asked_when_it_is_back)
{
	struct vmm_request run;
	struct arrival a;

	arrival_new(&a, "vmm-death=1");
	fake_vmm_close(&a.vmm);
	json_object_put(host_event(a.host, "VM_GONE", VM, NULL, NULL));
	talk_session(&a.control, WIRE_COMMIT, &a.session);
	gets_to(a.host, "in-run");
	if (_i) { /* no, it dies */
		fake_vmm_kill(&a.vmm);
		talk_expect(&a.control, WIRE_NEVER);
	} else {
		fake_note(&a.vmm, &a.session.session, NOTE_READY, NULL);
		fake_vmm_register(&a.vmm);
		fake_vmm_request(&a.vmm, VMM_NOTE, &run);
		h_check(a.h, run.note == NOTE_RUN, "it is asked for another note");
		fake_vmm_answer(&a.vmm, &run);
		talk_expect(&a.control, WIRE_RUNNING);
	}
	arrival_free(&a);
}
END_TEST

/* RUN was sent to a VMM that did not read it: nobody can know. */
START_TEST(asked_and_dead)
{
	struct vmm_request run;
	struct arrival a;

	arrival_new(&a, NULL);
	talk_session(&a.control, WIRE_COMMIT, &a.session);
	fake_vmm_request(&a.vmm, VMM_NOTE, &run);
	h_check(a.h, run.note == NOTE_RUN, "it is asked for another note");
	if (_i)
		dies_with_a_child(&a.vmm);
	else
		fake_vmm_kill(&a.vmm);
	a.control.vmm = NULL;
	talk_expect(&a.control, WIRE_LOST);
	gets_to(a.host, "in-lost");
	arrival_free(&a);
}
END_TEST

/* A child holds its socket: the death is seen, and COMMIT answered at once. */
START_TEST(copy_that_died_with_a_child)
{
	struct arrival a;

	arrival_new(&a, NULL);
	a.control.vmm = NULL;
	dies_with_a_child(&a.vmm);
	talk_expect(&a.control, WIRE_ABORT);
	talk_close(&a.control);
	talk_dial(&a.control, a.host, NULL, WIRE_ROLE_QUESTION);
	talk_session(&a.control, WIRE_COMMIT, &a.session);
	talk_expect(&a.control, WIRE_NEVER);
	arrival_free(&a);
}
END_TEST

/* The right session of another VM: nothing starts, and nobody is told. */
START_TEST(commit_with_another_uuid)
{
	struct wire_session wrong;
	struct talk question;
	struct arrival a;

	arrival_new(&a, NULL);
	wrong = a.session;
	wrong.uuid.b[15] ^= 1;
	talk_dial(&question, a.host, &a.vmm, WIRE_ROLE_QUESTION);
	talk_session(&question, WIRE_COMMIT, &wrong);
	talk_expect(&question, WIRE_UNKNOWN);
	talk_close(&question);
	h_check(a.h, is_at(a.host, "in-ready"), "a COMMIT for another VM was taken up");
	talk_session(&a.control, WIRE_COMMIT, &wrong);
	talk_ends(&a.control);
	talk_close(&a.control);
	h_check(a.h, is_at(a.host, "in-ready"), "a COMMIT for another VM was taken up");
	talk_dial(&a.control, a.host, &a.vmm, WIRE_ROLE_QUESTION);
	talk_session(&a.control, WIRE_COMMIT, &a.session);
	talk_expect(&a.control, WIRE_RUNNING);
	talk_session(&a.control, WIRE_CLOSED, &wrong);
	talk_ends(&a.control);
	h_check(a.h, is_at(a.host, "in-running"), "a CLOSED for another VM was taken up");
	arrival_free(&a);
}
END_TEST

/* Its VMM does not forget the session at once: it is asked again. */
START_TEST(release_fails_there)
{
	struct vmm_request release;
	struct arrival a;

	arrival_new(&a, "redial=10");
	talk_session(&a.control, WIRE_COMMIT, &a.session);
	talk_expect(&a.control, WIRE_RUNNING);
	talk_session(&a.control, WIRE_CLOSED, &a.session);
	fake_vmm_request(&a.vmm, VMM_RELEASE, &release);
	fake_vmm_reply(&a.vmm, release.serial, -EIO, 0);
	fake_vmm_request(&a.vmm, VMM_RELEASE, &release);
	fake_vmm_answer(&a.vmm, &release);
	host_status(a.host, VM, "completed");
	arrival_free(&a);
}
END_TEST

/* It could not run the guest, went, and is back: it is asked once, whoever else asks meanwhile. */
START_TEST(asked_once_when_it_is_back)
{
	struct vmm_request run;
	unsigned notes;
	struct arrival a;

	arrival_new(&a, "vmm-death=1");
	notes = a.vmm.answered[VMM_NOTE];
	talk_session(&a.control, WIRE_COMMIT, &a.session);
	fake_vmm_request(&a.vmm, VMM_NOTE, &run);
	fake_vmm_reply(&a.vmm, run.serial, -EIO, NOTE_READY);
	talk_expect(&a.control, WIRE_UNKNOWN);
	talk_close(&a.control);
	fake_vmm_close(&a.vmm);
	json_object_put(host_event(a.host, "VM_GONE", VM, NULL, NULL));
	fake_note(&a.vmm, &a.session.session, NOTE_READY, NULL);
	fake_vmm_register(&a.vmm);
	fake_vmm_request(&a.vmm, VMM_NOTE, &run);
	talk_dial(&a.control, a.host, &a.vmm, WIRE_ROLE_QUESTION);
	talk_session(&a.control, WIRE_COMMIT, &a.session);
	turns(a.host);
	fake_vmm_answer(&a.vmm, &run);
	talk_expect(&a.control, WIRE_RUNNING);
	h_check(a.h, !fake_vmm_ended(&a.vmm), "the daemon ended");
	talk_session(&a.control, WIRE_CLOSED, &a.session);
	host_status(a.host, VM, "completed");
	h_check(a.h, a.vmm.answered[VMM_NOTE] == notes, "it was asked twice at a time");
	arrival_free(&a);
}
END_TEST

/* The end of a VMM whose migration is so old that it was forgotten is nobody's. */
START_TEST(ends_when_it_is_forgotten)
{
	struct fake_vmm other;
	struct scene s;

	scene_new_with(&s, "vmm-death=1");
	fake_vmm_register(&s.vmm);
	scene_migrate(&s);
	host_do(s.host, "migrate_cancel", "{'vm': '" VM "'}");
	host_status(s.host, VM, "cancelled");
	fake_vmm_close(&s.vmm);
	json_object_put(host_event(s.host, "VM_GONE", VM, NULL, NULL));
	fake_vmm_new(&other, s.host, "vm2");
	for (unsigned i = 0; i < 2 * HISTORY_KEEP / VMM_NOTES_MAX; i++) {
		other.reg.n_notes = 0;
		for (unsigned k = 0; k < VMM_NOTES_MAX; k++)
			fake_note(&other, &(struct session_id){{1, (uint8_t)i, (uint8_t)k}},
				NOTE_DEAD, NULL);
		fake_vmm_register(&other);
		fake_vmm_close(&other);
		json_object_put(host_event(s.host, "VM_GONE", other.reg.name, NULL, NULL));
	}
	fake_vmm_kill(&s.vmm);
	turns(s.host);
	fake_vmm_free(&other);
	scene_free(&s);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("ends", &c);

	harness_add(c, cancelled_while_it_is_judged);
	harness_add(c, disconnected_while_it_is_judged);
	harness_add(c, late_while_it_is_judged);
	harness_add(c, late_when_it_is_dead);
	harness_add(c, disconnected_and_alive);
	harness_add(c, dead_though_its_socket_is_open);
	harness_add(c, resumed_and_dead);
	harness_add(c, release_fails);
	harness_add(c, silent_at_release);
	harness_add(c, dies_at_release);
	if (harness_wants("away_at_release"))
		tcase_add_loop_test(c, away_at_release, 0, 2);
	harness_add(c, away_for_good);
	harness_add(c, away_when_it_never_runs);
	harness_add(c, answer_with_another_uuid);
	harness_add(c, never_asked_to_run);
	if (harness_wants("asked_when_it_is_back"))
		tcase_add_loop_test(c, asked_when_it_is_back, 0, 2);
	if (harness_wants("asked_and_dead"))
		tcase_add_loop_test(c, asked_and_dead, 0, 2);
	harness_add(c, asked_once_when_it_is_back);
	harness_add(c, ends_when_it_is_forgotten);
	harness_add(c, copy_that_died_with_a_child);
	harness_add(c, commit_with_another_uuid);
	harness_add(c, release_fails_there);
	return harness_main(s);
}
