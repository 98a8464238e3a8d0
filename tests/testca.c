/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/testca.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY (24 * 3600)

struct pair {
	X509 *cert;
	EVP_PKEY *key;
};

static void pair_clear(struct pair *p)
{
	X509_free(p->cert);
	EVP_PKEY_free(p->key);
	*p = (struct pair){0};
}

static FILE *open_file(const char *dir, const char *name, const char *mode)
{
	bool writing = *mode == 'w';
	char path[PATH_MAX];
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	fd = open(path, writing ? O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC : O_RDONLY | O_CLOEXEC,
		0600);
	return fd < 0 ? NULL : fdopen(fd, mode);
}

static int write_pair(const char *dir, const char *cert, const char *key, const struct pair *p)
{
	FILE *f = open_file(dir, cert, "w");
	int r;

	if (!f)
		return -errno;
	r = PEM_write_X509(f, p->cert) == 1 ? 0 : -EIO;
	if (fclose(f) != 0 || r < 0)
		return -EIO;
	f = open_file(dir, key, "w");
	if (!f)
		return -errno;
	r = PEM_write_PrivateKey(f, p->key, NULL, NULL, 0, NULL, NULL) == 1 ? 0 : -EIO;
	return fclose(f) != 0 ? -EIO : r;
}

static int read_pair(const char *dir, struct pair *ret)
{
	struct pair p = {0};
	FILE *f = open_file(dir, "ca-cert.pem", "r");

	if (!f)
		return -errno;
	p.cert = PEM_read_X509(f, NULL, NULL, NULL);
	fclose(f);
	f = open_file(dir, "ca-key.pem", "r");
	if (f) {
		p.key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
		fclose(f);
	}
	if (!p.cert || !p.key) {
		pair_clear(&p);
		return -EINVAL;
	}
	*ret = p;
	return 0;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *e;
	X509V3_CTX ctx;
	bool ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = e && X509_add_ext(cert, e, -1) == 1;
	X509_EXTENSION_free(e);
	return ok;
}

static bool set_serial(X509 *cert)
{
	uint64_t serial;

	return RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1 &&
		ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), serial >> 1 | 1) == 1;
}

/* A certificate that is not signed yet. issuer NULL: its own. */
static bool begin(
	struct pair *p, const char *cn, size_t cn_len, X509 *issuer, long from, long until)
{
	X509_NAME *subject;

	p->key = EVP_EC_gen("P-256");
	p->cert = X509_new();
	if (!p->key || !p->cert)
		return false;
	subject = X509_get_subject_name(p->cert);
	if (cn &&
		X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8,
			(const unsigned char *)cn, cn_len ? (int)cn_len : -1, -1, 0) != 1)
		return false;
	return X509_set_version(p->cert, X509_VERSION_3) == 1 && set_serial(p->cert) &&
		X509_gmtime_adj(X509_getm_notBefore(p->cert), from) &&
		X509_gmtime_adj(X509_getm_notAfter(p->cert), until) &&
		X509_set_issuer_name(p->cert, issuer ? X509_get_subject_name(issuer) : subject) ==
		1 &&
		X509_set_pubkey(p->cert, p->key) == 1;
}

