/*
 * Batched block input. Contract: blockio_impl.h.
 *
 * Jobs are taken in chunks. For a chunk all reads are listed first, each with its final place in memory: straight
 * into `out` where a block is stored uncompressed and in whole sectors, else into scratch memory where the block's
 * columns come together. Sorted by device and offset, neighbouring reads become one preadv(). Then block by block:
 * rebuild, verify, decompress; slow checksums are computed for many blocks at once.
 */
#define _GNU_SOURCE

#include "blockio_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "decompress_impl.h"
#include "raidz_impl.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "layouts are shared with numpy as little-endian records"
#endif

enum {
    CHUNK_READS = 2048,            /* reads listed before any is done */
    CHUNK_SCRATCH = 8 << 20,       /* scratch memory of a chunk, unless one job needs more */
    RUN_VECTORS = 128,             /* reads in one preadv() */
    RUN_BYTES = 4 << 20,           /* bytes in one preadv() */
    RUN_GAP = 8 << 10,             /* unwanted bytes read along to save a system call */
    NPARITY_MAX = 3,
    TOGETHER = 64,                 /* blocks whose checksums are computed in one call */
    CHECKSUM_OFF = 2,
    CHECKSUM_NOPARITY = 10,
    COMPRESS_OFF = 2,
};

typedef struct {
    uint64_t offset;
    uint8_t *dest;
    uint32_t length;
    uint32_t column;
    int32_t leaf;
} read_item;

/* A job of the chunk in work. */
typedef struct {
    uint8_t *data;   /* where its data columns come together; NULL: refused */
    uint8_t *parity; /* UB_MODE_SCRUB: parity as read, then zero tails as read */
    uint64_t extent; /* bytes of all data columns, at least psize */
    uint64_t extra;  /* bytes of parity and tails */
} job_state;

typedef struct {
    const ub_batch *b;
    read_item *reads;
    size_t nreads, reads_cap;
    job_state *states;
    size_t states_cap;
    uint8_t *scratch;
    size_t scratch_cap;
    uint8_t *parity; /* for parity read on demand, and regenerated parity */
    size_t parity_cap;
    uint8_t *gap;
} work;

static int reserve(void **memory, size_t *cap, size_t want, size_t item)
{
    if (want <= *cap)
        return 0;
    free(*memory);
    *cap = 0;
    *memory = malloc(want * item);
    if (*memory == NULL)
        return -1;
    *cap = want;
    return 0;
}

static inline uint32_t payload(const ub_column *c)
{
    return c->stored == 0 ? 0 : c->length;
}

static inline int in_scratch(const ub_job *job, const job_state *s)
{
    if (job->mode == UB_MODE_DATA && (job->compress != COMPRESS_OFF || job->lsize != job->psize))
        return 1;
    if (job->mode == UB_MODE_SCRUB && !(job->flags & UB_FLAG_DELIVER))
        return 1;
    return s->extent != job->psize;
}

/* ---- planning ------------------------------------------------------------------------------------------------ */

/* Bytes a job delivers. */
static uint64_t room(const ub_job *job)
{
    if (job->mode == UB_MODE_SCRUB && !(job->flags & UB_FLAG_DELIVER))
        return 0;
    return job->mode == UB_MODE_DATA ? job->lsize : job->psize;
}

static int sizes_are_sane(const ub_batch *b, const ub_job *job)
{
    if (job->mode > UB_MODE_SCRUB || job->psize == 0 || job->psize > UB_BLOCK_MAX || job->lsize > UB_BLOCK_MAX)
        return 0;
    if (job->mode == UB_MODE_DATA && job->compress == COMPRESS_OFF && job->lsize != job->psize)
        return 0;
    if (job->dest > b->out_size || room(job) > b->out_size - job->dest)
        return 0;
    return job->first <= b->ngroups && job->ngroups <= b->ngroups - job->first;
}

