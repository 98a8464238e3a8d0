/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The wire's fields, each at its limits and beyond, by the document's own words. */
#include <check.h>
#include <stdlib.h>

#include "tests/unit/wire-sample.h"

/* -- fields and their limits -- */

#define MAX32 0xffffffffull
#define MAX64 UINT64_MAX

/* The value v, width bytes wide, at that offset of the sample's body: is it taken? */
static const struct field {
	enum wire_type type;
	const char *name;
	size_t at;
	unsigned width;
	uint64_t v;
	bool taken;
} fields[] = {
	{WIRE_HELLO, "magic", 0, 8, WIRE_MAGIC ^ 1, false},
	{WIRE_HELLO, "magic", 0, 8, 0, false},
	/* protocol.md 5.1: "lowest version | u16 | not above the highest" */
	{WIRE_HELLO, "lowest version above highest", 8, 2, 4, false},
	{WIRE_HELLO, "lowest version", 8, 2, 3, true},
	{WIRE_HELLO, "highest version", 10, 2, 0, false},
	{WIRE_HELLO, "highest version", 10, 2, 0xffff, true},
	{WIRE_HELLO, "features", 12, 8, MAX64, true},
	/* protocol.md 5.1: "role | u16 | 1, 2, 3" */
	{WIRE_HELLO, "role", 20, 2, 0, false},
	{WIRE_HELLO, "role", 20, 2, WIRE_ROLE_QUESTION, true},
	{WIRE_HELLO, "role", 20, 2, WIRE_ROLE_QUESTION + 1, false},
	{WIRE_HELLO, "role", 20, 2, 0xffff, false},
	/* protocol.md 1: "A body that is shorter or longer than its fields is refused." */
	{WIRE_HELLO, "name's length", 22, 2, 4, false},
	{WIRE_HELLO, "name's length", 22, 2, 6, false},
	/* protocol.md 1: "No byte of it is NUL." */
	{WIRE_HELLO, "NUL in the name", 24, 1, 0, false},
	{WIRE_WELCOME, "NUL in the name", 12, 1, 0, false},
	{WIRE_WELCOME, "features", 2, 8, MAX64, true},
	/* protocol.md 5.3: "code | u16 | 1 to 9" */
	{WIRE_REFUSE, "code", 0, 2, 0, false},
	{WIRE_REFUSE, "code", 0, 2, WIRE_REFUSE_PROTOCOL, true},
	{WIRE_REFUSE, "code", 0, 2, WIRE_REFUSE_CANCELLED, true},
	{WIRE_REFUSE, "code", 0, 2, WIRE_REFUSE_CANCELLED + 1, false},
	{WIRE_ABORT, "code", 0, 2, 0xffff, false},
	{WIRE_REFUSE, "NUL in the text", 4, 1, 0, false},
	/* session[16] uuid[16] name(2 + 3) mmu order codec channels vcpus pvr flags */
	/* protocol.md 1: "is 1 to 64 of `A-Z a-z 0-9 . _ -` and does not begin with a dot." */
	/* protocol.md 5.4: "name | str | a VM's name: the source's." */
	{WIRE_OPEN, "name's length", 32, 2, 0, false},
	{WIRE_OPEN, "name", 34, 1, '.', false},
	{WIRE_OPEN, "name", 34, 1, '/', false},
	{WIRE_OPEN, "name", 34, 1, ' ', false},
	{WIRE_OPEN, "name", 34, 1, 0, false},
	{WIRE_OPEN, "name", 34, 1, '-', true},
	{WIRE_OPEN, "name", 35, 1, '.', true},
	/* protocol.md 1: "Any other is refused." */
	/* protocol.md 5.4: "MMU | u8 | 1 HPT; 2 BookE: only with feature TLB" */
	{WIRE_OPEN, "MMU", 37, 1, 0, false},
	{WIRE_OPEN, "MMU", 37, 1, MMU_BOOKE, false}, /* without a geometry */
	{WIRE_OPEN, "MMU", 37, 1, MMU_BOOKE + 1, false},
	/* protocol.md 5.4: "order | u8 | 18 to 36; 0 for BookE" */
	{WIRE_OPEN, "order", 38, 1, HTAB_ORDER_MIN - 1, false},
	{WIRE_OPEN, "order", 38, 1, HTAB_ORDER_MIN, true},
	{WIRE_OPEN, "order", 38, 1, HTAB_ORDER_MAX, true},
	{WIRE_OPEN, "order", 38, 1, HTAB_ORDER_MAX + 1, false},
	{WIRE_OPEN, "order", 38, 1, 0xff, false},
	{WIRE_OPEN, "order of BookE", 38, 1, 0, false},
	/* protocol.md 5.4: "codec | u8 | 0 NONE, 1 ZSTD, 2 HPTE (6.6)" */
	{WIRE_OPEN, "codec", 39, 1, WIRE_CODEC_HPTE, true},
	{WIRE_OPEN, "codec", 39, 1, WIRE_CODEC_HPTE + 1, false},
	/* protocol.md 5.4: "channels | u8 | 1 to 16; more than 1 only with feature CHANNELS" */
	{WIRE_OPEN, "channels", 40, 1, 0, false},
	{WIRE_OPEN, "channels", 40, 1, WIRE_CHANNELS_MAX, true},
	{WIRE_OPEN, "channels", 40, 1, WIRE_CHANNELS_MAX + 1, false},
	{WIRE_OPEN, "vCPUs", 41, 4, MAX32, true},
	{WIRE_OPEN, "PVR", 45, 4, MAX32, true},
	/* protocol.md 1: "unassigned flag bits are sent as 0, and anything else there is **refused**." */
	/* protocol.md 5.4: "0x8 PROCESSOR, with that feature; others refused" */
	{WIRE_OPEN, "flags", 49, 4, 0, true},
	{WIRE_OPEN, "flags", 49, 4, WIRE_OPEN_VERIFY | WIRE_OPEN_RECOVER, true},
	{WIRE_OPEN, "flags", 49, 4, 4, false},
	{WIRE_OPEN, "flags", 49, 4, 0x80000001, false},
	{WIRE_OPEN, "flags, without what belongs to it", 49, 4, WIRE_OPEN_PROCESSOR, false},
	/* protocol.md 5.5: "ring | u32 | 1 to 256: chunks that may be in flight on each channel" */
	{WIRE_ACCEPT, "ring", 32, 4, 0, false},
	{WIRE_ACCEPT, "ring", 32, 4, 1, true},
	{WIRE_ACCEPT, "ring", 32, 4, WIRE_RING_MAX, true},
	{WIRE_ACCEPT, "ring", 32, 4, WIRE_RING_MAX + 1, false},
	{WIRE_ACCEPT, "ring", 32, 4, MAX32, false},
	/* protocol.md 6.3: "channel | u32 | 0 to 15; one of the session's" */
	{WIRE_ACK, "channel", 0, 4, WIRE_CHANNELS_MAX - 1, true},
	{WIRE_ACK, "channel", 0, 4, WIRE_CHANNELS_MAX, false},
	{WIRE_ACK, "channel", 0, 4, MAX32, false},
	{WIRE_ACK, "seq", 4, 8, MAX64, true},
	{WIRE_ACK, "seq", 4, 8, 0, true},
	/* protocol.md 5.6: "channel | u32 | 0 to channels - 1" */
	{WIRE_JOIN, "channel", 16, 4, WIRE_CHANNELS_MAX - 1, true},
	{WIRE_JOIN, "channel", 16, 4, WIRE_CHANNELS_MAX, false},
	/* secret[32] channels, for each seq[8] generation pass */
	/* protocol.md 6.8: "channels | u32 | 1 to 16; OPEN's" */
	{WIRE_RESUMED, "channels", 32, 4, 0, false},
	{WIRE_RESUMED, "channels", 32, 4, 1, false}, /* and two follow */
	{WIRE_RESUMED, "channels", 32, 4, WIRE_CHANNELS_MAX + 1, false},
	{WIRE_RESUMED, "channels", 32, 4, MAX32, false},
	{WIRE_RESUMED, "seq", 36, 8, MAX64, true},
	/* protocol.md 6.8: "generation | u32 | at least 1: the last one that began (6.7)" */
	{WIRE_RESUMED, "generation", 44, 4, 0, false},
	{WIRE_RESUMED, "generation", 44, 4, MAX32, true},
	{WIRE_RESUMED, "pass", 48, 4, MAX32, true},
	/* stream codec zero generation pass plain seq */
	/* protocol.md 6.2: "0 | stream | u8 | 1 HTAB, 2 VERIFY, 4 TLB (of a BookE guest, in place of 1); 3 MEMORY reserved" */
	/* protocol.md 14: "memory: passes of changed pages | stream 3 | refused" */
	{WIRE_CHUNK, "stream", 0, 1, 0, false},
	{WIRE_CHUNK, "stream", 0, 1, WIRE_STREAM_MEMORY, false},
	{WIRE_CHUNK, "stream", 0, 1, WIRE_STREAM_TLB, true},
	{WIRE_CHUNK, "stream", 0, 1, WIRE_STREAM_TLB + 1, false},
	{WIRE_CHUNK, "codec", 1, 1, WIRE_CODEC_HPTE, true},
	{WIRE_CHUNK, "codec", 1, 1, WIRE_CODEC_HPTE + 1, false},
	/* protocol.md 6.2: "2 | zero | u16 | 0" */
	{WIRE_CHUNK, "reserved", 2, 2, 1, false},
	{WIRE_CHUNK, "reserved", 2, 2, 0x8000, false},
	/* protocol.md 6.2: "4 | generation | u32 | at least 1; the one that was begun" */
	{WIRE_CHUNK, "generation", 4, 4, 0, false},
	{WIRE_CHUNK, "generation", 4, 4, MAX32, true},
	/* protocol.md 6.2: "8 | pass | u32 | at least 1; equal within a pass" */
	{WIRE_CHUNK, "pass", 8, 4, 0, false},
	{WIRE_CHUNK, "pass", 8, 4, MAX32, true},
	/* protocol.md 6.2: "12 | plain | u32 | 1 to 262,144: bytes after decoding" */
	{WIRE_CHUNK, "plain", 12, 4, 0, false},
	{WIRE_CHUNK, "plain, as long as the payload is not", 12, 4, WIRE_SAMPLE_PAYLOAD + 1, false},
	{WIRE_CHUNK, "plain", 12, 4, WIRE_PLAIN_MAX + 1, false},
	{WIRE_CHUNK, "plain", 12, 4, MAX32, false},
	/* protocol.md 6.2: "16 | seq | u64 | at least 1; the last one's + 1" */
	{WIRE_CHUNK, "seq", 16, 8, 0, false},
	{WIRE_CHUNK, "seq", 16, 8, MAX64, true},
	/* protocol.md 6.4: "stream | u32 | as CHUNK's" */
	{WIRE_PASS_END, "stream", 0, 4, 0, false},
	{WIRE_PASS_END, "stream", 0, 4, WIRE_STREAM_MEMORY, false},
	{WIRE_PASS_END, "stream", 0, 4, WIRE_STREAM_TLB, true},
	{WIRE_PASS_END, "stream", 0, 4, WIRE_STREAM_TLB + 1, false},
	{WIRE_PASS_END, "stream", 0, 4, 0x101, false},
	/* protocol.md 6.4: "generation | u32 | at least 1" */
	{WIRE_PASS_END, "generation", 4, 4, 0, false},
	/* protocol.md 6.4: "pass | u32 | at least 1; the pass under way" */
	{WIRE_PASS_END, "pass", 8, 4, 0, false},
	{WIRE_PASS_END, "seq", 12, 8, 0, true},
	{WIRE_PASS_END, "seq", 12, 8, MAX64, true},
	/* protocol.md 6.7: "generation | u32 | the one under way + 1; at most 1,024" */
	{WIRE_GENERATION, "generation", 0, 4, 1, false},
	{WIRE_GENERATION, "generation", 0, 4, 2, true},
	{WIRE_GENERATION, "generation", 0, 4, WIRE_GENERATION_MAX, true},
	{WIRE_GENERATION, "generation", 0, 4, WIRE_GENERATION_MAX + 1, false},
	/* protocol.md 6.7: "order | u32 | 18 to 36: of the table that begins" */
	{WIRE_GENERATION, "order", 4, 4, HTAB_ORDER_MIN - 1, false},
	{WIRE_GENERATION, "order", 4, 4, HTAB_ORDER_MAX, true},
	{WIRE_GENERATION, "order", 4, 4, HTAB_ORDER_MAX + 1, false},
	{WIRE_GENERATION, "order", 4, 4, MAX32, false},
	{WIRE_GENERATION, "seq", 8, 8, 0, true},
	{WIRE_GENERATION, "seq", 8, 8, MAX64, true},
	/* session[16] generation passes age valid invalid size digest channels, 16 for each */
	/* protocol.md 10.1: "generation | u32 | 1 to 1,024; 1 without the feature" */
	/* protocol.md 10.1: "flags | u32 | 0x1 PAUSED: it began when no vCPU ran any more" */
	{WIRE_LAST_LAP, "generation", 0, 4, 0, false},
	{WIRE_LAST_LAP, "generation", 0, 4, WIRE_GENERATION_MAX, true},
	{WIRE_LAST_LAP, "generation", 0, 4, WIRE_GENERATION_MAX + 1, false},
	{WIRE_LAST_LAP, "pass", 4, 4, 0, false},
	{WIRE_LAST_LAP, "pass", 4, 4, MAX32, true},
	{WIRE_LAST_LAP, "flags", 8, 4, 0, true},
	{WIRE_LAST_LAP, "flags", 8, 4, WIRE_LAP_PAUSED | WIRE_LAP_WHOLE, true},
	{WIRE_LAST_LAP, "flags", 8, 4, 4, false},
	{WIRE_LAST_LAP, "flags", 8, 4, 1ull << 31, false},
	{WIRE_LAST_LAP, "invalid", 36, 8, MAX64, true},
	{WIRE_END, "generation", 16, 4, 0, false},
	{WIRE_END, "generation", 16, 4, WIRE_GENERATION_MAX, true},
	{WIRE_END, "generation", 16, 4, WIRE_GENERATION_MAX + 1, false},
	{WIRE_END, "passes", 20, 4, 0, true},
	{WIRE_END, "pause age", 24, 8, MAX64, true},
	/* protocol.md 10.1: "channels | u32 | 1 to 16; OPEN's" */
	{WIRE_END, "channels", 64, 4, 0, false},
	{WIRE_END, "channels, fewer than follow", 64, 4, 1, false},
	{WIRE_END, "channels, more than follow", 64, 4, 3, false},
	{WIRE_END, "channels", 64, 4, WIRE_CHANNELS_MAX + 1, false},
	{WIRE_END, "channels", 64, 4, MAX32, false},
};
#define FIELDS ((int)(sizeof(fields) / sizeof(fields[0])))

