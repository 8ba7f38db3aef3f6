/* Which implementation of a checksum runs, and the one entry for all checksums.
 *
 * A family is a table of names, best first by measurement. The choice is one atomic pointer a family, made on
 * first use; two threads that meet there make the same choice.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "byteorder.h"
#include "checksum_impl.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* --- what this machine can run -------------------------------------------------------------------------- */

static int always(void)
{
    return 1;
}

#if defined(UB_HAVE_AVX2)
static int has_avx2(void)
{
    return __builtin_cpu_supports("avx2");
}
#endif

#if defined(UB_HAVE_AVX512)
static int has_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
#endif

#if defined(UB_HAVE_SHANI)
/* Not every supported compiler's __builtin_cpu_supports knows "sha". */
static int has_shani(void)
{
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        return 0;
    return (ebx >> 29 & 1) && __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1");
}
#endif

/* --- the families --------------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    const void *kernel; /* NULL: not in this build */
    int (*runnable)(void);
} choice;

static const choice fletcher_choices[] = {
#if defined(UB_HAVE_AVX512)
    {"avx512", &ub_fletcher_avx512, has_avx512},
#else
    {"avx512", NULL, always},
#endif
#if defined(UB_HAVE_AVX2)
    {"avx2", &ub_fletcher_avx2, has_avx2},
#else
    {"avx2", NULL, always},
#endif
#if defined(UB_HAVE_NEON) && !UB_HOST_IS_BIG
    {"neon", &ub_fletcher_neon, always},
#else
    {"neon", NULL, always},
#endif
    {"scalar", &ub_fletcher_scalar, always},
    {NULL, NULL, NULL},
};

static const choice sha256_choices[] = {
#if defined(UB_HAVE_SHANI)
    {"shani", &ub_sha256_shani, has_shani},
#else
    {"shani", NULL, always},
#endif
    {"scalar", &ub_sha256_scalar, always},
    {NULL, NULL, NULL},
};

static const choice sha512_choices[] = {
#if defined(UB_HAVE_AVX2)
    {"avx2", &ub_sha512_avx2, has_avx2},
#else
    {"avx2", NULL, always},
#endif
    {"scalar", &ub_sha512_scalar, always},
    {NULL, NULL, NULL},
};

static const choice edonr_choices[] = {
#if defined(UB_HAVE_AVX512)
    {"avx512", &ub_edonr_avx512, has_avx512},
#else
    {"avx512", NULL, always},
#endif
    {"scalar", &ub_edonr_scalar, always},
    {NULL, NULL, NULL},
};

typedef struct {
    const char *variable;
    const choice *choices;
} family_table;

static const family_table families[UB_FAMILIES] = {
    [UB_FAMILY_FLETCHER] = {"UBERBLOCK_FLETCHER", fletcher_choices},
    [UB_FAMILY_SHA256] = {"UBERBLOCK_SHA256", sha256_choices},
    [UB_FAMILY_SHA512] = {"UBERBLOCK_SHA512", sha512_choices},
    [UB_FAMILY_EDONR] = {"UBERBLOCK_EDONR", edonr_choices},
};

static _Atomic(const choice *) chosen[UB_FAMILIES];

static const choice *find(int family, const char *name)
{
    const choice *c = families[family].choices;
    while (c->name != NULL && strcmp(c->name, name) != 0)
        c++;
    return c->name != NULL ? c : NULL;
}

static int status(const choice *c)
{
    if (c == NULL)
        return UB_UNKNOWN;
    if (c->kernel == NULL)
        return UB_NOT_BUILT;
    return c->runnable() ? UB_RUNNABLE : UB_NOT_RUNNABLE;
}

int ub_checksum_status(int family, const char *name)
{
    return status(find(family, name));
}

const char *ub_checksum_name(int family, size_t index)
{
    const choice *c = families[family].choices;
    while (c->name != NULL && index-- != 0)
        c++;
    return c->name;
}

