/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/dest.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "daemon/log.h"
#include "daemon/server.h"
#include "proto/state.h"

#define JOIN_MS    30000
#define CHANNEL_MS 30000
#define RING       32u /* chunks in flight: 8 MiB */

void dest_ask(struct migration *m, struct vmm_request *req, int fd, int timeout_ms, vm_reply_cb *cb)
{
	req->session = m->session;
	vm_ask(m->vm, req, fd, timeout_ms, cb, m);
}

/* -- giving up before COMMIT -- */

static void stopped_one(struct migration *m)
{
	assert(m->waits > 0);
	if (--m->waits == 0)
		migration_set(m, m->final);
}

static void dead_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	fd_close(fd);
	if (reply->value == NOTE_DEAD) {
		m->never = true;
		vm_set_note(m->vm, &m->session, NOTE_DEAD);
	} else {
		log_warn("vm %s: its VMM did not note that the session is dead: %s", m->vm_name,
			reply->text);
	}
	m->vm_waits--;
	stopped_one(m);
}

static void stop_go(struct migration *m)
{
	struct vmm_request req = {.type = VMM_NOTE, .note = NOTE_DEAD};

	if (m->in) {
		m->waits++;
		inflow_stop(m->in);
	}
	if (m->vm) {
		m->waits++;
		m->vm_waits++;
		dest_ask(m, &req, -1, VMM_TIMEOUT_MS, dead_cb);
	} else if (m->vm_dead && !m->asked_run) {
		m->never = true;
	}
	stopped_one(m);
}

void dest_stop(
	struct migration *m, enum mig_state final, enum wire_refusal code, const struct err *err)
{
	if (m->state == MIG_IN_STOPPING)
		return;
	m->final = final;
	if (err)
		m->error = *err;
	if (m->timer)
		event_del(m->timer);
	if (m->vm)
		vm_forget_asker(m->vm, m);
	if (m->peer) {
		peer_send_refuse(m->peer, WIRE_ABORT, code,
			err ? err->text : "the destination cancelled the migration");
		peer_finish(m->peer);
		m->peer = NULL;
	}
	m->joining = peer_free(m->joining);
	m->waits = 1;
	migration_enter(m, MIG_IN_STOPPING, stop_go);
}

int dest_failf(struct migration *m, int code, const char *fmt, ...)
{
	struct err err = {.code = code};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err.text, sizeof(err.text), fmt, ap);
	va_end(ap);
	dest_stop(m, MIG_FAILED, WIRE_REFUSE_FAILED, &err);
	return code;
}

int dest_cancel(struct migration *m, struct err *err)
{
	if (m->state == MIG_IN_STOPPING)
		return 0;
	if (!migration_can_cancel(m))
		return err_set(err, -EBUSY,
			"the guest of VM %s has been told to run here (step '%s'): it is too late to cancel",
			m->vm_name, migration_step(m->state));
	dest_stop(m, MIG_CANCELLED, WIRE_REFUSE_CANCELLED, NULL);
	return 0;
}

/* -- END: everything is here; is it what was sent? -- */

static void ready_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	fd_close(fd);
	if (reply->error) {
		dest_failf(m, reply->error, "the VMM of %s is not ready to run the guest: %s",
			m->vm_name, reply->text);
		return;
	}
	vm_set_note(m->vm, &m->session, NOTE_READY);
	decide_ready(m);
}

static void note_go(struct migration *m)
{
	struct vmm_request req = {.type = VMM_NOTE, .note = NOTE_READY};

	dest_ask(m, &req, -1, VMM_TIMEOUT_MS, ready_cb);
}

static void state_set_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	fd_close(fd);
	m->state_fd = fd_close(m->state_fd);
	if (reply->error)
		dest_failf(m, reply->error, "the VMM of %s cannot set the machine state: %s",
			m->vm_name, reply->text);
	else
		migration_enter(m, MIG_IN_NOTE, note_go);
}

static void state_go(struct migration *m)
{
	struct vmm_request req = {.type = VMM_SET_STATE};
	int r = m->state_fd < 0 ? -EBADMSG : fd_memfd_seal(m->state_fd);

	if (r < 0)
		dest_failf(m, r, "no machine state of %s arrived", m->vm_name);
	else
		dest_ask(m, &req, m->state_fd, VMM_TIMEOUT_MS, state_set_cb);
}

