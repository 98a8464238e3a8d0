/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/migration.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "daemon/chunk.h"
#include "daemon/dest.h"
#include "daemon/load.h"
#include "daemon/log.h"
#include "daemon/save.h"
#include "daemon/server.h"

#define TO(s) (1ull << (s))

/*
 * Every state: its name (`step`), QEMU's word for it (NULL: the word stays), and the states that
 * may follow. What comes after COMMITTING never leads back to STOPPING: from there on only an
 * answer about the session ends it.
 */
static const struct {
	const char *step, *status;
	uint64_t next;
} states[MIG_STATES] = {
	[MIG_CONNECT] = {"connect", "setup",
		TO(MIG_OPEN) | TO(MIG_START) | TO(MIG_STOPPING)}, /* START: the file is there */
	[MIG_OPEN] = {"open", "setup", TO(MIG_JOIN) | TO(MIG_STOPPING)},
	[MIG_JOIN] = {"join", "setup", TO(MIG_START) | TO(MIG_STOPPING)},
	[MIG_START] = {"start", "setup", TO(MIG_ACTIVE) | TO(MIG_STOPPING)},
	[MIG_ACTIVE] = {"active", "active", TO(MIG_CUT) | TO(MIG_PAUSE) | TO(MIG_STOPPING)},
	[MIG_CUT] = {"cut", "postcopy-paused", TO(MIG_RESUME) | TO(MIG_STOPPING)},
	[MIG_RESUME] = {"resume", "postcopy-recover",
		TO(MIG_ACTIVE) | TO(MIG_CUT) | TO(MIG_STOPPING)},
	[MIG_PAUSE] = {"pause", "active",
		TO(MIG_PRE_SWITCHOVER) | TO(MIG_LAST_PASS) | TO(MIG_STOPPING)},
	[MIG_PRE_SWITCHOVER] = {"pre-switchover", "pre-switchover",
		TO(MIG_LAST_PASS) | TO(MIG_STOPPING)},
	[MIG_LAST_PASS] = {"last-pass", "device",
		TO(MIG_VERIFY) | TO(MIG_STATE) | TO(MIG_STOPPING)},
	[MIG_VERIFY] = {"verify", "device", TO(MIG_STATE) | TO(MIG_STOPPING)},
	[MIG_STATE] = {"state", "device", TO(MIG_END) | TO(MIG_STOPPING)},
	[MIG_END] = {"end", "device", TO(MIG_COMMITTING) | TO(MIG_COMMIT) | TO(MIG_STOPPING)},
	[MIG_COMMITTING] = {"committing", "device", TO(MIG_COMMIT) | TO(MIG_STOPPING)},
	[MIG_COMMIT] = {"commit", "device",
		TO(MIG_ASKING) | TO(MIG_RELEASE) | TO(MIG_UNDO) | TO(MIG_FAILED)},
	[MIG_ASKING] = {"asking", "device", TO(MIG_RELEASE) | TO(MIG_UNDO) | TO(MIG_FAILED)},
	[MIG_RELEASE] = {"release", "device", TO(MIG_COMPLETED)},
	[MIG_UNDO] = {"undo", "device", TO(MIG_FAILED)},
	[MIG_STOPPING] = {"stopping", NULL, TO(MIG_FAILED) | TO(MIG_CANCELLED)},

	[MIG_IN_PREPARE] = {"in-prepare", "setup",
		TO(MIG_IN_JOIN) | TO(MIG_IN_ACTIVE) | TO(MIG_IN_STOPPING)}, /* ACTIVE: a file */
	[MIG_IN_JOIN] = {"in-join", "setup", TO(MIG_IN_ACTIVE) | TO(MIG_IN_STOPPING)},
	[MIG_IN_ACTIVE] = {"in-active", "active",
		TO(MIG_IN_CUT) | TO(MIG_IN_FINISH) | TO(MIG_IN_STOPPING)},
	[MIG_IN_CUT] = {"in-cut", "postcopy-paused", TO(MIG_IN_RESUME) | TO(MIG_IN_STOPPING)},
	[MIG_IN_RESUME] = {"in-resume", "postcopy-recover",
		TO(MIG_IN_ACTIVE) | TO(MIG_IN_CUT) | TO(MIG_IN_STOPPING)},
	[MIG_IN_FINISH] = {"in-finish", "active", TO(MIG_IN_STATE) | TO(MIG_IN_STOPPING)},
	[MIG_IN_STATE] = {"in-state", "active", TO(MIG_IN_NOTE) | TO(MIG_IN_STOPPING)},
	[MIG_IN_NOTE] = {"in-note", "active", TO(MIG_IN_READY) | TO(MIG_IN_STOPPING)},
	[MIG_IN_READY] = {"in-ready", "active", TO(MIG_IN_RUN) | TO(MIG_IN_STOPPING)},
	[MIG_IN_RUN] = {"in-run", "active", TO(MIG_IN_RUNNING) | TO(MIG_IN_LOST) | TO(MIG_FAILED)},
	[MIG_IN_RUNNING] = {"in-running", "active", TO(MIG_COMPLETED)},
	[MIG_IN_STOPPING] = {"in-stopping", NULL, TO(MIG_FAILED) | TO(MIG_CANCELLED)},
	[MIG_IN_LOST] = {"in-lost", "active", TO(MIG_FAILED) | TO(MIG_COMPLETED)},

	[MIG_COMPLETED] = {"completed", "completed", 0},
	[MIG_FAILED] = {"failed", "failed", 0},
	[MIG_CANCELLED] = {"cancelled", "cancelled", 0},
};

