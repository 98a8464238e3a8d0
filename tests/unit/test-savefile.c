/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A saved guest, byte by byte: what is written is tests/golden/saved-file.hex, and nothing but that
 * is loaded: cut at any byte, with any byte changed, with frames in another order, or changed while
 * it is read it is refused. Then where it is written: what may be at its path, and what is left.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/transport/loadfile.h"
#include "daemon/transport/savefile.h"
#include "tests/unit/golden-harness.h"

#define FRAMES_MAX 32

static char dir[64], path[256];
static struct dir_place place; /* dir's */
static struct bytes golden;

/* Where its frames begin; the last one is the end. */
static size_t frame[FRAMES_MAX + 1];
static unsigned n_frames;

static void place_of(const char *of, struct dir_place *ret)
{
	struct filepath p;
	struct err err;

	ck_assert_int_eq(filepath_open(&p, of, &err), 0);
	ck_assert_int_eq(filepath_place(&p, ret), 0);
	filepath_close(&p);
}

static void begin(void)
{
	snprintf(dir, sizeof(dir), "/tmp/test-savefile-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/guest", dir);
	place_of(path, &place);
	load("saved-file", &golden);
	n_frames = 0;
	for (size_t at = 0; at < golden.len; at += WIRE_HDR_SIZE + be32_get(golden.b + at)) {
		ck_assert_uint_lt(n_frames, FRAMES_MAX);
		frame[n_frames++] = at;
	}
	frame[n_frames] = golden.len;
}

static void end(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(dir);
}

static unsigned files(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	unsigned n = 0;

	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d)))
		n += strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
	closedir(d);
	return n;
}

static void put(const void *buf, size_t len)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, buf, len), (int)len);
	close(fd);
}

/* Is that file refused, and with which words? */
static void refused(const void *buf, size_t len, int code, const char *words)
{
	struct loadfile *f = NULL;
	struct err err = {0};

	put(buf, len);
	ck_assert_int_eq(loadfile_open(path, &f, &err), code);
	ck_assert_msg(
		strstr(err.text, words) != NULL, "\"%s\" does not say \"%s\"", err.text, words);
	ck_assert_msg(strstr(err.text, path) != NULL, "\"%s\" does not name the file", err.text);
}

/* Length and digest as they have to be for what is there. */
static void sign(struct bytes *s)
{
	size_t at = s->len - FILE_TRAILER_SIZE;

	be64_put(s->b + at + WIRE_HDR_SIZE, s->len);
	SHA256(s->b, s->len - FILE_SHA256_SIZE, s->b + s->len - FILE_SHA256_SIZE);
}

/* -- what is whole -- */

START_TEST(what_is_written_is_the_golden_file)
{
	struct savefile *f;
	struct err err = {0};
	struct bytes got;
	int fd;

	ck_assert_msg(savefile_create(path, &session, &f, &err) == 0, "%s", err.text);
	for (unsigned i = 0; i < n_frames - 1; i++)
		ck_assert_int_eq(
			savefile_write(f, golden.b + frame[i], frame[i + 1] - frame[i], &err), 0);
	ck_assert_msg(savefile_finish(f, &err) == 0, "%s", err.text);
	ck_assert_int_eq(access(path, F_OK), -1); /* not before it is published */
	ck_assert_msg(savefile_publish(f, false, &err) == 1, "%s", err.text);
	savefile_free(f);
	ck_assert_uint_eq(files(), 1);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	got.len = (size_t)read(fd, got.b, sizeof(got.b));
	close(fd);
	same("saved-file", got.b, got.len, golden.b, golden.len);
}
END_TEST

