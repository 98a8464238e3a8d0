/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/sigpipe.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

static bool is_pending(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
}

static sigset_t only_sigpipe(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	return set;
}

void sigpipe_block(struct sigpipe *s)
{
	sigset_t set = only_sigpipe();

	s->pending = is_pending();
	pthread_sigmask(SIG_BLOCK, &set, &s->old);
}

void sigpipe_unblock(const struct sigpipe *s)
{
	static const struct timespec now;
	sigset_t set = only_sigpipe();
	int code = errno;

	if (!s->pending && is_pending())
		sigtimedwait(&set, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &s->old, NULL);
	errno = code;
}
