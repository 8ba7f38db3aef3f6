/* SHA-256 of sixteen messages at once with AVX-512. */
#include "transpose_avx512.h"

#define UB_BITS 32
#define UB_LANES 16
#define UB_FEW 8 /* one after the other has the SHA instructions on most of these processors */
#define UB_KERNEL ub_sha256_many_avx512
#define UB_KERNEL_NAME "avx512"

#define ub_vec __m512i
#define ub_add(a, b) _mm512_add_epi32(a, b)
#define ub_xor3(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0x96)
#define ub_choose(e, f, g) _mm512_ternarylogic_epi32(e, f, g, 0xca)
#define ub_majority(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0xe8)
#define ub_rotr(v, bits) _mm512_ror_epi32(v, bits)
#define ub_shr(v, bits) _mm512_srli_epi32(v, bits)
#define ub_splat(p) _mm512_set1_epi32((int)*(p))
#define ub_load(p) _mm512_loadu_si512(p)
#define ub_store(p, v) _mm512_storeu_si512(p, v)
#define ub_message message

UB_TURN void message(__m512i w[16], const unsigned char *const *p, size_t at)
{
    const __m128i units = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    const __m512i order = _mm512_broadcast_i32x4(units);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        w[i] = _mm512_loadu_si512(p[i] + at);
    ub_turn32(w);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        w[i] = _mm512_shuffle_epi8(w[i], order);
}

#include "sha2_lanes.h"
