/* fletcher2 and fletcher4 with AVX2. */
#include <immintrin.h>
#include <stdint.h>

#define UB_WORDS 4
#define UB_KERNEL ub_fletcher_avx2
#define UB_KERNEL_NAME "avx2"

typedef __m256i ub_vec;

#define ub_zero() _mm256_setzero_si256()
#define ub_all(number) _mm256_set1_epi64x((long long)(number))
#define ub_add(a, b) _mm256_add_epi64(a, b)
#define ub_sub(a, b) _mm256_sub_epi64(a, b)
#define ub_shl(v, bits) _mm256_slli_epi64(v, bits)
#define ub_load(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define ub_store(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define ub_first(v) ((uint64_t)_mm_cvtsi128_si64(_mm256_castsi256_si128(v)))
#define ub_down(v)                                                                          \
    _mm256_blend_epi32(_mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(1, 2, 3, 4, 5, 6, 7, 0)), \
                       _mm256_setzero_si256(), 0x80)
#define ub_after(v, next) _mm256_permute4x64_epi64(_mm256_blend_epi32(v, next, 3), 0x39)
#define ub_low(v, w) _mm256_permute2x128_si256(v, w, 0x20)
#define ub_high(v, w) _mm256_permute2x128_si256(v, w, 0x31)
#define ub_swap(v, n) ((n) == 1 ? _mm256_shuffle_epi32(v, 0x4e) : _mm256_permute4x64_epi64(v, 0x4e))

/* Bytes by their places; -1: zero. */
#define SHUFFLE(v, low, high) _mm256_shuffle_epi8(v, _mm256_set_epi64x(high, low, high, low))
#define ub_reverse(v) SHUFFLE(v, 0x0001020304050607, 0x08090a0b0c0d0e0f)
#define ub_even(v) SHUFFLE(v, -0x100000000 | 0x00010203, -0x100000000 | 0x08090a0b)
#define ub_odd(v) SHUFFLE(v, -0x100000000 | 0x04050607, -0x100000000 | 0x0c0d0e0f)

#include "fletcher_template.h"
