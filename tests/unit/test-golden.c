/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The formats, pinned byte by byte: tests/golden/NAME.hex holds what a value has been packed to
 * since version 1. Each value packs to its file and each file unpacks to its value. The same bytes
 * are the examples of docs/protocol.md. A change here changes the protocol: it needs a new version.
 */
#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "proto/hptecodec.h"
#include "proto/onereg.h"
#include "proto/state.h"
#include "tests/unit/golden-harness.h"
#include "tests/unit/wire-cases.h"

#define ENTRIES htab_entries(18)
#define FILES   71 /* in tests/golden */

/* -- the wire -- */

#define SECRET                                                                                  \
	{                                                                                       \
		0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac,   \
			0xad, 0xae, 0xaf, 0xb0, 0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8, \
			0xb9, 0xba, 0xbb, 0xbc, 0xbd, 0xbe, 0xbf                                \
	}

static struct wire_case {
	const char *file;
	enum wire_type type;
	union wire_message m;
} wire_cases[] = {
	{"hello", WIRE_HELLO, {.hello = {1, 1, 0, WIRE_ROLE_CONTROL, "hosta"}}},
	{"welcome", WIRE_WELCOME, {.welcome = {1, 0, "hostb"}}},
	{"refuse", WIRE_REFUSE, {.refuse = {WIRE_REFUSE_NO_VM, "VM vm1 is not known here"}}},
	{"open", WIRE_OPEN,
		{.open = {.name = "vm1",
			 .mmu = MMU_HPT,
			 .order = 18,
			 .vcpus = 8,
			 .pvr = 0x004e1202,
			 .codec = WIRE_CODEC_NONE,
			 .channels = 1,
			 .flags = WIRE_OPEN_VERIFY}}},
	{"open-booke", WIRE_OPEN,
		{.open = {.name = "vm1",
			 .mmu = MMU_BOOKE,
			 .vcpus = 2,
			 .pvr = 0x80210030,
			 .codec = WIRE_CODEC_NONE,
			 .channels = 1,
			 .tlb = {{512, 16}, {4, 16}}}}},
	{"open-processor", WIRE_OPEN,
		{.open = {.name = "vm1",
			 .mmu = MMU_HPT,
			 .order = 18,
			 .vcpus = 2,
			 .pvr = 0x004e1202,
			 .codec = WIRE_CODEC_NONE,
			 .channels = 1,
			 .flags = WIRE_OPEN_PROCESSOR,
			 .compat = 0x0f000004,
			 .vcpu_ids = 0x65b30a23829e6beeull}}},
	{"accept", WIRE_ACCEPT, {.accept = {SECRET, 32}}},
	{"ack", WIRE_ACK, {.ack = {0, 3}}},
	{"verified", WIRE_VERIFIED, {.verified = {1 << 20, 0}}},
	{"ping", WIRE_PING, {.u64 = 0x0123456789abcdef}},
	{"pong", WIRE_PONG, {.u64 = 0x0123456789abcdef}},
	{"abort", WIRE_ABORT, {.refuse = {WIRE_REFUSE_CANCELLED, "cancelled"}}},
	{"resume", WIRE_RESUME, {.resume = {.secret = SECRET}}},
	{"resumed", WIRE_RESUMED,
		{.resumed = {.secret = SECRET, .channels = 1, .channel = {{3, 1, 2}}}}},
	{"resumed-channels", WIRE_RESUMED,
		{.resumed = {.secret = SECRET, .channels = 2, .channel = {{3, 1, 1}, {5, 1, 1}}}}},
	{"pause-session", WIRE_PAUSE, {.u64 = 0}},
	{"switchover", WIRE_SWITCHOVER, {.u64 = 0}},
	{"clock", WIRE_CLOCK, {.u64 = 0x0000012345678abc}},
	{"stopped", WIRE_STOPPED, {.u64 = 0x0000012345000000}},
	{"last-lap", WIRE_LAST_LAP,
		{.lap = {1, 3, WIRE_LAP_PAUSED | WIRE_LAP_WHOLE, 3, 998 + 15383, 0, 1}}},
	{"reason", WIRE_REASON, {.refuse = {WIRE_REFUSE_FAILED, "no disk"}}},
	{"join", WIRE_JOIN, {.join = {.secret = SECRET}}},
	{"joined", WIRE_JOINED, {.u64 = 0}},
	{"pass-end", WIRE_PASS_END, {.pass_end = {WIRE_STREAM_HTAB, 1, 2, 2}}},
	{"generation", WIRE_GENERATION, {.generation = {2, 19, 2}}},
	{"end", WIRE_END,
		{.end = {.generation = 1,
			 .passes = 3,
			 .pause_age = 5000000,
			 .valid = 4,
			 .invalid = 998 + 15383 + 1,
			 .channels = 1}}},
	{"ready", WIRE_READY, {.u64 = 0}},
	{"commit", WIRE_COMMIT, {.u64 = 0}},
	{"running", WIRE_RUNNING, {.u64 = 0}},
	{"closed", WIRE_CLOSED, {.u64 = 0}},
	{"never", WIRE_NEVER, {.u64 = 0}},
	{"unknown", WIRE_UNKNOWN, {.u64 = 0}},
	{"lost", WIRE_LOST, {.u64 = 0}},
};
#define WIRE_CASES ((int)(sizeof(wire_cases) / sizeof(wire_cases[0])))

