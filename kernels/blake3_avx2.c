/* BLAKE3: eight nodes at once with AVX2. */
#include <stdint.h>

#include "transpose_avx2.h"

#define UB_LANES 8
#define UB_NARROW &ub_blake3_scalar
#define UB_KERNEL ub_blake3_avx2
#define UB_KERNEL_NAME "avx2"

#define ub_vec __m256i
#define ub_add(a, b) _mm256_add_epi32(a, b)
#define ub_xor(a, b) _mm256_xor_si256(a, b)
#define ub_rotr rotr
#define ub_splat(word) _mm256_set1_epi32((int)(word))
#define ub_load(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define ub_message message
#define ub_output output

/* By whole bytes in one step instead of three. The places of bytes come from memory: in a register, where a compiler
 * would put them, they would displace a word of the state. */
static const uint8_t by8[32] __attribute__((aligned(32))) = {
    1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12, 1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12,
};
static const uint8_t by16[32] __attribute__((aligned(32))) = {
    2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13,
};

UB_TURN __m256i rotr(__m256i v, const int bits)
{
    if (bits % 8 == 0) {
        const void *places = bits == 8 ? by8 : by16;
        __asm__("vpshufb %1, %0, %0" : "+x"(v) : "m"(*(const __m256i *)places));
        return v;
    }
    return _mm256_or_si256(_mm256_srli_epi32(v, bits), _mm256_slli_epi32(v, 32 - bits));
}

UB_TURN void message(__m256i w[16], const uint8_t *const *p, size_t at)
{
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        w[i] = ub_load(p[i] + at);
        w[i + 8] = ub_load(p[i] + at + 32);
    }
    ub_turn32(w);
    ub_turn32(w + 8);
}

UB_TURN void output(uint8_t *const *p, __m256i h[8])
{
    ub_turn32(h);
    for (int i = 0; i < 8; i++)
        _mm256_storeu_si256((__m256i *)(void *)p[i], h[i]);
}

#include "blake3_lanes.h"
