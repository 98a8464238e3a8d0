/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "common/net.h"
#include "proto/text.h"

#define NAME_CHARS "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"

static const char *after(const char *text, const char *scheme)
{
	size_t n = strlen(scheme);

	return strncmp(text, scheme, n) == 0 ? text + n : NULL;
}

static int set_path(struct uri *u, const char *text, const char *path, size_t max, struct err *err)
{
	size_t len = strlen(path);

	if (!len)
		return err_set(err, -EINVAL, "the URI '%s' ends after its colon: %s", text,
			u->kind == URI_FD ? "give the name of a descriptor" : "give a path");
	if (len > max)
		return err_set(err, -EINVAL,
			"the URI '%s' is too long: at most %zu characters may follow its colon",
			text, max);
	memcpy(u->path, path, len + 1);
	return 0;
}

static int set_port(struct uri *u, const char *text, const char *port, struct err *err)
{
	size_t len = strlen(port);
	unsigned long n;

	if (!len || len > 5 || strspn(port, "0123456789") != len)
		return err_set(err, -EINVAL,
			"the port '%s' in '%s' is not a number from 0 to 65535", port, text);
	n = strtoul(port, NULL, 10);
	if (n > 65535)
		return err_set(err, -EINVAL,
			"the port '%s' in '%s' is not a number from 0 to 65535", port, text);
	snprintf(u->port, sizeof(u->port), "%lu", n);
	return 0;
}

/* Letters, digits, '-' and '_', and dots between them. IPv4 addresses are such names as well. */
static bool is_host_name(const char *host)
{
	size_t n;

	if (!*host)
		return false;
	for (const char *p = host; *p; p += n + (p[n] == '.')) {
		n = strspn(p, NAME_CHARS);
		if (!n || p[0] == '-' || p[n - 1] == '-' || (p[n] && p[n] != '.'))
			return false;
	}
	return true;
}

int uri_check_host(const char *host, struct err *err)
{
	struct in6_addr address;
	int n = 0;

	if (is_host_name(host) || inet_pton(AF_INET6, host, &address) == 1)
		return 0;
	while (host[n] > ' ' && host[n] < 0x7f) /* as far as it can be shown */
		n++;
	return err_set(err, -EINVAL, "'%.*s%s' is neither a host name nor an address", n, host,
		host[n] ? "..." : "");
}

static int set_host(struct uri *u, const char *text, const char *host, size_t len, bool bracketed,
	struct err *err)
{
	static const char v6[] = "0123456789abcdefABCDEF:.";
	size_t ok;

	if (len >= sizeof(u->host))
		return err_set(err, -EINVAL, "the host in '%s' is longer than %zu characters", text,
			sizeof(u->host) - 1);
	if (!bracketed && len == 1 && *host == '*')
		len = 0;
	memcpy(u->host, host, len);
	u->host[len] = '\0';
	ok = bracketed ? strspn(u->host, v6) : len;
	/* A link-local address names its interface: fe80::1%eth0. */
	if (bracketed && u->host[ok] == '%')
		ok += 1 + strspn(u->host + ok + 1, NAME_CHARS ".");
	if (ok < len || (bracketed ? !strchr(u->host, ':') : len && !is_host_name(u->host)))
		return err_set(err, -EINVAL, "'%s' in '%s' is neither a host name nor an address",
			u->host, text);
	return 0;
}

static int parse_tcp(struct uri *u, const char *text, const char *rest, struct err *err)
{
	const char *host = rest, *end, *port;
	bool bracketed = *rest == '[';
	int r;

	if (bracketed) {
		host = rest + 1;
		end = strchr(host, ']');
		if (!end || (end[1] != '\0' && end[1] != ':'))
			return err_set(err, -EINVAL,
				"the address in '%s' lacks its ']': write tcp:[ADDRESS]:PORT",
				text);
		port = end[1] == ':' ? end + 2 : NULL;
	} else {
		end = host + strcspn(host, ":");
		port = *end ? end + 1 : NULL;
		if (port && strchr(port, ':'))
			return err_set(err, -EINVAL,
				"'%s' has too many colons: an IPv6 address is written tcp:[ADDRESS]:PORT",
				text);
	}
	r = set_host(u, text, host, (size_t)(end - host), bracketed, err);
	return r < 0 ? r : set_port(u, text, port ? port : DIAL_PORT, err);
}

