/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/integration/saving.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"

struct saving saving_new(const struct saving_opts *opts)
{
	struct saving s = {.h = harness_new()};

	h_check(s.h, mkdir(harness_path(s.h, "save"), 0700) == 0, "no directory");
	snprintf(s.path, sizeof(s.path), "%s", harness_path(s.h, "save/guest"));
	s.host = host_start(s.h, "a", &opts->host);
	s.source = guest_start(s.host, SAVING_VM, &opts->source);
	s.fds = process_fds(s.host->process);
	return s;
}

void saving_save(struct saving *s)
{
	host_take_events(s->host);
	host_do(s->host, "migrate", "{'vm': '" SAVING_VM "', 'uri': 'file:%s'}", s->path);
}

unsigned saving_files(struct saving *s)
{
	DIR *d = opendir(harness_path(s->h, "save"));
	struct dirent *e;
	unsigned n = 0;

	h_check(s->h, d, "no directory");
	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	closedir(d);
	return n;
}

void saving_saved(struct saving *s)
{
	struct stat st;

	host_status(s->host, SAVING_VM, "completed");
	guest_event(s->source, "migrated");
	h_check(s->h, !s->source->running, "the guest runs after it was saved");
	guest_ends(s->source, 0);
	h_check(s->h, lstat(s->path, &st) == 0, "there is no %s", s->path);
	h_check(s->h, S_ISREG(st.st_mode) && (st.st_mode & 07777) == 0600, "%s has mode %o",
		s->path, st.st_mode);
	h_check(s->h, saving_files(s) == 1, "%u files are in its directory", saving_files(s));
}

static void failed(struct saving *s, const char *words)
{
	struct json_object *q;

	host_status(s->host, SAVING_VM, "failed");
	q = host_query(s->host, SAVING_VM);
	h_check_text(s->h, member_text(q, "error-desc", ""), words);
	json_object_put(q);
}

void saving_fails(struct saving *s, const char *words)
{
	failed(s, words);
	h_check(s->h, !strcmp(host_vm_status(s->host, SAVING_VM), "running"), "the VM is %s",
		host_vm_status(s->host, SAVING_VM));
	guest_runs(s->source);
}

struct guest *saving_load(struct saving *s, const struct guest_opts *opts)
{
	struct guest_opts o = *opts;
	struct guest *g;

	o.incoming = true;
	g = guest_start(s->host, SAVING_VM, &o);
	host_take_events(s->host);
	host_do(s->host, "migrate-incoming", "{'vm': '" SAVING_VM "', 'uri': 'file:%s'}", s->path);
	return g;
}

void saving_loaded(struct saving *s, struct guest *g)
{
	host_status(s->host, SAVING_VM, "completed");
	guest_event(g, "started");
	h_check(s->h, g->counter >= s->source->counter,
		"the guest counts from %llu where it is loaded, it was saved at %llu",
		(unsigned long long)g->counter, (unsigned long long)s->source->counter);
	guest_runs(g);
}

void saving_not_loaded(struct saving *s, struct guest *g, const char *words)
{
	failed(s, words);
	h_check(s->h, !strcmp(host_vm_status(s->host, SAVING_VM), "inmigrate"), "the VM is %s",
		host_vm_status(s->host, SAVING_VM));
	guest_stands(g);
}

void saving_free(struct saving *s)
{
	harness_free(s->h);
}
