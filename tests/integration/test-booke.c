/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* BookE guests: query-vm-tlb, machines and peers that do not fit. test-migrate-basic moves one. */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/fd.h"
#include "proto/htab.h"
#include "tests/integration/hostile.h"
#include "tests/integration/pair.h"

/* -- a BookE guest's TLBs ---------------------------------------------------------------------- */

/* The entries of an answer, all of them of that vCPU where it is one; *ret_tlb1: in TLB1. */
static size_t entries(
	struct harness *h, struct json_object *o, int64_t vcpu, int64_t vcpus, size_t *ret_tlb1)
{
	struct json_object *list = member(o, "entries");
	size_t n, tlb1 = 0;

	h_check(h, list && json_object_is_type(list, json_type_array), "no entries: %s",
		json_object_to_json_string(o));
	n = json_object_array_length(list);
	for (size_t i = 0; i < n; i++) {
		struct json_object *e = json_object_array_get_idx(list, i);
		int64_t tlb = member_int(e, "tlb", -1), size = member_int(e, "size", 0);
		int64_t nr = member_int(e, "vcpu", -1), esel = member_int(e, "esel", -1);
		uint64_t epn = strtoull(member_text(e, "epn", "1"), NULL, 16);

		h_check(h, vcpu < 0 ? nr >= 0 && nr < vcpus : nr == vcpu, "entry %zu is of vCPU %d",
			i, (int)nr);
		h_check(h, tlb == 0 || tlb == 1, "entry %zu is in TLB %d", i, (int)tlb);
		h_check(h, esel >= 0 && esel < (tlb ? 16 : 4), "entry %zu has ESEL %d", i,
			(int)esel);
		/* e500v2: 128 sets, by the page's number */
		if (tlb == 0)
			h_check(h,
				size == 4096 &&
					member_int(e, "set", -1) == (int64_t)(epn >> 12 & 127),
				"entry %zu: %s", i, json_object_to_json_string(e));
		h_check(h, size >= 4096 && (epn & (uint64_t)(size - 1)) == 0, "entry %zu: %s", i,
			json_object_to_json_string(e));
		/* as simvm/tlb.c maps */
		h_check(h,
			!strcmp(member_text(e, "supervisor", ""), "rwx") &&
				!strcmp(member_text(e, "user", ""), "---") &&
				!strcmp(member_text(e, "wimge", ""), "-----") &&
				!member_bool(e, "iprot"),
			"entry %zu: %s", i, json_object_to_json_string(e));
		tlb1 += tlb == 1;
	}
	*ret_tlb1 = tlb1;
	return n;
}

/* Every page of vm2's TLBs: how many entries; none is shown twice, and every vCPU has some. */
static size_t all_pages(struct host *a, int64_t vcpus)
{
	struct json_object *o = host_ask(a, "query-vm-tlb", "{'vm': 'vm2'}");
	int64_t next, reading, at = -1, vcpu = -1;
	size_t n = 0, tlb1;

	for (;;) {
		struct json_object *list = member(o, "entries");

		n += entries(a->h, o, -1, vcpus, &tlb1);
		for (size_t i = 0; i < json_object_array_length(list); i++) {
			struct json_object *e = json_object_array_get_idx(list, i);
			int64_t nr = member_int(e, "vcpu", -1), was = at;

			/* in the order of the VMM's array, 512 + 16 for each vCPU */
			at = nr * 528 + member_int(e, "tlb", 0) * 512 +
				member_int(e, "set", 0) * 4 + member_int(e, "esel", 0);
			h_check(a->h, at > was && nr <= vcpu + 1, "%s",
				json_object_to_json_string(e));
			vcpu = nr;
		}
		next = member_int(o, "next", 0);
		reading = member_int(o, "reading", 0);
		json_object_put(o);
		if (next == 0)
			break;
		o = host_ask(a, "query-vm-tlb", "{'vm': 'vm2', 'start': %lld, 'reading': %lld}",
			(long long)next, (long long)reading);
	}
	h_check(a->h, vcpu == vcpus - 1, "the last one is of vCPU %lld", (long long)vcpu);
	return n;
}

