/* ZLE: runs of literal bytes and runs of zeros, each after one byte that gives kind and length.
 *
 * Source: OpenZFS, zle (the format; the decoder is ours).
 */
#include <string.h>

#include "decompress_impl.h"

#define LITERALS 64 /* length bytes below mean 1 .. 64 literals, the others 1 .. 192 zeros */

int ub_zle_decode(const uint8_t *src, size_t n, uint8_t *dst, size_t m)
{
    size_t in = 0, out = 0;
    while (out < m) {
        if (in == n)
            return UB_CORRUPT;
        unsigned code = src[in++];
        size_t length = code < LITERALS ? code + 1 : code - LITERALS + 1;
        if (length > m - out)
            return UB_CORRUPT;
        if (code < LITERALS) {
            if (length > n - in)
                return UB_CORRUPT;
            memcpy(dst + out, src + in, length);
            in += length;
        } else {
            memset(dst + out, 0, length);
        }
        out += length;
    }
    return UB_OK;
}
