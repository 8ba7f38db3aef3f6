/*
 * Batched block output. Contract: blockwrite_impl.h.
 *
 * Jobs are taken in chunks small enough for the cache. Block by block: checksum, parity into scratch memory, and a
 * list of what is to be written, data straight from where the caller has it. Sorted by device and offset, neighbours
 * become one pwritev(). Slow checksums are computed beforehand, for many blocks at once.
 */
#define _GNU_SOURCE

#include "blockwrite_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "raidz_impl.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "layouts are shared with numpy as little-endian records"
#endif

enum {
    CHUNK_JOBS = 512,        /* blocks of a chunk */
    CHUNK_BYTES = 2 << 20,   /* stored bytes of a chunk, unless one block has more: they are in a cache still when written */
    RUN_VECTORS = 256,       /* pieces in one pwritev() */
    RUN_BYTES = 4 << 20,     /* bytes in one pwritev() */
    ZEROS = 64 << 10,        /* zero bytes one piece can have */
    TOGETHER = 64,           /* blocks whose checksums are computed in one call */
    CHECKSUM_OFF = 2,
    CHECKSUM_NOPARITY = 10,
};

static const uint8_t zeros[ZEROS];

/* One column: `real` bytes from memory, then zeros. */
typedef struct {
    uint64_t offset;
    const uint8_t *from;
    uint32_t real, stored;
    uint32_t column;
    int32_t leaf;
} write_item;

