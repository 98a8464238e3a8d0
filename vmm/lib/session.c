/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm/lib/session.h"

#include <assert.h>
#include <errno.h>

#define DO(next)                 \
	{                        \
		VERDICT_DO, next \
	}
#define DONE(same)                 \
	{                          \
		VERDICT_DONE, same \
	}

/* What is not in here is refused. */
static const struct session_rule rules[SESSION_STATES][SESSION_ASKS] = {
	[SESSION_UNKNOWN] =
		{
			[ASK_PAUSE] = DO(SESSION_PAUSED),
			[ASK_LOADING] = DO(SESSION_LOADING),
		},
	[SESSION_PAUSED] =
		{
			[ASK_PAUSE] = DONE(SESSION_PAUSED),
			[ASK_LEASE] = DONE(SESSION_PAUSED),
			[ASK_RESUME] = DO(SESSION_RESUMED),
			[ASK_GET_STATE] = DO(SESSION_PAUSED),
			[ASK_COMMITTING] = DO(SESSION_COMMITTING),
			[ASK_LOST] = DO(SESSION_RESUMED),
			[ASK_LEASE_OVER] = DO(SESSION_RESUMED),
			[ASK_FAILED] = DO(SESSION_RESUMED),
		},
	[SESSION_COMMITTING] =
		{
			[ASK_COMMITTING] = DONE(SESSION_COMMITTING),
			[ASK_UNDO] = DO(SESSION_RESUMED),
			[ASK_RELEASE] = DO(SESSION_MIGRATED),
		},
	[SESSION_RESUMED] =
		{
			[ASK_RESUME] = DONE(SESSION_RESUMED),
			[ASK_UNDO] = DONE(SESSION_RESUMED),
		},
	[SESSION_MIGRATED] =
		{
			[ASK_RELEASE] = DONE(SESSION_MIGRATED),
		},
	[SESSION_LOADING] =
		{
			[ASK_SET_STATE] = DO(SESSION_LOADING),
			[ASK_RESET_HTAB] = DO(SESSION_LOADING),
			[ASK_READY] = DO(SESSION_READY),
			[ASK_DEAD] = DO(SESSION_DEAD),
			[ASK_LOST] = DO(SESSION_DEAD),
		},
	[SESSION_READY] =
		{
			[ASK_READY] = DONE(SESSION_READY),
			[ASK_RUN] = DO(SESSION_STARTING),
			[ASK_DEAD] = DO(SESSION_DEAD),
		},
	[SESSION_STARTING] =
		{
			[ASK_FAILED] = DO(SESSION_DEAD),
			[ASK_STARTED] = DO(SESSION_RUN),
		},
	[SESSION_RUN] =
		{
			[ASK_RUN] = DONE(SESSION_RUN),
			[ASK_RELEASE] = DO(SESSION_CLOSED),
		},
	[SESSION_DEAD] =
		{
			[ASK_DEAD] = DONE(SESSION_DEAD),
			[ASK_RELEASE] = DONE(SESSION_DEAD),
		},
	[SESSION_CLOSED] =
		{
			[ASK_RELEASE] = DONE(SESSION_CLOSED),
		},
};

struct session_rule session_rule(enum session_state state, enum session_ask ask)
{
	struct session_rule r;

	assert(state < SESSION_STATES && ask < SESSION_ASKS);
	r = rules[state][ask];
	if (r.verdict == VERDICT_REFUSE)
		r.next = state;
	return r;
}

bool session_step(struct session *s, enum session_ask ask)
{
	struct session_rule r = session_rule(s->state, ask);

	if (r.verdict != VERDICT_DO)
		return false;
	s->state = r.next;
	return true;
}

struct session *sessions_find(struct sessions *all, const struct session_id *id)
{
	for (unsigned i = 0; i < SESSIONS_MAX; i++)
		if (all->all[i].state != SESSION_UNKNOWN && session_eq(&all->all[i].id, id))
			return &all->all[i];
	return NULL;
}

/* May it be forgotten when there are too many? What is undecided or not yet closed may not. */
static bool finished(enum session_state state)
{
	switch (state) {
	case SESSION_UNKNOWN:
	case SESSION_RESUMED:
	case SESSION_MIGRATED:
	case SESSION_DEAD:
	case SESSION_CLOSED: return true;
	case SESSION_PAUSED:
	case SESSION_COMMITTING:
	case SESSION_LOADING:
	case SESSION_READY:
	case SESSION_STARTING:
	case SESSION_RUN:
	case SESSION_STATES: break;
	}
	return false;
}

