/* fletcher2 and fletcher4 with AVX2. */
#include <immintrin.h>
#include <stdint.h>

#define UB_WORDS 4
#define UB_WORDS_LOG2 2
#define UB_EACH(F, W) {F(W, 0), F(W, 1), F(W, 2), F(W, 3)}
#define UB_KERNEL ub_fletcher_avx2
#define UB_KERNEL_NAME "avx2"

typedef __m256i ub_vec;

#define ub_zero() _mm256_setzero_si256()
#define ub_add(a, b) _mm256_add_epi64(a, b)
#define ub_sub(a, b) _mm256_sub_epi64(a, b)
#define ub_shl(v, bits) _mm256_slli_epi64(v, bits)
#define ub_high(v) _mm256_srli_epi64(v, 32)
#define ub_store(p, v) _mm256_store_si256((__m256i *)(void *)(p), v)

static inline __attribute__((always_inline)) ub_vec ub_load(const uint8_t *p, const int swap)
{
    const __m128i units32 = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    const __m128i units64 = _mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    ub_vec v = _mm256_loadu_si256((const __m256i *)(const void *)p);
    return swap ? _mm256_shuffle_epi8(v, _mm256_broadcastsi128_si256(swap == 32 ? units32 : units64)) : v;
}

/* 64 x 64 bits from three products of 32 x 32: low * low + 2^32 (low * high + high * low). */
static inline ub_vec ub_mul(ub_vec v, const uint64_t *weights)
{
    ub_vec w = _mm256_load_si256((const __m256i *)(const void *)weights);
    ub_vec cross = ub_add(_mm256_mul_epu32(v, ub_high(w)), _mm256_mul_epu32(ub_high(v), w));
    return ub_add(_mm256_mul_epu32(v, w), ub_shl(cross, 32));
}

#include "fletcher_template.h"
