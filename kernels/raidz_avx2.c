/* raidz with AVX2 on 256-bit vectors: byte shuffles as multiplication tables. */
#include <x86intrin.h>

#include "raidz_nibble.h"

typedef __m256i ub_vec;

#define UB_BYTES 32
#define UB_REGISTERS 16
#define UB_KERNEL ub_raidz_avx2
#define UB_KERNEL_NAME "avx2"

#define ub_load(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define ub_store(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define ub_stream(p, v) _mm256_stream_si256((__m256i *)(void *)(p), v)
#define ub_clock() __rdtsc()
#define ub_zero() _mm256_setzero_si256()
#define ub_xor(a, b) _mm256_xor_si256(a, b)
#define ub_xor3(a, b, c) ub_xor(ub_xor(a, b), c)

/* A byte shuffle gives zero where the top bit of an index is set. With all entries 0x1d it therefore yields
 * what a doubling must add, apart from a constant: shuffle(x) = 0x1d + (0x1d where the top bit is set).
 * Horner's scheme absorbs the constant when the sum carries a bias b with b = 2b + 0x1d, that is 0x1d / 3.
 * Two doublings keep it. */
#define UB_BIAS _mm256_set1_epi8(0x0b)

static inline __m256i ub_horner2(__m256i q, __m256i a)
{
    const __m256i carry = _mm256_shuffle_epi8(_mm256_set1_epi8(0x1d), q);
    return ub_xor3(_mm256_add_epi8(q, q), carry, a);
}

static inline __m256i ub_horner4(__m256i r, __m256i a)
{
    const __m256i twice = _mm256_add_epi8(r, r);
    const __m256i carry = _mm256_shuffle_epi8(_mm256_set1_epi8(0x3a), r);
    const __m256i carry2 = _mm256_shuffle_epi8(_mm256_set1_epi8(0x1d), twice);
    return ub_xor(ub_xor3(_mm256_add_epi8(twice, twice), carry2, carry), a);
}

#define UB_TABLE(p) _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(const void *)(p)))

static inline __m256i ub_muladd(__m256i acc, __m256i v, const ub_factor *f)
{
    const __m256i nibble = _mm256_set1_epi8(0x0f);
    const __m256i low = _mm256_shuffle_epi8(UB_TABLE(*f), _mm256_and_si256(v, nibble));
    const __m256i high = _mm256_shuffle_epi8(UB_TABLE(*f + 2), _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble));
    return ub_xor(acc, ub_xor(low, high));
}

#include "raidz_template.h"
