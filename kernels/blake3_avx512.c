/* BLAKE3: sixteen nodes at once with AVX-512. */
#include <stdint.h>

#include "transpose_avx512.h"

#define UB_LANES 16
#define UB_NARROW &ub_blake3_avx2
#define UB_KERNEL ub_blake3_avx512
#define UB_MANY_REGISTERS
#define UB_KERNEL_NAME "avx512"

/* Chunks mostly follow each other: what the next call will want. (A prefetch never faults.) */
#define AHEAD (16 * 1024)

#define ub_vec __m512i
#define ub_add(a, b) _mm512_add_epi32(a, b)
#define ub_xor(a, b) _mm512_xor_si512(a, b)
#define ub_rotr(v, bits) _mm512_ror_epi32(v, bits)
#define ub_splat(word) _mm512_set1_epi32((int)(word))
#define ub_load(p) _mm512_loadu_si512(p)
#define ub_message message
#define ub_output output

UB_TURN void message(__m512i w[16], const uint8_t *const *p, size_t at)
{
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        _mm_prefetch((const char *)p[i] + at + AHEAD, _MM_HINT_T0);
        w[i] = _mm512_loadu_si512(p[i] + at);
    }
    ub_turn32(w);
}

UB_TURN void output(uint8_t *const *p, const __m512i h[8])
{
    __m512i rows[16];
    for (int i = 0; i < 16; i++)
        rows[i] = h[i & 7];
    ub_turn32(rows);
    for (int i = 0; i < 16; i++)
        _mm256_storeu_si256((__m256i *)(void *)p[i], _mm512_castsi512_si256(rows[i]));
}

#include "blake3_lanes.h"
