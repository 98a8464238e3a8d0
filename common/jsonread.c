/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/jsonread.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What may come next. */
enum state {
	WANT_VALUE = 0,
	WANT_ELEMENT_OR_END, /* behind '[' */
	WANT_NAME_OR_END,    /* behind '{' */
	WANT_NAME,
	WANT_COLON,
	WANT_COMMA_OR_END,
	IN_STRING,
	IN_ESCAPE,
	IN_HEX,
	IN_NUMBER,
	IN_LITERAL,
};

/* RFC 8259, section 6. */
enum number {
	NUMBER_MINUS,
	NUMBER_ZERO,
	NUMBER_INT,
	NUMBER_POINT,
	NUMBER_FRACTION,
	NUMBER_E,
	NUMBER_SIGN,
	NUMBER_EXPONENT,
};

void jsonread_init(struct jsonread *j, size_t max)
{
	*j = (struct jsonread){.max = max, .line = 1, .column = 1};
}

/* Everything but where the next byte is. */
static void restart(struct jsonread *j)
{
	for (unsigned i = 0; i < j->depth; i++) {
		json_object_put(j->level[i].container);
		free(j->level[i].name);
	}
	free(j->token);
	*j = (struct jsonread){.max = j->max,
		.line = j->line,
		.column = j->column,
		.error_line = j->error_line,
		.error_column = j->error_column};
}

void jsonread_clear(struct jsonread *j)
{
	restart(j);
	jsonread_init(j, j->max);
}

bool jsonread_idle(const struct jsonread *j)
{
	return j->fed == 0;
}

