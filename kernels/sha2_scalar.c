/* SHA-256 and SHA-512: the compression functions in plain C.
 *
 * Source: FIPS 180-4. The schedule is kept in a ring of 16 words and computed while the rounds go on; sixteen
 * rounds are written out, so that the eight working variables change names instead of moving.
 */
#include "byteorder.h"
#include "checksum_impl.h"
#include "sha2_constants.h"

#define CHOOSE(e, f, g) ((g) ^ ((e) & ((f) ^ (g))))
#define MAJORITY(a, b, c) (((a) & (b)) | ((c) & ((a) | (b))))

/* One round; the caller rotates the names. `k` and `w` are the round's constant and schedule word. */
#define ROUND(a, b, c, d, e, f, g, h, k, w)                          \
    do {                                                             \
        WORD t = (h) + UPPER1(e) + CHOOSE(e, f, g) + (k) + (w);      \
        (d) += t;                                                    \
        (h) = t + UPPER0(a) + MAJORITY(a, b, c);                     \
    } while (0)

#define EIGHT_ROUNDS(W, i)                                           \
    ROUND(a, b, c, d, e, f, g, h, k[(i) + 0], W((i) + 0));           \
    ROUND(h, a, b, c, d, e, f, g, k[(i) + 1], W((i) + 1));           \
    ROUND(g, h, a, b, c, d, e, f, k[(i) + 2], W((i) + 2));           \
    ROUND(f, g, h, a, b, c, d, e, k[(i) + 3], W((i) + 3));           \
    ROUND(e, f, g, h, a, b, c, d, k[(i) + 4], W((i) + 4));           \
    ROUND(d, e, f, g, h, a, b, c, k[(i) + 5], W((i) + 5));           \
    ROUND(c, d, e, f, g, h, a, b, k[(i) + 6], W((i) + 6));           \
    ROUND(b, c, d, e, f, g, h, a, k[(i) + 7], W((i) + 7))

#define FIRST(i) (w[i] = LOAD(p + (i) * sizeof(WORD)))
#define LATER(i) \
    (w[i] += LOWER1(w[((i) + 14) & 15]) + w[((i) + 9) & 15] + LOWER0(w[((i) + 1) & 15]))

#define COMPRESS(constants, rounds)                                                         \
    for (; nblocks != 0; nblocks--, p += 16 * sizeof(WORD)) {                               \
        WORD w[16];                                                                         \
        WORD a = state[0], b = state[1], c = state[2], d = state[3];                        \
        WORD e = state[4], f = state[5], g = state[6], h = state[7];                        \
        const WORD *k = constants;                                                          \
        EIGHT_ROUNDS(FIRST, 0);                                                             \
        EIGHT_ROUNDS(FIRST, 8);                                                             \
        for (int r = 16; r < rounds; r += 16) {                                             \
            k += 16;                                                                        \
            EIGHT_ROUNDS(LATER, 0);                                                         \
            EIGHT_ROUNDS(LATER, 8);                                                         \
        }                                                                                   \
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;                         \
        state[4] += e, state[5] += f, state[6] += g, state[7] += h;                         \
    }

static inline uint32_t rotr32(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static inline uint64_t rotr64(uint64_t x, int n)
{
    return x >> n | x << (64 - n);
}

#define WORD uint32_t
#define LOAD ub_be32
#define UPPER0(x) (rotr32(x, 2) ^ rotr32(x, 13) ^ rotr32(x, 22))
#define UPPER1(x) (rotr32(x, 6) ^ rotr32(x, 11) ^ rotr32(x, 25))
#define LOWER0(x) (rotr32(x, 7) ^ rotr32(x, 18) ^ ((x) >> 3))
#define LOWER1(x) (rotr32(x, 17) ^ rotr32(x, 19) ^ ((x) >> 10))

static void sha256_blocks(uint32_t state[8], const uint8_t *p, size_t nblocks)
{
    COMPRESS(ub_sha256_constants, 64)
}

#undef WORD
#undef LOAD
#undef UPPER0
#undef UPPER1
#undef LOWER0
#undef LOWER1

#define WORD uint64_t
#define LOAD ub_be64
#define UPPER0(x) (rotr64(x, 28) ^ rotr64(x, 34) ^ rotr64(x, 39))
#define UPPER1(x) (rotr64(x, 14) ^ rotr64(x, 18) ^ rotr64(x, 41))
#define LOWER0(x) (rotr64(x, 1) ^ rotr64(x, 8) ^ ((x) >> 7))
#define LOWER1(x) (rotr64(x, 19) ^ rotr64(x, 61) ^ ((x) >> 6))

static void sha512_blocks(uint64_t state[8], const uint8_t *p, size_t nblocks)
{
    COMPRESS(ub_sha512_constants, 80)
}

const ub_sha256_kernel ub_sha256_scalar = {"scalar", sha256_blocks};
const ub_sha512_kernel ub_sha512_scalar = {"scalar", sha512_blocks};
