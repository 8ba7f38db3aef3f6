/* SHA-256 by the processor's SHA instructions (and SSSE3, SSE4.1): the pieces.
 *
 * The instructions hold the eight working variables in two registers, ABEF and CDGH, do two rounds at a time
 * on the two lower words of their third operand, and compute the schedule four words at a time in two halves.
 */
#ifndef UB_SHA256_SHANI_H
#define UB_SHA256_SHANI_H

#include <immintrin.h>
#include <stdint.h>

#include "sha2_constants.h"

#define INLINE static inline __attribute__((always_inline))

typedef struct {
    __m128i abef, cdgh;
} sha256_pair;

INLINE sha256_pair sha256_load(const uint32_t state[8])
{
    __m128i dcba = _mm_loadu_si128((const __m128i *)(const void *)state);
    __m128i hgfe = _mm_loadu_si128((const __m128i *)(const void *)(state + 4));
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    return (sha256_pair){_mm_alignr_epi8(cdab, efgh, 8), _mm_blend_epi16(efgh, cdab, 0xf0)};
}

INLINE void sha256_store(sha256_pair s, uint32_t state[8])
{
    __m128i feba = _mm_shuffle_epi32(s.abef, 0x1b), ghcd = _mm_shuffle_epi32(s.cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(feba, ghcd, 0xf0));
    _mm_storeu_si128((__m128i *)(void *)(state + 4), _mm_alignr_epi8(ghcd, feba, 8));
}

INLINE sha256_pair sha256_sum(sha256_pair a, sha256_pair b)
{
    return (sha256_pair){_mm_add_epi32(a.abef, b.abef), _mm_add_epi32(a.cdgh, b.cdgh)};
}

/* Rounds 4 g .. 4 g + 3 (g = 0 .. 15) of the block at p; w is the ring of the last sixteen schedule words. */
INLINE void sha256_four_rounds(sha256_pair *s, __m128i w[4], const uint8_t *p, const int g)
{
    const __m128i order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    __m128i *now = &w[g % 4];
    if (g < 4) {
        *now = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * g)), order);
    } else {
        const __m128i w12 = w[(g + 1) % 4], w8 = w[(g + 2) % 4], w4 = w[(g + 3) % 4];
        const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(*now, w12), _mm_alignr_epi8(w4, w8, 4));
        *now = _mm_sha256msg2_epu32(sum, w4);
    }
    const uint32_t *k = ub_sha256_constants + 4 * g;
    const __m128i wk = _mm_add_epi32(*now, _mm_load_si128((const __m128i *)(const void *)k));
    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, wk);
    s->abef = _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(wk, 0x0e));
}

#endif