const char *ub_checksum_variable(int family)
{
    return families[family].variable;
}

const char *ub_checksum_select(int family, const char *name)
{
    const choice *c = NULL;
    if (name != NULL) {
        c = find(family, name);
        if (status(c) != UB_RUNNABLE)
            return NULL;
    } else {
        const char *wanted = getenv(families[family].variable);
        if (wanted != NULL && *wanted != '\0')
            c = find(family, wanted);
        if (status(c) != UB_RUNNABLE)
            for (c = families[family].choices; status(c) != UB_RUNNABLE;)
                c++; /* ends at the last row: plain C runs everywhere */
    }
    atomic_store_explicit(&chosen[family], c, memory_order_release);
    return c->name;
}

static const choice *in_use(int family)
{
    const choice *c = atomic_load_explicit(&chosen[family], memory_order_acquire);
    if (__builtin_expect(c == NULL, 0)) {
        ub_checksum_select(family, NULL);
        c = atomic_load_explicit(&chosen[family], memory_order_acquire);
    }
    return c;
}

const char *ub_checksum_selected(int family)
{
    return in_use(family)->name;
}

/* --- checksums ------------------------------------------------------------------------------------------ */

void ub_salt_set(ub_salt *salt, const uint8_t bytes[UB_SALT_BYTES])
{
    memcpy(salt->bytes, bytes, UB_SALT_BYTES);
    ub_skein_salted(bytes, salt->skein);
    ub_edonr_salted(bytes, salt->edonr);
}

/* The words of a digest in the byte order of whoever wrote the data. */
static void words_of(const uint8_t digest[32], int byteswap, uint64_t out[4])
{
    for (int i = 0; i < 4; i++) {
        uint64_t word = ub_load64(digest + 8 * i);
        out[i] = byteswap ? __builtin_bswap64(word) : word;
    }
}

int ub_checksum(int id, const uint8_t *p, size_t n, int byteswap, const ub_salt *salt, uint64_t out[4])
{
    const ub_fletcher_kernel *fletcher;
    uint8_t digest[32];
    switch (id) {
    case UB_CHECKSUM_FLETCHER2:
    case UB_CHECKSUM_FLETCHER4:
        if (n % (id == UB_CHECKSUM_FLETCHER2 ? 16 : 4) != 0)
            return UB_BAD_LENGTH;
        fletcher = in_use(UB_FAMILY_FLETCHER)->kernel;
        (id == UB_CHECKSUM_FLETCHER2 ? fletcher->fletcher2 : fletcher->fletcher4)(p, n, byteswap, out);
        return UB_OK;
    case UB_CHECKSUM_SHA256:
        ub_sha256(in_use(UB_FAMILY_SHA256)->kernel, p, n, out);
        return UB_OK;
    case UB_CHECKSUM_SHA512:
        ub_sha512_256(in_use(UB_FAMILY_SHA512)->kernel, p, n, digest);
        break;
    case UB_CHECKSUM_SKEIN:
    case UB_CHECKSUM_EDONR:
        if (salt == NULL)
            return UB_NO_SALT;
        if (id == UB_CHECKSUM_SKEIN)
            ub_skein(salt->skein, p, n, digest);
        else
            ub_edonr(in_use(UB_FAMILY_EDONR)->kernel, salt->edonr, p, n, digest);
        break;
    default:
        return UB_UNSUPPORTED;
    }
    words_of(digest, byteswap, out);
    return UB_OK;
}

int ub_checksum_many(int id, size_t count, const uint8_t *const *p, const size_t *n, int byteswap,
                     const ub_salt *salt, uint64_t (*out)[4], size_t *failed)
{
    for (size_t i = 0; i < count; i++) {
        int error = ub_checksum(id, p[i], n[i], byteswap, salt, out[i]);
        if (error != UB_OK) {
            if (failed != NULL)
                *failed = i;
            return error;
        }
    }
    return UB_OK;
}
