/* Choosing among implementations; the contract is in choice.h. */
#include <stdlib.h>
#include <string.h>

#include "choice.h"

#if defined(__x86_64__)
#include <cpuid.h>

/* Not every supported compiler's __builtin_cpu_supports knows "sha" and "gfni". */
static int leaf7(int ecx, int bit)
{
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && ((ecx ? c : b) >> bit & 1);
}

/* The compiler's run-time test also asks whether the operating system saves the wide registers. */
unsigned ub_cpu_features(void)
{
    unsigned found = 0;
    if (__builtin_cpu_supports("ssse3"))
        found |= UB_CPU_SSSE3;
    if (__builtin_cpu_supports("avx2"))
        found |= UB_CPU_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        found |= UB_CPU_AVX512;
    if (leaf7(1, 8))
        found |= UB_CPU_GFNI;
    if (leaf7(0, 29) && __builtin_cpu_supports("sse4.1"))
        found |= UB_CPU_SHANI;
    return found;
}
#elif defined(__aarch64__)
unsigned ub_cpu_features(void)
{
    return UB_CPU_NEON; /* every AArch64 processor has it */
}
#else
unsigned ub_cpu_features(void)
{
    return 0;
}
#endif

const char *ub_cpu_feature_name(int bit)
{
    static const char *const names[UB_CPU_FEATURES] = {"ssse3", "avx2", "avx512", "gfni", "sha", "neon"};
    return names[bit];
}

const ub_candidate *ub_family_find(const ub_family *family, const char *name)
{
    const ub_candidate *c = family->candidates;
    while (c->name != NULL && strcmp(c->name, name) != 0)
        c++;
    return c->name != NULL ? c : NULL;
}

int ub_candidate_status(const ub_candidate *c)
{
    if (c == NULL)
        return UB_UNKNOWN;
    if (c->kernel == NULL)
        return UB_NOT_BUILT;
    return (c->needs & ~ub_cpu_features()) == 0 ? UB_RUNNABLE : UB_NOT_RUNNABLE;
}

const char *ub_family_select(const ub_family *family, const char *name, int why)
{
    const ub_candidate *c = NULL;
    if (name != NULL) {
        c = ub_family_find(family, name);
        if (ub_candidate_status(c) != UB_RUNNABLE)
            return NULL;
    } else {
        const char *wanted = getenv(family->variable);
        why = UB_BY_ENVIRONMENT;
        if (wanted != NULL && *wanted != '\0')
            c = ub_family_find(family, wanted);
        if (ub_candidate_status(c) != UB_RUNNABLE) {
            why = UB_BY_ORDER;
            for (c = family->candidates; ub_candidate_status(c) != UB_RUNNABLE;)
                c++; /* ends at the last row: plain C runs everywhere */
        }
    }
    atomic_store_explicit(&family->choice->why, why, memory_order_relaxed);
    atomic_store_explicit(&family->choice->candidate, c, memory_order_release);
    return c->name;
}

const ub_candidate *ub_family_in_use(const ub_family *family)
{
    const ub_candidate *c = atomic_load_explicit(&family->choice->candidate, memory_order_acquire);
    if (__builtin_expect(c == NULL, 0)) {
        ub_family_select(family, NULL, UB_BY_ORDER);
        c = atomic_load_explicit(&family->choice->candidate, memory_order_acquire);
    }
    return c;
}

void ub_family_share(ub_family *family, ub_choice *choice)
{
    family->choice = choice;
}
