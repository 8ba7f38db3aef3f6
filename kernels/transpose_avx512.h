/* Rows of sixteen 32-bit or eight 64-bit words turned into columns, with AVX-512. */
#ifndef UB_TRANSPOSE_AVX512_H
#define UB_TRANSPOSE_AVX512_H

#include <immintrin.h>

#define UB_TURN static inline __attribute__((always_inline))

/* The 128-bit quarters of four vectors: quarter q of a, b, c and d becomes vector q. */
UB_TURN void ub_turn_quarters(__m512i *a, __m512i *b, __m512i *c, __m512i *d)
{
    const __m512i ab02 = _mm512_shuffle_i64x2(*a, *b, 0x88), ab13 = _mm512_shuffle_i64x2(*a, *b, 0xdd);
    const __m512i cd02 = _mm512_shuffle_i64x2(*c, *d, 0x88), cd13 = _mm512_shuffle_i64x2(*c, *d, 0xdd);
    *a = _mm512_shuffle_i64x2(ab02, cd02, 0x88);
    *b = _mm512_shuffle_i64x2(ab13, cd13, 0x88);
    *c = _mm512_shuffle_i64x2(ab02, cd02, 0xdd);
    *d = _mm512_shuffle_i64x2(ab13, cd13, 0xdd);
}

/* v[i] word j becomes v[j] word i; 16 x 16 words of 32 bits. */
UB_TURN void ub_turn32(__m512i v[16])
{
    __m512i t[16];
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        const __m512i low01 = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        const __m512i high01 = _mm512_unpackhi_epi32(v[i], v[i + 1]);
        const __m512i low23 = _mm512_unpacklo_epi32(v[i + 2], v[i + 3]);
        const __m512i high23 = _mm512_unpackhi_epi32(v[i + 2], v[i + 3]);
        t[i] = _mm512_unpacklo_epi64(low01, low23);
        t[i + 1] = _mm512_unpackhi_epi64(low01, low23);
        t[i + 2] = _mm512_unpacklo_epi64(high01, high23);
        t[i + 3] = _mm512_unpackhi_epi64(high01, high23);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        v[i] = t[i], v[i + 4] = t[i + 4], v[i + 8] = t[i + 8], v[i + 12] = t[i + 12];
        ub_turn_quarters(&v[i], &v[i + 4], &v[i + 8], &v[i + 12]);
    }
}

/* The same for 8 x 8 words of 64 bits. */
UB_TURN void ub_turn64(__m512i v[8])
{
    __m512i t[8];
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_epi64(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi64(v[i], v[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        v[i] = t[i], v[i + 2] = t[i + 2], v[i + 4] = t[i + 4], v[i + 6] = t[i + 6];
        ub_turn_quarters(&v[i], &v[i + 2], &v[i + 4], &v[i + 6]);
    }
}

#endif
