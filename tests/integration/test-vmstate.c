/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* query-vm-state; a guest's time and its processor, as another host tells them. */
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "proto/state.h"
#include "tests/integration/hostile.h"
#include "tests/integration/pair.h"

#define UUID       "75000000-0000-0000-0000-000000000000"
#define UUID_FIRST 0x75

/* The elements of an answer; those of one vCPU where vcpu is one. */
static size_t elements(struct harness *h, struct json_object *o, int64_t vcpu)
{
	struct json_object *list = member(o, "elements");
	size_t n;

	h_check(h, list && json_object_is_type(list, json_type_array), "no elements: %s",
		json_object_to_json_string(o));
	n = json_object_array_length(list);
	for (size_t i = 0; i < n; i++) {
		struct json_object *e = json_object_array_get_idx(list, i);

		h_check(h,
			member_text(e, "name", NULL) && member_text(e, "value", NULL) &&
				member_text(e, "kind", NULL) && member_text(e, "id", NULL),
			"element %zu: %s", i, json_object_to_json_string(e));
		if (vcpu >= 0)
			h_check(h, member_int(e, "vcpu", -1) == vcpu, "element %zu is of vCPU %lld",
				i, (long long)member_int(e, "vcpu", -1));
	}
	return n;
}

/* -- a guest that runs, or waits --------------------------------------------------------------- */

START_TEST(a_guest_that_runs)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct guest *g = guest_start(a, "vm1", &(struct guest_opts){.rate = 1000, .vcpus = 2});
	struct json_object *o;
	size_t all, one;
	struct err err;

	o = host_ask(a, "query-vm-state", "{'vm': 'vm1'}");
	all = elements(h, o, -1);
	json_object_put(o);
	o = host_ask(a, "query-vm-state", "{'vm': 'vm1', 'vcpu': 1}");
	one = elements(h, o, 1);
	json_object_put(o);
	h_check(h, one > 0 && all > 2 * one, "%zu elements in all, %zu of vCPU 1", all, one);
	guest_runs(g); /* and found nothing wrong: it checks itself */
	host_refused(a, &err, "query-vm-state", "{'vm': 'vm1', 'vcpu': 2}");
	h_check_text(h, err.text, "vCPUs 0 to 1");
	host_refused(a, &err, "query-vm-state", "{'vm': 'vm1', 'vcpu': -1}");
	h_check_text(h, err.text, "'vcpu'");
	host_refused(a, &err, "query-vm-state", "{'vm': 'vm2'}");
	h_check(h, err.class == ERR_DEVICE_NOT_FOUND, "class %s", err_class_name(err.class));
	guest_start(a, "vm3", &(struct guest_opts){.incoming = true});
	host_refused(a, &err, "query-vm-state", "{'vm': 'vm3'}");
	h_check_text(h, err.text, "has no guest yet");
	guest_runs(g);
	harness_free(h);
}
END_TEST

START_TEST(in_a_migration)
{
	struct pair p = pair_new(
		&(struct pair_opts){.source = {.rate = 1000}, .a = {.hold = "active,last-pass"}});
	struct json_object *o;
	struct err err;

	host_do(p.a, "migrate-set-capabilities",
		"{'capabilities': [{'capability': 'pause-before-switchover', 'state': true}]}");
	pair_migrate_to(&p, "active");
	o = host_ask(p.a, "query-vm-state", "{'vm': '" PAIR_VM "'}");
	elements(p.h, o, -1);
	json_object_put(o);
	guest_runs(p.source);
	host_do(p.a, "x-continue", NULL);
	host_status(p.a, PAIR_VM, "pre-switchover"); /* paused: as it is */
	o = host_ask(p.a, "query-vm-state", "{'vm': '" PAIR_VM "'}");
	elements(p.h, o, -1);
	json_object_put(o);
	host_do(p.a, "migrate-continue", "{'state': 'pre-switchover'}");
	host_held(p.a, PAIR_VM, "last-pass");
	host_refused(p.a, &err, "query-vm-state", "{'vm': '" PAIR_VM "'}");
	h_check_text(p.h, err.text, "handed over");
	pair_goes_on(&p);
	o = host_ask(p.b, "query-vm-state", "{'vm': '" PAIR_VM "'}");
	elements(p.h, o, -1);
	json_object_put(o);
	guest_runs(p.destination);
	pair_free(&p);
}
END_TEST

