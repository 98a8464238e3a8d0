/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A source that was killed comes back without its session, while that waits here for its
 * connections (rejoin.c). Its OPEN ends the session, is kept until that is DEAD, and is then heard
 * like any other, under the permission that the session came with.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/dest/dest.h"
#include "daemon/base/log.h"
#include "daemon/server.h"

struct reopen {
	struct migration *before; /* whose it is */
	struct peer *peer;
	struct wire_open open;
	struct event *over; /* before has ended */
};

struct reopen *reopen_free(struct reopen *o)
{
	if (!o)
		return NULL;
	if (o->over)
		event_free(o->over);
	peer_free(o->peer);
	free(o);
	return NULL;
}

bool reopen_may(const struct migration *m, const struct peer *p)
{
	return m && m->incoming && !m->switched &&
		(m->state == MIG_IN_CUT || m->state == MIG_IN_RESUME) &&
		!strcmp(stream_peer(peer_stream(p)), m->peer_name);
}

/* -- it waits for ACCEPT -- */

static int waiting_frame(
	void *arg, struct peer *p, enum wire_type type, const uint8_t *body, size_t len)
{
	struct migration *before = arg;

	if (type != WIRE_ABORT)
		return -EBADMSG; /* nothing else comes before ACCEPT */
	before->next = reopen_free(before->next);
	return 0;
}

static void waiting_closed(void *arg, struct peer *p, const struct err *err)
{
	struct migration *before = arg;

	before->next = reopen_free(before->next);
}

static const struct peer_ops waiting_ops = {.frame = waiting_frame, .closed = waiting_closed};

static void over_cb(evutil_socket_t fd, short what, void *arg)
{
	struct reopen *o = arg;
	struct migration *before = o->before;
	struct peer *p = o->peer;
	struct wire_open open = o->open;

	o->peer = NULL;
	before->next = reopen_free(o);
	dest_open_after(before->srv, p, &open, before);
}

int reopen_wait(struct migration *before, struct peer *p, const struct wire_open *open)
{
	struct reopen *o = calloc(1, sizeof(*o));
	struct err err;

	if (o)
		o->over = evtimer_new(before->srv->base, over_cb, o);
	if (!o || !o->over) {
		free(o);
		return -ENOMEM;
	}
	o->before = before;
	o->peer = p;
	o->open = *open;
	before->next = o;
	peer_set_ops(p, &waiting_ops, before);
	peer_keepalive(p);
	log_note("vm %s: its source began anew, at %s", before->vm_name,
		stream_address(peer_stream(p)));
	err_set(&err, -ECANCELED,
		"its source began anew: another migration of VM %s took this one's place",
		before->vm_name);
	dest_stop(before, MIG_FAILED, WIRE_REFUSE_FAILED, &err);
	return 0;
}

void reopen_over(struct migration *before)
{
	struct timeval now = {0};

	if (before->next && event_add(before->next->over, &now) < 0)
		abort();
}
