/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libhtabvmm against a daemon that is played by the test, in one process and one thread. */
#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "vmm/libvmm.h"
#include "vmm/onereg.h"

#define TRACE_MAX 512
#define WAIT_MS   10000
#define ORDER     18
#define REG_ID    (ONE_REG_PPC | ONE_REG_U64 | 0x20)

/* The VMM, its answers and what was asked of it. */
static struct vmm {
	struct htabvmm *h;
	char trace[TRACE_MAX]; /* "pause resume announce": the callbacks that were called */
	char events[TRACE_MAX];
	char text[VMM_TEXT_MAX]; /* of the last event */
	int pause, resume, inactivate, activate, load, save, throttle;
	bool may_run_at_resume;
	int daemon_events_at_resume; /* packets queued for the daemon when resume was called */
	uint64_t reg;
	char blob[16];
	size_t blob_size;
} vm;

static char dir[64], path[96];
static int listener = -1, d = -1; /* the daemon's */
static uint32_t serial;
static const struct session_id S = {{1}}, T = {{2}};

static void note(char *where, const char *what)
{
	size_t n = strlen(where);

	snprintf(where + n, TRACE_MAX - n, "%s%s", n ? " " : "", what);
}

static int queued(void)
{
	int n = 0;

	if (d >= 0) {
		uint8_t b;

		n = recv(d, &b, 1, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC) > 0;
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

static int cb_reset(void *o)
{
	note(vm.trace, "reset");
	return 0;
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
		"migrated", "loading", "ready", "started", "dead"};

	note(vm.events, names[event]);
	snprintf(vm.text, sizeof(vm.text), "%s", text);
}

static const struct htabvmm_ops ops = {
	.pause = cb_pause,
	.resume = cb_resume,
	.inactivate = cb_inactivate,
	.activate = cb_activate,
	.announce = cb_announce,
	.open_htab = cb_open,
	.reset_htab = cb_reset,
	.save = cb_save,
	.load = cb_load,
	.load_reg = cb_load_reg,
	.throttle = cb_throttle,
	.event = cb_event,
};

static struct htabvmm_config config(bool incoming)
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

static void dispatch(void)
{
	ck_assert_int_eq(htabvmm_dispatch(vm.h), 0);
}

/* Until the library has something to do, then let it. */
static void wait_dispatch(void)
{
	struct pollfd p = {.fd = htabvmm_fd(vm.h), .events = POLLIN};

	ck_assert_int_eq(poll(&p, 1, WAIT_MS), 1);
	dispatch();
}

static struct vmm_register reg; /* the last REGISTER */

static void take_register(void)
{
	uint8_t buf[VMM_PACKET_MAX];
	int pidfd;
	ssize_t n;

	n = fd_recv_packet(d, buf, sizeof(buf), &pidfd);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(vmm_unpack_register(buf, (size_t)n, &reg), 0);
	ck_assert_int_eq(fd_pidfd_pid(pidfd), getpid());
	fd_close(pidfd);
}

static void send_request(const struct vmm_request *m, int fd)
{
	uint8_t buf[VMM_PACKET_MAX];
	int len = vmm_pack_request(m, buf);

	ck_assert_int_gt(len, 0);
	ck_assert_int_eq(fd_send_packet(d, buf, (size_t)len, fd), 0);
}

/* Accept the library's connection and register it. */
static void attach(void)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};

	vm.h->retry_at = 0;
	dispatch();
	ck_assert_int_eq(poll(&p, 1, WAIT_MS), 1);
	d = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(d, 0);
	take_register();
	send_request(&(struct vmm_request){.type = VMM_REGISTERED}, -1);
	dispatch();
	ck_assert(vm.h->registered);
}

static void start(bool incoming)
{
	struct htabvmm_config c = config(incoming);

	memset(&vm, 0, sizeof(vm));
	ck_assert_int_eq(htabvmm_new(&c, &vm.h), 0);
	attach();
	vm.events[0] = 0;
}

static void stop(void)
{
	vm.h = htabvmm_free(vm.h);
	d = fd_close(d);
}

/* A restarted daemon. */
static void detach(void)
{
	d = fd_close(d);
	dispatch();
}

static struct vmm_reply rep; /* the last REPLY */
static int rep_fd = -1;

static bool take_reply(uint32_t want)
{
	uint8_t buf[VMM_PACKET_MAX];
	uint32_t got;
	uint16_t type;
	ssize_t n;

	rep_fd = fd_close(rep_fd);
	if (!queued())
		return false;
	n = fd_recv_packet(d, buf, sizeof(buf), &rep_fd);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(vmm_unpack_header(buf, (size_t)n, &type, &got), 0);
	ck_assert_int_eq(type, VMM_REPLY);
	ck_assert_uint_eq(got, want);
	ck_assert_int_eq(vmm_unpack_reply(buf, (size_t)n, &rep), 0);
	ck_assert(rep.error == 0 || rep.text[0]);
	return true;
}

static bool take_event(struct vmm_event *ret)
{
	uint8_t buf[VMM_PACKET_MAX];
	ssize_t n;

	if (!queued())
		return false;
	n = fd_recv_packet(d, buf, sizeof(buf), NULL);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(vmm_unpack_event(buf, (size_t)n, ret), 0);
	return true;
}

/* Send a request and dispatch; the error of the answer. */
static int ask_fd(enum vmm_type type, enum session_note n, struct session_id s, int fd)
{
	struct vmm_request m = {.type = type, .serial = ++serial, .session = s, .note = n};

	if (n == NOTE_COMMITTING) {
		memcpy(m.cookie, "cookie", 6);
		m.cookie_len = 6;
	}
	send_request(&m, fd);
	dispatch();
	ck_assert(take_reply(serial));
	return rep.error;
}

