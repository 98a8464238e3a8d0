/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The guest resets or resizes its page table while it migrates: a new generation begins at pass 1,
 * at every step where a guest runs, and both tables are equal at the end; or it is refused, or the
 * migration ends and the guest stays.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "daemon/session/migration.h"
#include "tests/integration/hostile.h"
#include "tests/integration/pair.h"

#define SLOW "262144" /* bytes/s: a pass over a filled table of order 20 takes seconds */
#define FAST "0"

static struct pair new_pair(const struct pair_opts *opts)
{
	struct pair_opts o = *opts;

	o.tls = o.verify = true;
	o.source.monitor = o.source.dump = o.destination.dump = true;
	if (!o.source.rate)
		o.source.rate = 1000;
	o.destination.rate = 0; /* else it changes its table before its dump */
	return pair_new(&o);
}

static void set(struct host *host, const char *name, const char *value)
{
	host_do(host, "migrate-set-parameters", "{'vm': '" PAIR_VM "', '%s': %s}", name, value);
}

static int64_t data_int(struct json_object *event, const char *name)
{
	return member_int(member(event, "data"), name, -1);
}

static int64_t figure(struct host *host, const char *name)
{
	struct json_object *q = host_query(host, PAIR_VM), *htab = NULL;
	int64_t v;

	json_object_object_get_ex(q, "htab", &htab);
	v = member_int(htab, name, -1);
	json_object_put(q);
	return v;
}

/* 0: more than one; the same at both ends. */
static void has_generation(struct pair *p, int64_t generation, int64_t order)
{
	struct host *const host[] = {p->a, p->b};

	if (!generation) {
		generation = figure(p->a, "generation");
		h_check(p->h, generation > 1, "one generation");
	}

	for (unsigned i = 0; i < 2; i++) {
		h_check(p->h, figure(host[i], "generation") == generation,
			"generation %lld at %s, not %lld", (long long)figure(host[i], "generation"),
			host[i]->name, (long long)generation);
		h_check(p->h, figure(host[i], "order") == order, "order %lld at %s, not %lld",
			(long long)figure(host[i], "order"), host[i]->name, (long long)order);
	}
}

/* It completes, with no entry that differs, in that generation. */
static void completes(struct pair *p, int64_t generation, int64_t order)
{
	struct json_object *q, *verify = NULL;

	pair_completes(p);
	q = host_query(p->a, PAIR_VM);
	json_object_object_get_ex(q, "verify", &verify);
	h_check(p->h, member_int(verify, "mismatches", -1) == 0, "tables differ: %s",
		json_object_to_json_string(q));
	h_check(p->h, member_int(verify, "entries", 0) == 1ll << (order - 4),
		"entries compared: %s", json_object_to_json_string(q));
	json_object_put(q);
	has_generation(p, generation, order);
	pair_tables_equal(p);
	pair_free(p);
}

/* --- in the passes ------------------------------------------------------------------------- */

static void in_pass_one(const char *command, int64_t order)
{
	struct pair p = new_pair(&(struct pair_opts){.source = {.order = 20, .fill = 0.8}});

	set(p.a, "htab-compression", "'none'");
	set(p.a, "max-bandwidth", SLOW);
	pair_migrate(&p);
	json_object_put(host_event(p.a, "MIGRATION_PASS", PAIR_VM, NULL, NULL));
	while (figure(p.a, "transferred") <= 0) /* it is under way, for seconds */
		;
	guest_command(p.source, command);
	guest_event(p.source, "htab-changed");
	json_object_put(host_event(p.a, "HPT_GENERATION", PAIR_VM, NULL, NULL));
	set(p.a, "max-bandwidth", FAST);
	completes(&p, 2, order);
}

START_TEST(reset_in_pass_one)
{
	in_pass_one("reset", 20);
}
END_TEST

START_TEST(reset_to_a_larger_table)
{
	in_pass_one("reset 22", 22);
}
END_TEST

START_TEST(reset_to_a_smaller_table)
{
	in_pass_one("reset 18", 18);
}
END_TEST

START_TEST(resize_to_a_larger_table)
{
	in_pass_one("resize 21", 21);
}
END_TEST

