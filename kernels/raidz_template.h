/* The two kernels, written once for every vector instruction set.
 *
 * The including file defines, for vectors of UB_BYTES bytes, of which the processor holds UB_REGISTERS:
 *     ub_vec, ub_load(p), ub_store(p, v), ub_zero(), ub_xor(a, b), ub_xor3(a, b, c)
 *     ub_horner2(q, a), ub_horner4(r, a) 2q + a and 4r + a
 *     ub_factor, ub_factor_set(f, c)     a constant made ready for multiplication
 *     ub_muladd(acc, v, f)               acc + f v
 *     UB_KERNEL, UB_KERNEL_NAME          the ub_raidz_kernel to define, and its name
 * Where multiplication by a constant is one instruction it defines UB_PAIRS, ub_muladd2(acc, v, f, w, h) for
 * acc + f v + h w, and ub_mul2(v), ub_mul4(v), ub_mul16(v): columns are then taken in pairs, Q = 4Q + 2a + b and R = 16R + 4a + b, which halves the
 * additions and the length of the chain. Where ub_horner2 and ub_horner4 are cheaper with a constant added,
 * it defines UB_BIAS: the sums of Q and R carry it from the first column to the last. Where the processor
 * has them it defines
 *     ub_clock()                         a counter that costs next to nothing and runs at 2 to 4 GHz
 *     ub_stream(p, v)                    a store past the caches (p is aligned)
 *
 * and UB_PREFETCHES where asking for lines ahead pays (where it does not, the processor does as well by itself).
 *
 * Each byte of each column is loaded once: for a group of vectors all columns are walked, with the sums in
 * registers. A rebuild of many columns walks some of them for a piece, then the others, with the sums between in the
 * first level: columns often lie at the same place of a page, and a cache has few lines for one place. Where the columns
 * are, in a cache or in memory, raidz_pace.h finds out.
 */
#include "raidz_pace.h"

#define UB_STEP ((size_t)UB_GROUP * UB_BYTES)

#ifdef UB_PAIRS
#define UB_MULTIPLIES_FAST 1
#else
#define UB_MULTIPLIES_FAST 0
#endif

/* Parity needs to go past the caches where memory is the limit, not multiplication. */
#define UB_STREAMS_ALL (UB_MULTIPLIES_FAST || !UB_PREFETCHES)

/* --- generation ----------------------------------------------------------------------------------------- */

typedef struct {
    ub_vec p[UB_GROUP], q[UB_GROUP], r[UB_GROUP];
} ub_sums;

/* Puts the constant into the sums, or takes it out again. */
UB_INLINE void ub_bias(ub_sums *sums, const int nparity, const int g)
{
#ifdef UB_BIAS
    UB_UNROLL
    for (int i = 0; i < g; i++) {
        if (nparity > 1)
            sums->q[i] = ub_xor(sums->q[i], UB_BIAS);
        if (nparity > 2)
            sums->r[i] = ub_xor(sums->r[i], UB_BIAS);
    }
#else
    (void)sums, (void)nparity, (void)g;
#endif
}

UB_INLINE void ub_horner(ub_sums *sums, const ub_vec a[UB_GROUP], const int nparity, const int g)
{
    UB_UNROLL
    for (int i = 0; i < g; i++) {
        sums->p[i] = ub_xor(sums->p[i], a[i]);
        if (nparity > 1)
            sums->q[i] = ub_horner2(sums->q[i], a[i]);
        if (nparity > 2)
            sums->r[i] = ub_horner4(sums->r[i], a[i]);
    }
}

#ifdef UB_PAIRS
UB_INLINE void ub_horner_pair(ub_sums *sums, const ub_vec a[UB_GROUP], const ub_vec b[UB_GROUP],
                              const int nparity, const int g)
{
    UB_UNROLL
    for (int i = 0; i < g; i++) {
        sums->p[i] = ub_xor3(sums->p[i], a[i], b[i]);
        if (nparity > 1)
            sums->q[i] = ub_xor3(ub_mul4(sums->q[i]), ub_mul2(a[i]), b[i]);
        if (nparity > 2)
            sums->r[i] = ub_xor3(ub_mul16(sums->r[i]), ub_mul4(a[i]), b[i]);
    }
}
#endif

