/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/integration/handover.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"

#define TOGETHER_MAX 16

const char *victim_name(enum victim v)
{
	switch (v) {
	case SOURCE_DAEMON: return "source daemon";
	case SOURCE_VMM: return "source VMM";
	case DESTINATION_DAEMON: return "destination daemon";
	case DESTINATION_VMM: return "destination VMM";
	case CONNECTION: return "connection";
	case BOTH_DAEMONS: return "both daemons";
	case VICTIMS: break;
	}
	return "?";
}

const char *outcome_name(enum outcome o)
{
	switch (o) {
	case AT_SOURCE: return "at the source";
	case AT_DESTINATION: return "at the destination";
	case NOWHERE: return "nowhere";
	case UNRESOLVED: return "unresolved";
	}
	return "?";
}

struct stage stage_new(const struct stage_opts *o)
{
	struct stage s = {.h = harness_new()};
	struct harness *h = s.h;
	struct guest_opts source = {.rate = 1000}, destination = {.rate = 1000, .incoming = true};
	struct host_opts a = {.hold = o->hold_a, .limits = o->limits_a};
	struct host_opts b = {.hold = o->hold_b, .limits = o->limits_b};
	static char listen[HARNESS_PATH + 8]; /* host->opts keeps a pointer to it */

	memcpy(source.extra, o->source, sizeof(o->source));
	memcpy(destination.extra, o->destination, sizeof(o->destination));
	snprintf(listen, sizeof(listen), "unix:%s", harness_path(h, "b.sock"));
	b.listen = listen;
	if (o->tls) {
		a.creds = harness_creds(h, "hosta", NULL);
		b.creds = harness_creds(h, "hostb", NULL);
	}
	s.a = host_start(h, "a", &a);
	s.b = host_start(h, "b", &b);
	snprintf(s.uri, sizeof(s.uri), "unix:%.180s", harness_path(h, "relay.sock"));
	s.relay = relay_new(s.uri + 5, listen + 5);
	host_capability(s.a, "pause-before-switchover", o->pre_switchover);
	host_capability(s.a, "verify", o->verify);
	/* however slow this machine is: the second pass is followed by the pause */
	host_do(s.a, "migrate-set-parameters", "{'downtime-limit': 2000000}");
	s.source = guest_start(s.a, STAGE_VM, &source);
	s.destination = guest_start(s.b, STAGE_VM, &destination);
	return s;
}

void stage_migrate(struct stage *s)
{
	host_do(s->b, "migrate-incoming", "{'vm': '" STAGE_VM "'}");
	host_do(s->a, "migrate", "{'vm': '" STAGE_VM "', 'uri': '%s'}", s->uri);
}

void stage_free(struct stage *s)
{
	harness_free(s->h);
	s->relay = relay_free(s->relay);
}

const char *stage_session(struct stage *s)
{
	struct json_object *q = host_query(s->a, STAGE_VM);

	snprintf(s->session, sizeof(s->session), "%s", member_text(q, "session", ""));
	h_check(s->h, strlen(s->session) == 32, "no session: %s", json_object_to_json_string(q));
	json_object_put(q);
	return s->session;
}

void stage_resolve(struct stage *s, struct host *host, const char *action)
{
	if (!s->session[0])
		stage_session(s);
	host_do(host, "resolve", "{'vm': '" STAGE_VM "', 'session': '%s', 'action': '%s'}",
		s->session, action);
}

/* --- what strikes ------------------------------------------------------------------------- */

static void kill_vmm(struct host *host, struct guest *g)
{
	if (process_ended(g->process))
		return;
	guest_kill(g);
	json_object_put(host_event(host, "VM_GONE", STAGE_VM, NULL, NULL));
}

static void begin_anew(struct host *host, struct guest *g)
{
	host->opts.hold = NULL;
	host_restart(host);
	if (!process_ended(g->process))
		guest_event(g, "registered");
}

static void kill_daemon(struct host *host, struct guest *g)
{
	host_kill(host);
	begin_anew(host, g);
}

static void kill_both(struct stage *s)
{
	host_kill(s->a);
	host_kill(s->b);
	begin_anew(s->b, s->destination);
	begin_anew(s->a, s->source);
}

void stage_strike(struct stage *s, enum victim victim)
{
	switch (victim) {
	case SOURCE_DAEMON: kill_daemon(s->a, s->source); return;
	case SOURCE_VMM: kill_vmm(s->a, s->source); return;
	case DESTINATION_DAEMON: kill_daemon(s->b, s->destination); return;
	case DESTINATION_VMM: kill_vmm(s->b, s->destination); return;
	case CONNECTION: relay_cut(s->relay); return;
	case BOTH_DAEMONS: kill_both(s); return;
	case VICTIMS: break;
	}
	h_fail(s->h, "no such victim");
}

/* It may be held no more: what struck has moved it on. */
static void go_on(struct host *host)
{
	struct err err = {0};
	int r;

	if (!host->opts.hold)
		return;
	r = qmpclient_call(host->qmp, "x-continue", harness_json(host->h, "{'vm': '" STAGE_VM "'}"),
		NULL, &err);
	h_check(host->h, r == 0 || r == -EREMOTE, "x-continue at %s: %s", host->name, err.text);
}

