/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* htabctl: what moves a guest. migrate, incoming, continue, cancel, resolve. */
#include "tools/htabctl/htabctl.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tools/htabctl/output.h"
#include "tools/htabctl/progress.h"

#define TERMINAL_MS 100 /* between two looks at the progress */
#define CTL_URI_MAX 512
#define LOG_MS      1000 /* the same where there is no terminal: passes announce themselves */

/* A migration that is waited for. */
struct wait {
	struct ctl *ctl;
	char name[128]; /* the VM's, as events have it */
	const char *uri;
	bool load; /* from uri, not to it */
	bool tty, drawn;
	int signals;
	bool interrupted;
	struct progress progress;
	struct json_object *last; /* the last answer to query-migrate */
	bool over;
};

static bool is_final(const char *status)
{
	return !strcmp(status, "completed") || !strcmp(status, "failed") ||
		!strcmp(status, "cancelled");
}

static unsigned terminal_columns(void)
{
	struct winsize w;

	return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

/* The line that is drawn over and over goes, so that another can be printed. */
static void clear(struct wait *w)
{
	if (w->drawn)
		fputs("\r\033[K", stderr);
	w->drawn = false;
}

static void draw(struct wait *w, bool news)
{
	char line[PROGRESS_LINE];

	if (w->tty) {
		/* the last column stays free: some terminals wrap when it is written */
		progress_bar(&w->progress, terminal_columns() - 1, line);
		fprintf(stderr, "\r%s\033[K", line);
		w->drawn = true;
	} else if (news && !w->ctl->json) {
		progress_text(&w->progress, line);
		printf("%s\n", line);
		output_flush();
	}
}

static void set_last(struct wait *w, struct json_object *answer)
{
	json_object_put(w->last);
	w->last = answer;
}

/* Ask how far it is. 0, or an exit status. */
static int look(struct wait *w)
{
	struct json_object *answer;
	struct err err = {0};
	bool news;

	if (ctl_call(w->ctl, "query-migrate", ctl_vm_args(w->name[0] ? w->name : NULL), &answer,
		    &err) < 0) {
		/* the VM may be gone as soon as the guest runs elsewhere; events have told */
		if (err.code == -EREMOTE && w->over)
			return 0;
		clear(w);
		return ctl_fail(w->ctl, &err);
	}
	if (w->over && !is_final(member_text(answer, "status", ""))) {
		json_object_put(answer); /* of a later one */
		return 0;
	}
	set_last(w, answer);
	news = progress_update(&w->progress, answer);
	w->over = is_final(w->progress.status);
	if (!w->over)
		draw(w, news);
	return 0;
}

static void take_migration(struct wait *w, struct json_object *data)
{
	const char *status = member_text(data, "status", "");

	if (!strcmp(status, "pre-switchover")) {
		clear(w);
		fprintf(stderr,
			"htabctl: %s is paused before its switchover; `htabctl continue %s` goes "
			"on\n",
			w->name, w->name);
	}
	if (!is_final(status))
		return;
	w->over = true;
	/* should the VM be gone when we ask: what we know, and how it ended */
	if (!w->last)
		w->last = json_object_new_object();
	json_object_object_add(w->last, "status", json_object_new_string(status));
	if (member_text(data, "error-desc", NULL))
		json_object_object_add(w->last, "error-desc",
			json_object_new_string(member_text(data, "error-desc", "")));
}

/* What has come. 0, or an exit status when the connection is lost. */
static int take_events(struct wait *w)
{
	struct json_object *e;
	struct err err = {0};
	int r;

	while ((r = qmpclient_event(w->ctl->qmp, 0, &e, &err)) == 0) {
		const char *name = member_text(e, "event", "");
		struct json_object *data = member(e, "data");

		if (!strcmp(member_text(data, "vm", ""), w->name)) {
			if (!strcmp(name, "MIGRATION"))
				take_migration(w, data);
			else if (!strcmp(name, "MIGRATION_UNRESOLVED")) {
				clear(w);
				fprintf(stderr, "htabctl: %s\n", member_text(data, "desc", name));
			}
		}
		json_object_put(e);
	}
	if (r == -ETIMEDOUT)
		return 0;
	clear(w);
	return ctl_fail(w->ctl, &err);
}

/* Wait for an event, a signal or the time for the next look. */
static void sit(struct wait *w)
{
	struct pollfd p[] = {
		{.fd = qmpclient_fd(w->ctl->qmp), .events = POLLIN},
		{.fd = w->signals, .events = POLLIN},
	};

	if (poll(p, 2, w->tty ? TERMINAL_MS : LOG_MS) > 0 && p[1].revents)
		w->interrupted = true;
}

static int finish(struct wait *w)
{
	const char *status = member_text(w->last, "status", "");
	bool ok = !strcmp(status, "completed");

	if (w->ctl->json) {
		json_object_object_add(w->last, "vm", json_object_new_string(w->name));
		output_json(w->last);
	}
	if (!ok) {
		fprintf(stderr, "htabctl: %s\n",
			member_text(w->last, "error-desc", "the migration was cancelled"));
		return CTL_FAILED;
	}
	if (!w->ctl->json) {
		const char *where = w->ctl->redial ? w->ctl->redial : w->uri;

		if (w->load)
			printf("%s runs, loaded from %s\n", w->name, w->uri);
		else if (!strncmp(w->uri, "file:", 5))
			printf("%s is saved in %s\n", w->name, w->uri + 5);
		else
			printf("%s runs at %s now\n", w->name, where);
		show_migration(w->last);
	}
	return CTL_OK;
}

static int wait_for_end(struct wait *w)
{
	int status;

	for (;;) {
		status = look(w);
		if (status == 0 && !w->over)
			sit(w);
		if (status == 0)
			status = take_events(w);
		if (status != 0)
			return status;
		if (w->over) {
			status = look(w);
			clear(w);
			return status ? status : finish(w);
		}
		if (w->interrupted) {
			clear(w);
			fprintf(stderr,
				"htabctl: the migration of %s goes on; `htabctl cancel %s` cancels "
				"it, `htabctl info %s` shows it\n",
				w->name, w->name, w->name);
			return CTL_INTERRUPTED;
		}
	}
}

/* Begin with that command, and stay until the end. */
static int run(struct ctl *ctl, const char *vm_arg, const char *uri, const char *command)
{
	struct wait w = {
		.ctl = ctl,
		.uri = uri,
		.load = strcmp(command, "migrate") != 0,
		.tty = isatty(STDERR_FILENO) && !ctl->json,
	};
	struct json_object *args, *vm;
	struct err err = {0};
	sigset_t set;
	int status = ctl_give_fd(ctl, w.uri);

	if (status)
		return status;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	w.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	vm = ctl_find_vm(ctl, vm_arg);
	snprintf(w.name, sizeof(w.name), "%s", member_text(vm, "name", vm_arg ? vm_arg : ""));
	json_object_put(vm);
	args = ctl_vm_args(vm_arg);
	json_object_object_add(args, "uri", json_object_new_string(w.uri));
	if (ctl->resume)
		json_object_object_add(args, "resume", json_object_new_boolean(true));
	if (ctl->redial)
		json_object_object_add(args, "redial-uri", json_object_new_string(ctl->redial));
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (ctl->no_wait)
		status = ctl_do(ctl, command, args);
	else if (ctl_call(ctl, command, args, NULL, &err) < 0)
		status = ctl_fail(ctl, &err);
	else
		status = wait_for_end(&w);
	json_object_put(w.last);
	if (w.signals >= 0)
		close(w.signals);
	return status;
}

int htabctl_migrate(struct ctl *ctl, int argc, char **argv)
{
	return run(ctl, argc > 1 ? argv[0] : NULL, argv[argc - 1], "migrate");
}

static int load(struct ctl *ctl, const char *vm)
{
	char uri[CTL_URI_MAX];

	if (ctl->from || ctl->listen || ctl->name)
		return ctl_usage("--load is for a file: no --from, no --name, no --listen");
	if ((size_t)snprintf(uri, sizeof(uri), "file:%s", ctl->load) >= sizeof(uri))
		return ctl_usage("the path after --load is longer than %zu characters",
			sizeof(uri) - sizeof("file:"));
	return run(ctl, vm, uri, "migrate-incoming");
}

int htabctl_incoming(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *args;
	int status;

	if (ctl->cancel &&
		(ctl->load || ctl->from || ctl->listen || ctl->name || ctl->fd >= 0 ||
			ctl->no_wait))
		return ctl_usage(
			"--cancel takes back what was permitted, and goes with nothing else");
	if (ctl->cancel)
		return htabctl_cancel(ctl, argc, argv);
	if (ctl->load)
		return load(ctl, argc > 0 ? argv[0] : NULL);
	if (ctl->no_wait)
		return ctl_usage("--no-wait goes with --load");
	status = ctl_give_fd(ctl, ctl->listen);

	if (status)
		return status;
	args = ctl_vm_args(argc > 0 ? argv[0] : NULL);
	if (ctl->from)
		json_object_object_add(args, "tls-authz", json_object_new_string(ctl->from));
	if (ctl->name)
		json_object_object_add(args, "name", json_object_new_string(ctl->name));
	if (ctl->listen)
		json_object_object_add(args, "uri", json_object_new_string(ctl->listen));
	return ctl_do(ctl, "migrate-incoming", args);
}

int htabctl_pause(struct ctl *ctl, int argc, char **argv)
{
	return ctl_do(ctl, "migrate-pause", ctl_vm_args(argc > 0 ? argv[0] : NULL));
}

int htabctl_recover(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *args;
	int status = ctl_give_fd(ctl, argv[argc - 1]);

	if (status)
		return status;
	args = ctl_vm_args(argc > 1 ? argv[0] : NULL);
	json_object_object_add(args, "uri", json_object_new_string(argv[argc - 1]));
	return ctl_do(ctl, "migrate-recover", args);
}

int htabctl_continue(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *args = ctl_vm_args(argc > 0 ? argv[0] : NULL);

	json_object_object_add(args, "state", json_object_new_string("pre-switchover"));
	return ctl_do(ctl, "migrate-continue", args);
}

int htabctl_cancel(struct ctl *ctl, int argc, char **argv)
{
	return ctl_do(ctl, "migrate_cancel", ctl_vm_args(argc > 0 ? argv[0] : NULL));
}

int htabctl_resolve(struct ctl *ctl, int argc, char **argv)
{
	struct json_object *args;

	if (strcmp(argv[2], "run") != 0 && strcmp(argv[2], "discard") != 0)
		return ctl_usage("a session is resolved by run or discard, not %s", argv[2]);
	args = ctl_vm_args(argv[0]);
	json_object_object_add(args, "session", json_object_new_string(argv[1]));
	json_object_object_add(args, "action", json_object_new_string(argv[2]));
	return ctl_do(ctl, "resolve", args);
}
