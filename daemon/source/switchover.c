/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The source from the pause to the COMMITTING note: the last lap, the comparison, the machine
 * state, END and READY. Up to the note a failure puts everything back.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/foreign.h"
#include "daemon/flow/chunk.h"
#include "daemon/session/cookie.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/transport/save.h"
#include "daemon/server.h"
#include "daemon/source/source.h"
#include "daemon/session/unresolved.h"
#include "proto/state.h"

#define STATE_QUEUE (256u << 10) /* bytes of state waiting in the peer */

/* -- how long the guest may stand still -- */

/*
 * The last copy is at the destination, which checks it yet and would take COMMIT for an error that
 * ends it: READY, ABORT or the connection's end decides. People are told.
 */
static void tell_last_copy(struct migration *m)
{
	err_set(&m->overdue, -ETIMEDOUT,
		"the VMM of %s died, and %s, which has the only copy and is connected, has not said within %lld s that it is whole: wait for it, or look there",
		m->vm_name, m->uri_text, (long long)m->tuning.switchover_timeout);
	unresolved_tell(m);
}

static void limit_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;

	if (m->state == MIG_END && m->vm_dead && !m->save) /* a file is whole when it is */
		tell_last_copy(m);
	else if (m->state == MIG_END && !migration_can_cancel(m)) /* its end is being judged */
		migration_limit(m, limit_ms(LIMIT_VMM_DEATH), limit_cb);
	else if (m->state == MIG_VERIFY)
		source_failf(m, -ETIMEDOUT,
			"%s did not compare the tables within %lld s: the guest runs on here; raise verify-timeout, or switch 'verify' off",
			m->uri_text, (long long)m->tuning.verify_timeout);
	else if (migration_can_cancel(m))
		source_failf(m, -ETIMEDOUT,
			"%s did not take the guest within %lld s of its pause (step '%s'): it runs on here; raise switchover-timeout if it may stand still for longer",
			m->uri_text, (long long)m->tuning.switchover_timeout,
			migration_step(m->state));
}

/*
 * However well the connection does: what is left of switchover-timeout, which a person's thinking
 * and the comparison do not use up, and of verify-timeout.
 */
static void limit_pause(struct migration *m)
{
	uint64_t gone = clock_ns() - m->t_state, limit = (uint64_t)m->tuning.switchover_timeout;

	if (m->state == MIG_VERIFY)
		limit = (uint64_t)m->tuning.verify_timeout;
	else
		gone += m->spent[MIG_PAUSE] + m->spent[MIG_LAST_PASS] + m->spent[MIG_STATE] +
			m->spent[MIG_END];
	limit *= NS_PER_SEC;
	migration_limit(m, gone < limit ? (int64_t)((limit - gone) / NS_PER_MS) : 0, limit_cb);
}

void switchover_tuned(struct migration *m)
{
	if (m->state >= MIG_PAUSE && m->state <= MIG_END && m->state != MIG_PRE_SWITCHOVER)
		limit_pause(m);
	unresolved_tuned(m);
}

/* -- END, READY, the note -- */

static void noted_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	foreign_close(fd);
	unresolved_over(m);
	if (reply->error || reply->value != NOTE_COMMITTING || m->resumed) {
		source_failf(m, reply->error ? reply->error : -ECANCELED,
			"the VMM of %s did not let its guest go: %s", m->vm_name,
			m->resumed ? "the guest runs again" : reply->text);
		return;
	}
	vm_set_note(m->vm, &m->session, NOTE_COMMITTING);
	handover_commit(m);
}

static void committing_go(struct migration *m)
{
	struct vmm_request req = {.type = VMM_NOTE, .note = NOTE_COMMITTING};

	event_del(m->timer);
	req.session = m->session;
	req.cookie_len = m->cookie_len;
	memcpy(req.cookie, m->cookie, m->cookie_len);
	vm_ask(m->vm, &req, -1, VM_ASK_UNBOUNDED, noted_cb, m);
	unresolved_wait(m);
}

void switchover_note(struct migration *m)
{
	migration_enter(m, MIG_COMMITTING, committing_go);
}

