/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connections that break, or are cut on purpose, while the passes run: the migration goes on where
 * it was, the guest runs at the source all the time, and nobody else takes the session over.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "daemon/migration.h"
#include "tests/integration/handover.h"
#include "tests/integration/hostile.h"

#define VM   STAGE_VM
#define CUTS (getenv("HTAB_TEST_SLOW") ? 50 : 10)

/* --- two daemons and a network that breaks ---------------------------------------------------- */

static void set(struct host *host, const char *name, long long value)
{
	host_do(host, "migrate-set-parameters", "{'%s': %lld}", name, value);
}

/* Passes that do not end before end_passes(). */
static struct stage stage_with(const struct stage_opts *o, bool recover, unsigned channels)
{
	struct stage s = stage_new(o);

	set(s.a, "multifd-channels", channels);
	host_capability(s.a, "htab-recover", recover);
	set(s.a, "downtime-limit", 0);
	set(s.a, "max-passes", 1000000);
	stage_migrate(&s);
	json_object_put(host_event(s.a, "MIGRATION_PASS", VM, NULL, NULL));
	return s;
}

static struct stage endless(const struct stage_opts *o, bool recover)
{
	return stage_with(o, recover, 1);
}

static void end_passes(struct stage *s)
{
	set(s->a, "max-bandwidth", 0);
	set(s->a, "downtime-limit", 2000000);
}

/* Both ends tell how long they wait yet, and the source for whom. */
static void tells_how_long(struct stage *s, bool by_hand)
{
	struct json_object *a = host_query(s->a, VM), *b = host_query(s->b, VM);
	struct json_object *from = member(a, "interrupted"), *to = member(b, "interrupted");
	int64_t left = member_int(from, "left", -1);

	h_check(s->h, left > 0 && left <= 300 && member_bool(from, "by-hand") == by_hand, "%s",
		json_object_to_json_string(a));
	left = member_int(to, "left", -1);
	h_check(s->h, left > 0 && left <= 300 && !member(to, "by-hand"), "%s",
		json_object_to_json_string(b));
	json_object_put(a);
	json_object_put(b);
}

static void pause_migration(struct stage *s)
{
	host_do(s->a, "migrate-pause", "{'vm': '" VM "'}");
	host_status(s->a, VM, "postcopy-paused");
	host_status(s->b, VM, "postcopy-paused");
}

static void resume(struct stage *s, const char *uri)
{
	host_do(s->a, "migrate", "{'vm': '" VM "', 'uri': '%s', 'resume': true}", uri);
}

static int64_t recoveries(struct host *host)
{
	struct json_object *q = host_query(host, VM);
	int64_t n = member_int(q, "recoveries", 0);

	json_object_put(q);
	return n;
}

static void tables_were_equal(struct stage *s)
{
	struct json_object *q = host_query(s->a, VM), *v = member(q, "verify");

	h_check(s->h, v && member_int(v, "mismatches", -1) == 0 && member_int(v, "entries", 0) > 0,
		"the tables were not compared, or differ: %s", json_object_to_json_string(q));
	json_object_put(q);
}

START_TEST(pause_and_resume)
{
	struct stage s = stage_with(
		&(struct stage_opts){.tls = true, .verify = true}, _i == 1, _i == 2 ? 4 : 1);

	for (int i = 0; i < 3; i++) {
		pause_migration(&s);
		tells_how_long(&s, true);
		guest_runs(s.source);
		resume(&s, s.uri);
		host_status(s.a, VM, "active");
		host_status(s.b, VM, "active");
	}
	end_passes(&s);
	stage_ends(&s, AT_DESTINATION);
	ck_assert_int_eq(recoveries(s.a), 3);
	ck_assert_int_eq(recoveries(s.b), 3);
	tables_were_equal(&s);
	stage_free(&s);
}
END_TEST

static int64_t arrived(struct stage *s)
{
	struct json_object *q = host_query(s->b, VM);
	int64_t n = member_int(member(q, "htab"), "transferred", 0);

	json_object_put(q);
	return n;
}

