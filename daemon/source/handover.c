/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The source's hand-over, from READY on (docs/architecture.md, "Never two, never none"): COMMIT and
 * its answers, asking again on other connections and by later daemons, letting the guest go or
 * taking it back. From the COMMITTING note on only the destination's answer about the session, or
 * an operator's word, ends it.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/foreign.h"
#include "daemon/session/cookie.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/transport/save.h"
#include "daemon/server.h"
#include "daemon/source/source.h"
#include "daemon/session/unresolved.h"

#define CLOSED_TRIES 5

static void redial_cb(evutil_socket_t fd, short what, void *arg);

/* -- the end of it -- */

/* CLOSED is not said, for good. What a person has to know then. */
static void not_told(struct migration *m)
{
	char text[33];

	session_text(&m->session, text);
	if (m->unreleased)
		log_err("vm %s: its guest runs at %s, and its VMM, which is away, did not let it go "
			"here: that is done when it is back",
			m->vm_name, m->uri_text);
	if (!migration_is_file(m))
		log_warn(
			"vm %s: %s was not told that session %s is closed: a guest that runs there "
			"has to be resolved before it can migrate on, and a copy that is ready is "
			"given up by itself, or by 'resolve'",
			m->vm_name, m->uri_text[0] ? m->uri_text : "its destination", text);
}

void handover_finish(struct migration *m)
{
	if (m->out || m->waits || m->state != MIG_RELEASE || !(m->released || m->unreleased))
		return;
	if (m->dial || (m->peer && m->asked)) /* CLOSED follows an answer, on its connection */
		return;
	if (m->unreleased || m->discarded) {
		m->peer = peer_free(m->peer);
		not_told(m);
	} else if (m->peer) {
		peer_send_session(m->peer, WIRE_CLOSED, &m->session, &m->uuid);
		peer_finish(m->peer);
		m->peer = NULL;
	} else if (!migration_is_file(m) && m->redials < CLOSED_TRIES) {
		/*
		 * The destination may not migrate this guest on before it heard CLOSED. It said
		 * RUNNING, so COMMIT starts nothing there any more.
		 */
		migration_timer(m, m->redials++ * limit_ms(LIMIT_REDIAL), redial_cb);
		return;
	} else {
		not_told(m);
	}
	migration_set(m, MIG_COMPLETED);
}

static void released_cb(void *arg, const struct vmm_reply *reply, int fd);

static void ask_release(struct migration *m)
{
	struct vmm_request req = {.type = VMM_RELEASE};

	source_ask_wait(m, &req, released_cb);
}

static void release_again_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;

	if (m->state == MIG_RELEASE && m->vm && !m->released && !m->vm_waits)
		ask_release(m);
}

/* Nothing but its word, or its end, says that it let its guest go. */
static void released_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	foreign_close(fd);
	source_answered(m);
	if (reply->error) {
		err_set(&m->error, reply->error,
			"its guest runs at %s, but its VMM (process %d) does not let it go here, and "
			"is asked again; end it if it never does: %s",
			m->uri_text, (int)m->vm->pid, reply->text);
		log_err("vm %s: %s", m->vm_name, m->error.text);
		migration_limit(m, limit_backoff_ms(++m->release_tries), release_again_cb);
		return;
	}
	vm_set_note(m->vm, &m->session, NOTE_NONE);
	m->released = true;
	handover_finish(m);
}

/* Its VMM lives, and is away for longer than it takes to come back. */
static void not_back_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;

	if (m->state == MIG_RELEASE && !m->vm && !m->released) {
		m->unreleased = true;
		handover_finish(m);
	}
}

static void release_go(struct migration *m)
{
	source_stop_flow(m);
	if (m->vm)
		ask_release(m);
	else if (m->vm_dead)
		m->released = true;
	else
		migration_limit(m, limit_ms(LIMIT_VMM_BACK), not_back_cb);
	handover_finish(m);
}

/* RUNNING, or the operator's word for it. */
void handover_release(struct migration *m)
{
	if (m->t_pause && !m->adopted)
		m->downtime_ns = clock_ns() - m->t_pause - m->verify_ns;
	m->dial = dial_cancel(m->dial);
	m->redials = 0;
	unresolved_over(m);
	migration_enter(m, MIG_RELEASE, release_go);
}

