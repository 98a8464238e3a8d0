/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/htabctl/htabctl.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config.h"
#include "common/number.h"
#include "proto/htab.h"
#include "proto/text.h"
#include "tools/htabctl/output.h"

enum {
	OPT_VM = 256,
	OPT_FROM,
	OPT_NO_WAIT,
	OPT_LISTEN,
	OPT_REDIAL_URI,
	OPT_FD,
	OPT_RESUME,
	OPT_STATE,
	OPT_TLB,
	OPT_VCPU,
	OPT_LOAD,
	OPT_ENTRIES,
	OPT_SEGMENTS,
	OPT_BOLTED,
	OPT_LIMIT,
	OPT_ORDER,
	OPT_CANCEL,
	OPT_NAME,
};

/* options that not every command takes */
enum {
	TAKES_VM = 1,
	TAKES_FROM = 2,
	TAKES_NO_WAIT = 4,
	TAKES_LISTEN = 8,
	TAKES_REDIAL = 16,
	TAKES_FD = 32,
	TAKES_RESUME = 64,
	TAKES_STATE = 128,
	TAKES_VCPU = 256,
	TAKES_LOAD = 512,
	TAKES_DUMP = 1024,
	TAKES_TLB = 2048,
	TAKES_CANCEL = 4096,
	TAKES_NAME = 8192,
};

static const struct command {
	const char *name;
	int min, max; /* arguments */
	unsigned takes;
	int (*run)(struct ctl *ctl, int argc, char **argv);
	const char *usage;
	const char *help;
} commands[] = {
	{"list", 0, 0, 0, htabctl_list, "list", "the VMs that the daemon knows"},
	{"info", 0, 1, TAKES_STATE | TAKES_TLB | TAKES_VCPU, htabctl_info,
		"info [VM] [--state|--tlb [--vcpu N]]",
		"one VM and its migration, or every element of its state, or BookE TLBs"},
	{"status", 0, 0, 0, htabctl_status, "status", "the daemon itself"},
	{"migrate", 1, 2, TAKES_NO_WAIT | TAKES_REDIAL | TAKES_FD | TAKES_RESUME, htabctl_migrate,
		"migrate [VM] URI [--no-wait] [--redial-uri URI] [--fd N] [--resume]",
		"move a VM to the daemon at URI, or into a file, showing the progress"},
	{"incoming", 0, 1,
		TAKES_FROM | TAKES_LISTEN | TAKES_FD | TAKES_LOAD | TAKES_NO_WAIT | TAKES_CANCEL |
			TAKES_NAME,
		htabctl_incoming,
		"incoming [VM] [--from PATTERN] [--name NAME] [--listen URI] [--fd N] | --load PATH [--no-wait] | "
		"--cancel",
		"let a waiting VM take a guest, from a peer whose certificate matches, or a file"},
	{"pause", 0, 1, 0, htabctl_pause, "pause [VM]",
		"cut the connections of a migration; both ends keep everything"},
	{"recover", 1, 2, TAKES_FD, htabctl_recover, "recover [VM] URI [--fd N]",
		"let the source of an interrupted migration come back at this address"},
	{"continue", 0, 1, 0, htabctl_continue, "continue [VM]",
		"go on from the pause before the switchover"},
	{"cancel", 0, 1, 0, htabctl_cancel, "cancel [VM]",
		"end a migration, or take back what incoming permitted; the guest stays where it is"},
	{"resolve", 3, 3, 0, htabctl_resolve, "resolve VM SESSION run|discard",
		"decide for a host that is known to be dead and fenced"},
	{"watch", 0, 1, 0, htabctl_watch, "watch [VM]", "events, until interrupted"},
	{"dump", 1, 1, TAKES_DUMP | TAKES_STATE, htabctl_dump,
		"dump FILE|VM [--entries] [--segments] [--state] [--bolted] [--limit N] [--order N]",
		"take a page table apart: of a saved guest, a table, records, or a VM"},
	{"set", 0, 64, TAKES_VM, htabctl_set, "set [--vm VM] [KEY=VALUE...]",
		"set or show parameters and capabilities"},
	{"qmp", 1, 2, 0, htabctl_qmp, "qmp JSON | qmp COMMAND [ARGUMENTS]",
		"send any command, print its answer"},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void help(FILE *to)
{
	fputs("usage: htabctl [--socket PATH] [--json] COMMAND\n\n", to);
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strlen(commands[i].usage) <= 36)
			fprintf(to, "  %-36s  %s\n", commands[i].usage, commands[i].help);
		else
			fprintf(to, "  %s\n  %-36s  %s\n", commands[i].usage, "", commands[i].help);
	}
	fputs("\n  --socket PATH  the daemon's control socket (" HTABCTL_SOCKET ")\n"
	      "  --json         JSON on standard output, one value a line\n",
		to);
}

