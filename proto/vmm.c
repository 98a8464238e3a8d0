/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/vmm.h"

#include <assert.h>

#include "proto/booke.h"
#include "proto/processor.h"

#define REGISTER_INCOMING 0x1u
#define REGISTER_RUNNING  0x2u
#define ERRNO_MAX         4095 /* as the kernel's MAX_ERRNO */

/* What a request's body holds; a row for each type, so that packing and unpacking agree. */
enum body {
	BODY_NOTHING,
	BODY_SESSION,
	BODY_SET_STATE,
	BODY_HTAB,
	BODY_THROTTLE,
	BODY_NOTE,
	BODY_TEXT,
	BODY_ORDER,
	BODY_ANSWER,
};

static const struct request_type {
	uint16_t type;
	bool answered; /* has a serial and is answered by a REPLY */
	enum body body;
} request_types[] = {
	{VMM_REGISTERED, false, BODY_NOTHING},
	{VMM_REFUSED, false, BODY_TEXT},
	{VMM_LEASE, false, BODY_SESSION},
	{VMM_OPEN_HTAB, true, BODY_HTAB},
	{VMM_PAUSE, true, BODY_SESSION},
	{VMM_RESUME, true, BODY_SESSION},
	{VMM_GET_STATE, true, BODY_SESSION},
	{VMM_SET_STATE, true, BODY_SET_STATE},
	{VMM_RESET_HTAB, true, BODY_ORDER},
	{VMM_THROTTLE, true, BODY_THROTTLE},
	{VMM_NOTE, true, BODY_NOTE},
	{VMM_UNDO, true, BODY_SESSION},
	{VMM_RELEASE, true, BODY_SESSION},
	{VMM_HTAB_ANSWER, false, BODY_ANSWER},
	{VMM_CLOSE_HTAB, false, BODY_NOTHING},
	{VMM_QUERY_STATE, true, BODY_NOTHING},
	{VMM_QUERY_TIME, true, BODY_SESSION},
	{VMM_QUERY_TLB, true, BODY_NOTHING},
};

static const struct request_type *find_type(uint16_t type)
{
	for (size_t i = 0; i < sizeof(request_types) / sizeof(request_types[0]); i++)
		if (request_types[i].type == type)
			return &request_types[i];
	return NULL;
}

const char *vmm_type_name(uint16_t type)
{
	switch ((enum vmm_type)type) {
	case VMM_REGISTER: return "REGISTER";
	case VMM_EVENT: return "EVENT";
	case VMM_REPLY: return "REPLY";
	case VMM_REGISTERED: return "REGISTERED";
	case VMM_REFUSED: return "REFUSED";
	case VMM_LEASE: return "LEASE";
	case VMM_OPEN_HTAB: return "OPEN_HTAB";
	case VMM_PAUSE: return "PAUSE";
	case VMM_RESUME: return "RESUME";
	case VMM_GET_STATE: return "GET_STATE";
	case VMM_SET_STATE: return "SET_STATE";
	case VMM_RESET_HTAB: return "RESET_HTAB";
	case VMM_THROTTLE: return "THROTTLE";
	case VMM_NOTE: return "NOTE";
	case VMM_UNDO: return "UNDO";
	case VMM_RELEASE: return "RELEASE";
	case VMM_HTAB_ANSWER: return "HTAB_ANSWER";
	case VMM_CLOSE_HTAB: return "CLOSE_HTAB";
	case VMM_QUERY_STATE: return "QUERY_STATE";
	case VMM_QUERY_TIME: return "QUERY_TIME";
	case VMM_QUERY_TLB: return "QUERY_TLB";
	}
	return "?";
}

static void pack_header(
	struct pack *k, void *buf, enum vmm_type type, uint16_t version, uint32_t serial)
{
	pack_init(k, buf, VMM_PACKET_MAX);
	pack_u16(k, (uint16_t)type);
	pack_u16(k, version);
	pack_u32(k, serial);
}

/* The packet's length, or -EMSGSIZE. */
static int packed(const struct pack *k)
{
	int r = pack_end(k);

	return r < 0 ? r : (int)k->len;
}

struct header {
	uint16_t type, version;
	uint32_t serial;
};

static void unpack_header(struct unpack *u, struct header *h)
{
	h->type = unpack_u16(u);
	h->version = unpack_u16(u);
	h->serial = unpack_u32(u);
}

int vmm_unpack_header(const void *buf, size_t len, uint16_t *ret_type, uint32_t *ret_serial)
{
	struct header h;
	struct unpack u;

	unpack_init(&u, buf, len);
	unpack_header(&u, &h);
	if (u.bad)
		return -EBADMSG;
	*ret_type = h.type;
	*ret_serial = h.serial;
	return 0;
}

