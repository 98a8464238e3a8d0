/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A source that gives up while its connections are gone: the destination hears of it all the same,
 * at once and not after its recover-timeout, and its VM is free for another attempt.
 */
#include <stdio.h>
#include <string.h>

#include "daemon/session/migration.h"
#include "tests/integration/handover.h"
#include "tests/integration/hostile.h"

#define VM STAGE_VM

static void set(struct host *host, const char *name, long long value)
{
	host_do(host, "migrate-set-parameters", "{'%s': %lld}", name, value);
}

/* Passes that do not end by themselves. Nobody may wait for a time-out here. */
static struct stage endless(bool tls)
{
	struct stage s = stage_new(&(struct stage_opts){.tls = tls});

	host_capability(s.a, "htab-recover", true);
	set(s.a, "recover-timeout", 86400);
	set(s.b, "recover-timeout", 86400);
	set(s.a, "downtime-limit", 0);
	set(s.a, "max-passes", 1000000);
	stage_migrate(&s);
	json_object_put(host_event(s.a, "MIGRATION_PASS", VM, NULL, NULL));
	return s;
}

static void error_says(struct host *host, const char *words)
{
	struct json_object *q = host_query(host, VM);

	h_check_text(host->h, member_text(q, "error-desc", ""), words);
	json_object_put(q);
}

/* The VM at the destination is not held by what is over. */
static void once_more(struct stage *s)
{
	set(s->a, "downtime-limit", 2000000);
	stage_migrate(s);
	stage_ends(s, AT_DESTINATION);
}

START_TEST(cancel_while_interrupted)
{
	struct stage s = endless(_i == 1);

	host_do(s.a, "migrate-pause", "{'vm': '" VM "'}");
	host_status(s.a, VM, "postcopy-paused");
	host_status(s.b, VM, "postcopy-paused");
	host_do(s.a, "migrate_cancel", "{'vm': '" VM "'}");
	host_status(s.a, VM, "cancelled");
	host_status(s.b, VM, "cancelled");
	error_says(s.b, "the source cancelled the migration");
	stage_ends(&s, AT_SOURCE);
	once_more(&s);
	stage_free(&s);
}
END_TEST

/* The network is away when it is said, and comes back later. */
START_TEST(cancel_while_nothing_arrives)
{
	struct stage s = endless(true);

	relay_swallow(s.relay, true);
	relay_cut(s.relay);
	host_status(s.b, VM, "postcopy-paused");
	host_do(s.a, "migrate_cancel", "{'vm': '" VM "'}");
	host_status(s.a, VM, "cancelled");
	relay_cut(s.relay); /* the first attempt */
	relay_swallow(s.relay, false);
	host_status(s.b, VM, "cancelled");
	stage_ends(&s, AT_SOURCE);
	stage_free(&s);
}
END_TEST

/* ABORT is lost with its connection. */
START_TEST(cancel_is_lost)
{
	struct stage s = endless(_i == 1);

	relay_swallow(s.relay, true);
	host_do(s.a, "migrate_cancel", "{'vm': '" VM "'}");
	host_status(s.a, VM, "cancelled");
	relay_cut(s.relay);
	relay_swallow(s.relay, false);
	host_status(s.b, VM, "cancelled");
	stage_ends(&s, AT_SOURCE);
	once_more(&s);
	stage_free(&s);
}
END_TEST

/* SWITCHOVER is: the destination believes the session to be one that comes back. */
START_TEST(switchover_is_lost)
{
	struct stage s = endless(_i == 1);

	relay_swallow(s.relay, true);
	set(s.a, "downtime-limit", 2000000);
	json_object_put(host_event(s.a, "STOP", VM, NULL, NULL));
	relay_cut(s.relay);
	relay_swallow(s.relay, false);
	host_status(s.a, VM, "failed");
	host_status(s.b, VM, "failed");
	error_says(s.b, "the source gave up");
	stage_ends(&s, AT_SOURCE);
	stage_migrate(&s); /* its guest was resumed once: stage_ends() would mind that */
	host_status(s.b, VM, "completed");
	stage_free(&s);
}
END_TEST

/* READY is: the source took its guest back, and the destination need not wait for COMMIT. */
START_TEST(ready_is_lost)
{
	struct stage s = stage_new(&(struct stage_opts){.tls = _i == 1, .hold_b = "in-ready"});

	stage_migrate(&s);
	host_held(s.b, VM, "in-ready");
	relay_cut(s.relay);
	host_status(s.a, VM, "failed");
	host_status(s.b, VM, "failed");
	error_says(s.b, "the source gave up");
	stage_ends(&s, AT_SOURCE);
	stage_free(&s);
}
END_TEST

/* The destination began anew, or is gone: there is nobody to be told, and nothing waits for it. */
START_TEST(nobody_is_there)
{
	struct stage s = endless(true);

	host_do(s.a, "migrate-pause", "{'vm': '" VM "'}");
	host_status(s.b, VM, "postcopy-paused");
	if (_i == 0)
		stage_strike(&s, DESTINATION_DAEMON);
	else
		host_kill(s.b);
	host_do(s.a, "migrate_cancel", "{'vm': '" VM "'}");
	host_status(s.a, VM, "cancelled");
	if (_i == 0)
		stage_ends(&s, AT_SOURCE);
	else
		host_stop(s.a); /* whatever is still being tried */
	stage_free(&s);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("farewell", &c);

	harness_add_loop(c, cancel_while_interrupted, 2);
	harness_add(c, cancel_while_nothing_arrives);
	harness_add_loop(c, cancel_is_lost, 2);
	harness_add_loop(c, switchover_is_lost, 2);
	harness_add_loop(c, ready_is_lost, 2);
	harness_add_loop(c, nobody_is_there, 2);
	return harness_main(s);
}
