/* raidz with NEON on 128-bit vectors: table look-ups as multiplication tables. */
#include <arm_neon.h>

#include "raidz_nibble.h"

typedef uint8x16_t ub_vec;

#define UB_BYTES 16
#define UB_REGISTERS 32
#define UB_KERNEL ub_raidz_neon
#define UB_KERNEL_NAME "neon"

#define ub_load(p) vld1q_u8(p)
#define ub_store(p, v) vst1q_u8(p, v)
#define ub_zero() vdupq_n_u8(0)
#define ub_xor(a, b) veorq_u8(a, b)
#define ub_xor3(a, b, c) veorq_u8(veorq_u8(a, b), c)

static inline uint8x16_t ub_horner2(uint8x16_t q, uint8x16_t a)
{
    const uint8x16_t top = vreinterpretq_u8_s8(vshrq_n_s8(vreinterpretq_s8_u8(q), 7));
    return ub_xor3(vshlq_n_u8(q, 1), vandq_u8(top, vdupq_n_u8(0x1d)), a);
}

static inline uint8x16_t ub_horner4(uint8x16_t r, uint8x16_t a)
{
    /* what the two top bits come to, multiplied by 4 */
    const uint8x16_t carries = vreinterpretq_u8_u64(vdupq_n_u64(UINT64_C(0x273a1d00)));
    return ub_xor3(vshlq_n_u8(r, 2), vqtbl1q_u8(carries, vshrq_n_u8(r, 6)), a);
}

#define UB_TABLE(p) vreinterpretq_u8_u64(vld1q_u64(p))

static inline uint8x16_t ub_muladd(uint8x16_t acc, uint8x16_t v, const ub_factor *f)
{
    const uint8x16_t low = vqtbl1q_u8(UB_TABLE(*f), vandq_u8(v, vdupq_n_u8(0x0f)));
    const uint8x16_t high = vqtbl1q_u8(UB_TABLE(*f + 2), vshrq_n_u8(v, 4));
    return ub_xor(acc, ub_xor(low, high));
}

#include "raidz_template.h"
