/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/base/job.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/notify.h"

struct job {
	void (*work)(void *arg);
	void (*done)(void *arg);
	void *arg;
	const char *name;
	pthread_t thread;
	struct notify *notify;
};

static void *run(void *arg)
{
	struct job *j = arg;

	pthread_setname_np(pthread_self(), j->name);
	j->work(j->arg);
	notify_post(j->notify);
	return NULL;
}

static void over(void *arg)
{
	struct job *j = arg;

	pthread_join(j->thread, NULL); /* it has nothing left to do */
	j->done(j->arg);
	notify_free(j->notify);
	free(j);
}

int job_start(struct event_base *base, const char *name, void (*work)(void *arg),
	void (*done)(void *arg), void *arg, struct job **ret, struct err *err)
{
	struct job *j = calloc(1, sizeof(*j));
	sigset_t all, old;
	int r;

	if (!j)
		return err_set(err, -ENOMEM, "out of memory");
	*j = (struct job){.work = work, .done = done, .arg = arg, .name = name};
	r = notify_new(base, over, j, &j->notify);
	if (r == 0) {
		sigfillset(&all);
		pthread_sigmask(SIG_SETMASK, &all, &old);
		r = -pthread_create(&j->thread, NULL, run, j);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
	}
	if (r < 0) {
		notify_free(j->notify);
		free(j);
		return err_set(err, r, "cannot start a thread for a file: %s", strerror(-r));
	}
	*ret = j;
	return 0;
}
