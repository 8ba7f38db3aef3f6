/* BLAKE3: four nodes at once with NEON. */
#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#define UB_LANES 4
#define UB_NARROW &ub_blake3_scalar
#define UB_KERNEL ub_blake3_neon
#define UB_MANY_REGISTERS
#define UB_KERNEL_NAME "neon"

#define INLINE static inline __attribute__((always_inline))

#define ub_vec uint32x4_t
#define ub_add(a, b) vaddq_u32(a, b)
#define ub_xor(a, b) veorq_u32(a, b)
/* The bits shifted out at the right are inserted at the left. */
#define ub_rotr(v, bits) vsriq_n_u32(vshlq_n_u32(v, 32 - (bits)), v, bits)
#define ub_splat(word) vdupq_n_u32(word)
#define ub_load(p) vld1q_u32(p)
#define ub_message message
#define ub_output output

/* v[i] word j becomes v[j] word i. */
INLINE void turn(uint32x4_t v[4])
{
    const uint32x4x2_t even = vzipq_u32(v[0], v[2]), odd = vzipq_u32(v[1], v[3]);
    const uint32x4x2_t low = vzipq_u32(even.val[0], odd.val[0]), high = vzipq_u32(even.val[1], odd.val[1]);
    v[0] = low.val[0], v[1] = low.val[1], v[2] = high.val[0], v[3] = high.val[1];
}

INLINE void message(uint32x4_t w[16], const uint8_t *const *p, size_t at)
{
    for (int part = 0; part < 16; part += 4) {
        for (int i = 0; i < 4; i++)
            w[part + i] = vreinterpretq_u32_u8(vld1q_u8(p[i] + at + 4 * part));
        turn(w + part);
    }
}

INLINE void output(uint8_t *const *p, uint32x4_t h[8])
{
    turn(h);
    turn(h + 4);
    for (int i = 0; i < 4; i++) {
        vst1q_u8(p[i], vreinterpretq_u8_u32(h[i]));
        vst1q_u8(p[i] + 16, vreinterpretq_u8_u32(h[4 + i]));
    }
}

#include "blake3_lanes.h"
