/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/*
 * Records that carry no data (KeyUpdate, tickets, empty ones): some for each connection, and one
 * for so many bytes of data. Each costs us keys, and its sender next to nothing.
 */
#define IDLE_RECORDS_MAX  64
#define BYTES_AN_IDLE_ONE (16 * 1024)

struct tls {
	SSL *ssl;
	struct tls_creds *creds;
	X509 *cert; /* the peer's, after the handshake */
	int fd;
	const char *address;
	bool server;
	bool established;
	bool broken;           /* only tls_free() may follow */
	bool drained;          /* the last read consumed every whole record */
	bool ktls;             /* the kernel encrypts */
	bool retry;            /* the last write has to be called again, with the same bytes */
	uint32_t records;      /* written with this key */
	uint32_t idle_records; /* of the peer's, that carried no data */
	uint32_t data_records; /* of the peer's since that was counted */
	uint64_t bytes_read;
	size_t gathered; /* bytes of the caller's in the records that wait in bio */
	struct tls_bio bio;
	enum stream_want want;
	char hostname[256];
	char error[ERR_TEXT_MAX];
	char peer[PEER_NAME_MAX];
};

/* -- Sentences -- */

static int fail(struct tls *t, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The first sentence stays: it is nearest to the cause. */
static int fail(struct tls *t, int code, const char *fmt, ...)
{
	va_list ap;

	t->broken = true;
	if (!t->error[0]) {
		va_start(ap, fmt);
		vsnprintf(t->error, sizeof(t->error), fmt, ap);
		va_end(ap);
	}
	return code;
}

static int fail_alert(struct tls *t, int alert)
{
	const char *dir = tls_creds_dir(t->creds);
	const char *file = tls_creds_cert_file(t->server);

	switch (alert) {
	case SSL_AD_CERTIFICATE_EXPIRED:
		return fail(t, -EKEYREJECTED,
			"%s says that the certificate of this host has expired: renew %s/%s, or set that host's clock",
			t->address, dir, file);
	case SSL_AD_UNKNOWN_CA:
		return fail(t, -EKEYREJECTED,
			"%s does not know the CA that signed the certificate of this host (%s/%s): both hosts need certificates of one CA",
			t->address, dir, file);
	case SSL_AD_BAD_CERTIFICATE:
	case SSL_AD_UNSUPPORTED_CERTIFICATE:
	case SSL_AD_CERTIFICATE_REVOKED:
	case SSL_AD_CERTIFICATE_UNKNOWN:
	case SSL_AD_ACCESS_DENIED:
		return fail(t, -EKEYREJECTED,
			"%s refused the certificate of this host (%s/%s; alert: %s): its journal tells why",
			t->address, dir, file, SSL_alert_desc_string_long(alert));
	case SSL_AD_CERTIFICATE_REQUIRED:
		return fail(t, -EKEYREJECTED,
			"%s wants a certificate of this host and got none: look into %s",
			t->address, dir);
	case SSL_AD_PROTOCOL_VERSION:
		return fail(
			t, -EPROTO, "%s does not speak TLS 1.3, which is needed here", t->address);
	default:
		return fail(t, -EPROTO, "%s ended the TLS connection (alert: %s)", t->address,
			SSL_alert_desc_string_long(alert));
	}
}

static int fail_reason(struct tls *t, int reason)
{
	const char *text = ERR_reason_error_string(ERR_peek_error());

	if (reason > SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256)
		return fail_alert(t, reason - SSL_AD_REASON_OFFSET);
	switch (reason) {
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		return fail(t, -EKEYREJECTED,
			"%s showed no certificate: it needs client-cert.pem and client-key.pem",
			t->address);
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_WRONG_SSL_VERSION:
		return fail(
			t, -EPROTO, "%s does not speak TLS 1.3, which is needed here", t->address);
	default:
		return fail(t, -EPROTO, "the TLS connection with %s failed: %s", t->address,
			text ? text : "unknown reason");
	}
}

static int fail_closed(struct tls *t)
{
	if (t->established)
		return fail(t, -ECONNRESET,
			"%s ended the connection without a TLS goodbye: its daemon or host may have died",
			t->address);
	if (!t->bio.seen)
		return fail(t, -ECONNRESET,
			"%s closed the connection at the TLS handshake: is it started with --plaintext?",
			t->address);
	return fail(
		t, -ECONNRESET, "%s closed the connection during the TLS handshake", t->address);
}

/* A call on t->ssl did not succeed: 0 for an orderly end, -EAGAIN, or the end of it. */
static int check(struct tls *t)
{
	unsigned long e = ERR_peek_error();
	int ssl_error = SSL_get_error(t->ssl, 0);
	int code;

	switch (ssl_error) {
	case SSL_ERROR_WANT_READ: t->want = STREAM_WANT_READ; return -EAGAIN;
	case SSL_ERROR_WANT_WRITE: t->want = STREAM_WANT_WRITE; return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN: return 0;
	default: break;
	}
	t->broken = true;
	if (t->error[0])
		code = -EKEYREJECTED; /* on_verify() */
	else if (!t->established && t->bio.not_tls)
		code = fail(t, -EPROTO, "%s did not speak TLS: is it started with --plaintext?",
			t->address);
	else if (ssl_error == SSL_ERROR_SYSCALL && t->bio.sys_errno &&
		(t->established || t->bio.seen))
		code = fail(t, -t->bio.sys_errno, "the connection with %s failed: %s", t->address,
			strerror(t->bio.sys_errno));
	else if (ssl_error == SSL_ERROR_SYSCALL ||
		ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		code = fail_closed(t);
	else
		code = fail_reason(t, ERR_GET_REASON(e));
	ERR_clear_error();
	return code;
}

static int on_verify(int ok, X509_STORE_CTX *ctx)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct tls *t = SSL_get_app_data(ssl);

	struct tls_complaint whose = {
		.dir = tls_creds_dir(t->creds), .address = t->address, .hostname = t->hostname};

	if (!ok && !t->error[0])
		tls_cert_complain(ctx, &whose, t->error, sizeof(t->error));
	return ok;
}

/* -- What the peer sends -- */

void tls_on_record(
	int writing, int version, int kind, const void *buf, size_t len, SSL *ssl, void *arg)
{
	struct tls *t = SSL_get_app_data(ssl);
	const uint8_t *b = buf;

	if (writing || !t || !len)
		return;
	if (kind == SSL3_RT_INNER_CONTENT_TYPE && b[0] == SSL3_RT_APPLICATION_DATA)
		t->data_records++;
	else if (kind == SSL3_RT_INNER_CONTENT_TYPE ||
		(kind == SSL3_RT_HEADER && b[0] != SSL3_RT_APPLICATION_DATA))
		t->idle_records++;
}

/* n bytes were got by the call that came back: 0 or 1 of the data records had them. */
static int count_records(struct tls *t, size_t n)
{
	uint32_t useful = n ? 1 : 0;

	if (t->data_records > useful)
		t->idle_records += t->data_records - useful;
	t->data_records = 0;
	t->bytes_read += n;
	if (t->idle_records <= IDLE_RECORDS_MAX + t->bytes_read / BYTES_AN_IDLE_ONE)
		return 0;
	return fail(t, -EPROTO,
		"%s sent %u TLS records without data (KeyUpdate or the like) for %llu bytes of it: no htab-migrated does that",
		t->address, t->idle_records, (unsigned long long)t->bytes_read);
}

/* -- Life -- */

static bool set_hostname(struct tls *t, const char *hostname)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(t->ssl);
	unsigned char ip[sizeof(struct in6_addr)];

	/* Certificates know nothing of interfaces: fe80::1%eth0 */
	snprintf(t->hostname, sizeof(t->hostname), "%.*s", (int)strcspn(hostname, "%"), hostname);
	if (inet_pton(AF_INET, t->hostname, ip) == 1 || inet_pton(AF_INET6, t->hostname, ip) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, t->hostname) == 1;
	if (t->hostname[0] == '.') /* OpenSSL would take every name of that domain */
		return false;
	X509_VERIFY_PARAM_set_hostflags(
		param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	return X509_VERIFY_PARAM_set1_host(param, t->hostname, 0) == 1 &&
		SSL_set_tlsext_host_name(t->ssl, t->hostname) == 1;
}

int tls_new(int fd, const char *address, struct tls_creds *creds, bool server, const char *hostname,
	struct tls **ret, struct err *err)
{
	SSL_CTX *ctx = tls_creds_ctx(creds, server, err);
	struct tls *t;
	BIO *bio;

	if (!ctx)
		return -ENOENT;
	t = calloc(1, sizeof(*t));
	if (!t)
		return err_set(err, -ENOMEM, "out of memory");
	t->creds = tls_creds_ref(creds);
	t->fd = fd;
	t->address = address;
	t->server = server;
	t->want = server ? STREAM_WANT_READ : STREAM_WANT_WRITE;
	ERR_clear_error();
	t->ssl = SSL_new(ctx);
	bio = t->ssl ? tls_bio_new(&t->bio, fd, tls_creds_bio(creds), tls_creds_ktls(creds)) : NULL;
	if (!bio) {
		tls_free(t);
		return err_set(err, -ENOMEM, "cannot set TLS up: out of memory");
	}
	SSL_set_bio(t->ssl, bio, bio);
	if (tls_creds_ktls(creds))
		SSL_set_options(t->ssl, SSL_OP_ENABLE_KTLS);
	SSL_set_app_data(t->ssl, t);
	SSL_set_verify(t->ssl, SSL_CTX_get_verify_mode(ctx), on_verify);
	if (hostname && !server && !set_hostname(t, hostname)) {
		ERR_clear_error();
		tls_free(t);
		return err_set(err, -EINVAL, "'%s' is not a host name that a certificate can have",
			hostname);
	}
	if (server)
		SSL_set_accept_state(t->ssl);
	else
		SSL_set_connect_state(t->ssl);
	*ret = t;
	return 0;
}

struct tls *tls_free(struct tls *t)
{
	if (!t)
		return NULL;
	SSL_free(t->ssl);
	tls_bio_clear(&t->bio);
	X509_free(t->cert);
	tls_creds_unref(t->creds);
	free(t);
	return NULL;
}

int tls_handshake(struct tls *t)
{
	struct err err;
	int r;

	if (t->established)
		return 0;
	if (t->broken)
		return -EPROTO;
	ERR_clear_error();
	t->bio.sys_errno = 0;
	if (SSL_do_handshake(t->ssl) != 1) {
		r = check(t);
		if (r == -EAGAIN && count_records(t, 0) < 0)
			return -EPROTO;
		return r ? r : fail_closed(t);
	}
	t->cert = SSL_get1_peer_certificate(t->ssl);
	if (!t->cert || SSL_get_verify_result(t->ssl) != X509_V_OK)
		return fail(t, -EKEYREJECTED, "%s showed no valid certificate", t->address);
	if (tls_cert_name(t->cert, t->peer, sizeof(t->peer), &err) < 0) {
		t->peer[0] = '\0';
		return fail(t, -EKEYREJECTED, "the certificate of %s %s", t->address, err.text);
	}
	t->established = true;
	t->ktls = tls_bio_ktls(&t->bio);
	return 0;
}

ssize_t tls_read(struct tls *t, void *buf, size_t len)
{
	uint32_t idle;
	size_t n;
	int r;

	if (t->broken)
		return -EPIPE;
	do {
		ERR_clear_error();
		t->bio.sys_errno = 0;
		idle = t->idle_records;
		if (SSL_read_ex(t->ssl, buf, len, &n) == 1) {
			t->drained = false;
			return count_records(t, n) < 0 ? -EPROTO : (ssize_t)n;
		}
		r = check(t);
		if (r == -EAGAIN && count_records(t, 0) < 0)
			return -EPROTO;
		/* OpenSSL comes back after each such record, whatever lies behind it. */
	} while (r == -EAGAIN && t->idle_records != idle);
	if (r == -EAGAIN)
		t->drained = true;
	return r;
}

/*
 * The peer does not take our bytes any more. In TLS 1.3 a server refuses a client's certificate
 * when that client believes itself connected: the alert that says so waits to be read.
 */
static void find_alert(struct tls *t)
{
	unsigned long e;
	size_t n;
	char c;

	ERR_clear_error();
	if (SSL_peek_ex(t->ssl, &c, 1, &n) == 1 || SSL_get_error(t->ssl, 0) != SSL_ERROR_SSL)
		return;
	e = ERR_peek_error();
	if (ERR_GET_REASON(e) > SSL_AD_REASON_OFFSET)
		fail_reason(t, ERR_GET_REASON(e));
}

/*
 * What the kernel encrypts goes to the socket as it is, without OpenSSL: a whole frame at once, of
 * which the kernel makes records.
 */
static ssize_t write_ktls(struct tls *t, const void *buf, size_t len)
{
	ssize_t n;

	do
		n = send(t->fd, buf, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EWOULDBLOCK) {
		t->want = STREAM_WANT_WRITE;
		return -EAGAIN;
	}
	t->bio.sys_errno = errno;
	return -errno;
}

static ssize_t flush(struct tls *t)
{
	int r = tls_bio_flush(&t->bio);

	if (r == -EAGAIN)
		t->want = STREAM_WANT_WRITE;
	return r < 0 ? r : (ssize_t)t->gathered;
}

/*
 * One system call for several records. Should the socket not take them all, the caller comes
 * again with the same bytes: they are written when the last of their records is sent.
 */
static ssize_t write_many(struct tls *t, const char *buf, size_t len)
{
	size_t n = 0;
	int r;

	t->gathered = 0;
	while (t->gathered < len && tls_bio_room(&t->bio)) {
		if (SSL_write_ex(t->ssl, buf + t->gathered, len - t->gathered, &n) != 1) {
			t->bio.gather = false;
			r = check(t);
			return r ? r : fail_closed(t);
		}
		t->gathered += n;
	}
	return flush(t);
}

static ssize_t write_ssl(struct tls *t, const void *buf, size_t len)
{
	size_t n;
	int r;

	if (t->bio.len) {
		assert(len >= t->gathered); /* the same bytes as before -EAGAIN */
		return flush(t);
	}
	if (len > SSL3_RT_MAX_PLAIN_LENGTH && tls_bio_gather(&t->bio))
		return write_many(t, buf, len);
	if (SSL_write_ex(t->ssl, buf, len, &n) == 1)
		return (ssize_t)n;
	if (t->bio.sys_errno == EPIPE || t->bio.sys_errno == ECONNRESET)
		return -t->bio.sys_errno;
	r = check(t);
	return r ? r : fail_closed(t);
}

/*
 * A key is good for so many records (RFC 8446, 5.5). OpenSSL counts none, and one key is
 * all that it can give the kernel.
 */
static int renew_key(struct tls *t)
{
	if (t->ktls)
		return fail(t, -EKEYEXPIRED,
			"the connection with %s has sent %u records, as many as one key is for, and kTLS cannot renew it: connect again, or set 'ktls' to false",
			t->address, t->records);
	if (SSL_key_update(t->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) != 1)
		return fail_reason(t, ERR_GET_REASON(ERR_peek_error()));
	t->records = 0;
	return 0;
}

ssize_t tls_write(struct tls *t, const void *buf, size_t len)
{
	ssize_t n;
	int r;

	if (t->broken)
		return -EPIPE;
	if (!len)
		return 0;
	ERR_clear_error();
	t->bio.sys_errno = 0;
	if (t->records >= tls_creds_key_records(t->creds) && !t->retry) {
		r = renew_key(t);
		if (r < 0)
			return r;
	}
	n = t->ktls ? write_ktls(t, buf, len) : write_ssl(t, buf, len);
	t->retry = n == -EAGAIN;
	if (n > 0)
		t->records += (uint32_t)((size_t)n / SSL3_RT_MAX_PLAIN_LENGTH) + 1;
	if (n == -EPIPE || n == -ECONNRESET)
		find_alert(t);
	if (n < 0 && n != -EAGAIN)
		fail(t, (int)n, "the connection with %s failed: %s", t->address, strerror((int)-n));
	return n;
}

size_t tls_pending(const struct tls *t)
{
	int n = SSL_pending(t->ssl);

	if (n > 0)
		return (size_t)n;
	/* Read ahead, not yet decrypted: perhaps a whole record, perhaps the beginning of one. */
	return !t->drained && SSL_has_pending(t->ssl) ? 1 : 0;
}

void tls_close(struct tls *t)
{
	if (t->broken || !t->established)
		return;
	ERR_clear_error();
	SSL_shutdown(t->ssl);
	ERR_clear_error();
}

enum stream_want tls_want(const struct tls *t)
{
	return t->want;
}

bool tls_ktls(const struct tls *t)
{
	return t->ktls;
}

const char *tls_error(const struct tls *t)
{
	return t->error;
}

const char *tls_peer(const struct tls *t)
{
	return t->peer;
}

bool tls_peer_matches(const struct tls *t, const char *text)
{
	return t->established && tls_authz_fits(t->cert, text);
}
