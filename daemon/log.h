/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * One line a message on standard error, with the journal's priority prefix when the journal reads
 * it. Any thread.
 */
#include <systemd/sd-daemon.h>

/* prefix: SD_ERR, SD_WARNING, SD_NOTICE, SD_INFO, SD_DEBUG. */
void log_msg(const char *prefix, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_err(...)   log_msg(SD_ERR, __VA_ARGS__)
#define log_warn(...)  log_msg(SD_WARNING, __VA_ARGS__)
#define log_note(...)  log_msg(SD_NOTICE, __VA_ARGS__)
#define log_info(...)  log_msg(SD_INFO, __VA_ARGS__)
#define log_debug(...) log_msg(SD_DEBUG, __VA_ARGS__)

/* Show SD_DEBUG lines too. Before any thread starts. */
void log_set_verbose(int verbose);
