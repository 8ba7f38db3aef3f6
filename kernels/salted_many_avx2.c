/* Skein and Edon-R of four messages at once with AVX2. */
#include <stdint.h>

#include "transpose_avx2.h"

#define UB_LANES 4
#define UB_SKEIN ub_skein_many_avx2
#define UB_EDONR ub_edonr_many_avx2
#define UB_KERNEL_NAME "avx2"

#define ub_vec __m256i
#define ub_add(a, b) _mm256_add_epi64(a, b)
#define ub_xor(a, b) _mm256_xor_si256(a, b)
#define ub_rotl rotl
#define ub_splat(word) _mm256_set1_epi64x((long long)(word))
#define ub_load(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define ub_store(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define ub_message message

/* By whole bytes in one step instead of three; those that occur. */
UB_TURN __m256i rotl(__m256i v, const int bits)
{
    const int64_t first = bits == 8 ? 0x0605040302010007 : bits == 24 ? 0x0403020100070605 : 0x0007060504030201;
    if (bits == 8 || bits == 24 || bits == 56) {
        const __m128i order = _mm_set_epi64x(first + 0x0808080808080808, first);
        return _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(order));
    }
    return _mm256_or_si256(_mm256_slli_epi64(v, bits), _mm256_srli_epi64(v, 64 - bits));
}

UB_TURN void message(__m256i m[], const uint8_t *const *p, size_t at, const int n)
{
#pragma GCC unroll 4
    for (int part = 0; part < n; part += 4) {
        for (int i = 0; i < 4; i++)
            m[part + i] = ub_load(p[i] + at + 8 * part);
        ub_turn64(m + part);
    }
}

#include "salted_lanes.h"