START_TEST(tlbs_of_a_guest_that_runs)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct guest_opts two = {.booke = true, .rate = 1000, .vcpus = 2};
	struct guest_opts many = {.booke = true, .rate = 1, .vcpus = 64};
	struct guest *g = guest_start(a, "vm1", &two);
	size_t all, one, tlb1;
	struct json_object *o;
	struct err err;

	o = host_ask(a, "query-vm-tlb", "{'vm': 'vm1'}");
	all = entries(h, o, -1, 2, &tlb1);
	h_check(h, tlb1 > 0 && tlb1 <= 32, "%zu entries in TLB1", tlb1);
	json_object_put(o);
	o = host_ask(a, "query-vm-tlb", "{'vm': 'vm1', 'vcpu': 1}");
	one = entries(h, o, 1, 2, &tlb1);
	h_check(h, tlb1 > 0 && tlb1 <= 16, "%zu entries in TLB1", tlb1);
	json_object_put(o);
	h_check(h, one > 100 && one <= 528 && all > one, "%zu entries in all, %zu of vCPU 1", all,
		one);
	guest_runs(g); /* and found nothing wrong: it checks itself */
	host_refused(a, &err, "query-vm-tlb", "{'vm': 'vm1', 'vcpu': 2}");
	h_check_text(h, err.text, "vCPUs 0 to 1");
	guest_start(a, "vm2", &many);
	h_check(h, all_pages(a, 64) > 2 * 2048, "few entries");
	o = host_ask(a, "query-vm-tlb", "{'vm': 'vm2', 'vcpu': 63}");
	entries(h, o, 63, 64, &tlb1);
	json_object_put(o);
	guest_start(a, "vm3", &(struct guest_opts){.booke = true, .incoming = true});
	host_refused(a, &err, "query-vm-tlb", "{'vm': 'vm3'}");
	h_check_text(h, err.text, "has no guest yet");
	guest_start(a, "vm4", &(struct guest_opts){.rate = 1000});
	host_refused(a, &err, "query-vm-tlb", "{'vm': 'vm4'}");
	h_check_text(h, err.text, "hashed page table");
	guest_runs(g);
	harness_free(h);
}
END_TEST

START_TEST(tlbs_in_a_migration)
{
	struct pair p = pair_new(&(struct pair_opts){
		.source = {.booke = true, .rate = 1000},
		.destination = {.booke = true},
		.a = {.hold = "active,last-pass"},
	});
	struct json_object *o;
	struct err err;
	size_t tlb1;

	pair_migrate_to(&p, "active");
	o = host_ask(p.a, "query-vm-tlb", "{'vm': '" PAIR_VM "'}");
	h_check(p.h, entries(p.h, o, 0, 1, &tlb1) > 100, "few entries");
	json_object_put(o);
	guest_runs(p.source);
	host_do(p.a, "x-continue", NULL);
	host_held(p.a, PAIR_VM, "last-pass");
	host_refused(p.a, &err, "query-vm-tlb", "{'vm': '" PAIR_VM "'}");
	h_check_text(p.h, err.text, "its TLB is not to be looked at now");
	pair_goes_on(&p);
	o = host_ask(p.b, "query-vm-tlb", "{'vm': '" PAIR_VM "'}");
	h_check(p.h, entries(p.h, o, 0, 1, &tlb1) > 100, "few entries");
	json_object_put(o);
	guest_runs(p.destination);
	pair_free(&p);
}
END_TEST

/* -- VMMs that answer with anything ------------------------------------------------------------ */

