/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* htab-simvm as processes, with the test as the daemon. */
#include <assert.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/fd.h"
#include "proto/state.h"
#include "proto/vmm.h"
#include "vmm/tool/hptfile.h"

#define ARGS_MAX 32
#define ORDER    "18"

extern char **environ;

struct sim {
	pid_t pid;
	FILE *out;
	int sock; /* the daemon's end */
	uint32_t serial;
	struct vmm_reply rep;
	int fd; /* of the last reply */
	unsigned long long counter;
	char line[1024];
};

static char dir[64], path[96], file[2][128];
static int listener = -1;
static const struct session_id S = {{7}};
static uint8_t packet[HTABSOCK_PACKET_MAX];

/* -- one process ------------------------------------------------------------------------------ */

/* Wait for that event and no other. */
static void expect(struct sim *s, const char *event)
{
	char want[64];
	const char *p;

	ck_assert_msg(fgets(s->line, sizeof(s->line), s->out) != NULL, "no event %s", event);
	snprintf(want, sizeof(want), "{\"event\":\"%s\"", event);
	ck_assert_msg(strncmp(s->line, want, strlen(want)) == 0, "%s came, not %s", s->line, event);
	p = strstr(s->line, "\"counter\":");
	ck_assert(p && sscanf(p, "\"counter\":%llu", &s->counter) == 1);
}

static void start(struct sim *s, const char *const *options)
{
	char program[512],
		*argv[ARGS_MAX] = {program, (char *)"--socket", path, (char *)"--name",
			(char *)"vm1", (char *)"--order", (char *)ORDER};
	const char *top = getenv("abs_top_builddir");
	posix_spawn_file_actions_t a;
	int out[2], n = 7, len;

	snprintf(program, sizeof(program), "%s/htab-simvm", top ? top : ".");
	for (; options && *options; options++)
		argv[n++] = (char *)(uintptr_t)*options;
	*s = (struct sim){.fd = -1};
	ck_assert_int_eq(pipe2(out, O_CLOEXEC), 0);
	posix_spawn_file_actions_init(&a);
	posix_spawn_file_actions_adddup2(&a, out[1], STDOUT_FILENO);
	ck_assert_int_eq(posix_spawn(&s->pid, program, &a, NULL, argv, environ), 0);
	posix_spawn_file_actions_destroy(&a);
	close(out[1]);
	s->out = fdopen(out[0], "r");
	s->sock = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ck_assert_int_ge(s->sock, 0);
	ck_assert_int_gt(fd_recv_packet(s->sock, packet, VMM_PACKET_MAX, NULL), 0);
	len = vmm_pack_request(&(struct vmm_request){.type = VMM_REGISTERED}, packet);
	ck_assert_int_eq(fd_send_packet(s->sock, packet, (size_t)len, -1), 0);
	expect(s, "registered");
}

