/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/base/limits.h"
#include "daemon/net/peer.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "common/clock.h"
#include "daemon/base/log.h"

#define FRAMES_A_TURN 16 /* so that one peer does not hold the loop */
#define READS_A_TURN  64 /* nor one whose frames come by the byte */

struct peer {
	LIST_ENTRY(peer) link; /* in `parted`, from the last word on */
	struct event_base *base;
	struct stream *stream;
	const struct peer_ops *ops;
	void *arg;
	struct event *readable, *writable, *again, *tick;
	bool paused, finishing, lingering, keepalive;
	bool write_blocks_read; /* TLS: a read waits for POLLOUT, or a write for POLLIN */
	uint64_t heard, rtt;
	uint64_t asked, answered; /* the last PONG: its PING left, it came; 0: its CLOCK did, too */
	struct clocksync clock;
	uint64_t features; /* in use, after WELCOME */
	/* frame being read */
	uint8_t hdr[WIRE_HDR_SIZE];
	size_t got; /* of header and body together */
	enum wire_type type;
	size_t body_len;
	uint8_t *body;
	/* bytes to send */
	uint8_t *out;
	size_t out_len, out_done, out_cap;
	bool overflow;
	int broken;            /* nothing can be sent any more: what has come is still read */
	struct peer **deleted; /* set to NULL when freed inside a callback */
};

/* Nobody's any more: they end by themselves, or with the loop. */
static LIST_HEAD(, peer) parted = LIST_HEAD_INITIALIZER(parted);

static void part(struct peer *p)
{
	struct timeval tv = limit_tv(LIMIT_PEER_FINISH);

	LIST_INSERT_HEAD(&parted, p, link);
	event_del(p->tick);
	event_add(p->tick, &tv);
}

void peer_end_all(void)
{
	while (!LIST_EMPTY(&parted))
		peer_free(LIST_FIRST(&parted));
}

static void start_reading(struct peer *p)
{
	struct timeval now = {0};

	if (p->paused || p->finishing)
		return;
	event_add(p->readable, NULL);
	if (stream_pending(p->stream) > 0)
		event_add(p->again, &now);
}

/* A REFUSE above all, as far as it goes without waiting. */
void peer_push(struct peer *p)
{
	while (p->out_done < p->out_len) {
		ssize_t n = stream_write(p->stream, p->out + p->out_done, p->out_len - p->out_done);

		if (n <= 0)
			return;
		p->out_done += (size_t)n;
	}
}

/* text: what the connection did; NULL: the stream's own sentence. */
static void fail(struct peer *p, int code, const char *text)
{
	struct err err;

	if (p->finishing) {
		peer_free(p);
		return;
	}
	if (text)
		err_set(&err, code, "the connection to %s %s", stream_address(p->stream), text);
	else
		err_set(&err, code, "%s", stream_error(p->stream));
	event_del(p->readable);
	event_del(p->writable);
	event_del(p->again);
	event_del(p->tick);
	if (code == -EBADMSG)
		peer_push(p);
	p->ops->closed(p->arg, p, &err);
}

static void flush(struct peer *p)
{
	struct timeval now = {0};

	while (p->out_done < p->out_len) {
		ssize_t n = stream_write(p->stream, p->out + p->out_done, p->out_len - p->out_done);

		if (n == -EAGAIN) {
			if (stream_want(p->stream) == STREAM_WANT_WRITE)
				event_add(p->writable, NULL);
			return; /* else: the next readable turn flushes again */
		}
		if (n < 0 && (p->finishing || p->paused)) {
			fail(p, (int)n, NULL);
			return;
		}
		if (n < 0) { /* who hung up may have said why */
			p->broken = (int)n;
			p->out_done = p->out_len = 0;
			event_add(p->again, &now);
			return;
		}
		p->out_done += (size_t)n;
	}
	p->out_done = p->out_len = 0;
	if (p->finishing)
		peer_free(p);
	else if (p->ops->drained)
		p->ops->drained(p->arg, p);
}

/*
 * What came is no frame, or not all of one: what the connection is, or does. Records of TLS, of a
 * handshake or an alert, come where only one end has credentials.
 */
