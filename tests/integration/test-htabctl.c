/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* htabctl: what it prints and its exit status, against daemons. */
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/integration/pair.h"

#define ARGS_MAX 16
#define TEXT_MAX (256 << 10)

struct run {
	struct harness *h;
	struct process *process;
	char out[TEXT_MAX], err[TEXT_MAX];
	size_t len;
	int status;
};

/* Start htabctl with these arguments, up to a NULL. */
static struct run start(struct host *host, ...)
{
	const char *argv[ARGS_MAX + 4] = {"htabctl", "--socket", host->control};
	struct run r = {.h = host->h};
	unsigned n = 3;
	va_list ap;

	va_start(ap, host);
	while (n < ARGS_MAX && (argv[n] = va_arg(ap, const char *)))
		n++;
	va_end(ap);
	r.process = process_start(host->h, "htabctl", argv, NULL, true);
	r.process->any_end = true;
	return r;
}

/* Some more of its output; false at the end. */
static bool more(struct run *r)
{
	ssize_t n;

	harness_poll(r->h, r->process->out, POLLIN, NULL, harness_deadline(), "htabctl's output");
	n = read(r->process->out, r->out + r->len, sizeof(r->out) - 1 - r->len);
	h_check(r->h, n >= 0, "read: %m");
	r->len += (size_t)n;
	r->out[r->len] = 0;
	return n > 0;
}

static void wait_for_line(struct run *r, const char *words)
{
	while (!strstr(r->out, words))
		h_check(r->h, more(r), "htabctl ended without saying \"%s\": %s", words, r->out);
}

static void end(struct run *r)
{
	FILE *f;
	size_t n;

	while (more(r))
		;
	r->status = process_wait(r->process);
	r->status = WIFEXITED(r->status) ? WEXITSTATUS(r->status) : 1000 + WTERMSIG(r->status);
	f = fopen(r->process->log, "re");
	h_check(r->h, f, "%s: %m", r->process->log);
	n = fread(r->err, 1, sizeof(r->err) - 1, f);
	r->err[n] = 0;
	fclose(f);
}

static void ends_with(struct run *r, int status)
{
	end(r);
	h_check(r->h, r->status == status, "htabctl ended with %d, not %d: %s%s", r->status, status,
		r->out, r->err);
}

/* Its output is one line with one JSON value: the caller's. */
static struct json_object *json_of(struct run *r)
{
	struct json_object *o = json_tokener_parse(r->out);
	char *end_of_line = strchr(r->out, '\n');

	h_check(r->h, o && end_of_line && end_of_line[1] == 0, "no single line of JSON: %s",
		r->out);
	return o;
}

