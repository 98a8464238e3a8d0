/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/flow/htabio.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/foreign.h"
#include "proto/htab.h"

#define SEGMENTS    1024u                            /* IOV_MAX: records in one writev() */
#define ENTRIES_ANY (1ull << 32)                     /* as many as a record's u32 index reaches */
#define PIECE_MAX   (HTAB_HDR_SIZE + TLB_ENTRY_SIZE) /* one entry of either kind */

static_assert(SEGMENTS <= IOV_MAX, "writev() takes them all");

struct htabio {
	const struct htabio_ops *ops;
	void *ctx;
	enum htab_kind kind;
	const char *who; /* refuses an entry */
	int fd;
	int timeout_ms;
	int broken; /* a socket whose exchanges are out of step: the errno that did it */
	atomic_bool shut;
	size_t read_max;
	size_t done; /* bytes of the last write that were surely taken */
	struct iovec *iov;
	uint8_t *packet;
	char text[ERR_TEXT_MAX];
};

static int io_fail(struct htabio *io, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int io_fail(struct htabio *io, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(io->text, sizeof(io->text), fmt, ap);
	va_end(ap);
	return code;
}

/* -- the kernel's fd -- */

static ssize_t kernel_read(void *ctx, void *buf, size_t max)
{
	struct htabio *io = ctx;
	ssize_t n;

	do
		n = read(io->fd, buf, max);
	while (n < 0 && errno == EINTR && !atomic_load(&io->shut));
	if (n < 0)
		return io_fail(io, -errno, "read of the htab fd: %s", strerror(errno));
	return n;
}

/* One record for each segment, SEGMENTS at most. Returns how many. */
static int gather(struct htabio *io, const void *buf, size_t len)
{
	struct htab_iter it;
	struct htab_rec rec;
	unsigned n = 0;

	htab_iter_init_kind(&it, io->kind, buf, len, ENTRIES_ANY, HTAB_HOST);
	while (n < SEGMENTS && htab_iter_step(&it, &rec)) {
		io->iov[n].iov_base = (void *)(uintptr_t)(rec.hptes - HTAB_HDR_SIZE);
		io->iov[n++].iov_len = htab_rec_size(&rec);
	}
	assert(n > 0); /* validated before */
	return (int)n;
}

static int kernel_write(void *ctx, const void *buf, size_t len)
{
	struct htabio *io = ctx;

	io->done = 0;
	while (io->done < len) {
		int segments = gather(io, (const uint8_t *)buf + io->done, len - io->done), i;
		ssize_t n;

		if (atomic_load(&io->shut))
			return io_fail(io, -ECANCELED, "stopped");
		do
			n = writev(io->fd, io->iov, segments);
		while (n < 0 && errno == EINTR && !atomic_load(&io->shut));
		if (n < 0)
			return -errno;
		/* A segment that failed behind good ones is the next writev()'s first. */
		for (i = 0; i < segments && (size_t)n >= io->iov[i].iov_len; i++) {
			n -= (ssize_t)io->iov[i].iov_len;
			io->done += io->iov[i].iov_len;
		}
		if (n > 0 || i == 0)
			return io_fail(io, -EIO, "it took %zd bytes of the record", n);
	}
	return 0;
}

static void kernel_shutdown(void *ctx)
{
	/* A read inside the kernel returns by itself; the next call does nothing. */
}

static void fd_kind_close(void *ctx)
{
	struct htabio *io = ctx;

	io->fd = foreign_close(io->fd);
}

static const struct htabio_ops kernel_ops = {
	.read = kernel_read,
	.write = kernel_write,
	.shutdown = kernel_shutdown,
	.close = fd_kind_close,
};

/* -- htabsock: a VMM that owns its table -- */

/* Wait for the socket; 0, or -ETIMEDOUT when the exchange's deadline is over. */
static int sock_wait(struct htabio *io, short events, uint64_t deadline)
{
	struct pollfd p = {.fd = io->fd, .events = events};
	uint64_t now = clock_ns();
	int ms = -1;

	if (io->timeout_ms >= 0) {
		if (now >= deadline)
			return -ETIMEDOUT;
		ms = (int)((deadline - now) / NS_PER_MS + 1);
	}
	if (poll(&p, 1, ms) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

/* Send the len bytes of io->packet, receive the answer into it: its length or -errno. */
static ssize_t sock_exchange(struct htabio *io, size_t len)
{
	uint64_t deadline = clock_ns() + (uint64_t)io->timeout_ms * NS_PER_MS;
	ssize_t r;

	while ((r = fd_send_packet(io->fd, io->packet, len, -1)) == -EAGAIN)
		if ((r = sock_wait(io, POLLOUT, deadline)) < 0)
			return r;
	if (r < 0)
		return r;
	while ((r = fd_recv_packet(io->fd, io->packet, HTABSOCK_PACKET_MAX, NULL)) == -EAGAIN)
		if ((r = sock_wait(io, POLLIN, deadline)) < 0)
			return r;
	return r == 0 ? -EPIPE : r;
}

/* A request of `len` bytes in io->packet: the answer's result, or -errno with `broken` set. */
static int sock_ask(struct htabio *io, enum htabsock_op op, uint32_t count, size_t len)
{
	int32_t result;
	ssize_t n;

	if (io->broken)
		return io_fail(io, io->broken, "the VMM's htab socket failed before: %s",
			strerror(-io->broken));
	n = sock_exchange(io, len);
	if (n < 0) {
		io->broken = (int)n;
		if (atomic_load(&io->shut))
			return io_fail(io, -ECANCELED, "stopped");
		if (n == -EPIPE || n == -ECONNRESET)
			return io_fail(io, (int)n, "the VMM closed its htab socket");
		if (n == -ETIMEDOUT)
			return io_fail(io, (int)n,
				"the VMM did not answer on its htab socket for %d ms",
				io->timeout_ms);
		return io_fail(io, (int)n, "htab socket: %s", strerror((int)-n));
	}
	if (htabsock_unpack_answer(io->packet, (size_t)n, op, count, &result) < 0) {
		io->broken = -EBADMSG;
		return io_fail(io, -EBADMSG,
			"the VMM's answer on its htab socket is malformed (%zd bytes)", n);
	}
	return result;
}

/* The headers of an answer into host order. What the entries hold is checked by who reads. */
static int to_host(enum htab_kind kind, uint8_t *p, size_t len)
{
	while (len > 0) {
		size_t size;

		if (len < HTAB_HDR_SIZE)
			return -EBADMSG;
		size = HTAB_HDR_SIZE + (size_t)be16_get(p + 4) * htab_entry_size(kind);
		if (size > len)
			return -EBADMSG;
		htab_put_header(p, HTAB_HOST, be32_get(p), be16_get(p + 4), be16_get(p + 6));
		p += size;
		len -= size;
	}
	return 0;
}

static ssize_t sock_read(void *ctx, void *buf, size_t max)
{
	struct htabio *io = ctx;
	uint32_t count = (uint32_t)(max < io->read_max ? max : io->read_max);
	int n;

	htabsock_pack_request(io->packet, HTABSOCK_READ, count);
	n = sock_ask(io, HTABSOCK_READ, count, HTABSOCK_REQ_SIZE);
	if (n < 0)
		return io->broken ? n : io_fail(io, n, "the VMM answers a read: %s", strerror(-n));
	memcpy(buf, io->packet + HTABSOCK_ANS_SIZE, (size_t)n);
	if (to_host(io->kind, buf, (size_t)n) < 0)
		return io_fail(io, -EBADMSG, "the VMM answers a read with a record cut short");
	return n;
}

/* Send what is in the packet: `len` bytes of records behind the request's header. */
static int sock_flush(struct htabio *io, size_t len)
{
	int n;

	htabsock_pack_request(io->packet, HTABSOCK_WRITE, (uint32_t)len);
	n = sock_ask(io, HTABSOCK_WRITE, (uint32_t)len, HTABSOCK_REQ_SIZE + len);
	if (n < 0)
		return n;
	return (size_t)n == len ? 0 : -EIO;
}

static int sock_write(void *ctx, const void *buf, size_t len)
{
	struct htabio *io = ctx;
	uint8_t *records = io->packet + HTABSOCK_REQ_SIZE;
	struct htab_iter it;
	struct htab_rec rec;
	size_t fill = 0;
	int r;

	htab_iter_init_kind(&it, io->kind, buf, len, ENTRIES_ANY, HTAB_HOST);
	while (htab_iter_step(&it, &rec)) {
		while (rec.n_valid || rec.n_invalid) {
			if (HTABSOCK_RECORDS_MAX - fill < PIECE_MAX) {
				r = sock_flush(io, fill);
				if (r < 0)
					return r;
				fill = 0;
			}
			fill += htab_split(
				&rec, records + fill, HTABSOCK_RECORDS_MAX - fill, HTAB_WIRE);
		}
	}
	return fill ? sock_flush(io, fill) : 0;
}

static void sock_shutdown(void *ctx)
{
	struct htabio *io = ctx;

	shutdown(io->fd, SHUT_RDWR);
}

static const struct htabio_ops sock_ops = {
	.read = sock_read,
	.write = sock_write,
	.shutdown = sock_shutdown,
	.close = fd_kind_close,
};

/* -- either -- */

static bool is_seqpacket(int fd)
{
	int type = 0, domain = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET)
		return false;
	len = sizeof(domain);
	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_UNIX;
}

static int check_fd(int fd, enum vmm_htab_kind kind, struct err *err)
{
	int r;

	switch (kind) {
	case VMM_HTAB_KERNEL:
		if (!fd_is_kvm_htab(fd))
			return err_set(err, -EINVAL,
				"the VMM's htab fd is no anon_inode:kvm-htab: it must come from "
				"KVM_PPC_GET_HTAB_FD");
		return 0;
	case VMM_HTAB_SOCKET:
		if (!is_seqpacket(fd))
			return err_set(err, -EINVAL,
				"the VMM's htab fd is no SOCK_SEQPACKET socket: it must be one end "
				"of a pair that speaks htabsock");
		r = fd_set_nonblock(fd);
		return r < 0 ? err_set(err, r, "htab socket: %s", strerror(-r)) : 0;
	}
	return err_set(err, -EINVAL, "the VMM's htab fd is of an unknown kind, %d", (int)kind);
}

int htabio_new(
	int fd, enum vmm_htab_kind kind, int timeout_ms, struct htabio **ret, struct err *err)
{
	bool kernel = kind == VMM_HTAB_KERNEL;
	struct htabio *io;
	int r = check_fd(fd, kind, err);

	if (r < 0) {
		foreign_close(fd);
		return r;
	}
	r = htabio_new_ops(kernel ? &kernel_ops : &sock_ops, NULL, &io);
	if (r < 0) {
		foreign_close(fd);
		return err_set(err, r, "out of memory for the VMM's htab fd");
	}
	io->ctx = io;
	io->fd = fd;
	io->timeout_ms = timeout_ms;
	io->read_max = kernel ? SIZE_MAX : HTABSOCK_RECORDS_MAX;
	io->who = kernel ? "the destination's KVM" : "the destination's VMM";
	if (kernel)
		io->iov = calloc(SEGMENTS, sizeof(*io->iov));
	else
		io->packet = malloc(HTABSOCK_PACKET_MAX);
	if (!io->iov && !io->packet) {
		htabio_free(io);
		return err_set(err, -ENOMEM, "out of memory for the VMM's htab fd");
	}
	*ret = io;
	return 0;
}

int htabio_new_ops(const struct htabio_ops *ops, void *ctx, struct htabio **ret)
{
	struct htabio *io = calloc(1, sizeof(*io));

	if (!io)
		return -ENOMEM;
	io->ops = ops;
	io->ctx = ctx;
	io->who = "the destination's VMM";
	io->fd = -1;
	io->read_max = SIZE_MAX;
	*ret = io;
	return 0;
}

ssize_t htabio_read(struct htabio *io, void *buf, size_t max)
{
	ssize_t n;

	if (atomic_load(&io->shut))
		return io_fail(io, -ECANCELED, "stopped");
	io->text[0] = '\0';
	n = io->ops->read(io->ctx, buf, max);
	if (n > 0 && (size_t)n > htabio_read_count(io, max))
		return io_fail(io, -EBADMSG, "%zd bytes came where %zu were asked for", n, max);
	if (n < 0 && !io->text[0])
		return io_fail(io, (int)n, "%s", strerror((int)-n));
	return n;
}

void htabio_set_kind(struct htabio *io, enum htab_kind kind)
{
	io->kind = kind;
}

enum htab_kind htabio_kind(const struct htabio *io)
{
	return io->kind;
}

size_t htabio_read_count(const struct htabio *io, size_t max)
{
	return max < io->read_max ? max : io->read_max;
}

static const char *remedy(int code)
{
	switch (code) {
	case -EIO: return "is the guest's memory registered, with pages of the same size?";
	case -EINVAL: return "does this host know the page size, and is the table as large?";
	case -EBUSY: return "a vCPU of the destination runs, but must wait for the hand-over";
	default: return "is the destination's VMM healthy?";
	}
}

static void name_entry(struct htabio *io, uint32_t index, const uint8_t *entry, int code)
{
	char text[96];

	if (io->kind == HTAB_TLB)
		snprintf(text, sizeof(text),
			"TLB entry %" PRIu32 " (mas1=0x%08x mas2=0x%" PRIx64 ")", index,
			be32_get(entry + 4), be64_get(entry + 8));
	else
		snprintf(text, sizeof(text),
			"HPTE index %" PRIu32 " (v=0x%016" PRIx64 " r=0x%016" PRIx64 ")", index,
			be64_get(entry), be64_get(entry + 8));
	io_fail(io, code, "%s refused %s: %s: %s", io->who, text, strerror(-code), remedy(code));
}

/* The entries of a record one by one, until one is refused: that one is named. */
static bool find_entry(struct htabio *io, const struct htab_rec *rec, int *code)
{
	size_t size = htab_entry_size(io->kind);
	uint8_t one[PIECE_MAX];

	for (unsigned i = 0; i < rec->n_valid; i++) {
		const uint8_t *entry = rec->hptes + i * size;
		int r;

		htab_put_header(one, HTAB_HOST, rec->index + i, 1, 0);
		memcpy(one + HTAB_HDR_SIZE, entry, size);
		r = io->ops->write(io->ctx, one, HTAB_HDR_SIZE + size);
		if (r == 0)
			continue;
		*code = r;
		name_entry(io, rec->index + i, entry, r);
		return true;
	}
	return false;
}

static void name_record(struct htabio *io, const struct htab_rec *rec, int code)
{
	uint32_t last = rec->index + rec->n_valid + rec->n_invalid - 1;
	char why[128];

	snprintf(why, sizeof(why), "%.100s", io->text[0] ? io->text : strerror(-code));
	io_fail(io, code,
		"%s refused a record of %s indexes %" PRIu32 " to %" PRIu32
		" (%u valid, %u invalid): %s: %s",
		io->who, io->kind == HTAB_TLB ? "TLB" : "HPTE", rec->index, last, rec->n_valid,
		rec->n_invalid, why, remedy(code));
}

/*
 * A write failed somewhere behind io->done: again, record by record, for the one and the entry that
 * did it. Writing an entry twice changes nothing, and the table is to be thrown away by now.
 */
static int find_culprit(struct htabio *io, const void *buf, size_t len, int code)
{
	size_t done = io->done;
	struct htab_iter it;
	struct htab_rec rec;

	htab_iter_init_kind(
		&it, io->kind, (const uint8_t *)buf + done, len - done, ENTRIES_ANY, HTAB_HOST);
	while (htab_iter_next(&it, &rec) > 0) {
		const uint8_t *p = rec.hptes - HTAB_HDR_SIZE;
		int r;

		if (atomic_load(&io->shut))
			return -ECANCELED;
		io->text[0] = '\0';
		r = io->ops->write(io->ctx, p, htab_rec_size(&rec));
		if (r == 0)
			continue;
		if (!find_entry(io, &rec, &r))
			name_record(io, &rec, r);
		return r;
	}
	return io_fail(io, code, "%s refused a record, but took it when asked again: %s", io->who,
		strerror(-code));
}

int htabio_write(struct htabio *io, const void *buf, size_t len)
{
	int r;

	if (atomic_load(&io->shut))
		return io_fail(io, -ECANCELED, "stopped");
	io->text[0] = '\0';
	io->done = 0;
	r = io->ops->write(io->ctx, buf, len);
	if (!io->broken && (r == -EIO || r == -EINVAL || r == -EBUSY))
		return find_culprit(io, buf, len, r);
	if (r < 0 && !io->text[0])
		io_fail(io, r, "%s: %s", io->who, strerror(-r));
	return r;
}

const char *htabio_error(const struct htabio *io)
{
	return io->text[0] ? io->text : "no error";
}

void htabio_shutdown(struct htabio *io)
{
	atomic_store(&io->shut, true);
	if (io->ops->shutdown)
		io->ops->shutdown(io->ctx);
}

struct htabio *htabio_free(struct htabio *io)
{
	if (io) {
		if (io->ops->close)
			io->ops->close(io->ctx);
		free(io->iov);
		free(io->packet);
		free(io);
	}
	return NULL;
}