int ctl_usage(const char *fmt, ...)
{
	char text[1024]; /* an argument that is longer is not shown to its end */
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_clean(text);
	fprintf(stderr, "htabctl: %s; see htabctl --help\n", text);
	return CTL_USAGE;
}

int ctl_fail(struct ctl *ctl, const struct err *err)
{
	fprintf(stderr, "htabctl: %s\n", err->text);
	if (ctl->json) {
		struct json_object *o = json_object_new_object(), *e = json_object_new_object();

		json_object_object_add(
			e, "class", json_object_new_string(err_class_name(err->class)));
		json_object_object_add(e, "desc", json_object_new_string(err->text));
		json_object_object_add(o, "error", e);
		output_json(o);
		json_object_put(o);
	}
	return err->code == -EREMOTE ? CTL_FAILED : CTL_UNREACHABLE;
}

int ctl_call(struct ctl *ctl, const char *command, struct json_object *args,
	struct json_object **ret, struct err *err)
{
	return qmpclient_call(ctl->qmp, command, args, ret, err);
}

int ctl_do(struct ctl *ctl, const char *command, struct json_object *args)
{
	struct json_object *answer;
	struct err err = {0};

	if (ctl_call(ctl, command, args, &answer, &err) < 0)
		return ctl_fail(ctl, &err);
	if (ctl->json)
		output_json(answer);
	json_object_put(answer);
	return CTL_OK;
}

struct json_object *ctl_vm_args(const char *vm)
{
	struct json_object *args = json_object_new_object();

	if (vm)
		json_object_object_add(args, "vm", json_object_new_string(vm));
	return args;
}

struct json_object *ctl_find_vm(struct ctl *ctl, const char *vm)
{
	struct json_object *vms, *found = NULL;
	struct err err;

	if (ctl_call(ctl, "query-vms", NULL, &vms, &err) < 0)
		return NULL;
	for (size_t i = 0; i < json_object_array_length(vms); i++) {
		struct json_object *o = json_object_array_get_idx(vms, i);

		if (vm ? !strcmp(member_text(o, "name", ""), vm) ||
					!strcasecmp(member_text(o, "uuid", ""), vm)
		       : json_object_array_length(vms) == 1) {
			found = json_object_get(o);
			break;
		}
	}
	json_object_put(vms);
	return found;
}

int ctl_give_fd(struct ctl *ctl, const char *uri)
{
	struct err err = {0};

	if (ctl->fd < 0)
		return CTL_OK;
	if (!uri || strncmp(uri, "fd:", 3) != 0)
		return ctl_usage("--fd goes with a URI fd:NAME");
	if (qmpclient_getfd(ctl->qmp, uri + 3, ctl->fd, &err) < 0)
		return ctl_fail(ctl, &err);
	return CTL_OK;
}

static int parse_fd(const char *text, int *ret)
{
	uint64_t n;

	if (number_parse(text, 0, INT_MAX, &n) < 0 || fcntl((int)n, F_GETFD) < 0)
		return -EINVAL;
	*ret = (int)n;
	return 0;
}

int ctl_connect(struct ctl *ctl)
{
	struct err err = {0};

	if (qmpclient_open(ctl->socket, QMPCLIENT_TIMEOUT_MS, &ctl->qmp, &err) == 0)
		return CTL_OK;
	ctl_fail(ctl, &err);
	return CTL_UNREACHABLE;
}

/* Those of dump. 0, or the exit status. */
static int dump_option(struct ctl *ctl, int opt, const char *arg)
{
	uint64_t n;

	switch (opt) {
	case OPT_ENTRIES: ctl->entries = true; break;
	case OPT_SEGMENTS: ctl->segments = true; break;
	case OPT_BOLTED: ctl->bolted = true; break;
	case OPT_LIMIT:
		if (number_parse(arg, 1, INT64_MAX, &ctl->limit) < 0)
			return ctl_usage("--limit takes a number from 1 on, not %s", arg);
		ctl->entries = true;
		break;
	case OPT_ORDER:
		if (number_parse(arg, HTAB_ORDER_MIN, HTAB_ORDER_MAX, &n) < 0)
			return ctl_usage("--order takes %u to %u, not %s", HTAB_ORDER_MIN,
				HTAB_ORDER_MAX, arg);
		ctl->order = (unsigned)n;
		break;
	}
	return CTL_OK;
}

