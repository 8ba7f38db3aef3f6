/* SHA-256 of eight messages at once with AVX2. */
#include "transpose_avx2.h"

#define UB_BITS 32
#define UB_LANES 8
#define UB_FEW 3 /* chosen only where the SHA instructions are missing */
#define UB_KERNEL ub_sha256_many_avx2
#define UB_KERNEL_NAME "avx2"

#define ub_vec __m256i
#define ub_add(a, b) _mm256_add_epi32(a, b)
#define ub_xor(a, b) _mm256_xor_si256(a, b)
#define ub_xor3(a, b, c) ub_xor(ub_xor(a, b), c)
#define ub_choose(e, f, g) ub_xor(g, _mm256_and_si256(e, ub_xor(f, g)))
#define ub_and(a, b) _mm256_and_si256(a, b)
#define ub_rotr(v, bits) _mm256_or_si256(_mm256_srli_epi32(v, bits), _mm256_slli_epi32(v, 32 - (bits)))
#define ub_shr(v, bits) _mm256_srli_epi32(v, bits)
#define ub_splat(p) _mm256_set1_epi32((int)*(p))
#define ub_load(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define ub_store(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define ub_message message

UB_TURN void message(__m256i w[16], const unsigned char *const *p, size_t at)
{
    const __m128i units = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    const __m256i order = _mm256_broadcastsi128_si256(units);
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        w[i] = _mm256_shuffle_epi8(ub_load(p[i] + at), order);
        w[i + 8] = _mm256_shuffle_epi8(ub_load(p[i] + at + 32), order);
    }
    ub_turn32(w);
    ub_turn32(w + 8);
}

#include "sha2_lanes.h"
