/* Edon-R 512 as OpenZFS uses it: salted by a 128-byte prefix, cut to 256 bits.
 *
 * A message block is worked into the double-width state by eight quasigroup operations on vectors of eight words;
 * "reversed" is a vector read from its last word to its first.
 *
 * Source: Edon-R, submission to the SHA-3 competition with the authors' later tweak (feed-forward of the block and
 * the chaining value).
 */
#include "byteorder.h"
#include "checksum_impl.h"

#define BLOCK 128
#define STATE_WORDS 16

static inline uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> ((64 - n) & 63);
}

#define SUM(v, i, j, k, l, m) ((v)[i] + (v)[j] + (v)[k] + (v)[l] + (v)[m])
#define XOR(v, i, j, k) ((v)[i] ^ (v)[j] ^ (v)[k])

/* r = x * y. r may be x or y. */
static inline __attribute__((always_inline)) void quasigroup(uint64_t r[8], const uint64_t x[8], const uint64_t y[8])
{
    const uint64_t s[8] = {
        UINT64_C(0xaaaaaaaaaaaaaaaa) + SUM(x, 0, 1, 2, 4, 7),
        rotl(SUM(x, 0, 1, 3, 4, 7), 5),
        rotl(SUM(x, 0, 1, 4, 6, 7), 15),
        rotl(SUM(x, 2, 3, 5, 6, 7), 22),
        rotl(SUM(x, 1, 2, 3, 5, 6), 31),
        rotl(SUM(x, 0, 2, 3, 4, 5), 40),
        rotl(SUM(x, 0, 1, 5, 6, 7), 50),
        rotl(SUM(x, 2, 3, 4, 5, 6), 59),
    };
    const uint64_t t[8] = {
        UINT64_C(0x5555555555555555) + SUM(y, 0, 1, 2, 5, 7),
        rotl(SUM(y, 0, 1, 3, 4, 6), 10),
        rotl(SUM(y, 0, 1, 2, 3, 5), 19),
        rotl(SUM(y, 2, 3, 4, 6, 7), 29),
        rotl(SUM(y, 0, 1, 3, 4, 5), 36),
        rotl(SUM(y, 2, 4, 5, 6, 7), 44),
        rotl(SUM(y, 1, 2, 5, 6, 7), 48),
        rotl(SUM(y, 0, 3, 4, 6, 7), 55),
    };
    r[0] = XOR(s, 0, 1, 4) + XOR(t, 0, 1, 5);
    r[1] = XOR(s, 0, 4, 7) + XOR(t, 2, 6, 7);
    r[2] = XOR(s, 1, 6, 7) + XOR(t, 0, 1, 3);
    r[3] = XOR(s, 2, 3, 4) + XOR(t, 0, 3, 4);
    r[4] = XOR(s, 0, 1, 7) + XOR(t, 1, 2, 5);
    r[5] = XOR(s, 3, 5, 6) + XOR(t, 3, 4, 6);
    r[6] = XOR(s, 2, 5, 6) + XOR(t, 2, 5, 7);
    r[7] = XOR(s, 2, 3, 5) + XOR(t, 4, 6, 7);
}

static void blocks(uint64_t state[STATE_WORDS], const uint8_t *p, size_t nblocks)
{
    uint64_t *low = state, *high = state + 8;
    for (; nblocks != 0; nblocks--, p += BLOCK) {
        uint64_t d[16], reversed[16], a[8], b[8], c[8];
        for (int i = 0; i < 16; i++)
            d[i] = reversed[15 - i] = ub_le64(p + 8 * i);
        quasigroup(a, reversed, d);     /* the block alone */
        quasigroup(b, a, d + 8);
        quasigroup(c, high, a);         /* with the upper half of the state */
        quasigroup(b, c, b);
        quasigroup(c, c, low);          /* with the lower half */
        quasigroup(b, b, c);
        quasigroup(a, reversed + 8, c); /* and the block again */
        quasigroup(b, a, b);
        for (int i = 0; i < 8; i++) {
            low[i] ^= d[8 + i] ^ a[i];
            high[i] ^= d[i] ^ b[i];
        }
    }
}

static void initial(uint64_t state[STATE_WORDS])
{
    uint8_t bytes[BLOCK];
    for (int i = 0; i < BLOCK; i++)
        bytes[i] = (uint8_t)(0x80 + i);
    for (int i = 0; i < STATE_WORDS; i++)
        state[i] = ub_be64(bytes + 8 * i);
}

/* The rest of a message of which `before` bytes have been taken in: n bytes, then the padding. */
static void finish(uint64_t state[STATE_WORDS], const uint8_t *p, size_t n, uint64_t before)
{
    size_t whole = n / BLOCK, left = n % BLOCK;
    blocks(state, p, whole);

    uint8_t tail[2 * BLOCK] = {0};
    if (left != 0)
        memcpy(tail, p + whole * BLOCK, left);
    tail[left] = 0x80;
    size_t count = left + 1 + sizeof(uint64_t) <= BLOCK ? 1 : 2;
    ub_store_le64(tail + count * BLOCK - sizeof(uint64_t), (before + n) * 8);
    blocks(state, tail, count);
}

void ub_edonr512(const uint8_t *p, size_t n, uint8_t digest[64])
{
    uint64_t state[STATE_WORDS];
    initial(state);
    finish(state, p, n, 0);
    for (int i = 0; i < 8; i++)
        ub_store_le64(digest + 8 * i, state[8 + i]);
}

void ub_edonr_salted(const uint8_t salt[UB_SALT_BYTES], uint64_t state[STATE_WORDS])
{
    uint8_t prefix[BLOCK];
    ub_edonr512(salt, UB_SALT_BYTES, prefix);
    ub_edonr512(prefix, 64, prefix + 64);
    initial(state);
    blocks(state, prefix, 1);
}

void ub_edonr(const uint64_t salted[STATE_WORDS], const uint8_t *p, size_t n, uint8_t digest[32])
{
    uint64_t state[STATE_WORDS];
    memcpy(state, salted, sizeof state);
    finish(state, p, n, BLOCK);
    for (int i = 0; i < 4; i++)
        ub_store_le64(digest + 8 * i, state[8 + i]);
}
