/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * TLS 1.3 under struct stream; everything that knows OpenSSL is in tls*.c. A struct tls is used by
 * one thread at a time, its stream's owner. It never raises SIGPIPE.
 */
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "common/dial.h"
#include "common/err.h"
#include "common/stream.h"

struct tls;

/* fd and address stay the caller's and have to live as long as this does. */
int tls_new(int fd, const char *address, struct tls_creds *creds, bool server, const char *hostname,
	struct tls **ret, struct err *err);
struct tls *tls_free(struct tls *t);

/* As stream_handshake(), stream_read(), stream_write(), stream_pending(). */
int tls_handshake(struct tls *t);
ssize_t tls_read(struct tls *t, void *buf, size_t len);
ssize_t tls_write(struct tls *t, const void *buf, size_t len);
size_t tls_pending(const struct tls *t);
/* Send close_notify, if that is possible now. */
void tls_close(struct tls *t);

/* Does the kernel encrypt what is sent (kTLS)? Known when the handshake is complete. */
bool tls_ktls(const struct tls *t);
enum stream_want tls_want(const struct tls *t);
const char *tls_error(const struct tls *t);
const char *tls_peer(const struct tls *t);
bool tls_peer_matches(const struct tls *t, const char *text);

/*
 * Every SSL_CTX' message callback: counts what a peer sends that carries no data. Reads return
 * after each such record (SSL_MODE_AUTO_RETRY is off), and too many of them end the connection.
 */
void tls_on_record(
	int writing, int version, int kind, const void *buf, size_t len, SSL *ssl, void *arg);

/* -- tls_bio.c */

/* Eight full records and what TLS adds to them. */
#define TLS_GATHER (8 * (SSL3_RT_MAX_PLAIN_LENGTH + SSL3_RT_MAX_ENCRYPTED_OVERHEAD + 5))

struct tls_bio {
	int fd;
	BIO *socket;   /* OpenSSL's own, through which the kernel gets its key; NULL: not wanted */
	uint8_t *out;  /* TLS_GATHER bytes, once there was much to write */
	size_t len;    /* of records in it */
	size_t off;    /* of what was sent of them */
	bool gather;   /* records go there */
	bool eof;      /* the peer closed the socket */
	bool seen;     /* the peer sent something */
	bool not_tls;  /* and it did not begin as TLS does */
	int sys_errno; /* of the last system call that failed; who calls clears it */
};

/* What tls_creds_load() makes once for all connections of its credentials. */
BIO_METHOD *tls_bio_method(void);
/* A BIO over b, which has to outlive it. NULL: out of memory. */
BIO *tls_bio_new(struct tls_bio *b, int fd, const BIO_METHOD *method, bool ktls);
/* After the BIO is freed. */
void tls_bio_clear(struct tls_bio *b);
/*
 * From here on records are gathered, until tls_bio_flush() sends them in one call; false: out of
 * memory, or some are left to be flushed. tls_bio_room(): is there room for one more?
 */
bool tls_bio_gather(struct tls_bio *b);
bool tls_bio_room(const struct tls_bio *b);
/* 0 when all is sent, or a negative errno: -EAGAIN when the socket takes no more now. */
int tls_bio_flush(struct tls_bio *b);
bool tls_bio_ktls(const struct tls_bio *b);

/* -- tls_creds.c */

/* The kernel encrypts where it can: tls_creds_set_ktls(). */
bool tls_creds_ktls(const struct tls_creds *c);
/* After so many records a key is renewed. */
uint32_t tls_creds_key_records(const struct tls_creds *c);
/* For tests. */
void tls_creds_set_key_records(struct tls_creds *c, uint32_t records);

/* NULL and a sentence when the directory has no certificate for this side. */
SSL_CTX *tls_creds_ctx(struct tls_creds *c, bool server, struct err *err);
BIO_METHOD *tls_creds_bio(struct tls_creds *c);
const char *tls_creds_dir(const struct tls_creds *c);
/* "client-cert.pem" or "server-cert.pem" */
const char *tls_creds_cert_file(bool server);
/* tls_creds_load() at another time. */
int tls_creds_load_at(const char *dir, time_t now, struct tls_creds **ret, struct err *err);

/* -- tls_pem.c */

/* All of a file of certificates, which are the caller's; at least one. */
int tls_pem_certs(const char *path, STACK_OF(X509) * *ret, struct err *err);
/* A key, the caller's, and its file's mode. */
int tls_pem_key(const char *path, EVP_PKEY **ret, mode_t *ret_mode, struct err *err);
/* All of a file of revocation lists into store, at least one; when the first of them is to be
 * renewed, 0: none says. */
int tls_pem_crls(const char *path, X509_STORE *store, time_t *ret_end, struct err *err);

/* -- tls_name.c */

#define TLS_NAME_MAX 256 /* bytes of one name of a certificate; a longer one has no text */

/* Text of an ASN.1 string that is text, without control characters. */
bool tls_name_text(const ASN1_STRING *s, char *buf, size_t len);
/* RFC 4514, in ASCII. -EINVAL when it has control characters, -ENAMETOOLONG; buf is untouched. */
int tls_name_dn(const X509_NAME *name, char *buf, size_t len);
/* The last common name of the subject. */
bool tls_name_cn(X509 *cert, char *buf, size_t len);
/* Each alternative name of kind DNS, IP, URI or email that has a text. Return false to stop. */
typedef bool tls_name_cb(void *arg, const char *kind, const char *name);
void tls_name_each_san(X509 *cert, tls_name_cb *cb, void *arg);
/*
 * Whose the certificate is: "CN=hostb,O=x;DNS:hostb;IP:192.0.2.2", its subject and all alternative
 * names; a long list is a digest (";SAN-SHA256:..."). Two certificates have one only when both are
 * the same. A negative errno and half a sentence ("has ...") when there is none: a cut or unclean
 * name could be another's.
 */
int tls_cert_name(X509 *cert, char *buf, size_t len, struct err *err);

/* -- tls_authz.c */

/* Is the certificate one of those that text means? Never, if text is malformed. */
bool tls_authz_fits(X509 *cert, const char *text);

/* -- tls_cert.c */

/* Seconds since 1970; 0 for NULL and for what is no time. */
time_t tls_cert_time(const ASN1_TIME *t);

/* Whose certificates are verified: a peer's, or those of this host in dir. */
struct tls_complaint {
	const char *dir;
	const char *address;  /* the peer's */
	const char *hostname; /* that was looked for, "" */
	bool own, server;     /* this host's, as a server's */
};
/* What OpenSSL's verification has against them. */
void tls_cert_complain(
	X509_STORE_CTX *ctx, const struct tls_complaint *whose, char *buf, size_t len);
