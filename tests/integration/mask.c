/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/integration/mask.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"

struct mask {
	SSL_CTX *ctx;
	SSL *ssl;
	int net, plain;
};

static void mask_free(struct mask *m)
{
	SSL_free(m->ssl);
	SSL_CTX_free(m->ctx);
	fd_close(m->net);
	fd_close(m->plain);
	free(m);
}

/* From TLS: false at its end. */
static bool carry_in(struct mask *m)
{
	char buf[16384];
	int n;

	do {
		n = SSL_read(m->ssl, buf, sizeof(buf));
		if (n <= 0 || send(m->plain, buf, (size_t)n, MSG_NOSIGNAL) != n)
			return false;
	} while (SSL_pending(m->ssl) > 0);
	return true;
}

static bool carry_out(struct mask *m)
{
	char buf[16384];
	ssize_t n = recv(m->plain, buf, sizeof(buf), 0);

	return n > 0 && SSL_write(m->ssl, buf, (int)n) == n;
}

static void *carry(void *arg)
{
	struct mask *m = arg;
	bool in = true, out = true;

	while (in) {
		struct pollfd p[2] = {{.fd = m->net, .events = POLLIN},
			{.fd = out ? m->plain : -1, .events = POLLIN}};

		if (poll(p, 2, -1) < 0)
			break;
		if (p[0].revents)
			in = carry_in(m);
		if (in && p[1].revents && !carry_out(m)) {
			out = false;
			SSL_shutdown(m->ssl);
			shutdown(m->net, SHUT_WR);
		}
	}
	mask_free(m);
	return NULL;
}

int mask_dial(struct harness *h, const char *uri, const char *creds)
{
	struct sockaddr_in a = {.sin_family = AF_INET};
	struct mask *m = calloc(1, sizeof(*m));
	char cert[HARNESS_PATH + 32], key[HARNESS_PATH + 32];
	pthread_t thread;
	int fds[2];

	signal(SIGPIPE, SIG_IGN);
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons((uint16_t)atoi(strrchr(uri, ':') + 1));
	snprintf(cert, sizeof(cert), "%s/client-cert.pem", creds);
	snprintf(key, sizeof(key), "%s/client-key.pem", creds);
	m->net = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	h_check(h, m->net >= 0 && connect(m->net, (struct sockaddr *)&a, sizeof(a)) == 0, "%s: %m",
		uri);
	m->ctx = SSL_CTX_new(TLS_client_method());
	h_check(h,
		SSL_CTX_use_certificate_file(m->ctx, cert, SSL_FILETYPE_PEM) == 1 &&
			SSL_CTX_use_PrivateKey_file(m->ctx, key, SSL_FILETYPE_PEM) == 1,
		"%s", cert);
	m->ssl = SSL_new(m->ctx);
	h_check(h, SSL_set_fd(m->ssl, m->net) == 1 && SSL_connect(m->ssl) == 1, "no TLS with %s",
		uri);
	h_check(h, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0, "%m");
	m->plain = fds[1];
	h_check(h, pthread_create(&thread, NULL, carry, m) == 0, "no thread");
	pthread_detach(thread);
	return fds[0];
}
