/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The destination's side of a migration: OPEN (arrive.c), from JOIN to READY (dest.c), a source
 * that comes back (rejoin.c) or begins anew (reopen.c), and what is said and done about a session
 * from READY on (decide.c). Loop thread only.
 */
#include "daemon/session/migration.h"

/* OPEN arrived on a control connection: p becomes the migration's, or it is refused and closed. */
void dest_open(struct server *srv, struct peer *p, const struct wire_open *open);
/* The same, of a source that began anew: its session `before` has ended, which was permitted. */
void dest_open_after(struct server *srv, struct peer *p, const struct wire_open *open,
	const struct migration *before);
/*
 * JOIN arrived on a data connection: its stream will be the inflow's, or p is refused and closed.
 */
void dest_join(struct server *srv, struct peer *p, const struct wire_join *join);
/* RESUME arrived on a control connection: p becomes the migration's, or is refused and closed. */
void rejoin_resume(struct server *srv, struct peer *p, const struct wire_resume *resume);
/*
 * COMMIT arrived on a question connection: p becomes the migration's, or it is answered and
 * closed.
 */
void dest_question(struct server *srv, struct peer *p, const struct wire_session *s);
int dest_cancel(struct migration *m, struct err *err);
/* The operator's word: run: the guest runs (or did run) here; else: it never does. */
int dest_resolve(struct migration *m, bool run, struct err *err);
/*
 * A VMM registered with a READY, RUN or DEAD note of a session that nobody here conducts. Its
 * cookie, which is without its MAC, is believed only when it is proven to be this host's.
 */
void dest_adopt(struct server *srv, struct vm *vm, const struct vmm_note *note, bool proven);
/* Its VMM, which was away, is back with this note. */
void dest_attach(struct migration *m, struct vm *vm, enum session_note note);
void dest_vm_gone(struct migration *m, bool dead);
/* m->tuning was changed. */
void dest_tuned(struct migration *m);

/* -- between these files -- */

void dest_stop(
	struct migration *m, enum mig_state final, enum wire_refusal code, const struct err *err);
int dest_failf(struct migration *m, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void dest_ask(
	struct migration *m, struct vmm_request *req, int fd, int timeout_ms, vm_reply_cb *cb);
/* One of those that MIG_IN_STOPPING waits for is over. */
void dest_stopped_one(struct migration *m);
/* Is the guest of OPEN one for this VM? 0, or -EINVAL with *code and the sentence. */
int dest_check_machine(
	const struct vm *vm, const struct wire_open *o, enum wire_refusal *code, struct err *err);
/* Let the VMM make ready: LOADING, an empty table, its fd. */
void dest_prepare(struct migration *m);
/* Begin to write what comes; m->streams become the flow's, on success only. */
int dest_flow(struct migration *m, struct err *err);
/* m->state_fd is whole: SET_STATE is next. */
void dest_set_state(struct migration *m);
/*
 * Have the VMM make its table an empty one of 2^order bytes and open it: m->htab, and where tables
 * are compared m->htab_verify. Then ready(m); or the migration fails.
 */
void dest_new_table(struct migration *m, unsigned order, void (*ready)(struct migration *m));
/* The connections are gone: wait for RESUME, or fail if nobody waits. */
void rejoin_broken(struct migration *m, const struct err *err);
/* recover-timeout is another one. */
void rejoin_tuned(struct migration *m);
/* PAUSE, SWITCHOVER; as peer_ops.frame. */
int rejoin_frame(struct migration *m, enum wire_type type, size_t len);
/* As inflow_ops.settled. */
void rejoin_settled(void *arg, const struct wire_resumed *resumed);
/* The data channels are joined anew: they become the flow's. */
void rejoin_joined(struct migration *m);
/* May this peer's OPEN end that session (NULL: none)? It is interrupted, and the peer's. */
bool reopen_may(const struct migration *m, const struct peer *p);
/*
 * End it; p becomes its, and OPEN is heard when it has ended. 0; or -ENOMEM, and nothing is done.
 */
int reopen_wait(struct migration *before, struct peer *p, const struct wire_open *open);
/* It has ended. */
void reopen_over(struct migration *before);
struct reopen *reopen_free(struct reopen *o); /* takes NULL, returns NULL */
/* The VMM noted READY. */
void decide_ready(struct migration *m);
int decide_commit(struct migration *m); /* 0, or -EBADMSG: out of order */
void decide_closed(struct migration *m);
/* A limit of READY or RUN was changed. */
void decide_tuned(struct migration *m);
/* Everything is put back: the session has ended, and whoever asked meanwhile hears it. */
void decide_stopped(struct migration *m);
/* The connection of a session that is READY or further ended. */
void decide_disconnected(struct migration *m);
extern const struct peer_ops dest_ops;
