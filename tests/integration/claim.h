/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * A session at a real destination whose source and VMM are the test, and who claims it: for the
 * tests of RESUME. Whatever goes wrong fails the harness.
 */
#include "tests/integration/hostile.h"

#define CLAIM_VM "vm1"

struct claim {
	struct harness *h;
	struct host *b;
	struct fake_vmm vmm;
	struct wire_session session;
	struct talk control, data;
	struct wire_accept accept;
};

/* Up to JOINED, in plaintext, with the feature and the flag RECOVER. */
void claim_new(struct claim *c);
/* The same with these features; with RECOVER the flag as well. */
void claim_new_with(struct claim *c, uint64_t features);
void claim_free(struct claim *c);
/* The session ends: the VMM is asked to note that, if that has not been answered unseen. */
void claim_ends(struct claim *c, unsigned answered, const char *status);

/* What its source would say. */
struct wire_resume claim_good(const struct claim *c);
void claim_send_resume(struct claim *c, struct talk *t, const struct wire_resume *r);
/* The same, on a new connection. */
void claim_resume(struct claim *c, struct talk *t, const struct wire_resume *r);
/* REFUSE comes with that code: t is closed. */
void claim_refused(struct claim *c, struct talk *t, enum wire_refusal code);
/* RESUMED of one channel comes and says that. */
struct wire_resumed claim_resumed(struct talk *t, uint64_t seq, uint32_t pass);
/* JOIN on a new connection. */
void claim_join(struct claim *c, struct talk *t, const uint8_t *secret);
