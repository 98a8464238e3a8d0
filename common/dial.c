/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/dial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/net.h"

/* A UNIX server's backlog is full: the kernel has no event for that. */
#define BUSY_RETRY_MS 20

struct dial {
	struct event_base *base;
	struct tls_creds *creds;
	char hostname[256]; /* "": only the chain is checked */
	char address[NET_ADDRESS_MAX];
	struct uri uri;
	bool server;
	bool plain_fd; /* dial_fd(): connected from the start */

	struct resolve *resolve;
	struct addrinfo *addresses; /* of TCP */
	struct addrinfo *next;      /* to try */
	struct sockaddr_un unix_address;
	int fd;                 /* of the attempt under way, or -1 */
	struct event *io;       /* its end */
	struct event *step;     /* the first step, the end of an attempt's time */
	struct event *deadline; /* of everything */
	uint64_t deadline_ns;
	int timeout_ms;
	struct handshake *handshake;

	struct err last; /* why the last attempt failed */
	dial_cb *cb;
	void *arg;
};

static void next_address(struct dial *d);

static struct timeval ms_tv(uint64_t ms)
{
	return (struct timeval){(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
}

static void attempt_end(struct dial *d)
{
	if (d->io)
		event_free(d->io);
	d->io = NULL;
	if (d->fd >= 0)
		close(d->fd);
	d->fd = -1;
	event_del(d->step);
}

static struct dial *dial_free(struct dial *d)
{
	if (d->step)
		attempt_end(d);
	else if (d->fd >= 0)
		close(d->fd);
	resolve_cancel(d->resolve);
	handshake_cancel(d->handshake);
	if (d->addresses)
		freeaddrinfo(d->addresses);
	if (d->step)
		event_free(d->step);
	if (d->deadline)
		event_free(d->deadline);
	tls_creds_unref(d->creds);
	free(d);
	return NULL;
}

struct dial *dial_cancel(struct dial *d)
{
	return d ? dial_free(d) : NULL;
}

/* d is gone before the callback. */
static void finish(struct dial *d, struct stream *s, const struct err *err)
{
	struct err copy = {0};
	dial_cb *cb = d->cb;
	void *arg = d->arg;

	if (err)
		copy = *err;
	dial_free(d);
	cb(arg, s, err ? &copy : NULL);
}

static void on_handshake(void *arg, struct stream *s, const struct err *err)
{
	struct dial *d = arg;

	d->handshake = NULL;
	finish(d, s, err);
}

/* d->fd is connected. */
static void start_handshake(struct dial *d)
{
	struct stream *s;
	struct err err;
	int r, fd = d->fd;

	r = stream_new(fd, d->address, &s);
	if (r < 0) {
		err_set(&err, r, "cannot use the socket of %s: %s", d->address, strerror(-r));
		finish(d, NULL, &err);
		return;
	}
	d->fd = -1;
	attempt_end(d);
	if (d->creds &&
		stream_start_tls(s, d->creds, d->server, *d->hostname ? d->hostname : NULL, &err) <
			0) {
		stream_free(s);
		finish(d, NULL, &err);
		return;
	}
	r = handshake_start(d->base, s, 0, on_handshake, d, &d->handshake);
	if (r < 0) {
		err_set(&err, r, "cannot connect to %s: %s", d->address, strerror(-r));
		finish(d, NULL, &err);
	}
}

static const char *expected = "htab-migrated";

void dial_expects(const char *program)
{
	expected = program;
}

static void attempt_failed(struct dial *d, int e)
{
	err_set(&d->last, -e, "cannot connect to %s: %s", d->address, strerror(e));
	if (e == ECONNREFUSED || e == ENOENT)
		err_set(&d->last, -e, "cannot connect to %s: %s: is %s running there?", d->address,
			strerror(e), expected);
	else if (e == ETIMEDOUT || e == EHOSTUNREACH || e == ENETUNREACH)
		err_set(&d->last, -e,
			"cannot connect to %s: %s: is the host up, and its port open?", d->address,
			strerror(e));
	attempt_end(d);
	next_address(d);
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;
	socklen_t len = sizeof(int);
	int e = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) < 0)
		e = errno;
	if (e)
		attempt_failed(d, e);
	else
		start_handshake(d);
}

