/* raidz with AVX-512BW on 512-bit vectors: byte shuffles as multiplication tables. */
#include <x86intrin.h>

#include "raidz_nibble.h"

typedef __m512i ub_vec;

#define UB_BYTES 64
#define UB_REGISTERS 32
#define UB_PREFETCHES 1
#define UB_KERNEL ub_raidz_avx512
#define UB_KERNEL_NAME "avx512"

#define ub_load(p) _mm512_loadu_si512(p)
#define ub_store(p, v) _mm512_storeu_si512(p, v)
#define ub_stream(p, v) _mm512_stream_si512((__m512i *)(void *)(p), v)
#define ub_clock() __rdtsc()
#define ub_zero() _mm512_setzero_si512()
#define ub_xor(a, b) _mm512_xor_si512(a, b)
#define ub_xor3(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0x96)

/* A byte shuffle gives zero where the top bit of an index is set. With all entries 0x1d it therefore yields
 * what a doubling must add, apart from a constant: shuffle(x) = 0x1d + (0x1d where the top bit is set).
 * Horner's scheme absorbs the constant when the sum carries a bias b with b = 2b + 0x1d, that is 0x1d / 3.
 * Two doublings keep it. */
#define UB_BIAS _mm512_set1_epi8(0x0b)

static inline __m512i ub_horner2(__m512i q, __m512i a)
{
    const __m512i carry = _mm512_shuffle_epi8(_mm512_set1_epi8(0x1d), q);
    return ub_xor3(_mm512_add_epi8(q, q), carry, a);
}

static inline __m512i ub_horner4(__m512i r, __m512i a)
{
    const __m512i twice = _mm512_add_epi8(r, r);
    const __m512i carry = _mm512_shuffle_epi8(_mm512_set1_epi8(0x3a), r);
    const __m512i carry2 = _mm512_shuffle_epi8(_mm512_set1_epi8(0x1d), twice);
    return ub_xor(ub_xor3(_mm512_add_epi8(twice, twice), carry2, carry), a);
}

#define UB_TABLE(p) _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)(const void *)(p)))

static inline __m512i ub_muladd(__m512i acc, __m512i v, const ub_factor *f)
{
    const __m512i nibble = _mm512_set1_epi8(0x0f);
    const __m512i low = _mm512_shuffle_epi8(UB_TABLE(*f), _mm512_and_si512(v, nibble));
    const __m512i high = _mm512_shuffle_epi8(UB_TABLE(*f + 2), _mm512_and_si512(_mm512_srli_epi16(v, 4), nibble));
    return ub_xor3(acc, low, high);
}

#include "raidz_template.h"
