/* SHA-256 with the processor's SHA instructions (and SSSE3, SSE4.1).
 *
 * The instructions hold the eight working variables in two registers, ABEF and CDGH, do two rounds at a time
 * on the two lower words of their third operand, and compute the schedule four words at a time in two halves.
 */
#include <immintrin.h>

#include "checksum_impl.h"
#include "sha2_constants.h"

#define INLINE static inline __attribute__((always_inline))

/* Words 4 g .. 4 g + 3 of the schedule from the sixteen before them, oldest first. */
INLINE __m128i schedule(__m128i w16, __m128i w12, __m128i w8, __m128i w4)
{
    __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w16, w12), _mm_alignr_epi8(w4, w8, 4));
    return _mm_sha256msg2_epu32(sum, w4);
}

INLINE void four_rounds(__m128i *abef, __m128i *cdgh, __m128i w, const uint32_t *k)
{
    __m128i wk = _mm_add_epi32(w, _mm_load_si128((const __m128i *)(const void *)k));
    *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, wk);
    *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32(wk, 0x0e));
}

static void blocks(uint32_t state[8], const uint8_t *p, size_t nblocks)
{
    const __m128i order = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    const uint32_t *k = ub_sha256_constants;
    __m128i dcba = _mm_loadu_si128((const __m128i *)(const void *)state);
    __m128i hgfe = _mm_loadu_si128((const __m128i *)(const void *)(state + 4));
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);

    for (; nblocks != 0; nblocks--, p += 64) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        __m128i w[4];
#pragma GCC unroll 4
        for (int g = 0; g < 4; g++) {
            w[g] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(p + 16 * g)), order);
            four_rounds(&abef, &cdgh, w[g], k + 4 * g);
        }
#pragma GCC unroll 12
        for (int g = 4; g < 16; g++) {
            w[g % 4] = schedule(w[g % 4], w[(g + 1) % 4], w[(g + 2) % 4], w[(g + 3) % 4]);
            four_rounds(&abef, &cdgh, w[g % 4], k + 4 * g);
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }

    cdab = _mm_shuffle_epi32(abef, 0x1b); /* now FEBA, and GHCD below */
    efgh = _mm_shuffle_epi32(cdgh, 0xb1);
    dcba = _mm_blend_epi16(cdab, efgh, 0xf0);
    hgfe = _mm_alignr_epi8(efgh, cdab, 8);
    _mm_storeu_si128((__m128i *)(void *)state, dcba);
    _mm_storeu_si128((__m128i *)(void *)(state + 4), hgfe);
}

const ub_sha256_kernel ub_sha256_shani = {"shani", blocks};
