/* LZ4: a big-endian length word, then one raw LZ4 block of that length.
 *
 * A block is a row of sequences: a token (counts of literals and of copied bytes, four bits each), more bytes
 * of the first count, the literals, a two-byte distance, more bytes of the second count. The last sequence
 * ends after its literals, exactly where the block ends.
 *
 * Copies run past their end ("wild") in steps of 8 and 16 bytes, only where the room for it has been proven;
 * what they write too much is overwritten by the next sequence. Everything near the end of either buffer is
 * exact.
 *
 * Source: LZ4 block format description; OpenZFS, lz4 (the length word).
 */
#include "byteorder.h"
#include "decompress_impl.h"

#define LENGTH_BYTES 4
#define DISTANCE_BYTES 2
#define COUNT_MORE 15 /* a count of four bits that says: bytes follow */
#define MATCH_MIN 4
#define STEP 16       /* widest single copy, and so the most a wild copy writes too much */
#define SHORT_OUT 32  /* most bytes of a sequence without count bytes: 14 literals, 18 copied */
#define LONG_MATCH 64 /* from here on memcpy pays */

static inline void copy8(uint8_t *to, const uint8_t *from)
{
    memcpy(to, from, 8);
}

static inline void copy16(uint8_t *to, const uint8_t *from)
{
    memcpy(to, from, 16);
}

/* Adds the bytes of a long count. NULL if they run out, or if the count grows beyond `most`. */
static inline const uint8_t *more_count(size_t *count, size_t most, const uint8_t *in, const uint8_t *in_end)
{
    uint8_t byte;
    do {
        if (in == in_end)
            return NULL;
        byte = *in++;
        *count += byte;
        if (*count > most)
            return NULL;
    } while (byte == 255);
    return in;
}

/* Repeats what lies `distance` bytes back. The output has that period from there on, so each copy doubles
 * what the next one can take. Writes exactly n bytes. */
static void repeat_exactly(uint8_t *out, size_t distance, size_t n)
{
    while (n > distance) {
        memcpy(out, out - distance, distance);
        out += distance;
        n -= distance;
        distance *= 2;
    }
    memcpy(out, out - distance, n);
}

/* The same for distances below 8: the period is spread over one word, which is stored again and again at
 * steps of whole periods, without reading back what was just written. Writes up to 7 bytes too much. */
static inline void repeat_word(uint8_t *out, size_t distance, uint8_t *stop)
{
#if UB_HOST_IS_BIG
    repeat_exactly(out, distance, (size_t)(stop - out));
#else
    static const uint64_t spread[8] = {
        0, 0x0101010101010101, 0x0001000100010001, 0x0001000001000001,
        0x0000000100000001, 0x0000010000000001, 0x0001000000000001, 0x0100000000000001,
    };
    static const uint8_t step[8] = {0, 8, 8, 6, 8, 5, 6, 7};
    uint64_t word = 0;
    memcpy(&word, out - distance, 4);
    if (distance < 4)
        word &= (UINT64_C(1) << 8 * distance) - 1; /* the rest was not written yet */
    else if (distance > 4)
        word |= (uint64_t)ub_load32(out - 4) << 8 * (distance - 4);
    word *= spread[distance];
    do {
        memcpy(out, &word, 8);
        out += step[distance];
    } while (out < stop);
#endif
}

/* Copies n bytes from `distance` back, with at least STEP bytes of room after them. */
static inline void repeat_wild(uint8_t *out, size_t distance, size_t n)
{
    uint8_t *stop = out + n;
    const uint8_t *from = out - distance;
    if (distance >= STEP) {
        if (n > LONG_MATCH) {
            repeat_exactly(out, distance, n);
            return;
        }
        do {
            copy16(out, from);
            out += 16;
            from += 16;
        } while (out < stop);
    } else if (distance >= 8) {
        uint64_t head = ub_load64(from), tail = ub_load64(out - 8);
        do {
            memcpy(out, &head, 8);
            memcpy(out + distance - 8, &tail, 8);
            out += distance;
        } while (out < stop);
    } else {
        repeat_word(out, distance, stop);
    }
}

static int decode_block(const uint8_t *in, const uint8_t *in_end, uint8_t *const dst, uint8_t *const end)
{
    uint8_t *out = dst;
    for (;;) {
        if (in == in_end)
            return UB_CORRUPT;
        size_t literals = *in >> 4, match = *in & 15, distance;
        in++;

        if (literals != COUNT_MORE && in_end - in >= STEP && end - out >= SHORT_OUT) {
            /* Up to 14 literals and the distance lie in the 16 bytes that are there. */
            copy16(out, in);
            in += literals;
            out += literals;
            distance = ub_le16(in);
            in += DISTANCE_BYTES;
            if (match != COUNT_MORE && distance >= 8 && distance <= (size_t)(out - dst)) {
                copy8(out, out - distance);
                copy8(out + 8, out - distance + 8);
                memcpy(out + 16, out - distance + 16, 2);
                out += match + MATCH_MIN;
                continue;
            }
        } else {
            if (literals == COUNT_MORE) {
                in = more_count(&literals, (size_t)(end - out), in, in_end);
                if (in == NULL)
                    return UB_CORRUPT;
            }
            if (literals > (size_t)(end - out) || literals > (size_t)(in_end - in))
                return UB_CORRUPT;
            if (literals != 0)
                memcpy(out, in, literals);
            in += literals;
            out += literals;
            if (in == in_end)
                return out == end ? UB_OK : UB_CORRUPT;
            if (in_end - in < DISTANCE_BYTES)
                return UB_CORRUPT;
            distance = ub_le16(in);
            in += DISTANCE_BYTES;
        }

        size_t room = (size_t)(end - out);
        if (match == COUNT_MORE) {
            in = more_count(&match, room, in, in_end);
            if (in == NULL)
                return UB_CORRUPT;
        }
        match += MATCH_MIN;
        if (distance == 0 || distance > (size_t)(out - dst) || match > room)
            return UB_CORRUPT;
        if (room - match >= STEP)
            repeat_wild(out, distance, match);
        else
            repeat_exactly(out, distance, match);
        out += match;
    }
}

int ub_lz4_decode(const uint8_t *src, size_t n, uint8_t *dst, size_t m)
{
    if (n < LENGTH_BYTES)
        return UB_CORRUPT;
    size_t length = ub_be32(src);
    if (length > n - LENGTH_BYTES)
        return UB_CORRUPT;
    src += LENGTH_BYTES;
    return decode_block(src, src + length, dst, dst + m);
}
