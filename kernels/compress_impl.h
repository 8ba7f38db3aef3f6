/* Compression of blocks: LZJB, ZLE, LZ4, into the formats that decompress_impl.h reads.
 *
 * Every encoder reads nothing outside src[0 .. n-1], writes nothing outside dst[0 .. room-1], and returns the number
 * of bytes of the stream, or 0 when it does not fit. What `dst` holds then is undefined.
 *
 * Nothing here allocates, blocks or keeps state. All functions may be called from any thread. Buffers need no
 * alignment and must not overlap. n is at most UB_COMPRESS_MAX.
 */
#ifndef UB_COMPRESS_IMPL_H
#define UB_COMPRESS_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "decompress_impl.h"

#define UB_COMPRESS_MAX ((size_t)1 << 30)

typedef size_t ub_encoder(const uint8_t *src, size_t n, uint8_t *dst, size_t room);

ub_encoder ub_lzjb_encode;
ub_encoder ub_zle_encode;
ub_encoder ub_lz4_encode; /* with the length word before the block */

/* The encoder of an id, or NULL. */
ub_encoder *ub_encoder_of(int id);

#endif
