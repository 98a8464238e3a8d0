/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/integration/hostile.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"

#define TABLES 8 /* open at a time */
#define RING   8

/* --- the VMM's process ---------------------------------------------------------------------- */

static int unix_socket(const char *path, bool listens)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, (listens ? SOCK_STREAM : SOCK_SEQPACKET) | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%.100s", path);
	if (fd < 0 ||
		(listens ? bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 16)
			 : connect(fd, (struct sockaddr *)&a, sizeof(a))))
		return fd_close(fd);
	return fd;
}

/* An empty table: nothing is read from it, everything is taken. */
static bool serve_table(int fd)
{
	static uint8_t packet[HTABSOCK_PACKET_MAX];
	uint8_t answer[HTABSOCK_ANS_SIZE];
	enum htabsock_op op;
	uint32_t count;
	ssize_t n = fd_recv_packet(fd, packet, sizeof(packet), NULL);

	if (n <= 0 || htabsock_unpack_request(packet, (size_t)n, &op, &count) < 0)
		return false;
	htabsock_pack_answer(answer, op == HTABSOCK_WRITE ? (int32_t)count : 0);
	return fd_send_packet(fd, answer, sizeof(answer), -1) == 0;
}

/* 'c': a connection to the daemon, 't': a new table. */
static void do_command(int helper, const char *path, struct pollfd *table)
{
	int fds[2] = {-1, -1}, r;
	char c;

	if (recv(helper, &c, 1, 0) != 1)
		_exit(0);
	if (c == 'c') {
		fds[0] = unix_socket(path, false);
	} else if (!table || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0) {
		_exit(1);
	} else {
		table->fd = fds[1];
	}
	r = fd_send_packet(helper, &c, 1, fds[0]);
	fd_close(fds[0]);
	if (r < 0)
		_exit(1);
}

static _Noreturn void vmm_process(int helper, const char *path, pid_t parent)
{
	struct pollfd fds[1 + TABLES];

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	/* connections of the test's would not end where it ends them */
	if (dup2(helper, 3) < 0 || close_range(4, ~0u, 0) < 0)
		_exit(1);
	for (unsigned i = 0; i <= TABLES; i++)
		fds[i] = (struct pollfd){.fd = i ? -1 : 3, .events = POLLIN};
	for (;;) {
		struct pollfd *room = NULL;

		if (poll(fds, 1 + TABLES, -1) < 0)
			_exit(1);
		for (unsigned i = 1; i <= TABLES; i++) {
			if (fds[i].fd >= 0 && fds[i].revents && !serve_table(fds[i].fd))
				fds[i].fd = fd_close(fds[i].fd);
			if (fds[i].fd < 0)
				room = &fds[i];
		}
		if (fds[0].revents)
			do_command(3, path, room);
	}
}

static int command(struct fake_vmm *v, char c)
{
	int fd;

	h_check(v->host->h, send(v->helper, &c, 1, MSG_NOSIGNAL) == 1, "the VMM's process: %m");
	harness_poll(v->host->h, v->helper, POLLIN, NULL, harness_deadline(), "the VMM's process");
	h_check(v->host->h, fd_recv_packet(v->helper, &c, 1, &fd) == 1 && fd >= 0,
		"the VMM's process gave no descriptor for '%c'", c);
	return fd;
}

void fake_vmm_new(struct fake_vmm *v, struct host *host, const char *name)
{
	pid_t parent = getpid();
	int fds[2];

	*v = (struct fake_vmm){.host = host, .sock = -1};
	v->reg = (struct vmm_register){
		.version = VMM_VERSION,
		.uuid = {{(uint8_t)name[strlen(name) - 1]}},
		.mmu = MMU_HPT,
		.order = 18,
		.vcpus = 1,
		.pvr = 0x4e1202,
		.running = true,
	};
	snprintf(v->reg.name, sizeof(v->reg.name), "%s", name);
	h_check(host->h, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0,
		"socketpair: %m");
	v->pid = fork();
	h_check(host->h, v->pid >= 0, "fork: %m");
	if (v->pid == 0)
		vmm_process(fds[1], host->vmm, parent);
	fd_close(fds[1]);
	v->helper = fds[0];
	v->pidfd = fd_pidfd(v->pid);
	h_check(host->h, v->pidfd >= 0, "no pidfd");
}