static int ask(enum vmm_type type, struct session_id s)
{
	return ask_fd(type, NOTE_NONE, s, -1);
}

static int ask_note(enum session_note n, struct session_id s)
{
	return ask_fd(VMM_NOTE, n, s, -1);
}

/* A state image as the library makes one. */
static int image(const char *blob, uint32_t vcpu)
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

static int set_state(struct session_id s)
{
	int fd = image("test", 0), r = ask_fd(VMM_SET_STATE, NOTE_NONE, s, fd);

	fd_close(fd);
	return r;
}

static enum session_state state_of(struct session_id id)
{
	struct session *s = sessions_find(&vm.h->sessions, &id);

	return s ? s->state : SESSION_UNKNOWN;
}

/* A new handle with session S in that state. `incoming` only says for UNKNOWN which end it is. */
static void bring_to(enum session_state state, bool incoming)
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

/* -- the table -------------------------------------------------------------------------------- */

static const struct request {
	enum vmm_type type;
	enum session_note note;
} requests[] = {
	{VMM_PAUSE, 0},
	{VMM_RESUME, 0},
	{VMM_GET_STATE, 0},
	{VMM_NOTE, NOTE_COMMITTING},
	{VMM_UNDO, 0},
	{VMM_RELEASE, 0},
	{VMM_NOTE, NOTE_LOADING},
	{VMM_SET_STATE, 0},
	{VMM_RESET_HTAB, 0},
	{VMM_NOTE, NOTE_READY},
	{VMM_NOTE, NOTE_RUN},
	{VMM_NOTE, NOTE_DEAD},
};
#define REQUESTS (sizeof(requests) / sizeof(requests[0]))

/*
 * What each request does in each state, written down a second time: `.` refused and nothing
 * changes, `=` answered and nothing changes, else the first letter of the state that follows.
 * PAUSE RESUME GET_STATE COMMITTING UNDO RELEASE LOADING SET_STATE RESET READY RUN DEAD
 */
static const struct row {
	enum session_state state;
	bool incoming;
	const char *cells;
} table[] = {
	{SESSION_UNKNOWN, false, "P..........."},
	{SESSION_UNKNOWN, true, "......L....."},
	{SESSION_PAUSED, false, "=R=C........"},
	{SESSION_COMMITTING, false, "...=RM......"},
	{SESSION_RESUMED, false, ".=..=......."},
	{SESSION_MIGRATED, false, ".....=......"},
	{SESSION_LOADING, true, ".......==..D"},
	{SESSION_READY, true, ".........=UD"},
	{SESSION_RUN, true, ".....X....=."},
	{SESSION_DEAD, true, ".....=.....="},
	{SESSION_CLOSED, true, ".....=......"},
};

static enum session_state state_of_letter(char c)
{
	switch (c) {
	case 'P': return SESSION_PAUSED;
	case 'R': return SESSION_RESUMED;
	case 'C': return SESSION_COMMITTING;
	case 'M': return SESSION_MIGRATED;
	case 'L': return SESSION_LOADING;
	case 'D': return SESSION_DEAD;
	case 'U': return SESSION_RUN;
	case 'X': return SESSION_CLOSED;
	default: ck_abort();
	}
}

START_TEST(test_every_request_in_every_state)
{
	const struct row *row = &table[_i / (int)REQUESTS];
	const struct request *q = &requests[_i % (int)REQUESTS];
	char cell = row->cells[_i % (int)REQUESTS];
	enum session_state next = row->state;
	int fd = -1, error;

	bring_to(row->state, row->incoming);
	vm.trace[0] = 0;
	if (q->type == VMM_SET_STATE)
		fd = image("test", 0);
	error = ask_fd(q->type, q->note, S, fd);
	fd_close(fd);
	if (cell == '.') {
		ck_assert_int_lt(error, 0);
		ck_assert_str_eq(vm.trace, "");
		ck_assert_msg(strstr(rep.text, "vm1") != NULL, "%s", rep.text);
	} else {
		ck_assert_msg(error == 0, "state %d request %d: %s", row->state, _i, rep.text);
		if (cell != '=')
			next = state_of_letter(cell);
	}
	ck_assert_int_eq(state_of(S), next);
	if (q->type == VMM_NOTE)
		ck_assert_uint_eq(rep.value, session_note_of(next));
	ck_assert_int_eq(htabvmm_may_run(vm.h),
		next == SESSION_RESUMED || next == SESSION_RUN || next == SESSION_CLOSED ||
			(next == SESSION_UNKNOWN && !row->incoming));
	stop();
}
END_TEST

/* The rows above are all states but STARTING, where requests wait: a new state breaks this. */
START_TEST(test_table_is_whole)
{
	for (enum session_state s = 0; s < SESSION_STATES; s++) {
		bool found = s == SESSION_STARTING;

		for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
			found |= table[i].state == s;
		ck_assert(found);
		ck_assert_str_ne(session_state_text(s), "?");
		/* What happens by itself never leaves a final state. */
		if (s == SESSION_RUN || s == SESSION_DEAD || s == SESSION_RESUMED ||
			s == SESSION_MIGRATED || s == SESSION_CLOSED || s == SESSION_COMMITTING)
			for (enum session_ask a = ASK_LOST; a < SESSION_ASKS; a++)
				ck_assert_int_eq(session_rule(s, a).verdict, VERDICT_REFUSE);
	}
}
END_TEST

/* -- the end of the connection, in every state ------------------------------------------------ */

