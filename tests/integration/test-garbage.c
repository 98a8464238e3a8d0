/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Peers that do not speak our protocol, or break it: the daemon closes such a connection, lives on,
 * and a good migration still works.
 */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "proto/pack.h"
#include "proto/wire.h"
#include "tests/integration/pair.h"

#define MANY 65536

struct peer {
	struct harness *h;
	int fd;
	SSL_CTX *ctx;
	SSL *ssl; /* NULL: plaintext */
};

static struct peer dial(struct host *host)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	const char *port = strrchr(host->uri, ':');
	struct peer p = {.h = host->h};

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons((uint16_t)atoi(port + 1));
	p.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	h_check(p.h, p.fd >= 0 && connect(p.fd, (struct sockaddr *)&a, sizeof(a)) == 0, "%s: %m",
		host->uri);
	return p;
}

static void start_tls(struct peer *p, const char *dir)
{
	char cert[256], key[256];

	snprintf(cert, sizeof(cert), "%s/client-cert.pem", dir);
	snprintf(key, sizeof(key), "%s/client-key.pem", dir);
	p->ctx = SSL_CTX_new(TLS_client_method());
	h_check(p->h,
		p->ctx && SSL_CTX_use_certificate_file(p->ctx, cert, SSL_FILETYPE_PEM) == 1 &&
			SSL_CTX_use_PrivateKey_file(p->ctx, key, SSL_FILETYPE_PEM) == 1,
		"%s", cert);
	p->ssl = SSL_new(p->ctx);
	h_check(p->h, p->ssl && SSL_set_fd(p->ssl, p->fd) == 1 && SSL_connect(p->ssl) == 1,
		"no TLS handshake");
}

