/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* htabctl dump: a page table taken apart, of a file or of a VM that runs. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/fd.h"
#include "proto/hpte.h"
#include "proto/state.h"
#include "tools/htabctl/dumpstat.h"
#include "tools/htabctl/dumptable.h"
#include "tools/htabctl/htabctl.h"
#include "tools/htabctl/output.h"

#define HEX_TEXT 24

static const char *hex(char buf[static HEX_TEXT], uint64_t v)
{
	snprintf(buf, HEX_TEXT, "0x%" PRIx64, v);
	return buf;
}

static void add_int(struct json_object *o, const char *name, uint64_t v)
{
	json_object_object_add(o, name, json_object_new_int64((int64_t)v));
}

static void add_text(struct json_object *o, const char *name, const char *v)
{
	json_object_object_add(o, name, json_object_new_string(v));
}

/* As numbers, 64 bits do not survive many a JSON parser. */
static void add_hex(struct json_object *o, const char *name, uint64_t v)
{
	char text[HEX_TEXT];

	add_text(o, name, hex(text, v));
}

static void add_bool(struct json_object *o, const char *name, bool v)
{
	json_object_object_add(o, name, json_object_new_boolean(v));
}

static const char *kind_name(const struct dumptable *d)
{
	switch (d->kind) {
	case DUMP_SAVED: return "saved guest";
	case DUMP_TABLE: return "table";
	case DUMP_RECORDS: return "records";
	}
	return "?";
}

static void ids(
	const struct wire_open *o, char session[static SESSION_TEXT_SIZE], char uuid[static 37])
{
	const uint8_t *b = o->uuid.b;

	session_format(&o->session, session);
	snprintf(uuid, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
		b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12],
		b[13], b[14], b[15]);
}

static void saved_time(const struct dumptable *d, char buf[static 32])
{
	time_t t = (time_t)(d->about.header.saved_ns / 1000000000u);
	struct tm tm;

	if (!gmtime_r(&t, &tm) || !strftime(buf, 32, "%Y-%m-%d %H:%M:%S UTC", &tm))
		snprintf(buf, 32, "?");
}

/* -- for people -- */

static void show_saved(const struct dumptable *d)
{
	const struct wire_open *o = &d->about.open;
	char session[SESSION_TEXT_SIZE], uuid[37], when[32], size[OUTPUT_TEXT];

	ids(o, session, uuid);
	saved_time(d, when);
	output_pair(stdout, "saved", "%s by %s", when, d->about.header.name);
	output_pair(stdout, "VM", "%s, UUID %s", o->name, uuid);
	output_pair(stdout, "session", "%s", session);
	output_pair(stdout, "machine", "%u vCPUs, PVR 0x%08x", o->vcpus, o->pvr);
	output_pair(stdout, "passes", "%" PRIu64, d->passes);
	output_pair(stdout, "machine state", "%s", output_bytes(size, d->image_size));
}

static void show_row(struct table *t, const struct dumpstat_row *r, bool segments)
{
	char text[HEX_TEXT];

	table_cell(t, "%s", hpte_size(r->seg_shift));
	if (segments)
		table_cell(t, "%s", hex(text, r->vsid));
	else
		table_cell(t, "%" PRIu64, r->segments);
	table_cell(t, "%s", hpte_size(r->base_shift));
	table_cell(t, "%s", hpte_size(r->actual_shift));
	table_cell(t, "%" PRIu64, r->entries);
	table_cell(t, "%" PRIu64, r->bolted);
	table_cell(t, "%" PRIu64, r->secondary);
	table_cell(t, "%" PRIu64, r->changed);
}

static void show_rows(const struct dumpstat_row *rows, size_t n, bool segments)
{
	const struct table_column columns[] = {
		{"SEGMENT", false},
		{segments ? "VSID" : "SEGMENTS", true},
		{"BASE", true},
		{"PAGE", true},
		{"ENTRIES", true},
		{"BOLTED", true},
		{"SECONDARY", true},
		{"CHANGED", true},
		{0},
	};
	struct table *t;

	if (n == 0)
		return;
	t = table_new(columns);
	for (size_t i = 0; t && i < n; i++)
		show_row(t, &rows[i], segments);
	if (t)
		table_print(t, stdout);
	table_free(t);
}

static void show_hpte(const struct hpte *h)
{
	char wimgn[6];

	hpte_wimgn(h, wimgn);
	printf("%07" PRIx64 " %6" PRIx64 ".%u %c %-4s vsid %010" PRIx64 " +%010" PRIx64
	       " %3s/%-3s real %012" PRIx64 " %s pp %u key %2u %c%c%c%s\n",
		h->index, h->pteg, h->slot, h->secondary ? 's' : 'p', hpte_size(h->seg_shift),
		h->vsid, h->offset, hpte_size(h->base_shift), hpte_size(h->actual_shift), h->real,
		wimgn, h->pp, h->key, h->r ? 'R' : '-', h->c ? 'C' : '-', h->bolted ? 'B' : '-',
		h->misplaced ? " misplaced" : "");
}

