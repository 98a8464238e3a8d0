/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/source.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/fd.h"
#include "daemon/converge.h"
#include "daemon/log.h"
#include "daemon/server.h"

#define SETUP_MS   30000 /* for each step of the connection's making */
#define CHANNEL_MS 30000 /* of silence on the data channel */

static const struct peer_ops control_ops, joining_ops;

static void drop_connection(struct migration *m)
{
	m->dial = dial_cancel(m->dial);
	m->joining = peer_free(m->joining);
	if (m->timer)
		event_del(m->timer);
	if (m->limit)
		event_del(m->limit);
}

/* -- putting everything back -- */

static void stopped_one(struct migration *m)
{
	assert(m->waits > 0);
	if (--m->waits == 0)
		migration_set(m, m->final);
}

void source_ask(struct migration *m, struct vmm_request *req, vm_reply_cb *cb)
{
	req->session = m->session;
	vm_ask(m->vm, req, -1, VMM_TIMEOUT_MS, cb, m);
}

void source_ask_wait(struct migration *m, struct vmm_request *req, vm_reply_cb *cb)
{
	m->waits++;
	m->vm_waits++;
	source_ask(m, req, cb);
}

void source_answered(struct migration *m)
{
	assert(m->vm_waits > 0);
	m->vm_waits--;
	m->waits--;
}

static void resumed_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	fd_close(fd);
	if (reply->error == 0) {
		m->vm->reg.running = true;
		server_event(m->srv, m->vm_name, "RESUME", NULL);
	} else if (!m->resumed) {
		log_err("vm %s: its guest could not be resumed: %s", m->vm_name, reply->text);
	}
	m->paused = false;
	m->vm_waits--;
	stopped_one(m);
}

void source_stop_flow(struct migration *m)
{
	if (!m->out || m->out_stopping)
		return;
	m->out_stopping = true;
	outflow_stop(m->out);
}

static void unthrottle(struct migration *m)
{
	struct vmm_request req = {.type = VMM_THROTTLE, .percent = 0};

	if (m->throttle && m->vm)
		vm_ask(m->vm, &req, -1, VMM_TIMEOUT_MS, NULL, NULL);
	m->throttle = 0;
}

static void stop_go(struct migration *m)
{
	struct vmm_request req = {.type = VMM_RESUME, .session = m->session};

	if (m->out) {
		m->waits++;
		source_stop_flow(m);
	}
	unthrottle(m);
	if (m->vm && m->paused) {
		source_ask_wait(m, &req, resumed_cb);
	}
	stopped_one(m);
}

void source_stop(
	struct migration *m, enum mig_state final, enum wire_refusal code, const struct err *err)
{
	if (m->state == MIG_STOPPING)
		return;
	assert(migration_allowed(m->state, MIG_STOPPING));
	m->final = final;
	if (err)
		m->error = *err;
	drop_connection(m);
	if (m->vm)
		vm_forget_asker(m->vm, m);
	if (m->peer) {
		peer_send_refuse(m->peer, WIRE_ABORT, code,
			err && err->text[0] ? err->text : "the source cancelled the migration");
		peer_finish(m->peer);
		m->peer = NULL;
	}
	m->waits = 1;
	migration_enter(m, MIG_STOPPING, stop_go);
}

int source_failf(struct migration *m, int code, const char *fmt, ...)
{
	struct err err = {.code = code};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err.text, sizeof(err.text), fmt, ap);
	va_end(ap);
	source_stop(m, MIG_FAILED, WIRE_REFUSE_FAILED, &err);
	return code;
}

/* -- passes -- */

static void next_pass(struct migration *m)
{
	struct json_object *o = json_object_new_object();

	m->pass++;
	json_object_object_add(o, "pass", json_object_new_int64(m->pass));
	json_object_object_add(o, "vm", json_object_new_string(m->vm_name));
	server_event(m->srv, m->vm_name, "MIGRATION_PASS", o);
	server_status(m->srv);
	if (m->peer) /* one late answer must not stand for the network: the smallest counts */
		peer_ping(m->peer);
	outflow_pass(m->out, WIRE_STREAM_HTAB, m->pass);
}

