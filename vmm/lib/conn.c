/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "vmm/lib/impl.h"

#define BACKOFF_MIN_MS 100u
#define BACKOFF_MAX_MS 2000u
#define RECEIVE_MAX    64 /* packets in one turn of the VMM's loop */

void lib_tell(struct htabvmm *h, enum htabvmm_event event, const char *text)
{
	if (h->ops->event)
		h->ops->event(h->opaque, event, text);
}

static void retry_later(struct htabvmm *h)
{
	h->retry_at = clock_ns() + h->backoff;
	h->backoff *= 2;
	if (h->backoff > BACKOFF_MAX_MS * NS_PER_MS)
		h->backoff = BACKOFF_MAX_MS * NS_PER_MS;
}

static void put_notes(struct htabvmm *h, struct vmm_register *m)
{
	for (unsigned i = 0; i < SESSIONS_MAX; i++) {
		const struct session *s = &h->sessions.all[i];
		struct vmm_note *n = &m->notes[m->n_notes];

		if (session_note_of(s->state) == NOTE_NONE)
			continue;
		n->session = s->id;
		n->note = session_note_of(s->state);
		n->cookie_len = s->cookie_len;
		memcpy(n->cookie, s->cookie, s->cookie_len);
		m->n_notes++;
	}
}

static void send_register(struct htabvmm *h)
{
	struct vmm_register m = {
		.version = VMM_VERSION,
		.uuid = h->uuid,
		.mmu = h->mmu,
		.order = h->incoming ? h->hpt_order : h->kvm.order,
		.vcpus = h->kvm.vcpus,
		.pvr = h->pvr,
		.compat = h->compat,
		.vcpu_ids = h->vcpu_ids,
		.incoming = h->incoming,
		.running = h->running,
	};
	int pidfd;

	memcpy(m.name, h->name, sizeof(m.name));
	if (h->mmu == MMU_BOOKE)
		m.tlb = h->tlbs.tlbs[0]->geometry;
	put_notes(h, &m);
	pidfd = fd_pidfd(getpid());
	if (pidfd < 0) {
		conn_break(h);
		return;
	}
	conn_send(h, vmm_pack_register(&m, h->packet), pidfd);
	fd_close(pidfd);
}

/* Once for each reason: whoever reads it may have waited for a long time. */
static void tell_unreachable(struct htabvmm *h, int e)
{
	char text[256];

	if (h->unreachable == e)
		return;
	h->unreachable = e;
	snprintf(text, sizeof(text), "cannot connect to %s: %s%s; it is tried again",
		h->addr.sun_path, strerror(e),
		e == EACCES || e == EPERM ? ": this VMM's user has to be in the group "
					    "htab-migrated, or the socket's"
			: e == ENOENT || e == ECONNREFUSED ? ": is htab-migrated running here?"
							   : "");
	lib_tell(h, HTABVMM_UNREACHABLE, text);
}

void conn_start(struct htabvmm *h)
{
	struct epoll_event ev = {.events = EPOLLIN, .data.fd = -1};
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (!h->backoff)
		h->backoff = BACKOFF_MIN_MS * NS_PER_MS;
	if (sock < 0 || connect(sock, (struct sockaddr *)&h->addr, sizeof(h->addr)) < 0 ||
		epoll_ctl(h->epfd, EPOLL_CTL_ADD, sock, &ev) < 0) {
		int e = errno;

		fd_close(sock);
		retry_later(h);
		tell_unreachable(h, e);
		return;
	}
	h->sock = sock;
	h->unreachable = 0;
	h->broken = false;
	h->ended = false;
	h->registered = false;
	send_register(h);
}

/*
 * Nothing more is said on this connection. What the daemon still says is heard, until it closes its
 * end: only then may a paused guest run on without RESUMED being queued.
 */
void conn_break(struct htabvmm *h)
{
	if (h->sock >= 0)
		shutdown(h->sock, SHUT_WR);
	h->broken = true;
}

