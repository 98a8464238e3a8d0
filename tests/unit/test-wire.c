/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The wire's messages: round trips, cuts, bits turned. Their fields are in test-wire-fields.c. */
#include <check.h>
#include <stdlib.h>

#include "tests/unit/wire-sample.h"

static void same_secret(const uint8_t *a, const uint8_t *b)
{
	ck_assert_int_eq(memcmp(a, b, WIRE_SECRET_SIZE), 0);
}

static void same_end(const struct wire_end *a, const struct wire_end *b)
{
	ck_assert(session_eq(&a->session, &b->session));
	ck_assert_uint_eq(a->generation, b->generation);
	ck_assert_uint_eq(a->passes, b->passes);
	ck_assert_uint_eq(a->pause_age, b->pause_age);
	ck_assert_uint_eq(a->valid, b->valid);
	ck_assert_uint_eq(a->invalid, b->invalid);
	ck_assert_uint_eq(a->state_size, b->state_size);
	ck_assert_uint_eq(a->state_digest, b->state_digest);
	ck_assert_uint_eq(a->channels, b->channels);
	for (unsigned i = 0; i < WIRE_CHANNELS_MAX; i++) {
		ck_assert_uint_eq(a->channel[i].seq, b->channel[i].seq);
		ck_assert_uint_eq(a->channel[i].digest, b->channel[i].digest);
	}
}

static void same_open(const struct wire_open *a, const struct wire_open *b)
{
	ck_assert(session_eq(&a->session, &b->session));
	ck_assert(uuid_eq(&a->uuid, &b->uuid));
	ck_assert_str_eq(a->name, b->name);
	ck_assert_int_eq(a->mmu, b->mmu);
	ck_assert_uint_eq(a->order, b->order);
	ck_assert_uint_eq(a->vcpus, b->vcpus);
	ck_assert_uint_eq(a->pvr, b->pvr);
	ck_assert_int_eq(a->codec, b->codec);
	ck_assert_uint_eq(a->channels, b->channels);
	ck_assert_uint_eq(a->flags, b->flags);
}

static void same_chunk(const struct wire_chunk *a, const struct wire_chunk *b)
{
	ck_assert_int_eq(a->stream, b->stream);
	ck_assert_int_eq(a->codec, b->codec);
	ck_assert_uint_eq(a->generation, b->generation);
	ck_assert_uint_eq(a->pass, b->pass);
	ck_assert_uint_eq(a->plain, b->plain);
	ck_assert_uint_eq(a->seq, b->seq);
}

static void same_resumed(const struct wire_resumed *a, const struct wire_resumed *b)
{
	same_secret(a->secret, b->secret);
	ck_assert_uint_eq(a->channels, b->channels);
	for (uint32_t i = 0; i < a->channels; i++) {
		ck_assert_uint_eq(a->channel[i].seq, b->channel[i].seq);
		ck_assert_uint_eq(a->channel[i].generation, b->channel[i].generation);
		ck_assert_uint_eq(a->channel[i].pass, b->channel[i].pass);
	}
}

