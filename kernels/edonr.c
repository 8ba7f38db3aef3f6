/* Edon-R 512 as OpenZFS uses it: salted by a 128-byte prefix, cut to 256 bits.
 *
 * Source: Edon-R, submission to the SHA-3 competition; the compression function is in edonr_block.h.
 */
#include "byteorder.h"
#include "checksum_impl.h"

#define BLOCK UB_EDONR_BLOCK
#define STATE_WORDS 16

#define UB_LANES 1
#define ub_vec uint64_t
#define ub_add(a, b) ((a) + (b))
#define ub_xor(a, b) ((a) ^ (b))
#define ub_rotl(v, bits) rotl(v, bits)
#define ub_splat(word) (word)
#define ub_message message

static inline uint64_t rotl(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static inline void message(uint64_t m[], const uint8_t *const *p, size_t at, const int n)
{
    for (int i = 0; i < n; i++)
        m[i] = ub_le64(p[0] + at + 8 * i);
}

#include "edonr_block.h"

static void scalar_blocks(uint64_t state[STATE_WORDS], const uint8_t *p, size_t nblocks)
{
    for (; nblocks != 0; nblocks--, p += BLOCK)
        ub_edonr_block(state, &p, 0);
}

const ub_edonr_kernel ub_edonr_scalar = {"scalar", scalar_blocks};

static void initial(uint64_t state[STATE_WORDS])
{
    uint8_t bytes[BLOCK];
    for (int i = 0; i < BLOCK; i++)
        bytes[i] = (uint8_t)(0x80 + i);
    for (int i = 0; i < STATE_WORDS; i++)
        state[i] = ub_be64(bytes + 8 * i);
}

/* The rest of a message of which `before` bytes have been taken in: n bytes, then the padding. */
static void finish(const ub_edonr_kernel *kernel, uint64_t state[STATE_WORDS], const uint8_t *p, size_t n,
                   uint64_t before)
{
    size_t whole = n / BLOCK, left = n % BLOCK;
    kernel->blocks(state, p, whole);

    uint8_t tail[2 * BLOCK] = {0};
    if (left != 0)
        memcpy(tail, p + whole * BLOCK, left);
    tail[left] = 0x80;
    size_t count = left + 1 + sizeof(uint64_t) <= BLOCK ? 1 : 2;
    ub_store_le64(tail + count * BLOCK - sizeof(uint64_t), (before + n) * 8);
    kernel->blocks(state, tail, count);
}

void ub_edonr512(const uint8_t *p, size_t n, uint8_t digest[64])
{
    uint64_t state[STATE_WORDS];
    initial(state);
    finish(&ub_edonr_scalar, state, p, n, 0);
    for (int i = 0; i < 8; i++)
        ub_store_le64(digest + 8 * i, state[8 + i]);
}

void ub_edonr_salted(const uint8_t salt[UB_SALT_BYTES], uint64_t state[STATE_WORDS])
{
    uint8_t prefix[BLOCK];
    ub_edonr512(salt, UB_SALT_BYTES, prefix);
    ub_edonr512(prefix, 64, prefix + 64);
    initial(state);
    scalar_blocks(state, prefix, 1);
}

void ub_edonr_finish(const ub_edonr_kernel *kernel, uint64_t state[STATE_WORDS], const uint8_t *p, size_t n, size_t done,
                     uint8_t digest[32])
{
    finish(kernel, state, done == 0 ? p : p + done, n - done, BLOCK + done);
    for (int i = 0; i < 4; i++)
        ub_store_le64(digest + 8 * i, state[8 + i]);
}

void ub_edonr(const ub_edonr_kernel *kernel, const uint64_t salted[STATE_WORDS], const uint8_t *p, size_t n,
              uint8_t digest[32])
{
    uint64_t state[STATE_WORDS];
    memcpy(state, salted, sizeof state);
    ub_edonr_finish(kernel, state, p, n, 0, digest);
}
