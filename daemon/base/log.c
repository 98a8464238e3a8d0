/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/base/log.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "daemon/base/limits.h"
#include "proto/text.h"

#define LINE_MAX_BYTES 1024
#define RING_LINES     256

struct line {
	size_t len;
	char text[LINE_MAX_BYTES];
};

static int verbose;

static struct {
	pthread_mutex_t lock;
	pthread_cond_t filled, emptied;
	bool prefixes; /* the journal reads */
	bool threaded;
	bool writing; /* the thread holds a line that is in the ring no more */
	struct line ring[RING_LINES];
	unsigned first, n;
	uint64_t dropped;
} out = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.filled = PTHREAD_COND_INITIALIZER,
	.emptied = PTHREAD_COND_INITIALIZER,
};

static struct {
	pthread_mutex_t lock;
	struct bucket {
		unsigned burst; /* lines */
		double left;
		uint64_t at; /* when left was so */
		uint64_t suppressed;
	} of[LOG_STRANGERS];
} strangers = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	/* Of VMMs: all that there can be register at once when the daemon was started anew. */
	.of = {[LOG_NETWORK] = {.burst = 20, .left = 20}, [LOG_VMM] = {.burst = 400, .left = 400}},
};

void log_set_verbose(int v)
{
	verbose = v;
}

/* -- Lines -- */

static void make_line(struct line *l, const char *prefix, const char *fmt, va_list ap)
	__attribute__((format(printf, 3, 0)));

static void make_line(struct line *l, const char *prefix, const char *fmt, va_list ap)
{
	size_t head = out.prefixes ? strlen(prefix) : 0;

	memcpy(l->text, prefix, head);
	if (vsnprintf(l->text + head, sizeof(l->text) - head - 1, fmt, ap) < 0)
		l->text[head] = '\0';
	text_clean(l->text + head);
	l->len = strlen(l->text);
	l->text[l->len++] = '\n';
}

static void tell_dropped(struct line *l)
{
	l->len = (size_t)snprintf(l->text, sizeof(l->text),
		"%s%" PRIu64 " lines of the log were dropped: what reads it did not\n",
		out.prefixes ? SD_WARNING : "", out.dropped);
	out.dropped = 0;
}

/* One write, so that lines do not mix; nobody is left to tell of a failure. */
static void write_line(const struct line *l)
{
	if (write(STDERR_FILENO, l->text, l->len) < 0)
		return;
}

static struct line *slot(void)
{
	return &out.ring[(out.first + out.n++) % RING_LINES];
}

static void queue_line(const struct line *l)
{
	if (out.n + 2 > RING_LINES) {
		out.dropped++;
		return;
	}
	if (out.dropped)
		tell_dropped(slot());
	*slot() = *l;
	pthread_cond_signal(&out.filled);
}

static void *writer(void *arg)
{
	struct line l;

	pthread_mutex_lock(&out.lock);
	for (;;) {
		while (out.n == 0 && !out.dropped)
			pthread_cond_wait(&out.filled, &out.lock);
		if (out.n) {
			l = out.ring[out.first];
			out.first = (out.first + 1) % RING_LINES;
			out.n--;
		} else {
			tell_dropped(&l);
		}
		out.writing = true;
		pthread_mutex_unlock(&out.lock);
		write_line(&l);
		pthread_mutex_lock(&out.lock);
		out.writing = false;
		pthread_cond_broadcast(&out.emptied);
	}
	return NULL;
}

static void put(const char *prefix, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

static void put(const char *prefix, const char *fmt, va_list ap)
{
	struct line l;

	if (!verbose && strcmp(prefix, SD_DEBUG) == 0)
		return;
	make_line(&l, prefix, fmt, ap);
	pthread_mutex_lock(&out.lock);
	if (out.threaded)
		queue_line(&l);
	else
		write_line(&l);
	pthread_mutex_unlock(&out.lock);
}

void log_msg(const char *prefix, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	put(prefix, fmt, ap);
	va_end(ap);
}

/* -- Strangers -- */

static bool may_say(enum log_stranger kind, uint64_t *ret_suppressed)
{
	struct bucket *b = &strangers.of[kind];
	uint64_t now;
	bool may;

	pthread_mutex_lock(&strangers.lock);
	now = clock_ns(); /* in here: no earlier than what another thread left in `at` */
	b->left += (double)(now - b->at) / NS_PER_SEC;
	b->at = now;
	if (b->left > b->burst)
		b->left = b->burst;
	may = b->left >= 1;
	if (may) {
		b->left--;
		*ret_suppressed = b->suppressed;
		b->suppressed = 0;
	} else {
		b->suppressed++;
	}
	pthread_mutex_unlock(&strangers.lock);
	return may;
}

void log_stranger(enum log_stranger kind, const char *prefix, const char *fmt, ...)
{
	uint64_t suppressed;
	va_list ap;

	if (!may_say(kind, &suppressed))
		return;
	if (suppressed)
		log_msg(prefix, "%" PRIu64 " lines about %s were left out, there were too many",
			suppressed, kind == LOG_VMM ? "VMMs" : "connections");
	va_start(ap, fmt);
	put(prefix, fmt, ap);
	va_end(ap);
}

/* -- Begin and end -- */

/* Is it the journal that reads fd? Its variable is inherited by whoever has another stderr, too. */
static bool is_journal(const struct stat *st)
{
	const char *text = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	char end;

	return text && sscanf(text, "%ju:%ju%c", &dev, &ino, &end) == 2 && st->st_dev == dev &&
		st->st_ino == ino;
}

void log_begin(void)
{
	struct stat st;
	pthread_t thread;

	if (fstat(STDERR_FILENO, &st) < 0)
		return;
	out.prefixes = is_journal(&st);
	if (S_ISREG(st.st_mode) || pthread_create(&thread, NULL, writer, NULL) != 0)
		return;
	pthread_detach(thread);
	out.threaded = true;
}

void log_end(void)
{
	uint64_t end = clock_real_ns() + (uint64_t)limit_ms(LIMIT_LOG_DRAIN) * NS_PER_MS;
	struct timespec limit = {(time_t)(end / NS_PER_SEC), (long)(end % NS_PER_SEC)};

	pthread_mutex_lock(&out.lock);
	while ((out.n || out.writing || out.dropped) &&
		pthread_cond_timedwait(&out.emptied, &out.lock, &limit) == 0)
		;
	pthread_mutex_unlock(&out.lock);
}
