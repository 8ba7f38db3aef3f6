/* Column maps of raidz and draid: see geometry_impl.h. */
#include "geometry_impl.h"

#include <string.h>

#define DRAID_ROW_HEIGHT ((uint64_t)16 << 20)
#define RAIDZ1_SWAP ((uint64_t)1 << 20)

/* --- what all maps share ------------------------------------------------------------------------------------ */

static int check_block(const ub_blocks *blocks, size_t i, uint64_t unit)
{
    if (blocks->psize[i] == 0 || blocks->psize[i] > UB_GEOMETRY_MAX_BLOCK)
        return UB_GEOMETRY_BAD_SIZE;
    if (blocks->offset[i] > UB_GEOMETRY_MAX_OFFSET || blocks->offset[i] % unit != 0)
        return UB_GEOMETRY_BAD_OFFSET;
    return UB_GEOMETRY_OK;
}

/* The next columns of a group, or NULL when there is no room for them. */
static ub_column *open_group(ub_layout *layout, uint64_t *ncolumns, uint64_t *ngroups, uint32_t ncols,
                             uint32_t nparity, uint64_t height)
{
    if (*ngroups >= layout->ngroups || layout->ncolumns - *ncolumns < ncols)
        return NULL;
    layout->groups[*ngroups] = (ub_group){(uint32_t)*ncolumns, ncols, nparity, (uint32_t)height};
    ub_column *columns = layout->columns + *ncolumns;
    *ngroups += 1;
    *ncolumns += ncols;
    return columns;
}

static int finish_count(ub_layout *layout, uint64_t ncolumns, uint64_t ngroups)
{
    layout->ncolumns = ncolumns;
    layout->ngroups = ngroups;
    return ncolumns > UINT32_MAX || ngroups > UINT32_MAX ? UB_GEOMETRY_NO_ROOM : UB_GEOMETRY_OK;
}

/* --- raidz -------------------------------------------------------------------------------------------------- */

/* A block cut into rows of `width` sectors, parity included. */
typedef struct {
    uint64_t full;  /* rows that are full of data */
    uint64_t rest;  /* data sectors in the last, partial row */
    uint64_t big;   /* columns that reach into that row: its data and its parity */
    uint64_t rows;
    uint64_t cols;  /* columns that hold anything */
    uint64_t sector;
} raidz_shape;

static raidz_shape shape_of(uint64_t psize, uint32_t width, uint32_t nparity, uint32_t ashift)
{
    raidz_shape shape;
    uint64_t ndata = width - nparity;
    shape.sector = (uint64_t)1 << ashift;
    uint64_t sectors = (psize + shape.sector - 1) >> ashift;
    shape.full = sectors / ndata;
    shape.rest = sectors % ndata;
    shape.big = shape.rest ? shape.rest + nparity : 0;
    shape.rows = shape.full + (shape.rest != 0);
    shape.cols = shape.full ? width : shape.big;
    return shape;
}

static int check_raidz(const ub_raidz_geometry *vdev)
{
    int ok = vdev->nparity >= 1 && vdev->nparity <= UB_GEOMETRY_MAX_PARITY && vdev->children > vdev->nparity &&
             vdev->children <= UB_GEOMETRY_MAX_CHILDREN && vdev->ashift >= UB_GEOMETRY_MIN_ASHIFT &&
             vdev->ashift <= UB_GEOMETRY_MAX_ASHIFT;
    /* The old map of a running expansion is one child narrower. */
    if (vdev->reflow != UINT64_MAX)
        ok = ok && vdev->children > vdev->nparity + 1;
    return ok ? UB_GEOMETRY_OK : UB_GEOMETRY_BAD_VDEV;
}

static uint32_t width_of(const ub_raidz_geometry *vdev, const ub_blocks *blocks, size_t i)
{
    return blocks->logical ? blocks->logical[i] : vdev->children;
}

/* Rows are parity groups of their own as soon as the block may lie on fewer or more children than it was written for. */
static int is_by_rows(const ub_raidz_geometry *vdev, uint32_t width)
{
    return width != vdev->children || vdev->reflow != UINT64_MAX;
}

static int check_raidz_block(const ub_raidz_geometry *vdev, const ub_blocks *blocks, size_t i)
{
    uint32_t width = width_of(vdev, blocks, i);
    uint32_t widest = vdev->children - (vdev->reflow != UINT64_MAX ? 1 : 0);
    if (width <= vdev->nparity || width > widest)
        return UB_GEOMETRY_BAD_WIDTH;
    return check_block(blocks, i, (uint64_t)1 << vdev->ashift);
}

