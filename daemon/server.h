/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The daemon: one event loop and what hangs on it. Loop thread only.
 */
#include <event2/event.h>
#include <stdbool.h>
#include <sys/queue.h>

#include "common/dial.h"
#include "daemon/vms/allow.h"
#include "daemon/session/migration.h"
#include "daemon/session/notekey.h"
#include "daemon/base/params.h"
#include "daemon/qmp/qmp.h"
#include "daemon/vms/vm.h"

#define LISTEN_MAX     8
#define MIGRATIONS_MAX 64  /* under way at once, but for those that VMMs brought along */
#define HISTORY_MAX    256 /* migrations remembered in all, the same */
#define HISTORY_KEEP   128 /* from there on the oldest that ended are forgotten */

/* When nothing is said of that. */
#define ALLOW_NOBODY                                                                               \
	"'allow' in the configuration has no rules: whoever may open the VMM socket can register " \
	"any VM that is not here, and so be given its guest"

struct config {
	char file[256], control[256], vmm_socket[256], tls_dir[256], name[WIRE_NAME_MAX];
	char state_dir[256]; /* what outlives the daemon: the key of its notes */
	char listen[LISTEN_MAX][URI_MAX];
	unsigned n_listen;
	bool listen_given; /* in the configuration file */
	bool plaintext, verbose;
	bool no_ktls; /* the kernel is not to encrypt what is sent */
	struct allow allow;
	unsigned vms_per_user;
	struct params params; /* what a VM starts with */
};

struct server {
	struct event_base *base;
	struct config config;
	struct vms *vms;
	struct qmp *qmp;
	struct qmp_sock *control;
	struct notekey key;      /* of the cookies that VMMs keep */
	char vm_dir[256];        /* of the VMs' own control sockets */
	struct tls_creds *creds; /* NULL: plaintext, or none were found */
	char creds_error[ERR_TEXT_MAX];
	struct listener *listeners[LISTEN_MAX]; /* of the configuration */
	unsigned n_listeners;
	TAILQ_HEAD(, address) addresses; /* and for VMs: incoming.c */
	TAILQ_HEAD(, accepted) accepted; /* connections without a role yet: accept.c */
	unsigned n_accepted;
	TAILQ_HEAD(, late_sock) late_socks; /* of VMs that are gone: latesock.c */
	TAILQ_HEAD(migrations, migration) migrations;
	TAILQ_HEAD(, farewell) farewells; /* last words of sessions: farewell.c */
	unsigned n_farewells;
	unsigned n_dumps; /* tables that are read for clients */
	char hold[256];   /* HTAB_MIGRATED_HOLD */
	bool stopping;
	struct event *stop_timer;
	struct event *creds_timer;  /* to the next look at what expires */
	struct event *status_timer; /* runs: STATUS= was told a moment ago */
	bool status_due;            /* what it tells has changed since */
	uint64_t longest_ns;        /* of one turn of the loop */
};

/* Open every socket. 0, or -errno with a sentence. srv->base and srv->config are set. */
int server_start(struct server *srv, struct err *err);
/* Load the credentials anew; connections under way keep theirs. */
int server_load_creds(struct server *srv, struct err *err);
/* Cancel what can be cancelled; the loop ends when that is done. */
void server_stop(struct server *srv);
/* After the loop has ended. */
void server_end(struct server *srv);

void server_event(struct server *srv, const char *vm, const char *name, struct json_object *data);
/* Something changed that STATUS= tells. */
void server_status(struct server *srv);
/* A migration's state changed: a stopping daemon ends with the last one that it waits for. */
void server_moved(struct server *srv, const struct migration *m);
/* Are as many migrations under way, or remembered, as may be? */
bool server_full(struct server *srv);
/* Would this daemon, being one without TLS, ignore what these parameters ask for? -EINVAL with a
 * sentence, or 0. */
int server_check_tls(const struct server *srv, const struct params *params, struct err *err);
/* The credentials for a connection with these parameters. 0 and *ret (a reference, NULL in
 * plaintext), or -errno with a sentence. */
int server_creds(struct server *srv, const char *dir, struct tls_creds **ret, struct err *err);
/* Is that one of its own addresses, those of the configuration? */
bool server_listens(const struct server *srv, const char *uri);
struct migration *server_find_session(struct server *srv, const struct session_id *session);