bool migration_is_cut(const struct err *err)
{
	return err->code == -ECONNRESET || err->code == -EPIPE;
}

const char *migration_step(enum mig_state state)
{
	return states[state].step;
}

bool migration_allowed(enum mig_state from, enum mig_state to)
{
	return states[from].next & TO(to);
}

bool migration_is_final(const struct migration *m)
{
	return states[m->state].next == 0;
}

bool migration_is_file(const struct migration *m)
{
	return m->uri.kind == URI_FILE;
}

bool migration_keeps(const struct migration *m)
{
	return m->agreed.recover && !m->switched;
}

bool migration_can_cancel(const struct migration *m)
{
	if (m->state == MIG_COMMITTING) /* the note is asked for: its answer decides */
		return false;
	if (m->state == MIG_END && m->vm_dead) /* the only whole guest is over there */
		return false;
	return migration_allowed(m->state, m->incoming ? MIG_IN_STOPPING : MIG_STOPPING) &&
		m->state != MIG_IN_RUN;
}

static void tell(struct migration *m)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "status", json_object_new_string(m->status));
	json_object_object_add(o, "vm", json_object_new_string(m->vm_name));
	if ((m->state == MIG_FAILED || m->state == MIG_CANCELLED || m->state == MIG_CUT ||
		    m->state == MIG_IN_CUT) &&
		m->error.code)
		json_object_object_add(o, "error-desc", json_object_new_string(m->error.text));
	server_event(m->srv, m->vm_name, "MIGRATION", o);
}

void migration_htab_over(struct migration *m)
{
	if (!m->vm || m->out || m->in)
		return;
	vm_htab_closed(m->vm, m);
	vm_answer_change(m->vm, 0, NULL);
}

