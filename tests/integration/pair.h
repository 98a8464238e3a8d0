/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What most tests begin with: two daemons, "a" with a guest that runs and "b" with a VM that waits
 * for it.
 */
#include "tests/integration/harness.h"

#define PAIR_VM "vm1"

/* What a daemon shows its peers. */
enum pair_creds {
	CREDS_NONE = 0, /* --plaintext */
	CREDS_GOOD,     /* CN=hosta or CN=hostb, of the harness' CA */
	CREDS_ALIEN,    /* of another CA */
	CREDS_NAMED,    /* for host?.example.org and no address */
};

struct pair_opts {
	bool tls; /* good credentials at both ends */
	enum pair_creds creds_a, creds_b;
	bool no_destination; /* b has no VM */
	bool not_waiting;    /* b's VM was not told by migrate-incoming */
	const char *authz;   /* migrate-incoming's tls-authz */
	bool verify;         /* the capability, at a */
	struct host_opts a, b;
	struct guest_opts source, destination;
};

struct pair {
	struct harness *h;
	struct host *a, *b;
	struct guest *source, *destination; /* NULL with no_destination */
	unsigned fds_a, fds_b;              /* open descriptors of the daemons before a migration */
};

struct pair pair_new(const struct pair_opts *opts);
/* migrate-incoming at b, migrate at a to b's URI. */
void pair_incoming(struct pair *p);
void pair_migrate(struct pair *p);
/* The same, up to the step where a's daemon holds it (host_opts.hold); and on from there. */
void pair_migrate_to(struct pair *p, const char *step);
void pair_goes_on(struct pair *p);
/* It completes at both ends: the source's VMM ends, the destination's guest counts on. */
void pair_completes(struct pair *p);
/* Its status at a becomes `failed`; the sentence says `words`. */
void pair_fails(struct pair *p, const char *words);
/*
 * As before the migration: the source's guest runs, the destination's never did, and neither daemon
 * keeps anything (a daemon or guest that is dead is passed over).
 */
void pair_is_as_before(struct pair *p);
/* pair_is_as_before(); ends the harness. */
void pair_stays(struct pair *p);
/* pair_is_as_before(), and a second attempt completes; ends the harness. */
void pair_works_still(struct pair *p);
/* Both tables are equal. Ends the destination's VMM. */
void pair_tables_equal(struct pair *p);
void pair_free(struct pair *p);
