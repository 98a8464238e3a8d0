/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/htabvmm-harness.h"

#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/fd.h"
#include "proto/onereg.h"

#define WAIT_MS 10000
#define REG_ID  (ONE_REG_PPC | ONE_REG_U64 | 0x20)

struct vmm vm;
struct vmm_register reg;
struct vmm_reply rep;
int rep_fd = -1;
int listener = -1, daemon_fd = -1;
uint32_t serial;
char path[96];
const struct session_id S = {{1}}, T = {{2}};
static char dir[64];

static void note(char *where, const char *what)
{
	size_t n = strlen(where);

	snprintf(where + n, TRACE_MAX - n, "%s%s", n ? " " : "", what);
}

int queued(void)
{
	int n = 0;

	if (daemon_fd >= 0) {
		uint8_t b;

		n = recv(daemon_fd, &b, 1, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC) > 0;
	}
	return n;
}

static int cb_pause(void *o)
{
	note(vm.trace, "pause");
	return vm.pause;
}

static int cb_resume(void *o)
{
	note(vm.trace, "resume");
	vm.may_run_at_resume = htabvmm_may_run(vm.h);
	vm.daemon_events_at_resume = queued();
	return vm.resume;
}

static int cb_inactivate(void *o)
{
	note(vm.trace, "inactivate");
	return vm.inactivate;
}

static int cb_activate(void *o)
{
	note(vm.trace, "activate");
	return vm.activate;
}

static void cb_announce(void *o)
{
	note(vm.trace, "announce");
}

static int cb_open(void *o, uint32_t flags, uint64_t start, int *ret_fd)
{
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	fd_close(pair[0]);
	*ret_fd = pair[1];
	return 0;
}

static int cb_reset(void *o, unsigned order)
{
	note(vm.trace, "reset");
	vm.reset_order = order;
	return 0;
}

static void cb_htab_answer(void *o, int error, const char *text)
{
	note(vm.trace, error < 0 ? "refused" : "go");
	vm.answer = error;
	snprintf(vm.text, sizeof(vm.text), "%s", text);
	if (error == 0 && vm.change_at_once)
		ck_assert_int_eq(htabvmm_htab_changed(vm.h, vm.change_at_once), 0);
}

static int cb_save(void *o, struct htabvmm_state *state)
{
	uint64_t v = 0x0123456789abcdefull;

	if (vm.save < 0)
		return vm.save;
	ck_assert_int_eq(htabvmm_state_reg(state, 0, REG_ID, &v, sizeof(v)), 0);
	return htabvmm_state_blob(state, "test", 7, "data", 4);
}

static int cb_load(void *o, const char *name, uint32_t version, const void *data, size_t size)
{
	ck_assert_str_eq(name, "test");
	ck_assert_uint_eq(version, 7);
	ck_assert_uint_le(size, sizeof(vm.blob));
	memcpy(vm.blob, data, size);
	vm.blob_size = size;
	return vm.load;
}

static int cb_load_reg(void *o, unsigned vcpu, uint64_t id, const void *value, size_t size)
{
	ck_assert_uint_eq(id, REG_ID);
	memcpy(&vm.reg, value, sizeof(vm.reg));
	return 0;
}

static int cb_throttle(void *o, unsigned percent)
{
	vm.throttle = (int)percent;
	return 0;
}

static void cb_event(void *o, enum htabvmm_event event, const char *text)
{
	static const char *const names[] = {"registered", "refused", "disconnected", "resumed",
		"migrated", "loading", "ready", "started", "dead", "unreachable"};

	ck_assert_uint_lt(event, sizeof(names) / sizeof(names[0]));

	note(vm.events, names[event]);
	snprintf(vm.text, sizeof(vm.text), "%s", text);
}

const struct htabvmm_ops ops = {
	.pause = cb_pause,
	.resume = cb_resume,
	.inactivate = cb_inactivate,
	.activate = cb_activate,
	.announce = cb_announce,
	.open_htab = cb_open,
	.reset_htab = cb_reset,
	.htab_answer = cb_htab_answer,
	.save = cb_save,
	.load = cb_load,
	.load_reg = cb_load_reg,
	.throttle = cb_throttle,
	.event = cb_event,
};

