/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/wire-sample.h"

#include <check.h>
#include <stdlib.h>

static const struct session_id session = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
static const struct vm_uuid uuid = {{16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}};

void wire_sample(enum wire_type type, union wire_message *m)
{
	memset(m, 0, sizeof(*m));
	switch (type) {
	case WIRE_HELLO: m->hello = (struct wire_hello){1, 3, 5, WIRE_ROLE_DATA, "hosta"}; break;
	case WIRE_WELCOME: m->welcome = (struct wire_welcome){2, 7, "hostb"}; break;
	case WIRE_REFUSE:
	case WIRE_REASON:
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
			WIRE_STREAM_VERIFY, WIRE_CODEC_NONE, 2, 9, WIRE_SAMPLE_PAYLOAD, 1ull << 35};
		m->payload_len = WIRE_SAMPLE_PAYLOAD;
		break;
	case WIRE_GENERATION: m->generation = (struct wire_generation){7, 30, 1ull << 35}; break;
	case WIRE_PASS_END:
		m->pass_end = (struct wire_pass_end){WIRE_STREAM_HTAB, 2, 9, 1ull << 35};
		break;
	case WIRE_LAST_LAP:
		m->lap = (struct wire_last_lap){
			7, 9, WIRE_LAP_PAUSED, 1ull << 33, 5, 1ull << 34, 6};
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

size_t wire_sample_pack(enum wire_type type, const union wire_message *m, uint8_t *buf, size_t cap)
{
	int len = wire_message_pack(type, m, buf, cap);

	if (len > 0 && type == WIRE_CHUNK) {
		ck_assert_uint_le((size_t)len + WIRE_SAMPLE_PAYLOAD, WIRE_FRAME_MAX);
		memset(buf + len, 0x77, WIRE_SAMPLE_PAYLOAD);
		len += (int)WIRE_SAMPLE_PAYLOAD;
	}
	return len < 0 ? 0 : (size_t)len;
}

int wire_unpack_copy(enum wire_type type, const void *body, size_t len, union wire_message *m)
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
