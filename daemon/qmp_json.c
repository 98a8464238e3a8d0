/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "daemon/qmp_impl.h"

/* RFC 3629, section 4. False: c cannot come here. */
static bool utf8_step(struct qmp_utf8 *u, unsigned char c)
{
	if (u->need) {
		if (c < u->lo || c > u->hi)
			return false;
		*u = (struct qmp_utf8){(unsigned char)(u->need - 1), 0x80, 0xbf};
		return true;
	}
	if (c < 0x80)
		return true;
	*u = (struct qmp_utf8){0, 0x80, 0xbf};
	if (c >= 0xc2 && c <= 0xdf)
		u->need = 1;
	else if (c >= 0xe0 && c <= 0xef)
		u->need = 2;
	else if (c >= 0xf0 && c <= 0xf4)
		u->need = 3;
	if (c == 0xe0)
		u->lo = 0xa0; /* not shorter than it could be */
	else if (c == 0xed)
		u->hi = 0x9f; /* no surrogates */
	else if (c == 0xf0)
		u->lo = 0x90;
	else if (c == 0xf4)
		u->hi = 0x8f; /* up to U+10FFFF */
	return u->need;
}

size_t qmp_utf8_scan(struct qmp_utf8 *u, const char *buf, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		struct qmp_utf8 before = *u;

		if (!utf8_step(u, (unsigned char)buf[i])) {
			*u = before;
			return i;
		}
	}
	return len;
}

void qmp_utf8_scrub(char *text)
{
	size_t len = strlen(text), at = 0;

	while (at < len) {
		struct qmp_utf8 u = {0};
		size_t n = qmp_utf8_scan(&u, text + at, len - at);

		if (at + n == len && !u.need)
			return;
		/* Back to the first byte of the character that is not whole. */
		at += n;
		while (u.need && at > 0 && ((unsigned char)text[at - 1] & 0xc0) == 0x80)
			at--;
		if (u.need && at > 0)
			at--;
		text[at++] = '?';
	}
}

int qmp_json_init(struct qmp_json *j)
{
	/* A container at the greatest depth has values one deeper. */
	struct json_tokener *tok = json_tokener_new_ex(QMP_DEPTH_MAX + 1);

	if (!tok)
		return -ENOMEM;
	/* Strict about each value; what follows it is the next one. Its check of UTF-8 fails where
	 * a read ends within a character. */
	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	*j = (struct qmp_json){.tok = tok};
	return 0;
}

void qmp_json_clear(struct qmp_json *j)
{
	if (j->tok)
		json_tokener_free(j->tok);
	*j = (struct qmp_json){0};
}

bool qmp_json_idle(const struct qmp_json *j)
{
	return !j->fed && !j->skipping;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Bytes up to and with the newline where reading goes on. */
static size_t skip(struct qmp_json *j, const char *buf, size_t len)
{
	const char *newline = memchr(buf, '\n', len);

	j->skipping = !newline;
	return newline ? (size_t)(newline - buf) + 1 : len;
}

/* buf[0] is the first byte that nothing was made of. */
static int malformed(struct qmp_json *j, const char *buf, size_t len, size_t *used, const char *why,
	struct err *err)
{
	json_tokener_reset(j->tok);
	j->utf8 = (struct qmp_utf8){0};
	j->fed = 0;
	*used += skip(j, buf, len);
	return err_set(err, -EBADMSG, "JSON parse error, %s", why);
}

int qmp_json_feed(struct qmp_json *j, const char *buf, size_t len, size_t *ret_used,
	struct json_object **ret_value, struct err *err)
{
	struct qmp_utf8 utf8 = j->utf8;
	struct json_object *value;
	const char *nul;
	size_t used = 0, n, end;

	if (j->skipping)
		used = skip(j, buf, len);
	/* What separates objects counts for none of them. */
	while (used < len && !j->fed && blank(buf[used]))
		used++;
	*ret_used = used;
	n = len - used;
	if (!n)
		return 0;
	/* The tokener takes a NUL for the end of everything. */
	nul = memchr(buf + used, '\0', n);
	if (nul)
		n = (size_t)(nul - (buf + used));
	if (n > QMP_COMMAND_MAX - j->fed)
		n = QMP_COMMAND_MAX - j->fed;
	n = qmp_utf8_scan(&utf8, buf + used, n);
	if (!n)
		return malformed(j, buf + used, len - used, ret_used,
			buf[used] ? "invalid UTF-8" : "a NUL byte", err);

	value = json_tokener_parse_ex(j->tok, buf + used, (int)n);
	end = json_tokener_get_parse_end(j->tok);
	if (json_tokener_get_error(j->tok) == json_tokener_success) {
		j->fed = 0;
		j->utf8 = (struct qmp_utf8){0};
		json_tokener_reset(j->tok);
		*ret_used = used + end;
		*ret_value = value;
		return 1;
	}
	if (json_tokener_get_error(j->tok) != json_tokener_continue) {
		/* Look for the newline behind what was wrong: from that very byte on. */
		*ret_used = used + end;
		return malformed(j, buf + used + end, len - used - end, ret_used,
			json_tokener_error_desc(json_tokener_get_error(j->tok)), err);
	}
	j->fed += n;
	j->utf8 = utf8;
	*ret_used = used + n;
	/* As much as may be, and not complete. */
	if (j->fed == QMP_COMMAND_MAX)
		return malformed(j, buf + used + n, len - used - n, ret_used,
			"the object is longer than 65536 bytes", err);
	return 0;
}
