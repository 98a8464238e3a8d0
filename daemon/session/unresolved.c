/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/session/unresolved.h"

#include <errno.h>

#include "common/clock.h"
#include "daemon/base/log.h"
#include "daemon/session/report.h"
#include "daemon/server.h"
#include "daemon/source/source.h"

void unresolved_tell(struct migration *m)
{
	struct json_object *o = json_object_new_object();
	char text[33], why[REPORT_TEXT];

	report_unresolved(m, why, sizeof(why));
	if (m->unproven) /* a VMM can bring as many along as it likes */
		log_stranger(LOG_VMM, SD_ERR, "vm %s: %s", m->vm_name, why);
	else
		log_err("vm %s: %s", m->vm_name, why);
	session_text(&m->session, text);
	json_object_object_add(o, "vm", json_object_new_string(m->vm_name));
	json_object_object_add(o, "session", json_object_new_string(text));
	json_object_object_add(o, "uri", json_object_new_string(m->uri_text));
	json_object_object_add(o, "desc", json_object_new_string(why));
	server_event(m->srv, m->vm_name, "MIGRATION_UNRESOLVED", o);
	server_status(m->srv);
}

/* The VMM does not answer: what it was asked, and what its end would mean. */
static void vmm_silent(struct migration *m, long long s, const char *what, const char *end)
{
	if (m->vm)
		err_set(&m->overdue, -ETIMEDOUT,
			"the VMM of %s (process %d) was asked %lld s ago to %s and has not done it: "
			"wait for it; if that process is ended, %s",
			m->vm_name, (int)m->vm->pid, s, what, end);
	else
		err_set(&m->overdue, -ETIMEDOUT,
			"the VMM of %s, which was asked %lld s ago to %s, is not connected: wait for "
			"it; if its process is ended, %s",
			m->vm_name, s, what, end);
}

/* At READY; without the source this may be the last whole copy, and only a person can know that. */
static void source_silent(struct migration *m, long long s)
{
	char id[33];

	session_text(&m->session, id);
	if (m->peer)
		err_set(&m->overdue, -ETIMEDOUT,
			"the whole guest is here, and its source, which is connected, has not said for %lld s whether it is to run: look there, or give this copy up: htabctl resolve %s %s discard",
			s, m->vm_name, id);
	else
		err_set(&m->overdue, -ETIMEDOUT,
			"the whole guest is here, and its source was not heard of for %lld s: it is kept for %lld s (ready-timeout); when that host is known to be dead and fenced: htabctl resolve %s %s run",
			s, (long long)m->tuning.ready_timeout, m->vm_name, id);
}

static void late_cb(evutil_socket_t fd, short what, void *arg)
{
	struct migration *m = arg;
	long long s = (long long)((clock_ns() - m->t_waits + NS_PER_SEC / 2) / NS_PER_SEC);

	if ((m->state == MIG_COMMIT && !migration_is_file(m)) || m->state == MIG_ASKING) {
		if (m->peer) /* else each attempt in vain is told */
			handover_silent(m);
		return;
	}
	if (m->state == MIG_COMMITTING)
		vmm_silent(m, s, "let its guest go ('inactivate')",
			migration_is_file(m)
				? "the guest is saved, and runs nowhere"
				: "the guest goes on at the destination, if it is READY there yet");
	else if (m->state == MIG_UNDO)
		vmm_silent(m, s, "take its guest back ('activate')", "the guest is lost");
	else if (m->state == MIG_IN_RUN)
		vmm_silent(m, s, "run the guest ('activate')",
			migration_is_file(m) ? "it can be loaded again"
					     : "say by 'resolve' whether it has run here");
	else if (m->state == MIG_IN_READY)
		source_silent(m, s);
	else if (m->state == MIG_COMMIT)
		err_set(&m->overdue, -ETIMEDOUT,
			"the disk of %s has not taken the file's name for %lld s: the guest stays paused until it has, or refuses it",
			m->uri_text, s);
	else
		return;
	unresolved_tell(m);
}

static void arm(struct migration *m)
{
	int64_t ms = m->tuning.handover_timeout * 1000;
	int64_t gone = (int64_t)((clock_ns() - m->t_waits) / NS_PER_MS);

	migration_limit(m, gone < ms ? ms - gone : 0, late_cb);
}

void unresolved_wait(struct migration *m)
{
	m->t_waits = clock_ns();
	arm(m);
}

void unresolved_tuned(struct migration *m)
{
	if (m->t_waits && !m->overdue.code)
		arm(m);
}

void unresolved_over(struct migration *m)
{
	m->t_waits = 0;
	m->overdue = (struct err){0};
	if (m->limit)
		event_del(m->limit);
}
