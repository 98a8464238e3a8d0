/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Both daemons, from the VMM sockets to the chunks between them: reader, sender, receiver and
 * writer are the daemon's own, stepped in this thread over a socketpair. What is not here: TLS, the
 * event loop, control connections, and codecs.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "daemon/flow/reader.h"
#include "daemon/flow/receiver.h"
#include "daemon/flow/sender.h"
#include "daemon/flow/writer.h"
#include "tests/e500/e500.h"

#define REPLY_MS 30000
#define RING     4u
#define CHUNK    1000u /* bytes: a pass is many */
#define COOKIE   "e500"

/* -- a VM's connection -- */

struct conn {
	int fd;
	uint32_t serial;
	struct vmm_register reg;
	uint8_t packet[VMM_PACKET_MAX];
};

int listen_at(const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	unlink(path);
	check(fd >= 0 && bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
			listen(fd, 4) == 0,
		"%s: %s", path, strerror(errno));
	return fd;
}

static void wait_for(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	check(poll(&p, 1, REPLY_MS) == 1, "the VMM said nothing for %u ms", REPLY_MS);
}

static size_t receive(struct conn *c, int *ret_fd)
{
	ssize_t n;

	wait_for(c->fd);
	n = fd_recv_packet(c->fd, c->packet, sizeof(c->packet), ret_fd);
	check(n > 0, "the VMM's connection ended: %s", strerror((int)-n));
	return (size_t)n;
}

static struct conn *accept_vm(int listener, bool incoming)
{
	struct conn *c = calloc(1, sizeof(*c));
	const uint8_t registered[VMM_HDR_SIZE] = {0, VMM_REGISTERED};
	size_t n;
	int r;

	check(c, "out of memory");
	wait_for(listener);
	c->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	check(c->fd >= 0, "accept: %s", strerror(errno));
	n = receive(c, NULL);
	r = vmm_unpack_register(c->packet, n, &c->reg);
	check(r == 0, "the VMM's registration: %s", strerror(-r));
	check(c->reg.mmu == MMU_BOOKE && c->reg.order == 0 && c->reg.tlb.sizes[0] == TLB0 &&
			c->reg.tlb.sizes[1] == TLB1,
		"it registers as something else");
	check(c->reg.incoming == incoming, "it is the wrong end");
	check(fd_send_packet(c->fd, registered, sizeof(registered), -1) >= 0, "send");
	return c;
}

/* Ask, and get the reply to it; *ret_fd is the descriptor that came along, where one has to. */
static void ask(struct conn *c, struct vmm_request *req, int fd, int *ret_fd)
{
	struct vmm_reply reply;
	uint32_t serial;
	uint16_t type;
	size_t n;
	int r, got;

	req->serial = ++c->serial;
	r = vmm_pack_request(req, c->packet);
	check(r > 0 && fd_send_packet(c->fd, c->packet, (size_t)r, fd) >= 0, "%s cannot be asked",
		vmm_type_name(req->type));
	for (;;) {
		n = receive(c, &got);
		check(vmm_unpack_header(c->packet, n, &type, &serial) == 0, "a packet cut short");
		if (type == VMM_REPLY)
			break;
		fd_close(got);
	}
	check(serial == c->serial && vmm_unpack_reply(c->packet, n, &reply) == 0, "no reply to %s",
		vmm_type_name(req->type));
	check(reply.error == 0, "%s: %s", vmm_type_name(req->type), reply.text);
	check(!ret_fd || got >= 0, "%s gave no descriptor", vmm_type_name(req->type));
	if (ret_fd)
		*ret_fd = got;
	else
		fd_close(got);
}

static void ask_type(struct conn *c, enum vmm_type type, const struct session_id *s)
{
	struct vmm_request req = {.type = type, .session = *s};

	ask(c, &req, -1, NULL);
}