int ub_raidz_count(const ub_raidz_geometry *vdev, const ub_blocks *blocks, ub_layout *layout)
{
    uint64_t ncolumns = 0, ngroups = 0;
    int code = check_raidz(vdev);
    if (code)
        return code;
    for (size_t i = 0; i < blocks->count; i++) {
        code = check_raidz_block(vdev, blocks, i);
        if (code) {
            layout->failed = i;
            return code;
        }
        uint32_t width = width_of(vdev, blocks, i);
        raidz_shape shape = shape_of(blocks->psize[i], width, vdev->nparity, vdev->ashift);
        uint64_t groups = is_by_rows(vdev, width) ? shape.rows : 1;
        ngroups += groups;
        ncolumns += groups * shape.cols;
    }
    return finish_count(layout, ncolumns, ngroups);
}

/* In raidz1, every other MiB has its parity on the second child instead of the first. */
static void swap_parity(const ub_raidz_geometry *vdev, uint64_t offset, ub_column *columns)
{
    if (vdev->nparity != 1 || !(offset & RAIDZ1_SWAP))
        return;
    int32_t leaf = columns[0].leaf;
    uint64_t at = columns[0].offset;
    columns[0].leaf = columns[1].leaf;
    columns[0].offset = columns[1].offset;
    columns[1].leaf = leaf;
    columns[1].offset = at;
}

static void fill_whole(const ub_raidz_geometry *vdev, uint64_t offset, const raidz_shape *shape, ub_column *columns)
{
    uint64_t first = offset >> vdev->ashift;
    uint64_t child = first % vdev->children;
    uint64_t at = vdev->base + (first / vdev->children << vdev->ashift);
    uint64_t where = 0;
    for (uint64_t c = 0; c < shape->cols; c++) {
        uint64_t length = (shape->full + (c < shape->big)) << vdev->ashift;
        int data = c >= vdev->nparity;
        columns[c] = (ub_column){vdev->leaf[child], data ? -1 : (int32_t)c, at, data ? where : 0,
                                 (uint32_t)length, (uint32_t)length};
        where += data ? length : 0;
        if (++child == vdev->children) {
            child = 0;
            at += shape->sector;
        }
    }
    swap_parity(vdev, offset, columns);
}

/* Number of the data sector that row `row` has in data column `d`: data runs down the columns. */
static uint64_t sector_number(const raidz_shape *shape, uint64_t row, uint64_t d, uint64_t c)
{
    if (shape->rest == 0 || c < shape->big)
        return d * shape->rows + row;
    return shape->rest * shape->rows + (d - shape->rest) * (shape->rows - 1) + row;
}

static void fill_row(const ub_raidz_geometry *vdev, uint64_t offset, const raidz_shape *shape, uint32_t width,
                     uint64_t row, ub_column *columns)
{
    uint64_t first = (offset >> vdev->ashift) + row * width;
    int running = vdev->reflow != UINT64_MAX;
    int old = running && first + shape->cols > vdev->reflow;
    uint64_t children = vdev->children - (old ? 1 : 0);
    uint64_t base = running && !old ? vdev->moved : vdev->base;
    for (uint64_t c = 0; c < shape->cols; c++) {
        uint64_t number = first + c;
        uint64_t at = base + (number / children << vdev->ashift);
        columns[c] = (ub_column){vdev->leaf[number % children], (int32_t)c, at, 0, (uint32_t)shape->sector,
                                 (uint32_t)shape->sector};
        if (c < vdev->nparity)
            continue;
        columns[c].parity = -1;
        if (row + 1 == shape->rows && shape->big != 0 && c >= shape->big)
            columns[c] = (ub_column){0, -1, 0, 0, 0, 0};
        else
            columns[c].where = sector_number(shape, row, c - vdev->nparity, c) << vdev->ashift;
    }
    swap_parity(vdev, offset, columns);
}

