/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/processor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/htab.h"
#include "proto/pack.h"

#define LOGICAL    0x0f000000u
#define GENERATION 0xffu /* 2: ISA 2.05, 3: 2.06 and 2.06+, 4: 2.07, 5: 3.0, 6: 3.1, ... */

uint64_t processor_vcpu_ids(const unsigned *ids, unsigned n)
{
	uint64_t digest = STREAM_DIGEST_INIT;
	bool plain = true;

	for (unsigned i = 0; i < n; i++) {
		uint8_t be[4];

		be32_put(be, ids[i]);
		digest = stream_digest(digest, be, sizeof(be));
		plain &= ids[i] == i;
	}
	if (plain)
		return 0;
	return digest ? digest : 1;
}

bool processor_compat_ok(uint32_t compat)
{
	return compat == 0 || (compat & 0xff000000u) == LOGICAL;
}

bool processor_runs(const struct processor *here, const struct processor *guest)
{
	if (here->pvr == guest->pvr)
		return true;
	return guest->compat && here->compat &&
		(guest->compat & GENERATION) <= (here->compat & GENERATION);
}

void processor_format(uint32_t compat, char text[static PROCESSOR_TEXT])
{
	snprintf(text, PROCESSOR_TEXT, "%08x", compat);
}

int processor_parse(const char *text, uint32_t *ret)
{
	uint32_t compat;

	if (strlen(text) != 8 || strspn(text, "0123456789abcdef") != 8)
		return -EBADMSG;
	compat = (uint32_t)strtoul(text, NULL, 16);
	if (!processor_compat_ok(compat))
		return -EBADMSG;
	*ret = compat;
	return 0;
}
