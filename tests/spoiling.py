"""Damage at chosen places: which block has which columns where, and what each should hold.

What a column should hold is worked out here from the block's verified bytes, parity by a table-free multiplication in
GF(256); nothing of the package's scrub is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from uberblock.pool import Pool
from uberblock.pool.dmu.traverse import walk
from uberblock.pool.ondisk import blkptr
from uberblock.pool.vdev.layout import Layout


@dataclass(frozen=True)
class Home:
    """Where a block pointer stands."""

    dataset: str
    objset: int
    object: int
    level: int
    blkid: int


@dataclass(frozen=True)
class Column:
    """A column (or copy) of a block on a device."""

    guid: int
    disk: int  # index of the leaf
    parity: int  # 0, 1, 2: P, Q, R; -1: data
    offset: int  # bytes, on the device
    length: int  # of data or parity; after it, up to ``stored``, zeros
    stored: int
    where: int  # of the data in the block


def every_block(pool: Pool) -> list[tuple[Home, Any]]:
    """Every block pointer a verify looks at (embedded ones excepted), each once, with its first home."""
    found: dict[bytes, tuple[Home, Any]] = {}
    trees = [("mos", 0, pool.spa.uberblock.rootbp, 0)]
    trees += [
        (one.name, one.obj, one.bp, one.phys.prev_snap_txg)
        for one in pool.spa.dsl.datasets(hidden=True)
        if not bool(blkptr.is_hole(one.bp))
    ]
    for name, objset, bp, after in trees:
        for visit in walk(pool.spa.zio, bp, objset_id=objset, birth_after=after):
            stored = ~blkptr.is_embedded(visit.bps)
            for at in np.flatnonzero(stored).tolist():
                home = Home(name, objset, int(visit.object[at]), int(visit.level[at]), int(visit.blkid[at]))
                found.setdefault(visit.bps[at]["dva"][0].tobytes(), (home, visit.bps[at]))
    return list(found.values())


def addresses(bp: Any) -> list[int]:
    """Which of a pointer's DVAs are in use."""
    used = 2 if bool(blkptr.is_crypt(bp)) else 3
    return [k for k in range(used) if int(blkptr.dva_asize(bp)[k])]


def layouts(pool: Pool, bp: Any, dva: int, psize: int | None = None) -> Iterator[Layout]:
    """The layouts that together cover all that one DVA of a block has on disk."""
    tree = pool.tree
    top, offset = int(blkptr.dva_vdev(bp)[dva]), int(blkptr.dva_offset(bp)[dva])
    size = int(blkptr.psize(bp)) if psize is None else psize
    for way in range(tree.ways(top, scrub=True)):
        births = np.array([int(blkptr.physical_birth(bp))], np.uint64)
        yield tree.layout(top, way, np.array([offset], np.uint64), np.array([size], np.uint64), births, scrub=True)


def groups(pool: Pool, layout: Layout) -> Iterator[list[Column]]:
    """The parity groups of a one-block layout: parity columns first, columns that are nowhere on disk included."""
    for first, ncols, nparity, height in layout.groups.tolist():
        group = []
        columns = layout.columns[first : first + ncols].tolist()
        for k, (leaf, parity, offset, where, length, stored) in enumerate(columns):
            guid = pool.tree.leaves[leaf].guid if leaf >= 0 else 0
            group.append(Column(guid, leaf, parity, offset, height if k < nparity else length, stored, where))
        yield group


def columns(pool: Pool, bp: Any, dva: int, psize: int | None = None) -> list[Column]:
    """All columns of one DVA of a block that are on disk."""
    return [
        column
        for layout in layouts(pool, bp, dva, psize)
        for group in groups(pool, layout)
        for column in group
        if column.disk >= 0 and column.stored
    ]


def contents(pool: Pool, bp: Any, dva: int, data: bytes) -> Iterator[tuple[Column, bytes]]:
    """Every column of one DVA of a block with what it should hold, given the block's stored bytes."""
    for layout in layouts(pool, bp, dva):
        for group in groups(pool, layout):
            pieces = [c for c in group if c.parity < 0]
            parity = [c for c in group if c.parity >= 0]
            bodies = [data[c.where : c.where + c.length].ljust(c.length, b"\0") for c in pieces]
            sums = generate(bodies, len(parity), parity[0].length) if parity else []
            for column, body in zip([*parity, *pieces], [*sums, *bodies]):
                if column.disk >= 0 and column.stored:
                    yield column, body.ljust(column.stored, b"\0")


def generate(bodies: list[bytes], nparity: int, height: int) -> list[bytes]:
    """P, Q, R of data columns: sums of each column times 1, 2, 4 to the power of its distance from the last one."""
    found = []
    for power in range(nparity):
        total = np.zeros(height, np.uint8)
        for body in bodies:
            for _ in range(power):
                total = (total << 1) ^ np.where(total & 0x80, 0x1D, 0).astype(np.uint8)
            total ^= np.frombuffer(body.ljust(height, b"\0"), np.uint8)
        found.append(total.tobytes())
    return found
