/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * For tests that start our programs and talk to them: daemons, simulated guests, control sockets.
 *
 *	harness.c        directory, processes, deadlines, failing
 *	harness_host.c   a host: a daemon and a client of its control socket
 *	harness_guest.c  a simulated guest
 *
 * One harness for each test, in Check's own process for that test. Whatever goes wrong ends the
 * test at once with what was waited for and the end of every program's log; so no function here
 * returns an error. Every wait is for an event and has a deadline. Processes are ended by pid, and
 * by the kernel when the test dies. Programs come from $abs_top_builddir.
 *
 * A process that ends otherwise than its test expects, or that a sanitizer spoke in, fails the test
 * in harness_free().
 */
#include <check.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "tests/testca.h"
#include "tools/htabctl/output.h"
#include "tools/htabctl/qmpclient.h"

#define HARNESS_WAIT_S    90  /* for one event, or $HTAB_TEST_WAIT; times $HTAB_TEST_PATIENCE */
#define HARNESS_TEST_S    300 /* for one test; the same */
#define HARNESS_PATH      192
#define HARNESS_PROCESSES 32

struct harness;

struct process {
	struct harness *h;
	char name[64];
	char log[HARNESS_PATH]; /* its stderr, and stdout unless that is a pipe */
	pid_t pid;              /* 0: reaped */
	int pidfd;
	int out;      /* its stdout, -1: in the log */
	bool any_end; /* it was killed, or may end as it likes */
	int status;   /* when reaped */
};

/* --- harness.c -------------------------------------------------------------------------------- */

