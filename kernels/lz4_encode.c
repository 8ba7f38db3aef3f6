/* LZ4 blocks, made greedily: the last place of every hash is tried, and where nothing is found for long, steps get
 * longer.
 *
 * Source: the LZ4 block format description (lz4_Block_format.md); the encoder is ours.
 */
#include <string.h>

#include "byteorder.h"
#include "compress_impl.h"

#define LENGTH_WORD 4 /* big-endian, before the block */
#define MATCH_MIN 4
#define DISTANCE_MAX 65535
#define TAIL_LITERALS 5 /* a block ends in so many literals */
#define MATCH_LAST 12   /* and no match begins in its last bytes */
#define RUN 15          /* lengths from here on go on in further bytes */
#define HASH_BITS 12
#define STEP_SHIFT 6 /* so many misses (as a power of two) make the step longer by one */

static inline uint32_t slot_of(const uint8_t *p)
{
    /* Five bytes: longer matches than the least are what is worth finding. */
    return (uint32_t)(((ub_le64(p) << 24) * 889523592379ull) >> (64 - HASH_BITS));
}

static inline size_t equal_bytes(const uint8_t *a, const uint8_t *b, const uint8_t *end)
{
    const uint8_t *const start = b;
    while (end - b >= 8) {
        const uint64_t diff = ub_le64(a) ^ ub_le64(b);
        if (diff != 0)
            return (size_t)(b - start) + (unsigned)__builtin_ctzll(diff) / 8;
        a += 8;
        b += 8;
    }
    while (b < end && *a == *b)
        a++, b++;
    return (size_t)(b - start);
}

/* Bytes that a length beyond the four bits of a token takes. */
static inline size_t more_bytes(size_t length)
{
    return length < RUN ? 0 : (length - RUN) / 255 + 1;
}

static inline uint8_t *put_more(uint8_t *out, size_t length)
{
    if (length < RUN)
        return out;
    for (length -= RUN; length >= 255; length -= 255)
        *out++ = 255;
    *out++ = (uint8_t)length;
    return out;
}

/* One sequence: literals, then a match (length 0: none, the end). NULL: no room. */
static inline uint8_t *put(uint8_t *out, const uint8_t *end, const uint8_t *literals, size_t count, size_t distance,
                           size_t length)
{
    const size_t rest = length != 0 ? length - MATCH_MIN : 0;
    const size_t match = length != 0 ? 2 + more_bytes(rest) : 0;
    if ((size_t)(end - out) < 1 + more_bytes(count) + count + match)
        return NULL;
    *out++ = (uint8_t)((count < RUN ? count : RUN) << 4 | (rest < RUN ? rest : RUN));
    out = put_more(out, count);
    memcpy(out, literals, count);
    out += count;
    if (length == 0)
        return out;
    *out++ = (uint8_t)distance;
    *out++ = (uint8_t)(distance >> 8);
    return put_more(out, rest);
}

/* The sequences up to the last literals, whose place goes to *anchor. */
static uint8_t *put_matches(const uint8_t *src, size_t n, uint8_t *out, const uint8_t *end, size_t *anchor)
{
    uint32_t seen[1 << HASH_BITS];
    const size_t last = n - MATCH_LAST;
    size_t at = 1, misses = 1 << STEP_SHIFT;
    memset(seen, 0, sizeof seen);
    while (at <= last) {
        const uint32_t slot = slot_of(src + at);
        size_t from = seen[slot];
        seen[slot] = (uint32_t)at;
        if (at - from > DISTANCE_MAX || ub_load32(src + from) != ub_load32(src + at)) {
            at += misses++ >> STEP_SHIFT;
            if (at - *anchor > (size_t)(end - out)) /* the literals alone are too much */
                return NULL;
            continue;
        }
        while (at > *anchor && from > 0 && src[at - 1] == src[from - 1])
            at--, from--;
        const size_t length =
            MATCH_MIN + equal_bytes(src + from + MATCH_MIN, src + at + MATCH_MIN, src + n - TAIL_LITERALS);
        out = put(out, end, src + *anchor, at - *anchor, at - from, length);
        if (out == NULL)
            return NULL;
        at += length;
        *anchor = at;
        misses = 1 << STEP_SHIFT;
        if (at <= last)
            seen[slot_of(src + at - 2)] = (uint32_t)at - 2;
    }
    return out;
}

size_t ub_lz4_encode(const uint8_t *src, size_t n, uint8_t *dst, size_t room)
{
    size_t anchor = 0;
    if (room <= LENGTH_WORD)
        return 0;
    uint8_t *out = dst + LENGTH_WORD;
    if (n > MATCH_LAST)
        out = put_matches(src, n, out, dst + room, &anchor);
    if (out != NULL)
        out = put(out, dst + room, src + anchor, n - anchor, 0, 0);
    if (out == NULL)
        return 0;
    const size_t size = (size_t)(out - dst) - LENGTH_WORD;
    const uint8_t word[LENGTH_WORD] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size};
    memcpy(dst, word, sizeof word);
    return size + LENGTH_WORD;
}
