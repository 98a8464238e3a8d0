/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Steps that an answer alone ends, which nobody can make up: from the note COMMITTING on at the
 * source, from RUN on at the destination. How long one may last in silence (handover-timeout), and
 * what people are told then. Nothing is decided by it, but that a source whose destination says
 * nothing on a connection that lives asks on, and may be resolved. Loop thread only.
 */
#include "daemon/session/migration.h"

/* The answer is waited for from now on: people are told when it does not come in that time. */
void unresolved_wait(struct migration *m);
/* handover-timeout was changed. */
void unresolved_tuned(struct migration *m);
/* Its answer is here: nobody waits. */
void unresolved_over(struct migration *m);
/* Say loudly what is waited for, in the journal and by MIGRATION_UNRESOLVED. */
void unresolved_tell(struct migration *m);
