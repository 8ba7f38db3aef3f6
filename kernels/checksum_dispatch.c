/* Which implementations of checksums there are, best first by measurement (bench/checksums.py), and the one
 * entry for all checksums. The choosing is in choice.c. */
#include "blake3_impl.h"
#include "byteorder.h"
#include "checksum_impl.h"

/* --- what there is to choose from ----------------------------------------------------------------------- */

#if defined(UB_HAVE_AVX512)
#define AVX512(kernel) &kernel
#else
#define AVX512(kernel) NULL
#endif
#if defined(UB_HAVE_AVX2)
#define AVX2(kernel) &kernel
#else
#define AVX2(kernel) NULL
#endif
#if defined(UB_HAVE_SHANI)
#define SHANI(kernel) &kernel
#else
#define SHANI(kernel) NULL
#endif
#if defined(UB_HAVE_NEON) && !UB_HOST_IS_BIG
#define NEON(kernel) &kernel
#else
#define NEON(kernel) NULL
#endif

static const ub_candidate fletcher[] = {
    {"avx512", AVX512(ub_fletcher_avx512), UB_CPU_AVX512},
    {"avx2", AVX2(ub_fletcher_avx2), UB_CPU_AVX2},
    {"neon", NEON(ub_fletcher_neon), UB_CPU_NEON},
    {"scalar", &ub_fletcher_scalar, 0},
    {NULL, NULL, 0},
};

static const ub_candidate sha256[] = {
    {"shani", SHANI(ub_sha256_shani), UB_CPU_SHANI | UB_CPU_SSSE3},
    {"scalar", &ub_sha256_scalar, 0},
    {NULL, NULL, 0},
};

static const ub_candidate sha512[] = {
    {"avx2", AVX2(ub_sha512_avx2), UB_CPU_AVX2},
    {"scalar", &ub_sha512_scalar, 0},
    {NULL, NULL, 0},
};

/* Without 512-bit units of full width the first two come out nearly equal. */
static const ub_candidate sha256_many[] = {
    {"avx512", AVX512(ub_sha256_many_avx512), UB_CPU_AVX512},
    {"shani", SHANI(ub_sha256_many_shani), UB_CPU_SHANI | UB_CPU_SSSE3},
    {"avx2", AVX2(ub_sha256_many_avx2), UB_CPU_AVX2},
    {"single", &ub_sha256_many_single, 0},
    {NULL, NULL, 0},
};

static const ub_candidate sha512_many[] = {
    {"avx512", AVX512(ub_sha512_many_avx512), UB_CPU_AVX512},
    {"avx2", AVX2(ub_sha512_many_avx2), UB_CPU_AVX2},
    {"single", &ub_sha512_many_single, 0},
    {NULL, NULL, 0},
};

static const ub_candidate blake3[] = {
    {"avx512", AVX512(ub_blake3_avx512), UB_CPU_AVX512},
    {"avx2", AVX2(ub_blake3_avx2), UB_CPU_AVX2},
    {"neon", NEON(ub_blake3_neon), UB_CPU_NEON},
    {"scalar", &ub_blake3_scalar, 0},
    {NULL, NULL, 0},
};

static const ub_candidate edonr[] = {
    {"avx512", AVX512(ub_edonr_avx512), UB_CPU_AVX512},
    {"scalar", &ub_edonr_scalar, 0},
    {NULL, NULL, 0},
};

static const ub_candidate skein_many[] = {
    {"avx512", AVX512(ub_skein_many_avx512), UB_CPU_AVX512},
    {"avx2", AVX2(ub_skein_many_avx2), UB_CPU_AVX2},
    {"single", &ub_salted_many_single, 0},
    {NULL, NULL, 0},
};

static const ub_candidate edonr_many[] = {
    {"avx512", AVX512(ub_edonr_many_avx512), UB_CPU_AVX512},
    {"avx2", AVX2(ub_edonr_many_avx2), UB_CPU_AVX2},
    {"single", &ub_salted_many_single, 0},
    {NULL, NULL, 0},
};

static ub_choice own[UB_FAMILIES];

#define FAMILY(number, name, variable, candidates) [number] = {name, variable, candidates, &own[number]}

static ub_family families[UB_FAMILIES] = {
    FAMILY(UB_FAMILY_FLETCHER, "fletcher", "UBERBLOCK_FLETCHER", fletcher),
    FAMILY(UB_FAMILY_SHA256, "sha256", "UBERBLOCK_SHA256", sha256),
    FAMILY(UB_FAMILY_SHA512, "sha512", "UBERBLOCK_SHA512", sha512),
    FAMILY(UB_FAMILY_EDONR, "edonr", "UBERBLOCK_EDONR", edonr),
    FAMILY(UB_FAMILY_SHA256_MANY, "sha256_many", "UBERBLOCK_SHA256_MANY", sha256_many),
    FAMILY(UB_FAMILY_SHA512_MANY, "sha512_many", "UBERBLOCK_SHA512_MANY", sha512_many),
    FAMILY(UB_FAMILY_BLAKE3, "blake3", "UBERBLOCK_BLAKE3", blake3),
    FAMILY(UB_FAMILY_SKEIN_MANY, "skein_many", "UBERBLOCK_SKEIN_MANY", skein_many),
    FAMILY(UB_FAMILY_EDONR_MANY, "edonr_many", "UBERBLOCK_EDONR_MANY", edonr_many),
};

