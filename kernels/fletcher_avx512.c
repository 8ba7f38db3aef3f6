/* fletcher2 and fletcher4 with AVX-512 (F, BW, DQ). */
#include <immintrin.h>
#include <stdint.h>

#define UB_WORDS 8
#define UB_WORDS_LOG2 3
#define UB_EACH(F, W) {F(W, 0), F(W, 1), F(W, 2), F(W, 3), F(W, 4), F(W, 5), F(W, 6), F(W, 7)}
#define UB_KERNEL ub_fletcher_avx512
#define UB_KERNEL_NAME "avx512"

typedef __m512i ub_vec;

#define ub_zero() _mm512_setzero_si512()
#define ub_add(a, b) _mm512_add_epi64(a, b)
#define ub_sub(a, b) _mm512_sub_epi64(a, b)
#define ub_shl(v, bits) _mm512_slli_epi64(v, bits)
#define ub_high(v) _mm512_srli_epi64(v, 32)
#define ub_mul(v, w) _mm512_mullo_epi64(v, _mm512_load_si512(w))
#define ub_store(p, v) _mm512_store_si512(p, v)

static inline __attribute__((always_inline)) ub_vec ub_load(const uint8_t *p, const int swap)
{
    const __m128i units32 = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    const __m128i units64 = _mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    ub_vec v = _mm512_loadu_si512(p);
    return swap ? _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(swap == 32 ? units32 : units64)) : v;
}

#include "fletcher_template.h"