/* Adds the columns 1 .. n-1. */
UB_INLINE void ub_horner_columns(ub_sums *sums, size_t n, const uint8_t *const *src, size_t at, size_t ahead,
                                 const int nparity, const int g, const int mode)
{
    ub_vec a[UB_GROUP];
#ifdef UB_PAIRS
    ub_vec b[UB_GROUP];
    size_t j = 1;
    if (n % 2 == 0) {
        ub_group_load(a, src[j++] + at, ahead, g, mode);
        ub_horner(sums, a, nparity, g);
    }
    for (; j < n; j += 2) {
        ub_group_load(a, src[j] + at, ahead, g, mode);
        ub_group_load(b, src[j + 1] + at, ahead, g, mode);
        ub_horner_pair(sums, a, b, nparity, g);
    }
#else
    for (size_t j = 1; j < n; j++) {
        ub_group_load(a, src[j] + at, ahead, g, mode);
        ub_horner(sums, a, nparity, g);
    }
#endif
}

/* Bytes from .. to-1; the columns reach to `last`. */
UB_INLINE void ub_generate_tile(size_t n, const uint8_t *const *src, uint8_t *const *dst, size_t from,
                                size_t to, size_t last, const int nparity, const int mode)
{
    const int g = ub_group(mode, nparity > (UB_PREFETCHES ? 2 : 1));
    for (size_t at = from; at < to; at += (size_t)g * UB_BYTES) {
        const size_t ahead = at + UB_AHEAD < last ? UB_AHEAD : 0;
        ub_sums sums;
        ub_group_load(sums.p, src[0] + at, ahead, g, mode);
        UB_UNROLL
        for (int i = 0; i < g; i++)
            sums.q[i] = sums.r[i] = sums.p[i];
        ub_bias(&sums, nparity, g);
        ub_horner_columns(&sums, n, src, at, ahead, nparity, g, mode);
        ub_bias(&sums, nparity, g);
        ub_group_store(dst[0] + at, sums.p, g, mode);
        if (nparity > 1)
            ub_group_store(dst[1] + at, sums.q, g, mode);
        if (nparity > 2)
            ub_group_store(dst[2] + at, sums.r, g, mode);
    }
}

UB_INLINE void ub_generate_parity(size_t n, const uint8_t *const *src, uint8_t *const *dst, size_t length, int keep,
                                  const int nparity)
{
    ub_pace pace;
    const int may_stream = (UB_STREAMS_ALL || nparity == 1) && ub_may_stream(dst, (size_t)nparity, keep);
    ub_pace_start(&pace, n, (size_t)nparity, length, may_stream, nparity == 1 ? UB_ONE_AT_ONCE : UB_AT_ONCE,
                  nparity > 2);
    for (size_t at = 0, end; at < length; at = end) {
        end = length - at > pace.tile ? at + pace.tile : length;
        if (UB_PREFETCHES && pace.mode == UB_START)
            ub_generate_tile(n, src, dst, at, end, length, nparity, UB_START);
        else if (UB_PREFETCHES && pace.mode == UB_FAR)
            ub_generate_tile(n, src, dst, at, end, length, nparity, UB_FAR);
        else if (pace.mode == UB_BEYOND)
            ub_generate_tile(n, src, dst, at, end, length, nparity, UB_BEYOND);
        else
            ub_generate_tile(n, src, dst, at, end, length, nparity, UB_NEAR);
        if (end < length)
            ub_pace_next(&pace, (end - at) * n);
    }
}

static void ub_generate(size_t n, size_t nparity, const uint8_t *const *src, uint8_t *const *dst, size_t length,
                        int keep)
{
    if (nparity == 1)
        ub_generate_parity(n, src, dst, length, keep, 1);
    else if (nparity == 2)
        ub_generate_parity(n, src, dst, length, keep, 2);
    else
        ub_generate_parity(n, src, dst, length, keep, 3);
}

/* --- linear combination --------------------------------------------------------------------------------- */

typedef struct {
    ub_vec row[UB_RAIDZ_MAX_ROWS][UB_GROUP], plain[UB_GROUP];
} ub_targets;

UB_INLINE void ub_add(ub_targets *sums, const ub_vec v[UB_GROUP], const ub_factor *f, const int rows,
                      const int plain, const int g)
{
    UB_UNROLL
    for (int i = 0; i < g; i++) {
        if (plain)
            sums->plain[i] = ub_xor(sums->plain[i], v[i]);
        UB_UNROLL
        for (int k = 0; k < rows; k++)
            sums->row[k][i] = ub_muladd(sums->row[k][i], v[i], &f[k]);
    }
}

