/* The portable kernels, and the reference: 64-bit words, any length, no instruction set.
 *
 * Kept plain on purpose. Every other kernel must give the same bytes, and this one also does what is left
 * over where a length is no multiple of a vector kernel's step. Tiles of a few hundred bytes stand in arrays,
 * so that a compiler can use whatever vectors the processor always has.
 */
#include <string.h>

#include "raidz_impl.h"

#define EVERY(byte) ((uint64_t)(byte)*UINT64_C(0x0101010101010101))
#define WORDS 32

/* The order of bytes in a word does not matter: what crosses from byte to byte is masked off. */
typedef uint64_t tile[WORDS];

static inline uint64_t times2(uint64_t x)
{
    const uint64_t high = x & EVERY(0x80);
    const uint64_t mask = (high << 1) - (high >> 7); /* 0xff in each byte whose top bit was set */
    return ((x << 1) & EVERY(0xfe)) ^ (mask & EVERY(0x1d));
}

/* sum = 2^doublings * sum + x, for a tile of bytes at x of any alignment */
static inline void horner(tile sum, const void *x, int doublings)
{
    for (size_t i = 0; i < WORDS; i++) {
        uint64_t word = sum[i], added;
        memcpy(&added, (const uint8_t *)x + i * sizeof added, sizeof added);
        for (int d = 0; d < doublings; d++)
            word = times2(word);
        sum[i] = word ^ added;
    }
}

/* The tile at p, or what there is of it with zeros behind, put into `spare`. */
static inline const void *take(const uint8_t *p, size_t bytes, tile spare)
{
    if (bytes == sizeof(tile))
        return p;
    memset(spare, 0, sizeof(tile));
    return memcpy(spare, p, bytes);
}

static void generate(size_t n, size_t nparity, const uint8_t *const *src, uint8_t *const *dst, size_t length,
                     int keep)
{
    (void)keep;
    for (size_t at = 0; at < length; at += sizeof(tile)) {
        const size_t bytes = length - at < sizeof(tile) ? length - at : sizeof(tile);
        tile sum[UB_RAIDZ_MAX_PARITY] = {{0}}, spare;
        for (size_t j = 0; j < n; j++) {
            const void *const x = take(src[j] + at, bytes, spare);
            horner(sum[0], x, 0);
            if (nparity > 1)
                horner(sum[1], x, 1);
            if (nparity > 2)
                horner(sum[2], x, 2);
        }
        for (size_t i = 0; i < nparity; i++)
            memcpy(dst[i] + at, sum[i], bytes);
    }
}

/* A row keeps one plain sum for each bit of the coefficients; the powers of two come in last. */
static inline void add_by_bits(tile bit[8], const void *x, uint8_t coefficient)
{
    for (int b = 0; b < 8; b++)
        if (coefficient >> b & 1)
            horner(bit[b], x, 0);
}

static void combine(const ub_raidz_plan *plan, const uint8_t *const *src, uint8_t *const *dst, size_t length,
                    int keep)
{
    if (plan->rows == 0) {
        generate(plan->nsrc, 1, src, dst, length, keep);
        return;
    }
    for (size_t at = 0; at < length; at += sizeof(tile)) {
        const size_t bytes = length - at < sizeof(tile) ? length - at : sizeof(tile);
        tile bit[UB_RAIDZ_MAX_ROWS][8] = {{{0}}}, folded = {0}, spare;
        for (size_t s = 0; s < plan->nsrc; s++) {
            const void *const x = take(src[s] + at, bytes, spare);
            if (s < plan->nxor)
                horner(folded, x, 0);
            for (size_t k = 0; k < plan->rows; k++)
                add_by_bits(bit[k], x, plan->coef[k][s]);
        }
        for (size_t k = 0; k < plan->rows; k++) {
            tile *const sum = &bit[k][7];
            for (int b = 6; b >= 0; b--)
                horner(*sum, bit[k][b], 1);
            memcpy(dst[k] + at, *sum, bytes);
            if (plan->rows - k <= plan->nchain)
                horner(folded, *sum, 0);
        }
        if (plan->fold)
            memcpy(dst[plan->rows] + at, folded, bytes);
    }
}

const ub_raidz_kernel ub_raidz_scalar = {"scalar", 1, generate, combine, NULL};
