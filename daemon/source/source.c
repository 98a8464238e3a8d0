/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/base/limits.h"
#include "daemon/source/source.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/foreign.h"
#include "daemon/source/change.h"
#include "daemon/flow/chunk.h"
#include "daemon/source/converge.h"
#include "daemon/source/farewell.h"
#include "daemon/base/log.h"
#include "daemon/transport/save.h"
#include "daemon/server.h"

static void drop_connection(struct migration *m)
{
	m->dial = dial_cancel(m->dial);
	migration_drop_channels(m);
	if (m->timer)
		event_del(m->timer);
	if (m->limit)
		event_del(m->limit);
	if (m->deadline)
		event_del(m->deadline);
}

/* -- putting everything back -- */

void source_stopped_one(struct migration *m)
{
	assert(m->waits > 0);
	if (--m->waits == 0)
		migration_set(m, m->final);
}

void source_ask(struct migration *m, struct vmm_request *req, vm_reply_cb *cb)
{
	req->session = m->session;
	vm_ask(m->vm, req, -1, limit_ms(LIMIT_VMM_ANSWER), cb, m);
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

void source_runs_again(struct migration *m)
{
	if (m->t_pause && !m->downtime_ns)
		m->downtime_ns = clock_ns() - m->t_pause;
}

static void resumed_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	foreign_close(fd);
	if (reply->error == 0) {
		m->vm->reg.running = true;
		source_runs_again(m);
		server_event(m->srv, m->vm_name, "RESUME", NULL);
	} else if (!m->resumed) {
		log_err("vm %s: its guest could not be resumed: %s", m->vm_name, reply->text);
	}
	m->paused = false;
	m->vm_waits--;
	source_stopped_one(m);
}

void source_stop_flow(struct migration *m)
{
	if (!m->out || m->out_stopping)
		return;
	m->out_stopping = true;
	outflow_stop(m->out);
}

static void throttle(struct migration *m, unsigned percent)
{
	struct vmm_request req = {.type = VMM_THROTTLE, .percent = percent};

	if (m->throttle != percent && m->vm)
		vm_ask(m->vm, &req, -1, limit_ms(LIMIT_VMM_ANSWER), NULL, NULL);
	m->throttle = percent;
}

static void stop_go(struct migration *m)
{
	struct vmm_request req = {.type = VMM_RESUME, .session = m->session};

	if (m->out)
		source_stop_flow(m);
	if (m->save)
		save_put_back(m);
	throttle(m, 0);
	if (m->vm && m->paused) {
		source_ask_wait(m, &req, resumed_cb);
	}
	source_stopped_one(m);
}

void source_stop(
	struct migration *m, enum mig_state final, enum wire_refusal code, const struct err *err)
{
	const char *text = err && err->text[0] ? err->text : "the source cancelled the migration";

	if (m->state == MIG_STOPPING)
		return;
	assert(migration_allowed(m->state, MIG_STOPPING));
	m->final = final;
	m->error = err ? *err : (struct err){0}; /* an interruption is not why it is cancelled */
	drop_connection(m);
	if (m->vm)
		vm_forget_asker(m->vm, m);
	if (m->t_active && agreed_can_resume(&m->agreed) && !m->over_there) {
		farewell_say(m, m->peer, code, text);
	} else if (m->peer) {
		peer_send_refuse(m->peer, WIRE_ABORT, code, text);
		peer_linger(m->peer);
	}
	m->peer = NULL;
	m->waits = 1u + (m->out != NULL) + (m->save != NULL); /* as in dest_stop() */
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
	outflow_pass(m->out, table_stream(table_kind(m->tlb_entries)), m->pass);
}

/* What an operator can still do about it: nothing that is done already. */
static void give_up(struct migration *m, const char *limit, long long value)
{
	bool slowed = m->agreed.auto_converge;
	char predicted[64] = "";
	struct err err;

	if (m->tuning.on_timeout == ON_TIMEOUT_FORCE) {
		m->force = true;
		if (m->out)
			outflow_set_bandwidth(m->out, 0); /* the pause waits for the pass's end */
		return;
	}
	if (m->pass > 1 && m->converge.downtime != CONVERGE_UNKNOWN)
		snprintf(predicted, sizeof(predicted), " with a predicted downtime of %llu ms",
			(unsigned long long)(m->converge.downtime / NS_PER_MS));
	err_set(&err, -ETIME,
		"the guest changes its table faster than it converges: %s %lld reached%s: raise it "
		"or downtime-limit (%lld ms), set on-timeout to 'force'%s%s",
		limit, value, predicted, (long long)m->tuning.downtime_limit,
		slowed ? "" : ", or switch auto-converge on",
		slowed && m->throttle < m->tuning.throttle_max ? ", or raise cpu-throttle-increment"
							       : "");
	source_stop(m, MIG_CANCELLED, WIRE_REFUSE_CANCELLED, &err);
}

