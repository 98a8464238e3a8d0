/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/session/report.h"

#include <stdio.h>
#include <unistd.h>

#include "common/clock.h"
#include "daemon/flow/chunk.h"
#include "daemon/server.h"
#include "daemon/source/source.h"

static void add_int(struct json_object *o, const char *name, uint64_t v)
{
	json_object_object_add(o, name, json_object_new_int64((int64_t)v));
}

static void add_text(struct json_object *o, const char *name, const char *v)
{
	json_object_object_add(o, name, json_object_new_string(v));
}

static struct json_object *ram_json(void)
{
	static const char *const zeros[] = {"transferred", "remaining", "total", "duplicate",
		"skipped", "normal", "normal-bytes", "dirty-pages-rate", "dirty-sync-count",
		"multifd-bytes", "pages-per-second", "postcopy-requests"};
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < sizeof(zeros) / sizeof(zeros[0]); i++)
		add_int(o, zeros[i], 0);
	add_int(o, "page-size", (uint64_t)sysconf(_SC_PAGESIZE));
	json_object_object_add(o, "mbps", json_object_new_double(0));
	return o;
}

/* What the pass under way, or the next one, still has to send, as far as is known. */
static uint64_t remaining(const struct migration *m)
{
	const struct outflow_stats *s = &m->out_stats;
	uint64_t sent = s->pass_valid + s->pass_invalid;

	if (m->incoming || migration_is_final(m))
		return 0;
	if (m->pass <= 1)
		return table_entries(m->order, m->tlb_entries) - (m->pass ? s->position : 0);
	if (m->state > MIG_LAST_PASS) /* what a comparison sends is no part of it */
		return 0;
	if (m->state == MIG_PAUSE || m->state == MIG_PRE_SWITCHOVER)
		return m->converge.remaining;
	/* foreseen before the pass; what is read may be more */
	return (m->converge.remaining > s->pass_read ? m->converge.remaining : s->pass_read) - sent;
}

static struct json_object *htab_json(struct migration *m)
{
	struct json_object *o = json_object_new_object();
	uint64_t valid, invalid, plain, wire;

	source_figures(m);
	if (m->in)
		inflow_get_stats(m->in, &m->in_stats);
	valid = m->incoming ? m->in_stats.valid : m->out_stats.valid;
	invalid = m->incoming ? m->in_stats.invalid : m->out_stats.invalid;
	plain = m->incoming ? m->in_stats.plain : m->out_stats.plain;
	wire = m->incoming ? m->in_stats.wire : m->out_stats.wire;
	add_int(o, "passes", m->incoming ? m->in_stats.pass : m->pass);
	add_int(o, "transferred", valid + invalid);
	add_int(o, "remaining", remaining(m));
	if (m->valid_known)
		add_int(o, "entries", m->valid_end);
	add_int(o, "invalidated", invalid);
	if (!m->incoming) {
		add_int(o, "rate", m->rate);
		add_int(o, "best-rate", m->best_rate);
	}
	add_int(o, "htab-bytes", plain);
	add_int(o, "wire-bytes", wire + m->state_done);
	add_int(o, "channels", m->agreed.channels);
	add_int(o, "order", m->order);
	add_int(o, "generation", m->incoming ? m->in_stats.generation : m->generation);
	return o;
}

/* Where the guest's downtime went: from the question to pause it to the answer that it runs. */
static struct json_object *downtime_json(const struct migration *m)
{
	static const enum mig_state steps[] = {MIG_PAUSE, MIG_PRE_SWITCHOVER, MIG_LAST_PASS,
		MIG_STATE, MIG_END, MIG_COMMITTING, MIG_COMMIT, MIG_ASKING};
	struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		add_int(o, migration_step(steps[i]), m->spent[steps[i]] / NS_PER_US);
	return o;
}

/* While it is interrupted: how long it still waits, and for whom. */
static struct json_object *interrupted_json(const struct migration *m)
{
	struct json_object *o = json_object_new_object();

	add_int(o, "left", (uint64_t)migration_patience(m) / 1000);
	if (!m->incoming)
		json_object_object_add(
			o, "by-hand", json_object_new_boolean(m->by_hand || !migration_keeps(m)));
	return o;
}

bool report_unresolved(const struct migration *m, char *buf, size_t len)
{
	const char *why = m->error.text[0] ? m->error.text : "it was not asked yet";
	char id[33];

	session_text(&m->session, id);
	*buf = 0;
	if (m->overdue.code)
		snprintf(buf, len, "%s", m->overdue.text);
	else if (m->state == MIG_IN_LOST)
		snprintf(buf, len,
			"%s: nobody knows whether its guest ran here; say so: htabctl resolve %s %s "
			"run (it did), or discard (it did not, and the source may go on with it)",
			why, m->vm_name, id);
	else if (m->unproven && m->state == MIG_IN_READY)
		snprintf(buf, len,
			"it has a guest whose source nobody knows (%s): htabctl resolve %s %s run, "
			"when it runs nowhere else, or discard",
			why, m->vm_name, id);
	else if (m->unproven && m->state == MIG_IN_RUNNING)
		snprintf(buf, len,
			"its guest runs, and nobody knows whether its source has let go (%s): htabctl "
			"resolve %s %s run, when it has",
			why, m->vm_name, id);
	else if (m->state != MIG_ASKING)
		return false;
	else if (m->unproven)
		snprintf(buf, len,
			"its guest stays paused until somebody says about session %s what is known "
			"(%s): htabctl resolve %s %s run, when it runs nowhere else, or discard",
			id, why, m->vm_name, id);
	else if (migration_is_file(m))
		snprintf(buf, len,
			"its guest stays paused until it is known whether %s holds session %s (%s); "
			"when it never will: htabctl resolve %s %s run",
			m->uri_text, id, why, m->vm_name, id);
	else
		snprintf(buf, len,
			"its guest stays paused until %s answers about session %s (%s); when that "
			"host is known to be dead and fenced: htabctl resolve %s %s run",
			m->uri_text, id, why, m->vm_name, id);
	return true;
}