/* As much as the daemon takes: it may close before it has everything. */
static void say(struct peer *p, const void *buf, size_t len)
{
	const char *b = buf;

	while (len > 0) {
		ssize_t n = p->ssl ? SSL_write(p->ssl, b, (int)len)
				   : send(p->fd, b, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		b += n;
		len -= (size_t)n;
	}
}

/* Read until the daemon closes; what it said, with its length. */
static size_t rest(struct peer *p, uint8_t *buf, size_t cap)
{
	uint64_t deadline = harness_deadline();
	uint8_t scrap[512];
	size_t len = 0;
	ssize_t n;

	do {
		bool full = len == cap;

		if (!p->ssl || SSL_pending(p->ssl) == 0)
			harness_poll(p->h, p->fd, POLLIN, NULL, deadline,
				"the end of a connection that broke the protocol");
		if (p->ssl)
			n = SSL_read(p->ssl, full ? scrap : buf + len,
				full ? (int)sizeof(scrap) : (int)(cap - len));
		else
			n = recv(p->fd, full ? scrap : buf + len, full ? sizeof(scrap) : cap - len,
				0);
		if (n > 0 && !full)
			len += (size_t)n;
	} while (n > 0);
	return len;
}

static void hang_up(struct peer *p)
{
	SSL_free(p->ssl);
	SSL_CTX_free(p->ctx);
	p->fd = fd_close(p->fd);
}

/* Said to a fresh connection, it ends it. What came back is in buf. */
static size_t ends_with(
	struct pair *p, const char *creds, const void *text, size_t len, uint8_t *buf, size_t cap)
{
	struct peer peer = dial(p->b);
	size_t n;

	if (creds)
		start_tls(&peer, creds);
	say(&peer, text, len);
	n = rest(&peer, buf, cap);
	hang_up(&peer);
	return n;
}

/* The last frame that came back is REFUSE with a sentence. */
static void has_refusal(struct pair *p, const uint8_t *buf, size_t len)
{
	size_t at = 0;
	unsigned type = 0;

	while (len - at >= WIRE_HDR_SIZE && be32_get(buf + at) <= len - at - WIRE_HDR_SIZE) {
		type = be16_get(buf + at + 4);
		at += WIRE_HDR_SIZE + be32_get(buf + at);
	}
	h_check(p->h, type == WIRE_REFUSE, "the last frame of %zu bytes has type %u", len, type);
}

static void noise(uint8_t *buf, size_t len)
{
	uint64_t x = 88172645463325252ull;

	for (size_t i = 0; i < len; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		buf[i] = (uint8_t)x;
	}
}

static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

static void survives_noise(bool tls)
{
	struct pair p = pair_new(&(struct pair_opts){.tls = tls, .source = {.rate = 1000}});
	const char *creds = tls ? harness_creds(p.h, "hosta", NULL) : NULL;
	uint8_t *big = malloc(MANY), answer[4096];

	h_check(p.h, big, "out of memory");
	noise(big, MANY);
	for (size_t len = 1; len <= MANY; len *= 4) {
		big[0] = 0xff; /* a length that nothing has */
		if (len < WIRE_HDR_SIZE)
			continue;
		ends_with(&p, creds, big, len, answer, sizeof(answer));
		if (tls) /* in place of a handshake as well */
			ends_with(&p, NULL, big, len, answer, sizeof(answer));
	}
	ends_with(&p, creds, http, strlen(http), answer, sizeof(answer));
	free(big);
	pair_works_still(&p);
}

/*
 * KeyUpdates, of which none carries anything: the daemon ends it, and does not spend its loop on
 * what such a peer sends.
 */
START_TEST(key_updates_without_end)
{
	struct pair p = pair_new(&(struct pair_opts){.tls = true});
	struct peer peer = dial(p.b);
	uint64_t deadline = harness_deadline();
	char scrap[16], *line = NULL;
	bool said = false;
	size_t n = 0;
	FILE *f;

	signal(SIGPIPE, SIG_IGN);
	start_tls(&peer, harness_creds(p.h, "hosta", NULL));
	while (SSL_key_update(peer.ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 &&
		SSL_do_handshake(peer.ssl) == 1)
		h_check(p.h, clock_ns() < deadline, "KeyUpdates are taken without end");
	harness_poll(p.h, peer.fd, POLLIN, NULL, deadline, "the end of the connection");
	h_check(p.h,
		recv(peer.fd, scrap, sizeof(scrap), MSG_PEEK) <= 0 ||
			SSL_read(peer.ssl, scrap, sizeof(scrap)) <= 0,
		"the connection lives");
	hang_up(&peer);
	host_do(p.b, "query-status", NULL);
	f = fopen(p.b->process->log, "re");
	while (f && !said && getline(&line, &n, f) > 0)
		said = strstr(line, "TLS records without data");
	h_check(p.h, said, "the journal does not tell why");
	free(line);
	fclose(f);
	pair_works_still(&p);
}
END_TEST

START_TEST(noise_in_plaintext)
{
	survives_noise(false);
}
END_TEST

START_TEST(noise_in_tls)
{
	survives_noise(true);
}
END_TEST

/* A frame of a type with a body of zeros, after HELLO if that is said. */
static size_t frame(uint8_t *buf, unsigned type, unsigned flags, uint32_t len, uint32_t said)
{
	be32_put(buf, said);
	be16_put(buf + 4, (uint16_t)type);
	be16_put(buf + 6, (uint16_t)flags);
	memset(buf + WIRE_HDR_SIZE, 0, len);
	return WIRE_HDR_SIZE + len;
}

static size_t hello(uint8_t *buf, enum wire_role role, unsigned min, unsigned max)
{
	struct wire_hello m = {
		.version_min = (uint16_t)min,
		.version_max = (uint16_t)max,
		.role = role,
		.name = "stranger",
	};
	int n = wire_pack_hello(&m, buf, WIRE_HDR_SIZE + WIRE_CONTROL_MAX);

	return n > 0 ? (size_t)n : 0;
}

/*
 * protocol.md 1: "on the wire means: the receiver sends REFUSE (code PROTOCOL) as far as that is
 * possible without waiting, and closes the connection."
 * protocol.md 5.3: "1 | PROTOCOL | malformed, out of its limits or out of order"
 */
START_TEST(frames_that_are_none)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 1000}});
	uint8_t buf[16384], answer[4096];
	size_t n, h;

	/* larger than its type may be: refused by the header alone */
	n = frame(buf, WIRE_HELLO, 0, 0, UINT32_MAX);
	has_refusal(&p, answer, ends_with(&p, NULL, buf, n, answer, sizeof(answer)));
	n = frame(buf, WIRE_HELLO, 0, 0, WIRE_CONTROL_MAX + 1);
	has_refusal(&p, answer, ends_with(&p, NULL, buf, n, answer, sizeof(answer)));
	/* an unknown type, reserved flags, an empty HELLO, a message that comes later */
	n = frame(buf, 9999, 0, 16, 16);
	has_refusal(&p, answer, ends_with(&p, NULL, buf, n, answer, sizeof(answer)));
	n = frame(buf, WIRE_HELLO, 1, 32, 32);
	has_refusal(&p, answer, ends_with(&p, NULL, buf, n, answer, sizeof(answer)));
	n = frame(buf, WIRE_HELLO, 0, 0, 0);
	has_refusal(&p, answer, ends_with(&p, NULL, buf, n, answer, sizeof(answer)));
	n = frame(buf, WIRE_OPEN, 0, 100, 100);
	has_refusal(&p, answer, ends_with(&p, NULL, buf, n, answer, sizeof(answer)));

	/* and after a HELLO */
	h = hello(buf, WIRE_ROLE_CONTROL, WIRE_VERSION_MIN, WIRE_VERSION_MAX);
	h_check(p.h, h > 0, "no HELLO");
	for (unsigned type = 0; type < 80; type++) {
		if (type == WIRE_PING || type == WIRE_PONG)
			continue;
		n = h + frame(buf + h, type, 0, 64, 64);
		ends_with(&p, NULL, buf, n, answer, sizeof(answer));
	}
	n = h + frame(buf + h, WIRE_CHUNK, 0, 64, WIRE_CHUNK_MAX + 1);
	has_refusal(&p, answer, ends_with(&p, NULL, buf, n, answer, sizeof(answer)));
	/* a second HELLO */
	memcpy(buf + h, buf, h);
	has_refusal(&p, answer, ends_with(&p, NULL, buf, 2 * h, answer, sizeof(answer)));
	pair_works_still(&p);
}
END_TEST

