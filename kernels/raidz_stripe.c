/* A stripe: checks its shape, cuts it where a column ends, and hands each piece to the kernel in use.
 *
 * Between two column ends the set of columns that hold anything is constant. OpenZFS's stripes have at most
 * two such pieces, the second one sector high; any other set of lengths works too.
 */
#include <stdatomic.h>
#include <string.h>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include "raidz_impl.h"

/* Stands for a column that has ended, in generation; pieces with such columns are cut to this length. */
#define ZEROS 4096
static const uint8_t zeros[ZEROS];

/* From so many sources on the sums of P and Q together cost less than a combination, with the matrix behind them. */
#define SUMS_FROM 8

void ub_raidz_settle(void)
{
#if defined(__SSE__)
    _mm_sfence(); /* the stores it is for are not ordered by the fences of C */
#else
    atomic_thread_fence(memory_order_release);
#endif
}

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
                           uint8_t *const *dst, size_t length, int keep)
{
    const size_t body = length & ~(kernel->step - 1);
    if (body > 0)
        kernel->generate(n, p, src, dst, body, keep);
    if (body == length)
        return;
    const uint8_t *tail_src[UB_RAIDZ_MAX_DATA];
    uint8_t *tail_dst[UB_RAIDZ_MAX_PARITY];
    for (size_t j = 0; j < n; j++)
        tail_src[j] = src[j] + body;
    for (size_t i = 0; i < p; i++)
        tail_dst[i] = dst[i] + body;
    ub_raidz_scalar.generate(n, p, tail_src, tail_dst, length - body, keep);
}

/* A piece at `at` where some columns have ended. Leading ones drop out of Horner's scheme, others count as
 * zeros. */
static size_t generate_ragged(const ub_raidz_kernel *kernel, size_t n, size_t p, const uint8_t *const *data,
                              const size_t *len, uint8_t *const *parity, size_t at, size_t length, int keep)
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
    generate_piece(kernel, n - first, p, src + first, dst, length, keep);
    return length;
}

static int generate(size_t ndata, size_t nparity, const uint8_t *const *data, const size_t *len,
                    uint8_t *const *parity, size_t height, int keep)
{
    size_t full;
    const int bad = check_shape(ndata, nparity, len, height, &full);
    if (bad)
        return bad;
    const ub_raidz_kernel *kernel = ub_raidz_kernel_in_use();
    if (full > 0)
        generate_piece(kernel, ndata, nparity, data, parity, full, keep);
    for (size_t at = full; at < height;) {
        const size_t end = next_end(ndata, len, at, height);
        while (at < end)
            at += generate_ragged(kernel, ndata, nparity, data, len, parity, at, end - at, keep);
    }
    return UB_RAIDZ_OK;
}

int ub_raidz_generate(size_t ndata, size_t nparity, const uint8_t *const *data, const size_t *len,
                      uint8_t *const *parity, size_t height)
{
    return generate(ndata, nparity, data, len, parity, height, 0);
}

int ub_raidz_generate_kept(size_t ndata, size_t nparity, const uint8_t *const *data, const size_t *len,
                           uint8_t *const *parity, size_t height)
{
    return generate(ndata, nparity, data, len, parity, height, 1);
}

/* --- reconstruction ------------------------------------------------------------------------------------- */

/* A reconstruction between two column ends: what there is, and what is known of it. */
typedef struct {
    size_t n, p;
    uint8_t *const *cols;
    const size_t *len;
    uint8_t lost[UB_RAIDZ_MAX_COLUMNS];
    int keep;
} stripe;

/* The parities whose sums the targets are made of. */
static unsigned kinds_of(const ub_raidz_solution *how)
{
    unsigned kinds = how->plan.fold != 0;
    for (size_t k = 0; k < how->plan.rows; k++)
        for (unsigned i = 0; i < UB_RAIDZ_MAX_PARITY; i++)
            if (how->weight[k][i])
                kinds |= 1u << i;
    return kinds;
}

/* The equations of a loss, solved, and whose coefficients are there too. A disk that is gone is gone from every stripe:
 * each thread keeps what it solved last. */
typedef struct {
    size_t n, p;
    uint8_t lost[UB_RAIDZ_MAX_COLUMNS];
    ub_raidz_solution how;
    unsigned kinds;
} solved;

static const ub_raidz_solution *solve(const stripe *s, size_t at, size_t full, solved *fresh, unsigned *kinds)
{
    static _Thread_local solved last; /* of stripes in which every column reaches to the place */
    solved *const to = at < full ? &last : fresh;
    if (to == fresh || last.n != s->n || last.p != s->p || memcmp(last.lost, s->lost, s->n + s->p) != 0) {
        ub_raidz_solve(s->n, s->p, s->lost, s->len + s->p, at, &to->how);
        if (to->how.plan.nsrc > 0)
            ub_raidz_coefficients(s->n, s->p, &to->how);
        to->kinds = kinds_of(&to->how);
        to->n = s->n, to->p = s->p;
        memcpy(to->lost, s->lost, s->n + s->p);
    }
    *kinds = to->kinds;
    return &to->how;
}

/* Bytes at .. at+length-1 of the targets, as a combination of the sources. */
static void combine_piece(const ub_raidz_kernel *kernel, const stripe *s, const ub_raidz_solution *how, size_t at,
                          size_t length)
{
    const uint8_t *src[UB_RAIDZ_MAX_COLUMNS];
    uint8_t *dst[UB_RAIDZ_MAX_PARITY];
    for (size_t k = 0; k < how->plan.rows + (size_t)how->plan.fold; k++)
        dst[k] = s->cols[how->targets[k]] + at;
    for (size_t i = 0; i < how->plan.nsrc; i++)
        src[i] = s->cols[how->sources[i]] + at;
    kernel->combine(&how->plan, src, dst, length, s->keep);
}

