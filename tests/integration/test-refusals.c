/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is refused: each time one sentence that names the thing, the source's guest runs on, nothing
 * is left behind, and a good migration still works where one is possible.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/integration/pair.h"

/* --- certificates ------------------------------------------------------------------------- */

/* With these credentials it fails, and says so. */
static void refused_with(enum pair_creds a, enum pair_creds b, const char *words)
{
	struct pair p = pair_new(
		&(struct pair_opts){.creds_a = a, .creds_b = b, .source = {.rate = 1000}});

	pair_migrate(&p);
	pair_fails(&p, words);
	pair_stays(&p);
}

START_TEST(source_of_another_ca)
{
	refused_with(CREDS_ALIEN, CREDS_GOOD, "CA");
}
END_TEST

START_TEST(destination_of_another_ca)
{
	refused_with(CREDS_GOOD, CREDS_ALIEN, "CA");
}
END_TEST

/* Told when they are loaded; a guest never gets as far as a connection. */
START_TEST(expired)
{
	struct harness *h = harness_new();
	struct testca_options o = {.cn = "hosta", .expired = true};
	struct host *a;
	struct guest *g;
	struct err err;

	o.ca_dir = harness_creds(h, "ca", NULL);
	a = host_start(h, "a", &(struct host_opts){.creds = harness_creds(h, "hosta", &o)});
	g = guest_start(a, PAIR_VM, &(struct guest_opts){.rate = 1000});
	h_check(h, a->uri[0] == 0, "it listens at %s with what expired", a->uri);
	h_check_text(h, host_says(a), "client-cert.pem ('CN=hosta') expired at");
	host_refused(a, &err, "migrate", "{'uri': 'tcp:127.0.0.1:1'}");
	h_check_text(h, err.text, "expired at");
	guest_runs(g);
	harness_free(h);
}
END_TEST

static unsigned told(struct host *host, const char *words)
{
	FILE *f = fopen(host->process->log, "re");
	char *line = NULL;
	unsigned told = 0;
	size_t n = 0;

	h_check(host->h, f, "%s: %m", host->process->log);
	while (getline(&line, &n, f) > 0)
		told += strstr(line, words) != NULL;
	free(line);
	fclose(f);
	return told;
}

/* In good time: by the status, and again and again in the journal. Migrations work. */
START_TEST(expires_soon)
{
	struct harness *h = harness_new();
	struct testca_options o = {.cn = "hosta", .days = 12};
	uint64_t deadline = harness_deadline();
	struct json_object *d;
	struct host *a;

	o.ca_dir = harness_creds(h, "ca", NULL);
	a = host_start(h, "a",
		&(struct host_opts){
			.creds = harness_creds(h, "hosta", &o), .limits = "creds-check=50"});
	h_check(h, a->uri[0], "it listens nowhere");
	h_check_text(h, host_says(a), "client-cert.pem expires in 1");
	d = host_ask(a, "query-daemon", NULL);
	h_check_text(h, member_text(d, "tls-expires", ""), "T");
	h_check_text(h, json_object_to_json_string(member(d, "warnings")), "expires in 1");
	json_object_put(d);
	while (told(a, "expires in 1") < 3) {
		h_check(h, clock_ns() < deadline, "the journal does not tell it again");
		host_do(a, "query-vms", NULL);
	}
	harness_free(h);
}
END_TEST

