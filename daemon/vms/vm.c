/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/base/limits.h"
#include "daemon/vms/vm_impl.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/foreign.h"
#include "daemon/base/log.h"

#define OUT_MAX   64   /* packets waiting for a VMM that does not read */
#define DRAIN_MAX 1024 /* packets that it may have left behind: more than a socket holds */

struct vm_request {
	TAILQ_ENTRY(vm_request) link;
	struct vm *vm;
	uint32_t serial;
	enum vmm_type type;
	bool reads; /* OPEN_HTAB for reading */
	bool sent;  /* it is with the kernel, and so perhaps with the VMM */
	struct event *timer;
	vm_reply_cb *cb;
	void *arg;
};

struct vm_packet {
	TAILQ_ENTRY(vm_packet) link;
	uint32_t serial; /* of its request; 0: it has none */
	int fd;
	size_t len;
	uint8_t buf[];
};

static struct event *event_free_null(struct event *e)
{
	if (e)
		event_free(e);
	return NULL;
}

static struct vm_request *request_free(struct vm_request *r)
{
	TAILQ_REMOVE(&r->vm->requests, r, link);
	event_free_null(r->timer);
	free(r);
	return NULL;
}

/* Take the request off the list, then call back: the callback may ask anew. */
static void request_done(struct vm_request *r, const struct vmm_reply *reply, int fd)
{
	vm_reply_cb *cb = r->cb;
	struct vm *vm = r->vm;
	bool reads = r->reads;
	void *arg = r->arg;

	request_free(r);
	if (reads && fd >= 0)
		vm->htab_reader = arg;
	if (cb) {
		cb(arg, reply, fd);
		return;
	}
	foreign_close(fd);
	if (reads && fd >= 0)
		vm_htab_closed(vm, arg);
}

static void request_fail(struct vm_request *r, int error, const char *what)
{
	struct vmm_reply reply = {.error = error};

	snprintf(reply.text, sizeof(reply.text), "the VMM of %s %s while asked to %s",
		r->vm->reg.name, what, vmm_type_name(r->type));
	request_done(r, &reply, -1);
}

static void vm_free(struct vm *vm)
{
	struct vm_packet *p;

	while (!TAILQ_EMPTY(&vm->requests))
		request_fail(TAILQ_FIRST(&vm->requests), -ECONNRESET, "went away");
	while ((p = TAILQ_FIRST(&vm->out))) {
		TAILQ_REMOVE(&vm->out, p, link);
		foreign_close(p->fd);
		free(p);
	}
	TAILQ_REMOVE(&vm->vms->list, vm, link);
	event_free_null(vm->readable);
	event_free_null(vm->writable);
	event_free_null(vm->deadline);
	event_free_null(vm->death);
	foreign_hang_up(vm->fd);
	fd_close(vm->pidfd);
	free(vm);
}

static bool process_dead(const struct vm *vm)
{
	struct pollfd p = {.fd = vm->pidfd, .events = POLLIN};

	return vm->pidfd >= 0 && poll(&p, 1, 0) == 1;
}

void vm_gone(struct vm *vm, bool dead)
{
	if (vm->registered) {
		vm->vms->hooks->gone(vm->vms->arg, vm, dead);
		vm->registered = false;
	}
	vm_free(vm);
}

static void judged_cb(evutil_socket_t fd, short what, void *arg)
{
	vm_gone(arg, process_dead(arg));
}

/*
 * The VMM ended the connection and every queued packet was handled. A process that is being killed
 * closes its fds a moment before its pidfd tells, and that difference decides who may run: wait
 * for it, for a bounded time. Our end stays open meanwhile, since a VMM that lives takes its
 * closing as leave to resume a paused guest; one that dies before that never did.
 */