/* -- a small table, and the three passes that bring it over -- */

static const uint64_t first_pass[][2] = {
	{0x5011, 0x1190},
	{0x4000000000006005, 0x2000000000000190},
	{0x7013, 0x3194},
};
static const uint64_t second_pass[2] = {0x4000000000006005, 0x2000000000000110};

static void records(struct bytes *s, enum htab_endian endian)
{
	s->len = 0;
	add_record(s, endian, 0, first_pass, 2, 998);
	add_record(s, endian, 1000, first_pass + 2, 1, 0);
	add_record(s, endian, 1001, NULL, 0, 15383);
}

static void pass(struct bytes *s, unsigned nr)
{
	s->len = 0;
	if (nr == 1)
		records(s, HTAB_WIRE);
	else if (nr == 2)
		add_record(s, HTAB_WIRE, 1, &second_pass, 1, 0);
	else
		add_record(s, HTAB_WIRE, 1, NULL, 0, 1);
}

/* A CHUNK, whole. */
static void add_chunk(struct bytes *s, unsigned nr)
{
	struct wire_chunk m = {WIRE_STREAM_HTAB, WIRE_CODEC_NONE, 1, nr, 0, nr};
	struct bytes plain;
	int len;

	pass(&plain, nr);
	m.plain = (uint32_t)plain.len;
	len = wire_pack_chunk(&m, plain.len, s->b + s->len, BYTES_MAX - s->len);
	ck_assert_int_eq(len, WIRE_HDR_SIZE + WIRE_CHUNK_HDR);
	s->len += (size_t)len;
	memcpy(s->b + s->len, plain.b, plain.len);
	s->len += plain.len;
}

static uint64_t digest_of_passes(void)
{
	uint64_t digest = STREAM_DIGEST_INIT;
	struct bytes plain;

	for (unsigned nr = 1; nr <= 3; nr++) {
		pass(&plain, nr);
		digest = stream_digest(digest, plain.b, plain.len);
	}
	return digest;
}

/* -- the machine's state -- */

#define REG_VRSAVE  0x10200000000000b4ull
#define REG_FPR0    0x1030000000000020ull
#define REG_VR0     0x1040000000000040ull
#define REG_VPA_SLB 0x1040000000000083ull

