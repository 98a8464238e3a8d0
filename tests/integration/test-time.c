/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When the guest stopped, as a destination has it from a source whose clock is another one, whose
 * END was long under way, or which says nonsense. Both run on this host's clock here, so that what
 * the VMM is told can be compared with what was true.
 */
#include <poll.h>
#include <stdio.h>

#include "common/clock.h"
#include "tests/integration/hostile.h"

#define VM        "vm1"
#define DELAY_MS  300
#define RECOVER   WIRE_FEATURE_RECOVER
#define SENT_TIME WIRE_FEATURE_SENT_TIME

struct scene {
	struct harness *h;
	struct host *b;
	struct fake_vmm vmm;
	struct wire_session session;
	struct talk control, data;
	uint64_t stopped; /* by this host's clock */
};

static void send_u64(struct talk *t, enum wire_type type, uint64_t v)
{
	uint8_t buf[WIRE_HDR_SIZE + 8];

	talk_send(t, buf, wire_pack_u64(type, v, buf, sizeof(buf)));
}

/* A session up to the moment when the guest stops. */
static void scene_new(struct scene *s, uint64_t features, uint64_t ahead)
{
	struct wire_pass_end end = {WIRE_STREAM_HTAB, 1, 1, 0};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	*s = (struct scene){.h = harness_new(), .session.session = {{9}}};
	s->b = host_start(s->h, "b", NULL);
	fake_vmm_new(&s->vmm, s->b, VM);
	s->vmm.reg.incoming = true;
	s->vmm.reg.running = false;
	s->session.uuid = s->vmm.reg.uuid;
	fake_vmm_register(&s->vmm);
	host_do(s->b, "migrate-incoming", "{'vm': '" VM "'}");
	talk_dial_with(&s->control, s->b, &s->vmm, WIRE_ROLE_CONTROL, features | RECOVER);
	s->control.ahead = ahead;
	talk_open(&s->control, &s->session, VM);
	talk_expect(&s->control, WIRE_ACCEPT);
	talk_join(&s->control, &s->data, &s->session.session);
	talk_send(&s->data, buf, wire_pack_pass_end(&end, buf, sizeof(buf)));
	talk_send(&s->control, buf, wire_pack_empty(WIRE_SWITCHOVER, buf, sizeof(buf)));
	s->stopped = clock_ns();
	talk_ping_after(&s->control, s->stopped); /* answered */
}

static void scene_free(struct scene *s)
{
	talk_close(&s->control);
	talk_close(&s->data);
	fake_vmm_free(&s->vmm);
	harness_free(s->h);
}

/* STATE and END, whose age is true when this is called, but which leave delay_ms later. */
static void say_end(struct scene *s, uint64_t age, int delay_ms)
{
	static const uint8_t image[24] = {0, 1, 0, 0, 0, 0, 0, 8};
	struct wire_end end = {
		.session = s->session.session,
		.generation = 1,
		.passes = 1,
		.pause_age = age,
		.state_size = sizeof(image),
		.state_digest = stream_digest(STREAM_DIGEST_INIT, image, sizeof(image)),
		.channels = 1,
		.channel[0].digest = STREAM_DIGEST_INIT,
	};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	wire_pack_header(buf, WIRE_STATE, sizeof(image));
	memcpy(buf + WIRE_HDR_SIZE, image, sizeof(image));
	talk_send(&s->control, buf, WIRE_HDR_SIZE + sizeof(image));
	poll(NULL, 0, delay_ms); /* it waits in queues: that is what is tested */
	talk_send(&s->control, buf, wire_pack_end(&end, buf, sizeof(buf)));
}

/* The guest starts; by how much is what its VMM was told wrong? */
static uint64_t error_of(struct scene *s, uint64_t *ret_uncertainty)
{
	struct json_object *q;
	struct vmm_request req;
	uint64_t at;

	fake_vmm_request(&s->vmm, VMM_SET_STATE, &req);
	at = req.paused_at;
	fake_vmm_answer(&s->vmm, &req);
	talk_expect(&s->control, WIRE_READY);
	talk_session(&s->control, WIRE_COMMIT, &s->session);
	talk_expect(&s->control, WIRE_RUNNING);
	if (!s->vmm.answered[VMM_QUERY_TIME]) {
		fake_vmm_request(&s->vmm, VMM_QUERY_TIME, &req);
		fake_vmm_answer(&s->vmm, &req);
	}
	talk_session(&s->control, WIRE_CLOSED, &s->session);
	host_status(s->b, VM, "completed");
	q = host_query(s->b, VM);
	ck_assert_int_eq(member_int(q, "time-error", -1), 0); /* the VMM's word */
	*ret_uncertainty = (uint64_t)member_int(q, "time-uncertainty", -1);
	json_object_put(q);
	return at > s->stopped ? at - s->stopped : s->stopped - at;
}

