/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/htabctl/progress.h"

#include <inttypes.h>
#include <string.h>

#include "tools/htabctl/output.h"

#define BAR_MAX 40
#define BAR_MIN 8
#define NUMBERS 160

/* A new pass: where it starts. The first goes through every slot of the table, used or not. */
static void begin_pass(struct progress *p, struct json_object *htab, uint64_t pass)
{
	int64_t order = member_int(htab, "order", 0);

	p->pass = pass;
	p->before = (uint64_t)member_int(htab, "transferred", 0);
	p->slots = 0;
	if (pass == 1 && order > 4 && order < 64)
		p->slots = UINT64_C(1) << (order - 4);
	else if (pass == 1)
		p->slots = (uint64_t)member_int(htab, "remaining", 0);
}

bool progress_update(struct progress *p, struct json_object *query_migrate)
{
	struct json_object *htab = member(query_migrate, "htab");
	const char *status = member_text(query_migrate, "status", "");
	const char *step = member_text(query_migrate, "step", status);
	uint64_t pass = (uint64_t)member_int(htab, "passes", 0);
	struct json_object *cut = member(query_migrate, "interrupted");
	bool news = !p->begun || strcmp(step, p->step) != 0 || pass != p->pass;

	if (pass != p->pass)
		begin_pass(p, htab, pass);
	p->begun = true;
	snprintf(p->status, sizeof(p->status), "%s", status);
	snprintf(p->step, sizeof(p->step), "%s", step);
	p->transferred = (uint64_t)member_int(htab, "transferred", 0);
	p->remaining = (uint64_t)member_int(htab, "remaining", 0);
	p->rate = (uint64_t)member_int(htab, "rate", 0);
	p->downtime = (uint64_t)member_int(query_migrate, "expected-downtime", 0);
	p->throttle = (uint64_t)member_int(query_migrate, "cpu-throttle-percentage", 0);
	p->interrupted = cut;
	p->by_hand = member_bool(cut, "by-hand");
	p->left = (uint64_t)member_int(cut, "left", 0);
	return news;
}

unsigned progress_percent(const struct progress *p)
{
	double done = p->transferred > p->before ? (double)(p->transferred - p->before) : 0;
	double left = (double)p->remaining;

	if (p->slots)
		done = p->slots > p->remaining ? (double)(p->slots - p->remaining) : 0;
	return done + left > 0 ? (unsigned)(done * 100.0 / (done + left)) : 0;
}

static bool in_pass(const struct progress *p)
{
	return p->pass > 0 && (!strcmp(p->step, "active") || !strcmp(p->step, "last-pass"));
}

/* Not in a pass: the step, or what an interrupted migration waits for. */
static void waiting(const struct progress *p, size_t size, char *buf)
{
	if (p->interrupted)
		snprintf(buf, size, "interrupted: %s, %" PRIu64 " s left",
			p->by_hand ? "waiting for 'htabctl migrate --resume'"
				   : "waiting for its connections",
			p->left);
	else
		snprintf(buf, size, "%s", p->step);
}

/* What is known: at the beginning neither a rate nor a prediction is. */
static void numbers(const struct progress *p, char buf[static NUMBERS])
{
	char q[OUTPUT_TEXT];
	size_t n = 0;

	buf[0] = 0;
	if (p->rate > 0)
		n += (size_t)snprintf(buf + n, NUMBERS - n, "%s/s, ", output_count(q, p->rate));
	if (p->remaining > 0 || p->pass > 1)
		n += (size_t)snprintf(
			buf + n, NUMBERS - n, "%s left, ", output_count(q, p->remaining));
	if (p->downtime > 0)
		n += (size_t)snprintf(
			buf + n, NUMBERS - n, "downtime about %s, ", output_time(q, p->downtime));
	if (p->throttle > 0)
		n += (size_t)snprintf(
			buf + n, NUMBERS - n, "vCPUs slowed by %" PRIu64 " %%, ", p->throttle);
	if (n >= 2)
		buf[n - 2] = 0;
}

void progress_bar(const struct progress *p, unsigned columns, char buf[static PROGRESS_LINE])
{
	char end[NUMBERS], bar[BAR_MAX + 1];
	int room, full, n;

	if (columns >= PROGRESS_LINE)
		columns = PROGRESS_LINE - 1;
	if (!in_pass(p)) {
		waiting(p, columns + 1, buf);
		return;
	}
	numbers(p, end);
	n = snprintf(NULL, 0, "pass %" PRIu64 " []  100%%  %s", p->pass, end);
	room = (int)columns - n;
	if (room > BAR_MAX)
		room = BAR_MAX;
	if (room < BAR_MIN) {
		snprintf(buf, columns + 1, "pass %" PRIu64 "  %3u%%  %s", p->pass,
			progress_percent(p), end);
		return;
	}
	full = (int)progress_percent(p) * room / 100;
	memset(bar, '#', (size_t)full);
	memset(bar + full, '-', (size_t)(room - full));
	bar[room] = 0;
	snprintf(buf, columns + 1, "pass %" PRIu64 " [%s]  %3u%%  %s", p->pass, bar,
		progress_percent(p), end);
}

void progress_text(const struct progress *p, char buf[static PROGRESS_LINE])
{
	char sent[OUTPUT_TEXT], end[NUMBERS];

	if (!in_pass(p)) {
		waiting(p, PROGRESS_LINE, buf);
		return;
	}
	numbers(p, end);
	if (p->transferred > 0)
		snprintf(buf, PROGRESS_LINE, "pass %" PRIu64 "%s: %s entries sent%s%s", p->pass,
			strcmp(p->step, "last-pass") ? "" : ", the guest paused",
			output_count(sent, p->transferred), *end ? ", " : "", end);
	else
		snprintf(buf, PROGRESS_LINE, "pass %" PRIu64 " begins: the whole table", p->pass);
}
