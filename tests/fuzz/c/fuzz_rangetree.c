/* Sets of segments: whatever is added, removed and allocated, the inside stays whole, sizes add up, and what is handed
 * out was in the set and is in it no more. */
#include "fuzz_input.h"
#include "rangetree_impl.h"

enum { BATCH = 8, STEPS = 200 };

static uint64_t some_address(fuzz_input *in)
{
    return fuzz_take(in, 1) < 250 ? fuzz_below(in, 1 << 12) : fuzz_take(in, 8);
}

static void change(ub_rangetree *tree, fuzz_input *in, int add)
{
    uint64_t starts[BATCH], ends[BATCH], bytes = 0;
    uint8_t there[BATCH];
    size_t failed = BATCH;
    const size_t count = 1 + fuzz_below(in, BATCH);
    for (size_t i = 0; i < count; i++) {
        starts[i] = some_address(in);
        ends[i] = starts[i] + fuzz_take(in, 1) % 40;
        bytes += ends[i] - starts[i];
    }
    const uint64_t space = tree->space, segments = tree->segments;
    const int status = add ? ub_rangetree_add(tree, starts, ends, count, &failed)
                           : ub_rangetree_remove(tree, starts, ends, count, &failed);
    if (status != UB_RANGETREE_OK) {
        if (tree->space != space || tree->segments != segments || failed >= count)
            abort();
        return;
    }
    if (tree->space != (add ? space + bytes : space - bytes))
        abort();
    if ((add ? ub_rangetree_contains : ub_rangetree_overlaps)(tree, starts, ends, count, there) != UB_RANGETREE_OK)
        abort();
    for (size_t i = 0; i < count; i++)
        if (there[i] != add)
            abort();
}

static void allocate(ub_rangetree *tree, fuzz_input *in)
{
    uint64_t sizes[BATCH], offsets[BATCH], ends[BATCH], bytes = 0;
    uint8_t there[BATCH];
    size_t placed = 0, failed;
    const size_t count = 1 + fuzz_below(in, BATCH);
    for (size_t i = 0; i < count; i++)
        sizes[i] = fuzz_take(in, 1) < 250 ? fuzz_take(in, 1) : fuzz_take(in, 8);
    const uint64_t align = fuzz_take(in, 1) < 250 ? 1 + fuzz_take(in, 1) % 8 : fuzz_take(in, 8);
    const uint64_t space = tree->space;
    if (ub_rangetree_allocate(tree, sizes, count, align, fuzz_take(in, 2), offsets, &placed) != UB_RANGETREE_OK) {
        if (tree->space != space)
            abort();
        return;
    }
    for (size_t i = 0; i < placed; i++) {
        ends[i] = offsets[i] + sizes[i];
        bytes += sizes[i];
        if (offsets[i] % align != 0)
            abort();
    }
    if (tree->space != space - bytes || ub_rangetree_overlaps(tree, offsets, ends, placed, there) != UB_RANGETREE_OK)
        abort();
    for (size_t i = 0; i < placed; i++)
        if (there[i])
            abort();
    /* None was handed out twice: all can be put back. Half of them stay out. */
    if (ub_rangetree_add(tree, offsets, ends, placed, &failed) != UB_RANGETREE_OK || tree->space != space ||
        ub_rangetree_remove(tree, offsets, ends, placed / 2, &failed) != UB_RANGETREE_OK)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    ub_rangetree tree;
    ub_rangetree_init(&tree);
    for (int step = 0; step < STEPS && in.left > 0; step++) {
        const uint64_t kind = fuzz_take(&in, 1) % 8;
        if (kind < 6)
            change(&tree, &in, kind < 4);
        else
            allocate(&tree, &in);
        if (ub_rangetree_check(&tree) != 0)
            abort();
    }
    ub_rangetree_clear(&tree);
    return 0;
}
