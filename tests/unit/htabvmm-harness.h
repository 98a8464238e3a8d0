/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What the tests of libhtabvmm share: a VMM whose callbacks answer what the test says, and a daemon
 * that the test plays, in one process and one thread. One of each at a time.
 */
#include "vmm/lib/impl.h"

#define TRACE_MAX 512
#define ORDER     18

/* The VMM, its answers and what was asked of it. */
extern struct vmm {
	struct htabvmm *h;
	char trace[TRACE_MAX]; /* "pause resume announce": the callbacks that were called */
	char events[TRACE_MAX];
	char text[VMM_TEXT_MAX]; /* of the last event */
	int pause, resume, inactivate, activate, load, save, throttle;
	bool may_run_at_resume;
	int daemon_events_at_resume; /* packets queued for the daemon when resume was called */
	unsigned reset_order, change_at_once; /* the order that htab_answer gives the table */
	int answer;
	uint64_t reg;
	char blob[16];
	size_t blob_size;
} vm;

extern const struct session_id S, T;

/* The daemon's side: the socket at `path` and the library's connection, or -1. */
extern char path[96];
extern int listener, daemon_fd;
extern uint32_t serial; /* of the last request that ask() sent */

/* What the library said last; the descriptor that came with the REPLY, or -1. */
extern struct vmm_register reg;
extern struct vmm_reply rep;
extern int rep_fd;

/* For each test: the daemon's socket in a scratch directory. */
void setup(void);
void teardown(void);

/* The VMM as it is when no test says otherwise. */
extern const struct htabvmm_ops ops;
struct htabvmm_config config(bool incoming);

/* A new handle that is registered; its end, and the daemon's. */
void start(bool incoming);
void stop(void);

/* A new handle with session S in that state. `incoming` only says for UNKNOWN which end it is. */
void bring_to(enum session_state state, bool incoming);
enum session_state state_of(struct session_id id);

/* Let the library do what it has to; the second waits until there is something. */
void dispatch(void);
void wait_dispatch(void);

/* Accept the library's connection and register it; only take its REGISTER; end it. */
void attach(void);
void take_register(void);
void detach(void);

/* Whether a packet waits for the daemon: 0 or 1. */
int queued(void);

/* The next packet, which is that REPLY or an EVENT; false if there is none. */
bool take_reply(uint32_t want);
bool take_event(struct vmm_event *ret);

/* fd stays the caller's, and may be -1. */
void send_request(const struct vmm_request *m, int fd);

/* Send a request and dispatch; the error of the answer. */
int ask_fd(enum vmm_type type, enum session_note n, struct session_id s, int fd);
int ask(enum vmm_type type, struct session_id s);
int ask_note(enum session_note n, struct session_id s);
int set_state(struct session_id s);

/* A state image as the library makes one, in a sealed memfd that is the caller's. */
int image(const char *blob, uint32_t vcpu);
