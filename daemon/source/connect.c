/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The source's beginning: what is checked, the two connections, OPEN and JOIN, the VMM's htab fd.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/fd.h"
#include "common/foreign.h"
#include "daemon/control/dumphtab.h"
#include "daemon/control/incoming.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/transport/save.h"
#include "daemon/server.h"
#include "daemon/source/source.h"

int source_open_htab(
	struct migration *m, int fd, const struct vmm_reply *reply, struct htabio **ret)
{
	struct err err;

	if (reply->error) {
		foreign_close(fd);
		return source_failf(m, reply->error, "the VMM of %s cannot open its HPT: %s",
			m->vm_name, reply->text);
	}
	if (htabio_new(fd, (enum vmm_htab_kind)reply->value, limit_ms(LIMIT_VMM_ANSWER), ret,
		    &err) < 0)
		return source_failf(
			m, err.code, "the VMM of %s gave what is no HPT: %s", m->vm_name, err.text);
	return 0;
}

static void htab_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;
	struct htabio *io;

	if (source_open_htab(m, fd, reply, &io) < 0)
		return;
	source_flow(m, io);
}

static void start_go(struct migration *m)
{
	struct vmm_request req = {.type = VMM_OPEN_HTAB};

	if (m->timer)
		event_del(m->timer);
	source_ask(m, &req, htab_cb);
}

void source_start_htab(struct migration *m)
{
	migration_enter(m, MIG_START, start_go);
}

/* A connection could not be made: the end of the migration, or of an attempt to resume it. */
static void not_connected(struct migration *m, int code, const char *text)
{
	struct err err;

	err_set(&err, code, "%s", text);
	recover_broken(m, &err);
}

static void setup_timeout_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;

	source_failf(m, -ETIMEDOUT, "%s did not answer within %d s (%s)", m->uri_text,
		limit_s(LIMIT_SETUP), migration_step(m->state));
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
	m->over_there = true;
	err_set(&err, -EREMOTEIO, "the destination refused: %s", refuse.text);
	source_stop(m, refuse.code == WIRE_REFUSE_CANCELLED ? MIG_CANCELLED : MIG_FAILED,
		WIRE_REFUSE_FAILED, &err);
	return 0;
}

/* A data channel is made: the next one, or what they were made for. */
static int joined(struct migration *m)
{
	struct stream *s = peer_take_stream(m->joining[m->joined]);

	if (!s)
		return -EBADMSG; /* it sent more than JOINED */
	m->joining[m->joined] = NULL;
	m->streams[m->joined++] = s;
	if (m->joined < m->agreed.channels)
		connect_data(m);
	else if (m->state == MIG_RESUME)
		recover_joined(m);
	else
		migration_enter(m, MIG_START, start_go);
	return 0;
}

static int joining_frame(
	void *arg, struct peer *p, enum wire_type type, const uint8_t *body, size_t len)
{
	struct migration *m = arg;
	struct wire_join join = {.session = m->session, .channel = m->joined};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	if (type == WIRE_REFUSE && m->state == MIG_RESUME)
		return not_connected(m, -EREMOTEIO, "the destination refused a data channel"), 0;
	if (type == WIRE_REFUSE)
		return refused(m, body, len);
	if (type == WIRE_WELCOME) {
		if (peer_welcome(p, body, len) < 0 || m->welcomed)
			return -EBADMSG;
		m->welcomed = true;
		memcpy(join.secret, m->join_secret, sizeof(join.secret));
		peer_send(p, buf, wire_pack_join(&join, buf, sizeof(buf)));
		return 0;
	}
	if (type != WIRE_JOINED || len != 0 || !m->welcomed)
		return -EBADMSG;
	return m->state == MIG_RESUME || m->state == MIG_JOIN ? joined(m) : -EBADMSG;
}

static void joining_closed(void *arg, struct peer *p, const struct err *err)
{
	not_connected(arg, err->code, err->text);
}

static const struct peer_ops joining_ops = {.frame = joining_frame, .closed = joining_closed};

