/* SHA-256 of two messages at once with the SHA instructions: the rounds of one message are a long chain, and
 * leave room for those of another. The lanes lie side by side in the state, as vector kernels have them. */
#include "checksum_impl.h"
#include "sha256_shani.h"

#define LANES 2

INLINE sha256_pair pair_of(const uint32_t *state, int lane)
{
    uint32_t own[8];
    for (int i = 0; i < 8; i++)
        own[i] = state[i * LANES + lane];
    return sha256_load(own);
}

INLINE void put_back(sha256_pair s, uint32_t *state, int lane)
{
    uint32_t own[8];
    sha256_store(s, own);
    for (int i = 0; i < 8; i++)
        state[i * LANES + lane] = own[i];
}

static void lanes(uint32_t *state, const uint8_t *const *p, size_t nblocks)
{
    sha256_pair x = pair_of(state, 0), y = pair_of(state, 1);
    for (size_t at = 0; nblocks != 0; nblocks--, at += 64) {
        const sha256_pair x_before = x, y_before = y;
        __m128i v[4], w[4];
#pragma GCC unroll 16
        for (int g = 0; g < 16; g++) {
            sha256_four_rounds(&x, v, p[0] + at, g);
            sha256_four_rounds(&y, w, p[1] + at, g);
        }
        x = sha256_sum(x, x_before);
        y = sha256_sum(y, y_before);
    }
    put_back(x, state, 0);
    put_back(y, state, 1);
}

const ub_sha256_many_kernel ub_sha256_many_shani = {"shani", LANES, 2, lanes};
