/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/bench/measure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/clock.h"

#define INTERVALS_KEPT 100000u

static void cpu(uint64_t *ret_user, uint64_t *ret_system)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	*ret_user = (uint64_t)u.ru_utime.tv_sec * NS_PER_SEC + (uint64_t)u.ru_utime.tv_usec * 1000;
	*ret_system = (uint64_t)u.ru_stime.tv_sec * NS_PER_SEC +
		(uint64_t)u.ru_stime.tv_usec * 1000;
}

int bench_measure_init(struct bench_measure *m)
{
	*m = (struct bench_measure){.stride = 1};
	m->pass = calloc(BENCH_PASSES_KEPT, sizeof(*m->pass));
	m->point = calloc(BENCH_POINTS_KEPT, sizeof(*m->point));
	if (m->pass && m->point)
		return 0;
	bench_measure_fini(m);
	return -ENOMEM;
}

void bench_measure_fini(struct bench_measure *m)
{
	free(m->interval);
	free(m->pass);
	free(m->point);
	*m = (struct bench_measure){0};
}

void bench_measure_start(struct bench_measure *m)
{
	cpu(&m->user0, &m->system0);
	m->start = m->last_at = clock_ns();
}

void bench_measure_sample(struct bench_measure *m, const struct bench_count *c)
{
	if (m->skip++ % m->stride)
		return;
	if (m->n_points == BENCH_POINTS_KEPT) {
		/* Every second one goes. */
		for (size_t i = 0; i < BENCH_POINTS_KEPT / 2; i++)
			m->point[i] = m->point[2 * i];
		m->n_points /= 2;
		m->stride *= 2;
	}
	m->point[m->n_points++] = (struct bench_point){
		.at = clock_ns(),
		.plain = c->plain,
		.pass = c->pass,
		.pass_entries = c->pass_entries,
	};
}

const struct bench_interval *bench_measure_interval(
	struct bench_measure *m, const struct bench_count *c)
{
	uint64_t now = clock_ns();
	struct bench_interval *i;

	if (m->n_intervals == m->cap_intervals) {
		size_t cap = m->cap_intervals ? 2 * m->cap_intervals : 64;

		i = cap > INTERVALS_KEPT ? NULL : realloc(m->interval, cap * sizeof(*i));
		if (!i)
			return NULL;
		m->interval = i;
		m->cap_intervals = cap;
	}
	if (now == m->last_at)
		return NULL;
	i = &m->interval[m->n_intervals++];
	*i = (struct bench_interval){
		.start = m->last_at - m->start,
		.end = now - m->start,
		.plain = c->plain - m->last.plain,
		.wire = c->wire - m->last.wire,
		.entries = c->valid + c->invalid - m->last.valid - m->last.invalid,
		.passes = c->passes - m->last.passes,
	};
	m->last = *c;
	m->last_at = now;
	return i;
}

void bench_measure_pass(struct bench_measure *m, const struct bench_pass *p)
{
	if (m->n_passes < BENCH_PASSES_KEPT)
		m->pass[m->n_passes++] = *p;
	if (!m->passes || p->ns < m->pass_min)
		m->pass_min = p->ns;
	if (p->ns > m->pass_max)
		m->pass_max = p->ns;
	m->pass_sum += p->ns;
	m->passes++;
}

void bench_measure_end(struct bench_measure *m)
{
	uint64_t user, system;

	cpu(&user, &system);
	m->user = user - m->user0;
	m->system = system - m->system0;
	m->end = clock_ns();
}

double bench_measure_seconds(const struct bench_measure *m)
{
	return (double)(m->end - m->start) / NS_PER_SEC;
}

/* -- results -- */

void bench_result_get(
	const struct bench_measure *m, const struct bench_count *c, struct bench_result *ret)
{
	*ret = (struct bench_result){
		.seconds = bench_measure_seconds(m),
		.plain = c->plain,
		.wire = c->wire,
		.valid = c->valid,
		.invalid = c->invalid,
		.passes = c->passes,
		.user = (double)m->user / NS_PER_SEC,
		.system = (double)m->system / NS_PER_SEC,
		.downtime = m->downtime,
	};
}

struct json_object *bench_result_to_json(const struct bench_result *r)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "seconds", json_object_new_double(r->seconds));
	json_object_object_add(o, "plain", json_object_new_uint64(r->plain));
	json_object_object_add(o, "wire", json_object_new_uint64(r->wire));
	json_object_object_add(o, "valid", json_object_new_uint64(r->valid));
	json_object_object_add(o, "invalid", json_object_new_uint64(r->invalid));
	json_object_object_add(o, "passes", json_object_new_uint64(r->passes));
	json_object_object_add(o, "user", json_object_new_double(r->user));
	json_object_object_add(o, "system", json_object_new_double(r->system));
	json_object_object_add(o, "table_valid", json_object_new_uint64(r->table_valid));
	json_object_object_add(o, "digest", json_object_new_string(r->digest));
	json_object_object_add(o, "changes", json_object_new_uint64(r->changes));
	json_object_object_add(o, "pause_ns", json_object_new_uint64(r->downtime.pause));
	json_object_object_add(o, "last_pass_ns", json_object_new_uint64(r->downtime.last_pass));
	json_object_object_add(o, "switchover_ns", json_object_new_uint64(r->downtime.switchover));
	return o;
}

static uint64_t count_of(struct json_object *o, const char *name, bool *ok)
{
	struct json_object *v;

	if (json_object_object_get_ex(o, name, &v) && json_object_is_type(v, json_type_int) &&
		json_object_get_int64(v) >= 0)
		return (uint64_t)json_object_get_int64(v);
	*ok = false;
	return 0;
}

static double seconds_of(struct json_object *o, const char *name, bool *ok)
{
	struct json_object *v;
	double d = -1;

	if (json_object_object_get_ex(o, name, &v) &&
		(json_object_is_type(v, json_type_double) || json_object_is_type(v, json_type_int)))
		d = json_object_get_double(v);
	*ok = *ok && d >= 0 && d < 1e9;
	return d;
}

int bench_result_from_json(struct json_object *o, struct bench_result *ret, struct err *err)
{
	struct json_object *digest;
	struct bench_result r;
	bool ok = true;

	r = (struct bench_result){
		.seconds = seconds_of(o, "seconds", &ok),
		.plain = count_of(o, "plain", &ok),
		.wire = count_of(o, "wire", &ok),
		.valid = count_of(o, "valid", &ok),
		.invalid = count_of(o, "invalid", &ok),
		.passes = count_of(o, "passes", &ok),
		.user = seconds_of(o, "user", &ok),
		.system = seconds_of(o, "system", &ok),
		.table_valid = count_of(o, "table_valid", &ok),
		.changes = count_of(o, "changes", &ok),
		.downtime.pause = count_of(o, "pause_ns", &ok),
		.downtime.last_pass = count_of(o, "last_pass_ns", &ok),
		.downtime.switchover = count_of(o, "switchover_ns", &ok),
	};
	if (!json_object_object_get_ex(o, "digest", &digest) ||
		!json_object_is_type(digest, json_type_string) ||
		strlen(json_object_get_string(digest)) != BENCH_DIGEST_TEXT - 1)
		ok = false;
	if (!ok)
		return err_set(err, -EBADMSG, "the peer's result is malformed");
	memcpy(r.digest, json_object_get_string(digest), BENCH_DIGEST_TEXT);
	*ret = r;
	return 0;
}
