/* The two kernels, written once for every vector instruction set.
 *
 * The including file defines, for vectors of UB_BYTES bytes:
 *     ub_vec, ub_load(p), ub_store(p, v), ub_zero(), ub_xor(a, b), ub_xor3(a, b, c)
 *     ub_horner2(q, a), ub_horner4(r, a) 2q + a and 4r + a
 *     ub_factor, ub_factor_set(f, c)     a constant made ready for multiplication
 *     ub_muladd(acc, v, f)               acc + f * v
 *     UB_GROUP                           vectors of one column held in registers at a time
 *     UB_KERNEL, UB_KERNEL_NAME          the ub_raidz_kernel to define, and its name
 * Where multiplication by any constant costs the same, it defines UB_PAIRS and ub_mul2(v), ub_mul4(v),
 * ub_mul16(v): columns are then taken in pairs, Q = 4Q + 2a + b and R = 16R + 4a + b, which halves the
 * additions and the length of the chain. Where ub_horner2 and ub_horner4 are cheaper with a constant added,
 * it defines UB_BIAS: the sums of Q and R carry it from the first column to the last.
 *
 * Each byte of each column is loaded once. A group of UB_GROUP vectors is the unit: all columns are walked
 * for it with the sums in registers. While at least UB_AHEAD bytes follow, the line that far ahead is
 * prefetched in every column: with a dozen streams the hardware prefetchers of today's processors lose track.
 */
#include "raidz_impl.h"

#define UB_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UB_UNROLL _Pragma("clang loop unroll(full)")
#else
#define UB_UNROLL _Pragma("GCC unroll 16")
#endif
#define UB_STEP ((size_t)UB_GROUP * UB_BYTES)
#ifndef UB_AHEAD
#define UB_AHEAD ((size_t)1024)
#endif
#define UB_LINE 64

UB_INLINE void ub_group_prefetch(const uint8_t *p)
{
    UB_UNROLL
    for (size_t b = 0; b < UB_STEP; b += UB_LINE)
        __builtin_prefetch(p + UB_AHEAD + b, 0, 3);
}

UB_INLINE void ub_group_load(ub_vec v[UB_GROUP], const uint8_t *p, const int ahead)
{
    if (ahead)
        ub_group_prefetch(p);
    UB_UNROLL
    for (int i = 0; i < UB_GROUP; i++)
        v[i] = ub_load(p + (size_t)i * UB_BYTES);
}

UB_INLINE void ub_group_store(uint8_t *p, const ub_vec v[UB_GROUP])
{
    UB_UNROLL
    for (int i = 0; i < UB_GROUP; i++)
        ub_store(p + (size_t)i * UB_BYTES, v[i]);
}

/* --- generation ------------------------------------------------------------------------------------------ */

/* Puts the constant into the sums, or takes it out again. */
UB_INLINE void ub_group_bias(ub_vec Q[UB_GROUP], ub_vec R[UB_GROUP], const int p)
{
#ifdef UB_BIAS
    UB_UNROLL
    for (int i = 0; i < UB_GROUP; i++) {
        if (p > 1)
            Q[i] = ub_xor(Q[i], UB_BIAS);
        if (p > 2)
            R[i] = ub_xor(R[i], UB_BIAS);
    }
#else
    (void)Q, (void)R, (void)p;
#endif
}

UB_INLINE void ub_horner_one(ub_vec P[UB_GROUP], ub_vec Q[UB_GROUP], ub_vec R[UB_GROUP],
                             const ub_vec a[UB_GROUP], const int p)
{
    UB_UNROLL
    for (int i = 0; i < UB_GROUP; i++) {
        P[i] = ub_xor(P[i], a[i]);
        if (p > 1)
            Q[i] = ub_horner2(Q[i], a[i]);
        if (p > 2)
            R[i] = ub_horner4(R[i], a[i]);
    }
}

UB_INLINE void ub_horner_two(ub_vec P[UB_GROUP], ub_vec Q[UB_GROUP], ub_vec R[UB_GROUP],
                             const ub_vec a[UB_GROUP], const ub_vec b[UB_GROUP], const int p)
{
#ifdef UB_PAIRS
    UB_UNROLL
    for (int i = 0; i < UB_GROUP; i++) {
        P[i] = ub_xor3(P[i], a[i], b[i]);
        if (p > 1)
            Q[i] = ub_xor3(ub_mul4(Q[i]), ub_mul2(a[i]), b[i]);
        if (p > 2)
            R[i] = ub_xor3(ub_mul16(R[i]), ub_mul4(a[i]), b[i]);
    }
#else
    ub_horner_one(P, Q, R, a, p);
    ub_horner_one(P, Q, R, b, p);
#endif
}

UB_INLINE void ub_generate_range(size_t n, const uint8_t *const *src, uint8_t *const *dst, size_t from,
                                 size_t to, const int p, const int ahead)
{
    for (size_t at = from; at < to; at += UB_STEP) {
        ub_vec P[UB_GROUP], Q[UB_GROUP], R[UB_GROUP], a[UB_GROUP], b[UB_GROUP];
        ub_group_load(P, src[0] + at, ahead);
        UB_UNROLL
        for (int i = 0; i < UB_GROUP; i++)
            Q[i] = R[i] = P[i];
        ub_group_bias(Q, R, p);
        size_t j = 1;
        if (n % 2 == 0) {
            ub_group_load(a, src[1] + at, ahead);
            ub_horner_one(P, Q, R, a, p);
            j = 2;
        }
        for (; j < n; j += 2) {
            ub_group_load(a, src[j] + at, ahead);
            ub_group_load(b, src[j + 1] + at, ahead);
            ub_horner_two(P, Q, R, a, b, p);
        }
        ub_group_bias(Q, R, p);
        ub_group_store(dst[0] + at, P);
        if (p > 1)
            ub_group_store(dst[1] + at, Q);
        if (p > 2)
            ub_group_store(dst[2] + at, R);
    }
}