static const struct image_elem {
	enum state_kind kind;
	uint16_t vcpu;
	uint64_t id;
	uint64_t v[2];
	uint32_t size;
	const char *says;
} image_elems[] = {
	{STATE_REG, 0, 3, {8}, 8, "vCPU 0 register GPR3"},
	{STATE_REG, 0, STATE_REG_PC, {0x10000}, 8, "vCPU 0 register PC"},
	{STATE_REG, 0, STATE_REG_MSR, {0x8000000000000001}, 8, "vCPU 0 register MSR"},
	{STATE_SREG, 0, STATE_SREG_PVR, {0x004e1202}, 4, "vCPU 0 register PVR"},
	{STATE_SREG, 0, STATE_SREG_SDR1, {0}, 8, "vCPU 0 register SDR1"},
	{STATE_SREG, 0, STATE_SREG_SLB, {0x08000000, 0x400}, 16, "vCPU 0 SLB slot 0"},
	{STATE_ONE_REG, 0, REG_VRSAVE, {0xfffffffe}, 4,
		"vCPU 0 register VRSAVE (ONE_REG 0x10200000000000b4)"},
	{STATE_ONE_REG, 0, REG_FPR0, {0x3ff0000000000000}, 8,
		"vCPU 0 register FPR0 (ONE_REG 0x1030000000000020)"},
	{STATE_ONE_REG, 0, REG_VR0, {0x0001020304050607, 0x08090a0b0c0d0e0f}, 16,
		"vCPU 0 register VR0 (ONE_REG 0x1040000000000040)"},
	{STATE_ONE_REG, 0, REG_VPA_SLB, {0x20000, 0x280}, 16,
		"vCPU 0 register VPA_SLB (ONE_REG 0x1040000000000083)"},
	{STATE_TIME, STATE_VM, STATE_TIME_GUEST_TB, {0x1122334455667788}, 8,
		"machine guest timebase"},
	{STATE_TIME, STATE_VM, STATE_TIME_HZ, {512000000}, 8, "machine timebase frequency"},
};
#define IMAGE_ELEMS (sizeof(image_elems) / sizeof(image_elems[0]))

static const uint8_t blob_value[] = {
	0, 0, 0, 1, 0, 5, 'b', 'o', 'a', 'r', 'd', 0xde, 0xad, 0xbe, 0xef};

static void image(struct bytes *s)
{
	struct pack k;

	pack_init(&k, s->b, BYTES_MAX);
	for (size_t i = 0; i < IMAGE_ELEMS; i++) {
		const struct image_elem *e = &image_elems[i];
		uint8_t value[16];

		be64_put(value, e->v[0]);
		be64_put(value + 8, e->v[1]);
		if (e->size == 8)
			state_put_u64(&k, e->kind, e->vcpu, e->id, e->v[0]);
		else if (e->size == 4)
			state_put_u32(&k, e->kind, e->vcpu, e->id, (uint32_t)e->v[0]);
		else
			state_put(&k, e->kind, e->vcpu, e->id, value, e->size);
	}
	state_put(&k, STATE_BLOB, STATE_VM, 0, blob_value, sizeof(blob_value));
	ck_assert_int_eq(pack_end(&k), 0);
	s->len = k.len;
}

/* What cannot be a constant. */
static void fill_in(void)
{
	struct bytes s;

	for (int i = 0; i < WIRE_CASES; i++) {
		union wire_message *m = &wire_cases[i].m;

		if (wire_cases[i].type > WIRE_END) {
			m->session = (struct wire_session){session, uuid};
		} else if (wire_cases[i].type == WIRE_OPEN) {
			m->open.session = session;
			m->open.uuid = uuid;
		} else if (wire_cases[i].type == WIRE_RESUME) {
			m->resume.session = session;
			m->resume.uuid = uuid;
		} else if (wire_cases[i].type == WIRE_JOIN) {
			m->join.session = session;
		} else if (wire_cases[i].type == WIRE_END) {
			image(&s);
			m->end.session = session;
			m->end.state_size = s.len;
			m->end.state_digest = stream_digest(STREAM_DIGEST_INIT, s.b, s.len);
			m->end.channel[0] = (struct wire_end_channel){3, digest_of_passes()};
		}
	}
}