int ub_raidz_fill(const ub_raidz_geometry *vdev, const ub_blocks *blocks, ub_layout *layout)
{
    uint64_t ncolumns = 0, ngroups = 0;
    int code = check_raidz(vdev);
    if (code)
        return code;
    for (size_t i = 0; i < blocks->count; i++) {
        code = check_raidz_block(vdev, blocks, i);
        if (code) {
            layout->failed = i;
            return code;
        }
        uint32_t width = width_of(vdev, blocks, i);
        raidz_shape shape = shape_of(blocks->psize[i], width, vdev->nparity, vdev->ashift);
        int by_rows = is_by_rows(vdev, width);
        uint64_t groups = by_rows ? shape.rows : 1;
        uint64_t height = by_rows ? shape.sector : shape.rows << vdev->ashift;
        layout->blocks[i] = (uint32_t)ngroups;
        for (uint64_t row = 0; row < groups; row++) {
            ub_column *columns =
                open_group(layout, &ncolumns, &ngroups, (uint32_t)shape.cols, vdev->nparity, height);
            if (columns == NULL)
                return UB_GEOMETRY_NO_ROOM;
            if (by_rows)
                fill_row(vdev, blocks->offset[i], &shape, width, row, columns);
            else
                fill_whole(vdev, blocks->offset[i], &shape, columns);
        }
    }
    layout->blocks[blocks->count] = (uint32_t)ngroups;
    return UB_GEOMETRY_OK;
}

/* --- draid -------------------------------------------------------------------------------------------------- */

static int check_draid(const ub_draid_geometry *vdev)
{
    uint64_t width = (uint64_t)vdev->ndata + vdev->nparity;
    if (vdev->nparity < 1 || vdev->nparity > UB_GEOMETRY_MAX_PARITY || vdev->ndata < 1 ||
        vdev->children > UB_GEOMETRY_MAX_CHILDREN || width + vdev->nspares > vdev->children ||
        vdev->ngroups < 1 || vdev->ngroups > UB_GEOMETRY_MAX_GROUPS || vdev->nperms < 1 ||
        vdev->ashift < UB_GEOMETRY_MIN_ASHIFT || vdev->ashift > UB_GEOMETRY_MAX_ASHIFT)
        return UB_GEOMETRY_BAD_VDEV;
    /* The groups of a slice fill its rows without a remainder. */
    return width * vdev->ngroups % (vdev->children - vdev->nspares) ? UB_GEOMETRY_BAD_VDEV : UB_GEOMETRY_OK;
}

/* The part of a block that lies in one group. */
typedef struct {
    uint64_t offset;
    uint64_t sectors;
    uint64_t where;
} draid_part;

/* The part that starts at part->offset; `left` data sectors are still to be placed. */
static void cut_part(const ub_draid_geometry *vdev, draid_part *part, uint64_t left)
{
    uint64_t width = vdev->ndata + vdev->nparity;
    uint64_t group_size = width * DRAID_ROW_HEIGHT;
    uint64_t room = (group_size - part->offset % group_size) / (width << vdev->ashift) * vdev->ndata;
    part->sectors = left < room ? left : room;
}

static void next_part(const ub_draid_geometry *vdev, draid_part *part)
{
    uint64_t group_size = (vdev->ndata + vdev->nparity) * DRAID_ROW_HEIGHT;
    part->where += part->sectors << vdev->ashift;
    part->offset += group_size - part->offset % group_size;
}

int ub_draid_count(const ub_draid_geometry *vdev, const ub_blocks *blocks, ub_layout *layout)
{
    uint64_t ngroups = 0;
    int code = check_draid(vdev);
    if (code)
        return code;
    uint64_t width = vdev->ndata + vdev->nparity, sector = (uint64_t)1 << vdev->ashift;
    for (size_t i = 0; i < blocks->count; i++) {
        code = check_block(blocks, i, width << vdev->ashift);
        if (code) {
            layout->failed = i;
            return code;
        }
        draid_part part = {blocks->offset[i], 0, 0};
        uint64_t left = (blocks->psize[i] + sector - 1) >> vdev->ashift;
        for (; left; left -= part.sectors) {
            cut_part(vdev, &part, left);
            next_part(vdev, &part);
            ngroups++;
        }
    }
    return finish_count(layout, ngroups * width, ngroups);
}

