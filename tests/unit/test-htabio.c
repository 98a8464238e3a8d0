/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The htab fd of a VM: which fds are taken, what is asked over htabsock, and what is said when an
 * entry is refused. The kernel's kind runs against a model of KVM's writev(): the module is
 * compiled in here, with the two calls that need a POWER host replaced.
 */
#include <check.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/fd.h"
#include "tests/unit/flow-model.h"

static ssize_t kvm_writev(int fd, const struct iovec *iov, int n);
static bool is_kvm_htab(int fd);

#define writev         kvm_writev
#define fd_is_kvm_htab is_kvm_htab
#include "daemon/flow/htabio.c"
#undef writev
#undef fd_is_kvm_htab

#define ENTRIES 100000u

static struct model m;
static struct model_fd mfd;
static bool pretend;     /* every fd is the kernel's */
static unsigned writevs; /* calls */
static size_t short_by;  /* bytes that the kernel takes less of each record */

static bool is_kvm_htab(int fd)
{
	return pretend;
}

/* One write() for each segment, until one fails: vfs's loop around kvm_htab_write(). */
static ssize_t kvm_writev(int fd, const struct iovec *iov, int n)
{
	ssize_t total = 0;

	writevs++;
	ck_assert_int_le(n, 1024);
	for (int i = 0; i < n; i++) {
		int r;

		r = model_write(&mfd, iov[i].iov_base, iov[i].iov_len);
		if (r < 0) {
			errno = -r;
			return total ? total : -1;
		}
		total += (ssize_t)(iov[i].iov_len - short_by);
		if (short_by)
			break;
	}
	return total;
}

static void setup(void)
{
	pretend = false;
	writevs = 0;
	short_by = 0;
	model_init(&m, ENTRIES);
	mfd = (struct model_fd){.m = &m, .first_pass = true};
}

static void teardown(void)
{
	model_fini(&m);
}

/* A record of n_valid made-up entries at p. Returns its length. */
static size_t put_record(uint8_t *p, uint32_t index, uint16_t n_valid, uint16_t n_invalid)
{
	htab_put_header(p, HTAB_HOST, index, n_valid, n_invalid);
	for (unsigned i = 0; i < n_valid; i++) {
		be64_put(p + HTAB_HDR_SIZE + i * HTAB_HPTE_SIZE, (index + i) << 12 | HPTE_V_VALID);
		be64_put(p + HTAB_HDR_SIZE + i * HTAB_HPTE_SIZE + 8, 0x190);
	}
	return HTAB_HDR_SIZE + (size_t)n_valid * HTAB_HPTE_SIZE;
}

static struct htabio *kernel_io(void)
{
	struct htabio *io = NULL;
	struct err err;

	pretend = true;
	ck_assert_int_eq(
		htabio_new(open("/dev/null", O_RDWR | O_CLOEXEC), VMM_HTAB_KERNEL, 1000, &io, &err),
		0);
	return io;
}

/* protocol.md 16.5: "(an `anon_inode:kvm-htab`, or the daemon refuses it)" */
START_TEST(a_file_is_no_htab_fd)
{
	struct htabio *io = NULL;
	struct err err;
	int fd = fd_memfd("test-htabio"), pair[2];

	ck_assert_int_eq(htabio_new(fd, VMM_HTAB_KERNEL, 1000, &io, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "anon_inode:kvm-htab"));
	ck_assert_int_eq(fcntl(fd, F_GETFD), -1); /* taken, also on failure */
	fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	ck_assert_int_eq(htabio_new(fd, VMM_HTAB_SOCKET, 1000, &io, &err), -EINVAL);
	ck_assert_ptr_nonnull(strstr(err.text, "SOCK_SEQPACKET"));
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	ck_assert_int_eq(htabio_new(pair[0], VMM_HTAB_SOCKET, 1000, &io, &err), -EINVAL);
	close(pair[1]);
	ck_assert_int_eq(htabio_new(-1, (enum vmm_htab_kind)7, 1000, &io, &err), -EINVAL);
	ck_assert_ptr_null(io);
}
END_TEST

