/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* What the tests of the software HPT share: a table, hypercalls of its guest, and records. */
#include "proto/htab.h"
#include "vmm/swhpt/swhpt.h"

#define ORDER   18u
#define ENTRIES (1u << (ORDER - 4))
#define MEMORY  (64ull << 20)
#define V(n)    ((uint64_t)(n) << 12 | HPTE_V_VALID)
#define R(page) ((uint64_t)(page) << 16 | 0x10 | 2) /* M, read-write */

/* The table, new for each test, and room for what is read of it or written to it. */
extern struct swhpt *h;
extern uint8_t bytes[HTAB_REC_MAX];

void setup(void);
void teardown(void);

struct swhpt_fd *open_fd(uint64_t flags, uint64_t start);

/* From inside a vCPU; what comes back may be left out. */
int64_t hcall(uint64_t nr, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t *ret);
int64_t enter(uint64_t flags, uint64_t index, uint64_t v, uint64_t r, uint64_t *ret_index);

/* A record of n valid HPTEs, all v and r, at dst; its length. */
size_t record(void *dst, uint32_t index, unsigned n, unsigned n_invalid, uint64_t v, uint64_t r);

/* The next record of a read that gave n of `bytes`, at *off. */
struct htab_rec next(size_t n, size_t *off);
void expect_rec(size_t n, size_t *off, uint32_t index, unsigned valid, unsigned invalid);
