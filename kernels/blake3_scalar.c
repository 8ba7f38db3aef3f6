/* BLAKE3: one node after the other in plain C. */
#include "byteorder.h"

#define UB_LANES 1
#define UB_NARROW NULL
#define UB_KERNEL ub_blake3_scalar
#define UB_KERNEL_NAME "scalar"

#define ub_vec uint32_t
#define ub_add(a, b) ((a) + (b))
#define ub_xor(a, b) ((a) ^ (b))
#define ub_rotr rotr
#define ub_splat(word) (word)
#define ub_load(p) (*(p))
#define ub_message message
#define ub_output output

static inline uint32_t rotr(uint32_t x, int bits)
{
    return x >> bits | x << (32 - bits);
}

static inline void message(uint32_t w[16], const uint8_t *const *p, size_t at)
{
    for (int i = 0; i < 16; i++)
        w[i] = ub_le32(p[0] + at + 4 * i);
}

static inline void output(uint8_t *const *p, const uint32_t h[8])
{
    for (int i = 0; i < 8; i++)
        ub_store_le32(p[0] + 4 * i, h[i]);
}

#include "blake3_lanes.h"