/* -- by pages ---------------------------------------------------------------------------------- */

/* TLBs of 64 vCPUs are more than an answer holds; test-booke goes through all of them. */
static const struct guest_opts many = {.booke = true, .rate = 1000, .vcpus = 64};

static size_t tlb_entries_of(struct harness *h, struct json_object *o)
{
	struct json_object *list = member(o, "entries");

	h_check(h, list && json_object_is_type(list, json_type_array), "no entries: %s",
		json_object_to_json_string(o));
	return json_object_array_length(list);
}

static void no_page(struct host *a, const char *command, const char *more, int64_t reading)
{
	struct err err;

	host_refused(a, &err, command, "{'vm': 'vm1', 'start': 2048, 'reading': %lld%s}",
		(long long)reading, more);
	h_check_text(a->h, err.text, "ask without 'start'");
}

/* What does not go on with a reading, and that it ends with its last page. */
START_TEST(pages_that_do_not_fit)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct guest *g = guest_start(a, "vm1", &many);
	struct json_object *o = host_ask(a, "query-vm-tlb", "{'vm': 'vm1'}");
	int64_t reading = member_int(o, "reading", 0), next;
	struct err err;

	h_check(h, tlb_entries_of(h, o) == 2048 && reading > 0, "%zu entries, reading %lld",
		tlb_entries_of(h, o), (long long)reading);
	no_page(a, "query-vm-tlb", "", reading + 1);
	no_page(a, "query-vm-tlb", "", 0);
	no_page(a, "query-vm-tlb", ", 'vcpu': 1", reading);
	no_page(a, "query-vm-state", "", reading);
	host_refused(a, &err, "query-vm-tlb", "{'vm': 'vm1', 'start': -1, 'reading': 1}");
	h_check_text(h, err.text, "'start'");
	while ((next = member_int(o, "next", 0)) > 0) {
		h_check(h, tlb_entries_of(h, o) == 2048, "a page that is not full");
		h_check(h, member_int(o, "reading", 0) == reading, "another reading");
		json_object_put(o);
		o = host_ask(a, "query-vm-tlb", "{'vm': 'vm1', 'start': %lld, 'reading': %lld}",
			(long long)next, (long long)reading);
	}
	h_check(h, tlb_entries_of(h, o) > 0, "an empty page");
	json_object_put(o);
	no_page(a, "query-vm-tlb", "", reading);
	guest_runs(g);
	harness_free(h);
}
END_TEST

/* A later reading ends the earlier one, and so does the end of the VM. */
START_TEST(pages_of_what_is_gone)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct guest *g = guest_start(a, "vm1", &many);
	struct json_object *first = host_ask(a, "query-vm-tlb", "{'vm': 'vm1'}");
	struct json_object *second = host_ask(a, "query-vm-tlb", "{'vm': 'vm1'}"), *o;
	int64_t reading = member_int(second, "reading", 0);

	no_page(a, "query-vm-tlb", "", member_int(first, "reading", 0));
	o = host_ask(a, "query-vm-tlb", "{'vm': 'vm1', 'start': 2048, 'reading': %lld}",
		(long long)reading);
	h_check(h, tlb_entries_of(h, o) == 2048, "the second page is not full");
	guest_kill(g);
	json_object_put(host_event(a, "VM_GONE", "vm1", NULL, NULL));
	guest_start(a, "vm1", &many);
	no_page(a, "query-vm-tlb", "", reading);
	json_object_put(first);
	json_object_put(second);
	json_object_put(o);
	harness_free(h);
}
END_TEST