static void end_of_connection(struct vm *vm)
{
	struct timeval tv = limit_tv(LIMIT_VMM_DEATH);

	vm->readable = event_free_null(vm->readable);
	vm->writable = event_free_null(vm->writable);
	vm->deadline = event_free_null(vm->deadline);
	if (!vm->registered || process_dead(vm)) {
		vm_gone(vm, process_dead(vm));
		return;
	}
	vm->closing = true; /* died_cb() speaks first, or nobody does */
	vm->deadline = evtimer_new(vm->vms->base, judged_cb, vm);
	if (!vm->deadline || event_add(vm->deadline, &tv) < 0)
		vm_gone(vm, false);
}

static void mark_sent(struct vm *vm, uint32_t serial)
{
	struct vm_request *r;

	TAILQ_FOREACH (r, &vm->requests, link)
		if (r->serial == serial)
			r->sent = true;
}

static void send_queued(struct vm *vm)
{
	struct vm_packet *p;

	while ((p = TAILQ_FIRST(&vm->out))) {
		int r = fd_send_packet(vm->fd, p->buf, p->len, p->fd);

		if (r == -EAGAIN) {
			event_add(vm->writable, NULL);
			return;
		}
		/* A broken connection is noticed, and judged, where it is read. */
		if (r == 0)
			mark_sent(vm, p->serial);
		TAILQ_REMOVE(&vm->out, p, link);
		vm->out_len--;
		foreign_close(p->fd);
		free(p);
	}
}

static void writable_cb(evutil_socket_t fd, short what, void *arg)
{
	send_queued(arg);
}

static int enqueue(struct vm *vm, const struct vmm_request *req, int fd)
{
	uint8_t buf[VMM_PACKET_MAX];
	int len = vmm_pack_request(req, buf);
	struct vm_packet *p;

	assert(len > 0);
	if (vm->closing || (vm->registered && process_dead(vm))) /* a child may hold the socket */
		return -ECONNRESET;
	if (vm->out_len >= OUT_MAX)
		return -ENOBUFS;
	p = malloc(sizeof(*p) + (size_t)len);
	if (!p)
		return -ENOMEM;
	p->fd = -1;
	if (fd >= 0) {
		p->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (p->fd < 0) {
			free(p);
			return -errno;
		}
	}
	p->serial = req->serial;
	p->len = (size_t)len;
	memcpy(p->buf, buf, p->len);
	TAILQ_INSERT_TAIL(&vm->out, p, link);
	vm->out_len++;
	send_queued(vm);
	return 0;
}

static void timeout_cb(evutil_socket_t fd, short what, void *arg)
{
	struct vm_request *r = arg;

	request_fail(r, -ETIMEDOUT, "did not answer in time");
}

void vm_ask(
	struct vm *vm, struct vmm_request *req, int fd, int timeout_ms, vm_reply_cb *cb, void *arg)
{
	struct timeval tv = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
	struct vm_request *r = calloc(1, sizeof(*r));
	bool timed = timeout_ms != VM_ASK_UNBOUNDED;
	int e;

	if (!r)
		abort(); /* nothing can be told to anybody without memory for this */
	if (++vm->serial == 0)
		vm->serial = 1;
	req->serial = r->serial = vm->serial;
	r->vm = vm;
	r->type = req->type;
	r->reads = req->type == VMM_OPEN_HTAB && !(req->flags & (HTAB_FD_WRITE | VMM_HTAB_SECOND));
	r->cb = cb;
	r->arg = arg;
	r->timer = evtimer_new(vm->vms->base, timeout_cb, r);
	TAILQ_INSERT_TAIL(&vm->requests, r, link);
	e = enqueue(vm, req, fd);
	if (e < 0 && e != -ECONNRESET) { /* tell it from the loop; else its end will be told */
		tv = (struct timeval){0};
		timed = true;
	}
	log_debug("vm %s <- %s serial %u%s", vm->reg.name, vmm_type_name(req->type), req->serial,
		e < 0 ? " (not sent)" : "");
	if (!r->timer || (timed && event_add(r->timer, &tv) < 0))
		abort();
}