static int run(struct ctl *ctl, unsigned taken, int argc, char **argv)
{
	const struct command *c;
	int status;

	for (c = commands; c < commands + N_COMMANDS && strcmp(c->name, argv[0]) != 0; c++)
		;
	if (c == commands + N_COMMANDS)
		return ctl_usage("there is no command %s", argv[0]);
	if (argc - 1 < c->min || argc - 1 > c->max || (taken & ~c->takes))
		return ctl_usage("usage: htabctl %s", c->usage);
	status = c->run == htabctl_dump ? CTL_OK : ctl_connect(ctl); /* a file needs no daemon */
	if (status)
		return status;
	status = c->run(ctl, argc - 1, argv + 1);
	ctl->qmp = qmpclient_free(ctl->qmp);
	return status;
}

static int end(int status)
{
	int r = output_end("htabctl");

	return r < 0 && status == CTL_OK ? CTL_FAILED : status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"socket", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{"vm", required_argument, NULL, OPT_VM},
		{"from", required_argument, NULL, OPT_FROM},
		{"no-wait", no_argument, NULL, OPT_NO_WAIT},
		{"listen", required_argument, NULL, OPT_LISTEN},
		{"redial-uri", required_argument, NULL, OPT_REDIAL_URI},
		{"fd", required_argument, NULL, OPT_FD},
		{"resume", no_argument, NULL, OPT_RESUME},
		{"state", no_argument, NULL, OPT_STATE},
		{"tlb", no_argument, NULL, OPT_TLB},
		{"vcpu", required_argument, NULL, OPT_VCPU},
		{"load", required_argument, NULL, OPT_LOAD},
		{"entries", no_argument, NULL, OPT_ENTRIES},
		{"segments", no_argument, NULL, OPT_SEGMENTS},
		{"bolted", no_argument, NULL, OPT_BOLTED},
		{"limit", required_argument, NULL, OPT_LIMIT},
		{"order", required_argument, NULL, OPT_ORDER},
		{"cancel", no_argument, NULL, OPT_CANCEL},
		{"name", required_argument, NULL, OPT_NAME},
		{0},
	};
	struct ctl ctl = {.socket = HTABCTL_SOCKET, .fd = -1};
	unsigned taken = 0;
	int opt, status;

	if (output_begin("htabctl") < 0)
		return CTL_FAILED;
	while ((opt = getopt_long(argc, argv, "s:jhV", options, NULL)) != -1) {
		switch (opt) {
		case 's': ctl.socket = optarg; break;
		case 'j': ctl.json = true; break;
		case 'h': help(stdout); return end(CTL_OK);
		case 'V': puts("htabctl " PACKAGE_VERSION); return end(CTL_OK);
		case OPT_VM:
			ctl.vm = optarg;
			taken |= TAKES_VM;
			break;
		case OPT_FROM:
			ctl.from = optarg;
			taken |= TAKES_FROM;
			break;
		case OPT_NO_WAIT:
			ctl.no_wait = true;
			taken |= TAKES_NO_WAIT;
			break;
		case OPT_LISTEN:
			ctl.listen = optarg;
			taken |= TAKES_LISTEN;
			break;
		case OPT_NAME:
			ctl.name = optarg;
			taken |= TAKES_NAME;
			break;
		case OPT_CANCEL:
			ctl.cancel = true;
			taken |= TAKES_CANCEL;
			break;
		case OPT_STATE:
			ctl.state = true;
			taken |= TAKES_STATE;
			break;
		case OPT_TLB:
			ctl.tlb = true;
			taken |= TAKES_TLB;
			break;
		case OPT_VCPU:
			ctl.vcpu = optarg;
			taken |= TAKES_VCPU;
			break;
		case OPT_REDIAL_URI:
			ctl.redial = optarg;
			taken |= TAKES_REDIAL;
			break;
		case OPT_RESUME:
			ctl.resume = true;
			taken |= TAKES_RESUME;
			break;
		case OPT_FD:
			if (parse_fd(optarg, &ctl.fd) < 0)
				return ctl_usage(
					"--fd takes the number of an open descriptor, not %s",
					optarg);
			taken |= TAKES_FD;
			break;
		case OPT_LOAD:
			ctl.load = optarg;
			taken |= TAKES_LOAD;
			break;
		case OPT_ENTRIES:
		case OPT_SEGMENTS:
		case OPT_BOLTED:
		case OPT_LIMIT:
		case OPT_ORDER:
			status = dump_option(&ctl, opt, optarg);
			if (status)
				return status;
			taken |= TAKES_DUMP;
			break;
		default: help(stderr); return CTL_USAGE;
		}
	}
	if (optind == argc) {
		help(stderr);
		return CTL_USAGE;
	}
	return end(run(&ctl, taken, argc - optind, argv + optind));
}