/* -- VMMs that answer with anything ------------------------------------------------------------ */

enum answer { REFUSED, NO_FD, NOT_SEALED, EMPTY, CUT_SHORT, MANY, GOOD, DIES, ANSWERS };

static const char *const words[ANSWERS] = {
	[REFUSED] = "does not wish it",
	[NO_FD] = "no sealed memory",
	[NOT_SEALED] = "no sealed memory",
	[EMPTY] = "no sealed memory",
	[CUT_SHORT] = "malformed state image",
	[DIES] = "went away",
};

static int image(struct harness *h, enum answer answer)
{
	static uint8_t buf[256 << 10];
	int fd = fd_memfd("image");
	size_t len;
	struct pack k;

	pack_init(&k, buf, sizeof(buf));
	for (unsigned i = 0; i < (answer == MANY ? 2049 : 2048); i++)
		state_put_u64(&k, STATE_REG, 0, i % 49, i);
	len = answer == EMPTY ? 0 : answer == CUT_SHORT ? k.len - 1 : k.len;
	h_check(h, fd >= 0 && write(fd, buf, len) == (ssize_t)len, "memory: %m");
	if (answer != NOT_SEALED)
		h_check(h, fd_memfd_seal(fd) == 0, "seal: %m");
	return fd;
}

static void answer(struct fake_vmm *v, uint32_t serial, enum answer with)
{
	struct harness *h = v->host->h;
	int fd = with == NO_FD ? -1 : image(h, with);

	if (with == DIES)
		fake_vmm_kill(v);
	else if (with == REFUSED)
		fake_vmm_reply(v, serial, -EIO, 0);
	else
		fake_vmm_reply_fd(v, serial, fd);
	fd_close(fd);
}

START_TEST(vmms_that_answer_with_anything)
{
	static const char ask[] = "{\"execute\":\"query-vm-state\",\"arguments\":{\"vm\":\"vm1\"}}";
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct err err = {0};
	struct qmpclient *c;
	struct fake_vmm v;

	fake_vmm_new(&v, a, "vm1");
	fake_vmm_register(&v);
	h_check(h, qmpclient_open(a->control, 10000, &c, &err) == 0, "%s", err.text);
	for (enum answer i = 0; i < ANSWERS; i++) {
		struct vmm_request req;
		struct json_object *o;

		h_check(h, qmpclient_send(c, ask, sizeof(ask) - 1, &err) == 0, "%s", err.text);
		fake_vmm_request(&v, VMM_QUERY_STATE, &req);
		answer(&v, req.serial, i);
		o = harness_answer(h, c);
		if (i == GOOD || i == MANY) {
			struct json_object *page = member(o, "return");

			h_check(h, elements(h, page, 0) == 2048, "some are missing");
			h_check(h, member_int(page, "next", 0) == (i == MANY ? 2048 : 0), "%s",
				json_object_to_json_string(member(page, "next")));
		}
		if (words[i])
			h_check_text(h, member_text(member(o, "error"), "desc", ""), words[i]);
		json_object_put(o);
	}
	qmpclient_free(c);
	host_do(a, "query-vms", NULL);
	fake_vmm_free(&v);
	harness_free(h);
}
END_TEST

/* -- time -------------------------------------------------------------------------------------- */

static void end_with(uint64_t age, const char *says)
{
	static const struct wire_session s = {.session = {{7}}, .uuid = {{UUID_FIRST}}};
	struct pair p = pair_new(&(struct pair_opts){
		.source = {.rate = 1000, .uuid = UUID},
		.destination = {.rate = 1000, .uuid = UUID},
	});
	struct talk control, data = {.fd = -1};
	struct json_object *q;

	talk_dial(&control, p.b, NULL, WIRE_ROLE_CONTROL);
	talk_open(&control, &s, PAIR_VM);
	talk_expect(&control, WIRE_ACCEPT);
	talk_join(&control, &data, &s.session);
	host_status(p.b, PAIR_VM, "active");
	talk_end(&control, &s.session, age);
	talk_ends(&control);
	host_status(p.b, PAIR_VM, "failed");
	q = host_query(p.b, PAIR_VM);
	h_check_text(p.h, member_text(q, "error-desc", ""), says);
	json_object_put(q);
	talk_close(&control);
	talk_close(&data);
	pair_is_as_before(&p);
	pair_incoming(&p);
	pair_migrate(&p);
	pair_completes(&p);
	pair_free(&p);
}