bool vm_was_sent(const struct vm *vm, enum vmm_type type, const void *arg)
{
	const struct vm_request *r;

	TAILQ_FOREACH (r, &vm->requests, link)
		if (r->type == type && r->arg == arg && r->sent)
			return true;
	return false;
}

bool vm_ending(const struct vm *vm)
{
	struct pollfd p = {.fd = vm->fd, .events = POLLRDHUP};

	return vm->closing || process_dead(vm) || poll(&p, 1, 0) == 1;
}

void vm_tell(struct vm *vm, struct vmm_request *req)
{
	req->serial = 0;
	enqueue(vm, req, -1);
}

static void tell_closed(struct vm *vm)
{
	struct vmm_request req = {.type = VMM_CLOSE_HTAB};

	vm_tell(vm, &req);
	vm->htab_reader = NULL;
}

void vm_htab_closed(struct vm *vm, const void *reader)
{
	if (reader && vm->htab_reader == reader)
		tell_closed(vm);
}

void vm_answer_change(struct vm *vm, int error, const char *text)
{
	struct vmm_request req = {.type = VMM_HTAB_ANSWER, .error = error};

	snprintf(req.text, sizeof(req.text), "%s", text ? text : "");
	for (; vm->changes > 0; vm->changes--)
		vm_tell(vm, &req);
}

void vm_forget_asker(struct vm *vm, void *arg)
{
	struct vm_request *r;

	TAILQ_FOREACH (r, &vm->requests, link)
		if (r->arg == arg)
			r->cb = NULL;
}

struct vmm_note *vm_note(struct vm *vm, const struct session_id *session)
{
	for (uint32_t i = 0; i < vm->reg.n_notes; i++)
		if (session_eq(&vm->reg.notes[i].session, session))
			return &vm->reg.notes[i];
	return NULL;
}

void vm_set_note(struct vm *vm, const struct session_id *session, enum session_note note)
{
	struct vmm_note *n = vm_note(vm, session);

	if (note == NOTE_NONE) {
		if (n)
			*n = vm->reg.notes[--vm->reg.n_notes];
		return;
	}
	if (!n) {
		if (vm->reg.n_notes == VMM_NOTES_MAX) {
			memmove(vm->reg.notes, vm->reg.notes + 1,
				(VMM_NOTES_MAX - 1) * sizeof(vm->reg.notes[0]));
			vm->reg.n_notes--;
		}
		n = &vm->reg.notes[vm->reg.n_notes++];
		*n = (struct vmm_note){.session = *session};
	}
	n->note = note;
}

/* -- registration -- */

static void refuse(struct vm *vm, const struct err *err)
{
	struct vmm_request req = {.type = VMM_REFUSED};

	log_stranger(LOG_VMM, SD_WARNING, "refused a VMM (pid %d, uid %u): %s", (int)vm->pid,
		(unsigned)vm->uid, err->text);
	snprintf(req.text, sizeof(req.text), "%s", err->text);
	enqueue(vm, &req, -1);
	/* The sentence is in the socket's buffer, or the VMM does not read at all. */
	end_of_connection(vm);
}

static void died(struct vm *vm);
static void died_cb(evutil_socket_t fd, short what, void *arg);

static struct vm *find_duplicate(struct vm *vm)
{
	struct vm *o;

	TAILQ_FOREACH (o, &vm->vms->list, link)
		if (o != vm && o->registered &&
			(!strcmp(o->reg.name, vm->reg.name) ||
				uuid_eq(&o->reg.uuid, &vm->reg.uuid)))
			return o;
	return NULL;
}