/* What is wrong with new ones does not end what is there. */
START_TEST(bad_credentials_are_not_reloaded)
{
	struct pair p = pair_new(&(struct pair_opts){.tls = true});
	uint64_t deadline = harness_deadline();

	h_check(p.h, chmod(harness_path(p.h, "creds-hostb/server-key.pem"), 0644) == 0, "%m");
	process_signal(p.b->process, SIGHUP);
	while (!told(p.b, "the credentials stay as they were: ")) {
		h_check(p.h, clock_ns() < deadline, "they were not loaded");
		host_do(p.b, "query-vms", NULL);
	}
	h_check(p.h, told(p.b, "server-key.pem has mode 0644") == 1, "the reason is not told");
	pair_migrate(&p);
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

/* A VM's own credentials are read by the loop, from where an operator says: it does not wait. */
START_TEST(fifo_for_credentials)
{
	struct pair p = pair_new(&(struct pair_opts){.tls = true, .source = {.rate = 1000}});
	struct err err;

	h_check(p.h, mkdir(harness_path(p.h, "fifo"), 0700) == 0, "%m");
	h_check(p.h, mkfifo(harness_path(p.h, "fifo/ca-cert.pem"), 0600) == 0, "%m");
	h_check(p.h, mkfifo(harness_path(p.h, "fifo/client-cert.pem"), 0600) == 0, "%m");
	host_do(p.a, "migrate-set-parameters", "{'vm': '" PAIR_VM "', 'tls-creds': '%s'}",
		harness_path(p.h, "fifo"));
	host_refused(p.a, &err, "migrate", "{'vm': '" PAIR_VM "', 'uri': '%s'}", p.b->uri);
	h_check_text(p.h, err.text, "ca-cert.pem is no regular file");
	host_do(p.a, "migrate-set-parameters", "{'vm': '" PAIR_VM "', 'tls-creds': ''}");
	pair_works_still(&p);
}
END_TEST

START_TEST(plaintext_to_tls)
{
	refused_with(CREDS_NONE, CREDS_GOOD,
		"expect TLS, while this daemon was started with --plaintext");
}
END_TEST

/* Wait until its log says words. */
static void logs(struct host *host, const char *words)
{
	uint64_t deadline = harness_deadline();
	char line[1024];
	bool found = false;

	while (!found) {
		FILE *f = fopen(host->process->log, "re");

		h_check(host->h, f, "%s: %m", host->process->log);
		while (!found && fgets(line, sizeof(line), f))
			found = strstr(line, words);
		fclose(f);
		h_check(host->h, found || clock_ns() < deadline, "its log does not say \"%s\"",
			words);
	}
}

START_TEST(tls_to_plaintext)
{
	struct pair p = pair_new(&(struct pair_opts){
		.creds_a = CREDS_GOOD, .creds_b = CREDS_NONE, .source = {.rate = 1000}});

	pair_migrate(&p);
	pair_fails(&p, "--plaintext");
	logs(p.b, "is TLS, and this daemon was started with --plaintext");
	pair_stays(&p);
}
END_TEST

START_TEST(wrong_host_name)
{
	struct pair p = pair_new(
		&(struct pair_opts){.creds_a = CREDS_GOOD, .creds_b = CREDS_NAMED});

	pair_migrate(&p);
	pair_fails(&p, "hostb.example.org");
	/* the remedy that the sentence names */
	host_do(p.a, "migrate-set-parameters", "{'tls-hostname': 'hostb.example.org'}");
	pair_works_still(&p);
}
END_TEST

START_TEST(not_authorized)
{
	struct pair p = pair_new(&(struct pair_opts){.tls = true, .authz = "CN=hostc"});

	pair_migrate(&p);
	pair_fails(&p, "certificate ('CN=hosta;DNS:localhost;");
	pair_works_still(&p);
}
END_TEST

START_TEST(authorized)
{
	struct pair p = pair_new(&(struct pair_opts){.tls = true, .authz = "CN=host[ab]"});
	struct err err;

	/* what means nobody is refused where it is said, and what was said before stays */
	host_refused(p.b, &err, "migrate-incoming", "{'tls-authz': 'FOO:hosta'}");
	h_check_text(p.h, err.text, "'FOO:hosta' names no certificate");
	host_refused(p.b, &err, "migrate-set-parameters", "{'tls-authz': 'CN=host[ab'}");
	h_check_text(p.h, err.text, "a [ has no ]");
	pair_migrate(&p);
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

START_TEST(no_credentials)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a",
		&(struct host_opts){
			.bare = true, .extra = {"--tls-creds", harness_path(h, "nothing-here")}});
	struct guest *g = guest_start(a, PAIR_VM, &(struct guest_opts){.rate = 1000});
	struct err err;

	h_check(h, a->uri[0] == 0, "it listens at %s without credentials", a->uri);
	h_check_text(h, host_says(a), "nothing-here");
	host_refused(a, &err, "migrate", "{'uri': 'tcp:127.0.0.1:1'}");
	h_check_text(h, err.text, "nothing-here");
	guest_runs(g);
	harness_free(h);
}
END_TEST

/* What only TLS could keep is not taken by a daemon without it, to be forgotten. */
START_TEST(tls_parameters_without_tls)
{
	static const char *const sets[] = {"{'tls-creds': '/etc/pki/x'}", "{'tls-hostname': 'b'}",
		"{'tls-authz': 'CN=b'}", "{'vm': '" PAIR_VM "', 'tls-creds': '/etc/pki/x'}"};
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct json_object *o;
	struct err err;

	guest_start(a, PAIR_VM, &(struct guest_opts){.rate = 1000});
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		host_refused(a, &err, "migrate-set-parameters", "%s", sets[i]);
		h_check_text(h, err.text, "this daemon uses no TLS");
	}
	o = host_ask(a, "query-migrate-parameters", "{'vm': '" PAIR_VM "'}");
	h_check(h, !*member_text(o, "tls-creds", "?"), "it was kept all the same");
	json_object_put(o);
	host_do(a, "migrate-set-parameters", "{'tls-creds': '', 'tls-hostname': ''}");
	harness_free(h);
}
END_TEST

