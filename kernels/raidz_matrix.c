/* Coefficients of raidz, and the small system of equations behind a reconstruction.
 *
 * Let X be the unknown data columns, k of them, and U the k known parities of lowest index. With
 * c_i(j) = g_i^(n-1-j), g = 1, 2, 4 for P, Q, R, the unknown ones follow from
 *     sum over x in X of c_i(x) D_x = parity_i + sum over known j of c_i(j) D_j        for i in U.
 * A target is a weighted sum of the equations: weights B[x][i] for data column x, where B is the inverse of
 * the matrix c_i(x); and for a lost parity t equation t itself, with the solutions put in for the unknown
 * columns. Known column j then counts sum of w_i * g_i^(n-1-j), so a row is filled from the last column
 * backwards, doubling w_1 and quadrupling w_2.
 *
 * Every square matrix of the kind (rows out of P, Q, R; any distinct columns; n <= 255) is invertible, hence
 * so are its leading minors, and the elimination needs no pivoting.
 */
#include "raidz_impl.h"

/* Powers of 2, and their inverse function; LOG[0] is never used. */
static const uint8_t EXP[255] = {
    1,   2,   4,   8,   16,  32,  64,  128, 29,  58,  116, 232, 205, 135, 19,  38,  76,  152, 45,  90,
    180, 117, 234, 201, 143, 3,   6,   12,  24,  48,  96,  192, 157, 39,  78,  156, 37,  74,  148, 53,
    106, 212, 181, 119, 238, 193, 159, 35,  70,  140, 5,   10,  20,  40,  80,  160, 93,  186, 105, 210,
    185, 111, 222, 161, 95,  190, 97,  194, 153, 47,  94,  188, 101, 202, 137, 15,  30,  60,  120, 240,
    253, 231, 211, 187, 107, 214, 177, 127, 254, 225, 223, 163, 91,  182, 113, 226, 217, 175, 67,  134,
    17,  34,  68,  136, 13,  26,  52,  104, 208, 189, 103, 206, 129, 31,  62,  124, 248, 237, 199, 147,
    59,  118, 236, 197, 151, 51,  102, 204, 133, 23,  46,  92,  184, 109, 218, 169, 79,  158, 33,  66,
    132, 21,  42,  84,  168, 77,  154, 41,  82,  164, 85,  170, 73,  146, 57,  114, 228, 213, 183, 115,
    230, 209, 191, 99,  198, 145, 63,  126, 252, 229, 215, 179, 123, 246, 241, 255, 227, 219, 171, 75,
    150, 49,  98,  196, 149, 55,  110, 220, 165, 87,  174, 65,  130, 25,  50,  100, 200, 141, 7,   14,
    28,  56,  112, 224, 221, 167, 83,  166, 81,  162, 89,  178, 121, 242, 249, 239, 195, 155, 43,  86,
    172, 69,  138, 9,   18,  36,  72,  144, 61,  122, 244, 245, 247, 243, 251, 235, 203, 139, 11,  22,
    44,  88,  176, 125, 250, 233, 207, 131, 27,  54,  108, 216, 173, 71,  142,
};
static const uint8_t LOG[256] = {
    0,   0,   1,   25,  2,   50,  26,  198, 3,   223, 51,  238, 27,  104, 199, 75,  4,   100, 224, 14,
    52,  141, 239, 129, 28,  193, 105, 248, 200, 8,   76,  113, 5,   138, 101, 47,  225, 36,  15,  33,
    53,  147, 142, 218, 240, 18,  130, 69,  29,  181, 194, 125, 106, 39,  249, 185, 201, 154, 9,   120,
    77,  228, 114, 166, 6,   191, 139, 98,  102, 221, 48,  253, 226, 152, 37,  179, 16,  145, 34,  136,
    54,  208, 148, 206, 143, 150, 219, 189, 241, 210, 19,  92,  131, 56,  70,  64,  30,  66,  182, 163,
    195, 72,  126, 110, 107, 58,  40,  84,  250, 133, 186, 61,  202, 94,  155, 159, 10,  21,  121, 43,
    78,  212, 229, 172, 115, 243, 167, 87,  7,   112, 192, 247, 140, 128, 99,  13,  103, 74,  222, 237,
    49,  197, 254, 24,  227, 165, 153, 119, 38,  184, 180, 124, 17,  68,  146, 217, 35,  32,  137, 46,
    55,  63,  209, 91,  149, 188, 207, 205, 144, 135, 151, 178, 220, 252, 190, 97,  242, 86,  211, 171,
    20,  42,  93,  158, 132, 60,  57,  83,  71,  109, 65,  162, 31,  45,  67,  216, 183, 123, 164, 118,
    196, 23,  73,  236, 127, 12,  111, 246, 108, 161, 59,  82,  41,  157, 85,  170, 251, 96,  134, 177,
    187, 204, 62,  90,  203, 89,  95,  176, 156, 169, 160, 81,  11,  245, 22,  235, 122, 117, 44,  215,
    79,  174, 213, 233, 230, 231, 173, 232, 116, 214, 244, 234, 168, 80,  88,  175,
};

static inline uint8_t times2(uint8_t a)
{
    return (uint8_t)((a << 1) ^ (a & 0x80 ? 0x1d : 0));
}

/* (2^i)^e: the coefficient of parity i for the column with e columns behind it. */
static inline uint8_t coefficient(size_t i, size_t e)
{
    return EXP[i * e % 255];
}

static uint8_t multiply(uint8_t a, uint8_t b)
{
    if (a == 0 || b == 0)
        return 0;
    const unsigned sum = (unsigned)LOG[a] + LOG[b];
    return EXP[sum < 255 ? sum : sum - 255];
}

