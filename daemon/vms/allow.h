/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Who may register which VMs: the rules of the configuration's "allow", and users' names. What a
 * rule ties together are a user, the VM's name and its UUID. Loop thread only.
 */
#include <json-c/json.h>
#include <sys/types.h>

#include "common/err.h"
#include "proto/ident.h"

#define ALLOW_MAX       64 /* rules */
#define ALLOW_UUIDS_MAX 16 /* patterns of one */
#define ALLOW_USER_MAX  64 /* bytes of a user's name and NUL; longer ones are shown as a number */

struct allow_rule {
	uid_t uid;
	char user[ALLOW_USER_MAX];
	char vm[VM_NAME_MAX + 1]; /* shell pattern of the VM's name */
	char uuids[ALLOW_UUIDS_MAX][37];
	unsigned n_uuids; /* 0: any that is no other user's by a rule */
};

struct allow {
	struct allow_rule rules[ALLOW_MAX];
	unsigned n; /* 0: whoever opens the VMM socket registers what he likes */
};

/* {"uid": N or "user": NAME, "vm": PATTERN, "uuid": PATTERN or list}. Asks for users: it may block.
 * 0, or -EINVAL with a sentence. */
int allow_add(struct allow *a, struct json_object *rule, struct err *err);

/* May that user register a VM of that name and UUID (as text)? 0, or -EPERM with a sentence. */
int allow_check(
	const struct allow *a, uid_t uid, const char *name, const char *uuid, struct err *err);

/* A user's name: a rule's, or /etc/passwd's, so that nothing blocks; or the number. */
void allow_user(const struct allow *a, uid_t uid, char buf[static ALLOW_USER_MAX]);