static void ask_note(struct conn *c, enum session_note note, const struct session_id *s)
{
	struct vmm_request req = {.type = VMM_NOTE, .session = *s, .note = note};

	if (note == NOTE_COMMITTING || note == NOTE_LOADING) {
		req.cookie_len = sizeof(COOKIE);
		memcpy(req.cookie, COOKIE, sizeof(COOKIE));
	}
	ask(c, &req, -1, NULL);
}

static struct htabio *open_table(struct conn *c, uint32_t flags)
{
	struct vmm_request req = {.type = VMM_OPEN_HTAB, .flags = flags};
	struct htabio *io;
	struct err e;
	int fd;

	ask(c, &req, -1, &fd);
	check(htabio_new(fd, VMM_HTAB_SOCKET, REPLY_MS, &io, &e) == 0, "%s", e.text);
	htabio_set_kind(io, HTAB_TLB);
	return io;
}

/* -- the flows -- */

struct flows {
	int channel[2];
	struct flow from, to;
	struct sendrings sendrings;
	struct recvrings recvrings;
	struct reader reader;
	struct sender sender;
	struct receiver receiver;
	struct writer writer;
	struct htabio *read_io, *write_io;
	uint32_t pass;
};

static ssize_t channel_read(void *ctx, void *buf, size_t len)
{
	ssize_t n = recv(*(int *)ctx, buf, len, MSG_DONTWAIT);

	return n < 0 ? -errno : n;
}

static ssize_t channel_write(void *ctx, const void *buf, size_t len)
{
	ssize_t n = send(*(int *)ctx, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n < 0 ? -errno : n;
}

static void channel_want(void *ctx, struct flow_wait *wait)
{
	wait->fd = *(int *)ctx;
	wait->events = POLLIN | POLLOUT;
}

static const char *channel_error(void *ctx)
{
	return strerror(errno);
}

static void no_wake(struct flow *f, unsigned id)
{
	/* Every actor is stepped in turn. */
}

static void begin(struct flows *f, struct conn *source, struct conn *dest)
{
	struct outflow_config out = {
		.tlb_entries = TLB0 + TLB1, .generation = 1, .ring = RING, .chunk = CHUNK};
	struct inflow_config in = {.tlb_entries = TLB0 + TLB1, .generation = 1, .ring = RING};
	struct flow_io io = {channel_read, channel_write, channel_want, channel_error, NULL};

	memset(f, 0, sizeof(*f));
	check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->channel) == 0, "socketpair");
	f->write_io = open_table(dest, HTAB_FD_WRITE);
	f->read_io = open_table(source, 0);
	flow_init(&f->from, clock_ns);
	flow_init(&f->to, clock_ns);
	f->from.wake = f->to.wake = no_wake;
	check(sendrings_init(&f->sendrings, &f->from, &out) == 0, "out of memory");
	check(recvrings_init(&f->recvrings, &f->to, &in) == 0, "out of memory");
	f->reader = (struct reader){
		.rings = &f->sendrings, .io = f->read_io, .entries = TLB0 + TLB1};
	io.ctx = &f->channel[0];
	sender_init(&f->sender, &f->sendrings.ring[0], io, REPLY_MS);
	io.ctx = &f->channel[1];
	receiver_init(&f->receiver, &f->recvrings.ring[0], io, REPLY_MS);
	writer_init(&f->writer, &f->recvrings, f->write_io, TLB0 + TLB1, REPLY_MS);
	f->sendrings.reader = flow_add(&f->from, "reader", reader_step, &f->reader);
	f->sendrings.ring[0].sender = flow_add(&f->from, "sender", sender_step, &f->sender);
	f->recvrings.ring[0].receiver = flow_add(&f->to, "receiver", receiver_step, &f->receiver);
	f->recvrings.writer = flow_add(&f->to, "writer", writer_step, &f->writer);
}

