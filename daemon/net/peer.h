/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A connection to another daemon, framed, on the event loop: control and question connections, and
 * data connections until they are joined. Loop thread only.
 */
#include <event2/event.h>
#include <stdbool.h>

#include "common/stream.h"
#include "proto/clocksync.h"
#include "proto/wire.h"

#define PEER_QUEUE_MAX (4u << 20) /* bytes waiting for a peer that does not read */

struct peer;

struct peer_ops {
	/*
	 * A frame; body is valid during the call. 0, or -errno: the connection is then closed after
	 * a REFUSE that says so, and closed() comes. The callee may free the peer and return 0.
	 */
	int (*frame)(
		void *arg, struct peer *p, enum wire_type type, const uint8_t *body, size_t len);
	/* The connection ended or broke; comes once; the peer is to be freed by the callee. */
	void (*closed)(void *arg, struct peer *p, const struct err *err);
	/* Everything queued was given to the kernel. Optional. */
	void (*drained)(void *arg, struct peer *p);
};

/* stream (connected, handshake done) becomes the peer's, also on failure. */
int peer_new(struct event_base *base, struct stream *stream, const struct peer_ops *ops, void *arg,
	struct peer **ret);
/* Another owner takes over. */
void peer_set_ops(struct peer *p, const struct peer_ops *ops, void *arg);
/* Send PING when quiet, end after LIMIT_PEER_SILENCE without a frame. Off for joining channels. */
void peer_keepalive(struct peer *p);

/* Measure the round trip now. */
void peer_ping(struct peer *p);

/* Queue a whole packed frame; the bytes are copied. A failure is told by closed(), later. */
void peer_send(struct peer *p, const void *frame, int len);
void peer_send_session(struct peer *p, enum wire_type type, const struct session_id *session,
	const struct vm_uuid *uuid);
void peer_send_hello(struct peer *p, enum wire_role role, const char *name);
/* The server's WELCOME: 0, or -EBADMSG when it is none, or chose what was not offered. */
int peer_welcome(struct peer *p, const uint8_t *body, size_t len);
/* The features in use, WIRE_FEATURE_*: from peer_welcome(), or as the server that we are chose. */
uint64_t peer_features(const struct peer *p);
void peer_set_features(struct peer *p, uint64_t features);
/* REFUSE or ABORT with a sentence. */
void peer_send_refuse(
	struct peer *p, enum wire_type type, enum wire_refusal code, const char *text);
/* Give the kernel what it takes of the queue now, not at the loop's next turn. */
void peer_push(struct peer *p);
/* Send what is queued, then close, by itself and without callbacks. The caller forgets p. */
void peer_finish(struct peer *p);
/*
 * The same, but the other end closes, or says its own last word (ABORT, REFUSE): what it sends
 * meanwhile is dropped, so that no reset overtakes ours. For at most 5 s.
 */
void peer_linger(struct peer *p);
/* The loop has ended: whatever finishes or lingers yet goes. */
void peer_end_all(void);
/* The next frames come only after peer_resume(); bytes stay in the kernel. */
void peer_pause(struct peer *p);
void peer_resume(struct peer *p);
/*
 * Take the stream out, nothing being queued or half read: for a data channel. The peer is freed.
 * NULL when something is.
 */
struct stream *peer_take_stream(struct peer *p);

const struct stream *peer_stream(const struct peer *p);
/* Smallest PING round trip seen, ns; 0 when none was. */
uint64_t peer_rtt(const struct peer *p);
/* The other daemon's clock_ns(), by its answers; nothing is known without SENT_TIME. */
const struct clocksync *peer_clock(const struct peer *p);
struct peer *peer_free(struct peer *p); /* takes NULL, returns NULL */
