/* Passes that do two things while the data is at hand: the contract.
 *
 * A block that is made parity for, and summed, is read twice; one that is larger than the caches comes from memory
 * twice. Here both walk over it together, a piece of each column at a time. (Checksum and copy in one pass is
 * ub_copy_fletcher4, in checksum_impl.h.)
 *
 * Nothing here allocates, blocks, or keeps state. Buffers need no alignment.
 */
#ifndef UB_FUSED_IMPL_H
#define UB_FUSED_IMPL_H

#include <stddef.h>
#include <stdint.h>

enum {
    UB_FUSED_BAD_LENGTH = 100, /* a data column that is no multiple of 4 bytes; below: what UB_RAIDZ_* say */
};

/* What ub_raidz_generate does, and the fletcher4 of the data columns, one behind the other: they are the block.
 * Returns UB_RAIDZ_OK, an error of ub_raidz_generate, or UB_FUSED_BAD_LENGTH; then parity and sums are of no use. */
int ub_generate_fletcher4(size_t ndata, size_t nparity, const uint8_t *const *data, const size_t *len,
                          uint8_t *const *parity, size_t height, int byteswap, uint64_t sums[4]);

#endif