static void show_state(const struct dumptable *d)
{
	char name[STATE_NAME_MAX], value[STATE_SHOW_MAX];
	struct state_elem elem;
	struct unpack u;

	unpack_init(&u, d->image, d->image_size);
	while (state_next(&u, &elem) > 0) {
		state_describe(&elem, name);
		state_show(&elem, value);
		printf("%-40s %s\n", name, value);
	}
}

/* -- for programs -- */

static struct json_object *hpte_json(const struct hpte *h, const uint8_t *p)
{
	struct json_object *o = json_object_new_object();
	char wimgn[6];

	hpte_wimgn(h, wimgn);
	add_int(o, "index", h->index);
	add_int(o, "pteg", h->pteg);
	add_int(o, "slot", h->slot);
	add_bool(o, "secondary", h->secondary);
	add_text(o, "segment", hpte_size(h->seg_shift));
	add_hex(o, "vsid", h->vsid);
	add_hex(o, "offset", h->offset);
	add_text(o, "base", hpte_size(h->base_shift));
	add_text(o, "page", hpte_size(h->actual_shift));
	add_hex(o, "real", h->real);
	add_text(o, "wimgn", wimgn);
	add_int(o, "pp", h->pp);
	add_int(o, "key", h->key);
	add_bool(o, "referenced", h->r);
	add_bool(o, "changed", h->c);
	add_bool(o, "bolted", h->bolted);
	add_bool(o, "large", h->large);
	add_bool(o, "misplaced", h->misplaced);
	add_hex(o, "v", be64_get(p));
	add_hex(o, "r", be64_get(p + 8));
	return o;
}

static struct json_object *rows_json(const struct dumpstat_row *rows, size_t n, bool segments)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < n; i++) {
		const struct dumpstat_row *r = &rows[i];
		struct json_object *o = json_object_new_object();

		add_text(o, "segment", hpte_size(r->seg_shift));
		if (segments)
			add_hex(o, "vsid", r->vsid);
		else
			add_int(o, "segments", r->segments);
		add_text(o, "base", hpte_size(r->base_shift));
		add_text(o, "page", hpte_size(r->actual_shift));
		add_int(o, "entries", r->entries);
		add_int(o, "bolted", r->bolted);
		add_int(o, "secondary", r->secondary);
		add_int(o, "referenced", r->referenced);
		add_int(o, "changed", r->changed);
		add_int(o, "misplaced", r->misplaced);
		json_object_array_add(list, o);
	}
	return list;
}

static void saved_json(struct json_object *o, const struct dumptable *d)
{
	char session[SESSION_TEXT_SIZE], uuid[37], when[32];
	const struct wire_open *open = &d->about.open;

	ids(open, session, uuid);
	saved_time(d, when);
	add_text(o, "saved", when);
	add_text(o, "daemon", d->about.header.name);
	add_text(o, "vm", open->name);
	add_text(o, "uuid", uuid);
	add_text(o, "session", session);
	add_int(o, "vcpus", open->vcpus);
	add_int(o, "pvr", open->pvr);
	add_int(o, "passes", d->passes);
	add_int(o, "state-bytes", d->image_size);
}

static struct json_object *state_json(const struct dumptable *d)
{
	struct json_object *list = json_object_new_array();
	char name[STATE_NAME_MAX], value[STATE_SHOW_MAX];
	struct state_elem elem;
	struct unpack u;

