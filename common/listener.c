/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/net.h"
#include "common/share.h"
#include "common/unixsock.h"

/* A name may have several addresses on this host. */
#define SOCKETS_MAX 16
/* Port 0: another socket may hold the port that the kernel chose for the first family. */
#define PORT_TRIES 16
/* Nothing can be accepted: the process has no descriptor left. */
#define PAUSE_S 1

struct incoming {
	TAILQ_ENTRY(incoming) link;
	struct listener *listener;
	struct handshake *handshake;
	uint64_t owner; /* share_owner() */
	char address[NET_ADDRESS_MAX];
};

struct listener {
	struct event_base *base;
	struct tls_creds *creds;
	dial_cb *cb;
	void *arg;
	unsigned max_handshakes;
	int timeout_ms;
	char uri[NET_ADDRESS_MAX];

	struct {
		int fd;
		struct event *event;
	} sockets[SOCKETS_MAX];
	unsigned n_sockets;
	struct unixsock unixsock; /* fd -1: TCP */

	TAILQ_HEAD(, incoming) incoming;
	unsigned n_incoming;
	struct event *resume;
	bool exhausted; /* reported, and not yet over */
};

static void accept_on(struct listener *l)
{
	for (unsigned i = 0; i < l->n_sockets; i++)
		event_add(l->sockets[i].event, NULL);
}

static void accept_off(struct listener *l)
{
	for (unsigned i = 0; i < l->n_sockets; i++)
		event_del(l->sockets[i].event);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	accept_on(arg);
}

/* -- Connections -- */

static void incoming_free(struct incoming *in)
{
	TAILQ_REMOVE(&in->listener->incoming, in, link);
	in->listener->n_incoming--;
	free(in);
}

static void on_handshake(void *arg, struct stream *s, const struct err *err)
{
	struct incoming *in = arg;
	struct listener *l = in->listener;

	incoming_free(in);
	evtimer_del(l->resume);
	accept_on(l);
	/* The last thing: the callee may free the listener. */
	l->cb(l->arg, s, err);
}

/* One handshake too many is under way: somebody's, but nobody else's by whoever began most. */
static void make_room(struct listener *l)
{
	struct incoming *in, *all[HANDSHAKES_MAX + 1];
	uint64_t owners[HANDSHAKES_MAX + 1];
	struct err err;
	unsigned n = 0;

	TAILQ_FOREACH (in, &l->incoming, link) {
		owners[n] = in->owner;
		all[n++] = in;
	}
	in = all[share_victim(owners, n)];
	err_set(&err, -EBUSY,
		"%s did not finish its handshake before %u others began theirs, and makes room",
		in->address, l->max_handshakes);
	handshake_cancel(in->handshake);
	incoming_free(in);
	/* The last thing, as above. */
	l->cb(l->arg, NULL, &err);
}

static int incoming_start(
	struct listener *l, int fd, const struct sockaddr *sa, const char *address, struct err *err)
{
	struct incoming *in = calloc(1, sizeof(*in));
	struct stream *s = NULL;
	int r = in ? stream_new(fd, address, &s) : -ENOMEM;

	if (r < 0) {
		free(in);
		close(fd);
		return err_set(
			err, r, "cannot accept the connection of %s: %s", address, strerror(-r));
	}
	in->listener = l;
	in->owner = share_owner(sa);
	snprintf(in->address, sizeof(in->address), "%s", address);
	if (l->creds) {
		r = stream_start_tls(s, l->creds, true, NULL, err);
		if (r < 0) {
			stream_free(s);
			free(in);
			return r;
		}
	}
	r = handshake_start(l->base, s, l->timeout_ms, on_handshake, in, &in->handshake);
	if (r < 0) {
		free(in);
		return err_set(
			err, r, "cannot accept the connection of %s: %s", address, strerror(-r));
	}
	TAILQ_INSERT_TAIL(&l->incoming, in, link);
	l->n_incoming++;
	return 0;
}

/*
 * No descriptors or memory, or a socket that was shut down: what is in the backlog stays there, and
 * trying at once again would spin.
 */