static void ended(struct migration *m)
{
	char text[ERR_TEXT_MAX * 2];

	m->t_final = clock_ns();
	if (m->state == MIG_COMPLETED) /* what delayed it is over */
		m->error = (struct err){0};
	if (m->timer)
		event_del(m->timer);
	if (m->limit)
		event_del(m->limit);
	if (m->away)
		event_del(m->away);
	if (m->deadline)
		event_del(m->deadline);
	m->state_fd = fd_close(m->state_fd);
	m->connected_fd = fd_close(m->connected_fd);
	m->htab = htabio_free(m->htab);
	m->htab_verify = htabio_free(m->htab_verify);
	m->creds = tls_creds_unref(m->creds);
	m->save = save_free(m->save);
	m->load = load_free(m->load);
	migration_htab_over(m);
	reopen_over(m);
	migration_describe(m, text, sizeof(text));
	log_msg(m->state == MIG_FAILED ? SD_WARNING : SD_NOTICE, "%s", text);
}

void migration_set(struct migration *m, enum mig_state state)
{
	const char *status = states[state].status;
	uint64_t now = clock_ns();

	assert(migration_allowed(m->state, state));
	log_debug("vm %s: %s -> %s", m->vm_name, migration_step(m->state), migration_step(state));
	m->spent[m->state] += now - m->t_state;
	m->t_state = now;
	m->state = state;
	m->held = NULL;
	if (!status)
		status = m->final == MIG_CANCELLED ? "cancelling" : m->status;
	if (strcmp(status, m->status)) {
		m->status = status;
		tell(m);
	}
	if (states[state].next == 0)
		ended(m);
	server_moved(m->srv, m);
}

static bool is_held(const struct migration *m)
{
	const char *step = migration_step(m->state), *p = m->srv->hold;
	size_t n = strlen(step);

	for (; (p = strstr(p, step)); p += n)
		if ((p == m->srv->hold || p[-1] == ',') && (p[n] == 0 || p[n] == ','))
			return true;
	return false;
}

static void act(struct migration *m, void (*go)(struct migration *m))
{
	struct json_object *o;

	if (!is_held(m)) {
		go(m);
		return;
	}
	m->held = go;
	o = json_object_new_object();
	json_object_object_add(o, "vm", json_object_new_string(m->vm_name));
	json_object_object_add(o, "step", json_object_new_string(migration_step(m->state)));
	server_event(m->srv, m->vm_name, "X_HOLD", o);
}

void migration_begin(struct migration *m, void (*go)(struct migration *m))
{
	tell(m);
	server_status(m->srv);
	act(m, go);
}

void migration_enter(struct migration *m, enum mig_state state, void (*go)(struct migration *m))
{
	migration_set(m, state);
	act(m, go);
}

static void set_timer(struct migration *m, struct event **e, int64_t ms, event_callback_fn cb)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	if (*e)
		event_free(*e);
	*e = evtimer_new(m->srv->base, cb, m);
	if (!*e || event_add(*e, &tv) < 0)
		abort();
}

void migration_timer(struct migration *m, int64_t ms, event_callback_fn cb)
{
	set_timer(m, &m->timer, ms, cb);
}

void migration_limit(struct migration *m, int64_t ms, event_callback_fn cb)
{
	set_timer(m, &m->limit, ms, cb);
}

void migration_away(struct migration *m, int64_t ms, event_callback_fn cb)
{
	set_timer(m, &m->away, ms, cb);
}

void migration_deadline(struct migration *m, int64_t ms, event_callback_fn cb)
{
	set_timer(m, &m->deadline, ms, cb);
}

/* -- what is interrupted, and what is set on the way -- */

static bool is_interrupted(const struct migration *m)
{
	return m->state == MIG_CUT || m->state == MIG_RESUME || m->state == MIG_IN_CUT ||
		m->state == MIG_IN_RESUME;
}

/* ms until recover-timeout ends it. */
static int64_t patience(const struct migration *m)
{
	int64_t gone = (int64_t)((clock_ns() - m->cut_at) / NS_PER_MS);
	int64_t left = m->tuning.recover_timeout * 1000 - gone;

	return left > 0 ? left : 0;
}

void migration_wait_for_peer(struct migration *m, event_callback_fn cb)
{
	migration_limit(m, patience(m), cb);
}

