/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The BIO under every TLS connection. OpenSSL's socket BIO alone would not do: its writes raise
 * SIGPIPE, and it does not show us the first bytes. Where the kernel may encrypt (kTLS) it lies
 * beneath ours: it knows how the kernel is given the key and how alerts are sent from then on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/sigpipe.h"
#include "common/tls.h"

static int bio_result(BIO *bio, struct tls_bio *b, ssize_t n, bool writing)
{
	BIO_clear_retry_flags(bio);
	if (n >= 0)
		return (int)n;
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
		if (writing)
			BIO_set_retry_write(bio);
		else
			BIO_set_retry_read(bio);
	} else {
		b->sys_errno = errno;
	}
	return -1;
}

/* An alert or another message of OpenSSL's, by way of the kernel. */
static ssize_t write_by_kernel(struct tls_bio *b, const char *buf, int len)
{
	struct sigpipe guard;
	int n;

	sigpipe_block(&guard);
	do
		n = BIO_write(b->socket, buf, len);
	while (n < 0 && errno == EINTR);
	sigpipe_unblock(&guard);
	return n;
}

bool tls_bio_gather(struct tls_bio *b)
{
	if (!b->out)
		b->out = malloc(TLS_GATHER);
	b->gather = b->out && !b->len;
	return b->gather;
}

bool tls_bio_room(const struct tls_bio *b)
{
	return TLS_GATHER - b->len >= TLS_GATHER / 8;
}

int tls_bio_flush(struct tls_bio *b)
{
	ssize_t n;

	b->gather = false;
	while (b->off < b->len) {
		n = send(b->fd, b->out + b->off, b->len - b->off, MSG_NOSIGNAL);
		if (n > 0) {
			b->off += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
			b->sys_errno = errno;
		return n < 0 && b->sys_errno ? -b->sys_errno : -EAGAIN;
	}
	b->len = 0;
	b->off = 0;
	return 0;
}

static int bio_write(BIO *bio, const char *buf, int len)
{
	struct tls_bio *b = BIO_get_data(bio);
	ssize_t n;

	if (b->gather && (size_t)len <= TLS_GATHER - b->len) {
		memcpy(b->out + b->len, buf, (size_t)len);
		b->len += (size_t)len;
		return bio_result(bio, b, len, true);
	}
	if (b->len && tls_bio_flush(b) < 0)
		return bio_result(bio, b, -1, true);
	if (tls_bio_ktls(b))
		return bio_result(bio, b, write_by_kernel(b, buf, len), true);
	do
		n = send(b->fd, buf, (size_t)len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return bio_result(bio, b, n, true);
}

static int bio_read(BIO *bio, char *buf, int len)
{
	struct tls_bio *b = BIO_get_data(bio);
	ssize_t n;

	do
		n = recv(b->fd, buf, (size_t)len, 0);
	while (n < 0 && errno == EINTR);
	if (n == 0 && len > 0)
		b->eof = true;
	if (n > 0 && !b->seen) {
		b->seen = true;
		/* A record begins with its type, 20 to 23, and a version 3.x. */
		b->not_tls = buf[0] < 20 || buf[0] > 23 || (n > 1 && buf[1] != 3);
	}
	return bio_result(bio, b, n, false);
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	struct tls_bio *b = BIO_get_data(bio);

	switch (cmd) {
	case BIO_CTRL_FLUSH: return 1;
	case BIO_CTRL_EOF: return b->eof;
	case BIO_CTRL_PUSH:
	case BIO_CTRL_POP:
	case BIO_CTRL_GET_KTLS_RECV: return 0;
	default: return b->socket ? BIO_ctrl(b->socket, cmd, num, ptr) : 0;
	}
}

BIO_METHOD *tls_bio_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");

	if (!m)
		return NULL;
	BIO_meth_set_write(m, bio_write);
	BIO_meth_set_read(m, bio_read);
	BIO_meth_set_ctrl(m, bio_ctrl);
	return m;
}

BIO *tls_bio_new(struct tls_bio *b, int fd, const BIO_METHOD *method, bool ktls)
{
	BIO *bio = BIO_new(method);

	*b = (struct tls_bio){.fd = fd};
	if (!bio)
		return NULL;
	if (ktls) {
		b->socket = BIO_new_socket(fd, BIO_NOCLOSE);
		if (!b->socket) {
			BIO_free(bio);
			return NULL;
		}
	}
	BIO_set_data(bio, b);
	BIO_set_init(bio, 1);
	return bio;
}

void tls_bio_clear(struct tls_bio *b)
{
	BIO_free(b->socket);
	b->socket = NULL;
	free(b->out);
	b->out = NULL;
}

bool tls_bio_ktls(const struct tls_bio *b)
{
	return b->socket && BIO_get_ktls_send(b->socket);
}
