/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Other hosts with good certificates of the same CA, who know everything that a session's source
 * knows, its secrets too: they can neither resume the session nor join it, ask about it or begin it
 * anew. The host itself can, also by a certificate that was renewed meanwhile.
 */
#include <string.h>

#include "common/clock.h"
#include "tests/integration/claim.h"
#include "tests/integration/mask.h"

#define VM CLAIM_VM

/* Whose names differ from hosta's in one way each. */
static const char *stranger(struct harness *h, int i)
{
	static const struct testca_options who[] = {{.cn = "hostc", .dns = {"hosta"}},
		{.cn = "hosta", .dns = {"hostc"}}, {.cn = "hosta", .dns = {"hosta", "hostc"}},
		{.cn = "hosta", .no_names = true}, {.no_subject = true, .dns = {"hosta"}}};
	struct testca_options o = who[i];

	o.ca_dir = harness_creds(h, "ca", NULL);
	return harness_creds(h, "stranger", &o);
}
#define STRANGERS 5

static const char *host_a(struct harness *h, const char *name)
{
	struct testca_options o = {.cn = "hosta", .dns = {"hosta"}};

	o.ca_dir = harness_creds(h, "ca", NULL);
	return harness_creds(h, name, &o);
}

static void dial_as(
	struct claim *c, struct talk *t, const char *creds, enum wire_role role, uint64_t features)
{
	talk_begin(t, mask_dial(c->h, c->b->uri, creds), c->b, &c->vmm, role, features);
}

/* Up to ACCEPT. */
static void open_as(struct claim *c, const char *creds)
{
	dial_as(c, &c->control, creds, WIRE_ROLE_CONTROL, WIRE_FEATURE_RECOVER);
	c->control.flags = WIRE_OPEN_RECOVER;
	talk_open(&c->control, &c->session, VM);
	talk_expect(&c->control, WIRE_ACCEPT);
	ck_assert_int_eq(wire_unpack_accept(c->control.body, c->control.len, &c->accept), 0);
}

static void join_as(struct claim *c, struct talk *t, const char *creds)
{
	struct wire_join join = {.session = c->session.session};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	memcpy(join.secret, c->accept.secret, sizeof(join.secret));
	dial_as(c, t, creds, WIRE_ROLE_DATA, 0);
	talk_send(t, buf, wire_pack_join(&join, buf, sizeof(buf)));
}

static void begin(struct claim *c)
{
	struct host_opts o = {0};

	*c = (struct claim){.h = harness_new(), .session.session = {{1, 2, 3, 4}}};
	o.creds = harness_creds(c->h, "hostb", NULL);
	c->b = host_start(c->h, "b", &o);
	fake_vmm_new(&c->vmm, c->b, VM);
	c->vmm.reg.incoming = true;
	c->vmm.reg.running = false;
	c->session.uuid = c->vmm.reg.uuid;
	fake_vmm_register(&c->vmm);
	host_do(c->b, "migrate-incoming", "{'vm': '" VM "', 'tls-authz': 'CN=hosta'}");
	open_as(c, host_a(c->h, "hosta"));
}

START_TEST(join)
{
	struct claim c;
	struct talk t;

	begin(&c);
	join_as(&c, &t, stranger(c.h, _i));
	claim_refused(&c, &t, WIRE_REFUSE_DENIED);
	join_as(&c, &c.data, host_a(c.h, "renewed"));
	talk_expect(&c.data, WIRE_JOINED);
	claim_free(&c);
}
END_TEST

/* A session that waits for its source. */
static void interrupted(struct claim *c)
{
	begin(c);
	join_as(c, &c->data, host_a(c->h, "hosta"));
	talk_expect(&c->data, WIRE_JOINED);
	talk_close(&c->control);
	talk_close(&c->data);
	host_status(c->b, VM, "postcopy-paused");
}

START_TEST(resume)
{
	struct wire_resume r;
	struct claim c;
	struct talk t;

	interrupted(&c);
	r = claim_good(&c);
	dial_as(&c, &t, stranger(c.h, _i), WIRE_ROLE_CONTROL, WIRE_FEATURE_RECOVER);
	claim_send_resume(&c, &t, &r);
	claim_refused(&c, &t, WIRE_REFUSE_DENIED);
	dial_as(&c, &c.control, host_a(c.h, "renewed"), WIRE_ROLE_CONTROL, WIRE_FEATURE_RECOVER);
	claim_send_resume(&c, &c.control, &r);
	talk_expect(&c.control, WIRE_RESUMED);
	claim_free(&c);
}
END_TEST

START_TEST(open_anew)
{
	struct wire_session other = {.session = {{9}}};
	struct claim c;
	struct talk t;

	interrupted(&c);
	other.uuid = c.session.uuid;
	dial_as(&c, &t, stranger(c.h, _i), WIRE_ROLE_CONTROL, WIRE_FEATURE_RECOVER);
	talk_open(&t, &other, VM);
	claim_refused(&c, &t, WIRE_REFUSE_BUSY);
	c.session.session = other.session;
	open_as(&c, host_a(c.h, "renewed"));
	claim_free(&c);
}
END_TEST

START_TEST(question)
{
	struct claim c;
	struct talk t;

	interrupted(&c);
	dial_as(&c, &t, stranger(c.h, _i), WIRE_ROLE_QUESTION, 0);
	talk_session(&t, WIRE_COMMIT, &c.session);
	claim_refused(&c, &t, WIRE_REFUSE_DENIED);
	dial_as(&c, &t, host_a(c.h, "renewed"), WIRE_ROLE_QUESTION, 0);
	talk_session(&t, WIRE_COMMIT, &c.session);
	talk_expect(&t, WIRE_UNKNOWN); /* the passes run yet: to the one who may know */
	talk_close(&t);
	claim_free(&c);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("strangers", &c);

	harness_add_loop(c, join, STRANGERS);
	harness_add_loop(c, resume, STRANGERS);
	harness_add_loop(c, open_anew, STRANGERS);
	harness_add_loop(c, question, STRANGERS);
	return harness_main(s);
}
