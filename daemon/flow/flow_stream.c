/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <poll.h>

#include "common/stream.h"
#include "daemon/flow/flow.h"

static ssize_t io_read(void *ctx, void *buf, size_t len)
{
	return stream_read(ctx, buf, len);
}

static ssize_t io_write(void *ctx, const void *buf, size_t len)
{
	return stream_write(ctx, buf, len);
}

static void io_want(void *ctx, struct flow_wait *wait)
{
	enum stream_want want = stream_want(ctx);

	wait->fd = stream_fd(ctx);
	wait->events = 0;
	if (want & STREAM_WANT_READ)
		wait->events |= POLLIN;
	if (want & STREAM_WANT_WRITE)
		wait->events |= POLLOUT;
}

static const char *io_error(void *ctx)
{
	return stream_error(ctx);
}

struct flow_io flow_io_stream(struct stream *stream)
{
	return (struct flow_io){io_read, io_write, io_want, io_error, stream};
}
