/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/dest/dest.h"

#include <assert.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/foreign.h"
#include "daemon/base/limits.h"
#include "daemon/transport/load.h"
#include "daemon/base/log.h"
#include "daemon/server.h"
#include "proto/state.h"
#include "proto/timebase.h"

void dest_ask(struct migration *m, struct vmm_request *req, int fd, int timeout_ms, vm_reply_cb *cb)
{
	req->session = m->session;
	vm_ask(m->vm, req, fd, timeout_ms, cb, m);
}

/* -- giving up before COMMIT -- */

void dest_stopped_one(struct migration *m)
{
	assert(m->waits > 0);
	if (--m->waits == 0)
		decide_stopped(m);
}

static void dead_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	foreign_close(fd);
	if (reply->value == NOTE_DEAD) {
		m->never = true;
		vm_set_note(m->vm, &m->session, NOTE_DEAD);
	} else {
		log_warn("vm %s: its VMM did not note that the session is dead: %s", m->vm_name,
			reply->text);
	}
	m->vm_waits--;
	dest_stopped_one(m);
}

static void stop_go(struct migration *m)
{
	struct vmm_request req = {.type = VMM_NOTE, .note = NOTE_DEAD};

	if (m->in)
		inflow_stop(m->in);
	if (m->vm && load_told(m)) {
		m->waits++;
		m->vm_waits++;
		dest_ask(m, &req, -1, limit_ms(LIMIT_VMM_ANSWER), dead_cb);
	} else if (m->vm_dead && !m->asked_run) {
		m->never = true;
	}
	dest_stopped_one(m);
}

void dest_stop(
	struct migration *m, enum mig_state final, enum wire_refusal code, const struct err *err)
{
	if (m->state == MIG_IN_STOPPING)
		return;
	m->final = final;
	m->error = err ? *err : (struct err){0}; /* an interruption is not why it is cancelled */
	if (m->timer)
		event_del(m->timer);
	if (m->vm)
		vm_forget_asker(m->vm, m);
	if (m->peer) {
		peer_send_refuse(m->peer, WIRE_ABORT, code,
			err ? err->text : "the destination cancelled the migration");
		peer_linger(m->peer);
		m->peer = NULL;
	}
	migration_drop_channels(m);
	/* What is under way may end by itself before stop_go(), so it counts from here on. */
	m->waits = 1u + (m->in != NULL) + load_busy(m->load);
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

void dest_tuned(struct migration *m)
{
	rejoin_tuned(m);
	decide_tuned(m);
}

/* -- END: everything is here; is it what was sent? -- */

static void ready_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	foreign_close(fd);
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

	dest_ask(m, &req, -1, limit_ms(LIMIT_VMM_ANSWER), ready_cb);
}

static void state_set_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	foreign_close(fd);
	m->state_fd = foreign_close(m->state_fd);
	if (reply->error)
		dest_failf(m, reply->error, "the VMM of %s cannot set the machine state: %s",
			m->vm_name, reply->text);
	else
		migration_enter(m, MIG_IN_NOTE, note_go);
}

static void state_go(struct migration *m)
{
	struct vmm_request req = {.type = VMM_SET_STATE, .paused_at = m->t_stopped};
	int r = m->state_fd < 0 ? -EBADMSG : fd_memfd_seal(m->state_fd);

	if (r < 0)
		dest_failf(m, r, "no machine state of %s arrived", m->vm_name);
	else
		dest_ask(m, &req, m->state_fd, limit_ms(LIMIT_VMM_ANSWER), state_set_cb);
}

void dest_set_state(struct migration *m)
{
	migration_enter(m, MIG_IN_STATE, state_go);
}

static void in_finished(void *arg)
{
	struct migration *m = arg;

	inflow_get_stats(m->in, &m->in_stats);
	m->in = inflow_free(m->in);
	migration_htab_over(m);
	if (m->state == MIG_IN_FINISH && m->load)
		load_state(m);
	else if (m->state == MIG_IN_FINISH)
		dest_set_state(m);
	else if (m->state == MIG_IN_STOPPING)
		dest_stopped_one(m);
	server_moved(m->srv, m);
}

