/* A stripe: checks its shape, cuts it where a column ends, and hands each piece to the kernel in use.
 *
 * Between two column ends the set of columns that hold anything is constant. OpenZFS's stripes have at most
 * two such pieces, the second one sector high; any other set of lengths works too.
 */
#include <string.h>

#include "raidz_impl.h"

/* Stands for a column that has ended, in generation; pieces with such columns are cut to this length. */
#define ZEROS 4096
static const uint8_t zeros[ZEROS];

/* The next column end behind `at`. */
static size_t next_end(size_t n, const size_t *len, size_t at, size_t height)
{
    size_t end = height;
    for (size_t j = 0; j < n; j++)
        if (len[j] > at && len[j] < end)
            end = len[j];
    return end;
}

/* Checks the numbers and lengths; `full` receives how far every data column reaches. */
static int check_shape(size_t ndata, size_t nparity, const size_t *len, size_t height, size_t *full)
{
    if (ndata < 1 || ndata > UB_RAIDZ_MAX_DATA)
        return UB_RAIDZ_BAD_WIDTH;
    if (nparity < 1 || nparity > UB_RAIDZ_MAX_PARITY)
        return UB_RAIDZ_BAD_PARITY;
    if (height == 0)
        return UB_RAIDZ_BAD_HEIGHT;
    size_t shortest = height, longest = 0;
    for (size_t j = 0; j < ndata; j++) {
        shortest = len[j] < shortest ? len[j] : shortest;
        longest = len[j] > longest ? len[j] : longest;
    }
    *full = shortest;
    return longest > height ? UB_RAIDZ_BAD_LENGTH : UB_RAIDZ_OK;
}

/* --- generation ----------------------------------------------------------------------------------------- */

static void generate_piece(const ub_raidz_kernel *kernel, size_t n, size_t p, const uint8_t *const *src,
                           uint8_t *const *dst, size_t length)
{
    const size_t body = length - length % kernel->step;
    if (body > 0)
        kernel->generate(n, p, src, dst, body);
    if (body == length)
        return;
    const uint8_t *tail_src[UB_RAIDZ_MAX_DATA];
    uint8_t *tail_dst[UB_RAIDZ_MAX_PARITY];
    for (size_t j = 0; j < n; j++)
        tail_src[j] = src[j] + body;
    for (size_t i = 0; i < p; i++)
        tail_dst[i] = dst[i] + body;
    ub_raidz_scalar.generate(n, p, tail_src, tail_dst, length - body);
}

/* A piece at `at` where some columns have ended. Leading ones drop out of Horner's scheme, others count as
 * zeros. */
static size_t generate_ragged(const ub_raidz_kernel *kernel, size_t n, size_t p, const uint8_t *const *data,
                              const size_t *len, uint8_t *const *parity, size_t at, size_t length)
{
    const uint8_t *src[UB_RAIDZ_MAX_DATA];
    uint8_t *dst[UB_RAIDZ_MAX_PARITY];
    size_t first = 0;
    while (first < n && len[first] <= at)
        first++;
    if (first == n) {
        for (size_t i = 0; i < p; i++)
            memset(parity[i] + at, 0, length);
        return length;
    }
    if (length > ZEROS)
        length = ZEROS;
    for (size_t j = first; j < n; j++)
        src[j] = len[j] > at ? data[j] + at : zeros;
    for (size_t i = 0; i < p; i++)
        dst[i] = parity[i] + at;
    generate_piece(kernel, n - first, p, src + first, dst, length);
    return length;
}

int ub_raidz_generate(size_t ndata, size_t nparity, const uint8_t *const *data, const size_t *len,
                      uint8_t *const *parity, size_t height)
{
    size_t full;
    const int bad = check_shape(ndata, nparity, len, height, &full);
    if (bad)
        return bad;
    const ub_raidz_kernel *kernel = ub_raidz_kernel_in_use();
    if (full > 0)
        generate_piece(kernel, ndata, nparity, data, parity, full);
    for (size_t at = full; at < height;) {
        const size_t end = next_end(ndata, len, at, height);
        while (at < end)
            at += generate_ragged(kernel, ndata, nparity, data, len, parity, at, end - at);
    }
    return UB_RAIDZ_OK;
}

