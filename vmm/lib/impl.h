/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The inside of libhtabvmm: the handle, and what its files ask of each other.
 *
 *	htabvmm.c     the API: making, freeing, dispatching
 *	lib/conn.c     the daemon's socket: connecting, registering, packets
 *	lib/request.c  a request from arrival to its reply; requests that wait for a callback
 *	lib/source.c   pause, lease, commit, undo, release: a guest that leaves
 *	lib/dest.c     load, ready, run, dead: a guest that arrives
 *	lib/htab.c     the table's descriptors and who may read; the table being reset or resized
 *	lib/session.c  the table of what may follow what
 *	lib/query.c    the state and TLBs of a guest that stays, and how exactly its time went on
 *	libtlb*.c     the TLBs of a BookE guest, and the daemon's descriptors for them
 *	lib/state.c    the machine-state image; state_kvm*.c, kvm/kvm.c: KVM's part of it
 *	device/device.h   devices in the kernel; device/tce.c: TCE tables
 *
 * One thread, but for may_run.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "common/err.h"
#include "proto/state.h"
#include "proto/vmm.h"
#include "vmm/htabvmm.h"
#include "vmm/device/device.h"
#include "vmm/kvm/kvm.h"
#include "vmm/lib/session.h"
#include "vmm/kvm/state.h"
#include "vmm/device/tce.h"
#include "vmm/tlb/tlbsock.h"

#define LIB_WAITING_MAX 8 /* requests that wait while a callback is at work */

/* A callback that may answer HTABVMM_LATER, and what it was called for. */
enum lib_work {
	WORK_NONE = 0,
	WORK_PAUSE,
	WORK_PAUSE_QUERY, /* to look at the state */
	WORK_INACTIVATE,
	WORK_ACTIVATE_RUN,
	WORK_ACTIVATE_UNDO,
};

/* The guest's table is reset or resized: htabvmm_htab_change() to htabvmm_htab_changed(). */
enum lib_change {
	CHANGE_NONE = 0,
	CHANGE_ASKED,    /* the daemon is to let go of it */
	CHANGE_ANSWERED, /* the VMM does it */
};

struct lib_request {
	struct vmm_request req;
	int fd; /* that came along, or -1 */
};

struct htabvmm {
	/* the VM */
	struct sockaddr_un addr;
	char name[VM_NAME_MAX + 1];
	struct vm_uuid uuid;
	uint32_t pvr;
	enum mmu_kind mmu;
	uint32_t compat;    /* as REGISTER says it */
	uint64_t vcpu_ids;  /* the same */
	struct kvm_vm kvm;  /* with the order that the table has now */
	unsigned hpt_order; /* what a VM that waits for a guest was started with */
	struct lib_devices devices;
	struct lib_tces tces;
	struct tlbsocks tlbs; /* BookE: the table */
	const struct htabvmm_ops *ops;
	void *opaque;

	/* the guest */
	bool incoming;  /* waits for a guest */
	bool running;   /* its vCPUs run, as far as the VMM said */
	bool gone;      /* the guest that was here runs elsewhere */
	bool stuck;     /* it should run on and `resume` failed */
	bool state_set; /* of the session that is loading */
	struct {
		uint64_t guest_tb; /* the guest's timebase at */
		uint64_t at;       /* ns of clock_ns(); 0: not known */
		bool known;        /* guest_tb is */
	} paused;                  /* the pause: here, or of the guest that arrives */
	struct {
		struct session_id session; /* none: not set */
		int64_t error;             /* ns, VMM_QUERY_TIME's answer */
	} time;
	struct state_kvm_tb arrived; /* the timebase of the guest that arrives */
	bool throttled;
	atomic_bool may_run;
	struct sessions sessions;

	/* the daemon */
	int epfd, sock, timer, wake;
	bool registered;            /* told so on this connection */
	bool broken;                /* we say nothing more on this connection */
	bool ended;                 /* nothing more comes from this connection */
	uint64_t retry_at, backoff; /* ns of clock_ns(); when sock is -1 */
	int unreachable;            /* errno of the last attempt, which the VMM was told; 0: none */
	uint64_t lease_at;          /* when the lease is over; 0: none runs */
	uint64_t lease;             /* how long it is, ns */

	/* the table */
	bool reader;   /* the daemon has an fd for reading */
	bool reserved; /* the VMM reads it itself */
	enum lib_change change;
	unsigned asked;     /* announcements on this connection that were not answered yet */
	uint64_t change_at; /* CHANGE_ASKED: until when the answer is waited for */
	uint64_t change_ns; /* how long that is */

	/* the callback at work, and the requests behind it */
	enum lib_work work;
	bool work_over;
	int work_error;
	struct vmm_request work_req;
	struct lib_request waiting[LIB_WAITING_MAX];
	unsigned n_waiting;

	bool inside; /* htabvmm_dispatch() */
	uint8_t packet[VMM_PACKET_MAX];
};

