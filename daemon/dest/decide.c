/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The destination from READY on: the session is decided once, by its VMM, and questions about it
 * are answered (docs/architecture.md, "Never two, never none").
 *
 * NEVER is said when the VMM noted DEAD, or when its process is known to have ended and no daemon
 * can have asked it to run: a VMM that registered with READY was not asked before, one that
 * registered with RUN was.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/foreign.h"
#include "daemon/session/cookie.h"
#include "daemon/dest/dest.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/server.h"
#include "daemon/session/unresolved.h"

static void say(struct migration *m, enum wire_type type)
{
	if (m->peer)
		peer_send_session(m->peer, type, &m->session, &m->uuid);
}

/* The answers have no room for a reason: it goes before them, to whoever knows that. */
static void say_why(struct migration *m)
{
	struct wire_refuse why = {.code = WIRE_REFUSE_FAILED};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	if (!m->peer || !(peer_features(m->peer) & WIRE_FEATURE_REASON) || !m->error.text[0])
		return;
	snprintf(why.text, sizeof(why.text), "%s", m->error.text);
	peer_send(m->peer, buf, wire_pack_refuse(WIRE_REASON, &why, buf, sizeof(buf)));
}

static void say_and_close(struct migration *m, enum wire_type type)
{
	if (type != WIRE_LOST) /* which says it */
		say_why(m);
	say(m, type);
	if (m->peer)
		peer_finish(m->peer);
	m->peer = NULL;
}

/* -- CLOSED -- */

static void release_vm(struct migration *m);

static void release_again_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;

	if (m->state == MIG_COMPLETED)
		release_vm(m);
}

static void forgotten_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	foreign_close(fd);
	if (!reply->error)
		return;
	log_err("vm %s: its VMM does not close the session by which its guest came, and is asked "
		"again; until then it may not migrate on: %s",
		m->vm_name, reply->text);
	vm_set_note(m->vm, &m->session, NOTE_RUN);
	migration_timer(m, limit_backoff_ms(++m->release_tries), release_again_cb);
}

static void release_vm(struct migration *m)
{
	struct vmm_request req = {.type = VMM_RELEASE, .session = m->session};

	if (!m->vm)
		return;
	vm_set_note(m->vm, &m->session, NOTE_NONE);
	vm_ask(m->vm, &req, -1, limit_ms(LIMIT_VMM_ANSWER), forgotten_cb, m);
}

static void killed_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	foreign_close(fd);
	if (reply->value != NOTE_DEAD)
		return;
	m->never = true;
	vm_set_note(m->vm, &m->session, NOTE_DEAD);
}

static void kill_copy(struct migration *m)
{
	struct vmm_request req = {.type = VMM_NOTE, .note = NOTE_DEAD};

	dest_ask(m, &req, -1, limit_ms(LIMIT_VMM_ANSWER), killed_cb);
}

static void complete(struct migration *m)
{
	release_vm(m);
	if (m->peer)
		peer_finish(m->peer);
	m->peer = NULL;
	migration_set(m, MIG_COMPLETED);
}

void decide_closed(struct migration *m)
{
	m->closed = true;
	if (m->state == MIG_IN_RUNNING)
		complete(m);
}

/* -- READY, RUN -- */

static void running_go(struct migration *m)
{
	say(m, WIRE_RUNNING);
	if (migration_is_file(m)) /* there is no source that has to let it go first */
		complete(m);
}

static void run_go(struct migration *m);

static void run_again_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;

	if (m->state == MIG_IN_RUN && m->vm)
		run_go(m);
}

/* Its answer may come when the session is over: it is but for people. */
static void time_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	foreign_close(fd);
	if (reply->error)
		return; /* a VMM without a timebase of its own */
	m->have_time = true;
	m->time_error = (int64_t)reply->value;
	log_note(
		"vm %s: the guest's timebase goes on %lld ns %s of where it would be had the guest never stopped (known to %llu ns)",
		m->vm_name, (long long)(m->time_error < 0 ? -m->time_error : m->time_error),
		m->time_error < 0 ? "short" : "ahead", (unsigned long long)m->time_uncertainty);
}

