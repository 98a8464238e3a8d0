/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * htabctl: what its commands share. One thread; the process ends with the command.
 */
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "tools/htabctl/qmpclient.h"

#define HTABCTL_SOCKET "/run/htab-migrated/control.sock"

/* Exit status; htabctl(1) names them. */
enum {
	CTL_OK = 0,
	CTL_FAILED = 1, /* the daemon refused, or the migration did not complete */
	CTL_USAGE = 2,
	CTL_UNREACHABLE = 3, /* no daemon, or the connection to it was lost */
	CTL_INTERRUPTED = 130,
};

struct ctl {
	const char *socket;
	bool json;
	bool no_wait;
	bool state;                     /* --state */
	bool tlb;                       /* --tlb */
	const char *vcpu;               /* --vcpu */
	const char *vm;                 /* --vm */
	const char *from;               /* --from */
	const char *listen;             /* --listen */
	const char *redial;             /* --redial-uri */
	bool resume;                    /* --resume */
	int fd;                         /* --fd, -1: none */
	const char *load;               /* --load */
	const char *name;               /* --name */
	bool cancel;                    /* --cancel */
	bool entries, segments, bolted; /* --entries, --segments, --bolted */
	uint64_t limit;                 /* --limit, 0: none */
	unsigned order;                 /* --order, 0: as it follows */
	struct qmpclient *qmp;
};

/* Say what went wrong (as an object as well with --json): the exit status for it. */
int ctl_fail(struct ctl *ctl, const struct err *err);
int ctl_usage(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Connect to the daemon, for a command that does not always need it. 0, or the exit status. */
int ctl_connect(struct ctl *ctl);
/* Execute; args become the callee's. 0 and *ret (the caller's, may be NULL), or -errno. */
int ctl_call(struct ctl *ctl, const char *command, struct json_object *args,
	struct json_object **ret, struct err *err);
/* Execute a command whose answer says nothing; prints {} with --json. The exit status. */
int ctl_do(struct ctl *ctl, const char *command, struct json_object *args);
/* {"vm": vm}, or {} for NULL. The caller's. */
struct json_object *ctl_vm_args(const char *vm);
/*
 * With --fd: give the daemon that descriptor under the name in uri, which has to be fd:NAME. 0, or
 * the exit status.
 */
int ctl_give_fd(struct ctl *ctl, const char *uri);
/* query-vms' object of that name or UUID (NULL: the only one): the caller's, or NULL. */
struct json_object *ctl_find_vm(struct ctl *ctl, const char *vm);

/* The commands: argv[0] is the first argument after the command's name. The exit status. */
int htabctl_list(struct ctl *ctl, int argc, char **argv);
int htabctl_info(struct ctl *ctl, int argc, char **argv);
int htabctl_status(struct ctl *ctl, int argc, char **argv);
int htabctl_watch(struct ctl *ctl, int argc, char **argv);
int htabctl_migrate(struct ctl *ctl, int argc, char **argv);
int htabctl_incoming(struct ctl *ctl, int argc, char **argv);
int htabctl_pause(struct ctl *ctl, int argc, char **argv);
int htabctl_recover(struct ctl *ctl, int argc, char **argv);
int htabctl_continue(struct ctl *ctl, int argc, char **argv);
int htabctl_cancel(struct ctl *ctl, int argc, char **argv);
int htabctl_resolve(struct ctl *ctl, int argc, char **argv);
int htabctl_dump(struct ctl *ctl, int argc, char **argv);
int htabctl_set(struct ctl *ctl, int argc, char **argv);
int htabctl_qmp(struct ctl *ctl, int argc, char **argv);

/* The members of a query-migrate answer for people (htabctl/show.c). */
void show_migration(struct json_object *query_migrate);
