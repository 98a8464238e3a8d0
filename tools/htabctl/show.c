/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* htabctl: what there is. list, info, status, watch. */
#include "tools/htabctl/htabctl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/number.h"
#include "tools/htabctl/output.h"

#define INCOMING_TEXT 1024

static const char *table_size(char buf[static OUTPUT_TEXT], struct json_object *vm)
{
	int64_t order = member_int(vm, "order", 0);

	return output_bytes(buf, order > 0 && order < 63 ? UINT64_C(1) << order : 0);
}

/* Who may send the VM its guest, and where that is listened to for it; "-": nobody. */
static const char *incoming_text(struct json_object *vm, char buf[static INCOMING_TEXT])
{
	struct json_object *listen = member(vm, "listen");
	size_t n, max = listen ? json_object_array_length(listen) : 0;

	if (!member_bool(vm, "expects"))
		return "-";
	n = (size_t)snprintf(
		buf, INCOMING_TEXT, "from %s", member_text(vm, "tls-authz", "any host"));
	if (strcmp(member_text(vm, "expected-name", member_text(vm, "name", "")),
		    member_text(vm, "name", "")) &&
		n < INCOMING_TEXT)
		n += (size_t)snprintf(buf + n, INCOMING_TEXT - n, ", named %s there",
			member_text(vm, "expected-name", ""));
	for (size_t i = 0; i < max && n < INCOMING_TEXT; i++)
		n += (size_t)snprintf(buf + n, INCOMING_TEXT - n, "%s%s", i ? ", " : " at ",
			json_object_get_string(json_object_array_get_idx(listen, i)));
	return buf;
}

int htabctl_list(struct ctl *ctl, int argc, char **argv)
{
	static const struct table_column columns[] = {
		{"NAME", false},
		{"STATUS", false},
		{"HPT", true},
		{"VCPUS", true},
		{"MIGRATION", false},
		{"UUID", false},
		{"INCOMING", false},
		{0},
	};
	char incoming[INCOMING_TEXT];
	struct json_object *vms;
	struct err err = {0};
	struct table *t;

	if (ctl_call(ctl, "query-vms", NULL, &vms, &err) < 0)
		return ctl_fail(ctl, &err);
	t = ctl->json ? NULL : table_new(columns);
	if (ctl->json)
		output_json(vms);
	for (size_t i = 0; t && i < json_object_array_length(vms); i++) {
		struct json_object *vm = json_object_array_get_idx(vms, i);
		char size[OUTPUT_TEXT];

		table_cell(t, "%s", member_text(vm, "name", "?"));
		table_cell(t, "%s", member_text(vm, "status", "?"));
		table_cell(t, "%s", table_size(size, vm));
		table_cell(t, "%" PRId64, member_int(vm, "vcpus", 0));
		table_cell(t, "%s", member_text(vm, "migration", "none"));
		table_cell(t, "%s", member_text(vm, "uuid", "?"));
		table_cell(t, "%s", incoming_text(vm, incoming));
	}
	if (t && json_object_array_length(vms) == 0)
		puts("no VM is registered with this daemon");
	else if (t)
		table_print(t, stdout);
	table_free(t);
	json_object_put(vms);
	return CTL_OK;
}

/* --- info --------------------------------------------------------------------------------- */

static void show_time(const char *head, struct json_object *o, const char *name)
{
	char t[OUTPUT_TEXT];
	int64_t ms = member_int(o, name, -1);

	if (ms >= 0)
		output_pair(stdout, head, "%s", output_time(t, (uint64_t)ms));
}

static void show_htab(struct json_object *htab)
{
	char a[OUTPUT_TEXT], b[OUTPUT_TEXT];

	if (!htab)
		return;
	output_pair(stdout, "passes", "%" PRId64, member_int(htab, "passes", 0));
	output_pair(stdout, "entries sent", "%" PRId64 ", of them %" PRId64 " now invalid",
		member_int(htab, "transferred", 0), member_int(htab, "invalidated", 0));
	if (member_int(htab, "remaining", 0) > 0)
		output_pair(stdout, "remaining", "%" PRId64, member_int(htab, "remaining", 0));
	if (member_int(htab, "entries", 0) > 0)
		output_pair(stdout, "valid entries", "%" PRId64, member_int(htab, "entries", 0));
	if (member_int(htab, "best-rate", 0) > 0)
		output_pair(stdout, "rate", "%s entries/s, %s at best",
			output_count(a, (uint64_t)member_int(htab, "rate", 0)),
			output_count(b, (uint64_t)member_int(htab, "best-rate", 0)));
	output_pair(stdout, "bytes", "%s of records in %s on the wire",
		output_bytes(a, (uint64_t)member_int(htab, "htab-bytes", 0)),
		output_bytes(b, (uint64_t)member_int(htab, "wire-bytes", 0)));
}

