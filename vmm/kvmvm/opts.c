/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "proto/htab.h"
#include "vmm/powerkvm/fill.h"
#include "vmm/kvmvm/kvmvm.h"
#include "vmm/kvmvm/layout.h"

#define MEMORY_MAX_MIB 65536u
#define TCES_MAX       1048576u

enum option_number {
	OPT_SOCKET = 256,
	OPT_NAME,
	OPT_UUID,
	OPT_INCOMING,
	OPT_ORDER,
	OPT_VCPUS,
	OPT_MEMORY,
	OPT_DUMP,
	OPT_IRQCHIP,
	OPT_TCES,
	OPT_MONITOR,
	OPT_HELP,
	OPT_LARGE_ENTRY,
	OPT_REGISTERS,
	OPT_STAY,
};

static const struct option options[] = {
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"name", required_argument, NULL, OPT_NAME},
	{"uuid", required_argument, NULL, OPT_UUID},
	{"incoming", no_argument, NULL, OPT_INCOMING},
	{"order", required_argument, NULL, OPT_ORDER},
	{"vcpus", required_argument, NULL, OPT_VCPUS},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"dump", required_argument, NULL, OPT_DUMP},
	{"irqchip", required_argument, NULL, OPT_IRQCHIP},
	{"tces", required_argument, NULL, OPT_TCES},
	{"monitor", required_argument, NULL, OPT_MONITOR},
	{"help", no_argument, NULL, OPT_HELP},
	{"large-entry", no_argument, NULL, OPT_LARGE_ENTRY},
	{"registers", no_argument, NULL, OPT_REGISTERS},
	{"stay", no_argument, NULL, OPT_STAY},
	{NULL, 0, NULL, 0},
};

static const char usage[] =
	"Usage: htab-kvmvm --name NAME [OPTION]...\n"
	"Run a small guest on POWER KVM that changes its hashed page table all the time, counts and\n"
	"checks itself, for htab-migrated to move.\n"
	"\n"
	"  --socket PATH    the daemon's VMM socket (" HTABVMM_SOCKET ")\n"
	"  --name NAME      the VM's name\n"
	"  --uuid UUID      its UUID; without it one that follows from NAME, so both ends agree\n"
	"  --incoming       wait for a guest instead of having one\n"
	"  --order N        log2 of the table's bytes, 18 to 36 (20)\n"
	"  --vcpus N        vCPUs, 1 to 64 (2)\n"
	"  --memory MIB     the guest's memory, 8 to 65536 MiB (16); the same at both ends\n"
	"  --irqchip KIND   have KVM's interrupt controller, xics or xive, set up in a known way; the\n"
	"                   same at both ends\n"
	"  --tces N         have a TCE table of 1 to 1048576 entries, filled in a known way; the same\n"
	"                   at both ends\n"
	"  --dump FILE      write the last table there, normalised, when the guest ends here (SIGTERM,\n"
	"                   or moved away); zstd when it ends in .zst\n"
	"  --monitor FIFO   take commands from there, one a line: reset, reset ORDER, resize ORDER:\n"
	"                   KVM changes the page table, and the guest begins anew with what is in it\n"
	"\n"
	"Events are JSON objects on stdout, one a line; SIGUSR1 asks for one. Exit status: 0 after\n"
	"SIGTERM or when the guest moved away, 1 for an error, 3 when the guest's check of itself\n"
	"failed.\n"
	"\n"
	"For tests:\n"
	"  --large-entry    begin with an entry for a page of 16 MiB at address 16 MiB: a KVM whose\n"
	"                   memory slot is no multiple of that refuses it with EIO\n"
	"  --registers      begin with known values in every register that takes one, and with a\n"
	"                   decrementer and an interrupt of XICS that wait until the guest has moved,\n"
	"                   and a doorbell that waits on; at most 16 vCPUs, and no --monitor\n"
	"  --stay           a guest that arrives stands until SIGUSR2\n";

static int parse_one(int c, const char *arg, struct kvmvm_opts *o)
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
		break;
	case OPT_VCPUS:
		r = vmm_parse_number("vcpus", arg, 1, KVM_VM_VCPUS_MAX, &v);
		o->vcpus = (unsigned)v;
		break;
	case OPT_MEMORY:
		r = vmm_parse_number("memory", arg, KVMVM_MEMORY_MIN >> 20, MEMORY_MAX_MIB, &v);
		o->memory = (size_t)v << 20;
		break;
	case OPT_IRQCHIP:
		if (strcmp(arg, "xics") == 0)
			o->irqchip = KVMVM_XICS;
		else if (strcmp(arg, "xive") == 0)
			o->irqchip = KVMVM_XIVE;
		else
			r = vmm_refuse("irqchip", arg, "xics or xive");
		break;
	case OPT_TCES:
		r = vmm_parse_number("tces", arg, 1, TCES_MAX, &v);
		o->tces = v;
		break;
	case OPT_DUMP: o->dump = arg; break;
	case OPT_MONITOR: o->monitor = arg; break;
	case OPT_LARGE_ENTRY: o->large_entry = true; break;
	case OPT_REGISTERS: o->registers = true; break;
	case OPT_STAY: o->stay = true; break;
	default:
		r = -EINVAL; /* getopt has said why */
		break;
	}
	return r;
}

int kvmvm_opts_parse(int argc, char **argv, struct kvmvm_opts *ret)
{
	struct kvmvm_opts o = {.order = 20, .vcpus = 2, .memory = 16 << 20};
	int c, r;

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
	if (o.registers && o.vcpus > KVM_FILL_VCPUS_MAX)
		return vmm_refuse("registers", "", "there is room for those of 16 vCPUs");
	if (o.registers && o.monitor)
		return vmm_refuse(
			"registers", "", "a guest that begins anew has others: no --monitor");
	if (o.stay && !o.incoming)
		return vmm_refuse(
			"stay", "", "it is for a guest that arrives: --incoming is missing");
	if (uuid_eq(&o.uuid, &(struct vm_uuid){0}))
		vmm_default_uuid(o.name, &o.uuid);
	*ret = o;
	return 0;
}
