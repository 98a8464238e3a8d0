/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/control/latesock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/limits.h"
#include "daemon/server.h"

struct late_sock {
	TAILQ_ENTRY(late_sock) link;
	struct server *srv;
	struct qmp_sock *sock;
	struct event *timer;
	char vm[VM_NAME_MAX + 1];
};

static void late_free(struct late_sock *l)
{
	TAILQ_REMOVE(&l->srv->late_socks, l, link);
	qmp_sock_free(l->sock);
	event_free(l->timer);
	free(l);
}

static void late_cb(evutil_socket_t fd, short what, void *arg)
{
	late_free(arg);
}

void latesock_keep(struct server *srv, struct vm *vm)
{
	struct timeval tv = limit_tv(LIMIT_LATE_SOCKET);
	struct late_sock *l = calloc(1, sizeof(*l));

	if (l)
		l->timer = evtimer_new(srv->base, late_cb, l);
	if (!l || !l->timer || event_add(l->timer, &tv) < 0) {
		free(l);
		vm->sock = qmp_sock_free(vm->sock);
		return;
	}
	l->srv = srv;
	l->sock = vm->sock;
	vm->sock = NULL;
	snprintf(l->vm, sizeof(l->vm), "%s", vm->reg.name);
	TAILQ_INSERT_TAIL(&srv->late_socks, l, link);
}

void latesock_end(struct server *srv, const char *vm)
{
	struct late_sock *l, *next;

	for (l = TAILQ_FIRST(&srv->late_socks); l; l = next) {
		next = TAILQ_NEXT(l, link);
		if (!vm || !strcmp(vm, l->vm))
			late_free(l);
	}
}