/* -- the tests -- */

START_TEST(wire_message_is_its_file)
{
	const struct wire_case *c = &wire_cases[_i];
	uint8_t buf[BYTES_MAX];
	enum wire_type type;
	union wire_message back;
	struct bytes want;
	size_t body;
	int len;

	load(c->file, &want);
	len = wire_message_pack(c->type, &c->m, buf, sizeof(buf));
	ck_assert_int_ge(len, (int)WIRE_HDR_SIZE);
	same(c->file, buf, (size_t)len, want.b, want.len);

	ck_assert_int_eq(wire_unpack_header(want.b, &type, &body), 0);
	ck_assert_int_eq(type, c->type);
	ck_assert_uint_eq(body, want.len - WIRE_HDR_SIZE);
	ck_assert_int_eq(wire_message_unpack(type, want.b + WIRE_HDR_SIZE, body, &back), 0);
	len = wire_message_pack(type, &back, buf, sizeof(buf));
	ck_assert_int_ge(len, (int)WIRE_HDR_SIZE);
	same(c->file, buf, (size_t)len, want.b, want.len);
}
END_TEST

START_TEST(every_type_of_frame_has_a_file)
{
	for (unsigned type = 0; type < 256; type++) {
		bool known, have = type == WIRE_STATE || type == WIRE_CHUNK;

		wire_body_max(type, &known);
		for (int i = 0; i < WIRE_CASES; i++)
			have |= wire_cases[i].type == type;
		ck_assert_msg(have == known, "type %u", type);
	}
}
END_TEST

START_TEST(records_are_their_files)
{
	struct bytes got, want;
	struct htab_count count;
	const char *why = "";

	load("records", &want);
	records(&got, HTAB_WIRE);
	same("records", got.b, got.len, want.b, want.len);
	ck_assert_int_eq(htab_check(want.b, want.len, ENTRIES, HTAB_WIRE, &count, &why), 0);
	ck_assert_uint_eq(count.records, 3);
	ck_assert_uint_eq(count.valid, 3);
	ck_assert_uint_eq(count.invalid, 998 + 15383);
	ck_assert_uint_eq(count.end, ENTRIES);

	/* The host's form, and from each into the other. */
	if (BYTE_ORDER == LITTLE_ENDIAN)
		load("records-le", &want);
	records(&got, HTAB_HOST);
	same("records-le", got.b, got.len, want.b, want.len);
	ck_assert_int_eq(htab_check(want.b, want.len, ENTRIES, HTAB_HOST, &count, &why), 0);
	htab_convert(got.b, got.len, HTAB_HOST, HTAB_WIRE);
	load("records", &want);
	same("records", got.b, got.len, want.b, want.len);
	htab_convert(got.b, got.len, HTAB_WIRE, HTAB_HOST);
	if (BYTE_ORDER == LITTLE_ENDIAN)
		load("records-le", &want);
	same("records-le", got.b, got.len, want.b, want.len);
}
END_TEST

START_TEST(tlb_records_are_their_file)
{
	static const struct tlb_entry first = {0, 0x80070100, 0x50003000, 0x50015};
	static const struct tlb_entry second = {0, 0xc0000500, 0x40000000, 0x100015};
	struct htab_count count;
	const char *why = "";
	struct bytes want;
	uint8_t got[64];

	htab_put_header(got, HTAB_WIRE, 14, 1, 497);
	tlb_entry_put(got + 8, &first);
	htab_put_header(got + 32, HTAB_WIRE, 512 + 5, 1, 0);
	tlb_entry_put(got + 40, &second);
	load("records-tlb", &want);
	same("records-tlb", got, sizeof(got), want.b, want.len);
	ck_assert_int_eq(
		htab_check_kind(HTAB_TLB, got, sizeof(got), 528, HTAB_WIRE, &count, &why), 0);
	ck_assert_uint_eq(count.valid, 2);
}
END_TEST