/* Its exit status, once it has ended. */
static int ended(struct sim *s)
{
	int status;

	ck_assert_int_eq(waitpid(s->pid, &status, 0), s->pid);
	fclose(s->out);
	fd_close(s->sock);
	fd_close(s->fd);
	ck_assert(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void terminate(struct sim *s)
{
	ck_assert_int_eq(kill(s->pid, SIGTERM), 0);
	expect(s, "exit");
	ck_assert_int_eq(ended(s), 0);
}

static void send_req(struct sim *s, struct vmm_request m, int fd)
{
	int len;

	m.serial = ++s->serial;
	len = vmm_pack_request(&m, packet);
	ck_assert_int_gt(len, 0);
	ck_assert_int_eq(fd_send_packet(s->sock, packet, (size_t)len, fd), 0);
}

static int req(struct sim *s, struct vmm_request m, int fd)
{
	ssize_t n;

	send_req(s, m, fd);
	s->fd = fd_close(s->fd);
	n = fd_recv_packet(s->sock, packet, VMM_PACKET_MAX, &s->fd);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(vmm_unpack_reply(packet, (size_t)n, &s->rep), 0);
	return s->rep.error;
}

static int ask(struct sim *s, enum vmm_type type)
{
	return req(s, (struct vmm_request){.type = type, .session = S, .order = 18}, -1);
}

static int note(struct sim *s, enum session_note n)
{
	return req(s, (struct vmm_request){.type = VMM_NOTE, .session = S, .note = n}, -1);
}

static int open_htab(struct sim *s, uint32_t flags)
{
	int fd;

	ck_assert_int_eq(
		req(s, (struct vmm_request){.type = VMM_OPEN_HTAB, .flags = flags}, -1), 0);
	fd = s->fd;
	s->fd = -1;
	return fd;
}

/* -- the table -------------------------------------------------------------------------------- */

/* Read into packet behind its header; the number of bytes. */
static int32_t read_records(int htab)
{
	uint8_t r[HTABSOCK_REQ_SIZE];
	int32_t result;
	ssize_t n;

	htabsock_pack_request(r, HTABSOCK_READ, HTABSOCK_RECORDS_MAX);
	ck_assert_int_eq(fd_send_packet(htab, r, sizeof(r), -1), 0);
	n = fd_recv_packet(htab, packet + 4, sizeof(packet) - 4, NULL);
	ck_assert_int_eq(htabsock_unpack_answer(packet + 4, (size_t)n, HTABSOCK_READ,
				 HTABSOCK_RECORDS_MAX, &result),
		0);
	return result;
}

/* Write `len` bytes that stand at packet + HTABSOCK_REQ_SIZE. */
static int32_t write_records(int htab, uint32_t len)
{
	uint8_t answer[HTABSOCK_ANS_SIZE];
	int32_t result;
	ssize_t n;

	htabsock_pack_request(packet, HTABSOCK_WRITE, len);
	ck_assert_int_eq(fd_send_packet(htab, packet, HTABSOCK_REQ_SIZE + len, -1), 0);
	n = fd_recv_packet(htab, answer, sizeof(answer), NULL);
	ck_assert_int_eq(
		htabsock_unpack_answer(answer, (size_t)n, HTABSOCK_WRITE, len, &result), 0);
	return result;
}

/* Until two reads in a row found nothing, or `reads` were done. Bytes moved. */
static uint64_t copy(int from, int to, unsigned reads)
{
	uint64_t moved = 0;
	int zeros = 0;

	for (unsigned i = 0; i < reads && zeros < 2; i++) {
		int32_t n = read_records(from); /* its records are where a write has them */

		ck_assert_int_ge(n, 0);
		zeros = n ? 0 : zeros + 1;
		if (n)
			ck_assert_int_eq(write_records(to, (uint32_t)n), n);
		moved += (uint64_t)n;
	}
	return moved;
}

static_assert(HTABSOCK_REQ_SIZE == 4 + HTABSOCK_ANS_SIZE, "an answer's records in a write's place");

/* -- tests ------------------------------------------------------------------------------------ */

/* Everything up to where the destination is to get the state; the image is *ret_state. */
static void transfer(struct sim *src, struct sim *dst, int *ret_state)
{
	int r, w;

	ck_assert_int_eq(note(dst, NOTE_LOADING), 0);
	expect(dst, "loading");
	ck_assert_int_eq(ask(dst, VMM_RESET_HTAB), 0);
	w = open_htab(dst, HTAB_FD_WRITE);
	r = open_htab(src, 0);
	ck_assert_uint_gt(copy(r, w, 30), 0);
	ck_assert_int_eq(
		req(src, (struct vmm_request){.type = VMM_THROTTLE, .percent = 50}, -1), 0);
	ck_assert_int_eq(ask(src, VMM_PAUSE), 0);
	copy(r, w, 100000);
	ck_assert_int_eq(read_records(r), 0);
	ck_assert_int_eq(ask(src, VMM_GET_STATE), 0);
	*ret_state = src->fd;
	src->fd = -1;
	fd_close(r);
	fd_close(w);
}

static void compare_dumps(void)
{
	uint8_t *a, *b;
	unsigned order;
	struct err e;

	ck_assert_int_eq(hptfile_read(file[0], &a, &order, &e), 0);
	ck_assert_uint_eq(order, 18);
	ck_assert_int_eq(hptfile_read(file[1], &b, &order, &e), 0);
	ck_assert_int_eq(memcmp(a, b, (size_t)1 << order), 0);
	free(a);
	free(b);
}

/* Until the guest has counted beyond that. */
static void wait_count(struct sim *s, unsigned long long at)
{
	do {
		kill(s->pid, SIGUSR1);
		expect(s, "status");
	} while (s->counter <= at);
}

START_TEST(test_guest_moves_and_counts_on)
{
	const char *source[] = {"--dirty-rate", "200000", "--vcpus", "3", "--dump", file[0], NULL};
	const char *dest[] = {
		"--incoming", "--vcpus", "3", "--dirty-rate", "0", "--dump", file[1], NULL};
	unsigned long long at;
	struct sim src, dst;
	int state;

	start(&src, source);
	start(&dst, dest);
	wait_count(&src, 0);
	transfer(&src, &dst, &state);
	ck_assert_int_eq(
		req(&dst, (struct vmm_request){.type = VMM_SET_STATE, .session = S}, state), 0);
	fd_close(state);
	ck_assert_int_eq(note(&dst, NOTE_READY), 0);
	expect(&dst, "ready");
	at = dst.counter;
	ck_assert_uint_gt(at, 0);
	ck_assert_int_eq(note(&src, NOTE_COMMITTING), 0);
	ck_assert_int_eq(note(&dst, NOTE_RUN), 0);
	expect(&dst, "started");
	ck_assert(strstr(dst.line, "\"running\":true") != NULL);
	ck_assert_int_eq(ask(&src, VMM_RELEASE), 0);
	expect(&src, "migrated");
	ck_assert_uint_eq(src.counter, at);
	expect(&src, "exit");
	ck_assert_int_eq(ended(&src), 0);
	wait_count(&dst, at);
	terminate(&dst);
	compare_dumps();
}
END_TEST

/* The state image with another value in the first register. */
static int tampered(int state)
{
	uint8_t image[4096];
	ssize_t n = pread(state, image, sizeof(image), 0);
	int fd = fd_memfd("tampered");

	ck_assert_int_gt(n, 24);
	image[STATE_HDR_SIZE + 7] ^= 1;
	ck_assert_int_eq(write(fd, image, (size_t)n), n);
	ck_assert_int_eq(fd_memfd_seal(fd), 0);
	return fd;
}

START_TEST(test_wrong_register_is_found_before_it_runs)
{
	const char *source[] = {"--dirty-rate", "1000", NULL};
	const char *dest[] = {"--incoming", NULL};
	struct sim src, dst;
	int state, wrong;

	start(&src, source);
	start(&dst, dest);
	transfer(&src, &dst, &state);
	wrong = tampered(state);
	fd_close(state);
	ck_assert_int_eq(
		req(&dst, (struct vmm_request){.type = VMM_SET_STATE, .session = S}, wrong), 0);
	fd_close(wrong);
	ck_assert_int_eq(note(&dst, NOTE_READY), 0);
	expect(&dst, "ready");
	ck_assert_int_lt(note(&dst, NOTE_RUN), 0);
	ck_assert_uint_eq(dst.rep.value, NOTE_DEAD);
	expect(&dst, "dead");
	expect(&dst, "exit");
	ck_assert_int_eq(ended(&dst), 3);
	ck_assert_int_eq(ask(&src, VMM_RESUME), 0);
	expect(&src, "resumed");
	terminate(&src);
}
END_TEST

START_TEST(test_knobs_at_the_destination)
{
	const char *dest[] = {
		"--incoming", "--fail-write-at", "5", "--refuse-state", "--fail-activate", NULL};
	const char *source[] = {NULL};
	struct sim src, dst;
	int state, w;

	start(&src, source);
	ck_assert_int_eq(ask(&src, VMM_PAUSE), 0);
	ck_assert_int_eq(ask(&src, VMM_GET_STATE), 0);
	state = src.fd;
	src.fd = -1;
	start(&dst, dest);
	ck_assert_int_eq(note(&dst, NOTE_LOADING), 0);
	expect(&dst, "loading");
	w = open_htab(&dst, HTAB_FD_WRITE);
	htab_put_header(packet + HTABSOCK_REQ_SIZE, HTAB_WIRE, 0, 0, 5);
	ck_assert_int_eq(write_records(w, HTAB_HDR_SIZE), (int)HTAB_HDR_SIZE);
	htab_put_header(packet + HTABSOCK_REQ_SIZE, HTAB_WIRE, 0, 0, 6);
	ck_assert_int_eq(write_records(w, HTAB_HDR_SIZE), -EIO);
	fd_close(w);
	ck_assert_int_eq(
		req(&dst, (struct vmm_request){.type = VMM_SET_STATE, .session = S}, state),
		-EPERM);
	fd_close(state);
	terminate(&dst);
	/* The daemon goes: the paused guest runs on by itself. */
	src.sock = fd_close(src.sock);
	expect(&src, "resumed");
	expect(&src, "disconnected");
	terminate(&src);
}
END_TEST

START_TEST(test_bad_fd)
{
	const char *options[] = {"--bad-fd", NULL};
	struct stat st;
	struct sim s;
	int fd;

	start(&s, options);
	fd = open_htab(&s, 0);
	ck_assert_uint_eq(s.rep.value, VMM_HTAB_KERNEL);
	ck_assert(fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && !fd_is_kvm_htab(fd));
	fd_close(fd);
	terminate(&s);
}
END_TEST

START_TEST(test_dies_where_told)
{
	static const char *const steps[] = {"pause", "state", "committing", "loading"};
	const char *options[] = {"--die-at", steps[_i], _i == 3 ? "--incoming" : NULL, NULL};
	struct sim s;

	start(&s, options);
	if (_i == 3) {
		send_req(&s,
			(struct vmm_request){.type = VMM_NOTE, .session = S, .note = NOTE_LOADING},
			-1);
		expect(&s, "loading");
	} else {
		if (_i > 0)
			ck_assert_int_eq(ask(&s, VMM_PAUSE), 0);
		send_req(&s,
			(struct vmm_request){.session = S,
				.note = NOTE_COMMITTING,
				.type = _i == 0   ? VMM_PAUSE
					: _i == 1 ? VMM_GET_STATE
						  : VMM_NOTE},
			-1);
	}
	ck_assert_int_eq(ended(&s), 9);
}
END_TEST

START_TEST(test_stalled_pause_still_ends)
{
	const char *options[] = {"--stall-pause", NULL};
	struct sim s;

	start(&s, options);
	send_req(&s, (struct vmm_request){.type = VMM_PAUSE, .session = S}, -1);
	kill(s.pid, SIGUSR1);
	expect(&s, "status");
	ck_assert(strstr(s.line, "\"running\":true") != NULL);
	terminate(&s);
}
END_TEST

START_TEST(test_files)
{
	uint8_t *flat = calloc(1, (size_t)1 << 19), *back, noise[16];
	unsigned order;
	struct err e;
	FILE *f;

	ck_assert_ptr_nonnull(flat);
	for (size_t i = 0; i < (size_t)1 << 19; i += 977)
		flat[i] = (uint8_t)i;
	memset(noise, 0xff, sizeof(noise));
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(hptfile_write(file[i], flat, 19, &e), 0);
		ck_assert_int_eq(hptfile_read(file[i], &back, &order, &e), 0);
		ck_assert_uint_eq(order, 19);
		ck_assert_int_eq(memcmp(flat, back, (size_t)1 << 19), 0);
		free(back);
		/* Cut short it is no table any more. */
		ck_assert_int_eq(truncate(file[i], 100), 0);
		ck_assert_int_lt(hptfile_read(file[i], &back, &order, &e), 0);
		ck_assert_msg(
			strstr(e.text, strstr(file[i], ".zst") ? "is cut off" : "holds 100 bytes"),
			"%s", e.text);
		ck_assert_int_eq(truncate(file[i], 5), 0);
		ck_assert_int_lt(hptfile_read(file[i], &back, &order, &e), 0);
		ck_assert_msg(
			strstr(e.text, strstr(file[i], ".zst") ? "is cut off" : "holds 5 bytes"),
			"%s", e.text);
		f = fopen(file[i], "r+e");
		ck_assert(
			f && fseek(f, 4, SEEK_SET) == 0 && fwrite(noise, 1, sizeof(noise), f) > 0);
		ck_assert_int_eq(fclose(f), 0);
		ck_assert_int_lt(hptfile_read(file[i], &back, &order, &e), 0);
		ck_assert_msg(
			strstr(e.text, strstr(file[i], ".zst") ? "is damaged" : "holds 20 bytes"),
			"%s", e.text);
		ck_assert_int_eq(truncate(file[i], 0), 0);
		ck_assert_int_eq(hptfile_read(file[i], &back, &order, &e), -EINVAL);
		ck_assert_ptr_nonnull(strstr(e.text, "is empty"));
	}
	ck_assert_int_eq(hptfile_read("/", &back, &order, &e), -EISDIR);
	ck_assert_ptr_nonnull(strstr(e.text, "is a directory"));
	ck_assert(unlink(file[0]) == 0 && mkfifo(file[0], 0600) == 0);
	ck_assert_int_eq(hptfile_read(file[0], &back, &order, &e), -EMEDIUMTYPE);
	ck_assert_ptr_nonnull(strstr(e.text, "is no regular file"));
	ck_assert_int_eq(hptfile_read("/nonexistent", &back, &order, &e), -ENOENT);
	ck_assert_int_eq(hptfile_write("/nonexistent/x", flat, 19, &e), -ENOENT);
	free(flat);
}
END_TEST

static void setup(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};

	snprintf(dir, sizeof(dir), "%s/simvm.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(file[0], sizeof(file[0]), "%s/source.hpt.zst", dir);
	snprintf(file[1], sizeof(file[1]), "%s/destination.hpt", dir);
	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(listener, 4), 0);
}

static void teardown(void)
{
	listener = fd_close(listener);
	unlink(path);
	unlink(file[0]);
	unlink(file[1]);
	rmdir(dir);
}

int main(void)
{
	Suite *s = suite_create("simvm");
	TCase *t = tcase_create("simvm");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, test_guest_moves_and_counts_on);
	tcase_add_test(t, test_wrong_register_is_found_before_it_runs);
	tcase_add_test(t, test_knobs_at_the_destination);
	tcase_add_test(t, test_bad_fd);
	tcase_add_loop_test(t, test_dies_where_told, 0, 4);
	tcase_add_test(t, test_stalled_pause_still_ends);
	tcase_add_test(t, test_files);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