static void run_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct vmm_request time = {.type = VMM_QUERY_TIME};
	struct migration *m = arg;

	foreign_close(fd);
	unresolved_over(m);
	m->asked_run = true;
	if (reply->error == 0 && reply->value == NOTE_RUN) {
		m->vm->reg.incoming = false;
		m->vm->reg.running = true;
		if (m->t_stopped)
			m->downtime_ns = clock_ns() - m->t_stopped;
		vm_set_note(m->vm, &m->session, NOTE_RUN);
		server_event(m->srv, m->vm_name, "RESUME", NULL);
		dest_ask(m, &time, -1, limit_ms(LIMIT_VMM_ANSWER), time_cb);
		migration_enter(m, MIG_IN_RUNNING, running_go);
		return;
	}
	err_set(&m->error, reply->error ? reply->error : -EIO, "the guest could not be started: %s",
		reply->text);
	if (reply->value != NOTE_DEAD) {
		log_err("vm %s: %s", m->vm_name, m->error.text);
		say_and_close(m, WIRE_UNKNOWN);
		if (migration_is_file(m) && m->vm)
			migration_timer(m, limit_ms(LIMIT_RUN_AGAIN), run_again_cb);
		return; /* still IN_RUN: asked again with the next COMMIT */
	}
	m->never = true;
	vm_set_note(m->vm, &m->session, NOTE_DEAD);
	say_and_close(m, WIRE_NEVER);
	migration_set(m, MIG_FAILED);
}

static void run_go(struct migration *m)
{
	struct vmm_request req = {.type = VMM_NOTE, .note = NOTE_RUN};

	/* Whatever would ask again waits for this answer: a second one would be out of order. */
	m->error = (struct err){0};
	if (m->timer)
		event_del(m->timer);
	unresolved_wait(m);
	if (m->vm)
		dest_ask(m, &req, -1, VM_ASK_UNBOUNDED, run_cb);
	/* else: when it is back. What it died without having been told was not asked. */
}

static void ready_timeout_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;

	if (m->state == MIG_IN_READY && !m->peer) /* it may have come by RESUME, to say ABORT */
		dest_failf(m, -ETIMEDOUT,
			"the source was not heard of for %lld s (ready-timeout), and has not said whether the guest is to run here",
			(long long)m->tuning.ready_timeout);
}

/*
 * Without a connection alone: a source that lives may be at `inactivate` for as long as it takes,
 * and this is the last copy when its VMM dies then. People are told, and may cancel.
 */
static void limit_ready(struct migration *m)
{
	int64_t ms = m->tuning.ready_timeout * 1000;
	int64_t gone = (int64_t)((clock_ns() - m->t_waits) / NS_PER_MS);

	if (!m->peer)
		migration_timer(m, gone < ms ? ms - gone : 0, ready_timeout_cb);
}

static void wait_for_commit(struct migration *m)
{
	unresolved_over(m);
	unresolved_wait(m);
	limit_ready(m);
}

void decide_tuned(struct migration *m)
{
	if (m->state == MIG_IN_READY && m->t_waits)
		limit_ready(m);
	if (m->state == MIG_IN_READY || m->state == MIG_IN_RUN)
		unresolved_tuned(m);
}

static void ready_go(struct migration *m)
{
	say(m, WIRE_READY);
	if (migration_is_file(m))
		migration_enter(m, MIG_IN_RUN, run_go);
	else
		wait_for_commit(m);
}

void decide_ready(struct migration *m)
{
	m->t_end = clock_ns();
	migration_enter(m, MIG_IN_READY, ready_go);
}

void decide_disconnected(struct migration *m)
{
	if (m->state == MIG_IN_READY) /* anew: it is for its host to come back now */
		wait_for_commit(m);
	/* IN_RUN, IN_RUNNING, IN_LOST: the source asks again */
}

