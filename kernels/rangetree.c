/* Sorted disjoint segments in leaves under one directory (the contract is in rangetree_impl.h). */
#include "rangetree_impl.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { HALF = UB_RANGETREE_LEAF / 2, SPARSE = UB_RANGETREE_LEAF / 4 };

/* A place: segment `at` of leaf `leaf`. `at` may be one behind the last. */
typedef struct {
    size_t leaf, at;
} place;

static inline unsigned class_of(uint64_t size)
{
    return 63 - (unsigned)__builtin_clzll(size);
}

void ub_rangetree_init(ub_rangetree *tree)
{
    memset(tree, 0, sizeof *tree);
    atomic_flag_clear(&tree->busy);
}

int ub_rangetree_clear(ub_rangetree *tree)
{
    if (atomic_flag_test_and_set(&tree->busy))
        return UB_RANGETREE_BUSY;
    for (size_t i = 0; i < tree->leaves; i++)
        free(tree->leaf[i]);
    free(tree->leaf);
    free(tree->first);
    free(tree->largest);
    ub_rangetree_init(tree);
    return UB_RANGETREE_OK;
}

/* --- the directory ------------------------------------------------------------------------------------------------ */

static bool grow(ub_rangetree *tree)
{
    const size_t room = tree->room ? 2 * tree->room : 4;
    ub_rangetree_leaf **leaf = realloc(tree->leaf, room * sizeof *leaf);
    if (leaf == NULL)
        return false;
    tree->leaf = leaf;
    uint64_t *first = realloc(tree->first, room * sizeof *first);
    if (first == NULL)
        return false;
    tree->first = first;
    uint64_t *largest = realloc(tree->largest, room * sizeof *largest);
    if (largest == NULL)
        return false;
    tree->largest = largest;
    tree->room = room;
    return true;
}

/* A new empty leaf in front of leaf `at`. */
static bool new_leaf(ub_rangetree *tree, size_t at)
{
    if (tree->leaves == tree->room && !grow(tree))
        return false;
    ub_rangetree_leaf *leaf = malloc(sizeof *leaf);
    if (leaf == NULL)
        return false;
    leaf->count = 0;
    leaf->stale = 0;
    const size_t behind = tree->leaves - at;
    memmove(tree->leaf + at + 1, tree->leaf + at, behind * sizeof *tree->leaf);
    memmove(tree->first + at + 1, tree->first + at, behind * sizeof *tree->first);
    memmove(tree->largest + at + 1, tree->largest + at, behind * sizeof *tree->largest);
    tree->leaf[at] = leaf;
    tree->first[at] = tree->largest[at] = 0;
    tree->leaves++;
    return true;
}

static void drop_leaf(ub_rangetree *tree, size_t at)
{
    free(tree->leaf[at]);
    tree->leaves--;
    const size_t behind = tree->leaves - at;
    memmove(tree->leaf + at, tree->leaf + at + 1, behind * sizeof *tree->leaf);
    memmove(tree->first + at, tree->first + at + 1, behind * sizeof *tree->first);
    memmove(tree->largest + at, tree->largest + at + 1, behind * sizeof *tree->largest);
}

/* The size of a leaf's largest segment, worked out anew where the directory has only a bound. */
static uint64_t largest_of(ub_rangetree *tree, size_t at)
{
    ub_rangetree_leaf *leaf = tree->leaf[at];
    if (leaf->stale) {
        uint64_t most = 0;
        for (uint32_t i = 0; i < leaf->count; i++) {
            const uint64_t size = leaf->range[i].end - leaf->range[i].start;
            most = size > most ? size : most;
        }
        tree->largest[at] = most;
        leaf->stale = 0;
    }
    return tree->largest[at];
}

static uint64_t largest_segment(ub_rangetree *tree)
{
    if (!tree->stale)
        return tree->largest_segment;
    uint64_t most = 0;
    /* None is larger than the old bound: often there is another one as large. */
    for (size_t i = 0; i < tree->leaves && most < tree->largest_segment; i++)
        if (tree->largest[i] > most) {
            const uint64_t size = largest_of(tree, i);
            most = size > most ? size : most;
        }
    tree->largest_segment = most;
    tree->stale = 0;
    return most;
}

/* --- one segment -------------------------------------------------------------------------------------------------- */

