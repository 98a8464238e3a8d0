/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/transport/save.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/foreign.h"
#include "daemon/transport/filepath.h"
#include "daemon/base/job.h"
#include "daemon/transport/loadfile.h"
#include "daemon/base/log.h"
#include "daemon/transport/savefile.h"
#include "daemon/server.h"
#include "daemon/source/source.h"
#include "proto/file.h"

#define RING 32u /* chunks between the reader and the disk: 8 MiB */

/* What a thread needs is here: it does not touch the migration. */
struct save {
	struct migration *m; /* NULL: it is over, nobody waits for the thread */
	struct job *job;     /* under way */
	int (*work)(struct save *s);
	void (*then)(struct migration *m);
	bool gone;     /* the file was given up */
	bool put_back; /* and source_stopped_one() heard of it */

	char path[URI_MAX];
	struct session_id session;
	struct dir_place place;
	bool last; /* its guest has ended */
	struct savefile *file;
	struct file_header header;
	struct wire_open open;
	struct wire_end end;
	int state_fd;
	uint64_t state_size;

	int result;
	struct err err;
};

/* -- a thread at a time -- */

static void work(void *arg)
{
	struct save *s = arg;

	s->result = s->work(s);
}

static void done(void *arg)
{
	struct save *s = arg;
	struct migration *m = s->m;

	s->job = NULL;
	if (!m)
		save_free(s);
	else if (m->state == MIG_STOPPING)
		save_put_back(m);
	else
		s->then(m);
}

/* Do it in a thread, and go on with `then`; when there is no thread, with an error there. */
static void start(struct save *s, int (*fn)(struct save *s), void (*then)(struct migration *m))
{
	struct err err;
	int r;

	assert(!s->job);
	s->work = fn;
	s->then = then;
	s->err = (struct err){0};
	/* from here to done() result and err are the thread's */
	r = job_start(s->m->srv->base, "file", work, done, s, &s->job, &err);
	if (r < 0) {
		s->result = r;
		s->err = err;
		then(s->m);
	}
}

static struct save *save_new(struct migration *m)
{
	struct save *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->m = m;
	s->state_fd = -1;
	s->session = m->session;
	s->place = m->place;
	snprintf(s->path, sizeof(s->path), "%s", m->uri.path);
	m->save = s;
	return s;
}

bool save_busy(const struct save *s)
{
	return s && s->job;
}

struct save *save_free(struct save *s)
{
	if (!s)
		return NULL;
	if (s->job) {
		s->m = NULL;
		return NULL;
	}
	savefile_free(s->file);
	foreign_close(s->state_fd);
	free(s);
	return NULL;
}

/* -- CONNECT: the file, HEADER, OPEN -- */

int save_check(const struct vm *vm, const struct uri *uri, struct err *err)
{
	int r = filepath_check(uri->path, err);

	if (r < 0)
		return r;
	if (vm->params.verify)
		return err_set(err, -EINVAL,
			"VM %s cannot be saved with capability 'verify' on: a file has no table to "
			"compare with, switch it off",
			vm->reg.name);
	if (vm->params.bolted_only && vm->reg.mmu != MMU_HPT)
		return err_set(err, -EINVAL,
			"VM %s cannot be saved with capability 'bolted-only' on: its TLBs have no "
			"bolted entries, switch it off",
			vm->reg.name);
	return 0;
}

static int create(struct save *s)
{
	uint8_t buf[2 * (WIRE_HDR_SIZE + WIRE_CONTROL_MAX)];
	int r = savefile_create(s->path, &s->session, &s->file, &s->err);
	int head, open;

	if (r < 0)
		return r;
	head = file_pack_header(&s->header, buf, sizeof(buf));
	assert(head > 0);
	open = wire_pack_open(&s->open, buf + head, sizeof(buf) - (size_t)head);
	assert(open > 0);
	return savefile_write(s->file, buf, (size_t)(head + open), &s->err);
}

static void created(struct migration *m)
{
	struct save *s = m->save;

	if (s->result < 0)
		source_failf(m, s->result, "%s", s->err.text);
	else {
		m->place = s->place = *savefile_place(s->file);
		source_start_htab(m);
	}
}

