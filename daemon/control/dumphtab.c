/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/control/dumphtab.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "common/foreign.h"
#include "daemon/flow/htabio.h"
#include "daemon/base/job.h"
#include "daemon/base/limits.h"
#include "daemon/session/migration.h"

#define READ_BYTES (256u << 10)

struct dumphtab {
	struct server *srv;
	struct vm *vm; /* NULL: gone */
	char vm_name[VM_NAME_MAX + 1];
	struct qmp_call *call;
	unsigned order;
	int fd;
	/* the thread's, while there is a job */
	struct job *job;
	struct htabio *io;
	uint64_t bytes;
	int result;
	struct err err;
};

static void end(struct dumphtab *d, int r, const struct err *err)
{
	struct json_object *o;

	if (r < 0) {
		qmp_fail(d->call, err);
	} else {
		o = json_object_new_object();
		json_object_object_add(o, "order", json_object_new_int64(d->order));
		json_object_object_add(o, "bytes", json_object_new_int64((int64_t)d->bytes));
		qmp_return(d->call, o);
	}
	htabio_free(d->io);
	if (d->vm) {
		d->vm->dump = NULL;
		vm_htab_closed(d->vm, d);
		vm_answer_change(d->vm, 0, NULL); /* its table may change now: dumphtab_busy() */
	}
	d->srv->n_dumps--;
	foreign_close(d->fd);
	free(d);
}

static int no_file(struct err *err)
{
	return err_set(err, -EINVAL, "the descriptor is no regular file that is open for writing");
}

/* -- the thread -- */

static int write_all(struct dumphtab *d, const uint8_t *p, size_t len)
{
	while (len) {
		ssize_t n = write(d->fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(&d->err, n < 0 ? -errno : -EIO,
				"the table of VM %s cannot be written to the client's file: %s",
				d->vm_name, strerror(n < 0 ? errno : EIO));
		p += n;
		len -= (size_t)n;
		d->bytes += (uint64_t)n;
	}
	return 0;
}

/* One lap: 1 while there is more. */
static int read_some(struct dumphtab *d, uint8_t *buf)
{
	uint64_t entries = htab_entries(d->order);
	struct htab_count count;
	const char *why;
	ssize_t n = htabio_read(d->io, buf, READ_BYTES);
	int r;

	if (n < 0)
		return err_set(&d->err, (int)n, "the table of VM %s cannot be read: %s", d->vm_name,
			htabio_error(d->io));
	if (n == 0)
		return 0;
	if (htab_check(buf, (size_t)n, entries, HTAB_HOST, &count, &why) < 0)
		return err_set(&d->err, -EBADMSG, "the VMM of %s gave malformed records: %s",
			d->vm_name, why);
	htab_convert(buf, (size_t)n, HTAB_HOST, HTAB_WIRE);
	r = write_all(d, buf, (size_t)n);
	if (r < 0)
		return r;
	return !htab_read_wrapped(
		(size_t)n, htabio_read_count(d->io, READ_BYTES), count.end, entries);
}

static void work(void *arg)
{
	struct dumphtab *d = arg;
	uint8_t *buf = malloc(READ_BYTES);
	struct stat st;

	if (!buf)
		d->result = err_set(&d->err, -ENOMEM, "out of memory");
	else if (fstat(d->fd, &st) < 0 || !S_ISREG(st.st_mode)) /* the file system may not answer */
		d->result = no_file(&d->err);
	else
		d->result = 1;
	while (d->result > 0)
		d->result = read_some(d, buf);
	free(buf);
}

static void done(void *arg)
{
	struct dumphtab *d = arg;

	end(d, d->result, &d->err);
}

/* -- the loop -- */

static void htab_cb(void *arg, const struct vmm_reply *reply, int fd)
{
	struct dumphtab *d = arg;
	struct err err;
	int r;

	if (reply->error) {
		foreign_close(fd);
		r = err_set(&err, reply->error, "the VMM of %s cannot open its HPT: %s", d->vm_name,
			reply->text);
	} else {
		r = htabio_new(fd, (enum vmm_htab_kind)reply->value, limit_ms(LIMIT_VMM_ANSWER),
			&d->io, &err);
	}
	if (r == 0)
		r = job_start(d->srv->base, "htab-dump", work, done, d, &d->job, &err);
	if (r < 0)
		end(d, r, &err);
}

bool dumphtab_busy(const struct vm *vm)
{
	return vm->dump;
}

int dumphtab_check(const struct vm *vm, struct err *err)
{
	if (!vm->dump)
		return 0;
	return err_set(err, -EBUSY,
		"the table of VM %s is being read for a client (dump-htab): try again",
		vm->reg.name);
}

void dumphtab_vm_gone(struct vm *vm)
{
	if (vm->dump)
		vm->dump->vm = NULL;
	vm->dump = NULL;
}

static int check(const struct server *srv, const struct vm *vm, int fd, struct err *err)
{
	int flags = fcntl(fd, F_GETFL);

	if (srv->stopping)
		return err_set(err, -EBUSY, "the daemon is stopping");
	if (vm->migration && !migration_is_final(vm->migration))
		return err_set(err, -EBUSY,
			"VM %s is in a migration (step '%s'), which alone may read its table: wait for its end",
			vm->reg.name, migration_step(vm->migration->state));
	if (vm->dump)
		return err_set(
			err, -EBUSY, "the table of VM %s is being read already", vm->reg.name);
	if (vm->reg.mmu != MMU_HPT)
		return err_set(err, -EINVAL, "VM %s has no hashed page table", vm->reg.name);
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return no_file(err);
	return 0;
}

void dumphtab_start(struct server *srv, struct vm *vm, int fd, struct qmp_call *call)
{
	struct vmm_request req = {.type = VMM_OPEN_HTAB};
	struct dumphtab *d = NULL;
	struct err err;
	int r = check(srv, vm, fd, &err);

	if (r == 0 && !(d = calloc(1, sizeof(*d))))
		err_set(&err, -ENOMEM, "out of memory");
	if (!d) {
		foreign_close(fd);
		qmp_fail(call, &err);
		return;
	}
	*d = (struct dumphtab){
		.srv = srv,
		.vm = vm,
		.call = call,
		.order = vm->reg.order,
		.fd = fd,
	};
	snprintf(d->vm_name, sizeof(d->vm_name), "%s", vm->reg.name);
	vm->dump = d;
	srv->n_dumps++;
	vm_ask(vm, &req, -1, limit_ms(LIMIT_VMM_ANSWER), htab_cb, d);
}
