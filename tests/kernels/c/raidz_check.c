/* Walks every raidz kernel of this machine over many shapes and compares with a plain reference.
 *
 * Made to be compiled with the address and undefined-behaviour sanitizers: every other stripe has columns that
 * are allocations of their own of exactly their length, or start one byte into one. The kernels are compiled
 * with the clock below, so that they walk in every manner, whatever the speed of the machine. Prints a line
 * for each kernel; exits with 1 at the first difference.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raidz_impl.h"

#define MAX_N 40

static uint64_t seed = 88172645463325252u;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}

/* Seems to stand still, or to leap: tiles are found near and far in turn. */
uint64_t raidz_check_clock(void);
uint64_t raidz_check_clock(void)
{
    static uint64_t now;
    if (next_random() % 2)
        now += UINT64_C(1) << 30;
    return now;
}

static uint8_t reference(size_t parity, size_t n, uint8_t *const *data, const size_t *len, size_t at)
{
    unsigned sum = 0;
    for (size_t j = 0; j < n; j++) {
        for (size_t i = 0; i < parity; i++)
            sum = sum & 0x80 ? sum << 1 ^ 0x11d : sum << 1;
        sum ^= at < len[j] ? data[j][at] : 0;
    }
    return (uint8_t)sum;
}

static void fail(const char *what, size_t n, size_t p, size_t height, size_t column, size_t at)
{
    printf("%s: %s differs: %zu+%zu columns of %zu bytes, column %zu, byte %zu\n", ub_family_in_use(ub_raidz_family())->name, what,
           n, p, height, column, at);
    exit(1);
}

typedef struct {
    size_t n, p;
    uint8_t *block[MAX_N], *start[MAX_N], *keep[MAX_N];
    size_t len[MAX_N];
} stripe;

static void make(stripe *s, size_t n, size_t p, size_t height, int aligned)
{
    s->n = n;
    s->p = p;
    for (size_t c = 0; c < n + p; c++) {
        const size_t cut = c <= p ? 0 : next_random() % 4 == 0 ? next_random() % height : 0;
        const size_t skew = aligned ? 0 : next_random() % 2;
        s->len[c] = height - cut;
        s->block[c] = aligned_alloc(64, (s->len[c] + skew + 63) / 64 * 64);
        if (!aligned) { /* exactly the bytes, so that one too many is seen */
            free(s->block[c]);
            s->block[c] = malloc(s->len[c] + skew);
        }
        s->keep[c] = malloc(s->len[c] + 1);
        if (s->block[c] == NULL || s->keep[c] == NULL)
            exit(2);
        s->start[c] = s->block[c] + skew;
        for (size_t i = 0; i < s->len[c]; i += 8) {
            const uint64_t word = next_random();
            memcpy(s->start[c] + i, &word, s->len[c] - i < 8 ? s->len[c] - i : 8);
        }
    }
}

static void drop(stripe *s)
{
    for (size_t c = 0; c < s->n + s->p; c++) {
        free(s->block[c]);
        free(s->keep[c]);
    }
}

static void check_generate(stripe *s, size_t height)
{
    const uint8_t *data[MAX_N];
    for (size_t j = 0; j < s->n; j++)
        data[j] = s->start[s->p + j];
    if (ub_raidz_generate(s->n, s->p, data, s->len + s->p, s->start, height) != UB_RAIDZ_OK)
        fail("the answer of generate", s->n, s->p, height, 0, 0);
    for (size_t i = 0; i < s->p; i++)
        for (size_t at = 0; at<height; at += height> 5000 ? 61 : 1)
            if (s->start[i][at] != reference(i, s->n, s->start + s->p, s->len + s->p, at))
                fail("parity", s->n, s->p, height, i, at);
}

static void check_rebuild(stripe *s, size_t height, const unsigned *missing, size_t count)
{
    uint8_t *columns[MAX_N];
    memcpy(columns, s->start, sizeof columns);
    if (next_random() % 4 == 0)
        columns[missing[0]] = NULL;
    for (size_t m = 0; m < count; m++)
        memset(s->start[missing[m]], 0xa5, s->len[missing[m]]);
    if (ub_raidz_reconstruct(s->n + s->p, s->p, columns, s->len, missing, count) != UB_RAIDZ_OK)
        fail("the answer of reconstruct", s->n, s->p, height, missing[0], 0);
    for (size_t m = 0; m < count; m++) {
        const unsigned c = missing[m];
        if (columns[c] != NULL && memcmp(s->start[c], s->keep[c], s->len[c]) != 0)
            fail("a rebuilt column", s->n, s->p, height, c, 0);
        memcpy(s->start[c], s->keep[c], s->len[c]);
    }
}

