/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * RESUME and what is around it from a peer that says what it likes, at either end: nobody else
 * takes a session over, and lies end it at most.
 */
#include <string.h>

#include "common/clock.h"
#include "tests/integration/claim.h"

#define VM CLAIM_VM

/* --- a source that says what it likes -------------------------------------------------------- */

/*
 * Nobody but its peer resumes a session: it goes on as if nothing had been said.
 *
 * protocol.md 6.8: "The destination answers REFUSE (DENIED) when it has no such session"
 */
START_TEST(resume_by_somebody_else)
{
	struct claim c;
	struct wire_resume r;
	struct talk t;

	claim_new(&c);
	r = claim_good(&c);
	r.secret[31] ^= 1;
	claim_resume(&c, &t, &r);
	claim_refused(&c, &t, WIRE_REFUSE_DENIED);
	r = claim_good(&c);
	r.session.b[0] ^= 1;
	claim_resume(&c, &t, &r);
	claim_refused(&c, &t, WIRE_REFUSE_DENIED);
	r = claim_good(&c);
	r.uuid.b[0] ^= 1;
	claim_resume(&c, &t, &r);
	claim_refused(&c, &t, WIRE_REFUSE_DENIED);
	r = claim_good(&c);
	talk_dial(&t, c.b, &c.vmm, WIRE_ROLE_CONTROL); /* without the feature */
	claim_send_resume(&c, &t, &r);
	claim_refused(&c, &t, WIRE_REFUSE_PROTOCOL);
	talk_dial_with(&t, c.b, &c.vmm, WIRE_ROLE_DATA, WIRE_FEATURE_RECOVER);
	claim_send_resume(&c, &t, &r); /* on a connection of another role */
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
	claim_refused(&c, &t, WIRE_REFUSE_PROTOCOL);
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
	struct json_object *q;
	struct claim c;
	unsigned noted;

	claim_new(&c);
	r = claim_good(&c);
	talk_send(&c.data, buf, wire_pack_pass_end(&end, buf, sizeof(buf)));
	end.pass = 2;
	talk_send(&c.data, buf, wire_pack_pass_end(&end, buf, sizeof(buf)) - 3);
	/* the first RESUME is given until what came is read; the data channel is cut by it */
	claim_resume(&c, &first, &r);
	talk_ends(&c.control);
	talk_expect(&first, WIRE_RESUMED);
	ck_assert_int_eq(wire_unpack_resumed(first.body, first.len, &answer), 0);
	ck_assert_uint_eq(answer.channel[0].seq, 0);
	ck_assert_uint_le(answer.channel[0].pass, 1);
	memcpy(old, answer.secret, sizeof(old));
	claim_join(&c, &data, c.accept.secret); /* ACCEPT's joins no more */
	claim_refused(&c, &data, WIRE_REFUSE_DENIED);
	claim_resume(&c, &second, &r);
	talk_ends(&first);
	answer = claim_resumed(&second, 0, answer.channel[0].pass);
	claim_join(&c, &data, old);
	claim_refused(&c, &data, WIRE_REFUSE_DENIED);
	claim_join(&c, &data, answer.secret);
	talk_expect(&data, WIRE_JOINED);
	host_status(c.b, VM, "active");
	/* and on, by the new channel */
	end.pass = answer.channel[0].pass + 1;
	talk_send(&data, buf, wire_pack_pass_end(&end, buf, sizeof(buf)));
	talk_close(&data);
	talk_close(&second);
	host_status(c.b, VM, "postcopy-paused");
	claim_resume(&c, &second, &r);
	talk_expect(&second, WIRE_RESUMED);
	noted = c.vmm.answered[VMM_NOTE];
	host_do(c.b, "migrate_cancel", "{'vm': '" VM "'}");
	talk_expect(&second, WIRE_ABORT);
	claim_ends(&c, noted, "cancelled");
	talk_close(&second);
	/* it is over, and that is said */
	claim_resume(&c, &second, &r);
	claim_refused(&c, &second, WIRE_REFUSE_CANCELLED);
	q = host_query(c.b, VM);
	h_check(c.h, !member(q, "error-desc"), "cancelled, and: %s", json_object_to_json_string(q));
	json_object_put(q);
	claim_free(&c);
}
END_TEST

/*
 * PAUSE and SWITCHOVER from a source that may not say them.
 *
 * protocol.md 6.8: "from there on a connection that breaks ends the session, as without the
 * feature."
 * protocol.md 6.8: "REFUSE (FAILED or CANCELLED) with the reason when it has ended."
 */
START_TEST(frames_out_of_place)
{
	uint8_t buf[WIRE_HDR_SIZE];
	struct talk t;
	struct claim c;
	struct wire_resume r;
	unsigned noted;

	claim_new(&c);
	r = claim_good(&c);
	talk_send(&c.control, buf, wire_pack_empty(WIRE_SWITCHOVER, buf, sizeof(buf)));
	talk_ping_after(&c.control, clock_ns());
	/* from here on the end of the connection is the end of the session */
	noted = c.vmm.answered[VMM_NOTE];
	talk_close(&c.control);
	claim_ends(&c, noted, "failed");
	claim_resume(&c, &t, &r);
	claim_refused(&c, &t, WIRE_REFUSE_FAILED);
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
	r = claim_good(&c);
	talk_close(&c.data);
	ck_assert_uint_eq(talk_frame(&c.control), 0); /* PINGs are answered until then */
	host_status(c.b, VM, "postcopy-paused");
	q = host_query(c.b, VM);
	h_check_text(c.h, member_text(q, "error-desc", ""), "has not said that it is done");
	json_object_put(q);
	talk_close(&c.control);
	claim_resume(&c, &c.control, &r);
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

static void set(struct host *host, const char *name, long long value)
{
	host_do(host, "migrate-set-parameters", "{'%s': %lld}", name, value);
}

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
	Suite *s = harness_suite("resume", &c);

	harness_add(c, resume_by_somebody_else);
	harness_add(c, open_without_its_feature);
	harness_add(c, the_newest_resume_wins);
	harness_add(c, frames_out_of_place);
	harness_add_slow(c, ends_its_data_channel_alone);
	harness_add_loop(c, more_than_was_sent, 4);
	harness_add(c, joins_by_the_new_secret);
	harness_add(c, breaks_again);
	return harness_main(s);
}
