/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/integration/saving.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

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

void saving_is_as_before(struct saving *s)
{
	uint64_t deadline = harness_deadline();

	h_check(s->h, !strcmp(host_vm_status(s->host, SAVING_VM), "running"), "the VM is %s",
		host_vm_status(s->host, SAVING_VM));
	guest_runs(s->source);
	h_check(s->h, saving_files(s) == 0, "%u files are left", saving_files(s));
	while (process_fds(s->host->process) > s->fds) {
		h_check(s->h, clock_ns() < deadline,
			"the daemon has %u descriptors open, it had %u",
			process_fds(s->host->process), s->fds);
		host_do(s->host, "query-status",
			"{'vm': '" SAVING_VM "'}"); /* a turn of its loop */
	}
}

void saving_limit(struct saving *s, uint64_t bytes)
{
	struct rlimit now, to;

	h_check(s->h, prlimit(s->host->process->pid, RLIMIT_FSIZE, NULL, &now) == 0, "prlimit: %m");
	to = (struct rlimit){bytes < now.rlim_max ? bytes : now.rlim_max, now.rlim_max};
	h_check(s->h, prlimit(s->host->process->pid, RLIMIT_FSIZE, &to, NULL) == 0, "prlimit: %m");
}

void saving_go_on(struct saving *s)
{
	struct json_object *answer;
	struct err err;

	/* what was held may have ended meanwhile */
	if (qmpclient_call(s->host->qmp, "x-continue",
		    harness_json(s->h, "{'vm': '" SAVING_VM "'}"), &answer, &err) == 0)
		json_object_put(answer);
}

void saving_over(struct saving *s)
{
	uint64_t deadline = harness_deadline();
	bool over = false;

	while (!over) {
		struct json_object *q = host_query(s->host, SAVING_VM);
		const char *status = member_text(q, "status", "");

		over = !strcmp(status, "completed") || !strcmp(status, "failed") ||
			!strcmp(status, "cancelled");
		json_object_put(q);
		h_check(s->h, clock_ns() < deadline, "a migration is left");
	}
}

void saving_copy(struct saving *s, const char *path, size_t n)
{
	FILE *from = fopen(s->path, "re"), *to = fopen(path, "we");
	int c;

	h_check(s->h, from && to, "cannot copy %s", s->path);
	while (n-- && (c = getc(from)) != EOF)
		putc(c, to);
	fclose(from);
	h_check(s->h, fclose(to) == 0, "cannot copy %s", s->path);
}

struct guest *saving_wait(struct saving *s)
{
	return guest_start(s->host, SAVING_VM, &(struct guest_opts){.incoming = true});
}

void saving_load_again(struct saving *s)
{
	host_take_events(s->host);
	host_do(s->host, "migrate-incoming", "{'vm': '" SAVING_VM "', 'uri': 'file:%s'}", s->path);
}

struct guest *saving_load(struct saving *s, const struct guest_opts *opts)
{
	struct guest_opts o = *opts;
	struct guest *g;

	o.incoming = true;
	g = guest_start(s->host, SAVING_VM, &o);
	saving_load_again(s);
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
