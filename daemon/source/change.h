/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The guest resets or resizes its hashed page table while it migrates away: the daemon lets go of
 * the old table, the VMM changes it, and a new generation begins at pass 1, on an fd of its own.
 *
 * The VMM announces it (HTAB_CHANGE) with its vCPUs stopped and waits for an answer, but not for
 * ever; then it says what became of it (HTAB_CHANGED), before any vCPU runs. Both come in the order
 * of its socket: what was changed without leave, or too late to be followed, is known before its
 * guest can be paused, and ends the migration. Loop thread only.
 *
 *	READING --HTAB_CHANGE--> PARTING --fd closed, answered--> AWAY --HTAB_CHANGED--> BARRIER
 *	BARRIER --GENERATION sent--> OPENING --fd--> READING
 *
 * A second change finds no fd from AWAY to OPENING: it is answered at once, and one more generation
 * follows. None follows where OPEN was not sent yet: it has the new order.
 */
#include "daemon/session/migration.h"

/* The VMM announced a change of its table to one of that order, or says that it was made. */
void change_announced(struct vm *vm, unsigned order);
void change_made(struct vm *vm, unsigned order);
/* The flow is made, with an fd. A generation follows when the table changed since OPEN was sent. */
void change_flow(struct migration *m);
/* outflow_ops.parted and .generation. */
void change_parted(struct migration *m);
void change_begun(struct migration *m);
