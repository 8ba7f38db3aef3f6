/* Random changes of a set of segments beside one byte for each address, with memory that runs out now and then.
 *
 *     rangetree_check ROUNDS SEED
 *
 * Built with malloc and realloc named after the two functions below. */
#include <stdio.h>

#include "rangetree_impl.h"

#undef malloc
#undef realloc
#include <stdlib.h>
#include <string.h>

enum { SPACE = 40000, BATCH = 128 };

static uint64_t state;
static int failing; /* of so many requests for memory one is refused; 0: none */
static unsigned long refused;

static uint64_t next(void)
{
    state += UINT64_C(0x9E3779B97F4A7C15);
    uint64_t x = state;
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

static uint64_t below(uint64_t limit)
{
    return next() % limit;
}

void *check_malloc(size_t size);
void *check_realloc(void *old, size_t size);

static int refuse(void)
{
    const int no = failing && below((uint64_t)failing) == 0;
    refused += (unsigned long)no;
    return no;
}

void *check_malloc(size_t size)
{
    return refuse() ? NULL : malloc(size);
}

void *check_realloc(void *old, size_t size)
{
    return refuse() ? NULL : realloc(old, size);
}

static void fail(const char *what, unsigned long round)
{
    fprintf(stderr, "round %lu: %s\n", round, what);
    exit(1);
}

static void demand(int good, const char *what, unsigned long round)
{
    if (!good)
        fail(what, round);
}

static int all(const uint8_t *model, uint64_t start, uint64_t end, uint8_t value)
{
    for (uint64_t i = start; i < end; i++)
        if (model[i] != value)
            return 0;
    return 1;
}

/* A batch of ranges: mostly good ones, one after the other, now and then any. */
static size_t make(const uint8_t *model, uint8_t value, uint64_t *starts, uint64_t *ends)
{
    const size_t want = 1 + below(BATCH);
    size_t count = 0;
    uint64_t at = below(SPACE);
    while (count < want && at < SPACE - 100) {
        const uint64_t size = 1 + below(6);
        if (all(model, at, at + size, value) || below(400) == 0) {
            starts[count] = at;
            ends[count++] = at + size;
        }
        at += size + below(6);
    }
    return count;
}

/* How many of a batch are good: up to the first that is not. */
static size_t good_ones(uint8_t *copy, uint8_t value, const uint64_t *starts, const uint64_t *ends, size_t count)
{
    size_t i = 0;
    for (; i < count && all(copy, starts[i], ends[i], value); i++)
        memset(copy + starts[i], !value, ends[i] - starts[i]);
    return i;
}

static void change(ub_rangetree *tree, uint8_t *model, unsigned long round)
{
    static uint8_t copy[SPACE];
    uint64_t starts[BATCH], ends[BATCH];
    uint8_t answers[BATCH];
    const uint8_t present = below(4) < (round / 100 % 2 ? 3 : 1); /* it grows and shrinks */
    const size_t count = make(model, present, starts, ends);
    memcpy(copy, model, SPACE);
    const size_t good = good_ones(copy, present, starts, ends, count);
    demand(ub_rangetree_contains(tree, starts, ends, count, answers) == UB_RANGETREE_OK, "contains", round);
    for (size_t i = 0; i < count; i++)
        demand(answers[i] == all(model, starts[i], ends[i], 1), "contains says otherwise", round);
    demand(ub_rangetree_overlaps(tree, starts, ends, count, answers) == UB_RANGETREE_OK, "overlaps", round);
    for (size_t i = 0; i < count; i++)
        demand(answers[i] == !all(model, starts[i], ends[i], 0), "overlaps says otherwise", round);
    size_t failed = count;
    const int status = present ? ub_rangetree_remove(tree, starts, ends, count, &failed)
                               : ub_rangetree_add(tree, starts, ends, count, &failed);
    if (status == UB_RANGETREE_MEMORY)
        return; /* as before, or broken: the caller looks */
    demand(status == (good == count ? UB_RANGETREE_OK : present ? UB_RANGETREE_ABSENT : UB_RANGETREE_OVERLAP),
           "another status", round);
    if (status == UB_RANGETREE_OK)
        memcpy(model, copy, SPACE);
    else
        demand(failed == good, "another range at fault", round);
}

static void allocate(ub_rangetree *tree, uint8_t *model, unsigned long round)
{
    uint64_t sizes[BATCH], offsets[BATCH];
    const size_t count = 1 + below(BATCH);
    const uint64_t align = 1 + below(below(2) ? 1 : 7), most = 1 + below(100);
    for (size_t i = 0; i < count; i++)
        sizes[i] = 1 + below(most);
    size_t placed = 0;
    const int status = ub_rangetree_allocate(tree, sizes, count, align, 1 + below(2000), offsets, &placed);
    if (status == UB_RANGETREE_MEMORY)
        return;
    demand(status == UB_RANGETREE_OK, "no allocation", round);
    for (size_t i = 0; i < placed; i++) {
        demand(offsets[i] % align == 0 && all(model, offsets[i], offsets[i] + sizes[i], 1), "no room there", round);
        memset(model + offsets[i], 0, sizes[i]);
    }
    if (placed == count)
        return;
    for (uint64_t at = 0; at + sizes[placed] <= SPACE; at += align)
        demand(!all(model, at, at + sizes[placed], 1), "there was room", round);
}

static void compare(ub_rangetree *tree, const uint8_t *model, unsigned long round)
{
    static uint64_t starts[SPACE], ends[SPACE];
    demand(ub_rangetree_check(tree) == 0, "broken inside", round);
    demand(ub_rangetree_segments(tree, starts, ends, tree->segments) == UB_RANGETREE_OK, "no segments", round);
    uint64_t at = 0, largest = 0, most = 0;
    for (uint64_t i = 0; i < tree->segments; i++) {
        demand(all(model, at, starts[i], 0) && all(model, starts[i], ends[i], 1), "something else in it", round);
        at = ends[i];
        most = ends[i] - starts[i] > most ? ends[i] - starts[i] : most;
    }
    demand(all(model, at, SPACE, 0), "something is missing", round);
    demand(ub_rangetree_largest(tree, &largest) == UB_RANGETREE_OK && largest == most, "another largest", round);
}

int main(int argc, char **argv)
{
    static uint8_t model[SPACE];
    const unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    ub_rangetree tree;
    unsigned long broken = 0;
    ub_rangetree_init(&tree);
    for (unsigned long round = 0; round < rounds; round++) {
        if (round % 512 == 0) {
            failing = round % 1024 == 0 ? 0 : 2;
            ub_rangetree_clear(&tree);
            memset(model, 0, SPACE);
        }
        if (below(8))
            change(&tree, model, round);
        else
            allocate(&tree, model, round);
        if (tree.broken) {
            uint64_t start = SPACE, end = SPACE + 1;
            size_t failed;
            demand(failing && ub_rangetree_add(&tree, &start, &end, 1, &failed) == UB_RANGETREE_BROKEN, "why?", round);
            ub_rangetree_clear(&tree);
            memset(model, 0, SPACE);
            broken++;
        }
        if (round % 16 == 0)
            compare(&tree, model, round);
    }
    compare(&tree, model, rounds);
    ub_rangetree_clear(&tree);
    printf("%lu rounds, %lu without memory, %lu broken\n", rounds, refused, broken);
    return 0;
}
