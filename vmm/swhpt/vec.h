/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once
/*
 * Inside swhpt*.c only: several entries at once, on an x86 with AVX2. What is done with them is
 * what the code beside does with one after the other, and where anything is unusual these say so
 * and leave it to that code, which is all there is elsewhere.
 *
 * An entry and its reverse map are pairs of doublewords, (v, r) and (forw and back, guest_r), so
 * that half a vector is an entry and masks for the two halves differ.
 */
#include "vmm/swhpt/impl.h"

/* Vectors are loads that ThreadSanitizer takes for races: it sees no single doublewords in them. */
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SWHPT_NO_VEC
#endif
#endif
#else
#define SWHPT_NO_VEC
#endif

/* Entries of a group that are present before the first that is not, by swhpt_vec_show()'s mask. */
static inline size_t swhpt_vec_run(int mask)
{
	return (size_t)__builtin_ctz(~(unsigned)mask & 0x15555) / 2;
}

#ifndef SWHPT_NO_VEC
#include <immintrin.h>

#define SWHPT_VEC __attribute__((target("avx2")))

static inline bool swhpt_vec_usable(void)
{
	return !swhpt_no_vec && __builtin_cpu_supports("avx2");
}

/* Entries and records are aligned as they are. */
SWHPT_VEC static inline __m256i swhpt_get(const void *p)
{
	return _mm256_loadu_si256(p);
}

SWHPT_VEC static inline void swhpt_put(void *p, __m256i x)
{
	_mm256_storeu_si256(p, x);
}

SWHPT_VEC static inline __m256i swhpt_load_pair(const uint64_t pair[2])
{
	return _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)pair));
}

/* The same pair twice. */
SWHPT_VEC static inline __m256i swhpt_pair(uint64_t v, uint64_t r)
{
	return _mm256_set_epi64x((long long)r, (long long)v, (long long)r, (long long)v);
}

/* v where r was, and r where v was. */
SWHPT_VEC static inline __m256i swhpt_swap(__m256i x)
{
	return _mm256_shuffle_epi32(x, 0x4e);
}

SWHPT_VEC static inline __m256i swhpt_bswap(__m256i x)
{
	const __m256i order = swhpt_pair(0x0001020304050607, 0x08090a0b0c0d0e0f);

	return _mm256_shuffle_epi8(x, order);
}

/*
 * Two entries of a group, to dst. Returns a mask of 2 bits for each, of what is 0 in them: present,
 * and R or C that guest_r lacks. *care gets bits when something else is unusual.
 */
SWHPT_VEC static inline unsigned swhpt_vec_show_two(
	const struct swhpt_hpte *e, __m256i x, __m256i rev, uint8_t *dst, __m256i *care)
{
	const __m256i keep = swhpt_pair(HPTE3_V_MASK & ~HPTE_V_ABSENT, 0);
	const __m256i set = swhpt_pair(HPTE_V_VALID | HPTE_V_HVLOCK, 0);
	const __m256i b = swhpt_pair(HPTE3_R_B, 0);
	const __m256i look = swhpt_pair(HPTE_V_PRESENT, HPTE_R_RC);
	const __m256i bad = swhpt_pair(HPTE_V_HVLOCK, HPTE_R_MODIFIED);
	__m256i again = swhpt_get(e);
	__m256i guest_r = _mm256_blend_epi32(_mm256_setzero_si256(), rev, 0xcc);
	__m256i show = _mm256_or_si256(_mm256_and_si256(x, keep), _mm256_or_si256(guest_r, set));
	__m256i there = _mm256_and_si256(_mm256_andnot_si256(guest_r, x), look);
	__m256i off = _mm256_and_si256(_mm256_blend_epi32(x, rev, 0xcc), bad);

	show = _mm256_or_si256(
		show, _mm256_slli_epi64(_mm256_and_si256(swhpt_swap(x), b), HPTE3_B_SHIFT));
	swhpt_put(dst, swhpt_bswap(show));
	*care = _mm256_or_si256(*care, _mm256_or_si256(off, _mm256_xor_si256(x, again)));
	there = _mm256_cmpeq_epi64(there, _mm256_setzero_si256());
	return (unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(there));
}

/*
 * A whole group, of pass 1: its present entries are put at dst (128 bytes, all of which may be
 * written), each where it would be if all were present. Returns a mask with bit 2 * k for each
 * entry k that is present; -1: some of them are locked, marked, changing, or have R or C that the
 * guest's view lacks.
 *
 * The order of the loads is read_first()'s: v and r, guest_r, then v and r once more. An aligned
 * half of a vector is loaded at once.
 */