static void pause_accept(struct listener *l, int code)
{
	struct timeval tv = {PAUSE_S, 0};
	bool known = l->exhausted;
	struct err err;

	accept_off(l);
	event_add(l->resume, &tv);
	l->exhausted = true;
	if (known)
		return;
	err_set(&err, code, "cannot accept a connection at %s: %s%s", l->uri, strerror(-code),
		code == -EMFILE           ? ": raise LimitNOFILE="
			: code == -EINVAL ? ": the socket was shut down: give another one"
					  : "");
	l->cb(l->arg, NULL, &err);
}

/* One connection a call: the loop is level-triggered and others want their turn. */
static void on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
	struct listener *l = arg;
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);
	char address[NET_ADDRESS_MAX];
	struct err err;
	int fd = fd_accept(listen_fd, (struct sockaddr *)&sa, &len);

	if (fd < 0) {
		if (fd != -EAGAIN)
			pause_accept(l, fd);
		return;
	}
	l->exhausted = false;
	if (sa.ss_family == AF_UNIX)
		snprintf(address, sizeof(address), "%s", l->uri);
	else
		uri_format_sockaddr((struct sockaddr *)&sa, len, address, sizeof(address));
	if (incoming_start(l, fd, (struct sockaddr *)&sa, address, &err) < 0)
		l->cb(l->arg, NULL, &err);
	else if (l->n_incoming > l->max_handshakes)
		make_room(l);
}

/* -- Sockets -- */

static int add_socket(struct listener *l, int fd)
{
	struct event *e = event_new(l->base, fd, EV_READ | EV_PERSIST, on_accept, l);

	if (!e)
		return -ENOMEM;
	l->sockets[l->n_sockets].fd = fd;
	l->sockets[l->n_sockets].event = e;
	l->n_sockets++;
	return 0;
}

static void drop_sockets(struct listener *l)
{
	while (l->n_sockets) {
		l->n_sockets--;
		event_free(l->sockets[l->n_sockets].event);
		/* A UNIX socket's is closed with its file. */
		if (l->unixsock.fd != l->sockets[l->n_sockets].fd)
			close(l->sockets[l->n_sockets].fd);
	}
}

static void set_port(struct sockaddr *sa, in_port_t port)
{
	/* The port has one place in both families. */
	static_assert(
		offsetof(struct sockaddr_in6, sin6_port) == offsetof(struct sockaddr_in, sin_port),
		"sin6_port");
	memcpy((char *)sa + offsetof(struct sockaddr_in, sin_port), &port, sizeof(port));
}

static in_port_t bound_port(int fd)
{
	struct sockaddr_storage sa = {0};
	socklen_t len = sizeof(sa);

	getsockname(fd, (struct sockaddr *)&sa, &len);
	return sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
					: ((struct sockaddr_in *)&sa)->sin_port;
}

static int listen_at(struct listener *l, const struct addrinfo *a)
{
	int one = 1, r;
	int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (a->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, SOMAXCONN) < 0)
		r = -errno;
	else
		r = add_socket(l, fd);
	if (r < 0)
		close(fd);
	return r;
}

/*
 * Every address, all with one port. A family that this host lacks is no error while one is there.
 */
static int listen_all(struct listener *l, struct addrinfo *addresses, bool any_port)
{
	int r, lacking = -EADDRNOTAVAIL;

	for (struct addrinfo *a = addresses; a && l->n_sockets < SOCKETS_MAX; a = a->ai_next) {
		if (any_port)
			set_port(a->ai_addr, l->n_sockets ? bound_port(l->sockets[0].fd) : 0);
		r = listen_at(l, a);
		if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL) {
			lacking = r;
			continue;
		}
		if (r < 0) {
			drop_sockets(l);
			return r;
		}
	}
	return l->n_sockets ? 0 : lacking;
}

