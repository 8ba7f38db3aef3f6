/* raidz with SSSE3 on 128-bit vectors: byte shuffles as multiplication tables. */
#include <x86intrin.h>

#include "raidz_nibble.h"

typedef __m128i ub_vec;

#define UB_BYTES 16
#define UB_REGISTERS 16
#define UB_KERNEL ub_raidz_ssse3
#define UB_KERNEL_NAME "ssse3"

#define ub_load(p) _mm_loadu_si128((const __m128i *)(const void *)(p))
#define ub_store(p, v) _mm_storeu_si128((__m128i *)(void *)(p), v)
#define ub_stream(p, v) _mm_stream_si128((__m128i *)(void *)(p), v)
#define ub_clock() __rdtsc()
#define ub_zero() _mm_setzero_si128()
#define ub_xor(a, b) _mm_xor_si128(a, b)
#define ub_xor3(a, b, c) ub_xor(ub_xor(a, b), c)

/* A byte shuffle gives zero where the top bit of an index is set. With all entries 0x1d it therefore yields
 * what a doubling must add, apart from a constant: shuffle(x) = 0x1d + (0x1d where the top bit is set).
 * Horner's scheme absorbs the constant when the sum carries a bias b with b = 2b + 0x1d, that is 0x1d / 3.
 * Two doublings keep it. */
#define UB_BIAS _mm_set1_epi8(0x0b)

static inline __m128i ub_horner2(__m128i q, __m128i a)
{
    const __m128i carry = _mm_shuffle_epi8(_mm_set1_epi8(0x1d), q);
    return ub_xor3(_mm_add_epi8(q, q), carry, a);
}

static inline __m128i ub_horner4(__m128i r, __m128i a)
{
    const __m128i twice = _mm_add_epi8(r, r);
    const __m128i carry = _mm_shuffle_epi8(_mm_set1_epi8(0x3a), r);
    const __m128i carry2 = _mm_shuffle_epi8(_mm_set1_epi8(0x1d), twice);
    return ub_xor(ub_xor3(_mm_add_epi8(twice, twice), carry2, carry), a);
}

#define UB_TABLE(p) _mm_load_si128((const __m128i *)(const void *)(p))

static inline __m128i ub_muladd(__m128i acc, __m128i v, const ub_factor *f)
{
    const __m128i nibble = _mm_set1_epi8(0x0f);
    const __m128i low = _mm_shuffle_epi8(UB_TABLE(*f), _mm_and_si128(v, nibble));
    const __m128i high = _mm_shuffle_epi8(UB_TABLE(*f + 2), _mm_and_si128(_mm_srli_epi16(v, 4), nibble));
    return ub_xor(acc, ub_xor(low, high));
}

#include "raidz_template.h"
