/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The names in certificates: whose a certificate is (no two are one), and which ones tls-authz
 * means. No connection: certificates are made in memory, with what no sound CA would sign.
 */
#include <check.h>
#include <errno.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/dial.h"
#include "common/tls.h"

static X509 *cert;

static void setup(void)
{
	cert = X509_new();
}

static void teardown(void)
{
	X509_free(cert);
}

static void anew(void)
{
	teardown();
	setup();
}

/* set 0: an RDN of its own, -1: of the one before. */
static void add_bytes(int nid, int type, const void *data, int len, int set)
{
	X509_NAME *name = X509_get_subject_name(cert);
	X509_NAME_ENTRY *e = X509_NAME_ENTRY_create_by_NID(NULL, nid, type, data, len);

	ck_assert(e && X509_NAME_add_entry(name, e, -1, set) == 1);
	X509_NAME_ENTRY_free(e);
}

static void add(int nid, const char *text)
{
	add_bytes(nid, V_ASN1_UTF8STRING, text, (int)strlen(text), 0);
}

static void add_san(int type, const void *data, int len)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	GENERAL_NAME *gn = GENERAL_NAME_new();
	ASN1_STRING *s = ASN1_STRING_type_new(
		type == GEN_IPADD ? V_ASN1_OCTET_STRING : V_ASN1_IA5STRING);

	if (!names)
		names = GENERAL_NAMES_new();
	ck_assert(gn && names && s && ASN1_STRING_set(s, data, len) == 1);
	GENERAL_NAME_set0_value(gn, type, s);
	ck_assert_int_gt(sk_GENERAL_NAME_push(names, gn), 0);
	ck_assert_int_eq(
		X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_REPLACE), 1);
	GENERAL_NAMES_free(names);
}

static void san(int type, const char *text)
{
	add_san(type, text, (int)strlen(text));
}

static const char *name(void)
{
	static char buf[PEER_NAME_MAX];
	struct err err = {0};

	ck_assert_msg(tls_cert_name(cert, buf, sizeof(buf), &err) == 0, "%s", err.text);
	return buf;
}

static void no_name(const char *words)
{
	char buf[PEER_NAME_MAX];
	struct err err = {0};

	ck_assert_int_lt(tls_cert_name(cert, buf, sizeof(buf), &err), 0);
	ck_assert_msg(strstr(err.text, words), "'%s' does not say '%s'", err.text, words);
}

/* -- Whose it is -- */

START_TEST(a_name_is_subject_and_alternative_names)
{
	static const unsigned char v4[] = {192, 0, 2, 1};

	add(NID_countryName, "DE");
	add(NID_organizationName, "Example, Inc.");
	add(NID_commonName, "hosta");
	ck_assert_str_eq(name(), "CN=hosta,O=Example\\, Inc.,C=DE");
	san(GEN_DNS, "hosta");
	add_san(GEN_IPADD, v4, sizeof(v4));
	san(GEN_EMAIL, "root@hosta");
	ck_assert_str_eq(
		name(), "CN=hosta,O=Example\\, Inc.,C=DE;DNS:hosta;IP:192.0.2.1;email:root@hosta");
}
END_TEST

/* Every pair differs in something; so do their names. */
START_TEST(two_certificates_never_have_one_name)
{
	static char names[24][PEER_NAME_MAX];

	for (unsigned i = 0;; i++) {
		anew();
		switch (i) {
		case 0: add(NID_commonName, "hosta"); break;
		case 1: /* another encoding of what looks the same */
			add_bytes(NID_commonName, V_ASN1_BMPSTRING, "\0h\0o\0s\0t\0a", 10, 0);
			break;
		case 2: add_bytes(NID_commonName, V_ASN1_T61STRING, "hosta", 5, 0); break;
		case 3: add_bytes(NID_commonName, V_ASN1_BIT_STRING, "hosta", 5, 0); break;
		case 4: add(NID_commonName, "CN=hosta"); break;
		case 5: add(NID_commonName, "#0C05686F737461"); break;
		case 6: add(NID_commonName, "hosta,O=x"); break;
		case 7:
			add(NID_organizationName, "x");
			add(NID_commonName, "hosta");
			break;
		case 8:
			add(NID_commonName, "hosta");
			add(NID_organizationName, "x");
			break;
		case 9:
			add(NID_commonName, "hosta");
			add_bytes(NID_organizationName, V_ASN1_UTF8STRING, "x", 1, -1);
			break;
		case 10: san(GEN_DNS, "hosta"); break;
		case 11: san(GEN_URI, "hosta"); break;
		case 12: san(GEN_DNS, "hosta;URI:hosta"); break;
		case 13:
			san(GEN_DNS, "hosta");
			san(GEN_URI, "hosta");
			break;
		case 14: add(NID_subject_alt_name, "DNS:hosta"); break;
		case 15:
			add(NID_commonName, "hosta");
			san(GEN_DNS, "hosta");
			break;
		case 16: add(NID_commonName, "hosta;DNS:hosta"); break;
		case 17:
			add(NID_commonName, "hosta");
			san(GEN_DNS, "hostb");
			break;
		default: return;
		}
		strcpy(names[i], name());
		for (unsigned k = 0; k < i; k++)
			ck_assert_msg(
				strcmp(names[k], names[i]), "%u and %u are '%s'", k, i, names[i]);
	}
}
END_TEST