/* A configuration that asks for TLS and for none; the daemon does not choose. */
START_TEST(tls_settings_without_tls)
{
	static const struct {
		const char *config, *options[2], *word;
	} cases[] = {
		{"{\"plaintext\": true, \"tls-creds\": \"/etc/pki/x\"}", {NULL}, "'tls-creds'"},
		{"{\"plaintext\": true, \"tls-hostname\": \"b\"}", {NULL}, "'tls-hostname'"},
		{"{\"tls-authz\": \"CN=b\"}", {"--plaintext"}, "'tls-authz'"},
		{"{}", {"--plaintext", "--tls-creds=/etc/pki/x"}, "'tls-creds'"},
	};
	struct harness *h = harness_new();
	const char *config = harness_path(h, "config.json");

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *argv[] = {"htab-migrated", "--config", config, "--control",
			harness_path(h, "control.sock"), cases[i].options[0], cases[i].options[1],
			NULL};
		struct process *p;
		char text[1024] = "";
		FILE *f = fopen(config, "w");

		fputs(cases[i].config, f);
		fclose(f);
		p = process_start(h, "refused", argv, NULL, false);
		p->any_end = true;
		h_check(h, WEXITSTATUS(process_wait(p)) == 2, "%s was taken", cases[i].config);
		f = fopen(p->log, "r");
		text[fread(text, 1, sizeof(text) - 1, f)] = 0;
		fclose(f);
		h_check_text(h, text, cases[i].word);
		h_check_text(h, text, "exclude each other");
	}
	harness_free(h);
}
END_TEST

/* --- the VMs ------------------------------------------------------------------------------ */

START_TEST(other_order)
{
	struct pair p = pair_new(&(struct pair_opts){
		.source = {.order = 18},
		.destination = {.order = 19},
	});

	pair_migrate(&p);
	pair_fails(&p, "order 18");
	pair_stays(&p);
}
END_TEST

START_TEST(other_vcpus)
{
	struct pair p = pair_new(&(struct pair_opts){
		.source = {.vcpus = 2},
		.destination = {.vcpus = 3},
	});

	pair_migrate(&p);
	pair_fails(&p, "2 vCPUs");
	pair_stays(&p);
}
END_TEST

START_TEST(unknown_vm)
{
	struct pair p = pair_new(&(struct pair_opts){.no_destination = true});
	struct err err;

	host_refused(p.a, &err, "migrate", "{'vm': 'nobody', 'uri': '%s'}", p.b->uri);
	h_check(p.h, err.class == ERR_DEVICE_NOT_FOUND, "its class is %s",
		err_class_name(err.class));
	h_check_text(p.h, err.text, "nobody");
	pair_migrate(&p);
	pair_fails(&p, PAIR_VM " is not known");
	p.destination = guest_start(p.b, PAIR_VM, &(struct guest_opts){.incoming = true});
	p.fds_b = 1024;
	pair_works_still(&p);
}
END_TEST

/* Who registers a VM with another one's UUID is not given that one's guest. */
START_TEST(guest_of_another_name)
{
	static const char uuid[] = "01234567-89ab-cdef-0123-456789abcdef";
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL), *b = host_start(h, "b", NULL);
	struct guest *source = guest_start(
		a, "a-1", &(struct guest_opts){.uuid = uuid, .rate = 1000});
	struct guest *thief = guest_start(
		b, "b-1", &(struct guest_opts){.uuid = uuid, .incoming = true, .rate = 1000});
	struct json_object *q;
	struct err err;

	host_refused(b, &err, "migrate-incoming", "{'vm': 'b-1', 'name': '../a'}");
	h_check_text(h, err.text, "'name'");
	host_do(b, "migrate-incoming", "{'vm': 'b-1'}");
	host_do(a, "migrate", "{'vm': 'a-1', 'uri': '%s'}", b->uri);
	host_status(a, "a-1", "failed");
	q = host_query(a, "a-1");
	h_check_text(
		h, member_text(q, "error-desc", ""), "waits here for a guest with the name 'b-1'");
	json_object_put(q);
	guest_runs(source);
	h_check(h, !thief->started, "it runs");

	/* an operator says that it is the one */
	host_do(b, "migrate-incoming", "{'vm': 'b-1', 'name': 'a-1'}");
	q = host_vm(b, "b-1");
	h_check_text(h, member_text(q, "expected-name", ""), "a-1");
	json_object_put(q);
	host_do(a, "migrate", "{'vm': 'a-1', 'uri': '%s'}", b->uri);
	host_status(a, "a-1", "completed");
	guest_event(thief, "started");
	harness_free(h);
}
END_TEST

