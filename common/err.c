/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/err.h"

#include <stdio.h>
#include <string.h>

#include "proto/text.h"

static int set(struct err *e, enum err_class class, int code, const char *fmt, va_list ap)
	__attribute__((format(printf, 4, 0)));

static int set(struct err *e, enum err_class class, int code, const char *fmt, va_list ap)
{
	if (!e)
		return code;
	e->class = class;
	e->code = code;
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	text_clean(e->text);
	return code;
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set(e, ERR_GENERIC, code, fmt, ap);
	va_end(ap);
	return code;
}

int err_set_class(struct err *e, enum err_class class, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set(e, class, code, fmt, ap);
	va_end(ap);
	return code;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
	char text[sizeof(e->text)];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof(text))
		snprintf(text + n, sizeof(text) - (size_t)n, ": %.*s",
			(int)(sizeof(text) - (size_t)n), e->text);
	memcpy(e->text, text, sizeof(text));
	text_clean(e->text);
	return e->code;
}

const char *err_class_name(enum err_class class)
{
	switch (class) {
	case ERR_GENERIC: return "GenericError";
	case ERR_COMMAND_NOT_FOUND: return "CommandNotFound";
	case ERR_DEVICE_NOT_FOUND: return "DeviceNotFound";
	case ERR_DEVICE_NOT_ACTIVE: return "DeviceNotActive";
	}
	return "GenericError";
}