/* --- reconstruction ------------------------------------------------------------------------------------- */

static void combine_piece(const ub_raidz_kernel *kernel, const ub_raidz_plan *plan, const uint8_t *const *src,
                          uint8_t *const *dst, size_t length)
{
    const size_t body = length - length % kernel->step;
    if (body > 0)
        kernel->combine(plan, src, dst, body);
    if (body == length)
        return;
    const uint8_t *tail_src[UB_RAIDZ_MAX_COLUMNS];
    uint8_t *tail_dst[UB_RAIDZ_MAX_PARITY];
    for (size_t s = 0; s < plan->nsrc; s++)
        tail_src[s] = src[s] + body;
    for (size_t k = 0; k < plan->rows + (size_t)plan->fold; k++)
        tail_dst[k] = dst[k] + body;
    ub_raidz_scalar.combine(plan, tail_src, tail_dst, length - body);
}

/* Rebuilds bytes at .. end-1 of the lost columns, between two column ends. */
static void reconstruct_piece(const ub_raidz_kernel *kernel, size_t n, size_t p, uint8_t *const *cols,
                              const size_t *len, const uint8_t *lost, size_t at, size_t end)
{
    ub_raidz_plan plan;
    uint8_t sources[UB_RAIDZ_MAX_COLUMNS], targets[UB_RAIDZ_MAX_PARITY];
    const uint8_t *src[UB_RAIDZ_MAX_COLUMNS];
    uint8_t *dst[UB_RAIDZ_MAX_PARITY];

    ub_raidz_solve(n, p, lost, len + p, at, &plan, sources, targets);
    const size_t ntargets = plan.rows + (size_t)plan.fold;
    for (size_t k = 0; k < ntargets; k++)
        dst[k] = cols[targets[k]] + at;
    for (size_t s = 0; s < plan.nsrc; s++)
        src[s] = cols[sources[s]] + at;
    if (plan.nsrc > 0 && ntargets > 0)
        combine_piece(kernel, &plan, src, dst, end - at);
    else
        for (size_t k = 0; k < ntargets; k++)
            memset(dst[k], 0, end - at);
}

/* Marks the missing columns in `lost`. */
static int check_missing(size_t ncols, size_t nparity, uint8_t *const *cols, const unsigned *missing,
                         size_t nmissing, uint8_t *lost)
{
    if (nmissing < 1 || nmissing > nparity)
        return UB_RAIDZ_BAD_MISSING;
    memset(lost, UB_RAIDZ_KNOWN, ncols);
    for (size_t m = 0; m < nmissing; m++) {
        const unsigned c = missing[m];
        if (c >= ncols || lost[c])
            return UB_RAIDZ_BAD_MISSING;
        lost[c] = cols[c] == NULL ? UB_RAIDZ_UNWANTED : UB_RAIDZ_LOST;
    }
    return UB_RAIDZ_OK;
}

int ub_raidz_reconstruct(size_t ncols, size_t nparity, uint8_t *const *cols, const size_t *len,
                         const unsigned *missing, size_t nmissing)
{
    uint8_t lost[UB_RAIDZ_MAX_COLUMNS];
    size_t full;
    if (nparity < 1 || nparity > UB_RAIDZ_MAX_PARITY)
        return UB_RAIDZ_BAD_PARITY;
    if (ncols <= nparity)
        return UB_RAIDZ_BAD_WIDTH;
    const size_t ndata = ncols - nparity, height = len[0];
    int bad = check_shape(ndata, nparity, len + nparity, height, &full);
    for (size_t i = 1; i < nparity && !bad; i++)
        if (len[i] != height)
            bad = UB_RAIDZ_BAD_HEIGHT;
    if (!bad)
        bad = check_missing(ncols, nparity, cols, missing, nmissing, lost);
    if (bad)
        return bad;
    const ub_raidz_kernel *kernel = ub_raidz_kernel_in_use();
    for (size_t at = 0, end; at < height; at = end) {
        end = at < full ? full : next_end(ndata, len + nparity, at, height);
        reconstruct_piece(kernel, ndata, nparity, cols, len, lost, at, end);
    }
    return UB_RAIDZ_OK;
}
