/* Which raidz kernel runs: what this build holds, what this processor can do, and the choice. Nothing else.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "raidz_impl.h"

typedef struct {
    const char *name;
    const ub_raidz_kernel *kernel; /* NULL: not in this build */
    int (*runnable)(void);
} candidate;

static int always(void)
{
    return 1;
}

#if defined(__x86_64__)
/* The compiler's run-time test also asks whether the operating system saves the wide registers. */
static int has_ssse3(void)
{
    return __builtin_cpu_supports("ssse3") != 0;
}

static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2") != 0;
}

static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

static int has_gfni(void)
{
    return __builtin_cpu_supports("gfni") != 0;
}

static int has_gfni_avx2(void)
{
    return has_gfni() && has_avx2();
}

static int has_gfni_avx512(void)
{
    return has_gfni() && has_avx512();
}
#else
#define has_ssse3 always
#define has_avx2 always
#define has_avx512 always
#define has_gfni_avx2 always
#define has_gfni_avx512 always
#endif

#ifdef UB_HAVE_GFNI_AVX512
#define GFNI_AVX512 &ub_raidz_gfni_avx512
#else
#define GFNI_AVX512 NULL
#endif
#ifdef UB_HAVE_GFNI_AVX2
#define GFNI_AVX2 &ub_raidz_gfni_avx2
#else
#define GFNI_AVX2 NULL
#endif
#ifdef UB_HAVE_AVX512
#define AVX512 &ub_raidz_avx512
#else
#define AVX512 NULL
#endif
#ifdef UB_HAVE_AVX2
#define AVX2 &ub_raidz_avx2
#else
#define AVX2 NULL
#endif
#ifdef UB_HAVE_SSSE3
#define SSSE3 &ub_raidz_ssse3
#else
#define SSSE3 NULL
#endif
#ifdef UB_HAVE_NEON
#define NEON &ub_raidz_neon
#else
#define NEON NULL
#endif

/* Best first, by measurement (bench/parity.py). */
static const candidate candidates[] = {
    {"gfni_avx512", GFNI_AVX512, has_gfni_avx512},
    {"gfni_avx2", GFNI_AVX2, has_gfni_avx2},
    {"avx512", AVX512, has_avx512},
    {"avx2", AVX2, has_avx2},
    {"ssse3", SSSE3, has_ssse3},
    {"neon", NEON, always}, /* every AArch64 processor has it */
    {"scalar", &ub_raidz_scalar, always},
};

#define NCANDIDATES (sizeof candidates / sizeof candidates[0])

static _Atomic(const ub_raidz_kernel *) in_use;

static const candidate *find(const char *name)
{
    for (size_t i = 0; i < NCANDIDATES; i++)
        if (strcmp(candidates[i].name, name) == 0)
            return &candidates[i];
    return NULL;
}

static int status_of(const candidate *c)
{
    if (c == NULL)
        return UB_RAIDZ_UNKNOWN;
    if (c->kernel == NULL)
        return UB_RAIDZ_NOT_BUILT;
    return c->runnable() ? UB_RAIDZ_RUNNABLE : UB_RAIDZ_NOT_RUNNABLE;
}

static const ub_raidz_kernel *default_kernel(void)
{
    const char *wish = getenv(UB_RAIDZ_VARIABLE);
    if (wish != NULL) {
        const candidate *c = find(wish);
        if (status_of(c) == UB_RAIDZ_RUNNABLE)
            return c->kernel;
    }
    for (size_t i = 0; i < NCANDIDATES; i++)
        if (status_of(&candidates[i]) == UB_RAIDZ_RUNNABLE)
            return candidates[i].kernel;
    return &ub_raidz_scalar;
}

int ub_raidz_status(const char *name)
{
    return status_of(find(name));
}

const char *ub_raidz_name(size_t index)
{
    return index < NCANDIDATES ? candidates[index].name : NULL;
}

/* Two threads that come first at once both find the same default. */
const ub_raidz_kernel *ub_raidz_kernel_in_use(void)
{
    const ub_raidz_kernel *kernel = atomic_load_explicit(&in_use, memory_order_acquire);
    if (kernel == NULL) {
        const ub_raidz_kernel *wanted = default_kernel();
        if (atomic_compare_exchange_strong(&in_use, &kernel, wanted))
            kernel = wanted;
    }
    return kernel;
}

const char *ub_raidz_select(const char *name)
{
    const ub_raidz_kernel *kernel;
    if (name == NULL) {
        kernel = default_kernel();
    } else {
        const candidate *c = find(name);
        if (status_of(c) != UB_RAIDZ_RUNNABLE)
            return NULL;
        kernel = c->kernel;
    }
    atomic_store_explicit(&in_use, kernel, memory_order_release);
    return kernel->name;
}

const char *ub_raidz_selected(void)
{
    return ub_raidz_kernel_in_use()->name;
}