static bool same_peer(struct migration *m, struct stream *stream)
{
	struct err err;

	if (!strcmp(stream_peer(stream), m->peer_name))
		return true;
	err_set(&err, -EPERM, "%s is '%s' on one connection and '%s' on the other", m->uri_text,
		m->peer_name, stream_peer(stream));
	stream_free(stream);
	recover_broken(m, &err);
	return false;
}

static void data_dialled(void *arg, struct stream *stream, const struct err *err)
{
	struct migration *m = arg;

	m->dial = NULL;
	if (!stream) {
		not_connected(m, err->code, err->text);
		return;
	}
	if (!same_peer(m, stream))
		return;
	m->ktls = stream_is_ktls(stream) && (m->ktls || m->joined == 0);
	if (m->creds && m->joined == m->agreed.channels - 1)
		log_info("vm %s: %s encrypts what the data channel%s", m->vm_name,
			m->ktls ? "the kernel (kTLS)" : "OpenSSL",
			m->agreed.channels == 1 ? " sends" : "s send");
	if (peer_new(m->srv->base, stream, &joining_ops, m, &m->joining[m->joined]) < 0) {
		source_failf(m, -ENOMEM, "out of memory");
		return;
	}
	peer_send_hello(m->joining[m->joined], WIRE_ROLE_DATA, m->srv->config.name);
}

static const char *tls_hostname(const struct migration *m)
{
	return m->agreed.tls_hostname[0] ? m->agreed.tls_hostname : NULL;
}

void connect_data(struct migration *m)
{
	struct err err;

	m->welcomed = false;
	if (dial_start(m->srv->base, &m->uri, m->creds, tls_hostname(m), limit_ms(LIMIT_SETUP),
		    data_dialled, m, &m->dial, &err) < 0)
		recover_broken(m, &err);
}

static void join_go(struct migration *m)
{
	migration_timer(m, limit_ms(LIMIT_SETUP), setup_timeout_cb);
	connect_data(m);
}

void source_describe(const struct migration *m, struct wire_open *ret)
{
	*ret = (struct wire_open){
		.session = m->session,
		.uuid = m->uuid,
		.mmu = m->vm->reg.mmu,
		.order = m->order,
		.vcpus = m->vcpus,
		.pvr = m->vm->reg.pvr,
		.codec = m->agreed.codec,
		.channels = m->agreed.channels,
		.flags = agreed_open_flags(&m->agreed),
	};
	if (ret->mmu == MMU_BOOKE)
		ret->tlb = m->vm->reg.tlb;
	snprintf(ret->name, sizeof(ret->name), "%s", m->vm_name);
}

void source_describe_processor(const struct migration *m, struct wire_open *open)
{
	open->flags |= WIRE_OPEN_PROCESSOR;
	open->compat = m->vm->reg.compat;
	open->vcpu_ids = m->vm->reg.vcpu_ids;
}

/* From here on it is settled what the migration goes by. */
static void settle(struct migration *m)
{
	struct agreed wished = m->agreed;

	agreed_settle(&m->agreed, peer_features(m->peer));
	if (wished.recover && !m->agreed.recover)
		log_note("vm %s: the daemon at %s cannot resume a migration: capability "
			 "htab-recover has no effect",
			m->vm_name, m->uri_text);
	if (wished.channels != m->agreed.channels)
		log_note("vm %s: the daemon at %s takes one data channel: multifd-channels has no "
			 "effect",
			m->vm_name, m->uri_text);
}

static void send_open(struct migration *m)
{
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];
	struct wire_open open;

	settle(m);
	source_describe(m, &open);
	if (open.mmu == MMU_BOOKE && !(m->agreed.features & WIRE_FEATURE_TLB)) {
		source_failf(m, -EPROTONOSUPPORT,
			"VM %s has a BookE processor, whose TLB the daemon at %s cannot take: update it",
			m->vm_name, m->uri_text);
		return;
	}
	if (m->agreed.features & WIRE_FEATURE_PROCESSOR)
		source_describe_processor(m, &open);
	peer_send(m->peer, buf, wire_pack_open(&open, buf, sizeof(buf)));
}

