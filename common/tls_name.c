/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The names in a certificate, as text of which no two names are the same: control characters, and a
 * NUL above all, are in none, what has no plain text is shown as its bytes, and what separates is
 * escaped.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "common/tls.h"

/* Longer names have a digest in place of their alternative names. */
#define READABLE_MAX 255
#define DIGEST_TEXT  ";SAN-SHA256:"
#define DIGEST_LEN   (sizeof(DIGEST_TEXT) - 1 + 2 * (size_t)SHA256_DIGEST_LENGTH)

static bool all_ascii(const unsigned char *s, int n)
{
	for (int i = 0; i < n; i++)
		if (s[i] < 0x20 || s[i] > 0x7e)
			return false;
	return true;
}

static bool all_utf8(const unsigned char *s, int n)
{
	unsigned long c;

	for (int i = 0, len; i < n; i += len) {
		len = UTF8_getc(s + i, n - i, &c);
		if (len <= 0 || c < 0x20 || (c >= 0x7f && c < 0xa0))
			return false;
	}
	return true;
}

/* Whose bytes are its text; the other encodings are not for use (RFC 5280, 4.1.2.4). */
static bool has_text(const ASN1_STRING *s)
{
	int type = ASN1_STRING_type(s);

	return type == V_ASN1_UTF8STRING || type == V_ASN1_PRINTABLESTRING ||
		type == V_ASN1_IA5STRING || type == V_ASN1_NUMERICSTRING;
}

static bool is_clean(const ASN1_STRING *s)
{
	const unsigned char *data = ASN1_STRING_get0_data(s);
	int n = ASN1_STRING_length(s);

	return ASN1_STRING_type(s) == V_ASN1_UTF8STRING ? all_utf8(data, n) : all_ascii(data, n);
}

bool tls_name_text(const ASN1_STRING *s, char *buf, size_t len)
{
	int n = ASN1_STRING_length(s);

	if (!has_text(s) || !is_clean(s) || n < 0 || (size_t)n >= len)
		return false;
	if (n)
		memcpy(buf, ASN1_STRING_get0_data(s), (size_t)n);
	buf[n] = '\0';
	return true;
}

/* -- The subject -- */

static int print_value(BIO *out, const X509_NAME_ENTRY *e)
{
	const ASN1_STRING *value = X509_NAME_ENTRY_get_data(e);
	unsigned long flags = ASN1_STRFLGS_RFC2253;

	if (!has_text(value) || OBJ_obj2nid(X509_NAME_ENTRY_get_object(e)) == NID_undef)
		flags |= ASN1_STRFLGS_DUMP_ALL;
	else if (!is_clean(value))
		return -EINVAL;
	return ASN1_STRING_print_ex(out, value, flags) < 0 ? -EINVAL : 0;
}

static int print_entry(BIO *out, const X509_NAME_ENTRY *e)
{
	ASN1_OBJECT *type = X509_NAME_ENTRY_get_object(e);
	int nid = OBJ_obj2nid(type), n;
	char oid[128];

	if (nid != NID_undef) {
		BIO_printf(out, "%s=", OBJ_nid2sn(nid));
	} else {
		n = OBJ_obj2txt(oid, sizeof(oid), type, 1);
		if (n <= 0 || n >= (int)sizeof(oid))
			return -EINVAL;
		BIO_printf(out, "%s=", oid);
	}
	return print_value(out, e);
}

int tls_name_dn(const X509_NAME *name, char *buf, size_t len)
{
	BIO *out = BIO_new(BIO_s_mem());
	int r = out ? 0 : -ENOMEM;
	int last = X509_NAME_entry_count(name) - 1;
	char *data;
	long n;

	for (int i = last; r == 0 && i >= 0; i--) {
		const X509_NAME_ENTRY *e = X509_NAME_get_entry(name, i);

		if (i < last)
			BIO_puts(out,
				X509_NAME_ENTRY_set(
					e) == X509_NAME_ENTRY_set(X509_NAME_get_entry(name, i + 1))
					? "+"
					: ",");
		r = print_entry(out, e);
	}
	if (r == 0) {
		n = BIO_get_mem_data(out, &data);
		if (n < 0 || (size_t)n >= len) {
			r = -ENAMETOOLONG;
		} else {
			if (n)
				memcpy(buf, data, (size_t)n);
			buf[n] = '\0';
		}
	}
	BIO_free(out);
	ERR_clear_error();
	return r;
}

bool tls_name_cn(X509 *cert, char *buf, size_t len)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int i, last = -1;

	while ((i = X509_NAME_get_index_by_NID(subject, NID_commonName, last)) >= 0)
		last = i;
	return last >= 0 &&
		tls_name_text(
			X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)), buf, len);
}

/* -- Alternative names -- */

