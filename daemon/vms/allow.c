/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/vms/allow.h"

#include <errno.h>
#include <fnmatch.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>

static int take_text(
	char *dst, size_t size, const char *what, struct json_object *v, struct err *err)
{
	const char *s = json_object_get_string(v);

	if (!json_object_is_type(v, json_type_string) || !s[0] || strlen(s) >= size ||
		strlen(s) != (size_t)json_object_get_string_len(v))
		return err_set(err, -EINVAL, "'%s' expects a pattern of 1 to %zu characters", what,
			size - 1);
	strcpy(dst, s);
	return 0;
}

static int take_uid(struct allow_rule *r, struct json_object *v, struct err *err)
{
	struct passwd *pw;
	int64_t n;

	n = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : -1;
	if (n < 0 || n >= UINT32_MAX)
		return err_set(err, -EINVAL, "'uid' expects a user's number");
	r->uid = (uid_t)n;
	pw = getpwuid(r->uid);
	if (pw && strlen(pw->pw_name) < sizeof(r->user))
		strcpy(r->user, pw->pw_name);
	else
		snprintf(r->user, sizeof(r->user), "%u", (unsigned)r->uid);
	return 0;
}

static int take_user(struct allow_rule *r, struct json_object *v, struct err *err)
{
	struct passwd *pw;
	int e = take_text(r->user, sizeof(r->user), "user", v, err);

	if (e < 0)
		return e;
	errno = 0;
	pw = getpwnam(r->user);
	if (!pw)
		return err_set(err, -EINVAL, "there is no user '%s'%s%s", r->user,
			errno ? ": " : "", errno ? strerror(errno) : "");
	r->uid = pw->pw_uid;
	return 0;
}

static int take_uuids(struct allow_rule *r, struct json_object *v, struct err *err)
{
	bool list = json_object_is_type(v, json_type_array);
	size_t n = list ? json_object_array_length(v) : 1;

	if (n < 1 || n > ALLOW_UUIDS_MAX)
		return err_set(err, -EINVAL, "'uuid' expects a pattern, or a list of 1 to %d",
			ALLOW_UUIDS_MAX);
	for (size_t i = 0; i < n; i++) {
		int e = take_text(r->uuids[i], sizeof(r->uuids[i]), "uuid",
			list ? json_object_array_get_idx(v, i) : v, err);

		if (e < 0)
			return e;
	}
	r->n_uuids = (unsigned)n;
	return 0;
}

/* A rule that was for a UUID, in an earlier release, may not become one that nothing meets. */
static bool is_uuid(const char *text)
{
	return strlen(text) == 36 && strspn(text, "0123456789abcdefABCDEF-") == 36;
}

static int take_vm(struct allow_rule *r, struct json_object *v, struct err *err)
{
	int e = take_text(r->vm, sizeof(r->vm), "vm", v, err);

	if (e == 0 && is_uuid(r->vm))
		return err_set(err, -EINVAL,
			"'vm' is a pattern of VMs' names, and '%s' is a UUID: write it as 'uuid', "
			"and \"vm\": \"*\" for any name",
			r->vm);
	return e;
}

static int take_rule(struct allow_rule *r, struct json_object *o, struct err *err)
{
	unsigned who = 0, what = 0;
	int e = 0;

	if (!json_object_is_type(o, json_type_object))
		return err_set(err, -EINVAL, "it is no object");
	json_object_object_foreach(o, name, v)
	{
		if (!strcmp(name, "uid")) {
			e = take_uid(r, v, err);
			who++;
		} else if (!strcmp(name, "user")) {
			e = take_user(r, v, err);
			who++;
		} else if (!strcmp(name, "vm")) {
			e = take_vm(r, v, err);
			what++;
		} else if (!strcmp(name, "uuid")) {
			e = take_uuids(r, v, err);
		} else {
			e = err_set(err, -EINVAL, "'%s' is unexpected", name);
		}
		if (e < 0)
			return e;
	}
	if (who != 1)
		return err_set(err, -EINVAL, "it needs either 'uid' or 'user'");
	return what ? 0 : err_set(err, -EINVAL, "'vm', a pattern of VMs' names, is missing");
}

int allow_add(struct allow *a, struct json_object *rule, struct err *err)
{
	int r;

	if (a->n == ALLOW_MAX)
		return err_set(err, -EINVAL, "'allow' has more than %d rules", ALLOW_MAX);
	a->rules[a->n] = (struct allow_rule){0};
	r = take_rule(&a->rules[a->n], rule, err);
	if (r < 0)
		return err_prefix(err, "'allow', rule %u", a->n + 1);
	a->n++;
	return 0;
}

/* -- who may -- */

static bool names_uuid(const struct allow_rule *r, const char *uuid)
{
	for (unsigned i = 0; i < r->n_uuids; i++)
		if (!fnmatch(r->uuids[i], uuid, FNM_CASEFOLD))
			return true;
	return false;
}

/* What another user's rule names is not free for all, even where this user's rule names none. */
static bool is_anothers(const struct allow *a, uid_t uid, const char *uuid)
{
	bool others = false;

	for (unsigned i = 0; i < a->n; i++) {
		if (!names_uuid(&a->rules[i], uuid))
			continue;
		if (a->rules[i].uid == uid)
			return false;
		others = true;
	}
	return others;
}

int allow_check(
	const struct allow *a, uid_t uid, const char *name, const char *uuid, struct err *err)
{
	const char *why = "no rule is for this user";
	char user[ALLOW_USER_MAX];

	if (!a->n)
		return 0;
	for (unsigned i = 0; i < a->n; i++) {
		const struct allow_rule *r = &a->rules[i];

		if (r->uid != uid)
			continue;
		if (fnmatch(r->vm, name, 0)) {
			if (!strncmp(why, "no rule", 7))
				why = "none of its rules is for that name";
		} else if (r->n_uuids ? !names_uuid(r, uuid) : is_anothers(a, uid, uuid)) {
			why = r->n_uuids ? "for that name it may have other UUIDs"
					 : "that UUID is another user's";
		} else {
			return 0;
		}
	}
	allow_user(a, uid, user);
	return err_set(err, -EPERM,
		"user %s (%u) may not register a VM '%s' (%s): %s: see 'allow' in the daemon's "
		"configuration",
		user, (unsigned)uid, name, uuid, why);
}

void allow_user(const struct allow *a, uid_t uid, char buf[static ALLOW_USER_MAX])
{
	struct passwd *pw;
	FILE *f;

	snprintf(buf, ALLOW_USER_MAX, "%u", (unsigned)uid);
	for (unsigned i = 0; i < a->n; i++)
		if (a->rules[i].uid == uid) {
			strcpy(buf, a->rules[i].user);
			return;
		}
	f = fopen("/etc/passwd", "re");
	if (!f)
		return;
	while ((pw = fgetpwent(f)))
		if (pw->pw_uid == uid) {
			if (strlen(pw->pw_name) < ALLOW_USER_MAX)
				strcpy(buf, pw->pw_name);
			break;
		}
	fclose(f);
}