static bool make_ca(struct pair *p)
{
	char cn[64];
	uint32_t n;

	/* Two CAs of one name would confuse people and, in places, OpenSSL. */
	if (RAND_bytes((unsigned char *)&n, sizeof(n)) != 1)
		return false;
	snprintf(cn, sizeof(cn), "throw-away CA %08x", n);
	return begin(p, cn, 0, NULL, -30L * DAY, 3650L * DAY) &&
		add_extension(p->cert, p->cert, NID_basic_constraints, "critical,CA:TRUE") &&
		add_extension(p->cert, p->cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
		add_extension(p->cert, p->cert, NID_subject_key_identifier, "hash") &&
		X509_sign(p->cert, p->key, EVP_sha256()) > 0;
}

static bool add_names(char *buf, size_t len, const char *kind, const char *const names[])
{
	size_t used = strlen(buf);

	for (int i = 0; i < TESTCA_NAMES_MAX && names[i]; i++) {
		int n = snprintf(
			buf + used, len - used, "%s%s:%s", used ? "," : "", kind, names[i]);

		if (n < 0 || (size_t)n >= len - used || strpbrk(names[i], ", \n"))
			return false;
		used += (size_t)n;
	}
	return true;
}

static bool make_leaf(struct pair *p, const struct pair *ca, const struct testca_options *o,
	const char *names, const char *usage)
{
	const char *cn = o->no_subject ? NULL : o->cn ? o->cn : "localhost";

	long until = o->expired ? -DAY : o->days ? (long)o->days * DAY : 365L * DAY;

	return begin(p, cn, o->cn_len, ca->cert, o->expired ? -10L * DAY : -DAY, until) &&
		add_extension(p->cert, ca->cert, NID_basic_constraints, "critical,CA:FALSE") &&
		add_extension(p->cert, ca->cert, NID_key_usage, "critical,digitalSignature") &&
		add_extension(p->cert, ca->cert, NID_ext_key_usage, usage) &&
		add_extension(p->cert, ca->cert, NID_subject_key_identifier, "hash") &&
		add_extension(p->cert, ca->cert, NID_authority_key_identifier, "keyid") &&
		(o->no_names || add_extension(p->cert, ca->cert, NID_subject_alt_name, names)) &&
		X509_sign(p->cert, ca->key, EVP_sha256()) > 0;
}

static int write_leaf(const char *dir, const struct pair *ca, const struct testca_options *o,
	const char *names, bool server)
{
	struct pair p = {0};
	int r = -EINVAL;

	if (make_leaf(&p, ca, o, names, server ? "serverAuth" : "clientAuth"))
		r = write_pair(dir, server ? "server-cert.pem" : "client-cert.pem",
			server ? "server-key.pem" : "client-key.pem", &p);
	pair_clear(&p);
	return r;
}

int testca_write(const char *dir, const struct testca_options *options)
{
	struct testca_options none = {0};
	const struct testca_options *o = options ? options : &none;
	char names[4096] = "";
	struct pair ca = {0};
	int r = 0;

	if (!add_names(names, sizeof(names), "DNS", o->dns) ||
		!add_names(names, sizeof(names), "IP", o->ip) ||
		!add_names(names, sizeof(names), "URI", o->uri))
		return -EINVAL;
	if (!*names)
		strcpy(names, "DNS:localhost,IP:127.0.0.1,IP:::1");
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (o->ca_dir)
		r = read_pair(o->ca_dir, &ca);
	else if (!make_ca(&ca))
		r = -ENOMEM;
	if (r == 0)
		r = write_pair(dir, "ca-cert.pem", "ca-key.pem", &ca);
	if (r == 0)
		r = write_leaf(dir, &ca, o, names, true);
	if (r == 0)
		r = write_leaf(dir, &ca, o, names, false);
	pair_clear(&ca);
	return r;
}

static bool revoke_file(X509_CRL *crl, const char *dir, const char *file)
{
	FILE *f = open_file(dir, file, "r");
	X509 *cert = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
	X509_REVOKED *rev = X509_REVOKED_new();
	bool ok = cert && rev &&
		X509_REVOKED_set_serialNumber(rev, X509_get_serialNumber(cert)) == 1 &&
		X509_REVOKED_set_revocationDate(rev, (ASN1_TIME *)X509_get0_notBefore(cert)) == 1 &&
		X509_CRL_add0_revoked(crl, rev) == 1;

	if (!ok)
		X509_REVOKED_free(rev);
	X509_free(cert);
	if (f)
		fclose(f);
	return ok;
}

int testca_revoke(const char *dir, const char *ca_dir, const char *revoked, int days)
{
	ASN1_TIME *from = X509_gmtime_adj(NULL, -10L * DAY);
	ASN1_TIME *until = X509_gmtime_adj(NULL, (long)days * DAY);
	X509_CRL *crl = X509_CRL_new();
	struct pair ca = {0};
	FILE *f = NULL;
	int r = read_pair(ca_dir, &ca);

	if (r == 0 &&
		(!crl || !from || !until || X509_CRL_set_version(crl, X509_CRL_VERSION_2) != 1 ||
			X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca.cert)) != 1 ||
			X509_CRL_set1_lastUpdate(crl, from) != 1 ||
			X509_CRL_set1_nextUpdate(crl, until) != 1 ||
			(revoked &&
				(!revoke_file(crl, revoked, "server-cert.pem") ||
					!revoke_file(crl, revoked, "client-cert.pem"))) ||
			X509_CRL_sort(crl) != 1 || X509_CRL_sign(crl, ca.key, EVP_sha256()) <= 0))
		r = -EINVAL;
	if (r == 0 && !(f = open_file(dir, "ca-crl.pem", "w")))
		r = -errno;
	if (f) {
		r = PEM_write_X509_CRL(f, crl) == 1 ? 0 : -EIO;
		if (fclose(f) != 0)
			r = -EIO;
	}
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	X509_CRL_free(crl);
	pair_clear(&ca);
	return r;
}
