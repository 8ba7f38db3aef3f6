/* Batched output and input under AddressSanitizer and UndefinedBehaviorSanitizer.
 *
 * First stripes that make sense are written to devices in memory and in files, and read back by a scrub, which must
 * find nothing wrong. Then records by chance, most of which make none: whatever is written or read outside of sources
 * and devices, all of them blocks of the heap of exactly their size, is seen.
 *
 * usage: blockwrite_check ROUNDS SEED
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "blockio_impl.h"
#include "blockwrite_impl.h"

#define COLUMNS 12
#define DEVICE 40000
#define SECTOR 512

static uint64_t random_state;

static uint64_t chance(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

static void fail(const char *what, long round)
{
    fprintf(stderr, "%s in round %ld\n", what, round);
    exit(1);
}

static uint8_t *bytes_by_chance(size_t n)
{
    uint8_t *p = malloc(n + (n == 0));
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)chance(256);
    return p;
}

/* A block over ndata + nparity devices at one offset; the number of columns. */
static uint32_t lay_out(ub_column *columns, ub_group *group, uint32_t psize, uint32_t ndata, uint32_t nparity, uint64_t at)
{
    const uint32_t sectors = (psize + SECTOR - 1) / SECTOR;
    const uint32_t used = ndata < sectors ? ndata : sectors;
    const uint32_t height = (sectors + used - 1) / used * SECTOR;
    uint64_t where = 0;
    for (uint32_t i = 0; i < nparity + used; i++) {
        uint32_t length = height;
        if (i >= nparity)
            length = (sectors / used + (i - nparity < sectors % used)) * SECTOR;
        columns[i] = (ub_column){(int32_t)i, i < nparity ? (int32_t)i : -1, at, i < nparity ? 0 : where, length, length};
        where += i < nparity ? 0 : length;
    }
    if (chance(3) == 0 && nparity != 0)
        columns[nparity + used - 1].stored = height;
    *group = (ub_group){0, nparity + used, nparity, height};
    return nparity + used;
}

static void sensible(long round)
{
    static const uint8_t checksums[] = {6, 7, 8, 11, 2};
    const uint32_t nparity = (uint32_t)chance(4), psize = (1 + (uint32_t)chance(30)) * SECTOR - (chance(2) ? 0 : 16);
    ub_column columns[COLUMNS];
    ub_group group;
    const uint64_t at = chance(3) * SECTOR;
    const uint32_t count = lay_out(columns, &group, psize, 1 + (uint32_t)chance(6), nparity, at);
    uint8_t *data = bytes_by_chance(psize), *back = malloc(psize), status = 99, faults[COLUMNS] = {0};
    int32_t errors[COLUMNS] = {0};
    ub_target targets[COLUMNS] = {0};
    ub_device devices[COLUMNS] = {0};
    FILE *files[COLUMNS] = {NULL};
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t size = at + columns[i].stored;
        targets[i] = (ub_target){-1, NULL, size};
        if (chance(2)) {
            files[i] = tmpfile();
            if (files[i] == NULL || ftruncate(fileno(files[i]), (off_t)size) != 0)
                fail("no file", round);
            targets[i].fd = fileno(files[i]);
        } else {
            targets[i].base = bytes_by_chance(size);
        }
        devices[i] = (ub_device){targets[i].fd, targets[i].base, size};
    }
    ub_job job = {.ngroups = 1, .psize = psize, .lsize = psize, .checksum = checksums[chance(5)], .compress = 2};
    const ub_source source = {data, psize};
    const ub_output output = {columns, count, &group, 1, &job, 1, targets, count, &source, 1, NULL, &status, errors};
    if (ub_blockwrite(&output) != 0 || status != UB_JOB_OK)
        fail("not written", round);
    job.mode = UB_MODE_SCRUB;
    job.flags = UB_FLAG_DELIVER;
    const ub_batch batch = {columns, count, &group, 1, &job, 1, devices, count, NULL, back, psize, &status, faults};
    if (ub_blockio(&batch) != 0 || status != UB_JOB_OK || memcmp(data, back, psize) != 0)
        fail("does not come back", round);
    for (uint32_t i = 0; i < count; i++) {
        if (errors[i] != 0 || faults[i] != 0)
            fail("a column is wrong", round);
        if (files[i] != NULL)
            fclose(files[i]);
        free(targets[i].base);
    }
    free(data);
    free(back);
}

static uint64_t number(uint64_t usual)
{
    return chance(8) == 0 ? chance(UINT64_MAX) : chance(usual);
}

static void nonsense(long round)
{
    enum { JOBS = 3, GROUPS = 4 };
    ub_column *columns = calloc(COLUMNS, sizeof *columns);
    ub_group *groups = calloc(GROUPS, sizeof *groups);
    ub_job *jobs = calloc(JOBS, sizeof *jobs);
    const size_t sizes[2] = {8192, 512 * chance(4)};
    const ub_source sources[2] = {{bytes_by_chance(sizes[0]), sizes[0]}, {bytes_by_chance(sizes[1]), sizes[1]}};
    const ub_target targets[3] = {{-1, bytes_by_chance(DEVICE), DEVICE}, {-1, bytes_by_chance(600), 600}, {-1, NULL, 0}};
    uint8_t status[JOBS];
    int32_t errors[COLUMNS] = {0};
    for (uint32_t i = 0; i < COLUMNS; i++) {
        const uint32_t length = (uint32_t)number(4) * SECTOR, parity = chance(4) == 0;
        columns[i] = (ub_column){(int32_t)chance(5) - 1, parity ? (int32_t)chance(3) : -1, number(3) * SECTOR,
                                 number(4) * SECTOR, length, length + (uint32_t)number(2) * SECTOR};
    }
    for (uint32_t i = 0; i < GROUPS; i++)
        groups[i] = (ub_group){(uint32_t)number(COLUMNS), (uint32_t)number(4), (uint32_t)number(3) % 5, (uint32_t)number(6) * SECTOR};
    for (uint32_t i = 0; i < JOBS; i++)
        jobs[i] = (ub_job){.first = (uint32_t)number(GROUPS), .ngroups = (uint32_t)number(3), .psize = (uint32_t)number(5) * SECTOR,
                           .checksum = (uint8_t)chance(15), .reserved = (uint32_t)number(2), .dest = number(4) * SECTOR};
    const ub_output output = {columns, COLUMNS, groups, GROUPS, jobs, JOBS, targets, 3, sources, 2, NULL, status, errors};
    if (ub_blockwrite(&output) != 0)
        fail("no memory", round);
    for (uint32_t i = 0; i < JOBS; i++)
        if (status[i] != UB_JOB_OK && status[i] != UB_JOB_BAD && status[i] != UB_JOB_UNSUPPORTED)
            fail("no status", round);
    for (int i = 0; i < 2; i++) {
        free((void *)(uintptr_t)sources[i].base);
        free(targets[i].base);
    }
    free(columns);
    free(groups);
    free(jobs);
}

int main(int argc, char **argv)
{
    const long rounds = argc > 1 ? atol(argv[1]) : 1000;
    random_state = argc > 2 ? (uint64_t)atol(argv[2]) * 0x9e3779b97f4a7c15ull + 1 : 1;
    for (long round = 0; round < rounds; round++) {
        sensible(round);
        for (int k = 0; k < 10; k++)
            nonsense(round);
    }
    printf("%ld rounds\n", rounds);
    return 0;
}