void conn_close(struct htabvmm *h)
{
	h->sock = fd_close(h->sock);
	h->registered = false;
	retry_later(h);
}

void conn_send(struct htabvmm *h, int len, int fd)
{
	if (h->sock < 0)
		return;
	if (len < 0 || fd_send_packet(h->sock, h->packet, (size_t)len, fd) < 0)
		conn_break(h);
}

/*
 * RESUMED has to be with the daemon before any vCPU runs: -EAGAIN when the socket does not take it
 * now. A daemon that closed its end reads nothing any more, and 0 says so as well.
 */
int conn_resumed(struct htabvmm *h, const struct session *s, const char *text)
{
	struct vmm_event m = {.kind = VMM_EVENT_RESUMED, .session = s->id};
	int len;

	if (h->sock < 0)
		return 0;
	if (h->broken)
		return -EAGAIN;
	snprintf(m.text, sizeof(m.text), "%s", text);
	len = vmm_pack_event(&m, h->packet);
	return fd_send_packet(h->sock, h->packet, (size_t)len, -1) == -EAGAIN ? -EAGAIN : 0;
}

void conn_event(
	struct htabvmm *h, enum vmm_event_kind kind, const struct session *s, const char *text)
{
	struct vmm_event m = {.kind = kind};

	if (s)
		m.session = s->id;
	snprintf(m.text, sizeof(m.text), "%s", text);
	conn_send(h, vmm_pack_event(&m, h->packet), -1);
}

/* A packet that is no request we know: answered when it can be, else the connection ends. */
static void refuse_packet(struct htabvmm *h, size_t len)
{
	struct vmm_request req = {0};
	struct err e = {0};
	uint16_t type;

	if (vmm_unpack_header(h->packet, len, &type, &req.serial) < 0 || req.serial == 0) {
		conn_break(h);
		return;
	}
	if (strcmp(vmm_type_name(type), "?") == 0)
		err_set(&e, -EOPNOTSUPP,
			"VM '%s' knows no request of type %u: its libhtabvmm is "
			"older than the daemon",
			h->name, type);
	else
		err_set(&e, -EBADMSG, "VM '%s' got a malformed %s request", h->name,
			vmm_type_name(type));
	request_reply(h, &req, 0, -1, &e);
}

static void handle_packet(struct htabvmm *h, size_t len, int fd)
{
	struct vmm_request req;

	if (vmm_unpack_request(h->packet, len, &req) < 0) {
		fd_close(fd);
		refuse_packet(h, len);
		return;
	}
	if (req.type == VMM_REGISTERED) {
		fd_close(fd);
		if (h->registered)
			return;
		h->registered = true;
		h->backoff = BACKOFF_MIN_MS * NS_PER_MS;
		lib_tell(h, HTABVMM_REGISTERED, "");
		return;
	}
	if (req.type == VMM_REFUSED) {
		fd_close(fd);
		lib_tell(h, HTABVMM_REFUSED, req.text);
		return;
	}
	request_arrived(h, &req, fd);
}

bool conn_receive(struct htabvmm *h)
{
	bool reset = false;

	for (int i = 0; i < RECEIVE_MAX && h->sock >= 0 && !h->ended; i++) {
		int fd;
		ssize_t n = fd_recv_packet(h->sock, h->packet, sizeof(h->packet), &fd);

		if (n > 0) {
			handle_packet(h, (size_t)n, fd);
			continue;
		}
		fd_close(fd);
		if (n == -EAGAIN)
			return false;
		/* The kernel reports this once, before the packets that are still queued. */
		if (n == -ECONNRESET && !reset) {
			reset = true;
			continue;
		}
		if (n == -EMSGSIZE) {
			conn_break(h);
			continue;
		}
		h->ended = true;
		/* It stays readable for ever, and a callback may still be at work. */
		epoll_ctl(h->epfd, EPOLL_CTL_DEL, h->sock, NULL);
	}
	return h->sock >= 0 && !h->ended;
}