ub_family *ub_checksum_family(int family)
{
    return &families[family];
}

const char *ub_checksum_select(int family, const char *name)
{
    return ub_family_select(&families[family], name, UB_BY_CALL);
}

static const void *kernel_of(int family)
{
    return ub_family_in_use(&families[family])->kernel;
}

/* --- checksums ------------------------------------------------------------------------------------------ */

void ub_salt_set_for(int id, ub_salt *salt, const uint8_t bytes[UB_SALT_BYTES])
{
    memcpy(salt->bytes, bytes, UB_SALT_BYTES);
    if (id == UB_CHECKSUM_SKEIN)
        ub_skein_salted(bytes, salt->skein);
    if (id == UB_CHECKSUM_EDONR)
        ub_edonr_salted(bytes, salt->edonr);
}

void ub_salt_set(ub_salt *salt, const uint8_t bytes[UB_SALT_BYTES])
{
    ub_salt_set_for(UB_CHECKSUM_SKEIN, salt, bytes);
    ub_salt_set_for(UB_CHECKSUM_EDONR, salt, bytes);
}

void ub_fletcher2_update(uint64_t sums[4], const uint8_t *p, size_t n, int byteswap)
{
    const ub_fletcher_kernel *kernel = kernel_of(UB_FAMILY_FLETCHER);
    kernel->fletcher2(sums, p, n, byteswap);
}

void ub_fletcher4_update(uint64_t sums[4], const uint8_t *p, size_t n, int byteswap)
{
    const ub_fletcher_kernel *kernel = kernel_of(UB_FAMILY_FLETCHER);
    kernel->fletcher4(sums, p, n, byteswap, NULL);
}

void ub_copy_fletcher4(uint8_t *to, const uint8_t *p, size_t n, int byteswap, uint64_t sums[4])
{
    const ub_fletcher_kernel *kernel = kernel_of(UB_FAMILY_FLETCHER);
    kernel->fletcher4(sums, p, n, byteswap, to);
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
    uint8_t digest[32];
    switch (id) {
    case UB_CHECKSUM_FLETCHER2:
        if (n % 16 != 0)
            return UB_BAD_LENGTH;
        out[0] = out[1] = out[2] = out[3] = 0;
        ub_fletcher2_update(out, p, n, byteswap);
        return UB_OK;
    case UB_CHECKSUM_FLETCHER4:
        if (n % 4 != 0)
            return UB_BAD_LENGTH;
        out[0] = out[1] = out[2] = out[3] = 0;
        ub_fletcher4_update(out, p, n, byteswap);
        return UB_OK;
    case UB_CHECKSUM_SHA256:
        ub_sha256(kernel_of(UB_FAMILY_SHA256), p, n, out);
        return UB_OK;
    case UB_CHECKSUM_SHA512:
        ub_sha512_256(kernel_of(UB_FAMILY_SHA512), p, n, digest);
        break;
    case UB_CHECKSUM_SKEIN:
    case UB_CHECKSUM_EDONR:
    case UB_CHECKSUM_BLAKE3:
        if (salt == NULL)
            return UB_NO_SALT;
        if (id == UB_CHECKSUM_SKEIN)
            ub_skein(salt->skein, p, n, digest);
        else if (id == UB_CHECKSUM_BLAKE3)
            ub_blake3_many(kernel_of(UB_FAMILY_BLAKE3), salt->bytes, 1, &p, &n, &digest);
        else
            ub_edonr(kernel_of(UB_FAMILY_EDONR), salt->edonr, p, n, digest);
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
    if (id == UB_CHECKSUM_SHA256) {
        ub_sha256_many(kernel_of(UB_FAMILY_SHA256_MANY), kernel_of(UB_FAMILY_SHA256), count, p, n, out);
        return UB_OK;
    }
    if (id == UB_CHECKSUM_SHA512) {
        ub_sha512_256_many(kernel_of(UB_FAMILY_SHA512_MANY), kernel_of(UB_FAMILY_SHA512), count, p, n, out);
        if (!byteswap == !UB_HOST_IS_BIG) /* they are words as a big-endian machine reads them */
            for (size_t i = 0; i < count; i++)
                for (int j = 0; j < 4; j++)
                    out[i][j] = __builtin_bswap64(out[i][j]);
        return UB_OK;
    }
    if (salt != NULL && (id == UB_CHECKSUM_BLAKE3 || id == UB_CHECKSUM_SKEIN || id == UB_CHECKSUM_EDONR)) {
        uint8_t(*digests)[32] = (void *)out;
        if (id == UB_CHECKSUM_BLAKE3)
            ub_blake3_many(kernel_of(UB_FAMILY_BLAKE3), salt->bytes, count, p, n, digests);
        else if (id == UB_CHECKSUM_SKEIN)
            ub_skein_many(kernel_of(UB_FAMILY_SKEIN_MANY), salt->skein, count, p, n, digests);
        else
            ub_edonr_many(kernel_of(UB_FAMILY_EDONR_MANY), kernel_of(UB_FAMILY_EDONR), salt->edonr, count, p, n, digests);
        for (size_t i = 0; i < count; i++)
            words_of(digests[i], byteswap, out[i]);
        return UB_OK;
    }
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
