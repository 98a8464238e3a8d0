/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A source that was killed while its destination keeps the session for it: it begins anew at once,
 * under the permission that the session came with. Nobody else can, and no session that is not
 * interrupted ends by an OPEN.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/session/migration.h"
#include "tests/integration/claim.h"
#include "tests/integration/handover.h"

#define VM STAGE_VM

/* --- real daemons ----------------------------------------------------------------------------- */

static void set(struct host *host, const char *name, long long value)
{
	host_do(host, "migrate-set-parameters", "{'%s': %lld}", name, value);
}

/* Passes that do not end, and the connections of which may. What was set goes with a daemon. */
static void endless(struct host *host)
{
	host_capability(host, "htab-recover", true);
	host_capability(host, "verify", true);
	set(host, "downtime-limit", 0);
	set(host, "max-passes", 1000000);
}

static void end_passes(struct host *host)
{
	set(host, "downtime-limit", 2000000);
}

static void migrate(struct host *host, const char *uri)
{
	host_do(host, "migrate", "{'vm': '" VM "', 'uri': '%s'}", uri);
}

static void passes(struct host *host)
{
	json_object_put(host_event(host, "MIGRATION_PASS", VM, NULL, NULL));
}

static struct stage stage_with(const struct stage_opts *o)
{
	struct stage s = stage_new(o);

	endless(s.a);
	host_do(s.b, "migrate-incoming", "{'vm': '" VM "'%s}",
		o->tls ? ", 'tls-authz': 'CN=hosta'" : "");
	migrate(s.a, s.uri);
	passes(s.a);
	return s;
}

static struct stage stage_passing(bool tls)
{
	return stage_with(&(struct stage_opts){.tls = tls});
}

/* The session at b has failed, and b says why. */
static void took_its_place(struct stage *s)
{
	struct json_object *e = host_event(s->b, "MIGRATION", VM, "status", "failed");

	h_check_text(
		s->h, member_text(member(e, "data"), "error-desc", ""), "its source began anew");
	json_object_put(e);
}

static void error_says(struct host *host, const char *words)
{
	struct json_object *q = host_query(host, VM);

	h_check_text(host->h, member_text(q, "error-desc", ""), words);
	json_object_put(q);
}

static bool expects(struct host *host)
{
	struct json_object *v = host_vm(host, VM);
	bool yes = member_bool(v, "expects");

	json_object_put(v);
	return yes;
}

/* Killed, and killed again: the operator of the destination says nothing more. */
START_TEST(killed_source_begins_anew)
{
	struct stage s = stage_passing(_i == 1);
	struct json_object *q, *v;

	for (int i = 0; i < 2; i++) {
		stage_strike(&s, SOURCE_DAEMON);
		host_status(s.b, VM, "postcopy-paused");
		guest_runs(s.source);
		endless(s.a);
		migrate(s.a, s.uri);
		took_its_place(&s);
		passes(s.a);
	}
	end_passes(s.a);
	stage_ends(&s, AT_DESTINATION);
	q = host_query(s.a, VM);
	v = member(q, "verify");
	h_check(s.h, v && member_int(v, "mismatches", -1) == 0 && member_int(v, "entries", 0) > 0,
		"the tables were not compared, or differ: %s", json_object_to_json_string(q));
	json_object_put(q);
	ck_assert(!expects(s.b));
	stage_free(&s);
}
END_TEST

/* When recover-timeout is over so is the session, and with it the permission, as ever. */
START_TEST(too_late)
{
	struct stage s = stage_passing(true);

	set(s.b, "recover-timeout", 1);
	stage_strike(&s, SOURCE_DAEMON);
	host_status(s.b, VM, "failed");
	migrate(s.a, s.uri);
	host_status(s.a, VM, "failed");
	error_says(s.a, "may not take a guest yet");
	stage_ends(&s, AT_SOURCE);
	stage_free(&s);
}
END_TEST

/* A host of another name: the session stays for its own source. */
START_TEST(another_host)
{
	struct stage s = stage_passing(true);
	struct host_opts o = {.creds = harness_creds(s.h, "hostc", NULL)};
	struct host *c = host_start(s.h, "c", &o);
	struct guest *g = guest_start(c, VM, &(struct guest_opts){.rate = 1000});

	stage_strike(&s, SOURCE_DAEMON);
	host_status(s.b, VM, "postcopy-paused");
	migrate(c, s.uri);
	host_status(c, VM, "failed");
	error_says(c, "is in a migration here already (step 'in-cut')");
	guest_runs(g);
	end_passes(s.a);
	migrate(s.a, s.uri);
	took_its_place(&s);
	stage_ends(&s, AT_DESTINATION);
	guest_stop(g);
	stage_free(&s);
}
END_TEST

