/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdlib.h>

#include "common/net.h"

struct handshake {
	struct event_base *base;
	struct stream *stream;
	struct event *io;
	struct event *timer;
	int timeout_ms;
	dial_cb *cb;
	void *arg;
};

static struct handshake *handshake_free(struct handshake *h)
{
	if (h->io)
		event_free(h->io);
	if (h->timer)
		event_free(h->timer);
	stream_free(h->stream);
	free(h);
	return NULL;
}

struct handshake *handshake_cancel(struct handshake *h)
{
	return h ? handshake_free(h) : NULL;
}

/* h is gone before the callback, which may free whatever owned it. */
static void finish(struct handshake *h, const struct err *err)
{
	struct stream *s = NULL;
	dial_cb *cb = h->cb;
	void *arg = h->arg;

	if (!err) {
		s = h->stream;
		h->stream = NULL;
	}
	handshake_free(h);
	cb(arg, s, err);
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
	struct handshake *h = arg;
	struct err err = {0};
	int r = stream_handshake(h->stream);

	if (r == -EAGAIN) {
		event_free(h->io);
		h->io = event_new(h->base, fd,
			stream_want(h->stream) == STREAM_WANT_WRITE ? EV_WRITE : EV_READ, on_io, h);
		if (h->io && event_add(h->io, NULL) == 0)
			return;
		r = -ENOMEM;
		err_set(&err, r, "out of memory");
	} else if (r < 0) {
		err_set(&err, r, "%s", stream_error(h->stream));
	}
	finish(h, r < 0 ? &err : NULL);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct handshake *h = arg;
	struct err err;

	err_set(&err, -ETIMEDOUT,
		"%s did not finish the TLS handshake within %d ms: is it started with --plaintext?",
		stream_address(h->stream), h->timeout_ms);
	finish(h, &err);
}

int handshake_start(struct event_base *base, struct stream *s, int timeout_ms, dial_cb *cb,
	void *arg, struct handshake **ret)
{
	struct timeval tv = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
	struct handshake *h = calloc(1, sizeof(*h));

	if (!h) {
		stream_free(s);
		return -ENOMEM;
	}
	*h = (struct handshake){
		.base = base, .stream = s, .timeout_ms = timeout_ms, .cb = cb, .arg = arg};
	h->io = event_new(base, stream_fd(s), 0, on_io, h);
	h->timer = evtimer_new(base, on_timeout, h);
	if (!h->io || !h->timer || (timeout_ms > 0 && event_add(h->timer, &tv) < 0)) {
		handshake_free(h);
		return -ENOMEM;
	}
	event_active(h->io, EV_TIMEOUT, 0);
	*ret = h;
	return 0;
}
