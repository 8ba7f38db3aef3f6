/* LZJB: a control byte for every eight items; an item is a literal byte, or a copy of 3 to 66 bytes from at
 * most 1023 bytes back.
 *
 * Source: OpenZFS, lzjb (the format; the decoder is ours).
 */
#include <string.h>

#include "decompress_impl.h"

#define ITEMS 8
#define COPY_MIN 3
#define COPY_SHIFT 2 /* of the length in the first of two bytes; below it, high bits of the distance */

int ub_lzjb_decode(const uint8_t *src, size_t n, uint8_t *dst, size_t m)
{
    size_t in = 0, out = 0;
    while (out < m) {
        if (in == n)
            return UB_CORRUPT;
        unsigned control = src[in++];
        if (control == 0 && n - in >= ITEMS && m - out >= ITEMS) {
            memcpy(dst + out, src + in, ITEMS);
            in += ITEMS;
            out += ITEMS;
            continue;
        }
        for (int item = 0; item < ITEMS && out < m; item++, control >>= 1) {
            if ((control & 1) == 0) {
                if (in == n)
                    return UB_CORRUPT;
                dst[out++] = src[in++];
                continue;
            }
            if (n - in < 2)
                return UB_CORRUPT;
            size_t length = (size_t)(src[in] >> COPY_SHIFT) + COPY_MIN;
            size_t distance = (size_t)(src[in] & 3) << 8 | src[in + 1];
            in += 2;
            if (distance == 0 || distance > out || length > m - out)
                return UB_CORRUPT;
            for (const uint8_t *from = dst + out - distance; length != 0; length--)
                dst[out++] = *from++;
        }
    }
    return UB_OK;
}