void stage_go_on(struct stage *s)
{
	go_on(s->a);
	go_on(s->b);
}

/* --- who runs ----------------------------------------------------------------------------- */

static bool is_over(struct host *host)
{
	struct json_object *all = host_ask(host, "query-daemon", NULL);
	bool over = member_int(all, "migrations", -1) == 0;

	json_object_put(all);
	return over;
}

void stage_over(struct host *host)
{
	uint64_t deadline = harness_deadline();

	while (!is_over(host))
		h_check(host->h, clock_ns() < deadline, "a migration is left at %s", host->name);
}

/* Its counter may change all the same: a state that is loaded brings its own. */
static void never_started(struct stage *s)
{
	struct guest *g = s->destination;

	for (int i = 0; i < 10 && !process_ended(g->process); i++) {
		guest_counter(g);
		h_check(s->h, !g->running, "the guest runs at both ends");
	}
	h_check(s->h, !g->started, "the guest was started at the destination");
}

static void runs_at_source(struct stage *s)
{
	guest_runs(s->source);
	never_started(s);
	stage_over(s->a);
	h_check(s->h, !strcmp(host_vm_status(s->a, STAGE_VM), "running"), "a says that it is %s",
		host_vm_status(s->a, STAGE_VM));
	guest_runs(s->source);
	never_started(s);
}

static void runs_at_destination(struct stage *s)
{
	if (!s->destination->started)
		guest_event(s->destination, "started");
	guest_runs(s->destination);
	if (!s->source->process->any_end) { /* it was not killed: it is let go */
		guest_ends(s->source, 0);
		h_check(s->h, s->destination->counter >= s->source->counter,
			"the guest lost what it counted: %llu, was %llu",
			(unsigned long long)s->destination->counter,
			(unsigned long long)s->source->counter);
	}
	h_check(s->h, !s->source->resumed, "the guest ran at both ends");
	/* CLOSED arrives, so that it may migrate on */
	stage_over(s->a);
	stage_over(s->b);
	h_check(s->h, !strcmp(host_vm_status(s->b, STAGE_VM), "running"), "b says that it is %s",
		host_vm_status(s->b, STAGE_VM));
	guest_runs(s->destination);
}

/* Where the source's VMM lives the guest has run, and ended, at the destination. */
static void runs_nowhere(struct stage *s)
{
	if (!s->source->process->any_end) {
		guest_ends(s->source, 0);
		h_check(s->h, !s->source->resumed, "the guest ran at both ends");
		return;
	}
	if (process_ended(s->destination->process))
		return;
	stage_over(s->a);
	stage_over(s->b);
	never_started(s);
}

static void is_unresolved(struct stage *s)
{
	struct json_object *q;

	if (!host_count(s->a, "MIGRATION_UNRESOLVED"))
		json_object_put(host_event(s->a, "MIGRATION_UNRESOLVED", STAGE_VM, NULL, NULL));
	guest_stands(s->source);
	h_check(s->h, !s->source->resumed, "the guest ran at both ends");
	q = host_query(s->a, STAGE_VM);
	h_check(s->h, !strcmp(member_text(q, "step", ""), "asking"), "the source is at step '%s'",
		member_text(q, "step", ""));
	json_object_put(q);
	/* the operator knows that it runs nowhere */
	stage_session(s);
	stage_resolve(s, s->a, "run");
	guest_runs(s->source);
}

void stage_ends(struct stage *s, enum outcome outcome)
{
	switch (outcome) {
	case AT_SOURCE: runs_at_source(s); return;
	case AT_DESTINATION: runs_at_destination(s); return;
	case NOWHERE: runs_nowhere(s); return;
	case UNRESOLVED: is_unresolved(s); return;
	}
}

/* --- several at once ---------------------------------------------------------------------- */

static pid_t begin(void (*one)(unsigned i), unsigned i)
{
	pid_t parent = getpid(), pid = fork();

	ck_assert_msg(pid >= 0, "fork: %m");
	if (pid > 0)
		return pid;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	one(i);
	fflush(stdout);
	_exit(0);
}

void stage_together(
	unsigned n, void (*one)(unsigned i), void (*name)(unsigned i, char *buf, size_t len))
{
	pid_t pid[TOGETHER_MAX];
	char failed[1024] = "";

	ck_assert(n <= TOGETHER_MAX);
	fflush(stdout);
	for (unsigned i = 0; i < n; i++)
		pid[i] = begin(one, i);
	for (unsigned i = 0; i < n; i++) {
		size_t len = strlen(failed);
		char what[128];
		int status;

		ck_assert_msg(waitpid(pid[i], &status, 0) == pid[i], "waitpid: %m");
		if (status == 0)
			continue;
		name(i, what, sizeof(what));
		snprintf(failed + len, sizeof(failed) - len, "%s%s", len ? "; " : "", what);
	}
	if (failed[0])
		printf("--- failed: %s\n", failed);
	ck_assert_msg(!failed[0], "failed: %s", failed);
}
