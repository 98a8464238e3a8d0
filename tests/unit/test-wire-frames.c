/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The wire's frames: chunks, types and lengths, the protocol's numbers and versions. */
#include <check.h>
#include <stdlib.h>

#include "tests/unit/wire-cases.h"

/* -- chunks -- */

/* Only the fixed part is looked at: the payload need not be there yet. */
static int chunk_of(enum wire_codec codec, uint32_t plain, size_t payload)
{
	struct wire_chunk m = {WIRE_STREAM_HTAB, codec, 1, 1, plain, 1}, back;
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CHUNK_HDR];
	const uint8_t *p;
	size_t n;
	int r = wire_pack_chunk(&m, payload, buf, sizeof(buf));

	if (r < 0)
		return r;
	ck_assert_int_eq(r, (int)sizeof(buf));
	r = wire_unpack_chunk(buf + WIRE_HDR_SIZE, WIRE_CHUNK_HDR + payload, &back, &p, &n);
	if (r == 0) {
		ck_assert_ptr_eq(p, buf + sizeof(buf));
		ck_assert_uint_eq(n, payload);
	}
	return r;
}

/* protocol.md 6.2: "24 | payload | | 1 to 270,336 bytes; with codec NONE exactly `plain`" */
START_TEST(chunk_is_as_long_as_its_codec_allows)
{
	struct wire_chunk m = {WIRE_STREAM_HTAB, WIRE_CODEC_HPTE, 1, 1, 1, 1};
	size_t payload_max = WIRE_CHUNK_MAX - WIRE_CHUNK_HDR, n;
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CHUNK_HDR];
	const uint8_t *p;
	int r;

	ck_assert_int_eq(chunk_of(WIRE_CODEC_NONE, 1, 1), 0);
	ck_assert_int_eq(chunk_of(WIRE_CODEC_NONE, WIRE_PLAIN_MAX, WIRE_PLAIN_MAX), 0);
	ck_assert_int_eq(chunk_of(WIRE_CODEC_NONE, 24, 23), -EBADMSG);
	ck_assert_int_eq(chunk_of(WIRE_CODEC_NONE, 24, 25), -EBADMSG);
	ck_assert_int_eq(chunk_of(WIRE_CODEC_NONE, WIRE_PLAIN_MAX, payload_max), -EBADMSG);
	ck_assert_int_eq(chunk_of(WIRE_CODEC_NONE, 1, 0), -EBADMSG);
	ck_assert_int_eq(chunk_of(WIRE_CODEC_ZSTD, WIRE_PLAIN_MAX, 1), 0);
	ck_assert_int_eq(chunk_of(WIRE_CODEC_ZSTD, 1, payload_max), 0);
	ck_assert_int_eq(chunk_of(WIRE_CODEC_HPTE, 1, 0), -EBADMSG);
	ck_assert_int_eq(chunk_of(WIRE_CODEC_HPTE, 1, payload_max + 1), -EMSGSIZE);
	/* the same where it is received */
	r = wire_pack_chunk(&m, 1, buf, sizeof(buf));
	ck_assert_int_eq(r, (int)sizeof(buf));
	ck_assert_int_eq(wire_unpack_chunk(
				 buf + WIRE_HDR_SIZE, WIRE_CHUNK_HDR + payload_max + 1, &m, &p, &n),
		-EBADMSG);
	be32_put(buf + WIRE_HDR_SIZE + 12, WIRE_PLAIN_MAX); /* plain, of a codec that shrinks it */
	ck_assert_int_eq(wire_unpack_chunk(buf + WIRE_HDR_SIZE, WIRE_CHUNK_HDR + 9, &m, &p, &n), 0);
	be32_put(buf + WIRE_HDR_SIZE + 12, WIRE_PLAIN_MAX + 1);
	ck_assert_int_eq(
		wire_unpack_chunk(buf + WIRE_HDR_SIZE, WIRE_CHUNK_HDR + 9, &m, &p, &n), -EBADMSG);
}
END_TEST

/* -- frames -- */

static int header(uint32_t len, uint16_t type, uint16_t flags)
{
	uint8_t hdr[WIRE_HDR_SIZE];
	enum wire_type t;
	size_t n;

	be32_put(hdr, len);
	be16_put(hdr + 4, type);
	be16_put(hdr + 6, flags);
	return wire_unpack_header(hdr, &t, &n);
}

/* protocol.md 19: "Types 128 and 129 are of files alone: on a connection they are refused." */
START_TEST(type_that_is_none_is_refused)
{
	unsigned n = 0;

	for (unsigned type = 0; type <= 0xffff; type++) {
		bool known, listed = false;
		size_t max = wire_body_max(type, &known);

		for (int i = 0; i < WIRE_TYPES; i++)
			listed |= wire_types[i] == type;
		ck_assert_msg(known == listed, "type %u", type);
		ck_assert_int_eq(header(0, (uint16_t)type, 0), known ? 0 : -EBADMSG);
		ck_assert_int_eq(strcmp(wire_type_name(type), "?") != 0, known);
		if (!known)
			ck_assert_uint_eq(max, 0);
		n += known;
	}
	ck_assert_uint_eq(n, WIRE_TYPES);
}
END_TEST

