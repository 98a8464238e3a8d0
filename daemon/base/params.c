/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/base/params.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/codec.h"
#include "common/dial.h"
#include "proto/text.h"
#include "proto/wire.h"

enum kind {
	INT,
	TEXT,
	CHOICE,
};

static const char *const timeout_choices[] = {
	[ON_TIMEOUT_CANCEL] = "cancel",
	[ON_TIMEOUT_FORCE] = "force",
	NULL,
};

static const char *const codec_choices[] = {
	[WIRE_CODEC_NONE] = "none",
	[WIRE_CODEC_ZSTD] = "zstd",
	[WIRE_CODEC_HPTE] = "hpte",
	NULL,
};

static const char *const hpt_change_choices[] = {
	[HPT_CHANGE_RESTART] = "restart",
	[HPT_CHANGE_REFUSE] = "refuse",
	NULL,
};

static const struct param {
	const char *name;
	enum kind kind;
	size_t offset;
	int64_t min, max, preset;
	size_t size; /* TEXT */
	const char *const *choices;
	int (*check)(const char *text, struct err *err); /* TEXT that is not empty */
} table[] = {
	{"downtime-limit", INT, offsetof(struct params, tuning.downtime_limit), 0, 2000000, 300},
	{"max-bandwidth", INT, offsetof(struct params, tuning.max_bandwidth), 0, INT64_MAX, 0},
	{"max-passes", INT, offsetof(struct params, tuning.max_passes), 2, 1000000, 30},
	{"timeout", INT, offsetof(struct params, tuning.timeout), 0, 1000000, 0},
	{"recover-timeout", INT, offsetof(struct params, tuning.recover_timeout), 1, 1000000, 300},
	{"switchover-timeout", INT, offsetof(struct params, tuning.switchover_timeout), 1, 1000000,
		60},
	{"verify-timeout", INT, offsetof(struct params, tuning.verify_timeout), 1, 1000000, 600},
	{"handover-timeout", INT, offsetof(struct params, tuning.handover_timeout), 1, 1000000, 10},
	{"ready-timeout", INT, offsetof(struct params, tuning.ready_timeout), 1, 1000000, 300},
	{"on-timeout", CHOICE, offsetof(struct params, tuning.on_timeout),
		.choices = timeout_choices},
	{"hpt-change", CHOICE, offsetof(struct params, tuning.hpt_change),
		.choices = hpt_change_choices},
	{"max-generations", INT, offsetof(struct params, tuning.max_generations), 1,
		WIRE_GENERATION_MAX, 16},
	{"cpu-throttle-initial", INT, offsetof(struct params, tuning.throttle_initial), 1, 99, 20},
	{"cpu-throttle-increment", INT, offsetof(struct params, tuning.throttle_increment), 1, 99,
		10},
	{"max-cpu-throttle", INT, offsetof(struct params, tuning.throttle_max), 1, 99, 99},
	{"multifd-channels", INT, offsetof(struct params, channels), 1, WIRE_CHANNELS_MAX, 1},
	{"multifd-zstd-level", INT, offsetof(struct params, zstd_level), 0, CODEC_LEVEL_MAX,
		CODEC_LEVEL},
	{"htab-compression", CHOICE, offsetof(struct params, codec), .preset = WIRE_CODEC_HPTE,
		.choices = codec_choices},
	{"tls-creds", TEXT, offsetof(struct params, tls_creds), .size = PARAM_TEXT_MAX},
	{"tls-hostname", TEXT, offsetof(struct params, tls_hostname), .size = PARAM_TEXT_MAX,
		.check = uri_check_host},
	{"tls-authz", TEXT, offsetof(struct params, tls_authz), .size = PARAM_TEXT_MAX,
		.check = tls_authz_check},
};

static const struct {
	const char *name;
	size_t offset;
	bool preset;
} capabilities[] = {
	{"pause-before-switchover", offsetof(struct params, pause_before_switchover), false},
	{"auto-converge", offsetof(struct params, auto_converge), false},
	{"verify", offsetof(struct params, verify), false},
	{"htab-recover", offsetof(struct params, recover), false},
	{"bolted-only", offsetof(struct params, bolted_only), false},
	{"events", offsetof(struct params, events), true},
};

#define N_PARAMS (sizeof(table) / sizeof(table[0]))
#define N_CAPS   (sizeof(capabilities) / sizeof(capabilities[0]))

static_assert(offsetof(struct params, tuning) == 0, "params_frozen()");

static void *field(const struct params *p, size_t offset)
{
	return (char *)p + offset;
}

void params_default(struct params *p)
{
	memset(p, 0, sizeof(*p));
	for (size_t i = 0; i < N_PARAMS; i++) {
		const struct param *t = &table[i];

		if (t->kind == INT)
			*(int64_t *)field(p, t->offset) = t->preset;
		else if (t->kind == CHOICE)
			*(int *)field(p, t->offset) = (int)t->preset;
	}
	for (size_t i = 0; i < N_CAPS; i++)
		*(bool *)field(p, capabilities[i].offset) = capabilities[i].preset;
}

static int set_int(struct params *p, const struct param *t, struct json_object *v, struct err *err)
{
	int64_t n;

	if (!json_object_is_type(v, json_type_int))
		return err_set(err, -EINVAL, "Parameter '%s' expects an integer", t->name);
	n = json_object_get_int64(v);
	if (n < t->min || n > t->max)
		return err_set(err, -EINVAL, "Parameter '%s' expects %lld to %lld, not %lld",
			t->name, (long long)t->min, (long long)t->max, (long long)n);
	*(int64_t *)field(p, t->offset) = n;
	return 0;
}