START_TEST(again_and_again_in_later_passes)
{
	static const char *const commands[] = {"reset", "resize 20", "reset 18", "reset"};
	struct pair p = new_pair(&(struct pair_opts){.source = {.rate = 100000}});
	struct json_object *e;
	int64_t pass;

	set(p.a, "downtime-limit", "0");
	set(p.a, "max-passes", "1000000");
	pair_migrate(&p);
	for (unsigned i = 0; i < 4; i++) {
		do {
			e = host_event(p.a, "MIGRATION_PASS", PAIR_VM, NULL, NULL);
			pass = data_int(e, "pass");
			json_object_put(e);
		} while (pass < 3);
		guest_command(p.source, commands[i]);
		guest_event(p.source, "htab-changed");
		e = host_event(p.a, "HPT_GENERATION", PAIR_VM, NULL, NULL);
		h_check(p.h, data_int(e, "generation") == i + 2, "generation: %s",
			json_object_to_json_string(e));
		json_object_put(e);
	}
	set(p.a, "downtime-limit", "60000");
	completes(&p, 5, 18);
}
END_TEST

/* The next one may come before the daemon has an fd of the last one's table. */
START_TEST(one_change_on_the_heels_of_another)
{
	struct pair p = new_pair(&(struct pair_opts){.source = {.order = 20}});

	set(p.a, "downtime-limit", "0");
	set(p.a, "max-passes", "1000000");
	pair_migrate(&p);
	json_object_put(host_event(p.a, "MIGRATION_PASS", PAIR_VM, NULL, NULL));
	for (unsigned i = 0; i < 8; i++) {
		guest_command(p.source, i % 2 ? "reset 20" : "reset 19");
		guest_event(p.source, "htab-changed");
	}
	set(p.a, "downtime-limit", "60000");
	completes(&p, 0, 20); /* two that no fd saw are one */
}
END_TEST

/* --- at every step -------------------------------------------------------------------------- */

struct plan {
	const char *step;
	enum {
		BEFORE_OPEN, /* OPEN says the new order: the first generation is of it */
		RESTARTS,
		REFUSED,
		NOWHERE, /* there is no table to change, or no migration */
	} outcome;
};

/* No default: a state that is added has to say here what a change of the table does in it. */
static struct plan plan_for(enum mig_state state)
{
	switch (state) {
	case MIG_CONNECT: return (struct plan){"connect", BEFORE_OPEN};
	case MIG_OPEN: return (struct plan){"open", BEFORE_OPEN}; /* it is sent after the hold */
	case MIG_JOIN: return (struct plan){"join", RESTARTS};
	case MIG_START: return (struct plan){"start", RESTARTS};
	case MIG_ACTIVE: return (struct plan){"active", RESTARTS};
	case MIG_CUT: return (struct plan){"active,cut", RESTARTS};
	case MIG_RESUME: return (struct plan){"active,resume", RESTARTS};
	case MIG_PAUSE: return (struct plan){"pause", REFUSED};
	case MIG_PRE_SWITCHOVER: return (struct plan){"pre-switchover", REFUSED};
	case MIG_LAST_PASS: return (struct plan){"last-pass", REFUSED};
	case MIG_VERIFY: return (struct plan){"verify", REFUSED};
	case MIG_STATE: return (struct plan){"state", REFUSED};
	case MIG_END: return (struct plan){"end", REFUSED};
	case MIG_COMMITTING: return (struct plan){"committing", REFUSED};
	case MIG_COMMIT: return (struct plan){"commit", REFUSED};
	case MIG_ASKING:
	case MIG_RELEASE: return (struct plan){"release", REFUSED};
	case MIG_UNDO:
	case MIG_STOPPING:
	case MIG_IN_PREPARE:
	case MIG_IN_JOIN:
	case MIG_IN_ACTIVE:
	case MIG_IN_CUT:
	case MIG_IN_RESUME:
	case MIG_IN_FINISH:
	case MIG_IN_STATE:
	case MIG_IN_NOTE:
	case MIG_IN_READY:
	case MIG_IN_RUN:
	case MIG_IN_RUNNING:
	case MIG_IN_STOPPING:
	case MIG_IN_LOST:
	case MIG_COMPLETED:
	case MIG_FAILED:
	case MIG_CANCELLED: return (struct plan){NULL, NOWHERE};
	}
	ck_abort_msg("state %d is none", state);
}

static void resume(struct pair *p)
{
	host_do(p->a, "migrate", "{'vm': '" PAIR_VM "', 'uri': '%s', 'resume': true}", p->b->uri);
}