static void check_shape(size_t n, size_t p, size_t height, int aligned)
{
    stripe s;
    make(&s, n, p, height, aligned);
    check_generate(&s, height);
    for (size_t c = 0; c < n + p; c++)
        memcpy(s.keep[c], s.start[c], s.len[c]);
    const unsigned total = (unsigned)(n + p);
    for (int round = 0; round < 12; round++) {
        unsigned missing[UB_RAIDZ_MAX_PARITY] = {0, 0, 0};
        const size_t count = 1 + next_random() % p;
        for (size_t m = 0; m < count; m++) {
            missing[m] = (unsigned)(next_random() % total);
            for (size_t k = 0; k < m; k++)
                if (missing[k] == missing[m]) {
                    m--;
                    break;
                }
        }
        check_rebuild(&s, height, missing, count);
    }
    drop(&s);
}

static void check_refusals(void)
{
    uint8_t bytes[8] = {0}, *columns[4] = {bytes, bytes + 2, bytes + 4, bytes + 6};
    const uint8_t *data[2] = {bytes, bytes + 2};
    const size_t two[4] = {2, 2, 2, 2}, unequal[4] = {2, 1, 2, 2}, longer[4] = {2, 2, 3, 2},
                 none[4] = {0, 0, 0, 0};
    const unsigned first[1] = {0}, twice[2] = {1, 1}, beyond[1] = {4};
    const int good = ub_raidz_generate(0, 1, data, two, columns, 2) == UB_RAIDZ_BAD_WIDTH &&
                     ub_raidz_generate(253, 1, data, two, columns, 2) == UB_RAIDZ_BAD_WIDTH &&
                     ub_raidz_generate(1, 0, data, two, columns, 2) == UB_RAIDZ_BAD_PARITY &&
                     ub_raidz_generate(1, 4, data, two, columns, 2) == UB_RAIDZ_BAD_PARITY &&
                     ub_raidz_generate(1, 1, data, none, columns, 0) == UB_RAIDZ_BAD_HEIGHT &&
                     ub_raidz_generate(1, 1, data, two, columns, 1) == UB_RAIDZ_BAD_LENGTH &&
                     ub_raidz_reconstruct(4, 2, columns, unequal, first, 1) == UB_RAIDZ_BAD_HEIGHT &&
                     ub_raidz_reconstruct(4, 2, columns, longer, first, 1) == UB_RAIDZ_BAD_LENGTH &&
                     ub_raidz_reconstruct(4, 2, columns, two, twice, 2) == UB_RAIDZ_BAD_MISSING &&
                     ub_raidz_reconstruct(4, 2, columns, two, beyond, 1) == UB_RAIDZ_BAD_MISSING &&
                     ub_raidz_reconstruct(4, 2, columns, two, first, 0) == UB_RAIDZ_BAD_MISSING &&
                     ub_raidz_reconstruct(4, 1, columns, two, twice, 2) == UB_RAIDZ_BAD_MISSING &&
                     ub_raidz_reconstruct(2, 2, columns, two, first, 1) == UB_RAIDZ_BAD_WIDTH &&
                     ub_raidz_reconstruct(4, 0, columns, two, first, 1) == UB_RAIDZ_BAD_PARITY;
    if (!good) {
        printf("a wrong shape was not refused as it should\n");
        exit(1);
    }
}

int main(void)
{
    static const size_t heights[] = {1, 7, 8, 63, 255, 256, 512, 777, 1536, 4096, 9217, 24576, 40000};
    check_refusals();
    for (const ub_candidate *c = ub_raidz_family()->candidates; c->name != NULL; c++) {
        if (ub_raidz_select(c->name) == NULL)
            continue;
        for (size_t h = 0; h < sizeof heights / sizeof heights[0]; h++)
            for (size_t p = 1; p <= UB_RAIDZ_MAX_PARITY; p++)
                for (size_t n = 1; n <= 9; n = n < 3 ? n + 1 : n * 2 - (n % 2))
                    check_shape(n, p, heights[h], (int)(h + n + p) % 2);
        check_shape(16, 3, 24576, 1);
        check_shape(26, 3, 12800, 0);
        check_shape(33, 2, 1024, 1);
        printf("%s ok\n", ub_family_in_use(ub_raidz_family())->name);
    }
    return 0;
}
