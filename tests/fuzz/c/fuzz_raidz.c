/* Reconstruction: parity made of any data brings back whatever columns are taken away; nonsense is refused. */
#include "fuzz_input.h"
#include "raidz_impl.h"

enum { COLUMNS = 12, HEIGHT = 700 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    const size_t nparity = 1 + fuzz_below(&in, 3), ndata = 1 + fuzz_below(&in, COLUMNS - nparity);
    const size_t height = 1 + fuzz_below(&in, HEIGHT), ncols = nparity + ndata;
    uint8_t *cols[COLUMNS], *kept[COLUMNS];
    size_t len[COLUMNS];
    for (size_t i = 0; i < ncols; i++) {
        len[i] = i < nparity || fuzz_take(&in, 1) < 200 ? height : fuzz_below(&in, height + 1);
        cols[i] = fuzz_block(&in, len[i]);
    }
    if (ub_raidz_generate(ndata, nparity, (const uint8_t *const *)(cols + nparity), len + nparity, cols, height) != 0)
        abort();
    for (size_t i = 0; i < ncols; i++) {
        kept[i] = malloc(len[i] + 1);
        if (kept[i] == NULL)
            abort();
        memcpy(kept[i], cols[i], len[i]);
    }
    unsigned missing[3];
    size_t nmissing = 0;
    for (size_t i = 0; i < ncols && nmissing < nparity; i++)
        if (fuzz_take(&in, 1) & 1) {
            memset(cols[i], 0xA5, len[i]);
            missing[nmissing++] = (unsigned)i;
        }
    if (nmissing != 0) {
        if (ub_raidz_reconstruct(ncols, nparity, cols, len, missing, nmissing) != 0)
            abort();
        for (size_t i = 0; i < ncols; i++)
            if (memcmp(kept[i], cols[i], len[i]) != 0)
                abort();
    }
    /* Columns that cannot be, or twice the same: refused, nothing touched outside. */
    unsigned wild[3] = {(unsigned)fuzz_take(&in, 1), (unsigned)fuzz_take(&in, 4), (unsigned)fuzz_take(&in, 1)};
    ub_raidz_reconstruct(ncols, nparity, cols, len, wild, 1 + fuzz_below(&in, 3));
    for (size_t i = 0; i < ncols; i++) {
        free(cols[i]);
        free(kept[i]);
    }
    return 0;
}
