/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A saved guest whose processor is another: refused by what the file's OPEN says, before the VM
 * that waits hears of it, and before its table and its state are touched.
 */
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/file.h"
#include "tests/integration/saving.h"

#define FILE_MAX (1u << 20)

static uint8_t whole[FILE_MAX];

static size_t read_whole(struct saving *s)
{
	int fd = open(s->path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, whole, sizeof(whole));

	h_check(s->h, n > 0 && n < (ssize_t)sizeof(whole), "%s has %zd bytes", s->path, n);
	close(fd);
	return (size_t)n;
}

static void write_whole(struct saving *s, const uint8_t *bytes, size_t n)
{
	int fd = open(s->path, O_WRONLY | O_CLOEXEC);

	h_check(s->h, fd >= 0 && write(fd, bytes, n) == (ssize_t)n, "cannot write %s", s->path);
	close(fd);
}

/* Where OPEN begins: behind HEADER. */
static size_t open_at(void)
{
	return WIRE_HDR_SIZE + be32_get(whole);
}

static struct wire_open get_open(struct saving *s)
{
	const uint8_t *frame = whole + open_at();
	struct wire_open o;

	h_check(s->h,
		be16_get(frame + 4) == WIRE_OPEN &&
			wire_unpack_open(frame + WIRE_HDR_SIZE, be32_get(frame), &o) == 0,
		"the file has no OPEN behind its header");
	return o;
}

/* The file with that OPEN, of the same length, and with the digest that it then has. */
static void put_open(struct saving *s, size_t n, const struct wire_open *o)
{
	static uint8_t bytes[FILE_MAX];
	size_t at = open_at(), size = WIRE_HDR_SIZE + be32_get(whole + at);

	memcpy(bytes, whole, n);
	h_check(s->h, wire_pack_open(o, bytes + at, size) == (int)size, "another length");
	h_check(s->h,
		EVP_Digest(bytes, n - FILE_SHA256_SIZE, bytes + n - FILE_SHA256_SIZE, NULL,
			EVP_sha256(), NULL) == 1,
		"no SHA-256");
	write_whole(s, bytes, n);
}

START_TEST(another_processor)
{
	struct saving s = saving_new(&(struct saving_opts){0});
	struct wire_open mine, other;
	struct guest *g;
	size_t n;

	saving_save(&s);
	saving_saved(&s);
	n = read_whole(&s);
	mine = get_open(&s);
	h_check(s.h, mine.flags & WIRE_OPEN_PROCESSOR, "the file does not tell the processor");
	g = saving_wait(&s);

	other = mine;
	other.pvr ^= 0x10000;
	put_open(&s, n, &other);
	saving_load_again(&s);
	saving_not_loaded(&s, g, "they are not compatible");

	other.compat = 0x0f000005; /* a mode helps only where KVM has one */
	put_open(&s, n, &other);
	saving_load_again(&s);
	saving_not_loaded(&s, g, "(compatibility mode 0x0f000005)");

	other = mine;
	other.vcpu_ids = 77;
	put_open(&s, n, &other);
	saving_load_again(&s);
	saving_not_loaded(&s, g, "the guest's vCPUs have other ids");

	write_whole(&s, whole, n);
	saving_load_again(&s);
	saving_loaded(&s, g);
	saving_free(&s);
}
END_TEST

int main(void)
{
	TCase *tc;
	Suite *s = harness_suite("save-open", &tc);

	harness_add(tc, another_processor);
	return harness_main(s);
}
