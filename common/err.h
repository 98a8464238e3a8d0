/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * An error that a person will read: a class for programs (QMP's), an errno, and one sentence that
 * names the thing, the value and the remedy. Plain value, any thread.
 */
#include <stdarg.h>
#include <stddef.h>

#define ERR_TEXT_MAX 512

enum err_class {
	ERR_GENERIC = 0,
	ERR_COMMAND_NOT_FOUND,
	ERR_DEVICE_NOT_FOUND,
	ERR_DEVICE_NOT_ACTIVE,
};

struct err {
	enum err_class class;
	int code; /* negative errno; 0: no error */
	char text[ERR_TEXT_MAX];
};

/* Set *e (which may be NULL) and return code, so that `return err_set(e, -EINVAL, ...)` works. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int err_set_class(struct err *e, enum err_class class, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Put "what: " before the text of *e. Returns e->code. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* QMP's name of a class. */
const char *err_class_name(enum err_class class);