START_TEST(field_out_of_its_limits_is_refused)
{
	const struct field *f = &fields[_i];
	uint8_t buf[WIRE_FRAME_MAX];
	union wire_message m;
	size_t len;

	wire_sample(f->type, &m);
	len = wire_sample_pack(f->type, &m, buf, sizeof(buf)) - WIRE_HDR_SIZE;
	ck_assert_uint_le(f->at + f->width, len);
	for (unsigned i = 0; i < f->width; i++)
		buf[WIRE_HDR_SIZE + f->at + i] = (uint8_t)(f->v >> 8 * (f->width - 1 - i));
	ck_assert_msg(wire_unpack_copy(f->type, buf + WIRE_HDR_SIZE, len, &m) ==
			(f->taken ? 0 : -EBADMSG),
		"%s: %s %#llx", wire_type_name(f->type), f->name, (unsigned long long)f->v);
}
END_TEST

/*
 * protocol.md 1: "All zero is none, and is refused wherever a session has to be."
 * protocol.md 5.4: "session | bytes[16] | not zero; new, never used before"
 * protocol.md 10.2: "session | bytes[16] | not zero"
 */
START_TEST(session_of_zeros_is_none)
{
	static const enum wire_type with[] = {WIRE_OPEN, WIRE_RESUME, WIRE_JOIN, WIRE_END,
		WIRE_READY, WIRE_COMMIT, WIRE_RUNNING, WIRE_CLOSED, WIRE_NEVER, WIRE_UNKNOWN,
		WIRE_LOST};

	for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++) {
		uint8_t buf[WIRE_FRAME_MAX];
		union wire_message m;
		size_t len;

		wire_sample(with[i], &m);
		len = wire_sample_pack(with[i], &m, buf, sizeof(buf)) - WIRE_HDR_SIZE;
		memset(buf + WIRE_HDR_SIZE, 0, sizeof(struct session_id));
		ck_assert_int_eq(
			wire_message_unpack(with[i], buf + WIRE_HDR_SIZE, len, &m), -EBADMSG);
		buf[WIRE_HDR_SIZE + 15] = 1;
		ck_assert_int_eq(wire_message_unpack(with[i], buf + WIRE_HDR_SIZE, len, &m), 0);
	}
}
END_TEST

