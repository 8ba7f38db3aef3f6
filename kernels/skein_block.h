/* Skein-512's compression: one block of each of UB_LANES messages, written once for plain C and every vector
 * instruction set. Lane j of each vector belongs to message j; all have come equally far.
 *
 * The including file defines UB_LANES and, for vectors of UB_LANES words of 64 bits:
 *     ub_vec, ub_add(a, b), ub_xor(a, b), ub_rotl(v, bits), ub_splat(word)
 *     ub_message(m, p, at, n)     n words, from little-endian bytes, at p[lane] + at
 *
 * Source: The Skein Hash Function Family, version 1.3, sections 3.3 and 3.4.
 */
#include <stddef.h>
#include <stdint.h>

#define UB_SKEIN_PARITY UINT64_C(0x1BD11BDAA9FC1A22) /* C240: keeps an all-zero key from giving all-zero subkeys */

#define MIX(i, j, n) (x##i = ub_add(x##i, x##j), x##j = ub_xor(ub_rotl(x##j, n), x##i))

/* Adds subkey s. `k` holds the nine key words twice and `t` the three tweak words twice, so that no index
 * wraps. */
#define ADD_KEY(s)                                                                                         \
    (x0 = ub_add(x0, k[(s) % 9]), x1 = ub_add(x1, k[(s) % 9 + 1]), x2 = ub_add(x2, k[(s) % 9 + 2]),        \
     x3 = ub_add(x3, k[(s) % 9 + 3]), x4 = ub_add(x4, k[(s) % 9 + 4]),                                     \
     x5 = ub_add(x5, ub_add(k[(s) % 9 + 5], ub_splat(t[(s) % 3]))),                                        \
     x6 = ub_add(x6, ub_add(k[(s) % 9 + 6], ub_splat(t[(s) % 3 + 1]))),                                    \
     x7 = ub_add(x7, ub_add(k[(s) % 9 + 7], ub_splat(UINT64_C(s)))))

/* Eight rounds: the permutation of words is a change of names with period four. `next` and `last` are the numbers
 * of the subkeys after four and after eight. */
#define EIGHT_ROUNDS(next, last)                                      \
    do {                                                              \
        MIX(0, 1, 46), MIX(2, 3, 36), MIX(4, 5, 19), MIX(6, 7, 37);   \
        MIX(2, 1, 33), MIX(4, 7, 27), MIX(6, 5, 14), MIX(0, 3, 42);   \
        MIX(4, 1, 17), MIX(6, 3, 49), MIX(0, 5, 36), MIX(2, 7, 39);   \
        MIX(6, 1, 44), MIX(0, 7, 9), MIX(2, 5, 54), MIX(4, 3, 56);    \
        ADD_KEY(next);                                                \
        MIX(0, 1, 39), MIX(2, 3, 30), MIX(4, 5, 34), MIX(6, 7, 24);   \
        MIX(2, 1, 13), MIX(4, 7, 50), MIX(6, 5, 10), MIX(0, 3, 17);   \
        MIX(4, 1, 25), MIX(6, 3, 29), MIX(0, 5, 39), MIX(2, 7, 43);   \
        MIX(6, 1, 8), MIX(0, 7, 35), MIX(2, 5, 56), MIX(4, 3, 22);    \
        ADD_KEY(last);                                                \
    } while (0)

/* state = Threefish(key = state, tweak, block) xor block, for the block at p[lane] + at of each message. */
static inline void ub_skein_block(ub_vec state[8], const uint8_t *const *p, size_t at, uint64_t position,
                                  uint64_t upper)
{
    const uint64_t t[6] = {position, upper, position ^ upper, position, upper, position ^ upper};
    ub_vec k[18], m[8];
    ub_message(m, p, at, 8);
    k[8] = ub_splat(UB_SKEIN_PARITY);
    for (int i = 0; i < 8; i++) {
        k[i] = state[i];
        k[8] = ub_xor(k[8], state[i]);
    }
    for (int i = 0; i < 9; i++)
        k[9 + i] = k[i];

    ub_vec x0 = m[0], x1 = m[1], x2 = m[2], x3 = m[3], x4 = m[4], x5 = m[5], x6 = m[6], x7 = m[7];
    ADD_KEY(0);
    EIGHT_ROUNDS(1, 2);
    EIGHT_ROUNDS(3, 4);
    EIGHT_ROUNDS(5, 6);
    EIGHT_ROUNDS(7, 8);
    EIGHT_ROUNDS(9, 10);
    EIGHT_ROUNDS(11, 12);
    EIGHT_ROUNDS(13, 14);
    EIGHT_ROUNDS(15, 16);
    EIGHT_ROUNDS(17, 18);
    state[0] = ub_xor(x0, m[0]);
    state[1] = ub_xor(x1, m[1]);
    state[2] = ub_xor(x2, m[2]);
    state[3] = ub_xor(x3, m[3]);
    state[4] = ub_xor(x4, m[4]);
    state[5] = ub_xor(x5, m[5]);
    state[6] = ub_xor(x6, m[6]);
    state[7] = ub_xor(x7, m[7]);
}
