/* The decoders, on whatever bytes: nothing outside the blocks may be touched, and what is delivered must be delivered
 * again from a copy that lies elsewhere. */
#include "decompress_impl.h"
#include "fuzz_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int ids[] = {UB_COMPRESS_LZJB, UB_COMPRESS_ZLE, UB_COMPRESS_LZ4, UB_COMPRESS_OFF, 16};
    fuzz_input in = {data, size};
    const int id = ids[fuzz_below(&in, sizeof ids / sizeof ids[0])];
    const size_t plain = fuzz_take(&in, 1) & 1 ? fuzz_below(&in, 600) : 512 * (1 + fuzz_below(&in, 256));
    const size_t stored = in.left;
    uint8_t *src = fuzz_block(&in, stored);
    uint8_t *one = calloc(plain ? plain : 1, 1), *two = calloc(plain ? plain : 1, 1);
    if (one == NULL || two == NULL)
        abort();
    const int first = ub_decompress(id, src, stored, one, plain);
    const int second = ub_decompress(id, src, stored, two, plain);
    if (first != second || (first == UB_OK && memcmp(one, two, plain) != 0))
        abort();
    free(src);
    free(one);
    free(two);
    return 0;
}