static int check_registration(struct vm *vm, struct err *err)
{
	struct vm *other;
	struct vm_uuid named;
	int r;

	if (vm->pidfd < 0 || fd_pidfd_pid(vm->pidfd) != vm->pid)
		return err_set(err, -EPERM,
			"the descriptor sent to register %s is no pidfd of the "
			"process %d that sent it",
			vm->reg.name, (int)vm->pid);
	if (uuid_parse(vm->reg.name, &named) == 0 && !uuid_eq(&named, &vm->reg.uuid))
		return err_set(err, -EINVAL,
			"the VM's name '%s' is a UUID, and not its own (%s): give it another name",
			vm->reg.name, vm->uuid_text);
	r = vm->vms->hooks->allow(vm->vms->arg, vm, err);
	if (r < 0)
		return r;
	while ((other = find_duplicate(vm))) {
		if (process_dead(other)) { /* this is its successor */
			died(other);
			continue;
		}
		if (other->closing && other->pid == vm->pid) { /* the same VMM comes back */
			vm_gone(other, false);
			continue;
		}
		if (!strcmp(other->reg.name, vm->reg.name))
			return err_set(err, -EEXIST,
				"a VM named '%s' is registered already, by process "
				"%d: give this one another name",
				vm->reg.name, (int)other->pid);
		return err_set(err, -EEXIST,
			"the UUID %s is registered already, by VM '%s': give "
			"this one another UUID",
			vm->uuid_text, other->reg.name);
	}
	return vms_check_room(vm->vms, vm, err);
}

void vm_welcome(struct vm *vm)
{
	struct vmm_request ok = {.type = VMM_REGISTERED};

	enqueue(vm, &ok, -1);
}

static void handle_register(struct vm *vm, const void *buf, size_t len, int fd)
{
	struct err err = {0};
	int r;

	vm->pidfd = fd;
	r = vmm_unpack_register(buf, len, &vm->reg);
	if (r == -EPROTONOSUPPORT)
		err_set(&err, r,
			"the VMM speaks version %u of the VMM socket, this daemon version "
			"%u: use a libhtabvmm of this release",
			vm->reg.version, VMM_VERSION);
	else if (r < 0)
		err_set(&err, r, "the VMM's registration is malformed");
	if (r < 0) {
		refuse(vm, &err);
		return;
	}
	uuid_text(&vm->reg.uuid, vm->uuid_text);
	if (check_registration(vm, &err) < 0) {
		refuse(vm, &err);
		return;
	}
	vm->death = event_new(vm->vms->base, vm->pidfd, EV_READ, died_cb, vm);
	if (!vm->death || event_add(vm->death, NULL) < 0)
		abort();
	vm->deadline = event_free_null(vm->deadline);
	vm->registered = true;
	vm->vms->hooks->registered(vm->vms->arg, vm);
}

static void handle_reply(struct vm *vm, uint32_t serial, const void *buf, size_t len, int fd)
{
	struct vmm_reply reply;
	struct vm_request *r;

	TAILQ_FOREACH (r, &vm->requests, link)
		if (r->serial == serial)
			break;
	if (vmm_unpack_reply(buf, len, &reply) < 0 || !r) {
		log_stranger(LOG_VMM, SD_WARNING,
			"vm %s: a reply that is malformed or that nobody waits for (serial %u)",
			vm->reg.name, serial);
		/* It may be the table, asked for too long ago. */
		if (fd >= 0 && !vm->htab_reader)
			tell_closed(vm);
		foreign_close(fd);
		return;
	}
	log_debug("vm %s -> REPLY to %s serial %u: %d %s", vm->reg.name, vmm_type_name(r->type),
		serial, reply.error, reply.text);
	request_done(r, &reply, fd);
}

/* 0, or -EBADMSG: not to be talked to any further. */
static int handle_packet(struct vm *vm, const void *buf, size_t len, int fd)
{
	struct vmm_event event;
	uint32_t serial;
	uint16_t type;

	if (vmm_unpack_header(buf, len, &type, &serial) < 0)
		goto bad;
	if (!vm->registered) {
		if (type != VMM_REGISTER)
			goto bad;
		handle_register(vm, buf, len, fd);
		return 0;
	}
	switch (type) {
	case VMM_REPLY: handle_reply(vm, serial, buf, len, fd); return 0;
	case VMM_EVENT:
		if (vmm_unpack_event(buf, len, &event) < 0)
			goto bad;
		foreign_close(fd);
		vm->vms->hooks->event(vm->vms->arg, vm, &event);
		return 0;
	default: break;
	}
bad:
	foreign_close(fd);
	return -EBADMSG;
}

