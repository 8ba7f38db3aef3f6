/* Decompression of blocks: LZJB, ZLE, LZ4.
 *
 * The input is hostile: every decoder reads nothing outside src[0 .. n-1], writes nothing outside dst[0 ..
 * m-1], and succeeds only if the stream gives exactly m bytes. What `dst` holds after a failure is undefined.
 * Bytes after the end of the stream (the fill up to the stored size) are not looked at.
 *
 * Nothing allocates, blocks or keeps state. All functions may be called from any thread. Buffers need no
 * alignment and must not overlap; with a length of 0 they may have no address.
 */
#ifndef UB_DECOMPRESS_IMPL_H
#define UB_DECOMPRESS_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "ub_status.h"

/* Numbers of the compressions on disk. */
enum {
    UB_COMPRESS_OFF = 2,
    UB_COMPRESS_LZJB = 3,
    UB_COMPRESS_ZLE = 14,
    UB_COMPRESS_LZ4 = 15,
};

/* Fills dst with the m bytes that the n stored bytes stand for. Returns UB_OK, UB_CORRUPT, or UB_UNSUPPORTED
 * for an id of another program (gzip, zstd) or of nothing. UB_COMPRESS_OFF copies, and wants n >= m. */
int ub_decompress(int id, const uint8_t *src, size_t n, uint8_t *dst, size_t m);

/* One each; UB_OK or UB_CORRUPT. LZ4 with the length word before the block. */
int ub_lzjb_decode(const uint8_t *src, size_t n, uint8_t *dst, size_t m);
int ub_zle_decode(const uint8_t *src, size_t n, uint8_t *dst, size_t m);
int ub_lz4_decode(const uint8_t *src, size_t n, uint8_t *dst, size_t m);

#endif
