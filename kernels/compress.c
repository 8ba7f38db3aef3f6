/* Encoders of LZJB and ZLE, and the one entry for all. The formats are OpenZFS's, the encoders ours. */
#include "compress_impl.h"

#include <string.h>

/* --- LZJB ------------------------------------------------------------------------------------------------- */

#define COPY_MIN 3
#define COPY_MAX 66
#define WINDOW 1023 /* farthest copy */
#define LZJB_BITS 10

static inline uint32_t three(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
}

/* Where these three bytes were seen last is kept here. */
static inline uint32_t lzjb_slot(uint32_t v)
{
    return v * 2654435761u >> (32 - LZJB_BITS);
}

/* Length of the copy from `from` at `at`, up to what can be said. */
static inline size_t lzjb_match(const uint8_t *src, size_t from, size_t at, size_t n)
{
    const size_t most = n - at < COPY_MAX ? n - at : COPY_MAX;
    size_t length = COPY_MIN;
    while (length < most && src[from + length] == src[at + length])
        length++;
    return length;
}

size_t ub_lzjb_encode(const uint8_t *src, size_t n, uint8_t *dst, size_t room)
{
    uint32_t seen[1 << LZJB_BITS]; /* position + 1; 0: never */
    size_t out = 0, control = 0, at = 0;
    unsigned item = 8;
    memset(seen, 0, sizeof seen);
    for (; at < n; item++) {
        if (item == 8) {
            if (out == room)
                return 0;
            control = out++;
            dst[control] = 0;
            item = 0;
        }
        if (n - at >= COPY_MIN) {
            const uint32_t v = three(src + at);
            const uint32_t slot = lzjb_slot(v);
            const size_t from = seen[slot];
            seen[slot] = (uint32_t)at + 1;
            if (from != 0 && at + 1 - from <= WINDOW && three(src + from - 1) == v) {
                const size_t length = lzjb_match(src, from - 1, at, n), distance = at + 1 - from;
                if (room - out < 2)
                    return 0;
                dst[control] |= (uint8_t)(1u << item);
                dst[out++] = (uint8_t)((length - COPY_MIN) << 2 | distance >> 8);
                dst[out++] = (uint8_t)distance;
                at += length;
                continue;
            }
        }
        if (out == room)
            return 0;
        dst[out++] = src[at++];
    }
    return out;
}

/* --- ZLE -------------------------------------------------------------------------------------------------- */

#define LITERALS 64 /* most literals of a run; length bytes from here on mean zeros */
#define ZEROS_MAX 192

static inline size_t zeros_at(const uint8_t *src, size_t at, size_t n)
{
    const size_t most = n - at < ZEROS_MAX ? n - at : ZEROS_MAX;
    size_t length = 0;
    while (length < most && src[at + length] == 0)
        length++;
    return length;
}

/* A lone zero among other bytes is a literal: it would cost a byte in either case, and a new run another. */
static inline size_t literals_at(const uint8_t *src, size_t at, size_t n)
{
    const size_t most = n - at < LITERALS ? n - at : LITERALS;
    size_t length = 1;
    while (length < most && !(src[at + length] == 0 && (at + length + 1 == n || src[at + length + 1] == 0)))
        length++;
    return length;
}

size_t ub_zle_encode(const uint8_t *src, size_t n, uint8_t *dst, size_t room)
{
    size_t out = 0;
    for (size_t at = 0; at < n;) {
        size_t length = zeros_at(src, at, n);
        if (length != 0) {
            if (out == room)
                return 0;
            dst[out++] = (uint8_t)(length - 1 + LITERALS);
        } else {
            length = literals_at(src, at, n);
            if (room - out < length + 1)
                return 0;
            dst[out++] = (uint8_t)(length - 1);
            memcpy(dst + out, src + at, length);
            out += length;
        }
        at += length;
    }
    return out;
}

/* --- dispatch ---------------------------------------------------------------------------------------------- */

ub_encoder *ub_encoder_of(int id)
{
    switch (id) {
    case UB_COMPRESS_LZJB:
        return ub_lzjb_encode;
    case UB_COMPRESS_ZLE:
        return ub_zle_encode;
    case UB_COMPRESS_LZ4:
        return ub_lz4_encode;
    default:
        return NULL;
    }
}
