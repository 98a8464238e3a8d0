/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <fnmatch.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "common/tls.h"

#define NAME_MAX_LEN 256

/* Return false to stop. */
typedef bool name_cb(void *arg, const char *kind, const char *name);

/* Text of a certificate, unless it is too long or has a NUL inside. */
static bool asn1_text(const ASN1_STRING *s, char *buf, size_t len)
{
	unsigned char *utf8 = NULL;
	int n = ASN1_STRING_to_UTF8(&utf8, s);
	bool ok = n > 0 && (size_t)n < len && !memchr(utf8, 0, (size_t)n);

	if (ok) {
		memcpy(buf, utf8, (size_t)n);
		buf[n] = '\0';
	}
	OPENSSL_free(utf8);
	ERR_clear_error();
	return ok;
}

static bool ip_text(const ASN1_OCTET_STRING *ip, char *buf, size_t len)
{
	int n = ASN1_STRING_length(ip);
	int family = n == 4 ? AF_INET : AF_INET6;

	return (n == 4 || n == 16) &&
		inet_ntop(family, ASN1_STRING_get0_data(ip), buf, (socklen_t)len);
}

static bool san_text(const GENERAL_NAME *gn, const char **kind, char *buf, size_t len)
{
	switch (gn->type) {
	case GEN_DNS: *kind = "DNS"; return asn1_text(gn->d.dNSName, buf, len);
	case GEN_URI: *kind = "URI"; return asn1_text(gn->d.uniformResourceIdentifier, buf, len);
	case GEN_IPADD: *kind = "IP"; return ip_text(gn->d.iPAddress, buf, len);
	default: return false;
	}
}

static void each_san(X509 *cert, name_cb *cb, void *arg)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	char name[NAME_MAX_LEN];
	const char *kind;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		if (san_text(sk_GENERAL_NAME_value(names, i), &kind, name, sizeof(name)) &&
			!cb(arg, kind, name))
			break;
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
}

static bool common_name(X509 *cert, char *buf, size_t len)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int i, last = -1;

	while ((i = X509_NAME_get_index_by_NID(subject, NID_commonName, last)) >= 0)
		last = i;
	return last >= 0 &&
		asn1_text(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)), buf, len);
}

/* RFC 2253; -EINVAL when it does not fit. */
static int dn_text(const X509_NAME *name, char *buf, size_t len)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *data;
	long n;
	int r = -EINVAL;

	if (!bio)
		return -ENOMEM;
	if (X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
		n = BIO_get_mem_data(bio, &data);
		if (n >= 0 && (size_t)n < len) {
			memcpy(buf, data, (size_t)n);
			buf[n] = '\0';
			r = 0;
		}
	}
	BIO_free(bio);
	ERR_clear_error();
	return r;
}

struct text {
	char *buf;
	size_t len;
	bool cut;
};

static bool first_name(void *arg, const char *kind, const char *name)
{
	struct text *t = arg;
	int n = snprintf(t->buf, t->len, "subjectAltName=%s:%s", kind, name);

	t->cut = n < 0 || (size_t)n >= t->len;
	return false;
}

int tls_cert_name(X509 *cert, char *buf, size_t len)
{
	struct text t = {.buf = buf, .len = len, .cut = true};

	if (X509_NAME_entry_count(X509_get_subject_name(cert)) > 0)
		return dn_text(X509_get_subject_name(cert), buf, len);
	each_san(cert, first_name, &t);
	return t.cut ? -EINVAL : 0;
}

static bool add_name(void *arg, const char *kind, const char *name)
{
	struct text *t = arg;
	size_t used = strlen(t->buf);

	if (strcmp(kind, "URI") == 0)
		return true;
	snprintf(t->buf + used, t->len - used, "%s'%s'", used ? ", " : "", name);
	return true;
}

/* What a peer wrote goes into journals and terminals. */
static void tame(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			*s = '?';
}