/* The same by sums over the columns from the first known one. */
static void sum_piece(const ub_raidz_kernel *kernel, const stripe *s, const ub_raidz_solution *how, unsigned kinds,
                      size_t at, size_t length)
{
    const size_t first = how->sources[0] - s->p;
    const uint8_t *src[UB_RAIDZ_MAX_DATA], *stored[UB_RAIDZ_MAX_PARITY] = {NULL};
    uint8_t *dst[UB_RAIDZ_MAX_PARITY];
    ub_raidz_sums plan = {kinds, s->n - first, how->plan.rows, how->plan.fold, how->plan.nchain, {{0}}};
    memcpy(plan.coef, how->weight, sizeof how->weight[0] * plan.rows);
    for (size_t k = 0; k < plan.rows + (size_t)plan.fold; k++)
        dst[k] = s->cols[how->targets[k]] + at;
    for (size_t i = 0; i < s->p; i++)
        if ((kinds >> i & 1) && !s->lost[i])
            stored[i] = s->cols[i] + at;
    for (size_t j = first; j < s->n; j++)
        src[j - first] = s->lost[s->p + j] || s->len[s->p + j] <= at ? NULL : s->cols[s->p + j] + at;
    kernel->rebuild(&plan, src, stored, dst, length, s->keep);
}

/* Two cases need no equations, and are the most frequent ones: the first parities are lost and nothing else; one data
 * column is lost and P is there. Both are a generation, as far as all columns reach. Is it one of them? */
static int rebuild_simply(const ub_raidz_kernel *kernel, const stripe *s, const unsigned *missing, size_t nmissing,
                          size_t full)
{
    const uint8_t *src[UB_RAIDZ_MAX_COLUMNS];
    uint8_t *one = s->cols[missing[0]];
    const int by_p = nmissing == 1 && missing[0] >= s->p && one != NULL;
    for (size_t c = 0; c < nmissing && !by_p; c++)
        if (c >= s->p || s->lost[c] != UB_RAIDZ_LOST)
            return 0;
    for (size_t j = 0; j < s->n; j++)
        src[j] = s->cols[s->p + j];
    if (by_p)
        src[missing[0] - s->p] = s->cols[0];
    if (full > 0)
        generate_piece(kernel, s->n, nmissing, src, by_p ? &one : s->cols, full, s->keep);
    return 1;
}

/* Does it cost less by sums? The sums of R cost as much as a combination does; for parity alone no matrix follows. */
static int sums_are_better(const stripe *s, const ub_raidz_solution *how, unsigned kinds)
{
    if (how->sources[0] < s->p) /* no data is known */
        return 0;
    return how->unknown == 0 || kinds < 3 || (kinds == 3 && how->plan.nsrc >= SUMS_FROM);
}

/* Rebuilds bytes at .. end-1 of the lost columns, between two column ends. */
static void reconstruct_piece(const ub_raidz_kernel *kernel, const stripe *s, size_t at, size_t end, size_t full)
{
    solved fresh;
    unsigned kinds;
    const ub_raidz_solution *const how = solve(s, at, full, &fresh, &kinds);
    const size_t ntargets = how->plan.rows + (size_t)how->plan.fold;
    if (how->plan.nsrc == 0 || ntargets == 0) {
        for (size_t k = 0; k < ntargets; k++)
            memset(s->cols[how->targets[k]] + at, 0, end - at);
        return;
    }
    const size_t body = (end - at) & ~(kernel->step - 1);
    if (body > 0 && kernel->rebuild != NULL && sums_are_better(s, how, kinds))
        sum_piece(kernel, s, how, kinds, at, body);
    else if (body > 0)
        combine_piece(kernel, s, how, at, body);
    if (at + body < end)
        combine_piece(&ub_raidz_scalar, s, how, at + body, end - at - body);
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

static int reconstruct(size_t ncols, size_t nparity, uint8_t *const *cols, const size_t *len,
                       const unsigned *missing, size_t nmissing, int keep)
{
    stripe s;
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
        bad = check_missing(ncols, nparity, cols, missing, nmissing, s.lost);
    if (bad)
        return bad;
    s.n = ndata, s.p = nparity, s.cols = cols, s.len = len, s.keep = keep;
    const ub_raidz_kernel *kernel = ub_raidz_kernel_in_use();
    const size_t done = rebuild_simply(kernel, &s, missing, nmissing, full) ? full : 0;
    for (size_t at = done, end; at < height; at = end) {
        end = at < full ? full : next_end(ndata, len + nparity, at, height);
        reconstruct_piece(kernel, &s, at, end, full);
    }
    return UB_RAIDZ_OK;
}

int ub_raidz_reconstruct(size_t ncols, size_t nparity, uint8_t *const *cols, const size_t *len,
                         const unsigned *missing, size_t nmissing)
{
    return reconstruct(ncols, nparity, cols, len, missing, nmissing, 0);
}

int ub_raidz_reconstruct_kept(size_t ncols, size_t nparity, uint8_t *const *cols, const size_t *len,
                              const unsigned *missing, size_t nmissing)
{
    return reconstruct(ncols, nparity, cols, len, missing, nmissing, 1);
}
