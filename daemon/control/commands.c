/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/control/impl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "daemon/dest/dest.h"
#include "daemon/control/dumphtab.h"
#include "daemon/control/incoming.h"
#include "daemon/transport/load.h"
#include "daemon/base/log.h"
#include "daemon/server.h"
#include "daemon/source/source.h"

const char *commands_text(struct json_object *args, const char *name)
{
	struct json_object *v;

	return json_object_object_get_ex(args, name, &v) ? json_object_get_string(v) : NULL;
}

static void finish(struct qmp_call *call, int r, const struct err *err)
{
	if (r < 0)
		qmp_fail(call, err);
	else
		qmp_return(call, NULL);
}

/* -- settings -- */

typedef int change_fn(struct params *p, struct json_object *args, struct err *err);

/* May the VM's parameters become `next` now? Not what its migration was begun with. */
static int may_change(
	const struct vm *vm, const struct params *next, bool capabilities, struct err *err)
{
	const struct migration *m = vm->migration;
	const char *name = params_frozen(&vm->params, next);

	if (!m || migration_is_final(m) || (!name && !capabilities))
		return 0;
	return err_set(err, -EBUSY,
		"There's a migration process in progress: VM %s is at step '%s' of it, until it is over "
		"%s%s%s cannot be changed",
		vm->reg.name, migration_step(m->state), name ? "'" : "",
		name ? name : "capabilities", name ? "'" : "");
}

/* The VMs whose parameters are changed, one after the other: `one` alone, or all. */
static struct vm *next_vm(struct server *srv, struct vm *one, struct vm *last)
{
	if (one)
		return last ? NULL : one;
	return last ? vms_next(last) : vms_first(srv->vms);
}

static void tune(struct migration *m, const struct tuning *tuning)
{
	m->tuning = *tuning;
	if (m->incoming)
		dest_tuned(m);
	else
		source_tuned(m);
}

/* All may be changed, or none is. */
static int change_all(struct server *srv, struct vm *one, struct json_object *args,
	change_fn *change, bool capabilities, struct err *err)
{
	struct params next = one ? one->params : srv->config.params;
	int r = change(&next, args, err);

	for (struct vm *v = NULL; r == 0 && (v = next_vm(srv, one, v));) {
		next = v->params;
		change(&next, args, NULL);
		r = may_change(v, &next, capabilities, err);
	}
	if (r < 0)
		return r;
	if (!one)
		change(&srv->config.params, args, NULL);
	for (struct vm *v = NULL; (v = next_vm(srv, one, v));) {
		change(&v->params, args, NULL);
		if (v->migration && !migration_is_final(v->migration))
			tune(v->migration, &v->params.tuning);
	}
	return 0;
}

/* Of one VM, or of the daemon and so of every VM. */
static void change_params(struct server *srv, struct qmp_call *call, const char *vm,
	struct json_object *args, change_fn *change, bool capabilities)
{
	struct err err = {0};
	struct vm *v;

	if (commands_vm_or_all(srv, call, vm, args, &v) == 0)
		finish(call, change_all(srv, v, args, change, capabilities, &err), &err);
}

static int change_parameters(struct params *p, struct json_object *args, struct err *err)
{
	return params_set(p, args, "vm", err);
}

static void set_parameters(
	void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	struct server *srv = opaque;
	struct params next;
	struct err err;

	params_default(&next);
	if (params_set(&next, args, "vm", &err) < 0 || server_check_tls(srv, &next, &err) < 0)
		qmp_fail(call, &err);
	else
		change_params(srv, call, vm, args, change_parameters, false);
}

static int change_capabilities(struct params *p, struct json_object *args, struct err *err)
{
	struct json_object *list = json_object_object_get(args, "capabilities");
	struct params next = *p;

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *e = json_object_array_get_idx(list, i), *name, *state;
		int r;

		if (!json_object_is_type(e, json_type_object) ||
			!json_object_object_get_ex(e, "capability", &name) ||
			!json_object_is_type(name, json_type_string) ||
			!json_object_object_get_ex(e, "state", &state) ||
			!json_object_is_type(state, json_type_boolean))
			return err_set(err, -EINVAL,
				"Parameter 'capabilities' expects a list of "
				"{'capability': string, 'state': boolean}");
		r = params_set_capability(
			&next, json_object_get_string(name), json_object_get_boolean(state), err);
		if (r < 0)
			return r;
	}
	*p = next;
	return 0;
}

static void set_capabilities(
	void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	change_params(opaque, call, vm, args, change_capabilities, true);
}

/* -- actions -- */

static void migrate(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	const char *uri = commands_text(args, "uri"), *redial = commands_text(args, "redial-uri");
	struct json_object *resume = json_object_object_get(args, "resume");
	struct vm *v = commands_vm(opaque, call, vm, args);
	struct err err = {0};
	int r;

	if (!v)
		return;
	if (!json_object_get_boolean(resume))
		r = source_start(opaque, v, uri, redial, &err);
	else if (v->migration && !v->migration->incoming)
		r = recover_resume(v->migration, uri, redial, &err);
	else
		r = err_set(&err, -EINVAL,
			"Cannot resume if there is no paused migration: VM %s has none",
			v->reg.name);
	finish(call, r, &err);
}