/* Something is written, and so acknowledged. */
static void more_arrives(struct stage *s)
{
	int64_t before = arrived(s);
	uint64_t deadline = harness_deadline();

	while (arrived(s) == before)
		h_check(s->h, clock_ns() < deadline, "nothing arrives any more: %s here, %s there",
			json_object_to_json_string(host_query(s->a, VM)),
			json_object_to_json_string(host_query(s->b, VM)));
}

/* The network breaks again and again, wherever that is; the source comes back by itself. */
START_TEST(cuts_at_random_places)
{
	struct stage_opts o = {
		.tls = _i % 2,
		.verify = true,
		.source = {"--dirty-rate", "200000", "--order", "22"},
		.destination = {"--order", "22"},
	};
	struct stage s = stage_with(&o, true, _i < 2 ? 1 : 5);
	uint64_t seed = (uint64_t)_i + 1;

	set(s.a, "max-bandwidth", 8 << 20); /* so that something is under way */
	for (int i = 0; i < CUTS; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		for (unsigned k = (unsigned)(seed >> 33) % 20; k > 0; k--) /* for so many turns */
			json_object_put(host_query(s.a, VM));
		relay_cut(s.relay);
		host_status(s.a, VM, "postcopy-paused");
		host_status(s.a, VM, "active");
		more_arrives(&s); /* else the source waits longer and longer */
	}
	guest_runs(s.source);
	end_passes(&s);
	stage_ends(&s, AT_DESTINATION);
	ck_assert_int_ge(recoveries(s.a), CUTS);
	tables_were_equal(&s);
	stage_free(&s);
}
END_TEST

/* One of several data channels breaks: all of them go, and come again. */
START_TEST(one_channel_breaks)
{
	struct stage_opts o = {
		.tls = true,
		.verify = true,
		.source = {"--dirty-rate", "200000", "--order", "22"},
		.destination = {"--order", "22"},
	};
	struct stage s = stage_with(&o, true, 4);

	set(s.a, "max-bandwidth", 8 << 20);
	for (int i = 0; i < CUTS; i++) {
		more_arrives(&s);
		relay_cut_last(s.relay);
		host_status(s.a, VM, "postcopy-paused");
		host_status(s.a, VM, "active");
	}
	guest_runs(s.source);
	end_passes(&s);
	stage_ends(&s, AT_DESTINATION);
	ck_assert_int_ge(recoveries(s.a), CUTS);
	tables_were_equal(&s);
	stage_free(&s);
}
END_TEST

/* Without the capability it fails at once, as it did, one channel being as good as all. */
START_TEST(fails_at_once_without_the_capability)
{
	struct stage s = stage_with(&(struct stage_opts){0}, false, _i ? 4 : 1);

	if (_i)
		relay_cut_last(s.relay);
	else
		relay_cut(s.relay);
	host_status(s.a, VM, "failed");
	stage_ends(&s, AT_SOURCE);
	stage_over(s.b);
	ck_assert_uint_eq(host_count(s.a, "STOP"), 0);
	stage_free(&s);
}
END_TEST