static void give_up(struct migration *m, const char *limit, long long value)
{
	struct err err;

	if (m->params.on_timeout == ON_TIMEOUT_FORCE) {
		m->force = true;
		return;
	}
	err_set(&err, -ETIME,
		"the guest changes its table faster than it converges: %s %lld reached with a "
		"predicted downtime of %llu ms: raise it or downtime-limit, set on-timeout to "
		"'force', or switch auto-converge on",
		limit, value, (unsigned long long)(m->predicted_ns / NS_PER_MS));
	source_stop(m, MIG_CANCELLED, WIRE_REFUSE_CANCELLED, &err);
}

static void slow_down(struct migration *m)
{
	struct vmm_request req = {.type = VMM_THROTTLE};
	int64_t step = m->throttle ? m->params.throttle_increment : m->params.throttle_initial;
	int64_t percent = (int64_t)m->throttle + step;

	if (percent > m->params.throttle_max)
		percent = m->params.throttle_max;
	if (percent == m->throttle)
		return;
	m->throttle = (unsigned)percent;
	req.percent = m->throttle;
	log_info("vm %s: does not converge, its vCPUs are slowed down by %u%%", m->vm_name,
		m->throttle);
	vm_ask(m->vm, &req, -1, VMM_TIMEOUT_MS, NULL, NULL);
}

/* What the pass that just ended tells about the next one and about a pause now. */
static void measure(struct migration *m)
{
	const struct outflow_stats *s = &m->out_stats;
	uint64_t entries = s->pass_valid + (m->pass > 1 ? s->pass_invalid : 0);
	struct converge_in in = {
		.pass = m->pass,
		.entries = entries,
		.pass_ns = s->pass_ns,
		.scan_ns = s->read_ns,
		.prev_pass_ns = m->prev_pass_ns,
		.rtt_ns = m->peer ? peer_rtt(m->peer) : 0,
		.best_scan_ns = m->scan_ns,
		.best_rate = m->rate,
	};
	struct converge_out out;

	converge(&in, &out);
	m->scan_ns = out.best_scan_ns;
	m->rate = out.best_rate;
	m->remaining = out.remaining;
	m->predicted_ns = out.downtime == UINT64_MAX ? 0 : out.downtime;
	if (out.downtime <= (uint64_t)m->params.downtime_limit * NS_PER_MS)
		m->force = true;
	else if (m->params.auto_converge && m->pass > 2 && entries > m->prev_entries / 2)
		slow_down(m);
	m->prev_pass_ns = s->pass_ns;
	m->prev_entries = entries;
	if (m->pass == 1)
		m->valid_end = s->pass_valid;
}

static void pass_done(void *arg, enum wire_stream stream, uint32_t pass)
{
	struct migration *m = arg;

	outflow_get_stats(m->out, &m->out_stats);
	if (m->state != MIG_ACTIVE) {
		switchover_pass_done(m, stream, pass);
		return;
	}
	measure(m);
	if (!m->force && m->pass >= m->params.max_passes)
		give_up(m, "max-passes", (long long)m->params.max_passes);
	if (m->state != MIG_ACTIVE)
		return;
	if (m->force)
		switchover_begin(m);
	else
		next_pass(m);
}

static void channel_lost_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;
	struct err err = m->error;

	if (!migration_can_cancel(m))
		return;
	source_stop(m, MIG_FAILED, WIRE_REFUSE_FAILED, &err);
}

static void out_failed(void *arg, const struct err *err)
{
	struct migration *m = arg;

	if (!migration_can_cancel(m))
		return;
	if (m->peer && migration_is_cut(err)) {
		/* The destination hung up: its ABORT, which says why, may be on its way. */
		m->error = *err;
		migration_limit(m, MIGRATION_CUT_MS, channel_lost_cb);
		return;
	}
	source_stop(m, MIG_FAILED, WIRE_REFUSE_FAILED, err);
}

static void out_stopped(void *arg)
{
	struct migration *m = arg;

	outflow_get_stats(m->out, &m->out_stats);
	m->out = outflow_free(m->out);
	if (m->state == MIG_STOPPING)
		stopped_one(m);
	else
		handover_finish(m);
}

static const struct outflow_ops out_ops = {
	.pass_done = pass_done,
	.failed = out_failed,
	.stopped = out_stopped,
};