START_TEST(golden_file_is_read_twice)
{
	const struct file_check *c;
	uint8_t buf[BYTES_MAX];
	struct loadfile *f;
	struct err err = {0};
	struct flow_io io;
	struct bytes state;
	size_t done = 0;
	ssize_t n;
	int fd;

	put(golden.b, golden.len);
	ck_assert_msg(loadfile_open(path, &f, &err) == 0, "%s", err.text);
	c = loadfile_about(f);
	ck_assert_str_eq(c->header.name, "hosta");
	ck_assert_uint_eq(c->header.saved_ns, 1700000000000000000);
	ck_assert_uint_eq(c->open.order, 18);
	ck_assert_uint_eq(c->end.passes, 3);
	ck_assert_uint_eq(c->end.valid, 4);
	io = loadfile_io(f);
	while ((n = io.read(io.ctx, buf + done, 7)) > 0) /* in pieces */
		done += (size_t)n;
	ck_assert_int_eq(n, 0);
	same("saved-file", buf, done, golden.b + c->passes_at, c->state_at - c->passes_at);
	ck_assert_msg(loadfile_state(f, &fd, &err) == 0, "%s", err.text);
	load("state", &state);
	n = pread(fd, buf, sizeof(buf), 0);
	same("state", buf, (size_t)n, state.b + WIRE_HDR_SIZE, state.len - WIRE_HDR_SIZE);
	close(fd);
	loadfile_free(f);
}
END_TEST

/* -- what is not -- */

START_TEST(cut_at_any_byte_is_refused)
{
	for (size_t n = 0; n < golden.len; n++)
		refused(golden.b, n, -EBADMSG, "is no whole saved guest: at byte ");
}
END_TEST

START_TEST(any_byte_changed_is_refused)
{
	static const uint8_t changes[] = {0x01, 0x80, 0xff};
	struct loadfile *f = NULL;

	for (size_t i = 0; i < golden.len; i++) {
		for (unsigned k = 0; k < sizeof(changes); k++) {
			struct err err = {0};
			int r;

			golden.b[i] ^= changes[k];
			put(golden.b, golden.len);
			golden.b[i] ^= changes[k];
			r = loadfile_open(path, &f, &err);
			ck_assert_msg(r == -EBADMSG || r == -EOPNOTSUPP, "byte %zu ^ %02x: %d, %s",
				i, changes[k], r, err.text);
		}
	}
}
END_TEST

START_TEST(anything_after_its_end_is_refused)
{
	for (size_t n = 1; n < 2 * WIRE_HDR_SIZE; n++)
		refused(golden.b, golden.len + n, -EBADMSG, "something follows its end record");
}
END_TEST

/* What the digest alone cannot tell: somebody who can compute it wrote the file. */
START_TEST(signed_but_out_of_order_is_refused)
{
	for (unsigned i = 0; i + 1 < n_frames; i++) {
		struct bytes s = {.len = 0};

		/* without frame i */
		memcpy(s.b, golden.b, frame[i]);
		memcpy(s.b + frame[i], golden.b + frame[i + 1], golden.len - frame[i + 1]);
		s.len = golden.len - (frame[i + 1] - frame[i]);
		sign(&s);
		refused(s.b, s.len, -EBADMSG, "is no whole saved guest: at byte ");
		/* frame i twice */
		memcpy(s.b, golden.b, frame[i + 1]);
		memcpy(s.b + frame[i + 1], golden.b + frame[i], golden.len - frame[i]);
		s.len = golden.len + (frame[i + 1] - frame[i]);
		sign(&s);
		refused(s.b, s.len, -EBADMSG, "is no whole saved guest: at byte ");
	}
}
END_TEST

/* A value at an offset of a frame, and the file signed anew. */
struct lie {
	unsigned frame;
	size_t at;
	unsigned width;
	uint64_t v;
	int code;
	const char *words;
};