/* A body that ends in a string of n bytes behind the first `fixed` of the sample's. */
static int with_string(enum wire_type type, size_t fixed, size_t n, union wire_message *ret)
{
	uint8_t buf[WIRE_FRAME_MAX];
	union wire_message m;

	wire_sample(type, &m);
	ck_assert_uint_gt(wire_sample_pack(type, &m, buf, sizeof(buf)), WIRE_HDR_SIZE + fixed);
	be16_put(buf + WIRE_HDR_SIZE + fixed, (uint16_t)n);
	memset(buf + WIRE_HDR_SIZE + fixed + 2, 'x', n);
	return wire_unpack_copy(type, buf + WIRE_HDR_SIZE, fixed + 2 + n, ret);
}

/*
 * protocol.md 5.1: "name | str | 0 to 255 bytes; of the daemon, for people"
 * protocol.md 5.2: "name | str | 0 to 255 bytes"
 * protocol.md 5.3: "text | str | 0 to 511 bytes; one sentence for a person"
 */
START_TEST(string_longer_than_its_limit_is_refused)
{
	union wire_message m;

	ck_assert_int_eq(with_string(WIRE_HELLO, 22, 0, &m), 0);
	ck_assert_str_eq(m.hello.name, "");
	ck_assert_int_eq(with_string(WIRE_HELLO, 22, WIRE_NAME_MAX - 1, &m), 0);
	ck_assert_uint_eq(strlen(m.hello.name), WIRE_NAME_MAX - 1);
	ck_assert_int_eq(with_string(WIRE_HELLO, 22, WIRE_NAME_MAX, &m), -EBADMSG);
	ck_assert_int_eq(with_string(WIRE_WELCOME, 10, WIRE_NAME_MAX - 1, &m), 0);
	ck_assert_int_eq(with_string(WIRE_WELCOME, 10, WIRE_NAME_MAX, &m), -EBADMSG);
	ck_assert_int_eq(with_string(WIRE_REFUSE, 2, WIRE_TEXT_MAX - 1, &m), 0);
	ck_assert_uint_eq(strlen(m.refuse.text), WIRE_TEXT_MAX - 1);
	ck_assert_int_eq(with_string(WIRE_REFUSE, 2, WIRE_TEXT_MAX, &m), -EBADMSG);
}
END_TEST