static int listen_tcp(struct listener *l, const struct uri *uri, struct err *err)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	bool any_port = strcmp(uri->port, "0") == 0;
	struct addrinfo *addresses = NULL;
	struct uri actual = *uri;
	int r, tries = 0;

	r = getaddrinfo(*uri->host ? uri->host : NULL, uri->port, &hints, &addresses);
	if (r)
		return err_set(
			err, -EADDRNOTAVAIL, "cannot listen at %s: %s", l->uri, gai_strerror(r));
	for (struct addrinfo *a = addresses; a && r == 0; a = a->ai_next)
		r = uri_check_interface(a->ai_addr, uri, err);
	if (r < 0) {
		freeaddrinfo(addresses);
		return err_prefix(err, "cannot listen at %s", l->uri);
	}
	do
		r = listen_all(l, addresses, any_port);
	while (r == -EADDRINUSE && any_port && ++tries < PORT_TRIES);
	freeaddrinfo(addresses);
	if (r < 0)
		return err_set(err, r, "cannot listen at %s: %s%s", l->uri, strerror(-r),
			r == -EADDRINUSE ? ": stop the other program or choose another port" : "");
	snprintf(actual.port, sizeof(actual.port), "%u", ntohs(bound_port(l->sockets[0].fd)));
	uri_format(&actual, l->uri, sizeof(l->uri));
	return 0;
}

static int listen_unix(struct listener *l, const struct uri *uri, struct err *err)
{
	int r = unixsock_listen(&l->unixsock, uri->path, SOCK_STREAM, 0600, err);

	if (r < 0)
		return r;
	r = add_socket(l, l->unixsock.fd);
	return r < 0 ? err_set(err, r, "out of memory") : 0;
}

static struct listener *listener_new(struct event_base *base, const struct uri *uri,
	struct tls_creds *creds, unsigned max_handshakes, int timeout_ms, dial_cb *cb, void *arg)
{
	struct listener *l = calloc(1, sizeof(*l));

	assert(max_handshakes > 0 && max_handshakes <= HANDSHAKES_MAX);
	if (!l)
		return NULL;
	l->base = base;
	l->creds = tls_creds_ref(creds);
	l->cb = cb;
	l->arg = arg;
	l->max_handshakes = max_handshakes;
	l->timeout_ms = timeout_ms;
	l->unixsock.fd = -1;
	TAILQ_INIT(&l->incoming);
	uri_format(uri, l->uri, sizeof(l->uri));
	l->resume = evtimer_new(base, on_resume, l);
	return l->resume ? l : listener_free(l);
}

int listener_start(struct event_base *base, const struct uri *uri, struct tls_creds *creds,
	unsigned max_handshakes, int timeout_ms, dial_cb *cb, void *arg, struct listener **ret,
	struct err *err)
{
	struct listener *l = listener_new(base, uri, creds, max_handshakes, timeout_ms, cb, arg);
	int r;

	if (!l)
		return err_set(err, -ENOMEM, "out of memory");
	if (uri->kind == URI_TCP)
		r = listen_tcp(l, uri, err);
	else if (uri->kind == URI_UNIX)
		r = listen_unix(l, uri, err);
	else
		r = err_set(
			err, -EINVAL, "cannot listen at %s: it is neither tcp: nor unix:", l->uri);
	if (r < 0) {
		listener_free(l);
		return r;
	}
	accept_on(l);
	*ret = l;
	return 0;
}

int listener_fd(struct event_base *base, int fd, const struct uri *uri, struct tls_creds *creds,
	unsigned max_handshakes, int timeout_ms, dial_cb *cb, void *arg, struct listener **ret,
	struct err *err)
{
	struct listener *l = listener_new(base, uri, creds, max_handshakes, timeout_ms, cb, arg);
	int r = l ? fd_set_nonblock(fd) : -ENOMEM;

	if (r == 0)
		r = add_socket(l, fd);
	if (r < 0) {
		close(fd);
		listener_free(l);
		return err_set(err, r, "cannot listen with a descriptor: %s", strerror(-r));
	}
	accept_on(l);
	*ret = l;
	return 0;
}

void listener_set_creds(struct listener *l, struct tls_creds *creds)
{
	struct tls_creds *old = l->creds;

	l->creds = tls_creds_ref(creds);
	tls_creds_unref(old);
}

const char *listener_uri(const struct listener *l)
{
	return l->uri;
}

struct listener *listener_free(struct listener *l)
{
	struct incoming *in;

	if (!l)
		return NULL;
	while ((in = TAILQ_FIRST(&l->incoming))) {
		handshake_cancel(in->handshake);
		incoming_free(in);
	}
	drop_sockets(l);
	unixsock_close(&l->unixsock);
	if (l->resume)
		event_free(l->resume);
	tls_creds_unref(l->creds);
	free(l);
	return NULL;
}
