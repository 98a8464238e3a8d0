/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/session/migration.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/foreign.h"
#include "daemon/flow/chunk.h"
#include "daemon/dest/dest.h"
#include "daemon/control/incoming.h"
#include "daemon/transport/load.h"
#include "daemon/base/log.h"
#include "daemon/session/report.h"
#include "daemon/transport/save.h"
#include "daemon/server.h"
#include "daemon/source/source.h"

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
	/* The only whole guest is over there, or is as soon as its VMM's end has been judged. */
	if (m->state == MIG_END && !m->resumed && (m->vm_dead || (m->vm && vm_ending(m->vm))))
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
	m->state_fd = foreign_close(m->state_fd);
	m->connected_fd = foreign_close(m->connected_fd);
	m->htab = htabio_free(m->htab);
	m->htab_verify = htabio_free(m->htab_verify);
	m->creds = tls_creds_unref(m->creds);
	m->save = save_free(m->save);
	m->load = load_free(m->load);
	migration_htab_over(m);
	reopen_over(m);
	report_describe(m, text, sizeof(text));
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
	m->overdue = (struct err){0};
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

bool migration_is_interrupted(const struct migration *m)
{
	return m->state == MIG_CUT || m->state == MIG_RESUME || m->state == MIG_IN_CUT ||
		m->state == MIG_IN_RESUME;
}

int64_t migration_patience(const struct migration *m)
{
	int64_t gone = (int64_t)((clock_ns() - m->cut_at) / NS_PER_MS);
	int64_t left = m->tuning.recover_timeout * 1000 - gone;

	return left > 0 ? left : 0;
}

void migration_wait_for_peer(struct migration *m, event_callback_fn cb)
{
	migration_limit(m, migration_patience(m), cb);
}

static void vmm_end_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;

	assert(!m->vm);
	migration_unwatch_vmm(m);
	if (m->incoming)
		dest_vm_gone(m, true);
	else
		source_vm_gone(m, true);
}

void migration_watch_vmm(struct migration *m, const struct vm *vm)
{
	int fd = fcntl(vm->pidfd, F_DUPFD_CLOEXEC, 3);

	migration_unwatch_vmm(m);
	if (fd < 0)
		return; /* then it is known when it is back, or its successor is there */
	m->vmm_end = event_new(m->srv->base, fd, EV_READ, vmm_end_cb, m);
	if (!m->vmm_end || event_add(m->vmm_end, NULL) < 0)
		abort();
}

void migration_unwatch_vmm(struct migration *m)
{
	if (!m->vmm_end)
		return;
	fd_close(event_get_fd(m->vmm_end));
	event_free(m->vmm_end);
	m->vmm_end = NULL;
}

/* The oldest that ended and that nobody needs go; the rest is remembered, for an answer. */
static void forget_old(struct server *srv)
{
	struct migration *m, *next;
	unsigned n = 0;

	TAILQ_FOREACH (m, &srv->migrations, link)
		n += migration_is_final(m) || !m->adopted;
	for (m = TAILQ_LAST(&srv->migrations, migrations); m && n > HISTORY_KEEP; m = next) {
		next = TAILQ_PREV(m, migrations, link);
		if (migration_is_final(m) && !m->vm && !m->out && !m->in) {
			migration_free(m);
			n--;
		}
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
	m->uid = vm->uid;
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
	incoming_forget(m);
	migration_unwatch_vmm(m);
	TAILQ_REMOVE(&m->srv->migrations, m, link);
	if (m->vm && m->vm->migration == m)
		m->vm->migration = NULL;
	dial_cancel(m->dial);
	peer_free(m->peer);
	migration_drop_channels(m);
	tls_creds_unref(m->creds);
	foreign_close(m->state_fd);
	foreign_close(m->connected_fd);
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