static const char *no_frame(const struct peer *p, const char *otherwise)
{
	if (p->got < 2 || p->hdr[1] != 0x03 || stream_peer(p->stream)[0])
		return otherwise;
	if (p->hdr[0] == 0x16)
		return "is TLS, and this daemon was started with --plaintext: start both with "
		       "credentials, or both without";
	if (p->hdr[0] == 0x15)
		return "is answered with TLS, and this daemon was started with --plaintext: start "
		       "both with credentials, or both without";
	return otherwise;
}

/*
 * One frame's bytes, by *reads reads at most: 1 when it is whole, 0 when there is more to come, or
 * -errno after fail().
 */
static int read_frame(struct peer *p, unsigned *reads)
{
	for (;;) {
		size_t want = p->got < WIRE_HDR_SIZE ? WIRE_HDR_SIZE - p->got
						     : WIRE_HDR_SIZE + p->body_len - p->got;
		uint8_t *dst = p->got < WIRE_HDR_SIZE ? p->hdr + p->got
						      : p->body + (p->got - WIRE_HDR_SIZE);
		ssize_t n;

		if (want && *reads == 0)
			return 0;
		*reads -= want > 0;
		n = want ? stream_read(p->stream, dst, want) : 0;
		if (want && n == -EAGAIN) {
			if (stream_want(p->stream) == STREAM_WANT_WRITE)
				event_add(p->writable, NULL);
			return 0;
		}
		if (want && n == 0) {
			fail(p, -ECONNRESET,
				no_frame(p,
					p->got ? "was cut in the middle of a frame"
					       : "was closed"));
			return -ECONNRESET;
		}
		if (n < 0) {
			fail(p, (int)n, NULL);
			return (int)n;
		}
		p->got += (size_t)n;
		if (p->got < WIRE_HDR_SIZE)
			continue;
		if (p->got == WIRE_HDR_SIZE && want) {
			if (wire_unpack_header(p->hdr, &p->type, &p->body_len) < 0) {
				peer_send_refuse(p, WIRE_REFUSE, WIRE_REFUSE_PROTOCOL,
					"a frame is malformed or larger than its type may be");
				fail(p, -EBADMSG,
					no_frame(p,
						"carries what is no frame of htab-migrated, or one too large"));
				return -EBADMSG;
			}
			p->body = malloc(p->body_len ? p->body_len : 1);
			if (!p->body) {
				fail(p, -ENOMEM, "needs more memory than there is");
				return -ENOMEM;
			}
		}
		if (p->got == WIRE_HDR_SIZE + p->body_len)
			return 1;
	}
}

static int keepalive_frame(struct peer *p, const uint8_t *body)
{
	uint8_t buf[64];
	uint64_t v, now = clock_ns();
	int n;

	if (wire_unpack_u64(body, p->body_len, &v) < 0)
		return -EBADMSG;
	switch ((unsigned)p->type) {
	case WIRE_PING:
		n = wire_pack_u64(WIRE_PONG, v, buf, sizeof(buf));
		peer_send(p, buf, n);
		if (!(p->features & WIRE_FEATURE_SENT_TIME))
			return 0;
		n = wire_pack_u64(WIRE_CLOCK, now, buf, sizeof(buf));
		peer_send(p, buf, n);
		return 0;
	case WIRE_PONG:
		if (v <= now && (p->rtt == 0 || now - v < p->rtt))
			p->rtt = now - v;
		p->asked = v;
		p->answered = now;
		return 0;
	default: /* CLOCK: between the question and the answer */
		if (!(p->features & WIRE_FEATURE_SENT_TIME) || p->answered == 0)
			return -EBADMSG;
		clocksync_sample(&p->clock, p->asked, v, p->answered);
		p->answered = 0;
		return 0;
	}
}

/* Hand one frame over. false: the peer is gone or closed. */
static bool dispatch(struct peer *p)
{
	uint8_t *body = p->body;
	struct peer *alive = p;
	struct peer **outer = p->deleted;
	int r;

	p->body = NULL;
	p->got = 0;
	p->heard = clock_ns();
	log_debug("peer %s -> %s %zu", stream_address(p->stream), wire_type_name(p->type),
		p->body_len);
	p->deleted = &alive;
	if (p->type == WIRE_PING || p->type == WIRE_PONG || p->type == WIRE_CLOCK)
		r = keepalive_frame(p, body);
	else
		r = p->ops->frame(p->arg, p, p->type, body, p->body_len);
	free(body);
	if (!alive) {
		if (outer)
			*outer = NULL;
		return false;
	}
	p->deleted = outer;
	if (r == 0)
		return true;
	peer_send_refuse(p, WIRE_REFUSE, WIRE_REFUSE_PROTOCOL,
		"a frame came that is malformed or out of order");
	fail(p, r, "carries a frame that is malformed or out of order");
	return false;
}

