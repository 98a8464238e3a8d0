/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/link.h"

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

enum flow_next link_park(struct link *l, struct flow *f)
{
	bool news;

	pthread_mutex_lock(&f->lock);
	news = !l->down;
	l->down = true;
	l->cut = false;
	pthread_mutex_unlock(&f->lock);
	if (news)
		flow_notify(f);
	return FLOW_WAIT;
}

enum flow_next link_break(struct link *l, struct flow *f, int code, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!l->recovers)
		return flow_fail(f, code, "%s", text);
	pthread_mutex_lock(&f->lock);
	if (!l->cut) { /* else the loop has its own reason */
		l->lost = true;
		err_set(&l->err, code, "%s", text);
	}
	pthread_mutex_unlock(&f->lock);
	link_park(l, f);
	return FLOW_MORE;
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