START_TEST(test_lost_in_every_state)
{
	const struct row *row = &table[_i];
	enum session_state next = row->state;

	bring_to(row->state, row->incoming);
	vm.trace[0] = vm.events[0] = 0;
	if (row->state == SESSION_PAUSED)
		next = SESSION_RESUMED;
	else if (row->state == SESSION_LOADING)
		next = SESSION_DEAD;
	detach();
	ck_assert_int_eq(state_of(S), next);
	ck_assert_str_eq(vm.trace, row->state == SESSION_PAUSED ? "resume" : "");
	if (row->state == SESSION_MIGRATED) { /* nothing is left to register */
		vm.h->retry_at = 0;
		dispatch();
		ck_assert_int_lt(vm.h->sock, 0);
		stop();
		return;
	}
	attach();
	ck_assert_uint_eq(reg.n_notes, session_note_of(next) != NOTE_NONE);
	if (reg.n_notes) {
		ck_assert(session_eq(&reg.notes[0].session, &S));
		ck_assert_int_eq(reg.notes[0].note, session_note_of(next));
	}
	if (next == SESSION_COMMITTING) {
		ck_assert_uint_eq(reg.notes[0].cookie_len, 6);
		ck_assert_int_eq(memcmp(reg.notes[0].cookie, "cookie", 6), 0);
		ck_assert_int_eq(ask(VMM_RELEASE, S), 0); /* a later daemon ends it */
		ck_assert(strstr(vm.events, "migrated") != NULL);
	}
	if (next == SESSION_READY) {
		ck_assert_int_eq(ask_note(NOTE_RUN, S), 0);
		ck_assert_uint_eq(rep.value, NOTE_RUN);
	}
	ck_assert_int_eq(
		reg.incoming, row->incoming && next != SESSION_RUN && next != SESSION_CLOSED);
	ck_assert_int_eq(reg.running,
		next == SESSION_RESUMED || next == SESSION_RUN || next == SESSION_CLOSED ||
			(next == SESSION_UNKNOWN && !row->incoming));
	stop();
}
END_TEST

START_TEST(test_queued_committing_counts_before_the_end)
{
	bring_to(SESSION_PAUSED, false);
	vm.trace[0] = 0;
	send_request(
		&(struct vmm_request){
			.type = VMM_NOTE, .serial = 1, .session = S, .note = NOTE_COMMITTING},
		-1);
	detach();
	ck_assert_int_eq(state_of(S), SESSION_COMMITTING);
	ck_assert_str_eq(vm.trace, "inactivate");
	ck_assert(!htabvmm_may_run(vm.h));
	stop();
}
END_TEST

START_TEST(test_queued_committing_counts_though_replies_are_unread)
{
	bring_to(SESSION_PAUSED, false);
	/* The answer to this stays unread, so that the end arrives as ECONNRESET, and first. */
	send_request(&(struct vmm_request){.type = VMM_THROTTLE, .serial = 1}, -1);
	dispatch();
	send_request(
		&(struct vmm_request){
			.type = VMM_NOTE, .serial = 2, .session = S, .note = NOTE_COMMITTING},
		-1);
	detach();
	ck_assert_int_eq(state_of(S), SESSION_COMMITTING);
	stop();
}
END_TEST

START_TEST(test_end_while_inactivating_commits)
{
	bring_to(SESSION_PAUSED, false);
	vm.inactivate = HTABVMM_LATER;
	vm.trace[0] = 0;
	send_request(
		&(struct vmm_request){
			.type = VMM_NOTE, .serial = 1, .session = S, .note = NOTE_COMMITTING},
		-1);
	detach();
	ck_assert_int_eq(state_of(S), SESSION_PAUSED);
	dispatch();
	ck_assert_str_eq(vm.trace, "inactivate"); /* and no resume */
	ck_assert_int_eq(htabvmm_complete(vm.h, 0), 0);
	ck_assert_int_eq(htabvmm_complete(vm.h, 0), -EINVAL);
	wait_dispatch();
	ck_assert_int_eq(state_of(S), SESSION_COMMITTING);
	ck_assert_str_eq(vm.trace, "inactivate");
	attach();
	ck_assert_uint_eq(reg.n_notes, 1);
	stop();
}
END_TEST

START_TEST(test_end_while_inactivating_fails_resumes)
{
	bring_to(SESSION_PAUSED, false);
	vm.inactivate = HTABVMM_LATER;
	vm.trace[0] = 0;
	send_request(
		&(struct vmm_request){
			.type = VMM_NOTE, .serial = 1, .session = S, .note = NOTE_COMMITTING},
		-1);
	detach();
	ck_assert_int_eq(htabvmm_complete(vm.h, -EIO), 0);
	wait_dispatch();
	ck_assert_int_eq(state_of(S), SESSION_RESUMED);
	ck_assert_str_eq(vm.trace, "inactivate resume");
	stop();
}
END_TEST

/* -- the lease -------------------------------------------------------------------------------- */

START_TEST(test_lease_over_resumes_and_says_so_first)
{
	struct vmm_event e;

	start(false);
	htabvmm_test_lease(vm.h, 1);
	ck_assert_int_eq(ask(VMM_PAUSE, S), 0);
	ck_assert(!htabvmm_may_run(vm.h));
	vm.trace[0] = vm.events[0] = 0;
	while (state_of(S) == SESSION_PAUSED)
		wait_dispatch();
	ck_assert_int_eq(state_of(S), SESSION_RESUMED);
	ck_assert_str_eq(vm.trace, "resume");
	ck_assert_str_eq(vm.events, "resumed");
	ck_assert(vm.may_run_at_resume);
	ck_assert_int_eq(vm.daemon_events_at_resume, 1); /* before any vCPU runs */
	ck_assert(take_event(&e));
	ck_assert_int_eq(e.kind, VMM_EVENT_RESUMED);
	ck_assert(session_eq(&e.session, &S));
	/* And from then on nothing of S is taken. */
	ck_assert_int_eq(ask_note(NOTE_COMMITTING, S), -ECANCELED);
	ck_assert_uint_eq(rep.value, NOTE_NONE);
	ck_assert_int_eq(ask(VMM_GET_STATE, S), -ECANCELED);
	send_request(&(struct vmm_request){.type = VMM_LEASE, .session = S}, -1);
	dispatch();
	ck_assert_uint_eq(vm.h->lease_at, 0);
	/* A new session may begin. */
	ck_assert_int_eq(ask(VMM_PAUSE, T), 0);
	stop();
}
END_TEST

