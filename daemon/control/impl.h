/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the commands share. The loop's thread. */
#include <json-c/json.h>

#include "daemon/control/commands.h"
#include "daemon/server.h"

/* The argument of that name, valid as long as args; NULL: not given. */
const char *commands_text(struct json_object *args, const char *name);

/*
 * -- control/find.c: whom a command is about --
 *
 * By argument `vm` (a name or UUID), by the socket (own: its VM's name, which takes no other), or
 * the only one. What finds nothing has answered the call.
 */

/* A VM that is registered, or NULL. */
struct vm *commands_vm(
	struct server *srv, struct qmp_call *call, const char *own, struct json_object *args);
/* The same, but no `vm` on the shared socket is every VM: 0 and *ret NULL. */
int commands_vm_or_all(struct server *srv, struct qmp_call *call, const char *own,
	struct json_object *args, struct vm **ret);
/*
 * A VM's migration that is under way, or else its last: 0, *ret NULL when there was none. The VM
 * may be gone, and so the only one is that of all known, not of those registered.
 */
int commands_migration(struct server *srv, struct qmp_call *call, const char *own,
	struct json_object *args, struct migration **ret);
/* The migration that is under way, or NULL. */
struct migration *commands_running(
	struct server *srv, struct qmp_call *call, const char *own, struct json_object *args);
/* The VM, if it waits for the guest that migrate-incoming permits; or NULL, with no answer. */
struct vm *commands_waiting(struct server *srv, const char *own, struct json_object *args);
/* The session's migration that is under way, if it is the VM's that is named, or NULL. */
struct migration *commands_session(struct server *srv, struct qmp_call *call, const char *own,
	struct json_object *args, const struct session_id *session);

/* -- control/query.c: opaque is the server, vm the socket's or NULL -- */

qmp_run query_vms;
qmp_run query_status;
qmp_run query_vm_state;
qmp_run query_vm_tlb;
qmp_run query_daemon;
qmp_run query_migrate;
qmp_run query_parameters;
qmp_run query_capabilities;
