/* How a kernel walks: its manners, and the watching of its own pace that chooses among them.
 *
 * How best to fetch and store columns depends on where they are, in a cache or in memory, which nobody can tell
 * beforehand. A kernel therefore looks at the clock after a first piece of a stripe, and now and then after that. The
 * numbers were measured, those of kernels that prefetch on Zen 4 and 5, the others on Zen 3; a wrong guess costs time,
 * never a byte. Included by raidz_template.h, which says what the including file defines.
 */
#ifndef UB_RAIDZ_PACE_H
#define UB_RAIDZ_PACE_H

#include "raidz_impl.h"

#define UB_INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UB_UNROLL _Pragma("clang loop unroll(full)")
#else
#define UB_UNROLL _Pragma("GCC unroll 16")
#endif
#ifndef ub_stream
#define ub_stream(p, v) ub_store(p, v)
#endif
#ifndef UB_PREFETCHES
#define UB_PREFETCHES 0
#endif

#ifdef UB_RAIDZ_TEST_CLOCK /* tests have a clock of their own, to walk in every manner */
uint64_t UB_RAIDZ_TEST_CLOCK(void);
#undef ub_clock
#define ub_clock() UB_RAIDZ_TEST_CLOCK()
#endif

#define UB_GROUP 4 /* vectors of one column, at most */
#define UB_LINE 64

/* The manners, from the beginning to columns that lie in memory. */
enum {
    UB_START,  /* unknown yet: small groups, which wait less where columns come from memory */
    UB_NEAR,   /* in a cache: large groups, and no prefetch, for it takes the place of a load */
    UB_FAR,    /* in memory: small groups, and every line asked for ahead, into the second level */
    UB_BEYOND, /* in memory, and results stored past the caches */
};

enum {
    UB_AHEAD = 1024,  /* bytes between a prefetch and the load */
    UB_ASKED = 512,   /* bytes of each column asked for before a combination */
    UB_TILE = 4096,   /* bytes of each column between two looks */
    UB_PART = 4096,   /* bytes of each column that some columns are walked for before the others */
    UB_ABREAST = 8,   /* columns walked side by side in a rebuild: a cache has so many lines for one place */
    UB_SMALL = 32768, /* bytes of all columns that are not worth a look */
#if UB_PREFETCHES
    UB_BEYOND_HEIGHT = 16384, /* least bytes of each column for stores past the caches */
    UB_BEYOND_COLUMNS = 15,   /* with more of them such stores and the loads hinder each other */
    UB_FIRST = 1024,          /* bytes of each column before the first look at the clock */
    UB_NEVER = 1 << 16,
    UB_AT_ONCE = UB_NEVER,
    UB_ONE_AT_ONCE = UB_NEVER,
#else
    UB_BEYOND_HEIGHT = 2048,
    UB_FIRST = 512,
    UB_NEVER = 1 << 16,
    UB_BEYOND_COLUMNS = UB_NEVER,
    UB_AT_ONCE = 8,     /* with so many columns such stores are no slower in a cache either */
    UB_ONE_AT_ONCE = 4, /* the same for one target */
#endif
};

typedef struct {
    int mode;
    int far;        /* the mode for columns in memory */
    unsigned below; /* bytes a tick: slower is far */
    unsigned above; /* once far: faster is near again */
    size_t tile;
    uint64_t since;
} ub_pace;

/* May the results go past the caches? Every store is of a whole vector, to an aligned address. */
UB_INLINE int ub_may_stream(uint8_t *const *dst, size_t targets, int keep)
{
    uintptr_t low = 0;
    for (size_t k = 0; k < targets; k++)
        low |= (uintptr_t)dst[k];
    return !keep && low % UB_BYTES == 0;
}

/* `at_once`: from so many columns on results go past the caches without a look at the clock. `heavy`: multiplication,
 * not memory, is what limits the work in a cache. */
UB_INLINE void ub_pace_start(ub_pace *pace, size_t columns, size_t targets, size_t length, int may_stream,
                             size_t at_once, const int heavy)
{
    pace->mode = UB_PREFETCHES ? UB_START : UB_NEAR;
    pace->far = UB_PREFETCHES ? UB_FAR : UB_NEAR;
    pace->below = !UB_PREFETCHES && heavy ? 8 : 11;
    pace->above = UB_PREFETCHES ? 14 : pace->below + 1;
    pace->tile = length;
    pace->since = 0;
#ifdef ub_clock
    if (may_stream && columns >= at_once) {
        pace->mode = pace->far = UB_BEYOND;
        return;
    }
    if (length * columns <= UB_SMALL)
        return;
    if (may_stream && length >= UB_BEYOND_HEIGHT && columns + targets <= UB_BEYOND_COLUMNS)
        pace->far = UB_BEYOND;
    if (pace->far == pace->mode)
        return;
    pace->tile = UB_FIRST;
    pace->since = ub_clock();
#else
    (void)columns, (void)targets, (void)may_stream, (void)at_once;
    if (length * columns > UB_SMALL)
        pace->mode = UB_NEAR;
#endif
}

/* After `bytes` bytes of all columns. */
UB_INLINE void ub_pace_next(ub_pace *pace, size_t bytes)
{
#ifdef ub_clock
    const uint64_t now = ub_clock();
    const uint64_t least = pace->mode <= UB_NEAR ? pace->below : pace->above;
    pace->mode = (now - pace->since) * least > bytes ? pace->far : UB_NEAR;
    pace->tile = UB_TILE;
    pace->since = now;
#else
    (void)pace, (void)bytes;
#endif
}

/* --- groups of vectors ---------------------------------------------------------------------------------- */

/* Parts in which to walk n columns in a rebuild. Kernels that prefetch were not measured with more than one. */
UB_INLINE size_t ub_parts(size_t n)
{
    return UB_PREFETCHES ? 1 : (n + UB_ABREAST - 1) / UB_ABREAST;
}

/* Vectors in a group; half as many where `many` sums want registers. A prefetch is for whole lines. */
UB_INLINE int ub_group(const int mode, const int many)
{
    const int full = UB_REGISTERS < 32 && many ? UB_GROUP / 2 : UB_GROUP;
    const int line = (UB_LINE + UB_BYTES - 1) / UB_BYTES;
    if (UB_PREFETCHES && (mode == UB_START || mode == UB_FAR))
        return full / 2 > line ? full / 2 : line;
    return full;
}

UB_INLINE void ub_group_load(ub_vec v[UB_GROUP], const uint8_t *p, size_t ahead, const int g, const int mode)
{
    if (UB_PREFETCHES && (mode == UB_FAR || mode == UB_BEYOND)) {
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

/* Asks for the beginning of every column; the columns may lie in memory. The processor fetches the lines between by
 * itself. */
UB_INLINE void ub_ask_first(size_t n, const uint8_t *const *src, size_t length)
{
    const size_t end = length < UB_ASKED ? length : UB_ASKED;
    for (size_t s = 0; s < n; s++)
        for (size_t at = 0; at < end; at += 2 * UB_LINE)
            __builtin_prefetch(src[s] + at, 0, 2);
}

#endif