static void readable_cb(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	unsigned reads = READS_A_TURN;

	if (p->out_done < p->out_len) { /* a TLS write may have waited for this */
		struct peer *alive = p;

		p->deleted = &alive;
		flush(p);
		if (!alive)
			return;
		p->deleted = NULL;
	}
	if (p->finishing)
		return;
	for (int i = 0; i < FRAMES_A_TURN && !p->paused && !p->finishing; i++) {
		int r = read_frame(p, &reads);

		if (r < 0)
			return;
		if (r == 0 && p->broken && reads) {
			fail(p, p->broken, NULL);
			return;
		}
		if (r == 0)
			break;
		if (!dispatch(p))
			return;
	}
	start_reading(p);
}

static void writable_cb(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;

	if (p->out_done < p->out_len || p->finishing)
		flush(p);
	else
		readable_cb(fd, what, p);
}

void peer_ping(struct peer *p)
{
	uint8_t buf[64];
	int n = wire_pack_u64(WIRE_PING, clock_ns(), buf, sizeof(buf));

	peer_send(p, buf, n);
}

static void tick_cb(evutil_socket_t fd, short what, void *arg)
{
	struct peer *p = arg;
	uint64_t now = clock_ns();

	if (p->finishing || p->lingering) {
		peer_free(p);
		return;
	}
	if (p->overflow) {
		fail(p, -ENOBUFS, "is not read by the peer");
		return;
	}
	if (!p->keepalive)
		return;
	if (now - p->heard > (uint64_t)limit_ms(LIMIT_PEER_SILENCE) * NS_PER_MS && !p->paused) {
		fail(p, -ETIMEDOUT,
			"has been silent for too long: is the peer or the network dead?");
		return;
	}
	peer_ping(p);
}

int peer_new(struct event_base *base, struct stream *stream, const struct peer_ops *ops, void *arg,
	struct peer **ret)
{
	struct peer *p = calloc(1, sizeof(*p));

	if (!p) {
		stream_free(stream);
		return -ENOMEM;
	}
	p->base = base;
	p->stream = stream;
	p->ops = ops;
	p->arg = arg;
	p->heard = clock_ns();
	p->readable = event_new(base, stream_fd(stream), EV_READ, readable_cb, p);
	p->writable = event_new(base, stream_fd(stream), EV_WRITE, writable_cb, p);
	p->again = evtimer_new(base, readable_cb, p);
	p->tick = event_new(base, -1, EV_PERSIST, tick_cb, p);
	if (!p->readable || !p->writable || !p->again || !p->tick) {
		peer_free(p);
		return -ENOMEM;
	}
	start_reading(p);
	*ret = p;
	return 0;
}

void peer_set_ops(struct peer *p, const struct peer_ops *ops, void *arg)
{
	p->ops = ops;
	p->arg = arg;
}

void peer_keepalive(struct peer *p)
{
	struct timeval tv = limit_tv(LIMIT_PING);

	p->keepalive = true;
	event_add(p->tick, &tv);
	tick_cb(-1, 0, p); /* the first round trip is measured at once */
}

void peer_send(struct peer *p, const void *frame, int len)
{
	struct timeval now = {0};
	size_t n = (size_t)len;
	const uint8_t *h = frame;

	assert(len > 0);
	log_debug(
		"peer %s <- %s %zu", stream_address(p->stream), wire_type_name(be16_get(h + 4)), n);
	if (p->overflow || p->broken)
		return;
	if (p->out_done > 0 && p->out_len + n > p->out_cap) {
		memmove(p->out, p->out + p->out_done, p->out_len - p->out_done);
		p->out_len -= p->out_done;
		p->out_done = 0;
	}
	if (p->out_len + n > p->out_cap) {
		size_t want = p->out_len + n,
		       cap = want > PEER_QUEUE_MAX / 2 ? PEER_QUEUE_MAX : want * 2;
		uint8_t *out = want <= PEER_QUEUE_MAX ? realloc(p->out, cap) : NULL;

		if (!out) {
			p->overflow = true;
			event_add(p->tick, &now);
			return;
		}
		p->out = out;
		p->out_cap = cap;
	}
	memcpy(p->out + p->out_len, frame, n);
	p->out_len += n;
	event_add(p->writable, NULL);
}