static void limit_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;

	if (m->state == MIG_ACTIVE)
		give_up(m, "timeout (s)", (long long)m->params.timeout);
}

static void active_go(struct migration *m)
{
	m->t_active = clock_ns();
	next_pass(m);
}

/* -- setup -- */

int source_open_htab(
	struct migration *m, int fd, const struct vmm_reply *reply, struct htabio **ret)
{
	struct err err;

	if (reply->error) {
		fd_close(fd);
		return source_failf(m, reply->error, "the VMM of %s cannot open its HPT: %s",
			m->vm_name, reply->text);
	}
	if (htabio_new(fd, (enum vmm_htab_kind)reply->value, VMM_TIMEOUT_MS, ret, &err) < 0)
		return source_failf(
			m, err.code, "the VMM of %s gave what is no HPT: %s", m->vm_name, err.text);
	return 0;
}

static void htab_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;
	struct outflow_config c = {
		.base = m->srv->base,
		.order = m->order,
		.generation = 1,
		.ring = m->ring,
		.chunk = WIRE_PLAIN_MAX,
		.codec = WIRE_CODEC_NONE,
		.max_bandwidth = (uint64_t)m->params.max_bandwidth,
		.timeout_ms = CHANNEL_MS,
		.ops = &out_ops,
		.arg = m,
	};
	struct htabio *io;
	struct stream *s;
	struct err err;

	if (source_open_htab(m, fd, reply, &io) < 0)
		return;
	s = peer_take_stream(m->joining);
	if (!s) {
		htabio_free(io);
		source_failf(m, -EPROTO, "the destination sent something on the data channel");
		return;
	}
	m->joining = NULL;
	if (outflow_new(&c, io, s, &m->out, &err) < 0) {
		htabio_free(io);
		stream_free(s);
		source_failf(m, err.code, "%s", err.text);
		return;
	}
	if (m->params.timeout)
		migration_limit(m, m->params.timeout * 1000, limit_cb);
	migration_enter(m, MIG_ACTIVE, active_go);
}

static void start_go(struct migration *m)
{
	struct vmm_request req = {.type = VMM_OPEN_HTAB};

	event_del(m->timer);
	source_ask(m, &req, htab_cb);
}

static void setup_timeout_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;

	source_failf(m, -ETIMEDOUT, "%s did not answer within %d s (%s)", m->uri_text,
		SETUP_MS / 1000, migration_step(m->state));
}

/* A REFUSE or ABORT of the destination, on either connection. */
static int refused(struct migration *m, const uint8_t *body, size_t len)
{
	struct wire_refuse refuse;
	struct err err;

	if (wire_unpack_refuse(body, len, &refuse) < 0)
		return -EBADMSG;
	if (m->state == MIG_STOPPING)
		return 0;
	err_set(&err, -EREMOTEIO, "the destination refused: %s", refuse.text);
	source_stop(m, refuse.code == WIRE_REFUSE_CANCELLED ? MIG_CANCELLED : MIG_FAILED,
		WIRE_REFUSE_FAILED, &err);
	return 0;
}

static int joining_frame(
	void *arg, struct peer *p, enum wire_type type, const uint8_t *body, size_t len)
{
	struct migration *m = arg;
	struct wire_join join = {.session = m->session};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	if (type == WIRE_REFUSE)
		return refused(m, body, len);
	if (type == WIRE_WELCOME) {
		if (peer_welcome(body, len) < 0 || m->welcomed)
			return -EBADMSG;
		m->welcomed = true;
		memcpy(join.secret, m->secret, sizeof(join.secret));
		peer_send(p, buf, wire_pack_join(&join, buf, sizeof(buf)));
		return 0;
	}
	if (type != WIRE_JOINED || len != 0 || m->state != MIG_JOIN || !m->welcomed)
		return -EBADMSG;
	migration_enter(m, MIG_START, start_go);
	return 0;
}

static void joining_closed(void *arg, struct peer *p, const struct err *err)
{
	struct migration *m = arg;

	source_failf(m, err->code, "%s", err->text);
}

static const struct peer_ops joining_ops = {.frame = joining_frame, .closed = joining_closed};