void save_begin(struct migration *m)
{
	struct save *s = save_new(m);
	struct timespec now;

	if (!s) {
		source_failf(m, -ENOMEM, "out of memory");
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	s->header = (struct file_header){
		.version = FILE_VERSION,
		.features = FILE_FEATURES,
		.saved_ns = (uint64_t)now.tv_sec * NS_PER_SEC + (uint64_t)now.tv_nsec,
	};
	snprintf(s->header.name, sizeof(s->header.name), "%s", m->srv->config.name);
	agreed_settle(&m->agreed, 0);
	source_describe(m, &s->open);
	source_describe_processor(m, &s->open);
	m->ring = RING;
	start(s, create, created);
}

struct flow_io save_io(const struct migration *m)
{
	return savefile_io(m->save->file);
}

const struct err *save_error(const struct migration *m)
{
	return savefile_error(m->save->file);
}

/* -- STATE and END -- */

static int finish(struct save *s)
{
	return savefile_finish(s->file, &s->err);
}

static int judge(struct save *s)
{
	return savefile_judge(s->file, &s->session, &s->err);
}

/* The guest is nowhere else any more: what there is of it stays, whatever it is worth. */
static void leave(struct migration *m)
{
	if (m->vm_dead && savefile_leave(m->save->file))
		log_err("vm %s: its VMM is dead, so what was written stays beside %s as %s",
			m->vm_name, m->uri.path, savefile_leave(m->save->file));
}

/* As READY is elsewhere: all of the guest is there, and has never run again since. */
static void judged(struct migration *m)
{
	struct save *s = m->save;

	if (s->result < 0) {
		leave(m);
		source_failf(m, s->result, "%s", s->err.text);
	} else if (!m->vm)
		handover_commit(m);
	else
		switchover_note(m);
}

/* The file has all of the guest: how long it takes to look at it ends nothing. */
static void finished(struct migration *m)
{
	if (m->save->result < 0) {
		judged(m);
		return;
	}
	if (m->limit)
		event_del(m->limit);
	start(m->save, judge, judged);
}

static void end_go(struct migration *m)
{
	m->t_end = clock_ns();
	start(m->save, finish, finished);
}

/* The image's frames, and END. */
static int write_state(struct save *s)
{
	uint8_t buf[WIRE_HDR_SIZE + WIRE_STATE_MAX];
	uint64_t digest = STREAM_DIGEST_INIT, done = 0;
	int r = 0, len;

	while (r == 0 && done < s->state_size) {
		uint64_t left = s->state_size - done;
		size_t n = left < WIRE_STATE_MAX ? (size_t)left : WIRE_STATE_MAX;

		if (pread(s->state_fd, buf + WIRE_HDR_SIZE, n, (off_t)done) != (ssize_t)n)
			return err_set(&s->err, -EIO, "the machine state cannot be read back");
		wire_pack_header(buf, WIRE_STATE, n);
		digest = stream_digest(digest, buf + WIRE_HDR_SIZE, n);
		r = savefile_write(s->file, buf, WIRE_HDR_SIZE + n, &s->err);
		done += n;
	}
	if (r < 0)
		return r;
	s->end.state_digest = digest;
	len = wire_pack_end(&s->end, buf, sizeof(buf));
	assert(len > 0);
	return savefile_write(s->file, buf, (size_t)len, &s->err);
}

static void state_written(struct migration *m)
{
	struct save *s = m->save;

	s->state_fd = foreign_close(s->state_fd);
	if (s->result < 0) {
		source_failf(m, s->result, "%s", s->err.text);
		return;
	}
	m->state_done = s->state_size;
	migration_enter(m, MIG_END, end_go);
}

void save_state(struct migration *m)
{
	struct save *s = m->save;

	switchover_describe_end(m);
	s->end = m->end;
	s->state_fd = m->state_fd;
	s->state_size = m->state_size;
	m->state_fd = -1;
	start(s, write_state, state_written);
}

/* -- COMMIT -- */

static int publish(struct save *s)
{
	int r = savefile_publish(s->file, s->last, &s->err);

	if (r == 0 && !s->last)
		savefile_abandon(s->file);
	return r;
}

/* PATH holds the guest, or never will, or nobody knows. */
static void told(struct migration *m)
{
	struct save *s = m->save;

	if (s->result > 0)
		handover_release(m);
	else if (s->result == 0 && (!s->last || m->vm_dead))
		handover_undo(m, s->err.text);
	else
		handover_no_answer(m, &s->err);
}

static void published(struct migration *m)
{
	struct save *s = m->save;

	if (s->result == 0)
		leave(m);
	savefile_leave(s->file); /* what cannot be told is looked at again */
	told(m);
}

/* No guest of this session goes on here, for all we know: what there is of the file stays. */
static bool is_last(const struct migration *m)
{
	return !m->vm || vm_ending(m->vm);
}

void save_commit(struct migration *m)
{
	m->save->last = is_last(m);
	start(m->save, publish, published);
}

/* -- ASKING -- */

static int look(struct save *s)
{
	int r = loadfile_is(s->path, &s->session, &s->place, &s->err);

	if (r == 0 && !s->last) { /* what is on its way is there, or will never be */
		r = savefile_sweep(s->path, &s->session, &s->place, &s->err);
		if (r == 0)
			r = loadfile_is(s->path, &s->session, &s->place, &s->err);
	}
	if (r == 0)
		err_set(&s->err, -ENOENT, "there is no whole file of this session at %s", s->path);
	return r;
}

static void looked(struct migration *m)
{
	if (m->state != MIG_ASKING) /* an operator's word came first */
		return;
	told(m);
}

void save_ask(struct migration *m)
{
	struct save *s = m->save ? m->save : save_new(m);
	struct err err;

	if (!s) {
		err_set(&err, -ENOMEM, "out of memory");
		handover_no_answer(m, &err);
	} else if (!s->job) {
		s->last = is_last(m);
		start(s, look, looked);
	}
}

/* -- STOPPING -- */

static int abandon(struct save *s)
{
	if (s->file)
		savefile_abandon(s->file);
	return 0;
}

void save_put_back(struct migration *m)
{
	struct save *s = m->save;

	if (s->job || m->out)
		return; /* it is in use; comes again */
	if (s->gone) {
		if (!s->put_back) {
			s->put_back = true;
			source_stopped_one(m); /* may free s */
		}
		return;
	}
	s->gone = true;
	start(s, abandon, save_put_back);
}
