/* raidz with GFNI on 256-bit vectors: one affine instruction multiplies 32 bytes by a constant. */
#include <x86intrin.h>

#include "raidz_gfni.h"

typedef __m256i ub_vec;
typedef __m256i ub_factor;

#define UB_BYTES 32
#define UB_REGISTERS 16
#define UB_PAIRS 1
#define UB_PREFETCHES 1
#define UB_KERNEL ub_raidz_gfni_avx2
#define UB_KERNEL_NAME "gfni_avx2"

#define ub_load(p) _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define ub_store(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define ub_stream(p, v) _mm256_stream_si256((__m256i *)(void *)(p), v)
#define ub_clock() __rdtsc()
#define ub_zero() _mm256_setzero_si256()
#define ub_xor(a, b) _mm256_xor_si256(a, b)
#define ub_xor3(a, b, c) ub_xor(ub_xor(a, b), c)

#define UB_AFFINE(v, c) _mm256_gf2p8affine_epi64_epi8(v, _mm256_set1_epi64x((long long)ub_gfni_matrix[c]), 0)
#define ub_mul2(v) UB_AFFINE(v, 2)
#define ub_mul4(v) UB_AFFINE(v, 4)
#define ub_mul16(v) UB_AFFINE(v, 16)
#define ub_horner2(q, a) ub_xor(ub_mul2(q), a)
#define ub_horner4(r, a) ub_xor(ub_mul4(r), a)
#define ub_factor_set(f, c) (*(f) = _mm256_set1_epi64x((long long)ub_gfni_matrix[c]))
#define ub_muladd(acc, v, f) _mm256_xor_si256(acc, _mm256_gf2p8affine_epi64_epi8(v, *(f), 0))

#define ub_muladd2(acc, v, f, w, h)                                                                          \
    ub_xor3(acc, _mm256_gf2p8affine_epi64_epi8(v, *(f), 0), _mm256_gf2p8affine_epi64_epi8(w, *(h), 0))

#include "raidz_template.h"
