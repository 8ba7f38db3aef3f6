/* fletcher2 and fletcher4, written once for every vector instruction set.
 *
 * The including file defines, for vectors of UB_WORDS 64-bit numbers:
 *     ub_vec, ub_zero(), ub_all(number), ub_add(a, b), ub_sub(a, b), ub_shl(v, bits)
 *     ub_load(p), ub_store(p, v)   at any address
 *     ub_reverse(v)       with the bytes of each number reversed
 *     ub_even(v)          the even 32-bit words, each with its bytes reversed, as numbers; ub_odd(v): the odd ones
 *     ub_down(v)          each 32-bit word moved one place down; a zero comes last
 *     ub_after(v, next)   each number moved one place down; the last place gets the first number of `next`
 *     ub_low(v, w)        the lower half of v, and behind it that of w; ub_high(v, w): their upper halves
 *     ub_swap(v, n)       each n numbers exchanged with the n beside them; n < UB_WORDS, a power of two
 *     ub_first(v)         the first number
 *     UB_KERNEL, UB_KERNEL_NAME
 *
 * fletcher4. Memory is read twice, as numbers v = even + 2^32 odd of two 32-bit words, and one word further on as
 * v' = odd + 2^32 next, and both are summed as they are: eight additions a vector, and nothing else. Sums are
 * linear and wrap at 2^64, so that S(even) = S(v) - 2^32 S(v') and S(odd) = S(v') - 2^32 S(next), where next is the
 * even word of the place to the right; or for the last place the one of the first place a step later (a zero in the
 * end), whose sums follow from those of the first place.
 *
 * That gives the four sums of each of 2 UB_WORDS interleaved lanes. They are folded pair by pair: of two lanes that
 * take turns, a word that counts u, u (u + 1) / 2 and u (u + 1) (u + 2) / 6 times in b, c and d of its own lane is
 * the (2 u)-th from the end in the first lane, and the (2 u - 1)-th in the second, and so
 *     a = a1 + a2
 *     b = 2 b1            + 2 b2 - a2
 *     c = 4 c1 - b1       + 4 c2 - 3 b2
 *     d = 8 d1 - 4 c1     + 8 d2 - 8 c2 + b2
 *
 * fletcher2 is the same with 64-bit words, two streams from the start, and only the first two lines.
 *
 * Sums are built from zero and then put behind those that were there (ub_fletcher4_combine).
 */
#include <string.h>

#include "byteorder.h"
#include "checksum_impl.h"

#define UB_INLINE static inline __attribute__((always_inline))
#define UB_BYTES (8 * UB_WORDS)
#if defined(__clang__)
#define UB_UNROLL _Pragma("clang loop unroll_count(4)")
#else
#define UB_UNROLL _Pragma("GCC unroll 4")
#endif

/* --- fletcher4 ------------------------------------------------------------------------------------------ */

#define UB_SHORT 128                         /* bytes; below, the end costs more than the beginning saves */
#define UB_STEPS_MAX ((size_t)1 << 20) /* in one go: powers of it up to the third stay below 2^63 */

typedef struct {
    ub_vec a, b, c, d;
} ub_sums;

UB_INLINE ub_sums ub_nothing(void)
{
    return (ub_sums){ub_zero(), ub_zero(), ub_zero(), ub_zero()};
}

UB_INLINE void ub_take(ub_sums *s, ub_vec v)
{
    s->a = ub_add(s->a, v);
    s->b = ub_add(s->b, s->a);
    s->c = ub_add(s->c, s->b);
    s->d = ub_add(s->d, s->c);
}

/* The lanes of x and y, which take turns, as one. */
UB_INLINE ub_sums ub_fold(ub_sums x, ub_sums y)
{
    const ub_vec b = ub_add(x.b, y.b), c = ub_add(x.c, y.c), d = ub_add(x.d, y.d);
    return (ub_sums){
        ub_add(x.a, y.a),
        ub_sub(ub_shl(b, 1), y.a),
        ub_sub(ub_shl(ub_sub(ub_shl(c, 1), y.b), 1), b),
        ub_add(ub_shl(ub_sub(ub_shl(d, 1), ub_add(c, y.c)), 2), y.b),
    };
}