SWHPT_VEC static inline int swhpt_vec_show(
	const struct swhpt_hpte *e, const struct swhpt_rev *rev, uint8_t *dst)
{
	__m256i x0 = swhpt_get(e);
	__m256i x1 = swhpt_get(e + 2);
	__m256i x2 = swhpt_get(e + 4);
	__m256i x3 = swhpt_get(e + 6);
	__m256i care = _mm256_setzero_si256(), r0, r1, r2, r3;
	unsigned mask;

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	r0 = swhpt_get(rev);
	r1 = swhpt_get(rev + 2);
	r2 = swhpt_get(rev + 4);
	r3 = swhpt_get(rev + 6);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	mask = swhpt_vec_show_two(e, x0, r0, dst, &care);
	mask |= swhpt_vec_show_two(e + 2, x1, r1, dst + 32, &care) << 4;
	mask |= swhpt_vec_show_two(e + 4, x2, r2, dst + 64, &care) << 8;
	mask |= swhpt_vec_show_two(e + 6, x3, r3, dst + 96, &care) << 12;
	mask = ~mask;
	if (!_mm256_testz_si256(care, care) || mask & mask >> 1 & 0x5555)
		return -1;
	return (int)(mask & 0x5555);
}

/*
 * Entries e and on become the n at p, two at a time, as long as all are alike and nobody else
 * looks: swhpt_make_alike() and replace_alone(). Returns how many were done.
 */
SWHPT_VEC static inline size_t swhpt_vec_put(const struct swhpt_alike *a, struct swhpt_hpte *e,
	struct swhpt_rev *rev, uint64_t mark, const uint8_t *p, size_t n)
{
	const __m256i sign = _mm256_set1_epi64x(INT64_MIN);
	const __m256i guest = swhpt_pair(0, ~0ull);
	const __m256i clear = swhpt_pair(0, HPTE_R_MODIFIED);
	const __m256i vrma = swhpt_pair(VRMA_V, ~0ull), vrma_mask = swhpt_pair(VRMA_V_MASK, 0);
	const __m256i keep = swhpt_pair(
		HPTE3_V_MASK & ~(HPTE_V_HVLOCK | HPTE_V_PRESENT), ~HPTE3_R_B);
	const __m256i b = swhpt_pair(0, 3ull << HPTE_V_B_SHIFT);
	const __m256i like = swhpt_load_pair(a->like), like_mask = swhpt_load_pair(a->mask);
	const __m256i set = swhpt_load_pair(a->set);
	const __m256i gpa = _mm256_set1_epi64x((long long)a->gpa_mask);
	const __m256i base = _mm256_set1_epi64x((long long)(a->base ^ 1ull << 63));
	const __m256i size = _mm256_xor_si256(_mm256_set1_epi64x((long long)a->size), sign);
	const __m256i marks = _mm256_set1_epi64x((long long)mark);
	size_t done;

	for (done = 0; done + 2 <= n; done += 2, e += 2, rev += 2, p += 2 * HTAB_HPTE_SIZE) {
		__m256i old = swhpt_get(e);
		__m256i old_rev = swhpt_get(rev);
		__m256i in = _mm256_andnot_si256(clear, swhpt_bswap(swhpt_get(p)));
		__m256i off = _mm256_and_si256(_mm256_xor_si256(in, like), like_mask);
		__m256i out = _mm256_sub_epi64(_mm256_and_si256(in, gpa), base);
		__m256i new, new_rev;

		/* an unsigned comparison: the sign is the other way round in both */
		off = _mm256_or_si256(
			off, _mm256_andnot_si256(_mm256_cmpgt_epi64(size, out), guest));
		off = _mm256_or_si256(
			off, _mm256_cmpeq_epi64(_mm256_and_si256(in, vrma_mask), vrma));
		if (!_mm256_testz_si256(off, off))
			break;
		new = _mm256_or_si256(_mm256_and_si256(in, keep), set);
		new = _mm256_or_si256(
			new, _mm256_srli_epi64(_mm256_and_si256(swhpt_swap(in), b), HPTE3_B_SHIFT));
		new_rev = _mm256_blend_epi32(old_rev, _mm256_or_si256(in, marks), 0xcc);
		off = _mm256_or_si256(
			_mm256_xor_si256(new, old), _mm256_xor_si256(new_rev, old_rev));
		if (_mm256_testz_si256(off, off))
			continue; /* memory that is not written costs half */
		swhpt_put(rev, new_rev);
		swhpt_put(e, new);
	}
	return done;
}

#else
#define SWHPT_VEC

static inline bool swhpt_vec_usable(void)
{
	return false;
}

static inline int swhpt_vec_show(
	const struct swhpt_hpte *e, const struct swhpt_rev *rev, uint8_t *dst)
{
	return -1;
}

static inline size_t swhpt_vec_put(const struct swhpt_alike *a, struct swhpt_hpte *e,
	struct swhpt_rev *rev, uint64_t mark, const uint8_t *p, size_t n)
{
	return 0;
}
#endif
