/* raidz parity: the contract between the callers, the stripe logic and the kernels of each instruction set.
 *
 * The code is the one of OpenZFS's raidz1, raidz2 and raidz3: GF(2^8) with the polynomial 0x11d, n data
 * columns D_0 .. D_(n-1), and byte by byte
 *     P = sum D_j        Q = sum 2^(n-1-j) D_j        R = sum 4^(n-1-j) D_j
 * A data column shorter than the parity counts as padded with zeros; its tail is known to be zero and is
 * never an unknown.
 *
 * Nothing here allocates, blocks, or keeps state, apart from the choice of a kernel (choice.h) and, in each thread, the
 * equations it solved last. All functions may be called from any thread at any time. Buffers need no alignment.
 */
#ifndef UB_RAIDZ_IMPL_H
#define UB_RAIDZ_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "choice.h"

#define UB_RAIDZ_MAX_PARITY 3
#define UB_RAIDZ_MAX_DATA 252
#define UB_RAIDZ_MAX_COLUMNS (UB_RAIDZ_MAX_DATA + UB_RAIDZ_MAX_PARITY)

/* What ub_raidz_generate and ub_raidz_reconstruct return. */
enum {
    UB_RAIDZ_OK = 0,
    UB_RAIDZ_BAD_WIDTH = 1,   /* data columns not within 1 .. 252 */
    UB_RAIDZ_BAD_PARITY = 2,  /* parity columns not within 1 .. 3 */
    UB_RAIDZ_BAD_HEIGHT = 3,  /* parity of zero bytes, or parity columns of unequal length */
    UB_RAIDZ_BAD_LENGTH = 4,  /* a data column longer than the parity */
    UB_RAIDZ_BAD_MISSING = 5, /* none or more than nparity of them, one named twice, or a wrong number */
};

/* Fills `nparity` parity columns of `height` bytes from `ndata` data columns of `len[j]` bytes (0 .. height;
 * a column of zero bytes may have no address). Outputs overlap nothing.
 *
 * Results may be stored past the caches, which is fastest where they are not read soon. Such stores are not ordered
 * with later ones: before another thread is told of the results by less than a lock, ub_raidz_settle. The functions
 * that end in _kept never do that: for callers who go on to compare, verify or decompress. */
int ub_raidz_generate(size_t ndata, size_t nparity, const uint8_t *const *data, const size_t *len,
                      uint8_t *const *parity, size_t height);
int ub_raidz_generate_kept(size_t ndata, size_t nparity, const uint8_t *const *data, const size_t *len,
                           uint8_t *const *parity, size_t height);

/* Rebuilds the columns named in `missing` in place from the others. Columns are parity first (P, Q, R), then
 * data; all parity columns, missing or not, have the same length, the height. Missing columns are not read;
 * one whose address is NULL is not rebuilt either (it is unavailable, and nobody wants it). */
int ub_raidz_reconstruct(size_t ncols, size_t nparity, uint8_t *const *cols, const size_t *len,
                         const unsigned *missing, size_t nmissing);
int ub_raidz_reconstruct_kept(size_t ncols, size_t nparity, uint8_t *const *cols, const size_t *len,
                              const unsigned *missing, size_t nmissing);

/* Orders the stores of this thread: whoever sees what it stores from now on sees all results. */
void ub_raidz_settle(void);

/* --- choice of a kernel --------------------------------------------------------------------------------- */

/* The kernels of raidz, for choice.h; its names and its choice. */
ub_family *ub_raidz_family(void);

/* Uses the kernel `name` from now on, for every thread. NULL: the one named by UBERBLOCK_RAIDZ if it can run,
 * else the best of this machine. Returns the name of the kernel in use, or NULL (nothing changed) where
 * `name` cannot run. */
const char *ub_raidz_select(const char *name);

/* --- between the stripe logic and the kernels ----------------------------------------------------------- */

/* What a column is to ub_raidz_solve. */
enum {
    UB_RAIDZ_KNOWN = 0,
    UB_RAIDZ_LOST = 1,
    UB_RAIDZ_UNWANTED = 2, /* lost, and need not be rebuilt */
};