/* --- what the VMM says ---------------------------------------------------------------------- */

static void send_packet(struct fake_vmm *v, const void *buf, int len, int fd)
{
	int r = len < 0 ? len : fd_send_packet(v->sock, buf, (size_t)len, fd);

	/* a daemon that has ended the connection tells so where it is read */
	h_check(v->host->h, r == 0 || r == -EPIPE || r == -ECONNRESET, "to the VMM socket: %s",
		strerror(-r));
}

void fake_vmm_send(struct fake_vmm *v, const void *buf, size_t len)
{
	send_packet(v, buf, (int)len, -1);
}

/* The next message of the daemon; false at the end of the connection. */
static bool receive(struct fake_vmm *v, struct vmm_request *ret)
{
	uint8_t buf[VMM_PACKET_MAX];
	int fd;
	ssize_t n = fd_recv_packet(v->sock, buf, sizeof(buf), &fd);

	fd_close(fd);
	if (n == 0 || n == -ECONNRESET) {
		fake_vmm_close(v);
		return false;
	}
	h_check(v->host->h, n > 0 && vmm_unpack_request(buf, (size_t)n, ret) == 0,
		"what came on the VMM socket is no request (%zd)", n);
	return true;
}

static void reply(struct fake_vmm *v, uint32_t serial, int error, uint64_t value, int fd)
{
	struct vmm_reply m = {.error = error, .value = value};
	uint8_t buf[VMM_PACKET_MAX];

	if (error)
		snprintf(m.text, sizeof(m.text), "the fake VMM does not wish it");
	send_packet(v, buf, vmm_pack_reply(serial, &m, buf), fd);
	fd_close(fd);
}

void fake_vmm_reply(struct fake_vmm *v, uint32_t serial, int error, uint64_t value)
{
	reply(v, serial, error, value, -1);
}

void fake_vmm_reply_fd(struct fake_vmm *v, uint32_t serial, int fd)
{
	struct vmm_reply m = {0};
	uint8_t buf[VMM_PACKET_MAX];

	send_packet(v, buf, vmm_pack_reply(serial, &m, buf), fd);
}

static int state_memfd(struct fake_vmm *v)
{
	int fd = fd_memfd("fake-state");

	h_check(v->host->h, fd >= 0 && write(fd, "machine state", 13) == 13 && !fd_memfd_seal(fd),
		"no sealed memory: %m");
	return fd;
}

void fake_vmm_answer(struct fake_vmm *v, const struct vmm_request *req)
{
	if (req->serial == 0) /* REGISTERED, LEASE */
		return;
	switch ((unsigned)req->type) {
	case VMM_OPEN_HTAB: reply(v, req->serial, 0, VMM_HTAB_SOCKET, command(v, 't')); break;
	case VMM_GET_STATE: reply(v, req->serial, 0, 0, state_memfd(v)); break;
	case VMM_NOTE: reply(v, req->serial, 0, req->note, -1); break;
	default: reply(v, req->serial, 0, 0, -1);
	}
}

static void serve(struct fake_vmm *v)
{
	struct vmm_request req;

	if (!receive(v, &req))
		return;
	v->answered[req.type % 64]++;
	fake_vmm_answer(v, &req);
}

/* Wait for fd to be readable; the VMM (may be NULL) is answered meanwhile. */
static void await(struct host *host, int fd, struct fake_vmm *v, const char *what)
{
	uint64_t deadline = harness_deadline();

	for (;;) {
		uint64_t now = clock_ns();
		struct pollfd fds[] = {
			{.fd = fd, .events = POLLIN},
			{.fd = v ? v->sock : -1, .events = POLLIN},
			{.fd = host->process->pidfd, .events = POLLIN},
		};

		h_check(host->h, now < deadline, "waited too long for %s", what);
		h_check(host->h,
			poll(fds, 3, (int)((deadline - now) / NS_PER_MS + 1)) >= 0 ||
				errno == EINTR,
			"poll: %m");
		if (fds[0].revents)
			return;
		if (fds[1].revents)
			serve(v);
		else
			h_check(host->h, !fds[2].revents, "the daemon ended, waiting for %s", what);
	}
}

