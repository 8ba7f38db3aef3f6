/* The one entry for all decoders. */
#include <string.h>

#include "decompress_impl.h"

int ub_decompress(int id, const uint8_t *src, size_t n, uint8_t *dst, size_t m)
{
    switch (id) {
    case UB_COMPRESS_OFF:
        if (n < m)
            return UB_CORRUPT;
        if (m != 0)
            memcpy(dst, src, m);
        return UB_OK;
    case UB_COMPRESS_LZJB:
        return ub_lzjb_decode(src, n, dst, m);
    case UB_COMPRESS_ZLE:
        return ub_zle_decode(src, n, dst, m);
    case UB_COMPRESS_LZ4:
        return ub_lz4_decode(src, n, dst, m);
    default:
        return UB_UNSUPPORTED;
    }
}
