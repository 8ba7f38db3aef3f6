/* Skein-512-256, keyed with the pool's salt.
 *
 * Everything is one chaining mode, UBI, around the tweakable block cipher Threefish-512: key block,
 * configuration block, message blocks, output block. The state after the first two depends on the salt only
 * and is kept.
 *
 * Source: The Skein Hash Function Family, version 1.3, sections 3.3 to 3.5.
 */
#include "byteorder.h"
#include "checksum_impl.h"

#define BLOCK 64
#define OUTPUT_BITS 256
#define PARITY UINT64_C(0x1BD11BDAA9FC1A22) /* C240: keeps an all-zero key from giving an all-zero schedule */

/* Upper tweak word: field of the block type, first and last block of its UBI call. */
#define TYPE(t) ((uint64_t)(t) << 56)
#define TYPE_KEY TYPE(0)
#define TYPE_CONFIG TYPE(4)
#define TYPE_MESSAGE TYPE(48)
#define TYPE_OUTPUT TYPE(63)
#define FIRST (UINT64_C(1) << 62)
#define LAST (UINT64_C(1) << 63)

static inline uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

#define MIX(i, j, n) (x##i += x##j, x##j = rotl(x##j, n) ^ x##i)

/* Adds subkey s. `k` holds the nine key words twice and `t` the three tweak words twice, so that no index
 * wraps. */
#define ADD_KEY(s)                                                                                \
    (x0 += k[(s) % 9], x1 += k[(s) % 9 + 1], x2 += k[(s) % 9 + 2], x3 += k[(s) % 9 + 3],          \
     x4 += k[(s) % 9 + 4], x5 += k[(s) % 9 + 5] + t[(s) % 3],                                     \
     x6 += k[(s) % 9 + 6] + t[(s) % 3 + 1], x7 += k[(s) % 9 + 7] + (s))

/* Eight rounds: the permutation of words is a change of names with period four. */
#define EIGHT_ROUNDS(s)                                                   \
    do {                                                                  \
        MIX(0, 1, 46), MIX(2, 3, 36), MIX(4, 5, 19), MIX(6, 7, 37);       \
        MIX(2, 1, 33), MIX(4, 7, 27), MIX(6, 5, 14), MIX(0, 3, 42);       \
        MIX(4, 1, 17), MIX(6, 3, 49), MIX(0, 5, 36), MIX(2, 7, 39);       \
        MIX(6, 1, 44), MIX(0, 7, 9), MIX(2, 5, 54), MIX(4, 3, 56);        \
        ADD_KEY(2 * (s) + 1);                                             \
        MIX(0, 1, 39), MIX(2, 3, 30), MIX(4, 5, 34), MIX(6, 7, 24);       \
        MIX(2, 1, 13), MIX(4, 7, 50), MIX(6, 5, 10), MIX(0, 3, 17);       \
        MIX(4, 1, 25), MIX(6, 3, 29), MIX(0, 5, 39), MIX(2, 7, 43);       \
        MIX(6, 1, 8), MIX(0, 7, 35), MIX(2, 5, 56), MIX(4, 3, 22);        \
        ADD_KEY(2 * (s) + 2);                                             \
    } while (0)

/* One block: state = Threefish(key = state, tweak, block) xor block. */
static void ubi_block(uint64_t state[8], const uint8_t *p, uint64_t position, uint64_t upper)
{
    uint64_t k[18], t[6], m[8];
    k[8] = PARITY;
    for (int i = 0; i < 8; i++) {
        k[i] = state[i];
        k[8] ^= state[i];
        m[i] = ub_le64(p + 8 * i);
    }
    for (int i = 0; i < 9; i++)
        k[9 + i] = k[i];
    t[0] = t[3] = position;
    t[1] = t[4] = upper;
    t[2] = t[5] = position ^ upper;

    uint64_t x0 = m[0], x1 = m[1], x2 = m[2], x3 = m[3], x4 = m[4], x5 = m[5], x6 = m[6], x7 = m[7];
    ADD_KEY(0);
    EIGHT_ROUNDS(0);
    EIGHT_ROUNDS(1);
    EIGHT_ROUNDS(2);
    EIGHT_ROUNDS(3);
    EIGHT_ROUNDS(4);
    EIGHT_ROUNDS(5);
    EIGHT_ROUNDS(6);
    EIGHT_ROUNDS(7);
    EIGHT_ROUNDS(8);
    state[0] = x0 ^ m[0];
    state[1] = x1 ^ m[1];
    state[2] = x2 ^ m[2];
    state[3] = x3 ^ m[3];
    state[4] = x4 ^ m[4];
    state[5] = x5 ^ m[5];
    state[6] = x6 ^ m[6];
    state[7] = x7 ^ m[7];
}

/* A UBI call of one block of n <= 64 bytes. */
static void ubi_short(uint64_t state[8], const uint8_t *p, size_t n, uint64_t type)
{
    uint8_t block[BLOCK] = {0};
    memcpy(block, p, n);
    ubi_block(state, block, n, type | FIRST | LAST);
}

void ub_skein_salted(const uint8_t salt[UB_SALT_BYTES], uint64_t state[8])
{
    uint8_t config[32] = {'S', 'H', 'A', '3', 1}; /* schema, version 1, no tree */
    ub_store_le64(config + 8, OUTPUT_BITS);
    memset(state, 0, 8 * sizeof state[0]);
    ubi_short(state, salt, UB_SALT_BYTES, TYPE_KEY);
    ubi_short(state, config, sizeof config, TYPE_CONFIG);
}

void ub_skein(const uint64_t salted[8], const uint8_t *p, size_t n, uint8_t digest[32])
{
    uint64_t state[8];
    memcpy(state, salted, sizeof state);

    uint64_t first = FIRST;
    size_t done = 0;
    for (; n - done > BLOCK; done += BLOCK, first = 0)
        ubi_block(state, p + done, done + BLOCK, TYPE_MESSAGE | first);
    uint8_t last[BLOCK] = {0};
    if (n != 0)
        memcpy(last, p + done, n - done);
    ubi_block(state, last, n, TYPE_MESSAGE | first | LAST);

    const uint8_t counter[8] = {0};
    ubi_short(state, counter, sizeof counter, TYPE_OUTPUT);
    for (int i = 0; i < 4; i++)
        ub_store_le64(digest + 8 * i, state[i]);
}