/* From ACTIVE, where it is held, to CUT or RESUME, where it is too. */
static void interrupt(struct pair *p, enum mig_state state)
{
	host_held(p->a, PAIR_VM, "active");
	host_do(p->a, "migrate-pause", "{'vm': '" PAIR_VM "'}");
	if (state == MIG_RESUME)
		resume(p);
	host_held(p->a, PAIR_VM, state == MIG_CUT ? "cut" : "resume");
}

/* And back to ACTIVE. */
static void go_on_again(struct pair *p, enum mig_state state)
{
	host_do(p->a, "x-continue", NULL);
	if (state == MIG_CUT)
		resume(p);
	host_held(p->a, PAIR_VM, "active");
}

START_TEST(in_every_state)
{
	struct plan plan = plan_for((enum mig_state)_i);
	struct pair p;

	if (plan.outcome == NOWHERE)
		return;
	p = new_pair(&(struct pair_opts){
		.a = {.hold = plan.step},
		/* where OPEN says another order than the VM there has, it is refused */
		.destination = {.order = plan.outcome == BEFORE_OPEN ? 19 : 18},
	});
	if (_i == MIG_PRE_SWITCHOVER)
		host_capability(p.a, "pause-before-switchover", true);
	pair_migrate(&p);
	if (_i == MIG_CUT || _i == MIG_RESUME)
		interrupt(&p, (enum mig_state)_i);
	else
		host_held(p.a, PAIR_VM, plan.step);
	guest_command(p.source, "reset 19");
	guest_event(p.source, plan.outcome == REFUSED ? "htab-refused" : "htab-changed");
	if (_i == MIG_CUT || _i == MIG_RESUME)
		go_on_again(&p, (enum mig_state)_i);
	if (_i == MIG_PRE_SWITCHOVER)
		host_do(p.a, "migrate-continue",
			"{'vm': '" PAIR_VM "', 'state': 'pre-switchover'}");
	else
		host_do(p.a, "x-continue", NULL);
	switch (plan.outcome) {
	case BEFORE_OPEN: completes(&p, 1, 19); break;
	case RESTARTS: completes(&p, 2, 19); break;
	case REFUSED: completes(&p, 1, 18); break;
	case NOWHERE: break;
	}
}
END_TEST

/* While all is put back the VMM waits until its table's fd is closed. */
START_TEST(in_a_cancel)
{
	struct pair p = new_pair(&(struct pair_opts){.a = {.hold = "stopping"}});

	set(p.a, "downtime-limit", "0");
	set(p.a, "max-passes", "1000000");
	pair_migrate(&p);
	json_object_put(host_event(p.a, "MIGRATION_PASS", PAIR_VM, NULL, NULL));
	host_do(p.a, "migrate_cancel", "{'vm': '" PAIR_VM "'}");
	host_held(p.a, PAIR_VM, "stopping");
	guest_command(p.source, "reset");
	while (guest_counter(p.source) == 0 || p.source->running)
		;
	for (unsigned i = 0; i < 20;
		i++) /* it is not answered: that would be seen here, not below */
		guest_counter(p.source);
	host_do(p.a, "x-continue", NULL);
	guest_event(p.source, "htab-changed");
	host_status(p.a, PAIR_VM, "cancelled");
	pair_stays(&p);
}
END_TEST

/* --- refused, or the end of the migration --------------------------------------------------- */

START_TEST(refused_by_policy)
{
	struct pair p = new_pair(&(struct pair_opts){.a = {.hold = "active"}});

	set(p.a, "hpt-change", "'refuse'");
	pair_migrate_to(&p, "active");
	guest_command(p.source, "reset");
	guest_event(p.source, "htab-refused");
	h_check_text(p.h, p.source->text, "hpt-change");
	guest_runs(p.source);
	host_do(p.a, "x-continue", NULL);
	completes(&p, 1, 18);
}
END_TEST

START_TEST(too_many)
{
	struct pair p = new_pair(&(struct pair_opts){.a = {.hold = "active"}});
	struct json_object *q;

	set(p.a, "max-generations", "2");
	pair_migrate_to(&p, "active");
	guest_command(p.source, "reset 19");
	guest_event(p.source, "htab-changed");
	guest_command(p.source, "reset 18");
	host_status(p.a, PAIR_VM, "cancelled");
	guest_event(p.source, "htab-changed");
	q = host_query(p.a, PAIR_VM);
	h_check_text(p.h, member_text(q, "error-desc", ""), "max-generations");
	json_object_put(q);
	pair_stays(&p);
}
END_TEST

