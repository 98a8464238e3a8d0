/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "daemon/qmp/impl.h"

void qmp_json_init(struct qmp_json *j)
{
	*j = (struct qmp_json){0};
	jsonread_init(&j->read, QMP_COMMAND_MAX);
}

void qmp_json_clear(struct qmp_json *j)
{
	jsonread_clear(&j->read);
}

bool qmp_json_idle(const struct qmp_json *j)
{
	return jsonread_idle(&j->read) && !j->skipping;
}

/* Bytes up to and with the newline where reading goes on. */
static size_t skip(struct qmp_json *j, const char *buf, size_t len)
{
	const char *newline = memchr(buf, '\n', len);

	j->skipping = !newline;
	return newline ? (size_t)(newline - buf) + 1 : len;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int qmp_json_feed(struct qmp_json *j, const char *buf, size_t len, size_t *ret_used,
	struct json_object **ret_value, struct err *err)
{
	size_t used = j->skipping ? skip(j, buf, len) : 0, n = 0;
	unsigned line, column;
	struct err why;
	int r;

	if (jsonread_idle(&j->read)) {
		while (used < len && blank(buf[used]))
			used++;
		jsonread_clear(&j->read); /* lines and columns are a command's own */
	}
	r = jsonread_feed(&j->read, buf + used, len - used, &n, ret_value, &why);
	used += n;
	line = j->read.error_line;
	column = j->read.error_column;
	if (r < 0) {
		/* Within a command it is a mistake; outside, whoever speaks there does not mean
		 * this socket. */
		if (r == -EBADMSG && !jsonread_nested(&j->read))
			r = -EPROTO;
		jsonread_clear(&j->read);
		used += skip(j, buf + used, len - used);
	}
	if (r < 0 || r == JSONREAD_FAULT)
		err_set(err, why.code, "JSON parse error, line %u, column %u: %s", line, column,
			why.text);
	*ret_used = used;
	return r;
}
