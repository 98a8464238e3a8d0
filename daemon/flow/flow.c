/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/flow/flow.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"

#define STACK_SIZE (256u << 10)

void (*flow_hook)(const char *point);

void flow_init(struct flow *f, uint64_t (*clock)(void))
{
	*f = (struct flow){.clock = clock};
	pthread_mutex_init(&f->lock, NULL);
}

unsigned flow_add(struct flow *f, const char *name, flow_step_fn *step, void *ctx)
{
	unsigned id = f->n_actors++;

	assert(id < FLOW_ACTORS_MAX);
	f->actor[id] = (struct flow_actor){
		.name = name,
		.step = step,
		.ctx = ctx,
		.flow = f,
		.wakefd = -1,
	};
	return id;
}

/*
 * Most wakes find their actor at work, and a system call for each would be most of what a chunk
 * costs in them: only who sleeps needs one.
 */
void flow_wake(struct flow *f, unsigned id)
{
	struct flow_actor *a = &f->actor[id];
	uint64_t one = 1;

	assert(id < f->n_actors);
	if (f->wake) {
		f->wake(f, id);
		return;
	}
	if (atomic_exchange(&a->rest, ACTOR_WOKEN) != ACTOR_ASLEEP)
		return;
	/* A counter that is full (EAGAIN) wakes as well. */
	if (a->wakefd >= 0 && write(a->wakefd, &one, sizeof(one)) < 0)
		assert(errno == EAGAIN);
}

static void wake_all(struct flow *f)
{
	for (unsigned i = 0; i < f->n_actors; i++)
		flow_wake(f, i);
}

void flow_notify(struct flow *f)
{
	if (f->notified)
		f->notified(f);
	else if (f->notify)
		notify_post(f->notify);
}

enum flow_next flow_fail(struct flow *f, int code, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&f->lock);
	if (!f->stop) {
		f->stop = f->failed = true;
		err_set(&f->err, code, "%s", text);
	}
	pthread_mutex_unlock(&f->lock);
	wake_all(f);
	flow_notify(f);
	return FLOW_END;
}

void flow_halt(struct flow *f)
{
	pthread_mutex_lock(&f->lock);
	f->stop = true;
	pthread_mutex_unlock(&f->lock);
	wake_all(f);
	flow_notify(f);
}

enum flow_next flow_step(struct flow *f, unsigned id, struct flow_wait *wait)
{
	bool stop;

	pthread_mutex_lock(&f->lock);
	stop = f->stop;
	pthread_mutex_unlock(&f->lock);
	if (stop)
		return FLOW_END;
	wait->fd = -1;
	wait->events = 0;
	wait->until = FLOW_FOREVER;
	return f->actor[id].step(f->actor[id].ctx, wait);
}

static void sleep_until(struct flow_actor *a, struct flow_wait *wait)
{
	struct pollfd p[2] = {
		{.fd = a->wakefd, .events = POLLIN},
		{.fd = wait->fd, .events = wait->events},
	};
	struct timespec ts, *timeout = NULL;
	int awake = ACTOR_AWAKE;
	uint64_t count;

	wait->revents = 0;
	/* A wake since the step began may be for what the step did not see yet. */
	if (!atomic_compare_exchange_strong(&a->rest, &awake, ACTOR_ASLEEP)) {
		atomic_store(&a->rest, ACTOR_AWAKE);
		return;
	}
	if (wait->until != FLOW_FOREVER) {
		uint64_t now = a->flow->clock();
		uint64_t ns = wait->until > now ? wait->until - now : 0;

		ts.tv_sec = (time_t)(ns / NS_PER_SEC);
		ts.tv_nsec = (long)(ns % NS_PER_SEC);
		timeout = &ts;
	}
	if (ppoll(p, wait->fd >= 0 ? 2 : 1, timeout, NULL) <= 0)
		p[0].revents = p[1].revents = 0;
	/* The write of a wake that came just now may follow: it ends the next sleep early. */
	atomic_store(&a->rest, ACTOR_AWAKE);
	if (p[0].revents && read(a->wakefd, &count, sizeof(count)) < 0)
		assert(errno == EAGAIN);
	if (wait->fd >= 0)
		wait->revents = p[1].revents;
}

static void *run(void *arg)
{
	struct flow_actor *a = arg;
	struct flow *f = a->flow;
	struct flow_wait wait = {0};
	enum flow_next next;

	pthread_setname_np(pthread_self(), a->name);
	while ((next = flow_step(f, (unsigned)(a - f->actor), &wait)) != FLOW_END) {
		if (next == FLOW_WAIT)
			sleep_until(a, &wait);
		else
			wait.revents = 0;
	}
	pthread_mutex_lock(&f->lock);
	f->running--;
	pthread_mutex_unlock(&f->lock);
	flow_notify(f); /* the last act: whoever joins now does not wait */
	return NULL;
}

int flow_start(struct flow *f, struct err *err)
{
	sigset_t all, old;
	pthread_attr_t attr;
	int r = 0;

	sigfillset(&all);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	for (unsigned i = 0; i < f->n_actors && r == 0; i++) {
		f->actor[i].wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (f->actor[i].wakefd < 0)
			r = -errno;
	}
	for (unsigned i = 0; i < f->n_actors && r == 0; i++) {
		pthread_mutex_lock(&f->lock);
		f->running++;
		pthread_mutex_unlock(&f->lock);
		r = -pthread_create(&f->actor[i].thread, &attr, run, &f->actor[i]);
		f->actor[i].started = r == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r < 0) {
		flow_halt(f);
		flow_join(f);
		return err_set(err, r, "cannot start a data thread: %s", strerror(-r));
	}
	return 0;
}

bool flow_ended(struct flow *f)
{
	bool ended;

	pthread_mutex_lock(&f->lock);
	ended = f->running == 0;
	pthread_mutex_unlock(&f->lock);
	return ended;
}

void flow_join(struct flow *f)
{
	for (unsigned i = 0; i < f->n_actors; i++) {
		if (f->actor[i].started)
			pthread_join(f->actor[i].thread, NULL);
		f->actor[i].started = false;
	}
	for (unsigned i = 0; i < f->n_actors; i++)
		f->actor[i].wakefd = fd_close(f->actor[i].wakefd);
}

void flow_fini(struct flow *f)
{
	pthread_mutex_destroy(&f->lock);
}
