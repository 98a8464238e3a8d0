/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <assert.h>
#include <errno.h>

#include "vmm/lib/impl.h"
#include "vmm/kvm/state.h"

static int may_load(struct htabvmm *h, struct err *e)
{
	static const enum session_state busy[] = {SESSION_LOADING, SESSION_READY, SESSION_STARTING};
	char id[SESSION_TEXT_SIZE];

	if (!h->incoming)
		return err_set(e, -EBUSY,
			"VM '%s' does not wait for a guest: start its VMM as a "
			"destination",
			h->name);
	if (htab_reserved(h, e) < 0)
		return -EBUSY;
	for (unsigned i = 0; i < sizeof(busy) / sizeof(busy[0]); i++) {
		struct session *s = sessions_in(&h->sessions, busy[i]);

		if (!s)
			continue;
		session_format(&s->id, id);
		return err_set(e, -EBUSY, "VM '%s' is busy with session %s, which %s", h->name, id,
			session_state_text(s->state));
	}
	return 0;
}

void dest_loading(struct htabvmm *h, struct session *s, const struct vmm_request *req)
{
	struct err e = {0};

	assert(!s);
	if (may_load(h, &e) == 0) {
		s = sessions_begin(&h->sessions, &req->session, ASK_LOADING);
		s->cookie_len = req->cookie_len;
		memcpy(s->cookie, req->cookie, req->cookie_len);
		h->state_set = false;
	}
	request_reply_session(h, req, &e);
	if (e.code == 0)
		lib_tell(h, HTABVMM_LOADING, "");
}

void dest_set_state(struct htabvmm *h, struct session *s, const struct vmm_request *req, int fd)
{
	struct err e = {0};

	h->state_set = false;
	h->paused.at = req->paused_at;
	h->arrived = (struct state_kvm_tb){0};
	if (fd < 0)
		err_set(&e, -EBADMSG, "VM '%s' got SET_STATE without a descriptor", h->name);
	else
		h->state_set = lib_set_state(h, fd, &e) == 0;
	request_reply_session(h, req, &e);
}

void dest_reset(struct htabvmm *h, struct session *s, const struct vmm_request *req)
{
	struct err e = {0};
	int r;

	h->state_set = false;
	if (h->mmu == MMU_HPT && !htab_order_ok(req->order)) {
		err_set(&e, -EINVAL, "VM '%s' has a page table, and none of order %u", h->name,
			req->order);
	} else if (h->mmu == MMU_BOOKE || h->ops->reset_htab) {
		r = h->mmu == MMU_BOOKE ? tlbsocks_reset(&h->tlbs)
					: h->ops->reset_htab(h->opaque, req->order);
		if (r < 0)
			err_set(&e, r, "VM '%s' cannot have an empty page table of order %u: %s",
				h->name, req->order, strerror(-r));
		else
			h->kvm.order = req->order;
	} else {
		kvm_htab_reset(&h->kvm, req->order, &e);
	}
	request_reply_session(h, req, &e);
}

void dest_ready(struct htabvmm *h, struct session *s, const struct vmm_request *req)
{
	struct err e = {0};

	if (h->state_set)
		session_step(s, ASK_READY);
	else
		err_set(&e, -EINVAL, "VM '%s' is not ready: it has no machine state from SET_STATE",
			h->name);
	request_reply_session(h, req, &e);
	if (e.code == 0)
		lib_tell(h, HTABVMM_READY, "");
}

static void dead(struct htabvmm *h, const char *why)
{
	h->state_set = false;
	lib_tell(h, HTABVMM_DEAD, why);
}

void dest_dead(struct htabvmm *h, struct session *s, const struct vmm_request *req)
{
	session_step(s, ASK_DEAD);
	request_reply_session(h, req, NULL);
	dead(h, "the migration failed or was cancelled");
}

void dest_run(struct htabvmm *h, struct session *s, const struct vmm_request *req)
{
	bool starting = session_step(s, ASK_RUN);

	assert(starting);
	request_work(h, WORK_ACTIVATE_RUN, req, h->ops->activate ? h->ops->activate(h->opaque) : 0);
}

/* As late as can be: what passes until the vCPUs run, the guest's timebase loses. */
static int start_time(struct htabvmm *h, const struct session *s, struct err *e)
{
	int r;

	h->time.session = (struct session_id){0};
	if (h->kvm.vm_fd < 0 || !h->arrived.known)
		return 0;
	r = state_kvm_start_time(&h->kvm, &h->arrived, h->paused.at, &h->time.error, e);
	if (r == 0)
		h->time.session = s->id;
	return r;
}

/*
 * RUN is recorded as final when the start succeeded, and nobody is told of it before; a start that
 * failed before any vCPU ran is DEAD, so that the source may run on.
 */
void dest_work_over(struct htabvmm *h, const struct vmm_request *req, int error)
{
	struct session *s = sessions_find(&h->sessions, &req->session);
	uint32_t compat = h->kvm.vm_fd >= 0 ? state_kvm_compat(&h->kvm) : 0; /* while none runs */
	struct err e = {0}, why;

	assert(s && s->state == SESSION_STARTING);
	if (error < 0)
		err_set(&why, error, "its activate failed: %s", strerror(-error));
	else
		error = start_time(h, s, &why);
	if (error == 0)
		error = lib_run_guest(h, &why);
	if (error < 0) {
		session_step(s, ASK_FAILED);
		err_set(&e, error, "VM '%s' could not start the guest: %s", h->name, why.text);
		request_reply_session(h, req, &e);
		dead(h, e.text);
		return;
	}
	session_step(s, ASK_STARTED);
	h->incoming = false;
	htabvmm_set_compat(h, compat);
	htab_arrived(h);
	if (h->ops->announce)
		h->ops->announce(h->opaque);
	request_reply_session(h, req, NULL);
	lib_tell(h, HTABVMM_STARTED, "");
}

void dest_lost(struct htabvmm *h)
{
	struct session *s = sessions_in(&h->sessions, SESSION_LOADING);

	if (s && session_step(s, ASK_LOST))
		dead(h, "the connection to the daemon ended");
}