static void same(enum wire_type type, const union wire_message *a, const union wire_message *b)
{
	switch (type) {
	case WIRE_HELLO:
		ck_assert_uint_eq(a->hello.version_min, b->hello.version_min);
		ck_assert_uint_eq(a->hello.version_max, b->hello.version_max);
		ck_assert_uint_eq(a->hello.features, b->hello.features);
		ck_assert_int_eq(a->hello.role, b->hello.role);
		ck_assert_str_eq(a->hello.name, b->hello.name);
		return;
	case WIRE_WELCOME:
		ck_assert_uint_eq(a->welcome.version, b->welcome.version);
		ck_assert_uint_eq(a->welcome.features, b->welcome.features);
		ck_assert_str_eq(a->welcome.name, b->welcome.name);
		return;
	case WIRE_REFUSE:
	case WIRE_REASON:
	case WIRE_ABORT:
		ck_assert_int_eq(a->refuse.code, b->refuse.code);
		ck_assert_str_eq(a->refuse.text, b->refuse.text);
		return;
	case WIRE_OPEN: same_open(&a->open, &b->open); return;
	case WIRE_ACCEPT:
		ck_assert_uint_eq(a->accept.ring, b->accept.ring);
		same_secret(a->accept.secret, b->accept.secret);
		return;
	case WIRE_ACK:
		ck_assert_uint_eq(a->ack.channel, b->ack.channel);
		ck_assert_uint_eq(a->ack.seq, b->ack.seq);
		return;
	case WIRE_VERIFIED:
		ck_assert_uint_eq(a->verified.entries, b->verified.entries);
		ck_assert_uint_eq(a->verified.mismatches, b->verified.mismatches);
		return;
	case WIRE_PING:
	case WIRE_CLOCK:
	case WIRE_STOPPED:
	case WIRE_PONG: ck_assert_uint_eq(a->u64, b->u64); return;
	case WIRE_JOIN:
		ck_assert(session_eq(&a->join.session, &b->join.session));
		ck_assert_uint_eq(a->join.channel, b->join.channel);
		same_secret(a->join.secret, b->join.secret);
		return;
	case WIRE_CHUNK: same_chunk(&a->chunk, &b->chunk); return;
	case WIRE_PASS_END:
		ck_assert_int_eq(a->pass_end.stream, b->pass_end.stream);
		ck_assert_uint_eq(a->pass_end.generation, b->pass_end.generation);
		ck_assert_uint_eq(a->pass_end.pass, b->pass_end.pass);
		ck_assert_uint_eq(a->pass_end.seq, b->pass_end.seq);
		return;
	case WIRE_GENERATION:
		ck_assert_uint_eq(a->generation.generation, b->generation.generation);
		ck_assert_uint_eq(a->generation.order, b->generation.order);
		ck_assert_uint_eq(a->generation.seq, b->generation.seq);
		return;
	case WIRE_LAST_LAP:
		ck_assert_uint_eq(a->lap.generation, b->lap.generation);
		ck_assert_uint_eq(a->lap.pass, b->lap.pass);
		ck_assert_uint_eq(a->lap.flags, b->lap.flags);
		ck_assert_uint_eq(a->lap.first_valid, b->lap.first_valid);
		ck_assert_uint_eq(a->lap.first_invalid, b->lap.first_invalid);
		ck_assert_uint_eq(a->lap.valid, b->lap.valid);
		ck_assert_uint_eq(a->lap.invalid, b->lap.invalid);
		return;
	case WIRE_END: same_end(&a->end, &b->end); return;
	case WIRE_READY:
	case WIRE_COMMIT:
	case WIRE_RUNNING:
	case WIRE_CLOSED:
	case WIRE_NEVER:
	case WIRE_UNKNOWN:
	case WIRE_LOST:
		ck_assert(session_eq(&a->session.session, &b->session.session));
		ck_assert(uuid_eq(&a->session.uuid, &b->session.uuid));
		return;
	case WIRE_RESUME:
		ck_assert(session_eq(&a->resume.session, &b->resume.session));
		ck_assert(uuid_eq(&a->resume.uuid, &b->resume.uuid));
		same_secret(a->resume.secret, b->resume.secret);
		return;
	case WIRE_RESUMED: same_resumed(&a->resumed, &b->resumed); return;
	case WIRE_STATE:
	case WIRE_PAUSE:
	case WIRE_SWITCHOVER:
	case WIRE_JOINED: return;
	}
}

START_TEST(message_comes_back_as_it_was)
{
	enum wire_type type = wire_types[_i], back_type;
	union wire_message m, back;
	uint8_t buf[WIRE_FRAME_MAX];
	size_t len, body;

	wire_sample(type, &m);
	len = wire_sample_pack(type, &m, buf, sizeof(buf));
	ck_assert_uint_ge(len, WIRE_HDR_SIZE);
	ck_assert_int_eq(wire_unpack_header(buf, &back_type, &body), 0);
	ck_assert_int_eq(back_type, type);
	ck_assert_uint_eq(body, len - WIRE_HDR_SIZE);
	memset(&back, 0xee, sizeof(back));
	ck_assert_int_eq(wire_unpack_copy(type, buf + WIRE_HDR_SIZE, body, &back), 0);
	same(type, &m, &back);
	ck_assert_str_ne(wire_type_name(type), "?");
}
END_TEST

START_TEST(message_that_is_cut_anywhere_is_refused)
{
	union wire_message m, back, before;
	enum wire_type type = wire_types[_i];
	uint8_t buf[WIRE_FRAME_MAX];
	size_t len;

	wire_sample(type, &m);
	len = wire_sample_pack(type, &m, buf, sizeof(buf)) - WIRE_HDR_SIZE;
	memset(&back, 0xee, sizeof(back));
	before = back;
	for (size_t n = 0; n < len; n++)
		ck_assert_msg(wire_unpack_copy(type, buf + WIRE_HDR_SIZE, n, &back) == -EBADMSG,
			"%s of %zu bytes cut at %zu", wire_type_name(type), len, n);
	/* and nothing was given back */
	ck_assert_int_eq(memcmp(&back, &before, sizeof(back)), 0);
}
END_TEST

START_TEST(message_with_a_trailing_byte_is_refused)
{
	enum wire_type type = wire_types[_i];
	uint8_t buf[WIRE_FRAME_MAX] = {0};
	union wire_message m, back;
	size_t len;

	if (type == WIRE_STATE) /* takes bytes as they come */
		return;
	wire_sample(type, &m);
	len = wire_sample_pack(type, &m, buf, sizeof(buf)) - WIRE_HDR_SIZE;
	for (int byte = 0; byte < 2; byte++) {
		buf[WIRE_HDR_SIZE + len] = (uint8_t)byte;
		ck_assert_int_eq(
			wire_unpack_copy(type, buf + WIRE_HDR_SIZE, len + 1, &back), -EBADMSG);
	}
}
END_TEST

