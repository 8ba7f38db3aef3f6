/* Edon-R 512's compression function with AVX-512 (F): the eight words of a vector are the eight lanes of a
 * register.
 *
 * Of the two functions whose sum is the operation x * y (see edonr.c), each forms rotated sums of five words
 * and then exclusive ors of three of those. In whatever order the sums are kept, the second step finds them;
 * the orders below are such that lane i of x, and lane i of the sums, is always among the words that lane i
 * needs. That leaves four and two permutations for the others.
 */
#include <immintrin.h>

#include "checksum_impl.h"

#define INLINE static inline __attribute__((always_inline))
#define BLOCK 128

typedef struct {
    uint64_t add[4][8];   /* the other four words of lane i's sum */
    uint64_t constant[8];
    uint64_t rotate[8];
    uint64_t exclude[2][8]; /* the other two sums of lane i's exclusive or */
} table;

/* Lanes hold s0, s4, s7, s3, s1, s5, s6, s2. */
static const table of_x __attribute__((aligned(64))) = {
    {{1, 2, 3, 2, 0, 0, 0, 0}, {2, 3, 4, 5, 1, 2, 1, 1}, {4, 5, 5, 6, 3, 3, 5, 4}, {7, 6, 6, 7, 7, 4, 7, 6}},
    {0xaaaaaaaaaaaaaaaa},
    {0, 31, 59, 22, 5, 40, 50, 15},
    {{4, 0, 4, 7, 0, 3, 7, 3}, {1, 2, 6, 1, 2, 6, 5, 5}},
};

/* Lanes hold t0, t2, t3, t4, t1, t6, t5, t7. */
static const table of_y __attribute__((aligned(64))) = {
    {{1, 0, 3, 0, 0, 1, 2, 0}, {2, 2, 4, 1, 1, 2, 4, 3}, {5, 3, 6, 4, 3, 6, 5, 4}, {7, 5, 7, 5, 6, 7, 7, 6}},
    {0x5555555555555555},
    {0, 19, 29, 36, 10, 48, 44, 55},
    {{4, 5, 0, 0, 1, 2, 1, 3}, {6, 7, 4, 2, 6, 3, 7, 5}},
};

INLINE __m512i permute(const uint64_t *order, __m512i v)
{
    return _mm512_permutexvar_epi64(_mm512_load_si512(order), v);
}

INLINE __m512i half(const table *t, __m512i v)
{
    __m512i one = _mm512_add_epi64(permute(t->add[0], v), permute(t->add[1], v));
    __m512i two = _mm512_add_epi64(permute(t->add[2], v), permute(t->add[3], v));
    __m512i own = _mm512_add_epi64(v, _mm512_load_si512(t->constant));
    __m512i sum = _mm512_add_epi64(_mm512_add_epi64(own, one), two);
    sum = _mm512_rolv_epi64(sum, _mm512_load_si512(t->rotate));
    return _mm512_ternarylogic_epi64(sum, permute(t->exclude[0], sum), permute(t->exclude[1], sum), 0x96);
}

INLINE __m512i left(__m512i x)
{
    return half(&of_x, x);
}

INLINE __m512i right(__m512i y)
{
    return half(&of_y, y);
}

static void blocks(uint64_t state[16], const uint8_t *p, size_t nblocks)
{
    const __m512i backward = _mm512_set_epi64(0, 1, 2, 3, 4, 5, 6, 7);
    __m512i low = _mm512_loadu_si512(state), high = _mm512_loadu_si512(state + 8);
    for (; nblocks != 0; nblocks--, p += BLOCK) {
        const __m512i first = _mm512_loadu_si512(p), second = _mm512_loadu_si512(p + 64);
        const __m512i first_back = _mm512_permutexvar_epi64(backward, first);
        const __m512i second_back = _mm512_permutexvar_epi64(backward, second);
        const __m512i a = _mm512_add_epi64(left(second_back), right(first)); /* of the block alone */
        const __m512i b = _mm512_add_epi64(left(a), right(second));
        const __m512i c = _mm512_add_epi64(left(high), right(a));
        const __m512i left_c = left(c);
        const __m512i d = _mm512_add_epi64(left_c, right(b));
        const __m512i e = _mm512_add_epi64(left_c, right(low));
        const __m512i right_e = right(e);
        const __m512i f = _mm512_add_epi64(left(d), right_e);
        const __m512i g = _mm512_add_epi64(left(first_back), right_e);
        const __m512i h = _mm512_add_epi64(left(g), right(f));
        low = _mm512_ternarylogic_epi64(low, second, g, 0x96);
        high = _mm512_ternarylogic_epi64(high, first, h, 0x96);
    }
    _mm512_storeu_si512(state, low);
    _mm512_storeu_si512(state + 8, high);
}

const ub_edonr_kernel ub_edonr_avx512 = {"avx512", blocks};