#ifdef UB_PAIRS
UB_INLINE void ub_add_pair(ub_targets *sums, const ub_vec v[UB_GROUP], const ub_vec w[UB_GROUP],
                           const ub_factor *f, const int rows, const int plain, const int g)
{
    UB_UNROLL
    for (int i = 0; i < g; i++) {
        if (plain)
            sums->plain[i] = ub_xor3(sums->plain[i], v[i], w[i]);
    }
    UB_UNROLL
    for (int k = 0; k < rows; k++) {
        UB_UNROLL
        for (int i = 0; i < g; i++)
            sums->row[k][i] = ub_muladd2(sums->row[k][i], v[i], &f[k], w[i], &f[rows + k]);
    }
}
#endif

/* Adds the sources s .. end-1 to the rows, and to the plain sum if `plain`. */
UB_INLINE void ub_add_sources(ub_targets *sums, const ub_factor *factors, const uint8_t *const *src, size_t s,
                              size_t end, size_t at, size_t ahead, const int rows, const int plain,
                              const int mode)
{
    const int g = ub_group(mode, rows > 1);
    const ub_factor *f = factors + s * (size_t)rows;
    ub_vec v[UB_GROUP];
#ifdef UB_PAIRS
    ub_vec w[UB_GROUP];
    if ((end - s) % 2) {
        ub_group_load(v, src[s] + at, ahead, g, mode);
        ub_add(sums, v, f, rows, plain, g);
        s++, f += rows;
    }
    for (; s < end; s += 2, f += 2 * rows) {
        ub_group_load(v, src[s] + at, ahead, g, mode);
        ub_group_load(w, src[s + 1] + at, ahead, g, mode);
        ub_add_pair(sums, v, w, f, rows, plain, g);
    }
#else
    for (; s < end; s++, f += rows) {
        ub_group_load(v, src[s] + at, ahead, g, mode);
        ub_add(sums, v, f, rows, plain, g);
    }
#endif
}

/* Sums begin with zeros, or go on from where another part left them. */
UB_INLINE void ub_targets_begin(ub_targets *sums, const ub_vec *carry, const int zeros, const int rows, const int fold,
                                const int g)
{
    UB_UNROLL
    for (int i = 0; i < g; i++) {
        UB_UNROLL
        for (int k = 0; k < rows; k++)
            sums->row[k][i] = zeros ? ub_zero() : carry[k * g + i];
        if (fold)
            sums->plain[i] = zeros ? ub_zero() : carry[rows * g + i];
    }
}

UB_INLINE void ub_targets_leave(const ub_targets *sums, ub_vec *carry, const int rows, const int fold, const int g)
{
    UB_UNROLL
    for (int i = 0; i < g; i++) {
        UB_UNROLL
        for (int k = 0; k < rows; k++)
            carry[k * g + i] = sums->row[k][i];
        if (fold)
            carry[rows * g + i] = sums->plain[i];
    }
}

UB_INLINE void ub_targets_store(const ub_raidz_plan *plan, ub_targets *sums, uint8_t *const *dst, size_t at,
                                const int rows, const int fold, const int g, const int mode)
{
    UB_UNROLL
    for (int k = 0; k < rows; k++) {
        ub_group_store(dst[k] + at, sums->row[k], g, mode);
        if (fold && (size_t)(rows - k) <= plan->nchain) {
            UB_UNROLL
            for (int i = 0; i < g; i++)
                sums->plain[i] = ub_xor(sums->plain[i], sums->row[k][i]);
        }
    }
    if (fold)
        ub_group_store(dst[rows] + at, sums->plain, g, mode);
}

/* The sources first .. end-1 of a tile: from `carry`, unless they are the first ones, to the targets, or to `carry`
 * again where sources are left. */
