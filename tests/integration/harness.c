/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/integration/harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "tests/integration/harness_impl.h"

#define TAIL_BYTES 6000
#define ENV_MAX    16

static unsigned env_number(const char *name, unsigned otherwise)
{
	const char *s = getenv(name);
	int n = s ? atoi(s) : 0;

	return n > 0 && n < 10000 ? (unsigned)n : otherwise;
}

static unsigned patience(void)
{
	return env_number("HTAB_TEST_PATIENCE", 1);
}

uint64_t harness_deadline(void)
{
	return clock_ns() +
		(uint64_t)env_number("HTAB_TEST_WAIT", HARNESS_WAIT_S) * patience() * NS_PER_SEC;
}

/* --- the directory ------------------------------------------------------------------------ */

struct harness *harness_new(void)
{
	struct harness *h = calloc(1, sizeof(*h));
	const char *tmp = getenv("TMPDIR");

	ck_assert_ptr_nonnull(h);
	/* sockets live there, and their paths have 107 bytes at most */
	snprintf(h->dir, sizeof(h->dir), "%s/htab-test-XXXXXX",
		tmp && strlen(tmp) < 40 ? tmp : "/tmp");
	ck_assert_msg(mkdtemp(h->dir) != NULL, "mkdtemp %s: %m", h->dir);
	return h;
}

const char *harness_dir(const struct harness *h)
{
	return h->dir;
}