/* Places that lie n apart, folded; the result is in the lower ones. */
UB_INLINE ub_sums ub_fold_apart(ub_sums s, const int n)
{
    return ub_fold(s, (ub_sums){ub_swap(s.a, n), ub_swap(s.b, n), ub_swap(s.c, n), ub_swap(s.d, n)});
}

/* All places of x and y, the sums of the even and of the odd words, folded: halves of either first, as what is
 * furthest apart takes turns. The result is in the first place. */
UB_INLINE ub_sums ub_fold_all(ub_sums x, ub_sums y)
{
    const ub_sums low = {ub_low(x.a, y.a), ub_low(x.b, y.b), ub_low(x.c, y.c), ub_low(x.d, y.d)};
    const ub_sums high = {ub_high(x.a, y.a), ub_high(x.b, y.b), ub_high(x.c, y.c), ub_high(x.d, y.d)};
    ub_sums both = ub_fold(low, high);
    for (int n = UB_WORDS / 4; n >= 1; n /= 2)
        both = ub_fold_apart(both, n);
    return ub_fold_apart(both, UB_WORDS / 2);
}

/* x: sums of v, y: sums of v'; they become those of the even and of the odd words. `first` is the first word. */
UB_INLINE void ub_separate(ub_sums *x, ub_sums *y, size_t steps, uint32_t first)
{
    x->a = ub_sub(x->a, ub_shl(y->a, 32));
    x->b = ub_sub(x->b, ub_shl(y->b, 32));
    x->c = ub_sub(x->c, ub_shl(y->c, 32));
    x->d = ub_sub(x->d, ub_shl(y->d, 32));

    /* The first place a step later: it has taken in a zero, and not `first`. Only the lower halves matter. */
    ub_sums later = *x;
    ub_take(&later, ub_zero());
    const uint64_t times_b = steps + 1, times_c = times_b * (steps + 2) / 2, times_d = times_c * (steps + 3) / 3;
    later.a = ub_sub(later.a, ub_all(first));
    later.b = ub_sub(later.b, ub_all(times_b * first));
    later.c = ub_sub(later.c, ub_all(times_c * first));
    later.d = ub_sub(later.d, ub_all(times_d * first));

    y->a = ub_sub(y->a, ub_shl(ub_after(x->a, later.a), 32));
    y->b = ub_sub(y->b, ub_shl(ub_after(x->b, later.b), 32));
    y->c = ub_sub(y->c, ub_shl(ub_after(x->c, later.c), 32));
    y->d = ub_sub(y->d, ub_shl(ub_after(x->d, later.d), 32));
}

/* `steps` vectors, at least one, from p on; with `copy` they are also stored there. */
UB_INLINE void ub_fletcher4_sum(const uint8_t *p, size_t steps, const int byteswap, uint8_t *copy, uint64_t out[4])
{
    const uint8_t *const last = p + (steps - 1) * UB_BYTES;
    const uint32_t first = ub_load32(p);
    ub_sums x = ub_nothing(), y = ub_nothing();
    UB_UNROLL
    for (; p < last; p += UB_BYTES) {
        const ub_vec v = ub_load(p);
        if (copy != NULL) {
            ub_store(copy, v);
            copy += UB_BYTES;
        }
        ub_take(&x, byteswap ? ub_even(v) : v);
        ub_take(&y, byteswap ? ub_odd(v) : ub_load(p + 4));
    }
    const ub_vec v = ub_load(last); /* one word further on memory may end */
    if (copy != NULL)
        ub_store(copy, v);
    ub_take(&x, byteswap ? ub_even(v) : v);
    ub_take(&y, byteswap ? ub_odd(v) : ub_down(v));
    if (!byteswap)
        ub_separate(&x, &y, steps, first);
    x = ub_fold_all(x, y);
    out[0] = ub_first(x.a);
    out[1] = ub_first(x.b);
    out[2] = ub_first(x.c);
    out[3] = ub_first(x.d);
}

