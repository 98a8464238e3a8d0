/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/control/incoming.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/fd.h"
#include "common/foreign.h"
#include "daemon/net/accept.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"

/*
 * For the guest that is waited for, and then for its session: a source that has to come back, or to
 * ask what became of it, knows no other address. Two VMs may be told the same one.
 */
struct address {
	TAILQ_ENTRY(address) link;
	struct server *srv;
	struct listener *listener;
	struct vm *vm;       /* NULL: it is gone */
	struct migration *m; /* NULL: no guest has come yet */
	struct event *timer; /* the session ended, and its source may not know it */
};

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
		foreign_close(fd);
		return err_set(err, r, "the descriptor '%s' is no stream socket that %s", uri->path,
			r == -ENOTCONN ? "is connected or listens" : "can be used");
	}
	return fd;
}

bool incoming_listens(const struct server *srv, const struct vm *vm)
{
	const struct address *a;

	TAILQ_FOREACH (a, &srv->addresses, link)
		if (a->vm == vm)
			return true;
	return srv->n_listeners > 0;
}

/* -- addresses that are listened to for one VM -- */

static struct address *address_free(struct address *a)
{
	struct server *srv = a->srv;
	bool shared = false;
	struct address *other;

	TAILQ_REMOVE(&srv->addresses, a, link);
	TAILQ_FOREACH (other, &srv->addresses, link)
		shared |= other->listener == a->listener;
	if (!shared) {
		log_info("listening at %s no more", listener_uri(a->listener));
		listener_free(a->listener);
	}
	if (a->timer)
		event_free(a->timer);
	free(a);
	return NULL;
}

static void drop(struct server *srv, bool (*which)(const struct address *a, const void *arg),
	const void *arg)
{
	struct address *a, *next;

	for (a = TAILQ_FIRST(&srv->addresses); a; a = next) {
		next = TAILQ_NEXT(a, link);
		if (which(a, arg))
			address_free(a);
	}
}

/* listener: a new one, or that of another address; the address's own on success. */
static int address_new(
	struct server *srv, struct vm *vm, struct listener *listener, struct err *err)
{
	struct address *a, *next;
	struct migration *m = vm->migration;

	if (m && migration_is_final(m))
		m = NULL;
	a = calloc(1, sizeof(*a));
	if (!a)
		return err_set(err, -ENOMEM, "out of memory");
	*a = (struct address){.srv = srv, .listener = listener, .vm = vm, .m = m};
	TAILQ_INSERT_TAIL(&srv->addresses, a, link);
	/* what was said before for the same guest is replaced; a session keeps all its addresses */
	for (struct address *old = TAILQ_FIRST(&srv->addresses); old != a; old = next) {
		next = TAILQ_NEXT(old, link);
		if (old->vm == vm && old->m == m && (!m || old->listener == listener))
			address_free(old);
	}
	log_info("vm %s: listening at %s", vm->reg.name, listener_uri(listener));
	return 0;
}

static struct listener *find_listener(struct server *srv, const char *uri)
{
	struct address *a;

	TAILQ_FOREACH (a, &srv->addresses, link)
		if (!strcmp(listener_uri(a->listener), uri))
			return a->listener;
	return NULL;
}

static unsigned count(const struct server *srv)
{
	const struct address *a;
	unsigned n = 0;

	TAILQ_FOREACH (a, &srv->addresses, link)
		n++;
	return n;
}

static bool is_waiting(const struct address *a, const void *vm)
{
	return a->vm == vm && !a->m;
}

void incoming_withdraw(struct server *srv, struct vm *vm)
{
	vm->expects = false;
	vm->authz[0] = 0;
	drop(srv, is_waiting, vm);
}

void incoming_begun(struct migration *m)
{
	struct address *a;

	m->vm->expects = false;
	TAILQ_FOREACH (a, &m->srv->addresses, link)
		if (a->vm == m->vm &&
			(!a->m || a->m->next)) /* or of the one in whose place it is */
			a->m = m;
}

static void late_cb(evutil_socket_t fd, short what, void *arg)
{
	address_free(arg);
}

/* The source knows the end of its session, or never needed an answer to let its guest go. */
static bool is_over(const struct address *a, const void *arg)
{
	const struct migration *m = a->m;

	return m && migration_is_final(m) && !m->next && (!m->t_end || m->closed);
}

