/* Skein-512-256, keyed with the pool's salt.
 *
 * Everything is one chaining mode, UBI, around the tweakable block cipher Threefish-512: key block,
 * configuration block, message blocks, output block. The state after the first two depends on the salt only
 * and is kept.
 *
 * Source: The Skein Hash Function Family, version 1.3, sections 3.3 to 3.5.
 */
#include "byteorder.h"
#include "checksum_impl.h"

#define BLOCK UB_SKEIN_BLOCK
#define OUTPUT_BITS 256

/* Upper tweak word: field of the block type, first and last block of its UBI call. */
#define TYPE_KEY UB_SKEIN_TYPE(0)
#define TYPE_CONFIG UB_SKEIN_TYPE(4)
#define TYPE_OUTPUT UB_SKEIN_TYPE(63)
#define LAST (UINT64_C(1) << 63)

#define UB_LANES 1
#define ub_vec uint64_t
#define ub_add(a, b) ((a) + (b))
#define ub_xor(a, b) ((a) ^ (b))
#define ub_rotl(v, bits) ((v) << (bits) | (v) >> (64 - (bits)))
#define ub_splat(word) (word)
#define ub_message message

static inline void message(uint64_t m[], const uint8_t *const *p, size_t at, const int n)
{
    for (int i = 0; i < n; i++)
        m[i] = ub_le64(p[0] + at + 8 * i);
}

#include "skein_block.h"

static void ubi_block(uint64_t state[8], const uint8_t *p, uint64_t position, uint64_t upper)
{
    ub_skein_block(state, &p, 0, position, upper);
}

/* A UBI call of one block of n <= 64 bytes. */
static void ubi_short(uint64_t state[8], const uint8_t *p, size_t n, uint64_t type)
{
    uint8_t block[BLOCK] = {0};
    memcpy(block, p, n);
    ubi_block(state, block, n, type | UB_SKEIN_FIRST | LAST);
}

void ub_skein_salted(const uint8_t salt[UB_SALT_BYTES], uint64_t state[8])
{
    uint8_t config[32] = {'S', 'H', 'A', '3', 1}; /* schema, version 1, no tree */
    ub_store_le64(config + 8, OUTPUT_BITS);
    memset(state, 0, 8 * sizeof state[0]);
    ubi_short(state, salt, UB_SALT_BYTES, TYPE_KEY);
    ubi_short(state, config, sizeof config, TYPE_CONFIG);
}

void ub_skein_finish(uint64_t state[8], const uint8_t *p, size_t n, size_t done, uint8_t digest[32])
{
    uint64_t first = done == 0 ? UB_SKEIN_FIRST : 0;
    for (; n - done > BLOCK; done += BLOCK, first = 0)
        ubi_block(state, p + done, done + BLOCK, UB_SKEIN_MESSAGE | first);
    uint8_t last[BLOCK] = {0};
    if (n != 0)
        memcpy(last, p + done, n - done);
    ubi_block(state, last, n, UB_SKEIN_MESSAGE | first | LAST);

    const uint8_t counter[8] = {0};
    ubi_short(state, counter, sizeof counter, TYPE_OUTPUT);
    for (int i = 0; i < 4; i++)
        ub_store_le64(digest + 8 * i, state[i]);
}

void ub_skein(const uint64_t salted[8], const uint8_t *p, size_t n, uint8_t digest[32])
{
    uint64_t state[8];
    memcpy(state, salted, sizeof state);
    ub_skein_finish(state, p, n, 0, digest);
}