/* The oldest that ended and that nobody needs go; the rest is remembered, for an answer. */
static void forget_old(struct server *srv)
{
	struct migration *m, *next;

	for (m = TAILQ_LAST(&srv->migrations, migrations); m && srv->n_migrations > HISTORY_KEEP;
		m = next) {
		next = TAILQ_PREV(m, migrations, link);
		if (migration_is_final(m) && !m->vm && !m->out && !m->in)
			migration_free(m);
	}
}

struct migration *migration_new(struct server *srv, struct vm *vm, enum mig_state first)
{
	struct migration *m, *old = vm->migration;

	forget_old(srv);
	m = calloc(1, sizeof(*m));
	if (!m)
		return NULL;
	if (old) {
		assert(migration_is_final(old));
		vm_forget_asker(vm, old);
		old->vm = NULL;
	}
	m->srv = srv;
	m->vm = vm;
	vm->migration = m;
	snprintf(m->vm_name, sizeof(m->vm_name), "%s", vm->reg.name);
	m->uuid = vm->reg.uuid;
	m->order = vm->reg.order;
	if (vm->reg.mmu == MMU_BOOKE)
		m->tlb_entries = (uint64_t)tlb_entries(&vm->reg.tlb) * vm->reg.vcpus;
	m->vcpus = vm->reg.vcpus;
	m->tuning = vm->params.tuning;
	m->generation = 1;
	m->state_fd = m->connected_fd = -1;
	m->t_start = m->t_state = clock_ns();
	m->state = first;
	m->final = MIG_FAILED;
	m->agreed.channels = 1;
	m->status = states[first].status;
	TAILQ_INSERT_HEAD(&srv->migrations, m, link);
	srv->n_migrations++;
	return m;
}

void migration_drop_channels(struct migration *m)
{
	for (unsigned k = 0; k < WIRE_CHANNELS_MAX; k++) {
		m->joining[k] = peer_free(m->joining[k]);
		m->streams[k] = stream_free(m->streams[k]);
	}
	m->joined = 0;
}

void migration_gave_channels(struct migration *m)
{
	memset(m->streams, 0, sizeof(m->streams));
	m->joined = 0;
}

struct migration *migration_free(struct migration *m)
{
	if (!m)
		return NULL;
	TAILQ_REMOVE(&m->srv->migrations, m, link);
	m->srv->n_migrations--;
	if (m->vm && m->vm->migration == m)
		m->vm->migration = NULL;
	dial_cancel(m->dial);
	peer_free(m->peer);
	migration_drop_channels(m);
	tls_creds_unref(m->creds);
	fd_close(m->state_fd);
	fd_close(m->connected_fd);
	save_free(m->save);
	load_free(m->load);
	reopen_free(m->next);
	if (m->timer)
		event_free(m->timer);
	if (m->limit)
		event_free(m->limit);
	if (m->away)
		event_free(m->away);
	if (m->deadline)
		event_free(m->deadline);
	free(m);
	return NULL;
}

/* -- what is shown -- */

static void add_int(struct json_object *o, const char *name, uint64_t v)
{
	json_object_object_add(o, name, json_object_new_int64((int64_t)v));
}

static void add_text(struct json_object *o, const char *name, const char *v)
{
	json_object_object_add(o, name, json_object_new_string(v));
}

static struct json_object *ram_json(void)
{
	static const char *const zeros[] = {"transferred", "remaining", "total", "duplicate",
		"skipped", "normal", "normal-bytes", "dirty-pages-rate", "dirty-sync-count",
		"multifd-bytes", "pages-per-second", "postcopy-requests"};
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < sizeof(zeros) / sizeof(zeros[0]); i++)
		add_int(o, zeros[i], 0);
	add_int(o, "page-size", (uint64_t)sysconf(_SC_PAGESIZE));
	json_object_object_add(o, "mbps", json_object_new_double(0));
	return o;
}