static void pack_note(struct pack *k, const struct vmm_note *n)
{
	if (n->cookie_len > VMM_COOKIE_MAX) {
		k->overflow = true;
		return;
	}
	pack_bytes(k, n->session.b, sizeof(n->session.b));
	pack_u8(k, (uint8_t)n->note);
	pack_u8(k, 0);
	pack_u16(k, n->cookie_len);
	pack_bytes(k, n->cookie, n->cookie_len);
}

/* Session, note and cookie, as in REGISTER and in NOTE. */
static void unpack_note(struct unpack *u, struct session_id *session, enum session_note *note,
	uint16_t *cookie_len, uint8_t cookie[static VMM_COOKIE_MAX])
{
	uint8_t number, reserved;

	unpack_copy(u, session->b, sizeof(session->b));
	number = unpack_u8(u);
	reserved = unpack_u8(u);
	*cookie_len = unpack_u16(u);
	if (session_is_none(session) || number < NOTE_LOADING || number > NOTE_COMMITTING ||
		reserved || *cookie_len > VMM_COOKIE_MAX) {
		u->bad = true;
		return;
	}
	*note = (enum session_note)number;
	unpack_copy(u, cookie, *cookie_len);
}

int vmm_pack_register(const struct vmm_register *m, void *buf)
{
	struct pack k;

	if (m->n_notes > VMM_NOTES_MAX)
		return -EMSGSIZE;
	pack_header(&k, buf, VMM_REGISTER, (uint16_t)m->version, 0);
	pack_str(&k, m->name);
	pack_bytes(&k, m->uuid.b, sizeof(m->uuid.b));
	pack_u8(&k, (uint8_t)m->mmu);
	pack_u8(&k,
		(uint8_t)((m->incoming ? REGISTER_INCOMING : 0) |
			(m->running ? REGISTER_RUNNING : 0)));
	pack_u16(&k, 0);
	pack_u32(&k, m->order);
	pack_u32(&k, m->vcpus);
	pack_u32(&k, m->pvr);
	if (m->mmu == MMU_BOOKE)
		tlb_geometry_pack(&k, &m->tlb);
	pack_u32(&k, m->compat);
	pack_u64(&k, m->vcpu_ids);
	pack_u32(&k, m->n_notes);
	for (uint32_t i = 0; i < m->n_notes; i++)
		pack_note(&k, &m->notes[i]);
	return packed(&k);
}

static enum mmu_kind unpack_mmu(struct unpack *u)
{
	uint8_t mmu = unpack_u8(u);

	if (mmu != MMU_HPT && mmu != MMU_BOOKE)
		u->bad = true;
	return mmu == MMU_BOOKE ? MMU_BOOKE : MMU_HPT;
}

static void unpack_register_body(struct unpack *u, struct vmm_register *m)
{
	uint16_t reserved;
	uint8_t flags;

	unpack_str(u, m->name, sizeof(m->name));
	unpack_copy(u, m->uuid.b, sizeof(m->uuid.b));
	m->mmu = unpack_mmu(u);
	flags = unpack_u8(u);
	reserved = unpack_u16(u);
	m->order = unpack_u32(u);
	m->vcpus = unpack_u32(u);
	m->pvr = unpack_u32(u);
	if (m->mmu == MMU_BOOKE)
		tlb_geometry_unpack(u, &m->tlb);
	m->compat = unpack_u32(u);
	m->vcpu_ids = unpack_u64(u);
	m->n_notes = unpack_u32(u);
	m->incoming = flags & REGISTER_INCOMING;
	m->running = flags & REGISTER_RUNNING;
	if (flags & ~(REGISTER_INCOMING | REGISTER_RUNNING) || reserved ||
		(m->incoming && m->running) || !vm_name_ok(m->name) ||
		!mmu_table_ok(m->mmu, m->order, &m->tlb) || m->vcpus < 1 ||
		m->vcpus > VMM_VCPUS_MAX || m->n_notes > VMM_NOTES_MAX ||
		!processor_compat_ok(m->compat)) {
		u->bad = true;
		return;
	}
	for (uint32_t i = 0; i < m->n_notes && !u->bad; i++) {
		struct vmm_note *n = &m->notes[i];

		unpack_note(u, &n->session, &n->note, &n->cookie_len, n->cookie);
		for (uint32_t j = 0; j < i; j++)
			if (session_eq(&m->notes[j].session, &n->session))
				u->bad = true;
	}
}

