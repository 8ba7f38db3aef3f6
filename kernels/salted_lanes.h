/* Skein and Edon-R of several messages side by side, written once for every vector instruction set.
 *
 * The including file defines what skein_block.h and edonr_block.h want, and ub_load(p), ub_store(p, v), UB_SKEIN,
 * UB_EDONR (names of the kernels), UB_KERNEL_NAME.
 */
#include "checksum_impl.h"
#include "edonr_block.h"
#include "skein_block.h"

static void ub_skein_lanes(uint64_t *state, const uint8_t *const *p, size_t nblocks)
{
    ub_vec s[8];
    for (int i = 0; i < 8; i++)
        s[i] = ub_load(state + i * UB_LANES);
    uint64_t upper = UB_SKEIN_MESSAGE | UB_SKEIN_FIRST;
    for (size_t at = 0; at != nblocks * UB_SKEIN_BLOCK; at += UB_SKEIN_BLOCK, upper = UB_SKEIN_MESSAGE)
        ub_skein_block(s, p, at, at + UB_SKEIN_BLOCK, upper);
    for (int i = 0; i < 8; i++)
        ub_store(state + i * UB_LANES, s[i]);
}

static void ub_edonr_lanes(uint64_t *state, const uint8_t *const *p, size_t nblocks)
{
    ub_vec s[16];
    for (int i = 0; i < 16; i++)
        s[i] = ub_load(state + i * UB_LANES);
    for (size_t at = 0; at != nblocks * UB_EDONR_BLOCK; at += UB_EDONR_BLOCK)
        ub_edonr_block(s, p, at);
    for (int i = 0; i < 16; i++)
        ub_store(state + i * UB_LANES, s[i]);
}

const ub_salted_many_kernel UB_SKEIN = {UB_KERNEL_NAME, UB_LANES, ub_skein_lanes};
const ub_salted_many_kernel UB_EDONR = {UB_KERNEL_NAME, UB_LANES, ub_edonr_lanes};
