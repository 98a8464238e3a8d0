/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded (LD_PRELOAD), it holds back the calls with which programs wait for each other and talk,
 * at random, as a busy machine does: what then fails waits for time where it should for an event.
 *
 * HTAB_DELAY="WHO MS ONE-IN SEED": in programs whose name begins with WHO, one call in ONE-IN waits
 * up to MS milliseconds. Each thread draws from the seed and its number within the process.
 */
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

static uint64_t most_ns;
static unsigned one_in;
static unsigned seed;

__attribute__((constructor)) static void begin(void)
{
	const char *text = getenv("HTAB_DELAY");
	char who[64];
	unsigned ms;

	if (!text || sscanf(text, "%63s %u %u %u", who, &ms, &one_in, &seed) != 4) {
		one_in = 0;
		return;
	}
	if (strncmp(program_invocation_short_name, who, strlen(who)))
		one_in = 0;
	most_ns = ms * 1000000ull;
}

static void hold_back(void)
{
	static _Atomic unsigned threads;
	static _Thread_local unsigned state;
	static _Thread_local int known;
	int keep = errno;
	struct timespec t;
	uint64_t ns;

	if (one_in == 0)
		return;
	if (!known) {
		known = 1;
		state = seed + 2654435761u * ++threads;
	}
	if ((unsigned)rand_r(&state) % one_in)
		return;
	ns = (uint64_t)rand_r(&state) * most_ns / RAND_MAX;
	t = (struct timespec){
		.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
	nanosleep(&t, NULL);
	errno = keep;
}

#define NEXT(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))

int epoll_wait(int fd, struct epoll_event *events, int max, int timeout)
{
	hold_back();
	return NEXT(epoll_wait)(fd, events, max, timeout);
}

int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	hold_back();
	return NEXT(poll)(fds, n, timeout);
}

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	hold_back();
	return NEXT(connect)(fd, address, len);
}

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
	hold_back();
	return NEXT(sendmsg)(fd, msg, flags);
}

ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
	hold_back();
	return NEXT(recvmsg)(fd, msg, flags);
}
