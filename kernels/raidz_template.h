/* The two kernels, written once for every vector instruction set.
 *
 * The including file defines, for vectors of UB_BYTES bytes, of which the processor holds UB_REGISTERS:
 *     ub_vec, ub_load(p), ub_store(p, v), ub_zero(), ub_xor(a, b), ub_xor3(a, b, c)
 *     ub_horner2(q, a), ub_horner4(r, a) 2q + a and 4r + a
 *     ub_factor, ub_factor_set(f, c)     a constant made ready for multiplication
 *     ub_muladd(acc, v, f)               acc + f v
 *     ub_muladd2(acc, v, f, w, h)        acc + f v + h w
 *     UB_KERNEL, UB_KERNEL_NAME          the ub_raidz_kernel to define, and its name
 * Where multiplication by a constant is one instruction it defines UB_PAIRS and ub_mul2(v), ub_mul4(v),
 * ub_mul16(v): columns are then taken in pairs, Q = 4Q + 2a + b and R = 16R + 4a + b, which halves the
 * additions and the length of the chain. Where ub_horner2 and ub_horner4 are cheaper with a constant added,
 * it defines UB_BIAS: the sums of Q and R carry it from the first column to the last. Where the processor
 * has them it defines
 *     ub_clock()                         a counter that costs next to nothing and runs at 2 to 4 GHz
 *     ub_stream(p, v), ub_fence()        a store past the caches (p is aligned), and what ends a series
 *
 * Each byte of each column is loaded once: for a group of vectors all columns are walked, with the sums in
 * registers. How best to fetch them depends on where the columns are, in a cache or in memory, which nobody
 * can tell beforehand; so the kernel watches its own pace and changes its manner on the way (ub_pace).
 */
#include "raidz_impl.h"

#define UB_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UB_UNROLL _Pragma("clang loop unroll(full)")
#else
#define UB_UNROLL _Pragma("GCC unroll 16")
#endif
#ifndef ub_stream
#define ub_stream(p, v) ub_store(p, v)
#define ub_fence() (void)0
#endif

#ifdef UB_RAIDZ_TEST_CLOCK /* tests have a clock of their own, to walk in every manner */
uint64_t UB_RAIDZ_TEST_CLOCK(void);
#undef ub_clock
#define ub_clock() UB_RAIDZ_TEST_CLOCK()
#endif

#define UB_GROUP 4 /* vectors of one column, at most */
#define UB_STEP ((size_t)UB_GROUP * UB_BYTES)
#define UB_LINE 64

/* --- pace ----------------------------------------------------------------------------------------------- */

/* The manners of walking, from the beginning to columns that lie in memory. The numbers below were measured
 * on one processor and agree with figures of another; a wrong guess costs time, never a byte. */
enum {
    UB_START,  /* unknown yet: small groups, which wait less where columns come from memory */
    UB_NEAR,   /* in a cache: large groups, and no prefetch, for it takes the place of a load */
    UB_FAR,    /* in memory: small groups, and every line asked for ahead, into the second level */
    UB_BEYOND, /* the same, and results stored past the caches, where columns are tall and few */
};

enum {
    UB_AHEAD = 1024,          /* bytes between a prefetch and the load */
    UB_ASKED = 512,           /* bytes of each column asked for before a combination */
    UB_FIRST = 1024,          /* bytes of each column before the first look at the clock */
    UB_TILE = 4096,           /* bytes of each column between two looks */
    UB_SMALL = 32768,         /* bytes of all columns that are not worth a look */
    UB_FAR_BELOW = 11,        /* bytes a tick: slower is far */
    UB_NEAR_ABOVE = 14,       /* once far: faster is near again */
    UB_BEYOND_HEIGHT = 16384, /* least bytes of each column for stores past the caches */
    UB_BEYOND_COLUMNS = 15,   /* with more of them such stores and the loads hinder each other */
};

/* Results need to go past the caches only where memory is the limit, not multiplication. */
#ifdef UB_PAIRS
#define UB_MULTIPLIES_FAST 1
#else
#define UB_MULTIPLIES_FAST 0
#endif