static void finish_go(struct migration *m)
{
	if (m->lap.generation)
		inflow_expect_lap(m->in, &m->lap);
	inflow_finish(m->in, &m->end);
}

/* What STOPPED says, as an age by our clock; END's own, which its way made older, fits it. */
static int stopped_age(struct migration *m, uint64_t now, uint64_t *ret)
{
	uint64_t at, age, slack;

	if (!m->source_stopped ||
		clocksync_own(peer_clock(m->peer), m->source_stopped, &at, &m->time_uncertainty) <
			0)
		return -ENODATA;
	age = (int64_t)(now - at) < 0 ? 0 : now - at; /* it may seem to lie ahead */
	slack = m->time_uncertainty + PAUSE_AGE_MARGIN;
	if ((int64_t)(at - now) > (int64_t)slack || m->end.pause_age > age + slack)
		return dest_failf(m, -EBADMSG,
			"the source says two things of when the guest of %s stopped: %.1f s ago by its clock, %.1f s by its count",
			m->vm_name, (double)(int64_t)(now - at) / 1e9,
			(double)m->end.pause_age / 1e9);
	*ret = age;
	return 0;
}

static int take_pause(struct migration *m, uint64_t now)
{
	uint64_t rtt = peer_rtt(m->peer), age = m->end.pause_age;
	int r = stopped_age(m, now, &age);

	if (r == -EBADMSG)
		return r;
	if (r == 0)
		rtt = 0; /* it is in there */
	else
		m->time_uncertainty = rtt / 2;
	if (timebase_paused_at(now, age, rtt, m->t_start, &m->t_stopped) == 0)
		return 0;
	return dest_failf(m, -EBADMSG,
		"the source says that the guest of %s has stood still for %.1f s, longer than its migration has lasted (%.1f s)",
		m->vm_name, (double)age / 1e9, (double)(now - m->t_start) / 1e9);
}

static int stopped_frame(struct migration *m, const uint8_t *body, size_t len)
{
	if (!(peer_features(m->peer) & WIRE_FEATURE_SENT_TIME) || m->source_stopped ||
		wire_unpack_u64(body, len, &m->source_stopped) < 0)
		return -EBADMSG;
	return 0;
}

static int lap_frame(struct migration *m, const uint8_t *body, size_t len)
{
	bool paused, whole;

	if (!(m->agreed.features & WIRE_FEATURE_LAST_LAP) || m->lap.generation ||
		wire_unpack_last_lap(body, len, &m->lap) < 0)
		return -EBADMSG;
	paused = m->lap.flags & WIRE_LAP_PAUSED;
	whole = m->lap.flags & WIRE_LAP_WHOLE;
	if (!paused || !whole)
		dest_failf(m, -EBADMSG,
			"the source's last pass %s: what the guest of %s changed last may be missing",
			whole ? "began while the guest ran" : "was of bolted entries alone",
			m->vm_name);
	return 0;
}