struct harness *harness_new(void);
/* End every process, judge how they ended, remove the directory. */
void harness_free(struct harness *h);
const char *harness_dir(const struct harness *h);
/* "DIR/what", valid until the 16th further call. */
const char *harness_path(const struct harness *h, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
/*
 * A directory of credentials, DIR/creds-NAME. options NULL: both certificates say CN=NAME, from
 * the harness' own CA, which options->ca_dir can name as harness_creds(h, "ca", NULL).
 */
const char *harness_creds(
	struct harness *h, const char *name, const struct testca_options *options);

/* argv[0] is a program of the build tree; env is a list of NAME=VALUE, or NULL. */
struct process *process_start(struct harness *h, const char *name, const char *const *argv,
	const char *const *env, bool pipe_out);
/* The same; err is its stderr, 0: its log, -1: closed. */
struct process *process_start_err(struct harness *h, const char *name, const char *const *argv,
	const char *const *env, bool pipe_out, int err);
void process_kill(struct process *p); /* SIGKILL, reaped; any_end */
void process_signal(struct process *p, int signal);
int process_wait(struct process *p);           /* the status of waitpid() */
bool process_ended(struct process *p);         /* right now */
unsigned process_fds(const struct process *p); /* open descriptors */
/* Threads whose names begin so. */
unsigned process_threads(const struct process *p, const char *name);
/* Run to the end: its exit status; *ret_out (may be NULL) its stdout, the caller's. */
int harness_run(struct harness *h, const char *const *argv, char **ret_out);

uint64_t harness_deadline(void); /* HARNESS_WAIT_S from now, ns */
/* Wait for what on fd: true, or false when the process p (may be NULL) ended first. what_for is for
 * the message at the deadline. */
bool harness_poll(struct harness *h, int fd, short what, struct process *p, uint64_t deadline,
	const char *what_for);

_Noreturn void harness_fail(struct harness *h, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
#define h_fail(h, ...) harness_fail(h, __FILE__, __LINE__, __VA_ARGS__)
#define h_check(h, cond, ...)                                             \
	do {                                                              \
		if (!(cond))                                              \
			harness_fail(h, __FILE__, __LINE__, __VA_ARGS__); \
	} while (0)
/* A sentence has to contain these words. */
#define h_check_text(h, text, words) \
	h_check(h, strstr(text, words), "\"%s\" does not say \"%s\"", text, words)

/* Text with ' in place of ", by printf: an object. */
struct json_object *harness_json(struct harness *h, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* A suite of one case, to which harness_add() adds a test: all, or $HTAB_TEST alone. */
Suite *harness_suite(const char *name, TCase **ret);
bool harness_wants(const char *test);
#define harness_add(tcase, test)                     \
	do {                                         \
		if (harness_wants(#test))            \
			tcase_add_test(tcase, test); \
	} while (0)
#define harness_add_loop(tcase, test, n)                        \
	do {                                                    \
		if (harness_wants(#test))                       \
			tcase_add_loop_test(tcase, test, 0, n); \
	} while (0)
/* One that waits for a time-out of a minute: with $HTAB_TEST_SLOW, or asked for by name. */
#define harness_add_slow(tcase, test)                                                          \
	do {                                                                                   \
		if (harness_wants(#test) && (getenv("HTAB_TEST_SLOW") || getenv("HTAB_TEST"))) \
			tcase_add_test(tcase, test);                                           \
	} while (0)
int harness_main(Suite *s);

/* --- harness_host.c --------------------------------------------------------------------------- */

struct host_opts {
	const char *creds;    /* directory; NULL: --plaintext unless bare */
	bool bare;            /* neither --tls-creds nor --plaintext */
	const char *listen;   /* NULL: tcp:127.0.0.1:0 */
	const char *hold;     /* HTAB_MIGRATED_HOLD */
	const char *limits;   /* HTAB_MIGRATED_LIMITS */
	const char *config;   /* --config */
	const char *extra[8]; /* more arguments */
	const char *env[2];   /* more NAME=VALUE */
	int err;              /* its stderr; 0: its log, -1: closed */
};

struct host {
	struct harness *h;
	char name[32];
	char dir[HARNESS_PATH], control[HARNESS_PATH], vmm[HARNESS_PATH];
	char uri[HARNESS_PATH]; /* where it listens, "": nowhere */
	struct host_opts opts;
	char creds[HARNESS_PATH]; /* opts.creds */
	struct process *process;
	struct qmpclient *qmp;
	struct json_object *seen; /* list of the events that came */
	struct notify *notify;    /* what it tells its service manager */
};

/* Start a daemon and wait for READY=1. */
struct host *host_start(struct harness *h, const char *name, const struct host_opts *opts);
/* The same daemon anew in the same directory, after host_kill() or host_stop(). */
void host_restart(struct host *host);
/* Other credentials for the next start. */
void host_creds(struct host *host, const char *creds);
void host_kill(struct host *host);
void host_stop(struct host *host); /* SIGTERM; waits for a good end */

/* The last STATUS= of the daemon. */
const char *host_says(struct host *host);

/* The answer to what was sent on a connection of its own, events passed over: the caller's. */
struct json_object *harness_answer(struct harness *h, struct qmpclient *c);
/* Execute; args is harness_json()'s form, NULL for none. It has to succeed; the answer is the
 * caller's. */
struct json_object *host_ask(struct host *host, const char *command, const char *args, ...)
	__attribute__((format(printf, 3, 4)));
/* The same, the answer being of no interest. */
void host_do(struct host *host, const char *command, const char *args, ...)
	__attribute__((format(printf, 3, 4)));
/* It has to be refused; *ret_err has class and sentence. */
void host_refused(struct host *host, struct err *ret_err, const char *command, const char *args,
	...) __attribute__((format(printf, 4, 5)));

/* Wait for an event of that name, of that VM (NULL: any), whose member `key` (NULL: any) is
 * `value`. It is the caller's. Earlier ones that do not match are in host->seen and passed over. */
struct json_object *host_event(
	struct host *host, const char *name, const char *vm, const char *key, const char *value);
/* Pass over the events that are there already. */
void host_take_events(struct host *host);
/* Wait for MIGRATION with that status. Any other final status fails. */
void host_status(struct host *host, const char *vm, const char *status);
/* Wait until the daemon holds (HTAB_MIGRATED_HOLD) vm's migration in that step. */
void host_held(struct host *host, const char *vm, const char *step);
/* How many events of that name came so far. */
unsigned host_count(struct host *host, const char *name);
/* query-migrate; the caller's. */
struct json_object *host_query(struct host *host, const char *vm);
/* query-vms' object of that VM, the caller's; NULL when there is none. */
struct json_object *host_vm(struct host *host, const char *vm);
/* query-status' word. */
const char *host_vm_status(struct host *host, const char *vm);
/* Set a parameter or capability for every VM. */
void host_capability(struct host *host, const char *name, bool on);

/* --- harness_guest.c -------------------------------------------------------------------------- */

struct guest_opts {
	unsigned order; /* 0: 18 */
	unsigned vcpus; /* 0: 1 */
	bool booke;     /* TLBs in place of a table of that order */
	double fill;    /* 0: 0.5 */
	int64_t rate;   /* changes/s; -1: not given */
	bool incoming;
	bool unregistered; /* do not wait for "registered" */
	const char *uuid;
	const char *hpt;
	bool dump; /* into guest->dump */
	bool monitor;
	const char *extra[8];
};

struct guest {
	struct harness *h;
	char name[80];
	char dump[HARNESS_PATH], monitor[HARNESS_PATH];
	struct process *process;
	char buf[8192];
	size_t len;
	uint64_t counter; /* of the last event */
	bool running;
	bool started, resumed; /* it said so at some time: it ran after the pause */
	bool eof;
	char text[512];
	char event[32];
};

struct guest *guest_start(struct host *host, const char *name, const struct guest_opts *opts);
/* Wait for that event; counter, running and text are those of it. */
void guest_event(struct guest *g, const char *event);
/* A command for its monitor: needs guest_opts.monitor. */
void guest_command(struct guest *g, const char *line);
/* The counter now. */
uint64_t guest_counter(struct guest *g);
/* Wait until it has counted on from where it is now: it runs. */
void guest_runs(struct guest *g);
/* It stands: its counter does not move, and it says so. */
void guest_stands(struct guest *g);
void guest_kill(struct guest *g);
/* Wait for its own end with that exit status. */
void guest_ends(struct guest *g, int status);
/* SIGTERM, and wait for its end (and its dump). */
void guest_stop(struct guest *g);
/* Do two files hold the same bytes (unpacked)? Fails with the first entry that differs. */
void guest_dumps_equal(struct guest *a, struct guest *b);
