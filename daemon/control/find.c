/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which VM, and which migration, a command is about: asked here by all of them. */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "daemon/control/impl.h"

static bool is_called(const struct migration *m, const char *text)
{
	char uuid[37];

	if (m->forgotten)
		return false;
	uuid_text(&m->uuid, uuid);
	return !strcmp(m->vm_name, text) || !strcasecmp(uuid, text);
}

static bool is_vm(const struct migration *m, const char *name, const struct vm_uuid *uuid)
{
	return !strcmp(m->vm_name, name) || uuid_eq(&m->uuid, uuid);
}

/* 0, or -ENODEV: a VM's own socket serves that VM alone. */
static int check_own(const char *own, const char *name, struct err *err)
{
	if (!own || !strcmp(own, name))
		return 0;
	return err_set_class(err, ERR_DEVICE_NOT_FOUND, -ENODEV,
		"this socket is VM %s's and knows no other", own);
}

struct vm *commands_vm(
	struct server *srv, struct qmp_call *call, const char *own, struct json_object *args)
{
	const char *named = commands_text(args, "vm");
	struct err err = {0};
	struct vm *vm = vms_find(srv->vms, named ? named : own, &err);

	if (vm && check_own(own, vm->reg.name, &err) == 0)
		return vm;
	qmp_fail(call, &err);
	return NULL;
}

int commands_vm_or_all(struct server *srv, struct qmp_call *call, const char *own,
	struct json_object *args, struct vm **ret)
{
	struct vm *vm = NULL;

	if (own || commands_text(args, "vm")) {
		vm = commands_vm(srv, call, own, args);
		if (!vm)
			return -ENODEV;
	}
	*ret = vm;
	return 0;
}

/* Of a VM that is registered: what is under way comes first, also when its VMM was away. */
static struct migration *of_vm(struct server *srv, struct vm *vm)
{
	struct migration *m;

	if (vm->migration && !migration_is_final(vm->migration))
		return vm->migration;
	TAILQ_FOREACH (m, &srv->migrations, link)
		if (!m->vm && !migration_is_final(m) && uuid_eq(&m->uuid, &vm->reg.uuid))
			return m;
	return vm->migration;
}

/* Of a VM that is gone, by name or UUID: what is under way, or else the last. */
static struct migration *of_gone(struct server *srv, const char *text)
{
	struct migration *m, *found = NULL;

	TAILQ_FOREACH (m, &srv->migrations, link) {
		if (!is_called(m, text))
			continue;
		if (!migration_is_final(m))
			return m;
		if (!found)
			found = m;
	}
	return found;
}

/* Who is meant: one of both at least. */
struct target {
	struct vm *vm;       /* NULL: it is gone */
	struct migration *m; /* what is under way, or the last; NULL: it never migrated */
};

/* The only VM that is known: one that is gone counts as long as its migration is remembered. */
static int find_only(struct server *srv, struct target *ret, struct err *err)
{
	struct migration *m, *first = NULL;
	struct vm *vm = vms_first(srv->vms);
	bool several = vm && vms_next(vm);

	TAILQ_FOREACH (m, &srv->migrations, link) {
		if (m->forgotten)
			continue;
		if (!first)
			first = m;
		several |= vm ? !is_vm(m, vm->reg.name, &vm->reg.uuid)
			      : !is_vm(m, first->vm_name, &first->uuid);
	}
	if (several)
		return err_set_class(err, ERR_DEVICE_NOT_FOUND, -ENODEV,
			"Parameter 'vm' is missing: there is more than one VM, with those that are "
			"gone and whose migrations are remembered");
	if (!vm && !first)
		return err_set_class(
			err, ERR_DEVICE_NOT_FOUND, -ENODEV, "no VM is registered here");
	ret->vm = vm;
	ret->m = vm ? of_vm(srv, vm) : of_gone(srv, first->vm_name);
	return 0;
}

static int find(struct server *srv, const char *own, struct json_object *args, struct target *ret,
	struct err *err)
{
	const char *text = commands_text(args, "vm") ? commands_text(args, "vm") : own;

	if (!text)
		return find_only(srv, ret, err);
	ret->vm = vms_find(srv->vms, text, err);
	if (ret->vm) {
		ret->m = of_vm(srv, ret->vm);
		return check_own(own, ret->vm->reg.name, err);
	}
	ret->m = of_gone(srv, text);
	return ret->m ? check_own(own, ret->m->vm_name, err) : -ENODEV;
}

int commands_migration(struct server *srv, struct qmp_call *call, const char *own,
	struct json_object *args, struct migration **ret)
{
	struct target target;
	struct err err = {0};
	int r = find(srv, own, args, &target, &err);

	if (r < 0)
		qmp_fail(call, &err);
	else
		*ret = target.m;
	return r;
}

struct vm *commands_waiting(struct server *srv, const char *own, struct json_object *args)
{
	struct target target;

	if (find(srv, own, args, &target, NULL) < 0 || !target.vm || !target.vm->expects)
		return NULL;
	return target.m && !migration_is_final(target.m) ? NULL : target.vm;
}

struct migration *commands_running(
	struct server *srv, struct qmp_call *call, const char *own, struct json_object *args)
{
	struct target target;
	struct err err = {0};

	if (find(srv, own, args, &target, &err) == 0) {
		if (target.m && !migration_is_final(target.m))
			return target.m;
		err_set_class(&err, ERR_DEVICE_NOT_ACTIVE, -ENOENT, "VM %s is not migrating",
			target.vm ? target.vm->reg.name : target.m->vm_name);
	}
	qmp_fail(call, &err);
	return NULL;
}

/* The session says enough: another VM of that name, or one at its place, does not hide it. */
struct migration *commands_session(struct server *srv, struct qmp_call *call, const char *own,
	struct json_object *args, const struct session_id *session)
{
	const char *named = commands_text(args, "vm");
	struct migration *m = server_find_session(srv, session);
	struct err err = {0};
	char text[33];

	session_text(session, text);
	if (!m || migration_is_final(m))
		err_set(&err, -ENOENT, "session %s is not to be resolved here", text);
	else if (named && !is_called(m, named))
		err_set(&err, -ENOENT, "session %s is not VM %s's, but VM %s's", text, named,
			m->vm_name);
	else if (check_own(own, m->vm_name, &err) == 0)
		return m;
	qmp_fail(call, &err);
	return NULL;
}
