/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/integration/relay.h"

#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LINKS_MAX 64

struct link {
	int fd[2]; /* -1: unused */
};

struct relay {
	struct sockaddr_un path, to;
	pthread_t thread;
	int listener;
	int orders[2]; /* a socketpair: an order, and the same byte back when it is done */
	bool swallow;
	struct link links[LINKS_MAX];
	int last; /* of links, that was taken last */
};

static void cut(struct link *l)
{
	for (int i = 0; i < 2; i++) {
		if (l->fd[i] >= 0)
			close(l->fd[i]);
		l->fd[i] = -1;
	}
}

static void take(struct relay *r)
{
	int in = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC), out;

	if (in < 0)
		return;
	out = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (out >= 0 && connect(out, (struct sockaddr *)&r->to, sizeof(r->to)) == 0) {
		for (int i = 0; i < LINKS_MAX; i++) {
			if (r->links[i].fd[0] >= 0)
				continue;
			r->links[i] = (struct link){{in, out}};
			r->last = i;
			return;
		}
	}
	close(in);
	if (out >= 0)
		close(out);
}

/* Who hung up may have said why: a network delivers that before its reset. */
static void last_words(struct link *l, int from)
{
	char buf[65536];
	ssize_t n = recv(l->fd[from], buf, sizeof(buf), MSG_DONTWAIT);

	if (n > 0)
		(void)!send(l->fd[!from], buf, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* One read, passed on whole. */
static void pass(struct link *l, int from)
{
	char buf[65536];
	ssize_t n = recv(l->fd[from], buf, sizeof(buf), 0);

	for (ssize_t done = 0, k; n > 0 && done < n; done += k) {
		k = send(l->fd[!from], buf + done, (size_t)(n - done), MSG_NOSIGNAL);
		if (k <= 0) {
			last_words(l, !from);
			n = -1;
		}
	}
	if (n <= 0)
		cut(l);
}

static bool obey(struct relay *r)
{
	char order;

	if (read(r->orders[1], &order, 1) != 1)
		return false;
	r->swallow = order == 's' || (order != 'o' && r->swallow);
	if (order == 'c') { /* who has connected is cut as well */
		struct pollfd p = {.fd = r->listener, .events = POLLIN};

		while (poll(&p, 1, 0) == 1)
			take(r);
	}
	if (order == 'l')
		cut(&r->links[r->last]);
	for (int i = 0; i < LINKS_MAX && (order == 'c' || order == 'q'); i++)
		cut(&r->links[i]);
	return write(r->orders[1], &order, 1) == 1 && order != 'q';
}

static void *run(void *arg)
{
	struct relay *r = arg;
	struct pollfd p[2 + 2 * LINKS_MAX];

	for (;;) {
		p[0] = (struct pollfd){.fd = r->orders[1], .events = POLLIN};
		p[1] = (struct pollfd){.fd = r->listener, .events = POLLIN};
		for (int i = 0; i < 2 * LINKS_MAX; i++)
			p[2 + i] = (struct pollfd){
				.fd = r->swallow ? -1 : r->links[i / 2].fd[i % 2],
				.events = POLLIN,
			};
		if (poll(p, sizeof(p) / sizeof(p[0]), -1) < 0)
			continue;
		if (p[0].revents) {
			if (!obey(r))
				return NULL;
			continue;
		}
		for (int i = 0; i < 2 * LINKS_MAX; i++)
			if (p[2 + i].revents && r->links[i / 2].fd[i % 2] == p[2 + i].fd)
				pass(&r->links[i / 2], i % 2);
		if (p[1].revents)
			take(r);
	}
}

static void order(struct relay *r, char o)
{
	ck_assert(write(r->orders[0], &o, 1) == 1);
	ck_assert(read(r->orders[0], &o, 1) == 1);
}

struct relay *relay_new(const char *path, const char *to)
{
	struct relay *r = calloc(1, sizeof(*r));
	sigset_t all, old;

	ck_assert_ptr_nonnull(r);
	r->path.sun_family = r->to.sun_family = AF_UNIX;
	snprintf(r->path.sun_path, sizeof(r->path.sun_path), "%s", path);
	snprintf(r->to.sun_path, sizeof(r->to.sun_path), "%s", to);
	for (int i = 0; i < LINKS_MAX; i++)
		r->links[i] = (struct link){{-1, -1}};
	r->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_msg(r->listener >= 0 &&
			bind(r->listener, (struct sockaddr *)&r->path, sizeof(r->path)) == 0 &&
			listen(r->listener, 16) == 0,
		"%s: %m", path);
	ck_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, r->orders) == 0);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ck_assert(pthread_create(&r->thread, NULL, run, r) == 0);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

struct relay *relay_free(struct relay *r)
{
	if (!r)
		return NULL;
	order(r, 'q');
	pthread_join(r->thread, NULL);
	close(r->orders[0]);
	close(r->orders[1]);
	close(r->listener);
	free(r);
	return NULL;
}

void relay_cut(struct relay *r)
{
	order(r, 'c');
}

void relay_cut_last(struct relay *r)
{
	order(r, 'l');
}

void relay_swallow(struct relay *r, bool on)
{
	order(r, on ? 's' : 'o');
}