/* "pause 0.2, last-pass 11.3, ... ms": the steps that took time. */
static void show_steps(struct json_object *steps)
{
	char text[256] = "";
	size_t n = 0;

	json_object_object_foreach(steps, name, value)
	{
		int64_t us = json_object_get_int64(value);

		if (us >= 100 && n < sizeof(text))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %.1f",
				n ? ", " : "", name, (double)us / 1000);
	}
	if (n)
		output_pair(stdout, "of which", "%s ms", text);
}

void show_migration(struct json_object *m)
{
	struct json_object *verify = member(m, "verify");
	const char *status = member_text(m, "status", "none");
	const char *step = member_text(m, "step", status);

	if (strcmp(step, status) != 0)
		output_pair(stdout, "migration", "%s, %s (%s)",
			member_text(m, "direction", "outgoing"), status, step);
	else
		output_pair(stdout, "migration", "%s, %s", member_text(m, "direction", "outgoing"),
			status);
	if (member_text(m, "uri", NULL))
		output_pair(stdout, "uri", "%s", member_text(m, "uri", ""));
	if (*member_text(m, "peer", ""))
		output_pair(stdout, "peer", "%s%s", member_text(m, "peer", ""),
			member_bool(m, "ktls") ? ", kTLS" : "");
	if (member_text(m, "session", NULL))
		output_pair(stdout, "session", "%s", member_text(m, "session", ""));
	if (member_text(m, "error-desc", NULL))
		output_pair(stdout, "error", "%s", member_text(m, "error-desc", ""));
	show_time("total time", m, "total-time");
	show_time("downtime", m, "downtime");
	if (member(m, "downtime-steps"))
		show_steps(member(m, "downtime-steps"));
	show_htab(member(m, "htab"));
	if (verify)
		output_pair(stdout, "compared",
			"%" PRId64 " entries at both ends, %" PRId64 " differ",
			member_int(verify, "entries", 0), member_int(verify, "mismatches", 0));
}

static void show_vm(struct json_object *vm)
{
	struct json_object *sessions = member(vm, "sessions");
	char size[OUTPUT_TEXT], incoming[INCOMING_TEXT];

	output_pair(stdout, "name", "%s", member_text(vm, "name", "?"));
	output_pair(stdout, "uuid", "%s", member_text(vm, "uuid", "?"));
	output_pair(stdout, "status", "%s", member_text(vm, "status", "?"));
	if (member_bool(vm, "expects"))
		output_pair(stdout, "incoming", "a guest %s", incoming_text(vm, incoming));
	output_pair(stdout, "table", "order %" PRId64 ", %s", member_int(vm, "order", 0),
		table_size(size, vm));
	output_pair(stdout, "vcpus", "%" PRId64 ", PVR 0x%08" PRIx64, member_int(vm, "vcpus", 0),
		(uint64_t)member_int(vm, "pvr", 0));
	output_pair(stdout, "pid", "%" PRId64, member_int(vm, "pid", 0));
	for (size_t i = 0; sessions && i < json_object_array_length(sessions); i++) {
		struct json_object *s = json_object_array_get_idx(sessions, i);

		output_pair(stdout, i == 0 ? "sessions" : "", "%s %s %s",
			member_text(s, "session", "?"), member_text(s, "note", "?"),
			member_text(s, "uri", ""));
	}
}

/* The arguments of a command that looks into a guest: 0 and *ret, or the exit status. */
static int look_args(struct ctl *ctl, const char *name, struct json_object **ret)
{
	struct json_object *args = ctl_vm_args(name);
	uint64_t n;

	if (ctl->vcpu) {
		if (number_parse(ctl->vcpu, 0, 65534, &n) < 0) {
			json_object_put(args);
			return ctl_usage("--vcpu takes the number of a vCPU, not %s", ctl->vcpu);
		}
		json_object_object_add(args, "vcpu", json_object_new_int64((int64_t)n));
	}
	*ret = args;
	return CTL_OK;
}

/*
 * The whole list, which comes by pages of one reading: the first answer with `list` grown. 0, or an
 * exit status.
 */