const char *harness_path(const struct harness *h, const char *fmt, ...)
{
	static char paths[16][HARNESS_PATH];
	static unsigned next;
	char *path = paths[next++ % 16], what[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(path, HARNESS_PATH, "%s/%s", h->dir, what);
	return path;
}

const char *harness_creds(struct harness *h, const char *name, const struct testca_options *options)
{
	const char *dir = harness_path(h, "creds-%s", name);
	struct testca_options o = {.cn = name};
	struct stat st;
	int r;

	if (stat(dir, &st) == 0)
		return dir;
	if (options)
		o = *options;
	else if (strcmp(name, "ca") != 0)
		o.ca_dir = harness_creds(h, "ca", NULL);
	r = testca_write(dir, &o);
	h_check(h, r == 0, "certificates in %s: %s", dir, strerror(-r));
	return dir;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

static void remove_dir(const struct harness *h)
{
	if (!getenv("HTAB_TEST_KEEP"))
		nftw(h->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* --- failing ------------------------------------------------------------------------------ */

static void print_tail(const struct process *p)
{
	char buf[TAIL_BYTES + 1];
	struct stat st;
	ssize_t n = -1;
	int fd = open(p->log, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0)
		n = pread(
			fd, buf, TAIL_BYTES, st.st_size > TAIL_BYTES ? st.st_size - TAIL_BYTES : 0);
	close(fd);
	if (n <= 0)
		return;
	buf[n] = 0;
	printf("--- the end of %s's log:\n%s%s", p->name, buf, buf[n - 1] == '\n' ? "" : "\n");
}

void harness_fail(struct harness *h, const char *file, int line, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	printf("--- %s:%d: %s\n", file, line, text);
	for (unsigned i = 0; i < h->n_hosts; i++)
		host_take_events(h->hosts[i]);
	for (unsigned i = 0; i < h->n_processes; i++) {
		struct process *p = &h->processes[i];

		if (p->pid > 0 && kill(p->pid, SIGKILL) == 0)
			waitpid(p->pid, NULL, 0);
		print_tail(p);
	}
	for (unsigned i = 0; i < h->n_hosts; i++)
		printf("--- events at %s: %s\n", h->hosts[i]->name,
			json_object_to_json_string_ext(h->hosts[i]->seen, JSON_C_TO_STRING_PLAIN));
	fflush(stdout);
	remove_dir(h);
	_ck_assert_failed(file, line, "Failure", "%s", text);
	abort();
}

/* --- processes ---------------------------------------------------------------------------- */

static _Noreturn void exec_program(const char *path, const char *const *argv,
	const char *const *env, int out, int err, pid_t parent)
{
	/* the child of a process that is gone already would live on */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(127);
	if (dup2(out, STDOUT_FILENO) < 0 ||
		(err < 0 ? close(STDERR_FILENO) : dup2(err, STDERR_FILENO)) < 0)
		_exit(127);
	for (; env && *env; env++)
		putenv((char *)(uintptr_t)*env);
	execv(path, (char *const *)(uintptr_t)argv);
	dprintf(STDERR_FILENO, "cannot run %s: %s\n", path, strerror(errno));
	_exit(127);
}

struct process *process_start_err(struct harness *h, const char *name, const char *const *argv,
	const char *const *env, bool pipe_out, int err)
{
	const char *top = getenv("abs_top_builddir");
	struct process *p = &h->processes[h->n_processes];
	pid_t parent = getpid();
	char path[512];
	int log, out[2] = {-1, -1};

	h_check(h, h->n_processes < HARNESS_PROCESSES, "too many processes in one test");
	snprintf(path, sizeof(path), "%s/%s", top ? top : ".", argv[0]);
	p->h = h;
	snprintf(p->name, sizeof(p->name), "%s", name);
	snprintf(p->log, sizeof(p->log), "%s", harness_path(h, "%u-%s.log", h->n_processes, name));
	log = open(p->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	h_check(h, log >= 0, "%s: %m", p->log);
	h_check(h, !pipe_out || pipe2(out, O_CLOEXEC) == 0, "pipe: %m");
	p->pid = fork();
	h_check(h, p->pid >= 0, "fork: %m");
	if (p->pid == 0)
		exec_program(path, argv, env, pipe_out ? out[1] : log, err ? err : log, parent);
	h->n_processes++;
	fd_close(log);
	fd_close(out[1]);
	p->out = out[0];
	p->pidfd = fd_pidfd(p->pid);
	h_check(h, p->pidfd >= 0, "pidfd of %s: %s", name, strerror(-p->pidfd));
	return p;
}

struct process *process_start(struct harness *h, const char *name, const char *const *argv,
	const char *const *env, bool pipe_out)
{
	return process_start_err(h, name, argv, env, pipe_out, 0);
}

bool harness_poll(struct harness *h, int fd, short what, struct process *p, uint64_t deadline,
	const char *what_for)
{
	struct pollfd fds[] = {
		{.fd = fd, .events = what},
		{.fd = p && p->pid > 0 ? p->pidfd : -1, .events = POLLIN},
	};

	for (;;) {
		uint64_t now = clock_ns();
		int n;

		h_check(h, now < deadline, "waited too long for %s", what_for);
		n = poll(fds, 2, (int)((deadline - now) / NS_PER_MS + 1));
		h_check(h, n >= 0 || errno == EINTR, "poll: %m");
		if (n > 0)
			return fds[0].revents != 0; /* what it said before its end comes first */
	}
}

static void reap(struct process *p)
{
	if (p->pid <= 0)
		return;
	h_check(p->h, waitpid(p->pid, &p->status, 0) == p->pid, "waitpid %s: %m", p->name);
	p->pid = 0;
	p->pidfd = fd_close(p->pidfd);
}

int process_wait(struct process *p)
{
	char what[96];

	if (p->pid > 0) {
		snprintf(what, sizeof(what), "the end of %s", p->name);
		harness_poll(p->h, p->pidfd, POLLIN, NULL, harness_deadline(), what);
		reap(p);
	}
	return p->status;
}

bool process_ended(struct process *p)
{
	struct pollfd fd = {.fd = p->pidfd, .events = POLLIN};

	return p->pid <= 0 || poll(&fd, 1, 0) == 1;
}

void process_signal(struct process *p, int signal)
{
	if (p->pid > 0)
		kill(p->pid, signal);
}

void process_kill(struct process *p)
{
	p->any_end = true;
	process_signal(p, SIGKILL);
	process_wait(p);
}

unsigned process_fds(const struct process *p)
{
	char path[64];
	unsigned n = 0;

	/* one name for each descriptor, and no counting of "." and ".." */
	for (unsigned fd = 0; fd < 1024; fd++) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%u", (int)p->pid, fd);
		n += faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	}
	return n;
}

unsigned process_threads(const struct process *p, const char *name)
{
	char path[HARNESS_PATH], comm[32];
	struct dirent *e;
	unsigned n = 0;
	FILE *f;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)p->pid);
	d = opendir(path);
	while (d && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/comm", (int)p->pid, e->d_name);
		f = fopen(path, "re");
		n += f && fgets(comm, sizeof(comm), f) && !strncmp(comm, name, strlen(name));
		if (f)
			fclose(f);
	}
	if (d)
		closedir(d);
	return n;
}

int harness_run(struct harness *h, const char *const *argv, char **ret_out)
{
	struct process *p = process_start(h, argv[0], argv, NULL, true);
	size_t len = 0;
	char *out = malloc(65536);
	ssize_t n = 1;

	h_check(h, out, "out of memory");
	while (n > 0 && len < 65535) {
		harness_poll(h, p->out, POLLIN, NULL, harness_deadline(), argv[0]);
		n = read(p->out, out + len, 65535 - len);
		len += n > 0 ? (size_t)n : 0;
	}
	out[len] = 0;
	p->any_end = true;
	process_wait(p);
	p->out = fd_close(p->out);
	if (ret_out)
		*ret_out = out;
	else
		free(out);
	return WIFEXITED(p->status) ? WEXITSTATUS(p->status) : 128 + WTERMSIG(p->status);
}

/* Did a sanitizer or an assertion speak? */
static bool log_is_clean(const struct process *p)
{
	static const char *const bad[] = {
		"Sanitizer",
		": runtime error: ",
		": Assertion ",
	};
	FILE *f = fopen(p->log, "re");
	bool clean = true;
	char *line = NULL;
	size_t cap = 0;

	while (f && clean && getline(&line, &cap, f) > 0) {
		for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
			clean = clean && !strstr(line, bad[i]);
	}
	free(line);
	if (f)
		fclose(f);
	return clean;
}

void harness_free(struct harness *h)
{
	for (unsigned i = 0; i < h->n_guests; i++)
		guest_stop(h->guests[i]);
	for (unsigned i = 0; i < h->n_hosts; i++)
		host_stop(h->hosts[i]);
	for (unsigned i = 0; i < h->n_processes; i++) {
		struct process *p = &h->processes[i];

		if (p->pid > 0)
			process_signal(p, SIGTERM);
		process_wait(p);
		h_check(h, log_is_clean(p), "%s: see what its log says", p->name);
		h_check(h, p->any_end || (WIFEXITED(p->status) && WEXITSTATUS(p->status) == 0),
			"%s ended with %s %d", p->name, WIFEXITED(p->status) ? "status" : "signal",
			WIFEXITED(p->status) ? WEXITSTATUS(p->status) : WTERMSIG(p->status));
		fd_close(p->out);
	}
	for (unsigned i = 0; i < h->n_hosts; i++)
		host_free(h->hosts[i]);
	for (unsigned i = 0; i < h->n_guests; i++)
		free(h->guests[i]);
	remove_dir(h);
	free(h);
}

/* --- small things ------------------------------------------------------------------------- */

struct json_object *harness_json_v(struct harness *h, const char *fmt, va_list ap)
{
	struct json_object *o;
	char *text;

	h_check(h, vasprintf(&text, fmt, ap) >= 0, "out of memory");
	for (char *c = text; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	o = json_tokener_parse(text);
	h_check(h, json_object_is_type(o, json_type_object), "%s: no JSON object", text);
	free(text);
	return o;
}

struct json_object *harness_json(struct harness *h, const char *fmt, ...)
{
	struct json_object *o;
	va_list ap;

	va_start(ap, fmt);
	o = harness_json_v(h, fmt, ap);
	va_end(ap);
	return o;
}

Suite *harness_suite(const char *name, TCase **ret)
{
	Suite *s = suite_create(name);

	*ret = tcase_create(name);
	tcase_set_timeout(*ret, (double)HARNESS_TEST_S * patience());
	suite_add_tcase(s, *ret);
	return s;
}

bool harness_wants(const char *test)
{
	const char *only = getenv("HTAB_TEST");

	return !only || !strcmp(only, test);
}

int harness_main(Suite *s)
{
	SRunner *r = srunner_create(s);
	int failed;

	signal(SIGPIPE, SIG_IGN);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
