/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tls-authz: which certificates are meant. One name of one kind, compared with names of that kind
 * alone: what a CA lets its hosts choose in one place must not speak for another. docs/control.md
 * has the grammar.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/dial.h"
#include "common/tls.h"

#define TEXT_MAX  511
#define PARTS_MAX 32
/* fnmatch() tries all ways to share a name between them. */
#define STARS_MAX 3

enum kind {
	DN,
	CN,
	DNS,
	IP,
	URI,
};

static const char *const tags[] = {
	[DN] = "DN", [CN] = "CN", [DNS] = "DNS", [IP] = "IP", [URI] = "URI"};

/* One type=value of a DN; the other kinds have one without a type. */
struct part {
	ASN1_OBJECT *type;
	bool joined;       /* by + to the one before: of one RDN */
	const char *value; /* fnmatch()'s pattern; what stands for itself is escaped */
	unsigned char *der;
	long der_len;
};

struct rule {
	enum kind kind;
	unsigned n;
	struct part parts[PARTS_MAX];
	char arena[2 * TEXT_MAX + PARTS_MAX + 1];
	size_t used;
	unsigned char ip[sizeof(struct in6_addr)];
	int ip_len;
};

static void rule_clear(struct rule *r)
{
	for (unsigned i = 0; i < r->n; i++) {
		ASN1_OBJECT_free(r->parts[i].type);
		OPENSSL_free(r->parts[i].der);
	}
	ERR_clear_error();
}

/* -- Reading it -- */

static int hex_digit(char c)
{
	return isdigit((unsigned char)c)     ? c - '0'
		: isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
					     : -1;
}

/* What follows a backslash (RFC 4514, and what is special here): the byte, or -1. */
static int unescape(const char **p)
{
	const char *s = *p;
	int high = hex_digit(s[0]), low = high < 0 ? -1 : hex_digit(s[1]);

	if (low >= 0) {
		*p += 2;
		return high * 16 + low >= 0x20 && high * 16 + low != 0x7f ? high * 16 + low : -1;
	}
	if (!*s || !strchr(" \"#+,;<=>\\*?[]", *s))
		return -1;
	*p += 1;
	return (unsigned char)*s;
}

static void literal(struct rule *r, char c)
{
	if (strchr("*?[]\\", c))
		r->arena[r->used++] = '\\';
	r->arena[r->used++] = c;
}

/* A value up to one of stops. 0, or -EINVAL and *why. */
static int take_value(struct rule *r, const char **p, const char *stops, const char **why)
{
	struct part *part = &r->parts[r->n - 1];
	size_t end = r->used; /* spaces behind it are not the value's */
	bool bracket = false;
	unsigned stars = 0;
	int c;

	part->value = r->arena + r->used;
	while (**p && (bracket || !strchr(stops, **p))) {
		c = (unsigned char)*(*p)++;
		if (c == '\\') {
			c = unescape(p);
			if (c < 0) {
				*why = "a backslash stands before what needs none";
				return -EINVAL;
			}
			literal(r, (char)c);
			end = r->used;
			continue;
		}
		if (c < 0x20 || c == 0x7f || (*stops && strchr("\";<>", c))) {
			*why = "\", ;, <, > and control characters need a backslash, and what "
			       "follows a ; in a peer's name is not of its DN";
			return -EINVAL;
		}
		stars += c == '*' && !bracket;
		bracket = bracket ? c != ']' : c == '[';
		r->arena[r->used++] = (char)c;
		if (c != ' ' || !*stops)
			end = r->used;
	}
	r->used = end;
	r->arena[r->used++] = '\0';
	*why = bracket              ? "a [ has no ]; \\[ is the character itself"
		: stars > STARS_MAX ? "it has too many *"
		: !*part->value     ? "a value is empty"
				    : NULL;
	return *why ? -EINVAL : 0;
}

/* #hex: the bytes of a value that is no text. */
static int take_der(struct part *part, const char **p, const char **why)
{
	size_t n = strspn(*p, "0123456789abcdefABCDEF");
	char hex[TEXT_MAX + 1];

	memcpy(hex, *p, n);
	hex[n] = '\0';
	*p += n;
	*p += strspn(*p, " ");
	part->der = OPENSSL_hexstr2buf(hex, &part->der_len);
	*why = n && part->der && (!**p || strchr(",+", **p)) ? NULL
							     : "after # come pairs of digits";
	return *why ? -EINVAL : 0;
}