static void data_dialled(void *arg, struct stream *stream, const struct err *err)
{
	struct migration *m = arg;

	m->dial = NULL;
	if (!stream) {
		source_failf(m, err->code, "%s", err->text);
		return;
	}
	if (strcmp(stream_peer(stream), m->peer_name)) {
		source_failf(m, -EPERM, "%s is '%s' on one connection and '%s' on the other",
			m->uri_text, m->peer_name, stream_peer(stream));
		stream_free(stream);
		return;
	}
	if (peer_new(m->srv->base, stream, &joining_ops, m, &m->joining) < 0) {
		source_failf(m, -ENOMEM, "out of memory");
		return;
	}
	peer_send_hello(m->joining, WIRE_ROLE_DATA, m->srv->config.name);
}

static const char *tls_hostname(const struct migration *m)
{
	return m->params.tls_hostname[0] ? m->params.tls_hostname : NULL;
}

static void join_go(struct migration *m)
{
	struct err err;

	migration_timer(m, SETUP_MS, setup_timeout_cb);
	if (dial_start(m->srv->base, &m->uri, m->creds, tls_hostname(m), SETUP_MS, data_dialled, m,
		    &m->dial, &err) < 0)
		source_failf(m, err.code, "%s", err.text);
}

static void send_open(struct migration *m)
{
	struct wire_open open = {
		.session = m->session,
		.uuid = m->uuid,
		.mmu = m->vm->reg.mmu,
		.order = m->order,
		.vcpus = m->vcpus,
		.pvr = m->vm->reg.pvr,
		.codec = WIRE_CODEC_NONE,
		.channels = 1,
		.flags = m->verify ? WIRE_OPEN_VERIFY : 0,
	};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	snprintf(open.name, sizeof(open.name), "%s", m->vm_name);
	peer_send(m->peer, buf, wire_pack_open(&open, buf, sizeof(buf)));
}

static int open_frame(struct migration *m, enum wire_type type, const uint8_t *body, size_t len)
{
	struct wire_accept accept;

	if (type == WIRE_WELCOME) {
		if (peer_welcome(body, len) < 0 || m->welcomed)
			return -EBADMSG;
		m->welcomed = true;
		send_open(m);
		return 0;
	}
	if (type != WIRE_ACCEPT || !m->welcomed || wire_unpack_accept(body, len, &accept) < 0)
		return -EBADMSG;
	m->welcomed = false; /* the data channel is next */
	memcpy(m->secret, accept.secret, sizeof(m->secret));
	m->ring = accept.ring;
	migration_enter(m, MIG_JOIN, join_go);
	return 0;
}

static int control_frame(
	void *arg, struct peer *p, enum wire_type type, const uint8_t *body, size_t len)
{
	struct migration *m = arg;
	struct wire_ack ack;

	if ((type == WIRE_REFUSE || type == WIRE_ABORT) && migration_can_cancel(m))
		return refused(m, body, len);
	if (type == WIRE_ACK) {
		if (wire_unpack_ack(body, len, &ack) < 0)
			return -EBADMSG;
		return m->out ? outflow_ack(m->out, ack.channel, ack.seq) : 0;
	}
	if (m->state == MIG_OPEN)
		return open_frame(m, type, body, len);
	return switchover_frame(m, type, body, len);
}

static void control_closed(void *arg, struct peer *p, const struct err *err)
{
	struct migration *m = arg;

	m->peer = peer_free(p);
	if (m->state == MIG_OPEN && !m->welcomed && m->srv->config.plaintext)
		source_failf(m, err->code,
			"%s before it said a word: does it expect TLS, while this daemon was started "
			"with --plaintext?",
			err->text);
	else if (migration_can_cancel(m))
		source_failf(m, err->code, "%s", err->text);
	else
		handover_closed(m, err);
}

static void control_drained(void *arg, struct peer *p)
{
	switchover_drained(arg);
}

static const struct peer_ops control_ops = {
	.frame = control_frame,
	.closed = control_closed,
	.drained = control_drained,
};

static void open_go(struct migration *m)
{
	migration_timer(m, SETUP_MS, setup_timeout_cb);
	peer_send_hello(m->peer, WIRE_ROLE_CONTROL, m->srv->config.name);
	peer_keepalive(m->peer);
}