void fake_vmm_request(struct fake_vmm *v, enum vmm_type type, struct vmm_request *ret)
{
	for (;;) {
		await(v->host, v->sock, NULL, vmm_type_name((uint16_t)type));
		h_check(v->host->h, receive(v, ret), "the daemon disconnected instead of %s",
			vmm_type_name((uint16_t)type));
		if (ret->type == type)
			return;
		h_check(v->host->h, ret->type != VMM_REFUSED, "refused: %s", ret->text);
		fake_vmm_answer(v, ret);
	}
}

void fake_vmm_register(struct fake_vmm *v)
{
	uint8_t buf[VMM_PACKET_MAX];
	struct vmm_request req;

	v->sock = command(v, 'c');
	send_packet(v, buf, vmm_pack_register(&v->reg, buf), v->pidfd);
	fake_vmm_request(v, VMM_REGISTERED, &req);
}

void fake_vmm_resumed(struct fake_vmm *v, const struct session_id *session)
{
	struct vmm_event m = {.kind = VMM_EVENT_RESUMED, .session = *session};
	uint8_t buf[VMM_PACKET_MAX];

	send_packet(v, buf, vmm_pack_event(&m, buf), -1);
}

bool fake_vmm_ended(struct fake_vmm *v)
{
	struct pollfd p = {.fd = v->sock, .events = POLLIN};

	while (v->sock >= 0 && poll(&p, 1, 0) == 1)
		serve(v);
	return v->sock < 0;
}

void fake_vmm_ends(struct fake_vmm *v)
{
	while (v->sock >= 0) {
		await(v->host, v->sock, NULL, "the end of the VMM's connection");
		serve(v);
	}
}

void fake_vmm_close(struct fake_vmm *v)
{
	v->sock = fd_close(v->sock);
}

void fake_vmm_kill(struct fake_vmm *v)
{
	fake_vmm_close(v);
	if (v->pid <= 0)
		return;
	kill(v->pid, SIGKILL);
	h_check(v->host->h, waitpid(v->pid, NULL, 0) == v->pid, "waitpid: %m");
	v->pid = 0;
}

void fake_vmm_free(struct fake_vmm *v)
{
	fake_vmm_kill(v);
	fd_close(v->helper);
	fd_close(v->pidfd);
}

/* --- frames --------------------------------------------------------------------------------- */

void talk_send(struct talk *t, const void *buf, int len)
{
	ssize_t n = len < 0 ? len : send(t->fd, buf, (size_t)len, MSG_NOSIGNAL);

	h_check(t->host->h, n == len || (n < 0 && (errno == EPIPE || errno == ECONNRESET)),
		"a frame of %d bytes: %m", len);
}

static bool take(struct talk *t, uint8_t *buf, size_t len)
{
	while (len > 0) {
		ssize_t n;

		await(t->host, t->fd, t->vmm, "a frame");
		n = recv(t->fd, buf, len, 0);
		if (n <= 0)
			return false;
		buf += n;
		len -= (size_t)n;
	}
	return true;
}

/* The next frame, PING among them, which is answered; 0 at the end. */
static unsigned next_frame(struct talk *t)
{
	uint8_t hdr[WIRE_HDR_SIZE], pong[WIRE_HDR_SIZE + 8];
	enum wire_type type;
	uint64_t v, now;

	if (!take(t, hdr, sizeof(hdr)))
		return 0;
	h_check(t->host->h,
		wire_unpack_header(hdr, &type, &t->len) == 0 && t->len <= sizeof(t->body),
		"the daemon sent what is no frame, or a long one");
	if (!take(t, t->body, t->len))
		return 0;
	if (type != WIRE_PING || wire_unpack_u64(t->body, t->len, &v) < 0)
		return type;
	now = clock_ns() + t->ahead;
	talk_send(t, pong, wire_pack_u64(WIRE_PONG, v, pong, sizeof(pong)));
	if (t->features & WIRE_FEATURE_SENT_TIME)
		talk_send(t, pong, wire_pack_u64(WIRE_CLOCK, now, pong, sizeof(pong)));
	return type;
}

unsigned talk_frame(struct talk *t)
{
	unsigned type;

	do
		type = next_frame(t);
	while (type == WIRE_PING || type == WIRE_PONG);
	return type;
}