/* lib/conn.c */
void conn_start(struct htabvmm *h);
/* Take the socket down; what the peer sent before can still be received. */
void conn_break(struct htabvmm *h);
void conn_close(struct htabvmm *h);
/* A packet for the connection, with an fd or -1; if it cannot be queued the connection breaks. */
void conn_send(struct htabvmm *h, int len, int fd);
int conn_resumed(struct htabvmm *h, const struct session *s, const char *text);
void conn_event(
	struct htabvmm *h, enum vmm_event_kind kind, const struct session *s, const char *text);
/* Receive and handle what is queued. True when there may be more. */
bool conn_receive(struct htabvmm *h);
/* Tell the VMM. */
void lib_tell(struct htabvmm *h, enum htabvmm_event event, const char *text);

/* lib/request.c */
void request_arrived(struct htabvmm *h, const struct vmm_request *req, int fd);
/* Go on with what waited for a callback, once that is over. */
void request_continue(struct htabvmm *h);
bool request_pending(const struct htabvmm *h);
/* The callback's answer r: what follows happens now, or when htabvmm_complete() tells. */
void request_work(struct htabvmm *h, enum lib_work work, const struct vmm_request *req, int r);
/* Answer: e->code 0 or a negative errno with a sentence. */
void request_reply(struct htabvmm *h, const struct vmm_request *req, uint64_t value, int fd,
	const struct err *e);
/* Answer a request about a session with the note that it has now. */
void request_reply_session(struct htabvmm *h, const struct vmm_request *req, const struct err *e);

/* lib/htab.c */
void htab_open(struct htabvmm *h, const struct vmm_request *req);
void htab_close(struct htabvmm *h); /* CLOSE_HTAB */
/* Does the VMM read its table itself? 0: no, or -EBUSY with a sentence. */
int htab_reserved(const struct htabvmm *h, struct err *e);
void htab_answer(struct htabvmm *h, const struct vmm_request *req);
/* No answer comes any more: the daemon is gone, or took too long. */
void htab_unanswered(struct htabvmm *h, const char *why);
/* The guest that arrived is this VM's: the daemon is told its table's order when it is news. */
void htab_arrived(struct htabvmm *h);
/* The connection ended: what the daemon had is nobody's. */
void htab_lost(struct htabvmm *h);

/* lib/source.c: each answers req, now or later. s is NULL where the session is unknown. */
void source_pause(struct htabvmm *h, struct session *s, const struct vmm_request *req);
void source_resume(struct htabvmm *h, struct session *s, const struct vmm_request *req);
void source_committing(struct htabvmm *h, struct session *s, const struct vmm_request *req);
void source_undo(struct htabvmm *h, struct session *s, const struct vmm_request *req);
void source_release(struct htabvmm *h, struct session *s, const struct vmm_request *req);
void source_renew(struct htabvmm *h);
void source_work_over(
	struct htabvmm *h, enum lib_work work, const struct vmm_request *req, int error);
/* The lease is over, or the daemon is lost (ask): a paused guest runs on. */
void source_alone(struct htabvmm *h, enum session_ask ask);
bool source_holds(struct htabvmm *h);

/* lib/dest.c */
void dest_loading(struct htabvmm *h, struct session *s, const struct vmm_request *req);
void dest_set_state(struct htabvmm *h, struct session *s, const struct vmm_request *req, int fd);
void dest_reset(struct htabvmm *h, struct session *s, const struct vmm_request *req);
void dest_ready(struct htabvmm *h, struct session *s, const struct vmm_request *req);
void dest_run(struct htabvmm *h, struct session *s, const struct vmm_request *req);
void dest_dead(struct htabvmm *h, struct session *s, const struct vmm_request *req);
void dest_work_over(struct htabvmm *h, const struct vmm_request *req, int error);
void dest_lost(struct htabvmm *h);

/* Devices let go, let the vCPUs run. Else none does, and why: "its resume failed: ...". */
int lib_run_guest(struct htabvmm *h, struct err *why);
void lib_unthrottle(struct htabvmm *h);

/* lib/query.c: the state, or the TLBs, to be looked at. */
void query_guest(struct htabvmm *h, const struct vmm_request *req);
void query_time(struct htabvmm *h, const struct vmm_request *req);
void query_work_over(struct htabvmm *h, const struct vmm_request *req, int error);

/* lib/state.c: the image as a sealed memfd (the caller's), and the other way. */
int lib_get_state(struct htabvmm *h, int *ret_fd, struct err *e);
int lib_set_state(struct htabvmm *h, int fd, struct err *e);
/* Note the guest's timebase, all its vCPUs having stopped. */
int lib_note_pause(struct htabvmm *h, struct err *e);

/* For tests: the lease's length instead of VMM_LEASE_MS. */
void htabvmm_test_lease(struct htabvmm *h, uint64_t ms);
/* The same for the answer to a change of the table, instead of VMM_CHANGE_MS. */
void htabvmm_test_change(struct htabvmm *h, uint64_t ms);
