/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>

#include "common/clock.h"
#include "vmm/lib/impl.h"

#define RESUMED_AGAIN_MS 100

void source_renew(struct htabvmm *h)
{
	/* A COMMITTING note that is being made has ended the lease for good. */
	if (h->work != WORK_INACTIVATE)
		h->lease_at = clock_ns() + h->lease;
}

bool source_holds(struct htabvmm *h)
{
	return sessions_in(&h->sessions, SESSION_PAUSED) ||
		sessions_in(&h->sessions, SESSION_COMMITTING);
}

int lib_run_guest(struct htabvmm *h, struct err *why)
{
	int r = devices_release(&h->devices, why);

	if (r < 0)
		return r;
	if (h->mmu == MMU_BOOKE)
		r = tlbsocks_flush(&h->tlbs);
	if (r < 0)
		return err_set(why, r, "its TLB could not be given to KVM: %s", strerror(-r));
	atomic_store(&h->may_run, true);
	r = h->ops->resume(h->opaque);
	if (r < 0) {
		atomic_store(&h->may_run, false);
		return err_set(why, r, "its resume failed: %s", strerror(-r));
	}
	h->running = true;
	h->stuck = false;
	return 0;
}

/* The session is RESUMED: make it true. `why` is for the VMM. */
static int run_on(struct htabvmm *h, const struct session *s, const char *why, struct err *e)
{
	struct err how;
	int r;

	assert(s->state == SESSION_RESUMED);
	h->lease_at = 0;
	lib_unthrottle(h);
	r = lib_run_guest(h, &how);
	if (r < 0) {
		err_set(e, r, "VM '%s' did not run on: %s", h->name, how.text);
		h->stuck = true;
		h->running = false;
		conn_event(h, VMM_EVENT_STOPPED, s, e->text);
		return r;
	}
	lib_tell(h, HTABVMM_RESUMED, why);
	return 0;
}

static int may_leave(struct htabvmm *h, struct err *e)
{
	if (h->incoming)
		return err_set(e, -EBUSY, "VM '%s' has no guest yet: it waits for one", h->name);
	if (h->gone)
		return err_set(
			e, -EALREADY, "VM '%s' has no guest any more: it runs elsewhere", h->name);
	if (source_holds(h))
		return err_set(e, -EBUSY, "VM '%s' is being moved by another session", h->name);
	if (sessions_in(&h->sessions, SESSION_RUN))
		return err_set(e, -EBUSY,
			"VM '%s' has arrived by a session that its source has not "
			"closed yet",
			h->name);
	if (!h->running)
		return err_set(e, -EINVAL, "VM '%s' does not run: start its guest before moving it",
			h->name);
	return 0;
}

void source_pause(struct htabvmm *h, struct session *s, const struct vmm_request *req)
{
	struct err e = {0};

	assert(!s);
	if (may_leave(h, &e) < 0) {
		request_reply_session(h, req, &e);
		return;
	}
	sessions_begin(&h->sessions, &req->session, ASK_PAUSE);
	atomic_store(&h->may_run, false);
	source_renew(h);
	request_work(h, WORK_PAUSE, req, h->ops->pause(h->opaque));
}

static void paused(struct htabvmm *h, const struct vmm_request *req, int error)
{
	struct session *s = sessions_find(&h->sessions, &req->session);
	struct err e = {0}, ignored;

	assert(s);
	if (error < 0) {
		session_step(s, ASK_FAILED);
		h->lease_at = 0;
		atomic_store(&h->may_run, true);
		err_set(&e, error, "VM '%s' could not be paused: %s", h->name, strerror(-error));
	} else if (s->state == SESSION_RESUMED) { /* the lease was over first */
		run_on(h, s, "the daemon did not renew the pause's lease", &ignored);
		err_set(&e, -ECANCELED, "VM '%s' took longer to pause than its lease lasts",
			h->name);
	} else {
		h->running = false;
		lib_note_pause(h, &ignored); /* GET_STATE will tell what is wrong */
	}
	request_reply_session(h, req, &e);
}

