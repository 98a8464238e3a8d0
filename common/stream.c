/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/net.h"
#include "common/sigpipe.h"
#include "common/tls.h"

/* A peer that acknowledges nothing for so long is taken for dead. */
#define USER_TIMEOUT_MS      30000
#define KEEPALIVE_IDLE_S     10
#define KEEPALIVE_INTERVAL_S 5
/* At the end: unread input would make the kernel reset the connection and drop our last bytes. */
#define DRAIN_MAX (1024 * 1024)

struct stream {
	int fd;
	struct tls *tls;  /* NULL: plain */
	atomic_bool down; /* stream_shutdown() */
	enum stream_want want;
	char address[NET_ADDRESS_MAX];
	char error[ERR_TEXT_MAX];
};

static void set_options(int fd)
{
	int one = 1, timeout = USER_TIMEOUT_MS, idle = KEEPALIVE_IDLE_S;
	int interval = KEEPALIVE_INTERVAL_S;

	/* Not a TCP socket: every one of them fails and nothing is lost. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof(timeout));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
}

int stream_new(int fd, const char *address, struct stream **ret)
{
	struct stream *s;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
		fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->fd = fd;
	atomic_init(&s->down, false);
	s->want = STREAM_WANT_READ;
	snprintf(s->address, sizeof(s->address), "%s", address);
	set_options(fd);
	*ret = s;
	return 0;
}

int stream_start_tls(struct stream *s, struct tls_creds *creds, bool server, const char *hostname,
	struct err *err)
{
	return tls_new(s->fd, s->address, creds, server, hostname, &s->tls, err);
}

static void say(struct stream *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The first sentence stays: it is nearest to the cause. */
static void say(struct stream *s, const char *fmt, ...)
{
	va_list ap;

	if (s->error[0])
		return;
	va_start(ap, fmt);
	vsnprintf(s->error, sizeof(s->error), fmt, ap);
	va_end(ap);
}

static int fail(struct stream *s, int code)
{
	say(s, "the connection with %s failed: %s", s->address, strerror(-code));
	return code;
}

static bool is_down(struct stream *s)
{
	if (!atomic_load_explicit(&s->down, memory_order_acquire))
		return false;
	say(s, "the connection with %s was ended here", s->address);
	return true;
}

/* The outcome of a TLS call: what it wants, and whether it failed because of stream_shutdown(). */
static ssize_t tls_result(struct stream *s, ssize_t n)
{
	if (n > 0)
		return n;
	if (is_down(s))
		return -ECANCELED;
	if (n == -EAGAIN)
		s->want = tls_want(s->tls);
	else if (n < 0)
		say(s, "%s", tls_error(s->tls));
	return n;
}

int stream_handshake(struct stream *s)
{
	int r;

	if (!s->tls)
		return 0;
	r = tls_handshake(s->tls);
	return r == 0 ? 0 : (int)tls_result(s, r);
}

ssize_t stream_read(struct stream *s, void *buf, size_t len)
{
	ssize_t n;

	if (is_down(s))
		return -ECANCELED;
	if (!len)
		return 0;
	if (s->tls)
		return tls_result(s, tls_read(s->tls, buf, len));
	do
		n = recv(s->fd, buf, len, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return n;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
		s->want = STREAM_WANT_READ;
		return -EAGAIN;
	}
	n = n < 0 ? -errno : 0;
	if (is_down(s))
		return -ECANCELED;
	return n ? fail(s, (int)n) : 0;
}

ssize_t stream_write(struct stream *s, const void *buf, size_t len)
{
	ssize_t n;

	if (is_down(s))
		return -ECANCELED;
	if (!len)
		return 0;
	if (s->tls)
		return tls_result(s, tls_write(s->tls, buf, len));
	do
		n = send(s->fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EWOULDBLOCK) {
		s->want = STREAM_WANT_WRITE;
		return -EAGAIN;
	}
	n = -errno;
	return is_down(s) ? -ECANCELED : fail(s, (int)n);
}

enum stream_want stream_want(const struct stream *s)
{
	return s->want;
}

size_t stream_pending(const struct stream *s)
{
	return s->tls ? tls_pending(s->tls) : 0;
}

const char *stream_error(const struct stream *s)
{
	return s->error;
}

void stream_shutdown(struct stream *s)
{
	atomic_store_explicit(&s->down, true, memory_order_release);
	shutdown(s->fd, SHUT_RDWR);
}

struct stream *stream_free(struct stream *s)
{
	static const struct linger no_linger;
	struct sigpipe guard;
	char buf[4096];
	ssize_t n;

	if (!s)
		return NULL;
	if (!atomic_load(&s->down)) {
		if (s->tls)
			tls_close(s->tls);
		shutdown(s->fd, SHUT_WR);
		for (size_t drained = 0; drained < DRAIN_MAX; drained += (size_t)n) {
			n = recv(s->fd, buf, sizeof(buf), MSG_DONTWAIT);
			if (n <= 0)
				break;
		}
	}
	tls_free(s->tls);
	/* Whoever gave it (fd:) may have asked that close() waits. */
	setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &no_linger, sizeof(no_linger));
	sigpipe_block(&guard);
	close(s->fd);
	sigpipe_unblock(&guard);
	free(s);
	return NULL;
}

int stream_fd(const struct stream *s)
{
	return s->fd;
}

bool stream_is_tls(const struct stream *s)
{
	return s->tls;
}

bool stream_is_ktls(const struct stream *s)
{
	return s->tls && tls_ktls(s->tls);
}

const char *stream_peer(const struct stream *s)
{
	return s->tls ? tls_peer(s->tls) : "";
}

const char *stream_address(const struct stream *s)
{
	return s->address;
}

bool stream_peer_matches(const struct stream *s, const char *text)
{
	return s->tls && tls_peer_matches(s->tls, text);
}

static int wait_for(struct stream *s, int timeout_ms)
{
	struct pollfd p = {.fd = s->fd, .events = s->want == STREAM_WANT_WRITE ? POLLOUT : POLLIN};
	int n;

	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return 0;
	if (n < 0)
		return fail(s, -errno);
	say(s, "%s was silent for %d ms", s->address, timeout_ms);
	return -ETIMEDOUT;
}

int stream_read_full(struct stream *s, void *buf, size_t len, int timeout_ms)
{
	char *p = buf;
	ssize_t n;
	int r;

	while (len) {
		n = stream_read(s, p, len);
		if (n > 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (n == 0) {
			say(s, "%s ended the connection in the middle of a message", s->address);
			return -EPIPE;
		}
		if (n != -EAGAIN)
			return (int)n;
		r = wait_for(s, timeout_ms);
		if (r < 0)
			return r;
	}
	return 0;
}

int stream_write_full(struct stream *s, const void *buf, size_t len, int timeout_ms)
{
	const char *p = buf;
	ssize_t n;
	int r;

	while (len) {
		n = stream_write(s, p, len);
		if (n > 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (n != -EAGAIN)
			return (int)n;
		r = wait_for(s, timeout_ms);
		if (r < 0)
			return r;
	}
	return 0;
}