START_TEST(shows)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct json_object *o;
	char address[256];
	struct run r;

	r = start(a, "list", NULL);
	ends_with(&r, 0);
	h_check_text(h, r.out, "no VM is registered");
	guest_start(a, "vm1", &(struct guest_opts){.order = 20, .vcpus = 2});
	guest_start(a, "a-longer-name", &(struct guest_opts){.incoming = true});
	r = start(a, "list", NULL);
	ends_with(&r, 0);
	h_check_text(h, r.out, "vm1            running      1.0 MiB      2  none");
	h_check_text(h, r.out, "a-longer-name  inmigrate");
	r = start(a, "--json", "list", NULL);
	ends_with(&r, 0);
	o = json_of(&r);
	h_check(h, json_object_array_length(o) == 2, "list: %s", r.out);
	json_object_put(o);

	snprintf(address, sizeof(address), "unix:%s", harness_path(h, "in"));
	r = start(a, "incoming", "a-longer-name", "--listen", address, NULL);
	ends_with(&r, 0);
	for (unsigned i = 0; i < 2; i++) {
		r = i ? start(a, "info", "a-longer-name", NULL) : start(a, "list", NULL);
		ends_with(&r, 0);
		h_check_text(h, r.out, "from any host at unix:");
	}
	r = start(a, "incoming", "a-longer-name", "--cancel", "--listen", address, NULL);
	ends_with(&r, 2);
	r = start(a, "incoming", "a-longer-name", "--cancel", NULL);
	ends_with(&r, 0);
	r = start(a, "list", NULL);
	ends_with(&r, 0);
	h_check(h, !strstr(r.out, "from any host"), "it still waits: %s", r.out);

	r = start(a, "info", "vm1", NULL);
	ends_with(&r, 0);
	h_check_text(h, r.out, "order 20, 1.0 MiB");
	h_check_text(h, r.out, "none yet");
	r = start(a, "info", "vm1", "--json", NULL);
	ends_with(&r, 0);
	o = json_of(&r);
	h_check(h, !strcmp(member_text(member(o, "vm"), "name", ""), "vm1"), "info: %s", r.out);
	json_object_put(o);
	r = start(a, "info", "vm1", "--state", NULL);
	ends_with(&r, 0);
	h_check_text(h, r.out, "VCPU  KIND     NAME");
	h_check_text(h, r.out, "   1  one-reg  FPR0");
	h_check_text(h, r.out, "   -  blob     ");
	r = start(a, "--json", "info", "vm1", "--state", "--vcpu", "1", NULL);
	ends_with(&r, 0);
	o = json_of(&r);
	h_check(h, member(o, "elements") && !strstr(r.out, "blob"), "info --state: %s", r.out);
	json_object_put(o);
	r = start(a, "info", "vm1", "--vcpu", "1", NULL);
	ends_with(&r, 2);
	r = start(a, "info", "vm1", "--state", "--vcpu", "one", NULL);
	ends_with(&r, 2);
	h_check_text(h, r.err, "one");
	r = start(a, "info", "a-longer-name", "--state", NULL);
	ends_with(&r, 1);
	h_check_text(h, r.err, "no guest yet");
	r = start(a, "info", "vm1", "--tlb", NULL);
	ends_with(&r, 1);
	h_check_text(h, r.err, "hashed page table");
	r = start(a, "info", "vm1", "--tlb", "--state", NULL);
	ends_with(&r, 2);
	r = start(a, "info", "vm1", "--resume", NULL); /* another command's */
	ends_with(&r, 2);
	guest_start(a, "e500", &(struct guest_opts){.booke = true, .vcpus = 2});
	r = start(a, "info", "e500", "--tlb", "--vcpu", "1", NULL);
	ends_with(&r, 0);
	h_check_text(h, r.out, "VCPU  TLB  ESEL");
	h_check_text(h, r.out, "   1    1    ");
	h_check_text(h, r.out, "---   rwx    -----  no");
	r = start(a, "--json", "info", "e500", "--tlb", "--vcpu", "1", NULL);
	end(&r);
	h_check(h, r.status == 0 && strstr(r.out, "\"entries\""), "info --tlb: %s", r.err);
	r = start(a, "status", NULL);
	ends_with(&r, 0);
	h_check_text(h, r.out, a->uri);
	r = start(a, "qmp", "{\"execute\": \"query-status\", \"arguments\": {\"vm\": \"vm1\"}}",
		NULL);
	ends_with(&r, 0);
	h_check_text(h, r.out, "running");
	r = start(a, "--json", "qmp", "query-status", "{\"vm\": \"vm1\"}", NULL);
	ends_with(&r, 0);
	json_object_put(json_of(&r));
	harness_free(h);
}
END_TEST

START_TEST(fails)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct json_object *o;
	struct run r;

	r = start(a, "info", "nobody", NULL);
	ends_with(&r, 1);
	h_check_text(h, r.err, "nobody");
	r = start(a, "--json", "cancel", "nobody", NULL);
	ends_with(&r, 1);
	h_check_text(h, r.err, "nobody");
	o = json_of(&r);
	h_check(h,
		!strcmp(member_text(member(o, "error"), "class", ""), "DeviceNotFound") &&
			strstr(member_text(member(o, "error"), "desc", ""), "nobody"),
		"error: %s", r.out);
	json_object_put(o);
	r = start(a, "teleport", NULL);
	ends_with(&r, 2);
	r = start(a, "tele\x1b\xffport", NULL);
	ends_with(&r, 2);
	h_check_text(h, r.err, "tele??port");
	r = start(a, "--teleport", NULL);
	ends_with(&r, 2);
	r = start(a, NULL);
	ends_with(&r, 2);
	r = start(a, "migrate", NULL);
	ends_with(&r, 2);
	r = start(a, "list", "--no-wait", NULL);
	ends_with(&r, 2);
	r = start(a, "resolve", "vm1", "00", "perhaps", NULL);
	ends_with(&r, 2);
	r = start(a, "qmp", "{not json", NULL);
	ends_with(&r, 2);
	r = start(a, "qmp", "no-such-command", NULL);
	ends_with(&r, 1);
	r = start(a, "--socket", harness_path(h, "nowhere"), "list", NULL);
	ends_with(&r, 3);
	h_check_text(h, r.err, "nowhere");
	r = start(a, "--help", NULL);
	ends_with(&r, 0);
	h_check_text(h, r.out, "migrate [VM] URI");
	harness_free(h);
}
END_TEST

