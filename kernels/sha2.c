/* SHA-256 and SHA-512/256 of whole buffers: padding and output around a compression function.
 *
 * Source: FIPS 180-4, 5.1 (padding), 5.3.3 and 5.3.6.2 (initial states).
 */
#include "byteorder.h"
#include "checksum_impl.h"

const uint32_t ub_sha256_initial[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

const uint64_t ub_sha512_256_initial[8] = {
    0x22312194fc2bf72c, 0x9f555fa3c84c64c2, 0x2393b86b6f53b151, 0x963877195940eabd,
    0x96283ee2a88effe3, 0xbe5e1e2553863992, 0x2b0199fc2c85b8aa, 0x0eb72ddc81c52ca2,
};

size_t ub_sha2_pad(uint8_t *tail, const uint8_t *p, size_t n, size_t block)
{
    size_t left = n % block;
    size_t count = left + 1 + block / 8 <= block ? 1 : 2;
    memset(tail, 0, count * block);
    if (left != 0)
        memcpy(tail, p + (n - left), left);
    tail[left] = 0x80;
    ub_store_be64(tail + count * block - 8, (uint64_t)n * 8);
    return count;
}

void ub_sha256(const ub_sha256_kernel *kernel, const uint8_t *p, size_t n, uint64_t words[4])
{
    uint32_t state[8];
    uint8_t tail[2 * 64];
    memcpy(state, ub_sha256_initial, sizeof state);
    kernel->blocks(state, p, n / 64);
    kernel->blocks(state, tail, ub_sha2_pad(tail, p, n, 64));
    for (int i = 0; i < 4; i++)
        words[i] = (uint64_t)state[2 * i] << 32 | state[2 * i + 1];
}

void ub_sha512_256(const ub_sha512_kernel *kernel, const uint8_t *p, size_t n, uint8_t digest[32])
{
    uint64_t state[8];
    uint8_t tail[2 * 128];
    memcpy(state, ub_sha512_256_initial, sizeof state);
    kernel->blocks(state, p, n / 128);
    kernel->blocks(state, tail, ub_sha2_pad(tail, p, n, 128));
    for (int i = 0; i < 4; i++)
        ub_store_be64(digest + 8 * i, state[i]);
}