START_TEST(kernel_takes_one_record_a_segment)
{
	struct htabio *io = kernel_io();
	size_t len = 0, n = 3000;
	uint8_t *buf = malloc(n * 40);

	for (uint32_t i = 0; i < n; i++)
		len += put_record(buf + len, i * 4, 2, 1);
	ck_assert_int_eq(htabio_write(io, buf, len), 0);
	ck_assert_uint_eq(m.writes, n);
	ck_assert_uint_eq(writevs, (n + 1023) / 1024);
	ck_assert_uint_eq(m.hpte[4][0], 4 << 12 | HPTE_V_VALID);
	htabio_free(io);
	free(buf);
}
END_TEST

START_TEST(kernel_refusal_names_the_entry)
{
	static const struct {
		int code;
		const char *why;
	} refusals[] = {
		{-EIO, "Input/output error: is the guest's memory registered"},
		{-EINVAL, "Invalid argument: does this host know the page size"},
		{-EBUSY, "Device or resource busy: a vCPU of the destination runs"},
	};
	struct htabio *io = kernel_io();
	uint8_t buf[40 * 2000];
	size_t len = 0;

	for (uint32_t i = 0; i < 2000; i++)
		len += put_record(buf + len, i * 4, 2, 1);
	m.bad_index = 1500 * 4 + 1;
	m.bad_code = refusals[_i].code;
	ck_assert_int_eq(htabio_write(io, buf, len), refusals[_i].code);
	ck_assert_ptr_nonnull(strstr(htabio_error(io),
		"the destination's KVM refused HPTE index "
		"6001 (v=0x0000000001771001 r=0x0000000000000190): "));
	ck_assert_ptr_nonnull(strstr(htabio_error(io), refusals[_i].why));
	/*
	 * what was taken is not written again: up to the record, that one, its first entry, the
	 * bad one
	 */
	ck_assert_uint_le(m.writes, 1501 + 4);
	htabio_free(io);
}
END_TEST

START_TEST(a_cleared_entry_that_is_refused_names_its_record)
{
	struct htabio *io = kernel_io();
	uint8_t buf[100];
	size_t len = put_record(buf, 700, 2, 10);

	m.bad_index = 705;
	m.bad_code = -EIO;
	ck_assert_int_eq(htabio_write(io, buf, len), -EIO);
	ck_assert_ptr_nonnull(
		strstr(htabio_error(io), "HPTE indexes 700 to 711 (2 valid, 10 invalid)"));
	htabio_free(io);
}
END_TEST

START_TEST(a_short_count_is_an_error)
{
	struct htabio *io = kernel_io();
	uint8_t buf[100];
	size_t len = put_record(buf, 700, 2, 10);

	short_by = 8;
	ck_assert_int_eq(htabio_write(io, buf, len), -EIO);
	ck_assert_ptr_nonnull(strstr(htabio_error(io), "700"));
	htabio_free(io);
}
END_TEST

/* -- htabsock -- */

enum mood {
	MOOD_GOOD,
	MOOD_SILENT, /* reads, never answers */
	MOOD_SHORT,  /* takes less of a write than it was given */
	MOOD_NOISE,  /* answers with garbage */
	MOOD_CUT,    /* answers with a record that is cut short */
	MOOD_ERROR,  /* -EIO for a read */
	MOOD_CLOSE,
};

struct vmm {
	int fd;
	enum mood mood;
	pthread_t thread;
	unsigned requests;
};

