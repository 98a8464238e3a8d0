/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The source's side of a migration: connecting (connect.c), passes, convergence and putting things
 * back (source.c), broken connections (recover.c), the pause, the last lap and the state
 * (switchover.c), the hand-over (handover.c). Loop thread only.
 */
#include "daemon/session/migration.h"

/*
 * Begin to migrate vm to uri. redial (NULL unless uri is fd:NAME) is where the destination is found
 * for every other connection. 0, or -errno with the sentence and nothing changed but that a
 * descriptor which is no connected socket is closed.
 */
int source_start(
	struct server *srv, struct vm *vm, const char *uri, const char *redial, struct err *err);
/* migrate_cancel: 0, or -EBUSY once the hand-over has begun. */
int source_cancel(struct migration *m, struct err *err);
/* migrate-pause: cut the connections, keep everything. */
int recover_pause(struct migration *m, struct err *err);
/* migrate with `resume`: connect again, at uri and redial as source_start() has them. */
int recover_resume(struct migration *m, const char *uri, const char *redial, struct err *err);
/* migrate-continue: leave pre-switchover. */
int source_continue(struct migration *m, struct err *err);
/* The operator's word, while it asks: run: the guest runs here again; else: it is gone. */
int source_resolve(struct migration *m, bool run, struct err *err);
/*
 * A VMM registered that holds a COMMITTING note of a session that nobody here conducts. Its cookie,
 * which is without its MAC, is believed only when it is proven to be this host's.
 */
void source_adopt(struct server *srv, struct vm *vm, const struct vmm_note *note, bool proven);
/* Its VMM, which was away, is back with the note of this session. */
void source_attach(struct migration *m, struct vm *vm);
/* Its VMM, or another one of its UUID, is there without the note. */
void source_vm_back(struct migration *m);
/* Its VMM went away; dead: for good. */
void source_vm_gone(struct migration *m, bool dead);
/* The VMM says that the guest of this session runs again. */
void source_vm_resumed(struct migration *m);
/* The VMM's guest stopped by itself. */
void source_vm_stopped(struct migration *m, const char *why);

/* -- between these files -- */

/* End a migration before COMMITTING; final is MIG_FAILED or MIG_CANCELLED. */
void source_stop(
	struct migration *m, enum mig_state final, enum wire_refusal code, const struct err *err);
int source_failf(struct migration *m, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void source_ask(struct migration *m, struct vmm_request *req, vm_reply_cb *cb);
/* The same for an answer that must come, or its VMM be gone, before the migration goes on. */
void source_ask_wait(struct migration *m, struct vmm_request *req, vm_reply_cb *cb);
void source_answered(struct migration *m);
/* The passes are over: end the threads; what is waited for goes on without them. */
void source_stop_flow(struct migration *m);
int source_open_htab(
	struct migration *m, int fd, const struct vmm_reply *reply, struct htabio **ret);
/* All that OPEN says of the guest. */
void source_describe(const struct migration *m, struct wire_open *ret);
/* And what a reader of today's OPEN compares besides. */
void source_describe_processor(const struct migration *m, struct wire_open *open);
/* The way for the table is there: START. */
void source_start_htab(struct migration *m);
/* One of those that MIG_STOPPING waits for is over. */
void source_stopped_one(struct migration *m);
/* Look at what its flow counted. */
void source_figures(struct migration *m);
/* The guest, which was paused, runs here again: the end of its downtime. */
void source_runs_again(struct migration *m);
/* Pass 1, of a table whose fd the flow has; later when the migration is held. */
void source_pass_one(struct migration *m);
/*
 * The connections made anew, and what connect.c and source.c tell recover.c. A failure of a
 * recovery leads back to CUT.
 */
int connect_uris(struct server *srv, const struct vm *vm, const char *uri, const char *redial,
	struct uri *ret, int *ret_fd, struct err *err);
void connect_control(struct migration *m);
void connect_data(struct migration *m);
/* The connections are gone, or not worth having: wait for others, or fail if nobody waits. */
void recover_broken(struct migration *m, const struct err *err);
/* The control connection is there. */
void recover_dialled(struct migration *m);
/* A frame of it, until the data channels are joined; as peer_ops.frame. */
int recover_frame(struct migration *m, enum wire_type type, const uint8_t *body, size_t len);
/* The data channels are joined: they become the flow's. */
void recover_joined(struct migration *m);
/* recover-timeout is another one. */
void recover_tuned(struct migration *m);
/* The flow has let its channels go. */
void recover_parked(void *arg);
/* Passes: the next one, or what follows the last. After a pass, when there is a connection. */
void source_pass_over(struct migration *m);
void source_first_pass(struct migration *m);
/* The parameter timeout: what is left of it, while the passes run. */
void source_limit(struct migration *m);
/* m->tuning is another one: what is under way goes by it from now on. */
void source_tuned(struct migration *m);
/* Begin the passes; io and m->streams become the flow's. */
void source_flow(struct migration *m, struct htabio *io);
/* Go on from ACTIVE: stop the guest. */
void switchover_begin(struct migration *m);
void switchover_pass_done(struct migration *m, enum wire_stream stream, uint32_t pass);
/* A frame of the control connection from the pause on; as peer_ops.frame. */
int switchover_frame(struct migration *m, enum wire_type type, const uint8_t *body, size_t len);
void switchover_drained(struct migration *m);
/* A limit of the pause or of the hand-over was changed. */
void switchover_tuned(struct migration *m);
/* Fill in m->end, but for the state's digest. */
void switchover_describe_end(struct migration *m);
/* Everything is safe elsewhere: ask the VMM for its COMMITTING note. */
void switchover_note(struct migration *m);
/* The control connection ended after COMMITTING was asked for. */
void handover_closed(struct migration *m, const struct err *err);
/* The destination says nothing on a connection that lives. */
void handover_silent(struct migration *m);
/* ABORT or REFUSE came after that. As peer_ops.frame. */
int handover_aborted(struct migration *m, const uint8_t *body, size_t len);
/* READY is here; the VMM died with a guest that never ran again: commit for it. */
void handover_commit(struct migration *m);
void handover_finish(struct migration *m);
/* The last word about the session: it is the other end's guest, or ours. */
void handover_release(struct migration *m);
void handover_undo(struct migration *m, const char *why);
/* Nobody could be asked now: again, later. */
void handover_no_answer(struct migration *m, const struct err *err);
/* Ask the destination what became of the session, now and again. */
void handover_asking(struct migration *m);
/* An answer to COMMIT: RUNNING, NEVER, UNKNOWN, LOST. As peer_ops.frame. */
int handover_answer(struct migration *m, enum wire_type type, const uint8_t *body, size_t len);
/* REASON, which the answer follows. */
int handover_reason(struct migration *m, struct peer *p, const uint8_t *body, size_t len);
