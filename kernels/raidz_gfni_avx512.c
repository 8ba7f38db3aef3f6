/* raidz with GFNI on 512-bit vectors: one affine instruction multiplies 64 bytes by a constant. */
#include <x86intrin.h>

#include "raidz_gfni.h"

typedef __m512i ub_vec;
typedef __m512i ub_factor;

#define UB_BYTES 64
#define UB_REGISTERS 32
#define UB_PAIRS 1
#define UB_PREFETCHES 1
#define UB_KERNEL ub_raidz_gfni_avx512
#define UB_KERNEL_NAME "gfni_avx512"

#define ub_load(p) _mm512_loadu_si512(p)
#define ub_store(p, v) _mm512_storeu_si512(p, v)
#define ub_stream(p, v) _mm512_stream_si512((__m512i *)(void *)(p), v)
#define ub_clock() __rdtsc()
#define ub_zero() _mm512_setzero_si512()
#define ub_xor(a, b) _mm512_xor_si512(a, b)
#define ub_xor3(a, b, c) _mm512_ternarylogic_epi64(a, b, c, 0x96)

#define UB_AFFINE(v, c) _mm512_gf2p8affine_epi64_epi8(v, _mm512_set1_epi64((long long)ub_gfni_matrix[c]), 0)
#define ub_mul2(v) UB_AFFINE(v, 2)
#define ub_mul4(v) UB_AFFINE(v, 4)
#define ub_mul16(v) UB_AFFINE(v, 16)
#define ub_horner2(q, a) ub_xor(ub_mul2(q), a)
#define ub_horner4(r, a) ub_xor(ub_mul4(r), a)
#define ub_factor_set(f, c) (*(f) = _mm512_set1_epi64((long long)ub_gfni_matrix[c]))
#define ub_muladd(acc, v, f) _mm512_xor_si512(acc, _mm512_gf2p8affine_epi64_epi8(v, *(f), 0))

#define ub_muladd2(acc, v, f, w, h)                                                                          \
    ub_xor3(acc, _mm512_gf2p8affine_epi64_epi8(v, *(f), 0), _mm512_gf2p8affine_epi64_epi8(w, *(h), 0))

#include "raidz_template.h"