void switchover_describe_end(struct migration *m)
{
	m->t_end = clock_ns();
	outflow_get_stats(m->out, &m->out_stats);
	outflow_get_end(m->out, &m->end);
	m->end.session = m->session;
	m->end.passes = m->pass;
	m->end.pause_age = m->t_end - m->t_stopped;
	m->end.valid = m->out_stats.valid;
	m->end.invalid = m->out_stats.invalid;
	m->end.state_size = m->state_size;
	m->end.state_digest = m->state_digest;
}

static void send_lap(struct migration *m)
{
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];
	uint32_t flags = m->lap.flags;

	outflow_get_lap(m->out, &m->lap);
	m->lap.flags = flags;
	peer_send(m->peer, buf, wire_pack_last_lap(&m->lap, buf, sizeof(buf)));
}

static void send_end(struct migration *m)
{
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];
	int n = wire_pack_u64(WIRE_STOPPED, m->t_stopped, buf, sizeof(buf));

	if (peer_features(m->peer) & WIRE_FEATURE_SENT_TIME)
		peer_send(m->peer, buf, n);
	if (m->agreed.features & WIRE_FEATURE_LAST_LAP)
		send_lap(m);
	switchover_describe_end(m);
	peer_send(m->peer, buf, wire_pack_end(&m->end, buf, sizeof(buf)));
}

/* -- machine state -- */

/*
 * Send what fits in the peer's queue; the rest when it has drained, and END when all has: its pause
 * age is taken then, not before.
 */
static void send_state(struct migration *m)
{
	uint8_t buf[WIRE_HDR_SIZE + WIRE_STATE_MAX];
	size_t queued = 0;

	while (m->state_done < m->state_size && queued < STATE_QUEUE) {
		size_t left = (size_t)(m->state_size - m->state_done);
		size_t n = left < WIRE_STATE_MAX ? left : WIRE_STATE_MAX;
		ssize_t r = pread(m->state_fd, buf + WIRE_HDR_SIZE, n, (off_t)m->state_done);

		if (r != (ssize_t)n) {
			source_failf(
				m, -EIO, "the machine state of %s cannot be read back", m->vm_name);
			return;
		}
		wire_pack_header(buf, WIRE_STATE, n);
		peer_send(m->peer, buf, (int)(WIRE_HDR_SIZE + n));
		m->state_digest = stream_digest(m->state_digest, buf + WIRE_HDR_SIZE, n);
		m->state_done += n;
		queued += n;
	}
	if (m->state_done == m->state_size && queued == 0) {
		m->state_fd = foreign_close(m->state_fd);
		migration_enter(m, MIG_END, send_end);
	}
}

void switchover_drained(struct migration *m)
{
	if (m->state == MIG_STATE && m->state_fd >= 0)
		send_state(m);
}

static void state_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;
	size_t size;

	if (reply->error) {
		foreign_close(fd);
		source_failf(m, reply->error, "the VMM of %s cannot give its machine state: %s",
			m->vm_name, reply->text);
		return;
	}
	if (fd < 0 || fd_memfd_check(fd, STATE_IMAGE_MAX, &size) < 0) {
		foreign_close(fd);
		source_failf(m, -EINVAL,
			"the VMM of %s gave no sealed memory of at most %u MiB with its machine state",
			m->vm_name, STATE_IMAGE_MAX >> 20);
		return;
	}
	/* What the VMM says is better than when its answer came, if it can be. */
	if (reply->value >= m->t_pause && reply->value <= clock_ns())
		m->t_stopped = reply->value;
	m->state_fd = fd;
	m->state_size = size;
	m->state_digest = STREAM_DIGEST_INIT;
	if (m->save)
		save_state(m);
	else
		send_state(m);
}

static void state_go(struct migration *m)
{
	struct vmm_request req = {.type = VMM_GET_STATE};

	limit_pause(m);
	source_ask(m, &req, state_cb);
}

/* -- the pause, the last lap, the comparison -- */