static ASN1_OBJECT *find_type(const char *name)
{
	static const int common[] = {NID_commonName, NID_countryName, NID_localityName,
		NID_stateOrProvinceName, NID_organizationName, NID_organizationalUnitName,
		NID_domainComponent, NID_userId, NID_streetAddress, NID_pkcs9_emailAddress,
		NID_serialNumber, NID_surname, NID_givenName, NID_title, NID_dnQualifier,
		NID_pseudonym};

	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
		if (!strcasecmp(name, OBJ_nid2sn(common[i])) ||
			!strcasecmp(name, OBJ_nid2ln(common[i])))
			return OBJ_nid2obj(common[i]);
	return OBJ_txt2obj(name, 0);
}

static int take_type(struct part *part, const char **p, const char **why)
{
	size_t n;
	char name[64];

	*p += strspn(*p, " ");
	n = strspn(*p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
	*why = "its parts are TYPE=VALUE, with commas between them";
	if (n == 0 || n >= sizeof(name))
		return -EINVAL;
	memcpy(name, *p, n);
	name[n] = '\0';
	*p += n;
	*p += strspn(*p, " ");
	if (**p != '=')
		return -EINVAL;
	++*p;
	*p += strspn(*p, " ");
	part->type = find_type(name);
	*why = "no attribute has such a type: CN, OU, O, L, ST, C, DC, UID, or numbers with dots";
	return part->type ? 0 : -EINVAL;
}

static int parse_dn(struct rule *r, const char *p, const char **why)
{
	int e;

	for (bool joined = false;; joined = *p++ == '+') {
		struct part *part = &r->parts[r->n];

		if (r->n == PARTS_MAX) {
			*why = "it has too many parts";
			return -EINVAL;
		}
		*part = (struct part){.joined = joined};
		r->n++;
		e = take_type(part, &p, why);
		if (e == 0 && *p == '#') {
			p++;
			e = take_der(part, &p, why);
		} else if (e == 0) {
			e = take_value(r, &p, ",+", why);
		}
		if (e < 0 || !*p)
			return e;
	}
}

static int parse_ip(struct rule *r, const char *text, const char **why)
{
	*why = "it is no IPv4 or IPv6 address";
	if (inet_pton(AF_INET, text, r->ip) == 1)
		r->ip_len = 4;
	else if (inet_pton(AF_INET6, text, r->ip) == 1)
		r->ip_len = 16;
	return r->ip_len ? 0 : -EINVAL;
}

static int parse_plain(struct rule *r, const char *p, const char **why)
{
	r->parts[r->n++] = (struct part){0};
	if (r->kind == DNS) {
		*why = "a name of DNS has letters, digits, '-' and '.' (and *, ? and [] in a "
		       "pattern); other kinds begin with DN:, CN:, IP: or URI:";
		for (const char *c = p; *c; c++)
			if (!isalnum((unsigned char)*c) && !strchr("-._*?[]!^", *c))
				return -EINVAL;
		if (*p == '.' || strstr(p, ".."))
			return -EINVAL;
	}
	return take_value(r, &p, "", why);
}

/* Without a tag: what begins as a DN does is one, an address is one, and the rest is DNS. */
static enum kind find_kind(const char **text)
{
	unsigned char ip[sizeof(struct in6_addr)];
	const char *p = *text;

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		size_t n = strlen(tags[i]);

		if (!strncasecmp(p, tags[i], n) && p[n] == ':') {
			*text += n + 1;
			return (enum kind)i;
		}
	}
	p += strspn(p, " abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-");
	if (*p == '=')
		return DN;
	if (inet_pton(AF_INET, *text, ip) == 1 || inet_pton(AF_INET6, *text, ip) == 1)
		return IP;
	return DNS;
}

static int parse(struct rule *r, const char *text, const char **why)
{
	*r = (struct rule){0};
	if (strlen(text) > TEXT_MAX) {
		*why = "it is too long";
		return -EINVAL;
	}
	r->kind = find_kind(&text);
	switch (r->kind) {
	case DN: return parse_dn(r, text, why);
	case IP: return parse_ip(r, text, why);
	case CN:
	case DNS:
	case URI: return parse_plain(r, text, why);
	}
	return -EINVAL;
}

int tls_authz_check(const char *text, struct err *err)
{
	const char *why = NULL;
	struct rule rule;
	int r = parse(&rule, text, &why);

	rule_clear(&rule);
	if (r == 0)
		return 0;
	return err_set(err, r, "'%.200s' names no certificate (tls-authz): %s", text, why);
}

