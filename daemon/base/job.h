/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * One thing that blocks (files on a disk that may be slow, or gone), done by a thread of its own.
 * It cannot be called back: whoever starts it waits for `done`, and keeps all that `work` uses.
 */
#include <event2/event.h>

#include "common/err.h"

struct job;

/*
 * Run work(arg) in a thread called `name` (15 characters at most), then done(arg) on the loop,
 * never from inside this call; *ret is over when done() is called, and freed after it.
 */
int job_start(struct event_base *base, const char *name, void (*work)(void *arg),
	void (*done)(void *arg), void *arg, struct job **ret, struct err *err);
