/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fd.h"
#include "common/foreign.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/server.h"
#include "daemon/base/service.h"
#include "daemon/settings.h"

/*
 * One daemon per runtime directory: two would fight over the VMs. The lock ends with the process.
 */
static int lock_directory(const char *control, struct err *err)
{
	const char *slash = strrchr(control, '/');
	int n = slash ? (int)(slash - control) : 1;
	char path[320];
	int fd;

	snprintf(path, sizeof(path), "%.*s/lock", n, slash ? control : ".");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set(err, -errno, "cannot open %s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		close(fd);
		return err_set(
			err, -EBUSY, "another htab-migrated serves %.*s already", n, control);
	}
	return fd;
}

static void left_open(void)
{
	log_stranger(LOG_VMM, SD_WARNING,
		"a descriptor that a VMM or a client sent is left open: hundreds of others are being "
		"closed, and their file systems do not answer");
}

static void term_cb(evutil_socket_t sig, short what, void *arg)
{
	log_note("told to stop");
	server_stop(arg);
}

static void hup_cb(evutil_socket_t sig, short what, void *arg)
{
	struct server *srv = arg;
	struct err err = {0};

	service_reloading();
	if (server_load_creds(srv, &err) < 0)
		log_err("the credentials stay as they were: %s", err.text);
	else if (!srv->config.plaintext)
		log_note("credentials loaded anew from %s", srv->config.tls_dir);
	service_ready();
	server_status(srv);
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NS_PER_SEC + (uint64_t)t.tv_nsec;
}

/* Each turn's time on the processor bounds its longest callback: nothing in it may block. */
static void run(struct server *srv)
{
	while (!event_base_got_break(srv->base)) {
		uint64_t begin = cpu_ns(), took;

		if (event_base_loop(srv->base, EVLOOP_ONCE) != 0)
			break;
		took = cpu_ns() - begin;
		if (took > srv->longest_ns)
			srv->longest_ns = took;
	}
}

int main(int argc, char **argv)
{
	struct server srv = {0};
	struct event *term, *intr, *hup;
	struct err err = {0};
	int r, lock;

	if (fd_open_standard() < 0)
		return 1;
	r = limits_set(getenv("HTAB_MIGRATED_LIMITS"), &err);
	if (r == 0)
		r = settings_parse(argc, argv, &srv.config, &err);
	if (r < 0) {
		fprintf(stderr, "htab-migrated: %s\n", err.text);
		return 2;
	}
	if (r > 0) { /* --help, --version */
		if (fflush(stdout) == 0)
			return 0;
		fprintf(stderr, "htab-migrated: cannot write the output: %m\n");
		return 1;
	}
	log_set_verbose(srv.config.verbose);
	log_begin();
	foreign_set_warn(left_open);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error, not the end */
	lock = lock_directory(srv.config.control, &err);
	if (lock < 0) {
		log_err("%s", err.text);
		log_end();
		return 1;
	}
	srv.base = event_base_new();
	if (!srv.base)
		return 1;
	term = evsignal_new(srv.base, SIGTERM, term_cb, &srv);
	intr = evsignal_new(srv.base, SIGINT, term_cb, &srv);
	hup = evsignal_new(srv.base, SIGHUP, hup_cb, &srv);
	if (!term || !intr || !hup)
		return 1;
	event_add(term, NULL);
	event_add(intr, NULL);
	event_add(hup, NULL);
	r = server_start(&srv, &err);
	if (r < 0) {
		log_err("%s", err.text);
	} else {
		service_ready();
		server_status(&srv);
		log_note("ready at %s", srv.config.control);
		run(&srv);
	}
	server_end(&srv);
	event_free(term);
	event_free(intr);
	event_free(hup);
	event_base_free(srv.base);
	close(lock);
	log_end();
	return r < 0 ? 1 : 0;
}