/* One channel more than there may be, with all that belongs to it; and none. */
START_TEST(channels_beyond_the_limit_are_refused)
{
	static const struct {
		enum wire_type type;
		size_t at; /* of their number */
	} cases[] = {{WIRE_RESUMED, WIRE_SECRET_SIZE}, {WIRE_END, 64}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t buf[WIRE_FRAME_MAX];
		size_t at = WIRE_HDR_SIZE + cases[i].at;
		union wire_message m;

		wire_sample(cases[i].type, &m);
		ck_assert_uint_gt(wire_sample_pack(cases[i].type, &m, buf, sizeof(buf)), 0);
		for (uint32_t n = 0; n <= WIRE_CHANNELS_MAX + 1; n++) {
			be32_put(buf + at, n);
			for (uint32_t k = 2; k < n; k++) /* as the sample's second */
				memcpy(buf + at + 4 + 16 * (size_t)k, buf + at + 20, 16);
			ck_assert_int_eq(wire_unpack_copy(cases[i].type, buf + WIRE_HDR_SIZE,
						 cases[i].at + 4 + 16 * (size_t)n, &m),
				n >= 1 && n <= WIRE_CHANNELS_MAX ? 0 : -EBADMSG);
		}
	}
}
END_TEST

/* What belongs to a flag or an MMU: protocol.md 5.4: "A BookE guest's geometry is one that KVM takes" */
START_TEST(open_with_more_is_judged_as_well)
{
	static const struct {
		uint32_t compat, ways;
		unsigned order;
		bool taken;
	} cases[] = {
		/* protocol.md 5.4: "compat | u32 | with PROCESSOR: the older processor" */
		{0, 4, 0, true},
		{0x0f000004, 4, 0, true},
		{0x0e000004, 4, 0, false},
		{4, 4, 0, false},
		{0, 3, 0, false},
		{0, 4, 18, false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t buf[WIRE_FRAME_MAX];
		union wire_message m, back;
		size_t len;

		wire_sample(WIRE_OPEN, &m);
		m.open.mmu = MMU_BOOKE;
		m.open.order = cases[i].order;
		m.open.tlb = (struct tlb_geometry){{512, 16}, {cases[i].ways, 16}};
		m.open.flags = WIRE_OPEN_PROCESSOR;
		m.open.compat = cases[i].compat;
		len = wire_sample_pack(WIRE_OPEN, &m, buf, sizeof(buf)) - WIRE_HDR_SIZE;
		ck_assert_msg(wire_unpack_copy(WIRE_OPEN, buf + WIRE_HDR_SIZE, len, &back) ==
				(cases[i].taken ? 0 : -EBADMSG),
			"case %zu", i);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("wire-fields");
	TCase *t = tcase_create("wire-fields");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_loop_test(t, field_out_of_its_limits_is_refused, 0, FIELDS);
	tcase_add_test(t, session_of_zeros_is_none);
	tcase_add_test(t, open_with_more_is_judged_as_well);
	tcase_add_test(t, channels_beyond_the_limit_are_refused);
	tcase_add_test(t, string_longer_than_its_limit_is_refused);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