START_TEST(ages_that_cannot_be)
{
	end_with(UINT64_MAX, "has stood still for");
	end_with((uint64_t)-1000, "has stood still for");
	end_with(3600ull * 1000000000, "has stood still for 3600.0 s");
}
END_TEST

/* -- the processor ----------------------------------------------------------------------------- */

/* A VM waits on a POWER9, whose KVM takes what is not newer; its one vCPU has id 0. */
static const struct processor here = {.pvr = 0x4e1202, .compat = 0x0f000005};

static const struct open_row {
	struct processor guest;
	uint64_t features;
	const char *says; /* NULL: taken */
} open_rows[] = {
	{{0x004d0200, 0, 0}, WIRE_FEATURES, "they are not compatible"},
	{{0x004d0200, 0x0f000006, 0}, WIRE_FEATURES, "they are not compatible"},
	{{0x4e1202, 0, 7}, WIRE_FEATURES, "other ids"},
	{{0x4e1202, 0x0f000004, 0}, 0, "not agreed upon"},
	{{0x004d0200, 0x0f000004, 0}, WIRE_FEATURES, NULL},
};

START_TEST(processors_at_open)
{
	struct harness *h = harness_new();
	struct host *b = host_start(h, "b", NULL);
	struct vmm_event event = {.kind = VMM_EVENT_COMPAT, .text = "no mode"};
	uint8_t buf[VMM_PACKET_MAX];
	struct vmm_request req;
	struct fake_vmm v;

	fake_vmm_new(&v, b, "vm1");
	v.reg.incoming = true;
	v.reg.running = false;
	v.reg.compat = here.compat;
	fake_vmm_register(&v);
	fake_vmm_send(&v, buf, (size_t)vmm_pack_event(&event, buf)); /* changes nothing */
	host_do(b, "migrate-incoming", "{'vm': 'vm1'}");
	for (size_t i = 0; i < sizeof(open_rows) / sizeof(open_rows[0]); i++) {
		const struct open_row *r = &open_rows[i];
		struct wire_session s = {.session = {{(uint8_t)(i + 1)}}, .uuid = v.reg.uuid};
		struct wire_refuse refuse;
		struct talk t;

		talk_dial_with(&t, b, &v, WIRE_ROLE_CONTROL, r->features);
		talk_open_processor(&t, &s, "vm1", &r->guest);
		talk_expect(&t, r->says ? WIRE_REFUSE : WIRE_ACCEPT);
		if (r->says) {
			h_check(h, wire_unpack_refuse(t.body, t.len, &refuse) == 0, "a REFUSE");
			h_check_text(h, refuse.text, r->says);
		}
		talk_close(&t);
	}
	/* the source of the one that was taken is gone */
	fake_vmm_request(&v, VMM_NOTE, &req);
	h_check(h, req.note == NOTE_DEAD, "the VMM is asked for note %d", (int)req.note);
	fake_vmm_answer(&v, &req);
	host_status(b, "vm1", "failed");
	fake_vmm_free(&v);
	harness_free(h);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("vmstate", &c);

	harness_add(c, a_guest_that_runs);
	harness_add(c, in_a_migration);
	harness_add(c, pages_that_do_not_fit);
	harness_add(c, pages_of_what_is_gone);
	harness_add(c, vmms_that_answer_with_anything);
	harness_add(c, ages_that_cannot_be);
	harness_add(c, processors_at_open);
	return harness_main(s);
}