typedef struct {
    int mode;
    int far; /* the mode for columns in memory */
    size_t tile;
    uint64_t since;
} ub_pace;

UB_INLINE void ub_pace_start(ub_pace *pace, size_t columns, size_t targets, uint8_t *const *dst,
                             size_t length, const int may_stream)
{
    pace->mode = UB_START;
    pace->far = UB_FAR;
    pace->tile = length;
    pace->since = 0;
#ifdef ub_clock
    if (length * columns <= UB_SMALL)
        return;
    pace->tile = UB_FIRST;
    if (may_stream && length >= UB_BEYOND_HEIGHT && columns + targets <= UB_BEYOND_COLUMNS) {
        uintptr_t low = 0;
        for (size_t k = 0; k < targets; k++)
            low |= (uintptr_t)dst[k];
        if (low % UB_BYTES == 0)
            pace->far = UB_BEYOND;
    }
    pace->since = ub_clock();
#else
    (void)columns, (void)targets, (void)dst, (void)may_stream;
    if (length * columns > UB_SMALL)
        pace->mode = UB_NEAR;
#endif
}

/* After `bytes` bytes of all columns. */
UB_INLINE void ub_pace_next(ub_pace *pace, size_t bytes)
{
#ifdef ub_clock
    const uint64_t now = ub_clock();
    const uint64_t least = pace->mode <= UB_NEAR ? UB_FAR_BELOW : UB_NEAR_ABOVE;
    pace->mode = (now - pace->since) * least > bytes ? pace->far : UB_NEAR;
    pace->tile = UB_TILE;
    pace->since = now;
#else
    (void)pace, (void)bytes;
#endif
}

UB_INLINE void ub_pace_end(const ub_pace *pace)
{
    if (pace->far == UB_BEYOND)
        ub_fence();
}

/* --- groups --------------------------------------------------------------------------------------------- */

/* Vectors in a group, for a number of sums that are multiplied. A prefetch is for whole lines. */
UB_INLINE int ub_group(const int mode, const int multiplied)
{
    const int full = UB_REGISTERS < 32 && multiplied > 1 ? UB_GROUP / 2 : UB_GROUP;
    const int line = (UB_LINE + UB_BYTES - 1) / UB_BYTES;
    if (mode == UB_START || mode == UB_FAR)
        return full / 2 > line ? full / 2 : line;
    return full;
}

UB_INLINE void ub_group_load(ub_vec v[UB_GROUP], const uint8_t *p, size_t ahead, const int g, const int mode)
{
    if (mode == UB_FAR || mode == UB_BEYOND) {
        /* of a group of four lines the processor fetches every other one by itself */
        const size_t stride = mode == UB_FAR ? UB_LINE : 2 * UB_LINE;
        UB_UNROLL
        for (size_t b = 0; b < (size_t)g * UB_BYTES; b += stride)
            __builtin_prefetch(p + ahead + b, 0, 2);
    }
    UB_UNROLL
    for (int i = 0; i < g; i++)
        v[i] = ub_load(p + (size_t)i * UB_BYTES);
}

UB_INLINE void ub_group_store(uint8_t *p, const ub_vec v[UB_GROUP], const int g, const int mode)
{
    UB_UNROLL
    for (int i = 0; i < g; i++) {
        if (mode == UB_BEYOND)
            ub_stream(p + (size_t)i * UB_BYTES, v[i]);
        else
            ub_store(p + (size_t)i * UB_BYTES, v[i]);
    }
}

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

UB_INLINE void ub_horner_pair(ub_sums *sums, const ub_vec a[UB_GROUP], const ub_vec b[UB_GROUP],
                              const int nparity, const int g)
{
#ifdef UB_PAIRS
    UB_UNROLL
    for (int i = 0; i < g; i++) {
        sums->p[i] = ub_xor3(sums->p[i], a[i], b[i]);
        if (nparity > 1)
            sums->q[i] = ub_xor3(ub_mul4(sums->q[i]), ub_mul2(a[i]), b[i]);
        if (nparity > 2)
            sums->r[i] = ub_xor3(ub_mul16(sums->r[i]), ub_mul4(a[i]), b[i]);
    }
#else
    ub_horner(sums, a, nparity, g);
    ub_horner(sums, b, nparity, g);
#endif
}

