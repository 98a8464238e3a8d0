/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A destination that says what it may not, or not then: the guest goes on where it is. */
#include <stdlib.h>
#include <string.h>

#include "tests/integration/hostile.h"

#define VM "vm1"

struct scene {
	struct harness *h;
	struct host *host;
	struct fake_vmm vmm;
	struct fake_dest dest;
};

static void scene_new(struct scene *s)
{
	s->h = harness_new();
	s->host = host_start(s->h, "a", NULL);
	fake_vmm_new(&s->vmm, s->host, VM);
	fake_dest_new(&s->dest, s->host, &s->vmm);
	fake_vmm_register(&s->vmm);
	host_do(s->host, "migrate", "{'vm': '" VM "', 'uri': '%s'}", s->dest.uri);
}

/* The connection ends, and the migration, and the guest runs. */
static void fails(struct scene *s, bool paused)
{
	struct vmm_request req;

	talk_ends(&s->dest.control);
	if (paused && s->vmm.answered[VMM_RESUME] == 0) {
		fake_vmm_request(&s->vmm, VMM_RESUME, &req);
		fake_vmm_answer(&s->vmm, &req);
	}
	host_status(s->host, VM, "failed");
	ck_assert_str_eq(host_vm_status(s->host, VM), "running");
}

static void scene_free(struct scene *s)
{
	fake_dest_free(&s->dest);
	fake_vmm_free(&s->vmm);
	harness_free(s->h);
}

/*
 * protocol.md 5.2: "The client refuses a version outside of what it offered."
 * protocol.md 5.2: "A client refuses a bit that it did not offer."
 * protocol.md 5.2: "version | u16 | within HELLO's two"
 * protocol.md 5.2: "features | u64 | no bit that HELLO lacks"
 */
START_TEST(welcome_that_cannot_be)
{
	static const struct {
		uint16_t version;
		uint64_t features;
	} cases[] = {
		{WIRE_VERSION_MIN - 1, 0},
		{WIRE_VERSION_MAX + 1, 0},
		{0xffff, 0},
		{WIRE_VERSION_MAX, 1ull << 63},
		{WIRE_VERSION_MAX, (WIRE_FEATURES + 1) | WIRE_FEATURES},
	};
	struct scene s;

	scene_new(&s);
	s.dest.version = cases[_i].version;
	s.dest.features = cases[_i].features;
	fake_dest_call(&s.dest, &s.dest.control, WIRE_ROLE_CONTROL);
	fails(&s, false);
	scene_free(&s);
}
END_TEST

static int pack(unsigned i, const struct wire_session *here, void *buf, size_t cap)
{
	static const enum wire_type early[] = {WIRE_NEVER, WIRE_UNKNOWN, WIRE_LOST, WIRE_RUNNING};
	struct wire_session other = {.session = {{1, 2, 3}}, .uuid = here->uuid};

	switch (i) {
	/* protocol.md 10.2: "NEVER or UNKNOWN before COMMIT was sent is out of order." */
	case 0:
	case 1:
	case 2:
	case 3: return wire_pack_session(early[i], here, buf, cap);
	/* protocol.md 10.2: "a control connection refuses another session than its own" */
	case 4: return wire_pack_session(WIRE_READY, &other, buf, cap);
	/* protocol.md 6.3: "every chunk up to and with this one is **written** (or compared); none
	 * that was not sent" */
	case 5: return wire_pack_ack(&(struct wire_ack){.seq = 1000000}, buf, cap);
	case 6: return wire_pack_ack(&(struct wire_ack){.channel = 1}, buf, cap);
	/* protocol.md 11: "Anything else there is out of order." */
	case 7: return wire_pack_verified(&(struct wire_verified){.entries = 1}, buf, cap);
	case 8:
		return wire_pack_resumed(
			&(struct wire_resumed){.channels = 1, .channel = {{.generation = 1}}}, buf,
			cap);
	/* protocol.md 4: "A frame on a connection whose role does not carry it is refused." */
	case 9: return wire_pack_empty(WIRE_JOINED, buf, cap);
	default: return wire_pack_accept(&(struct wire_accept){.ring = 1}, buf, cap);
	}
}

/* Instead of READY, which alone is next. */
START_TEST(answer_out_of_order)
{
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];
	struct scene s;

	scene_new(&s);
	fake_dest_join(&s.dest);
	fake_dest_end(&s.dest);
	talk_send(&s.dest.control, buf, pack((unsigned)_i, &s.dest.session, buf, sizeof(buf)));
	fails(&s, true);
	scene_free(&s);
}
END_TEST

/* protocol.md 1: "it is another host's word: an implementation MUST NOT trust it" */
START_TEST(reason_that_is_no_text)
{
	static const struct wire_refuse m = {
		WIRE_REFUSE_BUSY, "\xff\xc0\x80 \x1b[31mred\r\n\x7f \xed\xa0\x80 done"};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];
	struct json_object *q;
	const char *said;
	struct scene s;

	scene_new(&s);
	fake_dest_call(&s.dest, &s.dest.control, WIRE_ROLE_CONTROL);
	talk_expect(&s.dest.control, WIRE_OPEN);
	talk_send(&s.dest.control, buf, wire_pack_refuse(WIRE_REFUSE, &m, buf, sizeof(buf)));
	fails(&s, false);
	q = host_query(s.host, VM);
	said = member_text(q, "error-desc", "");
	h_check_text(s.h, said, "done");
	for (const char *p = said; *p; p++)
		h_check(s.h, *p >= ' ' && *p <= '~', "%s is shown as it came", said);
	json_object_put(q);
	scene_free(&s);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("out-of-order", &c);

	harness_add_loop(c, welcome_that_cannot_be, 5);
	harness_add_loop(c, answer_out_of_order, 11);
	harness_add(c, reason_that_is_no_text);
	return harness_main(s);
}
