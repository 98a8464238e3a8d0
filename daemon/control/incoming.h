/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Where a source may come in: addresses that an operator names, and sockets that a client of the
 * control socket gave by getfd. Loop thread only.
 */
#include "daemon/server.h"

#define ADDRESSES_MAX 256

/*
 * Let connections for vm in at uri: tcp: (by number: a name would be resolved on the loop, which
 * must not wait), unix:, or fd:NAME, a socket that listens or one that is connected. 0, or -errno
 * with the sentence. An address is listened to until the guest has come and its session is over, or
 * until its VM is gone, another one is given, or the permission withdrawn. One of the daemon's own
 * (its configuration) stays.
 */
int incoming_listen(struct server *srv, struct vm *vm, const char *uri, struct err *err);
/* Does anything here listen for vm? */
bool incoming_listens(const struct server *srv, const struct vm *vm);
/* Append the addresses that are listened to for vm, NULL: for any. */
void incoming_addresses(const struct server *srv, const struct vm *vm, struct json_object *list);
/* Why the daemon has no address of its own. */
const char *incoming_why_not(const struct server *srv);
/* No guest may come any more: what was permitted is taken back. */
void incoming_withdraw(struct server *srv, struct vm *vm);
/* The guest begins to arrive by m: that uses up the permission. */
void incoming_begun(struct migration *m);
/* Sessions ended: close what was open for them. */
void incoming_settle(struct server *srv);
void incoming_vm_gone(struct server *srv, struct vm *vm);
/* m is about to be freed. */
void incoming_forget(struct migration *m);
/* Close all of them. */
void incoming_end(struct server *srv);
/* The daemon has other credentials. */
void incoming_set_creds(struct server *srv);

/*
 * The stream socket that getfd named for fd:NAME: the fd, now the caller's, or -errno with the
 * sentence; what is no such socket is closed.
 */
int incoming_take_socket(
	struct server *srv, const struct uri *uri, bool *ret_listens, struct err *err);
