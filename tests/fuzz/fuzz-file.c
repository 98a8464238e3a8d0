/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A saved guest, judged frame by frame: whatever it is, it is taken to its end or refused. */
#include <assert.h>
#include <string.h>

#include "proto/file.h"
#include "proto/hpte.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void look(const struct file_check *c, const uint8_t *records)
{
	struct htab_iter it;
	struct htab_rec rec;
	struct hpte h;

	htab_iter_init(&it, records, c->chunk.plain, htab_entries(c->open.order), HTAB_WIRE);
	while (htab_iter_next(&it, &rec) > 0)
		for (unsigned i = 0; i < rec.n_valid; i++)
			hpte_decode(be64_get(rec.hptes + 16 * i), be64_get(rec.hptes + 16 * i + 8),
				rec.index + i, htab_entries(c->open.order), &h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct file_check c;
	int r = 0;

	file_check_init(&c);
	while (r == 0 && len - c.offset >= WIRE_HDR_SIZE) {
		const uint8_t *frame = data + c.offset;
		uint64_t offset = c.offset;

		r = file_check_frame(&c, frame);
		if (r == 0 && c.body > len - offset - WIRE_HDR_SIZE)
			r = file_check_eof(&c, len - offset);
		else if (r == 0)
			r = file_check_body(&c, frame + WIRE_HDR_SIZE);
		if (r > 0) {
			assert(c.payload > frame && c.payload + c.payload_len <= data + len);
			/* only what needs no codec can be given here */
			r = file_check_records(
				&c, c.chunk.codec == WIRE_CODEC_NONE ? c.payload : NULL);
			if (r == 0)
				look(&c, c.payload);
		}
		assert(r != 0 || c.offset > offset);
	}
	if (r == 0)
		r = file_check_eof(&c, len - c.offset);
	assert(r <= 0 && c.offset <= len);
	if (r < 0)
		assert(c.why[0] && memchr(c.why, 0, sizeof(c.why)) && c.wrong_at <= len);
	else
		assert(c.place == FILE_AT_END && c.trailer.length == len);
	return 0;
}