/* frames: 0 HEADER, 1 OPEN, 2 CHUNK, 3 PASS_END, ... 8 STATE, 9 END, 10 TRAILER */
static const struct lie lies[] = {
	{0, 4, 2, 1, -EBADMSG, "does not begin as a saved guest does"},
	{2, 4, 2, 200, -EBADMSG, "a frame of type 200, which is none, where CHUNK or PASS_END"},
	{0, 8, 8, 0, -EBADMSG, "does not begin as a saved guest does"},
	{0, 16, 2, 2, -EOPNOTSUPP, "it is of version 2, this program reads version 1"},
	{0, 18, 8, 1, -EOPNOTSUPP, "it needs features 0x1"},
	{1, 6, 2, 1, -EBADMSG, "a OPEN frame with flags 0x0001"},
	{1, 0, 4, 0xffffffff, -EBADMSG, "a OPEN frame of 4294967295 bytes, 4096 are the most"},
	{1, 45, 1, 2, -EBADMSG, "a malformed OPEN frame"}, /* BookE has a geometry */
	{1, 46, 1, 17, -EBADMSG, "a malformed OPEN frame"},
	{1, 47, 1, 1, -EBADMSG, "codec 0 where chunk 1 with codec 1 is expected"},
	{1, 47, 1, 3, -EBADMSG, "a malformed OPEN frame"},
	{1, 48, 1, 2, -EOPNOTSUPP, "2 channels"},
	{1, 57, 4, 1, -EOPNOTSUPP, "flags 0x1"},
	{2, 0, 4, 270361, -EBADMSG, "a CHUNK frame of 270361 bytes, 270360 are the most"},
	{2, 8, 1, 2, -EBADMSG, "CHUNK of stream 2"},
	{2, 9, 1, 1, -EBADMSG, "with codec 1"},
	{2, 12, 4, 2, -EBADMSG, "generation 2"},
	{2, 16, 4, 2, -EBADMSG, "pass 2 where"},
	{2, 20, 4, 0x47, -EBADMSG, "a malformed CHUNK frame"},
	{2, 24, 8, 2, -EBADMSG, "chunk 2 with codec 0 where chunk 1"},
	{2, 32, 4, 0xffffffff, -EBADMSG, "record 1 of chunk 1: a record reaches past the end"},
	{2, 72, 4, 0x4000, -EBADMSG, "record 2 of chunk 1: a record reaches past the end"},
	{2, 76, 2, 9, -EBADMSG, "record 2 of chunk 1: a record's entries are cut short"},
	{2, 96, 8, 0, -EBADMSG, "record 3 of chunk 1: a record holds no entries"},
	{3, 20, 8, 7, -EBADMSG, "PASS_END says that chunk 7 was the last, chunk 1 was"},
	{8, 12, 4, 0xffffff, -EBADMSG, "a END frame where STATE is expected"},
	{9, 8, 8, 7, -EBADMSG, "END is of another session than OPEN"},
	{9, 24, 4, 2, -EBADMSG, "a malformed END frame"}, /* generation */
	{9, 28, 4, 4, -EBADMSG, "END counts 4 passes"},
	{9, 40, 8, 5, -EBADMSG, "5 valid"},
	{9, 48, 8, 1, -EBADMSG, "and 1 invalid"},
	{9, 76, 8, 4, -EBADMSG, "4 chunks"},
	{9, 56, 8, 1, -EBADMSG, "1 bytes of state"},
	{9, 64, 8, 1, -EBADMSG, "END's digest of the machine state"},
	{9, 84, 8, 1, -EBADMSG, "END's digest of the table"},
};
#define LIES ((int)(sizeof(lies) / sizeof(lies[0])))

/*
 * protocol.md 19: "A reader refuses a file that has another order, a record or an element that is
 * cut, an END whose counts or digests are not those of what is there, another length, another
 * SHA-256, a version or features that it does not know"
 */
START_TEST(signed_lie_is_refused)
{
	const struct lie *l = &lies[_i];
	uint8_t *p = golden.b + frame[l->frame] + l->at;

	switch (l->width) {
	case 1: *p = (uint8_t)l->v; break;
	case 2: be16_put(p, (uint16_t)l->v); break;
	case 4: be32_put(p, (uint32_t)l->v); break;
	default: be64_put(p, l->v); break;
	}
	sign(&golden);
	refused(golden.b, golden.len, l->code, l->words);
}
END_TEST

START_TEST(wrong_digest_or_length_is_said)
{
	golden.b[golden.len - 1] ^= 1;
	refused(golden.b, golden.len, -EBADMSG, "its SHA-256 is not the one");
	golden.b[golden.len - 1] ^= 1;
	be64_put(golden.b + golden.len - 40, golden.len + 1);
	refused(golden.b, golden.len, -EBADMSG, "bytes when it was saved, and ends after");
}
END_TEST

