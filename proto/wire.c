/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/wire.h"

#include <assert.h>

#include "proto/booke.h"
#include "proto/processor.h"

static const struct {
	const char *name;
	uint32_t body_max;
} types[] = {
	[WIRE_HELLO] = {"HELLO", WIRE_CONTROL_MAX},
	[WIRE_WELCOME] = {"WELCOME", WIRE_CONTROL_MAX},
	[WIRE_REFUSE] = {"REFUSE", WIRE_CONTROL_MAX},
	[WIRE_OPEN] = {"OPEN", WIRE_CONTROL_MAX},
	[WIRE_ACCEPT] = {"ACCEPT", WIRE_CONTROL_MAX},
	[WIRE_ACK] = {"ACK", WIRE_CONTROL_MAX},
	[WIRE_STATE] = {"STATE", WIRE_STATE_MAX},
	[WIRE_VERIFIED] = {"VERIFIED", WIRE_CONTROL_MAX},
	[WIRE_PING] = {"PING", WIRE_CONTROL_MAX},
	[WIRE_PONG] = {"PONG", WIRE_CONTROL_MAX},
	[WIRE_ABORT] = {"ABORT", WIRE_CONTROL_MAX},
	[WIRE_RESUME] = {"RESUME", WIRE_CONTROL_MAX},
	[WIRE_RESUMED] = {"RESUMED", WIRE_CONTROL_MAX},
	[WIRE_PAUSE] = {"PAUSE", WIRE_CONTROL_MAX},
	[WIRE_SWITCHOVER] = {"SWITCHOVER", WIRE_CONTROL_MAX},
	[WIRE_CLOCK] = {"CLOCK", WIRE_CONTROL_MAX},
	[WIRE_STOPPED] = {"STOPPED", WIRE_CONTROL_MAX},
	[WIRE_LAST_LAP] = {"LAST_LAP", WIRE_CONTROL_MAX},
	[WIRE_REASON] = {"REASON", WIRE_CONTROL_MAX},
	[WIRE_JOIN] = {"JOIN", WIRE_CONTROL_MAX},
	[WIRE_JOINED] = {"JOINED", WIRE_CONTROL_MAX},
	[WIRE_CHUNK] = {"CHUNK", WIRE_CHUNK_MAX},
	[WIRE_PASS_END] = {"PASS_END", WIRE_CONTROL_MAX},
	[WIRE_GENERATION] = {"GENERATION", WIRE_CONTROL_MAX},
	[WIRE_END] = {"END", WIRE_CONTROL_MAX},
	[WIRE_READY] = {"READY", WIRE_CONTROL_MAX},
	[WIRE_COMMIT] = {"COMMIT", WIRE_CONTROL_MAX},
	[WIRE_RUNNING] = {"RUNNING", WIRE_CONTROL_MAX},
	[WIRE_CLOSED] = {"CLOSED", WIRE_CONTROL_MAX},
	[WIRE_NEVER] = {"NEVER", WIRE_CONTROL_MAX},
	[WIRE_UNKNOWN] = {"UNKNOWN", WIRE_CONTROL_MAX},
	[WIRE_LOST] = {"LOST", WIRE_CONTROL_MAX},
};

#define N_TYPES (sizeof(types) / sizeof(types[0]))

size_t wire_body_max(unsigned type, bool *ret_known)
{
	*ret_known = type < N_TYPES && types[type].name;
	return *ret_known ? types[type].body_max : 0;
}

const char *wire_type_name(unsigned type)
{
	return type < N_TYPES && types[type].name ? types[type].name : "?";
}

int wire_unpack_header(const uint8_t *hdr, enum wire_type *ret_type, size_t *ret_len)
{
	uint32_t len = be32_get(hdr);
	uint16_t type = be16_get(hdr + 4);
	bool known;

	if (be16_get(hdr + 6) != 0 || len > wire_body_max(type, &known) || !known)
		return -EBADMSG;
	*ret_type = (enum wire_type)type;
	*ret_len = len;
	return 0;
}