void incoming_settle(struct server *srv)
{
	struct timeval tv = limit_tv(LIMIT_ADDRESS);
	struct address *a;

	drop(srv, is_over, NULL);
	TAILQ_FOREACH (a, &srv->addresses, link) {
		if (!a->m || !migration_is_final(a->m) || a->m->next || a->timer)
			continue;
		a->timer = evtimer_new(srv->base, late_cb, a);
		if (!a->timer || event_add(a->timer, &tv) < 0)
			abort();
	}
}

void incoming_vm_gone(struct server *srv, struct vm *vm)
{
	struct address *a;

	incoming_withdraw(srv, vm);
	TAILQ_FOREACH (a, &srv->addresses, link)
		if (a->vm == vm)
			a->vm = NULL;
}

static bool is_of(const struct address *a, const void *m)
{
	return a->m == m;
}

void incoming_forget(struct migration *m)
{
	drop(m->srv, is_of, m);
}

static bool is_any(const struct address *a, const void *arg)
{
	return true;
}

void incoming_end(struct server *srv)
{
	drop(srv, is_any, NULL);
}

void incoming_set_creds(struct server *srv)
{
	struct address *a;

	TAILQ_FOREACH (a, &srv->addresses, link)
		listener_set_creds(a->listener, srv->creds);
}

void incoming_addresses(const struct server *srv, const struct vm *vm, struct json_object *list)
{
	const struct address *a, *before;

	TAILQ_FOREACH (a, &srv->addresses, link) {
		for (before = TAILQ_FIRST(&srv->addresses);
			before != a && (vm || before->listener != a->listener);
			before = TAILQ_NEXT(before, link))
			;
		if (vm ? a->vm == vm : before == a) /* one that is shared is told once */
			json_object_array_add(
				list, json_object_new_string(listener_uri(a->listener)));
	}
}

/* -- migrate-incoming, migrate-recover -- */

const char *incoming_why_not(const struct server *srv)
{
	return srv->creds_error[0]
		? srv->creds_error
		: "no address is configured: 'listen' in its configuration file, "
		  "--listen, or migrate-incoming's 'uri'";
}

static int listen_fd(struct server *srv, struct vm *vm, const struct uri *uri, struct err *err)
{
	struct listener *l;
	bool listens;
	int fd, r;

	fd = incoming_take_socket(srv, uri, &listens, err);
	if (fd < 0)
		return fd;
	if (!listens && !incoming_listens(srv, vm)) {
		foreign_close(fd);
		return err_set(err, -ENOTCONN,
			"'fd:%s' is one connection, and this daemon listens nowhere for the "
			"source's others (its redial-uri)",
			uri->path);
	}
	if (!listens)
		return accept_fd(srv, fd, srv->creds, err);
	r = listener_fd(srv->base, fd, uri, srv->creds, HANDSHAKES_MAX, limit_ms(LIMIT_HANDSHAKE),
		accept_stream, srv, &l, err);
	if (r == 0 && (r = address_new(srv, vm, l, err)) < 0)
		listener_free(l);
	return r;
}

int incoming_listen(struct server *srv, struct vm *vm, const char *text, struct err *err)
{
	struct in6_addr address;
	struct listener *l, *known;
	struct uri uri;
	int r = uri_parse(text, &uri, err);

	if (r < 0)
		return r;
	if (!srv->config.plaintext && !srv->creds)
		return err_set(err, -ENOKEY, "%s", srv->creds_error);
	if (count(srv) >= ADDRESSES_MAX)
		return err_set(err, -ENOSPC, "%d addresses are listened to for VMs already",
			ADDRESSES_MAX);
	if (uri.kind == URI_FD)
		return listen_fd(srv, vm, &uri, err);
	if (uri.kind != URI_TCP && uri.kind != URI_UNIX)
		return err_set(
			err, -ENOTSUP, "'%s' cannot be listened at: use tcp: or unix:", text);
	if (uri.kind == URI_TCP && uri.host[0] && inet_pton(AF_INET, uri.host, &address) != 1 &&
		inet_pton(AF_INET6, uri.host, &address) != 1)
		return err_set(err, -EINVAL,
			"'%s' is no address of this host to listen at: give a "
			"number in place of the name",
			uri.host);
	if (server_listens(srv, text))
		return 0;
	known = find_listener(srv, text);
	if (known)
		return address_new(srv, vm, known, err);
	r = listener_start(srv->base, &uri, srv->creds, HANDSHAKES_MAX, limit_ms(LIMIT_HANDSHAKE),
		accept_stream, srv, &l, err);
	if (r == 0 && (r = address_new(srv, vm, l, err)) < 0)
		listener_free(l);
	return r;
}
