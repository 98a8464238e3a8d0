/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/integration/pair.h"

#include <stdio.h>
#include <string.h>

#include "common/clock.h"

static const char *creds(struct harness *h, enum pair_creds kind, const char *name)
{
	struct testca_options o = {.cn = name};
	char dns[64];

	if (kind == CREDS_NONE)
		return NULL;
	if (kind != CREDS_ALIEN)
		o.ca_dir = harness_creds(h, "ca", NULL);
	if (kind == CREDS_NAMED) {
		snprintf(dns, sizeof(dns), "%s.example.org", name);
		o.dns[0] = dns;
	}
	return harness_creds(h, name, &o);
}

struct pair pair_new(const struct pair_opts *opts)
{
	struct pair p = {.h = harness_new()};
	struct host_opts a = opts->a, b = opts->b;
	struct guest_opts destination = opts->destination;

	a.creds = creds(p.h, opts->tls ? CREDS_GOOD : opts->creds_a, "hosta");
	b.creds = creds(p.h, opts->tls ? CREDS_GOOD : opts->creds_b, "hostb");
	p.a = host_start(p.h, "a", &a);
	p.b = host_start(p.h, "b", &b);
	if (opts->verify)
		host_capability(p.a, "verify", true);
	p.source = guest_start(p.a, PAIR_VM, &opts->source);
	if (!opts->no_destination) {
		destination.incoming = true;
		if (!destination.order)
			destination.order = opts->source.order;
		if (!destination.vcpus)
			destination.vcpus = opts->source.vcpus;
		p.destination = guest_start(p.b, PAIR_VM, &destination);
		if (opts->authz)
			host_do(p.b, "migrate-incoming", "{'vm': '" PAIR_VM "', 'tls-authz': '%s'}",
				opts->authz);
		else if (!opts->not_waiting)
			pair_incoming(&p);
	}
	p.fds_a = process_fds(p.a->process);
	p.fds_b = process_fds(p.b->process);
	return p;
}

void pair_incoming(struct pair *p)
{
	host_do(p->b, "migrate-incoming", "{'vm': '" PAIR_VM "'}");
}

void pair_migrate(struct pair *p)
{
	host_take_events(p->a); /* those of an earlier one are not waited for */
	host_take_events(p->b);
	host_do(p->a, "migrate", "{'vm': '" PAIR_VM "', 'uri': '%s'}", p->b->uri);
}

void pair_migrate_to(struct pair *p, const char *step)
{
	pair_migrate(p);
	host_held(p->a, PAIR_VM, step);
}

void pair_goes_on(struct pair *p)
{
	host_do(p->a, "x-continue", NULL);
	pair_completes(p);
}

void pair_completes(struct pair *p)
{
	uint64_t left;

	host_status(p->a, PAIR_VM, "completed");
	host_status(p->b, PAIR_VM, "completed");
	guest_event(p->source, "migrated");
	left = p->source->counter;
	h_check(p->h, !p->source->running, "the source's guest runs after it was migrated");
	guest_ends(p->source, 0);
	guest_event(p->destination, "started");
	h_check(p->h, p->destination->counter >= left,
		"the guest counts from %llu at the destination, it was at %llu at the source",
		(unsigned long long)p->destination->counter, (unsigned long long)left);
	guest_runs(p->destination);
}

void pair_fails(struct pair *p, const char *words)
{
	struct json_object *q;

	host_status(p->a, PAIR_VM, "failed");
	q = host_query(p->a, PAIR_VM);
	h_check_text(p->h, member_text(q, "error-desc", ""), words);
	json_object_put(q);
}

/* Wait until the daemon has no more descriptors open than before. */
static void no_fds_left(struct host *host, unsigned before)
{
	uint64_t deadline = harness_deadline();
	unsigned now;

	while ((now = process_fds(host->process)) > before) {
		h_check(host->h, clock_ns() < deadline,
			"daemon %s has %u descriptors open, it had %u", host->name, now, before);
		host_do(host, "query-status", "{'vm': '" PAIR_VM "'}"); /* a turn of its loop */
	}
}

static bool migration_over(struct host *host)
{
	struct json_object *vm = host_vm(host, PAIR_VM);
	const char *m = member_text(vm, "migration", "none");
	bool over = !strcmp(m, "none") || !strcmp(m, "failed") || !strcmp(m, "cancelled") ||
		!strcmp(m, "completed");

	json_object_put(vm);
	return over;
}

static void wait_over(struct host *host)
{
	uint64_t deadline = harness_deadline();

	while (!migration_over(host))
		h_check(host->h, clock_ns() < deadline, "a migration is left at %s", host->name);
}

void pair_is_as_before(struct pair *p)
{
	if (!process_ended(p->a->process)) {
		wait_over(p->a);
		if (!process_ended(p->source->process)) {
			h_check(p->h, !strcmp(host_vm_status(p->a, PAIR_VM), "running"),
				"the source's VM is %s", host_vm_status(p->a, PAIR_VM));
			no_fds_left(p->a, p->fds_a);
		}
	}
	if (!process_ended(p->source->process))
		guest_runs(p->source);
	if (!p->destination || process_ended(p->destination->process))
		return;
	if (!process_ended(p->b->process)) {
		wait_over(p->b);
		h_check(p->h, !strcmp(host_vm_status(p->b, PAIR_VM), "inmigrate"),
			"the destination's VM is %s", host_vm_status(p->b, PAIR_VM));
		no_fds_left(p->b, p->fds_b);
	}
	guest_stands(p->destination);
}

void pair_stays(struct pair *p)
{
	pair_is_as_before(p);
	pair_free(p);
}

void pair_works_still(struct pair *p)
{
	pair_is_as_before(p);
	pair_incoming(p);
	pair_migrate(p);
	pair_completes(p);
	pair_free(p);
}

void pair_tables_equal(struct pair *p)
{
	guest_stop(p->destination);
	guest_dumps_equal(p->source, p->destination);
}

void pair_free(struct pair *p)
{
	harness_free(p->h);
}