static void undo_go(struct migration *m);

static void undo_again_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;

	if (m->vm && m->state == MIG_UNDO && !m->vm_waits)
		undo_go(m);
}

static void undone_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct migration *m = arg;

	foreign_close(fd);
	source_answered(m);
	if (reply->error) {
		log_err("vm %s: its guest never runs at the destination and could not be resumed "
			"here, it is tried again: %s",
			m->vm_name, reply->text);
		migration_timer(m, limit_ms(LIMIT_UNDO_AGAIN), undo_again_cb);
		return;
	}
	m->vm->reg.running = true;
	vm_set_note(m->vm, &m->session, NOTE_NONE);
	source_runs_again(m);
	server_event(m->srv, m->vm_name, "RESUME", NULL);
	migration_set(m, MIG_FAILED);
}

static void undo_go(struct migration *m)
{
	struct vmm_request req = {.type = VMM_UNDO};

	source_stop_flow(m);
	if (m->peer) {
		peer_send_session(m->peer, WIRE_CLOSED, &m->session, &m->uuid);
		peer_finish(m->peer);
		m->peer = NULL;
	}
	source_ask_wait(m, &req, undone_cb);
}

/* NEVER, or the operator's word for it: the guest goes on here, if its VMM still has it. */
void handover_undo(struct migration *m, const char *why)
{
	err_set(&m->error, -EREMOTEIO, "%s", why);
	m->dial = dial_cancel(m->dial);
	if (m->vm) {
		unresolved_wait(m);
		migration_enter(m, MIG_UNDO, undo_go);
		return;
	}
	if (!m->vm_dead) {
		/* Asked again when the VMM is back, and meanwhile, so that people hear of it. */
		m->peer = peer_free(m->peer);
		handover_asking(m);
		return;
	}
	err_set(&m->error, -EREMOTEIO, "%s; the VMM here is dead: the guest of %s is lost", why,
		m->vm_name);
	source_stop_flow(m);
	if (m->peer)
		peer_finish(m->peer);
	m->peer = NULL;
	migration_set(m, MIG_FAILED);
}

/* -- asking -- */

/* The destination said RUNNING before, and another thing now: a person has to look. */
static void contradiction(struct migration *m, enum wire_type answer)
{
	struct json_object *o = json_object_new_object();
	char text[33];

	session_text(&m->session, text);
	log_err("vm %s: ran at %s, which now says %s about session %s: it may run nowhere",
		m->vm_name, m->uri_text, wire_type_name(answer), text);
	json_object_object_add(o, "vm", json_object_new_string(m->vm_name));
	json_object_object_add(o, "session", json_object_new_string(text));
	json_object_object_add(o, "desc", json_object_new_string(wire_type_name(answer)));
	server_event(m->srv, m->vm_name, "MIGRATION_CONTRADICTION", o);
}

int handover_reason(struct migration *m, struct peer *p, const uint8_t *body, size_t len)
{
	struct wire_refuse why;

	if (!(peer_features(p) & WIRE_FEATURE_REASON) || wire_unpack_refuse(body, len, &why) < 0)
		return -EBADMSG;
	snprintf(m->reason, sizeof(m->reason), "%s", why.text);
	return 0;
}

/* What it answered, with the reason if it gave one. */
static struct err answer(struct migration *m, const char *what)
{
	struct err err;

	err_set(&err, -EREMOTEIO, "%s%s%s", what, m->reason[0] ? ": " : "", m->reason);
	m->reason[0] = 0;
	return err;
}

