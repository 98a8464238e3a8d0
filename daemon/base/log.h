/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * One line a message on standard error, with the journal's priority prefix when the journal reads
 * it. Any thread, and no thread waits: what reads the lines may stand still. Once log_begin() was
 * called, a regular file is written at once and anything else by a thread of its own, from a ring
 * of 256 lines; lines that find no room are counted, and the count is told when there is some.
 */
#include <systemd/sd-daemon.h>

/* prefix: SD_ERR, SD_WARNING, SD_NOTICE, SD_INFO, SD_DEBUG. */
void log_msg(const char *prefix, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_err(...)   log_msg(SD_ERR, __VA_ARGS__)
#define log_warn(...)  log_msg(SD_WARNING, __VA_ARGS__)
#define log_note(...)  log_msg(SD_NOTICE, __VA_ARGS__)
#define log_info(...)  log_msg(SD_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(SD_DEBUG, __VA_ARGS__)

/* Who can cause lines as often as he likes. Each kind has a limit of its own. */
enum log_stranger {
	LOG_NETWORK, /* whoever connects to where daemons are listened for */
	LOG_VMM,     /* whoever connects to the VMM socket, and registered VMMs */
	LOG_STRANGERS,
};

/*
 * log_msg() for what strangers cause: some at once and then one a second. The next one that passes
 * says how many did not.
 */
void log_stranger(enum log_stranger kind, const char *prefix, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Show SD_DEBUG lines too. Before any thread starts. */
void log_set_verbose(int verbose);
/* From here on nobody waits. Before any other thread starts. */
void log_begin(void);
/* Give the lines that are left LIMIT_LOG_DRAIN to be written. */
void log_end(void);
