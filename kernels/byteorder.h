/* Loads and stores of integers at any address, in native, little-endian and big-endian order. */
#ifndef UB_BYTEORDER_H
#define UB_BYTEORDER_H

#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define UB_HOST_IS_BIG 1
#else
#define UB_HOST_IS_BIG 0
#endif

static inline uint16_t ub_load16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t ub_load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t ub_load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint16_t ub_le16(const uint8_t *p)
{
    return UB_HOST_IS_BIG ? __builtin_bswap16(ub_load16(p)) : ub_load16(p);
}

static inline uint32_t ub_le32(const uint8_t *p)
{
    return UB_HOST_IS_BIG ? __builtin_bswap32(ub_load32(p)) : ub_load32(p);
}

static inline uint64_t ub_le64(const uint8_t *p)
{
    return UB_HOST_IS_BIG ? __builtin_bswap64(ub_load64(p)) : ub_load64(p);
}

static inline uint32_t ub_be32(const uint8_t *p)
{
    return UB_HOST_IS_BIG ? ub_load32(p) : __builtin_bswap32(ub_load32(p));
}

static inline uint64_t ub_be64(const uint8_t *p)
{
    return UB_HOST_IS_BIG ? ub_load64(p) : __builtin_bswap64(ub_load64(p));
}

static inline void ub_store_le32(uint8_t *p, uint32_t v)
{
    if (UB_HOST_IS_BIG)
        v = __builtin_bswap32(v);
    memcpy(p, &v, sizeof v);
}

static inline void ub_store_le64(uint8_t *p, uint64_t v)
{
    if (UB_HOST_IS_BIG)
        v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof v);
}

static inline void ub_store_be64(uint8_t *p, uint64_t v)
{
    if (!UB_HOST_IS_BIG)
        v = __builtin_bswap64(v);
    memcpy(p, &v, sizeof v);
}

#endif
