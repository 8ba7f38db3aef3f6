/* Edon-R 512 as OpenZFS uses it: salted by a 128-byte prefix, cut to 256 bits.
 *
 * A message block is worked into the double-width state by eight quasigroup operations on vectors of eight
 * words; "reversed" is a vector read from its last word to its first.
 *
 * Source: Edon-R, submission to the SHA-3 competition with the authors' later tweak (feed-forward of the
 * block and the chaining value).
 */
#include "byteorder.h"
#include "checksum_impl.h"

#define BLOCK 128
#define STATE_WORDS 16

#define INLINE inline __attribute__((always_inline))

static INLINE uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

/* The operation x * y is a sum of two functions, one of x and one of y, word by word. Each forms eight
 * rotated sums of five words, and gives eight exclusive ors of three of those. Sums and exclusive ors of two
 * that occur more than once are formed once. */
static INLINE void left(uint64_t r[8], const uint64_t x[8])
{
    const uint64_t x01 = x[0] + x[1], x0147 = x01 + x[4] + x[7];
    const uint64_t x235 = x[2] + x[3] + x[5], x2356 = x235 + x[6];
    const uint64_t s0 = UINT64_C(0xaaaaaaaaaaaaaaaa) + x0147 + x[2];
    const uint64_t s1 = rotl(x0147 + x[3], 5);
    const uint64_t s2 = rotl(x0147 + x[6], 15);
    const uint64_t s3 = rotl(x2356 + x[7], 22);
    const uint64_t s4 = rotl(x2356 + x[1], 31);
    const uint64_t s5 = rotl(x235 + x[0] + x[4], 40);
    const uint64_t s6 = rotl(x01 + x[5] + x[6] + x[7], 50);
    const uint64_t s7 = rotl(x2356 + x[4], 59);
    const uint64_t s01 = s0 ^ s1, s23 = s2 ^ s3, s56 = s5 ^ s6;
    r[0] = s01 ^ s4;
    r[1] = s0 ^ s4 ^ s7;
    r[2] = s1 ^ s6 ^ s7;
    r[3] = s23 ^ s4;
    r[4] = s01 ^ s7;
    r[5] = s3 ^ s56;
    r[6] = s2 ^ s56;
    r[7] = s23 ^ s5;
}

/* r = left + right(y) */
static INLINE void right(uint64_t r[8], const uint64_t left[8], const uint64_t y[8])
{
    const uint64_t y01 = y[0] + y[1], y25 = y[2] + y[5], y67 = y[6] + y[7];
    const uint64_t y0125 = y01 + y25, y0134 = y01 + y[3] + y[4], y467 = y67 + y[4], y2467 = y467 + y[2];
    const uint64_t t0 = UINT64_C(0x5555555555555555) + y0125 + y[7];
    const uint64_t t1 = rotl(y0134 + y[6], 10);
    const uint64_t t2 = rotl(y0125 + y[3], 19);
    const uint64_t t3 = rotl(y2467 + y[3], 29);
    const uint64_t t4 = rotl(y0134 + y[5], 36);
    const uint64_t t5 = rotl(y2467 + y[5], 44);
    const uint64_t t6 = rotl(y25 + y67 + y[1], 48);
    const uint64_t t7 = rotl(y467 + y[0] + y[3], 55);
    const uint64_t t01 = t0 ^ t1, t25 = t2 ^ t5, t34 = t3 ^ t4, t67 = t6 ^ t7;
    r[0] = left[0] + (t01 ^ t5);
    r[1] = left[1] + (t2 ^ t67);
    r[2] = left[2] + (t01 ^ t3);
    r[3] = left[3] + (t0 ^ t34);
    r[4] = left[4] + (t1 ^ t25);
    r[5] = left[5] + (t34 ^ t6);
    r[6] = left[6] + (t25 ^ t7);
    r[7] = left[7] + (t4 ^ t67);
}

static void scalar_blocks(uint64_t state[STATE_WORDS], const uint8_t *p, size_t nblocks)
{
    uint64_t *low = state, *high = state + 8;
    for (; nblocks != 0; nblocks--, p += BLOCK) {
        uint64_t d[16], back[16], a[8], b[8], c[8], half[8];
        for (int i = 0; i < 16; i++)
            d[i] = back[15 - i] = ub_le64(p + 8 * i);
        left(half, back);      /* A = the block alone */
        right(a, half, d);
        left(half, a);         /* B = A * its second half */
        right(b, half, d + 8);
        left(half, high);      /* C = upper half of the state * A */
        right(c, half, a);
        left(half, c);
        right(b, half, b);     /* D = C * B */
        right(c, half, low);   /* E = C * lower half of the state */
        left(half, b);
        right(b, half, c);     /* F = D * E */
        left(half, back + 8);
        right(a, half, c);     /* G = first half of the block * E */
        left(half, a);
        right(b, half, b);     /* H = G * F */
        for (int i = 0; i < 8; i++) {
            low[i] ^= d[8 + i] ^ a[i];
            high[i] ^= d[i] ^ b[i];
        }
    }
}

const ub_edonr_kernel ub_edonr_scalar = {"scalar", scalar_blocks};

static void initial(uint64_t state[STATE_WORDS])
{
    uint8_t bytes[BLOCK];
    for (int i = 0; i < BLOCK; i++)
        bytes[i] = (uint8_t)(0x80 + i);
    for (int i = 0; i < STATE_WORDS; i++)
        state[i] = ub_be64(bytes + 8 * i);
}

/* The rest of a message of which `before` bytes have been taken in: n bytes, then the padding. */
static void finish(const ub_edonr_kernel *kernel, uint64_t state[STATE_WORDS], const uint8_t *p, size_t n,
                   uint64_t before)
{
    size_t whole = n / BLOCK, left = n % BLOCK;
    kernel->blocks(state, p, whole);

    uint8_t tail[2 * BLOCK] = {0};
    if (left != 0)
        memcpy(tail, p + whole * BLOCK, left);
    tail[left] = 0x80;
    size_t count = left + 1 + sizeof(uint64_t) <= BLOCK ? 1 : 2;
    ub_store_le64(tail + count * BLOCK - sizeof(uint64_t), (before + n) * 8);
    kernel->blocks(state, tail, count);
}

void ub_edonr512(const uint8_t *p, size_t n, uint8_t digest[64])
{
    uint64_t state[STATE_WORDS];
    initial(state);
    finish(&ub_edonr_scalar, state, p, n, 0);
    for (int i = 0; i < 8; i++)
        ub_store_le64(digest + 8 * i, state[8 + i]);
}

void ub_edonr_salted(const uint8_t salt[UB_SALT_BYTES], uint64_t state[STATE_WORDS])
{
    uint8_t prefix[BLOCK];
    ub_edonr512(salt, UB_SALT_BYTES, prefix);
    ub_edonr512(prefix, 64, prefix + 64);
    initial(state);
    scalar_blocks(state, prefix, 1);
}

void ub_edonr(const ub_edonr_kernel *kernel, const uint64_t salted[STATE_WORDS], const uint8_t *p, size_t n,
              uint8_t digest[32])
{
    uint64_t state[STATE_WORDS];
    memcpy(state, salted, sizeof state);
    finish(kernel, state, p, n, BLOCK);
    for (int i = 0; i < 4; i++)
        ub_store_le64(digest + 8 * i, state[8 + i]);
}
