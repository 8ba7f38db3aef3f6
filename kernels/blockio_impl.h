/*
 * Batched block input: read the columns of many blocks, rebuild what is missing, verify, decompress.
 *
 * The caller says where the bytes of each block lie (columns in parity groups) and what they must hash to; this code
 * knows no pool. Everything runs without locks or globals, so that any number of threads may work on parts of a batch.
 *
 * Nothing here trusts the layout: columns that overlap, leave gaps or reach beyond the block give UB_JOB_BAD for that
 * block, offsets beyond the end of a device count as read errors, and no byte outside the room of a job in `out` is
 * ever written.
 */
#ifndef UB_BLOCKIO_IMPL_H
#define UB_BLOCKIO_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "checksum_impl.h"

/* What a job asks for. */
enum {
    UB_MODE_DATA = 0,  /* read data columns, parity only when needed; deliver lsize decompressed bytes */
    UB_MODE_RAW = 1,   /* the same, but deliver the psize bytes as they are stored */
    UB_MODE_SCRUB = 2, /* read every column, verify, compare the parity; deliver psize bytes if UB_FLAG_DELIVER */
};

enum {
    UB_FLAG_SWAP = 1,    /* the content was written in the other byte order */
    UB_FLAG_CRYPT = 2,   /* only two checksum words: folded for weak checksums, cut for strong ones */
    UB_FLAG_DELIVER = 4, /* UB_MODE_SCRUB: `out` has room for psize bytes */
};

/* What became of a job. */
enum {
    UB_JOB_OK = 0,
    UB_JOB_UNREADABLE = 1,  /* reads failed, more than the parity makes good */
    UB_JOB_CHECKSUM = 2,    /* read (and rebuilt), but the checksum says otherwise */
    UB_JOB_DECOMPRESS = 3,  /* the checksum is right, the compressed data is not */
    UB_JOB_BAD = 4,         /* sizes or layout make no sense */
    UB_JOB_UNSUPPORTED = 5, /* a checksum or compression this code does not do */
    UB_JOB_MISSING = 6,     /* columns without a device, more than the parity makes good */
};

/* What was found wrong with a column. */
enum {
    UB_FAULT_NONE = 0,
    UB_FAULT_READ = 1,    /* the read failed, or lies beyond the end of the device */
    UB_FAULT_PARITY = 2,  /* parity differs from what the verified data gives */
    UB_FAULT_PADDING = 3, /* bytes that must be zero are not */
};

#define UB_BLOCK_MAX (32u << 20)    /* largest size a block pointer can hold */
#define UB_SECTOR_MAX (64u << 10)   /* data columns may exceed the block by less than this */
#define UB_COLUMNS_MAX 258u         /* of a group with parity */

typedef struct {
    int32_t leaf;    /* index into devices; -1: nothing there to read */
    int32_t parity;  /* 0, 1, 2 = P, Q, R; -1: data */
    uint64_t offset; /* on the device, bytes */
    uint64_t where;  /* of this piece in the block, bytes */
    uint32_t length; /* payload, bytes */
    uint32_t stored; /* bytes on the device; beyond the payload they are zero. 0: a column of zeros, not stored */
} ub_column;

typedef struct {
    uint32_t first, ncols; /* columns: parity first, then data */
    uint32_t nparity;
    uint32_t height; /* length of a parity column; shorter data columns count as followed by zeros */
} ub_group;

typedef struct {
    uint32_t first, ngroups; /* parity groups of this block */
    uint32_t psize, lsize;   /* bytes */
    uint8_t checksum, compress, mode, flags;
    uint32_t reserved;
    uint64_t words[4]; /* the checksum the block must have */
    uint64_t dest;     /* byte offset of its room in out */
} ub_job;

typedef struct {
    int fd;              /* file descriptor, or -1 */
    const uint8_t *base; /* the bytes themselves, when fd is -1; NULL: cannot be read */
    uint64_t size;       /* bytes */
} ub_device;

_Static_assert(sizeof(ub_column) == 32, "ub_column is shared with numpy");
_Static_assert(sizeof(ub_group) == 16, "ub_group is shared with numpy");
_Static_assert(sizeof(ub_job) == 64, "ub_job is shared with numpy");

typedef struct {
    const ub_column *columns;
    size_t ncolumns;
    const ub_group *groups;
    size_t ngroups;
    const ub_job *jobs;
    size_t njobs;
    const ub_device *devices;
    size_t ndevices;
    const ub_salt *salt;
    uint8_t *out;
    uint64_t out_size;
    uint8_t *status; /* njobs */
    uint8_t *faults; /* ncolumns; entries of columns that belong to no job are left alone */
} ub_batch;

/* Runs all jobs. 0, or -1 when memory ran out (status and out are then incomplete). */
int ub_blockio(const ub_batch *batch);

#endif