/* Bytes from .. to-1; the columns reach to `last`. */
UB_INLINE void ub_generate_tile(size_t n, const uint8_t *const *src, uint8_t *const *dst, size_t from,
                                size_t to, size_t last, const int nparity, const int mode)
{
    const int g = ub_group(mode, nparity - 1);
    for (size_t at = from; at < to; at += (size_t)g * UB_BYTES) {
        const size_t ahead = at + UB_AHEAD < last ? UB_AHEAD : 0;
        ub_sums sums;
        ub_vec a[UB_GROUP], b[UB_GROUP];
        ub_group_load(sums.p, src[0] + at, ahead, g, mode);
        UB_UNROLL
        for (int i = 0; i < g; i++)
            sums.q[i] = sums.r[i] = sums.p[i];
        ub_bias(&sums, nparity, g);
        size_t j = 1;
        if (n % 2 == 0) {
            ub_group_load(a, src[j++] + at, ahead, g, mode);
            ub_horner(&sums, a, nparity, g);
        }
        for (; j < n; j += 2) {
            ub_group_load(a, src[j] + at, ahead, g, mode);
            ub_group_load(b, src[j + 1] + at, ahead, g, mode);
            ub_horner_pair(&sums, a, b, nparity, g);
        }
        ub_bias(&sums, nparity, g);
        ub_group_store(dst[0] + at, sums.p, g, mode);
        if (nparity > 1)
            ub_group_store(dst[1] + at, sums.q, g, mode);
        if (nparity > 2)
            ub_group_store(dst[2] + at, sums.r, g, mode);
    }
}

UB_INLINE void ub_generate_parity(size_t n, const uint8_t *const *src, uint8_t *const *dst, size_t length,
                                  const int nparity)
{
    ub_pace pace;
    ub_pace_start(&pace, n, (size_t)nparity, dst, length, UB_MULTIPLIES_FAST || nparity == 1);
    for (size_t at = 0, end; at < length; at = end) {
        end = length - at > pace.tile ? at + pace.tile : length;
        if (pace.mode == UB_START)
            ub_generate_tile(n, src, dst, at, end, length, nparity, UB_START);
        else if (pace.mode == UB_NEAR)
            ub_generate_tile(n, src, dst, at, end, length, nparity, UB_NEAR);
        else if (pace.mode == UB_FAR)
            ub_generate_tile(n, src, dst, at, end, length, nparity, UB_FAR);
        else
            ub_generate_tile(n, src, dst, at, end, length, nparity, UB_BEYOND);
        if (end < length)
            ub_pace_next(&pace, (end - at) * n);
    }
    ub_pace_end(&pace);
}

static void ub_generate(size_t n, size_t nparity, const uint8_t *const *src, uint8_t *const *dst,
                        size_t length)
{
    if (nparity == 1)
        ub_generate_parity(n, src, dst, length, 1);
    else if (nparity == 2)
        ub_generate_parity(n, src, dst, length, 2);
    else
        ub_generate_parity(n, src, dst, length, 3);
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
    }
    UB_UNROLL
    for (int k = 0; k < rows; k++) {
        UB_UNROLL
        for (int i = 0; i < g; i++)
            sums->row[k][i] = ub_muladd(sums->row[k][i], v[i], &f[k]);
    }
}

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

/* Adds the sources s .. end-1 to the rows, and to the plain sum if `plain`. */
UB_INLINE void ub_add_sources(ub_targets *sums, const ub_factor *factors, const uint8_t *const *src, size_t s,
                              size_t end, size_t at, size_t ahead, const int rows, const int plain,
                              const int mode)
{
    const int g = ub_group(mode, rows);
    const ub_factor *f = factors + s * (size_t)rows;
    ub_vec v[UB_GROUP], w[UB_GROUP];
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
}

