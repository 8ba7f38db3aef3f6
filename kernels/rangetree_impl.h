/* A set of addresses as sorted, disjoint segments that never touch: free space, and what is to become of it.
 *
 * Segments lie in leaves of up to UB_RANGETREE_LEAF; a directory holds the first address of each leaf and a bound on
 * its largest segment. So finding an address is two binary searches, and looking for room skips whole leaves: at a
 * million segments both are some thousand steps at most, over memory that lies in a row.
 *
 * Changes come in batches, and a batch happens as a whole or not at all. A batch that fails names its first range at
 * fault. Everything is decided by the calls made: the same calls give the same answers.
 *
 * Not for two threads at a time: whoever comes second is turned away (UB_RANGETREE_BUSY).
 */
#ifndef UB_RANGETREE_IMPL_H
#define UB_RANGETREE_IMPL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#ifndef UB_RANGETREE_LEAF
#define UB_RANGETREE_LEAF 256 /* tests take less, to have more leaves */
#endif
#define UB_RANGETREE_CLASSES 64

enum {
    UB_RANGETREE_OK = 0,
    UB_RANGETREE_EMPTY = 1,   /* a range that ends where it starts, or before; a size of 0 */
    UB_RANGETREE_OVERLAP = 2, /* to be added, and some of it is there */
    UB_RANGETREE_ABSENT = 3,  /* to be removed, and some of it is not there */
    UB_RANGETREE_MEMORY = 4,  /* no memory; nothing was changed */
    UB_RANGETREE_BROKEN = 5,  /* no memory earlier, while a failed batch was undone: the set is good for nothing */
    UB_RANGETREE_BUSY = 6,    /* another thread is at it */
};

typedef struct {
    uint64_t start, end;
} ub_range;

typedef struct {
    uint32_t count;
    uint32_t stale; /* the bound in the directory may be more than the largest segment */
    ub_range range[UB_RANGETREE_LEAF];
} ub_rangetree_leaf;

typedef struct {
    ub_rangetree_leaf **leaf;
    uint64_t *first;   /* address where each leaf begins */
    uint64_t *largest; /* bound on the size of each leaf's segments */
    size_t leaves, room;
    uint64_t segments;
    uint64_t space;                            /* sum of all sizes */
    uint64_t histogram[UB_RANGETREE_CLASSES];  /* [i]: segments of 2^i up to twice that */
    uint64_t cursor[UB_RANGETREE_CLASSES];     /* where looking for room begins, by log2 of the block's size */
    uint64_t largest_segment;                  /* bound on the size of all segments */
    int stale;                                 /* that bound may be too large */
    int broken;
    atomic_flag busy;
} ub_rangetree;

void ub_rangetree_init(ub_rangetree *tree);
/* Empties the set and gives back all memory; it can be used again, also after it was broken. */
int ub_rangetree_clear(ub_rangetree *tree);

/* Adds ranges, which must not be there. Neighbours are joined. `failed`: the first range at fault. */
int ub_rangetree_add(ub_rangetree *tree, const uint64_t *starts, const uint64_t *ends, size_t count, size_t *failed);

/* Removes ranges, each of which must be there as a whole. */
int ub_rangetree_remove(ub_rangetree *tree, const uint64_t *starts, const uint64_t *ends, size_t count, size_t *failed);

/* Finds room for blocks one after the other, and takes it out of the set.
 *
 * A block begins at a multiple of `align`. As many blocks as there are left, up to `run` bytes, are given one
 * segment if any is large enough, else the largest there is: blocks of one call lie in few long runs. Looking begins
 * where the last block of that size (log2) ended, and goes round. Stops at the first block there is no room for;
 * `placed`: how many there was room for.
 */
int ub_rangetree_allocate(ub_rangetree *tree, const uint64_t *sizes, size_t count, uint64_t align, uint64_t run,
                          uint64_t *offsets, size_t *placed);

/* For each range whether all of it (`contains`) or any of it (`overlaps`) is in the set; of an empty one none is. */
int ub_rangetree_contains(ub_rangetree *tree, const uint64_t *starts, const uint64_t *ends, size_t count,
                          uint8_t *answers);
int ub_rangetree_overlaps(ub_rangetree *tree, const uint64_t *starts, const uint64_t *ends, size_t count,
                          uint8_t *answers);

/* The size of the largest segment, 0 if there is none. */
int ub_rangetree_largest(ub_rangetree *tree, uint64_t *largest);

/* All segments in order, into arrays with room for `room`, which must be how many there are (else BUSY). */
int ub_rangetree_segments(ub_rangetree *tree, uint64_t *starts, uint64_t *ends, size_t room);

/* Checks everything this file promises about the inside; 0: all is well. For tests. */
int ub_rangetree_check(const ub_rangetree *tree);

#endif