/* A segment changed its size; 0: it was not, or is no more. */
static void resized(ub_rangetree *tree, size_t leaf, uint64_t before, uint64_t after)
{
    if (before != 0) {
        tree->histogram[class_of(before)]--;
        tree->segments--;
    }
    if (after != 0) {
        tree->histogram[class_of(after)]++;
        tree->segments++;
    }
    tree->space += after - before;
    if (after >= tree->largest[leaf]) {
        tree->largest[leaf] = after;
        tree->leaf[leaf]->stale = 0;
    } else if (before == tree->largest[leaf]) {
        tree->leaf[leaf]->stale = 1;
    }
    if (after >= tree->largest_segment) {
        tree->largest_segment = after;
        tree->stale = 0;
    } else if (before == tree->largest_segment) {
        tree->stale = 1;
    }
}

/* The first segment that begins beyond `address`. */
static place beyond(const ub_rangetree *tree, uint64_t address)
{
    size_t low = 0, high = tree->leaves;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (tree->first[middle] <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return (place){0, 0};
    const ub_rangetree_leaf *leaf = tree->leaf[low - 1];
    uint32_t from = 0, to = leaf->count;
    while (from < to) {
        const uint32_t middle = from + (to - from) / 2;
        if (leaf->range[middle].start <= address)
            from = middle + 1;
        else
            to = middle;
    }
    return (place){low - 1, from};
}

/* The segment in front of a place, and the one at it; NULL where there is none. */
static ub_range *before_of(const ub_rangetree *tree, place p)
{
    /* Only in front of everything is `at` 0: `beyond` lands behind a leaf's first segment otherwise. */
    return p.at == 0 ? NULL : &tree->leaf[p.leaf]->range[p.at - 1];
}

static ub_range *at_of(const ub_rangetree *tree, place p)
{
    if (p.leaf < tree->leaves && p.at < tree->leaf[p.leaf]->count)
        return &tree->leaf[p.leaf]->range[p.at];
    return p.leaf + 1 < tree->leaves ? &tree->leaf[p.leaf + 1]->range[0] : NULL;
}

/* The upper half of a full leaf becomes a leaf of its own. */
static bool split(ub_rangetree *tree, size_t at)
{
    if (!new_leaf(tree, at + 1))
        return false;
    ub_rangetree_leaf *low = tree->leaf[at], *high = tree->leaf[at + 1];
    high->count = low->count - HALF;
    memcpy(high->range, low->range + HALF, high->count * sizeof *high->range);
    low->count = HALF;
    low->stale = high->stale = 1;
    tree->largest[at + 1] = tree->largest[at];
    tree->first[at + 1] = high->range[0].start;
    return true;
}

/* A new segment at a place, where it touches nothing. */
static bool insert(ub_rangetree *tree, place p, ub_range range)
{
    if (tree->leaves == 0 && !new_leaf(tree, 0))
        return false;
    if (tree->leaf[p.leaf]->count == UB_RANGETREE_LEAF) {
        if (!split(tree, p.leaf))
            return false;
        if (p.at > HALF)
            p = (place){p.leaf + 1, p.at - HALF};
    }
    ub_rangetree_leaf *leaf = tree->leaf[p.leaf];
    memmove(leaf->range + p.at + 1, leaf->range + p.at, (leaf->count - p.at) * sizeof *leaf->range);
    leaf->range[p.at] = range;
    leaf->count++;
    tree->first[p.leaf] = leaf->range[0].start;
    resized(tree, p.leaf, 0, range.end - range.start);
    return true;
}

/* Two neighbouring leaves become one if little is in them. */
static void join(ub_rangetree *tree, size_t at)
{
    ub_rangetree_leaf *low = tree->leaf[at], *high = tree->leaf[at + 1];
    if (low->count + high->count > UB_RANGETREE_LEAF - SPARSE)
        return;
    memcpy(low->range + low->count, high->range, high->count * sizeof *high->range);
    low->count += high->count;
    low->stale |= high->stale;
    if (tree->largest[at + 1] > tree->largest[at])
        tree->largest[at] = tree->largest[at + 1];
    drop_leaf(tree, at + 1);
}

/* Takes the segment out that is at a place. */
static void erase(ub_rangetree *tree, place p)
{
    ub_rangetree_leaf *leaf = tree->leaf[p.leaf];
    const uint64_t size = leaf->range[p.at].end - leaf->range[p.at].start;
    leaf->count--;
    memmove(leaf->range + p.at, leaf->range + p.at + 1, (leaf->count - p.at) * sizeof *leaf->range);
    resized(tree, p.leaf, size, 0);
    if (leaf->count == 0) {
        drop_leaf(tree, p.leaf);
        return;
    }
    tree->first[p.leaf] = leaf->range[0].start;
    if (leaf->count < SPARSE) {
        if (p.leaf + 1 < tree->leaves)
            join(tree, p.leaf);
        else if (p.leaf > 0)
            join(tree, p.leaf - 1);
    }
}

static void set_start(ub_rangetree *tree, place p, uint64_t start)
{
    ub_range *range = &tree->leaf[p.leaf]->range[p.at];
    const uint64_t size = range->end - range->start;
    range->start = start;
    if (p.at == 0)
        tree->first[p.leaf] = start;
    resized(tree, p.leaf, size, range->end - start);
}

static void set_end(ub_rangetree *tree, place p, uint64_t end)
{
    ub_range *range = &tree->leaf[p.leaf]->range[p.at];
    const uint64_t size = range->end - range->start;
    range->end = end;
    resized(tree, p.leaf, size, end - range->start);
}

static int add_one(ub_rangetree *tree, uint64_t start, uint64_t end)
{
    if (start >= end)
        return UB_RANGETREE_EMPTY;
    const place p = beyond(tree, start);
    ub_range *before = before_of(tree, p), *after = at_of(tree, p);
    if ((before != NULL && before->end > start) || (after != NULL && after->start < end))
        return UB_RANGETREE_OVERLAP;
    const bool joins_before = before != NULL && before->end == start;
    const bool joins_after = after != NULL && after->start == end;
    const place q = after != NULL && p.at == tree->leaf[p.leaf]->count ? (place){p.leaf + 1, 0} : p;
    if (joins_before && joins_after) {
        const uint64_t upto = after->end;
        /* In this order: when the one behind goes, the one in front may move to another place. */
        set_end(tree, (place){p.leaf, p.at - 1}, upto);
        erase(tree, q);
    } else if (joins_before) {
        set_end(tree, (place){p.leaf, p.at - 1}, end);
    } else if (joins_after) {
        set_start(tree, q, start);
    } else if (!insert(tree, p, (ub_range){start, end})) {
        return UB_RANGETREE_MEMORY;
    }
    return UB_RANGETREE_OK;
}

/* Takes [start, end) out of the segment at a place, in which it lies. */
static bool cut(ub_rangetree *tree, place p, uint64_t start, uint64_t end)
{
    const ub_range range = tree->leaf[p.leaf]->range[p.at];
    if (range.start == start && range.end == end) {
        erase(tree, p);
    } else if (range.start == start) {
        set_start(tree, p, end);
    } else if (range.end == end) {
        set_end(tree, p, start);
    } else {
        /* The rest behind comes first: without memory for it nothing has been changed. */
        ub_range *here = &tree->leaf[p.leaf]->range[p.at];
        here->end = start;
        resized(tree, p.leaf, range.end - range.start, start - range.start);
        if (!insert(tree, (place){p.leaf, p.at + 1}, (ub_range){end, range.end})) {
            set_end(tree, p, range.end);
            return false;
        }
    }
    return true;
}

static int remove_one(ub_rangetree *tree, uint64_t start, uint64_t end)
{
    if (start >= end)
        return UB_RANGETREE_EMPTY;
    const place p = beyond(tree, start);
    const ub_range *before = before_of(tree, p);
    if (before == NULL || before->end < end)
        return UB_RANGETREE_ABSENT;
    return cut(tree, (place){p.leaf, p.at - 1}, start, end) ? UB_RANGETREE_OK : UB_RANGETREE_MEMORY;
}

/* --- batches ------------------------------------------------------------------------------------------------------ */

typedef int one(ub_rangetree *tree, uint64_t start, uint64_t end);

static int enter(ub_rangetree *tree)
{
    if (atomic_flag_test_and_set(&tree->busy))
        return UB_RANGETREE_BUSY;
    if (!tree->broken)
        return UB_RANGETREE_OK;
    atomic_flag_clear(&tree->busy);
    return UB_RANGETREE_BROKEN;
}

static void leave(ub_rangetree *tree)
{
    atomic_flag_clear(&tree->busy);
}

static int batch(ub_rangetree *tree, one *step, one *undo, const uint64_t *starts, const uint64_t *ends, size_t count,
                 size_t *failed)
{
    int status = enter(tree);
    if (status != UB_RANGETREE_OK)
        return status;
    size_t done = 0;
    while (done < count && (status = step(tree, starts[done], ends[done])) == UB_RANGETREE_OK)
        done++;
    if (status != UB_RANGETREE_OK) {
        *failed = done;
        while (done > 0) {
            done--;
            if (undo(tree, starts[done], ends[done]) != UB_RANGETREE_OK) {
                tree->broken = 1;
                break;
            }
        }
    }
    leave(tree);
    return status;
}

int ub_rangetree_add(ub_rangetree *tree, const uint64_t *starts, const uint64_t *ends, size_t count, size_t *failed)
{
    return batch(tree, add_one, remove_one, starts, ends, count, failed);
}

int ub_rangetree_remove(ub_rangetree *tree, const uint64_t *starts, const uint64_t *ends, size_t count, size_t *failed)
{
    return batch(tree, remove_one, add_one, starts, ends, count, failed);
}

int ub_rangetree_contains(ub_rangetree *tree, const uint64_t *starts, const uint64_t *ends, size_t count,
                          uint8_t *answers)
{
    const int status = enter(tree);
    if (status != UB_RANGETREE_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        const ub_range *before = before_of(tree, beyond(tree, starts[i]));
        answers[i] = starts[i] < ends[i] && before != NULL && before->end >= ends[i];
    }
    leave(tree);
    return UB_RANGETREE_OK;
}

int ub_rangetree_overlaps(ub_rangetree *tree, const uint64_t *starts, const uint64_t *ends, size_t count,
                          uint8_t *answers)
{
    const int status = enter(tree);
    if (status != UB_RANGETREE_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        const place p = beyond(tree, starts[i]);
        const ub_range *before = before_of(tree, p), *after = at_of(tree, p);
        answers[i] = starts[i] < ends[i] &&
                     ((before != NULL && before->end > starts[i]) || (after != NULL && after->start < ends[i]));
    }
    leave(tree);
    return UB_RANGETREE_OK;
}

/* --- looking for room --------------------------------------------------------------------------------------------- */

/* The first multiple of `align` from `start` on; UINT64_MAX if there is none. */
static inline uint64_t aligned(uint64_t start, uint64_t align)
{
    const uint64_t over = start % align;
    if (over == 0)
        return start;
    return start > UINT64_MAX - (align - over) ? UINT64_MAX : start + (align - over);
}

static inline bool holds(const ub_range *range, uint64_t want, uint64_t align)
{
    const uint64_t start = aligned(range->start, align);
    return start < range->end && range->end - start >= want;
}

/* The first segment of leaves `from` up to `to` with room; in the first of them from segment `at` on. */
static bool look(ub_rangetree *tree, place from, size_t to, uint64_t want, uint64_t align, place *found)
{
    for (size_t i = from.leaf; i < to; i++) {
        if (tree->largest[i] < want || largest_of(tree, i) < want)
            continue;
        const ub_rangetree_leaf *leaf = tree->leaf[i];
        for (size_t k = i == from.leaf ? from.at : 0; k < leaf->count; k++)
            if (holds(&leaf->range[k], want, align)) {
                *found = (place){i, k};
                return true;
            }
    }
    return false;
}

/* A segment with room for `want` bytes: the next from the cursor on, round the end. */
static bool find(ub_rangetree *tree, uint64_t cursor, uint64_t want, uint64_t align, place *found)
{
    place from = beyond(tree, cursor);
    const ub_range *before = before_of(tree, from);
    if (before != NULL && before->end > cursor)
        from.at--; /* the cursor lies within it */
    return look(tree, from, tree->leaves, want, align, found) ||
           look(tree, (place){0, 0}, from.leaf + 1 < tree->leaves ? from.leaf + 1 : tree->leaves, want, align, found);
}

/* A segment for a run of `want` bytes, or else for less of it, but for no less than `least`. */
static bool find_run(ub_rangetree *tree, uint64_t cursor, uint64_t want, uint64_t least, uint64_t align, place *found)
{
    const uint64_t most = largest_segment(tree);
    if (most < least)
        return false;
    if (want > most)
        want = most;
    /* The first is enough but where alignment costs room. */
    while (!find(tree, cursor, want, align, found)) {
        if (want == least)
            return false;
        want = want / 2 > least ? want / 2 : least;
    }
    return true;
}

/* Puts blocks into a segment while they fit; gives how many. False: no memory, and nothing was changed. */
static bool fill(ub_rangetree *tree, place p, const uint64_t *sizes, size_t count, uint64_t align, uint64_t *offsets,
                 size_t *taken)
{
    const ub_range range = tree->leaf[p.leaf]->range[p.at];
    uint64_t at = aligned(range.start, align), end = at;
    const uint64_t start = at;
    size_t n = 0;
    while (n < count && at < range.end && range.end - at >= sizes[n]) {
        offsets[n] = at;
        end = at + sizes[n++];
        const uint64_t next = aligned(end, align);
        if (next != end)
            break; /* what lies between stays free: the next block needs a new look */
        at = next;
    }
    *taken = n;
    return cut(tree, p, start, end);
}

int ub_rangetree_allocate(ub_rangetree *tree, const uint64_t *sizes, size_t count, uint64_t align, uint64_t run,
                          uint64_t *offsets, size_t *placed)
{
    int status = enter(tree);
    if (status != UB_RANGETREE_OK)
        return status;
    size_t done = 0;
    *placed = 0;
    for (size_t i = 0; i < count; i++)
        if (sizes[i] == 0 || align == 0) {
            *placed = i; /* where it failed */
            leave(tree);
            return UB_RANGETREE_EMPTY;
        }
    size_t ahead = 0; /* blocks from `done` up to here are the run's */
    uint64_t want = 0;
    while (done < count) {
        if (ahead < done)
            ahead = done;
        while (ahead < count && (want < run || ahead == done) && sizes[ahead] <= UINT64_MAX - want)
            want += sizes[ahead++];
        place p;
        uint64_t *cursor = &tree->cursor[class_of(sizes[done])];
        if (!find_run(tree, *cursor, want, sizes[done], align, &p))
            break;
        size_t taken;
        if (!fill(tree, p, sizes + done, count - done, align, offsets + done, &taken)) {
            status = UB_RANGETREE_MEMORY;
            break;
        }
        for (size_t i = done; i < done + taken && i < ahead; i++)
            want -= sizes[i];
        done += taken;
        *cursor = offsets[done - 1] + sizes[done - 1];
    }
    *placed = done;
    while (status != UB_RANGETREE_OK && done > 0) {
        done--;
        if (add_one(tree, offsets[done], offsets[done] + sizes[done]) != UB_RANGETREE_OK) {
            tree->broken = 1;
            break;
        }
    }
    leave(tree);
    return status;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

int ub_rangetree_largest(ub_rangetree *tree, uint64_t *largest)
{
    const int status = enter(tree);
    if (status != UB_RANGETREE_OK)
        return status;
    *largest = largest_segment(tree);
    leave(tree);
    return UB_RANGETREE_OK;
}

int ub_rangetree_segments(ub_rangetree *tree, uint64_t *starts, uint64_t *ends, size_t room)
{
    const int status = enter(tree);
    if (status != UB_RANGETREE_OK)
        return status;
    if (tree->segments != room) {
        leave(tree);
        return UB_RANGETREE_BUSY; /* it changed since the caller asked */
    }
    for (size_t i = 0; i < tree->leaves; i++)
        for (uint32_t k = 0; k < tree->leaf[i]->count; k++) {
            *starts++ = tree->leaf[i]->range[k].start;
            *ends++ = tree->leaf[i]->range[k].end;
        }
    leave(tree);
    return UB_RANGETREE_OK;
}

int ub_rangetree_check(const ub_rangetree *tree)
{
    uint64_t histogram[UB_RANGETREE_CLASSES] = {0}, space = 0, segments = 0, last = 0, largest = 0;
    bool begun = false;
    for (size_t i = 0; i < tree->leaves; i++) {
        const ub_rangetree_leaf *leaf = tree->leaf[i];
        uint64_t most = 0;
        if (leaf->count == 0 || leaf->count > UB_RANGETREE_LEAF || tree->first[i] != leaf->range[0].start)
            return 1;
        for (uint32_t k = 0; k < leaf->count; k++) {
            const ub_range range = leaf->range[k];
            if (range.start >= range.end || (begun && range.start <= last))
                return 2;
            const uint64_t size = range.end - range.start;
            begun = true;
            last = range.end;
            most = size > most ? size : most;
            space += size;
            segments++;
            histogram[class_of(size)]++;
        }
        if (tree->largest[i] < most || (!leaf->stale && tree->largest[i] != most))
            return 3;
        largest = most > largest ? most : largest;
    }
    if (tree->largest_segment < largest || (!tree->stale && tree->largest_segment != largest))
        return 6;
    if (space != tree->space || segments != tree->segments || tree->leaves > tree->room)
        return 4;
    return memcmp(histogram, tree->histogram, sizeof histogram) == 0 ? 0 : 5;
}
