/* fletcher2 and fletcher4, written once for every vector instruction set.
 *
 * The including file defines, for vectors of UB_WORDS 64-bit numbers:
 *     ub_vec, ub_zero(), ub_add(a, b), ub_sub(a, b), ub_shl(v, bits), ub_store(p, v)
 *     ub_load(p, swap)     swap 0: as it is; 32 or 64: with the bytes of each unit of so many bits reversed
 *     ub_high(v)           each number shifted right by 32
 *     ub_mul(v, w)         times the numbers at w (aligned to the vector), modulo 2^64
 *     UB_EACH(F, W)        {F(W, 0), F(W, 1), ..., F(W, UB_WORDS - 1)}
 *     UB_WORDS_LOG2, UB_KERNEL, UB_KERNEL_NAME
 *
 * fletcher4. A vector is added as it is, as 64-bit numbers v = even + 2^32 odd of two 32-bit words, and once
 * more shifted right by 32 bits, which leaves odd. Sums are linear and wrap at 2^64, so the sums of the even
 * words come out at the end as S(v) - 2^32 S(odd): nine operations a vector, and none of them a mask.
 *
 * That gives the four sums of each of L = 2 UB_WORDS interleaved lanes, which the end weighs. Lane l saw the
 * words l, l + L, ...; a word that lies u steps before the end of its lane lies r = u L - l words before the
 * end of all, and counts r, r (r + 1) / 2 and r (r + 1) (r + 2) / 6 times in b, c and d. Expressed in how
 * often it counts in the sums of its lane, which are u, u (u + 1) / 2 and u (u + 1) (u + 2) / 6, that gives
 *     a = sum A
 *     b = sum L B   - l A
 *     c = sum L^2 C - L (L - 1 + 2 l) / 2 B  + l (l - 1) / 2 A
 *     d = sum L^3 D - L^2 (L - 1 + l) C  + L ((L - 1) (L - 2) + 3 l (L + l - 2)) / 6 B
 *                   - l (l - 1) (l - 2) / 6 A
 *
 * fletcher2 is the same with 64-bit words, two streams from the start, and only the first two lines.
 *
 * The shape follows from a processor that adds vectors four a cycle with a latency of two: nine operations
 * with eight chains of one addition each keep it busy, so that more lanes would only make the end dearer.
 */
#include "checksum_impl.h"

#define UB_INLINE static inline __attribute__((always_inline))
#define UB_BYTES (8 * UB_WORDS)
#if defined(__clang__)
#define UB_UNROLL _Pragma("clang loop unroll_count(4)")
#else
#define UB_UNROLL _Pragma("GCC unroll 4")
#endif

typedef uint64_t ub_weights[UB_WORDS] __attribute__((aligned(UB_BYTES)));

/* The sum over the places of a vector, from `first` on in steps of `step`. */
UB_INLINE uint64_t ub_total(ub_vec v, int first, int step)
{
    ub_weights word;
    ub_store(word, v);
    uint64_t sum = 0;
    for (int i = first; i < UB_WORDS; i += step)
        sum += word[i];
    return sum;
}

/* --- fletcher4 ------------------------------------------------------------------------------------------ */

#define UB_SHORT 256 /* bytes; below, weighing the lanes costs more than it saves */
#define UB_L (INT64_C(2) * UB_WORDS)

#define B_FROM_A(l) (-(l))
#define C_FROM_B(l) (-(UB_L * (UB_L - 1 + 2 * (l)) / 2))
#define C_FROM_A(l) ((l) * ((l) - 1) / 2)
#define D_FROM_C(l) (-(UB_L * UB_L * (UB_L - 1 + (l))))
#define D_FROM_B(l) (UB_L * ((UB_L - 1) * (UB_L - 2) + 3 * (l) * (UB_L + (l) - 2)) / 6)
#define D_FROM_A(l) (-((l) * ((l) - 1) * ((l) - 2) / 6))

/* Weights of v are those of the even lanes. An odd word has also gone into v, 2^32 times, which its own
 * weight takes back. */
#define OF_V(W, i) ((uint64_t)W(INT64_C(2) * (i)))
#define OF_ODD(W, i) ((uint64_t)W(INT64_C(2) * (i) + 1) - (OF_V(W, i) << 32))
#define OF_BOTH(W) {UB_EACH(OF_V, W), UB_EACH(OF_ODD, W)}

static const ub_weights b_from_a[2] = OF_BOTH(B_FROM_A);
static const ub_weights c_from_b[2] = OF_BOTH(C_FROM_B);
static const ub_weights c_from_a[2] = OF_BOTH(C_FROM_A);
static const ub_weights d_from_c[2] = OF_BOTH(D_FROM_C);
static const ub_weights d_from_b[2] = OF_BOTH(D_FROM_B);
static const ub_weights d_from_a[2] = OF_BOTH(D_FROM_A);

UB_INLINE ub_vec ub_weigh(const ub_weights w[2], ub_vec v, ub_vec odd)
{
    return ub_add(ub_mul(v, w[0]), ub_mul(odd, w[1]));
}

/* The sum of even and odd words. */
UB_INLINE ub_vec ub_even_and_odd(ub_vec v, ub_vec odd)
{
    return ub_sub(ub_add(v, odd), ub_shl(odd, 32));
}