	unpack_init(&u, d->image, d->image_size);
	while (state_next(&u, &elem) > 0) {
		struct json_object *o = json_object_new_object();

		state_describe(&elem, name);
		state_show(&elem, value);
		add_text(o, "name", name);
		add_text(o, "value", value);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *head_json(const struct dumptable *d, const struct dumpstat *s)
{
	struct json_object *o = json_object_new_object(), *e;

	add_text(o, "kind", kind_name(d));
	if (d->kind == DUMP_SAVED)
		saved_json(o, d);
	add_int(o, "order", d->order);
	add_int(o, "entries", dumptable_entries(d));
	add_int(o, "valid", s->valid);
	if (d->kind == DUMP_RECORDS)
		add_text(o, "byte-order", d->big_endian ? "big" : "little");
	json_object_object_add(o, "summary", rows_json(s->summary, s->n_summary, false));
	if (d->damage.code) {
		e = json_object_new_object();
		add_int(e, "offset", d->damage_at);
		add_text(e, "desc", d->damage.text);
		json_object_object_add(o, "damage", e);
	}
	return o;
}

/* -- both -- */

/* Up to ctl->limit valid entries, as lines or into list. */
static void entries(const struct ctl *ctl, const struct dumptable *d, struct json_object *list)
{
	uint64_t shown = 0, n = dumptable_entries(d);

	for (uint64_t i = 0; i < n && (!ctl->limit || shown < ctl->limit); i++) {
		const uint8_t *p = d->flat + i * HTAB_HPTE_SIZE;
		struct hpte h;

		if (!(be64_get(p) & HPTE_V_VALID) ||
			(ctl->bolted && !(be64_get(p) & HPTE_V_BOLTED)))
			continue;
		hpte_decode(be64_get(p), be64_get(p + 8), i, n, &h);
		if (list)
			json_object_array_add(list, hpte_json(&h, p));
		else
			show_hpte(&h);
		shown++;
	}
}

static void print_json(const struct ctl *ctl, const struct dumptable *d, const struct dumpstat *s)
{
	struct json_object *o = head_json(d, s), *list;

	if (ctl->segments)
		json_object_object_add(
			o, "by-segment", rows_json(s->segments, s->n_segments, true));
	if (ctl->entries) {
		list = json_object_new_array();
		entries(ctl, d, list);
		json_object_object_add(o, "hptes", list);
	}
	if (ctl->state && d->kind == DUMP_SAVED)
		json_object_object_add(o, "state", state_json(d));
	output_json(o);
	json_object_put(o);
}

static void print_text(const struct ctl *ctl, const struct dumptable *d, const struct dumpstat *s)
{
	char size[OUTPUT_TEXT];

	if (ctl->entries)
		entries(ctl, d, NULL);
	if (ctl->state && d->kind == DUMP_SAVED)
		show_state(d);
	output_pair(stdout, "kind", "%s%s", kind_name(d),
		d->kind != DUMP_RECORDS ? ""
			: d->big_endian ? ", headers big-endian"
					: ", headers little-endian");
	if (d->kind == DUMP_SAVED)
		show_saved(d);
	output_pair(stdout, "HPT", "order %u, %s", d->order,
		output_bytes(size, UINT64_C(1) << d->order));
	output_pair(
		stdout, "entries", "%" PRIu64 " valid of %" PRIu64, s->valid, dumptable_entries(d));
	show_rows(s->summary, s->n_summary, false);
	if (ctl->segments)
		show_rows(s->segments, s->n_segments, true);
}

static int dump(struct ctl *ctl, const struct dumptable *d)
{
	struct dumpstat s;
	struct err err;

	if (dumpstat_count(d->flat, dumptable_entries(d), ctl->bolted, &s) < 0) {
		err_set(&err, -EREMOTE, "out of memory");
		return ctl_fail(ctl, &err);
	}
	if (ctl->json)
		print_json(ctl, d, &s);
	else
		print_text(ctl, d, &s);
	dumpstat_fini(&s);
	if (!d->damage.code)
		return CTL_OK;
	output_flush();
	fprintf(stderr, "htabctl: %s\n", d->damage.text);
	return CTL_FAILED;
}

/* The table of a VM that runs, read by the daemon into memory of ours. */
static int read_vm(struct ctl *ctl, const char *vm, struct dumptable **ret, struct err *err)
{
	struct json_object *args = ctl_vm_args(vm), *answer = NULL;
	char name[32];
	int fd = fd_memfd("htabctl-dump"), r;

	snprintf(name, sizeof(name), "dump-%d", (int)getpid());
	json_object_object_add(args, "fdname", json_object_new_string(name));
	if (fd < 0) {
		json_object_put(args);
		return err_set(err, fd, "there is no memory for a table");
	}
	r = qmpclient_getfd(ctl->qmp, name, fd, err);
	if (r == 0)
		r = ctl_call(ctl, "dump-htab", args, &answer, err);
	else
		json_object_put(args);
	if (r == 0)
		r = dumptable_records(fd, vm, (unsigned)member_int(answer, "order", 0), ret, err);
	json_object_put(answer);
	close(fd);
	return r;
}

int htabctl_dump(struct ctl *ctl, int argc, char **argv)
{
	const char *what = argv[0];
	struct dumptable *d = NULL;
	struct err err = {0};
	int r, status;

	if (strchr(what, '/')) {
		r = dumptable_read(what, ctl->order, &d, &err);
		if (r < 0) /* of the file: no daemon is there to be unreachable */
			err.code = -EREMOTE;
	} else if (ctl->order) {
		return ctl_usage(
			"--order is for files; a name without a slash is a VM's: %s", what);
	} else {
		status = ctl_connect(ctl);
		if (status)
			return status;
		r = read_vm(ctl, what, &d, &err);
	}
	status = r < 0 ? ctl_fail(ctl, &err) : dump(ctl, d);
	dumptable_free(d);
	return status;
}
