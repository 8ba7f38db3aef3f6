/* SHA-256 and SHA-512/256 of many buffers side by side; the work is in sha2_many.h. */
#include "byteorder.h"
#include "checksum_impl.h"

static void sha256_words(const uint32_t *state, size_t lanes, uint64_t words[4])
{
    for (size_t i = 0; i < 4; i++)
        words[i] = (uint64_t)state[2 * i * lanes] << 32 | state[(2 * i + 1) * lanes];
}

static void sha512_words(const uint64_t *state, size_t lanes, uint64_t words[4])
{
    for (size_t i = 0; i < 4; i++)
        words[i] = state[i * lanes];
}

#define UB_WORD uint32_t
#define UB_BLOCK 64
#define UB_LANES_MAX UB_SHA256_LANES_MAX
#define UB_INITIAL ub_sha256_initial
#define UB_DIGEST sha256_words
#define UB_MANY ub_sha256_many
#define UB_MANY_KERNEL ub_sha256_many_kernel
#define UB_ONE_KERNEL ub_sha256_kernel
#define UB_LANE sha256_lane
#define UB_NAME(x) sha256_##x
#include "sha2_many.h"

#undef UB_WORD
#undef UB_BLOCK
#undef UB_LANES_MAX
#undef UB_INITIAL
#undef UB_DIGEST
#undef UB_MANY
#undef UB_MANY_KERNEL
#undef UB_ONE_KERNEL
#undef UB_LANE
#undef UB_NAME

#define UB_WORD uint64_t
#define UB_BLOCK 128
#define UB_LANES_MAX UB_SHA512_LANES_MAX
#define UB_INITIAL ub_sha512_256_initial
#define UB_DIGEST sha512_words
#define UB_MANY ub_sha512_256_many
#define UB_MANY_KERNEL ub_sha512_many_kernel
#define UB_ONE_KERNEL ub_sha512_kernel
#define UB_LANE sha512_lane
#define UB_NAME(x) sha512_##x
#include "sha2_many.h"

const ub_sha256_many_kernel ub_sha256_many_single = {"single", 0, SIZE_MAX, NULL};
const ub_sha512_many_kernel ub_sha512_many_single = {"single", 0, SIZE_MAX, NULL};
