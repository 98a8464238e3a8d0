/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A network that breaks when a test says so: listens on a UNIX socket and passes connections on to
 * another one, by a thread of its own. Each call returns when it is done.
 */
#include <stdbool.h>

struct relay;

/* Both paths are copied; to need not exist yet: it is connected for each connection anew. */
struct relay *relay_new(const char *path, const char *to);
struct relay *relay_free(struct relay *r); /* takes NULL, returns NULL */
/* Every connection there is breaks; what was in flight is lost. New ones are passed on. */
void relay_cut(struct relay *r);
/* The connection alone that was made last. */
void relay_cut_last(struct relay *r);
/* From now on nothing arrives any more, on old connections and on new ones; or all of it again. */
void relay_swallow(struct relay *r, bool on);
