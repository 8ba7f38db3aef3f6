/* SHA-256 of one message with the processor's SHA instructions. */
#include "checksum_impl.h"
#include "sha256_shani.h"

static void blocks(uint32_t state[8], const uint8_t *p, size_t nblocks)
{
    sha256_pair s = sha256_load(state);
    for (; nblocks != 0; nblocks--, p += 64) {
        const sha256_pair before = s;
        __m128i w[4];
#pragma GCC unroll 16
        for (int g = 0; g < 16; g++)
            sha256_four_rounds(&s, w, p, g);
        s = sha256_sum(s, before);
    }
    sha256_store(s, state);
}

const ub_sha256_kernel ub_sha256_shani = {"shani", blocks};
