/* Where the columns of a block lie: raidz, expanded raidz and draid, for arrays of blocks.
 *
 * A block's columns are grouped by parity: a group's columns are P, Q, R first and its data columns after them. A
 * data column shorter than the group's height counts as padded with zeros. Callers count first, allocate, and fill
 * then; filling checks the room again and never writes beyond it. Nothing here allocates, blocks or keeps state.
 *
 * The maps are the ones of OpenZFS (vdev_raidz.c, vdev_draid.c), which are format: every block was written by them.
 */
#ifndef UB_GEOMETRY_IMPL_H
#define UB_GEOMETRY_IMPL_H

#include <stddef.h>
#include <stdint.h>

#define UB_GEOMETRY_MAX_CHILDREN 255
#define UB_GEOMETRY_MAX_PARITY 3
#define UB_GEOMETRY_MIN_ASHIFT 9
#define UB_GEOMETRY_MAX_ASHIFT 16
#define UB_GEOMETRY_MAX_GROUPS 255
#define UB_GEOMETRY_MAX_BLOCK ((uint64_t)16 << 20)
#define UB_GEOMETRY_MAX_OFFSET ((uint64_t)1 << 62)

/* What all functions return. */
enum {
    UB_GEOMETRY_OK = 0,
    UB_GEOMETRY_BAD_VDEV = 1,   /* children, parity, ashift, groups outside their bounds or at odds */
    UB_GEOMETRY_BAD_OFFSET = 2, /* not at a sector (draid: stripe) boundary, or beyond 2^62 */
    UB_GEOMETRY_BAD_SIZE = 3,   /* a block of no bytes, or of more than 16 MiB */
    UB_GEOMETRY_BAD_WIDTH = 4,  /* a logical width that the vdev never had */
    UB_GEOMETRY_NO_ROOM = 5,    /* more columns or groups than there is room for, or than 32 bits can number */
};

typedef struct {
    int32_t leaf;    /* what the caller's table says of the child; a column without bytes on disk: 0 */
    int32_t parity;  /* 0, 1, 2: P, Q, R; -1: data */
    uint64_t offset; /* bytes on the device */
    uint64_t where;  /* data: position of these bytes in the block */
    uint32_t length; /* bytes of the block in this column, whole sectors */
    uint32_t stored; /* bytes on disk, length and zeros after it; 0: a column of zeros that is nowhere on disk */
} ub_column;

typedef struct {
    uint32_t first; /* index of its first column */
    uint32_t ncols;
    uint32_t nparity;
    uint32_t height; /* bytes of its parity */
} ub_group;

_Static_assert(sizeof(ub_column) == 32, "shared with numpy");
_Static_assert(sizeof(ub_group) == 16, "shared with numpy");

/* The blocks of one call. */
typedef struct {
    size_t count;
    const uint64_t *offset;  /* bytes in the vdev's address space */
    const uint64_t *psize;   /* bytes */
    const uint32_t *logical; /* raidz: number of children when each was written; NULL: as now */
} ub_blocks;

/* Where the result goes. blocks[i] .. blocks[i + 1] are the groups of block i. */
typedef struct {
    ub_column *columns;
    ub_group *groups;
    uint32_t *blocks; /* count + 1 of them */
    uint64_t ncolumns; /* room in columns; counting: how many are needed */
    uint64_t ngroups;
    size_t failed; /* the block at fault, for BAD_OFFSET, BAD_SIZE, BAD_WIDTH */
} ub_layout;

typedef struct {
    uint32_t children;
    uint32_t nparity;
    uint32_t ashift;
    const int32_t *leaf; /* for each child */
    uint64_t base;       /* device offset of the child's byte 0 */
    uint64_t moved;      /* the same for rows a running expansion has moved: differs while they are in the scratch area */
    uint64_t reflow;     /* sectors; rows that end beyond are still where they were. UINT64_MAX: no expansion runs */
} ub_raidz_geometry;

typedef struct {
    uint32_t children;
    uint32_t ndata;
    uint32_t nparity;
    uint32_t nspares;
    uint32_t ngroups;
    uint32_t ashift;
    uint32_t nperms;
    const uint8_t *perms; /* nperms rows of `children` */
    const int32_t *leaf;
    uint64_t base;
} ub_draid_geometry;

int ub_raidz_count(const ub_raidz_geometry *vdev, const ub_blocks *blocks, ub_layout *layout);
int ub_raidz_fill(const ub_raidz_geometry *vdev, const ub_blocks *blocks, ub_layout *layout);

int ub_draid_count(const ub_draid_geometry *vdev, const ub_blocks *blocks, ub_layout *layout);
int ub_draid_fill(const ub_draid_geometry *vdev, const ub_blocks *blocks, ub_layout *layout);

/* The base permutations that follow from a seed: nperms rows of `children` bytes, and their published checksum. */
int ub_draid_permutations(uint32_t children, uint64_t seed, uint32_t nperms, uint8_t *rows, uint64_t *checksum);

#endif
