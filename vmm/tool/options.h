/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What our own VMMs share: values of command-line options, and events on stdout. Errors are a
 * sentence on stderr and -EINVAL. Main thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include "proto/ident.h"
#include "vmm/htabvmm.h"

/* The program's name, in front of every sentence; each program defines it. */
extern const char vmm_program[];

/* --help: 1, or -EIO when standard output does not take it, which was said. */
int vmm_help(const char *usage);
/* "PROGRAM: --OPTION VALUE: WHY". Returns -EINVAL. */
int vmm_refuse(const char *option, const char *value, const char *why);
int vmm_parse_number(const char *option, const char *s, uint64_t min, uint64_t max, uint64_t *ret);
int vmm_parse_name(const char *s, const char **ret);
int vmm_parse_uuid(const char *s, struct vm_uuid *ret);
/* The UUID of a VM that was given none: it follows from the name, so both ends agree. */
void vmm_default_uuid(const char *name, struct vm_uuid *ret);

struct vmm_figures {
	uint64_t counter; /* of the guest's work */
	uint64_t changes; /* of its table */
	unsigned errors;  /* its checks that failed */
	bool running;
};

/* One JSON object, one line, at once. */
void vmm_print_event(const char *event, const char *text, const struct vmm_figures *f);
/* As it is called on stdout. */
const char *vmm_event_name(enum htabvmm_event event);