struct htabvmm_config config(bool incoming)
{
	return (struct htabvmm_config){
		.size = sizeof(struct htabvmm_config),
		.socket = path,
		.name = "vm1",
		.uuid = {9},
		.mmu = HTABVMM_MMU_HPT,
		.hpt_order = ORDER,
		.vcpus = 2,
		.vm_fd = -1,
		.pvr = 0x4e1202,
		.incoming = incoming,
		.running = !incoming,
		.ops = &ops,
	};
}

void dispatch(void)
{
	ck_assert_int_eq(htabvmm_dispatch(vm.h), 0);
}

void wait_dispatch(void)
{
	struct pollfd p = {.fd = htabvmm_fd(vm.h), .events = POLLIN};

	ck_assert_int_eq(poll(&p, 1, WAIT_MS), 1);
	dispatch();
}

void take_register(void)
{
	uint8_t buf[VMM_PACKET_MAX];
	int pidfd;
	ssize_t n;

	n = fd_recv_packet(daemon_fd, buf, sizeof(buf), &pidfd);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(vmm_unpack_register(buf, (size_t)n, &reg), 0);
	ck_assert_int_eq(fd_pidfd_pid(pidfd), getpid());
	fd_close(pidfd);
}

void send_request(const struct vmm_request *m, int fd)
{
	uint8_t buf[VMM_PACKET_MAX];
	int len = vmm_pack_request(m, buf);

	ck_assert_int_gt(len, 0);
	ck_assert_int_eq(fd_send_packet(daemon_fd, buf, (size_t)len, fd), 0);
}

void attach(void)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};

	vm.h->retry_at = 0;
	dispatch();
	ck_assert_int_eq(poll(&p, 1, WAIT_MS), 1);
	daemon_fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(daemon_fd, 0);
	take_register();
	send_request(&(struct vmm_request){.type = VMM_REGISTERED}, -1);
	dispatch();
	ck_assert(vm.h->registered);
}

void start(bool incoming)
{
	struct htabvmm_config c = config(incoming);

	memset(&vm, 0, sizeof(vm));
	ck_assert_int_eq(htabvmm_new(&c, &vm.h), 0);
	attach();
	vm.events[0] = 0;
}

void stop(void)
{
	vm.h = htabvmm_free(vm.h);
	daemon_fd = fd_close(daemon_fd);
}

void detach(void)
{
	daemon_fd = fd_close(daemon_fd);
	dispatch();
}

bool take_reply(uint32_t want)
{
	uint8_t buf[VMM_PACKET_MAX];
	uint32_t got;
	uint16_t type;
	ssize_t n;

	rep_fd = fd_close(rep_fd);
	if (!queued())
		return false;
	n = fd_recv_packet(daemon_fd, buf, sizeof(buf), &rep_fd);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(vmm_unpack_header(buf, (size_t)n, &type, &got), 0);
	ck_assert_int_eq(type, VMM_REPLY);
	ck_assert_uint_eq(got, want);
	ck_assert_int_eq(vmm_unpack_reply(buf, (size_t)n, &rep), 0);
	ck_assert(rep.error == 0 || rep.text[0]);
	return true;
}

bool take_event(struct vmm_event *ret)
{
	uint8_t buf[VMM_PACKET_MAX];
	ssize_t n;

	if (!queued())
		return false;
	n = fd_recv_packet(daemon_fd, buf, sizeof(buf), NULL);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(vmm_unpack_event(buf, (size_t)n, ret), 0);
	return true;
}

int ask_fd(enum vmm_type type, enum session_note n, struct session_id s, int fd)
{
	struct vmm_request m = {
		.type = type, .serial = ++serial, .session = s, .note = n, .order = ORDER};

	if (n == NOTE_COMMITTING) {
		memcpy(m.cookie, "cookie", 6);
		m.cookie_len = 6;
	}
	send_request(&m, fd);
	dispatch();
	ck_assert(take_reply(serial));
	return rep.error;
}