int decide_commit(struct migration *m)
{
	switch (m->state) {
	case MIG_IN_READY:
		if (m->held) /* READY was not said yet */
			return -EBADMSG;
		if (m->timer)
			event_del(m->timer);
		migration_enter(m, MIG_IN_RUN, run_go);
		return 0;
	case MIG_IN_RUN:
		if (m->vm && m->error.code && !m->held) /* it was asked in vain */
			run_go(m);
		return 0; /* the VMM's answer will be said */
	case MIG_IN_RUNNING:
	case MIG_COMPLETED: say(m, WIRE_RUNNING); return 0;
	case MIG_FAILED:
	case MIG_CANCELLED:
		if (!m->never && m->vm)
			kill_copy(m); /* its answer did not come; the next question gets NEVER */
		say_and_close(m, m->never ? WIRE_NEVER : WIRE_UNKNOWN);
		return 0;
	case MIG_IN_LOST: say_and_close(m, WIRE_LOST); return 0;
	case MIG_IN_STOPPING: return 0; /* decide_stopped() */
	case MIG_IN_PREPARE:
	case MIG_IN_JOIN:
	case MIG_IN_ACTIVE:
	case MIG_IN_CUT:
	case MIG_IN_RESUME:
	case MIG_IN_FINISH:
	case MIG_IN_STATE:
	case MIG_IN_NOTE:
	case MIG_CONNECT:
	case MIG_OPEN:
	case MIG_JOIN:
	case MIG_START:
	case MIG_ACTIVE:
	case MIG_CUT:
	case MIG_RESUME:
	case MIG_PAUSE:
	case MIG_PRE_SWITCHOVER:
	case MIG_LAST_PASS:
	case MIG_VERIFY:
	case MIG_STATE:
	case MIG_END:
	case MIG_COMMITTING:
	case MIG_COMMIT:
	case MIG_ASKING:
	case MIG_RELEASE:
	case MIG_UNDO:
	case MIG_STOPPING: break;
	}
	return -EBADMSG; /* before READY there is nothing to commit */
}

void decide_stopped(struct migration *m)
{
	migration_set(m, m->final);
	if (m->peer) /* who asked while the VMM was asked for its note */
		decide_commit(m);
}

/* -- questions -- */

static void answer_and_close(struct peer *p, enum wire_type type, const struct wire_session *s)
{
	peer_send_session(p, type, &s->session, &s->uuid);
	peer_finish(p);
}

void dest_question(struct server *srv, struct peer *p, const struct wire_session *s)
{
	struct migration *m = server_find_session(srv, &s->session);
	bool loading;

	if (!m || !m->incoming || migration_is_file(m) || m->unproven ||
		!uuid_eq(&s->uuid, &m->uuid)) {
		answer_and_close(p, WIRE_UNKNOWN, s);
		return;
	}
	if (strcmp(stream_peer(peer_stream(p)), m->peer_name)) {
		log_stranger(LOG_NETWORK, SD_WARNING, "vm %s: '%s' asks about a session of '%s'",
			m->vm_name, stream_peer(peer_stream(p)), m->peer_name);
		peer_send_refuse(
			p, WIRE_REFUSE, WIRE_REFUSE_DENIED, "this session is another host's");
		peer_finish(p);
		return;
	}
	/* Before READY the first connection is still the session's: if it is broken, that shows. */
	loading = m->state < MIG_IN_READY;
	if (loading) {
		answer_and_close(p, WIRE_UNKNOWN, s);
		return;
	}
	if (m->peer)
		peer_free(m->peer);
	m->peer = p;
	peer_set_ops(p, &dest_ops, m);
	peer_keepalive(p);
	decide_commit(m);
}

/* -- the VMM -- */

static void nothing_go(struct migration *m)
{
}

/* Whose session it is nobody knows, so no question is answered: an operator has to speak. */
static void adopt_unproven(struct migration *m)
{
	m->unproven = m->unresolved = true;
	err_set(&m->error, -EBADMSG,
		"its VMM's note of this session was not made by a daemon of this host that has the "
		"key %s/note-key, so nobody is answered",
		m->srv->config.state_dir);
	migration_begin(m, unresolved_tell);
}

void dest_adopt(struct server *srv, struct vm *vm, const struct vmm_note *note, bool proven)
{
	enum mig_state first = note->note == NOTE_RUN ? MIG_IN_RUNNING
		: note->note == NOTE_READY            ? MIG_IN_READY
						      : MIG_FAILED;
	struct migration *m;

	if (vm->migration && !migration_is_final(vm->migration))
		return;                     /* a VM holds one session that is not over */
	if (first == MIG_FAILED && !proven) /* NEVER is not said by its word: it is as forgotten */
		return;
	m = migration_new(srv, vm, first);
	if (!m)
		return;
	m->incoming = true;
	m->adopted = true;
	m->session = note->session;
	m->asked_run = note->note == NOTE_RUN;
	if (!proven) {
		adopt_unproven(m);
		return;
	}
	cookie_unpack_dest(m, note);
	m->never = note->note == NOTE_DEAD;
	if (first == MIG_FAILED) { /* or cancelled: the note does not tell */
		err_set(&m->error, -ECANCELED, "the session ended before this daemon started");
		m->t_final = m->t_start;
		m->forgotten = true;
		vm->migration = NULL;
		m->vm = NULL;
		return;
	}
	log_note("vm %s: holds a guest that an earlier daemon %s", m->vm_name,
		first == MIG_IN_RUNNING ? "started" : "loaded; its source decides");
	if (migration_is_file(m)) {
		migration_begin(m, first == MIG_IN_READY ? ready_go : running_go);
		return;
	}
	migration_begin(m, nothing_go);
	if (first == MIG_IN_READY)
		decide_disconnected(m);
}