bool uri_is_file(const char *text)
{
	return after(text, "file:");
}

int uri_parse(const char *text, struct uri *ret, struct err *err)
{
	struct uri u = {0};
	const char *rest;
	int r;

	if (strlen(text) >= URI_MAX)
		return err_set(err, -EINVAL, "the URI '%.40s...' is longer than %d characters",
			text, URI_MAX - 1);
	if (!text_is_clean(text))
		return err_set(
			err, -EINVAL, "the URI '%s' has a control character or is no UTF-8", text);
	if ((rest = after(text, "tcp:"))) {
		u.kind = URI_TCP;
		r = parse_tcp(&u, text, rest, err);
	} else if ((rest = after(text, "unix:"))) {
		u.kind = URI_UNIX;
		r = set_path(&u, text, rest, sizeof(((struct sockaddr_un *)0)->sun_path) - 1, err);
	} else if ((rest = after(text, "fd:"))) {
		u.kind = URI_FD;
		r = set_path(&u, text, rest, sizeof(u.path) - 1, err);
	} else if ((rest = after(text, "file:"))) {
		u.kind = URI_FILE;
		r = set_path(&u, text, rest, sizeof(u.path) - 1, err);
	} else {
		r = err_set(err, -EINVAL,
			"'%s' is not a URI that is known here: write tcp:HOST:PORT, unix:PATH, fd:NAME or file:PATH",
			text);
	}
	if (r == 0)
		*ret = u;
	return r;
}

const char *uri_format(const struct uri *uri, char *buf, size_t len)
{
	switch (uri->kind) {
	case URI_TCP:
		if (strchr(uri->host, ':'))
			snprintf(buf, len, "tcp:[%s]:%s", uri->host, uri->port);
		else
			snprintf(buf, len, "tcp:%s:%s", uri->host, uri->port);
		break;
	case URI_UNIX: snprintf(buf, len, "unix:%s", uri->path); break;
	case URI_FD: snprintf(buf, len, "fd:%s", uri->path); break;
	case URI_FILE: snprintf(buf, len, "file:%s", uri->path); break;
	}
	return buf;
}

const char *uri_format_sockaddr(const struct sockaddr *sa, socklen_t salen, char *buf, size_t len)
{
	char host[NI_MAXHOST], port[NI_MAXSERV];
	struct uri u = {.kind = URI_TCP};

	if (sa->sa_family == AF_UNIX) {
		const struct sockaddr_un *un = (const struct sockaddr_un *)sa;
		size_t head = offsetof(struct sockaddr_un, sun_path);
		/* Neither unnamed nor abstract ones have a path to show. */
		bool named = salen > head && un->sun_path[0];

		snprintf(buf, len, "unix:%.*s", named ? (int)(salen - head) : 0, un->sun_path);
		return buf;
	}
	if (getnameinfo(sa, salen, host, sizeof(host), port, sizeof(port),
		    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
		snprintf(buf, len, "an unknown address");
		return buf;
	}
	snprintf(u.host, sizeof(u.host), "%.255s", host);
	snprintf(u.port, sizeof(u.port), "%.31s", port);
	return uri_format(&u, buf, len);
}

int uri_check_interface(const struct sockaddr *sa, const struct uri *uri, struct err *err)
{
	struct sockaddr_in6 in6;

	if (sa->sa_family != AF_INET6)
		return 0;
	memcpy(&in6, sa, sizeof(in6));
	if (!IN6_IS_ADDR_LINKLOCAL(&in6.sin6_addr) || in6.sin6_scope_id)
		return 0;
	return err_set(err, -EINVAL,
		"'%s' is a link-local address, which every interface has: name the one that it is "
		"reached by, as in tcp:[fe80::1%%eth0]:%s",
		uri->host, uri->port);
}
