/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "common/fd.h"
#include "vmm/lib/impl.h"

void request_reply(struct htabvmm *h, const struct vmm_request *req, uint64_t value, int fd,
	const struct err *e)
{
	struct vmm_reply m = {.value = value};

	if (e && e->code < 0) {
		m.error = e->code;
		snprintf(m.text, sizeof(m.text), "%s", e->text);
	}
	conn_send(h, vmm_pack_reply(req->serial, &m, h->packet), fd);
}

void request_reply_session(struct htabvmm *h, const struct vmm_request *req, const struct err *e)
{
	struct session *s = sessions_find(&h->sessions, &req->session);

	request_reply(h, req, s ? session_note_of(s->state) : NOTE_NONE, -1, e);
}

static enum session_ask note_ask(enum session_note note)
{
	switch (note) {
	case NOTE_LOADING: return ASK_LOADING;
	case NOTE_READY: return ASK_READY;
	case NOTE_RUN: return ASK_RUN;
	case NOTE_DEAD: return ASK_DEAD;
	case NOTE_COMMITTING: return ASK_COMMITTING;
	case NOTE_NONE: break;
	}
	return SESSION_ASKS;
}

static enum session_ask request_ask(const struct vmm_request *req)
{
	switch (req->type) {
	case VMM_LEASE: return ASK_LEASE;
	case VMM_PAUSE: return ASK_PAUSE;
	case VMM_RESUME: return ASK_RESUME;
	case VMM_GET_STATE: return ASK_GET_STATE;
	case VMM_SET_STATE: return ASK_SET_STATE;
	case VMM_RESET_HTAB: return ASK_RESET_HTAB;
	case VMM_NOTE: return note_ask(req->note);
	case VMM_UNDO: return ASK_UNDO;
	case VMM_RELEASE: return ASK_RELEASE;
	case VMM_REGISTER:
	case VMM_EVENT:
	case VMM_REPLY:
	case VMM_REGISTERED:
	case VMM_REFUSED:
	case VMM_OPEN_HTAB:
	case VMM_THROTTLE:
	case VMM_QUERY_STATE:
	case VMM_QUERY_TIME:
	case VMM_QUERY_TLB:
	case VMM_HTAB_ANSWER:
	case VMM_CLOSE_HTAB: break;
	}
	return SESSION_ASKS; /* not about a session */
}

static void throttle(struct htabvmm *h, const struct vmm_request *req)
{
	struct err e = {0};
	int r;

	if (!h->ops->throttle) {
		err_set(&e, -ENOTSUP, "VM '%s' cannot slow its vCPUs down", h->name);
	} else {
		r = h->ops->throttle(h->opaque, req->percent);
		if (r < 0)
			err_set(&e, r, "VM '%s' cannot slow its vCPUs down by %u %%: %s", h->name,
				req->percent, strerror(-r));
		else
			h->throttled = req->percent > 0;
	}
	request_reply(h, req, 0, -1, &e);
}

void lib_unthrottle(struct htabvmm *h)
{
	if (h->throttled)
		h->ops->throttle(h->opaque, 0);
	h->throttled = false;
}

static void get_state(struct htabvmm *h, const struct vmm_request *req)
{
	struct err e = {0};
	int fd = -1;

	lib_get_state(h, &fd, &e);
	request_reply(h, req, h->paused.at, fd, &e);
	fd_close(fd);
}

/* A request that the table allows; each function answers it. */
static void do_request(struct htabvmm *h, enum session_ask ask, struct session *s,
	const struct vmm_request *req, int fd)
{
	switch (ask) {
	case ASK_PAUSE: source_pause(h, s, req); return;
	case ASK_RESUME: source_resume(h, s, req); return;
	case ASK_GET_STATE: get_state(h, req); return;
	case ASK_COMMITTING: source_committing(h, s, req); return;
	case ASK_UNDO: source_undo(h, s, req); return;
	case ASK_RELEASE: source_release(h, s, req); return;
	case ASK_LOADING: dest_loading(h, s, req); return;
	case ASK_SET_STATE: dest_set_state(h, s, req, fd); return;
	case ASK_RESET_HTAB: dest_reset(h, s, req); return;
	case ASK_READY: dest_ready(h, s, req); return;
	case ASK_RUN: dest_run(h, s, req); return;
	case ASK_DEAD: dest_dead(h, s, req); return;
	case ASK_LEASE:
	case ASK_LOST:
	case ASK_LEASE_OVER:
	case ASK_FAILED:
	case ASK_STARTED:
	case SESSION_ASKS: break;
	}
	assert(!"no request");
}

static void refuse(struct htabvmm *h, enum session_ask ask, enum session_state state,
	const struct vmm_request *req)
{
	char id[SESSION_TEXT_SIZE];
	struct err e = {0};

	session_format(&req->session, id);
	err_set(&e, session_state_error(state), "VM '%s' refuses %s: session %s %s", h->name,
		session_ask_name(ask), id, session_state_text(state));
	request_reply_session(h, req, &e);
}