static void verify_htab_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;
	struct htabio *io;

	if (source_open_htab(m, fd, reply, &io) < 0)
		return;
	outflow_set_htab(m->out, io);
	m->verify_sent = true;
	outflow_pass(m->out, WIRE_STREAM_VERIFY, m->pass + 1);
}

static void verify_go(struct migration *m)
{
	struct vmm_request req = {.type = VMM_OPEN_HTAB, .flags = VMM_HTAB_SECOND};

	m->t_verify = clock_ns();
	limit_pause(m);
	source_ask(m, &req, verify_htab_cb);
}

static void verified(struct migration *m)
{
	m->verify_ns = clock_ns() - m->t_verify;
	outflow_get_stats(m->out, &m->out_stats);
	m->valid_end = m->out_stats.pass_valid;
	m->valid_known = true;
	if (m->verified.mismatches) {
		source_failf(m, -EUCLEAN,
			"the tables differ in %llu of %llu entries: the guest stays here",
			(unsigned long long)m->verified.mismatches,
			(unsigned long long)m->verified.entries);
		return;
	}
	migration_enter(m, MIG_STATE, state_go);
}

void switchover_pass_done(struct migration *m, enum wire_stream stream, uint32_t pass)
{
	if (m->state == MIG_LAST_PASS && stream != WIRE_STREAM_VERIFY) {
		if (m->pass == 1) /* the only one of a bolted-only save */
			m->valid_end = m->out_stats.pass_valid;
		else if (m->out_stats.pass_valid || m->out_stats.pass_invalid)
			m->valid_known = false;
		m->valid_known |= m->pass == 1;
		if (m->agreed.verify)
			migration_enter(m, MIG_VERIFY, verify_go);
		else
			migration_enter(m, MIG_STATE, state_go);
	}
	/* VERIFY ends with the destination's VERIFIED. */
}

/* flags: WIRE_LAP_WHOLE, by the fd that it is read from. */
static void last_pass(struct migration *m, uint32_t flags)
{
	struct json_object *o = json_object_new_object();

	m->lap.flags = flags | (m->t_stopped ? WIRE_LAP_PAUSED : 0);
	m->pass++;
	json_object_object_add(o, "pass", json_object_new_int64(m->pass));
	json_object_object_add(o, "vm", json_object_new_string(m->vm_name));
	server_event(m->srv, m->vm_name, "MIGRATION_PASS", o);
	outflow_pass(m->out, table_stream(table_kind(m->tlb_entries)), m->pass);
}

static void bolted_htab_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;
	struct htabio *io;

	if (source_open_htab(m, fd, reply, &io) < 0)
		return;
	outflow_set_htab(m->out, io);
	last_pass(m, 0);
}

/* The only pass of a bolted-only save has an fd of its own, which is to be had from now on. */
static void last_pass_go(struct migration *m)
{
	struct vmm_request req = {
		.type = VMM_OPEN_HTAB,
		.flags = VMM_HTAB_SECOND | HTAB_FD_BOLTED_ONLY,
	};

	limit_pause(m);
	if (m->agreed.bolted_only)
		source_ask(m, &req, bolted_htab_cb);
	else
		last_pass(m, WIRE_LAP_WHOLE);
}

static void pre_switchover_go(struct migration *m)
{
	event_del(m->limit); /* waits for migrate-continue; the lease is renewed meanwhile */
}

static void lease_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;
	struct vmm_request req = {.type = VMM_LEASE, .session = m->session};

	if (m->vm)
		vm_tell(m->vm, &req);
	migration_timer(m, limit_ms(LIMIT_LEASE_RENEW), lease_cb);
}

static void paused_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	foreign_close(fd);
	if (reply->error) {
		source_failf(m, reply->error, "the VMM of %s cannot stop its vCPUs: %s", m->vm_name,
			reply->text);
		return;
	}
	m->t_stopped = clock_ns();
	m->vm->reg.running = false;
	outflow_set_bandwidth(m->out, 0); /* max-bandwidth is for a guest that runs */
	server_event(m->srv, m->vm_name, "STOP", NULL);
	if (m->agreed.pause_before_switchover)
		migration_enter(m, MIG_PRE_SWITCHOVER, pre_switchover_go);
	else
		migration_enter(m, MIG_LAST_PASS, last_pass_go);
}

