/* Skein and Edon-R of eight messages at once with AVX-512. */
#include <stdint.h>

#include "transpose_avx512.h"

#define UB_LANES 8
#define UB_SKEIN ub_skein_many_avx512
#define UB_EDONR ub_edonr_many_avx512
#define UB_KERNEL_NAME "avx512"

#define ub_vec __m512i
#define ub_add(a, b) _mm512_add_epi64(a, b)
#define ub_xor(a, b) _mm512_xor_si512(a, b)
#define ub_rotl(v, bits) _mm512_rol_epi64(v, bits)
#define ub_splat(word) _mm512_set1_epi64((long long)(word))
#define ub_load(p) _mm512_loadu_si512(p)
#define ub_store(p, v) _mm512_storeu_si512(p, v)
#define ub_message message

UB_TURN void message(__m512i m[], const uint8_t *const *p, size_t at, const int n)
{
#pragma GCC unroll 2
    for (int part = 0; part < n; part += 8) {
        for (int i = 0; i < 8; i++)
            m[part + i] = ub_load(p[i] + at + 8 * part);
        ub_turn64(m + part);
    }
}

#include "salted_lanes.h"