static void fill_part(const ub_draid_geometry *vdev, const draid_part *part, ub_column *columns)
{
    uint64_t width = vdev->ndata + vdev->nparity, disks = vdev->children - vdev->nspares;
    uint64_t group = part->offset / (width * DRAID_ROW_HEIGHT);
    uint64_t slice = group / vdev->ngroups, before = group % vdev->ngroups * width;
    uint64_t row = slice * (width * vdev->ngroups / disks) + before / disks;
    uint64_t column = before % disks;
    uint64_t inside = part->offset % (width * DRAID_ROW_HEIGHT) / width;
    uint64_t at = vdev->base + row * DRAID_ROW_HEIGHT + inside;

    uint64_t turn = slice % ((uint64_t)vdev->nperms * vdev->children);
    const uint8_t *perm = vdev->perms + turn / vdev->children * vdev->children;
    uint64_t shift = turn % vdev->children;

    uint64_t full = part->sectors / vdev->ndata, rest = part->sectors % vdev->ndata;
    uint64_t big = rest ? rest + vdev->nparity : 0;
    uint64_t height = (full + (rest != 0)) << vdev->ashift, where = part->where;
    for (uint64_t i = 0; i < width; i++) {
        int data = i >= vdev->nparity;
        uint64_t length = data ? (full + (i < big)) << vdev->ashift : height;
        uint64_t child = (perm[column] + shift) % vdev->children;
        columns[i] = (ub_column){vdev->leaf[child], data ? -1 : (int32_t)i, at, data ? where : 0,
                                 (uint32_t)length, (uint32_t)height};
        where += data ? length : 0;
        if (++column == disks) {
            column = 0;
            at += DRAID_ROW_HEIGHT;
        }
    }
}

int ub_draid_fill(const ub_draid_geometry *vdev, const ub_blocks *blocks, ub_layout *layout)
{
    uint64_t ncolumns = 0, ngroups = 0;
    int code = check_draid(vdev);
    if (code)
        return code;
    uint64_t width = vdev->ndata + vdev->nparity, sector = (uint64_t)1 << vdev->ashift;
    for (size_t i = 0; i < blocks->count; i++) {
        code = check_block(blocks, i, width << vdev->ashift);
        if (code) {
            layout->failed = i;
            return code;
        }
        layout->blocks[i] = (uint32_t)ngroups;
        draid_part part = {blocks->offset[i], 0, 0};
        uint64_t left = (blocks->psize[i] + sector - 1) >> vdev->ashift;
        for (; left; left -= part.sectors) {
            cut_part(vdev, &part, left);
            uint64_t rows = (part.sectors + vdev->ndata - 1) / vdev->ndata;
            ub_column *columns = open_group(layout, &ncolumns, &ngroups, (uint32_t)width, vdev->nparity,
                                            rows << vdev->ashift);
            if (columns == NULL)
                return UB_GEOMETRY_NO_ROOM;
            fill_part(vdev, &part, columns);
            next_part(vdev, &part);
        }
    }
    layout->blocks[blocks->count] = (uint32_t)ngroups;
    return UB_GEOMETRY_OK;
}

/* --- draid permutations ------------------------------------------------------------------------------------- */

#define DRAID_SEED ((uint64_t)0xd7a1d5eed)

static uint64_t rotate_left(uint64_t word, unsigned by)
{
    return word << by | word >> (64 - by);
}

/* xoroshiro128++ */
static uint64_t next_random(uint64_t state[2])
{
    uint64_t result = rotate_left(state[0] + state[1], 17) + state[0];
    uint64_t mixed = state[0] ^ state[1];
    state[0] = rotate_left(state[0], 49) ^ mixed ^ (mixed << 21);
    state[1] = rotate_left(mixed, 28);
    return result;
}

int ub_draid_permutations(uint32_t children, uint64_t seed, uint32_t nperms, uint8_t *rows, uint64_t *checksum)
{
    if (children < 2 || children > UB_GEOMETRY_MAX_CHILDREN || nperms < 1)
        return UB_GEOMETRY_BAD_VDEV;
    uint64_t state[2] = {DRAID_SEED, seed};
    uint8_t *row = rows;
    for (uint32_t n = 0; n < nperms; n++, row += children) {
        if (n == 0)
            for (uint32_t i = 0; i < children; i++)
                row[i] = (uint8_t)i;
        else
            memcpy(row, row - children, children);
        for (uint32_t i = children - 1; i > 0; i--) {
            uint64_t k = next_random(state) % (i + 1);
            uint8_t kept = row[i];
            row[i] = row[k];
            row[k] = kept;
        }
    }
    /* The first word of a fletcher4: the sum of the bytes taken as little-endian 32-bit words. */
    uint64_t sum = 0;
    for (size_t i = 0; i + 4 <= (size_t)nperms * children; i += 4)
        sum += (uint32_t)rows[i] | (uint32_t)rows[i + 1] << 8 | (uint32_t)rows[i + 2] << 16 |
               (uint32_t)rows[i + 3] << 24;
    *checksum = sum;
    return UB_GEOMETRY_OK;
}
