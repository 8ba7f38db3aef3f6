/* Batches of reads whose layouts come from the input: columns that overlap, leave gaps, lie beyond devices, and some
 * that are right. Devices are in memory. Nothing outside a job's room in the output may change. */
#include "blockio_impl.h"
#include "fuzz_input.h"

enum { DEVICE = 1 << 14, COLUMNS = 24, GROUPS = 8, JOBS = 4, DEVICES = 5, OUT = 1 << 15 };

/* Mostly a multiple of a sector within reach; now and then anything. */
static uint64_t some_size(fuzz_input *in, uint64_t most)
{
    const uint64_t kind = fuzz_take(in, 1);
    if (kind >= 250)
        return fuzz_take(in, 8);
    return kind >= 200 ? fuzz_below(in, most + 1) : 512 * (kind % (most / 512 + 1));
}

static void make_group(fuzz_input *in, ub_group *group, ub_column *columns, uint32_t first, uint32_t room)
{
    const uint32_t nparity = (uint32_t)fuzz_below(in, 4), ndata = 1 + (uint32_t)fuzz_below(in, 5);
    const uint32_t sector = fuzz_take(in, 1) & 1 ? 512 : 1024;
    const uint32_t height = sector * (1 + (uint32_t)fuzz_below(in, 3));
    *group = (ub_group){first, nparity + ndata <= room ? nparity + ndata : room, nparity, height};
    uint64_t where = 0;
    for (uint32_t i = 0; i < group->ncols; i++) {
        const int parity = i < nparity;
        uint32_t length = parity || fuzz_take(in, 1) < 180 ? height : (uint32_t)some_size(in, height);
        ub_column *c = &columns[first + i];
        *c = (ub_column){(int32_t)fuzz_below(in, DEVICES + 1) - 1, parity ? (int32_t)i : -1,
                         512 * fuzz_below(in, DEVICE / 512), parity ? 0 : where, length, length};
        if (fuzz_take(in, 1) >= 240)
            c->stored = (uint32_t)some_size(in, height);
        if (fuzz_take(in, 1) >= 250)
            c->where = some_size(in, OUT);
        if (fuzz_take(in, 1) >= 250)
            c->offset = some_size(in, DEVICE);
        if (fuzz_take(in, 1) >= 252)
            c->leaf = (int32_t)fuzz_take(in, 4);
        if (!parity)
            where += length;
    }
}

static ub_job make_job(fuzz_input *in, const ub_group *groups, const ub_column *columns, uint32_t ngroups)
{
    static const uint8_t checksums[] = {2, 2, 2, 7, 8, 10, 6, 11, 12, 13, 14, 0, 255};
    static const uint8_t compressions[] = {2, 2, 2, 3, 14, 15, 5, 0};
    ub_job job = {0};
    job.first = (uint32_t)fuzz_below(in, ngroups + 1);
    job.ngroups = job.first < ngroups ? 1 + (uint32_t)fuzz_below(in, ngroups - job.first) : 0;
    uint64_t extent = 0;
    for (uint32_t k = 0; k < job.ngroups; k++)
        for (uint32_t i = groups[job.first + k].nparity; i < groups[job.first + k].ncols; i++)
            extent += columns[groups[job.first + k].first + i].length;
    job.psize = (uint32_t)extent;
    if (fuzz_take(in, 1) >= 200)
        job.psize = (uint32_t)some_size(in, OUT);
    job.lsize = fuzz_take(in, 1) < 160 ? job.psize : (uint32_t)some_size(in, OUT);
    job.checksum = checksums[fuzz_below(in, sizeof checksums)];
    job.compress = compressions[fuzz_below(in, sizeof compressions)];
    job.mode = (uint8_t)fuzz_below(in, 4);
    job.flags = (uint8_t)fuzz_take(in, 1);
    job.dest = fuzz_take(in, 1) < 200 ? 0 : some_size(in, OUT);
    if (fuzz_take(in, 1) >= 252)
        job.ngroups = (uint32_t)fuzz_take(in, 4);
    return job;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    ub_column *columns = calloc(COLUMNS, sizeof *columns);
    ub_group *groups = calloc(GROUPS, sizeof *groups);
    ub_job *jobs = calloc(JOBS, sizeof *jobs);
    uint8_t *status = calloc(JOBS, 1), *faults = calloc(COLUMNS, 1), *out = calloc(OUT, 1);
    uint8_t *device = calloc(DEVICE, 1);
    if (!columns || !groups || !jobs || !status || !faults || !out || !device)
        abort();
    const uint32_t ngroups = (uint32_t)fuzz_below(&in, GROUPS + 1), njobs = 1 + (uint32_t)fuzz_below(&in, JOBS);
    uint32_t used = 0;
    for (uint32_t k = 0; k < ngroups; k++) {
        make_group(&in, &groups[k], columns, used, COLUMNS - used < 9 ? COLUMNS - used : 9);
        used += groups[k].ncols;
    }
    for (uint32_t i = 0; i < njobs; i++)
        jobs[i] = make_job(&in, groups, columns, ngroups);
    for (size_t i = 0; i < DEVICE; i++)
        device[i] = in.left ? in.at[i % in.left] : 0;
    ub_device devices[DEVICES] = {{-1, device, DEVICE}, {-1, device, DEVICE}, {-1, device, 4096}, {-1, NULL, DEVICE},
                                  {-1, device, DEVICE}};
    ub_salt salt;
    ub_salt_set(&salt, device);
    ub_batch batch = {columns, COLUMNS, groups, ngroups, jobs, njobs, devices, DEVICES,
                      fuzz_take(&in, 1) & 1 ? &salt : NULL, out, OUT, status, faults};
    ub_blockio(&batch);
    for (uint32_t i = 0; i < njobs; i++)
        if (status[i] > UB_JOB_MISSING)
            abort();
    free(columns);
    free(groups);
    free(jobs);
    free(status);
    free(faults);
    free(out);
    free(device);
    return 0;
}