int handover_answer(struct migration *m, enum wire_type type, const uint8_t *body, size_t len)
{
	struct wire_session s;
	struct err err;

	if (wire_unpack_session(body, len, &s) < 0 || !session_eq(&s.session, &m->session) ||
		!uuid_eq(&s.uuid, &m->uuid))
		return -EBADMSG;
	m->asked = false;
	if (type == WIRE_RUNNING) {
		if (m->state == MIG_RELEASE)
			handover_finish(m);
		else
			handover_release(m);
		return 0;
	}
	if (type == WIRE_NEVER && m->state != MIG_RELEASE) {
		err = answer(m, "the destination says that this guest never runs there");
		handover_undo(m, err.text);
		return 0;
	}
	if (m->state == MIG_RELEASE && type != WIRE_UNKNOWN)
		contradiction(m, type);
	if (m->state == MIG_RELEASE) { /* forgotten there: it was told before */
		m->redials = CLOSED_TRIES;
		m->peer = peer_free(m->peer);
		handover_finish(m);
		return 0;
	}
	/* UNKNOWN and LOST resume nobody. */
	m->error = answer(m,
		type == WIRE_LOST ? "its VMM there died when it was asked to run the guest"
			: m->reason[0]
			? "the destination cannot say yet whether the guest will run there"
			: "the destination does not know the session yet");
	if (m->peer)
		peer_finish(m->peer);
	m->peer = NULL;
	handover_asking(m);
	return 0;
}

/* The connection or the attempt at one failed: again, later. */
void handover_no_answer(struct migration *m, const struct err *err)
{
	if (m->state == MIG_RELEASE) {
		handover_finish(m);
		return;
	}
	m->error = *err;
	handover_asking(m);
}

static int asking_frame(
	void *arg, struct peer *p, enum wire_type type, const uint8_t *body, size_t len)
{
	struct wire_refuse refuse;
	struct err err;
	struct migration *m = arg;

	switch ((unsigned)type) {
	case WIRE_WELCOME:
		if (peer_welcome(p, body, len) < 0)
			return -EBADMSG;
		peer_send_session(p, WIRE_COMMIT, &m->session, &m->uuid);
		return 0;
	case WIRE_REFUSE:
		if (wire_unpack_refuse(body, len, &refuse) < 0)
			return -EBADMSG;
		err_set(&err, -EREMOTEIO, "the destination refused to answer: %s", refuse.text);
		m->peer = NULL;
		peer_finish(p);
		handover_no_answer(m, &err);
		return 0;
	case WIRE_REASON: return handover_reason(m, p, body, len);
	case WIRE_RUNNING:
	case WIRE_NEVER:
	case WIRE_UNKNOWN:
	case WIRE_LOST: return handover_answer(m, type, body, len);
	default: return -EBADMSG;
	}
}

static void asking_closed(void *arg, struct peer *p, const struct err *err)
{
	struct migration *m = arg;

	m->peer = peer_free(p);
	handover_no_answer(m, err);
}

static const struct peer_ops asking_ops = {.frame = asking_frame, .closed = asking_closed};

/* RUNNING was heard before, and is said at once by who can say it: CLOSED is tried again. */
static void release_silent_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;

	if (m->state != MIG_RELEASE || !m->peer)
		return;
	m->peer = peer_free(m->peer);
	m->asked = false;
	handover_finish(m);
}

static void asking_dialled(void *arg, struct stream *stream, const struct err *err)
{
	struct migration *m = arg;
	struct err e;

	m->dial = NULL;
	if (!stream) {
		handover_no_answer(m, err);
		return;
	}
	if (strcmp(stream_peer(stream), m->peer_name)) {
		err_set(&e, -EPERM, "%s is '%s' now, not the '%s' that has the guest", m->uri_text,
			stream_peer(stream), m->peer_name);
		stream_free(stream);
		handover_no_answer(m, &e);
		return;
	}
	if (peer_new(m->srv->base, stream, &asking_ops, m, &m->peer) < 0) {
		err_set(&e, -ENOMEM, "out of memory");
		handover_no_answer(m, &e);
		return;
	}
	m->asked = true;
	if (m->state == MIG_RELEASE)
		migration_timer(m, limit_ms(LIMIT_REDIAL_MAX), release_silent_cb);
	peer_send_hello(m->peer, WIRE_ROLE_QUESTION, m->srv->config.name);
	peer_keepalive(m->peer);
}

