/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "proto/htab.h"
#include "vmm/vmmcommon.h"

int monitor_open(struct monitor *m, const char *path)
{
	struct stat st;
	int fd;

	*m = (struct monitor){.fd = -1};
	if (mkfifo(path, 0600) < 0 && errno != EEXIST) {
		vmm_refuse("monitor", path, strerror(errno));
		return -errno;
	}
	/* For writing too: with no other writer it is not at its end. */
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		vmm_refuse("monitor", path, strerror(errno));
		fd_close(fd);
		return -EINVAL;
	}
	if (!S_ISFIFO(st.st_mode)) {
		fd_close(fd);
		return vmm_refuse("monitor", path, "it should be a FIFO, or nothing yet");
	}
	m->fd = fd;
	return 0;
}

static bool parse(const char *line, struct wish *ret)
{
	unsigned order = 0;
	char verb[8], rest;
	int n = sscanf(line, "%7s %u %c", verb, &order, &rest);

	if (n < 1 || n > 2 || (n == 2 && !htab_order_ok(order)))
		return false;
	if (strcmp(verb, "reset") == 0)
		*ret = (struct wish){WISH_RESET, order};
	else if (strcmp(verb, "resize") == 0 && n == 2)
		*ret = (struct wish){WISH_RESIZE, order};
	else
		return false;
	return true;
}

bool monitor_next(struct monitor *m, struct wish *ret)
{
	char c;

	while (m->fd >= 0 && read(m->fd, &c, 1) == 1) {
		if (c != '\n') {
			m->long_line |= m->len == sizeof(m->line) - 1;
			if (!m->long_line)
				m->line[m->len++] = c;
			continue;
		}
		m->line[m->len] = 0;
		m->len = 0;
		if (!m->long_line && parse(m->line, ret))
			return true;
		m->long_line = false;
		fprintf(stderr,
			"%s: the monitor knows 'reset', 'reset ORDER' and 'resize ORDER' "
			"(%u to %u), not '%s'\n",
			vmm_program, HTAB_ORDER_MIN, HTAB_ORDER_MAX, m->line);
	}
	return false;
}

void monitor_close(struct monitor *m)
{
	m->fd = fd_close(m->fd);
}