static int look(struct ctl *ctl, const char *name, const char *command, const char *list,
	struct json_object **ret)
{
	struct json_object *all = NULL, *page, *args = NULL;
	struct err err = {0};
	int64_t next = 0, reading = 0;
	int status;

	do {
		status = look_args(ctl, name, &args);
		if (status)
			return status;
		if (all) {
			json_object_object_add(args, "start", json_object_new_int64(next));
			json_object_object_add(args, "reading", json_object_new_int64(reading));
		}
		if (ctl_call(ctl, command, args, &page, &err) < 0) {
			json_object_put(all);
			return ctl_fail(ctl, &err);
		}
		next = member_int(page, "next", 0);
		reading = member_int(page, "reading", 0);
		if (!all) {
			all = page;
			continue;
		}
		for (size_t i = 0; i < json_object_array_length(member(page, list)); i++)
			json_object_array_add(member(all, list),
				json_object_get(json_object_array_get_idx(member(page, list), i)));
		json_object_put(page);
	} while (next > 0);
	json_object_object_del(all, "next");
	json_object_object_del(all, "reading");
	*ret = all;
	return CTL_OK;
}

/* Every element of the state, by vCPU. */
static int show_state(struct ctl *ctl, const char *name)
{
	static const struct table_column columns[] = {
		{"VCPU", true},
		{"KIND", false},
		{"NAME", false},
		{"VALUE", false},
		{0},
	};
	struct json_object *state, *list;
	struct table *t;
	int status = look(ctl, name, "query-vm-state", "elements", &state);

	if (status)
		return status;
	list = member(state, "elements");
	t = ctl->json ? NULL : table_new(columns);
	if (ctl->json)
		output_json(state);
	for (size_t i = 0; t && list && i < json_object_array_length(list); i++) {
		struct json_object *e = json_object_array_get_idx(list, i);
		int64_t vcpu = member_int(e, "vcpu", -1);

		if (vcpu < 0)
			table_cell(t, "-");
		else
			table_cell(t, "%" PRId64, vcpu);
		table_cell(t, "%s", member_text(e, "kind", "?"));
		table_cell(t, "%s", member_text(e, "name", "?"));
		table_cell(t, "%s", member_text(e, "value", "?"));
	}
	if (t)
		table_print(t, stdout);
	table_free(t);
	json_object_put(state);
	return CTL_OK;
}

/* Every valid TLB entry of a BookE guest, TLB0's before TLB1's. */
static int show_tlb(struct ctl *ctl, const char *name)
{
	static const struct table_column columns[] = {
		{"VCPU", true},
		{"TLB", true},
		{"ESEL", true},
		{"EPN", true},
		{"RPN", true},
		{"SIZE", true},
		{"TID", true},
		{"TS", true},
		{"USER", false},
		{"SUPER", false},
		{"WIMGE", false},
		{"IPROT", false},
		{0},
	};
	struct json_object *tlb, *list;
	struct table *t;
	int status = look(ctl, name, "query-vm-tlb", "entries", &tlb);

	if (status)
		return status;
	list = member(tlb, "entries");
	t = ctl->json ? NULL : table_new(columns);
	if (ctl->json)
		output_json(tlb);
	for (size_t i = 0; t && list && i < json_object_array_length(list); i++) {
		struct json_object *e = json_object_array_get_idx(list, i);
		char size[OUTPUT_TEXT];

		table_cell(t, "%" PRId64, member_int(e, "vcpu", -1));
		table_cell(t, "%" PRId64, member_int(e, "tlb", -1));
		table_cell(t, "%" PRId64, member_int(e, "esel", -1));
		table_cell(t, "%s", member_text(e, "epn", "?"));
		table_cell(t, "%s", member_text(e, "rpn", "?"));
		table_cell(t, "%s", output_bytes(size, (uint64_t)member_int(e, "size", 0)));
		table_cell(t, "%" PRId64, member_int(e, "tid", -1));
		table_cell(t, "%" PRId64, member_int(e, "ts", -1));
		table_cell(t, "%s", member_text(e, "user", "?"));
		table_cell(t, "%s", member_text(e, "supervisor", "?"));
		table_cell(t, "%s", member_text(e, "wimge", "?"));
		table_cell(t, "%s", member_bool(e, "iprot") ? "yes" : "no");
	}
	if (t)
		table_print(t, stdout);
	table_free(t);
	json_object_put(tlb);
	return CTL_OK;
}