void tls_cert_names(X509 *cert, char *buf, size_t len)
{
	struct text t = {.buf = buf, .len = len};
	char cn[NAME_MAX_LEN];

	*buf = '\0';
	each_san(cert, add_name, &t);
	if (!*buf && common_name(cert, cn, sizeof(cn)))
		add_name(&t, "CN", cn);
	if (!*buf)
		snprintf(buf, len, "nobody");
	tame(buf);
}

struct match {
	const char *pattern;
	bool found;
};

static bool match_name(void *arg, const char *kind, const char *name)
{
	struct match *m = arg;

	m->found = fnmatch(m->pattern, name, 0) == 0;
	return !m->found;
}

bool tls_cert_matches(X509 *cert, const char *pattern)
{
	struct match m = {.pattern = pattern};
	char name[PEER_NAME_MAX];

	if (dn_text(X509_get_subject_name(cert), name, sizeof(name)) == 0 && *name &&
		fnmatch(pattern, name, 0) == 0)
		return true;
	if (common_name(cert, name, sizeof(name)) && fnmatch(pattern, name, 0) == 0)
		return true;
	each_san(cert, match_name, &m);
	return m.found;
}

static void date_text(const ASN1_TIME *t, char *buf, size_t len)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1 || strftime(buf, len, "%Y-%m-%d %H:%M UTC", &tm) == 0)
		snprintf(buf, len, "an unreadable date");
}

static void complain_name(
	X509 *cert, const char *address, const char *hostname, char *buf, size_t len)
{
	char names[ERR_TEXT_MAX / 2];

	tls_cert_names(cert, names, sizeof(names));
	snprintf(buf, len,
		"the certificate of %s is for %s, not '%s': give tls-hostname or a certificate with that name",
		address, names, hostname);
}

static void complain_date(X509 *cert, const char *whose, bool expired, char *buf, size_t len)
{
	char date[64];

	date_text(
		expired ? X509_get0_notAfter(cert) : X509_get0_notBefore(cert), date, sizeof(date));
	if (expired)
		snprintf(buf, len,
			"%s expired at %s: renew it there, or set the clock of this host", whose,
			date);
	else
		snprintf(buf, len, "%s is not valid before %s: set the clocks of both hosts", whose,
			date);
}

void tls_cert_complain(X509_STORE_CTX *ctx, const char *address, const char *hostname,
	const char *dir, char *buf, size_t len)
{
	X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
	int depth = X509_STORE_CTX_get_error_depth(ctx);
	int error = X509_STORE_CTX_get_error(ctx);
	char subject[160] = "an unnamed subject", issuer[160] = "an unnamed CA";
	char whose[400];

	if (!cert) {
		snprintf(buf, len, "the certificate of %s was refused: %s", address,
			X509_verify_cert_error_string(error));
		return;
	}
	dn_text(X509_get_subject_name(cert), subject, sizeof(subject));
	dn_text(X509_get_issuer_name(cert), issuer, sizeof(issuer));
	if (depth == 0)
		snprintf(
			whose, sizeof(whose), "the certificate of %.200s ('%s')", address, subject);
	else
		snprintf(whose, sizeof(whose), "the CA certificate '%s' behind %.200s", subject,
			address);

	switch (error) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		complain_name(cert, address, hostname, buf, len);
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED: complain_date(cert, whose, true, buf, len); break;
	case X509_V_ERR_CERT_NOT_YET_VALID: complain_date(cert, whose, false, buf, len); break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		snprintf(buf, len,
			"%s is signed by '%s', which is not a CA of %s/ca-cert.pem: both hosts need certificates of one CA",
			whose, issuer, dir);
		break;
	case X509_V_ERR_INVALID_PURPOSE:
		snprintf(buf, len,
			"%s may not be used by this side of a connection: its extended key usage needs both serverAuth and clientAuth, or the host a certificate for each",
			whose);
		break;
	default:
		snprintf(buf, len, "%s was refused: %s", whose,
			X509_verify_cert_error_string(error));
	}
}
