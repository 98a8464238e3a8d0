/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/base/service.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"

/* What has to be told before anything else. */
static bool reloading_due, ready_due;

static int notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;
	int fd, r = 0;

	if (len < 2 || len > sizeof(a.sun_path) || (path[0] != '/' && path[0] != '@'))
		return 0;
	memcpy(a.sun_path, path, len);
	if (path[0] == '@')
		a.sun_path[0] = 0;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return 0;
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&a,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0 &&
		errno == EAGAIN)
		r = -EAGAIN;
	close(fd);
	return r;
}

static int tell_due(void)
{
	char text[80];

	if (reloading_due) {
		snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
			(uint64_t)(clock_ns() / NS_PER_US));
		if (notify(text) < 0)
			return -EAGAIN;
		reloading_due = false;
	}
	if (ready_due) {
		if (notify("READY=1") < 0)
			return -EAGAIN;
		ready_due = false;
	}
	return 0;
}

int service_notify(const char *text)
{
	return tell_due() < 0 ? -EAGAIN : notify(text);
}

void service_reloading(void)
{
	reloading_due = true;
	tell_due();
}

void service_ready(void)
{
	ready_due = true;
	tell_due();
}
