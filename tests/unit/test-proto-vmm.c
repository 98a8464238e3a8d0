/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VMM socket's messages and htabsock's. */
#include <check.h>
#include <stdlib.h>

#include "proto/vmm.h"

static uint8_t buf[VMM_PACKET_MAX];

static const struct vmm_request requests[] = {
	{.type = VMM_REGISTERED},
	{.type = VMM_REFUSED, .text = "no"},
	{.type = VMM_LEASE, .session = {{1}}},
	{.type = VMM_OPEN_HTAB, .serial = 1, .flags = HTAB_FD_WRITE, .start_index = 77},
	{.type = VMM_PAUSE, .serial = 2, .session = {{1}}},
	{.type = VMM_RESUME, .serial = 3, .session = {{1}}},
	{.type = VMM_GET_STATE, .serial = 4, .session = {{1}}},
	{.type = VMM_SET_STATE, .serial = 5, .session = {{1}}, .paused_at = UINT64_MAX},
	{.type = VMM_OPEN_HTAB, .serial = 13, .flags = HTAB_FD_BOLTED_ONLY | VMM_HTAB_SECOND},
	{.type = VMM_RESET_HTAB, .serial = 6, .session = {{1}}, .order = HTAB_ORDER_MAX},
	{.type = VMM_HTAB_ANSWER},
	{.type = VMM_HTAB_ANSWER, .error = -EBUSY, .text = "not now"},
	{.type = VMM_CLOSE_HTAB},
	{.type = VMM_THROTTLE, .serial = 7, .percent = VMM_THROTTLE_MAX},
	{.type = VMM_NOTE, .serial = 8, .session = {{1}}, .note = NOTE_LOADING},
	{.type = VMM_NOTE,
		.serial = 9,
		.session = {{1}},
		.note = NOTE_COMMITTING,
		.cookie_len = 4,
		.cookie = {1, 2, 3, 4}},
	{.type = VMM_UNDO, .serial = 10, .session = {{1}}},
	{.type = VMM_RELEASE, .serial = UINT32_MAX, .session = {{1}}},
	{.type = VMM_QUERY_STATE, .serial = 11},
	{.type = VMM_QUERY_TIME, .serial = 12, .session = {{1}}},
	{.type = VMM_QUERY_TLB, .serial = 13},
};
#define REQUESTS ((int)(sizeof(requests) / sizeof(requests[0])))

static const struct vmm_register reg = {
	.version = VMM_VERSION,
	.name = "vm1",
	.uuid = {{1, 2, 3}},
	.mmu = MMU_HPT,
	.order = 24,
	.vcpus = 8,
	.pvr = 0x4e1202,
	.running = true,
	.n_notes = 2,
	.notes =
		{
			{.session = {{1}}, .note = NOTE_DEAD},
			{.session = {{2}},
				.note = NOTE_COMMITTING,
				.cookie_len = 3,
				.cookie = {7, 8, 9}},
		},
};

/* Give every kind of unpacking a copy that ends where it ends. True when any took it. */
static bool anyone_takes(const uint8_t *p, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	static struct vmm_register g;
	static struct vmm_request q;
	static struct vmm_event e;
	static struct vmm_reply r;
	uint32_t serial;
	uint16_t type;
	bool taken;

	ck_assert_ptr_nonnull(copy);
	memcpy(copy, p, len);
	ck_assert_int_eq(vmm_unpack_header(copy, len, &type, &serial), len < 8 ? -EBADMSG : 0);
	taken = vmm_unpack_register(copy, len, &g) == 0;
	taken |= vmm_unpack_event(copy, len, &e) == 0;
	taken |= vmm_unpack_reply(copy, len, &r) == 0;
	taken |= vmm_unpack_request(copy, len, &q) == 0;
	free(copy);
	return taken;
}