/* Nothing arrives any more: each end gives up, and the VM is free for another attempt. */
START_TEST(gives_up_in_time)
{
	struct stage s = endless(&(struct stage_opts){.tls = true}, true);
	struct json_object *q;

	set(s.a, "recover-timeout", 1);
	set(s.b, "recover-timeout", 1);
	relay_swallow(s.relay, true);
	relay_cut(s.relay);
	host_status(s.a, VM, "failed");
	host_status(s.b, VM, "failed");
	q = host_query(s.a, VM);
	h_check_text(s.h, member_text(q, "error-desc", ""), "recover-timeout");
	json_object_put(q);
	stage_ends(&s, AT_SOURCE);
	relay_swallow(s.relay, false);
	end_passes(&s);
	stage_migrate(&s);
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

/* The address is gone; the destination listens at another one, where the cookie will lead too. */
START_TEST(another_address)
{
	struct stage s = endless(&(struct stage_opts){.tls = true, .verify = true}, false);
	char other[HARNESS_PATH + 8];
	struct json_object *q;

	snprintf(other, sizeof(other), "unix:%.180s", harness_path(s.h, "other.sock"));
	pause_migration(&s);
	host_do(s.b, "migrate-recover", "{'vm': '" VM "', 'uri': '%s'}", other);
	resume(&s, other);
	host_status(s.a, VM, "active");
	relay_cut(s.relay);
	end_passes(&s);
	stage_ends(&s, AT_DESTINATION);
	q = host_query(s.a, VM);
	ck_assert_str_eq(member_text(q, "uri", ""), other);
	json_object_put(q);
	tables_were_equal(&s);
	stage_free(&s);
}
END_TEST

/* By a connection that was handed over, at both ends. */
START_TEST(by_descriptors)
{
	struct stage s = endless(&(struct stage_opts){.tls = true}, false);
	struct err err;
	int fd[2];

	pause_migration(&s);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
	ck_assert_int_eq(qmpclient_getfd(s.a->qmp, "r", fd[0], &err), 0);
	ck_assert_int_eq(qmpclient_getfd(s.b->qmp, "r", fd[1], &err), 0);
	close(fd[0]);
	close(fd[1]);
	host_do(s.b, "migrate-recover", "{'vm': '" VM "', 'uri': 'fd:r'}");
	host_do(s.a, "migrate",
		"{'vm': '" VM "', 'uri': 'fd:r', 'redial-uri': '%s', 'resume': true}", s.uri);
	host_status(s.a, VM, "active");
	end_passes(&s);
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

/* Another host answers at the address: it gets nothing, and the right one still can. */
START_TEST(wrong_host)
{
	struct stage s = endless(&(struct stage_opts){.tls = _i == 1}, false);
	struct host_opts o = {.creds = _i == 1 ? harness_creds(s.h, "hostc", NULL) : NULL};
	struct host *c = host_start(s.h, "c", &o);
	struct json_object *q;

	pause_migration(&s);
	resume(&s, c->uri);
	host_status(s.a, VM, "postcopy-paused");
	q = host_query(s.a, VM);
	h_check_text(s.h, member_text(q, "error-desc", ""), _i == 1 ? "hostc" : "no session here");
	json_object_put(q);
	guest_runs(s.source);
	resume(&s, s.uri);
	host_status(s.a, VM, "active");
	end_passes(&s);
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

/* What was kept has gone with the daemon: it says so, and the source does not wait. */
START_TEST(destination_began_anew)
{
	struct stage s = endless(&(struct stage_opts){.tls = true}, true);
	struct json_object *q;

	stage_strike(&s, DESTINATION_DAEMON);
	host_status(s.a, VM, "failed");
	q = host_query(s.a, VM);
	h_check_text(s.h, member_text(q, "error-desc", ""), "no session here");
	json_object_put(q);
	stage_ends(&s, AT_SOURCE);
	stage_free(&s);
}
END_TEST

static void refused(struct host *host, const char *command, const char *args, const char *words)
{
	struct err err;

	host_refused(host, &err, command, "%s", args);
	h_check_text(host->h, err.text, words);
}

START_TEST(commands_out_of_place)
{
	static const char vm[] = "{'vm': '" VM "'}";
	static const char again[] = "{'vm': '" VM "', 'uri': 'unix:/x', 'resume': true}";
	struct stage s = stage_new(&(struct stage_opts){0});

	refused(s.a, "migrate-pause", vm, "not migrating");
	refused(s.a, "migrate", again, "no paused migration");
	refused(s.b, "migrate-recover", "{'uri': 'unix:/x'}", "interrupted");
	set(s.a, "downtime-limit", 0);
	set(s.a, "max-passes", 1000000);
	stage_migrate(&s);
	json_object_put(host_event(s.a, "MIGRATION_PASS", VM, NULL, NULL));
	refused(s.a, "migrate", again, "no paused migration");
	refused(s.b, "migrate-pause", vm, "at its source");
	refused(s.b, "migrate-recover", "{'uri': 'unix:/x'}", "interrupted");
	pause_migration(&s);
	refused(s.a, "migrate-pause", vm, "'cut'");
	refused(s.a, "migrate", "{'uri': 'file:/tmp/x', 'resume': true}", "no address");
	refused(s.a, "migrate", "{'uri': 'fd:none', 'resume': true}", "redial-uri");
	refused(s.a, "migrate", "{'uri': 'unix:/x'}", "in progress");
	refused(s.a, "migrate-recover", "{'uri': 'unix:/x'}", "interrupted");
	refused(s.b, "migrate-recover", "{'uri': 'fd:none'}", "getfd");
	resume(&s, s.uri);
	host_status(s.a, VM, "active");
	end_passes(&s);
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

START_TEST(htabctl_pauses_and_resumes)
{
	struct stage s = endless(&(struct stage_opts){0}, false);
	char other[HARNESS_PATH + 8];

	snprintf(other, sizeof(other), "unix:%.180s", harness_path(s.h, "other.sock"));
	ck_assert_int_eq(
		harness_run(s.h,
			(const char *[]){"htabctl", "--socket", s.a->control, "pause", VM, NULL},
			NULL),
		0);
	host_status(s.b, VM, "postcopy-paused");
	ck_assert_int_eq(harness_run(s.h,
				 (const char *[]){"htabctl", "--socket", s.b->control, "recover",
					 VM, other, NULL},
				 NULL),
		0);
	set(s.a, "downtime-limit", 2000000);
	ck_assert_int_eq(harness_run(s.h,
				 (const char *[]){"htabctl", "--socket", s.a->control, "migrate",
					 VM, other, "--resume", NULL},
				 NULL),
		0);
	stage_ends(&s, AT_DESTINATION);
	stage_free(&s);
}
END_TEST

/* --- a source that says what it likes -------------------------------------------------------- */

#define ID                                                                    \
	{                                                                     \
		{                                                             \
			1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 \
		}                                                             \
	}

struct claim {
	struct harness *h;
	struct host *b;
	struct fake_vmm vmm;
	struct wire_session session;
	struct talk control, data;
	struct wire_accept accept;
};

/* A session at a real destination, up to JOINED. */
static void claim_new(struct claim *c)
{
	*c = (struct claim){.h = harness_new(), .session.session = ID};
	c->b = host_start(c->h, "b", NULL);
	fake_vmm_new(&c->vmm, c->b, VM);
	c->vmm.reg.incoming = true;
	c->vmm.reg.running = false;
	c->session.uuid = c->vmm.reg.uuid;
	fake_vmm_register(&c->vmm);
	host_do(c->b, "migrate-incoming", "{'vm': '" VM "'}");
	talk_dial_with(&c->control, c->b, &c->vmm, WIRE_ROLE_CONTROL, WIRE_FEATURE_RECOVER);
	c->control.flags = WIRE_OPEN_RECOVER;
	talk_open(&c->control, &c->session, VM);
	talk_expect(&c->control, WIRE_ACCEPT);
	ck_assert_int_eq(wire_unpack_accept(c->control.body, c->control.len, &c->accept), 0);
	talk_join(&c->control, &c->data, &c->session.session);
}

static void claim_free(struct claim *c)
{
	talk_close(&c->control);
	talk_close(&c->data);
	fake_vmm_free(&c->vmm);
	harness_free(c->h);
}

/* The session ends: the VMM is asked to note that, if that has not been answered unseen. */
static void claim_ends(struct claim *c, unsigned answered, const char *status)
{
	struct vmm_request req;

	if (c->vmm.answered[VMM_NOTE] == answered) {
		fake_vmm_request(&c->vmm, VMM_NOTE, &req);
		ck_assert_int_eq(req.note, NOTE_DEAD);
		fake_vmm_answer(&c->vmm, &req);
	}
	host_status(c->b, VM, status);
}

static void send_resume(struct claim *c, struct talk *t, const struct wire_resume *r)
{
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	talk_send(t, buf, wire_pack_resume(r, buf, sizeof(buf)));
}

static struct wire_resume good(const struct claim *c)
{
	struct wire_resume r = {.session = c->session.session, .uuid = c->session.uuid};

	memcpy(r.secret, c->accept.secret, sizeof(r.secret));
	return r;
}

static void say_resume(struct claim *c, struct talk *t, const struct wire_resume *r)
{
	talk_dial_with(t, c->b, &c->vmm, WIRE_ROLE_CONTROL, WIRE_FEATURE_RECOVER);
	send_resume(c, t, r);
}

static void expect_refusal(struct claim *c, struct talk *t, enum wire_refusal code)
{
	struct wire_refuse refuse;

	talk_expect(t, WIRE_REFUSE);
	ck_assert_int_eq(wire_unpack_refuse(t->body, t->len, &refuse), 0);
	h_check(c->h, refuse.code == code, "refused by %d: %s", refuse.code, refuse.text);
	talk_close(t);
}

static struct wire_resumed expect_resumed(struct talk *t, uint64_t seq, uint32_t pass)
{
	struct wire_resumed r;

	talk_expect(t, WIRE_RESUMED);
	ck_assert_int_eq(wire_unpack_resumed(t->body, t->len, &r), 0);
	ck_assert_uint_eq(r.channels, 1);
	ck_assert_uint_eq(r.channel[0].seq, seq);
	ck_assert_uint_eq(r.channel[0].generation, 1);
	ck_assert_uint_eq(r.channel[0].pass, pass);
	return r;
}

static void say_join(struct claim *c, struct talk *t, const uint8_t *secret)
{
	struct wire_join join = {.session = c->session.session};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	memcpy(join.secret, secret, sizeof(join.secret));
	talk_dial(t, c->b, &c->vmm, WIRE_ROLE_DATA);
	talk_send(t, buf, wire_pack_join(&join, buf, sizeof(buf)));
}

/* Nobody but its peer resumes a session: it goes on as if nothing had been said. */
START_TEST(resume_by_somebody_else)
{
	struct claim c;
	struct wire_resume r;
	struct talk t;

	claim_new(&c);
	r = good(&c);
	r.secret[31] ^= 1;
	say_resume(&c, &t, &r);
	expect_refusal(&c, &t, WIRE_REFUSE_DENIED);
	r = good(&c);
	r.session.b[0] ^= 1;
	say_resume(&c, &t, &r);
	expect_refusal(&c, &t, WIRE_REFUSE_DENIED);
	r = good(&c);
	r.uuid.b[0] ^= 1;
	say_resume(&c, &t, &r);
	expect_refusal(&c, &t, WIRE_REFUSE_DENIED);
	r = good(&c);
	talk_dial(&t, c.b, &c.vmm, WIRE_ROLE_CONTROL); /* without the feature */
	send_resume(&c, &t, &r);
	expect_refusal(&c, &t, WIRE_REFUSE_PROTOCOL);
	talk_dial_with(&t, c.b, &c.vmm, WIRE_ROLE_DATA, WIRE_FEATURE_RECOVER);
	send_resume(&c, &t, &r); /* on a connection of another role */
	talk_ends(&t);
	talk_ping_after(&c.control, clock_ns());
	claim_free(&c);
}
END_TEST

/* A flag of a feature that was not agreed upon. */
START_TEST(open_without_its_feature)
{
	struct claim c;
	struct wire_session other = {.session = {{9}}};
	struct talk t;
	unsigned noted;

	claim_new(&c);
	noted = c.vmm.answered[VMM_NOTE];
	host_do(c.b, "migrate_cancel", "{'vm': '" VM "'}");
	claim_ends(&c, noted, "cancelled");
	host_do(c.b, "migrate-incoming", "{'vm': '" VM "'}");
	other.uuid = c.session.uuid;
	talk_dial(&t, c.b, &c.vmm, WIRE_ROLE_CONTROL);
	t.flags = WIRE_OPEN_RECOVER;
	talk_open(&t, &other, VM);
	expect_refusal(&c, &t, WIRE_REFUSE_PROTOCOL);
	claim_free(&c);
}
END_TEST

/*
 * RESUME while the first connections live: they end. A second one: the first of them ends, and its
 * secret for JOIN is worth nothing. Half a frame is none, and a pass that ended has ended.
 */
START_TEST(the_newest_resume_wins)
{
	struct wire_pass_end end = {WIRE_STREAM_HTAB, 1, 1, 0};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX], old[WIRE_SECRET_SIZE];
	struct wire_resume r;
	struct wire_resumed answer;
	struct talk first, second, data;
	struct claim c;
	unsigned noted;

	claim_new(&c);
	r = good(&c);
	talk_send(&c.data, buf, wire_pack_pass_end(&end, buf, sizeof(buf)));
	end.pass = 2;
	talk_send(&c.data, buf, wire_pack_pass_end(&end, buf, sizeof(buf)) - 3);
	/* the first RESUME is given until what came is read; the data channel is cut by it */
	say_resume(&c, &first, &r);
	talk_ends(&c.control);
	talk_expect(&first, WIRE_RESUMED);
	ck_assert_int_eq(wire_unpack_resumed(first.body, first.len, &answer), 0);
	ck_assert_uint_eq(answer.channel[0].seq, 0);
	ck_assert_uint_le(answer.channel[0].pass, 1);
	memcpy(old, answer.secret, sizeof(old));
	say_join(&c, &data, c.accept.secret); /* ACCEPT's joins no more */
	expect_refusal(&c, &data, WIRE_REFUSE_DENIED);
	say_resume(&c, &second, &r);
	talk_ends(&first);
	answer = expect_resumed(&second, 0, answer.channel[0].pass);
	say_join(&c, &data, old);
	expect_refusal(&c, &data, WIRE_REFUSE_DENIED);
	say_join(&c, &data, answer.secret);
	talk_expect(&data, WIRE_JOINED);
	host_status(c.b, VM, "active");
	/* and on, by the new channel */
	end.pass = answer.channel[0].pass + 1;
	talk_send(&data, buf, wire_pack_pass_end(&end, buf, sizeof(buf)));
	talk_close(&data);
	talk_close(&second);
	host_status(c.b, VM, "postcopy-paused");
	say_resume(&c, &second, &r);
	talk_expect(&second, WIRE_RESUMED);
	noted = c.vmm.answered[VMM_NOTE];
	host_do(c.b, "migrate_cancel", "{'vm': '" VM "'}");
	talk_expect(&second, WIRE_ABORT);
	claim_ends(&c, noted, "cancelled");
	talk_close(&second);
	/* it is over, and that is said */
	say_resume(&c, &second, &r);
	expect_refusal(&c, &second, WIRE_REFUSE_FAILED);
	claim_free(&c);
}
END_TEST

/* PAUSE and SWITCHOVER from a source that may not say them. */
START_TEST(frames_out_of_place)
{
	uint8_t buf[WIRE_HDR_SIZE];
	struct talk t;
	struct claim c;
	struct wire_resume r;
	unsigned noted;

	claim_new(&c);
	r = good(&c);
	talk_send(&c.control, buf, wire_pack_empty(WIRE_SWITCHOVER, buf, sizeof(buf)));
	talk_ping_after(&c.control, clock_ns());
	/* from here on the end of the connection is the end of the session */
	noted = c.vmm.answered[VMM_NOTE];
	talk_close(&c.control);
	claim_ends(&c, noted, "failed");
	say_resume(&c, &t, &r);
	expect_refusal(&c, &t, WIRE_REFUSE_FAILED);
	claim_free(&c);
}
END_TEST

/*
 * The data channel ends in order, and nothing else is said: neither END nor the end of the control
 * connection. That ends too, and the source may come back.
 */
START_TEST(ends_its_data_channel_alone)
{
	struct json_object *q;
	struct claim c;
	struct wire_resume r;

	claim_new(&c);
	r = good(&c);
	talk_close(&c.data);
	ck_assert_uint_eq(talk_frame(&c.control), 0); /* PINGs are answered until then */
	host_status(c.b, VM, "postcopy-paused");
	q = host_query(c.b, VM);
	h_check_text(c.h, member_text(q, "error-desc", ""), "has not said that it is done");
	json_object_put(q);
	talk_close(&c.control);
	say_resume(&c, &c.control, &r);
	talk_expect(&c.control, WIRE_RESUMED);
	claim_free(&c);
}
END_TEST

/* --- a destination that says what it likes --------------------------------------------------- */

struct scene {
	struct harness *h;
	struct host *a;
	struct fake_vmm vmm;
	struct fake_dest dest;
};

/* A real source in its passes, whose connections then break; RESUME is heard. */
static void scene_resume(struct scene *s)
{
	struct wire_resume r;
	static const uint8_t secret[WIRE_SECRET_SIZE] = {1};

	s->h = harness_new();
	s->a = host_start(s->h, "a", NULL);
	fake_vmm_new(&s->vmm, s->a, VM);
	fake_dest_new(&s->dest, s->a, &s->vmm);
	s->dest.features = WIRE_FEATURE_RECOVER;
	fake_vmm_register(&s->vmm);
	host_capability(s->a, "htab-recover", true);
	set(s->a, "downtime-limit", 0);
	set(s->a, "max-passes", 1000000);
	host_do(s->a, "migrate", "{'vm': '" VM "', 'uri': '%s'}", s->dest.uri);
	fake_dest_join(&s->dest);
	talk_expect(&s->dest.data, WIRE_PASS_END); /* the VMM is answered meanwhile */
	ck_assert_uint_eq(s->dest.flags & WIRE_OPEN_RECOVER, WIRE_OPEN_RECOVER);
	host_status(s->a, VM, "active");
	talk_close(&s->dest.control);
	talk_close(&s->dest.data);
	fake_dest_call(&s->dest, &s->dest.control, WIRE_ROLE_CONTROL);
	talk_expect(&s->dest.control, WIRE_RESUME);
	ck_assert_int_eq(wire_unpack_resume(s->dest.control.body, s->dest.control.len, &r), 0);
	ck_assert(session_eq(&r.session, &s->dest.session.session));
	ck_assert(uuid_eq(&r.uuid, &s->dest.session.uuid));
	ck_assert_int_eq(memcmp(r.secret, secret, sizeof(secret)), 0);
}

static void scene_answer(struct scene *s, const struct wire_resumed *r)
{
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	talk_send(&s->dest.control, buf, wire_pack_resumed(r, buf, sizeof(buf)));
}

static void scene_free(struct scene *s)
{
	fake_dest_free(&s->dest);
	fake_vmm_free(&s->vmm);
	harness_free(s->h);
}

/* It has what was never sent: the migration fails, the guest runs. */
START_TEST(more_than_was_sent)
{
	static const struct wire_resumed_channel lies[] = {
		{1000000, 1, 0}, {UINT64_MAX, 1, 0}, {0, 2, 0}, {0, 1, UINT32_MAX}};
	struct wire_resumed r = {.channels = 1, .channel = {lies[_i]}};
	struct json_object *q;
	struct scene s;

	scene_resume(&s);
	scene_answer(&s, &r);
	host_status(s.a, VM, "failed");
	q = host_query(s.a, VM);
	h_check_text(s.h, member_text(q, "error-desc", ""), "does not fit what was sent");
	json_object_put(q);
	ck_assert_str_eq(host_vm_status(s.a, VM), "running");
	scene_free(&s);
}
END_TEST

/* It joins, and takes what is missing again; the JOIN has RESUMED's secret. */
START_TEST(joins_by_the_new_secret)
{
	struct wire_resumed r = {.secret = {7, 7}, .channels = 1, .channel = {{0, 1, 0}}};
	uint8_t buf[WIRE_HDR_SIZE];
	struct wire_join join;
	struct scene s;

	scene_resume(&s);
	scene_answer(&s, &r);
	fake_dest_call(&s.dest, &s.dest.data, WIRE_ROLE_DATA);
	talk_expect(&s.dest.data, WIRE_JOIN);
	ck_assert_int_eq(wire_unpack_join(s.dest.data.body, s.dest.data.len, &join), 0);
	ck_assert_int_eq(memcmp(join.secret, r.secret, sizeof(r.secret)), 0);
	talk_send(&s.dest.data, buf, wire_pack_empty(WIRE_JOINED, buf, sizeof(buf)));
	host_status(s.a, VM, "active");
	talk_expect(&s.dest.data, WIRE_PASS_END); /* the table is empty: no chunk */
	host_do(s.a, "migrate_cancel", "{'vm': '" VM "'}");
	host_status(s.a, VM, "cancelled");
	scene_free(&s);
}
END_TEST

/* A recovery that ends at any step, or is answered out of order, leads to another one. */
START_TEST(breaks_again)
{
	struct wire_resumed r = {.channels = 1, .channel = {{0, 1, 0}}};
	uint8_t buf[WIRE_HDR_SIZE];
	struct scene s;

	scene_resume(&s);
	talk_close(&s.dest.control);
	fake_dest_call(&s.dest, &s.dest.control, WIRE_ROLE_CONTROL);
	talk_expect(&s.dest.control, WIRE_RESUME);
	scene_answer(&s, &r);
	fake_dest_call(&s.dest, &s.dest.data, WIRE_ROLE_DATA);
	talk_expect(&s.dest.data, WIRE_JOIN);
	talk_close(&s.dest.data);
	fake_dest_call(&s.dest, &s.dest.control, WIRE_ROLE_CONTROL);
	talk_expect(&s.dest.control, WIRE_RESUME);
	talk_send(&s.dest.control, buf, wire_pack_empty(WIRE_JOINED, buf, sizeof(buf)));
	fake_dest_call(&s.dest, &s.dest.control, WIRE_ROLE_CONTROL);
	talk_expect(&s.dest.control, WIRE_RESUME);
	ck_assert_str_eq(host_vm_status(s.a, VM), "running");
	host_do(s.a, "migrate_cancel", "{'vm': '" VM "'}");
	host_status(s.a, VM, "cancelled");
	scene_free(&s);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("recover", &c);

	if (harness_wants("pause_and_resume"))
		tcase_add_loop_test(c, pause_and_resume, 0, 3);
	if (harness_wants("cuts_at_random_places"))
		tcase_add_loop_test(c, cuts_at_random_places, 0, 4);
	harness_add(c, one_channel_breaks);
	harness_add_loop(c, fails_at_once_without_the_capability, 2);
	harness_add(c, gives_up_in_time);
	harness_add(c, another_address);
	harness_add(c, by_descriptors);
	if (harness_wants("wrong_host"))
		tcase_add_loop_test(c, wrong_host, 0, 2);
	harness_add(c, destination_began_anew);
	harness_add(c, commands_out_of_place);
	harness_add(c, htabctl_pauses_and_resumes);
	harness_add(c, resume_by_somebody_else);
	harness_add(c, open_without_its_feature);
	harness_add(c, the_newest_resume_wins);
	harness_add(c, frames_out_of_place);
	harness_add_slow(c, ends_its_data_channel_alone);
	if (harness_wants("more_than_was_sent"))
		tcase_add_loop_test(c, more_than_was_sent, 0, 4);
	harness_add(c, joins_by_the_new_secret);
	harness_add(c, breaks_again);
	return harness_main(s);
}
