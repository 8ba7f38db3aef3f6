/* BLAKE3: between the tree (blake3.c) and the kernels that compress many of its nodes at once. */
#ifndef UB_BLAKE3_IMPL_H
#define UB_BLAKE3_IMPL_H

#include <stddef.h>
#include <stdint.h>

#define UB_BLAKE3_BLOCK 64
#define UB_BLAKE3_LANES_MAX 16

/* Nodes to be computed together, one a lane. */
typedef struct {
    const uint8_t *p[UB_BLAKE3_LANES_MAX];
    uint32_t counter_low[UB_BLAKE3_LANES_MAX], counter_high[UB_BLAKE3_LANES_MAX];
    uint32_t last_length[UB_BLAKE3_LANES_MAX]; /* bytes that count of the last block; the others are zero */
    uint32_t last_flags[UB_BLAKE3_LANES_MAX];  /* more flags of the last block, none of the call's */
    uint8_t *out[UB_BLAKE3_LANES_MAX];         /* 32 bytes */
} ub_blake3_lanes;

/* What they have in common. */
typedef struct {
    size_t nblocks; /* 1 .. 16 */
    uint32_t flags; /* of all blocks */
    uint32_t first; /* more flags of the first block */
} ub_blake3_call;

typedef struct ub_blake3_kernel {
    const char *name;
    size_t lanes;
    const struct ub_blake3_kernel *narrow; /* better where its lanes are enough; or NULL */
    /* All lanes hold something to be computed. */
    void (*hash)(const uint32_t key[8], const ub_blake3_call *call, const ub_blake3_lanes *lanes);
} ub_blake3_kernel;

extern const ub_blake3_kernel ub_blake3_scalar;
extern const ub_blake3_kernel ub_blake3_neon;
extern const ub_blake3_kernel ub_blake3_avx2;
extern const ub_blake3_kernel ub_blake3_avx512;

/* The first words of the fractional parts of square roots that SHA-256 starts with, too. */
static const uint32_t ub_blake3_initial[4] __attribute__((unused)) = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
};

/* The keyed hash, 32 bytes, of many buffers. */
void ub_blake3_many(const ub_blake3_kernel *kernel, const uint8_t key[32], size_t count,
                    const uint8_t *const *p, const size_t *n, uint8_t (*digest)[32]);

#endif