START_TEST(test_lease_renewed)
{
	uint64_t at;

	bring_to(SESSION_PAUSED, false);
	at = vm.h->lease_at;
	ck_assert_uint_gt(at, 0);
	while (clock_ns() + VMM_LEASE_MS * NS_PER_MS <= at)
		;
	send_request(&(struct vmm_request){.type = VMM_LEASE, .session = S}, -1);
	dispatch();
	ck_assert_uint_gt(vm.h->lease_at, at);
	at = vm.h->lease_at;
	send_request(&(struct vmm_request){.type = VMM_LEASE, .session = T}, -1); /* not ours */
	dispatch();
	ck_assert_uint_eq(vm.h->lease_at, at);
	stop();
}
END_TEST

START_TEST(test_queued_messages_come_before_an_old_lease)
{
	bring_to(SESSION_PAUSED, false);
	send_request(&(struct vmm_request){.type = VMM_LEASE, .session = S}, -1);
	vm.h->lease_at = 1; /* long over, but this process did not come to see it */
	dispatch();
	ck_assert_int_eq(state_of(S), SESSION_PAUSED);
	vm.h->lease_at = 1;
	dispatch();
	ck_assert_int_eq(state_of(S), SESSION_RESUMED);
	stop();
}
END_TEST

START_TEST(test_no_lease_after_committing)
{
	bring_to(SESSION_COMMITTING, false);
	ck_assert_uint_eq(vm.h->lease_at, 0);
	send_request(&(struct vmm_request){.type = VMM_LEASE, .session = S}, -1);
	dispatch();
	ck_assert_uint_eq(vm.h->lease_at, 0);
	stop();
}
END_TEST

START_TEST(test_lease_over_while_pausing)
{
	struct vmm_event e;

	start(false);
	vm.pause = HTABVMM_LATER;
	send_request(
		&(struct vmm_request){.type = VMM_PAUSE, .serial = ++serial, .session = S}, -1);
	dispatch();
	ck_assert(!queued());
	vm.h->lease_at = 1;
	dispatch();
	ck_assert_int_eq(state_of(S), SESSION_RESUMED);
	ck_assert(take_event(&e));
	ck_assert_str_eq(vm.trace, "pause"); /* it cannot resume what is still being paused */
	ck_assert_int_eq(htabvmm_complete(vm.h, 0), 0);
	wait_dispatch();
	ck_assert_str_eq(vm.trace, "pause resume");
	ck_assert(take_reply(serial));
	ck_assert_int_eq(rep.error, -ECANCELED);
	ck_assert(htabvmm_may_run(vm.h));
	stop();
}
END_TEST

/* -- callbacks that fail or answer later ------------------------------------------------------ */

START_TEST(test_pause_fails)
{
	start(false);
	vm.pause = -EIO;
	ck_assert_int_eq(ask(VMM_PAUSE, S), -EIO);
	ck_assert(htabvmm_may_run(vm.h));
	ck_assert_str_eq(vm.trace, "pause");
	ck_assert_uint_eq(vm.h->lease_at, 0);
	vm.pause = 0;
	ck_assert_int_eq(ask(VMM_PAUSE, T), 0);
	stop();
}
END_TEST

START_TEST(test_pause_later_and_cancelled)
{
	start(false);
	vm.pause = HTABVMM_LATER;
	send_request(&(struct vmm_request){.type = VMM_PAUSE, .serial = 1, .session = S}, -1);
	send_request(&(struct vmm_request){.type = VMM_RESUME, .serial = 2, .session = S}, -1);
	dispatch();
	ck_assert(!queued());
	htabvmm_complete(vm.h, 0);
	wait_dispatch();
	ck_assert(take_reply(1));
	ck_assert_int_eq(rep.error, 0);
	ck_assert(take_reply(2));
	ck_assert_int_eq(rep.error, 0);
	ck_assert_str_eq(vm.trace, "pause resume");
	stop();
}
END_TEST

START_TEST(test_too_many_wait)
{
	start(false);
	vm.pause = HTABVMM_LATER;
	for (uint32_t i = 1; i <= LIB_WAITING_MAX + 2; i++)
		send_request(
			&(struct vmm_request){.type = VMM_PAUSE, .serial = i, .session = S}, -1);
	dispatch();
	ck_assert(take_reply(LIB_WAITING_MAX + 2));
	ck_assert_int_eq(rep.error, -EBUSY);
	htabvmm_complete(vm.h, 0);
	wait_dispatch();
	for (uint32_t i = 1; i <= LIB_WAITING_MAX + 1; i++) {
		ck_assert(take_reply(i));
		ck_assert_int_eq(rep.error, 0);
	}
	stop();
}
END_TEST

START_TEST(test_freed_while_requests_wait)
{
	int fd = image("test", 0);

	bring_to(SESSION_STARTING, true);
	send_request(&(struct vmm_request){.type = VMM_SET_STATE, .serial = 9, .session = S}, fd);
	dispatch();
	fd_close(fd);
	stop();
}
END_TEST