/* A mapping in four slots of six PTEGs of an order-18 table, and one entry more in the fifth. */
static void linear_records(struct bytes *s)
{
	const uint64_t vsid = 0xea1b217, user = 0x12345;

	s->len = 0;
	for (uint64_t pteg = 0; pteg < 6; pteg++) {
		unsigned n = pteg == 4 ? 5 : 4;
		uint64_t hptes[5][2], page;

		for (uint64_t slot = 0; slot < 4; slot++) {
			page = ((pteg ^ vsid ^ vsid << 25) & 0x7ff) | slot << 11;
			hptes[slot][0] = 1ull << 62 | vsid << 24 | page >> 11 << 7 | 0x51;
			hptes[slot][1] = page << 12 | 0x194;
		}
		page = (pteg ^ user) & 0x7ff;
		hptes[4][0] = user << 12 | page >> 11 << 7 | 0x1;
		hptes[4][1] = 0xabcde113;
		add_record(s, HTAB_WIRE, (uint32_t)pteg * 8, hptes, (uint16_t)n, (uint16_t)(8 - n));
	}
}

START_TEST(hpte_codec_is_its_file)
{
	struct hptecodec *c = hptecodec_new(18);
	struct bytes plain, want, got;

	ck_assert_ptr_nonnull(c);
	load("hpte", &want);
	linear_records(&plain);
	got.len = hptecodec_encode(c, plain.b, plain.len, got.b);
	same("hpte", got.b, got.len, want.b, want.len);
	ck_assert_int_eq(hptecodec_decode(c, want.b, want.len, got.b, plain.len), 0);
	same("hpte, decoded", got.b, plain.len, plain.b, plain.len);
	hptecodec_free(c);
}
END_TEST

START_TEST(chunk_is_its_file)
{
	struct bytes got = {.len = 0}, want, plain;
	const uint8_t *payload;
	struct wire_chunk m;
	enum wire_type type;
	size_t body, len;

	load("chunk", &want);
	add_chunk(&got, 2);
	same("chunk", got.b, got.len, want.b, want.len);
	ck_assert_int_eq(wire_unpack_header(want.b, &type, &body), 0);
	ck_assert_int_eq(type, WIRE_CHUNK);
	ck_assert_int_eq(wire_unpack_chunk(want.b + WIRE_HDR_SIZE, body, &m, &payload, &len), 0);
	ck_assert_int_eq(m.stream, WIRE_STREAM_HTAB);
	ck_assert_int_eq(m.codec, WIRE_CODEC_NONE);
	ck_assert_uint_eq(m.generation, 1);
	ck_assert_uint_eq(m.pass, 2);
	ck_assert_uint_eq(m.seq, 2);
	pass(&plain, 2);
	ck_assert_uint_eq(m.plain, plain.len);
	same("chunk", payload, len, plain.b, plain.len);
}
END_TEST