UB_INLINE void ub_fletcher4_sum(const uint8_t *p, size_t n, const int swap, uint64_t out[4])
{
    ub_vec a = ub_zero(), b = a, c = a, d = a;  /* of v */
    ub_vec oa = a, ob = a, oc = a, od = a;      /* of the odd words */
    UB_UNROLL
    for (const uint8_t *end = p + n; p != end; p += UB_BYTES) {
        ub_vec v = ub_load(p, swap);
        a = ub_add(a, v);
        oa = ub_add(oa, ub_high(v));
        b = ub_add(b, a);
        ob = ub_add(ob, oa);
        c = ub_add(c, b);
        oc = ub_add(oc, ob);
        d = ub_add(d, c);
        od = ub_add(od, oc);
    }
    ub_vec all_a = ub_even_and_odd(a, oa);
    ub_vec all_b = ub_shl(ub_even_and_odd(b, ob), UB_WORDS_LOG2 + 1);
    ub_vec all_c = ub_shl(ub_even_and_odd(c, oc), 2 * (UB_WORDS_LOG2 + 1));
    ub_vec all_d = ub_shl(ub_even_and_odd(d, od), 3 * (UB_WORDS_LOG2 + 1));
    all_b = ub_add(all_b, ub_weigh(b_from_a, a, oa));
    all_c = ub_add(all_c, ub_add(ub_weigh(c_from_b, b, ob), ub_weigh(c_from_a, a, oa)));
    all_d = ub_add(all_d, ub_weigh(d_from_c, c, oc));
    all_d = ub_add(all_d, ub_add(ub_weigh(d_from_b, b, ob), ub_weigh(d_from_a, a, oa)));
    out[0] = ub_total(all_a, 0, 1);
    out[1] = ub_total(all_b, 0, 1);
    out[2] = ub_total(all_c, 0, 1);
    out[3] = ub_total(all_d, 0, 1);
}

static void ub_fletcher4(const uint8_t *p, size_t n, int byteswap, uint64_t out[4])
{
    size_t whole = n < UB_SHORT ? 0 : n - n % UB_BYTES;
    if (whole == 0)
        out[0] = out[1] = out[2] = out[3] = 0;
    else if (byteswap)
        ub_fletcher4_sum(p, whole, 32, out);
    else
        ub_fletcher4_sum(p, whole, 0, out);
    ub_fletcher4_continue(out, p + whole, n - whole, byteswap);
}

/* --- fletcher2 ------------------------------------------------------------------------------------------ */

#define UB_SETS 4 /* vectors of one step: two additions each, on four units with a latency of two */
#define UB_STEP (UB_SETS * UB_BYTES)

/* Lane l of either stream: pair number `i / 2` of vector k, l = k UB_WORDS / 2 + i / 2. */
#define PAIR(l) ((l) / 2)
#define AS_IT_IS(W, i) ((uint64_t)W(i))
static const ub_weights pair = UB_EACH(AS_IT_IS, PAIR);

UB_INLINE void ub_fletcher2_sum(const uint8_t *p, size_t n, const int swap, uint64_t out[4])
{
    ub_vec a0 = ub_zero(), a1 = a0, a2 = a0, a3 = a0;
    ub_vec b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    for (const uint8_t *end = p + n; p != end; p += UB_STEP) {
        a0 = ub_add(a0, ub_load(p, swap));
        a1 = ub_add(a1, ub_load(p + UB_BYTES, swap));
        a2 = ub_add(a2, ub_load(p + 2 * UB_BYTES, swap));
        a3 = ub_add(a3, ub_load(p + 3 * UB_BYTES, swap));
        b0 = ub_add(b0, a0);
        b1 = ub_add(b1, a1);
        b2 = ub_add(b2, a2);
        b3 = ub_add(b3, a3);
    }
    ub_vec from2 = ub_add(a2, a3), from1 = ub_add(a1, from2);
    ub_vec sets = ub_add(from1, ub_add(from2, a3)); /* sum k A */
    ub_vec a = ub_add(a0, from1);
    ub_vec b = ub_shl(ub_add(ub_add(b0, b1), ub_add(b2, b3)), UB_WORDS_LOG2 + 1); /* L = 2 UB_WORDS lanes */
    b = ub_sub(b, ub_add(ub_shl(sets, UB_WORDS_LOG2 - 1), ub_mul(a, pair)));
    out[0] = ub_total(a, 0, 2);
    out[1] = ub_total(a, 1, 2);
    out[2] = ub_total(b, 0, 2);
    out[3] = ub_total(b, 1, 2);
}

static void ub_fletcher2(const uint8_t *p, size_t n, int byteswap, uint64_t out[4])
{
    size_t whole = n - n % UB_STEP;
    if (byteswap)
        ub_fletcher2_sum(p, whole, 64, out);
    else
        ub_fletcher2_sum(p, whole, 0, out);
    ub_fletcher2_continue(out, p + whole, n - whole, byteswap);
}

const ub_fletcher_kernel UB_KERNEL = {UB_KERNEL_NAME, ub_fletcher2, ub_fletcher4};