static void pause_go(struct migration *m)
{
	struct vmm_request req = {.type = VMM_PAUSE};

	m->t_pause = clock_ns();
	m->paused = true;
	migration_timer(m, limit_ms(LIMIT_LEASE_RENEW), lease_cb);
	limit_pause(m);
	source_ask(m, &req, paused_cb);
}

void switchover_begin(struct migration *m)
{
	int len = cookie_pack_source(m, m->cookie);
	uint8_t buf[WIRE_HDR_SIZE];

	if (m->limit)
		event_del(m->limit);
	if (m->deadline)
		event_del(m->deadline);
	if (len < 0) {
		source_failf(m, -EMSGSIZE,
			"the URI, the destination's name and the TLS parameters together are longer "
			"than a VMM remembers (%u bytes): shorten them",
			VMM_COOKIE_MAX);
		return;
	}
	m->cookie_len = (uint16_t)len;
	if (agreed_can_resume(&m->agreed) && m->peer) /* from here on a broken connection ends it */
		peer_send(m->peer, buf, wire_pack_empty(WIRE_SWITCHOVER, buf, sizeof(buf)));
	migration_enter(m, MIG_PAUSE, pause_go);
}

int source_continue(struct migration *m, struct err *err)
{
	if (m->state != MIG_PRE_SWITCHOVER)
		return err_set(err, -EINVAL,
			"the migration of VM %s is not in state 'pre-switchover' but at step '%s'",
			m->vm_name, migration_step(m->state));
	migration_enter(m, MIG_LAST_PASS, last_pass_go);
	return 0;
}

/* -- frames -- */

static int ready(struct migration *m, const uint8_t *body, size_t len)
{
	struct wire_session s;

	if (m->state != MIG_END || wire_unpack_session(body, len, &s) < 0 ||
		!session_eq(&s.session, &m->session) || !uuid_eq(&s.uuid, &m->uuid))
		return -EBADMSG;
	if (m->limit)
		event_del(m->limit);
	if (!m->vm) /* it died with a guest that never ran again: the whole one is over there */
		handover_commit(m);
	else
		switchover_note(m);
	return 0;
}

int switchover_frame(struct migration *m, enum wire_type type, const uint8_t *body, size_t len)
{
	switch ((unsigned)type) {
	case WIRE_VERIFIED:
		if (m->state != MIG_VERIFY || !m->verify_sent ||
			wire_unpack_verified(body, len, &m->verified) < 0)
			return -EBADMSG;
		m->have_verified = true;
		verified(m);
		return 0;
	case WIRE_READY: return ready(m, body, len);
	case WIRE_RUNNING:
	case WIRE_NEVER:
	case WIRE_UNKNOWN:
	case WIRE_LOST:
		return m->state == MIG_COMMIT || m->state == MIG_ASKING
			? handover_answer(m, type, body, len)
			: -EBADMSG;
	case WIRE_REASON:
		return m->state == MIG_COMMIT || m->state == MIG_ASKING
			? handover_reason(m, m->peer, body, len)
			: -EBADMSG;
	case WIRE_REFUSE:
	case WIRE_ABORT: return handover_aborted(m, body, len);
	default: return -EBADMSG;
	}
}

/* -- the VMM -- */

void source_vm_resumed(struct migration *m)
{
	if (m->resumed)
		return;
	m->resumed = true;
	m->paused = false;
	source_runs_again(m);
	if (m->vm)
		m->vm->reg.running = true;
	server_event(m->srv, m->vm_name, "RESUME", NULL);
	if (migration_can_cancel(m))
		source_failf(m, -ECANCELED,
			"the guest of %s runs again: its VMM heard nothing of this daemon for too long",
			m->vm_name);
	/* COMMITTING: the VMM refuses the note, and that ends it. */
}

void source_vm_stopped(struct migration *m, const char *why)
{
	if (migration_can_cancel(m))
		source_failf(m, -ECANCELED, "the guest of %s stopped: %s", m->vm_name, why);
}
