/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proto/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static void put_frame(struct pack *k, unsigned type)
{
	be32_put(k->buf, (uint32_t)(k->len - WIRE_HDR_SIZE));
	be16_put(k->buf + 4, (uint16_t)type);
	be16_put(k->buf + 6, 0);
}

int file_pack_header(const struct file_header *m, void *buf, size_t cap)
{
	struct pack k;

	pack_init(&k, buf, cap);
	pack_space(&k, WIRE_HDR_SIZE);
	pack_u64(&k, FILE_MAGIC);
	pack_u16(&k, m->version);
	pack_u64(&k, m->features);
	pack_u64(&k, m->saved_ns);
	pack_str(&k, m->name);
	if (pack_end(&k) < 0)
		return -EMSGSIZE;
	put_frame(&k, FILE_TYPE_HEADER);
	return (int)k.len;
}

int file_unpack_header(const void *body, size_t len, struct file_header *ret)
{
	struct file_header m;
	struct unpack u;

	unpack_init(&u, body, len);
	if (unpack_u64(&u) != FILE_MAGIC)
		return -EBADMSG;
	m.version = unpack_u16(&u);
	m.features = unpack_u64(&u);
	m.saved_ns = unpack_u64(&u);
	unpack_str(&u, m.name, sizeof(m.name));
	/* What a later version has after the name is its own. */
	if (u.bad || (m.version == FILE_VERSION && u.left))
		return -EBADMSG;
	*ret = m;
	return 0;
}

int file_pack_trailer(const struct file_trailer *m, void *buf, size_t cap)
{
	struct pack k;

	pack_init(&k, buf, cap);
	pack_space(&k, WIRE_HDR_SIZE);
	pack_u64(&k, m->length);
	pack_bytes(&k, m->sha256, sizeof(m->sha256));
	if (pack_end(&k) < 0)
		return -EMSGSIZE;
	put_frame(&k, FILE_TYPE_TRAILER);
	return (int)k.len;
}

int file_unpack_trailer(const void *body, size_t len, struct file_trailer *ret)
{
	struct file_trailer m;
	struct unpack u;

	unpack_init(&u, body, len);
	m.length = unpack_u64(&u);
	unpack_copy(&u, m.sha256, sizeof(m.sha256));
	if (unpack_end(&u) < 0)
		return -EBADMSG;
	*ret = m;
	return 0;
}

const char *file_type_name(unsigned type)
{
	switch (type) {
	case FILE_TYPE_HEADER: return "HEADER";
	case FILE_TYPE_TRAILER: return "TRAILER";
	default: return wire_type_name(type);
	}
}

/* -- the order of a file's frames -- */