/* A long list of names has a digest; one letter of it makes another. */
START_TEST(long_names_differ_where_they_differ)
{
	char text[64], first[PEER_NAME_MAX];

	for (int last = 0; last < 2; last++) {
		anew();
		add(NID_commonName, "hosta");
		for (int i = 0; i < 100; i++) {
			snprintf(text, sizeof(text), "alias%d.example.org", i);
			san(GEN_DNS, text);
		}
		san(GEN_DNS, last ? "x" : "y");
		ck_assert_int_eq(strncmp(name(), "CN=hosta;SAN-SHA256:", 20), 0);
		if (last)
			ck_assert_str_ne(name(), first);
		strcpy(first, name());
	}
}
END_TEST

/* protocol.md 3: "A name MUST be refused that has a NUL or another control character in it" */
START_TEST(names_that_are_none_are_refused)
{
	static const struct {
		int type, len;
		const char *bytes;
	} cns[] = {{V_ASN1_UTF8STRING, 7, "hosta\0x"}, {V_ASN1_UTF8STRING, 6, "hosta\0"},
		{V_ASN1_PRINTABLESTRING, 7, "hosta\0x"}, {V_ASN1_UTF8STRING, 6, "host\na"},
		{V_ASN1_UTF8STRING, 6, "host\x7f\x61"}, {V_ASN1_UTF8STRING, 7, "host\xc2\x9b\x61"},
		{V_ASN1_UTF8STRING, 6, "host\xff\x61"}, {V_ASN1_IA5STRING, 6, "host\xe4\x61"}};
	static const int kinds[] = {GEN_DNS, GEN_URI, GEN_EMAIL};
	char text[PEER_NAME_MAX] = "";

	no_name("names nobody");
	for (size_t i = 0; i < sizeof(cns) / sizeof(cns[0]); i++) {
		anew();
		add_bytes(NID_commonName, cns[i].type, cns[i].bytes, cns[i].len, 0);
		san(GEN_DNS, "hosta");
		no_name("a NUL, a control character");
	}
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		anew();
		add(NID_commonName, "hosta");
		add_san(kinds[i], "hosta\0.example.org", 18);
		no_name("a NUL, a control character");
	}
	anew();
	memset(text, 'o', sizeof(text) - 1);
	add(NID_organizationName, text);
	no_name("has a subject of more than");
}
END_TEST

/* -- tls-authz -- */

static void fits(const char *text, bool yes)
{
	struct err err = {0};

	ck_assert_msg(tls_authz_check(text, &err) == 0, "%s: %s", text, err.text);
	ck_assert_msg(tls_authz_fits(cert, text) == yes, "'%s' %s '%s'", text,
		yes ? "does not mean" : "means", name());
}

