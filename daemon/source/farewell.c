/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/source/farewell.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/server.h"

#define FAREWELLS_MAX 64 /* at once; further ones are said once */

struct farewell {
	TAILQ_ENTRY(farewell) link; /* server.farewells */
	struct server *srv;
	char vm_name[VM_NAME_MAX + 1];
	char uri_text[URI_MAX];
	struct uri uri;
	char hostname[PARAM_TEXT_MAX];
	char peer_name[PEER_NAME_MAX];
	struct tls_creds *creds; /* NULL: plaintext */
	struct wire_resume resume;
	enum wire_refusal code;
	char text[WIRE_TEXT_MAX];
	struct dial *dial;
	struct peer *peer;
	bool greeted; /* this connection has its WELCOME, or is the session's */
	struct event *timer;
	uint64_t deadline; /* of clock_ns(): the destination waits no longer, it is assumed */
	unsigned attempts;
};

static void hang_up(struct farewell *f)
{
	f->dial = dial_cancel(f->dial);
	f->peer = peer_free(f->peer);
	event_del(f->timer);
}

static void farewell_free(struct farewell *f)
{
	hang_up(f);
	TAILQ_REMOVE(&f->srv->farewells, f, link);
	f->srv->n_farewells--;
	event_free(f->timer);
	tls_creds_unref(f->creds);
	free(f);
}

static void wait_ms(struct farewell *f, int64_t ms)
{
	struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

	event_add(f->timer, &tv);
}

/* Nobody has heard it yet: later, if that can still help. */
static void again(struct farewell *f, const char *why)
{
	int64_t ms = limit_backoff_ms(f->attempts);

	hang_up(f);
	log_debug("vm %s: %s has not heard that its session is over: %s", f->vm_name, f->uri_text,
		why);
	if (clock_ns() + (uint64_t)ms * NS_PER_MS >= f->deadline) {
		log_warn("vm %s: %s could not be told that the session is over: it keeps its VM "
			 "until its own recover-timeout: %s",
			f->vm_name, f->uri_text, why);
		farewell_free(f);
		return;
	}
	wait_ms(f, ms);
}

static int frame(void *arg, struct peer *p, enum wire_type type, const uint8_t *body, size_t len)
{
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];
	struct farewell *f = arg;

	switch ((unsigned)type) {
	case WIRE_WELCOME:
		if (f->greeted || peer_welcome(p, body, len) < 0)
			return -EBADMSG;
		f->greeted = true;
		peer_send(p, buf, wire_pack_resume(&f->resume, buf, sizeof(buf)));
		peer_send_refuse(p, WIRE_ABORT, f->code, f->text);
		return 0;
	case WIRE_ABORT:
	case WIRE_REFUSE: /* it is over there too, or never was */ farewell_free(f); return 0;
	default: return f->greeted ? 0 : -EBADMSG; /* what was under way */
	}
}

static void closed(void *arg, struct peer *p, const struct err *err)
{
	again(arg, err->text);
}

static const struct peer_ops ops = {.frame = frame, .closed = closed};

static void dialled(void *arg, struct stream *stream, const struct err *err)
{
	struct farewell *f = arg;

	f->dial = NULL;
	if (!stream) {
		again(f, err->text);
		return;
	}
	if (strcmp(stream_peer(stream), f->peer_name)) {
		stream_free(stream);
		again(f, "another host answers there");
		return;
	}
	if (peer_new(f->srv->base, stream, &ops, f, &f->peer) < 0) {
		again(f, "out of memory");
		return;
	}
	peer_send_hello(f->peer, WIRE_ROLE_CONTROL, f->srv->config.name);
}

static void timer_cb(evutil_socket_t fd, short what, void *arg)
{
	struct farewell *f = arg;
	struct err err;

	if (f->dial || f->peer) {
		again(f, "no answer");
		return;
	}
	f->attempts++;
	f->greeted = false;
	wait_ms(f, limit_ms(LIMIT_FAREWELL));
	if (dial_start(f->srv->base, &f->uri, f->creds, f->hostname[0] ? f->hostname : NULL,
		    limit_ms(LIMIT_FAREWELL), dialled, f, &f->dial, &err) < 0)
		again(f, err.text);
}

static struct farewell *farewell_new(struct migration *m, enum wire_refusal code, const char *text)
{
	struct server *srv = m->srv;
	struct farewell *f = srv->n_farewells < FAREWELLS_MAX ? calloc(1, sizeof(*f)) : NULL;
	struct err err;

	if (!f)
		return NULL;
	f->timer = evtimer_new(srv->base, timer_cb, f);
	if (!f->timer || server_creds(srv, m->agreed.tls_creds, &f->creds, &err) < 0) {
		if (f->timer)
			event_free(f->timer);
		free(f);
		return NULL;
	}
	f->srv = srv;
	TAILQ_INSERT_TAIL(&srv->farewells, f, link);
	srv->n_farewells++;
	snprintf(f->vm_name, sizeof(f->vm_name), "%s", m->vm_name);
	snprintf(f->uri_text, sizeof(f->uri_text), "%s", m->uri_text);
	snprintf(f->hostname, sizeof(f->hostname), "%s", m->agreed.tls_hostname);
	snprintf(f->peer_name, sizeof(f->peer_name), "%s", m->peer_name);
	snprintf(f->text, sizeof(f->text), "%s", text);
	f->uri = m->uri;
	f->code = code;
	f->resume = (struct wire_resume){.session = m->session, .uuid = m->uuid};
	memcpy(f->resume.secret, m->secret, sizeof(f->resume.secret));
	f->deadline = clock_ns() + (uint64_t)m->tuning.recover_timeout * NS_PER_SEC;
	return f;
}

void farewell_say(struct migration *m, struct peer *peer, enum wire_refusal code, const char *text)
{
	struct farewell *f = farewell_new(m, code, text);

	if (peer)
		peer_send_refuse(peer, WIRE_ABORT, code, text);
	if (!f && peer)
		peer_linger(peer);
	if (!f)
		return;
	if (!peer) {
		wait_ms(f, 0);
		return;
	}
	f->peer = peer;
	f->greeted = true;
	peer_set_ops(peer, &ops, f);
	peer_push(peer);
	wait_ms(f, limit_ms(LIMIT_FAREWELL));
}

void farewell_end_all(struct server *srv)
{
	struct farewell *f;

	while ((f = TAILQ_FIRST(&srv->farewells)))
		farewell_free(f);
}