int htabctl_info(struct ctl *ctl, int argc, char **argv)
{
	const char *name = argc > 0 ? argv[0] : NULL;
	struct json_object *migration, *vm;
	struct err err = {0};

	if (ctl->vcpu && !ctl->state && !ctl->tlb)
		return ctl_usage("--vcpu goes with --state or --tlb");
	if (ctl->state && ctl->tlb)
		return ctl_usage("--state and --tlb do not go together");
	if (ctl->tlb)
		return show_tlb(ctl, name);
	if (ctl->state)
		return show_state(ctl, name);
	if (ctl_call(ctl, "query-migrate", ctl_vm_args(name), &migration, &err) < 0)
		return ctl_fail(ctl, &err);
	vm = ctl_find_vm(ctl, name);
	if (ctl->json) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "vm", json_object_get(vm));
		json_object_object_add(o, "migrate", json_object_get(migration));
		output_json(o);
		json_object_put(o);
	} else {
		if (vm)
			show_vm(vm);
		if (member_text(migration, "status", NULL))
			show_migration(migration);
		else
			output_pair(stdout, "migration", "none yet");
	}
	json_object_put(vm);
	json_object_put(migration);
	return CTL_OK;
}

int htabctl_status(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *d, *listen, *warnings;
	struct err err = {0};

	if (ctl_call(ctl, "query-daemon", NULL, &d, &err) < 0)
		return ctl_fail(ctl, &err);
	if (ctl->json) {
		output_json(d);
		json_object_put(d);
		return CTL_OK;
	}
	listen = member(d, "listen");
	output_pair(stdout, "name", "%s", member_text(d, "name", "?"));
	output_pair(stdout, "pid", "%" PRId64, member_int(d, "pid", 0));
	output_pair(stdout, "tls", "%s", member_bool(d, "tls") ? "yes" : "no");
	if (member_text(d, "tls-expires", NULL))
		output_pair(stdout, "good until", "%s", member_text(d, "tls-expires", ""));
	for (size_t i = 0; listen && i < json_object_array_length(listen); i++)
		output_pair(stdout, i == 0 ? "listens at" : "", "%s",
			json_object_get_string(json_object_array_get_idx(listen, i)));
	if (!listen || json_object_array_length(listen) == 0)
		output_pair(stdout, "listens at", "nothing: %s",
			member_text(d, "listen-error", "an older daemon does not say why"));
	output_pair(stdout, "migrations", "%" PRId64, member_int(d, "migrations", 0));
	output_pair(stdout, "longest turn", "%.1f ms of its event loop",
		(double)member_int(d, "longest-callback-us", 0) / 1000.0);
	warnings = member(d, "warnings");
	for (size_t i = 0; warnings && i < json_object_array_length(warnings); i++)
		output_pair(stdout, "warning", "%s",
			json_object_get_string(json_object_array_get_idx(warnings, i)));
	json_object_put(d);
	return CTL_OK;
}

/* --- watch -------------------------------------------------------------------------------- */

static void show_event(struct json_object *e)
{
	struct json_object *data = member(e, "data"), *stamp = member(e, "timestamp");
	time_t s = (time_t)member_int(stamp, "seconds", 0);
	struct tm tm;
	char when[16];

	localtime_r(&s, &tm);
	strftime(when, sizeof(when), "%H:%M:%S", &tm);
	printf("%s.%03" PRId64 "  %-16s  %s", when, member_int(stamp, "microseconds", 0) / 1000,
		member_text(data, "vm", "-"), member_text(e, "event", "?"));
	if (data) {
		json_object_object_foreach(data, key, value)
		{
			if (strcmp(key, "vm") != 0)
				printf("  %s=%s", key, json_object_get_string(value));
		}
	}
	putchar('\n');
	output_flush();
}

int htabctl_watch(struct ctl *ctl, int argc, char **argv)
{
	const char *only = argc > 0 ? argv[0] : NULL;
	struct json_object *vm = only ? ctl_find_vm(ctl, only) : NULL;
	struct err err = {0};

	/* events carry the name; a VM that is not there yet is waited for */
	if (vm)
		only = member_text(vm, "name", only);
	for (;;) {
		struct json_object *e;

		if (qmpclient_event(ctl->qmp, -1, &e, &err) < 0)
			break;
		if (!only || !strcmp(member_text(member(e, "data"), "vm", ""), only)) {
			if (ctl->json)
				output_json(e);
			else
				show_event(e);
		}
		json_object_put(e);
		if (!output_flush())
			break;
	}
	json_object_put(vm);
	return ctl_fail(ctl, &err);
}
