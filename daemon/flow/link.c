/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/flow/link.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

bool link_is_cut(struct link *l, struct flow *f)
{
	bool cut;

	pthread_mutex_lock(&f->lock);
	cut = l->cut || l->down;
	pthread_mutex_unlock(&f->lock);
	return cut;
}

/* Under the lock: the channel is the loop's. Is that news? */
static bool let_go(struct link *l)
{
	bool news = !l->down;

	l->down = true;
	l->cut = false;
	return news;
}

enum flow_next link_park(struct link *l, struct flow *f)
{
	bool news, down;

	pthread_mutex_lock(&f->lock);
	news = l->cut && let_go(l);
	down = l->down;
	pthread_mutex_unlock(&f->lock);
	if (news)
		flow_notify(f);
	return down ? FLOW_WAIT : FLOW_MORE;
}

/* why: NULL when the other end closed it in order. */
static enum flow_next give_up(struct link *l, struct flow *f, int code, const char *why)
{
	pthread_mutex_lock(&f->lock);
	if (why && !l->cut) { /* else the loop has its own reason */
		l->lost = true;
		err_set(&l->err, code, "%s", why);
	}
	let_go(l);
	pthread_mutex_unlock(&f->lock);
	flow_notify(f);
	return FLOW_MORE;
}

enum flow_next link_break(struct link *l, struct flow *f, int code, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return l->recovers ? give_up(l, f, code, text) : flow_fail(f, code, "%s", text);
}

enum flow_next link_end(struct link *l, struct flow *f)
{
	return l->recovers ? give_up(l, f, 0, NULL) : FLOW_END;
}

void link_cut(struct link *l, struct flow *f, unsigned actor)
{
	pthread_mutex_lock(&f->lock);
	l->cut = !l->down;
	pthread_mutex_unlock(&f->lock);
	flow_wake(f, actor);
}

void link_report(struct link *l, struct flow *f, bool *ret_lost, struct err *err, bool *ret_down)
{
	pthread_mutex_lock(&f->lock);
	*ret_lost = l->lost;
	*err = l->err;
	*ret_down = l->down && !l->told;
	l->lost = false;
	l->told = l->down;
	pthread_mutex_unlock(&f->lock);
}

void link_up(struct link *l)
{
	assert(l->down && l->told);
	*l = (struct link){.recovers = l->recovers};
}
