/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/tls.h"

/* Several records a recv(): a 4 KiB read costs half the speed. */
#define READ_BUFFER (128 * 1024)
/* RFC 8446, 5.5: AES-GCM is safe up to 2^24.5 full records with one key. */
#define KEY_RECORDS (1u << 24)

struct tls_creds {
	atomic_uint refs;
	SSL_CTX *client;
	SSL_CTX *server;
	BIO_METHOD *bio;
	bool ktls;
	uint32_t key_records;
	char dir[PATH_MAX];
};

const char *tls_creds_cert_file(bool server)
{
	return server ? "server-cert.pem" : "client-cert.pem";
}

static const char *key_file(bool server)
{
	return server ? "server-key.pem" : "client-key.pem";
}

const char *tls_creds_dir(const struct tls_creds *c)
{
	return c->dir;
}

BIO_METHOD *tls_creds_bio(struct tls_creds *c)
{
	return c->bio;
}

bool tls_creds_ktls(const struct tls_creds *c)
{
	return c->ktls;
}

void tls_creds_set_ktls(struct tls_creds *c, bool ktls)
{
	c->ktls = ktls;
}

uint32_t tls_creds_key_records(const struct tls_creds *c)
{
	return c->key_records;
}

void tls_creds_set_key_records(struct tls_creds *c, uint32_t records)
{
	c->key_records = records;
}

/* Without this OpenSSL asks the terminal. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
	return -1;
}

static int file_path(
	const struct tls_creds *c, const char *file, char *buf, size_t len, struct err *err)
{
	int n = snprintf(buf, len, "%s/%s", c->dir, file);

	if (n < 0 || (size_t)n >= len)
		return err_set(err, -ENAMETOOLONG, "the path '%.100s...' is too long", c->dir);
	return 0;
}

static int readable(const char *path, struct err *err)
{
	if (access(path, R_OK) == 0)
		return 0;
	return err_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
}

static int bad_file(const char *path, const char *what, struct err *err)
{
	unsigned long e = ERR_peek_last_error();
	const char *why = ERR_reason_error_string(e);

	ERR_clear_error();
	return err_set(err, -EINVAL, "%s is not %s in PEM form (%s)", path, what,
		why ? why : "unreadable");
}

static int load_ca(struct tls_creds *c, SSL_CTX *ctx, bool server, struct err *err)
{
	STACK_OF(X509_NAME) * names;
	char path[PATH_MAX];
	int r;

	r = file_path(c, "ca-cert.pem", path, sizeof(path), err);
	if (r < 0)
		return r;
	r = readable(path, err);
	if (r < 0)
		return r;
	if (SSL_CTX_load_verify_file(ctx, path) != 1)
		return bad_file(path, "a certificate", err);
	if (!server)
		return 0;
	/* Tells clients with several certificates which one to show. */
	names = SSL_load_client_CA_file(path);
	if (!names)
		return bad_file(path, "a certificate", err);
	SSL_CTX_set_client_CA_list(ctx, names);
	return 0;
}

static int load_pair(struct tls_creds *c, SSL_CTX *ctx, bool server, struct err *err)
{
	char cert[PATH_MAX], key[PATH_MAX];
	int r;

	r = file_path(c, tls_creds_cert_file(server), cert, sizeof(cert), err);
	if (r == 0)
		r = file_path(c, key_file(server), key, sizeof(key), err);
	if (r == 0)
		r = readable(cert, err);
	if (r == 0)
		r = readable(key, err);
	if (r < 0)
		return r;
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
		return bad_file(cert, "a certificate", err);
	if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
		if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH ||
			ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_X509) {
			ERR_clear_error();
			return err_set(err, -EINVAL, "%s is not the key of %s", key, cert);
		}
		return bad_file(key, "an unencrypted private key", err);
	}
	if (SSL_CTX_check_private_key(ctx) != 1) {
		ERR_clear_error();
		return err_set(err, -EINVAL, "%s is not the key of %s", key, cert);
	}
	return 0;
}

static SSL_CTX *new_ctx(bool server)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());

	if (!ctx)
		return NULL;
	SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION);
	SSL_CTX_set_options(ctx,
		SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
			SSL_OP_NO_ANTI_REPLAY);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_max_early_data(ctx, 0);
	SSL_CTX_set_mode(ctx,
		SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
			SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_clear_mode(ctx, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_msg_callback(ctx, tls_on_record);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, READ_BUFFER);
	SSL_CTX_set_default_passwd_cb(ctx, no_password);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return ctx;
}

/* *ret stays NULL when the directory has neither certificate nor key for this side. */
static int load_side(struct tls_creds *c, bool server, SSL_CTX **ret, struct err *err)
{
	char cert[PATH_MAX], key[PATH_MAX];
	SSL_CTX *ctx;
	int r;

	r = file_path(c, tls_creds_cert_file(server), cert, sizeof(cert), err);
	if (r == 0)
		r = file_path(c, key_file(server), key, sizeof(key), err);
	if (r < 0)
		return r;
	if (access(cert, F_OK) < 0 && access(key, F_OK) < 0 && errno == ENOENT)
		return 0;
	ERR_clear_error();
	ctx = new_ctx(server);
	if (!ctx)
		return err_set(err, -ENOMEM, "cannot set TLS up: out of memory");
	r = load_ca(c, ctx, server, err);
	if (r == 0)
		r = load_pair(c, ctx, server, err);
	if (r < 0)
		SSL_CTX_free(ctx);
	else
		*ret = ctx;
	return r;
}

int tls_creds_load(const char *dir, struct tls_creds **ret, struct err *err)
{
	struct tls_creds *c = calloc(1, sizeof(*c));
	char path[PATH_MAX];
	int r;

	if (!c)
		return err_set(err, -ENOMEM, "out of memory");
	atomic_init(&c->refs, 1);
	c->ktls = true;
	c->key_records = KEY_RECORDS;
	if (strlen(dir) >= sizeof(c->dir)) {
		free(c);
		return err_set(err, -ENAMETOOLONG, "the path '%.100s...' is too long", dir);
	}
	memcpy(c->dir, dir, strlen(dir) + 1);
	r = file_path(c, "ca-cert.pem", path, sizeof(path), err);
	if (r == 0)
		r = readable(path, err);
	if (r == 0)
		r = load_side(c, false, &c->client, err);
	if (r == 0)
		r = load_side(c, true, &c->server, err);
	if (r == 0 && !c->client && !c->server)
		r = err_set(err, -ENOENT,
			"%s has no certificate of this host: put client-cert.pem and client-key.pem, "
			"server-cert.pem and server-key.pem there",
			dir);
	if (r == 0) {
		c->bio = tls_bio_method();
		if (!c->bio)
			r = err_set(err, -ENOMEM, "out of memory");
	}
	if (r < 0)
		tls_creds_unref(c);
	else
		*ret = c;
	return r;
}

struct tls_creds *tls_creds_ref(struct tls_creds *c)
{
	if (c)
		atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

struct tls_creds *tls_creds_unref(struct tls_creds *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
		return NULL;
	SSL_CTX_free(c->client);
	SSL_CTX_free(c->server);
	BIO_meth_free(c->bio);
	free(c);
	return NULL;
}

SSL_CTX *tls_creds_ctx(struct tls_creds *c, bool server, struct err *err)
{
	SSL_CTX *ctx = server ? c->server : c->client;

	if (!ctx)
		err_set(err, -ENOENT, "cannot %s: %s/%s and %s are missing",
			server ? "accept TLS connections" : "connect by TLS", c->dir,
			tls_creds_cert_file(server), key_file(server));
	return ctx;
}