static void abuse(int len)
{
	ck_assert_int_gt(len, 0);
	ck_assert(anyone_takes(buf, (size_t)len));
	for (int i = 0; i < len; i++)
		ck_assert_msg(!anyone_takes(buf, (size_t)i), "cut at %d of %d", i, len);
	buf[len] = 0;
	ck_assert(!anyone_takes(buf, (size_t)len + 1));
	for (int bit = 0; bit < len * 8; bit++) {
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
		anyone_takes(buf, (size_t)len);
		buf[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

START_TEST(test_requests)
{
	const struct vmm_request *m = &requests[_i];
	struct vmm_request back;
	int len = vmm_pack_request(m, buf);

	ck_assert_int_gt(len, 0);
	ck_assert_int_eq(vmm_unpack_request(buf, (size_t)len, &back), 0);
	ck_assert_int_eq(back.type, m->type);
	ck_assert_uint_eq(back.serial, m->serial);
	ck_assert(session_eq(&back.session, &m->session));
	ck_assert_uint_eq(back.flags, m->flags);
	ck_assert_uint_eq(back.start_index, m->start_index);
	ck_assert_uint_eq(back.percent, m->percent);
	ck_assert_uint_eq(back.order, m->order);
	ck_assert_int_eq(back.error, m->error);
	ck_assert_int_eq(back.note, m->note);
	ck_assert_uint_eq(back.cookie_len, m->cookie_len);
	ck_assert_int_eq(memcmp(back.cookie, m->cookie, sizeof(back.cookie)), 0);
	ck_assert_str_eq(back.text, m->text);
	ck_assert_str_ne(vmm_type_name((uint16_t)m->type), "?");
	abuse(len);
}
END_TEST

START_TEST(test_register)
{
	static struct vmm_register back;
	int len = vmm_pack_register(&reg, buf);

	ck_assert_int_gt(len, 0);
	ck_assert_int_eq(vmm_unpack_register(buf, (size_t)len, &back), 0);
	ck_assert_str_eq(back.name, "vm1");
	ck_assert(uuid_eq(&back.uuid, &reg.uuid));
	ck_assert(back.running && !back.incoming);
	ck_assert_uint_eq(back.order, 24);
	ck_assert_uint_eq(back.n_notes, 2);
	ck_assert_int_eq(back.notes[1].note, NOTE_COMMITTING);
	ck_assert_uint_eq(back.notes[1].cookie_len, 3);
	ck_assert_int_eq(memcmp(back.notes[1].cookie, "\7\10\11", 3), 0);
	abuse(len);
}
END_TEST

START_TEST(test_register_another_version)
{
	struct vmm_register m = reg, back = {.order = 1};
	int len;

	m.version = VMM_VERSION + 1;
	len = vmm_pack_register(&m, buf);
	ck_assert_int_eq(vmm_unpack_register(buf, (size_t)len, &back), -EPROTONOSUPPORT);
	ck_assert_uint_eq(back.version, VMM_VERSION + 1);
	ck_assert_uint_eq(back.order, 1);
	/* Also one whose body is not what version 1 knows. */
	ck_assert_int_eq(vmm_unpack_register(buf, VMM_HDR_SIZE, &back), -EPROTONOSUPPORT);
}
END_TEST

static int register_with(const struct vmm_register *m)
{
	static struct vmm_register back;
	int len = vmm_pack_register(m, buf);

	return len < 0 ? len : vmm_unpack_register(buf, (size_t)len, &back);
}

START_TEST(test_register_booke)
{
	static struct vmm_register m, back;
	int len;

	m = reg;
	m.mmu = MMU_BOOKE;
	m.order = 0;
	m.tlb = (struct tlb_geometry){{512, 16}, {4, 16}};
	len = vmm_pack_register(&m, buf);
	ck_assert_int_gt(len, 0);
	ck_assert_int_eq(vmm_unpack_register(buf, (size_t)len, &back), 0);
	ck_assert_int_eq(back.mmu, MMU_BOOKE);
	ck_assert(tlb_geometry_eq(&back.tlb, &m.tlb));
	ck_assert_uint_eq(back.n_notes, m.n_notes);
	m.order = 18;
	ck_assert_int_eq(register_with(&m), -EBADMSG);
	m.order = 0;
	m.tlb.ways[0] = 3;
	ck_assert_int_eq(register_with(&m), -EBADMSG);
}
END_TEST

/* What the struct has no room for: a value at an offset of the packet. */
static void register_bytes(void)
{
	/* header[8] name(2 + 3) uuid[16] mmu flags zero[2] order vcpus pvr compat ids[8] notes,
	 * then session[16] note zero length[2] */
	static const struct {
		size_t at;
		unsigned width;
		uint32_t v;
		const char *what;
	} cases[] = {
		{4, 4, 1, "a serial"},
		{10, 1, 0, "NUL in the name"},
		{29, 1, 0, "MMU 0"},
		{29, 1, 3, "MMU 3"},
		{30, 1, 4, "an unknown flag"},
		{30, 1, 3, "waits and runs"},
		{31, 2, 1, "not zero"},
		{31, 2, 0x8000, "not zero"},
		{45, 4, 1, "a mode that is none"},
		{57, 4, VMM_NOTES_MAX + 1, "too many notes"},
		{57, 4, UINT32_MAX, "far too many notes"},
		{57, 4, 1, "fewer notes than follow"},
		{77, 1, 0, "note NONE"},
		{77, 1, 6, "a note that is none"},
		{78, 1, 1, "a note's zero"},
		{79, 2, VMM_COOKIE_MAX + 1, "a cookie that is too long"},
		{79, 2, 0xffff, "a cookie that is far too long"},
		{79, 2, 1, "a cookie that is not there"},
	};
	static struct vmm_register back;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int len = vmm_pack_register(&reg, buf);

		memset(buf + len, 0x55, 2 * VMM_COOKIE_MAX);
		switch (cases[i].width) {
		case 1: buf[cases[i].at] = (uint8_t)cases[i].v; break;
		case 2: be16_put(buf + cases[i].at, (uint16_t)cases[i].v); break;
		default: be32_put(buf + cases[i].at, cases[i].v); break;
		}
		/* with as many bytes as a good one has, and with more than it asks for */
		ck_assert_msg(vmm_unpack_register(buf, (size_t)len, &back) == -EBADMSG, "%s",
			cases[i].what);
		ck_assert_msg(vmm_unpack_register(buf, (size_t)len + VMM_COOKIE_MAX + 1, &back) ==
				-EBADMSG,
			"%s", cases[i].what);
	}
}

/*
 * protocol.md 16.1: "flags | u8 | 1 waits for a guest, 2 its vCPUs run; not both"
 * protocol.md 16.1: "zero | u16 | 0"
 * protocol.md 16.1: "order | u32 | 18 to 36; 0 for BookE"
 * protocol.md 16.1: "vCPUs | u32 | 1 to 2,048"
 * protocol.md 16.1: "notes | u32 | 0 to 16, followed by so many:"
 * protocol.md 16.1: "session | bytes[16] | not zero, each once"
 * protocol.md 16.1: "note | u8 | 1 to 5"
 * protocol.md 16.1: "zero | u8 | 0"
 * protocol.md 16.1: "length | u16 | 0 to 1,024"
 */
START_TEST(test_register_limits)
{
	static struct vmm_register m;

	for (int i = 0; i < 14; i++) {
		m = reg;
		switch (i) {
		case 0: m.name[0] = 0; break;
		case 1: m.name[0] = '.'; break;
		case 2: m.name[0] = '/'; break;
		case 3: m.order = HTAB_ORDER_MIN - 1; break;
		case 4: m.order = HTAB_ORDER_MAX + 1; break;
		case 5: m.vcpus = 0; break;
		case 6: m.vcpus = VMM_VCPUS_MAX + 1; break;
		case 7: m.incoming = true; break; /* and running */
		case 8: m.mmu = MMU_BOOKE; break;
		case 9: m.notes[0].note = NOTE_NONE; break;
		case 10: m.vcpus = UINT32_MAX; break;
		case 11: m.notes[0].session = m.notes[1].session; break;
		case 12: m.notes[0].session = (struct session_id){{0}}; break;
		default: m.notes[1].note = (enum session_note)6; break;
		}
		ck_assert_msg(register_with(&m) == -EBADMSG, "case %d", i);
	}
	m = reg;
	m.notes[1].cookie_len = VMM_COOKIE_MAX + 1;
	ck_assert_int_eq(register_with(&m), -EMSGSIZE);
	m = reg;
	m.n_notes = VMM_NOTES_MAX + 1;
	ck_assert_int_eq(register_with(&m), -EMSGSIZE);
	register_bytes();
	/* The largest there is. */
	m = reg;
	memset(m.name, 'x', VM_NAME_MAX);
	m.n_notes = VMM_NOTES_MAX;
	for (uint8_t i = 0; i < VMM_NOTES_MAX; i++) {
		m.notes[i].session.b[0] = (uint8_t)(i + 1);
		m.notes[i].note = NOTE_COMMITTING;
		m.notes[i].cookie_len = VMM_COOKIE_MAX;
	}
	ck_assert_int_eq(register_with(&m), 0);
}
END_TEST

START_TEST(test_events_and_replies)
{
	struct vmm_event e = {.kind = VMM_EVENT_STOPPED, .session = {{5}}, .text = "why"}, e2;
	struct vmm_reply r = {.error = -EBUSY, .value = 1ull << 40, .text = "busy"}, r2;
	int len = vmm_pack_event(&e, buf);

	ck_assert_int_eq(vmm_unpack_event(buf, (size_t)len, &e2), 0);
	ck_assert(e2.kind == e.kind && session_eq(&e2.session, &e.session));
	ck_assert_str_eq(e2.text, "why");
	abuse(len);
	/* An order where there has to be one, and nowhere else. */
	be16_put(buf + VMM_HDR_SIZE + 2, 20);
	ck_assert_int_eq(vmm_unpack_event(buf, (size_t)len, &e2), -EBADMSG);
	e = (struct vmm_event){.kind = VMM_EVENT_HTAB_CHANGED, .order = HTAB_ORDER_MIN};
	len = vmm_pack_event(&e, buf);
	ck_assert_int_eq(vmm_unpack_event(buf, (size_t)len, &e2), 0);
	ck_assert(e2.kind == e.kind && e2.order == e.order);
	abuse(len);
	be16_put(buf + VMM_HDR_SIZE + 2, HTAB_ORDER_MIN - 1);
	ck_assert_int_eq(vmm_unpack_event(buf, (size_t)len, &e2), -EBADMSG);
	be16_put(buf + VMM_HDR_SIZE + 2, 0);
	ck_assert_int_eq(vmm_unpack_event(buf, (size_t)len, &e2), -EBADMSG);
	len = vmm_pack_reply(17, &r, buf);
	ck_assert_int_eq(vmm_unpack_reply(buf, (size_t)len, &r2), 0);
	ck_assert(r2.error == -EBUSY && r2.value == r.value);
	ck_assert_str_eq(r2.text, "busy");
	abuse(len);
	memset(r.text, 'x', sizeof(r.text) - 1);
	len = vmm_pack_reply(17, &r, buf);
	ck_assert_int_eq(vmm_unpack_reply(buf, (size_t)len, &r2), 0);
	ck_assert_str_eq(r2.text, r.text);
}
END_TEST

/* Each of the three messages of a VMM under another header, which no other reader judges for it. */
START_TEST(test_headers)
{
	static const struct vmm_event event = {.kind = VMM_EVENT_STOPPED, .text = "why"};
	static const struct vmm_reply reply = {.text = "well"};
	static const struct {
		size_t at;
		unsigned width;
		uint32_t v;
		unsigned refused; /* 1: of REGISTER, 2: EVENT, 4: REPLY */
	} cases[] = {
		{0, 2, 0, 7},
		{0, 2, VMM_REGISTER, 6},
		{0, 2, VMM_EVENT, 5},
		{0, 2, VMM_REPLY, 3},
		{0, 2, VMM_PAUSE, 7},
		{2, 2, 1, 6}, /* REGISTER has one, which is another question */
		{4, 4, 1, 3},
		{4, 4, 0, 4},
		{8, 2, 0, 2}, /* EVENT's kind */
		{8, 2, 7, 6},
		{8, 2, 9, 6},
		{8, 2, 0xffff, 6},
		{8, 4, 4095, 2},
		{8, 4, 4096, 6}, /* REPLY's errno */
		{8, 4, UINT32_MAX, 6},
	};
	static struct vmm_register g;
	struct vmm_event e;
	struct vmm_reply r;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (unsigned which = 0; which < 3; which++) {
			int len = which == 0 ? vmm_pack_register(&reg, buf)
				: which == 1 ? vmm_pack_event(&event, buf)
					     : vmm_pack_reply(17, &reply, buf);
			size_t n = (size_t)len;
			int got;

			if (which == 0 && cases[i].at >= VMM_HDR_SIZE)
				continue;
			if (cases[i].width == 2)
				be16_put(buf + cases[i].at, (uint16_t)cases[i].v);
			else
				be32_put(buf + cases[i].at, cases[i].v);
			got = which == 0     ? vmm_unpack_register(buf, n, &g)
				: which == 1 ? vmm_unpack_event(buf, n, &e)
					     : vmm_unpack_reply(buf, n, &r);
			if (which == 0 && cases[i].at == 2)
				ck_assert_int_eq(got, -EPROTONOSUPPORT);
			else
				ck_assert_msg(got == (cases[i].refused >> which & 1 ? -EBADMSG : 0),
					"case %zu of message %u: %d", i, which, got);
		}
	}
}
END_TEST

/* One note more than there may be, with all that belongs to it. */
START_TEST(test_register_too_many_notes)
{
	static struct vmm_register m, back;
	size_t note = 20, len;

	m = reg;
	m.n_notes = VMM_NOTES_MAX;
	for (uint8_t i = 0; i < VMM_NOTES_MAX; i++)
		m.notes[i] = (struct vmm_note){.session = {{(uint8_t)(i + 1)}}, .note = NOTE_DEAD};
	len = (size_t)vmm_pack_register(&m, buf);
	ck_assert_int_eq(vmm_unpack_register(buf, len, &back), 0);
	memcpy(buf + len, buf + len - note, note);
	buf[len] = 99;
	be32_put(buf + len - VMM_NOTES_MAX * note - 4, VMM_NOTES_MAX + 1);
	ck_assert_int_eq(vmm_unpack_register(buf, len + note, &back), -EBADMSG);
}
END_TEST

START_TEST(test_request_limits)
{
	struct vmm_request m = {.type = VMM_THROTTLE, .serial = 1, .percent = VMM_THROTTLE_MAX + 1};
	struct vmm_request back;
	int len = vmm_pack_request(&m, buf);

	ck_assert_int_eq(vmm_unpack_request(buf, (size_t)len, &back), -EBADMSG);
	m = (struct vmm_request){.type = VMM_OPEN_HTAB, .serial = 1, .flags = 4};
	len = vmm_pack_request(&m, buf);
	ck_assert_int_eq(vmm_unpack_request(buf, (size_t)len, &back), -EBADMSG);
	m.flags = HTAB_FD_WRITE | VMM_HTAB_SECOND; /* a writer is no second reader */
	len = vmm_pack_request(&m, buf);
	ck_assert_int_eq(vmm_unpack_request(buf, (size_t)len, &back), -EBADMSG);
	m = (struct vmm_request){.type = VMM_RESET_HTAB, .serial = 1, .session = {{1}}};
	for (m.order = 0; m.order < 64; m.order++) {
		len = vmm_pack_request(&m, buf);
		ck_assert_int_eq(vmm_unpack_request(buf, (size_t)len, &back),
			m.order == 0 || htab_order_ok(m.order) ? 0 : -EBADMSG);
	}
	m = (struct vmm_request){.type = VMM_HTAB_ANSWER, .error = -1};
	len = vmm_pack_request(&m, buf);
	be32_put(buf + VMM_HDR_SIZE, 4096); /* no errno */
	ck_assert_int_eq(vmm_unpack_request(buf, (size_t)len, &back), -EBADMSG);
	m = (struct vmm_request){.type = VMM_PAUSE, .serial = 1}; /* no session */
	len = vmm_pack_request(&m, buf);
	ck_assert_int_eq(vmm_unpack_request(buf, (size_t)len, &back), -EBADMSG);
	m = (struct vmm_request){.type = VMM_NOTE,
		.serial = 1,
		.session = {{1}},
		.note = NOTE_COMMITTING,
		.cookie_len = VMM_COOKIE_MAX};
	len = vmm_pack_request(&m, buf);
	ck_assert_int_eq(vmm_unpack_request(buf, (size_t)len, &back), 0);
	m.cookie_len++;
	ck_assert_int_eq(vmm_pack_request(&m, buf), -EMSGSIZE);
	/* A request without a serial, a message with one, a version where there is none. */
	m = requests[4];
	len = vmm_pack_request(&m, buf);
	memset(buf + 4, 0, 4);
	ck_assert_int_eq(vmm_unpack_request(buf, (size_t)len, &back), -EBADMSG);
	len = vmm_pack_request(&requests[2], buf);
	buf[7] = 1;
	ck_assert_int_eq(vmm_unpack_request(buf, (size_t)len, &back), -EBADMSG);
	len = vmm_pack_request(&m, buf);
	buf[3] = 1;
	ck_assert_int_eq(vmm_unpack_request(buf, (size_t)len, &back), -EBADMSG);
	ck_assert_str_eq(vmm_type_name(0), "?");
	ck_assert_str_eq(vmm_type_name(999), "?");
}
END_TEST

START_TEST(test_pinned_bytes)
{
	static const uint8_t want[] = {0, 39, 0, 0, 0, 0, 0, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		0, 0, 0, 0, 5, 0, 0, 4, 1, 2, 3, 4};

	ck_assert_int_eq(vmm_pack_request(&requests[15], buf), (int)sizeof(want));
	ck_assert_int_eq(memcmp(buf, want, sizeof(want)), 0);
}
END_TEST

/*
 * protocol.md 17: "count | u32 | 0 to 131,008: bytes to read, or of the records that follow"
 * protocol.md 17: "result | i32 | -4095 to -1: an errno; 0 to the request's count"
 */
START_TEST(test_htabsock)
{
	uint8_t *p = calloc(1, HTABSOCK_PACKET_MAX);
	enum htabsock_op op;
	uint32_t count;
	int32_t result;

	ck_assert_ptr_nonnull(p);
	htabsock_pack_request(p, HTABSOCK_READ, 1000);
	ck_assert_int_eq(htabsock_unpack_request(p, 8, &op, &count), 0);
	ck_assert(op == HTABSOCK_READ && count == 1000);
	for (size_t n = 0; n < 8; n++)
		ck_assert_int_eq(htabsock_unpack_request(p, n, &op, &count), -EBADMSG);
	ck_assert_int_eq(htabsock_unpack_request(p, 9, &op, &count), -EBADMSG);
	htabsock_pack_request(p, HTABSOCK_WRITE, HTABSOCK_RECORDS_MAX);
	ck_assert_int_eq(htabsock_unpack_request(p, 8 + HTABSOCK_RECORDS_MAX, &op, &count), 0);
	ck_assert_int_eq(
		htabsock_unpack_request(p, 7 + HTABSOCK_RECORDS_MAX, &op, &count), -EBADMSG);
	htabsock_pack_request(p, HTABSOCK_WRITE, HTABSOCK_RECORDS_MAX + 1);
	ck_assert_int_eq(
		htabsock_unpack_request(p, 9 + HTABSOCK_RECORDS_MAX, &op, &count), -EBADMSG);
	htabsock_pack_request(p, (enum htabsock_op)3, 0);
	ck_assert_int_eq(htabsock_unpack_request(p, 8, &op, &count), -EBADMSG);

	htabsock_pack_answer(p, 24);
	ck_assert_int_eq(htabsock_unpack_answer(p, 28, HTABSOCK_READ, 24, &result), 0);
	ck_assert_int_eq(result, 24);
	ck_assert_int_eq(htabsock_unpack_answer(p, 28, HTABSOCK_READ, 23, &result), -EBADMSG);
	ck_assert_int_eq(htabsock_unpack_answer(p, 27, HTABSOCK_READ, 24, &result), -EBADMSG);
	ck_assert_int_eq(htabsock_unpack_answer(p, 4, HTABSOCK_WRITE, 24, &result), 0);
	ck_assert_int_eq(htabsock_unpack_answer(p, 5, HTABSOCK_WRITE, 24, &result), -EBADMSG);
	htabsock_pack_answer(p, -EIO);
	ck_assert_int_eq(htabsock_unpack_answer(p, 4, HTABSOCK_READ, 24, &result), 0);
	ck_assert_int_eq(result, -EIO);
	htabsock_pack_answer(p, -5000);
	ck_assert_int_eq(htabsock_unpack_answer(p, 4, HTABSOCK_READ, 24, &result), -EBADMSG);
	ck_assert_int_eq(htabsock_unpack_answer(p, 3, HTABSOCK_READ, 24, &result), -EBADMSG);
	free(p);
}
END_TEST

START_TEST(test_names)
{
	char text[SESSION_TEXT_SIZE];

	for (enum session_note n = NOTE_NONE; n <= NOTE_COMMITTING; n++)
		ck_assert_str_ne(session_note_name(n), "?");
	ck_assert_str_eq(session_note_name((enum session_note)6), "?");
	session_format(&(struct session_id){{0x01, 0xff}}, text);
	ck_assert_str_eq(text, "01ff0000000000000000000000000000");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("proto-vmm");
	TCase *t = tcase_create("vmm");
	SRunner *r;
	int failed;

	tcase_add_loop_test(t, test_requests, 0, REQUESTS);
	tcase_add_test(t, test_register);
	tcase_add_test(t, test_register_another_version);
	tcase_add_test(t, test_register_booke);
	tcase_add_test(t, test_register_limits);
	tcase_add_test(t, test_events_and_replies);
	tcase_add_test(t, test_request_limits);
	tcase_add_test(t, test_headers);
	tcase_add_test(t, test_register_too_many_notes);
	tcase_add_test(t, test_pinned_bytes);
	tcase_add_test(t, test_htabsock);
	tcase_add_test(t, test_names);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