void dest_attach(struct migration *m, struct vm *vm, enum session_note note)
{
	m->never = note == NOTE_DEAD;
	if (m->forgotten)
		return;
	m->vm = vm;
	vm->migration = m;
	migration_unwatch_vmm(m);
	if (m->state == MIG_COMPLETED && note == NOTE_RUN) {
		release_vm(m); /* CLOSED came while it was away */
	} else if (migration_is_final(m) && note == NOTE_READY) {
		kill_copy(m); /* this daemon gave the session up while it was away */
	} else if (note == NOTE_DEAD && m->state == MIG_IN_READY) {
		dest_failf(m, -ECANCELED, "the VMM gave the session up");
	} else if (m->state == MIG_IN_RUN && !m->held) {
		run_go(m); /* compare-and-set: its answer tells what became of the first asking */
	}
}

void dest_vm_gone(struct migration *m, bool dead)
{
	if (m->state == MIG_IN_RUN && m->vm && vm_was_sent(m->vm, VMM_NOTE, m))
		m->asked_run = true;
	m->vm = NULL;
	m->vm_dead = dead;
	if (dead && !m->asked_run)
		m->never = true;
	m->waits -= m->vm_waits;
	m->vm_waits = 0;
	if (m->state == MIG_IN_STOPPING && m->waits == 0) {
		decide_stopped(m);
	} else if (m->state == MIG_IN_RUN && m->never) {
		err_set(&m->error, -ECONNRESET,
			"the VMM of %s died before it was asked to run the guest", m->vm_name);
		say_and_close(m, WIRE_NEVER);
		migration_set(m, MIG_FAILED);
	} else if (m->state == MIG_IN_RUN && dead) {
		err_set(&m->error, -EOWNERDEAD,
			"the VMM of %s died when it was asked to run the guest", m->vm_name);
		if (migration_is_file(m)) { /* the file has it still: nobody waits for a word */
			migration_set(m, MIG_FAILED);
			return;
		}
		say_and_close(m, WIRE_LOST);
		migration_set(m, MIG_IN_LOST);
		unresolved_tell(m);
	} else if (m->state < MIG_IN_READY || (m->state == MIG_IN_READY && dead)) {
		dest_failf(m, -ECONNRESET,
			dead ? "the VMM of %s died" : "the VMM of %s disconnected", m->vm_name);
	}
	/*
	 * IN_READY, IN_RUN and only disconnected: it comes back with its note. IN_RUNNING: it
	 * ran.
	 */
}

int dest_resolve(struct migration *m, bool run, struct err *err)
{
	if (m->state == MIG_IN_READY && run) {
		if (!m->vm)
			return err_set(err, -ENODEV, "the VMM of %s is not here now", m->vm_name);
		if (m->peer)
			return err_set(err, -EBUSY,
				"the source of VM %s is connected and decides itself", m->vm_name);
		if (m->timer)
			event_del(m->timer);
		migration_enter(m, MIG_IN_RUN, run_go);
		return 0;
	}
	if (m->state == MIG_IN_READY)
		return dest_cancel(m, err);
	if (m->state == MIG_IN_RUNNING && run) { /* as CLOSED does, for a source that is gone */
		complete(m);
		return 0;
	}
	if (m->state == MIG_IN_LOST) {
		m->never = !run;
		migration_set(m, run ? MIG_COMPLETED : MIG_FAILED);
		return 0;
	}
	if (m->state == MIG_IN_RUN)
		return err_set(err, -EBUSY,
			"the VMM of %s was asked to run the guest, which may begin at any moment: wait for its answer; once its process has ended, say by 'resolve' what is known",
			m->vm_name);
	return err_set(err, -EINVAL,
		"the migration of VM %s is at step '%s' and cannot be resolved to '%s'", m->vm_name,
		migration_step(m->state), run ? "run" : "discard");
}