static void control_dialled(void *arg, struct stream *stream, const struct err *err)
{
	struct migration *m = arg;

	m->dial = NULL;
	if (!stream) {
		source_failf(m, err->code, "%s", err->text);
		return;
	}
	snprintf(m->peer_name, sizeof(m->peer_name), "%s", stream_peer(stream));
	if (peer_new(m->srv->base, stream, &control_ops, m, &m->peer) < 0) {
		source_failf(m, -ENOMEM, "out of memory");
		return;
	}
	migration_enter(m, MIG_OPEN, open_go);
}

static void connect_go(struct migration *m)
{
	struct err err;

	if (dial_start(m->srv->base, &m->uri, m->creds, tls_hostname(m), SETUP_MS, control_dialled,
		    m, &m->dial, &err) < 0)
		source_failf(m, err.code, "%s", err.text);
}

static int check_start(struct server *srv, struct vm *vm, struct err *err)
{
	if (vm->migration && !migration_is_final(vm->migration))
		return err_set(err, -EBUSY,
			"There's a migration process in progress: VM %s is at step '%s' of it",
			vm->reg.name, migration_step(vm->migration->state));
	if (vm->reg.incoming)
		return err_set(err, -EINVAL,
			"VM %s waits for a guest itself: it has none to migrate", vm->reg.name);
	if (vm->migration && !vm->migration->incoming && vm->migration->state == MIG_COMPLETED)
		return err_set(err, -EINVAL, "the guest of VM %s runs at %s now", vm->reg.name,
			vm->migration->uri_text);
	if (!vm->reg.running)
		return err_set(err, -EINVAL,
			"the guest of VM %s does not run: start it before it is migrated",
			vm->reg.name);
	for (uint32_t i = 0; i < vm->reg.n_notes; i++)
		if (vm->reg.notes[i].note == NOTE_RUN)
			return err_set(err, -EBUSY,
				"VM %s has just arrived and its source has not closed that migration yet: "
				"try again, or use 'resolve' when the source is known to be dead",
				vm->reg.name);
	if (server_full(srv) || srv->stopping)
		return err_set(err, -EBUSY,
			srv->stopping ? "the daemon is stopping"
				      : "too many migrations are under way");
	return 0;
}

int source_start(struct server *srv, struct vm *vm, const char *uri, struct err *err)
{
	struct tls_creds *creds = NULL;
	struct migration *m;
	struct uri u;
	int r;

	r = check_start(srv, vm, err);
	if (r == 0)
		r = uri_parse(uri, &u, err);
	if (r == 0 && u.kind == URI_TCP && (!u.host[0] || !strcmp(u.port, "0")))
		r = err_set(err, -EINVAL, "'%s' names no host and port to migrate to", uri);
	if (r == 0 && u.kind != URI_TCP && u.kind != URI_UNIX)
		r = err_set(err, -ENOTSUP,
			"'%s' is no address that a VM can be migrated to: use "
			"tcp:HOST:PORT or unix:PATH",
			uri);
	if (r == 0)
		r = server_creds(srv, &vm->params, &creds, err);
	if (r < 0)
		return r;
	m = migration_new(srv, vm, MIG_CONNECT);
	if (!m) {
		tls_creds_unref(creds);
		return err_set(err, -ENOMEM, "out of memory");
	}
	m->creds = creds;
	m->uri = u;
	m->verify = m->params.verify;
	snprintf(m->uri_text, sizeof(m->uri_text), "%s", uri);
	if (getrandom(m->session.b, sizeof(m->session.b), 0) != sizeof(m->session.b)) {
		migration_free(m);
		return err_set(err, -EIO, "the kernel has no random numbers");
	}
	log_info("vm %s: migrates to %s", m->vm_name, uri);
	migration_begin(m, connect_go);
	return 0;
}

int source_cancel(struct migration *m, struct err *err)
{
	if (m->state == MIG_STOPPING)
		return 0;
	if (!migration_can_cancel(m))
		return err_set(err, -EBUSY,
			"the hand-over of VM %s has begun (step '%s'): it ends by the destination's answer",
			m->vm_name, migration_step(m->state));
	source_stop(m, MIG_CANCELLED, WIRE_REFUSE_CANCELLED, NULL);
	return 0;
}
