/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VMs of a daemon: their socket, who is meant by a name, and how ids are written. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/share.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/vms/vm_impl.h"

static void accept_again_cb(evutil_socket_t sock, short what, void *arg)
{
	struct vms *v = arg;

	event_add(v->readable, NULL);
}

/*
 * A connection that has not registered makes room for another one: who opens many is in nobody's
 * way but his own.
 */
static void make_room(struct vms *v)
{
	struct vm *vm, *all[VMS_WAITING_MAX];
	uint64_t owners[VMS_WAITING_MAX];
	unsigned n = 0;

	TAILQ_FOREACH (vm, &v->list, link) {
		if (vm->registered)
			continue;
		owners[n] = vm->uid;
		all[n++] = vm;
		if (n == VMS_WAITING_MAX)
			break;
	}
	if (n < VMS_WAITING_MAX)
		return;
	vm = all[share_victim(owners, n)];
	log_stranger(LOG_VMM, SD_WARNING,
		"a VMM (pid %d, uid %u) did not register before %d others connected, and makes room",
		(int)vm->pid, (unsigned)vm->uid, VMS_WAITING_MAX);
	vm_gone(vm, false);
}

/* No user takes the last places: those are for others. */
int vms_check_room(const struct vms *v, const struct vm *vm, struct err *err)
{
	unsigned n = 0, own = 0;
	const struct vm *o;

	TAILQ_FOREACH (o, &v->list, link) {
		n += o->registered;
		own += o->registered && o->uid == vm->uid;
	}
	if (own >= v->per_user)
		return err_set(err, -ENOSPC,
			"user %s has %u VMs registered here, and one user may have no more: end one, or "
			"raise 'vms-per-user' in the daemon's configuration (%d is the most of all users)",
			vm->user, own, VMS_MAX);
	if (n >= VMS_MAX)
		return err_set(err, -ENOSPC, "%u VMs are registered here, as many as can be", n);
	return 0;
}

void vms_limit_users(struct vms *v, unsigned per_user)
{
	v->per_user = per_user;
}

static void accept_cb(evutil_socket_t sock, short what, void *arg)
{
	struct timeval later = limit_tv(LIMIT_ACCEPT_AGAIN);
	struct vms *v = arg;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int fd;

	fd = fd_accept(sock, NULL, NULL);
	if (fd < 0) {
		if (fd != -EAGAIN) {
			event_del(v->readable);
			event_add(v->again, &later);
		}
		return;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		close(fd);
		return;
	}
	make_room(v);
	if (!vm_new(v, fd, &cred)) {
		log_stranger(LOG_VMM, SD_WARNING, "a VMM's connection is closed: out of memory");
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
	v->per_user = VMS_OF_USER_MAX;
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

/* -- ids, as people read them -- */

void session_text(const struct session_id *s, char buf[static 33])
{
	for (int i = 0; i < 16; i++)
		snprintf(buf + 2 * i, 3, "%02x", s->b[i]);
}

int session_parse(const char *text, struct session_id *ret)
{
	struct session_id s;

	if (strlen(text) != 32 || strspn(text, "0123456789abcdefABCDEF") != 32)
		return -EINVAL;
	for (int i = 0; i < 16; i++) {
		char byte[3] = {text[2 * i], text[2 * i + 1], 0};

		s.b[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	*ret = s;
	return 0;
}

int uuid_parse(const char *text, struct vm_uuid *ret)
{
	struct vm_uuid u;

	for (int i = 0; i < 16; i++, text += 2) {
		char byte[3];

		text += (i == 4 || i == 6 || i == 8 || i == 10) && *text == '-';
		if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]))
			return -EINVAL;
		memcpy(byte, text, 2);
		byte[2] = 0;
		u.b[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	if (*text)
		return -EINVAL;
	*ret = u;
	return 0;
}

void uuid_text(const struct vm_uuid *u, char buf[static 37])
{
	char *p = buf;

	for (int i = 0; i < 16; i++)
		p += sprintf(p, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", u->b[i]);
}