void peer_send_session(struct peer *p, enum wire_type type, const struct session_id *session,
	const struct vm_uuid *uuid)
{
	struct wire_session m = {.session = *session, .uuid = *uuid};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	peer_send(p, buf, wire_pack_session(type, &m, buf, sizeof(buf)));
}

void peer_send_hello(struct peer *p, enum wire_role role, const char *name)
{
	struct wire_hello m = {
		.version_min = WIRE_VERSION_MIN,
		.version_max = WIRE_VERSION_MAX,
		.features = WIRE_FEATURES,
		.role = role,
	};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	snprintf(m.name, sizeof(m.name), "%s", name);
	peer_send(p, buf, wire_pack_hello(&m, buf, sizeof(buf)));
}

int peer_welcome(struct peer *p, const uint8_t *body, size_t len)
{
	struct wire_welcome m;

	if (wire_unpack_welcome(body, len, &m) < 0 || m.version < WIRE_VERSION_MIN ||
		m.version > WIRE_VERSION_MAX || (m.features & ~WIRE_FEATURES))
		return -EBADMSG;
	p->features = m.features;
	return 0;
}

uint64_t peer_features(const struct peer *p)
{
	return p->features;
}

void peer_set_features(struct peer *p, uint64_t features)
{
	p->features = features;
}

void peer_send_refuse(struct peer *p, enum wire_type type, enum wire_refusal code, const char *text)
{
	struct wire_refuse m = {.code = code};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	snprintf(m.text, sizeof(m.text), "%s", text);
	peer_send(p, buf, wire_pack_refuse(type, &m, buf, sizeof(buf)));
}

void peer_finish(struct peer *p)
{
	peer_push(p);
	if (p->out_done == p->out_len) {
		peer_free(p);
		return;
	}
	p->finishing = true;
	part(p);
	event_del(p->readable);
	event_del(p->again);
	event_add(p->writable, NULL);
}

static int dropped_frame(
	void *arg, struct peer *p, enum wire_type type, const uint8_t *body, size_t len)
{
	if (type == WIRE_ABORT || type == WIRE_REFUSE)
		peer_free(p);
	return 0;
}

static void lingered(void *arg, struct peer *p, const struct err *err)
{
	peer_free(p);
}

void peer_linger(struct peer *p)
{
	static const struct peer_ops lingering = {.frame = dropped_frame, .closed = lingered};

	peer_set_ops(p, &lingering, NULL);
	peer_push(p);
	peer_resume(p);
	p->keepalive = false;
	p->lingering = true;
	part(p);
}

void peer_pause(struct peer *p)
{
	p->paused = true;
	event_del(p->readable);
	event_del(p->again);
}

void peer_resume(struct peer *p)
{
	struct timeval now = {0};

	if (!p->paused)
		return;
	p->paused = false;
	p->heard = clock_ns();
	event_add(p->again, &now);
}

struct stream *peer_take_stream(struct peer *p)
{
	struct stream *s = p->stream;

	if (p->got || p->out_done < p->out_len || p->overflow)
		return NULL;
	p->stream = NULL;
	peer_free(p);
	return s;
}

const struct stream *peer_stream(const struct peer *p)
{
	return p->stream;
}

const struct clocksync *peer_clock(const struct peer *p)
{
	return &p->clock;
}

uint64_t peer_rtt(const struct peer *p)
{
	return p->rtt;
}

struct peer *peer_free(struct peer *p)
{
	if (!p)
		return NULL;
	if (p->deleted)
		*p->deleted = NULL;
	if (p->finishing || p->lingering)
		LIST_REMOVE(p, link);
	if (p->readable)
		event_free(p->readable);
	if (p->writable)
		event_free(p->writable);
	if (p->again)
		event_free(p->again);
	if (p->tick)
		event_free(p->tick);
	stream_free(p->stream);
	free(p->body);
	free(p->out);
	free(p);
	return NULL;
}
