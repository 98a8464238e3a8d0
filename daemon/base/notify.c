/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/base/notify.h"

#include <event2/event.h>
#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/fd.h"

struct notify {
	int fd;
	atomic_bool posted; /* and fn has not begun since: once more needs no write */
	struct event *event;
	void (*fn)(void *arg);
	void *arg;
};

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct notify *n = arg;
	uint64_t count;

	if (read(fd, &count, sizeof(count)) < 0)
		assert(errno == EAGAIN);
	atomic_store(&n->posted, false);
	n->fn(n->arg);
}

int notify_new(struct event_base *base, void (*fn)(void *arg), void *arg, struct notify **ret)
{
	struct notify *n = calloc(1, sizeof(*n));
	int r;

	if (!n)
		return -ENOMEM;
	n->fn = fn;
	n->arg = arg;
	n->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (n->fd < 0) {
		r = -errno;
		goto fail;
	}
	n->event = event_new(base, n->fd, EV_READ | EV_PERSIST, on_event, n);
	if (!n->event || event_add(n->event, NULL) < 0) {
		r = -ENOMEM;
		goto fail;
	}
	*ret = n;
	return 0;
fail:
	notify_free(n);
	return r;
}

void notify_post(struct notify *n)
{
	uint64_t one = 1;

	if (atomic_exchange(&n->posted, true))
		return;
	if (write(n->fd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN); /* the counter is full: the loop will come */
}

struct notify *notify_free(struct notify *n)
{
	if (n) {
		if (n->event)
			event_free(n->event);
		fd_close(n->fd);
		free(n);
	}
	return NULL;
}