static void in_finished(void *arg)
{
	struct migration *m = arg;

	inflow_get_stats(m->in, &m->in_stats);
	m->in = inflow_free(m->in);
	if (m->state == MIG_IN_FINISH)
		migration_enter(m, MIG_IN_STATE, state_go);
	else if (m->state == MIG_IN_STOPPING)
		stopped_one(m);
}

static void finish_go(struct migration *m)
{
	inflow_finish(m->in, &m->end);
}

static int end_frame(struct migration *m, const uint8_t *body, size_t len)
{
	if (wire_unpack_end(body, len, &m->end) < 0 || !session_eq(&m->end.session, &m->session) ||
		m->end.channels != m->open.channels || m->end.generation != 1)
		return -EBADMSG;
	if (m->end.state_size != m->state_done || m->end.state_digest != m->state_digest)
		return dest_failf(m, -EBADMSG,
			       "the machine state of %s arrived damaged: %llu bytes of %llu",
			       m->vm_name, (unsigned long long)m->state_done,
			       (unsigned long long)m->end.state_size),
		       0;
	migration_enter(m, MIG_IN_FINISH, finish_go);
	return 0;
}

static int state_frame(struct migration *m, const uint8_t *body, size_t len)
{
	if (m->state_fd < 0) {
		m->state_fd = fd_memfd("htab-migrated-state");
		m->state_digest = STREAM_DIGEST_INIT;
	}
	if (m->state_done + len > STATE_IMAGE_MAX || len == 0)
		return -EBADMSG;
	if (m->state_fd < 0 || write(m->state_fd, body, len) != (ssize_t)len) {
		dest_failf(m, -EIO, "there is no memory for the machine state of %s", m->vm_name);
		return 0;
	}
	m->state_digest = stream_digest(m->state_digest, body, len);
	m->state_done += len;
	return 0;
}

/* -- frames -- */

static int aborted(struct migration *m, const uint8_t *body, size_t len)
{
	struct wire_refuse refuse;
	struct err err;

	if (wire_unpack_refuse(body, len, &refuse) < 0)
		return -EBADMSG;
	if (!migration_can_cancel(m))
		return m->state == MIG_IN_STOPPING ? 0 : -EBADMSG;
	err_set(&err, -ECANCELED, "the source gave up: %s", refuse.text);
	dest_stop(m, refuse.code == WIRE_REFUSE_CANCELLED ? MIG_CANCELLED : MIG_FAILED,
		WIRE_REFUSE_CANCELLED, &err);
	return 0;
}

static int dest_frame(
	void *arg, struct peer *p, enum wire_type type, const uint8_t *body, size_t len)
{
	struct migration *m = arg;
	struct wire_session s;

	switch ((unsigned)type) {
	case WIRE_STATE: return m->state == MIG_IN_ACTIVE ? state_frame(m, body, len) : -EBADMSG;
	case WIRE_END: return m->state == MIG_IN_ACTIVE ? end_frame(m, body, len) : -EBADMSG;
	case WIRE_ABORT:
	case WIRE_REFUSE: return aborted(m, body, len);
	case WIRE_COMMIT:
	case WIRE_CLOSED:
		if (wire_unpack_session(body, len, &s) < 0 || !session_eq(&s.session, &m->session))
			return -EBADMSG;
		if (type == WIRE_COMMIT)
			return decide_commit(m);
		decide_closed(m);
		return 0;
	default: return -EBADMSG;
	}
}

static void dest_closed(void *arg, struct peer *p, const struct err *err)
{
	struct migration *m = arg;

	m->peer = peer_free(p);
	if (m->state >= MIG_IN_READY)
		decide_disconnected(m);
	else
		dest_failf(m, err->code, "%s", err->text);
}

const struct peer_ops dest_ops = {.frame = dest_frame, .closed = dest_closed};

/* -- passes -- */

static void in_written(void *arg, uint32_t channel, uint64_t seq)
{
	struct migration *m = arg;
	struct wire_ack ack = {.channel = channel, .seq = seq};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	if (m->peer)
		peer_send(m->peer, buf, wire_pack_ack(&ack, buf, sizeof(buf)));
}