START_TEST(destination_not_waiting)
{
	struct pair p = pair_new(&(struct pair_opts){.not_waiting = true});

	pair_migrate(&p);
	pair_fails(&p, "htabctl incoming");
	pair_works_still(&p);
}
END_TEST

START_TEST(destination_runs)
{
	struct pair p = pair_new(&(struct pair_opts){.no_destination = true});
	struct guest *other = guest_start(p.b, PAIR_VM, &(struct guest_opts){.rate = 1000});
	struct err err;

	host_refused(p.b, &err, "migrate-incoming", "{'vm': '" PAIR_VM "'}");
	pair_migrate(&p);
	pair_fails(&p, "does not wait");
	guest_runs(other);
	pair_stays(&p);
}
END_TEST

START_TEST(source_waits_itself)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct err err;

	guest_start(a, PAIR_VM, &(struct guest_opts){.incoming = true});
	host_refused(a, &err, "migrate", "{'uri': 'tcp:127.0.0.1:1'}");
	h_check_text(h, err.text, "waits for a guest itself");
	harness_free(h);
}
END_TEST

START_TEST(nobody_listens)
{
	struct pair p = pair_new(&(struct pair_opts){.no_destination = true});
	char uri[HARNESS_PATH];

	snprintf(uri, sizeof(uri), "%s", p.b->uri);
	host_stop(p.b);
	host_do(p.a, "migrate", "{'uri': '%s'}", uri);
	pair_fails(&p, "cannot connect");
	pair_stays(&p);
}
END_TEST

START_TEST(bad_uris)
{
	static const char *const bad[] = {"", "tcp:", "http://example.org/",
		"tcp:127.0.0.1:notaport", "tcp:127.0.0.1:0", "unix:", "fd:nothing", "file:nowhere"};
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct guest *g = guest_start(a, PAIR_VM, &(struct guest_opts){.rate = 1000});
	struct err err;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		host_refused(a, &err, "migrate", "{'uri': '%s'}", bad[i]);
	guest_runs(g);
	harness_free(h);
}
END_TEST

START_TEST(two_at_once)
{
	struct pair p = pair_new(&(struct pair_opts){.a = {.hold = "active"}});
	struct err err;

	pair_migrate_to(&p, "active");
	host_refused(p.a, &err, "migrate", "{'uri': '%s'}", p.b->uri);
	h_check_text(p.h, err.text, "in progress");
	pair_goes_on(&p);
	pair_free(&p);
}
END_TEST

/* Another source sends the same VM to a destination that is in a migration of it. */
START_TEST(two_sources)
{
	struct pair p = pair_new(&(struct pair_opts){.a = {.hold = "active"}});
	struct host *c = host_start(p.h, "c", NULL);
	struct guest *other = guest_start(c, PAIR_VM, &(struct guest_opts){.rate = 1000});
	struct json_object *q;

	pair_migrate_to(&p, "active");
	host_do(c, "migrate", "{'uri': '%s'}", p.b->uri);
	host_status(c, PAIR_VM, "failed");
	q = host_query(c, PAIR_VM);
	h_check_text(p.h, member_text(q, "error-desc", ""), "migration");
	json_object_put(q);
	guest_runs(other);
	pair_goes_on(&p);
	pair_free(&p);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("refusals", &c);

	harness_add(c, source_of_another_ca);
	harness_add(c, destination_of_another_ca);
	harness_add(c, expired);
	harness_add(c, expires_soon);
	harness_add(c, bad_credentials_are_not_reloaded);
	harness_add(c, fifo_for_credentials);
	harness_add(c, wrong_host_name);
	harness_add(c, not_authorized);
	harness_add(c, authorized);
	harness_add(c, plaintext_to_tls);
	harness_add(c, tls_to_plaintext);
	harness_add(c, tls_parameters_without_tls);
	harness_add(c, tls_settings_without_tls);
	harness_add(c, no_credentials);
	harness_add(c, other_order);
	harness_add(c, other_vcpus);
	harness_add(c, unknown_vm);
	harness_add(c, guest_of_another_name);
	harness_add(c, destination_not_waiting);
	harness_add(c, destination_runs);
	harness_add(c, source_waits_itself);
	harness_add(c, nobody_listens);
	harness_add(c, bad_uris);
	harness_add(c, two_at_once);
	harness_add(c, two_sources);
	return harness_main(s);
}