START_TEST(channel_is_its_file)
{
	struct wire_hello hello = {1, 1, 0, WIRE_ROLE_DATA, "hosta"};
	struct wire_join join = {session, 0, SECRET};
	struct bytes got = {.len = 0}, want;
	uint64_t digest = STREAM_DIGEST_INIT, seq = 0;

	load("channel", &want);
	got.len += (size_t)wire_pack_hello(&hello, got.b, BYTES_MAX);
	got.len += (size_t)wire_pack_join(&join, got.b + got.len, BYTES_MAX - got.len);
	for (unsigned nr = 1; nr <= 3; nr++) {
		struct wire_pass_end end = {WIRE_STREAM_HTAB, 1, nr, nr};

		add_chunk(&got, nr);
		got.len += (size_t)wire_pack_pass_end(&end, got.b + got.len, BYTES_MAX - got.len);
	}
	same("channel", got.b, got.len, want.b, want.len);

	for (size_t at = 0, len; at < want.len; at += WIRE_HDR_SIZE + len) {
		const uint8_t *body = want.b + at + WIRE_HDR_SIZE, *payload;
		struct htab_count count;
		struct wire_chunk m;
		enum wire_type type;
		const char *why;
		size_t plain;

		ck_assert_int_eq(wire_unpack_header(want.b + at, &type, &len), 0);
		if (type != WIRE_CHUNK)
			continue;
		ck_assert_int_eq(wire_unpack_chunk(body, len, &m, &payload, &plain), 0);
		ck_assert_uint_eq(m.seq, ++seq);
		ck_assert_int_eq(htab_check(payload, plain, ENTRIES, HTAB_WIRE, &count, &why), 0);
		digest = stream_digest(digest, payload, plain);
	}
	/* What END says of it. */
	ck_assert_uint_eq(seq, 3);
	ck_assert_uint_eq(digest, 0x1846861e62d67f0dull);
}
END_TEST

START_TEST(state_image_is_its_file)
{
	char text[STATE_NAME_MAX];
	struct state_elem elem;
	struct state_blob blob;
	struct bytes got, want;
	struct unpack u;
	uint64_t v;

	load("state-image", &want);
	image(&got);
	same("state-image", got.b, got.len, want.b, want.len);
	unpack_init(&u, want.b, want.len);
	for (size_t i = 0; i < IMAGE_ELEMS; i++) {
		const struct image_elem *e = &image_elems[i];

		ck_assert_int_eq(state_next(&u, &elem), 1);
		ck_assert_uint_eq(elem.kind, e->kind);
		ck_assert_uint_eq(elem.vcpu, e->vcpu);
		ck_assert_uint_eq(elem.id, e->id);
		ck_assert_uint_eq(elem.size, e->size);
		state_describe(&elem, text);
		ck_assert_str_eq(text, e->says);
		if (e->size == 16) {
			ck_assert_uint_eq(be64_get(elem.value), e->v[0]);
			ck_assert_uint_eq(be64_get(elem.value + 8), e->v[1]);
		} else {
			ck_assert_int_eq(state_value(&elem, &v), 0);
			ck_assert_uint_eq(v, e->v[0]);
		}
	}
	ck_assert_int_eq(state_next(&u, &elem), 1);
	ck_assert_int_eq(state_blob(&elem, &blob), 0);
	ck_assert_str_eq(blob.name, "board");
	ck_assert_uint_eq(blob.version, 1);
	ck_assert_uint_eq(blob.size, 4);
	ck_assert_uint_eq(be32_get(blob.data), 0xdeadbeef);
	ck_assert_int_eq(state_next(&u, &elem), 0);
}
END_TEST

/* What hosts of either byte order read from KVM becomes one and the same image, and back. */
START_TEST(registers_are_the_same_from_either_host)
{
	static const uint64_t ids[] = {REG_VRSAVE, REG_FPR0, REG_VR0, REG_VPA_SLB};
	const char *file = _i ? "registers" : "registers-le";
	struct bytes host, image;
	struct state_elem elem;
	uint8_t value[ONE_REG_SIZE_MAX];
	struct unpack u;
	size_t at = 0, n = 0;

	load(file, &host);
	load("state-image", &image);
	unpack_init(&u, image.b, image.len);
	while (state_next(&u, &elem) > 0) {
		if (elem.kind != STATE_ONE_REG)
			continue;
		ck_assert_uint_lt(n, 4);
		ck_assert_uint_eq(elem.id, ids[n++]);
		one_reg_swap_for(_i, elem.id, value, host.b + at);
		same(file, value, elem.size, elem.value, elem.size);
		one_reg_swap_for(_i, elem.id, value, elem.value);
		same(file, value, elem.size, host.b + at, elem.size);
		at += elem.size;
	}
	ck_assert_uint_eq(n, 4);
	ck_assert_uint_eq(at, host.len);
}
END_TEST

