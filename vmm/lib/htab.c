/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest's table: descriptors for the daemon, who may read, and the table being reset or
 * resized by its VMM.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "vmm/lib/impl.h"

/* -- descriptors ------------------------------------------------------------------------------ */

static int may_write(struct htabvmm *h, struct err *e)
{
	if (sessions_in(&h->sessions, SESSION_LOADING))
		return 0;
	return err_set(e, -EPERM,
		"VM '%s' opens its page table for writing only while a session is loading",
		h->name);
}

int htab_reserved(const struct htabvmm *h, struct err *e)
{
	if (!h->reserved)
		return 0;
	return err_set(e, -EBUSY,
		"VM '%s' reads its page table itself (a snapshot or a dump): try again when that "
		"is over",
		h->name);
}

/* A read takes changes away from every other reader, so there is one. */
static int may_read(struct htabvmm *h, uint32_t flags, struct err *e)
{
	if (htab_reserved(h, e) < 0)
		return -EBUSY;
	if (h->reader && !(flags & VMM_HTAB_SECOND))
		return err_set(e, -EBUSY,
			"the page table of VM '%s' is being read already, and a second reader would "
			"take changes away from the first: try again when that is over",
			h->name);
	if (flags & (VMM_HTAB_SECOND | HTAB_FD_BOLTED_ONLY) && htabvmm_may_run(h))
		return err_set(e, -EBUSY,
			"VM '%s' opens its page table %s only while its vCPUs are stopped by a "
			"migration: what changes meanwhile would be lost",
			h->name,
			flags & VMM_HTAB_SECOND ? "a second time"
						: "for reading the bolted entries alone");
	return 0;
}

static int open_htab(struct htabvmm *h, const struct vmm_request *req, int *ret_fd, struct err *e)
{
	uint32_t flags = req->flags & ~VMM_HTAB_SECOND;
	int r = flags & HTAB_FD_WRITE ? may_write(h, e) : may_read(h, req->flags, e);

	if (r < 0)
		return r;
	if (h->mmu == MMU_HPT && !h->ops->open_htab)
		return kvm_htab_open(&h->kvm, flags, req->start_index, ret_fd, e);
	r = h->mmu == MMU_BOOKE ? tlbsocks_open(&h->tlbs, flags, req->start_index, ret_fd)
				: h->ops->open_htab(h->opaque, flags, req->start_index, ret_fd);
	if (r < 0)
		return err_set(
			e, r, "VM '%s' cannot open its page table: %s", h->name, strerror(-r));
	return 0;
}

void htab_open(struct htabvmm *h, const struct vmm_request *req)
{
	struct err e = {0};
	struct stat st;
	int fd = -1;

	if (open_htab(h, req, &fd, &e) == 0 && fstat(fd, &st) < 0)
		err_set(&e, -EBADF, "VM '%s' gave no descriptor for its page table", h->name);
	if (e.code < 0) {
		request_reply(h, req, 0, -1, &e);
	} else {
		h->reader |= !(req->flags & HTAB_FD_WRITE);
		request_reply(
			h, req, S_ISSOCK(st.st_mode) ? VMM_HTAB_SOCKET : VMM_HTAB_KERNEL, fd, NULL);
	}
	fd_close(fd);
}

void htab_close(struct htabvmm *h)
{
	h->reader = false;
}

int htabvmm_htab_reserve(struct htabvmm *h, int on)
{
	if (on && (h->reader || h->reserved || sessions_in(&h->sessions, SESSION_LOADING)))
		return -EBUSY;
	h->reserved = on;
	return 0;
}

/* -- the table is reset or resized ------------------------------------------------------------ */

static void send_event(struct htabvmm *h, enum vmm_event_kind kind, unsigned order)
{
	struct vmm_event m = {.kind = kind, .order = order};

	conn_send(h, vmm_pack_event(&m, h->packet), -1);
}

/* In these states the table is not the guest's to change: it is whole elsewhere, or arriving. */
static bool is_held(struct htabvmm *h)
{
	return source_holds(h) || h->gone || h->work != WORK_NONE ||
		sessions_in(&h->sessions, SESSION_LOADING) ||
		sessions_in(&h->sessions, SESSION_READY);
}

/* What follows is done by the next htabvmm_dispatch(). */
static void wake(struct htabvmm *h)
{
	uint64_t one = 1;
	ssize_t n = write(h->wake, &one, sizeof(one));

	(void)n; /* a full counter wakes as well */
}

int htabvmm_htab_change(struct htabvmm *h, unsigned order)
{
	if (h->mmu != MMU_HPT || !htab_order_ok(order) || !h->ops->htab_answer)
		return -EINVAL;
	if (h->change != CHANGE_NONE || is_held(h))
		return -EBUSY;
	if (h->sock >= 0 && !h->broken)
		send_event(h, VMM_EVENT_HTAB_CHANGE, order);
	if (h->sock < 0 || h->broken) {
		h->change = CHANGE_ANSWERED;
		return 0;
	}
	h->asked++;
	h->change = CHANGE_ASKED;
	h->change_at = clock_ns() + h->change_ns;
	wake(h); /* the timer is set there */
	return HTABVMM_LATER;
}

int htabvmm_htab_changed(struct htabvmm *h, unsigned order)
{
	if (h->change != CHANGE_ANSWERED || !htab_order_ok(order))
		return -EINVAL;
	h->change = CHANGE_NONE;
	h->kvm.order = order;
	if (h->incoming)
		h->hpt_order = order;
	/* Before any vCPU runs. What cannot be queued ends the connection, which says it too. */
	send_event(h, VMM_EVENT_HTAB_CHANGED, order);
	wake(h); /* for the requests that waited */
	return 0;
}

static void answer(struct htabvmm *h, int error, const char *text)
{
	h->change_at = 0;
	h->change = error < 0 ? CHANGE_NONE : CHANGE_ANSWERED;
	h->ops->htab_answer(h->opaque, error, text);
}

/* Each announcement has one answer, in order: only that to the last one counts. */
void htab_answer(struct htabvmm *h, const struct vmm_request *req)
{
	if (h->asked == 0 || --h->asked > 0 || h->change != CHANGE_ASKED)
		return;
	answer(h, req->error, req->text);
}

void htab_unanswered(struct htabvmm *h, const char *why)
{
	if (h->change == CHANGE_ASKED)
		answer(h, 0, why);
}

void htab_arrived(struct htabvmm *h)
{
	if (h->kvm.order != h->hpt_order)
		send_event(h, VMM_EVENT_HTAB_CHANGED, h->kvm.order);
	h->hpt_order = h->kvm.order;
}

void htab_lost(struct htabvmm *h)
{
	h->reader = false;
	h->asked = 0;
}
