/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* htabctl: set, qmp. */
#include "tools/htabctl/htabctl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/jsonread.h"
#include "common/number.h"
#include "tools/htabctl/output.h"

/* What a KEY=VALUE becomes, in the types that the daemon's own answers show. */
struct settings {
	struct json_object *parameters;   /* as they are now */
	struct json_object *capabilities; /* as they are now: a list */
	struct json_object *new_parameters;
	struct json_object *new_capabilities;
};

static int fetch(struct ctl *ctl, struct settings *s)
{
	struct err err = {0};

	if (ctl_call(ctl, "query-migrate-parameters", ctl_vm_args(ctl->vm), &s->parameters, &err) <
			0 ||
		ctl_call(ctl, "query-migrate-capabilities", ctl_vm_args(ctl->vm), &s->capabilities,
			&err) < 0)
		return ctl_fail(ctl, &err);
	return CTL_OK;
}

static void show(const struct settings *s)
{
	static const struct table_column columns[] = {{"KEY", false}, {"VALUE", false}, {0}};
	struct table *t = table_new(columns);

	if (!t)
		return;
	json_object_object_foreach(s->parameters, key, value)
	{
		table_cell(t, "%s", key);
		table_cell(t, "%s", json_object_get_string(value));
	}
	for (size_t i = 0; i < json_object_array_length(s->capabilities); i++) {
		struct json_object *c = json_object_array_get_idx(s->capabilities, i);

		table_cell(t, "%s", member_text(c, "capability", "?"));
		table_cell(t, "%s", member_bool(c, "state") ? "on" : "off");
	}
	table_print(t, stdout);
	table_free(t);
}

static bool is_capability(const struct settings *s, const char *key)
{
	for (size_t i = 0; i < json_object_array_length(s->capabilities); i++) {
		struct json_object *c = json_object_array_get_idx(s->capabilities, i);

		if (!strcmp(member_text(c, "capability", ""), key))
			return true;
	}
	return false;
}

/* on, off and their like: 0 and *ret, or -EINVAL. */
static int parse_bool(const char *text, bool *ret)
{
	static const char *const on[] = {"on", "true", "yes", "1"};
	static const char *const off[] = {"off", "false", "no", "0"};

	for (size_t i = 0; i < sizeof(on) / sizeof(on[0]); i++) {
		if (!strcasecmp(text, on[i]) || !strcasecmp(text, off[i])) {
			*ret = !strcasecmp(text, on[i]);
			return 0;
		}
	}
	return -EINVAL;
}

/* A number, perhaps with K, M, G or T for powers of 1024: 0 and *ret, or -EINVAL. */
static int parse_int(const char *text, int64_t *ret)
{
	bool minus = *text == '-';
	uint64_t v;

	if (number_parse_scaled(text + minus, 1024, INT64_MAX, &v) < 0)
		return -EINVAL;
	*ret = minus ? -(int64_t)v : (int64_t)v;
	return 0;
}

static int add_capability(struct settings *s, const char *key, const char *text)
{
	struct json_object *o;
	bool state;

	if (parse_bool(text, &state) < 0)
		return ctl_usage("%s is on or off, not %s", key, text);
	o = json_object_new_object();
	json_object_object_add(o, "capability", json_object_new_string(key));
	json_object_object_add(o, "state", json_object_new_boolean(state));
	json_object_array_add(s->new_capabilities, o);
	return CTL_OK;
}

static int add(struct settings *s, char *pair)
{
	char *text = strchr(pair, '=');
	struct json_object *now, *value;
	int64_t v;

	if (!text || text == pair)
		return ctl_usage("%s is not KEY=VALUE", pair);
	*text++ = 0;
	if (is_capability(s, pair))
		return add_capability(s, pair, text);
	/*
	 * what the daemon does not know, and what is no number, it refuses by a sentence of its
	 * own
	 */
	now = member(s->parameters, pair);
	if (json_object_is_type(now, json_type_int) && parse_int(text, &v) == 0)
		value = json_object_new_int64(v);
	else
		value = json_object_new_string(text);
	json_object_object_add(s->new_parameters, pair, value);
	return CTL_OK;
}

static int apply(struct ctl *ctl, struct settings *s)
{
	struct err err = {0};
	struct json_object *args;

	if (json_object_object_length(s->new_parameters) > 0) {
		args = json_object_get(s->new_parameters);
		if (ctl->vm)
			json_object_object_add(args, "vm", json_object_new_string(ctl->vm));
		if (ctl_call(ctl, "migrate-set-parameters", args, NULL, &err) < 0)
			return ctl_fail(ctl, &err);
	}
	if (json_object_array_length(s->new_capabilities) > 0) {
		args = ctl_vm_args(ctl->vm);
		json_object_object_add(args, "capabilities", json_object_get(s->new_capabilities));
		if (ctl_call(ctl, "migrate-set-capabilities", args, NULL, &err) < 0)
			return ctl_fail(ctl, &err);
	}
	return CTL_OK;
}

static void show_json(const struct settings *s)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "parameters", json_object_get(s->parameters));
	json_object_object_add(o, "capabilities", json_object_get(s->capabilities));
	output_json(o);
	json_object_put(o);
}

int htabctl_set(struct ctl *ctl, int argc, char **argv)
{
	struct settings s = {0};
	int status = fetch(ctl, &s);

	s.new_parameters = json_object_new_object();
	s.new_capabilities = json_object_new_array();
	for (int i = 0; i < argc && status == CTL_OK; i++)
		status = add(&s, argv[i]);
	if (status == CTL_OK && argc > 0) {
		status = apply(ctl, &s);
		if (status == CTL_OK && ctl->json)
			puts("{}");
	} else if (status == CTL_OK && ctl->json) {
		show_json(&s);
	} else if (status == CTL_OK) {
		show(&s);
	}
	json_object_put(s.parameters);
	json_object_put(s.capabilities);
	json_object_put(s.new_parameters);
	json_object_put(s.new_capabilities);
	return status;
}

/* --- qmp ---------------------------------------------------------------------------------- */

static struct json_object *parse_object(const char *text)
{
	struct err err = {.text = "it is another value"};
	struct json_object *o = NULL;

	if (jsonread_text(text, strlen(text), &o, &err) < 0 ||
		!json_object_is_type(o, json_type_object)) {
		ctl_usage("'%s' is not one JSON object: %s", text, err.text);
		json_object_put(o);
		return NULL;
	}
	return o;
}

int htabctl_qmp(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *request, *args = NULL, *answer;
	struct err err = {0};
	int r;

	if (argc == 2) {
		if (argv[0][0] == '{')
			return ctl_usage("arguments stand in '%s' itself", argv[0]);
		args = parse_object(argv[1]);
		if (!args)
			return CTL_USAGE;
	}
	if (argv[0][0] == '{') {
		request = parse_object(argv[0]);
		if (!request)
			return CTL_USAGE;
	} else {
		request = json_object_new_object();
		json_object_object_add(request, "execute", json_object_new_string(argv[0]));
		if (args)
			json_object_object_add(request, "arguments", args);
	}
	r = qmpclient_request(ctl->qmp, request, &answer, &err);
	json_object_put(request);
	if (r < 0)
		return ctl_fail(ctl, &err);
	if (ctl->json)
		output_json(answer);
	else
		puts(json_object_to_json_string_ext(answer,
			JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_PRETTY_TAB |
				JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(answer);
	return CTL_OK;
}