/* n bytes more in a frame, at its end, or a frame more, of zeros but for its header. */
static void insert(struct bytes *s, size_t at, size_t n)
{
	memmove(s->b + at + n, s->b + at, s->len - at);
	memset(s->b + at, 0, n);
	s->len += n;
}

/* frames: 8 STATE, 9 END, 10 TRAILER */
START_TEST(signed_frame_of_another_length_is_refused)
{
	struct bytes s = golden;
	struct file_trailer t;

	/* END of two channels, the second with what it has to say */
	insert(&s, frame[10], 16);
	be32_put(s.b + frame[9], 100);
	be32_put(s.b + frame[9] + WIRE_HDR_SIZE + 64, 2);
	sign(&s);
	refused(s.b, s.len, -EBADMSG, "a malformed END frame");
	/* an empty STATE, behind the others */
	s = golden;
	insert(&s, frame[9], WIRE_HDR_SIZE);
	be16_put(s.b + frame[9] + 4, WIRE_STATE);
	sign(&s);
	refused(s.b, s.len, -EBADMSG, "an empty STATE frame");
	/* TRAILER itself, which nothing signs */
	for (size_t n = 0; n <= 41; n++)
		ck_assert_int_eq(file_unpack_trailer(golden.b + frame[10] + WIRE_HDR_SIZE, n, &t),
			n == 40 ? 0 : -EBADMSG);
}
END_TEST

/* A payload that its codec cannot take apart. */
START_TEST(signed_payload_that_is_no_codecs_is_refused)
{
	for (uint8_t codec = WIRE_CODEC_ZSTD; codec <= WIRE_CODEC_HPTE; codec++) {
		golden.b[frame[1] + 47] = codec;
		golden.b[frame[2] + 9] = codec;
		sign(&golden);
		refused(golden.b, golden.len, -EBADMSG, "cannot be decoded");
	}
}
END_TEST

/* protocol.md 1: "67,108,864 | bytes of a state image" */
START_TEST(state_of_more_than_the_limit_is_refused)
{
	struct file_check c;
	const uint8_t *p = golden.b;

	for (unsigned over = 0; over < 2; over++) {
		file_check_init(&c);
		for (unsigned i = 0; i < 8; i++) {
			ck_assert_int_eq(file_check_frame(&c, p + frame[i]), 0);
			if (file_check_body(&c, p + frame[i] + WIRE_HDR_SIZE) == 1)
				ck_assert_int_eq(file_check_records(&c, c.payload), 0);
		}
		ck_assert_int_eq(file_check_frame(&c, p + frame[8]), 0);
		c.state_size = STATE_IMAGE_MAX - c.body + over;
		ck_assert_int_eq(
			file_check_body(&c, p + frame[8] + WIRE_HDR_SIZE), over ? -EBADMSG : 0);
	}
}
END_TEST

/* protocol.md 19: "name | str | 0 to 255 bytes; of the daemon, for people" */
START_TEST(header_has_its_limits)
{
	struct file_header m = {.version = FILE_VERSION, .saved_ns = 1}, back;
	uint8_t buf[1024];
	int n;

	memset(m.name, 'x', WIRE_NAME_MAX - 1);
	n = file_pack_header(&m, buf, sizeof(buf));
	ck_assert_int_gt(n, WIRE_HDR_SIZE);
	ck_assert_int_eq(
		file_unpack_header(buf + WIRE_HDR_SIZE, (size_t)n - WIRE_HDR_SIZE, &back), 0);
	ck_assert_str_eq(back.name, m.name);
	/* one more byte, which is there */
	be16_put(buf + WIRE_HDR_SIZE + 26, WIRE_NAME_MAX);
	buf[n] = 'x';
	ck_assert_int_eq(
		file_unpack_header(buf + WIRE_HDR_SIZE, (size_t)n + 1 - WIRE_HDR_SIZE, &back),
		-EBADMSG);
	/* one less: a byte is left over, or a NUL within */
	be16_put(buf + WIRE_HDR_SIZE + 26, WIRE_NAME_MAX - 2);
	ck_assert_int_eq(file_unpack_header(buf + WIRE_HDR_SIZE, (size_t)n - WIRE_HDR_SIZE, &back),
		-EBADMSG);
	be16_put(buf + WIRE_HDR_SIZE + 26, WIRE_NAME_MAX - 1);
	buf[n - 1] = 0;
	ck_assert_int_eq(file_unpack_header(buf + WIRE_HDR_SIZE, (size_t)n - WIRE_HDR_SIZE, &back),
		-EBADMSG);
}
END_TEST

