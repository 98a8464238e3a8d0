/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/bench/test.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "common/codec.h"

void bench_test_default(struct bench_test *t)
{
	*t = (struct bench_test){
		.seconds = BENCH_SECONDS,
		.channels = 1,
		.codec = WIRE_CODEC_HPTE,
		.level = CODEC_LEVEL,
		.order = BENCH_ORDER,
		.table = HPTGEN_LINUX,
		.interval = 1,
	};
}

int bench_test_check(const struct bench_test *t, struct err *err)
{
	if (t->channels < 1 || t->channels > BENCH_CHANNELS_MAX)
		return err_set(err, -EINVAL,
			"%u channels: a migration has 1 to %u data channels (-P)", t->channels,
			BENCH_CHANNELS_MAX);
	if (!(t->seconds >= 0 && t->seconds <= BENCH_SECONDS_MAX))
		return err_set(err, -EINVAL, "%g seconds: it should be 0 to %g", t->seconds,
			BENCH_SECONDS_MAX);
	if ((t->seconds > 0) == (t->bytes > 0))
		return err_set(
			err, -EINVAL, "either a time (-t) or a number of bytes (-n) ends a test");
	if (!codec_known(t->codec))
		return err_set(err, -EINVAL, "compression %d is not known here", (int)t->codec);
	if (t->level < 0 || t->level > CODEC_LEVEL_MAX)
		return err_set(err, -EINVAL, "zstd level %d: it should be 0 to %d", t->level,
			CODEC_LEVEL_MAX);
	if (t->order < HTAB_ORDER_MIN || t->order > BENCH_ORDER_MAX)
		return err_set(err, -EINVAL, "a table of order %u: it should be %u to %u", t->order,
			HTAB_ORDER_MIN, BENCH_ORDER_MAX);
	if ((unsigned)t->table >= HPTGEN_KINDS)
		return err_set(err, -EINVAL, "table %d is not known here", (int)t->table);
	if (t->dirty_rate > BENCH_RATE_MAX)
		return err_set(err, -EINVAL, "a dirty rate of %" PRIu64 ": %llu is the most",
			t->dirty_rate, BENCH_RATE_MAX);
	if (!(t->interval == 0 || (t->interval >= 0.1 && t->interval <= 60)))
		return err_set(err, -EINVAL, "an interval of %g s: it should be 0, or 0.1 to 60",
			t->interval);
	return 0;
}

uint64_t bench_test_silence(const struct bench_test *t, int silence_ms)
{
	return (uint64_t)silence_ms + ((1ull << t->order) >> 16); /* 64 MiB/s */
}

struct json_object *bench_test_to_json(const struct bench_test *t)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "reverse", json_object_new_boolean(t->reverse));
	json_object_object_add(o, "seconds", json_object_new_double(t->seconds));
	json_object_object_add(o, "bytes", json_object_new_uint64(t->bytes));
	json_object_object_add(o, "channels", json_object_new_int64(t->channels));
	json_object_object_add(o, "codec", json_object_new_int64(t->codec));
	json_object_object_add(o, "level", json_object_new_int64(t->level));
	json_object_object_add(o, "bandwidth", json_object_new_uint64(t->bandwidth));
	json_object_object_add(o, "dirty_rate", json_object_new_uint64(t->dirty_rate));
	json_object_object_add(o, "order", json_object_new_int64(t->order));
	json_object_object_add(o, "table", json_object_new_int64(t->table));
	json_object_object_add(o, "interval", json_object_new_double(t->interval));
	json_object_object_add(o, "want_output", json_object_new_boolean(t->want_output));
	json_object_object_add(o, "json", json_object_new_boolean(t->json));
	return o;
}

/* A member of that type, or NULL with *why set to its name. */
static struct json_object *get(
	struct json_object *o, const char *name, enum json_type type, const char **why)
{
	struct json_object *v;

	if (json_object_object_get_ex(o, name, &v) &&
		(json_object_is_type(v, type) ||
			(type == json_type_double && json_object_is_type(v, json_type_int))))
		return v;
	*why = name;
	return NULL;
}

/* 0 to max; else *why is set. */
static uint64_t number(struct json_object *o, const char *name, uint64_t max, const char **why)
{
	struct json_object *v = get(o, name, json_type_int, why);
	int64_t n = json_object_get_int64(v);

	if (v && (n < 0 || (uint64_t)n > max))
		*why = name;
	return (uint64_t)n;
}

static bool yes(struct json_object *o, const char *name, const char **why)
{
	return json_object_get_boolean(get(o, name, json_type_boolean, why));
}

int bench_test_from_json(struct json_object *o, struct bench_test *ret, struct err *err)
{
	const char *why = NULL;
	struct bench_test t;
	int r;

	t = (struct bench_test){
		.reverse = yes(o, "reverse", &why),
		.seconds = json_object_get_double(get(o, "seconds", json_type_double, &why)),
		.bytes = number(o, "bytes", INT64_MAX, &why),
		.channels = (unsigned)number(o, "channels", WIRE_CHANNELS_MAX, &why),
		.codec = (enum wire_codec)number(o, "codec", UINT8_MAX, &why),
		.level = (int)number(o, "level", CODEC_LEVEL_MAX, &why),
		.bandwidth = number(o, "bandwidth", INT64_MAX, &why),
		.dirty_rate = number(o, "dirty_rate", BENCH_RATE_MAX, &why),
		.order = (unsigned)number(o, "order", BENCH_ORDER_MAX, &why),
		.table = (enum hptgen_kind)number(o, "table", HPTGEN_KINDS - 1, &why),
		.interval = json_object_get_double(get(o, "interval", json_type_double, &why)),
		.want_output = yes(o, "want_output", &why),
		.json = yes(o, "json", &why),
	};
	if (why)
		return err_set(
			err, -EINVAL, "the test's member '%s' is missing or out of range", why);
	r = bench_test_check(&t, err);
	if (r == 0)
		*ret = t;
	return r;
}
