/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/tls.h"

/* Several records a recv(): a 4 KiB read costs half the speed. */
#define READ_BUFFER (128 * 1024)
/* RFC 8446, 5.5: AES-GCM is safe up to 2^24.5 full records with one key. */
#define KEY_RECORDS (1u << 24)
/* So long before they end it is told. */
#define ENDING_DAYS 30
#define CRL_DAYS    2 /* lists of a week or a month are usual */
#define DAY_S       ((time_t)24 * 3600)

struct tls_creds {
	atomic_uint refs;
	SSL_CTX *client;
	SSL_CTX *server;
	BIO_METHOD *bio;
	X509_STORE *store; /* the CAs, and what they have revoked */
	STACK_OF(X509) * cas;
	time_t expires;
	const char *ends; /* the file that it is about */
	time_t crl_end;   /* when a newer ca-crl.pem has to be there; 0: never, or no such file */
	bool ktls;
	uint32_t key_records;
	char warning[ERR_TEXT_MAX];
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

static int file_path(
	const struct tls_creds *c, const char *file, char *buf, size_t len, struct err *err)
{
	int n = snprintf(buf, len, "%s/%s", c->dir, file);

	if (n < 0 || (size_t)n >= len)
		return err_set(err, -ENAMETOOLONG, "the path '%.100s...' is too long", c->dir);
	return 0;
}

/* -- Are they what the other end will take? -- */

/* The first to end of a certificate of ours and what is behind it. */
static void note_end(struct tls_creds *c, STACK_OF(X509) * chain, bool server)
{
	for (int i = 0; i < sk_X509_num(chain); i++) {
		time_t end = tls_cert_time(X509_get0_notAfter(sk_X509_value(chain, i)));

		if (c->expires && end >= c->expires)
			continue;
		c->expires = end;
		c->ends = i ? "ca-cert.pem" : tls_creds_cert_file(server);
	}
}

/* As a peer with the same CA file will do it. */
static int verify(struct tls_creds *c, X509 *cert, STACK_OF(X509) * chain, bool server, time_t now,
	struct err *err)
{
	struct tls_complaint whose = {.dir = c->dir, .own = true, .server = server};
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	char text[ERR_TEXT_MAX];
	int r = 0;

