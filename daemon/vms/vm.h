/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The VMs that this daemon serves: the VMM socket, registration, requests and their replies.
 *
 * The loop's thread only. A struct vm lives from its registration until its connection ends; its
 * owner is the registry. Whoever keeps a pointer to it is told by vm_hooks.gone.
 */
#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "common/err.h"
#include "daemon/vms/allow.h"
#include "daemon/base/params.h"
#include "proto/vmm.h"

struct dumphtab;
struct migration;
struct qmp_sock;
struct vm_request;
struct vm_packet;
struct vms;

#define VMS_MAX         384 /* registered at once */
#define VMS_OF_USER_MAX 256 /* of one user; the configuration may say otherwise */
#define VMS_WAITING_MAX 64  /* connections that have not registered yet */

struct vm {
	TAILQ_ENTRY(vm) link;
	struct vms *vms;
	int fd;
	int pidfd;
	pid_t pid;
	uid_t uid;
	char user[ALLOW_USER_MAX]; /* its name, when registered */
	struct event *readable, *writable, *deadline;
	struct event *death; /* the pidfd tells: from registration on */
	bool registered;
	bool closing;            /* the connection ended; is the process dead? */
	struct vmm_register reg; /* what it said; running and notes are kept up to date */
	char uuid_text[37];
	struct params params;
	struct qmp_sock *sock;
	struct migration *migration; /* the one under way or the last one */
	struct dumphtab *dump;       /* its table is read for a client: dumphtab.c */
	struct reading *reading;     /* its state was, and is shown by pages: vmstate.c */
	/* the next guest may come in, from whom: migrate-incoming */
	bool expects;
	char authz[PARAM_TEXT_MAX];
	char guest[VM_NAME_MAX + 1]; /* what it is called at its source */
	bool stopped_by_guest;
	const void *htab_reader; /* who has an fd for reading its table; NULL: nobody */
	unsigned changes; /* announcements of a change of its table that are to be answered */
	uint32_t serial;
	TAILQ_HEAD(, vm_request) requests;
	TAILQ_HEAD(, vm_packet) out;
	unsigned out_len;
};

/* Told to whoever owns the registry (the server). */
struct vm_hooks {
	/*
	 * Name vm->user, and decide whether this VM may register. 0, or -errno with the sentence
	 * for its VMM.
	 */
	int (*allow)(void *arg, struct vm *vm, struct err *err);
	/* Make ready what belongs to it, then vm_welcome() it; requests only after that. */
	void (*registered)(void *arg, struct vm *vm);
	/* The connection ended; dead: so did its process, for all we know. The vm goes after. */
	void (*gone)(void *arg, struct vm *vm, bool dead);
	/* An event of the VMM's. */
	void (*event)(void *arg, struct vm *vm, const struct vmm_event *event);
};

/* Listen for VMMs at path (mode 0660, a stale socket file is replaced). */
int vms_new(struct event_base *base, const char *path, const struct vm_hooks *hooks, void *arg,
	struct vms **ret, struct err *err);
struct vms *vms_free(struct vms *v); /* takes NULL, returns NULL */
/* How many VMs one user may have registered: VMS_OF_USER_MAX unless said here. */
void vms_limit_users(struct vms *v, unsigned per_user);

/* Tell its VMM that it is registered. */
void vm_welcome(struct vm *vm);

/* The VM with that name or UUID; text NULL: the only one. NULL and *err when there is none. */
struct vm *vms_find(struct vms *v, const char *text, struct err *err);
struct vm *vms_find_uuid(struct vms *v, const struct vm_uuid *uuid);
struct vm *vms_first(struct vms *v);
struct vm *vms_next(struct vm *vm);

/*
 * The reply of a request, once: reply->error is -ECONNRESET when the VMM went away and -ETIMEDOUT
 * when it did not answer in time. fd is -1 or becomes the callee's.
 */
typedef void vm_reply_cb(void *arg, const struct vmm_reply *reply, int fd);

/*
 * Ask the VMM. serial is filled in; fd (-1: none) stays the caller's. The callback comes later,
 * never from inside this call. timeout_ms bounds the wait; VM_ASK_UNBOUNDED is for what ends by its
 * answer alone: it is another's to say that it takes long.
 */
#define VM_ASK_UNBOUNDED (-1)
void vm_ask(
	struct vm *vm, struct vmm_request *req, int fd, int timeout_ms, vm_reply_cb *cb, void *arg);
/*
 * Was a request of that type and asker given to the VMM's socket, and not answered? The VMM may
 * have read it. What waits in our queue, or met the end of the connection, it has not.
 */
bool vm_was_sent(const struct vm *vm, enum vmm_type type, const void *arg);
/*
 * Has its connection ended, or its process? What it said last may still have to be heard; `gone`
 * follows, and says what became of it.
 */
bool vm_ending(const struct vm *vm);
/* A message without a reply (LEASE). */
void vm_tell(struct vm *vm, struct vmm_request *req);
/*
 * An fd for reading the VM's table, which came as the answer to a request of `reader` (vm_ask()'s
 * arg), is closed: the VMM gives one again. When the reader had none, nothing is said.
 */
void vm_htab_closed(struct vm *vm, const void *reader);
/*
 * Answer what the VMM announced with HTAB_CHANGE: 0 and NULL: no fd is open, it may go on; or an
 * errno and why it should not. When nothing is to be answered, nothing is said.
 */
void vm_answer_change(struct vm *vm, int error, const char *text);
/* No callback with that arg comes any more; fds of late replies are closed. */
void vm_forget_asker(struct vm *vm, void *arg);

/* The note that this VM's VMM holds of a session, NOTE_NONE for none. */
struct vmm_note *vm_note(struct vm *vm, const struct session_id *session);
/* Keep the copy of the VMM's notes up to date: note NOTE_NONE forgets it. */
void vm_set_note(struct vm *vm, const struct session_id *session, enum session_note note);

/* "0123456789abcdef..." of a session id; buf of 33 bytes. */
void session_text(const struct session_id *s, char buf[static 33]);
int session_parse(const char *text, struct session_id *ret);
void uuid_text(const struct vm_uuid *u, char buf[static 37]);
/* Is it a UUID, with its dashes or without? 0 and *ret, or -EINVAL. */
int uuid_parse(const char *text, struct vm_uuid *ret);