/* Of a VMM whose two vCPUs have 4 and 1 TLB entries. */
static const struct tlb_row {
	const char *says; /* NULL: taken */
	uint32_t index;
	uint16_t valid, invalid;
	uint32_t mas1;
	size_t cut; /* bytes that are not there */
} tlb_rows[] = {
	{NULL, 0, 2, 8, MAS1_VALID | MAS1_TSIZE(2), 0},
	{"gave 9 TLB entries of 10", 0, 1, 8, MAS1_VALID, 0},
	{"malformed TLB records", 0, 2, 9, MAS1_VALID, 0},
	{"malformed TLB records", 9, 2, 0, MAS1_VALID, 0},
	{"malformed TLB records", UINT32_MAX, 2, 8, MAS1_VALID, 0},
	{"malformed TLB records", 0, 2, 8, 0, 0}, {"malformed TLB records", 0, 2, 8, MAS1_VALID, 1},
	{"malformed TLB records", 0, 2, 8, MAS1_VALID, 2 * TLB_ENTRY_SIZE},
	{"no sealed memory", 0, 0, 0, 0, HTAB_HDR_SIZE}, /* empty */
};

static int tlb_image(struct harness *h, const struct tlb_row *r)
{
	const struct tlb_entry e = {.mas1 = r->mas1, .mas2 = 0x5000, .mas7_3 = 0x7015};
	uint8_t buf[HTAB_HDR_SIZE + 2 * TLB_ENTRY_SIZE];
	size_t len = HTAB_HDR_SIZE + r->valid * TLB_ENTRY_SIZE - r->cut;
	int fd = fd_memfd("image");

	htab_put_header(buf, HTAB_WIRE, r->index, r->valid, r->invalid);
	for (unsigned i = 0; i < 2; i++)
		tlb_entry_put(buf + HTAB_HDR_SIZE + i * TLB_ENTRY_SIZE, &e);
	h_check(h, fd >= 0 && write(fd, buf, len) == (ssize_t)len && fd_memfd_seal(fd) == 0,
		"memory: %m");
	return fd;
}

START_TEST(vmms_that_answer_with_any_tlb)
{
	static const char ask[] = "{\"execute\":\"query-vm-tlb\",\"arguments\":{\"vm\":\"vm1\"}}";
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct err err = {0};
	struct qmpclient *c;
	struct fake_vmm v;

	fake_vmm_new(&v, a, "vm1");
	v.reg.mmu = MMU_BOOKE;
	v.reg.order = 0;
	v.reg.vcpus = 2;
	v.reg.tlb = (struct tlb_geometry){{4, 1}, {2, 1}};
	fake_vmm_register(&v);
	h_check(h, qmpclient_open(a->control, 10000, &c, &err) == 0, "%s", err.text);
	for (size_t i = 0; i < sizeof(tlb_rows) / sizeof(tlb_rows[0]); i++) {
		const struct tlb_row *r = &tlb_rows[i];
		int fd = tlb_image(h, r);
		struct vmm_request req;
		struct json_object *o;

		h_check(h, qmpclient_send(c, ask, sizeof(ask) - 1, &err) == 0, "%s", err.text);
		fake_vmm_request(&v, VMM_QUERY_TLB, &req);
		fake_vmm_reply_fd(&v, req.serial, fd);
		fd_close(fd);
		o = harness_answer(h, c);
		if (r->says)
			h_check_text(h, member_text(member(o, "error"), "desc", ""), r->says);
		else
			h_check(h,
				json_object_array_length(member(member(o, "return"), "entries")) ==
					2,
				"row %zu: %s", i, json_object_to_json_string(o));
		json_object_put(o);
	}
	qmpclient_free(c);
	fake_vmm_free(&v);
	harness_free(h);
}
END_TEST

/* -- OPEN ------------------------------------------------------------------------------------- */

static const struct tlb_geometry here = {{512, 16}, {4, 16}};