START_TEST(test_inactivate_fails)
{
	bring_to(SESSION_PAUSED, false);
	vm.inactivate = -EIO;
	ck_assert_int_eq(ask_note(NOTE_COMMITTING, S), -EIO);
	ck_assert_uint_eq(rep.value, NOTE_NONE);
	ck_assert_uint_gt(vm.h->lease_at, 0);
	ck_assert_int_eq(ask(VMM_RESUME, S), 0);
	ck_assert_str_eq(vm.trace, "pause inactivate resume");
	stop();
}
END_TEST

START_TEST(test_committing_again_with_another_cookie)
{
	struct vmm_request m = {.type = VMM_NOTE,
		.serial = 99,
		.session = S,
		.note = NOTE_COMMITTING,
		.cookie_len = 6,
		.cookie = "COOKIE"};

	bring_to(SESSION_COMMITTING, false);
	send_request(&m, -1);
	dispatch();
	ck_assert(take_reply(99));
	ck_assert_int_eq(rep.error, -EEXIST);
	ck_assert_uint_eq(rep.value, NOTE_COMMITTING);
	stop();
}
END_TEST

START_TEST(test_undo_activates_first)
{
	bring_to(SESSION_COMMITTING, false);
	vm.trace[0] = 0;
	vm.activate = -EIO;
	ck_assert_int_eq(ask(VMM_UNDO, S), -EIO);
	ck_assert_int_eq(state_of(S), SESSION_COMMITTING); /* may be asked again */
	ck_assert(!htabvmm_may_run(vm.h));
	vm.activate = 0;
	ck_assert_int_eq(ask(VMM_UNDO, S), 0);
	ck_assert_str_eq(vm.trace, "activate activate resume");
	ck_assert(htabvmm_may_run(vm.h));
	stop();
}
END_TEST

START_TEST(test_resume_fails_and_is_asked_again)
{
	struct vmm_event e;

	bring_to(SESSION_PAUSED, false);
	vm.resume = -EIO;
	send_request(&(struct vmm_request){.type = VMM_RESUME, .serial = 50, .session = S}, -1);
	dispatch();
	ck_assert(take_event(&e));
	ck_assert_int_eq(e.kind, VMM_EVENT_STOPPED);
	ck_assert(take_reply(50));
	ck_assert_int_eq(rep.error, -EIO);
	ck_assert(!htabvmm_may_run(vm.h));
	ck_assert_int_eq(ask_note(NOTE_COMMITTING, S), -ECANCELED); /* it is RESUMED for good */
	vm.resume = 0;
	ck_assert_int_eq(ask(VMM_RESUME, S), 0);
	ck_assert(htabvmm_may_run(vm.h));
	stop();
}
END_TEST

START_TEST(test_start_order_and_announce)
{
	bring_to(SESSION_RUN, true);
	ck_assert_str_eq(vm.trace, "activate resume announce");
	ck_assert_str_eq(vm.events, "loading ready started");
	ck_assert(htabvmm_may_run(vm.h));
	ck_assert_int_eq(ask_note(NOTE_RUN, S), 0); /* said again, not done again */
	ck_assert_uint_eq(rep.value, NOTE_RUN);
	ck_assert_str_eq(vm.trace, "activate resume announce");
	/* It may not move on before the source has closed. */
	ck_assert_int_eq(ask(VMM_PAUSE, T), -EBUSY);
	ck_assert_int_eq(ask(VMM_RELEASE, S), 0);
	ck_assert_int_eq(ask(VMM_PAUSE, T), 0);
	stop();
}
END_TEST

START_TEST(test_failed_start_is_dead)
{
	bring_to(SESSION_READY, true);
	vm.trace[0] = vm.events[0] = 0;
	if (_i == 0)
		vm.activate = -EIO;
	else
		vm.resume = -EIO;
	ck_assert_int_eq(ask_note(NOTE_RUN, S), -EIO);
	ck_assert_uint_eq(rep.value, NOTE_DEAD);
	ck_assert_str_eq(vm.trace, _i == 0 ? "activate" : "activate resume");
	ck_assert_str_eq(vm.events, "dead");
	ck_assert(!htabvmm_may_run(vm.h));
	vm.activate = vm.resume = 0;
	ck_assert_int_eq(ask_note(NOTE_RUN, S), -ECANCELED);
	ck_assert_uint_eq(rep.value, NOTE_DEAD);
	ck_assert_int_eq(ask_note(NOTE_LOADING, T), 0); /* it waits for another */
	stop();
}
END_TEST

START_TEST(test_requests_wait_for_activate)
{
	bring_to(SESSION_STARTING, true);
	send_request(
		&(struct vmm_request){
			.type = VMM_NOTE, .serial = 1000, .session = S, .note = NOTE_DEAD},
		-1);
	dispatch();
	ck_assert(!queued());
	ck_assert_int_eq(htabvmm_set_running(vm.h, 1, ""), -EBUSY);
	htabvmm_complete(vm.h, 0);
	wait_dispatch();
	ck_assert(take_reply(serial));
	ck_assert_int_eq(rep.error, 0);
	ck_assert_uint_eq(rep.value, NOTE_RUN);
	ck_assert(take_reply(1000));
	ck_assert_int_eq(rep.error, -EALREADY);
	ck_assert_uint_eq(rep.value, NOTE_RUN);
	stop();
}
END_TEST

START_TEST(test_end_while_activating_still_starts)
{
	bring_to(SESSION_STARTING, true);
	detach();
	ck_assert_int_eq(state_of(S), SESSION_STARTING);
	htabvmm_complete(vm.h, 0);
	wait_dispatch();
	ck_assert_int_eq(state_of(S), SESSION_RUN);
	attach();
	ck_assert_int_eq(reg.notes[0].note, NOTE_RUN);
	ck_assert(reg.running && !reg.incoming);
	stop();
}
END_TEST

/* -- sessions --------------------------------------------------------------------------------- */