UB_INLINE void ub_combine_part(const ub_raidz_plan *plan, const ub_factor *factors, const uint8_t *const *src,
                               uint8_t *const *dst, size_t from, size_t to, size_t last, size_t first, size_t end,
                               ub_vec *carry, const int rows, const int fold, const int mode)
{
    const int g = ub_group(mode, rows > 1);
    const size_t nxor = !fold || plan->nxor < first ? first : plan->nxor < end ? plan->nxor : end;
    for (size_t at = from; at < to; at += (size_t)g * UB_BYTES, carry += (rows + fold) * g) {
        const size_t ahead = at + UB_AHEAD < last ? UB_AHEAD : 0;
        ub_targets sums;
        ub_targets_begin(&sums, carry, first == 0, rows, fold, g);
        if (fold)
            ub_add_sources(&sums, factors, src, first, nxor, at, ahead, rows, 1, mode);
        ub_add_sources(&sums, factors, src, nxor, end, at, ahead, rows, 0, mode);
        if (end < plan->nsrc)
            ub_targets_leave(&sums, carry, rows, fold, g);
        else
            ub_targets_store(plan, &sums, dst, at, rows, fold, g, mode);
    }
}

UB_INLINE void ub_combine_tile(const ub_raidz_plan *plan, const ub_factor *factors, const uint8_t *const *src,
                               uint8_t *const *dst, size_t from, size_t to, size_t last, const int rows,
                               const int fold, const int mode)
{
    ub_vec carry[(UB_RAIDZ_MAX_ROWS + 1) * UB_PART / UB_BYTES];
    const size_t parts = ub_parts(plan->nsrc);
    for (size_t at = from, stop; at < to; at = stop) {
        stop = parts == 1 || to - at < UB_PART ? to : at + UB_PART;
        for (size_t p = 0; p < parts; p++)
            ub_combine_part(plan, factors, src, dst, at, stop, last, p * plan->nsrc / parts,
                            (p + 1) * plan->nsrc / parts, carry, rows, fold, mode);
    }
}

UB_INLINE void ub_combine_rows(const ub_raidz_plan *plan, const uint8_t *const *src, uint8_t *const *dst,
                               size_t length, int keep, const int rows, const int fold)
{
    ub_factor factors[UB_RAIDZ_MAX_COLUMNS * UB_RAIDZ_MAX_ROWS];
    if (UB_PREFETCHES)
        ub_ask_first(plan->nsrc, src, length);
    for (size_t s = 0; s < plan->nsrc; s++)
        for (int k = 0; k < rows; k++)
            ub_factor_set(&factors[s * (size_t)rows + (size_t)k], plan->coef[k][s]);
    ub_pace pace;
    const size_t targets = (size_t)(rows + fold);
    /* where multiplication is slow, stores past the caches make it slower yet, even in memory */
    const int may_stream = UB_MULTIPLIES_FAST && ub_may_stream(dst, targets, keep);
    ub_pace_start(&pace, plan->nsrc, targets, length, may_stream, UB_NEVER, 1);
    for (size_t at = 0, end; at < length; at = end) {
        end = length - at > pace.tile ? at + pace.tile : length;
        if (pace.mode <= UB_NEAR) /* small groups would load the factors too often */
            ub_combine_tile(plan, factors, src, dst, at, end, length, rows, fold, UB_NEAR);
        else if (UB_PREFETCHES && pace.mode == UB_FAR)
            ub_combine_tile(plan, factors, src, dst, at, end, length, rows, fold, UB_FAR);
        else if (UB_MULTIPLIES_FAST)
            ub_combine_tile(plan, factors, src, dst, at, end, length, rows, fold, UB_BEYOND);
        if (end < length)
            ub_pace_next(&pace, (end - at) * plan->nsrc);
    }
}

static void ub_combine(const ub_raidz_plan *plan, const uint8_t *const *src, uint8_t *const *dst, size_t length,
                       int keep)
{
    if (plan->rows == 0)
        ub_generate_parity(plan->nsrc, src, dst, length, keep, 1);
    else if (plan->rows == 1 && plan->fold)
        ub_combine_rows(plan, src, dst, length, keep, 1, 1);
    else if (plan->rows == 1)
        ub_combine_rows(plan, src, dst, length, keep, 1, 0);
    else if (plan->fold)
        ub_combine_rows(plan, src, dst, length, keep, 2, 1);
    else
        ub_combine_rows(plan, src, dst, length, keep, 2, 0);
}

#ifdef UB_PAIRS
const ub_raidz_kernel UB_KERNEL = {UB_KERNEL_NAME, UB_STEP, ub_generate, ub_combine, NULL};
#else
#include "raidz_sums.h"
const ub_raidz_kernel UB_KERNEL = {UB_KERNEL_NAME, UB_STEP, ub_generate, ub_combine, ub_sums_rebuild};
#endif
