/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/incoming.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "common/fd.h"
#include "daemon/accept.h"
#include "daemon/limits.h"
#include "daemon/log.h"

int incoming_take_socket(
	struct server *srv, const struct uri *uri, bool *ret_listens, struct err *err)
{
	int fd = qmp_take_fd(srv->qmp, uri->path), r;

	if (fd < 0)
		return err_set(err, -ENOENT,
			"no descriptor is named '%s': name it by getfd before it is used",
			uri->path);
	r = fd_stream_socket(fd, ret_listens);
	if (r < 0) {
		fd_close(fd);
		return err_set(err, r, "the descriptor '%s' is no stream socket that %s", uri->path,
			r == -ENOTCONN ? "is connected or listens" : "can be used");
	}
	return fd;
}

bool incoming_listens(const struct server *srv, const struct vm *vm)
{
	return srv->n_listeners > 0 || vm->listener;
}

static int listen_fd(struct server *srv, struct vm *vm, const struct uri *uri, struct err *err)
{
	struct listener *l;
	bool listens;
	int fd, r;

	if (!srv->config.plaintext && !srv->creds)
		return err_set(err, -ENOKEY, "%s", srv->creds_error);
	fd = incoming_take_socket(srv, uri, &listens, err);
	if (fd < 0)
		return fd;
	if (!listens && !incoming_listens(srv, vm)) {
		fd_close(fd);
		return err_set(err, -ENOTCONN,
			"'fd:%s' is one connection, and this daemon listens nowhere for the "
			"source's others (its redial-uri)",
			uri->path);
	}
	if (!listens)
		return accept_fd(srv, fd, srv->creds, err);
	r = listener_fd(srv->base, fd, uri, srv->creds, HANDSHAKES_MAX, limit_ms(LIMIT_HANDSHAKE),
		accept_stream, srv, &l, err);
	if (r < 0)
		return r;
	listener_free(vm->listener);
	vm->listener = l;
	log_info("vm %s: listening at %s", vm->reg.name, listener_uri(l));
	return 0;
}

int incoming_listen(struct server *srv, struct vm *vm, const char *text, struct err *err)
{
	struct in6_addr address;
	struct uri uri;
	int r = uri_parse(text, &uri, err);

	if (r < 0)
		return r;
	if (uri.kind == URI_FD)
		return listen_fd(srv, vm, &uri, err);
	if (uri.kind == URI_TCP && uri.host[0] && inet_pton(AF_INET, uri.host, &address) != 1 &&
		inet_pton(AF_INET6, uri.host, &address) != 1)
		return err_set(err, -EINVAL,
			"'%s' is no address of this host to listen at: give a "
			"number in place of the name",
			uri.host);
	return server_listen(srv, text, err);
}
