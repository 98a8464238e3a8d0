/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A VM's own control socket outlives it for half a minute: a guest that migrated away often takes
 * its VMM with it, and whoever watched wants to hear the end and to ask for the figures. Loop
 * thread.
 */
struct server;
struct vm;

/* The VM is gone; its socket stays for a while. */
void latesock_keep(struct server *srv, struct vm *vm);
/* Close it now; vm NULL: all of them. */
void latesock_end(struct server *srv, const char *vm);