START_TEST(state_frame_is_its_file)
{
	size_t first_two = 2 * (STATE_HDR_SIZE + 8), body;
	struct bytes got, want;
	uint8_t hdr[WIRE_HDR_SIZE];
	enum wire_type type;

	load("state", &want);
	image(&got);
	wire_pack_header(hdr, WIRE_STATE, first_two);
	same("state", want.b, WIRE_HDR_SIZE, hdr, sizeof(hdr));
	same("state", want.b + WIRE_HDR_SIZE, want.len - WIRE_HDR_SIZE, got.b, first_two);
	ck_assert_int_eq(wire_unpack_header(want.b, &type, &body), 0);
	ck_assert_int_eq(type, WIRE_STATE);
	ck_assert_uint_eq(body, first_two);
}
END_TEST

/* -- the document -- */

START_TEST(digest_gives_the_documents_vectors)
{
	static const struct {
		unsigned len; /* bytes 0, 1, 2, ... */
		uint64_t digest;
		const char *text;
	} vectors[] = {
		{0, 0xcbf29ce484222325ull, "`cbf29ce484222325`"},
		{8, 0x3b939120dd005e7bull, "`3b939120dd005e7b`"},
		{12, 0x85fdae289a77b36dull, "`85fdae289a77b36d`"},
		{16, 0x7f4cdc8da7318167ull, "`7f4cdc8da7318167`"},
		{100, 0xb4fbfde166d29689ull, "`b4fbfde166d29689`"},
	};
	char *doc = slurp("docs/protocol.md");
	uint8_t buf[100];

	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		ck_assert_uint_eq(
			stream_digest(STREAM_DIGEST_INIT, buf, vectors[i].len), vectors[i].digest);
		ck_assert_msg(strstr(doc, vectors[i].text) != NULL, "%s", vectors[i].text);
	}
	free(doc);
}
END_TEST

START_TEST(every_file_is_an_example_of_the_document)
{
	const char *top = getenv("abs_top_srcdir");
	char *doc = slurp("docs/protocol.md"), path[4096];
	struct dirent *e;
	unsigned n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/tests/golden", top ? top : ".");
	dir = opendir(path);
	ck_assert_ptr_nonnull(dir);
	while ((e = readdir(dir))) {
		const char *dot = strrchr(e->d_name, '.');
		char *text;

		if (!dot || strcmp(dot, ".hex") != 0)
			continue;
		snprintf(path, sizeof(path), "tests/golden/%s", e->d_name);
		text = slurp(path);
		ck_assert_msg(strstr(doc, text) != NULL, "%s is not in docs/protocol.md", path);
		free(text);
		n++;
	}
	closedir(dir);
	ck_assert_uint_eq(n, FILES);
	free(doc);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("golden");
	TCase *t = tcase_create("golden");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, fill_in, NULL);
	tcase_add_loop_test(t, wire_message_is_its_file, 0, WIRE_CASES);
	tcase_add_test(t, every_type_of_frame_has_a_file);
	tcase_add_test(t, records_are_their_files);
	tcase_add_test(t, tlb_records_are_their_file);
	tcase_add_test(t, hpte_codec_is_its_file);
	tcase_add_test(t, chunk_is_its_file);
	tcase_add_test(t, channel_is_its_file);
	tcase_add_test(t, state_image_is_its_file);
	tcase_add_loop_test(t, registers_are_the_same_from_either_host, 0, 2);
	tcase_add_test(t, state_frame_is_its_file);
	tcase_add_test(t, digest_gives_the_documents_vectors);
	tcase_add_test(t, every_file_is_an_example_of_the_document);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
