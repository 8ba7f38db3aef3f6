/* Parity and checksum in one walk under AddressSanitizer and UndefinedBehaviorSanitizer.
 *
 * Columns of the heap of exactly their size, apart and one behind the other, in small blocks and in ones that are walked
 * over piece by piece, must give what the two passes give.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checksum_impl.h"
#include "fused_impl.h"
#include "raidz_impl.h"

#define MOST 40

static uint8_t *piece(size_t n)
{
    uint8_t *p = malloc(n + (n == 0));
    if (p == NULL)
        exit(2);
    return p;
}

/* `shorter` columns, the last ones, lack `less` bytes; with `together` all lie one behind the other. */
static void compare(size_t ndata, size_t nparity, size_t height, size_t shorter, size_t less, int together)
{
    uint8_t *data[MOST], *made[3], *want[3], *whole = piece(ndata * height);
    size_t len[MOST], total = 0;
    uint64_t got[4], sums[4];
    for (size_t i = 0; i < ndata * height; i++)
        whole[i] = (uint8_t)(i * 149 + i / 241 + 9);
    for (size_t j = 0; j < ndata; j++) {
        len[j] = j + shorter >= ndata ? height - less : height;
        data[j] = together ? whole + total : piece(len[j]);
        if (!together)
            memcpy(data[j], whole + total, len[j]);
        total += len[j];
    }
    for (size_t j = 0; j < nparity; j++) {
        made[j] = piece(height);
        want[j] = piece(height);
    }
    const int byteswap = (int)(height / 4 & 1);
    if (ub_generate_fletcher4(ndata, nparity, (const uint8_t *const *)data, len, made, height, byteswap, got) !=
            UB_RAIDZ_OK ||
        ub_raidz_generate(ndata, nparity, (const uint8_t *const *)data, len, want, height) != UB_RAIDZ_OK ||
        ub_checksum(UB_CHECKSUM_FLETCHER4, whole, total, byteswap, NULL, sums) != UB_OK)
        exit(3);
    for (size_t j = 0; j < nparity; j++) {
        if (memcmp(made[j], want[j], height) != 0 || memcmp(got, sums, sizeof got) != 0) {
            fprintf(stderr, "%zu+%zu columns of %zu bytes differ\n", ndata, nparity, height);
            exit(1);
        }
        free(made[j]);
        free(want[j]);
    }
    for (size_t j = 0; !together && j < ndata; j++)
        free(data[j]);
    free(whole);
}

int main(void)
{
    for (size_t height = 4; height < 1500; height += 44)
        for (size_t ndata = 1; ndata < MOST; ndata += 4)
            compare(ndata, 1 + height / 44 % 3, height, ndata / 2, height / 8 * 4, (int)(ndata / 4 & 1));
    for (size_t nparity = 1; nparity <= 3; nparity++)
        for (int together = 0; together < 2; together++) {
            compare(3, nparity, 700 * 1024 + 4, 1, 512, together);
            compare(37, nparity, 64 * 1024, 36, 64 * 1024, together);
        }
    puts("all equal");
    return 0;
}