int ask(enum vmm_type type, struct session_id s)
{
	return ask_fd(type, NOTE_NONE, s, -1);
}

int ask_note(enum session_note n, struct session_id s)
{
	return ask_fd(VMM_NOTE, n, s, -1);
}

int image(const char *blob, uint32_t vcpu)
{
	uint8_t buf[256], value[64];
	struct pack k, b;
	int fd = fd_memfd("test");

	pack_init(&b, value, sizeof(value));
	pack_u32(&b, 7);
	pack_str(&b, blob);
	pack_bytes(&b, "data", 4);
	pack_init(&k, buf, sizeof(buf));
	state_put_u64(&k, STATE_ONE_REG, (uint16_t)vcpu, REG_ID, 0x0123456789abcdefull);
	state_put(&k, STATE_BLOB, STATE_VM, 0, value, (uint32_t)b.len);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, buf, k.len), (ssize_t)k.len);
	ck_assert_int_eq(fd_memfd_seal(fd), 0);
	return fd;
}

int set_state(struct session_id s)
{
	int fd = image("test", 0), r = ask_fd(VMM_SET_STATE, NOTE_NONE, s, fd);

	fd_close(fd);
	return r;
}

enum session_state state_of(struct session_id id)
{
	struct session *s = sessions_find(&vm.h->sessions, &id);

	return s ? s->state : SESSION_UNKNOWN;
}

void bring_to(enum session_state state, bool incoming)
{
	switch (state) {
	case SESSION_UNKNOWN: start(incoming); break;
	case SESSION_PAUSED:
		start(false);
		ck_assert_int_eq(ask(VMM_PAUSE, S), 0);
		break;
	case SESSION_COMMITTING:
		bring_to(SESSION_PAUSED, false);
		ck_assert_int_eq(ask_note(NOTE_COMMITTING, S), 0);
		ck_assert_uint_eq(rep.value, NOTE_COMMITTING);
		break;
	case SESSION_RESUMED:
		bring_to(SESSION_PAUSED, false);
		ck_assert_int_eq(ask(VMM_RESUME, S), 0);
		break;
	case SESSION_MIGRATED:
		bring_to(SESSION_COMMITTING, false);
		ck_assert_int_eq(ask(VMM_RELEASE, S), 0);
		break;
	case SESSION_LOADING:
		start(true);
		ck_assert_int_eq(ask_note(NOTE_LOADING, S), 0);
		ck_assert_uint_eq(rep.value, NOTE_LOADING);
		break;
	case SESSION_READY:
		bring_to(SESSION_LOADING, true);
		ck_assert_int_eq(set_state(S), 0);
		ck_assert_int_eq(ask_note(NOTE_READY, S), 0);
		ck_assert_uint_eq(rep.value, NOTE_READY);
		break;
	case SESSION_STARTING:
		bring_to(SESSION_READY, true);
		vm.activate = HTABVMM_LATER;
		send_request(&(struct vmm_request){.type = VMM_NOTE,
				     .serial = ++serial,
				     .session = S,
				     .note = NOTE_RUN},
			-1);
		dispatch();
		ck_assert(!queued());
		break;
	case SESSION_RUN:
		bring_to(SESSION_READY, true);
		ck_assert_int_eq(ask_note(NOTE_RUN, S), 0);
		ck_assert_uint_eq(rep.value, NOTE_RUN);
		break;
	case SESSION_DEAD:
		bring_to(SESSION_LOADING, true);
		ck_assert_int_eq(ask_note(NOTE_DEAD, S), 0);
		ck_assert_uint_eq(rep.value, NOTE_DEAD);
		break;
	case SESSION_CLOSED:
		bring_to(SESSION_RUN, true);
		ck_assert_int_eq(ask(VMM_RELEASE, S), 0);
		break;
	case SESSION_STATES: ck_abort();
	}
	ck_assert_int_eq(state_of(S), state);
}

void setup(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(dir, sizeof(dir), "%s/htabvmm.XXXXXX",
		getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(listener, 4), 0);
}

void teardown(void)
{
	listener = fd_close(listener);
	rep_fd = fd_close(rep_fd);
	unlink(path);
	rmdir(dir);
}