START_TEST(message_does_not_fit_in_less_than_it_needs)
{
	enum wire_type type = wire_types[_i];
	uint8_t buf[WIRE_FRAME_MAX];
	union wire_message m;
	size_t len;

	wire_sample(type, &m);
	len = wire_sample_pack(type, &m, buf, sizeof(buf));
	if (type == WIRE_CHUNK)
		len -= WIRE_SAMPLE_PAYLOAD; /* it packs its header alone */
	for (size_t cap = 0; cap < len; cap++)
		ck_assert_uint_eq(wire_sample_pack(type, &m, buf, cap), 0);
	ck_assert_uint_gt(wire_sample_pack(type, &m, buf, len), 0);
}
END_TEST

/* Any bit of any frame turned: a sanitizer watches, and what is taken can be packed again. */
START_TEST(message_with_a_turned_bit_is_judged_safely)
{
	enum wire_type type = wire_types[_i], t;
	uint8_t buf[WIRE_FRAME_MAX], again[WIRE_FRAME_MAX];
	union wire_message m;
	size_t len, body;

	wire_sample(type, &m);
	len = wire_sample_pack(type, &m, buf, sizeof(buf));
	for (size_t bit = 0; bit < len * 8; bit++) {
		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (wire_unpack_header(buf, &t, &body) == 0 && body == len - WIRE_HDR_SIZE &&
			t != WIRE_CHUNK && t != WIRE_STATE &&
			wire_unpack_copy(t, buf + WIRE_HDR_SIZE, body, &m) == 0) {
			size_t n = wire_sample_pack(t, &m, again, sizeof(again));

			/* Text was made harmless. */
			if (t == WIRE_HELLO || t == WIRE_WELCOME || t == WIRE_REFUSE ||
				t == WIRE_ABORT || t == WIRE_REASON)
				ck_assert(n > 0 && n <= len);
			else
				ck_assert(n == len && memcmp(again, buf, len) == 0);
		}
		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}
END_TEST

START_TEST(open_takes_a_name_up_to_its_limit)
{
	uint8_t buf[WIRE_FRAME_MAX];
	union wire_message m, back;

	wire_sample(WIRE_OPEN, &m);
	for (size_t n = 1; n <= VM_NAME_MAX; n++) {
		size_t len;

		memset(m.open.name, 'a', n);
		m.open.name[n] = 0;
		len = wire_sample_pack(WIRE_OPEN, &m, buf, sizeof(buf)) - WIRE_HDR_SIZE;
		ck_assert_int_eq(wire_unpack_copy(WIRE_OPEN, buf + WIRE_HDR_SIZE, len, &back), 0);
		same(WIRE_OPEN, &m, &back);
	}
	/* One more: by hand, for the struct has no room. */
	memmove(buf + WIRE_HDR_SIZE + 35, buf + WIRE_HDR_SIZE + 34, 200);
	be16_put(buf + WIRE_HDR_SIZE + 32, VM_NAME_MAX + 1);
	ck_assert_int_eq(wire_unpack_copy(WIRE_OPEN, buf + WIRE_HDR_SIZE, 51 + VM_NAME_MAX, &back),
		-EBADMSG);
}
END_TEST

START_TEST(end_takes_every_number_of_channels)
{
	union wire_message m, back;
	uint8_t buf[WIRE_FRAME_MAX];

	wire_sample(WIRE_END, &m);
	for (unsigned n = 1; n <= WIRE_CHANNELS_MAX; n++) {
		size_t len;

		m.end.channels = n;
		m.end.channel[n - 1] = (struct wire_end_channel){n, ~0ull - n};
		if (n < 2)
			memset(m.end.channel + 1, 0, sizeof(m.end.channel[1]));
		len = wire_sample_pack(WIRE_END, &m, buf, sizeof(buf)) - WIRE_HDR_SIZE;
		ck_assert_uint_eq(len, 68 + 16 * n);
		ck_assert_int_eq(wire_unpack_copy(WIRE_END, buf + WIRE_HDR_SIZE, len, &back), 0);
		same(WIRE_END, &m, &back);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("wire");
	TCase *t = tcase_create("wire");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_loop_test(t, message_comes_back_as_it_was, 0, WIRE_TYPES);
	tcase_add_loop_test(t, message_that_is_cut_anywhere_is_refused, 0, WIRE_TYPES);
	tcase_add_loop_test(t, message_with_a_trailing_byte_is_refused, 0, WIRE_TYPES);
	tcase_add_loop_test(t, message_does_not_fit_in_less_than_it_needs, 0, WIRE_TYPES);
	tcase_add_loop_test(t, message_with_a_turned_bit_is_judged_safely, 0, WIRE_TYPES);
	tcase_add_test(t, open_takes_a_name_up_to_its_limit);
	tcase_add_test(t, end_takes_every_number_of_channels);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
