/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bench-stages none|hpte ORDER: a table's way from one end to the other, once, a function for each
 * stage, so that callgrind(1) can tell them apart. The same functions that the daemon's threads
 * call, in one thread; of TLS its cipher alone. Prints the number of entries.
 */
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/codec.h"
#include "tests/bench/benchlib.h"
#include "tools/bench/table.h"
#include "vmm/swhpt/swhpt.h"

#define STAGE __attribute__((noinline)) static

struct way {
	uint64_t entries, reached;
	struct swhpt_fd *from, *to;
	struct codec *enc, *dec;
	uint64_t digest[2];
	EVP_CIPHER_CTX *seal, *open;
	uint8_t *sealed;
};

STAGE size_t stage_read(struct way *w, uint8_t *buf)
{
	ssize_t n = swhpt_read(w->from, buf, WIRE_PLAIN_MAX);

	if (n < 0)
		bench_die("the table cannot be read");
	return (size_t)n;
}

STAGE void stage_check(struct way *w, uint8_t *buf, size_t n)
{
	struct htab_count c;
	const char *why;

	if (htab_check_convert(
		    HTAB_HPT, buf, n, w->entries, HTAB_HOST, HTAB_WIRE, w->reached, &c, &why) < 0)
		bench_die("%s", why);
	w->reached = c.end;
}

STAGE void stage_digest(struct way *w, int end, const uint8_t *buf, size_t n)
{
	w->digest[end] = stream_digest(w->digest[end], buf, n);
}

STAGE size_t stage_encode(struct way *w, const uint8_t *buf, size_t n, uint8_t *payload)
{
	size_t len;

	if (codec_encode(w->enc, buf, n, payload, &len) < 0)
		bench_die("a chunk is not encoded");
	return len;
}

/* What TLS 1.3 does to bytes: AES-256-GCM. Records and their nonces cost next to nothing. */
STAGE void stage_encrypt(struct way *w, const uint8_t *buf, size_t n)
{
	int len;

	if (EVP_EncryptUpdate(w->seal, w->sealed, &len, buf, (int)n) != 1)
		bench_die("AES-256-GCM fails");
}

STAGE void stage_decrypt(struct way *w, uint8_t *buf, size_t n)
{
	int len;

	if (EVP_DecryptUpdate(w->open, buf, &len, w->sealed, (int)n) != 1)
		bench_die("AES-256-GCM fails");
}

STAGE void stage_decode(struct way *w, const uint8_t *payload, size_t len, uint8_t *buf, size_t n)
{
	if (codec_decode(w->dec, payload, len, buf, n) < 0)
		bench_die("a chunk is not decoded");
}

STAGE void stage_check_again(struct way *w, uint8_t *buf, size_t n)
{
	struct htab_count c;
	const char *why;

	if (htab_check_convert(HTAB_HPT, buf, n, w->entries, HTAB_WIRE, HTAB_HOST, HTAB_UNORDERED,
		    &c, &why) < 0)
		bench_die("%s", why);
}

STAGE void stage_write(struct way *w, const uint8_t *buf, size_t n)
{
	if (swhpt_write_records(w->to, buf, n) != (ssize_t)n)
		bench_die("a record is not written");
}

static void one_codec(struct way *w, enum wire_codec codec, unsigned order)
{
	static const uint8_t zero[32];

	w->seal = EVP_CIPHER_CTX_new();
	w->open = EVP_CIPHER_CTX_new();
	if (codec_new(codec, order, &w->enc) < 0 || codec_new(codec, order, &w->dec) < 0 ||
		!w->seal || !w->open ||
		EVP_EncryptInit_ex(w->seal, EVP_aes_256_gcm(), NULL, zero, zero) != 1 ||
		EVP_DecryptInit_ex(w->open, EVP_aes_256_gcm(), NULL, zero, zero) != 1)
		bench_die("no workspace");
}

int main(int argc, char **argv)
{
	char a[BENCH_DIGEST_TEXT], b[BENCH_DIGEST_TEXT];
	struct way w = {.digest = {STREAM_DIGEST_INIT, STREAM_DIGEST_INIT}};
	struct bench_table *from, *to;
	uint64_t valid;
	uint8_t *buf = malloc(WIRE_PLAIN_MAX), *payload = buf;
	enum wire_codec codec = WIRE_CODEC_HPTE;
	struct err err;
	unsigned order;

	if (argc == 3 && strcmp(argv[1], "none") != 0)
		payload = malloc(codec_bound(WIRE_CODEC_HPTE, WIRE_PLAIN_MAX));
	if (argc != 3 || !buf || !payload)
		bench_die("usage: bench-stages none|hpte ORDER");
	if (strcmp(argv[1], "none") == 0)
		codec = WIRE_CODEC_NONE;
	order = (unsigned)bench_arg(argv[2], 32);
	w.entries = htab_entries(order);
	w.sealed = malloc(2 * WIRE_PLAIN_MAX);
	if (!w.sealed || bench_table_generate(HPTGEN_LINUX, order, 0, &from, &err) < 0 ||
		bench_table_new(order, 0, &to, &err) < 0 ||
		swhpt_open(bench_table_hpt(from), 0, 0, &w.from) < 0 ||
		swhpt_open(bench_table_hpt(to), HTAB_FD_WRITE, 0, &w.to) < 0)
		bench_die("no table of order %u", order);
	one_codec(&w, codec, order);
	while (w.reached < w.entries) {
		size_t n = stage_read(&w, buf), len;

		stage_check(&w, buf, n);
		stage_digest(&w, 0, buf, n);
		len = stage_encode(&w, buf, n, payload);
		stage_encrypt(&w, payload, len);
		stage_decrypt(&w, payload, len);
		stage_decode(&w, payload, len, buf, n);
		stage_digest(&w, 1, buf, n);
		stage_check_again(&w, buf, n);
		stage_write(&w, buf, n);
	}
	swhpt_close(w.from);
	swhpt_close(w.to);
	if (w.digest[0] != w.digest[1] || bench_table_digest(from, a, &valid, &err) < 0 ||
		bench_table_digest(to, b, &valid, &err) < 0 || strcmp(a, b) != 0)
		bench_die("the tables differ");
	printf("{\"valid\":%" PRIu64 ",\"entries\":%" PRIu64 "}\n", valid, w.entries);
	codec_free(w.enc);
	codec_free(w.dec);
	EVP_CIPHER_CTX_free(w.seal);
	EVP_CIPHER_CTX_free(w.open);
	bench_table_free(from);
	bench_table_free(to);
	free(w.sealed);
	if (payload != buf)
		free(payload);
	free(buf);
	return 0;
}
