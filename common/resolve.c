/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/net.h"

static resolve_fn *lookup = getaddrinfo;

void resolve_set_fn(resolve_fn *fn)
{
	lookup = fn ? fn : getaddrinfo;
}

/* What the thread and the loop share. Whoever lets go last frees it. */
struct job {
	atomic_uint refs;
	resolve_fn *fn;
	char host[256];
	char port[32];
	int wake; /* eventfd: the thread has finished */
	/* The thread's until it has written to wake, then the loop's: */
	int error;
	int sys_errno;
	struct addrinfo *addresses;
};

struct resolve {
	struct job *job;
	struct event *done;
	resolve_cb *cb;
	void *arg;
};

static void job_unref(struct job *j)
{
	if (atomic_fetch_sub_explicit(&j->refs, 1, memory_order_acq_rel) > 1)
		return;
	if (j->addresses)
		freeaddrinfo(j->addresses);
	close(j->wake);
	free(j);
}

static void *run(void *arg)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct job *j = arg;
	uint64_t one = 1;

	j->error = j->fn(j->host, j->port, &hints, &j->addresses);
	j->sys_errno = errno;
	/* An eventfd's counter takes its first 1 always. */
	if (write(j->wake, &one, sizeof(one)) != sizeof(one))
		abort();
	job_unref(j);
	return NULL;
}

static int start_thread(struct job *j)
{
	sigset_t all, old;
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	/* Signals are the loop's. */
	sigfillset(&all);
	r = pthread_attr_init(&attr);
	if (r)
		return -r;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	atomic_fetch_add(&j->refs, 1);
	r = pthread_create(&thread, &attr, run, j);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	if (r)
		atomic_fetch_sub(&j->refs, 1);
	return -r;
}

static void on_done(evutil_socket_t fd, short what, void *arg)
{
	struct resolve *r = arg;
	struct addrinfo *addresses = NULL;
	resolve_cb *cb = r->cb;
	void *cb_arg = r->arg;
	struct err err = {0};
	uint64_t n;

	if (read(fd, &n, sizeof(n)) != sizeof(n))
		return;
	if (r->job->error == 0) {
		addresses = r->job->addresses;
		r->job->addresses = NULL;
	} else {
		err_set(&err, -EHOSTUNREACH, "cannot find the host '%s': %s", r->job->host,
			r->job->error == EAI_SYSTEM ? strerror(r->job->sys_errno)
						    : gai_strerror(r->job->error));
	}
	resolve_cancel(r);
	cb(cb_arg, addresses, addresses ? NULL : &err);
}

int resolve_start(struct event_base *base, const char *host, const char *port, resolve_cb *cb,
	void *arg, struct resolve **ret)
{
	struct resolve *r = calloc(1, sizeof(*r));
	struct job *j = calloc(1, sizeof(*j));
	int e = -ENOMEM;

	if (!r || !j) {
		free(r);
		free(j);
		return e;
	}
	atomic_init(&j->refs, 1);
	j->fn = lookup;
	snprintf(j->host, sizeof(j->host), "%s", host);
	snprintf(j->port, sizeof(j->port), "%s", port);
	*r = (struct resolve){.job = j, .cb = cb, .arg = arg};
	j->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (j->wake < 0) {
		e = -errno;
		free(j);
		free(r);
		return e;
	}
	r->done = event_new(base, j->wake, EV_READ, on_done, r);
	if (r->done && event_add(r->done, NULL) == 0)
		e = start_thread(j);
	if (e < 0)
		resolve_cancel(r);
	else
		*ret = r;
	return e;
}

struct resolve *resolve_cancel(struct resolve *r)
{
	if (!r)
		return NULL;
	if (r->done)
		event_free(r->done);
	job_unref(r->job);
	free(r);
	return NULL;
}
