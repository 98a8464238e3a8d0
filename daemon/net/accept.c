/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/net/accept.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/foreign.h"
#include "common/share.h"
#include "daemon/dest/dest.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"

struct accepted {
	TAILQ_ENTRY(accepted) link;
	struct server *srv;
	struct dial *dial; /* until its handshake is over */
	struct peer *peer;
	struct event *timer;
	uint64_t owner; /* share_owner() */
	bool greeted;
	enum wire_role role;
};

static void forget(struct accepted *a);

/*
 * One connection that has not said what it is for goes, for another: silent ones are in nobody's
 * way. Those that a client gave are not strangers'.
 */
static void make_room(struct server *srv)
{
	struct accepted *a, *all[ACCEPTED_MAX];
	uint64_t owners[ACCEPTED_MAX];
	unsigned n = 0;
	struct peer *p;

	TAILQ_FOREACH (a, &srv->accepted, link) {
		if (!a->peer)
			continue;
		owners[n] = a->owner;
		all[n++] = a;
	}
	if (n == 0)
		return;
	a = all[share_victim(owners, n)];
	p = a->peer;
	log_stranger(LOG_NETWORK, SD_WARNING,
		"%s did not say what for before %d others connected, and makes room",
		stream_address(peer_stream(p)), ACCEPTED_MAX);
	forget(a);
	peer_free(p);
}

static struct accepted *accepted_new(struct server *srv)
{
	struct accepted *a;

	if (srv->n_accepted == ACCEPTED_MAX)
		make_room(srv);
	a = srv->n_accepted < ACCEPTED_MAX && !srv->stopping ? calloc(1, sizeof(*a)) : NULL;
	if (!a)
		return NULL;
	a->srv = srv;
	TAILQ_INSERT_TAIL(&srv->accepted, a, link);
	srv->n_accepted++;
	return a;
}

/* The peer has another owner now, or is freed by the caller. */
static void forget(struct accepted *a)
{
	TAILQ_REMOVE(&a->srv->accepted, a, link);
	a->srv->n_accepted--;
	if (a->timer)
		event_free(a->timer);
	free(a);
}

static void closed(void *arg, struct peer *p, const struct err *err)
{
	struct accepted *a = arg;

	log_stranger(LOG_NETWORK, SD_INFO, "%s", err->text);
	forget(a);
	peer_free(p);
}

static void timeout_cb(evutil_socket_t fd, short what, void *arg)
{
	struct accepted *a = arg;
	struct peer *p = a->peer;

	log_stranger(LOG_NETWORK, SD_WARNING, "%s connected and did not say what for within %d s",
		stream_address(peer_stream(p)), limit_s(LIMIT_GREETING));
	forget(a);
	peer_free(p);
}

static int hello(struct accepted *a, const uint8_t *body, size_t len)
{
	struct wire_hello hello;
	struct wire_welcome welcome = {.features = 0};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];
	char text[WIRE_TEXT_MAX];
	struct peer *p = a->peer;

	if (wire_unpack_hello(body, len, &hello) < 0)
		return -EBADMSG;
	if (wire_choose_version(hello.version_min, hello.version_max, &welcome.version) < 0) {
		snprintf(text, sizeof(text),
			"this daemon speaks versions %u to %u of the protocol, the other one %u to %u: "
			"use releases that overlap",
			WIRE_VERSION_MIN, WIRE_VERSION_MAX, hello.version_min, hello.version_max);
		log_stranger(LOG_NETWORK, SD_WARNING, "refused %s: %s",
			stream_address(peer_stream(p)), text);
		peer_send_refuse(p, WIRE_REFUSE, WIRE_REFUSE_VERSION, text);
		forget(a);
		peer_finish(p);
		return 0;
	}
	welcome.features = hello.features & WIRE_FEATURES;
	peer_set_features(p, welcome.features);
	snprintf(welcome.name, sizeof(welcome.name), "%s", a->srv->config.name);
	a->role = hello.role;
	a->greeted = true;
	peer_send(p, buf, wire_pack_welcome(&welcome, buf, sizeof(buf)));
	return 0;
}

