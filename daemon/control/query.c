/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands that ask and change nothing. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "daemon/control/impl.h"
#include "daemon/net/creds.h"
#include "daemon/control/incoming.h"
#include "daemon/session/report.h"
#include "daemon/control/vmstate.h"

#define SESSIONS_ROOM (256u << 10) /* bytes; with all VMs less than may wait for a client */

static void add_text(struct json_object *o, const char *name, const char *v)
{
	json_object_object_add(o, name, json_object_new_string(v));
}

static void add_int(struct json_object *o, const char *name, int64_t v)
{
	json_object_object_add(o, name, json_object_new_int64(v));
}

static void add_bool(struct json_object *o, const char *name, bool v)
{
	json_object_object_add(o, name, json_object_new_boolean(v));
}

static const char *run_state(const struct vm *vm)
{
	const struct migration *m = vm->migration;

	if (m && !m->incoming && m->state == MIG_COMPLETED)
		return "postmigrate";
	if (vm->stopped_by_guest)
		return "shutdown";
	if (vm->reg.running)
		return "running";
	if (vm->reg.incoming)
		return "inmigrate";
	return m && !m->incoming && !migration_is_final(m) ? "finish-migrate" : "paused";
}

static struct json_object *note_json(struct server *srv, const struct vmm_note *n, size_t *room)
{
	const struct migration *m = server_find_session(srv, &n->session);
	struct json_object *s = json_object_new_object();
	size_t len = 100;
	char text[33];

	session_text(&n->session, text);
	add_text(s, "session", text);
	add_text(s, "note", session_note_name(n->note));
	if (m) {
		add_text(s, "uri", m->uri_text);
		add_text(s, "peer", m->peer_name);
		len += 2 * (strlen(m->uri_text) + strlen(m->peer_name)); /* a backslash each */
	}
	*room -= len < *room ? len : *room;
	return s;
}

/* *room: bytes that sessions may still take in the answer. */
static struct json_object *vm_json(struct server *srv, const struct vm *vm, size_t *room)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	struct json_object *addresses;
	uint32_t n = 0;

	add_text(o, "name", vm->reg.name);
	add_text(o, "uuid", vm->uuid_text);
	add_text(o, "mmu", vm->reg.mmu == MMU_HPT ? "hpt" : "booke");
	add_int(o, "order", vm->reg.order);
	add_int(o, "vcpus", vm->reg.vcpus);
	add_int(o, "pvr", vm->reg.pvr);
	add_bool(o, "incoming", vm->reg.incoming);
	add_bool(o, "expects", vm->expects);
	if (vm->expects)
		add_text(o, "expected-name", vm->guest);
	if (vm->expects && vm->authz[0])
		add_text(o, "tls-authz", vm->authz);
	addresses = json_object_new_array();
	incoming_addresses(srv, vm, addresses);
	json_object_object_add(o, "listen", addresses);
	add_bool(o, "running", vm->reg.running);
	add_int(o, "pid", vm->pid);
	add_int(o, "uid", vm->uid);
	add_text(o, "user", vm->user);
	add_text(o, "status", run_state(vm));
	add_text(o, "migration", vm->migration ? vm->migration->status : "none");
	for (; n<vm->reg.n_notes && * room> 0; n++)
		json_object_array_add(list, note_json(srv, &vm->reg.notes[n], room));
	if (n < vm->reg.n_notes)
		add_int(o, "sessions-left-out", vm->reg.n_notes - n);
	json_object_object_add(o, "sessions", list);
	return o;
}

static int64_t int_arg(struct json_object *args, const char *name, int64_t otherwise)
{
	struct json_object *n;

	return json_object_object_get_ex(args, name, &n) ? json_object_get_int64(n) : otherwise;
}

/* All VMs fit into one answer; what their VMMs remember of sessions does only within limits. */
void query_vms(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	int64_t start = int_arg(args, "start", 0), limit = int_arg(args, "limit", VMS_MAX);
	struct json_object *list;
	struct server *srv = opaque;
	size_t room = SESSIONS_ROOM;
	struct vm *v, *only;
	struct err err;

	if (start < 0 || limit < 1) {
		err_set(&err, -EINVAL, "Parameter '%s' does not accept value %lld",
			start < 0 ? "start" : "limit", (long long)(start < 0 ? start : limit));
		qmp_fail(call, &err);
		return;
	}
	only = commands_text(args, "vm") ? commands_vm(srv, call, vm, args) : NULL;
	if (commands_text(args, "vm") && !only)
		return;
	list = json_object_new_array();
	for (v = vms_first(srv->vms); v && limit > 0; v = vms_next(v)) {
		if ((vm && strcmp(vm, v->reg.name)) || (only && v != only) || start-- > 0)
			continue;
		json_object_array_add(list, vm_json(srv, v, &room));
		limit--;
	}
	qmp_return(call, list);
}