static void cancel(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	struct vm *waiting = commands_waiting(opaque, vm, args);
	struct err err = {0};
	struct migration *m;

	if (waiting) {
		log_note("vm %s: its permission to take a guest is withdrawn", waiting->reg.name);
		incoming_withdraw(opaque, waiting);
		qmp_return(call, NULL);
		return;
	}
	m = commands_running(opaque, call, vm, args);
	if (m)
		finish(call, m->incoming ? dest_cancel(m, &err) : source_cancel(m, &err), &err);
}

static void pause_migration(
	void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	struct migration *m = commands_running(opaque, call, vm, args);
	struct err err = {0};
	int r;

	if (!m)
		return;
	if (m->incoming)
		r = err_set(&err, -EINVAL, "VM %s is a destination: pause it at its source",
			m->vm_name);
	else
		r = recover_pause(m, &err);
	finish(call, r, &err);
}

static void recover(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	struct vm *v = commands_vm(opaque, call, vm, args);
	struct err err = {0};
	int r;

	if (!v)
		return;
	if (!v->migration || v->migration->state != MIG_IN_CUT)
		r = err_set(&err, -EINVAL,
			"Migrate recover can only be run when the migration to VM %s is "
			"interrupted ('postcopy-paused')",
			v->reg.name);
	else
		r = incoming_listen(opaque, v, commands_text(args, "uri"), &err);
	finish(call, r, &err);
}

static void go_on(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	struct migration *m = commands_running(opaque, call, vm, args);
	struct err err = {0};

	if (!m)
		return;
	if (strcmp(commands_text(args, "state"), "pre-switchover"))
		finish(call,
			err_set(&err, -EINVAL, "Parameter 'state' does not accept value '%s'",
				commands_text(args, "state")),
			&err);
	else if (m->incoming)
		finish(call,
			err_set(&err, -EINVAL, "VM %s is a destination: continue it at its source",
				m->vm_name),
			&err);
	else
		finish(call, source_continue(m, &err), &err);
}

static int incoming_file(
	struct server *srv, struct vm *vm, const char *text, const char *extra, struct err *err)
{
	struct uri uri;
	int r;

	if (extra)
		return err_set(err, -EINVAL,
			"Parameter '%s' is about guests that come over the network, not about a file",
			extra);
	r = uri_parse(text, &uri, err);
	return r < 0 ? r : load_start(srv, vm, text, &uri, err);
}

static void incoming(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	struct vm *v = commands_vm(opaque, call, vm, args);
	const char *uri = commands_text(args, "uri"), *authz = commands_text(args, "tls-authz");
	const char *name = commands_text(args, "name");
	struct server *srv = opaque;
	struct err err = {0};
	int r = 0;

	if (!v)
		return;
	if (!v->reg.incoming)
		r = err_set(&err, -EINVAL, "VM %s has a guest: start its VMM as a destination",
			v->reg.name);
	else if (v->migration && !migration_is_final(v->migration))
		r = err_set(&err, -EBUSY, "a guest arrives at VM %s already", v->reg.name);
	if (r == 0 && uri && uri_is_file(uri)) {
		finish(call,
			incoming_file(srv, v, uri,
				authz          ? "tls-authz"
					: name ? "name"
					       : NULL,
				&err),
			&err);
		return;
	}
	if (!authz)
		authz = v->params.tls_authz;
	if (r < 0)
		;
	else if (name && !vm_name_ok(name))
		r = err_set(&err, -EINVAL, "Parameter 'name' expects a VM's name, not '%s'", name);
	else if (strlen(authz) >= sizeof(v->authz))
		r = err_set(&err, -EINVAL, "Parameter 'tls-authz' is longer than %zu bytes",
			sizeof(v->authz) - 1);
	else if (authz[0] && srv->config.plaintext)
		r = err_set(&err, -EINVAL,
			"'tls-authz' cannot be checked: this daemon was started "
			"with --plaintext");
	else if (authz[0] && tls_authz_check(authz, &err) < 0)
		r = err.code;
	else if (uri)
		r = incoming_listen(srv, v, uri, &err);
	else if (!incoming_listens(srv, v))
		r = err_set(
			&err, -ENOTCONN, "this daemon listens nowhere: %s", incoming_why_not(srv));
	if (r == 0) {
		snprintf(v->authz, sizeof(v->authz), "%s", authz);
		snprintf(v->guest, sizeof(v->guest), "%s", name ? name : v->reg.name);
		v->expects = true;
	}
	finish(call, r, &err);
}

static void dump_htab(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	struct vm *v = commands_vm(opaque, call, vm, args);
	const char *name = commands_text(args, "fdname");
	struct server *srv = opaque;
	struct err err;
	int fd;

	if (!v)
		return;
	fd = qmp_take_fd(srv->qmp, name);
	if (fd < 0) {
		err_set(&err, -ENOENT,
			"no descriptor is named '%s': name it by getfd before it is used", name);
		qmp_fail(call, &err);
		return;
	}
	dumphtab_start(srv, v, fd, call);
}

