/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The wire's messages: round trips, the limits of their fields, and what is refused. */
#include <check.h>
#include <stdlib.h>

#include "tests/unit/wire-cases.h"

#define FRAME_MAX     (WIRE_HDR_SIZE + WIRE_CONTROL_MAX)
#define CHUNK_PAYLOAD 24u

static const struct session_id session = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
static const struct vm_uuid uuid = {{16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}};

/* A message of each type with every field different from zero where it may be. */
static void sample(enum wire_type type, union wire_message *m)
{
	memset(m, 0, sizeof(*m));
	switch (type) {
	case WIRE_HELLO: m->hello = (struct wire_hello){1, 3, 5, WIRE_ROLE_DATA, "hosta"}; break;
	case WIRE_WELCOME: m->welcome = (struct wire_welcome){2, 7, "hostb"}; break;
	case WIRE_REFUSE:
	case WIRE_ABORT: m->refuse = (struct wire_refuse){WIRE_REFUSE_BUSY, "not now"}; break;
	case WIRE_OPEN:
		m->open = (struct wire_open){session, uuid, "vm1", MMU_HPT, 24, 8, 0x004e1202,
			WIRE_CODEC_NONE, 1, WIRE_OPEN_VERIFY, {{0}, {0}}};
		break;
	case WIRE_ACCEPT:
		m->accept.ring = 32;
		memset(m->accept.secret, 0xa5, sizeof(m->accept.secret));
		break;
	case WIRE_ACK: m->ack = (struct wire_ack){3, 1ull << 40}; break;
	case WIRE_VERIFIED: m->verified = (struct wire_verified){1ull << 33, 2}; break;
	case WIRE_PING:
	case WIRE_CLOCK:
	case WIRE_STOPPED:
	case WIRE_PONG: m->u64 = 0x0123456789abcdef; break;
	case WIRE_JOIN:
		m->join = (struct wire_join){.session = session, .channel = 15};
		memset(m->join.secret, 0x5a, sizeof(m->join.secret));
		break;
	case WIRE_CHUNK:
		m->chunk = (struct wire_chunk){
			WIRE_STREAM_VERIFY, WIRE_CODEC_NONE, 2, 9, CHUNK_PAYLOAD, 1ull << 35};
		m->payload_len = CHUNK_PAYLOAD;
		break;
	case WIRE_GENERATION: m->generation = (struct wire_generation){7, 30, 1ull << 35}; break;
	case WIRE_PASS_END:
		m->pass_end = (struct wire_pass_end){WIRE_STREAM_HTAB, 2, 9, 1ull << 35};
		break;
	case WIRE_END:
		m->end = (struct wire_end){
			session, 2, 9, 3, 1ull << 33, 5, 6, 7, 2, {{8, 9}, {10, 1ull << 63}}};
		break;
	case WIRE_READY:
	case WIRE_COMMIT:
	case WIRE_RUNNING:
	case WIRE_CLOSED:
	case WIRE_NEVER:
	case WIRE_UNKNOWN:
	case WIRE_LOST: m->session = (struct wire_session){session, uuid}; break;
	case WIRE_RESUME:
		m->resume = (struct wire_resume){.session = session, .uuid = uuid};
		memset(m->resume.secret, 0x5a, sizeof(m->resume.secret));
		break;
	case WIRE_RESUMED:
		m->resumed = (struct wire_resumed){
			.channels = 2, .channel = {{1ull << 33, 1, 9}, {7, 2, 8}}};
		memset(m->resumed.secret, 0xa5, sizeof(m->resumed.secret));
		break;
	case WIRE_STATE:
	case WIRE_PAUSE:
	case WIRE_SWITCHOVER:
	case WIRE_JOINED: break;
	}
}

/* A whole frame, or 0; CHUNK with a payload. */
static size_t pack(enum wire_type type, const union wire_message *m, uint8_t *buf, size_t cap)
{
	int len = wire_message_pack(type, m, buf, cap);

	if (len > 0 && type == WIRE_CHUNK) {
		ck_assert_uint_le((size_t)len + CHUNK_PAYLOAD, FRAME_MAX);
		memset(buf + len, 0x77, CHUNK_PAYLOAD);
		len += (int)CHUNK_PAYLOAD;
	}
	return len < 0 ? 0 : (size_t)len;
}

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

