/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/wire-cases.h"

const enum wire_type wire_types[WIRE_TYPES] = {WIRE_HELLO, WIRE_WELCOME, WIRE_REFUSE, WIRE_OPEN,
	WIRE_ACCEPT, WIRE_ACK, WIRE_STATE, WIRE_VERIFIED, WIRE_PING, WIRE_PONG, WIRE_ABORT,
	WIRE_RESUME, WIRE_RESUMED, WIRE_PAUSE, WIRE_SWITCHOVER, WIRE_CLOCK, WIRE_STOPPED,
	WIRE_LAST_LAP, WIRE_REASON, WIRE_JOIN, WIRE_JOINED, WIRE_CHUNK, WIRE_PASS_END,
	WIRE_GENERATION, WIRE_END, WIRE_READY, WIRE_COMMIT, WIRE_RUNNING, WIRE_CLOSED, WIRE_NEVER,
	WIRE_UNKNOWN, WIRE_LOST};

int wire_message_pack(enum wire_type type, const union wire_message *m, void *buf, size_t cap)
{
	switch (type) {
	case WIRE_HELLO: return wire_pack_hello(&m->hello, buf, cap);
	case WIRE_WELCOME: return wire_pack_welcome(&m->welcome, buf, cap);
	case WIRE_REFUSE:
	case WIRE_REASON:
	case WIRE_ABORT: return wire_pack_refuse(type, &m->refuse, buf, cap);
	case WIRE_OPEN: return wire_pack_open(&m->open, buf, cap);
	case WIRE_ACCEPT: return wire_pack_accept(&m->accept, buf, cap);
	case WIRE_ACK: return wire_pack_ack(&m->ack, buf, cap);
	case WIRE_VERIFIED: return wire_pack_verified(&m->verified, buf, cap);
	case WIRE_PING:
	case WIRE_CLOCK:
	case WIRE_STOPPED:
	case WIRE_PONG: return wire_pack_u64(type, m->u64, buf, cap);
	case WIRE_RESUME: return wire_pack_resume(&m->resume, buf, cap);
	case WIRE_RESUMED: return wire_pack_resumed(&m->resumed, buf, cap);
	case WIRE_JOIN: return wire_pack_join(&m->join, buf, cap);
	case WIRE_CHUNK: return wire_pack_chunk(&m->chunk, m->payload_len, buf, cap);
	case WIRE_PASS_END: return wire_pack_pass_end(&m->pass_end, buf, cap);
	case WIRE_GENERATION: return wire_pack_generation(&m->generation, buf, cap);
	case WIRE_LAST_LAP: return wire_pack_last_lap(&m->lap, buf, cap);
	case WIRE_END: return wire_pack_end(&m->end, buf, cap);
	case WIRE_READY:
	case WIRE_COMMIT:
	case WIRE_RUNNING:
	case WIRE_CLOSED:
	case WIRE_NEVER:
	case WIRE_UNKNOWN:
	case WIRE_LOST: return wire_pack_session(type, &m->session, buf, cap);
	case WIRE_STATE:
	case WIRE_PAUSE:
	case WIRE_SWITCHOVER:
	case WIRE_JOINED: return wire_pack_empty(type, buf, cap);
	}
	return -EINVAL;
}

int wire_message_unpack(enum wire_type type, const void *body, size_t len, union wire_message *ret)
{
	switch (type) {
	case WIRE_HELLO: return wire_unpack_hello(body, len, &ret->hello);
	case WIRE_WELCOME: return wire_unpack_welcome(body, len, &ret->welcome);
	case WIRE_REFUSE:
	case WIRE_REASON:
	case WIRE_ABORT: return wire_unpack_refuse(body, len, &ret->refuse);
	case WIRE_OPEN: return wire_unpack_open(body, len, &ret->open);
	case WIRE_ACCEPT: return wire_unpack_accept(body, len, &ret->accept);
	case WIRE_ACK: return wire_unpack_ack(body, len, &ret->ack);
	case WIRE_VERIFIED: return wire_unpack_verified(body, len, &ret->verified);
	case WIRE_PING:
	case WIRE_CLOCK:
	case WIRE_STOPPED:
	case WIRE_PONG: return wire_unpack_u64(body, len, &ret->u64);
	case WIRE_RESUME: return wire_unpack_resume(body, len, &ret->resume);
	case WIRE_RESUMED: return wire_unpack_resumed(body, len, &ret->resumed);
	case WIRE_JOIN: return wire_unpack_join(body, len, &ret->join);
	case WIRE_CHUNK:
		return wire_unpack_chunk(body, len, &ret->chunk, &ret->payload, &ret->payload_len);
	case WIRE_PASS_END: return wire_unpack_pass_end(body, len, &ret->pass_end);
	case WIRE_GENERATION: return wire_unpack_generation(body, len, &ret->generation);
	case WIRE_LAST_LAP: return wire_unpack_last_lap(body, len, &ret->lap);
	case WIRE_END: return wire_unpack_end(body, len, &ret->end);
	case WIRE_READY:
	case WIRE_COMMIT:
	case WIRE_RUNNING:
	case WIRE_CLOSED:
	case WIRE_NEVER:
	case WIRE_UNKNOWN:
	case WIRE_LOST: return wire_unpack_session(body, len, &ret->session);
	case WIRE_STATE:
	case WIRE_PAUSE:
	case WIRE_SWITCHOVER:
	case WIRE_JOINED: break;
	}
	return len ? -EBADMSG : 0;
}