/* It is so already. */
static void done(
	struct htabvmm *h, enum session_ask ask, struct session *s, const struct vmm_request *req)
{
	struct err e = {0};

	if (ask == ASK_PAUSE)
		source_renew(h);
	if (ask == ASK_COMMITTING &&
		(req->cookie_len != s->cookie_len ||
			memcmp(req->cookie, s->cookie, s->cookie_len) != 0))
		err_set(&e, -EEXIST, "VM '%s' has noted COMMITTING with another cookie", h->name);
	if (s->state == SESSION_RESUMED && h->stuck) {
		source_resume(h, s, req);
		return;
	}
	request_reply_session(h, req, &e);
}

static void handle(struct htabvmm *h, const struct vmm_request *req, int fd)
{
	enum session_ask ask = request_ask(req);
	struct session_rule rule;
	struct session *s;

	if (req->type == VMM_OPEN_HTAB) {
		htab_open(h, req);
		return;
	}
	if (req->type == VMM_THROTTLE) {
		throttle(h, req);
		return;
	}
	if (req->type == VMM_QUERY_STATE || req->type == VMM_QUERY_TLB) {
		query_guest(h, req);
		return;
	}
	if (req->type == VMM_QUERY_TIME) {
		query_time(h, req);
		return;
	}
	s = sessions_find(&h->sessions, &req->session);
	rule = session_rule(s ? s->state : SESSION_UNKNOWN, ask);
	switch (rule.verdict) {
	case VERDICT_REFUSE: refuse(h, ask, s ? s->state : SESSION_UNKNOWN, req); return;
	case VERDICT_DO: do_request(h, ask, s, req, fd); return;
	case VERDICT_DONE: done(h, ask, s, req); return;
	}
}

/* One-way messages, which do not wait behind anything. */
static bool told(struct htabvmm *h, const struct vmm_request *req)
{
	struct session *s;

	switch ((unsigned)req->type) {
	case VMM_LEASE:
		s = sessions_find(&h->sessions, &req->session);
		if (s && session_rule(s->state, ASK_LEASE).verdict == VERDICT_DONE)
			source_renew(h);
		return true;
	case VMM_HTAB_ANSWER: htab_answer(h, req); return true;
	case VMM_CLOSE_HTAB: htab_close(h); return true;
	default: return false;
	}
}

/* Nothing is under way that a request would have to wait for. */
static bool idle(const struct htabvmm *h)
{
	return h->work == WORK_NONE && h->change == CHANGE_NONE;
}

void request_arrived(struct htabvmm *h, const struct vmm_request *req, int fd)
{
	struct err e = {0};

	if (told(h, req)) {
		fd_close(fd);
		return;
	}
	if (idle(h) && h->n_waiting == 0) {
		handle(h, req, fd);
		fd_close(fd);
		return;
	}
	if (h->n_waiting < LIB_WAITING_MAX) {
		h->waiting[h->n_waiting++] = (struct lib_request){*req, fd};
		return;
	}
	fd_close(fd);
	err_set(&e, -EBUSY, "VM '%s' has %u requests waiting and takes no more", h->name,
		h->n_waiting);
	request_reply_session(h, req, &e);
}

bool request_pending(const struct htabvmm *h)
{
	return !idle(h) || h->n_waiting > 0;
}

static void work_over(
	struct htabvmm *h, enum lib_work work, const struct vmm_request *req, int error)
{
	switch (work) {
	case WORK_PAUSE:
	case WORK_INACTIVATE:
	case WORK_ACTIVATE_UNDO: source_work_over(h, work, req, error); return;
	case WORK_ACTIVATE_RUN: dest_work_over(h, req, error); return;
	case WORK_PAUSE_QUERY: query_work_over(h, req, error); return;
	case WORK_NONE: break;
	}
	assert(!"no work");
}

void request_work(struct htabvmm *h, enum lib_work work, const struct vmm_request *req, int r)
{
	assert(h->work == WORK_NONE);
	if (r != HTABVMM_LATER) {
		work_over(h, work, req, r < 0 ? r : 0);
		return;
	}
	h->work = work;
	h->work_req = *req;
	h->work_over = false;
}

void request_continue(struct htabvmm *h)
{
	if (h->work != WORK_NONE && h->work_over) {
		enum lib_work work = h->work;
		struct vmm_request req = h->work_req;

		h->work = WORK_NONE;
		work_over(h, work, &req, h->work_error);
	}
	while (idle(h) && h->n_waiting > 0) {
		struct lib_request next = h->waiting[0];

		h->n_waiting--;
		memmove(h->waiting, h->waiting + 1, h->n_waiting * sizeof(h->waiting[0]));
		handle(h, &next.req, next.fd);
		fd_close(next.fd);
	}
}