static bool ip_text(const ASN1_OCTET_STRING *ip, char *buf, size_t len)
{
	int n = ASN1_STRING_length(ip);
	int family = n == 4 ? AF_INET : AF_INET6;

	return (n == 4 || n == 16) &&
		inet_ntop(family, ASN1_STRING_get0_data(ip), buf, (socklen_t)len);
}

/* False: it is of no kind that has a text, or too long for buf. */
static bool san_text(const GENERAL_NAME *gn, const char **kind, char *buf, size_t len)
{
	switch (gn->type) {
	case GEN_DNS: *kind = "DNS"; return tls_name_text(gn->d.dNSName, buf, len);
	case GEN_URI:
		*kind = "URI";
		return tls_name_text(gn->d.uniformResourceIdentifier, buf, len);
	case GEN_EMAIL: *kind = "email"; return tls_name_text(gn->d.rfc822Name, buf, len);
	case GEN_IPADD: *kind = "IP"; return ip_text(gn->d.iPAddress, buf, len);
	default: return false;
	}
}

void tls_name_each_san(X509 *cert, tls_name_cb *cb, void *arg)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	char name[TLS_NAME_MAX];
	const char *kind;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		if (san_text(sk_GENERAL_NAME_value(names, i), &kind, name, sizeof(name)) &&
			!cb(arg, kind, name))
			break;
	}
	GENERAL_NAMES_free(names);
	ERR_clear_error();
}

static bool san_clean(const GENERAL_NAME *gn)
{
	switch (gn->type) {
	case GEN_DNS: return is_clean(gn->d.dNSName);
	case GEN_URI: return is_clean(gn->d.uniformResourceIdentifier);
	case GEN_EMAIL: return is_clean(gn->d.rfc822Name);
	default: return true;
	}
}

/* -- Whose it is -- */

struct text {
	char *buf;
	size_t len, used;
	bool cut;
};

static void put(struct text *t, char c)
{
	if (t->used + 1 < t->len)
		t->buf[t->used++] = c;
	else
		t->cut = true;
	t->buf[t->used] = '\0';
}

static void put_san(struct text *t, const char *kind, const char *name)
{
	if (t->used)
		put(t, ';');
	while (*kind)
		put(t, *kind++);
	put(t, ':');
	for (; *name; name++) {
		if (*name == ';' || *name == '\\')
			put(t, '\\');
		put(t, *name);
	}
}

static int put_digest(struct text *t, X509 *cert)
{
	int i = X509_get_ext_by_NID(cert, NID_subject_alt_name, -1);
	const ASN1_OCTET_STRING *der = X509_EXTENSION_get_data(X509_get_ext(cert, i));
	unsigned char sum[SHA256_DIGEST_LENGTH];
	char hex[3];

	SHA256(ASN1_STRING_get0_data(der), (size_t)ASN1_STRING_length(der), sum);
	for (const char *p = DIGEST_TEXT; *p; p++)
		put(t, *p);
	for (size_t k = 0; k < sizeof(sum); k++) {
		snprintf(hex, sizeof(hex), "%02x", sum[k]);
		put(t, hex[0]);
		put(t, hex[1]);
	}
	return t->cut ? -ENAMETOOLONG : 0;
}

/* What the subject alone is has been written already. */
static int put_sans(struct text *t, X509 *cert, const GENERAL_NAMES *names)
{
	struct text before = *t;
	char name[TLS_NAME_MAX];
	const char *kind;

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *gn = sk_GENERAL_NAME_value(names, i);

		if (!san_clean(gn))
			return -EINVAL;
		if (san_text(gn, &kind, name, sizeof(name)))
			put_san(t, kind, name);
		else
			t->cut = true;
	}
	if (!t->cut && t->used <= READABLE_MAX)
		return 0;
	*t = before;
	return put_digest(t, cert);
}

int tls_cert_name(X509 *cert, char *buf, size_t len, struct err *err)
{
	struct text t = {.buf = buf, .len = len};
	int crit, r;
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, &crit, NULL);

	ERR_clear_error();
	if (!names && crit != -1)
		return err_set(err, -EINVAL,
			"has alternative names that cannot be read, or two lists of them");
	r = tls_name_dn(X509_get_subject_name(cert), buf, len);
	if (r == 0) {
		t.used = strlen(buf);
		r = put_sans(&t, cert, names);
	}
	GENERAL_NAMES_free(names);
	if (r == -ENAMETOOLONG)
		return err_set(
			err, r, "has a subject of more than %zu characters", len - 1 - DIGEST_LEN);
	if (r < 0)
		return err_set(err, r,
			"has a name with a NUL, a control character or bytes that are no text in it");
	if (!t.used)
		return err_set(
			err, -EINVAL, "names nobody: it has neither subject nor alternative name");
	return 0;
}