/* Its share of the time that is left: a host that swallows packets must not use up all of it. */
static uint64_t attempt_ms(const struct dial *d)
{
	uint64_t now = clock_ns(), left = 1, n = 1;

	if (d->deadline_ns > now)
		left = (d->deadline_ns - now) / NS_PER_MS + 1;
	for (struct addrinfo *a = d->next; a; a = a->ai_next)
		n++;
	return left / n + 1;
}

static void attempt(struct dial *d, const struct sockaddr *sa, socklen_t salen)
{
	struct timeval tv;
	int e;

	d->fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (d->fd < 0) {
		attempt_failed(d, errno);
		return;
	}
	if (connect(d->fd, sa, salen) == 0) {
		start_handshake(d);
		return;
	}
	e = errno;
	if (e == EAGAIN && sa->sa_family == AF_UNIX) {
		attempt_end(d);
		tv = ms_tv(BUSY_RETRY_MS);
		event_add(d->step, &tv);
		return;
	}
	if (e != EINPROGRESS && e != EINTR) {
		attempt_failed(d, e);
		return;
	}
	d->io = event_new(d->base, d->fd, EV_WRITE, on_connected, d);
	tv = ms_tv(attempt_ms(d));
	if (!d->io || event_add(d->io, NULL) < 0 || event_add(d->step, &tv) < 0)
		attempt_failed(d, ENOMEM);
}

static void next_address(struct dial *d)
{
	struct addrinfo *a = d->next;

	if (!a) {
		finish(d, NULL, &d->last);
		return;
	}
	d->next = a->ai_next;
	if (uri_check_interface(a->ai_addr, &d->uri, &d->last) < 0) {
		err_prefix(&d->last, "cannot connect to %s", d->address);
		next_address(d);
		return;
	}
	attempt(d, a->ai_addr, a->ai_addrlen);
}

static void on_resolved(void *arg, struct addrinfo *addresses, const struct err *err)
{
	struct dial *d = arg;
	struct err e;

	d->resolve = NULL;
	if (!addresses) {
		e = *err;
		err_prefix(&e, "cannot connect to %s", d->address);
		finish(d, NULL, &e);
		return;
	}
	d->addresses = addresses;
	d->next = addresses;
	next_address(d);
}

/* The first step, out of dial_start()'s caller; later: an attempt's time is over. */
static void on_step(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;

	if (d->plain_fd)
		start_handshake(d);
	else if (d->fd >= 0)
		attempt_failed(d, ETIMEDOUT);
	else if (d->uri.kind == URI_UNIX)
		attempt(d, (struct sockaddr *)&d->unix_address, sizeof(d->unix_address));
	else
		next_address(d);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
	struct dial *d = arg;
	struct err err;

	if (d->handshake)
		err_set(&err, -ETIMEDOUT,
			"%s did not finish the TLS handshake within %d ms: is it started with --plaintext?",
			d->address, d->timeout_ms);
	else if (d->resolve)
		err_set(&err, -ETIMEDOUT,
			"cannot connect to %s: the name was not resolved within %d ms: look at this host's DNS",
			d->address, d->timeout_ms);
	else
		err_set(&err, -ETIMEDOUT,
			"cannot connect to %s: no answer within %d ms: is the host up, and its port open?",
			d->address, d->timeout_ms);
	finish(d, NULL, &err);
}

static struct dial *dial_new(struct event_base *base, struct tls_creds *creds,
	const char *tls_hostname, int timeout_ms, dial_cb *cb, void *arg)
{
	struct timeval total = ms_tv((uint64_t)timeout_ms);
	struct dial *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->base = base;
	d->fd = -1;
	d->creds = tls_creds_ref(creds);
	d->cb = cb;
	d->arg = arg;
	d->timeout_ms = timeout_ms;
	d->deadline_ns = clock_ns() + (uint64_t)timeout_ms * NS_PER_MS;
	snprintf(d->hostname, sizeof(d->hostname), "%s", tls_hostname ? tls_hostname : "");
	d->step = evtimer_new(base, on_step, d);
	d->deadline = evtimer_new(base, on_deadline, d);
	if (!d->step || !d->deadline || event_add(d->deadline, &total) < 0)
		return dial_free(d);
	return d;
}