static int check_text(const struct param *t, const char *s, size_t n, struct err *err)
{
	int r;

	if (n >= t->size)
		return err_set(err, -EINVAL, "Parameter '%s' is longer than %zu bytes", t->name,
			t->size - 1);
	if (strlen(s) != n || !text_is_clean(s))
		return err_set(err, -EINVAL,
			"Parameter '%s' has a control character or is no UTF-8", t->name);
	r = n && t->check ? t->check(s, err) : 0;
	if (r < 0 && err)
		err_prefix(err, "Parameter '%s'", t->name);
	return r;
}

static int set_text(struct params *p, const struct param *t, struct json_object *v, struct err *err)
{
	const char *s = json_object_get_string(v);
	size_t n = (size_t)json_object_get_string_len(v);
	int r;

	if (!json_object_is_type(v, json_type_string))
		return err_set(err, -EINVAL, "Parameter '%s' expects a string", t->name);
	r = check_text(t, s, n, err);
	if (r == 0)
		memcpy(field(p, t->offset), s, n + 1);
	return r;
}

int params_check_text(const char *name, const char *text, struct err *err)
{
	for (size_t i = 0; i < N_PARAMS; i++)
		if (table[i].kind == TEXT && !strcmp(table[i].name, name))
			return check_text(&table[i], text, strlen(text), err);
	return err_set(err, -EINVAL, "Parameter '%s' is unexpected", name);
}

static int set_choice(
	struct params *p, const struct param *t, struct json_object *v, struct err *err)
{
	if (!json_object_is_type(v, json_type_string))
		return err_set(err, -EINVAL, "Parameter '%s' expects a string", t->name);
	for (int i = 0; t->choices[i]; i++) {
		if (strcmp(t->choices[i], json_object_get_string(v)))
			continue;
		*(int *)field(p, t->offset) = i;
		return 0;
	}
	return err_set(err, -EINVAL, "Parameter '%s' does not accept value '%s'", t->name,
		json_object_get_string(v));
}

static int set_one(struct params *p, const char *name, struct json_object *v, struct err *err)
{
	for (size_t i = 0; i < N_PARAMS; i++) {
		if (strcmp(table[i].name, name))
			continue;
		switch (table[i].kind) {
		case INT: return set_int(p, &table[i], v, err);
		case TEXT: return set_text(p, &table[i], v, err);
		case CHOICE: return set_choice(p, &table[i], v, err);
		}
	}
	for (size_t i = 0; i < N_CAPS; i++) {
		if (strcmp(capabilities[i].name, name))
			continue;
		if (!json_object_is_type(v, json_type_boolean))
			return err_set(err, -EINVAL, "Parameter '%s' expects a boolean", name);
		*(bool *)field(p, capabilities[i].offset) = json_object_get_boolean(v);
		return 0;
	}
	return err_set(err, -EINVAL, "Parameter '%s' is unexpected", name);
}

int params_set(struct params *p, struct json_object *object, const char *skip, struct err *err)
{
	struct params next = *p;

	json_object_object_foreach(object, name, value)
	{
		int r;

		if (skip && !strcmp(skip, name))
			continue;
		r = set_one(&next, name, value, err);
		if (r < 0)
			return r;
	}
	*p = next;
	return 0;
}

int params_set_capability(struct params *p, const char *name, bool state, struct err *err)
{
	for (size_t i = 0; i < N_CAPS; i++) {
		if (strcmp(capabilities[i].name, name))
			continue;
		*(bool *)field(p, capabilities[i].offset) = state;
		return 0;
	}
	return err_set(err, -EINVAL, "Parameter 'capability' does not accept value '%s'", name);
}

const char *params_tls(const struct params *p)
{
	for (size_t i = 0; i < N_PARAMS; i++)
		if (table[i].kind == TEXT && !strncmp(table[i].name, "tls-", 4) &&
			*(const char *)field(p, table[i].offset))
			return table[i].name;
	return NULL;
}

static bool same(const struct param *t, const struct params *a, const struct params *b)
{
	switch (t->kind) {
	case INT: return *(int64_t *)field(a, t->offset) == *(int64_t *)field(b, t->offset);
	case CHOICE: return *(int *)field(a, t->offset) == *(int *)field(b, t->offset);
	case TEXT: return !strcmp(field(a, t->offset), field(b, t->offset));
	}
	return false;
}

/* One rule for all: what is in struct tuning may be changed at any time, and nothing else. */
const char *params_frozen(const struct params *before, const struct params *after)
{
	for (size_t i = 0; i < N_PARAMS; i++) {
		const struct param *t = &table[i];

		if (t->offset >= sizeof(before->tuning) && !same(t, before, after))
			return t->name;
	}
	for (size_t i = 0; i < N_CAPS; i++) {
		size_t at = capabilities[i].offset;

		if (*(bool *)field(before, at) != *(bool *)field(after, at))
			return capabilities[i].name;
	}
	return NULL;
}

struct json_object *params_json(const struct params *p)
{
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < N_PARAMS; i++) {
		const struct param *t = &table[i];
		struct json_object *v = NULL;

		switch (t->kind) {
		case INT: v = json_object_new_int64(*(int64_t *)field(p, t->offset)); break;
		case TEXT: v = json_object_new_string(field(p, t->offset)); break;
		case CHOICE:
			v = json_object_new_string(t->choices[*(int *)field(p, t->offset)]);
			break;
		}
		json_object_object_add(o, t->name, v);
	}
	return o;
}

struct json_object *params_capabilities(const struct params *p)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < N_CAPS; i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(
			o, "capability", json_object_new_string(capabilities[i].name));
		json_object_object_add(o, "state",
			json_object_new_boolean(*(bool *)field(p, capabilities[i].offset)));
		json_object_array_add(list, o);
	}
	return list;
}