/* Everything that is queued: false when it cannot be told what the rest is. */
static bool drain(struct vm *vm)
{
	uint8_t buf[VMM_PACKET_MAX];

	for (int i = 0; i < DRAIN_MAX; i++) {
		int fd;
		ssize_t n = fd_recv_packet(vm->fd, buf, sizeof(buf), &fd);

		if (n == -EAGAIN || n == 0)
			return true;
		if (n < 0 && n != -ECONNRESET)
			return false;
		if (n > 0 && handle_packet(vm, buf, (size_t)n, fd) < 0)
			return false;
	}
	return false;
}

/*
 * The process has ended, even if a child of its holds the socket open. It can have queued nothing
 * since, so what is there now is heard to its end, RESUMED above all, and then it is over: what
 * others may send is not the VMM's.
 */
static void died(struct vm *vm)
{
	bool heard = vm->closing || drain(vm);

	if (!heard)
		log_warn("vm %s (pid %d): died, and what it said last is not understood",
			vm->reg.name, (int)vm->pid);
	vm_gone(vm, heard);
}

static void died_cb(evutil_socket_t fd, short what, void *arg)
{
	died(arg);
}

static void readable_cb(evutil_socket_t sock, short what, void *arg)
{
	struct vm *vm = arg;
	uint8_t buf[VMM_PACKET_MAX];

	/* One packet a turn keeps the loop fair; the event stays ready while more are queued. */
	int fd;
	ssize_t n = fd_recv_packet(vm->fd, buf, sizeof(buf), &fd);

	if (n == -EAGAIN || n == -EINTR || n == -ECONNRESET)
		return; /* after ECONNRESET the queued packets still come, and then the end */
	if (n > 0 && handle_packet(vm, buf, (size_t)n, fd) == 0)
		return;
	if (n > 0)
		log_stranger(LOG_VMM, SD_WARNING,
			"vm %s (pid %d): sent what is no message of the VMM socket; disconnected",
			vm->registered ? vm->reg.name : "?", (int)vm->pid);
	if (n == 0)
		end_of_connection(vm);
	else /* its guest may run from here on, and nothing it says of that would be heard */
		vm_gone(vm, false);
}

static void register_timeout_cb(evutil_socket_t fd, short what, void *arg)
{
	struct vm *vm = arg;

	log_stranger(LOG_VMM, SD_WARNING, "a VMM (pid %d) connected and did not register in %d s",
		(int)vm->pid, limit_s(LIMIT_VMM_REGISTER));
	end_of_connection(vm);
}

struct vm *vm_new(struct vms *v, int fd, const struct ucred *cred)
{
	struct timeval tv = limit_tv(LIMIT_VMM_REGISTER);
	struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm)
		return NULL;
	vm->vms = v;
	vm->fd = fd;
	vm->pidfd = -1;
	vm->pid = cred->pid;
	vm->uid = cred->uid;
	TAILQ_INIT(&vm->requests);
	TAILQ_INIT(&vm->out);
	TAILQ_INSERT_TAIL(&v->list, vm, link);
	vm->readable = event_new(v->base, fd, EV_READ | EV_PERSIST, readable_cb, vm);
	vm->writable = event_new(v->base, fd, EV_WRITE, writable_cb, vm);
	vm->deadline = evtimer_new(v->base, register_timeout_cb, vm);
	if (!vm->readable || !vm->writable || !vm->deadline || event_add(vm->readable, NULL) < 0 ||
		event_add(vm->deadline, &tv) < 0) {
		vm->fd = -1; /* the caller's */
		vm_free(vm);
		return NULL;
	}
	return vm;
}
