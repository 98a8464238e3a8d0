/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bench/tlsloop.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/bench/benchlib.h"
#include "tests/testca.h"

#define BUFFER (256u << 10)

struct side {
	SSL *ssl;
	uint64_t bytes;
	uint64_t cpu_ns;
	uint64_t end;
};

static void *send_all(void *arg)
{
	struct side *s = arg;
	uint64_t left = s->bytes, cpu = bench_thread_cpu();
	char *buf = calloc(1, BUFFER);

	while (left && buf) {
		int n = SSL_write(s->ssl, buf, left < BUFFER ? (int)left : (int)BUFFER);

		if (n <= 0)
			bench_die("SSL_write fails");
		left -= (uint64_t)n;
	}
	s->cpu_ns = bench_thread_cpu() - cpu;
	free(buf);
	return NULL;
}

static void receive_all(struct side *s)
{
	uint64_t left = s->bytes, cpu = bench_thread_cpu();
	char *buf = malloc(BUFFER);

	while (left && buf) {
		int n = SSL_read(s->ssl, buf, BUFFER);

		if (n <= 0)
			bench_die("SSL_read fails");
		left -= (uint64_t)n;
	}
	s->cpu_ns = bench_thread_cpu() - cpu;
	s->end = clock_ns();
	free(buf);
}

static void tcp_pair(int fd[2])
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(l, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(l, 1) < 0 ||
		getsockname(l, (struct sockaddr *)&a, &len) < 0 ||
		connect(fd[0], (struct sockaddr *)&a, sizeof(a)) < 0)
		bench_die("no TCP on loopback");
	fd[1] = accept4(l, NULL, NULL, SOCK_CLOEXEC);
	if (fd[1] < 0)
		bench_die("no TCP on loopback");
	close(l);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static SSL_CTX *context(const char *dir)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());
	char cert[128], key[128];

	snprintf(cert, sizeof(cert), "%s/server-cert.pem", dir);
	snprintf(key, sizeof(key), "%s/server-key.pem", dir);
	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384") != 1 ||
		SSL_CTX_use_certificate_file(ctx, cert, SSL_FILETYPE_PEM) != 1 ||
		SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		bench_die("no TLS 1.3");
	SSL_CTX_set_num_tickets(ctx, 0);
	return ctx;
}

static void *connect_side(void *arg)
{
	return SSL_connect(arg) == 1 ? arg : NULL;
}

static void handshake(SSL *client, SSL *server)
{
	pthread_t thread;
	void *ok = NULL;

	if (pthread_create(&thread, NULL, connect_side, client) != 0)
		bench_die("no thread");
	if (SSL_accept(server) != 1)
		bench_die("the handshake fails");
	pthread_join(thread, &ok);
	if (!ok)
		bench_die("the handshake fails");
}

void tlsloop_run(uint64_t bytes, struct tlsloop_result *ret)
{
	char dir[] = "/tmp/htab-bench-XXXXXX";
	struct side from = {.bytes = bytes}, to = {.bytes = bytes};
	pthread_t thread;
	SSL_CTX *ctx;
	uint64_t start;
	int fd[2];

	if (!mkdtemp(dir) || testca_write(dir, &(struct testca_options){0}) < 0)
		bench_die("no certificates");
	ctx = context(dir);
	nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	tcp_pair(fd);
	from.ssl = SSL_new(ctx);
	to.ssl = SSL_new(ctx);
	SSL_set_fd(from.ssl, fd[0]);
	SSL_set_fd(to.ssl, fd[1]);
	handshake(from.ssl, to.ssl);
	start = clock_ns();
	if (pthread_create(&thread, NULL, send_all, &from) != 0)
		bench_die("no thread");
	receive_all(&to);
	pthread_join(thread, NULL);
	*ret = (struct tlsloop_result){bytes, to.end - start, from.cpu_ns + to.cpu_ns};
	SSL_free(from.ssl);
	SSL_free(to.ssl);
	SSL_CTX_free(ctx);
	close(fd[0]);
	close(fd[1]);
}