static void resolve(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	const char *action = commands_text(args, "action");
	struct session_id id;
	struct err err = {0};
	struct migration *m;
	bool run = !strcmp(action, "run");
	int r;

	if (!run && strcmp(action, "discard")) {
		finish(call,
			err_set(&err, -EINVAL, "Parameter 'action' does not accept value '%s'",
				action),
			&err);
		return;
	}
	if (session_parse(commands_text(args, "session"), &id) < 0) {
		finish(call,
			err_set(&err, -EINVAL,
				"Parameter 'session' expects 32 hex digits, not "
				"'%s'",
				commands_text(args, "session")),
			&err);
		return;
	}
	m = commands_session(opaque, call, vm, args, &id);
	if (!m)
		return;
	log_note("vm %s: an operator resolves session %s: %s", m->vm_name,
		commands_text(args, "session"), action);
	r = m->incoming ? dest_resolve(m, run, &err) : source_resolve(m, run, &err);
	finish(call, r, &err);
}

/* For tests: go on from a step that HTAB_MIGRATED_HOLD holds. */
static void x_continue(
	void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	struct migration *m = commands_running(opaque, call, vm, args);
	void (*go)(struct migration * m);
	struct err err = {0};

	if (!m)
		return;
	go = m->held;
	m->held = NULL;
	if (!go) {
		finish(call,
			err_set(&err, -EINVAL, "VM %s is not held (step '%s')", m->vm_name,
				migration_step(m->state)),
			&err);
		return;
	}
	qmp_return(call, NULL);
	go(m);
}

#define LOOK_ARGS                                                       \
	{"vcpu", QMP_INT, true}, {"start", QMP_INT, true}, /* a page */ \
	{                                                               \
		"reading", QMP_INT, true                                \
	}
#define VM_ARG                         \
	{                              \
		"vm", QMP_STRING, true \
	}

const struct qmp_command commands[] = {
	{"query-status", {VM_ARG}, query_status},
	{"query-vms", {VM_ARG, {"start", QMP_INT, true}, {"limit", QMP_INT, true}}, query_vms},
	{"query-vm-state", {VM_ARG, LOOK_ARGS}, query_vm_state},
	{"query-vm-tlb", {VM_ARG, LOOK_ARGS}, query_vm_tlb},
	{"query-daemon", {{NULL}}, query_daemon},
	{"query-migrate", {VM_ARG}, query_migrate},
	{"query-migrate-parameters", {VM_ARG}, query_parameters},
	{"query-migrate-capabilities", {VM_ARG}, query_capabilities},
	{"migrate",
		{VM_ARG, {"uri", QMP_STRING}, {"redial-uri", QMP_STRING, true},
			{"detach", QMP_BOOL, true}, {"resume", QMP_BOOL, true}},
		migrate},
	{"migrate-pause", {VM_ARG}, pause_migration},
	{"migrate-recover", {VM_ARG, {"uri", QMP_STRING}}, recover},
	{"migrate_cancel", {VM_ARG}, cancel},
	{"migrate-continue", {VM_ARG, {"state", QMP_STRING}}, go_on},
	{"migrate-incoming",
		{VM_ARG, {"uri", QMP_STRING, true}, {"tls-authz", QMP_STRING, true},
			{"name", QMP_STRING, true}},
		incoming},
	{"migrate-set-parameters",
		{VM_ARG, {"downtime-limit", QMP_INT, true}, {"max-bandwidth", QMP_INT, true},
			{"max-passes", QMP_INT, true}, {"timeout", QMP_INT, true},
			{"recover-timeout", QMP_INT, true}, {"switchover-timeout", QMP_INT, true},
			{"verify-timeout", QMP_INT, true}, {"handover-timeout", QMP_INT, true},
			{"ready-timeout", QMP_INT, true}, {"on-timeout", QMP_STRING, true},
			{"hpt-change", QMP_STRING, true}, {"max-generations", QMP_INT, true},
			{"cpu-throttle-initial", QMP_INT, true},
			{"cpu-throttle-increment", QMP_INT, true},
			{"max-cpu-throttle", QMP_INT, true}, {"multifd-channels", QMP_INT, true},
			{"multifd-zstd-level", QMP_INT, true},
			{"htab-compression", QMP_STRING, true}, {"tls-creds", QMP_STRING, true},
			{"tls-hostname", QMP_STRING, true}, {"tls-authz", QMP_STRING, true}},
		set_parameters},
	{"migrate-set-capabilities", {VM_ARG, {"capabilities", QMP_LIST}}, set_capabilities},
	{"dump-htab", {VM_ARG, {"fdname", QMP_STRING}}, dump_htab},
	{"resolve", {VM_ARG, {"session", QMP_STRING}, {"action", QMP_STRING}}, resolve},
	{"x-continue", {VM_ARG}, x_continue},
	{NULL},
};