void wire_pack_header(uint8_t hdr[static WIRE_HDR_SIZE], enum wire_type type, size_t len)
{
	bool known;

	assert(len <= wire_body_max(type, &known));
	be32_put(hdr, (uint32_t)len);
	be16_put(hdr + 4, (uint16_t)type);
	be16_put(hdr + 6, 0);
}

/* A frame under construction: begin() leaves room for the header, finish() fills it in. */
static void begin(struct pack *k, void *buf, size_t cap)
{
	pack_init(k, buf, cap);
	pack_space(k, WIRE_HDR_SIZE);
}

static int finish(struct pack *k, enum wire_type type)
{
	if (pack_end(k) < 0)
		return -EMSGSIZE;
	wire_pack_header(k->buf, type, k->len - WIRE_HDR_SIZE);
	return (int)k->len;
}

/* An enum's number from the wire, judged by the caller's range: marks the unpack bad outside. */
static unsigned number(struct unpack *u, unsigned v, unsigned min, unsigned max)
{
	if (v < min || v > max)
		u->bad = true;
	return v;
}

/* A stream that there is: MEMORY has a number and nothing else. */
static enum wire_stream stream(struct unpack *u, unsigned v)
{
	if (v == WIRE_STREAM_MEMORY)
		u->bad = true;
	return number(u, v, WIRE_STREAM_HTAB, WIRE_STREAM_TLB);
}

int wire_pack_hello(const struct wire_hello *m, void *buf, size_t cap)
{
	struct pack k;

	begin(&k, buf, cap);
	pack_u64(&k, WIRE_MAGIC);
	pack_u16(&k, m->version_min);
	pack_u16(&k, m->version_max);
	pack_u64(&k, m->features);
	pack_u16(&k, (uint16_t)m->role);
	pack_str(&k, m->name);
	return finish(&k, WIRE_HELLO);
}

int wire_unpack_hello(const void *body, size_t len, struct wire_hello *ret)
{
	struct wire_hello m;
	struct unpack u;

	unpack_init(&u, body, len);
	if (unpack_u64(&u) != WIRE_MAGIC)
		return -EBADMSG;
	m.version_min = unpack_u16(&u);
	m.version_max = unpack_u16(&u);
	m.features = unpack_u64(&u);
	m.role = number(&u, unpack_u16(&u), WIRE_ROLE_CONTROL, WIRE_ROLE_QUESTION);
	unpack_text(&u, m.name, sizeof(m.name));
	if (unpack_end(&u) < 0 || m.version_min > m.version_max)
		return -EBADMSG;
	*ret = m;
	return 0;
}

int wire_pack_welcome(const struct wire_welcome *m, void *buf, size_t cap)
{
	struct pack k;

	begin(&k, buf, cap);
	pack_u16(&k, m->version);
	pack_u64(&k, m->features);
	pack_str(&k, m->name);
	return finish(&k, WIRE_WELCOME);
}

