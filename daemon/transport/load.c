/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/transport/load.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/foreign.h"
#include "daemon/dest/dest.h"
#include "daemon/control/dumphtab.h"
#include "daemon/transport/filepath.h"
#include "daemon/control/incoming.h"
#include "daemon/base/job.h"
#include "daemon/transport/loadfile.h"
#include "daemon/base/log.h"
#include "daemon/server.h"

#define RING 32u

/* What a thread needs is here: it does not touch the migration. */
struct load {
	struct migration *m; /* NULL: it is over, nobody waits for the thread */
	struct job *job;
	int (*work)(struct load *l);
	void (*then)(struct migration *m);
	bool told;
	char path[URI_MAX];
	struct loadfile *file;
	int state_fd;
	int result;
	struct err err;
};

static void work(void *arg)
{
	struct load *l = arg;

	l->result = l->work(l);
}

static void done(void *arg)
{
	struct load *l = arg;
	struct migration *m = l->m;

	l->job = NULL;
	if (!m)
		load_free(l);
	else if (m->state == MIG_IN_STOPPING)
		dest_stopped_one(m);
	else
		l->then(m);
}

static void start(struct load *l, int (*fn)(struct load *l), void (*then)(struct migration *m))
{
	struct err err;
	int r;

	assert(!l->job);
	l->work = fn;
	l->then = then;
	/* from here to done() result and err are the thread's */
	r = job_start(l->m->srv->base, "file", work, done, l, &l->job, &err);
	if (r < 0) {
		l->result = r;
		l->err = err;
		then(l->m);
	}
}

bool load_busy(const struct load *l)
{
	return l && l->job;
}

bool load_told(const struct migration *m)
{
	return !m->load || m->load->told;
}

struct flow_io load_io(const struct migration *m)
{
	return loadfile_io(m->load->file);
}

struct load *load_free(struct load *l)
{
	if (!l)
		return NULL;
	if (l->job) {
		l->m = NULL;
		return NULL;
	}
	loadfile_free(l->file);
	foreign_close(l->state_fd);
	free(l);
	return NULL;
}

/* -- IN_PREPARE -- */

static int judge(struct load *l)
{
	return loadfile_open(l->path, &l->file, &l->err);
}

static int check_guest(struct migration *m, const struct wire_open *o, struct err *err)
{
	enum wire_refusal ignored;
	char uuid[37];

	uuid_text(&o->uuid, uuid);
	if (!uuid_eq(&o->uuid, &m->uuid))
		return err_set(err, -EINVAL,
			"%s holds VM %s with UUID %s, VM %s here has UUID %s: start it with that one",
			m->uri.path, o->name, uuid, m->vm_name, m->vm->uuid_text);
	return dest_check_machine(m->vm, o, &ignored, err);
}

static void judged(struct migration *m)
{
	struct load *l = m->load;
	const struct file_check *c;
	struct err err;

	if (l->result < 0) {
		dest_failf(m, l->result, "%s", l->err.text);
		return;
	}
	c = loadfile_about(l->file);
	if (check_guest(m, &c->open, &err) < 0) {
		dest_failf(m, err.code, "%s", err.text);
		return;
	}
	m->open = c->open;
	m->open.session = m->session;
	agreed_accept(&m->agreed, &m->open, 0);
	m->end = c->end;
	m->end.session = m->session;
	m->ring = RING;
	l->told = true;
	dest_prepare(m);
}

static void judge_go(struct migration *m)
{
	start(m->load, judge, judged);
}

int load_start(
	struct server *srv, struct vm *vm, const char *text, const struct uri *uri, struct err *err)
{
	struct load *l;
	struct migration *m;
	struct session_id session;
	int r = filepath_check(uri->path, err);

	if (r < 0)
		return r;
	if (dumphtab_check(vm, err) < 0)
		return -EBUSY;
	if (server_full(srv) || srv->stopping)
		return err_set(err, -EBUSY,
			srv->stopping ? "the daemon is stopping"
				      : "too many migrations are under way");
	/* The guest may be loaded again elsewhere: each time it is a session of its own. */
	if (getrandom(session.b, sizeof(session.b), 0) != sizeof(session.b))
		return err_set(err, -EIO, "the kernel has no random numbers");
	l = calloc(1, sizeof(*l));
	m = l ? migration_new(srv, vm, MIG_IN_PREPARE) : NULL;
	if (!m) {
		free(l);
		return err_set(err, -ENOMEM, "out of memory");
	}
	l->m = m;
	l->state_fd = -1;
	snprintf(l->path, sizeof(l->path), "%s", uri->path);
	m->load = l;
	m->incoming = true;
	m->session = session;
	m->uri = *uri;
	snprintf(m->uri_text, sizeof(m->uri_text), "%s", text);
	incoming_withdraw(srv, vm);
	log_info("vm %s: is loaded from %s", m->vm_name, uri->path);
	migration_begin(m, judge_go);
	return 0;
}

/* -- IN_ACTIVE -- */

static void passes_go(struct migration *m)
{
	struct err err;

	m->t_active = clock_ns();
	if (dest_flow(m, &err) < 0)
		dest_failf(m, err.code, "%s", err.text);
}

void load_passes(struct migration *m)
{
	migration_enter(m, MIG_IN_ACTIVE, passes_go);
}

/* -- IN_FINISH -- */

static int read_state(struct load *l)
{
	return loadfile_state(l->file, &l->state_fd, &l->err);
}

static void state_read(struct migration *m)
{
	struct load *l = m->load;

	if (l->result < 0) {
		dest_failf(m, l->result, "%s", l->err.text);
		return;
	}
	m->state_fd = l->state_fd;
	m->state_done = m->end.state_size;
	m->state_digest = m->end.state_digest;
	l->state_fd = -1;
	dest_set_state(m);
}

void load_state(struct migration *m)
{
	start(m->load, read_state, state_read);
}