/* What the pass under way, or the next one, still has to send, as far as is known. */
static uint64_t remaining(const struct migration *m)
{
	const struct outflow_stats *s = &m->out_stats;
	uint64_t sent = s->pass_valid + s->pass_invalid;

	if (m->incoming || migration_is_final(m))
		return 0;
	if (m->pass <= 1)
		return table_entries(m->order, m->tlb_entries) - (m->pass ? s->last_end : 0);
	return m->remaining > sent ? m->remaining - sent : 0;
}

static struct json_object *htab_json(struct migration *m)
{
	struct json_object *o = json_object_new_object();
	uint64_t valid, invalid, plain, wire;

	if (m->out)
		outflow_get_stats(m->out, &m->out_stats);
	if (m->in)
		inflow_get_stats(m->in, &m->in_stats);
	valid = m->incoming ? m->in_stats.valid : m->out_stats.valid;
	invalid = m->incoming ? m->in_stats.invalid : m->out_stats.invalid;
	plain = m->incoming ? m->in_stats.plain : m->out_stats.plain;
	wire = m->incoming ? m->in_stats.wire : m->out_stats.wire;
	add_int(o, "passes", m->incoming ? m->in_stats.pass : m->pass);
	add_int(o, "transferred", valid + invalid);
	add_int(o, "remaining", remaining(m));
	add_int(o, "entries", m->valid_end);
	add_int(o, "invalidated", invalid);
	add_int(o, "rate", m->rate);
	add_int(o, "htab-bytes", plain);
	add_int(o, "wire-bytes", wire + m->state_done);
	add_int(o, "channels", m->agreed.channels);
	add_int(o, "order", m->order);
	add_int(o, "generation", m->incoming ? m->in_stats.generation : m->generation);
	return o;
}

/* Where the guest's downtime went: from the question to pause it to the answer that it runs. */
static struct json_object *downtime_json(const struct migration *m)
{
	static const enum mig_state steps[] = {MIG_PAUSE, MIG_PRE_SWITCHOVER, MIG_LAST_PASS,
		MIG_STATE, MIG_END, MIG_COMMITTING, MIG_COMMIT, MIG_ASKING};
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		add_int(o, migration_step(steps[i]), m->spent[steps[i]] / NS_PER_US);
	return o;
}

/* While it is interrupted: how long it still waits, and for whom. */
static struct json_object *interrupted_json(const struct migration *m)
{
	struct json_object *o = json_object_new_object();

	add_int(o, "left", (uint64_t)patience(m) / 1000);
	if (!m->incoming)
		json_object_object_add(
			o, "by-hand", json_object_new_boolean(m->by_hand || !migration_keeps(m)));
	return o;
}

struct json_object *migration_json(struct migration *m)
{
	struct json_object *o = json_object_new_object();
	uint64_t end = m->t_final ? m->t_final : clock_ns();
	char text[33];

