/* An input, taken apart from its front; behind its end there are zeros. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const uint8_t *at;
    size_t left;
} fuzz_input;

/* `bytes` (1..8) bytes as a number. */
static inline uint64_t fuzz_take(fuzz_input *in, size_t bytes)
{
    uint64_t value = 0;
    size_t n = in->left < bytes ? in->left : bytes;
    for (size_t i = 0; i < n; i++)
        value |= (uint64_t)in->at[i] << (8 * i);
    in->at += n;
    in->left -= n;
    return value;
}

static inline uint64_t fuzz_below(fuzz_input *in, uint64_t limit)
{
    return fuzz_take(in, limit > 65536 ? 4 : 2) % limit;
}

/* A block of the heap of exactly n bytes, so that a single byte outside is seen; filled from the input. */
static inline uint8_t *fuzz_block(fuzz_input *in, size_t n)
{
    uint8_t *block = calloc(n ? n : 1, 1);
    if (block == NULL)
        abort();
    size_t have = in->left < n ? in->left : n;
    if (have)
        memcpy(block, in->at, have);
    in->at += have;
    in->left -= have;
    return block;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
