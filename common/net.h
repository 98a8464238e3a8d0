/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What the modules of libnet share among themselves; other directories use stream.h and dial.h.
 * Loop thread only, except where stream.h says otherwise.
 */
#include <event2/event.h>
#include <netdb.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "common/dial.h"
#include "common/err.h"
#include "common/stream.h"

#define NET_ADDRESS_MAX 304

/* -- uri.c */

/* The URI's text; cut off when it does not fit. Returns buf. */
const char *uri_format(const struct uri *uri, char *buf, size_t len);
/* A socket's address as a URI's text: "tcp:192.0.2.1:4660", "tcp:[::1]:4660", "unix:/path". */
const char *uri_format_sockaddr(const struct sockaddr *sa, socklen_t salen, char *buf, size_t len);
/*
 * A link-local address is one of each interface. 0, or -EINVAL with a sentence for one that does
 * not say of which.
 */
int uri_check_interface(const struct sockaddr *sa, const struct uri *uri, struct err *err);

/* -- stream.c */

/* A plain stream over a connected socket, which becomes the stream's and is made non-blocking. On
 * failure the socket stays the caller's. */
int stream_new(int fd, const char *address, struct stream **ret);
/* Make it TLS before anything is read or written. hostname NULL: only the chain is checked. */
int stream_start_tls(struct stream *s, struct tls_creds *creds, bool server, const char *hostname,
	struct err *err);
/* 0 when it is complete (at once on a plain stream), -EAGAIN with stream_want(), or a negative
 * errno and stream_error(). */
int stream_handshake(struct stream *s);

/* -- handshake.c */

/*
 * Drive a stream's handshake on the loop. The stream becomes the handshake's. The callback comes
 * once, never before this returns; the handshake has ended by then. timeout_ms 0: no timer of its
 * own.
 */
struct handshake;
int handshake_start(struct event_base *base, struct stream *s, int timeout_ms, dial_cb *cb,
	void *arg, struct handshake **ret);
struct handshake *handshake_cancel(struct handshake *h);

/* -- resolve.c */

/* addresses is NULL on failure and then err tells; else it is the callee's, for freeaddrinfo(). */
typedef void resolve_cb(void *arg, struct addrinfo *addresses, const struct err *err);

/*
 * getaddrinfo() in a thread of its own, which outlives a cancel but touches nothing of the
 * caller's. The callback comes once, never before this returns.
 */
struct resolve;
int resolve_start(struct event_base *base, const char *host, const char *port, resolve_cb *cb,
	void *arg, struct resolve **ret);
struct resolve *resolve_cancel(struct resolve *r);

/* getaddrinfo(), or what a test puts in its place while no thread runs. */
typedef int resolve_fn(
	const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **ret);
void resolve_set_fn(resolve_fn *fn);
