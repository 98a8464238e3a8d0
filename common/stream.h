/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A connected byte stream, plain or TLS, over a non-blocking socket.
 *
 * Owned by one thread at a time: the event loop during connect and handshake, then perhaps a data
 * thread. Only stream_shutdown() may be called from another thread: it wakes the owner, whose next
 * read or write fails.
 */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/err.h"

#define PEER_NAME_MAX 512

struct stream;

enum stream_want {
	STREAM_WANT_READ = 1,  /* poll for POLLIN */
	STREAM_WANT_WRITE = 2, /* poll for POLLOUT */
};

/*
 * read: bytes (> 0), 0 at the peer's orderly end, -EAGAIN with stream_want() telling what to wait
 * for, or another negative errno with the sentence in stream_error(). A TLS connection that ends
 * without close_notify is -ECONNRESET. write: bytes or a negative errno, in the same way; after
 * -EAGAIN it is called again with the same bytes.
 */
ssize_t stream_read(struct stream *s, void *buf, size_t len);
ssize_t stream_write(struct stream *s, const void *buf, size_t len);
enum stream_want stream_want(const struct stream *s);
/* Bytes already decrypted that a poll() would not announce. */
size_t stream_pending(const struct stream *s);
const char *stream_error(const struct stream *s);

/* Any thread: end the connection both ways. The stream still has to be freed by its owner. */
void stream_shutdown(struct stream *s);
/* Sends close_notify if it can without blocking, closes the socket. Takes NULL, returns NULL. */
struct stream *stream_free(struct stream *s);

int stream_fd(const struct stream *s);
bool stream_is_tls(const struct stream *s);
/* Does the kernel encrypt what is sent (kTLS)? */
bool stream_is_ktls(const struct stream *s);
/*
 * Who is at the other end: the subject and the alternative names of its certificate, of which no
 * other has the same ("CN=hostb,O=x;DNS:hostb"); "" in plaintext. Valid as long as the stream.
 */
const char *stream_peer(const struct stream *s);
/* "tcp:192.0.2.1:4660", "unix:/path": where the peer is, for people. */
const char *stream_address(const struct stream *s);
/* Is its certificate one that text means, as tls_authz_check() has it? */
bool stream_peer_matches(const struct stream *s, const char *text);

/* Blocking helpers for data threads and tests: whole buffers, poll() in between. 0 or -errno;
 * -EPIPE for an early end. timeout_ms of silence gives -ETIMEDOUT; -1: none. */
int stream_read_full(struct stream *s, void *buf, size_t len, int timeout_ms);
int stream_write_full(struct stream *s, const void *buf, size_t len, int timeout_ms);
