/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The command dump-htab: the table of a VM, read once from its htab fd into a file that a client
 * gave. Reading takes the kernel's change marks away, and a table that arrives is none yet: so
 * there is either a migration, in whatever direction, or this, never both. Loop thread only.
 */
#include "daemon/server.h"

struct dumphtab;

/*
 * Answers the call, then or later: {"order", "bytes"}, records with big-endian headers being in fd,
 * a regular file (a memfd is one) that is open for writing; it becomes the callee's.
 */
void dumphtab_start(struct server *srv, struct vm *vm, int fd, struct qmp_call *call);
/* Is its table read now? A change of it that the VMM announces is then answered at the end. */
bool dumphtab_busy(const struct vm *vm);
/* Then no migration begins: 0, or -EBUSY with a sentence. */
int dumphtab_check(const struct vm *vm, struct err *err);
/* The VM goes. */
void dumphtab_vm_gone(struct vm *vm);