static int end_frame(struct migration *m, const uint8_t *body, size_t len)
{
	uint64_t now = clock_ns();

	if ((m->agreed.features & WIRE_FEATURE_LAST_LAP) && !m->lap.generation)
		return -EBADMSG;
	if (wire_unpack_end(body, len, &m->end) < 0 || !session_eq(&m->end.session, &m->session) ||
		m->end.channels != m->agreed.channels || m->end.generation > WIRE_GENERATION_MAX ||
		(m->end.generation > 1 && !(m->agreed.features & WIRE_FEATURE_GENERATION)))
		return -EBADMSG;
	if (m->end.state_size != m->state_done || m->end.state_digest != m->state_digest)
		return dest_failf(m, -EBADMSG,
			       "the machine state of %s arrived damaged: %llu bytes of %llu",
			       m->vm_name, (unsigned long long)m->state_done,
			       (unsigned long long)m->end.state_size),
		       0;
	if (take_pause(m, now) < 0)
		return 0;
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
	case WIRE_STOPPED:
		return m->state == MIG_IN_ACTIVE ? stopped_frame(m, body, len) : -EBADMSG;
	case WIRE_LAST_LAP: return m->state == MIG_IN_ACTIVE ? lap_frame(m, body, len) : -EBADMSG;
	case WIRE_END: return m->state == MIG_IN_ACTIVE ? end_frame(m, body, len) : -EBADMSG;
	case WIRE_PAUSE:
	case WIRE_SWITCHOVER: return rejoin_frame(m, type, len);
	case WIRE_ABORT:
	case WIRE_REFUSE: return aborted(m, body, len);
	case WIRE_COMMIT:
	case WIRE_CLOSED:
		if (wire_unpack_session(body, len, &s) < 0 ||
			!session_eq(&s.session, &m->session) || !uuid_eq(&s.uuid, &m->uuid))
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
		rejoin_broken(m, err);
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
	if (m->load && m->state == MIG_IN_ACTIVE && pass == m->end.passes)
		migration_enter(m, MIG_IN_FINISH, finish_go);
	if (m->peer) /* END's pause age counts by the shortest round trip */
		peer_ping(m->peer);
	if (stream != WIRE_STREAM_VERIFY || !m->peer)
		return;
	m->verified.entries = m->in_stats.verified;
	m->verified.mismatches = m->in_stats.mismatches;
	m->have_verified = true;
	peer_send(m->peer, buf, wire_pack_verified(&m->verified, buf, sizeof(buf)));
}

/* -- the source's table was reset or resized -- */

static void generation_ready(struct migration *m)
{
	inflow_set_generation(m->in, m->generation, m->order, m->htab);
	m->htab = NULL;
	if (m->htab_verify)
		inflow_set_verify(m->in, m->htab_verify);
	m->htab_verify = NULL;
}

static void in_generation(void *arg, uint32_t generation, unsigned order)
{
	struct migration *m = arg;

	if (m->state == MIG_IN_STOPPING)
		return;
	log_info("vm %s: the HPT was changed at the source: generation %u, order %u", m->vm_name,
		generation, order);
	vm_htab_closed(m->vm, m);
	m->generation = generation;
	dest_new_table(m, order, generation_ready);
}

static void channel_lost_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;
	struct err err = m->error;

	if (migration_can_cancel(m))
		rejoin_broken(m, &err);
}

static void in_failed(void *arg, const struct err *err)
{
	struct migration *m = arg;

	if (m->peer && migration_is_cut(err)) {
		/* The source hung up: its ABORT, which says why, may be on its way. */
		m->error = *err;
		migration_limit(m, limit_ms(LIMIT_CUT_CAUSE), channel_lost_cb);
		return;
	}
	dest_stop(m, MIG_FAILED, WIRE_REFUSE_FAILED, err);
}

static void in_lost(void *arg, const struct err *err)
{
	struct migration *m = arg;

	if (m->state == MIG_IN_ACTIVE && !migration_is_cut(err))
		rejoin_broken(m, err);
	else if (m->state != MIG_IN_CUT && m->state != MIG_IN_RESUME)
		in_failed(m, err);
}

static void ended_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;
	struct err err;

	err_set(&err, -ETIMEDOUT,
		"the source closed its data channel %d s ago, and has not said that it is done",
		limit_s(LIMIT_CHANNEL_SILENCE));
	if (m->state == MIG_IN_ACTIVE)
		rejoin_broken(m, &err);
}

/* END is on its way, or the end of the control connection. Should neither come, nothing would. */
static void in_ended(void *arg)
{
	struct migration *m = arg;

	if (m->state == MIG_IN_ACTIVE && !m->load)
		migration_timer(m, limit_ms(LIMIT_CHANNEL_SILENCE), ended_cb);
}

static const struct inflow_ops in_ops = {
	.written = in_written,
	.pass_done = in_pass_done,
	.generation = in_generation,
	.failed = in_failed,
	.lost = in_lost,
	.ended = in_ended,
	.settled = rejoin_settled,
	.finished = in_finished,
	.stopped = in_finished,
};

