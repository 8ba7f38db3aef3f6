/* SHA-256 or SHA-512 of several messages side by side, written once for every vector instruction set: lane j
 * of each vector belongs to message j, and no word ever needs a neighbour.
 *
 * The including file defines UB_BITS (32: SHA-256, 64: SHA-512), UB_LANES, UB_FEW, UB_KERNEL, UB_KERNEL_NAME,
 * and for vectors of UB_LANES words:
 *     ub_vec, ub_add(a, b), ub_xor3(a, b, c), ub_rotr(v, bits), ub_shr(v, bits)
 *     ub_choose(e, f, g)       bit by bit f where e is 1, g where it is 0
 *     ub_xor(a, b), ub_and(a, b); or ub_majority(a, b, c): bit by bit what at least two of them say
 *     ub_splat(p)              the word at p in every lane
 *     ub_load(p), ub_store(p, v)
 *     ub_message(w, p, at)     the 16 words, from big-endian bytes, at p[lane] + at
 *
 * Source: FIPS 180-4.
 */
#include "checksum_impl.h"
#include "sha2_constants.h"

#if UB_BITS == 32
typedef uint32_t ub_word;
#define UB_CONSTANTS ub_sha256_constants
#define UB_ROUNDS 64
#define UB_UPPER0(x) ub_xor3(ub_rotr(x, 2), ub_rotr(x, 13), ub_rotr(x, 22))
#define UB_UPPER1(x) ub_xor3(ub_rotr(x, 6), ub_rotr(x, 11), ub_rotr(x, 25))
#define UB_LOWER0(x) ub_xor3(ub_rotr(x, 7), ub_rotr(x, 18), ub_shr(x, 3))
#define UB_LOWER1(x) ub_xor3(ub_rotr(x, 17), ub_rotr(x, 19), ub_shr(x, 10))
#else
typedef uint64_t ub_word;
#define UB_CONSTANTS ub_sha512_constants
#define UB_ROUNDS 80
#define UB_UPPER0(x) ub_xor3(ub_rotr(x, 28), ub_rotr(x, 34), ub_rotr(x, 39))
#define UB_UPPER1(x) ub_xor3(ub_rotr(x, 14), ub_rotr(x, 18), ub_rotr(x, 41))
#define UB_LOWER0(x) ub_xor3(ub_rotr(x, 1), ub_rotr(x, 8), ub_shr(x, 7))
#define UB_LOWER1(x) ub_xor3(ub_rotr(x, 19), ub_rotr(x, 61), ub_shr(x, 6))
#endif

/* Without an instruction for it, the majority is ((a ^ b) & (b ^ c)) ^ b; b ^ c comes from the round before. */
#if defined(ub_majority)
#define UB_BEGIN_MAJORITY(b, c)
#define UB_MAJORITY(to, a, b, c) const ub_vec to = ub_majority(a, b, c)
#else
#define UB_BEGIN_MAJORITY(b, c) ub_vec b_c = ub_xor(b, c)
#define UB_MAJORITY(to, a, b, c)                             \
    const ub_vec a_b = ub_xor(a, b);                         \
    const ub_vec to = ub_xor(ub_and(a_b, b_c), b);           \
    b_c = a_b
#endif

#define ROUND(a, b, c, d, e, f, g, h, i, word)                                              \
    do {                                                                                    \
        ub_vec t = ub_add(ub_add(h, ub_add(word(i), ub_splat(k + (i)))), ub_choose(e, f, g)); \
        t = ub_add(t, UB_UPPER1(e));                                                        \
        (d) = ub_add(d, t);                                                                 \
        UB_MAJORITY(majority, a, b, c);                                                     \
        (h) = ub_add(t, ub_add(UB_UPPER0(a), majority));                                    \
    } while (0)

#define FIRST(i) w[i]

/* Word i of the next sixteen, in the place of the one sixteen before it. */
#define NEXT(i)                                                                             \
    (w[i] = ub_add(ub_add(w[i], UB_LOWER0(w[((i) + 1) & 15])),                              \
                   ub_add(w[((i) + 9) & 15], UB_LOWER1(w[((i) + 14) & 15]))))

/* `word` is FIRST or NEXT. */
#define EIGHT_ROUNDS(i, word)                                                               \
    ROUND(a, b, c, d, e, f, g, h, (i) + 0, word);                                           \
    ROUND(h, a, b, c, d, e, f, g, (i) + 1, word);                                           \
    ROUND(g, h, a, b, c, d, e, f, (i) + 2, word);                                           \
    ROUND(f, g, h, a, b, c, d, e, (i) + 3, word);                                           \
    ROUND(e, f, g, h, a, b, c, d, (i) + 4, word);                                           \
    ROUND(d, e, f, g, h, a, b, c, (i) + 5, word);                                           \
    ROUND(c, d, e, f, g, h, a, b, (i) + 6, word);                                           \
    ROUND(b, c, d, e, f, g, h, a, (i) + 7, word)

static void ub_lanes(ub_word *state, const uint8_t *const *p, size_t nblocks)
{
    ub_vec s[8];
    for (int i = 0; i < 8; i++)
        s[i] = ub_load(state + i * UB_LANES);
    for (size_t at = 0; nblocks != 0; nblocks--, at += 2 * UB_BITS) {
        ub_vec w[16];
        ub_vec a = s[0], b = s[1], c = s[2], d = s[3], e = s[4], f = s[5], g = s[6], h = s[7];
        UB_BEGIN_MAJORITY(b, c);
        const ub_word *k = UB_CONSTANTS;
        __asm__("" : "+r"(k)); /* known constants would come by way of general registers instead of memory */
        ub_message(w, p, at);
        EIGHT_ROUNDS(0, FIRST);
        EIGHT_ROUNDS(8, FIRST);
        for (int r = 16; r < UB_ROUNDS; r += 16) {
            k += 16;
            EIGHT_ROUNDS(0, NEXT);
            EIGHT_ROUNDS(8, NEXT);
        }
        s[0] = ub_add(s[0], a), s[1] = ub_add(s[1], b), s[2] = ub_add(s[2], c), s[3] = ub_add(s[3], d);
        s[4] = ub_add(s[4], e), s[5] = ub_add(s[5], f), s[6] = ub_add(s[6], g), s[7] = ub_add(s[7], h);
    }
    for (int i = 0; i < 8; i++)
        ub_store(state + i * UB_LANES, s[i]);
}

#if UB_BITS == 32
const ub_sha256_many_kernel UB_KERNEL = {UB_KERNEL_NAME, UB_LANES, UB_FEW, ub_lanes};
#else
const ub_sha512_many_kernel UB_KERNEL = {UB_KERNEL_NAME, UB_LANES, UB_FEW, ub_lanes};
#endif