UB_INLINE void ub_generate_all(size_t n, const uint8_t *const *src, uint8_t *const *dst, size_t from,
                               size_t to, const int p)
{
    size_t near = to - from > UB_AHEAD ? to - (UB_AHEAD + UB_STEP - 1) / UB_STEP * UB_STEP : from;
    if (near > from)
        ub_generate_range(n, src, dst, from, near, p, 1);
    else
        near = from;
    ub_generate_range(n, src, dst, near, to, p, 0);
}

static void ub_generate(size_t n, size_t p, const uint8_t *const *src, uint8_t *const *dst, size_t from,
                        size_t to)
{
    if (p == 1)
        ub_generate_all(n, src, dst, from, to, 1);
    else if (p == 2)
        ub_generate_all(n, src, dst, from, to, 2);
    else
        ub_generate_all(n, src, dst, from, to, 3);
}

/* --- linear combination ---------------------------------------------------------------------------------- */

UB_INLINE void ub_combine_add(ub_vec acc[][UB_GROUP], const ub_vec v[UB_GROUP], const ub_factor *f,
                              const int rows)
{
    UB_UNROLL
    for (int k = 0; k < rows; k++) {
        UB_UNROLL
        for (int i = 0; i < UB_GROUP; i++)
            acc[k][i] = ub_muladd(acc[k][i], v[i], &f[k]);
    }
}

UB_INLINE void ub_combine_range(const ub_raidz_plan *plan, const ub_factor *factors,
                                const uint8_t *const *src, uint8_t *const *dst, size_t from, size_t to,
                                const int rows, const int fold, const int ahead)
{
    const size_t nsrc = plan->nsrc, nxor = fold ? plan->nxor : 0, nchain = plan->nchain;
    for (size_t at = from; at < to; at += UB_STEP) {
        ub_vec acc[UB_RAIDZ_MAX_ROWS][UB_GROUP], x[UB_GROUP], v[UB_GROUP];
        UB_UNROLL
        for (int i = 0; i < UB_GROUP; i++)
            acc[0][i] = acc[1][i] = x[i] = ub_zero();
        const ub_factor *f = factors;
        size_t s = 0;
        for (; s < nxor; s++, f += rows) {
            ub_group_load(v, src[s] + at, ahead);
            UB_UNROLL
            for (int i = 0; i < UB_GROUP; i++)
                x[i] = ub_xor(x[i], v[i]);
            ub_combine_add(acc, v, f, rows);
        }
        for (; s < nsrc; s++, f += rows) {
            ub_group_load(v, src[s] + at, ahead);
            ub_combine_add(acc, v, f, rows);
        }
        UB_UNROLL
        for (int k = 0; k < rows; k++) {
            ub_group_store(dst[k] + at, acc[k]);
            if (fold && (size_t)(rows - k) <= nchain) {
                UB_UNROLL
                for (int i = 0; i < UB_GROUP; i++)
                    x[i] = ub_xor(x[i], acc[k][i]);
            }
        }
        if (fold)
            ub_group_store(dst[rows] + at, x);
    }
}

UB_INLINE void ub_combine_all(const ub_raidz_plan *plan, const uint8_t *const *src, uint8_t *const *dst,
                              size_t from, size_t to, const int rows, const int fold)
{
    ub_factor factors[UB_RAIDZ_MAX_COLUMNS * UB_RAIDZ_MAX_ROWS];
    for (size_t s = 0; s < plan->nsrc; s++)
        for (int k = 0; k < rows; k++)
            ub_factor_set(&factors[s * (size_t)rows + (size_t)k], plan->coef[k][s]);
    size_t near = to - from > UB_AHEAD ? to - (UB_AHEAD + UB_STEP - 1) / UB_STEP * UB_STEP : from;
    if (near > from)
        ub_combine_range(plan, factors, src, dst, from, near, rows, fold, 1);
    else
        near = from;
    ub_combine_range(plan, factors, src, dst, near, to, rows, fold, 0);
}

static void ub_combine(const ub_raidz_plan *plan, const uint8_t *const *src, uint8_t *const *dst, size_t from,
                       size_t to)
{
    const size_t rows = plan->rows;
    if (plan->fold && rows == 0)
        ub_generate_all(plan->nsrc, src, dst, from, to, 1);
    else if (plan->fold && rows == 1)
        ub_combine_all(plan, src, dst, from, to, 1, 1);
    else if (plan->fold)
        ub_combine_all(plan, src, dst, from, to, 2, 1);
    else if (rows == 1)
        ub_combine_all(plan, src, dst, from, to, 1, 0);
    else
        ub_combine_all(plan, src, dst, from, to, 2, 0);
}

const ub_raidz_kernel UB_KERNEL = {UB_KERNEL_NAME, UB_STEP, ub_generate, ub_combine};
