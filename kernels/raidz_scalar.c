/* The portable kernels, and the reference: 64-bit words, eight bytes at a time, any length.
 *
 * Kept plain on purpose. Every other kernel must give the same bytes, and this one also does what is left
 * over where a length is no multiple of a vector kernel's step.
 */
#include <string.h>

#include "raidz_impl.h"

#define EVERY(byte) ((uint64_t)(byte)*UINT64_C(0x0101010101010101))

static inline uint64_t times2(uint64_t x)
{
    const uint64_t high = x & EVERY(0x80);
    const uint64_t mask = (high << 1) - (high >> 7); /* 0xff in each byte whose top bit was set */
    return ((x << 1) & EVERY(0xfe)) ^ (mask & EVERY(0x1d));
}

/* Up to eight bytes; what is missing of a word counts as zero. The order of bytes in the word does not
 * matter. */
static inline uint64_t load(const uint8_t *p, size_t bytes)
{
    uint64_t x = 0;
    memcpy(&x, p, bytes);
    return x;
}

static inline void generate_word(size_t n, size_t p, const uint8_t *const *src, uint8_t *const *dst,
                                 size_t at, size_t bytes)
{
    uint64_t sum[UB_RAIDZ_MAX_PARITY] = {0, 0, 0};
    for (size_t j = 0; j < n; j++) {
        const uint64_t x = load(src[j] + at, bytes);
        sum[0] ^= x;
        if (p > 1)
            sum[1] = times2(sum[1]) ^ x;
        if (p > 2)
            sum[2] = times2(times2(sum[2])) ^ x;
    }
    for (size_t i = 0; i < p; i++)
        memcpy(dst[i] + at, &sum[i], bytes);
}

static void generate(size_t n, size_t p, const uint8_t *const *src, uint8_t *const *dst, size_t length)
{
    const size_t body = length - length % 8;
    for (size_t at = 0; at < body; at += 8)
        generate_word(n, p, src, dst, at, 8);
    if (body < length)
        generate_word(n, p, src, dst, body, length - body);
}

/* The sum of c_s * x_s over all sources, with one plain sum for each bit of the coefficients, and the powers
 * of two put in at the end. */
static inline uint64_t weigh(const uint64_t bit[8])
{
    uint64_t sum = bit[7];
    for (int b = 6; b >= 0; b--)
        sum = times2(sum) ^ bit[b];
    return sum;
}

static inline void combine_word(const ub_raidz_plan *plan, const uint8_t *const *src, uint8_t *const *dst,
                                size_t at, size_t bytes)
{
    uint64_t bit[UB_RAIDZ_MAX_ROWS][8] = {{0}}, folded = 0;
    for (size_t s = 0; s < plan->nsrc; s++) {
        const uint64_t x = load(src[s] + at, bytes);
        if (s < plan->nxor)
            folded ^= x;
        for (size_t k = 0; k < plan->rows; k++)
            for (int b = 0; b < 8; b++)
                bit[k][b] ^= x & (0 - (uint64_t)(plan->coef[k][s] >> b & 1));
    }
    for (size_t k = 0; k < plan->rows; k++) {
        const uint64_t sum = weigh(bit[k]);
        memcpy(dst[k] + at, &sum, bytes);
        if (plan->rows - k <= plan->nchain)
            folded ^= sum;
    }
    if (plan->fold)
        memcpy(dst[plan->rows] + at, &folded, bytes);
}

static void combine(const ub_raidz_plan *plan, const uint8_t *const *src, uint8_t *const *dst, size_t length)
{
    const size_t body = length - length % 8;
    for (size_t at = 0; at < body; at += 8)
        combine_word(plan, src, dst, at, 8);
    if (body < length)
        combine_word(plan, src, dst, body, length - body);
}

const ub_raidz_kernel ub_raidz_scalar = {"scalar", 1, generate, combine};
