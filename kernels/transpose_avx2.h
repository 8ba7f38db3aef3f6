/* Rows of eight 32-bit or four 64-bit words turned into columns, with AVX2. */
#ifndef UB_TRANSPOSE_AVX2_H
#define UB_TRANSPOSE_AVX2_H

#include <immintrin.h>

#define UB_TURN static inline __attribute__((always_inline))

/* v[i] word j becomes v[j] word i; 8 x 8 words of 32 bits. */
UB_TURN void ub_turn32(__m256i v[8])
{
    __m256i t[8];
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) {
        const __m256i low01 = _mm256_unpacklo_epi32(v[i], v[i + 1]);
        const __m256i high01 = _mm256_unpackhi_epi32(v[i], v[i + 1]);
        const __m256i low23 = _mm256_unpacklo_epi32(v[i + 2], v[i + 3]);
        const __m256i high23 = _mm256_unpackhi_epi32(v[i + 2], v[i + 3]);
        t[i] = _mm256_unpacklo_epi64(low01, low23);
        t[i + 1] = _mm256_unpackhi_epi64(low01, low23);
        t[i + 2] = _mm256_unpacklo_epi64(high01, high23);
        t[i + 3] = _mm256_unpackhi_epi64(high01, high23);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        v[i] = _mm256_permute2x128_si256(t[i], t[i + 4], 0x20);
        v[i + 4] = _mm256_permute2x128_si256(t[i], t[i + 4], 0x31);
    }
}

/* The same for 4 x 4 words of 64 bits. */
UB_TURN void ub_turn64(__m256i v[4])
{
    const __m256i low01 = _mm256_unpacklo_epi64(v[0], v[1]), high01 = _mm256_unpackhi_epi64(v[0], v[1]);
    const __m256i low23 = _mm256_unpacklo_epi64(v[2], v[3]), high23 = _mm256_unpackhi_epi64(v[2], v[3]);
    v[0] = _mm256_permute2x128_si256(low01, low23, 0x20);
    v[1] = _mm256_permute2x128_si256(high01, high23, 0x20);
    v[2] = _mm256_permute2x128_si256(low01, low23, 0x31);
    v[3] = _mm256_permute2x128_si256(high01, high23, 0x31);
}

#endif