static const struct open_row {
	struct tlb_geometry tlb;
	enum wire_codec codec;
	uint64_t features;
	enum wire_refusal code;
	const char *says; /* NULL: taken */
} open_rows[] = {
	{{{256, 16}, {4, 16}}, WIRE_CODEC_NONE, WIRE_FEATURES, WIRE_REFUSE_MISMATCH,
		"the guest's TLB0 has 256 entries in 4 ways and its TLB1 16, those of VM vm1 here "
		"512 in 4 and 16: start it with the same"},
	{{{512, 16}, {8, 16}}, WIRE_CODEC_NONE, WIRE_FEATURES, WIRE_REFUSE_MISMATCH,
		"512 entries in 8 ways"},
	{{{512, 64}, {4, 64}}, WIRE_CODEC_NONE, WIRE_FEATURES, WIRE_REFUSE_MISMATCH,
		"its TLB1 64, those of VM vm1"},
	{{{512, 16}, {4, 16}}, WIRE_CODEC_HPTE, WIRE_FEATURES, WIRE_REFUSE_MISMATCH,
		"codec hpte is for hashed page tables: set codec to zstd"},
	{{{512, 16}, {4, 16}}, WIRE_CODEC_NONE, WIRE_FEATURES & ~WIRE_FEATURE_TLB,
		WIRE_REFUSE_PROTOCOL, "without the feature TLB"},
	{{{512, 16}, {4, 16}}, WIRE_CODEC_NONE, WIRE_FEATURES, 0, NULL},
};

/*
 * protocol.md 5.4: "BookE alone: sizes | u32[4] | entries of TLB0 to TLB3 of each vCPU; equal to
 * the destination's"
 * protocol.md 5.4: "ways | u32[4] | of TLB0 to TLB3; equal to the destination's"
 */
START_TEST(guests_that_do_not_fit)
{
	struct harness *h = harness_new();
	struct host *b = host_start(h, "b", NULL);
	struct vmm_request req;
	struct fake_vmm v;

	fake_vmm_new(&v, b, "vm1");
	v.reg.mmu = MMU_BOOKE;
	v.reg.order = 0;
	v.reg.tlb = here;
	v.reg.incoming = true;
	v.reg.running = false;
	fake_vmm_register(&v);
	host_do(b, "migrate-incoming", "{'vm': 'vm1'}");
	for (size_t i = 0; i < sizeof(open_rows) / sizeof(open_rows[0]); i++) {
		const struct open_row *r = &open_rows[i];
		struct wire_session s = {.session = {{(uint8_t)(i + 1)}}, .uuid = v.reg.uuid};
		struct wire_open guest = talk_guest(&s, "vm1");
		struct wire_refuse refuse;
		struct talk t;

		guest.mmu = MMU_BOOKE;
		guest.order = 0;
		guest.tlb = r->tlb;
		guest.codec = r->codec;
		talk_dial_with(&t, b, &v, WIRE_ROLE_CONTROL, r->features);
		talk_open_guest(&t, &guest);
		talk_expect(&t, r->says ? WIRE_REFUSE : WIRE_ACCEPT);
		if (r->says) {
			h_check(h, wire_unpack_refuse(t.body, t.len, &refuse) == 0, "a REFUSE");
			h_check_text(h, refuse.text, r->says);
			h_check(h, refuse.code == r->code, "row %zu: code %d", i, refuse.code);
			h_check(h, v.answered[VMM_NOTE] == 0, "the VMM was told of row %zu", i);
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

START_TEST(a_daemon_that_cannot_take_it)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct guest *g = guest_start(a, "vm1", &(struct guest_opts){.booke = true, .rate = 1000});
	struct json_object *q;
	struct fake_dest d;

	fake_dest_new(&d, a, NULL);
	d.features = WIRE_FEATURES & ~WIRE_FEATURE_TLB;
	host_do(a, "migrate", "{'vm': 'vm1', 'uri': '%s'}", d.uri);
	fake_dest_call(&d, &d.control, WIRE_ROLE_CONTROL);
	talk_ends(&d.control); /* without OPEN */
	host_status(a, "vm1", "failed");
	q = host_query(a, "vm1");
	h_check_text(h, member_text(q, "error-desc", ""),
		"has a BookE processor, whose TLB the daemon at");
	h_check_text(h, member_text(q, "error-desc", ""), "cannot take: update it");
	json_object_put(q);
	guest_runs(g);
	fake_dest_free(&d);
	harness_free(h);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("booke", &c);

	harness_add(c, tlbs_of_a_guest_that_runs);
	harness_add(c, tlbs_in_a_migration);
	harness_add(c, vmms_that_answer_with_any_tlb);
	harness_add(c, guests_that_do_not_fit);
	harness_add(c, a_daemon_that_cannot_take_it);
	return harness_main(s);
}