void query_status(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	struct vm *v = commands_vm(opaque, call, vm, args);
	struct json_object *o;

	if (!v)
		return;
	o = json_object_new_object();
	add_text(o, "status", run_state(v));
	add_bool(o, "running", v->reg.running);
	add_bool(o, "singlestep", false);
	qmp_return(call, o);
}

/* 0, or -EINVAL, which the client was told. */
static int look_args(struct qmp_call *call, struct json_object *args, struct vmstate_ask *ret)
{
	struct err err;

	ret->vcpu = int_arg(args, "vcpu", VMSTATE_ALL);
	ret->start = int_arg(args, "start", 0);
	ret->reading = int_arg(args, "reading", 0);
	if (ret->start >= 0 && ret->start <= VMSTATE_START_MAX)
		return 0;
	err_set(&err, -EINVAL, "Parameter 'start' does not accept value %lld",
		(long long)ret->start);
	qmp_fail(call, &err);
	return -EINVAL;
}

void query_vm_state(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	struct vm *v = commands_vm(opaque, call, vm, args);
	struct vmstate_ask ask;

	if (v && look_args(call, args, &ask) == 0)
		vmstate_query(opaque, v, call, &ask);
}

void query_vm_tlb(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	struct vm *v = commands_vm(opaque, call, vm, args);
	struct vmstate_ask ask;

	if (v && look_args(call, args, &ask) == 0)
		vmstate_query_tlb(opaque, v, call, &ask);
}

void query_daemon(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	struct json_object *warnings = json_object_new_array();
	struct server *srv = opaque;
	struct migration *m;
	char end[32];
	int n = 0;

	if (!srv->config.allow.n)
		json_object_array_add(warnings, json_object_new_string(ALLOW_NOBODY));
	creds_warnings(srv, warnings);
	for (unsigned i = 0; i < srv->n_listeners; i++)
		json_object_array_add(
			list, json_object_new_string(listener_uri(srv->listeners[i])));
	incoming_addresses(srv, NULL, list);
	TAILQ_FOREACH (m, &srv->migrations, link)
		n += !migration_is_final(m);
	add_text(o, "name", srv->config.name);
	add_int(o, "pid", getpid());
	json_object_object_add(o, "listen", list);
	if (!srv->n_listeners)
		add_text(o, "listen-error", incoming_why_not(srv));
	add_bool(o, "tls", !srv->config.plaintext);
	if (srv->creds)
		add_text(o, "tls-expires", creds_end(srv, end, sizeof(end)));
	add_int(o, "longest-callback-us", (int64_t)(srv->longest_ns / 1000));
	add_int(o, "migrations", n);
	json_object_object_add(o, "warnings", warnings);
	qmp_return(call, o);
}

void query_migrate(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	struct migration *m;

	if (commands_migration(opaque, call, vm, args, &m) == 0)
		qmp_return(call, m ? report_json(m) : NULL);
}

/* Those of the VM meant; with no VM or several, and none named, what a new one starts with. */
static const struct params *settings_of(
	struct server *srv, struct qmp_call *call, const char *own, struct json_object *args)
{
	struct vm *first = vms_first(srv->vms), *vm;

	if (commands_vm_or_all(srv, call, own, args, &vm) < 0)
		return NULL;
	if (!vm && first && !vms_next(first))
		vm = first;
	return vm ? &vm->params : &srv->config.params;
}

void query_parameters(void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	const struct params *p = settings_of(opaque, call, vm, args);

	if (p)
		qmp_return(call, params_json(p));
}

void query_capabilities(
	void *opaque, struct qmp_call *call, const char *vm, struct json_object *args)
{
	const struct params *p = settings_of(opaque, call, vm, args);

	if (p)
		qmp_return(call, params_capabilities(p));
}
