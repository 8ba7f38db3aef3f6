/* The timing loop of the benchmarks, and what memory can do.
 *
 * A contender is a C function whose arguments are at most six integers or pointers; what is called is said by
 * rows of six words, one row for each item of work. On x86-64 (System V) and AArch64 such arguments travel in
 * registers whatever their types are, so one loop serves every library, and costs all of them the same.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#if defined(__AVX__)
#include <immintrin.h>
#endif

typedef uintptr_t (*rig_function)(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t);

/* Time this thread has run: on a busy machine the time of others does not count. */
static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

#define BURST_NS 25000

/* Calls `function` for the items *at, *at + 1 ... of `count`, round and round, until `slice_ns` have passed.
 * The clock costs as much as a small call, so it is asked once in a burst of calls, as many as fill BURST_NS.
 * Returns nanoseconds a call; *at is the item after the last. */
double rig_run(rig_function function, const uintptr_t *items, size_t count, size_t *at, int64_t slice_ns)
{
    const int64_t began = now();
    int64_t spent = 0;
    size_t calls = 0, burst = 1, i = *at % count;
    while (spent < slice_ns) {
        for (size_t b = 0; b < burst; b++) {
            const uintptr_t *const w = items + 6 * i;
            function(w[0], w[1], w[2], w[3], w[4], w[5]);
            i = i + 1 < count ? i + 1 : 0;
        }
        calls += burst;
        const int64_t last = spent;
        spent = now() - began;
        if (spent - last < BURST_NS)
            burst *= 2;
    }
    *at = i;
    return (double)spent / (double)calls;
}

/* One item that takes two calls, of two arguments each: for contenders who work in two steps. */
void rig_both(rig_function first, uintptr_t a, uintptr_t b, rig_function second, uintptr_t c, uintptr_t d)
{
    first(a, b, 0, 0, 0, 0);
    second(c, d, 0, 0, 0, 0);
}

/* --- memory --------------------------------------------------------------------------------------------- */

#define LANES 8
#define AHEAD 1024
typedef uint64_t wide __attribute__((vector_size(32), aligned(8), may_alias));

/* Reads `bytes` bytes, a multiple of 256. The sum keeps the loads alive. */
uint64_t rig_read(const uint8_t *p, size_t bytes)
{
    wide sum[LANES] = {{0}};
    for (size_t i = 0; i < bytes; i += LANES * sizeof(wide)) {
        for (size_t b = 0; b < LANES * sizeof(wide); b += 64)
            __builtin_prefetch(p + i + b + AHEAD, 0, 2); /* past the end it does nothing */
        for (size_t k = 0; k < LANES; k++)
            sum[k] ^= *(const wide *)(p + i + k * sizeof(wide));
    }
    for (size_t k = 1; k < LANES; k++)
        sum[0] ^= sum[k];
    return sum[0][0] ^ sum[0][1] ^ sum[0][2] ^ sum[0][3];
}

/* Reads without asking ahead: what caches can do. */
uint64_t rig_read_near(const uint8_t *p, size_t bytes)
{
    wide sum[LANES] = {{0}};
    for (size_t i = 0; i < bytes; i += LANES * sizeof(wide))
        for (size_t k = 0; k < LANES; k++)
            sum[k] ^= *(const wide *)(p + i + k * sizeof(wide));
    for (size_t k = 1; k < LANES; k++)
        sum[0] ^= sum[k];
    return sum[0][0] ^ sum[0][1] ^ sum[0][2] ^ sum[0][3];
}

/* Copies through the caches. */
void rig_copy(uint8_t *to, const uint8_t *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += LANES * sizeof(wide))
        for (size_t k = 0; k < LANES; k++)
            *(wide *)(to + i + k * sizeof(wide)) = *(const wide *)(from + i + k * sizeof(wide));
}

/* Copies with stores past the caches, where the processor has them; `to` is aligned to 64 bytes. */
void rig_copy_past(uint8_t *to, const uint8_t *from, size_t bytes)
{
#if defined(__AVX__)
    for (size_t i = 0; i < bytes; i += LANES * sizeof(wide)) {
        for (size_t b = 0; b < LANES * sizeof(wide); b += 64)
            __builtin_prefetch(from + i + b + AHEAD, 0, 2);
        for (size_t k = 0; k < LANES; k++)
            _mm256_stream_si256((__m256i *)(void *)(to + i + k * sizeof(wide)),
                                _mm256_loadu_si256((const __m256i *)(const void *)(from + i + k * sizeof(wide))));
    }
    _mm_sfence();
#else
    memcpy(to, from, bytes);
#endif
}
