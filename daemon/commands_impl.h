/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What commands.c and commands_query.c share. The loop's thread. */
#include <json-c/json.h>

#include "daemon/commands.h"
#include "daemon/server.h"

/* The argument of that name, valid as long as args; NULL: not given. */
const char *commands_text(struct json_object *args, const char *name);
/* The VM meant: by argument, by the socket, or the only one. NULL: the call is answered. */
struct vm *commands_vm(
	struct server *srv, struct qmp_call *call, const char *vm, struct json_object *args);

/* -- commands_query.c: opaque is the server, vm the socket's or NULL -- */

qmp_run query_vms;
qmp_run query_status;
qmp_run query_vm_state;
qmp_run query_vm_tlb;
qmp_run query_daemon;
qmp_run query_migrate;
qmp_run query_parameters;
qmp_run query_capabilities;