/*
 * A daemon that lives yet and would resume: it hears why it cannot, and its guest runs on.
 *
 * protocol.md 6.8: "RESUME of it REFUSE (FAILED) with the reason, then and later."
 */
START_TEST(half_dead_source)
{
	struct stage s = stage_passing(true);
	struct host_opts o = {.creds = harness_creds(s.h, "hosta", NULL)};
	struct host *c;
	struct guest *g;

	host_do(s.a, "migrate-pause", "{'vm': '" VM "'}");
	host_status(s.b, VM, "postcopy-paused");
	c = host_start(s.h, "c", &o);
	g = guest_start(c, VM, &(struct guest_opts){.rate = 1000});
	endless(c);
	migrate(c, s.uri);
	took_its_place(&s);
	passes(c);
	host_do(s.a, "migrate", "{'vm': '" VM "', 'uri': '%s', 'resume': true}", s.uri);
	host_status(s.a, VM, "failed");
	error_says(s.a, "its source began anew");
	stage_ends(&s, AT_SOURCE);
	/* the other one was not disturbed */
	end_passes(c);
	host_status(c, VM, "completed");
	guest_ends(g, 0);
	guest_event(s.destination, "started");
	stage_free(&s);
}
END_TEST

/* While the session ends its VM dies, and another waits under that name, which nobody permitted. */
START_TEST(another_vm_meanwhile)
{
	struct stage s = stage_with(&(struct stage_opts){.hold_b = "in-stopping"});
	struct guest *g;

	stage_strike(&s, SOURCE_DAEMON);
	host_status(s.b, VM, "postcopy-paused");
	migrate(s.a, s.uri);
	host_held(s.b, VM, "in-stopping");
	stage_strike(&s, DESTINATION_VMM);
	g = guest_start(s.b, VM, &(struct guest_opts){.rate = 1000, .incoming = true});
	host_do(s.b, "x-continue", "{'vm': '" VM "'}");
	host_status(s.a, VM, "failed");
	error_says(s.a, "may not take a guest yet");
	guest_runs(s.source);
	guest_stop(g);
	stage_free(&s);
}
END_TEST

/* --- sessions that no OPEN ends --------------------------------------------------------------- */

/* Where an OPEN of a session's own peer changes nothing; NULL: not of such a session. */
static const char *undisturbed(enum mig_state state)
{
	switch (state) {
	case MIG_IN_PREPARE:
	case MIG_IN_JOIN:
	case MIG_IN_ACTIVE:
	case MIG_IN_FINISH:
	case MIG_IN_STATE:
	case MIG_IN_NOTE:
	case MIG_IN_READY:
	case MIG_IN_RUN: return migration_step(state);
	case MIG_IN_CUT: /* they end */
	case MIG_IN_RESUME:
	case MIG_IN_STOPPING: /* answered_while_it_ends */
	case MIG_IN_RUNNING:  /* the guest runs: the VM does not wait for any */
	case MIG_IN_LOST:
	case MIG_CONNECT:
	case MIG_OPEN:
	case MIG_JOIN:
	case MIG_START:
	case MIG_ACTIVE:
	case MIG_CUT:
	case MIG_RESUME:
	case MIG_PAUSE:
	case MIG_PRE_SWITCHOVER:
	case MIG_LAST_PASS:
	case MIG_VERIFY:
	case MIG_STATE:
	case MIG_END:
	case MIG_COMMITTING:
	case MIG_COMMIT:
	case MIG_ASKING:
	case MIG_RELEASE:
	case MIG_UNDO:
	case MIG_STOPPING:
	case MIG_COMPLETED:
	case MIG_FAILED:
	case MIG_CANCELLED: return NULL;
	}
	ck_abort_msg("state %d is none", state);
}

static struct vm_uuid uuid_of(struct host *host)
{
	struct json_object *v = host_vm(host, VM);
	const char *text = member_text(v, "uuid", "");
	struct vm_uuid uuid;

	for (size_t i = 0; i < sizeof(uuid.b); i++) {
		char digits[3];

		text += *text == '-';
		h_check(host->h, strlen(text) >= 2, "no UUID: %s", json_object_to_json_string(v));
		snprintf(digits, sizeof(digits), "%.2s", text);
		uuid.b[i] = (uint8_t)strtoul(digits, NULL, 16);
		text += 2;
	}
	json_object_put(v);
	return uuid;
}

static void refused(struct talk *t, enum wire_refusal code, const char *words)
{
	struct wire_refuse refuse;

	talk_expect(t, WIRE_REFUSE);
	ck_assert_int_eq(wire_unpack_refuse(t->body, t->len, &refuse), 0);
	h_check(t->host->h, refuse.code == code, "refused by %d: %s", refuse.code, refuse.text);
	h_check_text(t->host->h, refuse.text, words);
	talk_close(t);
}