static void in_pass_done(void *arg, enum wire_stream stream, uint32_t pass)
{
	struct migration *m = arg;
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	inflow_get_stats(m->in, &m->in_stats);
	server_status(m->srv);
	if (stream != WIRE_STREAM_VERIFY || !m->peer)
		return;
	m->verified.entries = m->in_stats.verified;
	m->verified.mismatches = m->in_stats.mismatches;
	m->have_verified = true;
	peer_send(m->peer, buf, wire_pack_verified(&m->verified, buf, sizeof(buf)));
}

static void channel_lost_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;
	struct err err = m->error;

	if (!migration_can_cancel(m))
		return;
	dest_stop(m, MIG_FAILED, WIRE_REFUSE_FAILED, &err);
}

static void in_failed(void *arg, const struct err *err)
{
	struct migration *m = arg;

	if (m->peer && migration_is_cut(err)) {
		/* The source hung up: its ABORT, which says why, may be on its way. */
		m->error = *err;
		migration_limit(m, MIGRATION_CUT_MS, channel_lost_cb);
		return;
	}
	dest_stop(m, MIG_FAILED, WIRE_REFUSE_FAILED, err);
}

static const struct inflow_ops in_ops = {
	.written = in_written,
	.pass_done = in_pass_done,
	.failed = in_failed,
	.finished = in_finished,
	.stopped = in_finished,
};

static void active_go(struct migration *m)
{
	peer_resume(m->peer);
}

/* -- JOIN -- */

static int joined_stream(struct migration *m, struct stream *stream, struct err *err)
{
	struct inflow_config c = {
		.base = m->srv->base,
		.order = m->order,
		.generation = 1,
		.ring = m->ring,
		.codec = m->open.codec,
		.timeout_ms = CHANNEL_MS,
		.ops = &in_ops,
		.arg = m,
	};
	int r = inflow_new(&c, m->htab, stream, &m->in, err);

	if (r < 0)
		return r;
	m->htab = NULL;
	if (m->htab_verify)
		inflow_set_verify(m->in, m->htab_verify);
	m->htab_verify = NULL;
	return 0;
}

/* JOINED is with the kernel: from now on the stream is the receiver's. */
static void joined_drained(void *arg, struct peer *p)
{
	struct migration *m = arg;
	struct stream *stream = peer_take_stream(p);
	struct err err;

	m->joining = NULL;
	if (!stream) {
		dest_failf(m, -EPROTO, "the source sent data before the channel was joined");
		return;
	}
	if (joined_stream(m, stream, &err) < 0) {
		stream_free(stream);
		dest_failf(m, err.code, "%s", err.text);
		return;
	}
	if (m->timer)
		event_del(m->timer);
	m->t_active = clock_ns();
	migration_enter(m, MIG_IN_ACTIVE, active_go);
}

static void joined_closed(void *arg, struct peer *p, const struct err *err)
{
	struct migration *m = arg;

	m->joining = peer_free(p);
	dest_failf(m, err->code, "%s", err->text);
}

static int joined_frame(
	void *arg, struct peer *p, enum wire_type type, const uint8_t *body, size_t len)
{
	return -EBADMSG; /* nothing comes before JOINED was sent */
}

static const struct peer_ops joined_ops = {
	.frame = joined_frame,
	.closed = joined_closed,
	.drained = joined_drained,
};

void dest_join(struct server *srv, struct peer *p, const struct wire_join *join)
{
	struct migration *m = server_find_session(srv, &join->session);
	uint8_t buf[WIRE_HDR_SIZE];

	if (!m || !m->incoming || m->state != MIG_IN_JOIN || m->joining || join->channel != 0 ||
		CRYPTO_memcmp(join->secret, m->secret, sizeof(m->secret)) ||
		strcmp(stream_peer(peer_stream(p)), m->peer_name)) {
		peer_send_refuse(p, WIRE_REFUSE, WIRE_REFUSE_DENIED,
			"this channel belongs to no migration that waits for it");
		peer_finish(p);
		return;
	}
	peer_set_ops(p, &joined_ops, m);
	m->joining = p;
	peer_pause(p);
	peer_send(p, buf, wire_pack_empty(WIRE_JOINED, buf, sizeof(buf)));
}

