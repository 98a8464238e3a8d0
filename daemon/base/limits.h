/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Every time limit of the daemon that is no parameter of a migration, each with its name, its
 * milliseconds and its reason. What an operator may set is in params.h.
 *
 * HTAB_MIGRATED_LIMITS="NAME=MS,..." changes them for tests, at start and never later: any thread
 * may read them.
 */
#include <stdint.h>
#include <sys/time.h>

#include "common/err.h"

/* clang-format off */
#define LIMITS(X) \
	/* connections */ \
	X(HANDSHAKE, "handshake", 10000)	/* TLS, of whoever connects */ \
	X(GREETING, "greeting", 10000)		/* then: to say what the connection is for */ \
	X(SETUP, "setup", 30000)		/* source: each step of making a connection */ \
	X(JOIN, "join", 30000)			/* destination: until all data channels are there */ \
	X(CHANNEL_SILENCE, "channel-silence", 30000) /* of a data channel that should move */ \
	X(PING, "ping", 5000)			/* a quiet control connection is asked */ \
	X(PEER_SILENCE, "peer-silence", 30000)	/* no frame at all: peer or network are dead */ \
	X(PEER_FINISH, "peer-finish", 5000)	/* for last words, and the other's end */ \
	X(CUT_CAUSE, "cut-cause", 1000)		/* for the ABORT that says why a channel ended */ \
	X(REDIAL, "redial", 1000)		/* wait between attempts; it doubles */ \
	X(REDIAL_MAX, "redial-max", 10000)	/* the longest such wait, and one attempt */ \
	X(RESUME_STEP, "resume-step", 30000)	/* source: each answer while it resumes */ \
	X(FAREWELL, "farewell", 10000)		/* each attempt to say that a session is over */ \
	/* the hand-over */ \
	X(LEASE_RENEW, "lease-renew", 2000)	/* the VMM resumes by itself after VMM_LEASE_MS */ \
	X(RUN_AGAIN, "run-again", 2000)		/* a loaded guest that could not be started */ \
	X(UNDO_AGAIN, "undo-again", 2000)	/* one that could not be resumed */ \
	/* VMMs */ \
	X(ACCEPT_AGAIN, "accept-again", 1000)	/* there was no descriptor left for one */ \
	X(VMM_REGISTER, "vmm-register", 10000)	/* from connecting to REGISTER */ \
	X(VMM_ANSWER, "vmm-answer", 30000)	/* a request, an exchange over htabsock */ \
	X(VMM_DEATH, "vmm-death", 5000)		/* from its socket's end to its process's */ \
	X(VMM_BACK, "vmm-back", 10000)		/* in which a VMM that lives registers again */ \
	X(TABLE_CHANGE, "table-change", 60000)	/* the VMM's ioctl on a large table */ \
	/* clients, and the daemon's own end */ \
	X(READING, "reading", 30000)		/* a VM's state is kept for its next page */ \
	X(LATE_SOCKET, "late-socket", 30000)	/* a VM's control socket after its guest moved */ \
	X(ADDRESS, "address", 3600000)		/* of a session whose source may not know its end */ \
	X(CREDS_CHECK, "creds-check", 86400000)	/* until it is looked again what expires */ \
	X(LOG_DRAIN, "log-drain", 1000)		/* at the end, for lines that nobody read */ \
	X(STATUS, "status", 100)		/* between two STATUS= lines */ \
	X(STOP, "stop", 20000)			/* for what is under way to be put back */
/* clang-format on */

enum limit {
#define LIMIT_ENUM(id, name, ms) LIMIT_##id,
	LIMITS(LIMIT_ENUM)
#undef LIMIT_ENUM
};
#define LIMIT_ONE(id, name, ms) +1
#define LIMITS_N                (0 LIMITS(LIMIT_ONE))

int limit_ms(enum limit limit);
int limit_s(enum limit limit); /* in whole seconds, for sentences */
struct timeval limit_tv(enum limit limit);
/* Before the attempt after so many in vain: 0, then REDIAL, doubled each time up to REDIAL_MAX. */
int limit_backoff_ms(unsigned attempts);

/*
 * Take "NAME=MS,..." (NULL: nothing). 0; or -EINVAL with a sentence, and nothing is changed. Before
 * any thread is started.
 */
int limits_set(const char *text, struct err *err);
