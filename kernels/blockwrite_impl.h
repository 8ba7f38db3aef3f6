/*
 * Batched block output: checksums, parity, and the columns of many blocks onto many devices.
 *
 * The mirror image of blockio_impl.h, with its records. The caller says where the bytes of each block go: columns in
 * parity groups, all copies of a block and all sides of its mirrors one after the other, as groups of one job. This
 * code computes the block's checksum, the parity of every group that has parity, and writes every column, zeros up to
 * `stored` included. Everything runs without locks or globals, so that any number of threads may work on parts of a
 * batch.
 *
 * A job's record is read so: `reserved` is the source its bytes are in and `dest` their place there; psize bytes are
 * stored. `checksum` says what to compute; `words` receives it (with UB_FLAG_CRYPT the first two words only, folded or
 * cut, beside the authentication code that stands in the others). lsize, compress and mode mean nothing here.
 *
 * Nothing here trusts the layout: groups that are no such thing, or data columns that do not make up the block a whole
 * number of times, give UB_JOB_BAD, and then nothing of that block is written; no byte outside the sources is read,
 * none beyond the end of a device written.
 */
#ifndef UB_BLOCKWRITE_IMPL_H
#define UB_BLOCKWRITE_IMPL_H

#include <stddef.h>
#include <stdint.h>

#include "blockio_impl.h"
#include "checksum_impl.h"

typedef struct {
    const uint8_t *base;
    uint64_t size; /* bytes */
} ub_source;

typedef struct {
    int fd;        /* file descriptor, or -1 */
    uint8_t *base; /* the bytes themselves, when fd is -1; NULL: cannot be written */
    uint64_t size; /* bytes */
} ub_target;

typedef struct {
    const ub_column *columns;
    size_t ncolumns;
    const ub_group *groups;
    size_t ngroups;
    ub_job *jobs;
    size_t njobs;
    const ub_target *devices;
    size_t ndevices;
    const ub_source *sources;
    size_t nsources;
    const ub_salt *salt;
    uint8_t *status; /* njobs: UB_JOB_OK, UB_JOB_BAD, UB_JOB_UNSUPPORTED */
    int32_t *errors; /* ncolumns: errno of the write, 0 where all went well or nothing was to be written */
} ub_output;

/* Runs all jobs. 0, or -1 when memory ran out (any part may then have been written). */
int ub_blockwrite(const ub_output *output);

/* Writes n bytes at an offset, and makes the file's data durable. 0; -errno: not written; errno: not durable. */
int ub_write_durable(int fd, const uint8_t *data, size_t n, uint64_t offset);

/* 1 if all n bytes are zero. */
int ub_is_zero(const uint8_t *p, size_t n);

#endif