	if (!ctx || X509_STORE_CTX_init(ctx, c->store, cert, chain) != 1 ||
		X509_STORE_CTX_set_default(ctx, server ? "ssl_server" : "ssl_client") != 1) {
		X509_STORE_CTX_free(ctx);
		return err_set(err, -ENOMEM, "out of memory");
	}
	X509_STORE_CTX_set_time(ctx, 0, now);
	if (X509_verify_cert(ctx) == 1) {
		note_end(c, X509_STORE_CTX_get0_chain(ctx), server);
	} else {
		tls_cert_complain(ctx, &whose, text, sizeof(text));
		r = err_set(err, -EKEYREJECTED, "%s", text);
	}
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return r;
}

static int check_mode(struct tls_creds *c, const char *key, mode_t mode, struct err *err)
{
	if (mode & S_IRWXO)
		return err_set(err, -EPERM,
			"%s has mode %04o, and everybody on this host may be this host: chmod o= %s",
			key, (unsigned)mode & 07777, key);
	if (mode & S_IWGRP)
		snprintf(c->warning, sizeof(c->warning),
			"%.300s can be changed by its group (mode %04o): chmod g-w it", key,
			(unsigned)mode & 07777);
	return 0;
}

static bool is_address(void *arg, const char *kind, const char *name)
{
	*(bool *)arg |= !strcmp(kind, "DNS") || !strcmp(kind, "IP");
	return true;
}

static void check_names(struct tls_creds *c, X509 *cert, const char *path)
{
	bool found = false;

	tls_name_each_san(cert, is_address, &found);
	if (!found && !c->warning[0])
		snprintf(c->warning, sizeof(c->warning),
			"%.300s has no subjectAltName: no source will find this host's name in it",
			path);
}

/* -- Loading -- */

static int load_cas(struct tls_creds *c, struct err *err)
{
	char ca[PATH_MAX], crl[PATH_MAX];
	int r = file_path(c, "ca-cert.pem", ca, sizeof(ca), err);

	if (r == 0)
		r = file_path(c, "ca-crl.pem", crl, sizeof(crl), err);
	if (r == 0)
		r = tls_pem_certs(ca, &c->cas, err);
	if (r < 0)
		return r;
	c->store = X509_STORE_new();
	if (!c->store)
		return err_set(err, -ENOMEM, "out of memory");
	for (int i = 0; i < sk_X509_num(c->cas); i++)
		if (X509_STORE_add_cert(c->store, sk_X509_value(c->cas, i)) != 1)
			return err_set(err, -ENOMEM, "out of memory");
	/* A link that leads nowhere is a list that is lost, and not none. */
	if (faccessat(AT_FDCWD, crl, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
		return 0;
	r = tls_pem_crls(crl, c->store, &c->crl_end, err);
	if (r == 0)
		X509_STORE_set_flags(c->store, X509_V_FLAG_CRL_CHECK);
	return r;
}

/* The certificate, and with it what its file has of the chain; then the key. */
static int use_pair(SSL_CTX *ctx, STACK_OF(X509) * chain, EVP_PKEY *key, const char *cert_path,
	const char *key_path, struct err *err)
{
	X509 *cert = sk_X509_value(chain, 0);
	const char *why;

	ERR_clear_error();
	if (X509_check_private_key(cert, key) != 1) {
		ERR_clear_error();
		return err_set(err, -EINVAL, "%s is not the key of %s", key_path, cert_path);
	}
	if (SSL_CTX_use_certificate(ctx, cert) == 1 && SSL_CTX_use_PrivateKey(ctx, key) == 1) {
		for (int i = 1; i < sk_X509_num(chain); i++)
			SSL_CTX_add1_chain_cert(ctx, sk_X509_value(chain, i));
		return 0;
	}
	why = ERR_reason_error_string(ERR_peek_last_error());
	ERR_clear_error();
	return err_set(err, -EINVAL, "%s and %s cannot be used: %s", cert_path, key_path,
		why ? why : "OpenSSL does not say why");
}

static int load_pair(struct tls_creds *c, SSL_CTX *ctx, bool server, time_t now, struct err *err)
{
	char cert[PATH_MAX], key[PATH_MAX];
	STACK_OF(X509) *chain = NULL;
	EVP_PKEY *pkey = NULL;
	mode_t mode = 0;
	int r;

	r = file_path(c, tls_creds_cert_file(server), cert, sizeof(cert), err);
	if (r == 0)
		r = file_path(c, key_file(server), key, sizeof(key), err);
	if (r == 0)
		r = tls_pem_certs(cert, &chain, err);
	if (r == 0)
		r = tls_pem_key(key, &pkey, &mode, err);
	if (r == 0)
		r = check_mode(c, key, mode, err);
	if (r == 0)
		r = use_pair(ctx, chain, pkey, cert, key, err);
	if (r == 0)
		r = verify(c, sk_X509_value(chain, 0), chain, server, now, err);
	if (r == 0 && server)
		check_names(c, sk_X509_value(chain, 0), cert);
	sk_X509_pop_free(chain, X509_free);
	EVP_PKEY_free(pkey);
	return r;
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
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return ctx;
}

/* Has the directory anything for this side? */
static int has_side(const struct tls_creds *c, bool server, bool *ret, struct err *err)
{
	char cert[PATH_MAX], key[PATH_MAX];
	int r;

	r = file_path(c, tls_creds_cert_file(server), cert, sizeof(cert), err);
	if (r == 0)
		r = file_path(c, key_file(server), key, sizeof(key), err);
	if (r == 0)
		*ret = access(cert, F_OK) == 0 || access(key, F_OK) == 0 || errno != ENOENT;
	return r;
}

static int load_side(struct tls_creds *c, bool server, time_t now, SSL_CTX **ret, struct err *err)
{
	SSL_CTX *ctx = new_ctx(server);
	int r;

	if (!ctx)
		return err_set(err, -ENOMEM, "cannot set TLS up: out of memory");
	SSL_CTX_set1_cert_store(ctx, c->store);
	/* Tells clients with several certificates which one to show. */
	for (int i = 0; server && i < sk_X509_num(c->cas); i++)
		SSL_CTX_add_client_CA(ctx, sk_X509_value(c->cas, i));
	r = load_pair(c, ctx, server, now, err);
	if (r < 0)
		SSL_CTX_free(ctx);
	else
		*ret = ctx;
	return r;
}

static int load(struct tls_creds *c, time_t now, struct err *err)
{
	bool client = false, server = false;
	char path[PATH_MAX];
	int r = file_path(c, "ca-cert.pem", path, sizeof(path), err);

	if (r == 0 && access(path, R_OK) < 0)
		r = err_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
	if (r == 0)
		r = has_side(c, false, &client, err);
	if (r == 0)
		r = has_side(c, true, &server, err);
	if (r == 0 && !client && !server)
		r = err_set(err, -ENOENT,
			"%s has no certificate of this host: put client-cert.pem and client-key.pem, "
			"server-cert.pem and server-key.pem there",
			c->dir);
	if (r == 0)
		r = load_cas(c, err);
	if (r == 0 && client)
		r = load_side(c, false, now, &c->client, err);
	if (r == 0 && server)
		r = load_side(c, true, now, &c->server, err);
	if (r == 0) {
		c->bio = tls_bio_method();
		if (!c->bio)
			r = err_set(err, -ENOMEM, "out of memory");
	}
	return r;
}

int tls_creds_load_at(const char *dir, time_t now, struct tls_creds **ret, struct err *err)
{
	struct tls_creds *c = calloc(1, sizeof(*c));
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
	r = load(c, now, err);
	if (r < 0)
		tls_creds_unref(c);
	else
		*ret = c;
	return r;
}

int tls_creds_load(const char *dir, struct tls_creds **ret, struct err *err)
{
	return tls_creds_load_at(dir, time(NULL), ret, err);
}

time_t tls_creds_expires(const struct tls_creds *c)
{
	return c->expires;
}

static bool ends_within(time_t end, time_t days, char *buf, size_t len, time_t *ret_left)
{
	time_t left = end - time(NULL);
	struct tm tm;

	if (left > days * DAY_S)
		return false;
	if (!gmtime_r(&end, &tm) || strftime(buf, len, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		*buf = '\0';
	*ret_left = left;
	return true;
}

bool tls_creds_ending(const struct tls_creds *c, char *buf, size_t len)
{
	char date[64];
	time_t left;

	if (c->crl_end && ends_within(c->crl_end, CRL_DAYS, date, sizeof(date), &left))
		snprintf(buf, len,
			"%.300s/ca-crl.pem %s at %s: put a newer one there and reload, nobody is believed without",
			c->dir, left < 0 ? "went out of date" : "goes out of date", date);
	else if (!ends_within(c->expires, ENDING_DAYS, date, sizeof(date), &left))
		return false;
	else if (left < 0)
		snprintf(buf, len, "%.300s/%s expired at %s: renew it, migrations fail until then",
			c->dir, c->ends, date);
	else
		snprintf(buf, len, "%.300s/%s expires in %lld days, at %s: renew it", c->dir,
			c->ends, (long long)(left / DAY_S), date);
	return true;
}

const char *tls_creds_warning(const struct tls_creds *c)
{
	return c->warning;
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
	X509_STORE_free(c->store);
	sk_X509_pop_free(c->cas, X509_free);
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