int vmm_unpack_register(const void *buf, size_t len, struct vmm_register *ret)
{
	struct vmm_register m = {0};
	struct header h;
	struct unpack u;

	unpack_init(&u, buf, len);
	unpack_header(&u, &h);
	if (u.bad || h.type != VMM_REGISTER || h.serial != 0)
		return -EBADMSG;
	m.version = h.version;
	if (h.version != VMM_VERSION) {
		ret->version = h.version;
		return -EPROTONOSUPPORT;
	}
	unpack_register_body(&u, &m);
	if (unpack_end(&u) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

/* HTAB_CHANGE and HTAB_CHANGED have an order, the others none. */
static bool event_order_ok(uint16_t kind, uint32_t order)
{
	if (kind == VMM_EVENT_HTAB_CHANGE || kind == VMM_EVENT_HTAB_CHANGED)
		return htab_order_ok(order);
	return order == 0;
}

int vmm_pack_event(const struct vmm_event *m, void *buf)
{
	struct pack k;

	assert(event_order_ok((uint16_t)m->kind, m->order));
	pack_header(&k, buf, VMM_EVENT, 0, 0);
	pack_u16(&k, (uint16_t)m->kind);
	pack_u16(&k, (uint16_t)m->order);
	pack_bytes(&k, m->session.b, sizeof(m->session.b));
	pack_str(&k, m->text);
	return packed(&k);
}

int vmm_unpack_event(const void *buf, size_t len, struct vmm_event *ret)
{
	struct vmm_event m = {0};
	uint16_t kind;
	struct header h;
	struct unpack u;

	unpack_init(&u, buf, len);
	unpack_header(&u, &h);
	kind = unpack_u16(&u);
	m.order = unpack_u16(&u);
	unpack_copy(&u, m.session.b, sizeof(m.session.b));
	unpack_text(&u, m.text, sizeof(m.text));
	if (unpack_end(&u) < 0 || h.type != VMM_EVENT || h.version || h.serial ||
		((kind < VMM_EVENT_RESUMED || kind > VMM_EVENT_HTAB_CHANGED) &&
			kind != VMM_EVENT_COMPAT) ||
		!event_order_ok(kind, m.order))
		return -EBADMSG;
	m.kind = (enum vmm_event_kind)kind;
	*ret = m;
	return 0;
}

int vmm_pack_reply(uint32_t serial, const struct vmm_reply *m, void *buf)
{
	struct pack k;

	assert(serial != 0);
	assert(m->error <= 0 && m->error >= -ERRNO_MAX);
	pack_header(&k, buf, VMM_REPLY, 0, serial);
	pack_u32(&k, (uint32_t)-m->error);
	pack_u64(&k, m->value);
	pack_str(&k, m->text);
	return packed(&k);
}

int vmm_unpack_reply(const void *buf, size_t len, struct vmm_reply *ret)
{
	struct vmm_reply m = {0};
	struct header h;
	struct unpack u;
	uint32_t error;

	unpack_init(&u, buf, len);
	unpack_header(&u, &h);
	error = unpack_u32(&u);
	m.value = unpack_u64(&u);
	unpack_text(&u, m.text, sizeof(m.text));
	if (unpack_end(&u) < 0 || h.type != VMM_REPLY || h.version || h.serial == 0 ||
		error > ERRNO_MAX)
		return -EBADMSG;
	m.error = -(int)error;
	*ret = m;
	return 0;
}

int vmm_pack_request(const struct vmm_request *m, void *buf)
{
	const struct request_type *t = find_type((uint16_t)m->type);
	struct vmm_note note;
	struct pack k;

	assert(t && t->answered == (m->serial != 0));
	pack_header(&k, buf, m->type, 0, m->serial);
	switch (t->body) {
	case BODY_NOTHING: break;
	case BODY_SESSION: pack_bytes(&k, m->session.b, sizeof(m->session.b)); break;
	case BODY_SET_STATE:
		pack_bytes(&k, m->session.b, sizeof(m->session.b));
		pack_u64(&k, m->paused_at);
		break;
	case BODY_HTAB:
		pack_u32(&k, m->flags);
		pack_u64(&k, m->start_index);
		break;
	case BODY_THROTTLE: pack_u32(&k, m->percent); break;
	case BODY_NOTE:
		if (m->cookie_len > VMM_COOKIE_MAX)
			return -EMSGSIZE;
		note.session = m->session;
		note.note = m->note;
		note.cookie_len = m->cookie_len;
		memcpy(note.cookie, m->cookie, m->cookie_len);
		pack_note(&k, &note);
		break;
	case BODY_TEXT: pack_str(&k, m->text); break;
	case BODY_ORDER:
		pack_bytes(&k, m->session.b, sizeof(m->session.b));
		pack_u32(&k, m->order);
		break;
	case BODY_ANSWER:
		assert(m->error <= 0 && m->error >= -ERRNO_MAX);
		pack_u32(&k, (uint32_t)-m->error);
		pack_str(&k, m->text);
		break;
	}
	return packed(&k);
}

static void unpack_request_body(struct unpack *u, enum body body, struct vmm_request *m)
{
	uint32_t error;

	switch (body) {
	case BODY_NOTHING: return;
	case BODY_SESSION:
		unpack_copy(u, m->session.b, sizeof(m->session.b));
		u->bad |= session_is_none(&m->session);
		return;
	case BODY_SET_STATE:
		unpack_copy(u, m->session.b, sizeof(m->session.b));
		m->paused_at = unpack_u64(u);
		u->bad |= session_is_none(&m->session);
		return;
	case BODY_HTAB:
		m->flags = unpack_u32(u);
		m->start_index = unpack_u64(u);
		u->bad |= (m->flags & ~(HTAB_FD_BOLTED_ONLY | HTAB_FD_WRITE | VMM_HTAB_SECOND)) !=
				0 ||
			(m->flags & HTAB_FD_WRITE && m->flags & VMM_HTAB_SECOND);
		return;
	case BODY_THROTTLE:
		m->percent = unpack_u32(u);
		u->bad |= m->percent > VMM_THROTTLE_MAX;
		return;
	case BODY_NOTE: unpack_note(u, &m->session, &m->note, &m->cookie_len, m->cookie); return;
	case BODY_TEXT: unpack_text(u, m->text, sizeof(m->text)); return;
	case BODY_ORDER:
		unpack_copy(u, m->session.b, sizeof(m->session.b));
		m->order = unpack_u32(u);
		u->bad |= session_is_none(&m->session) || (m->order && !htab_order_ok(m->order));
		return;
	case BODY_ANSWER:
		error = unpack_u32(u);
		unpack_text(u, m->text, sizeof(m->text));
		u->bad |= error > ERRNO_MAX;
		m->error = -(int)(u->bad ? 0 : error);
		return;
	}
}

int vmm_unpack_request(const void *buf, size_t len, struct vmm_request *ret)
{
	const struct request_type *t;
	struct vmm_request m = {0};
	struct header h;
	struct unpack u;

	unpack_init(&u, buf, len);
	unpack_header(&u, &h);
	if (u.bad || h.version)
		return -EBADMSG;
	t = find_type(h.type);
	if (!t || t->answered != (h.serial != 0))
		return -EBADMSG;
	m.type = (enum vmm_type)h.type;
	m.serial = h.serial;
	unpack_request_body(&u, t->body, &m);
	if (unpack_end(&u) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

void htabsock_pack_request(
	uint8_t dst[static HTABSOCK_REQ_SIZE], enum htabsock_op op, uint32_t count)
{
	be32_put(dst, (uint32_t)op);
	be32_put(dst + 4, count);
}

int htabsock_unpack_request(
	const void *buf, size_t len, enum htabsock_op *ret_op, uint32_t *ret_count)
{
	uint32_t op, count;
	struct unpack u;

	unpack_init(&u, buf, len);
	op = unpack_u32(&u);
	count = unpack_u32(&u);
	if (u.bad || count > HTABSOCK_RECORDS_MAX ||
		(op != HTABSOCK_READ && op != HTABSOCK_WRITE) ||
		u.left != (op == HTABSOCK_WRITE ? count : 0))
		return -EBADMSG;
	*ret_op = (enum htabsock_op)op;
	*ret_count = count;
	return 0;
}

void htabsock_pack_answer(uint8_t dst[static HTABSOCK_ANS_SIZE], int32_t result)
{
	be32_put(dst, (uint32_t)result);
}

int htabsock_unpack_answer(
	const void *buf, size_t len, enum htabsock_op op, uint32_t asked, int32_t *ret_result)
{
	struct unpack u;
	int32_t result;
	size_t follows;

	unpack_init(&u, buf, len);
	result = (int32_t)unpack_u32(&u);
	follows = op == HTABSOCK_READ && result > 0 ? (size_t)result : 0;
	if (u.bad || result < -ERRNO_MAX || (result > 0 && (uint32_t)result > asked) ||
		u.left != follows)
		return -EBADMSG;
	*ret_result = result;
	return 0;
}
