/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is wrong with a certificate, for people. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/tls.h"

struct text {
	char *buf;
	size_t len;
};

static bool add_name(void *arg, const char *kind, const char *name)
{
	struct text *t = arg;
	size_t used = strlen(t->buf);

	if (strcmp(kind, "DNS") == 0 || strcmp(kind, "IP") == 0)
		snprintf(t->buf + used, t->len - used, "%s'%s'", used ? ", " : "", name);
	return true;
}

time_t tls_cert_time(const ASN1_TIME *t)
{
	struct tm tm;

	return t && ASN1_TIME_to_tm(t, &tm) == 1 ? timegm(&tm) : 0;
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
	char names[ERR_TEXT_MAX / 2] = "", cn[TLS_NAME_MAX];
	struct text t = {.buf = names, .len = sizeof(names)};

	tls_name_each_san(cert, add_name, &t);
	if (*names)
		snprintf(buf, len,
			"the certificate of %s is for %s, not '%s': give tls-hostname or a certificate with that name",
			address, names, hostname);
	else if (tls_name_cn(cert, cn, sizeof(cn)))
		snprintf(buf, len,
			"the certificate of %s has no alternative name, and its common name '%.64s' does not count: it needs the subjectAltName '%s'",
			address, cn, hostname);
	else
		snprintf(buf, len,
			"the certificate of %s has no alternative name: it needs the subjectAltName '%s'",
			address, hostname);
}

static void complain_date(X509 *cert, const char *subject, const struct tls_complaint *of,
	bool expired, char *buf, size_t len)
{
	char date[64];

	date_text(
		expired ? X509_get0_notAfter(cert) : X509_get0_notBefore(cert), date, sizeof(date));
	if (expired)
		snprintf(buf, len, "%s expired at %s: renew it%s, or set the clock of this host",
			subject, date, of->own ? "" : " there");
	else
		snprintf(buf, len, "%s is not valid before %s: set the clock%s", subject, date,
			of->own ? " of this host" : "s of both hosts");
}

static void complain_crl(X509_STORE_CTX *ctx, const char *subject, const char *issuer,
	const char *dir, char *buf, size_t len)
{
	const X509_CRL *crl = X509_STORE_CTX_get0_current_crl(ctx);
	char date[64] = "an unknown date";

	switch (X509_STORE_CTX_get_error(ctx)) {
	case X509_V_ERR_CERT_REVOKED:
		snprintf(buf, len, "%s is revoked by its CA (%s/ca-crl.pem)", subject, dir);
		break;
	case X509_V_ERR_CRL_HAS_EXPIRED:
		if (crl && X509_CRL_get0_nextUpdate(crl))
			date_text(X509_CRL_get0_nextUpdate(crl), date, sizeof(date));
		snprintf(buf, len,
			"%s cannot be trusted: %s/ca-crl.pem is out of date, '%s' was to renew it until %s",
			subject, dir, issuer, date);
		break;
	case X509_V_ERR_UNABLE_TO_GET_CRL:
		snprintf(buf, len,
			"%s cannot be trusted: %s/ca-crl.pem has no list of '%s': add it, or remove the file",
			subject, dir, issuer);
		break;
	default:
		snprintf(buf, len, "%s cannot be trusted: the list of '%s' in %s/ca-crl.pem: %s",
			subject, issuer, dir,
			X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
	}
}

static void complain_purpose(
	const char *subject, const struct tls_complaint *of, char *buf, size_t len)
{
	if (of->own)
		snprintf(buf, len, "%s may not be used by a %s: its extended key usage needs %s",
			subject, of->server ? "server" : "client",
			of->server ? "serverAuth" : "clientAuth");
	else
		snprintf(buf, len,
			"%s may not be used by this side of a connection: its extended key usage needs both serverAuth and clientAuth, or the host a certificate for each",
			subject);
}

/* Whose certificate it is, for the beginning of a sentence. */
static void describe(
	X509_STORE_CTX *ctx, X509 *cert, const struct tls_complaint *of, char *buf, size_t len)
{
	char subject[160] = "an unnamed subject", file[200];

	tls_name_dn(X509_get_subject_name(cert), subject, sizeof(subject));
	snprintf(file, sizeof(file), "%.150s/%s", of->dir, tls_creds_cert_file(of->server));
	if (X509_STORE_CTX_get_error_depth(ctx) > 0)
		snprintf(buf, len, "the CA certificate '%s' behind %.200s", subject,
			of->own ? file : of->address);
	else if (of->own)
		snprintf(buf, len, "%s ('%s')", file, subject);
	else
		snprintf(buf, len, "the certificate of %.200s ('%s')", of->address, subject);
}

void tls_cert_complain(X509_STORE_CTX *ctx, const struct tls_complaint *of, char *buf, size_t len)
{
	X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
	int error = X509_STORE_CTX_get_error(ctx);
	char issuer[160] = "an unnamed CA", whose[400];

	if (!cert) {
		snprintf(buf, len, "the certificate of %s was refused: %s",
			of->own ? of->dir : of->address, X509_verify_cert_error_string(error));
		return;
	}
	tls_name_dn(X509_get_issuer_name(cert), issuer, sizeof(issuer));
	describe(ctx, cert, of, whose, sizeof(whose));

	switch (error) {
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		complain_name(cert, of->address, of->hostname, buf, len);
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED: complain_date(cert, whose, of, true, buf, len); break;
	case X509_V_ERR_CERT_NOT_YET_VALID: complain_date(cert, whose, of, false, buf, len); break;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		snprintf(buf, len,
			"%s is signed by '%s', which is not a CA of %s/ca-cert.pem: both hosts need certificates of one CA",
			whose, issuer, of->dir);
		break;
	case X509_V_ERR_INVALID_PURPOSE: complain_purpose(whose, of, buf, len); break;
	case X509_V_ERR_CERT_REVOKED:
	case X509_V_ERR_UNABLE_TO_GET_CRL:
	case X509_V_ERR_CRL_HAS_EXPIRED:
	case X509_V_ERR_CRL_NOT_YET_VALID:
	case X509_V_ERR_CRL_SIGNATURE_FAILURE:
		complain_crl(ctx, whose, issuer, of->dir, buf, len);
		break;
	default:
		snprintf(buf, len, "%s was refused: %s", whose,
			X509_verify_cert_error_string(error));
	}
}