/* -- OPEN -- */

static void join_timeout_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;

	dest_failf(m, -ETIMEDOUT, "the source did not open its data channel within %d s",
		JOIN_MS / 1000);
}

static void join_go(struct migration *m)
{
	struct wire_accept accept = {.ring = RING};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	m->ring = RING;
	if (getrandom(m->secret, sizeof(m->secret), 0) != sizeof(m->secret)) {
		dest_failf(m, -EIO, "the kernel has no random numbers");
		return;
	}
	memcpy(accept.secret, m->secret, sizeof(accept.secret));
	peer_send(m->peer, buf, wire_pack_accept(&accept, buf, sizeof(buf)));
	migration_timer(m, JOIN_MS, join_timeout_cb);
}

/* A descriptor of the VMM's table, for writing and, when both are to be compared, for reading. */
static int take_htab(
	struct migration *m, const struct vmm_reply *reply, int fd, struct htabio **ret)
{
	struct err err;

	if (reply->error) {
		fd_close(fd);
		return dest_failf(m, reply->error, "the VMM of %s cannot open its HPT: %s",
			m->vm_name, reply->text);
	}
	if (htabio_new(fd, (enum vmm_htab_kind)reply->value, VMM_TIMEOUT_MS, ret, &err) < 0)
		return dest_failf(
			m, err.code, "the VMM of %s gave what is no HPT: %s", m->vm_name, err.text);
	return 0;
}

static void verify_htab_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	if (take_htab(m, reply, fd, &m->htab_verify) == 0)
		migration_enter(m, MIG_IN_JOIN, join_go);
}

static void htab_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;
	struct vmm_request req = {.type = VMM_OPEN_HTAB};

	if (take_htab(m, reply, fd, &m->htab) < 0)
		return;
	if (m->open.flags & WIRE_OPEN_VERIFY)
		dest_ask(m, &req, -1, VMM_TIMEOUT_MS, verify_htab_cb);
	else
		migration_enter(m, MIG_IN_JOIN, join_go);
}

static void reset_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct vmm_request req = {.type = VMM_OPEN_HTAB, .flags = HTAB_FD_WRITE};
	struct migration *m = arg;

	fd_close(fd);
	if (reply->error)
		dest_failf(m, reply->error, "the VMM of %s cannot empty its HPT: %s", m->vm_name,
			reply->text);
	else
		dest_ask(m, &req, -1, VMM_TIMEOUT_MS, htab_cb);
}

static void loading_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct vmm_request req = {.type = VMM_RESET_HTAB};
	struct migration *m = arg;

	fd_close(fd);
	if (reply->error) {
		dest_failf(m, reply->error, "the VMM of %s does not take a guest: %s", m->vm_name,
			reply->text);
		return;
	}
	vm_set_note(m->vm, &m->session, NOTE_LOADING);
	dest_ask(m, &req, -1, VMM_TIMEOUT_MS, reset_cb);
}

/* The note carries whose session it is: a later daemon answers nobody else. */
static void prepare_go(struct migration *m)
{
	struct vmm_request req = {.type = VMM_NOTE, .note = NOTE_LOADING};

	req.cookie_len = (uint16_t)strlen(m->peer_name);
	memcpy(req.cookie, m->peer_name, req.cookie_len);
	dest_ask(m, &req, -1, VMM_TIMEOUT_MS, loading_cb);
}

static int refusal(struct err *err, enum wire_refusal *code, enum wire_refusal c, const char *text)
{
	*code = c;
	return err_set(err, -EPERM, "%s", text);
}

