/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Several data channels: what arrives, who may join them, channels that never come or come twice,
 * and what is left of a migration that ends among them.
 */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "tests/integration/hostile.h"
#include "tests/integration/pair.h"

#define VM   PAIR_VM
#define FEED WIRE_FEATURE_CHANNELS /* what a peer of these tests offers */

static void set_channels(struct host *host, unsigned n)
{
	host_do(host, "migrate-set-parameters", "{'multifd-channels': %u}", n);
}

static int64_t channels_of(struct host *host)
{
	struct json_object *q = host_query(host, VM);
	int64_t n = member_int(member(q, "htab"), "channels", 0);

	json_object_put(q);
	return n;
}

/* A guest that changes its table all the time arrives as it was paused, entry for entry. */
START_TEST(a_busy_guest_moves)
{
	static const unsigned channels[] = {2, 4, 16};
	struct pair p = pair_new(&(struct pair_opts){
		.tls = _i >= 3,
		.verify = _i % 2,
		.source = {.order = 22, .vcpus = 2, .rate = 200000, .dump = true},
		.destination = {.dump = true},
	});

	set_channels(p.a, channels[_i % 3]);
	host_do(p.a, "migrate-set-parameters", "{'on-timeout': 'force', 'max-passes': 5}");
	pair_migrate(&p);
	pair_completes(&p);
	ck_assert_int_eq(channels_of(p.a), channels[_i % 3]);
	ck_assert_int_eq(channels_of(p.b), channels[_i % 3]);
	pair_tables_equal(&p);
	pair_free(&p);
}
END_TEST

/* A BookE guest has few entries: one, whatever was set. */
START_TEST(booke_takes_one)
{
	struct pair p = pair_new(&(struct pair_opts){
		.source = {.booke = true, .rate = 20000},
		.destination = {.booke = true},
	});

	set_channels(p.a, 4);
	pair_migrate(&p);
	pair_completes(&p);
	ck_assert_int_eq(channels_of(p.a), 1);
	pair_free(&p);
}
END_TEST

/* Nothing of a migration that is cancelled is left, whatever its channels do at that moment. */
START_TEST(cancel)
{
	static const char *const steps[] = {"join", "start", "active", "pause", "end"};
	struct pair p = pair_new(&(struct pair_opts){
		.tls = true,
		.a = {.hold = steps[_i]},
		.source = {.order = 22, .rate = 20000},
	});

	set_channels(p.a, 4);
	pair_migrate_to(&p, steps[_i]);
	host_do(p.a, "migrate_cancel", "{'vm': '" VM "'}");
	host_status(p.a, VM, "cancelled");
	pair_stays(&p);
}
END_TEST

/* --- a destination of a release that knows one channel ---------------------------------------- */

START_TEST(an_old_destination_gets_one)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct fake_vmm vmm;
	struct fake_dest dest;

	fake_vmm_new(&vmm, a, VM);
	fake_dest_new(&dest, a, &vmm);
	fake_vmm_register(&vmm);
	set_channels(a, 4);
	host_do(a, "migrate", "{'vm': '" VM "', 'uri': '%s'}", dest.uri);
	fake_dest_join(&dest); /* looks at OPEN, and takes one JOIN */
	fake_dest_end(&dest);
	ck_assert_int_eq(channels_of(a), 1);
	fake_dest_free(&dest);
	fake_vmm_free(&vmm);
	harness_free(h);
}
END_TEST

/* --- a source that says what it likes --------------------------------------------------------- */

struct scene {
	struct harness *h;
	struct host *b;
	struct fake_vmm vmm;
	struct wire_session session;
	struct wire_accept accept;
	struct talk control, data[3];
};

static void open_with(struct scene *s, uint32_t channels, uint64_t features)
{
	struct wire_open open;

	*s = (struct scene){.h = harness_new(), .session.session = {{7}}, .control.fd = -1};
	s->b = host_start(s->h, "b", NULL);
	fake_vmm_new(&s->vmm, s->b, VM);
	s->vmm.reg.running = false;
	s->vmm.reg.incoming = true;
	fake_vmm_register(&s->vmm);
	s->session.uuid = s->vmm.reg.uuid;
	host_do(s->b, "migrate-incoming", "{'vm': '" VM "'}");
	for (unsigned i = 0; i < 3; i++)
		s->data[i].fd = -1;
	talk_dial_with(&s->control, s->b, &s->vmm, WIRE_ROLE_CONTROL, features);
	open = talk_guest(&s->session, VM);
	open.channels = channels;
	talk_open_guest(&s->control, &open);
}

static void scene_new(struct scene *s, uint32_t channels)
{
	open_with(s, channels, FEED);
	talk_expect(&s->control, WIRE_ACCEPT);
	h_check(s->h, wire_unpack_accept(s->control.body, s->control.len, &s->accept) == 0,
		"ACCEPT is malformed");
}

static void scene_free(struct scene *s)
{
	talk_close(&s->control);
	for (unsigned i = 0; i < 3; i++)
		talk_close(&s->data[i]);
	fake_vmm_free(&s->vmm);
	harness_free(s->h);
}

static void say_join(struct scene *s, struct talk *t, uint32_t channel, uint8_t flip)
{
	struct wire_join join = {.session = s->session.session, .channel = channel};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	memcpy(join.secret, s->accept.secret, sizeof(join.secret));
	join.secret[0] ^= flip;
	talk_dial_with(t, s->b, &s->vmm, WIRE_ROLE_DATA, FEED);
	talk_send(t, buf, wire_pack_join(&join, buf, sizeof(buf)));
}