/* protocol.md 5.2: "1 to 1 | 1 | 1 | refused" */
START_TEST(versions)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 1000}});
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX], answer[4096];
	size_t n;

	n = hello(buf, WIRE_ROLE_CONTROL, WIRE_VERSION_MAX + 1, WIRE_VERSION_MAX + 5);
	has_refusal(&p, answer, ends_with(&p, NULL, buf, n, answer, sizeof(answer)));
	pair_works_still(&p);
}
END_TEST

/* Cut off at every byte of a HELLO and of a frame behind it. */
START_TEST(cut_short)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 1000}});
	uint8_t buf[16384], answer[4096];
	size_t n = hello(buf, WIRE_ROLE_CONTROL, WIRE_VERSION_MIN, WIRE_VERSION_MAX);

	n += frame(buf + n, WIRE_OPEN, 0, 60, 60);
	for (size_t len = 0; len < n; len++) {
		struct peer peer = dial(p.b);

		say(&peer, buf, len);
		shutdown(peer.fd, SHUT_WR);
		rest(&peer, answer, sizeof(answer));
		hang_up(&peer);
	}
	pair_works_still(&p);
}
END_TEST

/* Channels and questions about sessions that are nobody's. */
START_TEST(strangers)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 1000}});
	uint8_t buf[16384], answer[4096];
	struct wire_join join = {.session = {{1}}};
	struct wire_session s = {.session = {{1}}, .uuid = {{2}}};
	size_t n, got;
	int m;

	n = hello(buf, WIRE_ROLE_DATA, WIRE_VERSION_MIN, WIRE_VERSION_MAX);
	m = wire_pack_join(&join, buf + n, sizeof(buf) - n);
	h_check(p.h, m > 0, "no JOIN");
	has_refusal(&p, answer, ends_with(&p, NULL, buf, n + (size_t)m, answer, sizeof(answer)));

	n = hello(buf, WIRE_ROLE_QUESTION, WIRE_VERSION_MIN, WIRE_VERSION_MAX);
	m = wire_pack_session(WIRE_COMMIT, &s, buf + n, sizeof(buf) - n);
	h_check(p.h, m > 0, "no COMMIT");
	got = ends_with(&p, NULL, buf, n + (size_t)m, answer, sizeof(answer));
	/* WELCOME, UNKNOWN */
	n = WIRE_HDR_SIZE + be32_get(answer);
	h_check(p.h, got > n + WIRE_HDR_SIZE && be16_get(answer + n + 4) == WIRE_UNKNOWN,
		"the answer about nobody's session has %zu bytes", got);
	pair_works_still(&p);
}
END_TEST

/* Connections that say nothing take no place from those that do. */
START_TEST(silent_ones)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 1000}});
	struct peer peers[16];

	for (unsigned i = 0; i < 16; i++)
		peers[i] = dial(p.b);
	pair_migrate(&p);
	pair_completes(&p);
	for (unsigned i = 0; i < 16; i++)
		hang_up(&peers[i]);
	pair_free(&p);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("garbage", &c);

	harness_add(c, key_updates_without_end);
	harness_add(c, noise_in_plaintext);
	harness_add(c, noise_in_tls);
	harness_add(c, frames_that_are_none);
	harness_add(c, versions);
	harness_add(c, cut_short);
	harness_add(c, strangers);
	harness_add(c, silent_ones);
	return harness_main(s);
}
