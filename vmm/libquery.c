/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking at a guest that stays here: its state image, for which a guest that runs is paused for as
 * long as the reading takes; and how exactly the time of one that arrived went on.
 */
#include <errno.h>

#include "common/fd.h"
#include "vmm/libvmm.h"

/* Devices are let go at once, unless it is a migration that holds them. */
static void answer(struct htabvmm *h, const struct vmm_request *req)
{
	struct err e = {0};
	int fd = -1;

	lib_get_state(h, &fd, &e);
	if (!sessions_in(&h->sessions, SESSION_PAUSED) &&
		devices_release(&h->devices, e.code ? &(struct err){0} : &e) < 0)
		fd = fd_close(fd);
	request_reply(h, req, 0, fd, &e);
	fd_close(fd);
}

static int may_query(struct htabvmm *h, struct err *e)
{
	if (h->incoming)
		return err_set(e, -EBUSY, "VM '%s' has no guest yet: it waits for one", h->name);
	if (h->gone)
		return err_set(
			e, -EALREADY, "VM '%s' has no guest any more: it runs elsewhere", h->name);
	if (sessions_in(&h->sessions, SESSION_COMMITTING))
		return err_set(e, -EBUSY,
			"VM '%s' is being handed over: its state is not to be looked at now",
			h->name);
	return 0;
}

/* A pause of a migration's stays as it is: its moment of the timebase is kept. */
void query_state(struct htabvmm *h, const struct vmm_request *req)
{
	struct err e = {0};

	if (may_query(h, &e) < 0) {
		request_reply(h, req, 0, -1, &e);
	} else if (sessions_in(&h->sessions, SESSION_PAUSED)) {
		answer(h, req);
	} else if (!h->running) {
		h->paused.known = false; /* as of now */
		answer(h, req);
	} else {
		atomic_store(&h->may_run, false);
		request_work(h, WORK_PAUSE_QUERY, req, h->ops->pause(h->opaque));
	}
}

void query_work_over(struct htabvmm *h, const struct vmm_request *req, int error)
{
	struct err e = {0}, why;

	if (error < 0) { /* it runs on */
		atomic_store(&h->may_run, true);
		err_set(&e, error, "VM '%s' could not be paused to read its state: %s", h->name,
			strerror(-error));
		request_reply(h, req, 0, -1, &e);
		return;
	}
	h->paused.known = false;
	answer(h, req);
	error = lib_run_guest(h, &why);
	if (error < 0) {
		err_set(&e, error, "VM '%s' did not run on after its state was read: %s", h->name,
			why.text);
		h->running = false;
		conn_event(h, VMM_EVENT_STOPPED, NULL, e.text);
	}
}

void query_time(struct htabvmm *h, const struct vmm_request *req)
{
	struct err e = {0};

	if (session_is_none(&h->time.session) || !session_eq(&h->time.session, &req->session))
		err_set(&e, -ENODATA, "VM '%s' did not set the timebase of a guest of that session",
			h->name);
	request_reply(h, req, e.code ? 0 : (uint64_t)h->time.error, -1, &e);
}