/* Unpack from memory that ends where the body ends, so that a sanitizer sees a look past it. */
static int unpack_copy_of(enum wire_type type, const void *body, size_t len, union wire_message *m)
{
	uint8_t *copy = malloc(len ? len : 1);
	int r;

	ck_assert_ptr_nonnull(copy);
	if (len)
		memcpy(copy, body, len);
	r = wire_message_unpack(type, copy, len, m);
	free(copy);
	return r;
}

START_TEST(message_comes_back_as_it_was)
{
	enum wire_type type = wire_types[_i], back_type;
	union wire_message m, back;
	uint8_t buf[FRAME_MAX];
	size_t len, body;

	sample(type, &m);
	len = pack(type, &m, buf, sizeof(buf));
	ck_assert_uint_ge(len, WIRE_HDR_SIZE);
	ck_assert_int_eq(wire_unpack_header(buf, &back_type, &body), 0);
	ck_assert_int_eq(back_type, type);
	ck_assert_uint_eq(body, len - WIRE_HDR_SIZE);
	memset(&back, 0xee, sizeof(back));
	ck_assert_int_eq(unpack_copy_of(type, buf + WIRE_HDR_SIZE, body, &back), 0);
	same(type, &m, &back);
	ck_assert_str_ne(wire_type_name(type), "?");
}
END_TEST

START_TEST(message_that_is_cut_anywhere_is_refused)
{
	union wire_message m, back, before;
	enum wire_type type = wire_types[_i];
	uint8_t buf[FRAME_MAX];
	size_t len;

	sample(type, &m);
	len = pack(type, &m, buf, sizeof(buf)) - WIRE_HDR_SIZE;
	memset(&back, 0xee, sizeof(back));
	before = back;
	for (size_t n = 0; n < len; n++)
		ck_assert_msg(unpack_copy_of(type, buf + WIRE_HDR_SIZE, n, &back) == -EBADMSG,
			"%s of %zu bytes cut at %zu", wire_type_name(type), len, n);
	/* and nothing was given back */
	ck_assert_int_eq(memcmp(&back, &before, sizeof(back)), 0);
}
END_TEST

START_TEST(message_with_a_trailing_byte_is_refused)
{
	enum wire_type type = wire_types[_i];
	uint8_t buf[FRAME_MAX] = {0};
	union wire_message m, back;
	size_t len;

	if (type == WIRE_STATE) /* takes bytes as they come */
		return;
	sample(type, &m);
	len = pack(type, &m, buf, sizeof(buf)) - WIRE_HDR_SIZE;
	for (int byte = 0; byte < 2; byte++) {
		buf[WIRE_HDR_SIZE + len] = (uint8_t)byte;
		ck_assert_int_eq(
			unpack_copy_of(type, buf + WIRE_HDR_SIZE, len + 1, &back), -EBADMSG);
	}
}
END_TEST

START_TEST(message_does_not_fit_in_less_than_it_needs)
{
	enum wire_type type = wire_types[_i];
	uint8_t buf[FRAME_MAX];
	union wire_message m;
	size_t len;

	sample(type, &m);
	len = pack(type, &m, buf, sizeof(buf));
	if (type == WIRE_CHUNK)
		len -= CHUNK_PAYLOAD; /* it packs its header alone */
	for (size_t cap = 0; cap < len; cap++)
		ck_assert_uint_eq(pack(type, &m, buf, cap), 0);
	ck_assert_uint_gt(pack(type, &m, buf, len), 0);
}
END_TEST

