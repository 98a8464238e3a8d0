/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/* A good message of each type, to be packed, cut and spoilt. */
#include "tests/unit/wire-cases.h"

#define WIRE_FRAME_MAX      (WIRE_HDR_SIZE + WIRE_CONTROL_MAX)
#define WIRE_SAMPLE_PAYLOAD 24u /* of a CHUNK */

/* A message of each type with every field different from zero where it may be. */
void wire_sample(enum wire_type type, union wire_message *m);

/* A whole frame, CHUNK with a payload; its length, 0 when it does not fit. */
size_t wire_sample_pack(enum wire_type type, const union wire_message *m, uint8_t *buf, size_t cap);

/* Unpack from memory that ends where the body ends, so that a sanitizer sees a look past it. */
int wire_unpack_copy(enum wire_type type, const void *body, size_t len, union wire_message *m);
