/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking at a guest that stays here: its state image or its TLBs, for which a guest that runs is
 * paused for as long as the reading takes; and how exactly the time of one that arrived went on.
 */
#include <errno.h>

#include "common/fd.h"
#include "vmm/lib/impl.h"

static const char *subject(const struct vmm_request *req)
{
	return req->type == VMM_QUERY_TLB ? "TLB" : "state";
}

/* Devices are let go at once, unless it is a migration that holds them. */
static int get_state(struct htabvmm *h, struct err *e)
{
	int fd = -1;

	lib_get_state(h, &fd, e);
	if (!sessions_in(&h->sessions, SESSION_PAUSED) &&
		devices_release(&h->devices, e->code ? &(struct err){0} : e) < 0)
		fd = fd_close(fd);
	return fd;
}

static int get_tlb(struct htabvmm *h, struct err *e)
{
	int fd = fd_memfd("htab-tlb"), r = fd < 0 ? fd : tlbsocks_save(&h->tlbs, fd);

	if (r == 0)
		r = fd_memfd_seal(fd);
	if (r < 0) {
		err_set(e, r, "the TLBs of VM '%s' cannot be read: %s", h->name, strerror(-r));
		fd = fd_close(fd);
	}
	return fd;
}

static void answer(struct htabvmm *h, const struct vmm_request *req)
{
	struct err e = {0};
	int fd = req->type == VMM_QUERY_TLB ? get_tlb(h, &e) : get_state(h, &e);

	request_reply(h, req, 0, fd, &e);
	fd_close(fd);
}

static int may_query(struct htabvmm *h, const struct vmm_request *req, struct err *e)
{
	if (req->type == VMM_QUERY_TLB && h->mmu != MMU_BOOKE)
		return err_set(e, -ENOTSUP,
			"VM '%s' has a hashed page table: only BookE guests have TLBs to look at",
			h->name);
	if (h->incoming)
		return err_set(e, -EBUSY, "VM '%s' has no guest yet: it waits for one", h->name);
	if (h->gone)
		return err_set(
			e, -EALREADY, "VM '%s' has no guest any more: it runs elsewhere", h->name);
	if (sessions_in(&h->sessions, SESSION_COMMITTING))
		return err_set(e, -EBUSY,
			"VM '%s' is being handed over: its %s is not to be looked at now", h->name,
			subject(req));
	return 0;
}

/* A pause of a migration's stays as it is: its moment of the timebase is kept. */
void query_guest(struct htabvmm *h, const struct vmm_request *req)
{
	struct err e = {0};

	if (may_query(h, req, &e) < 0) {
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
		err_set(&e, error, "VM '%s' could not be paused to read its %s: %s", h->name,
			subject(req), strerror(-error));
		request_reply(h, req, 0, -1, &e);
		return;
	}
	h->paused.known = false;
	answer(h, req);
	error = lib_run_guest(h, &why);
	if (error < 0) {
		err_set(&e, error, "VM '%s' did not run on after its %s was read: %s", h->name,
			subject(req), why.text);
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
