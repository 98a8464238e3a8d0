/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Migration parameters and capabilities: one table of names, types, limits and defaults, used by
 * the control socket and by the configuration file alike, and when each may be changed. Plain
 * values.
 */
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "proto/wire.h"

#define PARAM_TEXT_MAX 256

/* What to do when the guest resets or resizes its page table during a migration. */
enum hpt_change {
	HPT_CHANGE_RESTART, /* begin again with the new table */
	HPT_CHANGE_REFUSE,  /* its VMM is told that it cannot be now */
};

enum on_timeout {
	ON_TIMEOUT_CANCEL,
	ON_TIMEOUT_FORCE,
};

/* What may be changed while a migration runs, and has effect in it at once. */
struct tuning {
	int64_t downtime_limit; /* ms */
	int64_t max_bandwidth;  /* bytes/s, 0: none */
	int64_t max_passes;
	int64_t timeout;         /* s, 0: none */
	int64_t recover_timeout; /* s */
	/* s: docs/control.md says what happens after each */
	int64_t switchover_timeout, verify_timeout, handover_timeout, ready_timeout;
	enum on_timeout on_timeout;
	enum hpt_change hpt_change;
	int64_t max_generations;
	int64_t throttle_initial, throttle_increment, throttle_max; /* percent */
};

struct params {
	struct tuning tuning;
	/* The rest is as it was when a migration began: struct agreed has it. */
	int64_t channels;
	enum wire_codec codec;
	int64_t zstd_level;
	char tls_creds[PARAM_TEXT_MAX];
	char tls_hostname[PARAM_TEXT_MAX];
	char tls_authz[PARAM_TEXT_MAX];
	/* capabilities */
	bool pause_before_switchover;
	bool auto_converge;
	bool verify;
	bool events;
	bool recover;
	bool bolted_only;
};

void params_default(struct params *p);
/*
 * Set what object's members say. All are checked before one is changed. skip, when not NULL, is a
 * member that is somebody else's. 0, or -EINVAL with a sentence.
 */
int params_set(struct params *p, struct json_object *object, const char *skip, struct err *err);
/* May the parameter of that name, a text, have this value? 0, or -EINVAL with a sentence. */
int params_check_text(const char *name, const char *text, struct err *err);
int params_set_capability(struct params *p, const char *name, bool state, struct err *err);
/* The first of its texts that says how TLS is to be used, by its name; NULL: none is set. */
const char *params_tls(const struct params *p);
/*
 * The name of a parameter or capability that is not the same in both and may not be changed while
 * the VM's migration runs; NULL: there is none.
 */
const char *params_frozen(const struct params *before, const struct params *after);
struct json_object *params_json(const struct params *p);         /* the caller's */
struct json_object *params_capabilities(const struct params *p); /* the caller's */