/* -- Comparing -- */

static bool part_fits(const struct part *part, const X509_NAME_ENTRY *e)
{
	const ASN1_STRING *value = X509_NAME_ENTRY_get_data(e);
	unsigned char *der = NULL;
	char text[TLS_NAME_MAX];
	bool fits;
	int n;

	if (OBJ_cmp(part->type, X509_NAME_ENTRY_get_object(e)))
		return false;
	if (!part->der)
		return tls_name_text(value, text, sizeof(text)) && !fnmatch(part->value, text, 0);
	n = i2d_ASN1_PRINTABLE((ASN1_STRING *)value, &der);
	fits = n > 0 && n == part->der_len && !memcmp(der, part->der, (size_t)n);
	OPENSSL_free(der);
	return fits;
}

/* One RDN: n parts, and the entries from..from-n+1 of the name, in any order. */
static bool rdn_fits(const struct part *parts, unsigned n, const X509_NAME *name, int from)
{
	bool taken[PARTS_MAX] = {false};

	for (unsigned i = 0; i < n; i++) {
		unsigned k = 0;

		while (k < n &&
			(taken[k] ||
				!part_fits(&parts[i], X509_NAME_get_entry(name, from - (int)k))))
			k++;
		if (k == n)
			return false;
		taken[k] = true;
	}
	return true;
}

/* RDN by RDN; the text begins with the certificate's last. */
static bool dn_fits(const struct rule *r, const X509_NAME *name)
{
	int left = X509_NAME_entry_count(name);
	unsigned n;

	if (left != (int)r->n)
		return false;
	for (unsigned i = 0; i < r->n; i += n, left -= (int)n) {
		int set = X509_NAME_ENTRY_set(X509_NAME_get_entry(name, left - 1)), of_set = 1;

		for (n = 1; i + n < r->n && r->parts[i + n].joined; n++)
			;
		while (of_set < left &&
			X509_NAME_ENTRY_set(X509_NAME_get_entry(name, left - 1 - of_set)) == set)
			of_set++;
		if (of_set != (int)n || !rdn_fits(&r->parts[i], n, name, left - 1))
			return false;
	}
	return true;
}

/* Label by label: no pattern goes across a dot. */
static bool dns_fits(const char *pattern, const char *name)
{
	char p[TLS_NAME_MAX * 2], n[TLS_NAME_MAX];

	for (;;) {
		size_t pl = strcspn(pattern, "."), nl = strcspn(name, ".");

		if (pl >= sizeof(p) || nl >= sizeof(n) || !pattern[pl] != !name[nl])
			return false;
		snprintf(p, sizeof(p), "%.*s", (int)pl, pattern);
		snprintf(n, sizeof(n), "%.*s", (int)nl, name);
		if (fnmatch(p, n, FNM_CASEFOLD))
			return false;
		if (!pattern[pl])
			return true;
		pattern += pl + 1;
		name += nl + 1;
	}
}

struct search {
	const struct rule *rule;
	bool found;
};

static bool try_san(void *arg, const char *kind, const char *name)
{
	struct search *s = arg;
	const struct rule *r = s->rule;
	unsigned char ip[sizeof(struct in6_addr)];

	if (strcmp(kind, tags[r->kind]) != 0)
		return true;
	if (r->kind == IP)
		s->found = inet_pton(r->ip_len == 4 ? AF_INET : AF_INET6, name, ip) == 1 &&
			!memcmp(ip, r->ip, (size_t)r->ip_len);
	else if (r->kind == DNS)
		s->found = dns_fits(r->parts[0].value, name);
	else
		s->found = !fnmatch(r->parts[0].value, name, 0);
	return !s->found;
}

bool tls_authz_fits(X509 *cert, const char *text)
{
	struct rule rule;
	struct search s = {.rule = &rule};
	const char *why;
	char cn[TLS_NAME_MAX];

	if (parse(&rule, text, &why) < 0)
		;
	else if (rule.kind == DN)
		s.found = dn_fits(&rule, X509_get_subject_name(cert));
	else if (rule.kind == CN)
		s.found = tls_name_cn(cert, cn, sizeof(cn)) && !fnmatch(rule.parts[0].value, cn, 0);
	else
		tls_name_each_san(cert, try_san, &s);
	rule_clear(&rule);
	return s.found;
}