void talk_expect(struct talk *t, enum wire_type type)
{
	unsigned got = talk_frame(t);
	struct wire_refuse refuse = {.text = ""};

	if (got == WIRE_REFUSE || got == WIRE_ABORT)
		wire_unpack_refuse(t->body, t->len, &refuse);
	h_check(t->host->h, got == (unsigned)type, "%s instead of %s: %s",
		got ? wire_type_name(got) : "the end", wire_type_name(type), refuse.text);
}

void talk_ends(struct talk *t)
{
	unsigned got;

	while ((got = talk_frame(t))) {
		h_check(t->host->h, got == WIRE_REFUSE || got == WIRE_ABORT,
			"%s instead of a refusal", wire_type_name(got));
		shutdown(t->fd, SHUT_WR); /* the daemon waits for that, for some seconds */
	}
}

void talk_ping_after(struct talk *t, uint64_t moment)
{
	unsigned got;

	do {
		got = next_frame(t);
		h_check(t->host->h, got == WIRE_PING || got == WIRE_PONG, "%s instead of PING",
			got ? wire_type_name(got) : "the end");
	} while (got != WIRE_PING || clock_ns() < moment);
}

static void say_hello(struct talk *t, uint64_t features)
{
	struct wire_hello m = {
		.features = features,
		.version_min = WIRE_VERSION_MIN,
		.version_max = WIRE_VERSION_MAX,
		.role = t->role,
		.name = "fake",
	};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	talk_send(t, buf, wire_pack_hello(&m, buf, sizeof(buf)));
	talk_expect(t, WIRE_WELCOME);
}

static int dial(const char *uri)
{
	struct sockaddr_un u = {.sun_family = AF_UNIX};
	struct sockaddr_in a = {.sin_family = AF_INET};
	bool is_unix = !strncmp(uri, "unix:", 5);
	int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (is_unix) {
		snprintf(u.sun_path, sizeof(u.sun_path), "%s", uri + 5);
		return connect(fd, (struct sockaddr *)&u, sizeof(u)) < 0 ? -1 : fd;
	}
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons((uint16_t)atoi(strrchr(uri, ':') + 1));
	return connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -1 : fd;
}

void talk_begin(struct talk *t, int fd, struct host *host, struct fake_vmm *vmm,
	enum wire_role role, uint64_t features)
{
	*t = (struct talk){.host = host, .vmm = vmm, .fd = fd, .role = role, .features = features};
	say_hello(t, features);
}

void talk_dial_with(struct talk *t, struct host *host, struct fake_vmm *vmm, enum wire_role role,
	uint64_t features)
{
	int fd = dial(host->uri);

	h_check(host->h, fd >= 0, "%s: %m", host->uri);
	talk_begin(t, fd, host, vmm, role, features);
}

void talk_dial(struct talk *t, struct host *host, struct fake_vmm *vmm, enum wire_role role)
{
	talk_dial_with(t, host, vmm, role, 0);
}

struct wire_open talk_guest(const struct wire_session *s, const char *name)
{
	struct wire_open m = {
		.session = s->session,
		.uuid = s->uuid,
		.mmu = MMU_HPT,
		.order = 18,
		.vcpus = 1,
		.pvr = 0x4e1202,
		.codec = WIRE_CODEC_NONE,
		.channels = 1,
	};

	snprintf(m.name, sizeof(m.name), "%s", name);
	return m;
}

void talk_open_guest(struct talk *t, const struct wire_open *m)
{
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	talk_send(t, buf, wire_pack_open(m, buf, sizeof(buf)));
}

void talk_open(struct talk *t, const struct wire_session *s, const char *name)
{
	struct wire_open m = talk_guest(s, name);

	m.flags = t->flags;
	talk_open_guest(t, &m);
}

void talk_open_processor(struct talk *t, const struct wire_session *s, const char *name,
	const struct processor *processor)
{
	struct wire_open m = talk_guest(s, name);

	m.flags = WIRE_OPEN_PROCESSOR;
	m.pvr = processor->pvr;
	m.compat = processor->compat;
	m.vcpu_ids = processor->vcpu_ids;
	talk_open_guest(t, &m);
}

void talk_session(struct talk *t, enum wire_type type, const struct wire_session *s)
{
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	talk_send(t, buf, wire_pack_session(type, s, buf, sizeof(buf)));
}

void talk_end(struct talk *t, const struct session_id *s, uint64_t pause_age)
{
	struct wire_end m = {
		.session = *s, .generation = 1, .passes = 1, .pause_age = pause_age, .channels = 1};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	talk_send(t, buf, wire_pack_end(&m, buf, sizeof(buf)));
}

