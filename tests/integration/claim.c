/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/integration/claim.h"

#include <string.h>

#define ID                                                                    \
	{                                                                     \
		{                                                             \
			1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 \
		}                                                             \
	}

void claim_new(struct claim *c)
{
	claim_new_with(c, WIRE_FEATURE_RECOVER);
}

void claim_new_with(struct claim *c, uint64_t features)
{
	*c = (struct claim){.h = harness_new(), .session.session = ID};
	c->b = host_start(c->h, "b", NULL);
	fake_vmm_new(&c->vmm, c->b, CLAIM_VM);
	c->vmm.reg.incoming = true;
	c->vmm.reg.running = false;
	c->session.uuid = c->vmm.reg.uuid;
	fake_vmm_register(&c->vmm);
	host_do(c->b, "migrate-incoming", "{'vm': '" CLAIM_VM "'}");
	talk_dial_with(&c->control, c->b, &c->vmm, WIRE_ROLE_CONTROL, features);
	c->control.flags = features & WIRE_FEATURE_RECOVER ? WIRE_OPEN_RECOVER : 0;
	talk_open(&c->control, &c->session, CLAIM_VM);
	talk_expect(&c->control, WIRE_ACCEPT);
	ck_assert_int_eq(wire_unpack_accept(c->control.body, c->control.len, &c->accept), 0);
	talk_join(&c->control, &c->data, &c->session.session);
}

void claim_free(struct claim *c)
{
	talk_close(&c->control);
	talk_close(&c->data);
	fake_vmm_free(&c->vmm);
	harness_free(c->h);
}

void claim_ends(struct claim *c, unsigned answered, const char *status)
{
	struct vmm_request req;

	if (c->vmm.answered[VMM_NOTE] == answered) {
		fake_vmm_request(&c->vmm, VMM_NOTE, &req);
		ck_assert_int_eq(req.note, NOTE_DEAD);
		fake_vmm_answer(&c->vmm, &req);
	}
	host_status(c->b, CLAIM_VM, status);
}

void claim_send_resume(struct claim *c, struct talk *t, const struct wire_resume *r)
{
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	talk_send(t, buf, wire_pack_resume(r, buf, sizeof(buf)));
}

struct wire_resume claim_good(const struct claim *c)
{
	struct wire_resume r = {.session = c->session.session, .uuid = c->session.uuid};

	memcpy(r.secret, c->accept.secret, sizeof(r.secret));
	return r;
}

void claim_resume(struct claim *c, struct talk *t, const struct wire_resume *r)
{
	talk_dial_with(t, c->b, &c->vmm, WIRE_ROLE_CONTROL, WIRE_FEATURE_RECOVER);
	claim_send_resume(c, t, r);
}

void claim_refused(struct claim *c, struct talk *t, enum wire_refusal code)
{
	struct wire_refuse refuse;

	talk_expect(t, WIRE_REFUSE);
	ck_assert_int_eq(wire_unpack_refuse(t->body, t->len, &refuse), 0);
	h_check(c->h, refuse.code == code, "refused by %d: %s", refuse.code, refuse.text);
	talk_close(t);
}

struct wire_resumed claim_resumed(struct talk *t, uint64_t seq, uint32_t pass)
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

void claim_join(struct claim *c, struct talk *t, const uint8_t *secret)
{
	struct wire_join join = {.session = c->session.session};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	memcpy(join.secret, secret, sizeof(join.secret));
	talk_dial(t, c->b, &c->vmm, WIRE_ROLE_DATA);
	talk_send(t, buf, wire_pack_join(&join, buf, sizeof(buf)));
}