static ssize_t answer(struct vmm *v, uint8_t *p, size_t len)
{
	enum htabsock_op op;
	uint32_t count;
	uint8_t records[HTABSOCK_PACKET_MAX];
	const char *why;
	struct htab_count c;
	ssize_t n;

	ck_assert_int_eq(htabsock_unpack_request(p, len, &op, &count), 0);
	v->requests++;
	if (op == HTABSOCK_WRITE) {
		uint8_t *r = p + HTABSOCK_REQ_SIZE;

		ck_assert_int_eq(htab_check(r, count, ENTRIES, HTAB_WIRE, &c, &why), 0);
		htab_convert(r, count, HTAB_WIRE, HTAB_HOST);
		n = model_write(&mfd, r, count);
		htabsock_pack_answer(
			p, (int32_t)(n < 0 ? n : (ssize_t)count - (v->mood == MOOD_SHORT)));
		return HTABSOCK_ANS_SIZE;
	}
	n = v->mood == MOOD_ERROR ? -EIO : model_read(&mfd, records, count);
	if (n > 0) {
		htab_convert(records, (size_t)n, HTAB_HOST, HTAB_WIRE);
		if (v->mood == MOOD_CUT)
			n -= 4;
		memcpy(p + HTABSOCK_ANS_SIZE, records, (size_t)n);
	}
	htabsock_pack_answer(p, (int32_t)n);
	return HTABSOCK_ANS_SIZE + (n > 0 ? n : 0);
}

static void *serve(void *arg)
{
	struct vmm *v = arg;
	static uint8_t p[HTABSOCK_PACKET_MAX];
	ssize_t n;

	while ((n = recv(v->fd, p, sizeof(p), 0)) > 0) {
		if (v->mood == MOOD_SILENT)
			continue;
		if (v->mood == MOOD_CLOSE)
			break;
		if (v->mood == MOOD_NOISE)
			memset(p, 0x5a, (size_t)(n = 77));
		else
			n = answer(v, p, (size_t)n);
		if (send(v->fd, p, (size_t)n, MSG_NOSIGNAL) < 0)
			break;
	}
	shutdown(v->fd, SHUT_RDWR);
	return NULL;
}

static struct htabio *sock_io(struct vmm *v, enum mood mood, int timeout_ms)
{
	struct htabio *io = NULL;
	struct err err;
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	*v = (struct vmm){.fd = pair[1], .mood = mood};
	ck_assert_int_eq(htabio_new(pair[0], VMM_HTAB_SOCKET, timeout_ms, &io, &err), 0);
	ck_assert_int_eq(pthread_create(&v->thread, NULL, serve, v), 0);
	return io;
}

static void sock_end(struct vmm *v, struct htabio *io)
{
	htabio_free(io);
	pthread_join(v->thread, NULL);
	close(v->fd);
}

START_TEST(socket_reads_and_writes_whole_tables)
{
	static uint8_t buf[HTAB_REC_MAX];
	struct htab_count c;
	const char *why;
	uint64_t end = 0, random = 1;
	struct vmm v;
	struct htabio *io = sock_io(&v, MOOD_GOOD, 10000);
	ssize_t n;
	size_t len;

	ck_assert_uint_eq(htabio_read_count(io, sizeof(buf)), HTABSOCK_RECORDS_MAX);
	ck_assert_uint_eq(htabio_read_count(io, 4096), 4096);
	model_stir(&m, &random, 50000);
	while (end < ENTRIES) {
		n = htabio_read(io, buf, sizeof(buf));
		ck_assert_int_gt(n, 0);
		ck_assert_int_eq(htab_check(buf, (size_t)n, ENTRIES, HTAB_HOST, &c, &why), 0);
		end = c.end;
	}
	/* a record longer than a packet is split */
	len = put_record(buf, 0, 65535, 34464);
	v.requests = 0;
	ck_assert_int_eq(htabio_write(io, buf, len), 0);
	ck_assert_uint_eq(v.requests, (len + HTABSOCK_RECORDS_MAX - 1) / HTABSOCK_RECORDS_MAX);
	for (uint64_t i = 0; i < ENTRIES; i++)
		if (m.hpte[i][0] != (i < 65535 ? i << 12 | HPTE_V_VALID : 0))
			ck_abort_msg("index %" PRIu64, i);
	sock_end(&v, io);
}
END_TEST