struct json_object *report_json(struct migration *m)
{
	struct json_object *o = json_object_new_object();
	uint64_t end = m->t_final ? m->t_final : clock_ns();
	char text[33], why[REPORT_TEXT];

	add_text(o, "status", m->status);
	add_text(o, "step", migration_step(m->state));
	add_text(o, "direction", m->incoming ? "incoming" : "outgoing");
	add_text(o, "vm", m->vm_name);
	session_text(&m->session, text);
	add_text(o, "session", text);
	add_text(o, "uri", m->uri_text);
	add_text(o, "peer", m->peer_name);
	if (!m->incoming && m->peer_name[0])
		json_object_object_add(o, "ktls", json_object_new_boolean(m->ktls));
	add_int(o, "total-time", (end - m->t_start) / NS_PER_MS);
	add_int(o, "setup-time", ((m->t_active ? m->t_active : end) - m->t_start) / NS_PER_MS);
	if (migration_is_final(m) && m->downtime_ns)
		add_int(o, "downtime", m->downtime_ns / NS_PER_MS);
	if (m->state == MIG_COMPLETED && m->downtime_ns && !m->incoming)
		json_object_object_add(o, "downtime-steps", downtime_json(m));
	if (!migration_is_final(m) && !m->incoming && m->pass > 1 &&
		m->converge.downtime != CONVERGE_UNKNOWN)
		add_int(o, "expected-downtime", m->converge.downtime / NS_PER_MS);
	if (m->have_time) {
		add_int(o, "time-error", (uint64_t)m->time_error);
		add_int(o, "time-uncertainty", m->time_uncertainty);
	}
	if (migration_is_interrupted(m))
		json_object_object_add(o, "interrupted", interrupted_json(m));
	if (m->recoveries)
		add_int(o, "recoveries", m->recoveries);
	if (m->throttle)
		add_int(o, "cpu-throttle-percentage", m->throttle);
	if (report_unresolved(m, why, sizeof(why)))
		add_text(o, "error-desc", why);
	else if (m->error.code)
		add_text(o, "error-desc", m->error.text);
	json_object_object_add(o, "htab", htab_json(m));
	json_object_object_add(o, "ram", ram_json());
	if (m->have_verified) {
		struct json_object *v = json_object_new_object();

		add_int(v, "entries", m->verified.entries);
		add_int(v, "mismatches", m->verified.mismatches);
		add_int(v, "time", m->verify_ns / NS_PER_MS);
		json_object_object_add(o, "verify", v);
	}
	return o;
}

void report_describe(const struct migration *m, char *buf, size_t len)
{
	const char *way = m->incoming ? "from" : "to";
	const char *moved = !migration_is_file(m) ? "migrated" : m->incoming ? "loaded" : "saved";
	const char *where = m->incoming && m->peer_name[0] ? m->peer_name : m->uri_text;
	char text[REPORT_TEXT] = "";

	switch (m->state) {
	case MIG_COMPLETED:
		if (m->downtime_ns)
			snprintf(text, sizeof(text), ", downtime %.0f ms",
				(double)m->downtime_ns / 1e6);
		snprintf(buf, len, "%s: %s %s %s in %u passes, total %.0f ms%s", m->vm_name, moved,
			way, where, m->incoming ? m->in_stats.pass : m->pass,
			(double)(m->t_final - m->t_start) / 1e6, text);
		return;
	case MIG_FAILED:
		snprintf(buf, len, "%s: migration %s %s failed: %s", m->vm_name, way, where,
			m->error.text);
		return;
	case MIG_CANCELLED:
		snprintf(buf, len, "%s: migration %s %s cancelled%s%s", m->vm_name, way, where,
			m->error.code ? ": " : "", m->error.text);
		return;
	case MIG_ASKING:
	case MIG_IN_LOST:
		report_unresolved(m, text, sizeof(text));
		snprintf(buf, len, "%s: %s", m->vm_name, text);
		return;
	case MIG_CUT:
	case MIG_IN_CUT:
		snprintf(buf, len, "%s: migration %s %s is interrupted: %s", m->vm_name, way, where,
			m->error.text);
		return;
	case MIG_CONNECT:
	case MIG_OPEN:
	case MIG_JOIN:
	case MIG_START:
	case MIG_ACTIVE:
	case MIG_RESUME:
	case MIG_PAUSE:
	case MIG_PRE_SWITCHOVER:
	case MIG_LAST_PASS:
	case MIG_VERIFY:
	case MIG_STATE:
	case MIG_END:
	case MIG_COMMITTING:
	case MIG_COMMIT:
	case MIG_RELEASE:
	case MIG_UNDO:
	case MIG_STOPPING:
	case MIG_IN_PREPARE:
	case MIG_IN_JOIN:
	case MIG_IN_ACTIVE:
	case MIG_IN_RESUME:
	case MIG_IN_FINISH:
	case MIG_IN_STATE:
	case MIG_IN_NOTE:
	case MIG_IN_READY:
	case MIG_IN_RUN:
	case MIG_IN_RUNNING:
	case MIG_IN_STOPPING: break;
	}
	if (report_unresolved(m, text, sizeof(text))) {
		snprintf(buf, len, "%s: %s", m->vm_name, text);
		return;
	}
	snprintf(buf, len, "%s: migrating %s %s (%s, pass %u)", m->vm_name, way, where,
		migration_step(m->state), m->incoming ? m->in_stats.pass : m->pass);
}
