/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Tables of translation control entries (KVM_CREATE_SPAPR_TCE), mapped from their fds. An entry is
 * a doubleword in host order. The library's thread, while no vCPU runs.
 */
#include <stdbool.h>

#include "common/err.h"
#include "proto/devstate.h"
#include "vmm/htabvmm.h"

#define LIB_TCES_MAX        64
#define LIB_TCE_ENTRIES_MAX (1u << 24)

struct lib_tce {
	uint64_t liobn, offset, entries;
	uint32_t page_shift;
	uint64_t *table;
	/* while an image is checked */
	bool came;
	uint64_t next; /* the first entry that a chunk may begin with */
};

struct lib_tces {
	struct lib_tce all[LIB_TCES_MAX];
	unsigned count;
};

int tces_add(struct lib_tces *l, const struct htabvmm_tce *table);
void tces_free(struct lib_tces *l);

/* Append every table: what is not 0, runs of one entry as such. */
void tces_save(const struct lib_tces *l, struct pack *k);

/* As for devices (device/device.h). Loading empties each table first: tces_load_begin(). */
void tces_check_begin(struct lib_tces *l);
int tces_check(struct lib_tces *l, const struct state_elem *elem, struct err *e);
int tces_check_end(const struct lib_tces *l, struct err *e);
void tces_load_begin(struct lib_tces *l);
void tces_load(struct lib_tces *l, const struct state_elem *elem);