/* Any bit of any frame turned: a sanitizer watches, and what is taken can be packed again. */
START_TEST(message_with_a_turned_bit_is_judged_safely)
{
	enum wire_type type = wire_types[_i], t;
	uint8_t buf[FRAME_MAX], again[FRAME_MAX];
	union wire_message m;
	size_t len, body;

	sample(type, &m);
	len = pack(type, &m, buf, sizeof(buf));
	for (size_t bit = 0; bit < len * 8; bit++) {
		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (wire_unpack_header(buf, &t, &body) == 0 && body == len - WIRE_HDR_SIZE &&
			t != WIRE_CHUNK && t != WIRE_STATE &&
			unpack_copy_of(t, buf + WIRE_HDR_SIZE, body, &m) == 0) {
			ck_assert_uint_eq(pack(t, &m, again, sizeof(again)), len);
			ck_assert_int_eq(memcmp(again, buf, len), 0);
		}
		buf[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}
END_TEST

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
	{WIRE_HELLO, "lowest version above highest", 8, 2, 4, false},
	{WIRE_HELLO, "lowest version", 8, 2, 3, true},
	{WIRE_HELLO, "highest version", 10, 2, 0, false},
	{WIRE_HELLO, "highest version", 10, 2, 0xffff, true},
	{WIRE_HELLO, "features", 12, 8, MAX64, true},
	{WIRE_HELLO, "role", 20, 2, 0, false},
	{WIRE_HELLO, "role", 20, 2, WIRE_ROLE_QUESTION, true},
	{WIRE_HELLO, "role", 20, 2, WIRE_ROLE_QUESTION + 1, false},
	{WIRE_HELLO, "role", 20, 2, 0xffff, false},
	{WIRE_HELLO, "name's length", 22, 2, 4, false},
	{WIRE_HELLO, "name's length", 22, 2, 6, false},
	{WIRE_HELLO, "NUL in the name", 24, 1, 0, false},
	{WIRE_WELCOME, "NUL in the name", 12, 1, 0, false},
	{WIRE_WELCOME, "features", 2, 8, MAX64, true},
	{WIRE_REFUSE, "code", 0, 2, 0, false},
	{WIRE_REFUSE, "code", 0, 2, WIRE_REFUSE_PROTOCOL, true},
	{WIRE_REFUSE, "code", 0, 2, WIRE_REFUSE_CANCELLED, true},
	{WIRE_REFUSE, "code", 0, 2, WIRE_REFUSE_CANCELLED + 1, false},
	{WIRE_ABORT, "code", 0, 2, 0xffff, false},
	{WIRE_REFUSE, "NUL in the text", 4, 1, 0, false},
	/* session[16] uuid[16] name(2 + 3) mmu order codec channels vcpus pvr flags */
	{WIRE_OPEN, "name's length", 32, 2, 0, false},
	{WIRE_OPEN, "name", 34, 1, '.', false},
	{WIRE_OPEN, "name", 34, 1, '/', false},
	{WIRE_OPEN, "name", 34, 1, ' ', false},
	{WIRE_OPEN, "name", 34, 1, 0, false},
	{WIRE_OPEN, "name", 34, 1, '-', true},
	{WIRE_OPEN, "name", 35, 1, '.', true},
	{WIRE_OPEN, "MMU", 37, 1, 0, false},
	{WIRE_OPEN, "MMU", 37, 1, MMU_BOOKE, false}, /* without a geometry */
	{WIRE_OPEN, "MMU", 37, 1, MMU_BOOKE + 1, false},
	{WIRE_OPEN, "order", 38, 1, HTAB_ORDER_MIN - 1, false},
	{WIRE_OPEN, "order", 38, 1, HTAB_ORDER_MIN, true},
	{WIRE_OPEN, "order", 38, 1, HTAB_ORDER_MAX, true},
	{WIRE_OPEN, "order", 38, 1, HTAB_ORDER_MAX + 1, false},
	{WIRE_OPEN, "order", 38, 1, 0xff, false},
	{WIRE_OPEN, "codec", 39, 1, WIRE_CODEC_HPTE, true},
	{WIRE_OPEN, "codec", 39, 1, WIRE_CODEC_HPTE + 1, false},
	{WIRE_OPEN, "channels", 40, 1, 0, false},
	{WIRE_OPEN, "channels", 40, 1, WIRE_CHANNELS_MAX, true},
	{WIRE_OPEN, "channels", 40, 1, WIRE_CHANNELS_MAX + 1, false},
	{WIRE_OPEN, "vCPUs", 41, 4, MAX32, true},
	{WIRE_OPEN, "PVR", 45, 4, MAX32, true},
	{WIRE_OPEN, "flags", 49, 4, 0, true},
	{WIRE_OPEN, "flags", 49, 4, WIRE_OPEN_VERIFY | WIRE_OPEN_RECOVER, true},
	{WIRE_OPEN, "flags", 49, 4, 4, false},
	{WIRE_OPEN, "flags", 49, 4, 0x80000001, false},
	{WIRE_ACCEPT, "ring", 32, 4, 0, false},
	{WIRE_ACCEPT, "ring", 32, 4, 1, true},
	{WIRE_ACCEPT, "ring", 32, 4, WIRE_RING_MAX, true},
	{WIRE_ACCEPT, "ring", 32, 4, WIRE_RING_MAX + 1, false},
	{WIRE_ACCEPT, "ring", 32, 4, MAX32, false},
	{WIRE_ACK, "channel", 0, 4, WIRE_CHANNELS_MAX - 1, true},
	{WIRE_ACK, "channel", 0, 4, WIRE_CHANNELS_MAX, false},
	{WIRE_ACK, "channel", 0, 4, MAX32, false},
	{WIRE_ACK, "seq", 4, 8, MAX64, true},
	{WIRE_ACK, "seq", 4, 8, 0, true},
	{WIRE_JOIN, "channel", 16, 4, WIRE_CHANNELS_MAX - 1, true},
	{WIRE_JOIN, "channel", 16, 4, WIRE_CHANNELS_MAX, false},
	/* secret[32] channels, for each seq[8] generation pass */
	{WIRE_RESUMED, "channels", 32, 4, 0, false},
	{WIRE_RESUMED, "channels", 32, 4, 1, false}, /* and two follow */
	{WIRE_RESUMED, "channels", 32, 4, WIRE_CHANNELS_MAX + 1, false},
	{WIRE_RESUMED, "channels", 32, 4, MAX32, false},
	{WIRE_RESUMED, "seq", 36, 8, MAX64, true},
	{WIRE_RESUMED, "generation", 44, 4, 0, false},
	{WIRE_RESUMED, "generation", 44, 4, MAX32, true},
	{WIRE_RESUMED, "pass", 48, 4, MAX32, true},
	/* stream codec zero generation pass plain seq */
	{WIRE_CHUNK, "stream", 0, 1, 0, false},
	{WIRE_CHUNK, "stream", 0, 1, WIRE_STREAM_TLB, true},
	{WIRE_CHUNK, "stream", 0, 1, WIRE_STREAM_TLB + 1, false},
	{WIRE_CHUNK, "codec", 1, 1, WIRE_CODEC_HPTE, true},
	{WIRE_CHUNK, "codec", 1, 1, WIRE_CODEC_HPTE + 1, false},
	{WIRE_CHUNK, "reserved", 2, 2, 1, false},
	{WIRE_CHUNK, "reserved", 2, 2, 0x8000, false},
	{WIRE_CHUNK, "generation", 4, 4, 0, false},
	{WIRE_CHUNK, "generation", 4, 4, MAX32, true},
	{WIRE_CHUNK, "pass", 8, 4, 0, false},
	{WIRE_CHUNK, "pass", 8, 4, MAX32, true},
	{WIRE_CHUNK, "plain", 12, 4, 0, false},
	{WIRE_CHUNK, "plain, as long as the payload is not", 12, 4, CHUNK_PAYLOAD + 1, false},
	{WIRE_CHUNK, "plain", 12, 4, WIRE_PLAIN_MAX + 1, false},
	{WIRE_CHUNK, "plain", 12, 4, MAX32, false},
	{WIRE_CHUNK, "seq", 16, 8, 0, false},
	{WIRE_CHUNK, "seq", 16, 8, MAX64, true},
	{WIRE_PASS_END, "stream", 0, 4, 0, false},
	{WIRE_PASS_END, "stream", 0, 4, WIRE_STREAM_TLB, true},
	{WIRE_PASS_END, "stream", 0, 4, WIRE_STREAM_TLB + 1, false},
	{WIRE_PASS_END, "stream", 0, 4, 0x101, false},
	{WIRE_PASS_END, "generation", 4, 4, 0, false},
	{WIRE_PASS_END, "pass", 8, 4, 0, false},
	{WIRE_PASS_END, "seq", 12, 8, 0, true},
	{WIRE_PASS_END, "seq", 12, 8, MAX64, true},
	{WIRE_GENERATION, "generation", 0, 4, 1, false},
	{WIRE_GENERATION, "generation", 0, 4, 2, true},
	{WIRE_GENERATION, "generation", 0, 4, WIRE_GENERATION_MAX, true},
	{WIRE_GENERATION, "generation", 0, 4, WIRE_GENERATION_MAX + 1, false},
	{WIRE_GENERATION, "order", 4, 4, HTAB_ORDER_MIN - 1, false},
	{WIRE_GENERATION, "order", 4, 4, HTAB_ORDER_MAX, true},
	{WIRE_GENERATION, "order", 4, 4, HTAB_ORDER_MAX + 1, false},
	{WIRE_GENERATION, "order", 4, 4, MAX32, false},
	{WIRE_GENERATION, "seq", 8, 8, 0, true},
	{WIRE_GENERATION, "seq", 8, 8, MAX64, true},
	/* session[16] generation passes age valid invalid size digest channels, 16 for each */
	{WIRE_END, "generation", 16, 4, 0, false},
	{WIRE_END, "passes", 20, 4, 0, true},
	{WIRE_END, "pause age", 24, 8, MAX64, true},
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
	uint8_t buf[FRAME_MAX];
	union wire_message m;
	size_t len;

	sample(f->type, &m);
	len = pack(f->type, &m, buf, sizeof(buf)) - WIRE_HDR_SIZE;
	ck_assert_uint_le(f->at + f->width, len);
	for (unsigned i = 0; i < f->width; i++)
		buf[WIRE_HDR_SIZE + f->at + i] = (uint8_t)(f->v >> 8 * (f->width - 1 - i));
	ck_assert_msg(
		unpack_copy_of(f->type, buf + WIRE_HDR_SIZE, len, &m) == (f->taken ? 0 : -EBADMSG),
		"%s: %s %#llx", wire_type_name(f->type), f->name, (unsigned long long)f->v);
}
END_TEST

START_TEST(session_of_zeros_is_none)
{
	static const enum wire_type with[] = {WIRE_OPEN, WIRE_READY, WIRE_COMMIT, WIRE_RUNNING,
		WIRE_CLOSED, WIRE_NEVER, WIRE_UNKNOWN, WIRE_LOST};

	for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++) {
		uint8_t buf[FRAME_MAX];
		union wire_message m;
		size_t len;

		sample(with[i], &m);
		len = pack(with[i], &m, buf, sizeof(buf)) - WIRE_HDR_SIZE;
		memset(buf + WIRE_HDR_SIZE, 0, sizeof(session));
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
	uint8_t buf[FRAME_MAX];
	union wire_message m;

	sample(type, &m);
	ck_assert_uint_gt(pack(type, &m, buf, sizeof(buf)), WIRE_HDR_SIZE + fixed);
	be16_put(buf + WIRE_HDR_SIZE + fixed, (uint16_t)n);
	memset(buf + WIRE_HDR_SIZE + fixed + 2, 'x', n);
	return unpack_copy_of(type, buf + WIRE_HDR_SIZE, fixed + 2 + n, ret);
}

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

START_TEST(open_takes_a_name_up_to_its_limit)
{
	uint8_t buf[FRAME_MAX];
	union wire_message m, back;

	sample(WIRE_OPEN, &m);
	for (size_t n = 1; n <= VM_NAME_MAX; n++) {
		size_t len;

		memset(m.open.name, 'a', n);
		m.open.name[n] = 0;
		len = pack(WIRE_OPEN, &m, buf, sizeof(buf)) - WIRE_HDR_SIZE;
		ck_assert_int_eq(unpack_copy_of(WIRE_OPEN, buf + WIRE_HDR_SIZE, len, &back), 0);
		same(WIRE_OPEN, &m, &back);
	}
	/* One more: by hand, for the struct has no room. */
	memmove(buf + WIRE_HDR_SIZE + 35, buf + WIRE_HDR_SIZE + 34, 200);
	be16_put(buf + WIRE_HDR_SIZE + 32, VM_NAME_MAX + 1);
	ck_assert_int_eq(
		unpack_copy_of(WIRE_OPEN, buf + WIRE_HDR_SIZE, 51 + VM_NAME_MAX, &back), -EBADMSG);
}
END_TEST

START_TEST(end_takes_every_number_of_channels)
{
	union wire_message m, back;
	uint8_t buf[FRAME_MAX];

	sample(WIRE_END, &m);
	for (unsigned n = 1; n <= WIRE_CHANNELS_MAX; n++) {
		size_t len;

		m.end.channels = n;
		m.end.channel[n - 1] = (struct wire_end_channel){n, ~0ull - n};
		if (n < 2)
			memset(m.end.channel + 1, 0, sizeof(m.end.channel[1]));
		len = pack(WIRE_END, &m, buf, sizeof(buf)) - WIRE_HDR_SIZE;
		ck_assert_uint_eq(len, 68 + 16 * n);
		ck_assert_int_eq(unpack_copy_of(WIRE_END, buf + WIRE_HDR_SIZE, len, &back), 0);
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
	tcase_add_loop_test(t, field_out_of_its_limits_is_refused, 0, FIELDS);
	tcase_add_test(t, session_of_zeros_is_none);
	tcase_add_test(t, string_longer_than_its_limit_is_refused);
	tcase_add_test(t, open_takes_a_name_up_to_its_limit);
	tcase_add_test(t, end_takes_every_number_of_channels);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
