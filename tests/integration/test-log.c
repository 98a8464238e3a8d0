/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The log, and the service manager: nobody who does not read holds the daemon. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "tests/integration/harness.h"

/* A file's text, valid until the next call. */
static const char *text_of(struct harness *h, const char *path)
{
	static char text[1024 * 1024];
	FILE *f = fopen(path, "re");
	size_t n;

	h_check(h, f, "%s: %m", path);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = 0;
	fclose(f);
	return text;
}

START_TEST(without_stderr_no_file_has_the_log)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", &(struct host_opts){.err = -1});

	guest_start(a, "vm1", &(struct guest_opts){.order = 18});
	ck_assert_str_eq(text_of(h, harness_path(h, "a/lock")), "");
	harness_free(h);
}
END_TEST

/* A pipe into which nothing more goes, but what is written there waits. */
static void full_pipe(struct harness *h, int p[2])
{
	static const char fill[4096];

	h_check(h, pipe2(p, O_CLOEXEC) == 0 && fd_set_nonblock(p[1]) == 0, "pipe: %m");
	while (write(p[1], fill, sizeof(fill)) > 0)
		;
	while (write(p[1], fill, 1) > 0)
		;
	h_check(h, errno == EAGAIN && fcntl(p[1], F_SETFL, 0) == 0, "pipe: %m");
}

/* Read on until it says words. */
static void pipe_says(struct harness *h, struct host *host, int fd, const char *words)
{
	static char text[1024 * 1024];
	size_t len = 0;

	while (!memmem(text, len, words, strlen(words))) {
		ssize_t n;

		h_check(h, len < sizeof(text), "too much, and not '%s'", words);
		h_check(h, harness_poll(h, fd, POLLIN, host->process, harness_deadline(), words),
			"the daemon ended");
		n = read(fd, text + len, sizeof(text) - len);
		h_check(h, n > 0, "the end, and not '%s'", words);
		len += (size_t)n;
	}
}

START_TEST(nobody_reads_stderr)
{
	struct harness *h = harness_new();
	struct host *a;
	int p[2];

	full_pipe(h, p);
	a = host_start(h, "a", &(struct host_opts){.err = p[1]});
	guest_start(a, "vm1", &(struct guest_opts){.order = 18});
	/* Two lines each, more than are kept. */
	for (int i = 0; i < 300; i++)
		host_do(a, "query-vm-state", "{'vm': 'vm1', 'vcpu': 0}");
	host_do(a, "query-vms", NULL);
	pipe_says(h, a, p[0], " lines of the log were dropped: what reads it did not\n");
	host_do(a, "query-vms", NULL);
	close(p[0]);
	close(p[1]);
	harness_free(h);
}
END_TEST

/* Its end by the daemon, after what is no handshake. */
static void connect_once(struct host *host)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	const char *port = strrchr(host->uri, ':');
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char c;

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sa.sin_port = htons((uint16_t)atoi(port + 1));
	h_check(host->h, connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0, "%s: %m", host->uri);
	h_check(host->h, send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL) == 18, "send: %m");
	while (recv(fd, &c, 1, 0) > 0)
		;
	close(fd);
}

static unsigned complaints(struct host *host)
{
	const char *text = text_of(host->h, host->process->log);
	unsigned n = 0;

	while ((text = strstr(text, " carries what is no frame"))) {
		text++;
		n++;
	}
	return n;
}

START_TEST(strangers_do_not_fill_the_log)
{
	struct harness *h = harness_new();
	struct host *a = host_start(h, "a", NULL);
	uint64_t deadline = harness_deadline();
	unsigned n = 0;

	do {
		for (int i = 0; i < 50; i++)
			connect_once(a);
		n += 50;
		h_check(h, clock_ns() < deadline, "%u connections and nothing is left out", n);
	} while (!strstr(text_of(h, a->process->log), "lines about connections were left out"));
	h_check(h, complaints(a) < n / 2, "%u lines for %u connections", complaints(a), n);
	harness_free(h);
}
END_TEST