static int wrong(struct file_check *c, uint64_t at, int code, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static int wrong(struct file_check *c, uint64_t at, int code, const char *fmt, ...)
{
	va_list ap;

	c->wrong_at = at;
	va_start(ap, fmt);
	vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
	return code;
}

void file_check_init(struct file_check *c)
{
	*c = (struct file_check){
		.digest = STREAM_DIGEST_INIT,
		.state_digest = STREAM_DIGEST_INIT,
	};
}

static const char *expected(const struct file_check *c)
{
	switch (c->place) {
	case FILE_AT_HEADER: return "HEADER";
	case FILE_AT_OPEN: return "OPEN";
	case FILE_AT_PASS: return c->in_pass || !c->pass ? "CHUNK or PASS_END" : "CHUNK or STATE";
	case FILE_AT_STATE: return c->elem_got || c->elem_left ? "STATE" : "STATE or END";
	case FILE_AT_TRAILER: return "TRAILER";
	case FILE_AT_END: return "nothing";
	}
	return "?";
}

/* May a frame of that type stand here? */
static bool fits(const struct file_check *c, unsigned type)
{
	switch (c->place) {
	case FILE_AT_HEADER: return type == FILE_TYPE_HEADER;
	case FILE_AT_OPEN: return type == WIRE_OPEN;
	case FILE_AT_PASS:
		return type == WIRE_CHUNK || type == WIRE_PASS_END ||
			(type == WIRE_STATE && c->pass && !c->in_pass);
	case FILE_AT_STATE:
		return type == WIRE_STATE || (type == WIRE_END && !c->elem_got && !c->elem_left);
	case FILE_AT_TRAILER: return type == FILE_TYPE_TRAILER;
	case FILE_AT_END: break;
	}
	return false;
}

static size_t body_max(unsigned type, bool *ret_known)
{
	*ret_known = type == FILE_TYPE_HEADER || type == FILE_TYPE_TRAILER;
	return *ret_known ? WIRE_CONTROL_MAX : wire_body_max(type, ret_known);
}

int file_check_frame(struct file_check *c, const uint8_t *hdr)
{
	uint32_t len = be32_get(hdr);
	unsigned type = be16_get(hdr + 4);
	bool known;
	size_t max = body_max(type, &known);

	if (c->place == FILE_AT_END)
		return file_check_eof(c, WIRE_HDR_SIZE);
	if (c->place == FILE_AT_HEADER && type != FILE_TYPE_HEADER)
		return wrong(c, c->offset, -EBADMSG, "it does not begin as a saved guest does");
	if (!known)
		return wrong(c, c->offset + 4, -EBADMSG,
			"a frame of type %u, which is none, where %s is expected", type,
			expected(c));
	if (!fits(c, type))
		return wrong(c, c->offset + 4, -EBADMSG, "a %s frame where %s is expected",
			file_type_name(type), expected(c));
	if (be16_get(hdr + 6))
		return wrong(c, c->offset + 6, -EBADMSG, "a %s frame with flags 0x%04x",
			file_type_name(type), be16_get(hdr + 6));
	if (len > max)
		return wrong(c, c->offset, -EBADMSG,
			"a %s frame of %" PRIu32 " bytes, %zu are the most", file_type_name(type),
			len, max);
	c->type = type;
	c->body = len;
	return 0;
}

static int take_header(struct file_check *c, const uint8_t *body)
{
	uint64_t at = c->offset + WIRE_HDR_SIZE;

	if (file_unpack_header(body, c->body, &c->header) < 0)
		return wrong(c, at, -EBADMSG, "it does not begin as a saved guest does");
	if (c->header.version != FILE_VERSION)
		return wrong(c, at + 8, -EOPNOTSUPP,
			"it is of version %u, this program reads version %u", c->header.version,
			FILE_VERSION);
	if (c->header.features & ~FILE_FEATURES)
		return wrong(c, at + 10, -EOPNOTSUPP,
			"it needs features 0x%" PRIx64 ", which are not known here",
			c->header.features & ~FILE_FEATURES);
	c->place = FILE_AT_OPEN;
	return 0;
}

static int take_open(struct file_check *c, const uint8_t *body)
{
	const struct wire_open *o = &c->open;
	uint64_t at = c->offset + WIRE_HDR_SIZE;

	if (wire_unpack_open(body, c->body, &c->open) < 0)
		return wrong(c, at, -EBADMSG, "a malformed OPEN frame");
	if (o->channels != 1 || (o->flags & ~WIRE_OPEN_PROCESSOR))
		return wrong(c, at, -EOPNOTSUPP,
			"it holds a guest with %u channels and flags 0x%x, which this program does not "
			"read",
			o->channels, o->flags);
	c->place = FILE_AT_PASS;
	c->passes_at = c->offset + WIRE_HDR_SIZE + c->body;
	return 0;
}

/* Stream, generation and pass of a CHUNK or PASS_END. */
static int check_pass(
	struct file_check *c, enum wire_stream stream, uint32_t generation, uint32_t pass)
{
	uint32_t want = c->in_pass ? c->pass : c->pass + 1;

	enum wire_stream table = c->open.mmu == MMU_BOOKE ? WIRE_STREAM_TLB : WIRE_STREAM_HTAB;

	if (stream != table || generation != 1 || pass != want)
		return wrong(c, c->offset + WIRE_HDR_SIZE, -EBADMSG,
			"%s of stream %d, generation %" PRIu32 ", pass %" PRIu32
			" where stream %d, generation 1, pass %" PRIu32 " is expected",
			file_type_name(c->type), (int)stream, generation, pass, (int)table, want);
	return 0;
}

/* The first record that is not good, and why; with codec NONE also its byte. */
static int wrong_record(struct file_check *c, const uint8_t *plain)
{
	uint64_t at = c->offset + WIRE_HDR_SIZE + WIRE_CHUNK_HDR;
	struct htab_iter it;
	struct htab_rec rec;
	unsigned nr = 0;

	htab_iter_init_kind(&it, file_records_kind(&c->open), plain, c->chunk.plain,
		file_records_entries(&c->open), HTAB_WIRE);
	while (htab_iter_next(&it, &rec) > 0)
		nr++;
	if (c->chunk.codec == WIRE_CODEC_NONE)
		at += (uint64_t)(it.p - plain);
	return wrong(c, at, -EBADMSG, "record %u of chunk %" PRIu64 ": %s", nr + 1, c->chunk.seq,
		it.why);
}

static int take_chunk(struct file_check *c, const uint8_t *body)
{
	uint64_t at = c->offset + WIRE_HDR_SIZE;
	struct wire_chunk *m = &c->chunk;
	int r;

	if (wire_unpack_chunk(body, c->body, m, &c->payload, &c->payload_len) < 0)
		return wrong(
			c, at, -EBADMSG, "a malformed CHUNK frame after chunk %" PRIu64, c->seq);
	r = check_pass(c, m->stream, m->generation, m->pass);
	if (r < 0)
		return r;
	if (m->codec != c->open.codec || m->seq != c->seq + 1)
		return wrong(c, at, -EBADMSG,
			"chunk %" PRIu64 " with codec %d where chunk %" PRIu64
			" with codec %d is expected",
			m->seq, (int)m->codec, c->seq + 1, (int)c->open.codec);
	return 1;
}

int file_check_records(struct file_check *c, const uint8_t *plain)
{
	size_t len = c->chunk.plain;
	const char *why;

	if (!plain)
		return wrong(c, c->offset + WIRE_HDR_SIZE + WIRE_CHUNK_HDR, -EBADMSG,
			"chunk %" PRIu64 " of %zu bytes of codec %d cannot be decoded",
			c->chunk.seq, c->payload_len, (int)c->chunk.codec);
	if (htab_check_kind(file_records_kind(&c->open), plain, len, file_records_entries(&c->open),
		    HTAB_WIRE, &c->count, &why) < 0)
		return wrong_record(c, plain);
	c->seq = c->chunk.seq;
	c->pass = c->chunk.pass;
	c->in_pass = true;
	c->digest = stream_digest(c->digest, plain, len);
	c->valid += c->count.valid;
	c->invalid += c->count.invalid;
	c->offset += WIRE_HDR_SIZE + c->body;
	return 0;
}

static int take_pass_end(struct file_check *c, const uint8_t *body)
{
	struct wire_pass_end m;
	int r;

	if (wire_unpack_pass_end(body, c->body, &m) < 0)
		return wrong(c, c->offset + WIRE_HDR_SIZE, -EBADMSG,
			"a malformed PASS_END frame after chunk %" PRIu64, c->seq);
	r = check_pass(c, m.stream, m.generation, m.pass);
	if (r < 0)
		return r;
	if (m.seq != c->seq)
		return wrong(c, c->offset + WIRE_HDR_SIZE, -EBADMSG,
			"PASS_END says that chunk %" PRIu64 " was the last, chunk %" PRIu64 " was",
			m.seq, c->seq);
	if (m.pass == 1 && c->valid + c->invalid != file_records_entries(&c->open))
		return wrong(c, c->offset + WIRE_HDR_SIZE, -EBADMSG,
			"pass 1 names %" PRIu64 " of the table's %" PRIu64 " entries",
			c->valid + c->invalid, file_records_entries(&c->open));
	c->pass = m.pass;
	c->in_pass = false;
	return 0;
}

/* The next bytes of the image: elements may be cut anywhere. */
static int take_state(struct file_check *c, const uint8_t *body)
{
	size_t done = 0;

	if (c->body == 0)
		return wrong(c, c->offset, -EBADMSG, "an empty STATE frame");
	if (c->place == FILE_AT_PASS)
		c->state_at = c->offset;
	c->place = FILE_AT_STATE;
	if (c->state_size + c->body > STATE_IMAGE_MAX)
		return wrong(c, c->offset, -EBADMSG,
			"a machine state of more than %u bytes, which are the most",
			STATE_IMAGE_MAX);
	while (done < c->body) {
		size_t left = c->body - done, n;

		if (c->elem_left) {
			n = c->elem_left < left ? (size_t)c->elem_left : left;
			c->elem_left -= n;
		} else {
			n = STATE_HDR_SIZE - c->elem_got;
			n = n < left ? n : left;
			memcpy(c->elem + c->elem_got, body + done, n);
			c->elem_got += n;
			if (c->elem_got == STATE_HDR_SIZE) {
				c->elem_left = be32_get(c->elem + 4);
				c->elem_got = 0;
			}
		}
		done += n;
	}
	c->state_size += c->body;
	c->state_digest = stream_digest(c->state_digest, body, c->body);
	return 0;
}

static int take_end(struct file_check *c, const uint8_t *body)
{
	uint64_t at = c->offset + WIRE_HDR_SIZE;
	struct wire_end *e = &c->end;

	if (wire_unpack_end(body, c->body, e) < 0 || e->channels != 1 || e->generation != 1)
		return wrong(c, at, -EBADMSG, "a malformed END frame");
	if (!session_eq(&e->session, &c->open.session))
		return wrong(c, at, -EBADMSG, "END is of another session than OPEN");
	if (e->passes != c->pass || e->channel[0].seq != c->seq || e->valid != c->valid ||
		e->invalid != c->invalid || e->state_size != c->state_size)
		return wrong(c, at, -EBADMSG,
			"END counts %" PRIu32 " passes, %" PRIu64 " chunks, %" PRIu64
			" valid and %" PRIu64 " invalid entries and %" PRIu64
			" bytes of state; there are %" PRIu32 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64
			" and %" PRIu64,
			e->passes, e->channel[0].seq, e->valid, e->invalid, e->state_size, c->pass,
			c->seq, c->valid, c->invalid, c->state_size);
	if (e->channel[0].digest != c->digest || e->state_digest != c->state_digest)
		return wrong(c, at, -EBADMSG,
			"END's digest of the %s is not the one of what is here",
			e->channel[0].digest != c->digest ? "table" : "machine state");
	c->place = FILE_AT_TRAILER;
	return 0;
}

static int take_trailer(struct file_check *c, const uint8_t *body)
{
	uint64_t end = c->offset + WIRE_HDR_SIZE + c->body;

	if (file_unpack_trailer(body, c->body, &c->trailer) < 0)
		return wrong(c, c->offset + WIRE_HDR_SIZE, -EBADMSG, "a malformed TRAILER frame");
	if (c->trailer.length != end)
		return wrong(c, c->offset + WIRE_HDR_SIZE, -EBADMSG,
			"it had %" PRIu64 " bytes when it was saved, and ends after %" PRIu64
			" now",
			c->trailer.length, end);
	c->place = FILE_AT_END;
	return 0;
}

int file_check_body(struct file_check *c, const uint8_t *body)
{
	int r = -EBADMSG;

	switch (c->type) {
	case FILE_TYPE_HEADER: r = take_header(c, body); break;
	case WIRE_OPEN: r = take_open(c, body); break;
	case WIRE_CHUNK: r = take_chunk(c, body); break;
	case WIRE_PASS_END: r = take_pass_end(c, body); break;
	case WIRE_STATE: r = take_state(c, body); break;
	case WIRE_END: r = take_end(c, body); break;
	case FILE_TYPE_TRAILER: r = take_trailer(c, body); break;
	}
	if (r == 0)
		c->offset += WIRE_HDR_SIZE + c->body;
	return r;
}

int file_check_eof(struct file_check *c, uint64_t extra)
{
	if (c->place == FILE_AT_END && extra == 0)
		return 0;
	if (c->place == FILE_AT_END)
		return wrong(c, c->offset, -EBADMSG, "something follows its end record");
	if (extra == 0)
		return wrong(c, c->offset, -EBADMSG, "it ends where %s is expected", expected(c));
	return wrong(c, c->offset + extra, -EBADMSG,
		"it ends in the middle of the frame that begins at byte %" PRIu64, c->offset);
}
