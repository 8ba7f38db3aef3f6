/* fletcher2 and fletcher4 with AVX-512 (F and BW). */
#include <immintrin.h>
#include <stdint.h>

#define UB_WORDS 8
#define UB_KERNEL ub_fletcher_avx512
#define UB_KERNEL_NAME "avx512"

typedef __m512i ub_vec;

#define ub_zero() _mm512_setzero_si512()
#define ub_all(number) _mm512_set1_epi64((long long)(number))
#define ub_add(a, b) _mm512_add_epi64(a, b)
#define ub_sub(a, b) _mm512_sub_epi64(a, b)
#define ub_shl(v, bits) _mm512_slli_epi64(v, bits)
#define ub_load(p) _mm512_loadu_si512(p)
#define ub_store(p, v) _mm512_storeu_si512(p, v)
#define ub_first(v) ((uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(v)))
#define ub_down(v) _mm512_alignr_epi32(_mm512_setzero_si512(), v, 1)
#define ub_after(v, next) _mm512_alignr_epi64(next, v, 1)
#define ub_low(v, w) _mm512_shuffle_i64x2(v, w, 0x44)
#define ub_high(v, w) _mm512_shuffle_i64x2(v, w, 0xee)
#define ub_swap(v, n)                               \
    ((n) == 1   ? _mm512_permutex_epi64(v, 0xb1)     \
     : (n) == 2 ? _mm512_permutex_epi64(v, 0x4e)     \
                : _mm512_shuffle_i64x2(v, v, 0x4e))

/* Bytes by their places; -1: zero. */
#define SHUFFLE(v, low, high) _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(_mm_set_epi64x(high, low)))
#define ub_reverse(v) SHUFFLE(v, 0x0001020304050607, 0x08090a0b0c0d0e0f)
#define ub_even(v) SHUFFLE(v, -0x100000000 | 0x00010203, -0x100000000 | 0x08090a0b)
#define ub_odd(v) SHUFFLE(v, -0x100000000 | 0x04050607, -0x100000000 | 0x0c0d0e0f)

#include "fletcher_template.h"