START_TEST(sets)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct run r;

	guest_start(a, "vm1", NULL);
	r = start(a, "set", "downtime-limit=77", "max-bandwidth=2M", "verify=on", NULL);
	ends_with(&r, 0);
	r = start(a, "set", "--vm", "vm1", NULL);
	ends_with(&r, 0);
	h_check_text(h, r.out, "downtime-limit           77\n");
	h_check_text(h, r.out, "max-bandwidth            2097152\n");
	h_check_text(h, r.out, "verify                   on\n");
	r = start(a, "set", "--vm", "vm1", "downtime-limit=78", "on-timeout=force", NULL);
	ends_with(&r, 0);
	r = start(a, "--json", "set", "--vm", "vm1", NULL);
	ends_with(&r, 0);
	h_check_text(h, r.out, "\"downtime-limit\":78");
	h_check_text(h, r.out, "\"on-timeout\":\"force\"");
	r = start(a, "set", "downtime-limit=soon", NULL);
	ends_with(&r, 1);
	r = start(a, "set", "teleport=1", NULL);
	ends_with(&r, 1);
	h_check_text(h, r.err, "teleport");
	r = start(a, "set", "verify=perhaps", NULL);
	ends_with(&r, 2);
	r = start(a, "set", "verify", NULL);
	ends_with(&r, 2);
	harness_free(h);
}
END_TEST

START_TEST(migrates)
{
	struct pair p = pair_new(&(struct pair_opts){
		.tls = true,
		.not_waiting = true,
		.verify = true,
		.source = {.rate = 1000},
	});
	struct run r;

	r = start(p.b, "incoming", PAIR_VM, "--from", "CN=hosta", NULL);
	ends_with(&r, 0);
	r = start(p.a, "migrate", PAIR_VM, p.b->uri, NULL);
	ends_with(&r, 0);
	h_check_text(p.h, r.out, "pass 1");
	h_check_text(p.h, r.out, "0 differ");
	h_check(p.h, !strchr(r.out, '\r'), "it draws without a terminal");
	pair_completes(&p);
	r = start(p.b, "info", PAIR_VM, NULL);
	ends_with(&r, 0);
	h_check_text(p.h, r.out, "incoming, completed");
	h_check_text(p.h, r.out, "CN=hosta");
	pair_free(&p);
}
END_TEST

START_TEST(migrates_in_json)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 1000}});
	struct run r = start(p.a, "--json", "migrate", p.b->uri, NULL);
	struct json_object *o;

	ends_with(&r, 0);
	o = json_of(&r);
	h_check(p.h,
		!strcmp(member_text(o, "status", ""), "completed") &&
			!strcmp(member_text(o, "vm", ""), PAIR_VM) &&
			member_int(member(o, "htab"), "passes", 0) > 1,
		"migrate: %s", r.out);
	json_object_put(o);
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

START_TEST(migration_fails)
{
	struct pair p = pair_new(&(struct pair_opts){.not_waiting = true});
	struct run r = start(p.a, "migrate", PAIR_VM, p.b->uri, NULL);

	ends_with(&r, 1);
	h_check_text(p.h, r.err, "htabctl incoming");
	r = start(p.a, "--json", "migrate", PAIR_VM, p.b->uri, NULL);
	ends_with(&r, 1);
	h_check_text(p.h, r.out, "\"status\":\"failed\"");
	pair_works_still(&p);
}
END_TEST

