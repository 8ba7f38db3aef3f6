"""What each write of a recorded run was: told by the pool itself, never guessed.

Writes into label areas are told by their place, an uberblock by its magic number as well. For the rest the run's disks
are looked at as they were when a txg was acknowledged: every block that the trees of the txgs since the last time refer
to is scrubbed while the disks note what is read, so that copies, parity and padding are known by leaf and place. A
write is a block of a tree that was born since, if it was the last one there. Blocks of intent logs are found in the
same way where a request had been served, since they are freed when their txg is on disk.

What no tree refers to was given up within its own txg: the MOS is written in passes, each of which frees what the one
before it wrote. Where a tree cannot be read whole that cannot be told, and names say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from ..errors import CorruptError, PoolError
from ..ondisk import blkptr, label, uberblock
from ..ondisk.dmutypes import ObjectType
from ..pool import Pool, import_pool
from ..spa.logblocks import log_parts
from ..spa.references import Kind as Why
from ..spa.references import References, references
from ..zil import chain
from .checker import SYNCED
from .crash import CrashState, States
from .journal import CHANGES, Journal, Kind
from .promises import ASKED, KEPT
from .rings import ring_txgs
from .simdisk import SimDisk

What = Literal["data", "metadata", "log", "label", "uberblock", "given up", "unnamed"]
#: What users keep in a pool; everything else is metadata.
_CONTENT = (int(ObjectType.PLAIN_FILE_CONTENTS), int(ObjectType.ZVOL))


@dataclass(frozen=True, slots=True)
class Name:
    """What a write was: its kind, and in words."""

    what: What
    text: str


@dataclass(frozen=True, slots=True)
class _Range:
    disk: int
    start: int
    end: int
    name: Name


def names_of(journal: Journal, start: int = 0, end: int | None = None) -> dict[int, Name]:
    """What the writes and discards in a part of a run were, by their numbers.

    Args:
        journal: of the run.
        start, end: the part. What is written behind the last mark in it, or in no txg that was acknowledged there, has
            no name.
    """
    return _Namer(journal).run(start, len(journal) if end is None else end)


class _Namer:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._states = States(journal)
        self._names: dict[int, Name] = {}
        self._blind: list[str] = []  # what could not be read
        self._asked = any(mark.text == ASKED for _, mark in journal.marks())
        self._until = 0  # behind it no tree has been looked at

    def run(self, start: int, end: int) -> dict[int, Name]:
        events = self._journal.events
        txg = self._synced_before(start)
        since = max((number for number, mark in self._journal.marks(start) if mark.text == SYNCED), default=0)
        marks = [(number, one) for number, one in self._journal.marks(end) if number >= start]
        for number, mark in marks:
            if mark.text == SYNCED:
                for ranges in self._born(number, txg):
                    self._take(ranges, since, number)
                self._until = since = number
                txg = max(txg, int(mark.facts["txg"]))
            elif mark.text == KEPT:
                self._take(self._logs(number), since, number)
        return {number: self._name(number) for number in range(start, end) if events[number].kind in CHANGES}

    def _synced_before(self, cut: int) -> int:
        return max((mark.facts["txg"] for _, mark in self._journal.marks(cut) if mark.text == SYNCED), default=0)

    def _name(self, number: int) -> Name:
        event = self._journal.events[number]
        place = label_place(self._journal.disks[event.disk].initial.size, event.offset, event.length, event.data)
        if place is not None:
            return place
        if number in self._names:
            return self._names[number]
        if event.kind == Kind.DISCARD:
            return Name("unnamed", "discard")
        if number >= self._until:
            return Name("unnamed", "no txg was acknowledged after it")
        if self._blind:
            return Name("unnamed", f"not known: {self._blind[0]}")
        if self._asked:  # a log that was never seen where a request had returned may have had it
            return Name("given up", "no tree, and no log where a request had returned, refers to it")
        return Name("given up", "given up within its own txg: no tree refers to it")

    def _take(self, ranges: Iterable[_Range], since: int, until: int) -> None:
        """Name the writes between two events: of those to one place the last one."""
        events = self._journal.events
        by_disk: dict[int, list[int]] = {}
        for number in range(until - 1, since - 1, -1):
            if events[number].kind == Kind.WRITE:
                by_disk.setdefault(events[number].disk, []).append(number)
        found: dict[int, list[Name]] = {}
        for one in ranges:
            left = one.end - one.start
            for number in by_disk.get(one.disk, ()):
                event = events[number]
                common = min(one.end, event.offset + event.length) - max(one.start, event.offset)
                if common > 0:
                    found.setdefault(number, []).append(one.name)
                    left -= common
                    if left <= 0:
                        break
        for number, names in found.items():
            # An earlier look may have named it: a log that is gone since.
            self._names.setdefault(number, _together(names))

    # --- looking at the disks -----------------------------------------------------------------------------------------

    def _disks(self, cut: int) -> list[SimDisk]:
        contents = self._states.build(CrashState(cut, "all"))
        names = [info.name for info in self._journal.disks]
        return [SimDisk(one, name, readonly=True) for one, name in zip(contents, names)]

    def _born(self, cut: int, after: int) -> Iterator[list[_Range]]:
        """Blocks of the trees of all txgs since one, newest txg first."""
        disks = self._disks(cut)
        for txg in ring_txgs(disks):
            if txg <= after:
                return
            try:
                pool = import_pool(None, list(disks), threads=1, txg=txg)
            except PoolError as error:
                self._blind.append(f"txg {txg} cannot be opened: {error}")
                continue
            with pool:
                yield list(_tree_ranges(pool, disks, after, self._unread))

    def _unread(self, what: str, error: PoolError) -> None:
        self._blind.append(f"{what} cannot be read: {error}")

    def _logs(self, cut: int) -> list[_Range]:
        disks = self._disks(cut)
        try:
            pool = import_pool(None, list(disks), threads=1)
        except PoolError as error:
            self._blind.append(f"the pool cannot be opened: {error}")
            return []
        with pool:
            return list(_log_ranges(pool, disks, self._unread))


Unread = Callable[[str, PoolError], None]


def _tree_ranges(pool: Pool, disks: list[SimDisk], after: int, unread: Unread) -> Iterator[_Range]:
    for batch in references(pool.spa, unread):
        if batch.kind in (Why.LOG, Why.LOG_DATA, Why.LOG_CLONE):
            continue  # found where they were asked for
        young = np.flatnonzero((blkptr.physical_birth(batch.bps) > after) & ~blkptr.is_embedded(batch.bps))
        for row in young.tolist():
            with _Watch(disks) as watch:
                pool.spa.zio.scrub(batch.bps[row : row + 1])
            yield from watch.ranges(_block_name(batch, row))


def _block_name(batch: References, row: int) -> Name:
    bps = batch.bps[row : row + 1]
    born = f"txg {int(blkptr.physical_birth(bps)[0])}"
    if batch.kind == Why.DEFERRED:
        return Name("metadata", f"{born}: freed again in that txg or the next ({batch.name})")
    content = int(batch.level[row]) == 0 and int(blkptr.object_type(bps)[0]) in _CONTENT
    return Name("data" if content else "metadata", f"{born}: {batch.place(row)}")


def _log_ranges(pool: Pool, disks: list[SimDisk], unread: Unread) -> Iterator[_Range]:
    for part in log_parts(pool.spa, unread):
        with _Watch(disks) as watch:
            pool.spa.zio.scrub_sealed(part.block.bp, part.block.size, partial(_is_link, part.block.bp))
        count = len(part.block.records)
        yield from watch.ranges(Name("log", f"{part.name}: intent log block {part.block.seq}, {count} records"))
        for row, number in enumerate(part.objects):
            with _Watch(disks) as watch:
                pool.spa.zio.scrub(part.data[row : row + 1])
            yield from watch.ranges(Name("data", f"{part.name}, object {number}: data that a log record points to"))


def _is_link(bp: Any, data: memoryview) -> bool:
    return chain.link_of(bp, data) is not None


class _Watch:
    """Notes what is read of disks."""

    def __init__(self, disks: list[SimDisk]) -> None:
        self._disks = disks
        self._read: set[tuple[int, int, int]] = set()

    def __enter__(self) -> _Watch:
        for number, disk in enumerate(self._disks):
            disk.watcher = partial(self._note, number)
        return self

    def _note(self, disk: int, offset: int, length: int) -> None:
        self._read.add((disk, offset, length))

    def __exit__(self, *exc: object) -> None:
        for disk in self._disks:
            disk.watcher = None

    def ranges(self, name: Name) -> list[_Range]:
        """All of it, under a name."""
        return [_Range(disk, offset, offset + length, name) for disk, offset, length in sorted(self._read)]


def _together(names: list[Name]) -> Name:
    """The name of a write that holds several blocks: a share of user data makes it data."""
    texts = list(dict.fromkeys(one.text for one in names))
    kinds = {one.what for one in names}
    what: What = "log" if "log" in kinds else "data" if "data" in kinds else "metadata"
    more = f" and {len(texts) - 3} more blocks" if len(texts) > 3 else ""
    return Name(what, "; ".join(texts[:3]) + more)


def label_place(size: int, offset: int, length: int, data: bytes = b"") -> Name | None:
    """What lies in a range of a label area; None: it is none.

    Args:
        size: of the disk. offset, length: bytes.
        data: what was written there: an uberblock says of which txg it is.
    """
    for index in range(label.LABELS):
        at = offset - label.offset(size, index)
        if not 0 <= at < label.LABEL_SIZE:
            continue
        if at >= label.RING_OFFSET and length <= 1 << uberblock.MAX_SLOT_SHIFT:
            slot = f"L{index}, ring slot at {at - label.RING_OFFSET:#x}"
            try:
                return Name("uberblock", f"{slot}: uberblock of txg {uberblock.decode(data).txg}")
            except CorruptError:
                return Name("label", f"{slot}: no uberblock")
        return Name("label", f"L{index}: {_parts(at, at + length)}")
    if label.BOOT_AREA_OFFSET <= offset < label.DATA_START:
        return Name("label", "boot area")
    return None


def _parts(start: int, end: int) -> str:
    parts = (
        ("blank space", 0, label.BOOT_OFFSET),
        ("boot block", label.BOOT_OFFSET, label.CONFIG_OFFSET),
        ("configuration", label.CONFIG_OFFSET, label.RING_OFFSET),
        ("uberblock ring", label.RING_OFFSET, label.LABEL_SIZE),
    )
    return ", ".join(name for name, first, last in parts if start < last and first < end)
