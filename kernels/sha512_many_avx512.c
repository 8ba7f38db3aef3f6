/* SHA-512 of eight messages at once with AVX-512. */
#include "transpose_avx512.h"

#define UB_BITS 64
#define UB_LANES 8
#define UB_FEW 3
#define UB_KERNEL ub_sha512_many_avx512
#define UB_KERNEL_NAME "avx512"

#define ub_vec __m512i
#define ub_add(a, b) _mm512_add_epi64(a, b)
#define ub_xor3(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0x96)
#define ub_choose(e, f, g) _mm512_ternarylogic_epi64(e, f, g, 0xca)
#define ub_majority(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0xe8)
#define ub_rotr(v, bits) _mm512_ror_epi64(v, bits)
#define ub_shr(v, bits) _mm512_srli_epi64(v, bits)
#define ub_splat(p) _mm512_set1_epi64((long long)*(p))
#define ub_load(p) _mm512_loadu_si512(p)
#define ub_store(p, v) _mm512_storeu_si512(p, v)
#define ub_message message

UB_TURN void message(__m512i w[16], const unsigned char *const *p, size_t at)
{
    const __m128i units = _mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    const __m512i order = _mm512_broadcast_i32x4(units);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        w[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(p[i] + at), order);
        w[i + 8] = _mm512_shuffle_epi8(_mm512_loadu_si512(p[i] + at + 64), order);
    }
    ub_turn64(w);
    ub_turn64(w + 8);
}

#include "sha2_lanes.h"