static void ub_fletcher4(uint64_t sums[4], const uint8_t *p, size_t n, int byteswap, uint8_t *copy)
{
    while (n >= UB_SHORT) {
        size_t steps = n / UB_BYTES;
        if (steps > UB_STEPS_MAX)
            steps = UB_STEPS_MAX;
        uint64_t part[4];
        if (copy != NULL)
            ub_fletcher4_sum(p, steps, byteswap, copy, part);
        else if (byteswap)
            ub_fletcher4_sum(p, steps, 1, NULL, part);
        else
            ub_fletcher4_sum(p, steps, 0, NULL, part);
        ub_fletcher4_combine(sums, part, steps * (UB_BYTES / 4), sums);
        p += steps * UB_BYTES;
        n -= steps * UB_BYTES;
        if (copy != NULL)
            copy += steps * UB_BYTES;
    }
    if (n != 0)
        ub_fletcher_scalar.fletcher4(sums, p, n, byteswap, copy);
}

/* --- fletcher2 ------------------------------------------------------------------------------------------ */

#define UB_SETS 4 /* vectors of one step: two additions each, on units that add four a cycle or less */
#define UB_STEP (UB_SETS * UB_BYTES)

/* Lane l of either stream: pair number i / 2 of vector k, l = k UB_WORDS / 2 + i / 2. */
UB_INLINE void ub_fletcher2_sum(const uint8_t *p, size_t n, const int byteswap, uint64_t out[4])
{
    ub_vec a0 = ub_zero(), a1 = a0, a2 = a0, a3 = a0;
    ub_vec b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    for (const uint8_t *end = p + n; p < end; p += UB_STEP) {
        const ub_vec v0 = ub_load(p), v1 = ub_load(p + UB_BYTES);
        const ub_vec v2 = ub_load(p + 2 * UB_BYTES), v3 = ub_load(p + 3 * UB_BYTES);
        a0 = ub_add(a0, byteswap ? ub_reverse(v0) : v0);
        a1 = ub_add(a1, byteswap ? ub_reverse(v1) : v1);
        a2 = ub_add(a2, byteswap ? ub_reverse(v2) : v2);
        a3 = ub_add(a3, byteswap ? ub_reverse(v3) : v3);
        b0 = ub_add(b0, a0);
        b1 = ub_add(b1, a1);
        b2 = ub_add(b2, a2);
        b3 = ub_add(b3, a3);
    }
    const ub_vec from2 = ub_add(a2, a3), from1 = ub_add(a1, from2);
    const ub_vec sets = ub_add(from1, ub_add(from2, a3)); /* sum k a */
    ub_vec a = ub_add(a0, from1), b = ub_add(ub_add(b0, b1), ub_add(b2, b3));
    /* b = L sum b - sum l a, with L = 2 UB_WORDS lanes */
    b = ub_sub(ub_shl(b, __builtin_ctz(2 * UB_WORDS)), ub_shl(sets, __builtin_ctz(UB_WORDS / 2)));
    for (int n2 = UB_WORDS / 2; n2 >= 2; n2 /= 2) {
        const ub_vec upper = ub_swap(a, n2);
        b = ub_sub(ub_add(b, ub_swap(b, n2)), ub_shl(upper, __builtin_ctz(n2 / 2)));
        a = ub_add(a, upper);
    }
    out[0] = ub_first(a);
    out[1] = ub_first(ub_swap(a, 1));
    out[2] = ub_first(b);
    out[3] = ub_first(ub_swap(b, 1));
}

static void ub_fletcher2(uint64_t sums[4], const uint8_t *p, size_t n, int byteswap)
{
    const size_t whole = n - n % UB_STEP;
    if (whole != 0) {
        uint64_t part[4];
        if (byteswap)
            ub_fletcher2_sum(p, whole, 1, part);
        else
            ub_fletcher2_sum(p, whole, 0, part);
        ub_fletcher2_combine(sums, part, whole / 16, sums);
    }
    if (whole != n)
        ub_fletcher_scalar.fletcher2(sums, p + whole, n - whole, byteswap);
}

const ub_fletcher_kernel UB_KERNEL = {UB_KERNEL_NAME, ub_fletcher2, ub_fletcher4};