static uint8_t inverse(uint8_t a) /* of a != 0 */
{
    const unsigned back = 255u - LOG[a];
    return EXP[back < 255 ? back : 0];
}

typedef uint8_t square[UB_RAIDZ_MAX_PARITY][UB_RAIDZ_MAX_PARITY];

/* b = inverse of the k x k matrix a, which is destroyed (Gauss-Jordan). */
static void invert(size_t k, square a, square b)
{
    for (size_t i = 0; i < UB_RAIDZ_MAX_PARITY; i++)
        for (size_t c = 0; c < UB_RAIDZ_MAX_PARITY; c++)
            b[i][c] = i == c;
    for (size_t pivot = 0; pivot < k; pivot++) {
        const uint8_t scale = inverse(a[pivot][pivot]);
        for (size_t c = 0; c < k; c++) {
            a[pivot][c] = multiply(a[pivot][c], scale);
            b[pivot][c] = multiply(b[pivot][c], scale);
        }
        for (size_t i = 0; i < k; i++) {
            const uint8_t f = a[i][pivot];
            if (i == pivot || f == 0)
                continue;
            for (size_t c = 0; c < k; c++) {
                a[i][c] ^= multiply(f, a[pivot][c]);
                b[i][c] ^= multiply(f, b[pivot][c]);
            }
        }
    }
}

/* Fills one row: what each source counts in the sum of the equations weighted by w. */
static void fill_row(size_t n, size_t p, const uint8_t w[UB_RAIDZ_MAX_PARITY], const uint8_t *sources,
                     size_t nsrc, uint8_t *row)
{
    size_t s = nsrc;
    while (s > 0 && sources[s - 1] < p) {
        s--;
        row[s] = w[sources[s]];
    }
    uint8_t w1 = w[1], w2 = w[2];
    for (size_t j = n; s > 0; w1 = times2(w1), w2 = times2(times2(w2))) {
        j--;
        if (sources[s - 1] == p + j)
            row[--s] = w[0] ^ w1 ^ w2;
    }
}

/* Sorts the columns into unknown data X, parities to use U, sources and targets. */
static void arrange(size_t n, size_t p, const uint8_t *lost, const size_t *len, size_t at, ub_raidz_solution *s,
                    size_t *x, size_t *u)
{
    ub_raidz_plan *const plan = &s->plan;
    size_t k = 0, used = 0, nsrc = 0, ntargets = 0, unwanted = lost[0] == UB_RAIDZ_UNWANTED;
    for (size_t j = 0; j < n; j++) {
        if (len[j] <= at)
            continue;
        if (lost[p + j])
            x[k++] = j;
        else
            s->sources[nsrc++] = (uint8_t)(p + j);
    }
    plan->nxor = nsrc + (lost[0] == 0);
    for (size_t i = 0; i < p && used < k; i++)
        if (!lost[i])
            s->sources[nsrc++] = (uint8_t)(u[used++] = i);
    plan->nsrc = nsrc;
    for (size_t i = 1; i < p; i++)
        if (lost[i] == UB_RAIDZ_LOST)
            s->targets[ntargets++] = (uint8_t)i;
    for (size_t i = 0; i < k; i++) {
        if (lost[p + x[i]] == UB_RAIDZ_LOST)
            s->targets[ntargets++] = (uint8_t)(p + x[i]);
        else
            unwanted++;
    }
    if (lost[0] == UB_RAIDZ_LOST)
        s->targets[ntargets++] = 0;

    /* The last unknown of the equation of P comes by addition, provided that all others are worked out. */
    plan->fold = unwanted == 0 && (lost[0] || k > 0);
    plan->rows = ntargets - (size_t)plan->fold;
    plan->nchain = lost[0] ? k : k > 0 ? k - 1 : 0;
    if (!plan->fold)
        plan->nxor = plan->nchain = 0;
    s->unknown = k;
}

/* The weights of the equations whose sum is the target. */
static void weigh_equations(size_t target, size_t n, size_t p, size_t k, const size_t *x, const size_t *u,
                            square b, uint8_t w[UB_RAIDZ_MAX_PARITY])
{
    w[0] = w[1] = w[2] = 0;
    for (size_t c = 0; c < k; c++) {
        /* a lost parity lacks every unknown column; a data column is one of them */
        const uint8_t share = target < p ? coefficient(target, n - 1 - x[c]) : target == p + x[c];
        for (size_t i = 0; i < k; i++)
            w[u[i]] ^= multiply(share, b[c][i]);
    }
    if (target < p)
        w[target] = 1;
}

void ub_raidz_solve(size_t n, size_t p, const uint8_t *lost, const size_t *len, size_t at, ub_raidz_solution *s)
{
    size_t x[UB_RAIDZ_MAX_PARITY] = {0}, u[UB_RAIDZ_MAX_PARITY] = {0};
    arrange(n, p, lost, len, at, s, x, u);
    if (s->plan.rows == 0)
        return;
    square a, b;
    for (size_t i = 0; i < s->unknown; i++)
        for (size_t c = 0; c < s->unknown; c++)
            a[i][c] = coefficient(u[i], n - 1 - x[c]);
    invert(s->unknown, a, b);
    for (size_t row = 0; row < s->plan.rows; row++)
        weigh_equations(s->targets[row], n, p, s->unknown, x, u, b, s->weight[row]);
}

void ub_raidz_coefficients(size_t n, size_t p, ub_raidz_solution *s)
{
    for (size_t row = 0; row < s->plan.rows; row++)
        fill_row(n, p, s->weight[row], s->sources, s->plan.nsrc, s->plan.coef[row]);
}