START_TEST(test_one_session_at_a_time)
{
	bring_to(SESSION_PAUSED, false);
	ck_assert_int_eq(ask(VMM_PAUSE, T), -EBUSY);
	stop();
	bring_to(SESSION_LOADING, true);
	ck_assert_int_eq(ask_note(NOTE_LOADING, T), -EBUSY);
	stop();
	bring_to(SESSION_READY, true);
	ck_assert_int_eq(ask_note(NOTE_LOADING, T), -EBUSY);
	stop();
	bring_to(SESSION_MIGRATED, false);
	ck_assert_int_eq(ask(VMM_PAUSE, T), -EALREADY);
	stop();
}
END_TEST

START_TEST(test_sixteen_are_remembered)
{
	struct session_id s = S;

	start(true);
	for (unsigned i = 1; i <= SESSIONS_MAX; i++) {
		s.b[1] = (uint8_t)i;
		ck_assert_int_eq(ask_note(NOTE_LOADING, s), 0);
		ck_assert_int_eq(ask_note(NOTE_DEAD, s), 0);
	}
	for (unsigned i = 1; i <= SESSIONS_MAX; i++) {
		s.b[1] = (uint8_t)i;
		ck_assert_int_eq(ask_note(NOTE_LOADING, s), -ECANCELED);
		ck_assert_uint_eq(rep.value, NOTE_DEAD);
	}
	s.b[1] = SESSIONS_MAX + 1; /* the oldest makes room */
	ck_assert_int_eq(ask_note(NOTE_LOADING, s), 0);
	s.b[1] = 1;
	ck_assert_int_eq(ask_note(NOTE_DEAD, s), -ENOENT);
	s.b[1] = 2;
	ck_assert_int_eq(ask_note(NOTE_DEAD, s), 0);
	detach();
	attach();
	ck_assert_uint_eq(reg.n_notes, VMM_NOTES_MAX);
	stop();
}
END_TEST

START_TEST(test_unknown_session_is_named)
{
	start(false);
	ck_assert_int_eq(ask_note(NOTE_COMMITTING, S), -ENOENT);
	ck_assert(strstr(rep.text, "01000000000000000000000000000000") != NULL);
	stop();
}
END_TEST

START_TEST(test_not_running_guest_stays)
{
	struct vmm_event e;

	start(false);
	ck_assert_int_eq(htabvmm_set_running(vm.h, 0, "shut down"), 0);
	ck_assert(take_event(&e));
	ck_assert_int_eq(e.kind, VMM_EVENT_STOPPED);
	ck_assert_str_eq(e.text, "shut down");
	ck_assert_int_eq(ask(VMM_PAUSE, S), -EINVAL);
	ck_assert_int_eq(htabvmm_set_running(vm.h, 1, ""), 0);
	ck_assert(take_event(&e));
	ck_assert_int_eq(e.kind, VMM_EVENT_RESUMED);
	ck_assert(session_is_none(&e.session));
	ck_assert_int_eq(ask(VMM_PAUSE, S), 0);
	ck_assert_int_eq(htabvmm_set_running(vm.h, 1, ""), -EBUSY);
	stop();
}
END_TEST

/* -- state and table -------------------------------------------------------------------------- */

START_TEST(test_state_there_and_back)
{
	size_t size;
	int fd;

	bring_to(SESSION_PAUSED, false);
	ck_assert_int_eq(ask(VMM_GET_STATE, S), 0);
	fd = rep_fd;
	rep_fd = -1;
	ck_assert_int_eq(fd_memfd_check(fd, STATE_IMAGE_MAX, &size), 0);
	stop();
	bring_to(SESSION_LOADING, true);
	ck_assert_int_eq(ask_note(NOTE_READY, S), -EINVAL); /* no state yet */
	ck_assert_int_eq(ask_fd(VMM_SET_STATE, NOTE_NONE, S, fd), 0);
	ck_assert_uint_eq(vm.reg, 0x0123456789abcdefull);
	ck_assert_uint_eq(vm.blob_size, 4);
	ck_assert_int_eq(memcmp(vm.blob, "data", 4), 0);
	/* The table is emptied: the state goes with it. */
	ck_assert_int_eq(ask(VMM_RESET_HTAB, S), 0);
	ck_assert_int_eq(ask_note(NOTE_READY, S), -EINVAL);
	fd_close(fd);
	stop();
}
END_TEST

START_TEST(test_state_refused)
{
	int fd;

	bring_to(SESSION_LOADING, true);
	ck_assert_int_eq(ask(VMM_SET_STATE, S), -EBADMSG); /* no descriptor */
	fd = fd_memfd("unsealed");
	ck_assert_int_eq(write(fd, "xxxx", 4), 4);
	ck_assert_int_eq(ask_fd(VMM_SET_STATE, NOTE_NONE, S, fd), -EINVAL);
	ck_assert_int_eq(fd_memfd_seal(fd), 0);
	ck_assert_int_eq(ask_fd(VMM_SET_STATE, NOTE_NONE, S, fd), -EBADMSG); /* cut short */
	fd_close(fd);
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	ck_assert_int_eq(ask_fd(VMM_SET_STATE, NOTE_NONE, S, fd), -EINVAL);
	fd_close(fd);
	fd = image("test", 2); /* there are two vCPUs */
	ck_assert_int_eq(ask_fd(VMM_SET_STATE, NOTE_NONE, S, fd), -EINVAL);
	ck_assert_msg(strstr(rep.text, "vCPU 2") != NULL, "%s", rep.text);
	ck_assert_uint_eq(vm.reg, 0); /* nothing was applied */
	fd_close(fd);
	vm.load = -EPERM;
	ck_assert_int_eq(set_state(S), -EPERM);
	ck_assert_msg(strstr(rep.text, "blob test") != NULL, "%s", rep.text);
	ck_assert_int_eq(ask_note(NOTE_READY, S), -EINVAL);
	stop();
	bring_to(SESSION_PAUSED, false);
	vm.save = -EIO;
	ck_assert_int_eq(ask(VMM_GET_STATE, S), -EIO);
	ck_assert_int_lt(rep_fd, 0);
	stop();
}
END_TEST