/* -- what changes between the two readings -- */

static struct loadfile *judged(void)
{
	struct loadfile *f = NULL;
	struct err err = {0};

	put(golden.b, golden.len);
	ck_assert_msg(loadfile_open(path, &f, &err) == 0, "%s", err.text);
	return f;
}

/* The second reading to its end: 0 or -errno. */
static int read_on(struct loadfile *f, struct err *err)
{
	struct flow_io io = loadfile_io(f);
	uint8_t buf[BYTES_MAX];
	int fd = -1, r;
	ssize_t n;

	while ((n = io.read(io.ctx, buf, sizeof(buf))) > 0)
		;
	if (n < 0) {
		err_set(err, (int)n, "%s", io.error(io.ctx));
		r = (int)n;
	} else {
		r = loadfile_state(f, &fd, err);
	}
	ck_assert_msg(r == 0 || fd == -1, "a state in spite of an error");
	if (fd >= 0)
		close(fd);
	loadfile_free(f);
	return r;
}

/*
 * protocol.md 19: "What is read again MUST be compared with the digest again before the guest can
 * run."
 */
START_TEST(changed_after_it_was_judged_is_refused)
{
	for (size_t i = 0; i < golden.len; i++) {
		struct loadfile *f = judged();
		struct err err = {0};
		uint8_t other = golden.b[i] ^ 0x10;
		int fd = open(path, O_WRONLY | O_CLOEXEC);

		ck_assert_int_eq(pwrite(fd, &other, 1, (off_t)i), 1);
		close(fd);
		/* its last bytes are the digest, which was kept */
		if (i < golden.len - FILE_SHA256_SIZE)
			ck_assert_msg(read_on(f, &err) == -EBADMSG, "byte %zu: %s", i, err.text);
		else
			ck_assert_msg(read_on(f, &err) == 0, "byte %zu: %s", i, err.text);
	}
}
END_TEST

START_TEST(shrunk_or_grown_after_it_was_judged_is_refused)
{
	for (size_t n = 0; n < golden.len + 3; n++) {
		struct loadfile *f = judged();
		struct err err = {0};

		ck_assert_int_eq(truncate(path, (off_t)n), 0);
		if (n == golden.len)
			ck_assert_msg(read_on(f, &err) == 0, "%s", err.text);
		else
			ck_assert_msg(read_on(f, &err) == -EBADMSG, "%zu bytes", n);
	}
}
END_TEST

/* -- which session -- */

START_TEST(file_of_a_session_is_known)
{
	struct session_id other = {{1}};
	struct err err = {0};
	char missing[sizeof(dir) + 16];

	put(golden.b, golden.len);
	ck_assert_int_eq(loadfile_is(path, &session, &place, &err), 1);
	ck_assert_int_eq(loadfile_is(path, &other, &place, &err), 0);
	put(golden.b, golden.len - 1);
	ck_assert_int_eq(loadfile_is(path, &session, &place, &err), 0);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(loadfile_is(path, &session, &place, &err), 0);
	ck_assert_int_eq(symlink("away", path), 0); /* to what is not there now */
	ck_assert_int_eq(loadfile_is(path, &session, &place, &err), -ENOENT);
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink(path, path), 0);
	ck_assert_int_eq(loadfile_is(path, &session, &place, &err), -ELOOP);
	ck_assert_int_eq(unlink(path), 0);
	/* a directory that is not there may be a disk that is not mounted */
	snprintf(missing, sizeof(missing), "%s/none/guest", dir);
	ck_assert_int_eq(loadfile_is(missing, &session, &place, &err), -ENOENT);
}
END_TEST

