/* SHA-512 of four messages at once with AVX2. */
#include "transpose_avx2.h"

#define UB_BITS 64
#define UB_LANES 4
#define UB_FEW 2
#define UB_KERNEL ub_sha512_many_avx2
#define UB_KERNEL_NAME "avx2"

#define ub_vec __m256i
#define ub_add(a, b) _mm256_add_epi64(a, b)
#define ub_xor(a, b) _mm256_xor_si256(a, b)
#define ub_xor3(a, b, c) ub_xor(ub_xor(a, b), c)
#define ub_choose(e, f, g) ub_xor(g, _mm256_and_si256(e, ub_xor(f, g)))
#define ub_and(a, b) _mm256_and_si256(a, b)
#define ub_rotr rotr
#define ub_shr(v, bits) _mm256_srli_epi64(v, bits)
#define ub_splat(p) _mm256_set1_epi64x((long long)*(p))
#define ub_load(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define ub_store(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define ub_message message

/* By one byte in one step instead of three. */
UB_TURN __m256i rotr(__m256i v, const int bits)
{
    const __m128i by8 = _mm_set_epi8(8, 15, 14, 13, 12, 11, 10, 9, 0, 7, 6, 5, 4, 3, 2, 1);
    if (bits == 8)
        return _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(by8));
    return _mm256_or_si256(_mm256_srli_epi64(v, bits), _mm256_slli_epi64(v, 64 - bits));
}

UB_TURN void message(__m256i w[16], const unsigned char *const *p, size_t at)
{
    const __m128i units = _mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i order = _mm256_broadcastsi128_si256(units);
#pragma GCC unroll 4
    for (int part = 0; part < 16; part += 4) {
        for (int i = 0; i < 4; i++)
            w[part + i] = _mm256_shuffle_epi8(ub_load(p[i] + at + 8 * part), order);
        ub_turn64(w + part);
    }
}

#include "sha2_lanes.h"