static void redial_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;
	struct err err = {0};

	m->creds = tls_creds_unref(m->creds); /* they may have been renewed */
	if (m->unproven) { /* nobody can be asked: it is said again that a person has to */
		err = m->error;
		handover_no_answer(m, &err);
	} else if (migration_is_file(m))
		save_ask(m);
	else if (server_creds(m->srv, m->agreed.tls_creds, &m->creds, &err) < 0)
		handover_no_answer(m, &err);
	else if (dial_start(m->srv->base, &m->uri, m->creds,
			 m->agreed.tls_hostname[0] ? m->agreed.tls_hostname : NULL,
			 limit_ms(LIMIT_REDIAL_MAX), asking_dialled, m, &m->dial, &err) < 0)
		handover_no_answer(m, &err);
}

static void asking_go(struct migration *m)
{
	migration_timer(m, limit_backoff_ms(m->redials), redial_cb);
	if (m->redials++ % 16 == 1)
		unresolved_tell(m);
}

void handover_asking(struct migration *m)
{
	m->unresolved = true;
	if (m->state == MIG_ASKING) {
		server_status(m->srv);
		if (!m->held)
			asking_go(m);
		return;
	}
	migration_enter(m, MIG_ASKING, asking_go);
}

/* It may answer yet, and is heard then: no other connection is made while this one lives. */
void handover_silent(struct migration *m)
{
	err_set(&m->error, -ETIMEDOUT,
		"it was asked %lld s ago to run the guest and has not said whether it does, though the connection lives",
		(long long)m->tuning.handover_timeout);
	m->unresolved = true;
	m->asked = true;
	if (m->state == MIG_COMMIT)
		migration_set(m, MIG_ASKING);
	unresolved_tell(m);
}

void handover_closed(struct migration *m, const struct err *err)
{
	if (m->state == MIG_COMMIT || m->state == MIG_ASKING) {
		m->error = *err;
		handover_asking(m);
	} else if (m->state == MIG_END) { /* READY may be on its way, and no guest is left here */
		m->error = *err;
		if (!m->vm) /* else its end is being judged, and source_vm_gone() goes on */
			handover_commit(m);
	} else if (m->state == MIG_RELEASE) {
		handover_finish(m);
	}
}

/*
 * Too late to be an answer, which only the five messages are: the note stands. But who said it
 * reads nothing more here, so COMMIT goes another way, and at once: the guest stands still
 * meanwhile.
 */
int handover_aborted(struct migration *m, const uint8_t *body, size_t len)
{
	struct wire_refuse refuse;
	struct err err;

	if (wire_unpack_refuse(body, len, &refuse) < 0)
		return -EBADMSG;
	err_set(&err, -EREMOTEIO, "the destination gave up: %s", refuse.text);
	m->peer = peer_free(m->peer);
	if (!m->held)
		handover_closed(m, &err);
	return 0;
}

static void commit_go(struct migration *m)
{
	source_stop_flow(m); /* READY says that everything has arrived */
	if (m->timer)
		event_del(m->timer);
	unresolved_wait(m);
	if (m->save)
		save_commit(m);
	else if (m->peer)
		peer_send_session(m->peer, WIRE_COMMIT, &m->session, &m->uuid);
	else
		handover_asking(m);
}

void handover_commit(struct migration *m)
{
	migration_enter(m, MIG_COMMIT, commit_go);
}

/* Nothing is under way, or it would be in vain. */
static void ask_now(struct migration *m)
{
	if (m->held || m->peer || m->dial)
		return;
	m->redials = 0;
	asking_go(m);
}

void source_vm_gone(struct migration *m, bool dead)
{
	bool whole = dead && !m->resumed;

	m->vm = NULL;
	m->vm_dead = dead;
	m->paused = false;
	if (migration_is_final(m))
		return;
	if (m->state == MIG_END && whole) {
		if (!m->peer && !m->save) /* the connection ended first */
			handover_commit(m);
		return; /* else READY decides, or the file's being whole */
	}
	if (m->state == MIG_COMMITTING && whole) {
		handover_commit(m);
	} else if (m->state == MIG_COMMITTING || migration_can_cancel(m)) {
		source_failf(m, -ECONNRESET,
			dead ? "the VMM of %s died" : "the VMM of %s disconnected", m->vm_name);
	}
	/* The answers that were waited for do not come any more. */
	m->waits -= m->vm_waits;
	m->vm_waits = 0;
	if (m->state == MIG_STOPPING && m->waits == 0)
		migration_set(m, m->final);
	else if (m->state == MIG_UNDO && dead)
		migration_set(m, MIG_FAILED);
	else if (m->state == MIG_ASKING && dead)
		ask_now(m);
	else if (m->state == MIG_RELEASE && dead) {
		m->released = true;
		handover_finish(m);
	} else if (m->state == MIG_RELEASE && !m->released) {
		migration_limit(m, limit_ms(LIMIT_VMM_BACK), not_back_cb);
	}
	/* COMMIT, ASKING: go on asking; the VMM comes back with its note, or it is dead */
}