static int open_htab(uint32_t flags)
{
	send_request(
		&(struct vmm_request){.type = VMM_OPEN_HTAB, .serial = ++serial, .flags = flags},
		-1);
	dispatch();
	ck_assert(take_reply(serial));
	return rep.error;
}

START_TEST(test_open_htab)
{
	start(false);
	ck_assert_int_eq(open_htab(0), 0);
	ck_assert_uint_eq(rep.value, VMM_HTAB_SOCKET);
	ck_assert_int_ge(rep_fd, 0);
	ck_assert_int_eq(open_htab(HTAB_FD_WRITE), -EPERM);
	stop();
	bring_to(SESSION_LOADING, true);
	ck_assert_int_eq(open_htab(HTAB_FD_WRITE), 0);
	rep_fd = fd_close(rep_fd);
	stop();
}
END_TEST

START_TEST(test_throttle_ends_with_the_migration)
{
	start(false);
	send_request(&(struct vmm_request){.type = VMM_THROTTLE, .serial = 1, .percent = 70}, -1);
	dispatch();
	ck_assert(take_reply(1));
	ck_assert_int_eq(vm.throttle, 70);
	detach();
	ck_assert_int_eq(vm.throttle, 0);
	stop();
}
END_TEST

/* -- the connection --------------------------------------------------------------------------- */

START_TEST(test_registration)
{
	start(false);
	ck_assert_str_eq(reg.name, "vm1");
	ck_assert_uint_eq(reg.uuid.b[0], 9);
	ck_assert_uint_eq(reg.order, ORDER);
	ck_assert_uint_eq(reg.vcpus, 2);
	ck_assert_uint_eq(reg.pvr, 0x4e1202);
	ck_assert(reg.running && !reg.incoming && reg.n_notes == 0);
	detach();
	ck_assert_str_eq(vm.events, "disconnected");
	attach();
	ck_assert_str_eq(vm.events, "disconnected registered");
	send_request(&(struct vmm_request){.type = VMM_REFUSED, .text = "go away"}, -1);
	dispatch();
	ck_assert_str_eq(vm.text, "go away");
	stop();
}
END_TEST

START_TEST(test_tries_until_there_is_a_daemon)
{
	struct htabvmm_config c = config(false);

	memset(&vm, 0, sizeof(vm));
	c.socket = "/nonexistent/vmm.sock";
	ck_assert_int_eq(htabvmm_new(&c, &vm.h), 0);
	wait_dispatch(); /* the timer says when */
	ck_assert_int_lt(vm.h->sock, 0);
	snprintf(vm.h->addr.sun_path, sizeof(vm.h->addr.sun_path), "%s", path);
	while (vm.h->sock < 0)
		wait_dispatch();
	d = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	take_register();
	stop();
}
END_TEST

START_TEST(test_malformed_packets)
{
	static const uint8_t unknown[] = {0, 99, 0, 0, 0, 0, 0, 5};
	static const uint8_t shorter[] = {0, VMM_PAUSE, 0, 0, 0, 0, 0, 6, 1};
	static const uint8_t oneway[] = {0, 99, 0, 0, 0, 0, 0, 0};
	static uint8_t huge[VMM_PACKET_MAX + 1];

	start(false);
	ck_assert_int_eq(fd_send_packet(d, unknown, sizeof(unknown), listener), 0);
	dispatch();
	ck_assert(take_reply(5));
	ck_assert_int_eq(rep.error, -EOPNOTSUPP);
	ck_assert_int_eq(fd_send_packet(d, shorter, sizeof(shorter), -1), 0);
	dispatch();
	ck_assert(take_reply(6));
	ck_assert_int_eq(rep.error, -EBADMSG);
	if (_i == 0)
		ck_assert_int_eq(fd_send_packet(d, oneway, sizeof(oneway), -1), 0);
	else
		ck_assert_int_eq(fd_send_packet(d, huge, sizeof(huge), -1), 0);
	dispatch();
	ck_assert_str_eq(vm.events, ""); /* it says no more, and waits for the daemon's end */
	d = fd_close(d);
	dispatch();
	ck_assert_str_eq(vm.events, "disconnected");
	stop();
}
END_TEST

START_TEST(test_daemon_that_does_not_read)
{
	bring_to(SESSION_PAUSED, false);
	/* Answers pile up until one cannot be queued, and so RESUMED could not be either. */
	for (uint32_t i = 1; !vm.h->broken; i++) {
		struct vmm_request m = {.type = VMM_THROTTLE, .serial = i};
		uint8_t buf[VMM_PACKET_MAX];
		int len = vmm_pack_request(&m, buf);

		ck_assert_uint_lt(i, 100000);
		if (fd_send_packet(d, buf, (size_t)len, -1) < 0)
			break;
		dispatch();
	}
	dispatch();
	ck_assert_int_eq(state_of(S), SESSION_PAUSED);
	ck_assert(!htabvmm_may_run(vm.h));
	d = fd_close(d);
	dispatch();
	ck_assert_int_eq(state_of(S), SESSION_RESUMED);
	ck_assert(htabvmm_may_run(vm.h));
	stop();
}
END_TEST