START_TEST(socket_refusal_names_the_entry)
{
	struct vmm v;
	struct htabio *io = sock_io(&v, MOOD_GOOD, 10000);
	uint8_t buf[1000];
	size_t len = put_record(buf, 50, 5, 3);

	len += put_record(buf + len, 60, 5, 3);
	m.bad_index = 63;
	m.bad_code = -EIO;
	ck_assert_int_eq(htabio_write(io, buf, len), -EIO);
	ck_assert_ptr_nonnull(strstr(htabio_error(io), "HPTE index 63 (v=0x000000000003f001"));
	sock_end(&v, io);
}
END_TEST

/* protocol.md 17: "A packet that breaks this ends the use of the socket." */
START_TEST(socket_trouble_is_told)
{
	static const struct {
		enum mood mood;
		int code;
		const char *why;
	} trouble[] = {
		{MOOD_SILENT, -ETIMEDOUT, "did not answer on its htab socket for 50 ms"},
		{MOOD_NOISE, -EBADMSG, "malformed"},
		{MOOD_CUT, -EBADMSG, "cut short"},
		{MOOD_ERROR, -EIO, "Input/output error"},
		{MOOD_CLOSE, -EPIPE, "closed"},
	};
	struct vmm v;
	struct htabio *io = sock_io(&v, trouble[_i].mood, _i == 0 ? 50 : 10000);
	uint8_t buf[4096];

	ck_assert_int_eq(htabio_read(io, buf, sizeof(buf)), trouble[_i].code);
	ck_assert_msg(strstr(htabio_error(io), trouble[_i].why), "%s", htabio_error(io));
	if (trouble[_i].mood == MOOD_SILENT) /* a late answer must not be taken for another's */
		ck_assert_int_eq(htabio_read(io, buf, sizeof(buf)), -ETIMEDOUT);
	sock_end(&v, io);
}
END_TEST

START_TEST(a_short_socket_write_is_an_error)
{
	struct vmm v;
	struct htabio *io = sock_io(&v, MOOD_SHORT, 10000);
	uint8_t buf[100];
	size_t len = put_record(buf, 50, 2, 3);

	ck_assert_int_eq(htabio_write(io, buf, len), -EIO);
	sock_end(&v, io);
}
END_TEST

static void *shut_down(void *arg)
{
	htabio_shutdown(arg);
	return NULL;
}

START_TEST(shutdown_wakes_a_waiting_exchange)
{
	struct vmm v;
	struct htabio *io = sock_io(&v, MOOD_SILENT, -1);
	uint8_t buf[4096];
	pthread_t t;

	ck_assert_int_eq(pthread_create(&t, NULL, shut_down, io), 0);
	ck_assert_int_eq(htabio_read(io, buf, sizeof(buf)), -ECANCELED);
	ck_assert_int_eq(htabio_write(io, buf, put_record(buf, 0, 1, 0)), -ECANCELED);
	pthread_join(t, NULL);
	sock_end(&v, io);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("htabio");
	TCase *tc = tcase_create("htabio");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_file_is_no_htab_fd);
	tcase_add_test(tc, kernel_takes_one_record_a_segment);
	tcase_add_loop_test(tc, kernel_refusal_names_the_entry, 0, 3);
	tcase_add_test(tc, a_cleared_entry_that_is_refused_names_its_record);
	tcase_add_test(tc, a_short_count_is_an_error);
	tcase_add_test(tc, socket_reads_and_writes_whole_tables);
	tcase_add_test(tc, socket_refusal_names_the_entry);
	tcase_add_loop_test(tc, socket_trouble_is_told, 0, 5);
	tcase_add_test(tc, a_short_socket_write_is_an_error);
	tcase_add_test(tc, shutdown_wakes_a_waiting_exchange);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