/* Each actor once, and what the control connections would carry. True when the pass arrived. */
static bool step_all(struct flows *f)
{
	struct marker marker[RING_MARKERS];
	bool arrived = false;
	uint64_t seq[WIRE_CHANNELS_MAX];
	unsigned n;

	for (unsigned id = 0; id < 2; id++) {
		struct flow_wait from = {.fd = -1}, to = {.fd = -1};

		flow_step(&f->from, id, &from);
		flow_step(&f->to, id, &to);
	}
	check(!f->from.failed, "at the source: %s", f->from.err.text);
	check(!f->to.failed, "at the destination: %s", f->to.err.text);
	n = recvrings_report(&f->recvrings, seq, marker);
	if (seq[0])
		check(sendrings_ack(&f->sendrings, 0, seq[0]) == 0, "chunk %llu was not sent",
			(unsigned long long)seq[0]);
	for (unsigned i = 0; i < n; i++)
		arrived |= marker[i].pass == f->pass;
	return arrived;
}

static void pass(struct flows *f)
{
	uint64_t until = clock_ns() + REPLY_MS * NS_PER_MS;

	sendrings_begin(&f->sendrings, WIRE_STREAM_TLB, ++f->pass);
	while (!step_all(f))
		check(clock_ns() < until, "pass %u does not end", f->pass);
	check(f->sendrings.done, "pass %u arrived before it was sent", f->pass);
	f->sendrings.done = false;
}

static void end(struct flows *f, struct move_stats *ret, uint64_t first)
{
	struct wire_end m = {.channels = 1};
	struct err e;

	sendrings_get_end(&f->sendrings, &m);
	check(recvrings_check_end(&f->recvrings, &m, &e) == 1, "END: %s", e.text);
	ret->passes = m.passes;
	ret->valid = m.valid;
	ret->invalid = m.invalid;
	ret->plain = f->sendrings.stats.plain;
	ret->changed = m.valid + m.invalid - first;
	htabio_free(f->read_io);
	htabio_free(f->write_io);
	sendrings_fini(&f->sendrings);
	recvrings_fini(&f->recvrings);
	flow_fini(&f->from);
	flow_fini(&f->to);
	close(f->channel[0]);
	close(f->channel[1]);
}

/* -- the migration -- */

static void hand_over(struct conn *source, struct conn *dest, const struct session_id *s,
	struct vm *dest_vm, const struct move_hooks *hooks)
{
	struct vmm_request get = {.type = VMM_GET_STATE, .session = *s};
	struct vmm_request set = {.type = VMM_SET_STATE, .session = *s};
	int fd;

	ask(source, &get, -1, &fd);
	ask(dest, &set, fd, NULL);
	close(fd);
	ask_note(dest, NOTE_READY, s);
	ask_note(source, NOTE_COMMITTING, s);
	if (hooks->loaded)
		hooks->loaded(dest_vm);
	ask_note(dest, NOTE_RUN, s);
	ask_type(source, VMM_RELEASE, s);
	ask_type(dest, VMM_RELEASE, s);
}

void move_guest(struct vm *source_vm, int source_listener, struct vm *dest_vm, int dest_listener,
	const struct move_hooks *hooks, struct move_stats *ret)
{
	static uint8_t sessions;
	struct conn *source = accept_vm(source_listener, false);
	struct conn *dest = accept_vm(dest_listener, true);
	struct session_id s = {{++sessions, 1}};
	static struct flows f;
	uint64_t first;

	ask_note(dest, NOTE_LOADING, &s);
	ask_type(dest, VMM_RESET_HTAB, &s);
	begin(&f, source, dest);
	pass(&f);
	first = f.sendrings.stats.valid + f.sendrings.stats.invalid;
	check(first == TLB0 + TLB1, "pass 1 names %llu entries", (unsigned long long)first);
	for (int i = 0; i < 3; i++) {
		if (hooks->between)
			hooks->between(source_vm);
		pass(&f);
	}
	ask_type(source, VMM_PAUSE, &s);
	pass(&f);
	if (hooks->paused)
		hooks->paused(source_vm);
	end(&f, ret, first);
	hand_over(source, dest, &s, dest_vm, hooks);
	close(source->fd);
	close(dest->fd);
	free(source);
	free(dest);
}
