/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/integration/harness_impl.h"

static void start(struct guest *g, const char *name, const char *socket, const struct guest_opts *o)
{
	/* one that dies on purpose does not join its threads */
	static const char *const dies[] = {"TSAN_OPTIONS=report_thread_leaks=0", NULL};
	const char *const *env = NULL;
	char order[16], vcpus[16], fill[32], rate[32];
	const char *argv[40] = {"htab-simvm", "--socket", socket, "--name", name,
		o->booke ? "--mmu" : "--order", o->booke ? "booke" : order, "--vcpus", vcpus,
		"--fill", fill};
	unsigned n = 11;

	snprintf(order, sizeof(order), "%u", o->order ? o->order : 18);
	snprintf(vcpus, sizeof(vcpus), "%u", o->vcpus ? o->vcpus : 1);
	snprintf(fill, sizeof(fill), "%.3f", o->fill > 0 ? o->fill : 0.5);
	if (o->rate >= 0) {
		snprintf(rate, sizeof(rate), "%lld", (long long)o->rate);
		argv[n++] = "--dirty-rate";
		argv[n++] = rate;
	}
	if (o->incoming)
		argv[n++] = "--incoming";
	if (o->uuid) {
		argv[n++] = "--uuid";
		argv[n++] = o->uuid;
	}
	if (o->hpt) {
		argv[n++] = "--hpt";
		argv[n++] = o->hpt;
	}
	if (o->dump) {
		argv[n++] = "--dump";
		argv[n++] = g->dump;
	}
	if (o->monitor) {
		argv[n++] = "--monitor";
		argv[n++] = g->monitor;
	}
	for (unsigned i = 0; i < 8 && o->extra[i]; i++) {
		argv[n++] = o->extra[i];
		if (!strcmp(o->extra[i], "--die-at"))
			env = dies;
	}
	argv[n] = NULL;
	g->process = process_start(g->h, g->name, argv, env, true);
}

struct guest *guest_start(struct host *host, const char *name, const struct guest_opts *opts)
{
	static const struct guest_opts plain = {.rate = -1};
	struct harness *h = host->h;
	struct guest *g = calloc(1, sizeof(*g));

	h_check(h, g && h->n_guests < HARNESS_GUESTS, "too many guests in one test");
	g->h = h;
	snprintf(g->name, sizeof(g->name), "%.40s-at-%s", name, host->name);
	snprintf(
		g->dump, sizeof(g->dump), "%s", harness_path(h, "%u-%s.hpt", h->n_guests, g->name));
	snprintf(g->monitor, sizeof(g->monitor), "%s",
		harness_path(h, "%u-%s.monitor", h->n_guests, g->name));
	start(g, name, host->vmm, opts ? opts : &plain);
	h->guests[h->n_guests++] = g;
	if (!opts || !opts->unregistered)
		guest_event(g, "registered");
	return g;
}

/* --- its events --------------------------------------------------------------------------- */

static bool read_line(struct guest *g)
{
	char *end = memchr(g->buf, '\n', g->len);
	struct json_object *o;
	size_t used;

	if (!end)
		return false;
	*end = 0;
	o = json_tokener_parse(g->buf);
	h_check(g->h, member_text(o, "event", NULL), "%s said \"%s\"", g->name, g->buf);
	snprintf(g->event, sizeof(g->event), "%s", member_text(o, "event", ""));
	snprintf(g->text, sizeof(g->text), "%s", member_text(o, "text", ""));
	g->counter = (uint64_t)member_int(o, "counter", 0);
	g->running = member_bool(o, "running");
	g->started |= !strcmp(g->event, "started");
	g->resumed |= !strcmp(g->event, "resumed");
	json_object_put(o);
	used = (size_t)(end + 1 - g->buf);
	g->len -= used;
	memmove(g->buf, end + 1, g->len);
	return true;
}