/* Checks one group; adds its bytes to extent and extra, its reads to *nreads. */
static int check_group(const ub_batch *b, const ub_job *job, const ub_group *g, job_state *s, size_t *nreads)
{
    if (g->first > b->ncolumns || g->ncols > b->ncolumns - g->first)
        return 0;
    if (g->nparity > NPARITY_MAX || (g->nparity != 0 && g->ncols > UB_COLUMNS_MAX) || g->nparity >= g->ncols || g->height > UB_BLOCK_MAX + UB_SECTOR_MAX)
        return 0;
    for (uint32_t i = 0; i < g->ncols; i++) {
        const ub_column *c = &b->columns[g->first + i];
        const int parity = i < g->nparity;
        if (c->leaf >= 0 && (size_t)c->leaf >= b->ndevices)
            return 0;
        if (parity ? c->parity != (int32_t)i : c->parity != -1)
            return 0;
        if (payload(c) > g->height || c->stored > g->height || (c->stored != 0 && c->length > c->stored))
            return 0;
        if (parity) {
            if (c->length != g->height || c->stored != g->height)
                return 0;
            s->extra += g->height;
        } else {
            s->extent += payload(c);
            s->extra += c->stored - payload(c);
            if (payload(c) != 0 && (c->where > UB_BLOCK_MAX || s->extent > UB_BLOCK_MAX + UB_SECTOR_MAX))
                return 0;
        }
        *nreads += job->mode == UB_MODE_SCRUB ? 2 : !parity;
        b->faults[g->first + i] = UB_FAULT_NONE;
    }
    return 1;
}

/* The columns' places must lie inside the extent. (Together with the sum of their lengths being the extent, a layout
 * that overlaps leaves a gap, whose bytes are then not the block's; the checksum tells.) */
static int places_are_inside(const ub_batch *b, const ub_job *job, const job_state *s)
{
    for (uint32_t k = 0; k < job->ngroups; k++) {
        const ub_group *g = &b->groups[job->first + k];
        for (uint32_t i = g->nparity; i < g->ncols; i++) {
            const ub_column *c = &b->columns[g->first + i];
            if (payload(c) != 0 && (c->where > s->extent || payload(c) > s->extent - c->where))
                return 0;
        }
    }
    return 1;
}

static int plan(const ub_batch *b, const ub_job *job, job_state *s, size_t *nreads)
{
    memset(s, 0, sizeof *s);
    *nreads = 0;
    if (!sizes_are_sane(b, job))
        return 0;
    for (uint32_t k = 0; k < job->ngroups; k++)
        if (!check_group(b, job, &b->groups[job->first + k], s, nreads))
            return 0;
    if (s->extent < job->psize || s->extent - job->psize >= UB_SECTOR_MAX)
        return 0;
    return places_are_inside(b, job, s);
}

static void list_read(work *w, uint32_t column, uint64_t offset, uint32_t length, uint8_t *dest)
{
    const int32_t leaf = w->b->columns[column].leaf;
    if (leaf < 0 || length == 0)
        return;
    w->reads[w->nreads++] = (read_item){offset, dest, length, column, leaf};
}

