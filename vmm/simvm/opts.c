/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "common/number.h"
#include "proto/htab.h"
#include "vmm/simvm/simvm.h"
#include "vmm/tool/options.h"

enum option_number {
	OPT_SOCKET = 256,
	OPT_NAME,
	OPT_UUID,
	OPT_INCOMING,
	OPT_ORDER,
	OPT_FILL,
	OPT_RATE,
	OPT_HPT,
	OPT_MMU,
	OPT_VCPUS,
	OPT_DUMP,
	OPT_HELP,
	OPT_FAIL_ACTIVATE,
	OPT_FAIL_WRITE_AT,
	OPT_LOSE_ENTRY,
	OPT_REFUSE_STATE,
	OPT_STALL_PAUSE,
	OPT_DIE_AT,
	OPT_BAD_FD,
	OPT_LEASE_MS,
	OPT_MONITOR,
	OPT_MAX_ORDER,
	OPT_CHANGE_MS,
	OPT_STALL_CHANGE,
};

static const struct option options[] = {
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"name", required_argument, NULL, OPT_NAME},
	{"uuid", required_argument, NULL, OPT_UUID},
	{"incoming", no_argument, NULL, OPT_INCOMING},
	{"order", required_argument, NULL, OPT_ORDER},
	{"fill", required_argument, NULL, OPT_FILL},
	{"dirty-rate", required_argument, NULL, OPT_RATE},
	{"mmu", required_argument, NULL, OPT_MMU},
	{"hpt", required_argument, NULL, OPT_HPT},
	{"vcpus", required_argument, NULL, OPT_VCPUS},
	{"dump", required_argument, NULL, OPT_DUMP},
	{"help", no_argument, NULL, OPT_HELP},
	{"fail-activate", no_argument, NULL, OPT_FAIL_ACTIVATE},
	{"fail-write-at", required_argument, NULL, OPT_FAIL_WRITE_AT},
	{"lose-entry", required_argument, NULL, OPT_LOSE_ENTRY},
	{"refuse-state", no_argument, NULL, OPT_REFUSE_STATE},
	{"stall-pause", no_argument, NULL, OPT_STALL_PAUSE},
	{"die-at", required_argument, NULL, OPT_DIE_AT},
	{"bad-fd", no_argument, NULL, OPT_BAD_FD},
	{"lease-ms", required_argument, NULL, OPT_LEASE_MS},
	{"monitor", required_argument, NULL, OPT_MONITOR},
	{"max-order", required_argument, NULL, OPT_MAX_ORDER},
	{"change-ms", required_argument, NULL, OPT_CHANGE_MS},
	{"stall-change", no_argument, NULL, OPT_STALL_CHANGE},
	{NULL, 0, NULL, 0},
};

static const char usage[] =
	"Usage: htab-simvm --name NAME [OPTION]...\n"
	"Run a simulated guest on a software page table, for htab-migrated to move.\n"
	"\n"
	"  --socket PATH         the daemon's VMM socket (" HTABVMM_SOCKET ")\n"
	"  --name NAME           the VM's name\n"
	"  --uuid UUID           its UUID; without it one that follows from NAME (RFC 9562\n"
	"                        version 8 over a digest of NAME), so both ends agree\n"
	"  --incoming            wait for a guest instead of having one\n"
	"  --mmu hpt|booke       a hashed page table, or an e500v2's TLBs (hpt)\n"
	"  --order N             log2 of the table's bytes, 18 to 36 (24)\n"
	"  --fill FRACTION       share of valid entries at the start and later, 0 to 0.9 (0.5)\n"
	"  --dirty-rate RATE     changed entries a second, all vCPUs together (0); a guest that\n"
	"                        arrives keeps its own unless this is given\n"
	"  --hpt FILE            begin with this table: 2^order bytes, plain or zstd\n"
	"  --vcpus N             vCPUs, 1 to 64 (1)\n"
	"  --dump FILE           write the last table there, normalised, when the guest ends here\n"
	"                        (SIGTERM, or moved away); zstd when it ends in .zst\n"
	"  --monitor FIFO        take commands from there, one a line: reset, reset ORDER, resize\n"
	"                        ORDER: what the guest or its firmware does to the page table\n"
	"\n"
	"Events are JSON objects on stdout, one a line; SIGUSR1 asks for one. Exit status: 0\n"
	"after SIGTERM or when the guest moved away, 1 for an error, 3 when the guest's check of\n"
	"itself failed.\n"
	"\n"
	"For tests:\n"
	"  --fail-activate       the callback `activate` fails\n"
	"  --fail-write-at N     the table refuses a write of entry N with EIO\n"
	"  --lose-entry N        the first valid entry from N on is gone when the table is read\n"
	"                        here for the first time: at a destination, to be compared\n"
	"  --refuse-state        the guest's state is refused\n"
	"  --stall-pause         a pause never ends\n"
	"  --bad-fd              hand over a regular file in place of a kernel's htab fd\n"
	"  --lease-ms MS         a paused guest runs on when its daemon was silent for so long\n"
	"  --max-order N         a table of a greater order is refused\n"
	"  --change-ms MS        the table is changed when its daemon was silent for so long\n"
	"  --stall-change        a change of the table that the daemon agreed to never ends\n"
	"  --die-at STEP         end at once, status 9, at loading, ready, pause, state,\n"
	"                        committing or run\n";

