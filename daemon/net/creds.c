/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/creds.h"

#include <stdio.h>
#include <time.h>

#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/server.h"

static void warn(const struct tls_creds *c)
{
	char text[ERR_TEXT_MAX];

	if (*tls_creds_warning(c))
		log_warn("%s", tls_creds_warning(c));
	if (tls_creds_ending(c, text, sizeof(text)))
		log_warn("%s", text);
}

int creds_load(const struct server *srv, const char *dir, struct tls_creds **ret, struct err *err)
{
	int r = tls_creds_load(dir, ret, err);

	if (r < 0)
		return r;
	tls_creds_set_ktls(*ret, !srv->config.no_ktls);
	warn(*ret);
	return 0;
}

static void look_cb(evutil_socket_t fd, short what, void *arg)
{
	struct server *srv = arg;

	if (srv->creds)
		warn(srv->creds);
	server_status(srv);
	creds_watch(srv);
}

void creds_watch(struct server *srv)
{
	struct timeval tv = limit_tv(LIMIT_CREDS_CHECK);

	if (!srv->creds_timer)
		srv->creds_timer = evtimer_new(srv->base, look_cb, srv);
	if (!srv->creds_timer || event_add(srv->creds_timer, &tv) < 0)
		log_warn("nothing will tell when the certificates expire: out of memory");
}

const char *creds_end(const struct server *srv, char *buf, size_t len)
{
	time_t end = tls_creds_expires(srv->creds);
	struct tm tm;

	if (!gmtime_r(&end, &tm) || !strftime(buf, len, "%Y-%m-%dT%H:%M:%SZ", &tm))
		*buf = '\0';
	return buf;
}

void creds_warnings(const struct server *srv, struct json_object *list)
{
	char text[ERR_TEXT_MAX];

	if (!srv->creds)
		return;
	if (*tls_creds_warning(srv->creds))
		json_object_array_add(list, json_object_new_string(tls_creds_warning(srv->creds)));
	if (tls_creds_ending(srv->creds, text, sizeof(text)))
		json_object_array_add(list, json_object_new_string(text));
}