START_TEST(flag_of_a_frame_is_refused)
{
	for (int i = 0; i < WIRE_TYPES; i++)
		for (unsigned bit = 0; bit < 16; bit++)
			ck_assert_int_eq(header(0, (uint16_t)wire_types[i], (uint16_t)(1u << bit)),
				-EBADMSG);
}
END_TEST

/* protocol.md 1: "A receiver MUST check a length against its limit before it allocates." */
START_TEST(body_longer_than_its_type_allows_is_refused)
{
	enum wire_type type = wire_types[_i];
	size_t want = type == WIRE_STATE ? WIRE_STATE_MAX
		: type == WIRE_CHUNK     ? WIRE_CHUNK_MAX
					 : WIRE_CONTROL_MAX;
	uint8_t hdr[WIRE_HDR_SIZE];
	enum wire_type back;
	size_t len;
	bool known;

	ck_assert_uint_eq(wire_body_max(type, &known), want);
	ck_assert_int_eq(header((uint32_t)want, (uint16_t)type, 0), 0);
	ck_assert_int_eq(header((uint32_t)want + 1, (uint16_t)type, 0), -EBADMSG);
	ck_assert_int_eq(header(UINT32_MAX, (uint16_t)type, 0), -EBADMSG);
	wire_pack_header(hdr, type, want);
	ck_assert_int_eq(wire_unpack_header(hdr, &back, &len), 0);
	ck_assert_int_eq(back, type);
	ck_assert_uint_eq(len, want);
}
END_TEST

/* The numbers are the protocol: none moves, none is used again. */
START_TEST(numbers_are_what_they_were)
{
	static const uint16_t numbers[] = {1, 2, 3, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27,
		28, 29, 30, 31, 32, 33, 34, 35, 38, 64, 65, 66, 67, 68, 69, 70, 71};

	ck_assert_uint_eq(sizeof(numbers) / sizeof(numbers[0]), WIRE_TYPES);
	for (int i = 0; i < WIRE_TYPES; i++)
		ck_assert_uint_eq(wire_types[i], numbers[i]);
	ck_assert_int_eq(
		memcmp("htabmig", (uint8_t[]){0x68, 0x74, 0x61, 0x62, 0x6d, 0x69, 0x67, 0}, 8), 0);
	ck_assert_uint_eq(WIRE_MAGIC, 0x687461626d696700ull);
	ck_assert_uint_eq(WIRE_CHUNK_MAX, 270360);
	ck_assert_uint_eq(WIRE_REFUSE_PROTOCOL, 1);
	ck_assert_uint_eq(WIRE_REFUSE_CANCELLED, 9);
	ck_assert_uint_eq(NOTE_LOADING, 1);
	ck_assert_uint_eq(NOTE_COMMITTING, 5);
}
END_TEST

/* -- versions -- */

/*
 * protocol.md 5.2: "Is that below its own lowest or below HELLO's lowest, it sends REFUSE (VERSION)"
 * protocol.md 5.2: "2 to 2 | refused | 2 | 2"
 * protocol.md 5.2: "4 to 9 | refused | refused | refused"
 */
START_TEST(version_is_the_highest_that_both_know)
{
	static const struct {
		uint16_t min, max;
		int r;
		uint16_t version;
	} table[] = {
		{1, 1, 0, 1},
		{1, 2, 0, 1},
		{1, 0xffff, 0, 1},
		{0, 1, 0, 1},
		{0, 0xffff, 0, 1},
		{0, 0, -EPROTONOSUPPORT, 0},
		{2, 2, -EPROTONOSUPPORT, 0},
		{2, 0xffff, -EPROTONOSUPPORT, 0},
		{4, 9, -EPROTONOSUPPORT, 0},
		{0xffff, 0xffff, -EPROTONOSUPPORT, 0},
	};

	ck_assert_uint_eq(WIRE_VERSION_MIN, 1);
	ck_assert_uint_eq(WIRE_VERSION_MAX, 1);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		uint16_t v = 4711;

		ck_assert_int_eq(wire_choose_version(table[i].min, table[i].max, &v), table[i].r);
		ck_assert_uint_eq(v, table[i].r ? 4711 : table[i].version);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("wire-frames");
	TCase *t = tcase_create("wire-frames");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_test(t, chunk_is_as_long_as_its_codec_allows);
	tcase_add_test(t, type_that_is_none_is_refused);
	tcase_add_test(t, flag_of_a_frame_is_refused);
	tcase_add_loop_test(t, body_longer_than_its_type_allows_is_refused, 0, WIRE_TYPES);
	tcase_add_test(t, numbers_are_what_they_were);
	tcase_add_test(t, version_is_the_highest_that_both_know);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