static void slow_down(struct migration *m)
{
	int64_t step = m->throttle ? m->tuning.throttle_increment : m->tuning.throttle_initial;
	int64_t percent = (int64_t)m->throttle + step;

	if (percent > m->tuning.throttle_max)
		percent = m->tuning.throttle_max;
	if (percent == m->throttle)
		return;
	throttle(m, (unsigned)percent);
	log_info("vm %s: does not converge, its vCPUs are slowed down by %u%%", m->vm_name,
		m->throttle);
}

void source_figures(struct migration *m)
{
	if (!m->out)
		return;
	outflow_get_stats(m->out, &m->out_stats);
	if (m->state > MIG_LAST_PASS) /* nothing is to be sent but the state */
		return;
	m->rate = m->out_stats.rate;
	if (m->rate > m->best_rate)
		m->best_rate = m->rate;
}

/* What the pass that just ended tells about the next one and about a pause now. */
static void measure(struct migration *m)
{
	const struct outflow_stats *s = &m->out_stats;
	struct converge_in in = {
		.pass = m->pass,
		.entries = s->pass_valid + (m->pass > 1 ? s->pass_invalid : 0),
		.table = m->tlb_entries ? m->tlb_entries : htab_entries(m->order),
		.pass_ns = s->pass_ns,
		.scan_ns = s->read_ns,
		.rtt_ns = m->peer ? peer_rtt(m->peer) : 0,
		.unacked = s->unacked,
		.acked = s->acked,
		.busy_ns = s->busy_ns,
		.bursts = s->bursts,
		.encode_ns = s->encode_ns / m->agreed.channels,
	};
	uint64_t before = m->converge.entries;

	converge(&m->converge, &in);
	if (converge_done(&m->converge, (uint64_t)m->tuning.downtime_limit * NS_PER_MS))
		m->force = true;
	else if (m->agreed.auto_converge && m->pass > 2 && in.entries > before / 2)
		slow_down(m);
	m->valid_known = m->pass == 1 || (m->valid_known && in.entries == 0);
	if (m->pass == 1)
		m->valid_end = s->pass_valid;
}

void source_pass_over(struct migration *m)
{
	measure(m);
	/* one that found nothing says nothing against convergence */
	if (!m->force && m->converge.entries && m->pass >= m->tuning.max_passes)
		give_up(m, "max-passes", (long long)m->tuning.max_passes);
	if (m->state != MIG_ACTIVE)
		return;
	if (m->force)
		switchover_begin(m);
	else
		next_pass(m);
}

static void pass_done(void *arg, enum wire_stream stream, uint32_t pass)
{
	struct migration *m = arg;

	source_figures(m);
	if (m->hpt != HPT_READING) /* of a table that is gone */
		return;
	if (m->state == MIG_ACTIVE)
		source_pass_over(m);
	else if (m->state == MIG_CUT || m->state == MIG_RESUME)
		m->pass_over = true; /* looked at when there is a connection again */
	else
		switchover_pass_done(m, stream, pass);
}

static void channel_lost_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;
	struct err err = m->error;

	if (migration_can_cancel(m))
		recover_broken(m, &err);
}

static void out_failed(void *arg, const struct err *err)
{
	struct migration *m = arg;

	if (!migration_can_cancel(m))
		return;
	if (m->save && save_error(m)->code)
		err = save_error(m); /* without the sender's words around it */
	if (m->peer && migration_is_cut(err)) {
		/* The destination hung up: its ABORT, which says why, may be on its way. */
		m->error = *err;
		migration_limit(m, limit_ms(LIMIT_CUT_CAUSE), channel_lost_cb);
		return;
	}
	source_stop(m, MIG_FAILED, WIRE_REFUSE_FAILED, err);
}

static void out_lost(void *arg, const struct err *err)
{
	struct migration *m = arg;

	if (m->state == MIG_ACTIVE && !migration_is_cut(err))
		recover_broken(m, err);
	else if (m->state != MIG_CUT && m->state != MIG_RESUME)
		out_failed(m, err);
}