	add_text(o, "status", m->status);
	add_text(o, "step", migration_step(m->state));
	add_text(o, "direction", m->incoming ? "incoming" : "outgoing");
	add_text(o, "vm", m->vm_name);
	session_text(&m->session, text);
	add_text(o, "session", text);
	add_text(o, "uri", m->uri_text);
	add_text(o, "peer", m->peer_name);
	if (!m->incoming && m->peer_name[0])
		json_object_object_add(o, "ktls", json_object_new_boolean(m->ktls));
	add_int(o, "total-time", (end - m->t_start) / NS_PER_MS);
	add_int(o, "setup-time", ((m->t_active ? m->t_active : end) - m->t_start) / NS_PER_MS);
	if (m->state == MIG_COMPLETED)
		add_int(o, "downtime", m->downtime_ns / NS_PER_MS);
	if (m->state == MIG_COMPLETED && m->downtime_ns && !m->incoming)
		json_object_object_add(o, "downtime-steps", downtime_json(m));
	if (m->state != MIG_COMPLETED)
		add_int(o, "expected-downtime", m->predicted_ns / NS_PER_MS);
	if (m->have_time) {
		add_int(o, "time-error", (uint64_t)m->time_error);
		add_int(o, "time-uncertainty", m->time_uncertainty);
	}
	if (is_interrupted(m))
		json_object_object_add(o, "interrupted", interrupted_json(m));
	if (m->recoveries)
		add_int(o, "recoveries", m->recoveries);
	if (m->throttle)
		add_int(o, "cpu-throttle-percentage", m->throttle);
	if (m->error.code)
		add_text(o, "error-desc", m->error.text);
	json_object_object_add(o, "htab", htab_json(m));
	json_object_object_add(o, "ram", ram_json());
	if (m->have_verified) {
		struct json_object *v = json_object_new_object();

		add_int(v, "entries", m->verified.entries);
		add_int(v, "mismatches", m->verified.mismatches);
		add_int(v, "time", m->verify_ns / NS_PER_MS);
		json_object_object_add(o, "verify", v);
	}
	return o;
}

void migration_describe(const struct migration *m, char *buf, size_t len)
{
	const char *way = m->incoming ? "from" : "to";
	const char *moved = !migration_is_file(m) ? "migrated" : m->incoming ? "loaded" : "saved";
	const char *where = m->incoming && m->peer_name[0] ? m->peer_name : m->uri_text;

	switch (m->state) {
	case MIG_COMPLETED:
		snprintf(buf, len, "%s: %s %s %s in %u passes, total %.0f ms, downtime %.0f ms",
			m->vm_name, moved, way, where, m->incoming ? m->in_stats.pass : m->pass,
			(double)(m->t_final - m->t_start) / 1e6, (double)m->downtime_ns / 1e6);
		return;
	case MIG_FAILED:
		snprintf(buf, len, "%s: migration %s %s failed: %s", m->vm_name, way, where,
			m->error.text);
		return;
	case MIG_CANCELLED:
		snprintf(buf, len, "%s: migration %s %s cancelled%s%s", m->vm_name, way, where,
			m->error.code ? ": " : "", m->error.text);
		return;
	case MIG_ASKING:
		snprintf(buf, len,
			migration_is_file(m)
				? "%s: paused, looks whether it is saved whole in %s: %s"
				: "%s: paused, asks %s whether its guest runs there: %s",
			m->vm_name, where, m->error.text);
		return;
	case MIG_CUT:
	case MIG_IN_CUT:
		snprintf(buf, len, "%s: migration %s %s is interrupted: %s", m->vm_name, way, where,
			m->error.text);
		return;
	case MIG_CONNECT:
	case MIG_OPEN:
	case MIG_JOIN:
	case MIG_START:
	case MIG_ACTIVE:
	case MIG_RESUME:
	case MIG_PAUSE:
	case MIG_PRE_SWITCHOVER:
	case MIG_LAST_PASS:
	case MIG_VERIFY:
	case MIG_STATE:
	case MIG_END:
	case MIG_COMMITTING:
	case MIG_COMMIT:
	case MIG_RELEASE:
	case MIG_UNDO:
	case MIG_STOPPING:
	case MIG_IN_PREPARE:
	case MIG_IN_JOIN:
	case MIG_IN_ACTIVE:
	case MIG_IN_RESUME:
	case MIG_IN_FINISH:
	case MIG_IN_STATE:
	case MIG_IN_NOTE:
	case MIG_IN_READY:
	case MIG_IN_RUN:
	case MIG_IN_RUNNING:
	case MIG_IN_STOPPING:
	case MIG_IN_LOST: break;
	}
	snprintf(buf, len, "%s: migrating %s %s (%s, pass %u)", m->vm_name, way, where,
		migration_step(m->state), m->incoming ? m->in_stats.pass : m->pass);
}