/* Messages after HELLO; the peer goes to whom the role says. */
static int first(struct accepted *a, enum wire_type type, const uint8_t *body, size_t len)
{
	struct server *srv = a->srv;
	struct peer *p = a->peer;
	union {
		struct wire_open open;
		struct wire_join join;
		struct wire_resume resume;
		struct wire_session session;
	} m;

	if (a->role == WIRE_ROLE_CONTROL && type == WIRE_OPEN &&
		wire_unpack_open(body, len, &m.open) == 0) {
		forget(a);
		dest_open(srv, p, &m.open);
		return 0;
	}
	if (a->role == WIRE_ROLE_CONTROL && type == WIRE_RESUME &&
		wire_unpack_resume(body, len, &m.resume) == 0) {
		forget(a);
		rejoin_resume(srv, p, &m.resume);
		return 0;
	}
	if (a->role == WIRE_ROLE_DATA && type == WIRE_JOIN &&
		wire_unpack_join(body, len, &m.join) == 0) {
		forget(a);
		dest_join(srv, p, &m.join);
		return 0;
	}
	if (a->role == WIRE_ROLE_QUESTION && type == WIRE_COMMIT &&
		wire_unpack_session(body, len, &m.session) == 0) {
		forget(a);
		dest_question(srv, p, &m.session);
		return 0;
	}
	return -EBADMSG;
}

static int frame(void *arg, struct peer *p, enum wire_type type, const uint8_t *body, size_t len)
{
	struct accepted *a = arg;

	if (!a->greeted)
		return type == WIRE_HELLO ? hello(a, body, len) : -EBADMSG;
	return first(a, type, body, len);
}

static const struct peer_ops ops = {.frame = frame, .closed = closed};

void accept_stream(void *arg, struct stream *stream, const struct err *err)
{
	struct timeval tv = limit_tv(LIMIT_GREETING);
	struct sockaddr_storage sa = {0};
	socklen_t sa_len = sizeof(sa);
	struct server *srv = arg;
	struct accepted *a;

	if (!stream) {
		log_stranger(LOG_NETWORK, SD_WARNING, "%s", err->text);
		return;
	}
	a = accepted_new(srv);
	if (!a) {
		log_stranger(LOG_NETWORK, SD_WARNING, "%s is turned away: too many connections",
			stream_address(stream));
		stream_free(stream);
		return;
	}
	if (getpeername(stream_fd(stream), (struct sockaddr *)&sa, &sa_len) == 0)
		a->owner = share_owner((struct sockaddr *)&sa);
	a->timer = evtimer_new(srv->base, timeout_cb, a);
	if (!a->timer || event_add(a->timer, &tv) < 0) {
		stream_free(stream);
		forget(a);
	} else if (peer_new(srv->base, stream, &ops, a, &a->peer) < 0) {
		forget(a);
	}
}

static void fd_cb(void *arg, struct stream *stream, const struct err *err)
{
	struct accepted *a = arg;
	struct server *srv = a->srv;

	forget(a);
	accept_stream(srv, stream, err);
}

int accept_fd(struct server *srv, int fd, struct tls_creds *creds, struct err *err)
{
	struct accepted *a = accepted_new(srv);
	int r;

	if (!a) {
		foreign_close(fd);
		return err_set(err, -EBUSY, "too many connections wait to say what they are for");
	}
	r = dial_fd(srv->base, fd, true, creds, NULL, limit_ms(LIMIT_HANDSHAKE), fd_cb, a, &a->dial,
		err);
	if (r < 0)
		forget(a);
	return r;
}

void accept_close_all(struct server *srv)
{
	struct accepted *a;

	while ((a = TAILQ_FIRST(&srv->accepted))) {
		struct peer *p = a->peer;

		dial_cancel(a->dial);
		forget(a);
		peer_free(p);
	}
}
