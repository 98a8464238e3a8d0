/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/tool/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/number.h"
#include "proto/htab.h"
#include "vmm/tool/options.h"

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
	const char *space = strchr(line, ' ');
	uint64_t order = 0;

	if (space && number_parse(space + 1, HTAB_ORDER_MIN, HTAB_ORDER_MAX, &order) < 0)
		return false;
	if (strcmp(line, "reset") == 0 || strncmp(line, "reset ", 6) == 0)
		*ret = (struct wish){WISH_RESET, (unsigned)order};
	else if (strncmp(line, "resize ", 7) == 0)
		*ret = (struct wish){WISH_RESIZE, (unsigned)order};
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
