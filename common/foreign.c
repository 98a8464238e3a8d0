/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/foreign.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fd.h"

#define THREADS_MAX 8
#define QUEUE_MAX   256

static struct {
	pthread_mutex_t lock;
	int queue[QUEUE_MAX];
	unsigned first, n;
	unsigned threads;
	void (*warn)(void);
} todo = {.lock = PTHREAD_MUTEX_INITIALIZER};

void foreign_set_warn(void (*warn)(void))
{
	todo.warn = warn;
}

/* None of these questions asks a file system: fstat() would. */
static bool may_wait(int fd)
{
	static const char pipe[] = "pipe:";
	char path[64], target[sizeof(pipe) - 1];
	ssize_t n;

	if (fcntl(fd, F_GET_SEALS) >= 0 || fd_is_kvm_htab(fd))
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target));
	return n != (ssize_t)sizeof(target) || memcmp(target, pipe, sizeof(target)) != 0;
}

/* Closes what there is, and ends. */
static void *closer(void *arg)
{
	pthread_mutex_lock(&todo.lock);
	while (todo.n) {
		int fd = todo.queue[todo.first];

		todo.first = (todo.first + 1) % QUEUE_MAX;
		todo.n--;
		pthread_mutex_unlock(&todo.lock);
		close(fd);
		pthread_mutex_lock(&todo.lock);
	}
	todo.threads--;
	pthread_mutex_unlock(&todo.lock);
	return NULL;
}

/* Those that close already may never come back, so each descriptor has a thread while there are. */
static void start_thread(void)
{
	sigset_t all, old;
	pthread_t thread;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&thread, NULL, closer, NULL) == 0) {
		pthread_detach(thread);
		todo.threads++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static bool hand_over(int fd)
{
	bool room;

	pthread_mutex_lock(&todo.lock);
	room = todo.n < QUEUE_MAX;
	if (room) {
		todo.queue[(todo.first + todo.n++) % QUEUE_MAX] = fd;
		if (todo.threads < THREADS_MAX)
			start_thread();
	}
	pthread_mutex_unlock(&todo.lock);
	return room;
}

int foreign_hang_up(int sock)
{
	int saved = errno;

	if (sock >= 0)
		shutdown(sock, SHUT_RDWR);
	errno = saved;
	return foreign_close(sock);
}

int foreign_close(int fd)
{
	int saved = errno;

	if (fd >= 0) {
		if (!may_wait(fd))
			close(fd);
		else if (!hand_over(fd) && todo.warn)
			todo.warn();
	}
	errno = saved;
	return -1;
}
