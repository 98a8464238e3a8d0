/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * What the tests of devices share: two ends with the same software devices (fakedev.h), an image
 * that goes from one to the other. End 0 is the source.
 */
#include "tests/unit/fakedev.h"

#define IMAGE_MAX (64u << 10)
#define SOURCES   4
#define VCPUS     2
#define ICP       0x103000000000008cull
#define VP        0x104000000000008dull
#define VM(end)   fake_fd(end, 0)
#define CPU(e, n) vcpu_fds[e][n]

extern struct lib_devices from, to;
extern struct err err;
extern uint8_t image[IMAGE_MAX];
extern size_t image_len;
extern const int vcpu_fds[2][VCPUS];
extern const uint64_t source_list[SOURCES];
/* By end: what the VMM keeps. */
extern uint64_t shadow[2][2][SOURCES];
extern uint8_t present[2][SOURCES];

/* For each test. */
void setup(void);
void teardown(void);

/* A device of that end, with the library's recipe of that name; both ends' added. */
struct htabvmm_device device(int end, const char *name);
void add(const char *name);

/* Fill `image`; as lib/state.c takes it, everything checked before anything is set. */
void save(void);
int load(void);

/* Is it there, after `after` in the trace? Returns where it ends. */
const char *next(const char *after, const char *what);

/* Values at the source and none yet at the destination, whose TSC is `faster` * 500 MHz faster. */
void fill_xive(void);
void fill_tsc(unsigned faster);
/* Both ends have a device with a recipe that is not the library's, "own". */
void add_own(void);
