/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "daemon/qmp/impl.h"

/* The sentences are QEMU's where QEMU has them: clients know them. */

int qmp_check_request(struct json_object *value, struct qmp_request *ret, struct err *err)
{
	struct qmp_request r = {0};
	bool has_args = false;

	if (!json_object_is_type(value, json_type_object))
		return err_set(err, -EINVAL, "QMP input must be a JSON object");
	json_object_object_foreach(value, key, member)
	{
		if (strcmp(key, "execute") == 0) {
			if (!json_object_is_type(member, json_type_string))
				return err_set(err, -EINVAL,
					"QMP input member 'execute' must be a string");
			r.name = json_object_get_string(member);
		} else if (strcmp(key, "arguments") == 0) {
			has_args = true;
			r.args = member;
		} else if (strcmp(key, "id") != 0) {
			return err_set(err, -EINVAL, "QMP input member '%.64s' is unexpected", key);
		}
	}
	if (!r.name)
		return err_set(err, -EINVAL, "QMP input lacks member 'execute'");
	if (has_args && !json_object_is_type(r.args, json_type_object))
		return err_set(err, -EINVAL, "QMP input member 'arguments' must be an object");
	*ret = r;
	return 0;
}

static const struct qmp_arg *find(const struct qmp_command *command, const char *name)
{
	for (const struct qmp_arg *a = command->args;
		a < command->args + QMP_ARGS_MAX && a->type != QMP_END; a++)
		if (strcmp(a->name, name) == 0)
			return a;
	return NULL;
}

static int check_type(const struct qmp_arg *a, struct json_object *value, struct err *err)
{
	const char *expected = NULL;

	switch (a->type) {
	case QMP_STRING:
		if (!json_object_is_type(value, json_type_string))
			expected = "a string";
		break;
	case QMP_INT:
		if (!json_object_is_type(value, json_type_int))
			expected = "an integer";
		break;
	case QMP_BOOL:
		if (!json_object_is_type(value, json_type_boolean))
			expected = "a boolean";
		break;
	case QMP_LIST:
		if (!json_object_is_type(value, json_type_array))
			expected = "a list";
		break;
	case QMP_OBJECT:
		if (!json_object_is_type(value, json_type_object))
			expected = "an object";
		break;
	case QMP_ANY:
	case QMP_END: break;
	}
	if (expected)
		return err_set(err, -EINVAL, "Parameter '%s' expects %s", a->name, expected);
	return 0;
}

int qmp_check_args(const struct qmp_command *command, struct json_object *args, struct err *err)
{
	struct json_object *value;
	int r;

	for (const struct qmp_arg *a = command->args;
		a < command->args + QMP_ARGS_MAX && a->type != QMP_END; a++) {
		if (!args || !json_object_object_get_ex(args, a->name, &value)) {
			if (!a->optional)
				return err_set(err, -EINVAL, "Parameter '%s' is missing", a->name);
			continue;
		}
		r = check_type(a, value, err);
		if (r < 0)
			return r;
	}
	if (!args)
		return 0;
	json_object_object_foreach(args, key, member)
	{
		(void)member;
		if (!find(command, key))
			return err_set(err, -EINVAL, "Parameter '%.64s' is unexpected", key);
	}
	return 0;
}