typedef struct {
    const ub_output *o;
    write_item *items;
    size_t nitems, items_cap;
    uint8_t *parity;
    size_t parity_cap;
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

int ub_write_durable(int fd, const uint8_t *data, size_t n, uint64_t offset) {
    size_t done = 0;
    while (done < n) {
        const ssize_t put = pwrite(fd, data + done, n - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            return put < 0 ? -errno : -EIO;
        }
        done += (size_t)put;
    }
    while (fdatasync(fd) != 0) {
        if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

int ub_is_zero(const uint8_t *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static inline const uint8_t *bytes_of(const ub_output *o, const ub_job *job)
{
    return o->sources[job->reserved].base + job->dest;
}

/* Bytes of the block in a data column: its length without what lies beyond the block's end. */
static inline uint32_t real_bytes(const ub_job *job, const ub_column *c)
{
    if (c->stored == 0 || c->where >= job->psize)
        return 0;
    const uint64_t left = job->psize - c->where;
    return left < c->length ? (uint32_t)left : c->length;
}

/* ---- checking ------------------------------------------------------------------------------------------------- */

static int source_is_sane(const ub_output *o, const ub_job *job)
{
    if (job->psize == 0 || job->psize > UB_BLOCK_MAX || job->reserved >= o->nsources)
        return 0;
    const ub_source *s = &o->sources[job->reserved];
    if (job->dest > s->size || job->psize > s->size - job->dest)
        return 0;
    return job->first <= o->ngroups && job->ngroups <= o->ngroups - job->first;
}

/* Does anybody want the parity of this group? */
static int wants_parity(const ub_output *o, const ub_group *g)
{
    for (uint32_t i = 0; i < g->nparity; i++)
        if (o->columns[g->first + i].leaf >= 0)
            return g->height != 0;
    return 0;
}

/* Checks one group; adds the block's bytes in it, the columns it may write and the parity it needs. */
static int check_group(const ub_output *o, const ub_job *job, const ub_group *g, uint64_t *extent, size_t *nitems,
                       uint64_t *parity)
{
    if (g->first > o->ncolumns || g->ncols > o->ncolumns - g->first || g->nparity >= g->ncols)
        return 0;
    if (g->nparity > UB_RAIDZ_MAX_PARITY || g->height > UB_BLOCK_MAX + UB_SECTOR_MAX)
        return 0;
    if (g->nparity != 0 && g->ncols - g->nparity > UB_RAIDZ_MAX_DATA)
        return 0;
    for (uint32_t i = 0; i < g->ncols; i++) {
        const ub_column *c = &o->columns[g->first + i];
        if (c->leaf >= 0 && (size_t)c->leaf >= o->ndevices)
            return 0;
        if (i < g->nparity ? c->parity != (int32_t)i : c->parity != -1)
            return 0;
        if (c->stored > g->height || (c->stored != 0 && c->length > c->stored))
            return 0;
        if (i < g->nparity && (c->length != g->height || c->stored != g->height))
            return 0;
        if (i >= g->nparity)
            *extent += real_bytes(job, c);
    }
    *nitems += g->ncols;
    if (wants_parity(o, g))
        *parity += (uint64_t)g->nparity * g->height;
    return 1;
}

static int plan(const ub_output *o, const ub_job *job, size_t *nitems, uint64_t *parity)
{
    uint64_t extent = 0;
    *nitems = 0;
    *parity = 0;
    if (!source_is_sane(o, job))
        return 0;
    for (uint32_t k = 0; k < job->ngroups; k++)
        if (!check_group(o, job, &o->groups[job->first + k], &extent, nitems, parity))
            return 0;
    return extent % job->psize == 0;
}

/* ---- checksums ------------------------------------------------------------------------------------------------- */

static int is_slow(const ub_job *job)
{
    return job->checksum == UB_CHECKSUM_SHA256 || job->checksum == UB_CHECKSUM_SHA512 ||
           job->checksum == UB_CHECKSUM_BLAKE3;
}

static void keep_words(ub_job *job, const uint64_t got[4])
{
    if (!(job->flags & UB_FLAG_CRYPT)) {
        memcpy(job->words, got, sizeof job->words);
        return;
    }
    const int weak = job->checksum == UB_CHECKSUM_FLETCHER2 || job->checksum == UB_CHECKSUM_FLETCHER4 ||
                     job->checksum == UB_CHECKSUM_EDONR;
    job->words[0] = weak ? got[0] ^ got[2] : got[0];
    job->words[1] = weak ? got[1] ^ got[3] : got[1];
}

static int checksum_one(const ub_output *o, ub_job *job)
{
    uint64_t got[4] = {0, 0, 0, 0};
    if (job->checksum != CHECKSUM_OFF && job->checksum != CHECKSUM_NOPARITY &&
        ub_checksum(job->checksum, bytes_of(o, job), job->psize, job->flags & UB_FLAG_SWAP, o->salt, got) != UB_OK)
        return UB_JOB_UNSUPPORTED;
    keep_words(job, got);
    return UB_JOB_OK;
}

static void checksum_together(const ub_output *o, const size_t *which, size_t count)
{
    const uint8_t *data[TOGETHER] = {NULL};
    size_t length[TOGETHER] = {0};
    uint64_t got[TOGETHER][4];
    if (count == 0)
        return;
    for (size_t k = 0; k < count; k++) {
        data[k] = bytes_of(o, &o->jobs[which[k]]);
        length[k] = o->jobs[which[k]].psize;
    }
    const ub_job *any = &o->jobs[which[0]];
    const int rc =
        ub_checksum_many(any->checksum, count, data, length, any->flags & UB_FLAG_SWAP, o->salt, got, NULL);
    for (size_t k = 0; k < count; k++) {
        if (rc != UB_OK)
            o->status[which[k]] = UB_JOB_UNSUPPORTED;
        else
            keep_words(&o->jobs[which[k]], got[k]);
    }
}

/* The slow checksums of the whole batch. Jobs without sense are left for later. */
static void checksum_slow(const ub_output *o)
{
    size_t which[TOGETHER], waiting = 0;
    for (size_t i = 0; i < o->njobs; i++) {
        const ub_job *job = &o->jobs[i];
        if (!is_slow(job) || !source_is_sane(o, job))
            continue;
        const ub_job *first = waiting == 0 ? job : &o->jobs[which[0]];
        if (waiting == TOGETHER || first->checksum != job->checksum || ((first->flags ^ job->flags) & UB_FLAG_SWAP)) {
            checksum_together(o, which, waiting);
            waiting = 0;
        }
        which[waiting++] = i;
    }
    checksum_together(o, which, waiting);
}

/* ---- parity and the list of writes ------------------------------------------------------------------------------ */

static void list_write(work *w, const ub_column *c, uint32_t column, const uint8_t *from, uint32_t real)
{
    if (c->leaf < 0 || c->stored == 0)
        return;
    w->items[w->nitems++] = (write_item){c->offset, from, real, c->stored, column, c->leaf};
}

/* Lists the columns of a group; its parity is made at *room, which moves on. */
static int list_group(work *w, const ub_job *job, const ub_group *g, uint8_t **room)
{
    const ub_output *o = w->o;
    const uint8_t *block = bytes_of(o, job);
    const uint32_t ndata = g->ncols - g->nparity;
    const uint8_t *data[UB_RAIDZ_MAX_DATA];
    size_t length[UB_RAIDZ_MAX_DATA];
    for (uint32_t i = 0; i < ndata; i++) {
        const uint32_t column = g->first + g->nparity + i;
        const ub_column *c = &o->columns[column];
        const uint32_t real = real_bytes(job, c);
        const uint8_t *from = real != 0 ? block + c->where : block;
        list_write(w, c, column, from, real);
        if (i < UB_RAIDZ_MAX_DATA) {
            data[i] = from;
            length[i] = real;
        }
    }
    if (!wants_parity(o, g))
        return 0;
    uint8_t *made[UB_RAIDZ_MAX_PARITY];
    for (uint32_t i = 0; i < g->nparity; i++) {
        made[i] = *room;
        *room += g->height;
        list_write(w, &o->columns[g->first + i], g->first + i, made[i], g->height);
    }
    return ub_raidz_generate_kept(ndata, g->nparity, data, length, made, g->height) == UB_RAIDZ_OK ? 0 : -1;
}

/* Checksum, parity and list of one block that has been checked: its status. */
static int prepare(work *w, ub_job *job, uint8_t **room)
{
    const size_t before = w->nitems;
    const int rc = is_slow(job) ? UB_JOB_OK : checksum_one(w->o, job);
    if (rc != UB_JOB_OK)
        return rc;
    for (uint32_t k = 0; k < job->ngroups; k++)
        if (list_group(w, job, &w->o->groups[job->first + k], room) != 0) {
            w->nitems = before;
            return UB_JOB_BAD;
        }
    return UB_JOB_OK;
}

/* ---- writing --------------------------------------------------------------------------------------------------- */

static int by_place(const void *x, const void *y)
{
    const write_item *a = x, *b = y;
    if (a->leaf != b->leaf)
        return a->leaf < b->leaf ? -1 : 1;
    return a->offset < b->offset ? -1 : a->offset > b->offset;
}

static int within(const ub_target *d, uint64_t offset, uint64_t length)
{
    return offset <= d->size && length <= d->size - offset;
}

/* Pieces of a column from byte `done` on, at most `room` of them; their number. */
static int pieces_of(const write_item *item, uint32_t done, struct iovec *vec, int room)
{
    int n = 0;
    if (done < item->real && n < room) {
        vec[n++] = (struct iovec){(void *)(uintptr_t)(item->from + done), item->real - done};
        done = item->real;
    }
    while (done < item->stored && n < room) {
        const uint32_t left = item->stored - done;
        vec[n++] = (struct iovec){(void *)(uintptr_t)zeros, left < ZEROS ? left : ZEROS};
        done += (uint32_t)vec[n - 1].iov_len;
    }
    return n;
}

/* One column; 0 or an errno. */
static int write_alone(const ub_target *d, const write_item *item)
{
    struct iovec vec[RUN_VECTORS];
    if (!within(d, item->offset, item->stored))
        return EIO;
    if (d->fd < 0) {
        if (d->base == NULL)
            return EIO;
        if (item->real != 0)
            memcpy(d->base + item->offset, item->from, item->real);
        memset(d->base + item->offset + item->real, 0, item->stored - item->real);
        return 0;
    }
    for (uint32_t done = 0; done < item->stored;) {
        const int n = pieces_of(item, done, vec, RUN_VECTORS);
        const ssize_t put = pwritev(d->fd, vec, n, (off_t)(item->offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 && errno != 0 ? errno : EIO;
        done += (uint32_t)put;
    }
    return 0;
}

/* Number of columns from `at` on that one pwritev() can write; fills in the vector. */
static size_t gather(const work *w, size_t at, struct iovec *vec, int *nvec, uint64_t *total)
{
    const write_item *items = w->items;
    const ub_target *d = &w->o->devices[items[at].leaf];
    uint64_t next = items[at].offset;
    size_t end = at;
    *nvec = 0;
    *total = 0;
    for (; end < w->nitems && items[end].leaf == items[at].leaf && items[end].offset == next; end++) {
        const write_item *item = &items[end];
        const uint64_t need = 2 + (item->stored - item->real) / ZEROS;
        if (!within(d, item->offset, item->stored) || (uint64_t)*nvec + need > RUN_VECTORS)
            break;
        if (*total != 0 && *total + item->stored > RUN_BYTES)
            break;
        *nvec += pieces_of(item, 0, vec + *nvec, RUN_VECTORS - *nvec);
        *total += item->stored;
        next += item->stored;
    }
    return end - at;
}

static void do_writes(work *w)
{
    struct iovec vec[RUN_VECTORS];
    const ub_output *o = w->o;
    qsort(w->items, w->nitems, sizeof *w->items, by_place);
    for (size_t at = 0; at < w->nitems;) {
        const ub_target *d = &o->devices[w->items[at].leaf];
        int nvec = 0;
        uint64_t total = 0;
        const size_t count = d->fd < 0 ? 0 : gather(w, at, vec, &nvec, &total);
        if (count != 0) {
            ssize_t put;
            do
                put = pwritev(d->fd, vec, nvec, (off_t)w->items[at].offset);
            while (put < 0 && errno == EINTR);
            if (put >= 0 && (uint64_t)put == total) {
                at += count;
                continue;
            }
        }
        /* Alone, each finds out what is wrong with it. */
        for (size_t end = at + (count != 0 ? count : 1); at < end; at++)
            o->errors[w->items[at].column] = write_alone(d, &w->items[at]);
    }
}

/* ---- chunks ---------------------------------------------------------------------------------------------------- */

/* Runs as many jobs from `at` on as fit one chunk; their number, or -1 without memory. */
static ptrdiff_t run_chunk(work *w, size_t at)
{
    const ub_output *o = w->o;
    size_t count = 0, nitems = 0;
    uint64_t bytes = 0, parity = 0;
    for (; at + count < o->njobs && count < CHUNK_JOBS; count++) {
        const size_t i = at + count;
        size_t items;
        uint64_t more;
        if (!plan(o, &o->jobs[i], &items, &more)) {
            o->status[i] = UB_JOB_BAD;
            continue;
        }
        if (count != 0 && bytes + o->jobs[i].psize > CHUNK_BYTES)
            break;
        bytes += o->jobs[i].psize;
        nitems += items;
        parity += more;
    }
    if (reserve((void **)&w->items, &w->items_cap, nitems + 1, sizeof *w->items) != 0 ||
        reserve((void **)&w->parity, &w->parity_cap, (size_t)parity + 1, 1) != 0)
        return -1;
    uint8_t *room = w->parity;
    w->nitems = 0;
    for (size_t i = at; i < at + count; i++)
        if (o->status[i] == UB_JOB_OK)
            o->status[i] = (uint8_t)prepare(w, &o->jobs[i], &room);
    do_writes(w);
    return (ptrdiff_t)count;
}

int ub_blockwrite(const ub_output *output)
{
    work w = {.o = output};
    int rc = 0;
    memset(output->status, UB_JOB_OK, output->njobs);
    checksum_slow(output);
    for (size_t at = 0; rc == 0 && at < output->njobs;) {
        const ptrdiff_t count = run_chunk(&w, at);
        if (count < 0)
            rc = -1;
        else
            at += (size_t)count;
    }
    free(w.items);
    free(w.parity);
    return rc;
}