/* Another directory without the file may be the mount point of a disk that is away. */
START_TEST(another_directory_tells_nothing)
{
	struct dir_place others[3] = {place, place, place};
	struct err err = {0};

	others[0].fsid++;
	others[1].dev++;
	others[2].ino++;
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(loadfile_is(path, &session, &others[i], &err), -ESTALE);
		ck_assert_ptr_nonnull(strstr(err.text, "mount its file system"));
		ck_assert_int_eq(savefile_sweep(path, &session, &others[i], &err), -ESTALE);
		put(golden.b, golden.len - 1);
		ck_assert_int_eq(loadfile_is(path, &session, &others[i], &err), -ESTALE);
		put(golden.b, golden.len); /* it is there, wherever that is */
		ck_assert_int_eq(loadfile_is(path, &session, &others[i], &err), 1);
		ck_assert_int_eq(unlink(path), 0);
	}
}
END_TEST

/* -- where it is written -- */

static int try_create(struct err *err)
{
	struct savefile *f = NULL;
	int r = savefile_create(path, &session, &f, err);

	if (r == 0) {
		savefile_abandon(f);
		savefile_free(f);
	}
	return r;
}

/* Neither is it saved there nor loaded from there, nor does anything wait for its other end. */
static void is_no_place(const char *words)
{
	struct loadfile *f = NULL;
	struct err err = {0};
	struct stat before, after;

	ck_assert_int_eq(lstat(path, &before), 0);
	ck_assert_int_eq(try_create(&err), -EEXIST);
	ck_assert_msg(strstr(err.text, words) != NULL, "%s", err.text);
	ck_assert_int_eq(loadfile_open(path, &f, &err) < 0, 1);
	ck_assert_int_eq(lstat(path, &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	ck_assert_uint_eq(files(), 1);
	ck_assert_int_eq(remove(path), 0);
}

/* -- what is judged before it is published -- */

static struct savefile *write_golden(void)
{
	struct savefile *f = NULL;
	struct err err = {0};

	ck_assert_msg(savefile_create(path, &session, &f, &err) == 0, "%s", err.text);
	ck_assert_int_eq(savefile_write(f, golden.b, frame[n_frames - 1], &err), 0);
	ck_assert_int_eq(savefile_finish(f, &err), 0);
	return f;
}

START_TEST(what_can_be_loaded_is_published)
{
	struct savefile *f = write_golden();
	struct err err = {0};

	ck_assert_msg(savefile_judge(f, &session, &err) == 0, "%s", err.text);
	ck_assert_int_eq(savefile_publish(f, false, &err), 1);
	savefile_free(f);
	ck_assert_uint_eq(files(), 1);
}
END_TEST

/* Written so, digest and all. */
START_TEST(lie_is_found_before_it_is_published)
{
	const struct lie *l = &lies[_i];
	uint8_t *p = golden.b + frame[l->frame] + l->at;
	struct savefile *f;
	struct err err = {0};

	switch (l->width) {
	case 1: *p = (uint8_t)l->v; break;
	case 2: be16_put(p, (uint16_t)l->v); break;
	case 4: be32_put(p, (uint32_t)l->v); break;
	default: be64_put(p, l->v); break;
	}
	f = write_golden();
	ck_assert_int_eq(savefile_judge(f, &session, &err), l->code);
	ck_assert_msg(strstr(err.text, l->words) && strstr(err.text, path), "%s", err.text);
	savefile_abandon(f);
	savefile_free(f);
	ck_assert_uint_eq(files(), 0);
}
END_TEST

START_TEST(other_session_is_found_before_it_is_published)
{
	const struct session_id other = {{9}};
	struct savefile *f = write_golden();
	struct err err = {0};

	ck_assert_int_eq(savefile_judge(f, &other, &err), -EBADMSG);
	ck_assert_msg(strstr(err.text, "another session"), "%s", err.text);
	savefile_abandon(f);
	savefile_free(f);
}
END_TEST

START_TEST(what_is_left_has_a_name)
{
	struct savefile *f = NULL;
	struct err err = {0};
	const char *name;

	ck_assert_int_eq(savefile_create(path, &session, &f, &err), 0);
	ck_assert_ptr_null(savefile_leave(f)); /* nothing is whole */
	savefile_abandon(f);
	savefile_free(f);
	ck_assert_uint_eq(files(), 0);

	f = write_golden();
	name = savefile_leave(f);
	ck_assert_ptr_nonnull(name);
	ck_assert_str_eq(name, savefile_leave(f));
	savefile_abandon(f);
	ck_assert_uint_eq(files(), 1);
	ck_assert_int_eq(access(path, F_OK), -1);
	savefile_free(f);
}
END_TEST

START_TEST(only_a_regular_file_is_a_place)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ck_assert_int_eq(mkfifo(path, 0600), 0);
	is_no_place("is a FIFO: a guest is saved in a regular file");
	ck_assert_int_eq(mkdir(path, 0700), 0);
	is_no_place("is a directory");
	ck_assert_int_eq(symlink("/dev/null", path), 0);
	is_no_place("is a symbolic link");
	snprintf(un.sun_path, sizeof(un.sun_path), "%.100s", path);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	close(fd);
	is_no_place("is a socket");
	snprintf(path, sizeof(path), "/dev/null");
	ck_assert_int_eq(try_create(&(struct err){0}), -EEXIST);
}
END_TEST

START_TEST(path_has_to_name_a_file)
{
	static const struct {
		const char *path;
		int code;
		const char *words;
	} paths[] = {
		{"guest", -EINVAL, "'guest' is no absolute path"},
		{"/tmp/", -EINVAL, "names a directory"},
		{"/tmp/..", -EINVAL, "names a directory"},
		{"/no/such/place/guest", -ENOENT,
			"cannot open the directory of /no/such/place/guest"},
		{"/dev/null/guest", -ENOTDIR, "cannot open the directory"},
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct loadfile *f = NULL;
		struct err err = {0};

		snprintf(path, sizeof(path), "%s", paths[i].path);
		ck_assert_int_eq(try_create(&err), paths[i].code);
		ck_assert_msg(strstr(err.text, paths[i].words) != NULL, "%s", err.text);
		ck_assert_int_eq(loadfile_open(path, &f, &err), paths[i].code);
		ck_assert_msg(strstr(err.text, paths[i].words) != NULL, "%s", err.text);
	}
	snprintf(path, sizeof(path), "/tmp/%0220d", 1);
	ck_assert_int_eq(try_create(&(struct err){0}), -ENAMETOOLONG);
}
END_TEST

static struct savefile *written(void)
{
	struct savefile *f = NULL;
	struct err err = {0};

	ck_assert_msg(savefile_create(path, &session, &f, &err) == 0, "%s", err.text);
	ck_assert_int_eq(savefile_write(f, golden.b, frame[n_frames - 1], &err), 0);
	return f;
}

/* What stood there stays whole until the very end; what is given up leaves nothing. */
START_TEST(old_file_stays_until_the_new_one_is_whole)
{
	struct err err = {0};
	struct savefile *f;
	struct stat st;

	put("old", 3);
	f = written();
	savefile_abandon(f);
	savefile_free(f);
	ck_assert_uint_eq(files(), 1);

	f = written();
	ck_assert_int_eq(savefile_finish(f, &err), 0);
	ck_assert_uint_eq(files(), 2); /* under its temporary name */
	savefile_abandon(f);
	savefile_free(f);
	ck_assert_uint_eq(files(), 1);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, 3);

	f = written();
	ck_assert_int_eq(savefile_finish(f, &err), 0);
	ck_assert_int_eq(savefile_publish(f, false, &err), 1);
	savefile_free(f);
	ck_assert_uint_eq(files(), 1);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_size, (off_t)golden.len);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
}
END_TEST

