/* fletcher2 and fletcher4 with NEON. */
#include <arm_neon.h>

#define UB_WORDS 2
#define UB_WORDS_LOG2 1
#define UB_EACH(F, W) {F(W, 0), F(W, 1)}
#define UB_KERNEL ub_fletcher_neon
#define UB_KERNEL_NAME "neon"

typedef uint64x2_t ub_vec;

#define ub_zero() vdupq_n_u64(0)
#define ub_add(a, b) vaddq_u64(a, b)
#define ub_sub(a, b) vsubq_u64(a, b)
#define ub_shl(v, bits) vshlq_n_u64(v, bits)
#define ub_high(v) vshrq_n_u64(v, 32)
#define ub_store(p, v) vst1q_u64(p, v)

static inline __attribute__((always_inline)) ub_vec ub_load(const uint8_t *p, const int swap)
{
    uint8x16_t v = vld1q_u8(p);
    if (swap == 32)
        v = vrev32q_u8(v);
    else if (swap == 64)
        v = vrev64q_u8(v);
    return vreinterpretq_u64_u8(v);
}

/* NEON multiplies no 64-bit numbers; the general registers do, and it happens only at the end. */
static inline ub_vec ub_mul(ub_vec v, const uint64_t *w)
{
    return vcombine_u64(vcreate_u64(vgetq_lane_u64(v, 0) * w[0]), vcreate_u64(vgetq_lane_u64(v, 1) * w[1]));
}

#include "fletcher_template.h"