/* The next event, into g; false at the end of its output. */
static bool next_event(struct guest *g, uint64_t deadline, const char *what)
{
	while (!read_line(g)) {
		ssize_t n;

		if (g->eof)
			return false;
		h_check(g->h, g->len < sizeof(g->buf), "%s said a line that is too long", g->name);
		harness_poll(g->h, g->process->out, POLLIN, NULL, deadline, what);
		n = read(g->process->out, g->buf + g->len, sizeof(g->buf) - g->len);
		h_check(g->h, n >= 0, "read from %s: %m", g->name);
		g->eof = n == 0;
		g->len += (size_t)n;
	}
	return true;
}

void guest_event(struct guest *g, const char *event)
{
	uint64_t deadline = harness_deadline();
	char what[160];

	snprintf(what, sizeof(what), "\"%s\" of %s", event, g->name);
	do {
		h_check(g->h, next_event(g, deadline, what), "%s ended without saying \"%s\"",
			g->name, event);
	} while (strcmp(g->event, event) != 0);
}

void guest_command(struct guest *g, const char *line)
{
	int fd = open(g->monitor, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

	h_check(g->h, fd >= 0 && dprintf(fd, "%s\n", line) > 0, "%s: %m", g->monitor);
	close(fd);
}

uint64_t guest_counter(struct guest *g)
{
	process_signal(g->process, SIGUSR1);
	guest_event(g, "status");
	return g->counter;
}

void guest_runs(struct guest *g)
{
	uint64_t deadline = harness_deadline(), before = guest_counter(g);

	while (guest_counter(g) == before)
		h_check(g->h, clock_ns() < deadline, "%s does not run (counter %llu, %s)", g->name,
			(unsigned long long)before, g->running ? "running" : "standing");
}

void guest_stands(struct guest *g)
{
	uint64_t before = guest_counter(g);

	/* each answer takes the guest's process a turn of its loop */
	for (unsigned i = 0; i < 20; i++) {
		h_check(g->h, guest_counter(g) == before && !g->running,
			"%s runs, and should not (counter %llu, then %llu)", g->name,
			(unsigned long long)before, (unsigned long long)g->counter);
	}
}

/* --- its end ------------------------------------------------------------------------------ */

void guest_kill(struct guest *g)
{
	process_kill(g->process);
}

/* Its output is read to the end: what it said last stays in g, and no full pipe stops it. */
static void drain(struct guest *g)
{
	uint64_t deadline = harness_deadline();
	char what[160];

	snprintf(what, sizeof(what), "the end of %s", g->name);
	while (next_event(g, deadline, what))
		;
}

void guest_ends(struct guest *g, int status)
{
	int got;

	drain(g);
	got = process_wait(g->process);
	h_check(g->h, WIFEXITED(got) && WEXITSTATUS(got) == status,
		"%s ended with %s %d, not status %d", g->name, WIFEXITED(got) ? "status" : "signal",
		WIFEXITED(got) ? WEXITSTATUS(got) : WTERMSIG(got), status);
	g->process->any_end = true;
}

void guest_stop(struct guest *g)
{
	process_signal(g->process, SIGTERM);
	drain(g);
	process_wait(g->process);
}

void guest_dumps_equal(struct guest *a, struct guest *b)
{
	FILE *fa = fopen(a->dump, "re"), *fb = fopen(b->dump, "re");
	unsigned char ea[16], eb[16];
	uint64_t entry = 0;

	h_check(a->h, fa, "%s: %m", a->dump);
	h_check(a->h, fb, "%s: %m", b->dump);
	for (;; entry++) {
		size_t na = fread(ea, 1, 16, fa), nb = fread(eb, 1, 16, fb);

		h_check(a->h, na == nb && memcmp(ea, eb, na) == 0,
			"the tables of %s and %s differ at entry %llu", a->name, b->name,
			(unsigned long long)entry);
		if (na < 16)
			break;
	}
	h_check(a->h, entry > 0, "%s is empty", a->dump);
	fclose(fa);
	fclose(fb);
}
