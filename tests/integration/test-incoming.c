/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What migrate-incoming gives is given back: the permission, and the addresses. */
#include <stdio.h>
#include <string.h>

#include "tests/integration/pair.h"

/* How many addresses the daemon listens at; the last one's text. */
static size_t listens(struct host *host, char *last, size_t len)
{
	struct json_object *o = host_ask(host, "query-daemon", NULL), *list = member(o, "listen");
	size_t n = json_object_array_length(list);

	if (last && n)
		snprintf(last, len, "%s",
			json_object_get_string(json_object_array_get_idx(list, n - 1)));
	json_object_put(o);
	return n;
}

static void listens_at(struct host *host, size_t n, const char *when)
{
	size_t now = listens(host, NULL, 0);

	h_check(host->h, now == n, "%zu addresses, not %zu: %s", now, n, when);
}

static struct pair with_address(const struct pair_opts *opts, char *uri, size_t len)
{
	struct pair p;
	struct pair_opts o = *opts;

	o.not_waiting = true;
	p = pair_new(&o);
	host_do(p.b, "migrate-incoming", "{'vm': '" PAIR_VM "', 'uri': 'tcp:127.0.0.1:0'}");
	ck_assert_uint_eq(listens(p.b, uri, len), 2);
	return p;
}

static void migrate_to(struct pair *p, const char *uri)
{
	host_take_events(p->a);
	host_do(p->a, "migrate", "{'vm': '" PAIR_VM "', 'uri': '%s'}", uri);
}

START_TEST(address_is_replaced_and_goes_with_its_vm)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct guest *g = guest_start(a, "vm1", &(struct guest_opts){.incoming = true});
	char uri[64];

	for (unsigned i = 0; i < 20; i++)
		host_do(a, "migrate-incoming", "{'vm': 'vm1', 'uri': 'tcp:127.0.0.1:0'}");
	ck_assert_uint_eq(listens(a, uri, sizeof(uri)), 2);
	for (unsigned i = 0; i < 2; i++) /* the same again; and one of the daemon's own */
		host_do(a, "migrate-incoming", "{'vm': 'vm1', 'uri': '%s'}", i ? a->uri : uri);
	listens_at(a, 2, "the same again");
	guest_stop(g);
	json_object_put(host_event(a, "VM_GONE", "vm1", NULL, NULL));
	listens_at(a, 1, "its VM is gone");
	harness_free(h);
}
END_TEST

START_TEST(address_of_two_vms)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct json_object *vm;
	char uri[64];

	guest_start(a, "vm1", &(struct guest_opts){.incoming = true});
	guest_start(a, "vm2", &(struct guest_opts){.incoming = true});
	host_do(a, "migrate-incoming", "{'vm': 'vm1', 'uri': 'tcp:127.0.0.1:0'}");
	listens(a, uri, sizeof(uri));
	host_do(a, "migrate-incoming", "{'vm': 'vm2', 'uri': '%s'}", uri);
	listens_at(a, 2, "two have the same");
	host_do(a, "migrate_cancel", "{'vm': 'vm1'}");
	listens_at(a, 2, "one has it still");
	vm = host_vm(a, "vm1");
	h_check(h, !member_bool(vm, "expects") && !json_object_array_length(member(vm, "listen")),
		"vm1 waits still: %s", json_object_to_json_string(vm));
	json_object_put(vm);
	vm = host_vm(a, "vm2");
	h_check(h,
		member_bool(vm, "expects") && json_object_array_length(member(vm, "listen")) == 1,
		"vm2 waits no more: %s", json_object_to_json_string(vm));
	json_object_put(vm);
	host_do(a, "migrate_cancel", "{'vm': 'vm2'}");
	listens_at(a, 1, "none has it");
	harness_free(h);
}
END_TEST

START_TEST(address_goes_when_the_guest_has_come)
{
	char uri[64];
	struct pair p = with_address(&(struct pair_opts){.verify = true}, uri, sizeof(uri));

	migrate_to(&p, uri);
	pair_completes(&p);
	listens_at(p.b, 1, "the guest has come");
	pair_free(&p);
}
END_TEST

/* Whatever ended it, the next guest needs another permission, and so another address. */
START_TEST(address_goes_when_the_migration_fails)
{
	char uri[64];
	struct pair p = with_address(
		&(struct pair_opts){.a = {.hold = "active"}}, uri, sizeof(uri));

	migrate_to(&p, uri);
	host_held(p.a, PAIR_VM, "active");
	listens_at(p.b, 2, "it comes");
	host_do(p.a, "migrate_cancel", "{'vm': '" PAIR_VM "'}");
	host_status(p.b, PAIR_VM, "cancelled");
	listens_at(p.b, 1, "it was cancelled");
	pair_free(&p);
}
END_TEST

/* A source that may come back, for its session or with another one, finds the address. */
START_TEST(address_stays_for_a_source_that_comes_back)
{
	char uri[64];
	struct pair p = with_address(
		&(struct pair_opts){.source = {.rate = 1000}}, uri, sizeof(uri));

	host_do(p.a, "migrate-set-parameters", "{'downtime-limit': 0, 'max-passes': 1000000}");
	migrate_to(&p, uri);
	json_object_put(host_event(p.a, "MIGRATION_PASS", PAIR_VM, NULL, NULL));
	host_do(p.a, "migrate-pause", "{'vm': '" PAIR_VM "'}");
	host_status(p.b, PAIR_VM, "postcopy-paused");
	host_do(p.b, "migrate-recover", "{'vm': '" PAIR_VM "', 'uri': 'tcp:127.0.0.1:0'}");
	listens_at(p.b, 3, "one more");
	host_kill(p.a);
	host_restart(p.a);
	guest_event(p.source, "registered");
	host_do(p.a, "migrate-set-parameters", "{'downtime-limit': 2000}");
	migrate_to(&p, uri); /* the destination was told nothing: it begins anew */
	host_status(p.b, PAIR_VM, "failed");
	pair_completes(&p);
	listens_at(p.b, 1, "the guest has come");
	pair_free(&p);
}
END_TEST

START_TEST(withdrawn_is_not_permitted)
{
	struct pair p = pair_new(&(struct pair_opts){.source = {.rate = 1000}});
	struct err err;

	host_do(p.b, "migrate_cancel", "{'vm': '" PAIR_VM "'}");
	pair_migrate(&p);
	pair_fails(&p, "may not take a guest");
	host_refused(p.b, &err, "migrate_cancel", "{'vm': '" PAIR_VM "'}");
	h_check(p.h, err.class == ERR_DEVICE_NOT_ACTIVE, "class %s", err_class_name(err.class));
	pair_incoming(&p);
	pair_migrate(&p);
	pair_completes(&p);
	pair_free(&p);
}
END_TEST

START_TEST(why_it_listens_nowhere)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", &(struct host_opts){.bare = true});
	struct json_object *o = host_ask(a, "query-daemon", NULL);

	h_check_text(h, member_text(o, "listen-error", ""), "/");
	json_object_put(o);
	harness_free(h);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("incoming", &c);

	harness_add(c, address_is_replaced_and_goes_with_its_vm);
	harness_add(c, address_of_two_vms);
	harness_add(c, address_goes_when_the_guest_has_come);
	harness_add(c, address_goes_when_the_migration_fails);
	harness_add(c, address_stays_for_a_source_that_comes_back);
	harness_add(c, withdrawn_is_not_permitted);
	harness_add(c, why_it_listens_nowhere);
	return harness_main(s);
}