START_TEST(not_interrupted)
{
	const char *step = undisturbed((enum mig_state)_i);
	struct wire_session other = {.session = {{9}}};
	struct stage_opts o = {.hold_b = step};
	struct stage s;
	struct talk t;

	if (!step)
		return;
	if (_i == MIG_IN_ACTIVE) /* which lasts as long as the source does not go on */
		o.hold_a = "active";
	s = stage_new(&o);
	host_capability(s.a, "htab-recover", true);
	stage_migrate(&s);
	host_held(s.b, VM, step);
	if (o.hold_a) /* or it would be held after stage_go_on(), for good */
		host_held(s.a, VM, o.hold_a);
	other.uuid = uuid_of(s.b);
	talk_dial_with(&t, s.b, NULL, WIRE_ROLE_CONTROL, WIRE_FEATURE_RECOVER);
	talk_open(&t, &other, VM);
	refused(&t, WIRE_REFUSE_BUSY, step);
	stage_go_on(&s);
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

/* --- a source that says what it likes --------------------------------------------------------- */

static void pause_claim(struct claim *c)
{
	talk_close(&c->control);
	talk_close(&c->data);
	host_status(c->b, VM, "postcopy-paused");
}

/* Another session of the same source. */
static struct wire_session another(const struct claim *c)
{
	return (struct wire_session){.session = {{9}}, .uuid = c->session.uuid};
}

static void open_another(struct claim *c, struct talk *t)
{
	struct wire_session s = another(c);

	talk_dial_with(t, c->b, &c->vmm, WIRE_ROLE_CONTROL, WIRE_FEATURE_RECOVER);
	talk_open(t, &s, VM);
}

/* The VMM is asked to note that the first session is dead: what it says is the caller's matter. */
static struct vmm_request asked_for_death(struct claim *c)
{
	struct vmm_request req;

	fake_vmm_request(&c->vmm, VMM_NOTE, &req);
	ck_assert_int_eq(req.note, NOTE_DEAD);
	ck_assert(session_eq(&req.session, &c->session.session));
	return req;
}

/* A recovery that is under way ends with the session. */
START_TEST(in_resume)
{
	struct wire_resume r;
	struct wire_refuse refuse;
	struct vmm_request req;
	struct talk t, first;
	struct claim c;

	claim_new(&c);
	r = claim_good(&c);
	pause_claim(&c);
	claim_resume(&c, &first, &r);
	talk_expect(&first, WIRE_RESUMED);
	open_another(&c, &t);
	req = asked_for_death(&c);
	talk_expect(&first, WIRE_ABORT);
	ck_assert_int_eq(wire_unpack_refuse(first.body, first.len, &refuse), 0);
	h_check_text(c.h, refuse.text, "its source began anew");
	fake_vmm_answer(&c.vmm, &req);
	talk_expect(&t, WIRE_ACCEPT);
	talk_close(&first);
	talk_close(&t);
	claim_free(&c);
}
END_TEST

/* What comes until the first session is dead: nobody else is let in, and it is not resumed. */
START_TEST(answered_while_it_ends)
{
	struct wire_session third = {.session = {{7}}};
	struct wire_resume r;
	struct vmm_request req;
	struct talk t, other;
	struct claim c;

	claim_new(&c);
	r = claim_good(&c);
	third.uuid = c.session.uuid;
	pause_claim(&c);
	open_another(&c, &t);
	req = asked_for_death(&c);
	talk_dial_with(&other, c.b, NULL, WIRE_ROLE_CONTROL, WIRE_FEATURE_RECOVER);
	talk_open(&other, &third, VM);
	refused(&other, WIRE_REFUSE_BUSY, "in-stopping");
	claim_resume(&c, &other, &r);
	refused(&other, WIRE_REFUSE_FAILED, "its source began anew");
	talk_ping_after(&t, clock_ns()); /* it waits, and is heard */
	fake_vmm_answer(&c.vmm, &req);
	talk_expect(&t, WIRE_ACCEPT);
	claim_resume(&c, &other, &r);
	refused(&other, WIRE_REFUSE_FAILED, "its source began anew");
	talk_dial_with(&other, c.b, &c.vmm, WIRE_ROLE_CONTROL, WIRE_FEATURE_RECOVER);
	talk_open(&other, &third, VM);
	refused(&other, WIRE_REFUSE_BUSY, "in-join");
	talk_close(&t);
	claim_free(&c);
}
END_TEST

/* It goes away or gives up, or talks out of turn: the first session has ended all the same. */
START_TEST(gone_while_it_waits)
{
	struct wire_refuse abort = {.code = WIRE_REFUSE_CANCELLED, .text = "enough"};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];
	struct vmm_request req;
	struct talk t;
	struct claim c;

	claim_new(&c);
	pause_claim(&c);
	open_another(&c, &t);
	req = asked_for_death(&c);
	if (_i == 1)
		talk_send(&t, buf, wire_pack_refuse(WIRE_ABORT, &abort, buf, sizeof(buf)));
	else if (_i == 2)
		talk_send(&t, buf, wire_pack_empty(WIRE_PAUSE, buf, sizeof(buf)));
	if (_i > 0)
		talk_ends(&t);
	talk_close(&t);
	host_do(c.b, "query-status", NULL); /* the daemon has been round */
	fake_vmm_answer(&c.vmm, &req);
	host_status(c.b, VM, "failed");
	open_another(&c, &t);
	refused(&t, WIRE_REFUSE_NOT_WAITING, "may not take a guest yet");
	host_do(c.b, "migrate-incoming", "{'vm': '" VM "'}");
	open_another(&c, &t);
	talk_expect(&t, WIRE_ACCEPT);
	talk_close(&t);
	claim_free(&c);
}
END_TEST

