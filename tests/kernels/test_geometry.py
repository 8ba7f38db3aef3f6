"""Column maps: the vectors of the format notes, and a plain definition to compare with."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.kernels import geometry

COLUMN = np.dtype(
    [("leaf", "<i4"), ("parity", "<i4"), ("offset", "<u8"), ("where", "<u8"), ("length", "<u4"), ("stored", "<u4")]
)
GROUP = np.dtype([("first", "<u4"), ("ncols", "<u4"), ("nparity", "<u4"), ("height", "<u4")])


def run(kernel, offsets, psizes, *logical):
    """Columns, groups and blocks of a count and a fill; one spare element shows that nothing is written beyond."""
    at, sizes = np.array(offsets, np.uint64), np.array(psizes, np.uint64)
    extra = [np.array(widths, np.uint32) for widths in logical]
    ncolumns, ngroups = kernel.count(at, sizes, *extra)
    columns, groups = np.full(ncolumns + 1, 0x55, np.uint8).repeat(32).view(COLUMN), np.zeros(ngroups, GROUP)
    columns = columns[: ncolumns + 1]
    blocks = np.zeros(len(at) + 1, np.uint32)
    guard = columns[-1].copy()
    kernel.fill(at, sizes, columns[:-1], groups, blocks, *extra)
    assert columns[-1] == guard
    return columns[:-1], groups, blocks


def raidz(width, nparity, ashift, **more):
    return geometry.Raidz(np.arange(width, dtype=np.int32), nparity, ashift, 0, **more)


def text(columns):
    """The notation of the vectors: X=child@offset+length."""
    parts, data = [], itertools.count()
    for c in columns.tolist():
        label = "PQR"[c[1]] if c[1] >= 0 else f"D{next(data)}"
        parts.append(f"{label}={c[0]}@{c[2]:#x}+{c[4]:#x}")
    return " ".join(parts)


# width, parity, ashift, offset, psize, columns; f and g are root block pointers of pools written by OpenZFS
RAIDZ = [
    (5, 1, 12, 0x0, 0x20000, "P=0@0x0+0x8000 D0=1@0x0+0x8000 D1=2@0x0+0x8000 D2=3@0x0+0x8000 D3=4@0x0+0x8000"),
    (5, 1, 12, 0x3000, 0x1000, "P=3@0x0+0x1000 D0=4@0x0+0x1000"),
    (
        5,
        1,
        12,
        0x7000,
        0x5000,
        "P=2@0x1000+0x2000 D0=3@0x1000+0x2000 D1=4@0x1000+0x1000 D2=0@0x2000+0x1000 D3=1@0x2000+0x1000",
    ),
    (
        5,
        1,
        12,
        0x104000,
        0x5000,
        "P=1@0x34000+0x2000 D0=0@0x34000+0x2000 D1=2@0x34000+0x1000 D2=3@0x34000+0x1000 D3=4@0x34000+0x1000",
    ),
    (
        6,
        2,
        12,
        0x2000,
        0x20000,
        "P=2@0x0+0x8000 Q=3@0x0+0x8000 D0=4@0x0+0x8000 D1=5@0x0+0x8000 D2=0@0x1000+0x8000 D3=1@0x1000+0x8000",
    ),
    (6, 2, 9, 0x13A5200, 0x200, "P=3@0x346200+0x200 Q=4@0x346200+0x200 D0=5@0x346200+0x200"),
    (
        8,
        3,
        12,
        0x301B4000,
        0x1000,
        "P=4@0x6036000+0x1000 Q=5@0x6036000+0x1000 R=6@0x6036000+0x1000 D0=7@0x6036000+0x1000",
    ),
    (
        7,
        3,
        9,
        0x5000,
        0x6E00,
        "P=5@0xa00+0x1c00 Q=6@0xa00+0x1c00 R=0@0xc00+0x1c00 D0=1@0xc00+0x1c00 D1=2@0xc00+0x1c00 "
        "D2=3@0xc00+0x1c00 D3=4@0xc00+0x1a00",
    ),
    (4, 1, 9, 0x200, 0x1400, "P=1@0x0+0x800 D0=2@0x0+0x800 D1=3@0x0+0x600 D2=0@0x200+0x600"),
    (3, 1, 12, 0x100000, 0x1000, "P=2@0x55000+0x1000 D0=1@0x55000+0x1000"),
]


@pytest.mark.parametrize(("width", "nparity", "ashift", "offset", "psize", "expected"), RAIDZ)
def test_raidz_vectors(width, nparity, ashift, offset, psize, expected):
    columns, groups, blocks = run(raidz(width, nparity, ashift), [offset], [psize])
    assert text(columns) == expected
    assert blocks.tolist() == [0, 1]
    assert groups.tolist() == [(0, len(columns), nparity, int(columns["length"].max()))]
    assert (columns["stored"] == columns["length"]).all()


# offset, psize, ashift, W, L, p, rows of `k:child@offset` (k: data sector, P, Q, or - for a sector of zeros)
EXPANDED = [
    (
        0x7000,
        0x8000,
        12,
        5,
        4,
        1,
        "P:2@0x1000 0:3@0x1000 3:4@0x1000 6:0@0x2000 / P:1@0x2000 1:2@0x2000 4:3@0x2000 7:4@0x2000 / "
        "P:0@0x3000 2:1@0x3000 5:2@0x3000 -",
    ),
    (
        0x100000,
        0x5000,
        12,
        5,
        4,
        1,
        "P:2@0x33000 0:1@0x33000 2:3@0x33000 4:4@0x33000 / P:1@0x34000 1:0@0x34000 3:2@0x34000 -",
    ),
    (
        0x1A00,
        0x1400,
        9,
        6,
        5,
        2,
        "P:1@0x400 Q:2@0x400 0:3@0x400 4:4@0x400 7:5@0x400 / P:0@0x600 Q:1@0x600 1:2@0x600 5:3@0x600 8:4@0x600 / "
        "P:5@0x600 Q:0@0x800 2:1@0x800 6:2@0x800 9:3@0x800 / P:4@0x800 Q:5@0x800 3:0@0xa00 - -",
    ),
]


def rows_text(columns, groups, sector):
    rows = []
    for first, ncols, _, height in groups.tolist():
        assert height == sector
        row = []
        for leaf, parity, offset, where, length, stored in columns[first : first + ncols].tolist():
            if stored == 0:
                assert (leaf, parity, offset, where, length) == (0, -1, 0, 0, 0)
                row.append("-")
            else:
                assert length == stored == sector
                row.append(f"{'PQR'[parity] if parity >= 0 else where // sector}:{leaf}@{offset:#x}")
        rows.append(" ".join(row))
    return " / ".join(rows)


@pytest.mark.parametrize(("offset", "psize", "ashift", "width", "logical", "nparity", "expected"), EXPANDED)
def test_expanded_raidz_vectors(offset, psize, ashift, width, logical, nparity, expected):
    columns, groups, blocks = run(raidz(width, nparity, ashift), [offset], [psize], [logical])
    assert rows_text(columns, groups, 1 << ashift) == expected
    assert blocks.tolist() == [0, len(groups)]
    assert set(groups["nparity"].tolist()) == {nparity}


def test_blocks_of_both_widths_in_one_call():
    kernel = raidz(5, 1, 12)
    columns, groups, blocks = run(kernel, [0x7000, 0x7000, 0x3000], [0x8000, 0x5000, 0x1000], [4, 5, 4])
    assert blocks.tolist() == [0, 3, 4, 5]
    assert groups["first"].tolist() == [0, 4, 8, 12, 17]
    assert text(columns[12:17]) == RAIDZ[2][5]


def plain_raidz(offset, psize, children, width, nparity, ashift):
    """Every sector of a block by the definition: [(number in block, or parity letter, child, child offset)]."""
    sector, first = 1 << ashift, offset >> ashift
    sectors = -(-psize // sector)
    rows = -(-sectors // (width - nparity))
    last = sectors - (rows - 1) * (width - nparity)  # data sectors in the last row
    numbers, n = {}, 0
    for column in range(width - nparity):
        for row in range(rows if column < last else rows - 1):
            numbers[row, column] = n
            n += 1
    assert n == sectors
    found = []
    for row in range(rows):
        places = [divmod(first + row * width + c, children) for c in range(width)]
        if nparity == 1 and offset >> 20 & 1:
            places[0], places[1] = places[1], places[0]
        for c in range(width):
            label = "PQR"[c] if c < nparity else numbers.get((row, c - nparity))
            if label is not None:
                found.append((label, row if c < nparity else 0, places[c][1], places[c][0] << ashift))
    return sorted(found, key=str)


def expanded_sectors(columns, sector):
    """The same from columns."""
    found, row = [], [0, 0, 0]
    for leaf, parity, offset, where, length, stored in columns.tolist():
        assert length == stored
        for i in range(length // sector):
            if parity >= 0:
                found.append(("PQR"[parity], row[parity], leaf, offset + i * sector))
                row[parity] += 1
            else:
                found.append((where // sector + i, 0, leaf, offset + i * sector))
    return sorted(found, key=str)


@st.composite
def raidz_blocks(draw):
    nparity = draw(st.integers(1, 3))
    children = draw(st.integers(nparity + 1, 12))
    width = draw(st.integers(nparity + 1, children))
    ashift = draw(st.sampled_from([9, 12]))
    offset = draw(st.integers(0, 1 << 12)) << ashift | draw(st.sampled_from([0, 1 << 20, 3 << 20]))
    psize = draw(st.integers(1, 60)) * draw(st.sampled_from([512, 4096]))
    return children, width, nparity, ashift, offset, psize


@settings(max_examples=300, deadline=None)
@given(raidz_blocks())
def test_raidz_is_its_definition(block):
    children, width, nparity, ashift, offset, psize = block
    columns, groups, _ = run(raidz(children, nparity, ashift), [offset], [psize], [width])
    expected = plain_raidz(offset, psize, children, width, nparity, ashift)
    assert expanded_sectors(columns, 1 << ashift) == expected
    assert int(groups["height"].sum()) == (1 << ashift) * sum(label == "P" for label, *_ in expected)
    data = columns[columns["parity"] < 0]
    covered = sorted(itertools.chain.from_iterable(range(w, w + n, 512) for w, n in data[["where", "length"]].tolist()))
    assert covered == list(range(0, -(-psize // (1 << ashift)) << ashift, 512))


@settings(max_examples=100, deadline=None)
@given(raidz_blocks(), st.integers(0, 400), st.booleans())
def test_rows_during_a_reflow(block, reflow, scratch):
    """Row by row: at the old place until the whole row has been passed, then at the new one."""
    children, width, nparity, ashift, offset, psize = block
    children, offset, sector = children + 1, offset % (300 << ashift), 1 << ashift
    moved = 1 << 40 if scratch else 0
    kernel = raidz(children, nparity, ashift, moved=moved, reflow=reflow)
    columns, groups, _ = run(kernel, [offset], [psize], [width])
    old, _, _ = run(raidz(children - 1, nparity, ashift), [offset], [psize], [width])
    new, _, _ = run(raidz(children, nparity, ashift), [offset], [psize], [width])
    if len(old) == len(columns):  # not the whole-block map
        for row, (first, ncols, _, _) in enumerate(groups.tolist()):
            passed = offset // sector + row * width + ncols <= reflow
            expected = (new if passed else old)[first : first + ncols].copy()
            if passed:
                expected["offset"][expected["stored"] > 0] += moved
            assert columns[first : first + ncols].tolist() == expected.tolist()


def test_every_sector_of_the_address_space_is_one_place():
    for children, nparity in ((3, 1), (5, 2), (7, 3)):
        count = 6 * children
        singles = []
        at = 0
        while at < count:  # blocks of one data sector, one behind the other
            columns, _, _ = run(raidz(children, nparity, 9), [at * 512], [512])
            singles += columns[["leaf", "offset"]].tolist()
            at += nparity + 1
        assert len(set(singles)) == len(singles) == at
        assert {child for child, _ in singles} == set(range(children))


DRAID = [
    # C, D, P, S, G, ashift, offset, psize, columns; the first and the third are root block pointers
    (9, 3, 1, 1, 2, 12, 0xF4EC000, 0x200, "1@0x1d3b000+0x1000 3@0x1d3b000+0x1000 0@0x1d3b000+0x0 5@0x1d3b000+0x0"),
    (
        9,
        3,
        1,
        1,
        2,
        12,
        0x83E8000,
        0x7000,
        "8@0x10fa000+0x3000 4@0x10fa000+0x3000 7@0x10fa000+0x2000 6@0x10fa000+0x2000",
    ),
    (
        11,
        4,
        2,
        2,
        3,
        12,
        0x643B6000,
        0x1000,
        "9@0xab49000+0x1000 8@0xab49000+0x1000 3@0xab49000+0x1000 1@0xbb49000+0x0 2@0xbb49000+0x0 4@0xbb49000+0x0",
    ),
    (
        11,
        4,
        2,
        2,
        3,
        12,
        0x6000,
        0x20000,
        "7@0x1000+0x8000 8@0x1000+0x8000 10@0x1000+0x8000 6@0x1000+0x8000 0@0x1000+0x8000 2@0x1000+0x8000",
    ),
    (
        9,
        3,
        1,
        1,
        2,
        12,
        0x3FFC000,
        0x5000,
        "7@0xfff000+0x1000 3@0xfff000+0x1000 6@0xfff000+0x1000 5@0xfff000+0x1000 "
        "0@0x0+0x1000 2@0x0+0x1000 8@0x0+0x1000 4@0x0+0x0",
    ),
    (
        9,
        3,
        1,
        1,
        2,
        12,
        0xA0004000,
        0x1000,
        "2@0x14001000+0x1000 0@0x14001000+0x1000 3@0x14001000+0x0 7@0x14001000+0x0",
    ),
    (5, 2, 1, 0, 5, 9, 0x600, 0xA00, "2@0x200+0x600 3@0x200+0x600 1@0x200+0x400"),
]
SEEDS = {4: 0xC9EA9EC82340C885, 5: 0xF46733B7F4D47DFD, 9: 0x5A5430036B982CCB, 11: 0x74CCEBF1DCF3AE80}


def permutations(children):
    return geometry.draid_permutations(children, SEEDS[children], 256)[0]


def draid(children, ndata, nparity, nspares, ngroups, ashift):
    leaves = np.arange(children, dtype=np.int32)
    return geometry.Draid(leaves, permutations(children), ndata, nparity, nspares, ngroups, ashift, 0)


@pytest.mark.parametrize(("c", "d", "p", "s", "g", "ashift", "offset", "psize", "expected"), DRAID)
def test_draid_vectors(c, d, p, s, g, ashift, offset, psize, expected):
    columns, groups, blocks = run(draid(c, d, p, s, g, ashift), [offset], [psize])
    found = [f"{leaf}@{at:#x}+{length:#x}" for leaf, _, at, _, length, _ in columns.tolist()]
    assert " ".join(found) == expected
    assert set(groups["ncols"].tolist()) == {d + p}
    assert blocks.tolist() == [0, len(groups)]
    for first, ncols, nparity, height in groups.tolist():
        part = columns[first : first + ncols]
        assert (part["stored"] == height).all() and height == part["length"].max()
        assert part["parity"].tolist() == [*range(nparity), *[-1] * d]


def test_permutations():
    rows, checksum = geometry.draid_permutations(4, SEEDS[4], 256)
    assert checksum == 0x1819D7C69
    assert [list(rows[i : i + 4]) for i in (0, 4, 8, 1020)] == [[0, 1, 3, 2], [1, 3, 0, 2], [0, 2, 3, 1], [1, 2, 0, 3]]
    rows, checksum = geometry.draid_permutations(9, SEEDS[9], 256)
    assert checksum == 0x8CEAF6934
    assert [list(rows[i : i + 9]) for i in (0, 9, 18)] == [
        [7, 3, 6, 5, 0, 2, 8, 4, 1],
        [8, 1, 5, 2, 3, 7, 0, 6, 4],
        [0, 7, 1, 5, 6, 3, 4, 2, 8],
    ]
    assert list(rows[-9:]) == [0, 1, 2, 7, 8, 4, 3, 6, 5]


def plain_draid(sector_number, c, d, p, s, g, ashift):
    """(child, child offset) of one sector of the address space, by the definition."""
    width, disks, tall = d + p, c - s, 16 << 20 >> ashift
    group, inside = divmod(sector_number, width * tall)
    n, before = group // g, group % g * width
    i, height = inside % width, inside // width
    row, column = divmod(before + i, disks)
    perm = permutations(c)[n % (256 * c) // c * c :][:c]
    child = (perm[column] + n % (256 * c) % c) % c
    return child, (n * (width * g // disks) + row) * (16 << 20) + (height << ashift)


@st.composite
def draid_blocks(draw):
    c, d, p, s, g = draw(st.sampled_from([(9, 3, 1, 1, 2), (11, 4, 2, 2, 3), (5, 2, 1, 0, 5), (4, 1, 1, 0, 2)]))
    ashift = draw(st.sampled_from([9, 12]))
    group = (d + p) * (16 << 20)
    near_end = (group >> ashift) // (d + p) - draw(st.integers(1, 12))
    stripe = draw(st.one_of(st.integers(0, 5000), st.just(near_end)))
    offset = draw(st.integers(0, 12000)) * group + stripe * (d + p << ashift)
    psize = draw(st.integers(1, 60)) * draw(st.sampled_from([512, 4096]))
    return c, d, p, s, g, ashift, offset, psize


@settings(max_examples=200, deadline=None)
@given(draid_blocks())
def test_draid_is_its_definition(block):
    """Stripe by stripe: a block takes whole stripes, parity first, its data running down the columns."""
    c, d, p, s, g, ashift, offset, psize = block
    columns, groups, _ = run(draid(c, d, p, s, g, ashift), [offset], [psize])
    sector, number = 1 << ashift, offset >> ashift
    where = 0
    for first, ncols, nparity, height in groups.tolist():
        assert (ncols, nparity) == (d + p, p)
        part = columns[first : first + ncols].tolist()
        for row in range(height // sector):
            for leaf, _, at, _, _, stored in part:
                assert stored == height
                assert (leaf, at + row * sector) == plain_draid(number, c, d, p, s, g, ashift)
                number += 1
        assert [at for _, parity, _, at, _, _ in part if parity >= 0] == [0] * p
        for _, _, _, at, length, _ in part[p:]:
            assert at == where and height - sector <= length <= height
            where += length
    assert where == -(-psize // sector) * sector
    # A block that is cut in two is cut at the end of its group.
    assert len(groups) == 1 or (offset + (d + p) * groups["height"].tolist()[0]) % (d + p << 24) == 0


# --- mistakes and hostile values ---


def test_blocks_that_cannot_be():
    kernel = raidz(5, 1, 12)
    bad = (0x200, 4096, "offset"), (1 << 63, 4096, "offset"), (0, 0, "size"), (0, 1 << 25, "size")
    for offset, psize, word in bad:
        with pytest.raises(ValueError, match=f"block 1: {word}"):
            kernel.count(np.array([0, offset], np.uint64), np.array([512, psize], np.uint64))
    for width in (0, 1, 6):
        with pytest.raises(ValueError, match="width"):
            kernel.count(np.zeros(1, np.uint64), np.ones(1, np.uint64), np.array([width], np.uint32))
    with pytest.raises(ValueError, match="offset"):
        draid(9, 3, 1, 1, 2, 12).count(np.array([4096], np.uint64), np.ones(1, np.uint64))


def test_vdevs_that_cannot_be():
    one = np.zeros(1, np.uint64), np.ones(1, np.uint64)
    for shape in ((1, 1, 12), (3, 3, 12), (5, 0, 12), (5, 4, 12), (5, 1, 8), (256, 1, 9)):
        with pytest.raises(ValueError, match="geometry"):
            raidz(*shape).count(*one)
    for shape in ((3, 1, 1, 3, 12), (8, 1, 1, 2, 12), (3, 0, 1, 2, 12), (3, 1, 1, 0, 12), (3, 1, 0, 2, 12)):
        with pytest.raises(ValueError, match="geometry"):
            draid(9, *shape).count(*one)
    with pytest.raises(ValueError):
        geometry.Draid(b"", b"", 1, 1, 0, 1, 9, 0)
    with pytest.raises(ValueError):
        geometry.Draid(bytes(12), bytes(4), 1, 1, 0, 1, 9, 0)
    for children, nperms in ((1, 256), (256, 256), (4, 0), (4, 1 << 30)):
        with pytest.raises(ValueError):
            geometry.draid_permutations(children, 1, nperms)


def test_buffers_of_the_wrong_shape():
    kernel, at, sizes = raidz(5, 1, 12), np.zeros(2, np.uint64), np.full(2, 4096, np.uint64)
    columns, groups, blocks = np.zeros(4, COLUMN), np.zeros(2, GROUP), np.zeros(3, np.uint32)
    kernel.fill(at, sizes, columns, groups, blocks)
    for wrong in (
        (at[:1], sizes, columns, groups, blocks),
        (at, sizes, columns[:3], groups, blocks),
        (at, sizes, columns, groups[:1], blocks),
        (at, sizes, columns, groups, blocks[:2]),
        (at, sizes, bytearray(33), groups, blocks),
        (at, sizes, columns, groups, blocks, np.zeros(1, np.uint32)),
        (memoryview(bytearray(17))[1:], sizes, columns, groups, blocks),
    ):
        with pytest.raises(ValueError):
            kernel.fill(*wrong)
    with pytest.raises(BufferError):
        kernel.fill(at, sizes, bytes(128), groups, blocks)


def test_no_blocks_at_all():
    none = np.zeros(0, np.uint64)
    assert raidz(5, 1, 12).count(none, none) == (0, 0)
    columns, groups, blocks = run(raidz(5, 1, 12), [], [])
    assert len(columns) == len(groups) == 0 and blocks.tolist() == [0]