static void active_go(struct migration *m)
{
	peer_resume(m->peer);
}

/* -- JOIN -- */

int dest_flow(struct migration *m, struct err *err)
{
	struct flow_io file;
	struct inflow_config c = {
		.base = m->srv->base,
		.order = m->order,
		.tlb_entries = m->tlb_entries,
		.generation = 1,
		.generations = m->agreed.features & WIRE_FEATURE_GENERATION &&
			m->open.mmu == MMU_HPT,
		.channels = m->agreed.channels,
		.ring = m->ring,
		.codec = m->agreed.codec,
		.recover = agreed_can_resume(&m->agreed),
		.timeout_ms = limit_ms(LIMIT_CHANNEL_SILENCE),
		.ops = &in_ops,
		.arg = m,
	};
	int r;

	if (m->load) {
		file = load_io(m);
		c.file = &file;
	}
	r = inflow_new(&c, m->htab, m->streams, &m->in, err);
	if (r < 0)
		return r;
	migration_gave_channels(m);
	m->htab = NULL;
	if (m->htab_verify)
		inflow_set_verify(m->in, m->htab_verify);
	m->htab_verify = NULL;
	return 0;
}

/* All data channels are there. */
static void joined_all(struct migration *m)
{
	struct err err;

	if (m->state == MIG_IN_RESUME) {
		rejoin_joined(m);
		return;
	}
	if (dest_flow(m, &err) < 0) {
		dest_failf(m, err.code, "%s", err.text);
		return;
	}
	if (m->timer)
		event_del(m->timer);
	m->t_active = clock_ns();
	migration_enter(m, MIG_IN_ACTIVE, active_go);
}

static unsigned channel_of(const struct migration *m, const struct peer *p)
{
	unsigned k = 0;

	while (k < m->agreed.channels && m->joining[k] != p)
		k++;
	assert(k < m->agreed.channels);
	return k;
}

/* JOINED is with the kernel: from now on the stream is the receiver's. */
static void joined_drained(void *arg, struct peer *p)
{
	struct migration *m = arg;
	unsigned k = channel_of(m, p);
	struct stream *stream = peer_take_stream(p);

	m->joining[k] = NULL;
	if (!stream) {
		dest_failf(m, -EPROTO, "the source sent data before the channel was joined");
		return;
	}
	m->streams[k] = stream;
	if (++m->joined == m->agreed.channels)
		joined_all(m);
}

static void joined_closed(void *arg, struct peer *p, const struct err *err)
{
	struct migration *m = arg;
	unsigned k = channel_of(m, p);

	m->joining[k] = peer_free(p);
	rejoin_broken(m, err);
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

/* Each channel once: a connection more, whoever makes it, takes the place of none. */
static bool awaits(const struct migration *m, uint32_t channel)
{
	return channel < m->agreed.channels && !m->joining[channel] && !m->streams[channel] &&
		(m->state == MIG_IN_JOIN || (m->state == MIG_IN_RESUME && m->answered));
}

void dest_join(struct server *srv, struct peer *p, const struct wire_join *join)
{
	struct migration *m = server_find_session(srv, &join->session);
	uint8_t buf[WIRE_HDR_SIZE];

	if (!m || !m->incoming || !awaits(m, join->channel) ||
		CRYPTO_memcmp(join->secret, m->join_secret, sizeof(m->join_secret)) ||
		strcmp(stream_peer(peer_stream(p)), m->peer_name)) {
		peer_send_refuse(p, WIRE_REFUSE, WIRE_REFUSE_DENIED,
			"this channel belongs to no migration that waits for it");
		peer_finish(p);
		return;
	}
	peer_set_ops(p, &joined_ops, m);
	m->joining[join->channel] = p;
	peer_pause(p);
	peer_send(p, buf, wire_pack_empty(WIRE_JOINED, buf, sizeof(buf)));
}
