/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The control socket's stream of JSON, fed in pieces, and what is checked before a command runs. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/qmp/impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct qmp_command command = {
	.name = "migrate",
	.args = {{"uri", QMP_STRING, false}, {"n", QMP_INT, true}, {"flag", QMP_BOOL, true},
		{"list", QMP_LIST, true}, {"object", QMP_OBJECT, true}, {"any", QMP_ANY, true}},
};

static void judge(struct json_object *value)
{
	struct qmp_request req;
	struct err err = {0};

	if (qmp_check_request(value, &req, &err) < 0) {
		assert(err.code < 0 && err.text[0]);
		return;
	}
	assert(req.name);
	if (qmp_check_args(&command, req.args, &err) < 0)
		assert(err.code < 0 && err.text[0]);
}

/* What would be echoed is JSON, and means the same. */
static void again(struct json_object *value)
{
	const char *text = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
	struct json_object *copy = NULL;
	struct err err = {0};

	if (jsonread_text(text, strlen(text), &copy, &err) == 0)
		assert(strcmp(text, json_object_to_json_string_ext(copy, JSON_C_TO_STRING_PLAIN)) ==
			0);
	else
		assert(strstr(err.text, "a NUL in"));
	json_object_put(copy);
}

/* First byte: the size of the pieces. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct qmp_json j;
	size_t piece;

	if (len == 0)
		return 0;
	piece = *data ? *data : len;
	data++;
	len--;
	qmp_json_init(&j);
	while (len) {
		size_t n = piece < len ? piece : len, used = 0;
		struct json_object *value = NULL;
		struct err err = {0};
		int r = qmp_json_feed(&j, (const char *)data, n, &used, &value, &err);

		assert(used <= n);
		assert(r <= JSONREAD_FAULT);
		assert((r >= 0 && r != JSONREAD_FAULT) || err.text[0]);
		/* it goes forward, or what stays is told once only */
		assert(used > 0 || r != 0);
		if (r == JSONREAD_VALUE)
			judge(value);
		if (r == JSONREAD_VALUE || r == JSONREAD_FAULT)
			again(value);
		json_object_put(value);
		if (r < 0 && used == 0)
			used = 1;
		data += used;
		len -= used;
	}
	qmp_json_clear(&j);
	return 0;
}
