/* Which raidz kernel runs: what this build holds, and what each needs. The choosing is in choice.c. */
#include "raidz_impl.h"

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
static const ub_candidate candidates[] = {
    {"gfni_avx512", GFNI_AVX512, UB_CPU_GFNI | UB_CPU_AVX512},
    {"gfni_avx2", GFNI_AVX2, UB_CPU_GFNI | UB_CPU_AVX2},
    {"avx512", AVX512, UB_CPU_AVX512},
    {"avx2", AVX2, UB_CPU_AVX2},
    {"ssse3", SSSE3, UB_CPU_SSSE3},
    {"neon", NEON, UB_CPU_NEON},
    {"scalar", &ub_raidz_scalar, 0},
    {NULL, NULL, 0},
};

static ub_choice own;
static ub_family family = {"raidz", "UBERBLOCK_RAIDZ", candidates, &own};

ub_family *ub_raidz_family(void)
{
    return &family;
}

const ub_raidz_kernel *ub_raidz_kernel_in_use(void)
{
    return ub_family_in_use(&family)->kernel;
}

const char *ub_raidz_select(const char *name)
{
    return ub_family_select(&family, name, UB_BY_CALL);
}