static int parse_fill(const char *s, double *ret)
{
	double v;

	if (number_parse_decimal(s, &v) < 0 || v > 0.9)
		return vmm_refuse("fill", s, "it should be a fraction from 0 to 0.9");
	*ret = v;
	return 0;
}

static int parse_mmu(const char *s, bool *ret)
{
	*ret = strcmp(s, "booke") == 0;
	if (*ret || strcmp(s, "hpt") == 0)
		return 0;
	return vmm_refuse("mmu", s, "it should be hpt or booke");
}

static int parse_step(const char *s, enum simvm_step *ret)
{
	static const char *const names[] = {
		[STEP_LOADING] = "loading",
		[STEP_READY] = "ready",
		[STEP_PAUSE] = "pause",
		[STEP_STATE] = "state",
		[STEP_COMMITTING] = "committing",
		[STEP_RUN] = "run",
	};

	for (unsigned i = STEP_LOADING; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], s) == 0) {
			*ret = (enum simvm_step)i;
			return 0;
		}
	}
	return vmm_refuse(
		"die-at", s, "it should be loading, ready, pause, state, committing or run");
}

static int parse_one(int c, const char *arg, struct simvm_opts *o)
{
	uint64_t v = 0;
	int r = 0;

	switch (c) {
	case OPT_SOCKET: o->socket = arg; break;
	case OPT_NAME: r = vmm_parse_name(arg, &o->name); break;
	case OPT_UUID: r = vmm_parse_uuid(arg, &o->uuid); break;
	case OPT_INCOMING: o->incoming = true; break;
	case OPT_ORDER:
		r = vmm_parse_number("order", arg, HTAB_ORDER_MIN, HTAB_ORDER_MAX, &v);
		o->order = (unsigned)v;
		o->order_set = true;
		break;
	case OPT_FILL: r = parse_fill(arg, &o->fill); break;
	case OPT_RATE:
		r = vmm_parse_number("dirty-rate", arg, 0, SIMVM_RATE_MAX, &o->rate);
		o->rate_set = true;
		break;
	case OPT_MMU: r = parse_mmu(arg, &o->booke); break;
	case OPT_HPT: o->hpt = arg; break;
	case OPT_VCPUS:
		r = vmm_parse_number("vcpus", arg, 1, SIMVM_VCPUS_MAX, &v);
		o->vcpus = (unsigned)v;
		break;
	case OPT_DUMP: o->dump = arg; break;
	case OPT_FAIL_ACTIVATE: o->fail_activate = true; break;
	case OPT_FAIL_WRITE_AT:
		r = vmm_parse_number("fail-write-at", arg, 0, htab_entries(HTAB_ORDER_MAX) - 1,
			&o->fail_write_at);
		o->fail_write = true;
		break;
	case OPT_LOSE_ENTRY:
		r = vmm_parse_number(
			"lose-entry", arg, 0, htab_entries(HTAB_ORDER_MAX) - 1, &o->lose_from);
		o->lose = true;
		break;
	case OPT_REFUSE_STATE: o->refuse_state = true; break;
	case OPT_STALL_PAUSE: o->stall_pause = true; break;
	case OPT_DIE_AT: r = parse_step(arg, &o->die_at); break;
	case OPT_BAD_FD: o->bad_fd = true; break;
	case OPT_MAX_ORDER:
		r = vmm_parse_number("max-order", arg, HTAB_ORDER_MIN, HTAB_ORDER_MAX, &v);
		o->max_order = (unsigned)v;
		break;
	case OPT_MONITOR: o->monitor = arg; break;
	case OPT_CHANGE_MS:
		r = vmm_parse_number("change-ms", arg, 1, 3600000, &o->change_ms);
		break;
	case OPT_STALL_CHANGE: o->stall_change = true; break;
	case OPT_LEASE_MS: r = vmm_parse_number("lease-ms", arg, 1, 3600000, &o->lease_ms); break;
	default:
		r = -EINVAL; /* getopt has said why */
		break;
	}
	return r;
}

int simvm_opts_parse(int argc, char **argv, struct simvm_opts *ret)
{
	struct simvm_opts o = {.order = 24, .vcpus = 1, .fill = 0.5, .max_order = HTAB_ORDER_MAX};
	int c, r = 0;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == OPT_HELP)
			return vmm_help(usage);
		r = parse_one(c, optarg, &o);
		if (r < 0)
			return r;
	}
	if (optind < argc)
		return vmm_refuse("", argv[optind], "there are no arguments but options");
	if (!o.name) {
		fprintf(stderr, "%s: --name is missing; see --help\n", vmm_program);
		return -EINVAL;
	}
	if (o.incoming && o.hpt)
		return vmm_refuse("hpt", o.hpt, "with --incoming the table comes with the guest");
	if (o.booke && (o.order_set || o.hpt || o.fail_write || o.lose || o.bad_fd))
		return vmm_refuse("mmu", "booke",
			"--order, --hpt, --fail-write-at, --lose-entry and --bad-fd are for a "
			"hashed page table");
	if (uuid_eq(&o.uuid, &(struct vm_uuid){0}))
		vmm_default_uuid(o.name, &o.uuid);
	*ret = o;
	return 0;
}