START_TEST(cancelled_by_another)
{
	struct pair p = pair_new(&(struct pair_opts){.a = {.hold = "active"}});
	struct run waits = start(p.a, "migrate", PAIR_VM, p.b->uri, NULL), r;

	host_held(p.a, PAIR_VM, "active");
	r = start(p.a, "migrate", PAIR_VM, p.b->uri, NULL);
	ends_with(&r, 1);
	h_check_text(p.h, r.err, "in progress");
	r = start(p.a, "cancel", NULL);
	ends_with(&r, 0);
	ends_with(&waits, 1);
	h_check_text(p.h, waits.err, "cancelled");
	pair_stays(&p);
}
END_TEST

START_TEST(interrupted)
{
	struct pair p = pair_new(&(struct pair_opts){.a = {.hold = "active"}});
	struct run r = start(p.a, "migrate", PAIR_VM, p.b->uri, NULL);

	wait_for_line(&r, "active");
	process_signal(r.process, SIGINT);
	ends_with(&r, 130);
	h_check_text(p.h, r.err, "htabctl cancel " PAIR_VM);
	host_held(p.a, PAIR_VM, "active");
	pair_goes_on(&p);
	pair_free(&p);
}
END_TEST

START_TEST(does_not_wait)
{
	struct pair p = pair_new(&(struct pair_opts){.a = {.hold = "active"}});
	struct run r = start(p.a, "migrate", PAIR_VM, p.b->uri, "--no-wait", NULL);

	ends_with(&r, 0);
	host_held(p.a, PAIR_VM, "active");
	pair_goes_on(&p);
	pair_free(&p);
}
END_TEST

START_TEST(daemon_dies)
{
	struct pair p = pair_new(&(struct pair_opts){.a = {.hold = "active"}});
	struct run r = start(p.a, "migrate", PAIR_VM, p.b->uri, NULL), w;

	wait_for_line(&r, "active");
	w = start(p.a, "watch", NULL);
	host_kill(p.a);
	ends_with(&r, 3);
	ends_with(&w, 3);
	pair_free(&p);
}
END_TEST

START_TEST(pauses_and_continues)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 1000}});
	struct run waits, r;

	r = start(p.a, "set", "pause-before-switchover=on", NULL);
	ends_with(&r, 0);
	waits = start(p.a, "migrate", PAIR_VM, p.b->uri, NULL);
	host_status(p.a, PAIR_VM, "pre-switchover");
	r = start(p.a, "continue", NULL);
	ends_with(&r, 0);
	ends_with(&waits, 0);
	h_check_text(p.h, waits.err, "htabctl continue " PAIR_VM);
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

START_TEST(watches)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 1000}});
	struct run all = start(p.a, "watch", NULL);
	struct run one = start(p.a, "watch", "--json", PAIR_VM, NULL);
	struct guest *other;

	/* are both there? an event that comes again and again shows it */
	while (!strstr(all.out, "failed") || !strstr(one.out, "failed")) {
		struct pollfd fds[] = {
			{.fd = all.process->out, .events = POLLIN},
			{.fd = one.process->out, .events = POLLIN},
		};

		host_do(p.a, "migrate", "{'uri': 'unix:/nowhere'}");
		host_status(p.a, PAIR_VM, "failed");
		poll(fds, 2, 100);
		if (fds[0].revents)
			more(&all);
		if (fds[1].revents)
			more(&one);
	}
	other = guest_start(p.a, "vm2", NULL);
	pair_migrate(&p);
	pair_completes(&p);
	wait_for_line(&all, "MIGRATION  status=completed");
	wait_for_line(&one, "\"status\":\"completed\"");
	h_check_text(p.h, all.out, "vm2");
	h_check(p.h, !strstr(one.out, "vm2"), "one VM's events are: %s", one.out);
	guest_stop(other);
	process_kill(all.process);
	process_kill(one.process);
	pair_free(&p);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("htabctl", &c);

	harness_add(c, shows);
	harness_add(c, fails);
	harness_add(c, sets);
	harness_add(c, migrates);
	harness_add(c, migrates_in_json);
	harness_add(c, migration_fails);
	harness_add(c, cancelled_by_another);
	harness_add(c, interrupted);
	harness_add(c, does_not_wait);
	harness_add(c, daemon_dies);
	harness_add(c, pauses_and_continues);
	harness_add(c, watches);
	return harness_main(s);
}
