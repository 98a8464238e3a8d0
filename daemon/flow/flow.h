/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What an outflow and an inflow have in common: actors (reader, sender, receiver, writer) that do
 * their work in steps, one lock over what they share, the wish to stop, and the first failure.
 *
 * A step never waits for another actor or for a channel: it says that it would block, and on what.
 * In production a thread for each actor steps it and sleeps in between; the simulator steps all of
 * them from one thread, in any order. Only calls on a struct htabio may take long inside a step.
 *
 * flow_wake(), flow_fail() and flow_halt() may be called from any thread, without the lock held.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "daemon/base/notify.h"
#include "proto/wire.h"

struct stream;

#define FLOW_ACTORS_MAX (1u + WIRE_CHANNELS_MAX) /* a reader and senders; receivers and a writer */
#define FLOW_FOREVER    UINT64_MAX

enum flow_next {
	FLOW_MORE, /* something was done: step again */
	FLOW_WAIT, /* nothing to do until flow_wake(), or until struct flow_wait says so */
	FLOW_END,  /* the actor's work is over */
};

struct flow_wait {
	int fd; /* -1: none */
	short events;
	short revents;  /* in: what the wait before this step saw at that fd */
	uint64_t until; /* of the flow's clock, ns */
};

typedef enum flow_next flow_step_fn(void *ctx, struct flow_wait *wait);

enum actor_rest {
	ACTOR_AWAKE = 0,
	ACTOR_WOKEN,  /* awake, and it has to step once more before it sleeps */
	ACTOR_ASLEEP, /* or about to be: its wakefd wakes it */
};

struct flow_actor {
	const char *name; /* the thread's: 15 characters at most */
	flow_step_fn *step;
	void *ctx;
	/* the driver's own */
	struct flow *flow;
	pthread_t thread;
	int wakefd;
	atomic_int rest; /* enum actor_rest */
	bool started;
};

struct flow {
	pthread_mutex_t lock;
	bool stop; /* actors end at their next step */
	bool failed;
	struct err err; /* the first failure, when failed */
	unsigned running;
	unsigned n_actors;
	struct flow_actor actor[FLOW_ACTORS_MAX];
	struct notify *notify;   /* NULL: nobody is told (simulator) */
	uint64_t (*clock)(void); /* clock_ns(), or the simulator's */
	/* Instead of eventfds and notify, when not NULL: the simulator's scheduler and loop. */
	void (*wake)(struct flow *f, unsigned id);
	void (*notified)(struct flow *f);
};

/* Where a data channel's bytes come from or go to, as common/stream.h has it; or a test's model. */
struct flow_io {
	ssize_t (*read)(void *ctx, void *buf, size_t len);
	ssize_t (*write)(void *ctx, const void *buf, size_t len);
	void (*want)(void *ctx, struct flow_wait *wait); /* after -EAGAIN: sets fd and events */
	const char *(*error)(void *ctx);
	void *ctx;
};

/*
 * Called with the name of each point that an actor passes ("reader-read", ...), from its thread.
 * NULL in production; set it before any flow starts.
 */
extern void (*flow_hook)(const char *point);

static inline void flow_at(const char *point)
{
	if (flow_hook)
		flow_hook(point);
}

void flow_init(struct flow *f, uint64_t (*clock)(void));
/* Before flow_start(). Returns the actor's id, for flow_wake(). */
unsigned flow_add(struct flow *f, const char *name, flow_step_fn *step, void *ctx);
/* A thread for each actor. On failure none is left. */
int flow_start(struct flow *f, struct err *err);
/* One step; FLOW_END once the flow is to stop. wait->revents is what the last wait saw. */
enum flow_next flow_step(struct flow *f, unsigned id, struct flow_wait *wait);
void flow_wake(struct flow *f, unsigned id);
/* Tell the loop that there is something to look at. */
void flow_notify(struct flow *f);
/* The first failure stays and ends all actors; one after flow_halt() is nobody's business. */
enum flow_next flow_fail(struct flow *f, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void flow_halt(struct flow *f);
/* All threads have done their last act; flow_join() would not block. */
bool flow_ended(struct flow *f);
/* Wait for the threads. What they shared can be used as before. */
void flow_join(struct flow *f);
void flow_fini(struct flow *f); /* joined, or never started */

struct flow_io flow_io_stream(struct stream *stream);