/* What one kind says is not taken for another's. */
START_TEST(kinds_are_not_mixed)
{
	add(NID_commonName, "hosta");
	fits("CN=hosta", true);
	fits("DN:CN=hosta", true);
	fits("dn:cn=hosta", true);
	fits("CN:hosta", true);
	fits("DNS:hosta", false);
	fits("hosta", false);
	fits("URI:hosta", false);
	anew();
	add(NID_commonName, "CN=hosta");
	fits("CN=hosta", false);
	fits("CN=CN=hosta", true);
	fits("CN:CN=hosta", true);
	anew();
	add(NID_commonName, "hostc");
	san(GEN_URI, "CN=hosta");
	san(GEN_DNS, "CN=hosta");
	fits("CN=hosta", false);
	fits("CN:hosta", false);
	fits("URI:CN=hosta", true);
	anew();
	add(NID_commonName, "192.0.2.1");
	san(GEN_DNS, "192.0.2.1");
	fits("192.0.2.1", false);
	fits("IP:192.0.2.1", false);
	fits("DNS:192.0.2.1", true);
	anew();
	add_san(GEN_IPADD, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
	fits("2001:db8::1", true);
	fits("IP:2001:DB8:0::1", true);
	fits("::1", false);
}
END_TEST

START_TEST(a_dn_is_compared_rdn_by_rdn)
{
	add(NID_countryName, "DE");
	add(NID_organizationName, "Example, Inc.");
	add(NID_commonName, "hosta");
	fits("CN=hosta,O=Example\\, Inc.,C=DE", true);
	fits("CN=hosta,O=Example\\2C Inc.,C=DE", true);
	fits("cn = hosta , o=Example\\, Inc. ,2.5.4.6=DE", true);
	fits("commonName=hosta,organizationName=Example\\, Inc.,countryName=DE", true);
	fits("CN=hosta", false);
	fits("CN=hosta,O=Example\\, Inc.", false);
	fits("C=DE,O=Example\\, Inc.,CN=hosta", false);
	fits("CN=hosta,O=example\\, inc.,C=DE", false);
	fits("CN=hosta+O=Example\\, Inc.,C=DE", false);
	fits("OU=hosta,O=Example\\, Inc.,C=DE", false);
	anew();
	add(NID_domainComponent, "org");
	add(NID_domainComponent, "example");
	add(NID_organizationalUnitName, "hosts");
	add_bytes(NID_commonName, V_ASN1_UTF8STRING, "h\xc3\xb6st+1", 7, -1);
	add_bytes(NID_commonName, V_ASN1_BMPSTRING, "\0x", 2, 0);
	fits("CN=#1E020078,CN=h\\C3\\B6st\\+1+OU=hosts,DC=example,DC=org", true);
	fits("CN=#1e020078,OU=hosts+CN=h\xc3\xb6st\\+1,DC=example,DC=org", true);
	fits("CN=x,OU=hosts+CN=h\\C3\\B6st\\+1,DC=example,DC=org", false);
	fits(name(), true); /* what the journal shows can be given */
}
END_TEST

/* Nothing is a value, too: it is nobody's. */
START_TEST(empty_values)
{
	add(NID_commonName, "");
	san(GEN_DNS, "");
	ck_assert_str_eq(name(), "CN=;DNS:");
	fits("CN=*", true);
	fits("CN=a", false);
	fits("DNS:a", false);
	fits("IP:192.0.2.1", false);
}
END_TEST

START_TEST(exact_unless_a_pattern_is_asked_for)
{
	add(NID_organizationName, "x");
	add(NID_commonName, "hosta.example.org");
	san(GEN_DNS, "HostA.example.org");
	san(GEN_DNS, "*.example.net");
	san(GEN_URI, "htab:hosta/1");
	fits("CN=hosta,O=x", false);
	fits("CN=host?.example.org,O=x", true);
	fits("CN=host[ab]*,O=x", true);
	fits("CN=*", false);
	fits("CN=host\\*,O=x", false);
	fits("CN:*.example.org", true);
	fits("hosta.example.org", true);
	fits("DNS:*.example.org", true);
	fits("DNS:*", false);
	fits("DNS:*.org", false);
	fits("DNS:host?.EXAMPLE.org", true);
	fits("DNS:host.example.net", false);
	fits("URI:htab:*", true);
	fits("URI:htab:hosta", false);
}
END_TEST

START_TEST(what_means_nobody_is_refused)
{
	static const char *const bad[] = {"", "CN=", "DN:", "DN:hosta", "DN:CN", "=x", "CN=a,",
		"CN=a,,O=b", "CN=a,O", "CN=a+", "NoSuchType=a", "CN=a\\", "CN=a\\q", "CN=a\\00",
		"CN=a\nO=b", "CN=\"a\"", "CN=a;DNS:a", "/CN=hosta/O=x", "CN=#0", "CN=#zz",
		"CN=#0C0161x", "CN=host[ab", "CN=****", "CN:", "DNS:", "DNS:a b", "DNS:a,b",
		"DNS:.a", "a..b", "IP:", "IP:hosta", "IP:192.0.2.*", "htab:*", "URI:", "FOO:a"};
	char text[600];
	struct err err;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ck_assert_msg(tls_authz_check(bad[i], &err) == -EINVAL, "%s", bad[i]);
		ck_assert_msg(strstr(err.text, "tls-authz"), "%s", err.text);
		ck_assert(!tls_authz_fits(cert, bad[i]));
	}
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	ck_assert_int_eq(tls_authz_check(text, &err), -EINVAL);
	*text = 0;
	for (int i = 0; i < 40; i++)
		strcat(text, i ? ",CN=a" : "CN=a");
	ck_assert_int_eq(tls_authz_check(text, &err), -EINVAL);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("tls-names");
	TCase *t = tcase_create("tls-names");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, a_name_is_subject_and_alternative_names);
	tcase_add_test(t, two_certificates_never_have_one_name);
	tcase_add_test(t, long_names_differ_where_they_differ);
	tcase_add_test(t, names_that_are_none_are_refused);
	tcase_add_test(t, kinds_are_not_mixed);
	tcase_add_test(t, a_dn_is_compared_rdn_by_rdn);
	tcase_add_test(t, empty_values);
	tcase_add_test(t, exact_unless_a_pattern_is_asked_for);
	tcase_add_test(t, what_means_nobody_is_refused);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
