/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Connecting and accepting on the event loop: URIs, name resolution (in a thread of its own: it
 * blocks), TCP or UNIX connect, TLS handshake; what comes out is a connected struct stream.
 * Everything here is called on the loop's thread and calls back on it.
 */
#include <event2/event.h>
#include <stdbool.h>
#include <time.h>

#include "common/err.h"
#include "common/stream.h"

#define URI_MAX   512
#define DIAL_PORT "4660"
/* Handshakes under way at once at a listener: 100 KB each. */
#define HANDSHAKES_MAX 64

enum uri_kind {
	URI_TCP,  /* tcp:HOST:PORT, tcp:[::1]:4660, tcp::PORT or tcp:*:PORT to listen everywhere */
	URI_UNIX, /* unix:PATH */
	URI_FD,   /* fd:NAME */
	URI_FILE, /* file:PATH */
};

struct uri {
	enum uri_kind kind;
	char host[256]; /* TCP; "" for every address */
	char port[32];  /* TCP */
	char path[256]; /* UNIX, FILE: path; FD: name */
};

/* 0 and *ret, or -EINVAL with a sentence. A missing port is DIAL_PORT. */
int uri_parse(const char *text, struct uri *ret, struct err *err);

/* Is it a host's name or address (IPv6 without brackets)? 0, or -EINVAL with a sentence. */
int uri_check_host(const char *host, struct err *err);

/* Does it begin as file:PATH does? */
bool uri_is_file(const char *text);

/*
 * Credentials: QEMU's and libvirt's file names in one directory. ca-cert.pem is needed; a client
 * uses client-cert.pem and client-key.pem, a server server-cert.pem and server-key.pem. TLS 1.3
 * only, both sides authenticated, no tickets, no 0-RTT. They are checked as a peer would do it:
 * each certificate is signed by ca-cert.pem, for its side, and valid now; its key belongs to it and
 * is nobody's else. With a ca-crl.pem what it revokes is refused. Regular files, read at once: none
 * makes the caller wait. Reference counted; a stream keeps its own.
 */
struct tls_creds;
int tls_creds_load(const char *dir, struct tls_creds **ret, struct err *err);
/* When the first ends of this host's certificates and of the CAs' behind them, in s since 1970. */
time_t tls_creds_expires(const struct tls_creds *c);
/* Does that end within 30 days, its ca-crl.pem within 2, or has it ended? Then buf is a sentence:
 * which, and when. */
bool tls_creds_ending(const struct tls_creds *c, char *buf, size_t len);
/* What an operator should change though it works; "" for nothing. */
const char *tls_creds_warning(const struct tls_creds *c);
/*
 * Whether the kernel encrypts what later connections send (kTLS), where it and OpenSSL can; it is
 * so unless it is switched off. Before the first connection; not thread-safe.
 */
void tls_creds_set_ktls(struct tls_creds *c, bool ktls);
struct tls_creds *tls_creds_ref(struct tls_creds *c);
struct tls_creds *tls_creds_unref(struct tls_creds *c); /* takes NULL, returns NULL */

/*
 * Does text say whom a certificate may belong to, in the words of tls-authz: a DN, or CN:, DNS:,
 * IP: or URI: and a name? 0, or -EINVAL with a sentence. stream_peer_matches() compares.
 */
int tls_authz_check(const char *text, struct err *err);

/* stream is NULL on failure and then err tells; else it becomes the callee's. */
typedef void dial_cb(void *arg, struct stream *stream, const struct err *err);

struct dial;
/* The program that is expected at the other end, for hints; "htab-migrated" unless told. At start. */
void dial_expects(const char *program);
/*
 * Connect to uri (TCP or UNIX). creds NULL: plaintext. tls_hostname NULL: the URI's host is checked
 * (for UNIX: the certificate chain alone unless tls_hostname is given). All within timeout_ms.
 * The callback comes exactly once, never before this returns, unless dial_cancel() comes first.
 */
int dial_start(struct event_base *base, const struct uri *uri, struct tls_creds *creds,
	const char *tls_hostname, int timeout_ms, dial_cb *cb, void *arg, struct dial **ret,
	struct err *err);
/* No callback comes any more. Takes NULL, returns NULL. */
struct dial *dial_cancel(struct dial *d);
/* The same for a socket that is connected already (fd:NAME); fd becomes the dial's. */
int dial_fd(struct event_base *base, int fd, bool server, struct tls_creds *creds,
	const char *tls_hostname, int timeout_ms, dial_cb *cb, void *arg, struct dial **ret,
	struct err *err);

struct listener;
/*
 * Listen at uri (TCP: every address that it resolves to, IPv4 and IPv6; UNIX: mode 0600, a stale
 * socket file is removed). Each connection that finished its handshake goes to cb; a failed one
 * goes there too, with err (for the journal). At most max_handshakes (HANDSHAKES_MAX at most) at
 * once, each within timeout_ms; one more takes the place of the oldest by whoever has most.
 * listener_set_creds() changes what later
 * connections use.
 */
int listener_start(struct event_base *base, const struct uri *uri, struct tls_creds *creds,
	unsigned max_handshakes, int timeout_ms, dial_cb *cb, void *arg, struct listener **ret,
	struct err *err);
/* The same for a socket that listens already (fd:NAME), known as uri; fd becomes the listener's,
 * also on failure. */
int listener_fd(struct event_base *base, int fd, const struct uri *uri, struct tls_creds *creds,
	unsigned max_handshakes, int timeout_ms, dial_cb *cb, void *arg, struct listener **ret,
	struct err *err);
void listener_set_creds(struct listener *l, struct tls_creds *creds);
/* The URI listened to, with the port that the kernel chose for port 0. */
const char *listener_uri(const struct listener *l);
struct listener *listener_free(struct listener *l); /* takes NULL, returns NULL */