/* Addresses need no thread. 0, or what resolve_start() says. */
static int start_tcp(struct dial *d)
{
	struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};

	if (getaddrinfo(d->uri.host, d->uri.port, &hints, &d->addresses) != 0) {
		d->addresses = NULL;
		return resolve_start(
			d->base, d->uri.host, d->uri.port, on_resolved, d, &d->resolve);
	}
	d->next = d->addresses;
	event_active(d->step, EV_TIMEOUT, 0);
	return 0;
}

static int check(const struct uri *uri, const char *tls_hostname, struct err *err)
{
	char text[NET_ADDRESS_MAX];

	uri_format(uri, text, sizeof(text));
	if (uri->kind != URI_TCP && uri->kind != URI_UNIX)
		return err_set(
			err, -EINVAL, "cannot connect to %s: it is neither tcp: nor unix:", text);
	if (uri->kind == URI_TCP && !*uri->host)
		return err_set(err, -EINVAL, "cannot connect to %s: it names no host", text);
	if (uri->kind == URI_TCP && strcmp(uri->port, "0") == 0)
		return err_set(err, -EINVAL, "cannot connect to %s: there is no port 0", text);
	if (uri->kind == URI_UNIX &&
		strlen(uri->path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return err_set(
			err, -ENAMETOOLONG, "cannot connect to %s: the path is too long", text);
	if (tls_hostname && strlen(tls_hostname) >= sizeof(((struct dial *)0)->hostname))
		return err_set(
			err, -EINVAL, "the tls-hostname '%.40s...' is too long", tls_hostname);
	return 0;
}

int dial_start(struct event_base *base, const struct uri *uri, struct tls_creds *creds,
	const char *tls_hostname, int timeout_ms, dial_cb *cb, void *arg, struct dial **ret,
	struct err *err)
{
	struct dial *d;
	int r = check(uri, tls_hostname, err);

	if (r < 0)
		return r;
	if (!tls_hostname && uri->kind == URI_TCP)
		tls_hostname = uri->host;
	d = dial_new(base, creds, tls_hostname, timeout_ms, cb, arg);
	if (!d)
		return err_set(err, -ENOMEM, "out of memory");
	d->uri = *uri;
	uri_format(uri, d->address, sizeof(d->address));
	if (uri->kind == URI_UNIX) {
		d->unix_address.sun_family = AF_UNIX;
		memcpy(d->unix_address.sun_path, uri->path, strlen(uri->path) + 1);
		event_active(d->step, EV_TIMEOUT, 0);
	} else {
		r = start_tcp(d);
	}
	if (r < 0) {
		err_set(err, r, "cannot connect to %s: %s", d->address, strerror(-r));
		dial_free(d);
		return r;
	}
	*ret = d;
	return 0;
}

int dial_fd(struct event_base *base, int fd, bool server, struct tls_creds *creds,
	const char *tls_hostname, int timeout_ms, dial_cb *cb, void *arg, struct dial **ret,
	struct err *err)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct dial *d;
	int type = 0, r = 0;
	socklen_t typelen = sizeof(type);

	if (getpeername(fd, (struct sockaddr *)&sa, &len) < 0 ||
		getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &typelen) < 0)
		r = err_set(err, -errno, "the descriptor is not a connected socket: %s",
			strerror(errno));
	else if (type != SOCK_STREAM)
		r = err_set(err, -EINVAL, "the descriptor is not a stream socket");
	else if (tls_hostname && strlen(tls_hostname) >= sizeof(d->hostname))
		r = err_set(err, -EINVAL, "the tls-hostname '%.40s...' is too long", tls_hostname);
	if (r < 0) {
		close(fd);
		return r;
	}
	d = dial_new(base, creds, tls_hostname, timeout_ms, cb, arg);
	if (!d) {
		close(fd);
		return err_set(err, -ENOMEM, "out of memory");
	}
	d->fd = fd;
	d->server = server;
	d->plain_fd = true;
	uri_format_sockaddr((struct sockaddr *)&sa, len, d->address, sizeof(d->address));
	event_active(d->step, EV_TIMEOUT, 0);
	*ret = d;
	return 0;
}