void talk_verified(struct talk *t)
{
	struct wire_verified m = {.entries = 0};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];

	talk_send(t, buf, wire_pack_verified(&m, buf, sizeof(buf)));
}

void talk_join(const struct talk *control, struct talk *data, const struct session_id *s)
{
	struct wire_join join = {.session = *s};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];
	struct wire_accept accept;

	h_check(control->host->h, wire_unpack_accept(control->body, control->len, &accept) == 0,
		"ACCEPT is malformed");
	memcpy(join.secret, accept.secret, sizeof(join.secret));
	talk_dial(data, control->host, control->vmm, WIRE_ROLE_DATA);
	talk_send(data, buf, wire_pack_join(&join, buf, sizeof(buf)));
	talk_expect(data, WIRE_JOINED);
}

void talk_close(struct talk *t)
{
	t->fd = fd_close(t->fd);
}

/* --- a destination -------------------------------------------------------------------------- */

void fake_dest_new(struct fake_dest *d, struct host *host, struct fake_vmm *vmm)
{
	const char *path = harness_path(host->h, "fake.sock");

	*d = (struct fake_dest){.host = host, .vmm = vmm, .version = WIRE_VERSION_MAX};
	d->control.fd = d->data.fd = -1;
	d->listener = unix_socket(path, true);
	h_check(host->h, d->listener >= 0, "%s: %m", path);
	snprintf(d->uri, sizeof(d->uri), "unix:%.150s", path);
}

void fake_dest_call(struct fake_dest *d, struct talk *t, enum wire_role role)
{
	struct wire_welcome welcome = {
		.version = d->version, .features = d->features, .name = "fake"};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];
	struct wire_hello hello;

	*t = (struct talk){.host = d->host, .vmm = d->vmm};
	await(d->host, d->listener, d->vmm, "a connection of the daemon");
	t->fd = accept4(d->listener, NULL, NULL, SOCK_CLOEXEC);
	h_check(d->host->h, t->fd >= 0, "accept: %m");
	talk_expect(t, WIRE_HELLO);
	h_check(d->host->h, wire_unpack_hello(t->body, t->len, &hello) == 0 && hello.role == role,
		"HELLO for another role than %d", role);
	t->role = role;
	talk_send(t, buf, wire_pack_welcome(&welcome, buf, sizeof(buf)));
}

void fake_dest_join(struct fake_dest *d)
{
	struct wire_accept accept = {.secret = {1}, .ring = RING};
	uint8_t buf[WIRE_HDR_SIZE + WIRE_CONTROL_MAX];
	struct wire_open open;

	fake_dest_call(d, &d->control, WIRE_ROLE_CONTROL);
	talk_expect(&d->control, WIRE_OPEN);
	h_check(d->host->h, wire_unpack_open(d->control.body, d->control.len, &open) == 0,
		"OPEN is malformed");
	d->flags = open.flags;
	d->session = (struct wire_session){.session = open.session, .uuid = open.uuid};
	talk_send(&d->control, buf, wire_pack_accept(&accept, buf, sizeof(buf)));
	fake_dest_call(d, &d->data, WIRE_ROLE_DATA);
	talk_expect(&d->data, WIRE_JOIN);
	talk_send(&d->data, buf, wire_pack_empty(WIRE_JOINED, buf, sizeof(buf)));
}

void fake_dest_end(struct fake_dest *d)
{
	talk_expect(&d->control, WIRE_STATE);
	talk_expect(&d->control, WIRE_END);
}

void fake_dest_question(struct fake_dest *d, struct talk *ret)
{
	fake_dest_call(d, ret, WIRE_ROLE_QUESTION);
	talk_expect(ret, WIRE_COMMIT);
	h_check(d->host->h, wire_unpack_session(ret->body, ret->len, &d->session) == 0,
		"COMMIT is malformed");
}

bool fake_dest_called(struct fake_dest *d)
{
	struct pollfd p = {.fd = d->listener, .events = POLLIN};

	return poll(&p, 1, 0) == 1;
}

void fake_dest_free(struct fake_dest *d)
{
	talk_close(&d->control);
	talk_close(&d->data);
	fd_close(d->listener);
}
