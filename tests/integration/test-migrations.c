/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Nothing is lost: simulated guests with random tables, loads and parameters are migrated, and the
 * table at the destination is the source's at the pause, entry for entry; those that cannot
 * converge end as their policy says.
 *
 * HTAB_MIGRATIONS: how many, of orders 18 to 26; without it a handful of small ones.
 * HTAB_SEED: everything that is random follows from it and a migration's number.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/integration/harness.h"

#define FEW            8
#define GROUP          5 /* migrations that one pair of daemons serves */
#define AT_ONCE_MAX    3
#define NEVER_MS       0       /* no downtime is below that: the guest does not converge */
#define ALWAYS_MS      2000000 /* every downtime is */
#define RATE_MAX       2000000
#define ORDER_MIN      18
#define ORDER_MAX      26
#define ORDER_MAX_FEW  21
#define ORDER_MAX_MANY 23 /* of guests that move at once */

static uint64_t seed = 1;
static unsigned count = FEW, order_max = ORDER_MAX_FEW;

/* --- what is random ----------------------------------------------------------------------- */

struct dice {
	uint64_t state;
};

/* splitmix64 */
static uint64_t roll(struct dice *d)
{
	uint64_t z = d->state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

/* From min to max, both included. */
static unsigned between(struct dice *d, unsigned min, unsigned max)
{
	return min + (unsigned)(roll(d) % (max - min + 1));
}

static bool one_in(struct dice *d, unsigned n)
{
	return between(d, 1, n) == 1;
}

struct plan {
	unsigned order, vcpus, downtime_limit, max_passes, throttle_initial, throttle_increment;
	int64_t rate;
	uint64_t bandwidth;
	double fill;
	bool auto_converge, force, verify;
};

static struct plan make_plan(struct dice *d, unsigned max_order)
{
	static const int64_t rates[] = {0, 100, 2000, 20000, 200000, RATE_MAX};
	struct plan p;

	/* one after another: in an initializer the compiler would choose the order */
	p.order = between(d, ORDER_MIN, max_order);
	p.vcpus = between(d, 1, 8);
	p.fill = between(d, 5, 80) / 100.0;
	p.max_passes = between(d, 2, 10);
	p.throttle_initial = between(d, 10, 70);
	p.throttle_increment = between(d, 10, 40);
	p.auto_converge = one_in(d, 2);
	p.force = one_in(d, 2);
	p.verify = one_in(d, 2);
	/* every size of a rate is as likely as any other */
	p.rate = rates[between(d, 0, 5)];
	if (p.rate > 0)
		p.rate -= (int64_t)(roll(d) % (uint64_t)(p.rate / 2 + 1));
	if (one_in(d, 8))
		p.rate = RATE_MAX;
	p.downtime_limit = one_in(d, 4) ? NEVER_MS : one_in(d, 3) ? ALWAYS_MS : between(d, 1, 600);
	p.bandwidth = 0;
	if (one_in(d, 3)) /* a whole table takes a quarter of a second to one second */
		p.bandwidth = ((uint64_t)1 << p.order) * between(d, 1, 4);
	return p;
}

/* --- one migration ------------------------------------------------------------------------ */

struct move {
	struct plan plan;
	char vm[16];
	struct guest *source, *destination;
	char status[16]; /* "" until it is final */
};

static void print_plan(unsigned nr, const struct plan *p, bool tls)
{
	printf("migration %u: order %u, fill %.2f, %lld changes/s, %u vCPUs, downtime-limit %u, "
	       "max-bandwidth %llu, max-passes %u, on-timeout %s%s%s, %s\n",
		nr, p->order, p->fill, (long long)p->rate, p->vcpus, p->downtime_limit,
		(unsigned long long)p->bandwidth, p->max_passes, p->force ? "force" : "cancel",
		p->auto_converge ? ", auto-converge" : "", p->verify ? ", verify" : "",
		tls ? "TLS" : "plaintext");
	fflush(stdout);
}

static void capability(struct host *host, const char *vm, const char *name, bool on)
{
	host_do(host, "migrate-set-capabilities",
		"{'vm': '%s', 'capabilities': [{'capability': '%s', 'state': %s}]}", vm, name,
		on ? "true" : "false");
}

static void prepare(struct host *a, struct host *b, struct move *m)
{
	const struct plan *p = &m->plan;
	struct guest_opts source = {
		.order = p->order,
		.vcpus = p->vcpus,
		.fill = p->fill,
		.rate = p->rate,
		.dump = true,
	};
	/* a table that nobody changes stays as it was loaded */
	struct guest_opts destination = {
		.order = p->order,
		.vcpus = p->vcpus,
		.rate = 0,
		.incoming = true,
		.dump = true,
	};

	m->source = guest_start(a, m->vm, &source);
	m->destination = guest_start(b, m->vm, &destination);
	host_do(b, "migrate-incoming", "{'vm': '%s'}", m->vm);
	host_do(a, "migrate-set-parameters",
		"{'vm': '%s', 'downtime-limit': %u, 'max-bandwidth': %llu, 'max-passes': %u, "
		"'on-timeout': '%s', 'cpu-throttle-initial': %u, 'cpu-throttle-increment': %u}",
		m->vm, p->downtime_limit, (unsigned long long)p->bandwidth, p->max_passes,
		p->force ? "force" : "cancel", p->throttle_initial, p->throttle_increment);
	capability(a, m->vm, "auto-converge", p->auto_converge);
	capability(a, m->vm, "verify", p->verify);
}

static bool is_final(const char *status)
{
	return !strcmp(status, "completed") || !strcmp(status, "failed") ||
		!strcmp(status, "cancelled");
}

static void wait_all(struct host *a, struct move *moves, unsigned n)
{
	for (unsigned left = n; left > 0;) {
		struct json_object *e = host_event(a, "MIGRATION", NULL, NULL, NULL);
		struct json_object *data = member(e, "data");
		const char *status = member_text(data, "status", "");

		for (unsigned i = 0; is_final(status) && i < n; i++) {
			if (strcmp(moves[i].vm, member_text(data, "vm", "")))
				continue;
			h_check(a->h, !moves[i].status[0], "%s ended twice", moves[i].vm);
			h_check(a->h, strcmp(status, "failed"), "%s failed: %s", moves[i].vm,
				member_text(data, "error-desc", "no reason"));
			snprintf(moves[i].status, sizeof(moves[i].status), "%s", status);
			left--;
		}
		json_object_put(e);
	}
}

static void has_arrived(struct host *b, struct move *m, struct json_object *q)
{
	struct harness *h = b->h;
	uint64_t left;

	h_check(h, m->plan.downtime_limit != NEVER_MS || m->plan.force,
		"%s arrived though it cannot converge and shall not be forced", m->vm);
	if (m->plan.verify) {
		struct json_object *v = member(q, "verify");

		h_check(h, v && member_int(v, "mismatches", -1) == 0, "%s: verify says %s", m->vm,
			json_object_to_json_string(q));
		h_check(h, member_int(v, "entries", 0) == (int64_t)1 << (m->plan.order - 4),
			"%s: only %lld entries were compared", m->vm,
			(long long)member_int(v, "entries", 0));
	}
	guest_event(m->source, "migrated");
	left = m->source->counter;
	guest_ends(m->source, 0);
	guest_event(m->destination, "started");
	h_check(h, m->destination->counter >= left, "%s counts from %llu, it was at %llu", m->vm,
		(unsigned long long)m->destination->counter, (unsigned long long)left);
	guest_runs(m->destination);
	guest_stop(m->destination);
	guest_dumps_equal(m->source, m->destination);
}

static void has_stayed(struct host *b, struct move *m, struct json_object *q)
{
	struct harness *h = b->h;

	h_check(h, m->plan.downtime_limit != ALWAYS_MS && !m->plan.force,
		"%s was cancelled though it %s", m->vm,
		m->plan.force ? "shall be forced" : "converges");
	h_check_text(h, member_text(q, "error-desc", ""), "max-passes");
	guest_event(m->destination, "dead");
	guest_runs(m->source);
	guest_stands(m->destination);
	guest_stop(m->source);
	guest_stop(m->destination);
}

static void finish(struct host *a, struct host *b, struct move *m)
{
	struct json_object *q = host_query(a, m->vm);
	struct json_object *htab = member(q, "htab");

	printf("  %s: %s, %lld passes, %lld entries, total %lld ms, downtime %lld ms\n", m->vm,
		m->status, (long long)member_int(htab, "passes", -1),
		(long long)member_int(htab, "entries", -1),
		(long long)member_int(q, "total-time", -1),
		(long long)member_int(q, "downtime", -1));
	fflush(stdout);
	if (!strcmp(m->status, "completed"))
		has_arrived(b, m, q);
	else
		has_stayed(b, m, q);
	json_object_put(q);
	unlink(m->source->dump);
	unlink(m->destination->dump);
}

/* --- the tests ---------------------------------------------------------------------------- */

START_TEST(group)
{
	struct dice dice = {seed + (uint64_t)_i * 0x100000001ull};
	unsigned first = (unsigned)_i * GROUP;
	unsigned n = count - first < GROUP ? count - first : GROUP;
	unsigned at_once = one_in(&dice, 2) ? between(&dice, 2, AT_ONCE_MAX) : 1;
	unsigned most = at_once > 1 && order_max > ORDER_MAX_MANY ? ORDER_MAX_MANY : order_max;
	bool tls = one_in(&dice, 2);
	struct harness *h = harness_new();
	struct host *a, *b;

	printf("seed %llu, migrations %u to %u, %u at a time\n", (unsigned long long)seed, first,
		first + n - 1, at_once);
	a = host_start(
		h, "a", &(struct host_opts){.creds = tls ? harness_creds(h, "hosta", NULL) : NULL});
	b = host_start(
		h, "b", &(struct host_opts){.creds = tls ? harness_creds(h, "hostb", NULL) : NULL});
	for (unsigned i = 0; i < n;) {
		struct move moves[AT_ONCE_MAX] = {0};
		unsigned k = 0;

		for (; k < at_once && i < n; k++, i++) {
			moves[k].plan = make_plan(&dice, most);
			snprintf(moves[k].vm, sizeof(moves[k].vm), "vm%u", first + i);
			print_plan(first + i, &moves[k].plan, tls);
			prepare(a, b, &moves[k]);
		}
		for (unsigned j = 0; j < k; j++)
			host_do(a, "migrate", "{'vm': '%s', 'uri': '%s'}", moves[j].vm, b->uri);
		wait_all(a, moves, k);
		for (unsigned j = 0; j < k; j++)
			finish(a, b, &moves[j]);
	}
	harness_free(h);
}
END_TEST

int main(void)
{
	const char *n = getenv("HTAB_MIGRATIONS"), *s = getenv("HTAB_SEED");
	TCase *c;
	Suite *suite = harness_suite("migrations", &c);

	if (n) {
		count = (unsigned)strtoul(n, NULL, 10);
		order_max = ORDER_MAX;
	}
	if (s)
		seed = strtoull(s, NULL, 10);
	tcase_add_loop_test(c, group, 0, (int)((count + GROUP - 1) / GROUP));
	return harness_main(suite);
}
