/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A source's daemon between a VMM and a destination that say whatever their test wishes. */
#include "tests/integration/hostile.h"

#define SCENE_VM "vm1"

struct scene {
	struct harness *h;
	struct host *host;
	struct fake_vmm vmm;
	struct fake_dest dest;
};

void scene_new(struct scene *s);
/* The same with those time limits (HTAB_MIGRATED_LIMITS). */
void scene_new_with(struct scene *s, const char *limits);
/* The fakes go first: their daemon must end well without them. */
void scene_free(struct scene *s);

void scene_migrate(struct scene *s);
/* Everything has been sent; READY is next. */
void scene_to_end(struct scene *s);
void scene_to_end_with(struct scene *s, const char *limits);
void scene_vmm_dies(struct scene *s);
/* The daemon has seen the end of the VMM's connection, and judges yet what it means. */
void scene_vmm_is_closing(struct scene *s);
void scene_say(struct scene *s, enum wire_type type);
/* COMMIT comes, the guest runs, and that ends it well. */
void scene_commits(struct scene *s);
bool scene_error_says(struct scene *s, const char *words);