/* No place for it at the destination: nothing is lost, and with its old size the guest can go. */
START_TEST(destination_has_no_such_table)
{
	struct pair p = new_pair(&(struct pair_opts){
		.a = {.hold = "active"},
		.destination = {.extra = {"--max-order", "18"}},
	});

	pair_migrate_to(&p, "active");
	guest_command(p.source, "reset 19");
	guest_event(p.source, "htab-changed");
	pair_fails(&p, "order 19");
	pair_is_as_before(&p);
	pair_incoming(&p);
	pair_migrate(&p);
	pair_fails(&p, "order 19"); /* at OPEN, from now on */
	guest_command(p.source, "reset 18");
	guest_event(p.source, "htab-changed");
	pair_migrate_to(&p, "active");
	host_do(p.a, "x-continue", NULL);
	completes(&p, 1, 18);
}
END_TEST

/* After a failure in another generation the waiting VM takes a guest of its own order again. */
START_TEST(cancelled_in_another_generation)
{
	struct pair p = new_pair(&(struct pair_opts){.a = {.hold = "active,pre-switchover"}});

	host_capability(p.a, "pause-before-switchover", true);
	pair_migrate_to(&p, "active");
	guest_command(p.source, "reset 20");
	guest_event(p.source, "htab-changed");
	host_do(p.a, "x-continue", NULL);
	host_held(p.a, PAIR_VM, "pre-switchover");
	has_generation(&p, 2, 20);
	host_do(p.a, "migrate_cancel", "{'vm': '" PAIR_VM "'}");
	host_status(p.a, PAIR_VM, "cancelled");
	pair_is_as_before(&p);
	host_capability(p.a, "pause-before-switchover", false);
	guest_command(p.source, "reset 18");
	guest_event(p.source, "htab-changed");
	pair_incoming(&p);
	pair_migrate_to(&p, "active");
	host_do(p.a, "x-continue", NULL);
	completes(&p, 1, 18);
}
END_TEST

/* The VMM waits for a time and goes on; the old generation must not become a guest. */
START_TEST(daemon_answers_too_late)
{
	struct pair p = new_pair(&(struct pair_opts){
		.a = {.hold = "active"},
		.source = {.extra = {"--change-ms", "10"}},
	});

	pair_migrate_to(&p, "active");
	process_signal(p.a->process, SIGSTOP);
	guest_command(p.source, "reset");
	guest_event(p.source, "htab-changed");
	guest_command(p.source, "reset 19"); /* two answers are late now */
	guest_event(p.source, "htab-changed");
	process_signal(p.a->process, SIGCONT);
	pair_fails(&p, "had let go of it");
	pair_stays(&p);
}
END_TEST

/* The same with the pause under way: it is asked for and waits behind the change. */
START_TEST(daemon_answers_too_late_for_the_pause)
{
	struct pair p = new_pair(&(struct pair_opts){
		.a = {.hold = "pause"},
		.source = {.extra = {"--change-ms", "10"}},
	});

	pair_migrate_to(&p, "pause");
	process_signal(p.a->process, SIGSTOP);
	guest_command(p.source, "reset");
	guest_event(p.source, "htab-changed");
	process_signal(p.a->process, SIGCONT);
	pair_fails(&p, "had let go of it");
	pair_stays(&p);
}
END_TEST

START_TEST(daemon_dies_in_a_change)
{
	struct pair p = new_pair(&(struct pair_opts){.a = {.hold = "active"}});

	pair_migrate_to(&p, "active");
	process_signal(p.a->process, SIGSTOP);
	guest_command(p.source, "reset 19");
	h_check(p.h, guest_counter(p.source) > 0, "the guest never ran");
	host_kill(p.a);
	guest_event(p.source, "htab-changed");
	guest_runs(p.source);
	p.a->opts.hold = NULL;
	host_restart(p.a);
	guest_event(p.source, "registered");
	host_status(p.b, PAIR_VM, "failed");
	/* the order that it registers with is the new one */
	pair_incoming(&p);
	pair_migrate(&p);
	pair_fails(&p, "order 19");
	pair_free(&p);
}
END_TEST

