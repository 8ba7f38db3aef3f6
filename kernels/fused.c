/* Parity and checksum in one walk; the contract is in fused_impl.h. */
#include "byteorder.h"
#include "checksum_impl.h"
#include "fused_impl.h"
#include "raidz_impl.h"

/* A block that stays in the caches is dealt with as a whole. Of a larger one so many bytes at a time, that the second
 * reader finds them in the second level of caches; and so many of a column, that what both kernels cost to begin with
 * counts for little. */
enum {
    SMALL = 2 * 1024 * 1024,
    PIECE = 256 * 1024,
    COLUMN_LEAST = 2 * 1024,
    COLUMN_UNIT = 512,
};

static size_t piece_of_column(size_t ndata)
{
    const size_t size = PIECE / ndata / COLUMN_UNIT * COLUMN_UNIT;
    return size < COLUMN_LEAST ? COLUMN_LEAST : size;
}

static int check(size_t ndata, size_t nparity, const size_t *len, size_t height)
{
    if (ndata < 1 || ndata > UB_RAIDZ_MAX_DATA)
        return UB_RAIDZ_BAD_WIDTH;
    if (nparity < 1 || nparity > UB_RAIDZ_MAX_PARITY)
        return UB_RAIDZ_BAD_PARITY;
    if (height == 0)
        return UB_RAIDZ_BAD_HEIGHT;
    for (size_t j = 0; j < ndata; j++) {
        if (len[j] > height)
            return UB_RAIDZ_BAD_LENGTH;
        if (len[j] % 4 != 0)
            return UB_FUSED_BAD_LENGTH;
    }
    return UB_RAIDZ_OK;
}

/* The whole block; columns that lie one behind the other are summed in one go. */
static int at_once(size_t ndata, size_t nparity, const uint8_t *const *data, const size_t *len,
                   uint8_t *const *parity, size_t height, int byteswap, uint64_t sums[4])
{
    const int error = ub_raidz_generate(ndata, nparity, data, len, parity, height);
    for (size_t j = 0, next; j < ndata; j = next) {
        size_t n = len[j];
        for (next = j + 1; n != 0 && next < ndata && data[next] == data[j] + n; next++)
            n += len[next];
        if (n != 0)
            ub_fletcher4_update(sums, data[j], n, byteswap);
    }
    ub_raidz_settle();
    return error;
}

int ub_generate_fletcher4(size_t ndata, size_t nparity, const uint8_t *const *data, const size_t *len,
                          uint8_t *const *parity, size_t height, int byteswap, uint64_t sums[4])
{
    uint64_t column[UB_RAIDZ_MAX_DATA][4];
    const uint8_t *from[UB_RAIDZ_MAX_DATA];
    size_t left[UB_RAIDZ_MAX_DATA];
    uint8_t *to[UB_RAIDZ_MAX_PARITY];
    int error = check(ndata, nparity, len, height);
    if (error != UB_RAIDZ_OK)
        return error;
    memset(sums, 0, 4 * sizeof sums[0]);
    if (height <= SMALL / ndata)
        return at_once(ndata, nparity, data, len, parity, height, byteswap, sums);
    memset(column, 0, ndata * sizeof column[0]);
    const size_t step = piece_of_column(ndata);
    for (size_t at = 0, now; at < height; at += now) {
        now = height - at < step ? height - at : step;
        for (size_t j = 0; j < ndata; j++) {
            const size_t rest = len[j] > at ? len[j] - at : 0;
            left[j] = rest < now ? rest : now;
            from[j] = rest != 0 ? data[j] + at : NULL;
        }
        for (size_t j = 0; j < nparity; j++)
            to[j] = parity[j] + at;
        error = ub_raidz_generate(ndata, nparity, from, left, to, now);
        if (error != UB_RAIDZ_OK)
            return error;
        for (size_t j = 0; j < ndata; j++)
            if (left[j] != 0)
                ub_fletcher4_update(column[j], from[j], left[j], byteswap);
    }
    ub_raidz_settle();
    for (size_t j = 0; j < ndata; j++)
        ub_fletcher4_combine(sums, column[j], len[j] / 4, sums);
    return UB_RAIDZ_OK;
}