bool jsonread_nested(const struct jsonread *j)
{
	return j->depth > 0;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool digit(char c)
{
	return c >= '0' && c <= '9';
}

static int unexpected(struct err *err, char c, const char *wanted)
{
	if ((unsigned char)c > ' ' && (unsigned char)c < 0x7f)
		return err_set(err, -EBADMSG, "unexpected '%c': %s expected", c, wanted);
	return err_set(
		err, -EBADMSG, "unexpected byte 0x%02x: %s expected", (unsigned char)c, wanted);
}

/* The text is JSON, but two readers could take it for two things. Where to say so: once only. */
static struct err *fault(struct jsonread *j)
{
	if (j->fault.code)
		return NULL;
	j->fault_line = j->line;
	j->fault_column = j->column;
	return &j->fault;
}

static int keep(struct jsonread *j, char c, struct err *err)
{
	if (j->token_len == j->token_cap) {
		size_t cap = j->token_cap ? 2 * j->token_cap : 64;
		char *p = realloc(j->token, cap);

		if (!p)
			return err_set(err, -ENOMEM, "out of memory");
		j->token = p;
		j->token_cap = cap;
	}
	j->token[j->token_len++] = c;
	return 0;
}

/* -- Values -- */

/* Give a value that is whole to what it is in. */
static int finish(
	struct jsonread *j, struct json_object *value, struct json_object **ret, struct err *err)
{
	struct jsonread_level *in;

	if (j->depth == 0) {
		*ret = value;
		return JSONREAD_VALUE;
	}
	in = &j->level[j->depth - 1];
	j->state = WANT_COMMA_OR_END;
	if (json_object_is_type(in->container, json_type_array)) {
		if (json_object_array_add(in->container, value) == 0)
			return 0;
	} else if (!in->name) {
		json_object_put(value);
		return 0;
	} else if (json_object_object_add(in->container, in->name, value) == 0) {
		free(in->name);
		in->name = NULL;
		return 0;
	}
	json_object_put(value);
	return err_set(err, -ENOMEM, "out of memory");
}

static int open_container(struct jsonread *j, bool object, struct err *err)
{
	struct json_object *o;

	if (j->depth == JSONREAD_DEPTH_MAX)
		return err_set(err, -EBADMSG, "nesting is deeper than %d", JSONREAD_DEPTH_MAX);
	o = object ? json_object_new_object() : json_object_new_array();
	if (!o)
		return err_set(err, -ENOMEM, "out of memory");
	j->level[j->depth++] = (struct jsonread_level){.container = o};
	j->state = object ? WANT_NAME_OR_END : WANT_ELEMENT_OR_END;
	return 0;
}

static int close_container(struct jsonread *j, struct json_object **ret, struct err *err)
{
	struct json_object *o = j->level[--j->depth].container;

	return finish(j, o, ret, err);
}

static int new_value(
	struct jsonread *j, struct json_object *value, struct json_object **ret, struct err *err)
{
	if (!value)
		return err_set(err, -ENOMEM, "out of memory");
	return finish(j, value, ret, err);
}

static int begin_value(struct jsonread *j, char c, struct err *err)
{
	j->token_len = 0;
	switch (c) {
	case '{': return open_container(j, true, err);
	case '[': return open_container(j, false, err);
	case '"': j->state = IN_STRING; return 0;
	case 't': j->literal = "rue"; break;
	case 'f': j->literal = "alse"; break;
	case 'n': j->literal = "ull"; break;
	default:
		if (c != '-' && !digit(c))
			return unexpected(err, c, "a value");
		j->state = IN_NUMBER;
		j->number = c == '-' ? NUMBER_MINUS : c == '0' ? NUMBER_ZERO : NUMBER_INT;
		return keep(j, c, err);
	}
	j->state = IN_LITERAL;
	return keep(j, c, err);
}

static int literal(struct jsonread *j, char c, struct json_object **ret, struct err *err)
{
	char what = j->token[0];

	if (c != *j->literal)
		return unexpected(err, c, what == 't' ? "true" : what == 'f' ? "false" : "null");
	if (*++j->literal)
		return 0;
	if (what == 'n')
		return finish(j, NULL, ret, err);
	return new_value(j, json_object_new_boolean(what == 't'), ret, err);
}

/* -- Numbers -- */

static int end_number(struct jsonread *j, struct json_object **ret, struct err *err)
{
	bool whole = j->number == NUMBER_ZERO || j->number == NUMBER_INT;
	double d;
	int r = keep(j, '\0', err);

	if (r < 0)
		return r;
	errno = 0;
	if (whole) {
		long long n = strtoll(j->token, NULL, 10);

		if (errno == 0)
			return new_value(j, json_object_new_int64(n), ret, err);
	}
	d = strtod(j->token, NULL);
	if (!isfinite(d))
		return err_set(err, -EBADMSG, "the number %.40s is out of range", j->token);
	return new_value(j, json_object_new_double_s(d, j->token), ret, err);
}

/* 1: c belongs to the number, 0: the number ended before it. */
static int number(struct jsonread *j, char c, struct err *err)
{
	int next = -1;

	switch ((enum number)j->number) {
	case NUMBER_MINUS:
		if (digit(c))
			next = c == '0' ? NUMBER_ZERO : NUMBER_INT;
		break;
	case NUMBER_ZERO:
		if (digit(c))
			return err_set(err, -EBADMSG, "a number begins with 0");
		/* fallthrough */
	case NUMBER_INT:
		next = digit(c)                ? NUMBER_INT
			: c == '.'             ? NUMBER_POINT
			: c == 'e' || c == 'E' ? NUMBER_E
					       : 0;
		break;
	case NUMBER_POINT:
		if (digit(c))
			next = NUMBER_FRACTION;
		break;
	case NUMBER_FRACTION:
		next = digit(c) ? NUMBER_FRACTION : c == 'e' || c == 'E' ? NUMBER_E : 0;
		break;
	case NUMBER_E:
		if (c == '+' || c == '-') {
			next = NUMBER_SIGN;
			break;
		}
		/* fallthrough */
	case NUMBER_SIGN:
		if (digit(c))
			next = NUMBER_EXPONENT;
		break;
	case NUMBER_EXPONENT: next = digit(c) ? NUMBER_EXPONENT : 0; break;
	}
	if (next < 0)
		return unexpected(err, c, "a digit");
	if (next == 0)
		return 0;
	j->number = next;
	return keep(j, c, err) < 0 ? -ENOMEM : 1;
}

/* -- Strings -- */

static int end_string(struct jsonread *j, struct json_object **ret, struct err *err)
{
	struct jsonread_level *in;
	size_t len = j->token_len;
	int r = keep(j, '\0', err);

	if (r < 0)
		return r;
	if (memchr(j->token, '\0', len))
		err_set(fault(j), -EBADMSG, "a NUL in %s",
			j->is_name ? "the name of a member" : "a string");
	if (!j->is_name)
		return new_value(j, json_object_new_string_len(j->token, (int)len), ret, err);
	j->is_name = false;
	j->state = WANT_COLON;
	in = &j->level[j->depth - 1];
	if (strlen(j->token) < len)
		return 0;
	if (json_object_object_get_ex(in->container, j->token, NULL)) {
		err_set(fault(j), -EBADMSG, "the member '%.64s' is there twice", j->token);
		return 0;
	}
	in->name = strdup(j->token);
	return in->name ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int keep_character(struct jsonread *j, uint32_t c, struct err *err)
{
	char utf8[4];
	int n = 0, r = 0;

	if (c < 0x80) {
		utf8[n++] = (char)c;
	} else if (c < 0x800) {
		utf8[n++] = (char)(0xc0 | c >> 6);
	} else if (c < 0x10000) {
		utf8[n++] = (char)(0xe0 | c >> 12);
		utf8[n++] = (char)(0x80 | (c >> 6 & 0x3f));
	} else {
		utf8[n++] = (char)(0xf0 | c >> 18);
		utf8[n++] = (char)(0x80 | (c >> 12 & 0x3f));
		utf8[n++] = (char)(0x80 | (c >> 6 & 0x3f));
	}
	if (c >= 0x80)
		utf8[n++] = (char)(0x80 | (c & 0x3f));
	for (int i = 0; r == 0 && i < n; i++)
		r = keep(j, utf8[i], err);
	return r;
}

/* Half of a character by \u is only half when the other half does not follow. */
static int lone_surrogate(struct jsonread *j, struct err *err)
{
	j->high = 0;
	err_set(fault(j), -EBADMSG, "half of a surrogate pair");
	return keep_character(j, 0xfffd, err);
}

static int end_hex(struct jsonread *j, struct err *err)
{
	uint32_t c = j->code;
	int r = 0;

	j->state = IN_STRING;
	if (j->high && c >= 0xdc00 && c <= 0xdfff) {
		c = 0x10000 + ((j->high - 0xd800) << 10) + (c - 0xdc00);
		j->high = 0;
		return keep_character(j, c, err);
	}
	if (j->high)
		r = lone_surrogate(j, err);
	if (r < 0)
		return r;
	if (c >= 0xd800 && c <= 0xdbff) {
		j->high = c;
		return 0;
	}
	return c >= 0xdc00 && c <= 0xdfff ? lone_surrogate(j, err) : keep_character(j, c, err);
}

static int hex(struct jsonread *j, char c, struct err *err)
{
	uint32_t v;

	if (digit(c))
		v = (uint32_t)(c - '0');
	else if (c >= 'a' && c <= 'f')
		v = (uint32_t)(c - 'a' + 10);
	else if (c >= 'A' && c <= 'F')
		v = (uint32_t)(c - 'A' + 10);
	else
		return unexpected(err, c, "a hex digit");
	j->code = j->code << 4 | v;
	return --j->hex_left ? 0 : end_hex(j, err);
}

static int escape(struct jsonread *j, char c, struct err *err)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *p = c ? strchr(from, c) : NULL;
	int r = 0;

	if (c == 'u') {
		j->state = IN_HEX;
		j->hex_left = 4;
		j->code = 0;
		return 0;
	}
	if (!p)
		return unexpected(err, c, "one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX");
	j->state = IN_STRING;
	if (j->high)
		r = lone_surrogate(j, err);
	return r < 0 ? r : keep(j, to[p - from], err);
}

static int string(struct jsonread *j, char c, struct json_object **ret, struct err *err)
{
	int r = 0;

	if (c == '\\') {
		j->state = IN_ESCAPE;
		return 0;
	}
	if (j->high)
		r = lone_surrogate(j, err);
	if (r < 0)
		return r;
	if (c == '"')
		return end_string(j, ret, err);
	if (c == '\0')
		return err_set(err, -EBADMSG, "a NUL byte");
	if ((unsigned char)c < 0x20)
		return err_set(err, -EBADMSG,
			"a control character (0x%02x) in a string: it is written \\u%04x",
			(unsigned char)c, (unsigned char)c);
	return keep(j, c, err);
}

/* -- Bytes -- */

static int begin_name(struct jsonread *j, char c, struct err *err)
{
	if (c != '"')
		return unexpected(err, c, "the name of a member, in double quotes,");
	j->token_len = 0;
	j->is_name = true;
	j->state = IN_STRING;
	return 0;
}

static int behind_value(struct jsonread *j, char c, struct json_object **ret, struct err *err)
{
	bool object = json_object_is_type(j->level[j->depth - 1].container, json_type_object);

	if (c == (object ? '}' : ']'))
		return close_container(j, ret, err);
	if (c != ',')
		return unexpected(err, c, object ? "',' or '}'" : "',' or ']'");
	j->state = object ? WANT_NAME : WANT_VALUE;
	return 0;
}

/* *ret_again: c is not used up. */
static int take(
	struct jsonread *j, char c, bool *ret_again, struct json_object **ret, struct err *err)
{
	int r;

	switch ((enum state)j->state) {
	case WANT_ELEMENT_OR_END:
		if (c == ']')
			return close_container(j, ret, err);
		/* fallthrough */
	case WANT_VALUE: return begin_value(j, c, err);
	case WANT_NAME_OR_END:
		if (c == '}')
			return close_container(j, ret, err);
		/* fallthrough */
	case WANT_NAME: return begin_name(j, c, err);
	case WANT_COLON: j->state = WANT_VALUE; return c == ':' ? 0 : unexpected(err, c, "':'");
	case WANT_COMMA_OR_END: return behind_value(j, c, ret, err);
	case IN_STRING: return string(j, c, ret, err);
	case IN_ESCAPE: return escape(j, c, err);
	case IN_HEX: return hex(j, c, err);
	case IN_LITERAL: return literal(j, c, ret, err);
	case IN_NUMBER: break;
	}
	r = number(j, c, err);
	if (r != 0)
		return r < 0 ? r : 0;
	*ret_again = true;
	return end_number(j, ret, err);
}

static void advance(struct jsonread *j, char c)
{
	if (c == '\n') {
		j->line++;
		j->column = 1;
	} else if (((unsigned char)c & 0xc0) != 0x80) {
		j->column++;
	}
}

static int wrong(struct jsonread *j, int r)
{
	j->error_line = j->line;
	j->error_column = j->column;
	return r;
}

/* The value is whole: what was found out about it, and ready for the next. */
static int deliver(struct jsonread *j, struct err *err)
{
	int r = JSONREAD_VALUE;

	if (j->fault.code) {
		r = JSONREAD_FAULT;
		*err = j->fault;
		j->error_line = j->fault_line;
		j->error_column = j->fault_column;
	}
	restart(j);
	return r;
}

int jsonread_feed(struct jsonread *j, const char *buf, size_t len, size_t *ret_used,
	struct json_object **ret_value, struct err *err)
{
	struct json_object *value = NULL;
	size_t i = 0;

	while (i < len) {
		bool again = false;
		int r = 0;

		*ret_used = i;
		if (j->fed == 0 && blank(buf[i])) {
			advance(j, buf[i++]);
			continue;
		}
		if (j->fed == j->max)
			r = err_set(err, -EBADMSG, "the value is longer than %zu bytes", j->max);
		else if (utf8_scan(&j->utf8, buf + i, 1) != 1)
			r = err_set(err, -EBADMSG, "invalid UTF-8");
		else
			r = j->state < IN_STRING && blank(buf[i])
				? 0
				: take(j, buf[i], &again, &value, err);
		if (r < 0)
			return wrong(j, r);
		if (!again) {
			j->fed++;
			advance(j, buf[i++]);
		}
		if (r == JSONREAD_VALUE) {
			*ret_used = i;
			*ret_value = value;
			return deliver(j, err);
		}
	}
	*ret_used = len;
	return JSONREAD_MORE;
}

/* What follows the value. */
static int only_blanks(struct jsonread *j, const char *text, size_t len, struct err *err)
{
	for (size_t i = 0; i < len; i++) {
		if (!blank(text[i]))
			return wrong(j, err_set(err, -EBADMSG, "text behind the end of the value"));
		advance(j, text[i]);
	}
	return 0;
}

int jsonread_text(const char *text, size_t len, struct json_object **ret_value, struct err *err)
{
	struct json_object *value = NULL;
	struct jsonread j;
	size_t used, end;
	int r;

	jsonread_init(&j, len + 1);
	r = jsonread_feed(&j, text, len, &used, &value, err);
	if (r == JSONREAD_MORE && j.state == IN_NUMBER)
		r = jsonread_feed(&j, " ", 1, &end, &value, err); /* which ends it */
	if (r == JSONREAD_MORE)
		r = wrong(&j, err_set(err, -EBADMSG, "the text ends before the value does"));
	else if (r == JSONREAD_FAULT)
		r = -EBADMSG;
	else if (r == JSONREAD_VALUE)
		r = only_blanks(&j, text + used, len - used, err);
	if (r < 0) {
		err_prefix(err, "line %u, column %u", j.error_line, j.error_column);
		json_object_put(value);
	} else {
		*ret_value = value;
	}
	jsonread_clear(&j);
	return r;
}