START_TEST(vmm_dies_in_a_change)
{
	struct pair p = new_pair(&(struct pair_opts){
		.a = {.hold = "active"},
		.source = {.extra = {"--stall-change"}},
	});

	pair_migrate_to(&p, "active");
	guest_command(p.source, "reset");
	h_check(p.h, !p.source->resumed, "it was never paused");
	guest_kill(p.source);
	host_status(p.a, PAIR_VM, "failed");
	host_status(p.b, PAIR_VM, "failed");
	pair_stays(&p);
}
END_TEST

START_TEST(destination_daemon_dies_in_a_change)
{
	struct pair p = new_pair(&(struct pair_opts){
		.a = {.hold = "active"},
		.source = {.extra = {"--stall-change"}},
	});

	pair_migrate_to(&p, "active");
	guest_command(p.source, "reset");
	host_kill(p.b);
	pair_fails(&p, "");
	pair_free(&p);
}
END_TEST

/* A minute: what daemon/source/change.c gives a VMM for its ioctl. */
START_TEST(vmm_never_changes_it)
{
	struct pair p = new_pair(&(struct pair_opts){
		.a = {.hold = "active"},
		.source = {.extra = {"--stall-change"}},
	});

	pair_migrate_to(&p, "active");
	guest_command(p.source, "reset");
	pair_fails(&p, "did not make it");
	pair_free(&p);
}
END_TEST

/* protocol.md 6.7: "Without the feature a source whose table changes ends the session" */
START_TEST(peer_that_is_too_old)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	struct guest *g = guest_start(
		a, PAIR_VM, &(struct guest_opts){.rate = 1000, .order = 20, .monitor = true});
	struct fake_dest dest;
	struct json_object *q;

	host_do(a, "migrate-set-parameters", "{'downtime-limit': 0, 'max-passes': 1000000}");
	fake_dest_new(&dest, a, NULL); /* no feature: as the release before says */
	host_do(a, "migrate", "{'vm': '" PAIR_VM "', 'uri': '%s'}", dest.uri);
	fake_dest_join(&dest);
	guest_command(g, "reset");
	guest_event(g, "htab-changed");
	host_status(a, PAIR_VM, "failed");
	q = host_query(a, PAIR_VM);
	h_check_text(h, member_text(q, "error-desc", ""), "too old");
	json_object_put(q);
	guest_runs(g);
	fake_dest_free(&dest);
	harness_free(h);
}
END_TEST

/* A file has one table. */
START_TEST(while_it_is_saved)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", &(struct host_opts){.hold = "active"});
	struct guest *g = guest_start(
		a, PAIR_VM, &(struct guest_opts){.rate = 1000, .monitor = true});
	struct json_object *q;

	host_do(a, "migrate", "{'vm': '" PAIR_VM "', 'uri': 'file:%s'}",
		harness_path(h, "guest.htab"));
	host_held(a, PAIR_VM, "active");
	guest_command(g, "reset");
	guest_event(g, "htab-changed");
	host_status(a, PAIR_VM, "failed");
	q = host_query(a, PAIR_VM);
	h_check_text(h, member_text(q, "error-desc", ""), "while it is saved");
	json_object_put(q);
	guest_runs(g);
	harness_free(h);
}
END_TEST

int main(void)
{
	TCase *c;
	Suite *s = harness_suite("generation", &c);

	harness_add(c, reset_in_pass_one);
	harness_add(c, reset_to_a_larger_table);
	harness_add(c, reset_to_a_smaller_table);
	harness_add(c, resize_to_a_larger_table);
	harness_add(c, again_and_again_in_later_passes);
	harness_add(c, one_change_on_the_heels_of_another);
	if (harness_wants("in_every_state"))
		tcase_add_loop_test(c, in_every_state, 0, MIG_STATES);
	harness_add(c, in_a_cancel);
	harness_add(c, refused_by_policy);
	harness_add(c, too_many);
	harness_add(c, destination_has_no_such_table);
	harness_add(c, cancelled_in_another_generation);
	harness_add(c, daemon_answers_too_late);
	harness_add(c, daemon_answers_too_late_for_the_pause);
	harness_add(c, daemon_dies_in_a_change);
	harness_add(c, vmm_dies_in_a_change);
	harness_add(c, destination_daemon_dies_in_a_change);
	harness_add_slow(c, vmm_never_changes_it);
	harness_add(c, peer_that_is_too_old);
	harness_add(c, while_it_is_saved);
	return harness_main(s);
}