/* Clocks of two hosts: one that booted long before, one that booted just now. */
static const uint64_t aheads[] = {0, 1000000 * NS_PER_SEC, -(1ull << 40)};

START_TEST(an_end_that_is_late)
{
	uint64_t ahead = aheads[_i / 2], error, uncertainty;
	int delay = _i % 2 ? DELAY_MS : 0;
	struct scene s;

	scene_new(&s, SENT_TIME, ahead);
	send_u64(&s.control, WIRE_STOPPED, s.stopped + ahead);
	say_end(&s, clock_ns() - s.stopped, delay);
	error = error_of(&s, &uncertainty);
	h_check(s.h, error <= uncertainty, "%llu ns off, known to %llu ns",
		(unsigned long long)error, (unsigned long long)uncertainty);
	scene_free(&s);
}
END_TEST

/* A source of an earlier release has its age alone: END's way cannot be told from it. */
START_TEST(a_source_without_a_clock)
{
	uint64_t error, uncertainty;
	struct scene s;

	scene_new(&s, 0, 0);
	say_end(&s, clock_ns() - s.stopped, DELAY_MS);
	error = error_of(&s, &uncertainty);
	ck_assert_uint_ge(error + uncertainty, DELAY_MS * NS_PER_MS);
	scene_free(&s);
}
END_TEST

static void fails(struct scene *s, const char *words)
{
	struct vmm_request req;
	struct json_object *q;

	talk_ends(&s->control);
	if (s->vmm.answered[VMM_NOTE] < 2) { /* LOADING, DEAD */
		fake_vmm_request(&s->vmm, VMM_NOTE, &req);
		ck_assert_int_eq(req.note, NOTE_DEAD);
		fake_vmm_answer(&s->vmm, &req);
	}
	host_status(s->b, VM, "failed");
	q = host_query(s->b, VM);
	h_check_text(s->h, member_text(q, "error-desc", ""), words);
	json_object_put(q);
	scene_free(s);
}

/*
 * protocol.md 8.1: "A STOPPED that END's pause age contradicts, by more than a second, ends the
 * session."
 */
START_TEST(what_cannot_be)
{
	static const struct {
		int64_t stopped, age; /* s, before now */
		const char *says;
	} rows[] = {
		{-3600, 0, "two things of when the guest"},
		{0, 3600, "two things of when the guest"},
		{-5, 5, "two things of when the guest"},
		{3600, 3600, "has stood still for 3600.0 s"},
		{INT64_MAX / 1000000000, 0, "has stood still for"},
		{INT64_MIN / 1000000000, 0, "two things of when the guest"},
	};
	struct scene s;

	scene_new(&s, SENT_TIME, 77);
	send_u64(&s.control, WIRE_STOPPED,
		clock_ns() + 77 - (uint64_t)rows[_i].stopped * NS_PER_SEC);
	say_end(&s, (uint64_t)rows[_i].age * NS_PER_SEC, 0);
	fails(&s, rows[_i].says);
}
END_TEST

/* protocol.md 5.2: "A frame or a flag of a feature that is not in use is refused." */
START_TEST(frames_out_of_place)
{
	static const uint64_t features[] = {0, 0, SENT_TIME, SENT_TIME, SENT_TIME};
	static const enum wire_type types[] = {
		WIRE_STOPPED, WIRE_CLOCK, WIRE_CLOCK, WIRE_STOPPED, WIRE_STOPPED};
	uint8_t buf[WIRE_HDR_SIZE];
	struct scene s;

	scene_new(&s, features[_i], 0);
	if (_i == 3) /* twice */
		send_u64(&s.control, WIRE_STOPPED, 1);
	if (_i == 4) /* short */
		talk_send(&s.control, buf, wire_pack_empty(types[_i], buf, sizeof(buf)));
	else
		send_u64(&s.control, types[_i], 1);
	fails(&s, "malformed or out of order");
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("time", &c);

	harness_add_loop(c, an_end_that_is_late, 6);
	harness_add(c, a_source_without_a_clock);
	harness_add_loop(c, what_cannot_be, 6);
	harness_add_loop(c, frames_out_of_place, 5);
	return harness_main(s);
}
