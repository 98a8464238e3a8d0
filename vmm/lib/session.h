/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * The sessions that a VM took part in, and what each state of one allows.
 *
 * This is where "never two, never none" is kept: one table says for each state and each request
 * what follows, and session_step() is the only function that changes a state. Pure: no fds, no
 * clock. The library's thread only.
 */
#include <stdbool.h>
#include <stdint.h>

#include "proto/vmm.h"

#define SESSIONS_MAX VMM_NOTES_MAX

enum session_state {
	SESSION_UNKNOWN = 0,
	/* at the source */
	SESSION_PAUSED,     /* the vCPUs stop or are stopped; the lease runs */
	SESSION_COMMITTING, /* the guest may run elsewhere: only UNDO or RELEASE ends it */
	SESSION_RESUMED,    /* final: the guest ran on here */
	SESSION_MIGRATED,   /* final: the guest runs elsewhere */
	/* at the destination */
	SESSION_LOADING,
	SESSION_READY,
	SESSION_STARTING, /* RUN was asked for, `activate` is at work */
	SESSION_RUN,      /* final but for CLOSED: the guest runs here */
	SESSION_DEAD,     /* final: this copy never runs */
	SESSION_CLOSED,   /* final: the source has let go of a guest that runs here */
	SESSION_STATES,
};

enum session_ask {
	/* requests at the source */
	ASK_PAUSE = 0,
	ASK_LEASE,
	ASK_RESUME,
	ASK_GET_STATE,
	ASK_COMMITTING,
	ASK_UNDO,
	/* at either end */
	ASK_RELEASE,
	/* at the destination */
	ASK_LOADING,
	ASK_SET_STATE,
	ASK_RESET_HTAB,
	ASK_READY,
	ASK_RUN,
	ASK_DEAD,
	/* what happens by itself */
	ASK_LOST,       /* the daemon's socket ended */
	ASK_LEASE_OVER, /* nobody renewed the lease */
	ASK_FAILED,     /* the work of the step before failed */
	ASK_STARTED,    /* the guest that arrived runs */
	SESSION_ASKS,
};

enum session_verdict {
	VERDICT_REFUSE = 0, /* nothing changes */
	VERDICT_DO,         /* do the work, then the state is `next` */
	VERDICT_DONE,       /* it is so already: answer as if it had been done now */
};

struct session_rule {
	enum session_verdict verdict;
	enum session_state next;
};

struct session {
	struct session_id id;
	enum session_state state;
	uint64_t born; /* order of arrival, for forgetting the oldest */
	uint16_t cookie_len;
	uint8_t cookie[VMM_COOKIE_MAX];
};

struct sessions {
	struct session all[SESSIONS_MAX];
	uint64_t count; /* that ever were */
};

struct session_rule session_rule(enum session_state state, enum session_ask ask);

/* Compare and set: by the rule of its state. True when that says DO; else nothing changes. */
bool session_step(struct session *s, enum session_ask ask);

/* The session of that id, or NULL. */
struct session *sessions_find(struct sessions *all, const struct session_id *id);

/*
 * Begin one: PAUSED by ASK_PAUSE, LOADING by ASK_LOADING. The oldest finished one is forgotten when
 * there are too many. The id must be unknown.
 */
struct session *sessions_begin(
	struct sessions *all, const struct session_id *id, enum session_ask ask);

/* A session in that state, or NULL. */
struct session *sessions_in(struct sessions *all, enum session_state state);

/* The note that a state is to the daemon: NOTE_NONE where it is none. */
enum session_note session_note_of(enum session_state state);

/* "is paused", "is unknown here": the state in a sentence about the session. */
const char *session_state_text(enum session_state state);
const char *session_ask_name(enum session_ask ask);
/* What a refusal in this state answers: a negative errno. */
int session_state_error(enum session_state state);