static int open_frame(struct migration *m, enum wire_type type, const uint8_t *body, size_t len)
{
	struct wire_accept accept;

	if (type == WIRE_WELCOME) {
		if (peer_welcome(m->peer, body, len) < 0 || m->welcomed)
			return -EBADMSG;
		m->welcomed = true;
		send_open(m);
		return 0;
	}
	if (type != WIRE_ACCEPT || !m->welcomed || wire_unpack_accept(body, len, &accept) < 0)
		return -EBADMSG;
	memcpy(m->secret, accept.secret, sizeof(m->secret));
	memcpy(m->join_secret, accept.secret, sizeof(m->join_secret));
	m->ring = accept.ring;
	migration_enter(m, MIG_JOIN, join_go);
	return 0;
}

static int control_frame(
	void *arg, struct peer *p, enum wire_type type, const uint8_t *body, size_t len)
{
	struct migration *m = arg;
	struct wire_ack ack;

	if (m->state == MIG_RESUME && type != WIRE_ACK && type != WIRE_ABORT)
		return recover_frame(m, type, body, len);
	if ((type == WIRE_REFUSE || type == WIRE_ABORT) && migration_can_cancel(m))
		return refused(m, body, len);
	if (type == WIRE_ACK) {
		if (wire_unpack_ack(body, len, &ack) < 0)
			return -EBADMSG;
		if (m->state == MIG_ACTIVE)
			m->attempts = 0;
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
		recover_broken(m, err);
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
	migration_timer(m, limit_ms(LIMIT_SETUP), setup_timeout_cb);
	peer_send_hello(m->peer, WIRE_ROLE_CONTROL, m->srv->config.name);
	peer_keepalive(m->peer);
}

static void control_dialled(void *arg, struct stream *stream, const struct err *err)
{
	struct migration *m = arg;

	m->dial = NULL;
	if (!stream) {
		not_connected(m, err->code, err->text);
		return;
	}
	if (m->state == MIG_RESUME && !same_peer(m, stream))
		return;
	snprintf(m->peer_name, sizeof(m->peer_name), "%s", stream_peer(stream));
	if (peer_new(m->srv->base, stream, &control_ops, m, &m->peer) < 0) {
		source_failf(m, -ENOMEM, "out of memory");
		return;
	}
	if (m->state == MIG_RESUME)
		recover_dialled(m);
	else
		migration_enter(m, MIG_OPEN, open_go);
}

void connect_control(struct migration *m)
{
	const char *name = tls_hostname(m);
	int fd = m->connected_fd, r;
	struct err err;

	m->connected_fd = -1;
	if (fd < 0)
		r = dial_start(m->srv->base, &m->uri, m->creds, name, limit_ms(LIMIT_SETUP),
			control_dialled, m, &m->dial, &err);
	else
		r = dial_fd(m->srv->base, fd, false, m->creds,
			!name && m->uri.kind == URI_TCP ? m->uri.host : name, limit_ms(LIMIT_SETUP),
			control_dialled, m, &m->dial, &err);
	if (r < 0)
		recover_broken(m, &err);
}

/* Where connections are dialled. */
static int parse_address(const char *text, struct uri *ret, struct err *err)
{
	struct uri u;
	int r = uri_parse(text, &u, err);

	if (r < 0)
		return r;
	if (u.kind == URI_TCP && (!u.host[0] || !strcmp(u.port, "0")))
		return err_set(err, -EINVAL, "'%s' names no host and port to migrate to", text);
	if (u.kind != URI_TCP && u.kind != URI_UNIX)
		return err_set(err, -ENOTSUP,
			"'%s' is no address that a VM can be migrated to: use "
			"tcp:HOST:PORT, unix:PATH or file:PATH",
			text);
	*ret = u;
	return 0;
}

/*
 * uri and redial-uri: *ret is the address of the destination, *ret_fd its control connection when a
 * client of ours made it, or -1.
 */
int connect_uris(struct server *srv, const struct vm *vm, const char *uri, const char *redial,
	struct uri *ret, int *ret_fd, struct err *err)
{
	struct uri u;
	bool listens;
	int r = uri_parse(uri, &u, err), fd;

	*ret_fd = -1;
	if (r < 0)
		return r;
	if (u.kind != URI_FD && redial)
		return err_set(err, -EINVAL,
			"Parameter 'redial-uri' goes with an fd: URI: '%s' is dialled again itself",
			uri);
	if (u.kind != URI_FILE && vm->params.bolted_only)
		return err_set(err, -EINVAL,
			"VM %s can only be saved in a file with capability 'bolted-only' on: a guest "
			"that moves takes all of its table along, switch it off",
			vm->reg.name);
	if (u.kind == URI_FILE) {
		*ret = u;
		return save_check(vm, &u, err);
	}
	if (u.kind != URI_FD)
		return parse_address(uri, ret, err);
	if (!redial)
		return err_set(err, -EINVAL,
			"'%s' is one connection: give 'redial-uri', the address for all others",
			uri);
	r = parse_address(redial, ret, err);
	if (r < 0)
		return r;
	fd = incoming_take_socket(srv, &u, &listens, err);
	if (fd >= 0 && listens) {
		foreign_close(fd);
		return err_set(err, -EINVAL,
			"the descriptor '%s' listens: a source needs a connected socket", u.path);
	}
	*ret_fd = fd;
	return fd < 0 ? fd : 0;
}

static int check_start(struct server *srv, struct vm *vm, struct err *err)
{
	if (vm->migration && !migration_is_final(vm->migration))
		return err_set(err, -EBUSY,
			"There's a migration process in progress: VM %s is at step '%s' of it",
			vm->reg.name, migration_step(vm->migration->state));
	if (vm->migration && vm->migration->out)
		return err_set(err, -EBUSY,
			"the last migration of VM %s still reads its HPT: try again in a moment",
			vm->reg.name);
	if (dumphtab_check(vm, err) < 0)
		return -EBUSY;
	if (vm->reg.incoming)
		return err_set(err, -EINVAL,
			"VM %s waits for a guest itself: it has none to migrate", vm->reg.name);
	if (vm->migration && !vm->migration->incoming && vm->migration->state == MIG_COMPLETED)
		return err_set(err, -EINVAL,
			migration_is_file(vm->migration) ? "the guest of VM %s is saved in %s"
							 : "the guest of VM %s runs at %s now",
			vm->reg.name, vm->migration->uri_text);
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

int source_start(
	struct server *srv, struct vm *vm, const char *uri, const char *redial, struct err *err)
{
	struct tls_creds *creds = NULL;
	struct migration *m;
	struct uri u;
	int r, fd;

	r = check_start(srv, vm, err);
	if (r == 0 && !uri_is_file(uri))
		r = server_check_tls(srv, &vm->params, err);
	if (r == 0 && !uri_is_file(uri))
		r = server_creds(srv, vm->params.tls_creds, &creds, err);
	if (r < 0)
		return r;
	r = connect_uris(srv, vm, uri, redial, &u, &fd, err);
	if (r < 0) {
		tls_creds_unref(creds);
		return r;
	}
	m = migration_new(srv, vm, MIG_CONNECT);
	if (!m) {
		foreign_close(fd);
		tls_creds_unref(creds);
		return err_set(err, -ENOMEM, "out of memory");
	}
	m->creds = creds;
	m->uri = u;
	m->connected_fd = fd;
	agreed_wish(&m->agreed, &vm->params, vm->reg.mmu);
	snprintf(m->uri_text, sizeof(m->uri_text), "%s", redial ? redial : uri);
	if (getrandom(m->session.b, sizeof(m->session.b), 0) != sizeof(m->session.b)) {
		migration_free(m);
		return err_set(err, -EIO, "the kernel has no random numbers");
	}
	log_info("vm %s: migrates to %s", m->vm_name, uri);
	migration_begin(m, u.kind == URI_FILE ? save_begin : connect_control);
	return 0;
}