/* Three unknowns include P, or a data column beside a good P. If all are wanted, one comes by folding. */
#define UB_RAIDZ_MAX_ROWS 2

/* One pass that rebuilds up to three targets from the sources:
 *     target k = sum over s of coef[k][s] * source s                      for k < rows
 *     last target (if fold) = sum of sources 0 .. nxor-1 + targets rows-nchain .. rows-1
 * The fold uses that P and all data columns add up to zero: one unknown needs no multiplication. */
typedef struct {
    size_t nsrc;
    size_t rows;
    int fold;
    size_t nxor;
    size_t nchain;
    uint8_t coef[UB_RAIDZ_MAX_ROWS][UB_RAIDZ_MAX_COLUMNS];
} ub_raidz_plan;

/* The other way to rebuild: sums over the known data as in generation, then a small matrix.
 *     sum i = sum over columns of g_i^(columns behind it) * column, + the stored parity i, for the parities i in kinds
 *     target k = sum over i of coef[k][i] * sum i             for k < rows
 *     last target (if fold) = sum 0 + targets rows-nchain .. rows-1
 * It costs less where there are many columns and multiplying by 2 is cheaper than by any constant. */
typedef struct {
    unsigned kinds; /* bits P 1, Q 2, R 4 */
    size_t n;       /* columns of data from the first known one; one whose address is NULL counts as zeros */
    size_t rows;
    int fold;
    size_t nchain;
    uint8_t coef[UB_RAIDZ_MAX_ROWS][UB_RAIDZ_MAX_PARITY];
} ub_raidz_sums;

typedef struct {
    const char *name;
    size_t step; /* bytes, a power of two; the functions take lengths that are multiples of it, and not 0 */
    /* parity 0 .. nparity-1 of the columns src[0 .. n-1]; n >= 1. `keep`: results are read soon */
    void (*generate)(size_t n, size_t nparity, const uint8_t *const *src, uint8_t *const *dst, size_t length,
                     int keep);
    /* the plan, with one source at least and one target at least */
    void (*combine)(const ub_raidz_plan *plan, const uint8_t *const *src, uint8_t *const *dst, size_t length,
                    int keep);
    /* the plan; src[0] is known; stored[i] is parity i, or NULL. NULL: `combine` is always better */
    void (*rebuild)(const ub_raidz_sums *plan, const uint8_t *const *src, const uint8_t *const *stored,
                    uint8_t *const *dst, size_t length, int keep);
} ub_raidz_kernel;

extern const ub_raidz_kernel ub_raidz_scalar;
extern const ub_raidz_kernel ub_raidz_ssse3;
extern const ub_raidz_kernel ub_raidz_avx2;
extern const ub_raidz_kernel ub_raidz_avx512;
extern const ub_raidz_kernel ub_raidz_gfni_avx2;
extern const ub_raidz_kernel ub_raidz_gfni_avx512;
extern const ub_raidz_kernel ub_raidz_neon;

/* The kernel in use (raidz_dispatch.c). */
const ub_raidz_kernel *ub_raidz_kernel_in_use(void);

/* How the lost columns follow from others (raidz_matrix.c). `lost[c]` says what column c (parity first) is; a data
 * column with len[j] <= at has ended, is zero, neither source nor target. At most p columns are lost. */
typedef struct {
    size_t unknown;                          /* how many data columns are unknown, wanted or not */
    uint8_t sources[UB_RAIDZ_MAX_COLUMNS];   /* column numbers: known data, then the parities used */
    uint8_t targets[UB_RAIDZ_MAX_PARITY];    /* column numbers, in the order of the plan */
    uint8_t weight[UB_RAIDZ_MAX_ROWS][UB_RAIDZ_MAX_PARITY]; /* target k: the equations of which it is the sum */
    ub_raidz_plan plan;                      /* its coefficients are filled in by ub_raidz_coefficients */
} ub_raidz_solution;

void ub_raidz_solve(size_t n, size_t p, const uint8_t *lost, const size_t *len, size_t at, ub_raidz_solution *s);
void ub_raidz_coefficients(size_t n, size_t p, ub_raidz_solution *s);

#endif