UB_INLINE void ub_combine_tile(const ub_raidz_plan *plan, const ub_factor *factors, const uint8_t *const *src,
                               uint8_t *const *dst, size_t from, size_t to, size_t last, const int rows,
                               const int fold, const int mode)
{
    const int g = ub_group(mode, rows);
    const size_t nxor = fold ? plan->nxor : 0;
    for (size_t at = from; at < to; at += (size_t)g * UB_BYTES) {
        const size_t ahead = at + UB_AHEAD < last ? UB_AHEAD : 0;
        ub_targets sums;
        UB_UNROLL
        for (int i = 0; i < g; i++)
            sums.row[0][i] = sums.row[1][i] = sums.plain[i] = ub_zero();
        if (fold)
            ub_add_sources(&sums, factors, src, 0, nxor, at, ahead, rows, 1, mode);
        ub_add_sources(&sums, factors, src, nxor, plan->nsrc, at, ahead, rows, 0, mode);
        UB_UNROLL
        for (int k = 0; k < rows; k++) {
            ub_group_store(dst[k] + at, sums.row[k], g, mode);
            if (fold && (size_t)(rows - k) <= plan->nchain) {
                UB_UNROLL
                for (int i = 0; i < g; i++)
                    sums.plain[i] = ub_xor(sums.plain[i], sums.row[k][i]);
            }
        }
        if (fold)
            ub_group_store(dst[rows] + at, sums.plain, g, mode);
    }
}

/* Asks for the beginning of every column, while the factors are made; the columns may lie in memory. The
 * processor fetches the lines between by itself. */
UB_INLINE void ub_ask_first(size_t n, const uint8_t *const *src, size_t length)
{
    const size_t end = length < UB_ASKED ? length : UB_ASKED;
    for (size_t s = 0; s < n; s++)
        for (size_t at = 0; at < end; at += 2 * UB_LINE)
            __builtin_prefetch(src[s] + at, 0, 2);
}

UB_INLINE void ub_combine_rows(const ub_raidz_plan *plan, const uint8_t *const *src, uint8_t *const *dst,
                               size_t length, const int rows, const int fold)
{
    ub_factor factors[UB_RAIDZ_MAX_COLUMNS * UB_RAIDZ_MAX_ROWS];
    ub_ask_first(plan->nsrc, src, length);
    for (size_t s = 0; s < plan->nsrc; s++)
        for (int k = 0; k < rows; k++)
            ub_factor_set(&factors[s * (size_t)rows + (size_t)k], plan->coef[k][s]);
    ub_pace pace;
    ub_pace_start(&pace, plan->nsrc, (size_t)(rows + fold), dst, length, UB_MULTIPLIES_FAST);
    for (size_t at = 0, end; at < length; at = end) {
        end = length - at > pace.tile ? at + pace.tile : length;
        if (pace.mode <= UB_NEAR) /* small groups would load the factors too often */
            ub_combine_tile(plan, factors, src, dst, at, end, length, rows, fold, UB_NEAR);
        else if (pace.mode == UB_FAR)
            ub_combine_tile(plan, factors, src, dst, at, end, length, rows, fold, UB_FAR);
        else
            ub_combine_tile(plan, factors, src, dst, at, end, length, rows, fold, UB_BEYOND);
        if (end < length)
            ub_pace_next(&pace, (end - at) * plan->nsrc);
    }
    ub_pace_end(&pace);
}

static void ub_combine(const ub_raidz_plan *plan, const uint8_t *const *src, uint8_t *const *dst,
                       size_t length)
{
    if (plan->rows == 0)
        ub_generate_parity(plan->nsrc, src, dst, length, 1);
    else if (plan->rows == 1 && plan->fold)
        ub_combine_rows(plan, src, dst, length, 1, 1);
    else if (plan->rows == 1)
        ub_combine_rows(plan, src, dst, length, 1, 0);
    else if (plan->fold)
        ub_combine_rows(plan, src, dst, length, 2, 1);
    else
        ub_combine_rows(plan, src, dst, length, 2, 0);
}

const ub_raidz_kernel UB_KERNEL = {UB_KERNEL_NAME, UB_STEP, ub_generate, ub_combine};