/* The VM goes while it waits, and with it what it was permitted. */
START_TEST(vm_gone_while_it_waits)
{
	struct talk t;
	struct claim c;

	claim_new(&c);
	pause_claim(&c);
	open_another(&c, &t);
	asked_for_death(&c);
	t.vmm = NULL;
	fake_vmm_kill(&c.vmm);
	refused(&t, WIRE_REFUSE_NO_VM, "is not known here");
	host_status(c.b, VM, "failed");
	claim_free(&c);
}
END_TEST

/* A VMM that says nothing about it is not waited for without end; it never had the guest. */
START_TEST(never_noted)
{
	struct talk t;
	struct claim c;

	claim_new(&c);
	pause_claim(&c);
	open_another(&c, &t);
	asked_for_death(&c);
	talk_expect(&t, WIRE_ACCEPT);
	host_status(c.b, VM, "failed");
	talk_close(&t);
	claim_free(&c);
}
END_TEST

/*
 * An OPEN that cannot begin ends nothing.
 *
 * protocol.md 6.8: "If OPEN is refused nothing has changed."
 */
START_TEST(open_that_is_refused)
{
	struct wire_session other;
	struct wire_open guest;
	struct wire_resume r;
	struct talk t;
	struct claim c;

	claim_new(&c);
	r = claim_good(&c);
	other = another(&c);
	pause_claim(&c);
	guest = talk_guest(&other, VM);
	guest.order++;
	talk_dial_with(&t, c.b, &c.vmm, WIRE_ROLE_CONTROL, WIRE_FEATURE_RECOVER);
	talk_open_guest(&t, &guest);
	refused(&t, WIRE_REFUSE_MISMATCH, "order");
	talk_dial_with(&t, c.b, &c.vmm, WIRE_ROLE_CONTROL, WIRE_FEATURE_RECOVER);
	talk_open(&t, &c.session, VM); /* its own session */
	refused(&t, WIRE_REFUSE_PROTOCOL, "has been here before");
	claim_resume(&c, &t, &r);
	talk_expect(&t, WIRE_RESUMED);
	talk_close(&t);
	claim_free(&c);
}
END_TEST

/* After SWITCHOVER the guest may stand: such a session is the source's to end, resumed or not. */
START_TEST(after_switchover)
{
	uint8_t buf[WIRE_HDR_SIZE];
	struct wire_resume r;
	struct talk t, first;
	struct claim c;

	claim_new(&c);
	r = claim_good(&c);
	talk_send(&c.control, buf, wire_pack_empty(WIRE_SWITCHOVER, buf, sizeof(buf)));
	talk_ping_after(&c.control, clock_ns());
	claim_resume(&c, &first, &r);
	talk_expect(&first, WIRE_RESUMED);
	open_another(&c, &t);
	refused(&t, WIRE_REFUSE_BUSY, "in-resume");
	talk_ping_after(&first, clock_ns());
	talk_close(&first);
	claim_free(&c);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("reopen", &c);

	harness_add_loop(c, killed_source_begins_anew, 2);
	harness_add(c, too_late);
	harness_add(c, another_host);
	harness_add(c, half_dead_source);
	harness_add(c, another_vm_meanwhile);
	harness_add_loop(c, not_interrupted, MIG_STATES);
	harness_add(c, in_resume);
	harness_add(c, answered_while_it_ends);
	harness_add_loop(c, gone_while_it_waits, 3);
	harness_add(c, vm_gone_while_it_waits);
	harness_add_slow(c, never_noted);
	harness_add(c, open_that_is_refused);
	harness_add(c, after_switchover);
	return harness_main(s);
}