static void out_stopped(void *arg)
{
	struct migration *m = arg;

	outflow_get_stats(m->out, &m->out_stats);
	m->out = outflow_free(m->out);
	if (m->state == MIG_STOPPING && m->save)
		save_put_back(m);
	if (m->state == MIG_STOPPING)
		source_stopped_one(m);
	else
		handover_finish(m);
	migration_htab_over(m);
	server_moved(m->srv, m);
}

static void out_parted(void *arg)
{
	change_parted(arg);
}

static void out_generation(void *arg)
{
	change_begun(arg);
}

static const struct outflow_ops out_ops = {
	.pass_done = pass_done,
	.parted = out_parted,
	.generation = out_generation,
	.failed = out_failed,
	.lost = out_lost,
	.parked = recover_parked,
	.stopped = out_stopped,
};

static void deadline_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;

	if (m->state == MIG_ACTIVE)
		give_up(m, "timeout (s)", (long long)m->tuning.timeout);
}

void source_pass_one(struct migration *m)
{
	bool held = m->state == MIG_ACTIVE && m->held;

	/* Whatever the connections do: a pass is read into the ring as long as the guest runs. */
	if (m->state < MIG_PAUSE && !held && m->hpt == HPT_READING)
		next_pass(m);
}

void source_limit(struct migration *m)
{
	int64_t ms = m->tuning.timeout * 1000;
	int64_t gone = m->t_active ? (int64_t)((clock_ns() - m->t_active) / NS_PER_MS) : 0;

	if (m->tuning.timeout)
		migration_deadline(m, gone < ms ? ms - gone : 0, deadline_cb);
	else if (m->deadline)
		event_del(m->deadline);
}

void source_tuned(struct migration *m)
{
	/* max-bandwidth is for a guest that runs, and is not to be paused as soon as possible */
	if (m->out && !m->t_stopped && !m->force)
		outflow_set_bandwidth(m->out, (uint64_t)m->tuning.max_bandwidth);
	if (m->state == MIG_ACTIVE)
		source_limit(m);
	recover_tuned(m);
	switchover_tuned(m);
	if (m->state < MIG_PAUSE && m->throttle > m->tuning.throttle_max)
		throttle(m, (unsigned)m->tuning.throttle_max);
	/* The rest is looked at when a pass ends, or the guest changes its table. */
}

void source_first_pass(struct migration *m)
{
	m->t_active = clock_ns();
	if (m->agreed.bolted_only) /* which would hide the changes of all other entries */
		switchover_begin(m);
	else
		source_pass_one(m);
}

void source_flow(struct migration *m, struct htabio *io)
{
	struct outflow_config c = {
		.base = m->srv->base,
		.order = m->order,
		.tlb_entries = m->tlb_entries,
		.generation = m->generation,
		.channels = m->agreed.channels,
		.ring = m->ring,
		.chunk = WIRE_PLAIN_MAX,
		.codec = m->agreed.codec,
		.level = m->agreed.zstd_level,
		.max_bandwidth = (uint64_t)m->tuning.max_bandwidth,
		.recover = agreed_can_resume(&m->agreed),
		.timeout_ms = limit_ms(LIMIT_CHANNEL_SILENCE),
		.ops = &out_ops,
		.arg = m,
	};
	struct flow_io file;
	struct err err;

	if (m->save) {
		file = save_io(m);
		c.file = &file;
	}
	if (outflow_new(&c, io, m->streams, &m->out, &err) < 0) {
		htabio_free(io);
		source_failf(m, err.code, "%s", err.text);
		return;
	}
	migration_gave_channels(m);
	change_flow(m);
	source_limit(m);
	migration_enter(m, MIG_ACTIVE, source_first_pass);
}

int source_cancel(struct migration *m, struct err *err)
{
	if (m->state == MIG_STOPPING)
		return 0;
	if (m->overdue.code)
		return err_set(err, -EBUSY, "%s", m->overdue.text);
	if (m->state == MIG_END && !migration_can_cancel(m) && !m->vm_dead)
		return err_set(err, -EBUSY,
			"the VMM of %s ended its connection, and it is not known yet whether it died: "
			"if so, the only whole guest is at the destination; try again in %d s",
			m->vm_name, limit_s(LIMIT_VMM_DEATH));
	if (!migration_can_cancel(m))
		return err_set(err, -EBUSY,
			"the hand-over of VM %s has begun (step '%s'): it ends by the destination's answer",
			m->vm_name, migration_step(m->state));
	source_stop(m, MIG_CANCELLED, WIRE_REFUSE_CANCELLED, NULL);
	return 0;
}
