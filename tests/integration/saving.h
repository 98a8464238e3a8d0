/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A daemon with a guest that is saved in a file, and VMs that it is loaded into. */
#include "tests/integration/harness.h"

#define SAVING_VM "vm1"

struct saving_opts {
	struct host_opts host;
	struct guest_opts source;
};

struct saving {
	struct harness *h;
	struct host *host;
	struct guest *source;
	char path[HARNESS_PATH]; /* DIR/save/guest */
	unsigned fds;            /* open descriptors of the daemon before anything */
};

struct saving saving_new(const struct saving_opts *opts);
/* migrate to file:PATH. */
void saving_save(struct saving *s);
/* It is completed: the source's VMM ends, the file is there and nothing else beside it. */
void saving_saved(struct saving *s);
/* It failed and says `words`: the source's guest runs on, nothing is left in the directory. */
void saving_fails(struct saving *s, const char *words);
/* As before: the source's guest runs, and the daemon keeps nothing, nor does the directory. */
void saving_is_as_before(struct saving *s);
/* Files of the daemon may grow to so many bytes (RLIMIT_FSIZE). */
void saving_limit(struct saving *s, uint64_t bytes);
/* Whatever is held goes on. */
void saving_go_on(struct saving *s);
/* Wait until the migration is over, one way or another. */
void saving_over(struct saving *s);
/* The first n bytes of the file in another one. */
void saving_copy(struct saving *s, const char *path, size_t n);
/* A VM that waits. */
struct guest *saving_wait(struct saving *s);
/* The VM that waits is told to load the file. */
void saving_load_again(struct saving *s);
/* A VM that waits is told to load the file. */
struct guest *saving_load(struct saving *s, const struct guest_opts *opts);
/* The guest goes on in it from where it was. */
void saving_loaded(struct saving *s, struct guest *g);
/* It failed and says `words`: nothing runs there, and the VM waits as before. */
void saving_not_loaded(struct saving *s, struct guest *g, const char *words);
/* Names in the directory of the file, but for . and .. */
unsigned saving_files(struct saving *s);
void saving_free(struct saving *s);
