/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What senders and receivers use: the token bucket, and the codecs by name. */
#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/codec.h"
#include "daemon/flow/bucket.h"

START_TEST(bucket_keeps_the_rate)
{
	static const uint64_t frames[] = {40, 4096, 40000, 1000000, 5000000};
	const uint64_t rate = 1000000, begin = 12345;
	struct bucket b = {.last = begin};
	uint64_t t = begin, sent = 0, delay, frame = frames[_i];

	ck_assert_uint_eq(bucket_take(&b, 1u << 30, t), 0); /* no limit */
	bucket_set_rate(&b, rate, t);
	while (t < 30 * NS_PER_SEC) {
		delay = bucket_take(&b, frame, t);
		if (delay) {
			t += delay;
			continue;
		}
		sent += frame;
		/* at the end of each frame, however large it is and from the first one on */
		ck_assert_uint_le(sent, (t - begin) * rate / NS_PER_SEC + rate / 20 + 1);
	}
	ck_assert_uint_ge(sent, 29 * rate - frame);
}
END_TEST

/* A wait of hours is over at once at a higher rate; nothing is saved up beyond a 20th second. */
START_TEST(bucket_changes_its_rate)
{
	struct bucket b = {.last = 1};
	uint64_t t = 1;

	bucket_set_rate(&b, 1, t);
	ck_assert_uint_gt(bucket_take(&b, 40000, t), NS_PER_SEC * 1000);
	bucket_set_rate(&b, 10000000000, t);
	ck_assert_uint_lt(bucket_take(&b, 40000, t), NS_PER_MS);
	bucket_set_rate(&b, 0, t);
	ck_assert_uint_eq(bucket_take(&b, 40000, t), 0);
	bucket_set_rate(&b, 1000000, t);
	t += 100 * NS_PER_SEC;
	ck_assert_uint_eq(bucket_take(&b, 50000, t), 0);
	ck_assert_uint_gt(bucket_take(&b, 50000, t), 0);
}
END_TEST

/* Several channels' senders share one: each reads its clock before it has the lock. */
START_TEST(bucket_of_clocks_that_overtake)
{
	const uint64_t rate = 1000000, begin = 12345;
	struct bucket b = {.last = begin};
	uint64_t t = begin, sent = 0;

	bucket_set_rate(&b, rate, t);
	while (t < 10 * NS_PER_SEC) {
		t += NS_PER_MS;
		sent += bucket_take(&b, 1000, t) ? 0 : 1000;
		sent += bucket_take(&b, 1000, t - NS_PER_MS / 2) ? 0 : 1000;
	}
	ck_assert_uint_le(sent, (t - begin) * rate / NS_PER_SEC + rate / 20 + 1);
	bucket_set_rate(&b, rate, t - NS_PER_SEC);
	bucket_take(&b, rate / 20, t);
	ck_assert_uint_gt(bucket_take(&b, rate / 20, t), 0);
}
END_TEST

/* protocol.md 6.6: "1 | ZSTD | one zstd frame (RFC 8878) of them" */
START_TEST(zstd_is_one_frame)
{
	uint8_t plain[200], coded[1024], back[200];
	struct codec *c = NULL;
	size_t n, m;

	for (size_t i = 0; i < sizeof(plain); i++)
		plain[i] = (uint8_t)i;
	ck_assert_int_eq(codec_new(WIRE_CODEC_ZSTD, 18, &c), 0);
	ck_assert_int_eq(codec_encode(c, plain, 100, coded, &n), 0);
	ck_assert_int_eq(codec_encode(c, plain + 100, 100, coded + n, &m), 0);
	ck_assert_int_eq(codec_decode(c, coded, n, back, 100), 0);
	ck_assert_int_eq(codec_decode(c, coded, n + m, back, 200), -EBADMSG);
	coded[n] = 0; /* a byte more */
	ck_assert_int_eq(codec_decode(c, coded, n + 1, back, 100), -EBADMSG);
	ck_assert_int_eq(codec_decode(c, coded, n - 1, back, 100), -EBADMSG);
	/* a frame to be skipped, before and behind */
	memmove(coded + 8, coded, n);
	memcpy(coded, "\x50\x2a\x4d\x18\0\0\0\0", 8);
	ck_assert_int_eq(codec_decode(c, coded, n + 8, back, 100), -EBADMSG);
	codec_free(c);
}
END_TEST

/* protocol.md 6.2: "A payload that does not decode to exactly `plain` bytes is refused." */
START_TEST(codecs_of_this_build)
{
	static uint8_t buf[WIRE_CHUNK_MAX], want[WIRE_PLAIN_MAX], back[WIRE_PLAIN_MAX];
	const size_t sizes[] = {1, 24, 4096, WIRE_PLAIN_MAX};
	struct codec *c = NULL;
	uint32_t noise = 1;
	size_t len;

	ck_assert(!codec_known((enum wire_codec)99));
	ck_assert_int_eq(codec_new((enum wire_codec)99, 18, &c), -EOPNOTSUPP);
	for (size_t i = 0; i < sizeof(want); i++) /* none can make it shorter */
		want[i] = (uint8_t)((noise = noise * 1664525 + 1013904223) >> 24);
	for (enum wire_codec codec = WIRE_CODEC_NONE; codec <= WIRE_CODEC_HPTE; codec++) {
		ck_assert(codec_known(codec));
		ck_assert_int_eq(codec_new(codec, 18, &c), 0);
		for (unsigned i = 0; i < 4; i++) {
			ck_assert_int_eq(codec_encode(c, want, sizes[i], buf, &len), 0);
			ck_assert_uint_le(len, codec_bound(codec, sizes[i]));
			ck_assert_uint_le(
				codec_bound(codec, sizes[i]), WIRE_CHUNK_MAX - WIRE_CHUNK_HDR);
			ck_assert_int_eq(codec_decode(c, buf, len, back, sizes[i]), 0);
			ck_assert_mem_eq(back, want, sizes[i]);
			ck_assert_int_eq(codec_decode(c, buf, len, back, sizes[i] + 1), -EBADMSG);
		}
		c = codec_free(c);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("flow-parts");
	TCase *tc = tcase_create("flow-parts");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, bucket_keeps_the_rate, 0, 5);
	tcase_add_test(tc, bucket_changes_its_rate);
	tcase_add_test(tc, bucket_of_clocks_that_overtake);
	tcase_add_test(tc, codecs_of_this_build);
	tcase_add_test(tc, zstd_is_one_frame);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
