/* fletcher2 and fletcher4 with NEON. */
#include <arm_neon.h>

#define UB_WORDS 2
#define UB_KERNEL ub_fletcher_neon
#define UB_KERNEL_NAME "neon"

typedef uint64x2_t ub_vec;

#define ub_zero() vdupq_n_u64(0)
#define ub_all(number) vdupq_n_u64(number)
#define ub_add(a, b) vaddq_u64(a, b)
#define ub_sub(a, b) vsubq_u64(a, b)
#define ub_shl(v, bits) vshlq_n_u64(v, bits)
#define ub_load(p) vreinterpretq_u64_u8(vld1q_u8(p))
#define ub_store(p, v) vst1q_u8(p, vreinterpretq_u8_u64(v))
#define ub_first(v) vgetq_lane_u64(v, 0)
#define ub_down(v) vreinterpretq_u64_u32(vextq_u32(vreinterpretq_u32_u64(v), vdupq_n_u32(0), 1))
#define ub_after(v, next) vextq_u64(v, next, 1)
#define ub_low(v, w) vzip1q_u64(v, w)
#define ub_high(v, w) vzip2q_u64(v, w)
#define ub_swap(v, n) ((void)(n), vextq_u64(v, v, 1))

#define ub_reverse(v) vreinterpretq_u64_u8(vrev64q_u8(vreinterpretq_u8_u64(v)))
#define ub_even(v) vshrq_n_u64(ub_reverse(v), 32)
#define ub_odd(v) vandq_u64(ub_reverse(v), vdupq_n_u64(UINT32_MAX))

#include "fletcher_template.h"