/*
 * Its VMM is back without the note. It did what it was asked last, or it is another process: the
 * one that had the guest is dead.
 */
void source_vm_back(struct migration *m)
{
	migration_unwatch_vmm(m);
	m->vm_dead = true;
	if (m->state == MIG_UNDO) {
		migration_set(m, MIG_FAILED);
	} else if (m->state == MIG_RELEASE) {
		m->released = true;
		handover_finish(m);
	}
}

void source_attach(struct migration *m, struct vm *vm)
{
	m->vm = vm;
	vm->migration = m;
	migration_unwatch_vmm(m);
	if (m->held)
		return;
	if (m->state == MIG_ASKING) {
		ask_now(m);
	} else if (m->state == MIG_RELEASE) {
		m->unreleased = false;
		release_go(m);
	} else if (m->state == MIG_UNDO) {
		if (m->timer)
			event_del(m->timer);
		undo_go(m);
	}
}

void source_adopt(struct server *srv, struct vm *vm, const struct vmm_note *note, bool proven)
{
	const struct migration *before = server_find_session(srv, &note->session);
	bool away = before && before->state == MIG_COMPLETED; /* when it should have let it go */
	bool discarded = before && before->discarded;
	struct migration *m;
	struct err err;

	if (vm->migration && !migration_is_final(vm->migration)) {
		log_stranger(LOG_VMM, SD_WARNING,
			"vm %s: its VMM holds more than one COMMITTING note", vm->reg.name);
		return;
	}
	m = migration_new(srv, vm, away ? MIG_RELEASE : MIG_ASKING);
	if (!m)
		return;
	m->session = note->session;
	m->adopted = true;
	m->unresolved = !away;
	if (!proven)
		err_set(&m->error, -EBADMSG,
			"its VMM's note of this session was not made by a daemon of this host that "
			"has the key %s/note-key, so nobody is asked where the guest runs",
			srv->config.state_dir);
	else if (cookie_unpack_source(m, note, &err) < 0)
		err_set(&m->error, -EBADMSG, "its VMM's note of this session cannot be used: %s",
			err.text);
	m->unproven = m->error.code;
	if (away) {
		m->discarded = discarded || m->unproven;
		migration_begin(m, release_go);
		return;
	}
	if (m->unproven) {
		migration_begin(m, asking_go);
		return;
	}
	log_note(migration_is_file(m)
			? "vm %s: was saved to %s by an earlier daemon; looking what is there"
			: "vm %s: was handed over to %s by an earlier daemon; asking there",
		m->vm_name, m->uri_text);
	unresolved_wait(m);
	migration_begin(m, asking_go);
}

int source_resolve(struct migration *m, bool run, struct err *err)
{
	if (m->overdue.code)
		return err_set(err, -EBUSY, "%s", m->overdue.text);
	if (m->state != MIG_ASKING)
		return err_set(err, -EINVAL,
			"the migration of VM %s is at step '%s' and needs no operator to resolve it",
			m->vm_name, migration_step(m->state));
	if (run && !m->vm)
		return err_set(err, -ENODEV, "the VMM of %s is not here: there is no guest to run",
			m->vm_name);
	if (m->timer)
		event_del(m->timer);
	m->peer = peer_free(m->peer);
	m->discarded = !run; /* COMMIT could start a copy that is ready, so nothing is said */
	if (!run)
		m->t_pause = 0; /* for how long the guest stood nobody knows here */
	if (run)
		handover_undo(m, "an operator resolved that the guest runs here");
	else
		handover_release(m);
	return 0;
}