static int check_machine(
	const struct vm *vm, const struct wire_open *o, enum wire_refusal *code, struct err *err)
{
	const struct vmm_register *r = &vm->reg;

	*code = WIRE_REFUSE_MISMATCH;
	if (o->mmu != r->mmu || o->mmu != MMU_HPT)
		return err_set(err, -EINVAL,
			"the guest's MMU is of kind %d, VM %s here has kind %d", o->mmu, r->name,
			r->mmu);
	if (o->order != r->order)
		return err_set(err, -EINVAL,
			"the guest's HPT has order %u, that of VM %s here %u: start it with order %u",
			o->order, r->name, r->order, o->order);
	if (o->vcpus != r->vcpus)
		return err_set(err, -EINVAL,
			"the guest has %u vCPUs, VM %s here %u: start it with %u", o->vcpus,
			r->name, r->vcpus, o->vcpus);
	if (o->pvr != r->pvr)
		return err_set(err, -EINVAL,
			"the guest's processor has PVR 0x%08x, VM %s here 0x%08x: they are not compatible",
			o->pvr, r->name, r->pvr);
	if (o->codec != WIRE_CODEC_NONE || o->channels != 1)
		return err_set(err, -EINVAL,
			"this daemon takes one channel without compression, not %u with codec %d",
			o->channels, o->codec);
	return 0;
}

static int check_open(struct server *srv, struct peer *p, const struct wire_open *o, struct vm *vm,
	enum wire_refusal *code, struct err *err)
{
	const struct stream *s = peer_stream(p);

	if (!vm) {
		*code = WIRE_REFUSE_NO_VM;
		return err_set(err, -ENODEV,
			"VM %s is not known here (by its UUID): start its VMM as a destination first",
			o->name);
	}
	*code = WIRE_REFUSE_NOT_WAITING;
	if (!vm->reg.incoming)
		return err_set(
			err, -EBUSY, "VM %s runs here and does not wait for a guest", vm->reg.name);
	if (vm->migration && !migration_is_final(vm->migration)) {
		*code = WIRE_REFUSE_BUSY;
		return err_set(err, -EBUSY, "VM %s is in a migration here already (step '%s')",
			vm->reg.name, migration_step(vm->migration->state));
	}
	if (!vm->expects)
		return err_set(err, -EBUSY,
			"VM %s waits here but may not take a guest yet: say 'htabctl incoming %s' there",
			vm->reg.name, vm->reg.name);
	if (vm->authz[0] && !stream_peer_matches(s, vm->authz)) {
		log_warn("vm %s: '%s' (%s) may not send it a guest: tls-authz is '%s'",
			vm->reg.name, stream_peer(s), stream_address(s), vm->authz);
		return refusal(err, code, WIRE_REFUSE_DENIED,
			"this host's certificate is not among those that may send this VM (tls-authz)");
	}
	if (server_full(srv) || srv->stopping) {
		*code = WIRE_REFUSE_BUSY;
		return err_set(err, -EBUSY, "this daemon takes no more migrations now");
	}
	if (server_find_session(srv, &o->session) || vm_note(vm, &o->session))
		return refusal(
			err, code, WIRE_REFUSE_PROTOCOL, "this session has been here before");
	return check_machine(vm, o, code, err);
}

void dest_open(struct server *srv, struct peer *p, const struct wire_open *open)
{
	struct vm *vm = vms_find_uuid(srv->vms, &open->uuid);
	struct err err = {0};
	enum wire_refusal code = WIRE_REFUSE_BUSY;
	struct migration *m = NULL;

	if (check_open(srv, p, open, vm, &code, &err) == 0 &&
		!(m = migration_new(srv, vm, MIG_IN_PREPARE)))
		err_set(&err, -ENOMEM, "out of memory");
	if (err.code) {
		log_warn("refused a guest from %s %s: %s", stream_address(peer_stream(p)),
			stream_peer(peer_stream(p)), err.text);
		peer_send_refuse(p, WIRE_REFUSE, code, err.text);
		peer_finish(p);
		return;
	}
	m->incoming = true;
	m->open = *open;
	m->session = open->session;
	m->peer = p;
	snprintf(m->peer_name, sizeof(m->peer_name), "%s", stream_peer(peer_stream(p)));
	snprintf(m->uri_text, sizeof(m->uri_text), "%s", stream_address(peer_stream(p)));
	vm->expects = false;
	peer_set_ops(p, &dest_ops, m);
	peer_keepalive(p);
	log_info("vm %s: a guest begins to arrive from %s", m->vm_name, m->uri_text);
	migration_begin(m, prepare_go);
}