static void list_job(work *w, const ub_job *job, const job_state *s)
{
    const ub_batch *b = w->b;
    const int scrub = job->mode == UB_MODE_SCRUB;
    uint8_t *extra = s->parity;
    for (uint32_t k = 0; k < job->ngroups; k++) {
        const ub_group *g = &b->groups[job->first + k];
        for (uint32_t i = scrub ? 0 : g->nparity; i < g->ncols; i++) {
            const ub_column *c = &b->columns[g->first + i];
            if (i < g->nparity) {
                list_read(w, g->first + i, c->offset, g->height, extra);
                extra += g->height;
                continue;
            }
            /* Where a column without payload claims to belong means nothing. */
            if (payload(c) != 0)
                list_read(w, g->first + i, c->offset, payload(c), s->data + c->where);
            if (scrub) {
                const uint32_t tail = c->stored - payload(c);
                list_read(w, g->first + i, c->offset + payload(c), tail, extra);
                extra += tail;
            }
        }
    }
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

static int by_place(const void *x, const void *y)
{
    const read_item *a = x, *b = y;
    if (a->leaf != b->leaf)
        return a->leaf < b->leaf ? -1 : 1;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static void sort_reads(work *w)
{
    for (size_t i = 1; i < w->nreads; i++)
        if (by_place(&w->reads[i - 1], &w->reads[i]) > 0) {
            qsort(w->reads, w->nreads, sizeof *w->reads, by_place);
            return;
        }
}

static int within(const ub_device *d, uint64_t offset, uint64_t length)
{
    return offset <= d->size && length <= d->size - offset;
}

/* 0, or -1: not all of it could be read. */
static int read_device(const ub_device *d, uint64_t offset, uint32_t length, uint8_t *dest)
{
    if (!within(d, offset, length))
        return -1;
    if (d->fd < 0) {
        if (d->base == NULL)
            return -1;
        memcpy(dest, d->base + offset, length);
        return 0;
    }
    while (length > 0) {
        const ssize_t n = pread(d->fd, dest, length, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        dest += n;
        offset += (uint64_t)n;
        length -= (uint32_t)n;
    }
    return 0;
}

static void read_item_alone(work *w, const read_item *r)
{
    if (read_device(&w->b->devices[r->leaf], r->offset, r->length, r->dest) != 0)
        w->b->faults[r->column] = UB_FAULT_READ;
}

/* Number of reads from `at` on that one preadv() can do; fills in the vector. */
static size_t gather(work *w, size_t at, struct iovec *vec, int *nvec, uint64_t *total)
{
    const read_item *r = w->reads;
    const ub_device *d = &w->b->devices[r[at].leaf];
    size_t end = at;
    uint64_t next = r[at].offset;
    *nvec = 0;
    *total = 0;
    while (end < w->nreads && r[end].leaf == r[at].leaf && *nvec + 2 <= RUN_VECTORS) {
        if (r[end].offset < next || r[end].offset - next > RUN_GAP || !within(d, r[end].offset, r[end].length))
            break;
        const uint64_t gap = r[end].offset - next;
        if (*total != 0 && *total + gap + r[end].length > RUN_BYTES)
            break;
        if (gap != 0)
            vec[(*nvec)++] = (struct iovec){w->gap, (size_t)gap};
        vec[(*nvec)++] = (struct iovec){r[end].dest, r[end].length};
        *total += gap + r[end].length;
        next = r[end].offset + r[end].length;
        end++;
    }
    return end - at;
}

static void do_reads(work *w)
{
    struct iovec vec[RUN_VECTORS];
    sort_reads(w);
    for (size_t at = 0; at < w->nreads;) {
        const ub_device *d = &w->b->devices[w->reads[at].leaf];
        int nvec = 0;
        uint64_t total = 0;
        const size_t count = d->fd < 0 ? 0 : gather(w, at, vec, &nvec, &total);
        if (count < 2) {
            read_item_alone(w, &w->reads[at++]);
            continue;
        }
        ssize_t n;
        do
            n = preadv(d->fd, vec, nvec, (off_t)w->reads[at].offset);
        while (n < 0 && errno == EINTR);
        if (n < 0 || (uint64_t)n != total)
            for (size_t i = at; i < at + count; i++)
                read_item_alone(w, &w->reads[i]);
        at += count;
    }
}

/* ---- rebuilding ------------------------------------------------------------------------------------------------ */

static inline int is_bad(const ub_batch *b, uint32_t column)
{
    return (b->columns[column].leaf < 0 && b->columns[column].stored != 0) || b->faults[column] == UB_FAULT_READ;
}

/* Reads parity column i of a group into dest, or copies it from what scrub has read. 0: it is there. */
static int parity_into(const ub_batch *b, const ub_group *g, uint32_t i, const uint8_t *have, uint8_t *dest)
{
    const uint32_t column = g->first + i;
    const ub_column *c = &b->columns[column];
    if (is_bad(b, column))
        return -1;
    if (have != NULL) {
        memcpy(dest, have + (size_t)i * g->height, g->height);
        return 0;
    }
    if (read_device(&b->devices[c->leaf], c->offset, g->height, dest) != 0) {
        b->faults[column] = UB_FAULT_READ;
        return -1;
    }
    return 0;
}

/* Rebuilds the missing data columns of a group. `have`: the group's parity as read by a scrub, or NULL.
 * UB_JOB_OK, or what stands in the way; -1 without memory. */
static int rebuild(work *w, const ub_group *g, uint8_t *data, const uint8_t *have)
{
    const ub_batch *b = w->b;
    unsigned missing[2 * NPARITY_MAX];
    uint8_t *cols[UB_COLUMNS_MAX];
    size_t len[UB_COLUMNS_MAX];
    uint32_t need = 0, used = 0, good = 0, lost_reads = 0;

    for (uint32_t i = g->nparity; i < g->ncols; i++)
        if (is_bad(b, g->first + i) && payload(&b->columns[g->first + i]) != 0) {
            lost_reads += b->faults[g->first + i] == UB_FAULT_READ;
            need++;
        }
    if (need == 0)
        return UB_JOB_OK;
    const int failure = lost_reads != 0 ? UB_JOB_UNREADABLE : UB_JOB_MISSING;
    if (need > g->nparity)
        return failure;
    if (reserve((void **)&w->parity, &w->parity_cap, (size_t)NPARITY_MAX * g->height, 1) != 0)
        return -1;

    /* Parity in order, until there is enough; a lost one on the way counts as missing and is computed too. */
    size_t nmissing = 0;
    for (; used < g->nparity && good < need; used++) {
        cols[used] = w->parity + (size_t)used * g->height;
        len[used] = g->height;
        if (parity_into(b, g, used, have, cols[used]) == 0)
            good++;
        else
            missing[nmissing++] = used;
    }
    if (good < need)
        return b->faults[g->first] == UB_FAULT_READ ? UB_JOB_UNREADABLE : failure;
    const uint32_t ndata = g->ncols - g->nparity;
    for (uint32_t i = 0; i < ndata; i++) {
        const uint32_t column = g->first + g->nparity + i;
        const ub_column *c = &b->columns[column];
        len[used + i] = payload(c);
        cols[used + i] = payload(c) != 0 ? data + c->where : data;
        if (is_bad(b, column) && payload(c) != 0)
            missing[nmissing++] = used + i;
    }
    if (ub_raidz_reconstruct_kept(used + ndata, used, cols, len, missing, nmissing) != 0)
        return UB_JOB_BAD;
    return UB_JOB_OK;
}

/* ---- verifying and delivering ---------------------------------------------------------------------------------- */

/* A job whose checksum is worth computing for many blocks in one call. */
static int is_slow(const ub_job *job)
{
    return job->checksum == UB_CHECKSUM_SHA256 || job->checksum == UB_CHECKSUM_SHA512 ||
           job->checksum == UB_CHECKSUM_SKEIN || job->checksum == UB_CHECKSUM_EDONR ||
           job->checksum == UB_CHECKSUM_BLAKE3;
}

/* The same checksum over data of the same byte order. */
static int alike(const ub_job *a, const ub_job *b)
{
    return a->checksum == b->checksum && !((a->flags ^ b->flags) & UB_FLAG_SWAP);
}

static int matches(const ub_job *job, uint64_t got[4])
{
    size_t words = 4;
    if (job->flags & UB_FLAG_CRYPT) {
        words = 2;
        if (job->checksum == UB_CHECKSUM_FLETCHER2 || job->checksum == UB_CHECKSUM_FLETCHER4 ||
            job->checksum == UB_CHECKSUM_EDONR) {
            got[0] ^= got[2];
            got[1] ^= got[3];
        }
    }
    return memcmp(got, job->words, words * sizeof got[0]) == 0;
}

static int verify(const ub_batch *b, const ub_job *job, const uint8_t *data)
{
    uint64_t got[4];
    if (job->checksum == CHECKSUM_OFF || job->checksum == CHECKSUM_NOPARITY)
        return UB_JOB_OK;
    if (ub_checksum(job->checksum, data, job->psize, job->flags & UB_FLAG_SWAP, b->salt, got) != 0)
        return UB_JOB_UNSUPPORTED;
    return matches(job, got) ? UB_JOB_OK : UB_JOB_CHECKSUM;
}

static int is_zero(const uint8_t *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Compares parity and zero tails of a verified block with what was read. 0, or -1 without memory. */
static int compare(work *w, const ub_job *job, const job_state *s)
{
    const ub_batch *b = w->b;
    const uint8_t *extra = s->parity;
    for (uint32_t k = 0; k < job->ngroups; k++) {
        const ub_group *g = &b->groups[job->first + k];
        const uint8_t *cols[UB_COLUMNS_MAX];
        size_t len[UB_COLUMNS_MAX];
        uint8_t *fresh[NPARITY_MAX];
        const uint8_t *had = extra;
        extra += (size_t)g->nparity * g->height;
        for (uint32_t i = g->nparity; i < g->ncols; i++) {
            const uint32_t tail = b->columns[g->first + i].stored - payload(&b->columns[g->first + i]);
            if (!is_bad(b, g->first + i) && !is_zero(extra, tail))
                b->faults[g->first + i] = UB_FAULT_PADDING;
            extra += tail;
        }
        if (g->nparity == 0 || g->height == 0 || job->checksum == CHECKSUM_NOPARITY)
            continue;
        for (uint32_t i = g->nparity; i < g->ncols; i++) {
            const ub_column *c = &b->columns[g->first + i];
            cols[i - g->nparity] = payload(c) != 0 ? s->data + c->where : s->data;
            len[i - g->nparity] = payload(c);
        }
        if (reserve((void **)&w->parity, &w->parity_cap, (size_t)NPARITY_MAX * g->height, 1) != 0)
            return -1;
        for (uint32_t i = 0; i < g->nparity; i++)
            fresh[i] = w->parity + (size_t)i * g->height;
        if (ub_raidz_generate_kept(g->ncols - g->nparity, g->nparity, cols, len, fresh, g->height) != 0)
            continue;
        for (uint32_t i = 0; i < g->nparity; i++)
            if (!is_bad(b, g->first + i) && memcmp(fresh[i], had + (size_t)i * g->height, g->height) != 0)
                b->faults[g->first + i] = UB_FAULT_PARITY;
    }
    return 0;
}

static int deliver(const ub_batch *b, const ub_job *job, const job_state *s)
{
    uint8_t *dest = b->out + job->dest;
    if (job->mode == UB_MODE_DATA && job->compress != COMPRESS_OFF) {
        const int rc = ub_decompress(job->compress, s->data, job->psize, dest, job->lsize);
        return rc == 0 ? UB_JOB_OK : rc == UB_UNSUPPORTED ? UB_JOB_UNSUPPORTED : UB_JOB_DECOMPRESS;
    }
    const uint64_t bytes = room(job);
    if (bytes != 0 && s->data != dest)
        memcpy(dest, s->data, bytes);
    return UB_JOB_OK;
}

/* Rebuilds what is missing of a job whose columns have been read. Its status, or -1 without memory. */
static int complete(work *w, const ub_job *job, const job_state *s)
{
    const ub_batch *b = w->b;
    const uint8_t *extra = s->parity;
    for (uint32_t k = 0; k < job->ngroups; k++) {
        const ub_group *g = &b->groups[job->first + k];
        const int rc = rebuild(w, g, s->data, extra);
        if (rc != UB_JOB_OK)
            return rc;
        if (extra != NULL) {
            extra += (size_t)g->nparity * g->height;
            for (uint32_t i = g->nparity; i < g->ncols; i++)
                extra += b->columns[g->first + i].stored - payload(&b->columns[g->first + i]);
        }
    }
    return UB_JOB_OK;
}

/* What follows when a job has been verified. Its status, or -1 without memory. */
static int conclude(work *w, const ub_job *job, const job_state *s)
{
    if (job->mode == UB_MODE_SCRUB && compare(w, job, s) != 0)
        return -1;
    return deliver(w->b, job, s);
}

/* The statuses of complete jobs that are alike, given by their numbers. 0, or -1 without memory. */
static int finish_together(work *w, size_t at, const size_t *which, size_t count)
{
    const ub_batch *b = w->b;
    const uint8_t *data[TOGETHER];
    size_t length[TOGETHER];
    uint64_t got[TOGETHER][4];
    if (count == 0)
        return 0;
    for (size_t k = 0; k < count; k++) {
        data[k] = w->states[which[k]].data;
        length[k] = b->jobs[at + which[k]].psize;
    }
    const ub_job *any = &b->jobs[at + which[0]];
    const int swap = any->flags & UB_FLAG_SWAP;
    const int unknown = ub_checksum_many(any->checksum, count, data, length, swap, b->salt, got, NULL);
    for (size_t k = 0; k < count; k++) {
        const ub_job *job = &b->jobs[at + which[k]];
        int rc = unknown ? UB_JOB_UNSUPPORTED : matches(job, got[k]) ? UB_JOB_OK : UB_JOB_CHECKSUM;
        if (rc == UB_JOB_OK)
            rc = conclude(w, job, &w->states[which[k]]);
        if (rc < 0)
            return -1;
        b->status[at + which[k]] = (uint8_t)rc;
    }
    return 0;
}

/* The statuses of the jobs of a chunk whose columns have been read. Those that are verified quickly are done one by
 * one, while their data is in the cache; the others wait until there are many like them. 0, or -1 without memory. */
static int finish(work *w, size_t at, size_t count)
{
    const ub_batch *b = w->b;
    size_t which[TOGETHER], waiting = 0;
    for (size_t i = 0; i < count; i++) {
        const ub_job *job = &b->jobs[at + i];
        if (b->status[at + i] != UB_JOB_OK)
            continue;
        int rc = complete(w, job, &w->states[i]);
        if (rc == UB_JOB_OK && is_slow(job)) {
            if (waiting == TOGETHER || (waiting != 0 && !alike(job, &b->jobs[at + which[0]]))) {
                if (finish_together(w, at, which, waiting) != 0)
                    return -1;
                waiting = 0;
            }
            which[waiting++] = i;
            continue;
        }
        if (rc == UB_JOB_OK)
            rc = verify(b, job, w->states[i].data);
        if (rc == UB_JOB_OK)
            rc = conclude(w, job, &w->states[i]);
        if (rc < 0)
            return -1;
        b->status[at + i] = (uint8_t)rc;
    }
    return finish_together(w, at, which, waiting);
}

/* ---- chunks ---------------------------------------------------------------------------------------------------- */

static uint64_t scratch_of(const ub_job *job, const job_state *s)
{
    const uint64_t extra = job->mode == UB_MODE_SCRUB ? s->extra : 0;
    return extra + (in_scratch(job, s) ? s->extent : 0);
}

/* Runs as many jobs from `at` on as fit one chunk; their number, or -1 without memory. */
static ptrdiff_t run_chunk(work *w, size_t at)
{
    const ub_batch *b = w->b;
    size_t count = 0, reads = 0;
    uint64_t scratch = 0;
    for (; at + count < b->njobs && count < w->states_cap; count++) {
        job_state *s = &w->states[count];
        size_t nreads;
        const int sane = plan(b, &b->jobs[at + count], s, &nreads);
        if (!sane) {
            b->status[at + count] = UB_JOB_BAD;
            s->extent = 0;
            continue;
        }
        const uint64_t want = scratch_of(&b->jobs[at + count], s);
        if (count != 0 && (scratch + want > CHUNK_SCRATCH || reads + nreads > CHUNK_READS))
            break;
        scratch += want;
        reads += nreads;
        b->status[at + count] = UB_JOB_OK;
    }
    /* One byte more, so that there is an address even where nothing is needed. */
    if (reserve((void **)&w->scratch, &w->scratch_cap, (size_t)scratch + 1, 1) != 0 ||
        reserve((void **)&w->reads, &w->reads_cap, reads, sizeof *w->reads) != 0)
        return -1;

    uint8_t *place = w->scratch;
    w->nreads = 0;
    for (size_t i = 0; i < count; i++) {
        const ub_job *job = &b->jobs[at + i];
        job_state *s = &w->states[i];
        if (b->status[at + i] != UB_JOB_OK)
            continue;
        s->data = b->out + job->dest;
        if (in_scratch(job, s)) {
            s->data = place;
            place += s->extent;
        }
        if (job->mode == UB_MODE_SCRUB) {
            s->parity = place;
            place += s->extra;
        }
        list_job(w, job, s);
    }
    do_reads(w);
    if (finish(w, at, count) != 0)
        return -1;
    return (ptrdiff_t)count;
}

int ub_blockio(const ub_batch *batch)
{
    work w = {.b = batch};
    int rc = -1;
    const size_t states = batch->njobs < CHUNK_READS ? batch->njobs : CHUNK_READS;
    w.gap = malloc(RUN_GAP);
    if (w.gap != NULL && reserve((void **)&w.states, &w.states_cap, states + 1, sizeof *w.states) == 0) {
        rc = 0;
        for (size_t at = 0; rc == 0 && at < batch->njobs;) {
            const ptrdiff_t count = run_chunk(&w, at);
            if (count < 0)
                rc = -1;
            else
                at += (size_t)count;
        }
    }
    free(w.reads);
    free(w.states);
    free(w.scratch);
    free(w.parity);
    free(w.gap);
    return rc;
}
