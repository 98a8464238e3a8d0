/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VMs of a daemon: their socket, and who is meant by a name. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "daemon/limits.h"
#include "daemon/log.h"
#include "daemon/vm_impl.h"

static void accept_again_cb(evutil_socket_t sock, short what, void *arg)
{
	struct vms *v = arg;

	event_add(v->readable, NULL);
}

static void accept_cb(evutil_socket_t sock, short what, void *arg)
{
	struct timeval later = limit_tv(LIMIT_ACCEPT_AGAIN);
	struct vms *v = arg;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int fd;

	fd = accept4(sock, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE) { /* not at once: it would spin */
			event_del(v->readable);
			event_add(v->again, &later);
		}
		return;
	}
	if (v->n >= VM_CONNECTIONS_MAX ||
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || !vm_new(v, fd, &cred)) {
		log_stranger(LOG_VMM, SD_WARNING,
			"a VMM's connection is closed: %u are open already", v->n);
		close(fd);
	}
}

int vms_new(struct event_base *base, const char *path, const struct vm_hooks *hooks, void *arg,
	struct vms **ret, struct err *err)
{
	struct vms *v = calloc(1, sizeof(*v));
	int r;

	if (!v)
		return err_set(err, -ENOMEM, "out of memory");
	v->base = base;
	v->hooks = hooks;
	v->arg = arg;
	TAILQ_INIT(&v->list);
	r = unixsock_listen(&v->sock, path, SOCK_SEQPACKET, 0660, err);
	if (r < 0) {
		free(v);
		return r;
	}
	v->readable = event_new(base, v->sock.fd, EV_READ | EV_PERSIST, accept_cb, v);
	v->again = evtimer_new(base, accept_again_cb, v);
	if (!v->readable || !v->again || event_add(v->readable, NULL) < 0)
		abort();
	*ret = v;
	return 0;
}

struct vms *vms_free(struct vms *v)
{
	struct vm *vm;

	if (!v)
		return NULL;
	while ((vm = TAILQ_FIRST(&v->list)))
		vm_gone(vm, false);
	event_free(v->readable);
	event_free(v->again);
	unixsock_close(&v->sock);
	free(v);
	return NULL;
}

struct vm *vms_first(struct vms *v)
{
	struct vm *vm = TAILQ_FIRST(&v->list);

	return !vm || (vm->registered && !vm->closing) ? vm : vms_next(vm);
}

struct vm *vms_next(struct vm *vm)
{
	do
		vm = TAILQ_NEXT(vm, link);
	while (vm && (!vm->registered || vm->closing));
	return vm;
}

struct vm *vms_find(struct vms *v, const char *text, struct err *err)
{
	struct vm *vm = vms_first(v);

	if (!text) {
		if (vm && !vms_next(vm))
			return vm;
		err_set_class(err, ERR_DEVICE_NOT_FOUND, -ENODEV,
			vm ? "Parameter 'vm' is missing: there is more than one VM"
			   : "no VM is registered here");
		return NULL;
	}
	for (; vm; vm = vms_next(vm))
		if (!strcmp(vm->reg.name, text) || !strcasecmp(vm->uuid_text, text))
			return vm;
	err_set_class(err, ERR_DEVICE_NOT_FOUND, -ENODEV, "there is no VM '%s' here", text);
	return NULL;
}

struct vm *vms_find_uuid(struct vms *v, const struct vm_uuid *uuid)
{
	struct vm *vm;

	for (vm = vms_first(v); vm; vm = vms_next(vm))
		if (uuid_eq(&vm->reg.uuid, uuid))
			return vm;
	return NULL;
}