START_TEST(the_journals_prefixes_are_for_the_journal_alone)
{
	struct harness *h = harness_new();
	struct host *a, *b;
	char stream[64];
	struct stat st;
	int p[2];

	/* inherited by a daemon that logs elsewhere */
	a = host_start(h, "a", &(struct host_opts){.env = {"JOURNAL_STREAM=1:1"}});
	h_check(h, !strstr(text_of(h, a->process->log), "<5>"), "prefixes in a file");
	h_check(h, pipe2(p, O_CLOEXEC) == 0 && fstat(p[1], &st) == 0, "pipe: %m");
	snprintf(stream, sizeof(stream), "JOURNAL_STREAM=%ju:%ju", (uintmax_t)st.st_dev,
		(uintmax_t)st.st_ino);
	b = host_start(h, "b", &(struct host_opts){.env = {stream}, .err = p[1]});
	pipe_says(h, b, p[0], "<5>ready at ");
	close(p[0]);
	close(p[1]);
	harness_free(h);
}
END_TEST

/* A service manager's socket whose queue is full. */
static int full_manager(struct harness *h, const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int to = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	h_check(h, fd >= 0 && to >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0,
		"%s: %m", path);
	while (sendto(to, "x", 1, 0, (struct sockaddr *)&sa, sizeof(sa)) == 1)
		;
	h_check(h, errno == EAGAIN, "%s: %m", path);
	close(to);
	return fd;
}

static void manager_hears(struct harness *h, int fd, struct process *p, const char *words)
{
	char text[2048] = "";

	while (strncmp(text, words, strlen(words)) != 0) {
		ssize_t n;

		h_check(h, harness_poll(h, fd, POLLIN, p, harness_deadline(), words),
			"the daemon ended");
		n = recv(fd, text, sizeof(text) - 1, 0);
		h_check(h, n >= 0, "recv: %m");
		text[n] = 0;
	}
}

START_TEST(the_service_manager_stands_still)
{
	struct harness *h = harness_new();
	const char *control = harness_path(h, "c.sock"), *vmm = harness_path(h, "v.sock");
	const char *const argv[] = {"htab-migrated", "--control", control, "--vmm-socket", vmm,
		"--plaintext", "--listen", "tcp:127.0.0.1:0", NULL};
	const char *path = harness_path(h, "notify");
	int manager = full_manager(h, path), pipefd[2];
	char notify[256];
	const char *const env[] = {notify, NULL};
	struct qmpclient *c;
	struct json_object *o;
	struct process *p;
	struct err err = {0};

	snprintf(notify, sizeof(notify), "NOTIFY_SOCKET=%s", path);
	h_check(h, pipe2(pipefd, O_CLOEXEC) == 0, "pipe: %m");
	p = process_start_err(h, "a", argv, env, false, pipefd[1]);
	pipe_says(h, &(struct host){.process = p}, pipefd[0], "ready at ");
	process_signal(p, SIGHUP);
	h_check(h, qmpclient_open(control, QMPCLIENT_TIMEOUT_MS, &c, &err) == 0, "%s", err.text);
	h_check(h, qmpclient_call(c, "query-vms", NULL, &o, &err) == 0, "%s", err.text);
	json_object_put(o);
	qmpclient_free(c);
	/* What it has to know comes once it listens. */
	manager_hears(h, manager, p, "READY=1");
	manager_hears(h, manager, p, "STATUS=");
	close(manager);
	close(pipefd[0]);
	close(pipefd[1]);
	harness_free(h);
}
END_TEST

int main(void)
{
	TCase *tc;
	Suite *s = harness_suite("log", &tc);

	harness_add(tc, without_stderr_no_file_has_the_log);
	harness_add(tc, nobody_reads_stderr);
	harness_add(tc, strangers_do_not_fill_the_log);
	harness_add(tc, the_journals_prefixes_are_for_the_journal_alone);
	harness_add(tc, the_service_manager_stands_still);
	return harness_main(s);
}
