/* Maps of raidz, expanded raidz and draid for whatever vdevs and blocks: what is filled in is what was counted, within
 * bounds, and the data columns of a block hold each of its sectors once. */
#include "fuzz_input.h"
#include "geometry_impl.h"

enum { BLOCKS = 3, LARGEST = 1 << 18 };

static uint64_t some_number(fuzz_input *in, uint64_t usual)
{
    return fuzz_take(in, 1) < 240 ? fuzz_below(in, usual) : fuzz_take(in, 8);
}

static void check(const ub_layout *layout, const ub_blocks *blocks)
{
    for (size_t i = 0; i < blocks->count; i++) {
        uint64_t stored = 0;
        if (layout->blocks[i] > layout->blocks[i + 1] || layout->blocks[i + 1] > layout->ngroups)
            abort();
        for (uint32_t k = layout->blocks[i]; k < layout->blocks[i + 1]; k++) {
            const ub_group *group = &layout->groups[k];
            if (group->ncols > layout->ncolumns || group->first > layout->ncolumns - group->ncols)
                abort();
            for (uint32_t c = group->nparity; c < group->ncols; c++)
                stored += layout->columns[group->first + c].length;
        }
        if (stored < blocks->psize[i] || stored - blocks->psize[i] >= (uint64_t)1 << UB_GEOMETRY_MAX_ASHIFT)
            abort();
    }
}

typedef int step(const void *vdev, const ub_blocks *blocks, ub_layout *layout);

static void run(step *count, step *fill, const void *vdev, const ub_blocks *blocks)
{
    uint32_t starts[BLOCKS + 1];
    ub_layout layout = {0};
    if (count(vdev, blocks, &layout) != UB_GEOMETRY_OK || layout.ncolumns > 1 << 22)
        return;
    layout.columns = calloc(layout.ncolumns + 1, sizeof *layout.columns);
    layout.groups = calloc(layout.ngroups + 1, sizeof *layout.groups);
    if (layout.columns == NULL || layout.groups == NULL)
        abort();
    layout.blocks = starts;
    if (fill(vdev, blocks, &layout) != UB_GEOMETRY_OK)
        abort();
    check(&layout, blocks);
    if (layout.ncolumns != 0) {
        /* One column less than needed is noticed. */
        layout.ncolumns--;
        if (fill(vdev, blocks, &layout) != UB_GEOMETRY_NO_ROOM)
            abort();
    }
    free(layout.columns);
    free(layout.groups);
}

static int raidz_count(const void *v, const ub_blocks *b, ub_layout *l) { return ub_raidz_count(v, b, l); }
static int raidz_fill(const void *v, const ub_blocks *b, ub_layout *l) { return ub_raidz_fill(v, b, l); }
static int draid_count(const void *v, const ub_blocks *b, ub_layout *l) { return ub_draid_count(v, b, l); }
static int draid_fill(const void *v, const ub_blocks *b, ub_layout *l) { return ub_draid_fill(v, b, l); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input in = {data, size};
    uint64_t offset[BLOCKS], psize[BLOCKS];
    uint32_t logical[BLOCKS];
    int32_t leaf[UB_GEOMETRY_MAX_CHILDREN];
    for (int i = 0; i < UB_GEOMETRY_MAX_CHILDREN; i++)
        leaf[i] = i;
    const uint32_t children = (uint32_t)some_number(&in, 20), nparity = (uint32_t)some_number(&in, 5);
    const uint32_t ashift = 9 + (uint32_t)some_number(&in, 8), kind = (uint32_t)fuzz_take(&in, 1);
    const uint32_t ndata = (uint32_t)some_number(&in, 8), nspares = (uint32_t)some_number(&in, 4);
    for (int i = 0; i < BLOCKS; i++) {
        const uint64_t unit = kind & 1 ? (uint64_t)(ndata + nparity) << (ashift & 15) : (uint64_t)1 << (ashift & 15);
        offset[i] = fuzz_take(&in, 1) < 240 ? fuzz_below(&in, 1 << 20) * unit : fuzz_take(&in, 8);
        psize[i] = fuzz_take(&in, 1) < 240 ? 512 * (1 + fuzz_below(&in, LARGEST / 512)) : fuzz_take(&in, 4);
        logical[i] = children - (uint32_t)fuzz_below(&in, 3);
    }
    ub_blocks blocks = {1 + fuzz_below(&in, BLOCKS), offset, psize, kind & 2 ? logical : NULL};
    if (kind & 1) {
        static uint8_t perms[4 * UB_GEOMETRY_MAX_CHILDREN];
        uint64_t sum;
        if (ub_draid_permutations(children, fuzz_take(&in, 8), 4, perms, &sum) != UB_GEOMETRY_OK)
            return 0;
        ub_draid_geometry vdev = {children, ndata, nparity, nspares, (uint32_t)some_number(&in, 12), ashift, 4,
                                  perms, leaf, 4 << 20};
        run(draid_count, draid_fill, &vdev, &blocks);
    } else {
        const uint64_t reflow = kind & 4 ? fuzz_take(&in, 4) : UINT64_MAX;
        ub_raidz_geometry vdev = {children, nparity, ashift, leaf, 4 << 20, kind & 8 ? 1 << 19 : 4 << 20, reflow};
        run(raidz_count, raidz_fill, &vdev, &blocks);
    }
    return 0;
}