START_TEST(test_config_limits)
{
	struct htabvmm *h = NULL;
	char longer[200];

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = 0;
	for (int i = 0; i < 11; i++) {
		struct htabvmm_ops o = ops;
		struct htabvmm_config c = config(false);

		c.ops = &o;
		switch (i) {
		case 0: c.size--; break;
		case 1: c.name = ".x"; break;
		case 2: c.name = longer; break;
		case 3: c.hpt_order = HTAB_ORDER_MIN - 1; break;
		case 4: c.hpt_order = HTAB_ORDER_MAX + 1; break;
		case 5: c.vcpus = 0; break;
		case 6: c.vcpus = VMM_VCPUS_MAX + 1; break;
		case 7: c.incoming = 1; break; /* and running */
		case 8: c.socket = longer; break;
		case 9: o.open_htab = NULL; break;
		default: o.pause = NULL; break;
		}
		ck_assert_int_eq(htabvmm_new(&c, &h), -EINVAL);
		ck_assert_ptr_null(h);
	}
	ck_assert_ptr_null(htabvmm_free(NULL));
}
END_TEST

/* -- descriptors ------------------------------------------------------------------------------ */

START_TEST(test_packets_and_descriptors)
{
	int pair[2], fd, fds[3];
	char buf[8];
	union {
		struct cmsghdr align;
		char b[CMSG_SPACE(sizeof(fds))];
	} control = {0};
	struct iovec iov = {buf, 3};
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.b,
		.msg_controllen = sizeof(control.b)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
	ck_assert_int_eq(fd_recv_packet(pair[0], buf, sizeof(buf), &fd), -EAGAIN);
	ck_assert_int_eq(fd_send_packet(pair[1], "abc", 3, pair[1]), 0);
	ck_assert_int_eq(fd_recv_packet(pair[0], buf, sizeof(buf), &fd), 3);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(fd_close(fd), -1);
	ck_assert_int_eq(fd_send_packet(pair[1], "abcdefghi", 9, pair[1]), 0);
	ck_assert_int_eq(fd_recv_packet(pair[0], buf, sizeof(buf), &fd), -EMSGSIZE);
	ck_assert_int_eq(fd, -1);
	/* Of several descriptors the first is kept. */
	fds[0] = fds[1] = fds[2] = pair[1];
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(c), fds, sizeof(fds));
	ck_assert_int_eq(sendmsg(pair[1], &msg, 0), 3);
	ck_assert_int_eq(fd_recv_packet(pair[0], buf, sizeof(buf), &fd), 3);
	fds[0] = fcntl(fd, F_DUPFD, 0); /* the lowest free one: the others are closed */
	ck_assert_int_eq(fds[0], fd + 1);
	fd_close(fds[0]);
	fd_close(fd);
	fd_close(pair[1]);
	ck_assert_int_eq(fd_recv_packet(pair[0], buf, sizeof(buf), &fd), 0);
	ck_assert_int_eq(fd_send_packet(pair[0], "abc", 3, -1), -EPIPE);
	fd_close(pair[0]);
	ck_assert(!fd_is_kvm_htab(listener));
	ck_assert_int_eq(fd_pidfd_pid(listener), -EINVAL);
}
END_TEST

static void setup(void)
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

static void teardown(void)
{
	listener = fd_close(listener);
	rep_fd = fd_close(rep_fd);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	Suite *s = suite_create("htabvmm");
	TCase *t = tcase_create("htabvmm");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_every_request_in_every_state, 0,
		(int)(sizeof(table) / sizeof(table[0]) * REQUESTS));
	tcase_add_test(t, test_table_is_whole);
	tcase_add_loop_test(
		t, test_lost_in_every_state, 0, (int)(sizeof(table) / sizeof(table[0])));
	tcase_add_test(t, test_queued_committing_counts_before_the_end);
	tcase_add_test(t, test_queued_committing_counts_though_replies_are_unread);
	tcase_add_test(t, test_end_while_inactivating_commits);
	tcase_add_test(t, test_end_while_inactivating_fails_resumes);
	tcase_add_test(t, test_lease_over_resumes_and_says_so_first);
	tcase_add_test(t, test_lease_renewed);
	tcase_add_test(t, test_queued_messages_come_before_an_old_lease);
	tcase_add_test(t, test_no_lease_after_committing);
	tcase_add_test(t, test_lease_over_while_pausing);
	tcase_add_test(t, test_pause_fails);
	tcase_add_test(t, test_pause_later_and_cancelled);
	tcase_add_test(t, test_too_many_wait);
	tcase_add_test(t, test_freed_while_requests_wait);
	tcase_add_test(t, test_inactivate_fails);
	tcase_add_test(t, test_committing_again_with_another_cookie);
	tcase_add_test(t, test_undo_activates_first);
	tcase_add_test(t, test_resume_fails_and_is_asked_again);
	tcase_add_test(t, test_start_order_and_announce);
	tcase_add_loop_test(t, test_failed_start_is_dead, 0, 2);
	tcase_add_test(t, test_requests_wait_for_activate);
	tcase_add_test(t, test_end_while_activating_still_starts);
	tcase_add_test(t, test_one_session_at_a_time);
	tcase_add_test(t, test_sixteen_are_remembered);
	tcase_add_test(t, test_unknown_session_is_named);
	tcase_add_test(t, test_not_running_guest_stays);
	tcase_add_test(t, test_state_there_and_back);
	tcase_add_test(t, test_state_refused);
	tcase_add_test(t, test_open_htab);
	tcase_add_test(t, test_throttle_ends_with_the_migration);
	tcase_add_test(t, test_registration);
	tcase_add_test(t, test_tries_until_there_is_a_daemon);
	tcase_add_loop_test(t, test_malformed_packets, 0, 2);
	tcase_add_test(t, test_daemon_that_does_not_read);
	tcase_add_test(t, test_config_limits);
	tcase_add_test(t, test_packets_and_descriptors);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