int wire_unpack_welcome(const void *body, size_t len, struct wire_welcome *ret)
{
	struct wire_welcome m;
	struct unpack u;

	unpack_init(&u, body, len);
	m.version = unpack_u16(&u);
	m.features = unpack_u64(&u);
	unpack_text(&u, m.name, sizeof(m.name));
	if (unpack_end(&u) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

int wire_pack_refuse(enum wire_type type, const struct wire_refuse *m, void *buf, size_t cap)
{
	struct pack k;

	assert(type == WIRE_REFUSE || type == WIRE_ABORT || type == WIRE_REASON);
	begin(&k, buf, cap);
	pack_u16(&k, (uint16_t)m->code);
	pack_str(&k, m->text);
	return finish(&k, type);
}

int wire_unpack_refuse(const void *body, size_t len, struct wire_refuse *ret)
{
	struct wire_refuse m;
	struct unpack u;

	unpack_init(&u, body, len);
	m.code = number(&u, unpack_u16(&u), WIRE_REFUSE_PROTOCOL, WIRE_REFUSE_CANCELLED);
	unpack_text(&u, m.text, sizeof(m.text));
	if (unpack_end(&u) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

int wire_pack_open(const struct wire_open *m, void *buf, size_t cap)
{
	struct pack k;

	begin(&k, buf, cap);
	pack_bytes(&k, m->session.b, sizeof(m->session.b));
	pack_bytes(&k, m->uuid.b, sizeof(m->uuid.b));
	pack_str(&k, m->name);
	pack_u8(&k, (uint8_t)m->mmu);
	pack_u8(&k, (uint8_t)m->order);
	pack_u8(&k, (uint8_t)m->codec);
	pack_u8(&k, (uint8_t)m->channels);
	pack_u32(&k, m->vcpus);
	pack_u32(&k, m->pvr);
	pack_u32(&k, m->flags);
	if (m->mmu == MMU_BOOKE)
		tlb_geometry_pack(&k, &m->tlb);
	if (m->flags & WIRE_OPEN_PROCESSOR) {
		pack_u32(&k, m->compat);
		pack_u64(&k, m->vcpu_ids);
	}
	return finish(&k, WIRE_OPEN);
}

int wire_unpack_open(const void *body, size_t len, struct wire_open *ret)
{
	struct wire_open m = {0};
	struct unpack u;

	unpack_init(&u, body, len);
	unpack_copy(&u, m.session.b, sizeof(m.session.b));
	unpack_copy(&u, m.uuid.b, sizeof(m.uuid.b));
	unpack_str(&u, m.name, sizeof(m.name));
	m.mmu = number(&u, unpack_u8(&u), MMU_HPT, MMU_BOOKE);
	m.order = unpack_u8(&u);
	m.codec = number(&u, unpack_u8(&u), WIRE_CODEC_NONE, WIRE_CODEC_HPTE);
	m.channels = number(&u, unpack_u8(&u), 1, WIRE_CHANNELS_MAX);
	m.vcpus = unpack_u32(&u);
	m.pvr = unpack_u32(&u);
	m.flags = unpack_u32(&u);
	if (m.mmu == MMU_BOOKE)
		tlb_geometry_unpack(&u, &m.tlb);
	if (m.flags & WIRE_OPEN_PROCESSOR) {
		m.compat = unpack_u32(&u);
		m.vcpu_ids = unpack_u64(&u);
	}
	if (unpack_end(&u) < 0 || session_is_none(&m.session) || !vm_name_ok(m.name) ||
		(m.flags & ~(WIRE_OPEN_VERIFY | WIRE_OPEN_RECOVER | WIRE_OPEN_PROCESSOR)) ||
		!processor_compat_ok(m.compat) || !mmu_table_ok(m.mmu, m.order, &m.tlb))
		return -EBADMSG;
	*ret = m;
	return 0;
}

int wire_pack_accept(const struct wire_accept *m, void *buf, size_t cap)
{
	struct pack k;

	begin(&k, buf, cap);
	pack_bytes(&k, m->secret, sizeof(m->secret));
	pack_u32(&k, m->ring);
	return finish(&k, WIRE_ACCEPT);
}

int wire_unpack_accept(const void *body, size_t len, struct wire_accept *ret)
{
	struct wire_accept m;
	struct unpack u;

	unpack_init(&u, body, len);
	unpack_copy(&u, m.secret, sizeof(m.secret));
	m.ring = number(&u, unpack_u32(&u), 1, WIRE_RING_MAX);
	if (unpack_end(&u) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

int wire_pack_resume(const struct wire_resume *m, void *buf, size_t cap)
{
	struct pack k;

	begin(&k, buf, cap);
	pack_bytes(&k, m->session.b, sizeof(m->session.b));
	pack_bytes(&k, m->uuid.b, sizeof(m->uuid.b));
	pack_bytes(&k, m->secret, sizeof(m->secret));
	return finish(&k, WIRE_RESUME);
}

int wire_unpack_resume(const void *body, size_t len, struct wire_resume *ret)
{
	struct wire_resume m;
	struct unpack u;

	unpack_init(&u, body, len);
	unpack_copy(&u, m.session.b, sizeof(m.session.b));
	unpack_copy(&u, m.uuid.b, sizeof(m.uuid.b));
	unpack_copy(&u, m.secret, sizeof(m.secret));
	if (unpack_end(&u) < 0 || session_is_none(&m.session))
		return -EBADMSG;
	*ret = m;
	return 0;
}

int wire_pack_resumed(const struct wire_resumed *m, void *buf, size_t cap)
{
	struct pack k;

	assert(m->channels <= WIRE_CHANNELS_MAX);
	begin(&k, buf, cap);
	pack_bytes(&k, m->secret, sizeof(m->secret));
	pack_u32(&k, m->channels);
	for (uint32_t i = 0; i < m->channels; i++) {
		pack_u64(&k, m->channel[i].seq);
		pack_u32(&k, m->channel[i].generation);
		pack_u32(&k, m->channel[i].pass);
	}
	return finish(&k, WIRE_RESUMED);
}

int wire_unpack_resumed(const void *body, size_t len, struct wire_resumed *ret)
{
	struct wire_resumed m = {0};
	struct unpack u;

	unpack_init(&u, body, len);
	unpack_copy(&u, m.secret, sizeof(m.secret));
	m.channels = number(&u, unpack_u32(&u), 1, WIRE_CHANNELS_MAX);
	for (uint32_t i = 0; !u.bad && i < m.channels; i++) {
		m.channel[i].seq = unpack_u64(&u);
		m.channel[i].generation = number(&u, unpack_u32(&u), 1, UINT32_MAX);
		m.channel[i].pass = unpack_u32(&u);
	}
	if (unpack_end(&u) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

int wire_pack_join(const struct wire_join *m, void *buf, size_t cap)
{
	struct pack k;

	begin(&k, buf, cap);
	pack_bytes(&k, m->session.b, sizeof(m->session.b));
	pack_u32(&k, m->channel);
	pack_bytes(&k, m->secret, sizeof(m->secret));
	return finish(&k, WIRE_JOIN);
}

int wire_unpack_join(const void *body, size_t len, struct wire_join *ret)
{
	struct wire_join m;
	struct unpack u;

	unpack_init(&u, body, len);
	unpack_copy(&u, m.session.b, sizeof(m.session.b));
	m.channel = number(&u, unpack_u32(&u), 0, WIRE_CHANNELS_MAX - 1);
	unpack_copy(&u, m.secret, sizeof(m.secret));
	if (unpack_end(&u) < 0 || session_is_none(&m.session))
		return -EBADMSG;
	*ret = m;
	return 0;
}

int wire_pack_ack(const struct wire_ack *m, void *buf, size_t cap)
{
	struct pack k;

	begin(&k, buf, cap);
	pack_u32(&k, m->channel);
	pack_u64(&k, m->seq);
	return finish(&k, WIRE_ACK);
}

int wire_unpack_ack(const void *body, size_t len, struct wire_ack *ret)
{
	struct wire_ack m;
	struct unpack u;

	unpack_init(&u, body, len);
	m.channel = number(&u, unpack_u32(&u), 0, WIRE_CHANNELS_MAX - 1);
	m.seq = unpack_u64(&u);
	if (unpack_end(&u) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

int wire_pack_verified(const struct wire_verified *m, void *buf, size_t cap)
{
	struct pack k;

	begin(&k, buf, cap);
	pack_u64(&k, m->entries);
	pack_u64(&k, m->mismatches);
	return finish(&k, WIRE_VERIFIED);
}

int wire_unpack_verified(const void *body, size_t len, struct wire_verified *ret)
{
	struct wire_verified m;
	struct unpack u;

	unpack_init(&u, body, len);
	m.entries = unpack_u64(&u);
	m.mismatches = unpack_u64(&u);
	if (unpack_end(&u) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

int wire_pack_chunk(const struct wire_chunk *m, size_t payload, void *buf, size_t cap)
{
	struct pack k;

	begin(&k, buf, cap);
	pack_u8(&k, (uint8_t)m->stream);
	pack_u8(&k, (uint8_t)m->codec);
	pack_u16(&k, 0);
	pack_u32(&k, m->generation);
	pack_u32(&k, m->pass);
	pack_u32(&k, m->plain);
	pack_u64(&k, m->seq);
	if (pack_end(&k) < 0 || payload > WIRE_CHUNK_MAX - WIRE_CHUNK_HDR)
		return -EMSGSIZE;
	wire_pack_header(k.buf, WIRE_CHUNK, WIRE_CHUNK_HDR + payload);
	return (int)k.len;
}

int wire_unpack_chunk(const void *body, size_t len, struct wire_chunk *ret,
	const uint8_t **ret_payload, size_t *ret_payload_len)
{
	struct wire_chunk m;
	struct unpack u;

	unpack_init(&u, body, len);
	m.stream = stream(&u, unpack_u8(&u));
	m.codec = number(&u, unpack_u8(&u), WIRE_CODEC_NONE, WIRE_CODEC_HPTE);
	number(&u, unpack_u16(&u), 0, 0);
	m.generation = number(&u, unpack_u32(&u), 1, UINT32_MAX);
	m.pass = number(&u, unpack_u32(&u), 1, UINT32_MAX);
	m.plain = number(&u, unpack_u32(&u), 1, WIRE_PLAIN_MAX);
	m.seq = unpack_u64(&u);
	if (u.bad || m.seq == 0 || u.left == 0 || u.left > WIRE_CHUNK_MAX - WIRE_CHUNK_HDR)
		return -EBADMSG;
	if (m.codec == WIRE_CODEC_NONE && u.left != m.plain)
		return -EBADMSG;
	*ret = m;
	*ret_payload = u.p;
	*ret_payload_len = u.left;
	return 0;
}

int wire_pack_pass_end(const struct wire_pass_end *m, void *buf, size_t cap)
{
	struct pack k;

	begin(&k, buf, cap);
	pack_u32(&k, (uint32_t)m->stream);
	pack_u32(&k, m->generation);
	pack_u32(&k, m->pass);
	pack_u64(&k, m->seq);
	return finish(&k, WIRE_PASS_END);
}

int wire_unpack_pass_end(const void *body, size_t len, struct wire_pass_end *ret)
{
	struct wire_pass_end m;
	struct unpack u;

	unpack_init(&u, body, len);
	m.stream = stream(&u, unpack_u32(&u));
	m.generation = number(&u, unpack_u32(&u), 1, UINT32_MAX);
	m.pass = number(&u, unpack_u32(&u), 1, UINT32_MAX);
	m.seq = unpack_u64(&u);
	if (unpack_end(&u) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

int wire_pack_generation(const struct wire_generation *m, void *buf, size_t cap)
{
	struct pack k;

	begin(&k, buf, cap);
	pack_u32(&k, m->generation);
	pack_u32(&k, m->order);
	pack_u64(&k, m->seq);
	return finish(&k, WIRE_GENERATION);
}

int wire_unpack_generation(const void *body, size_t len, struct wire_generation *ret)
{
	struct wire_generation m;
	struct unpack u;

	unpack_init(&u, body, len);
	m.generation = number(&u, unpack_u32(&u), 2, WIRE_GENERATION_MAX);
	m.order = number(&u, unpack_u32(&u), HTAB_ORDER_MIN, HTAB_ORDER_MAX);
	m.seq = unpack_u64(&u);
	if (unpack_end(&u) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

int wire_pack_last_lap(const struct wire_last_lap *m, void *buf, size_t cap)
{
	struct pack k;

	begin(&k, buf, cap);
	pack_u32(&k, m->generation);
	pack_u32(&k, m->pass);
	pack_u32(&k, m->flags);
	pack_u64(&k, m->first_valid);
	pack_u64(&k, m->first_invalid);
	pack_u64(&k, m->valid);
	pack_u64(&k, m->invalid);
	return finish(&k, WIRE_LAST_LAP);
}

int wire_unpack_last_lap(const void *body, size_t len, struct wire_last_lap *ret)
{
	struct wire_last_lap m;
	struct unpack u;

	unpack_init(&u, body, len);
	m.generation = number(&u, unpack_u32(&u), 1, WIRE_GENERATION_MAX);
	m.pass = number(&u, unpack_u32(&u), 1, UINT32_MAX);
	m.flags = number(&u, unpack_u32(&u), 0, WIRE_LAP_PAUSED | WIRE_LAP_WHOLE);
	m.first_valid = unpack_u64(&u);
	m.first_invalid = unpack_u64(&u);
	m.valid = unpack_u64(&u);
	m.invalid = unpack_u64(&u);
	if (unpack_end(&u) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

int wire_pack_end(const struct wire_end *m, void *buf, size_t cap)
{
	struct pack k;

	assert(m->channels >= 1 && m->channels <= WIRE_CHANNELS_MAX);
	begin(&k, buf, cap);
	pack_bytes(&k, m->session.b, sizeof(m->session.b));
	pack_u32(&k, m->generation);
	pack_u32(&k, m->passes);
	pack_u64(&k, m->pause_age);
	pack_u64(&k, m->valid);
	pack_u64(&k, m->invalid);
	pack_u64(&k, m->state_size);
	pack_u64(&k, m->state_digest);
	pack_u32(&k, m->channels);
	for (uint32_t i = 0; i < m->channels; i++) {
		pack_u64(&k, m->channel[i].seq);
		pack_u64(&k, m->channel[i].digest);
	}
	return finish(&k, WIRE_END);
}

int wire_unpack_end(const void *body, size_t len, struct wire_end *ret)
{
	struct wire_end m = {0};
	struct unpack u;

	unpack_init(&u, body, len);
	unpack_copy(&u, m.session.b, sizeof(m.session.b));
	m.generation = number(&u, unpack_u32(&u), 1, WIRE_GENERATION_MAX);
	m.passes = unpack_u32(&u);
	m.pause_age = unpack_u64(&u);
	m.valid = unpack_u64(&u);
	m.invalid = unpack_u64(&u);
	m.state_size = unpack_u64(&u);
	m.state_digest = unpack_u64(&u);
	m.channels = number(&u, unpack_u32(&u), 1, WIRE_CHANNELS_MAX);
	for (uint32_t i = 0; !u.bad && i < m.channels; i++) {
		m.channel[i].seq = unpack_u64(&u);
		m.channel[i].digest = unpack_u64(&u);
	}
	if (unpack_end(&u) < 0 || session_is_none(&m.session))
		return -EBADMSG;
	*ret = m;
	return 0;
}

int wire_pack_session(enum wire_type type, const struct wire_session *m, void *buf, size_t cap)
{
	struct pack k;

	assert(type >= WIRE_READY && type <= WIRE_LOST);
	begin(&k, buf, cap);
	pack_bytes(&k, m->session.b, sizeof(m->session.b));
	pack_bytes(&k, m->uuid.b, sizeof(m->uuid.b));
	return finish(&k, type);
}

int wire_unpack_session(const void *body, size_t len, struct wire_session *ret)
{
	struct wire_session m;
	struct unpack u;

	unpack_init(&u, body, len);
	unpack_copy(&u, m.session.b, sizeof(m.session.b));
	unpack_copy(&u, m.uuid.b, sizeof(m.uuid.b));
	if (unpack_end(&u) < 0 || session_is_none(&m.session))
		return -EBADMSG;
	*ret = m;
	return 0;
}

int wire_pack_u64(enum wire_type type, uint64_t v, void *buf, size_t cap)
{
	struct pack k;

	begin(&k, buf, cap);
	pack_u64(&k, v);
	return finish(&k, type);
}

int wire_unpack_u64(const void *body, size_t len, uint64_t *ret)
{
	struct unpack u;
	uint64_t v;

	unpack_init(&u, body, len);
	v = unpack_u64(&u);
	if (unpack_end(&u) < 0)
		return -EBADMSG;
	*ret = v;
	return 0;
}

int wire_pack_empty(enum wire_type type, void *buf, size_t cap)
{
	struct pack k;

	begin(&k, buf, cap);
	return finish(&k, type);
}

int wire_choose_version(uint16_t peer_min, uint16_t peer_max, uint16_t *ret)
{
	uint16_t v = peer_max < WIRE_VERSION_MAX ? peer_max : WIRE_VERSION_MAX;

	if (v < WIRE_VERSION_MIN || v < peer_min)
		return -EPROTONOSUPPORT;
	*ret = v;
	return 0;
}