void source_resume(struct htabvmm *h, struct session *s, const struct vmm_request *req)
{
	struct err e = {0};

	session_step(s, ASK_RESUME);
	run_on(h, s, "the migration was cancelled", &e);
	request_reply_session(h, req, &e);
}

/*
 * The lease ends here, before `inactivate`: a note that was asked for while the guest was paused
 * counts, and nothing but a failure keeps it from being made.
 */
void source_committing(struct htabvmm *h, struct session *s, const struct vmm_request *req)
{
	assert(s->state == SESSION_PAUSED);
	h->lease_at = 0;
	request_work(
		h, WORK_INACTIVATE, req, h->ops->inactivate ? h->ops->inactivate(h->opaque) : 0);
}

static void inactivated(struct htabvmm *h, const struct vmm_request *req, int error)
{
	struct session *s = sessions_find(&h->sessions, &req->session);
	struct err e = {0};
	bool noted;

	assert(s && s->state == SESSION_PAUSED);
	if (error < 0) {
		source_renew(h);
		err_set(&e, error, "VM '%s' could not be made inactive: %s", h->name,
			strerror(-error));
		request_reply_session(h, req, &e);
		return;
	}
	s->cookie_len = req->cookie_len;
	memcpy(s->cookie, req->cookie, req->cookie_len);
	noted = session_step(s, ASK_COMMITTING);
	assert(noted);
	request_reply_session(h, req, NULL);
}

void source_undo(struct htabvmm *h, struct session *s, const struct vmm_request *req)
{
	assert(s->state == SESSION_COMMITTING);
	request_work(
		h, WORK_ACTIVATE_UNDO, req, h->ops->activate ? h->ops->activate(h->opaque) : 0);
}

static void undone(struct htabvmm *h, const struct vmm_request *req, int error)
{
	struct session *s = sessions_find(&h->sessions, &req->session);
	struct err e = {0};

	assert(s);
	if (error < 0) { /* still COMMITTING: it can be asked again */
		err_set(&e, error, "VM '%s' could not be made active again: %s", h->name,
			strerror(-error));
	} else {
		session_step(s, ASK_UNDO);
		run_on(h, s, "the destination did not take the guest", &e);
	}
	request_reply_session(h, req, &e);
}

void source_release(struct htabvmm *h, struct session *s, const struct vmm_request *req)
{
	bool migrated = s->state == SESSION_COMMITTING;

	session_step(s, ASK_RELEASE);
	h->gone |= migrated;
	request_reply_session(h, req, NULL);
	if (migrated) {
		lib_unthrottle(h);
		lib_tell(h, HTABVMM_MIGRATED, "");
	}
}

void source_work_over(
	struct htabvmm *h, enum lib_work work, const struct vmm_request *req, int error)
{
	if (work == WORK_PAUSE)
		paused(h, req, error);
	else if (work == WORK_INACTIVATE)
		inactivated(h, req, error);
	else
		undone(h, req, error);
}

void source_alone(struct htabvmm *h, enum session_ask ask)
{
	const char *why = ask == ASK_LOST ? "the connection to the daemon ended"
					  : "the daemon did not renew the pause's lease";
	struct session *s = sessions_in(&h->sessions, SESSION_PAUSED);
	struct err ignored;

	if (!s || session_rule(s->state, ask).verdict != VERDICT_DO)
		return;
	/*
	 * Before any vCPU runs: a daemon that slept must not commit what it read. While there is no
	 * room for it in the socket (our few answers never fill it), the guest stays paused.
	 */
	if (conn_resumed(h, s, why) == -EAGAIN && ask == ASK_LEASE_OVER) {
		h->lease_at = clock_ns() + RESUMED_AGAIN_MS * NS_PER_MS;
		return;
	}
	session_step(s, ask);
	h->lease_at = 0;
	if (ask == ASK_LOST)
		conn_close(h);
	if (h->work != WORK_PAUSE) /* else once the pause is over */
		run_on(h, s, why, &ignored);
}