struct session *sessions_begin(
	struct sessions *all, const struct session_id *id, enum session_ask ask)
{
	struct session *oldest = NULL;
	bool began;

	assert(!sessions_find(all, id) && !session_is_none(id));
	for (unsigned i = 0; i < SESSIONS_MAX; i++) {
		struct session *s = &all->all[i];

		if (finished(s->state) && (!oldest || s->born < oldest->born))
			oldest = s;
	}
	assert(oldest); /* a VM has one undecided session and one unclosed one at most */
	*oldest = (struct session){.id = *id, .born = ++all->count};
	began = session_step(oldest, ask);
	assert(began);
	return oldest;
}

struct session *sessions_in(struct sessions *all, enum session_state state)
{
	assert(state != SESSION_UNKNOWN);
	for (unsigned i = 0; i < SESSIONS_MAX; i++)
		if (all->all[i].state == state)
			return &all->all[i];
	return NULL;
}

enum session_note session_note_of(enum session_state state)
{
	switch (state) {
	case SESSION_COMMITTING: return NOTE_COMMITTING;
	case SESSION_LOADING: return NOTE_LOADING;
	case SESSION_READY:
	case SESSION_STARTING: return NOTE_READY;
	case SESSION_RUN: return NOTE_RUN;
	case SESSION_DEAD: return NOTE_DEAD;
	case SESSION_UNKNOWN:
	case SESSION_PAUSED:
	case SESSION_RESUMED:
	case SESSION_MIGRATED:
	case SESSION_CLOSED:
	case SESSION_STATES: break;
	}
	return NOTE_NONE;
}

const char *session_state_text(enum session_state state)
{
	switch (state) {
	case SESSION_UNKNOWN: return "is unknown here";
	case SESSION_PAUSED: return "has its guest paused";
	case SESSION_COMMITTING: return "is committing and waits for the destination's answer";
	case SESSION_RESUMED: return "is over, its guest ran on at the source";
	case SESSION_MIGRATED: return "is over, its guest runs elsewhere";
	case SESSION_LOADING: return "is loading";
	case SESSION_READY: return "is ready";
	case SESSION_STARTING: return "is starting";
	case SESSION_RUN: return "has its guest running here";
	case SESSION_DEAD: return "is dead, this copy never runs";
	case SESSION_CLOSED: return "is closed";
	case SESSION_STATES: break;
	}
	return "?";
}

const char *session_ask_name(enum session_ask ask)
{
	static const char *const names[SESSION_ASKS] = {
		[ASK_PAUSE] = "PAUSE",
		[ASK_LEASE] = "LEASE",
		[ASK_RESUME] = "RESUME",
		[ASK_GET_STATE] = "GET_STATE",
		[ASK_COMMITTING] = "NOTE COMMITTING",
		[ASK_UNDO] = "UNDO",
		[ASK_RELEASE] = "RELEASE",
		[ASK_LOADING] = "NOTE LOADING",
		[ASK_SET_STATE] = "SET_STATE",
		[ASK_RESET_HTAB] = "RESET_HTAB",
		[ASK_READY] = "NOTE READY",
		[ASK_RUN] = "NOTE RUN",
		[ASK_DEAD] = "NOTE DEAD",
		[ASK_LOST] = "connection lost",
		[ASK_LEASE_OVER] = "lease over",
		[ASK_FAILED] = "failed",
		[ASK_STARTED] = "started",
	};

	return ask < SESSION_ASKS ? names[ask] : "?";
}

int session_state_error(enum session_state state)
{
	switch (state) {
	case SESSION_UNKNOWN: return -ENOENT;
	case SESSION_RESUMED:
	case SESSION_DEAD: return -ECANCELED;
	case SESSION_MIGRATED:
	case SESSION_RUN:
	case SESSION_CLOSED: return -EALREADY;
	case SESSION_PAUSED:
	case SESSION_COMMITTING:
	case SESSION_LOADING:
	case SESSION_READY:
	case SESSION_STARTING:
	case SESSION_STATES: break;
	}
	return -EBUSY;
}