static void refused(struct talk *t, enum wire_refusal code)
{
	struct wire_refuse r;

	talk_expect(t, WIRE_REFUSE);
	h_check(t->host->h, wire_unpack_refuse(t->body, t->len, &r) == 0 && r.code == code,
		"refused by code %d: %s", (int)r.code, r.text);
	talk_ends(t);
	talk_close(t);
}

static void joins(struct scene *s, unsigned i, uint32_t channel)
{
	say_join(s, &s->data[i], channel, 0);
	talk_expect(&s->data[i], WIRE_JOINED);
}

/*
 * Whoever comes for a channel that is not his gets nothing, and takes nothing from its owner.
 *
 * protocol.md 5.6: "a connection that comes for one that is joined, or is being joined, is refused
 * and changes nothing."
 * protocol.md 5.6: "another secret, or another authenticated name than the control connection's"
 */
START_TEST(channels_are_joined_once_by_their_owner)
{
	struct talk t;
	struct scene s;

	scene_new(&s, 3);
	say_join(&s, &t, 0, 0x80);
	refused(&t, WIRE_REFUSE_DENIED); /* another secret */
	joins(&s, 0, 2);
	say_join(&s, &t, 2, 0);
	refused(&t, WIRE_REFUSE_DENIED); /* it is joined */
	say_join(&s, &t, 3, 0);
	refused(&t, WIRE_REFUSE_DENIED); /* there is none */
	joins(&s, 1, 0);
	joins(&s, 2, 1);
	host_status(s.b, VM, "active");
	say_join(&s, &t, 1, 0);
	refused(&t, WIRE_REFUSE_DENIED);
	talk_ping_after(&s.control, clock_ns()); /* and the session goes on */
	scene_free(&s);
}
END_TEST

START_TEST(several_channels_need_their_feature)
{
	struct scene s;

	open_with(&s, 2, 0);
	refused(&s.control, WIRE_REFUSE_PROTOCOL);
	scene_free(&s);
}
END_TEST

/* What the passes need of each channel: a barrier on one alone is none. */
START_TEST(a_pass_ends_on_every_channel)
{
	struct wire_pass_end end = {WIRE_STREAM_HTAB, 1, 1, 0};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];
	struct json_object *q;
	struct scene s;

	scene_new(&s, 2);
	joins(&s, 0, 0);
	joins(&s, 1, 1);
	host_status(s.b, VM, "active");
	talk_send(&s.data[0], buf, wire_pack_pass_end(&end, buf, sizeof(buf)));
	end.pass = 2; /* of pass 1 nothing is said here */
	talk_send(&s.data[1], buf, wire_pack_pass_end(&end, buf, sizeof(buf)));
	talk_expect(&s.control, WIRE_ABORT);
	host_status(s.b, VM, "failed");
	q = host_query(s.b, VM);
	h_check_text(s.h, member_text(q, "error-desc", ""), "channels do not agree");
	json_object_put(q);
	scene_free(&s);
}
END_TEST

/* VERIFY compares in the order of the table: there is one. */
START_TEST(verify_goes_by_the_first_channel)
{
	struct wire_chunk c = {WIRE_STREAM_VERIFY, WIRE_CODEC_NONE, 1, 1, HTAB_HDR_SIZE, 1};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CHUNK_HDR + HTAB_HDR_SIZE];
	struct json_object *q;
	struct scene s;
	int n;

	scene_new(&s, 2);
	joins(&s, 0, 0);
	joins(&s, 1, 1);
	host_status(s.b, VM, "active");
	n = wire_pack_chunk(&c, HTAB_HDR_SIZE, buf, sizeof(buf));
	ck_assert_int_gt(n, 0);
	htab_put_header(buf + n, HTAB_WIRE, 0, 0, 100);
	talk_send(&s.data[1], buf, n + (int)HTAB_HDR_SIZE);
	talk_expect(&s.control, WIRE_ABORT);
	host_status(s.b, VM, "failed");
	q = host_query(s.b, VM);
	h_check_text(s.h, member_text(q, "error-desc", ""), "channel 0");
	json_object_put(q);
	scene_free(&s);
}
END_TEST

/*
 * A channel that ends before all are there: nothing can come of it.
 *
 * protocol.md 5.6: "a channel that ends before that ends the session (or, in a recovery, that
 * attempt)."
 */
START_TEST(a_source_that_goes_among_its_channels)
{
	struct scene s;

	scene_new(&s, 3);
	joins(&s, 0, 1);
	talk_close(&s.control);
	host_status(s.b, VM, "failed");
	talk_ends(&s.data[0]);
	scene_free(&s);
}
END_TEST

START_TEST(a_channel_that_never_comes)
{
	struct json_object *q;
	struct scene s;

	scene_new(&s, 2);
	joins(&s, 0, 0);
	talk_expect(&s.control, WIRE_ABORT); /* 30 s later */
	host_status(s.b, VM, "failed");
	q = host_query(s.b, VM);
	h_check_text(s.h, member_text(q, "error-desc", ""), "1 of 2 data channels");
	json_object_put(q);
	scene_free(&s);
}
END_TEST

int main(void)
{
	TCase *tc;
	Suite *suite = harness_suite("channels", &tc);

	harness_add_loop(tc, a_busy_guest_moves, 6);
	harness_add(tc, booke_takes_one);
	harness_add_loop(tc, cancel, 5);
	harness_add(tc, an_old_destination_gets_one);
	harness_add(tc, channels_are_joined_once_by_their_owner);
	harness_add(tc, several_channels_need_their_feature);
	harness_add(tc, a_pass_ends_on_every_channel);
	harness_add(tc, verify_goes_by_the_first_channel);
	harness_add(tc, a_source_that_goes_among_its_channels);
	harness_add_slow(tc, a_channel_that_never_comes);
	return harness_main(suite);
}