/* A daemon that died left it; a later one takes the guest back. */
START_TEST(what_a_dead_daemon_left_is_swept_away)
{
	struct session_id other = {{1}};
	struct err err = {0};
	struct savefile *f = written();

	ck_assert_int_eq(savefile_finish(f, &err), 0);
	ck_assert_int_eq(savefile_sweep(path, &other, &place, &err), 0);
	ck_assert_uint_eq(files(), 1);
	ck_assert_int_eq(savefile_sweep(path, &session, &place, &err), 0);
	ck_assert_uint_eq(files(), 0);
	ck_assert_int_eq(savefile_publish(f, false, &err), 0);
	ck_assert_int_eq(err.code, -ENOENT);
	savefile_abandon(f);
	savefile_free(f);
}
END_TEST

/* Something else came to be at the path while the guest was saved. */
START_TEST(place_is_looked_at_again)
{
	struct err err = {0};
	struct savefile *f = written();

	ck_assert_int_eq(savefile_finish(f, &err), 0);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	ck_assert_int_eq(savefile_publish(f, false, &err), 0);
	ck_assert_int_eq(err.code, -EEXIST);
	savefile_abandon(f);
	savefile_free(f);
	ck_assert_uint_eq(files(), 1);
}
END_TEST

/* As a full disk does it: a short write first, then an error, in any of the bytes. */
START_TEST(file_that_cannot_grow_is_given_up)
{
	struct rlimit all, some;

	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &all), 0);
	for (size_t n = 0; n < golden.len; n += 13) {
		struct err err = {0};
		struct savefile *f = NULL;
		int r;

		ck_assert_int_eq(savefile_create(path, &session, &f, &err), 0);
		some = (struct rlimit){n, all.rlim_max};
		ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &some), 0);
		r = savefile_write(f, golden.b, frame[n_frames - 1], &err);
		if (r == 0)
			r = savefile_finish(f, &err);
		ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &all), 0);
		ck_assert_int_eq(r, -EFBIG);
		ck_assert_msg(strstr(err.text, "File too large: larger files are not allowed") &&
				strstr(err.text, path),
			"%s", err.text);
		savefile_abandon(f);
		savefile_free(f);
		ck_assert_uint_eq(files(), 0);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("savefile");
	TCase *t = tcase_create("savefile");
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	tcase_add_checked_fixture(t, begin, end);
	tcase_add_test(t, what_is_written_is_the_golden_file);
	tcase_add_test(t, golden_file_is_read_twice);
	tcase_add_test(t, cut_at_any_byte_is_refused);
	tcase_add_test(t, any_byte_changed_is_refused);
	tcase_add_test(t, anything_after_its_end_is_refused);
	tcase_add_test(t, signed_but_out_of_order_is_refused);
	tcase_add_loop_test(t, signed_lie_is_refused, 0, LIES);
	tcase_add_test(t, wrong_digest_or_length_is_said);
	tcase_add_test(t, header_has_its_limits);
	tcase_add_test(t, signed_frame_of_another_length_is_refused);
	tcase_add_test(t, signed_payload_that_is_no_codecs_is_refused);
	tcase_add_test(t, state_of_more_than_the_limit_is_refused);
	tcase_add_test(t, changed_after_it_was_judged_is_refused);
	tcase_add_test(t, shrunk_or_grown_after_it_was_judged_is_refused);
	tcase_add_test(t, file_of_a_session_is_known);
	tcase_add_test(t, another_directory_tells_nothing);
	tcase_add_test(t, what_can_be_loaded_is_published);
	tcase_add_loop_test(t, lie_is_found_before_it_is_published, 0, LIES);
	tcase_add_test(t, other_session_is_found_before_it_is_published);
	tcase_add_test(t, what_is_left_has_a_name);
	tcase_add_test(t, only_a_regular_file_is_a_place);
	tcase_add_test(t, path_has_to_name_a_file);
	tcase_add_test(t, old_file_stays_until_the_new_one_is_whole);
	tcase_add_test(t, what_a_dead_daemon_left_is_swept_away);
	tcase_add_test(t, place_is_looked_at_again);
	tcase_add_test(t, file_that_cannot_grow_is_given_up);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
