/* Edon-R 512's compression: blocks of each of UB_LANES messages, written once for plain C and every vector instruction
 * set. Lane j of each vector belongs to message j.
 *
 * A message block is worked into the double-width state by eight quasigroup operations on vectors of eight words;
 * "reversed" is a vector read from its last word to its first.
 *
 * The including file defines UB_LANES and, for vectors of UB_LANES words of 64 bits:
 *     ub_vec, ub_add(a, b), ub_xor(a, b), ub_rotl(v, bits), ub_splat(word)
 *     ub_message(m, p, at, n)     n words, from little-endian bytes, at p[lane] + at
 *
 * Source: Edon-R, submission to the SHA-3 competition with the authors' later tweak (feed-forward of the block and the
 * chaining value).
 */
#include <stddef.h>
#include <stdint.h>

#define UB_INLINE static inline __attribute__((always_inline))

#define SUM3(a, b, c) ub_add(ub_add(a, b), c)
#define XOR3(a, b, c) ub_xor(ub_xor(a, b), c)

/* The operation x * y is a sum of two functions, one of x and one of y, word by word. Each forms eight rotated sums of
 * five words, and gives eight exclusive ors of three of those. Sums and exclusive ors of some that occur more than once
 * are formed once. */
UB_INLINE void ub_left_of(ub_vec r[8], ub_vec x0, ub_vec x1, ub_vec x2, ub_vec x3, ub_vec x4, ub_vec x5, ub_vec x6,
                          ub_vec x7)
{
    const ub_vec x04 = ub_add(x0, x4), x17 = ub_add(x1, x7), x23 = ub_add(x2, x3), x56 = ub_add(x5, x6);
    const ub_vec x0147 = ub_add(x04, x17), x2356 = ub_add(x23, x56);
    const ub_vec s0 = SUM3(x0147, x2, ub_splat(UINT64_C(0xaaaaaaaaaaaaaaaa)));
    const ub_vec s1 = ub_rotl(ub_add(x0147, x3), 5);
    const ub_vec s2 = ub_rotl(ub_add(x0147, x6), 15);
    const ub_vec s3 = ub_rotl(ub_add(x2356, x7), 22);
    const ub_vec s4 = ub_rotl(ub_add(x2356, x1), 31);
    const ub_vec s5 = ub_rotl(SUM3(x04, x23, x5), 40);
    const ub_vec s6 = ub_rotl(SUM3(x17, x56, x0), 50);
    const ub_vec s7 = ub_rotl(ub_add(x2356, x4), 59);
    const ub_vec s01 = ub_xor(s0, s1), s23 = ub_xor(s2, s3), s56 = ub_xor(s5, s6);
    r[0] = ub_xor(s01, s4);
    r[1] = XOR3(s0, s4, s7);
    r[2] = XOR3(s1, s6, s7);
    r[3] = ub_xor(s23, s4);
    r[4] = ub_xor(s01, s7);
    r[5] = ub_xor(s3, s56);
    r[6] = ub_xor(s2, s56);
    r[7] = ub_xor(s23, s5);
}

UB_INLINE void ub_left(ub_vec r[8], const ub_vec x[8])
{
    ub_left_of(r, x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]);
}

UB_INLINE void ub_left_reversed(ub_vec r[8], const ub_vec x[8])
{
    ub_left_of(r, x[7], x[6], x[5], x[4], x[3], x[2], x[1], x[0]);
}

/* r = left + right(y) */
UB_INLINE void ub_right(ub_vec r[8], const ub_vec left[8], const ub_vec y[8])
{
    const ub_vec y01 = ub_add(y[0], y[1]), y25 = ub_add(y[2], y[5]), y34 = ub_add(y[3], y[4]);
    const ub_vec y67 = ub_add(y[6], y[7]), y0125 = ub_add(y01, y25), y0134 = ub_add(y01, y34);
    const ub_vec y2567 = ub_add(y25, y67), y3467 = ub_add(y34, y67);
    const ub_vec t0 = SUM3(y0125, y[7], ub_splat(UINT64_C(0x5555555555555555)));
    const ub_vec t1 = ub_rotl(ub_add(y0134, y[6]), 10);
    const ub_vec t2 = ub_rotl(ub_add(y0125, y[3]), 19);
    const ub_vec t3 = ub_rotl(ub_add(y3467, y[2]), 29);
    const ub_vec t4 = ub_rotl(ub_add(y0134, y[5]), 36);
    const ub_vec t5 = ub_rotl(ub_add(y2567, y[4]), 44);
    const ub_vec t6 = ub_rotl(ub_add(y2567, y[1]), 48);
    const ub_vec t7 = ub_rotl(ub_add(y3467, y[0]), 55);
    const ub_vec t01 = ub_xor(t0, t1), t25 = ub_xor(t2, t5), t34 = ub_xor(t3, t4), t67 = ub_xor(t6, t7);
    r[0] = ub_add(left[0], ub_xor(t01, t5));
    r[1] = ub_add(left[1], ub_xor(t2, t67));
    r[2] = ub_add(left[2], ub_xor(t01, t3));
    r[3] = ub_add(left[3], ub_xor(t0, t34));
    r[4] = ub_add(left[4], ub_xor(t1, t25));
    r[5] = ub_add(left[5], ub_xor(t34, t6));
    r[6] = ub_add(left[6], ub_xor(t25, t7));
    r[7] = ub_add(left[7], ub_xor(t4, t67));
}

/* The block at p[lane] + at of each message. */
UB_INLINE void ub_edonr_block(ub_vec state[16], const uint8_t *const *p, size_t at)
{
    ub_vec *low = state, *high = state + 8;
    ub_vec m[16], a[8], b[8], c[8], half[8];
    ub_message(m, p, at, 16);
    ub_left_reversed(half, m + 8); /* A = the block alone */
    ub_right(a, half, m);
    ub_left(half, a);              /* B = A * its second half */
    ub_right(b, half, m + 8);
    ub_left(half, high);           /* C = upper half of the state * A */
    ub_right(c, half, a);
    ub_left(half, c);
    ub_right(b, half, b);          /* D = C * B */
    ub_right(c, half, low);        /* E = C * lower half of the state */
    ub_left(half, b);
    ub_right(b, half, c);          /* F = D * E */
    ub_left_reversed(half, m);
    ub_right(a, half, c);          /* G = first half of the block * E */
    ub_left(half, a);
    ub_right(b, half, b);          /* H = G * F */
    for (int i = 0; i < 8; i++) {
        low[i] = ub_xor(low[i], ub_xor(m[8 + i], a[i]));
        high[i] = ub_xor(high[i], ub_xor(m[i], b[i]));
    }
}
