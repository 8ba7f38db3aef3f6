"""Looking at all blocks of a pool: how many there are, whether the space maps agree, whether all can be read.

Everything the pool refers to is walked once for each window of the address space that fits into memory; small pools
have one window. A block is counted (and read) in the window its first address lies in, and takes its ranges from the
bit map of each window they lie in. What is left over or was missing is looked for once more, to name the blocks that
have it.

Source: OpenZFS, zdb.c.

Invariants: memory does not grow with the pool; nothing is written; one damaged part does not hide the others.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from ..alloc.bitmap import I64Array
from ..errors import PoolError
from ..ondisk import blkptr
from ..ondisk.blkptr import BpArray
from ..ondisk.dmutypes import METADATA, ObjectType
from ..zio.status import Status, StatusArray, error_for
from .blockstats import BlockStats, Totals
from .extents import PIECE, Held, first_address, held
from .findings import Fault, Segments
from .ledger import Ledger
from .obsolete import Mismatch
from .references import Kind, References, references
from .shared import ROWS_MAX, Miscount, SharedBlocks

if TYPE_CHECKING:
    from .spa import Spa

#: Units a window may have: bit maps of 256 MiB.
WINDOW_UNITS = 1 << 31
#: The same where blocks are shared, which takes a second bit map.
WINDOW_UNITS_SHARED = 1 << 30
#: Pointers worked on at a time.
BATCH = 1 << 13
#: No block takes more: 16 MiB with three times as much parity, and padding. What claims to is nowhere.
HELD_MAX = (64 << 20) + (1 << 20)
READ_BYTES = 8 << 20
READ_BLOCKS = 2048
#: Blocks that cannot be read, and parts of the pool that cannot, that are kept by name.
NAMED_MAX = 10_000
#: Blocks named for each range that is used wrongly.
USERS_MAX = 8

Reading = Literal["none", "metadata", "all"]
Progress = Callable[[int], None]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class BadBlock:
    """A block that cannot be read; ``status`` says why (see ``zio.status``)."""

    objset: int
    object: int
    level: int
    blkid: int
    status: int
    place: str
    error: str


@dataclass(slots=True)
class BlockReport:
    """What was found.

    Sums in bytes: ``dedup_bytes`` and ``clone_bytes`` of further references to shared blocks (with their numbers),
    ``checkpoint_bytes`` only a checkpoint holds, ``removing_bytes`` copied by a removal that runs, ``allocated`` what
    the headers of the space maps and their logs add up to.
    """

    pool: str
    stats: BlockStats
    compared: bool
    faults: dict[Fault, Segments]
    dedup_bytes: int = 0
    dedup_blocks: int = 0
    clone_bytes: int = 0
    clone_blocks: int = 0
    checkpoint_bytes: int = 0
    removing_bytes: int = 0
    allocated: int = 0
    over: list[Miscount] = field(default_factory=list)
    under: list[Miscount] = field(default_factory=list)
    over_count: int = 0
    under_count: int = 0
    mappings: dict[int, list[Mismatch]] = field(default_factory=dict)  # of removed vdevs, where counts are exact
    imprecise: dict[int, int] = field(default_factory=dict)  # of the other removed vdevs: bytes that differ
    notes: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    bad: list[BadBlock] = field(default_factory=list)
    bad_by_status: Counter[int] = field(default_factory=Counter)
    windows: int = 0
    seconds: float = 0.0

    @property
    def total(self) -> Totals:
        """All block pointers."""
        return self.stats.total

    @property
    def found(self) -> int:
        """Bytes that blocks have, each counted once."""
        shared = self.dedup_bytes + self.clone_bytes
        return self.total.asize - shared + self.removing_bytes + self.checkpoint_bytes

    @property
    def readable(self) -> bool:
        """Everything that was to be read could be."""
        return not self.unreadable and not self.bad_by_status

    @property
    def balanced(self) -> bool:
        """Space maps and blocks agree."""
        if not self.compared:
            return True
        wrong = any(self.faults.values()) or self.notes or self.over_count or any(self.mappings.values())
        return not wrong and self.found == self.allocated


class BlockCheck:
    """One look at one pool.

    Args:
        spa: an open pool.
        compare: compare with the space maps.
        read: which blocks to read.
        threads: for reading.
        sectors: count stored sizes exactly (see ``BlockStats``).
        progress: told of allocated bytes of blocks that were counted.
        window_units: how large a window may be.
    """

    def __init__(
        self,
        spa: Spa,
        *,
        compare: bool = True,
        read: Reading = "none",
        threads: int = 2,
        sectors: bool = False,
        progress: Progress | None = None,
        window_units: int | None = None,
    ) -> None:
        self._spa = spa
        self._read = read
        self._progress = progress or (lambda done: None)
        self._told: set[str] = set()
        self._unreadable: list[str] = []
        self._ledger = Ledger(spa, self._note_unreadable)
        self._shared = SharedBlocks(spa, self._note_unreadable)
        self._threads = max(1, threads)
        self._limit = window_units or (WINDOW_UNITS_SHARED if self._shared.any else WINDOW_UNITS)
        shifts = [top.config.get("metaslab_shift") for top in spa.tree.tops]
        stats = BlockStats([s if isinstance(s, int) and 0 <= s < 63 else 63 for s in shifts], sectors=sectors)
        self.report = BlockReport(spa.name, stats, compare, self._ledger.faults)
        self._first = True

    def run(self) -> BlockReport:
        """Look; gives the report. Only a pool that cannot be walked at all raises."""
        started = time.monotonic()
        report, ledger = self.report, self._ledger
        windows = self._windows()
        with _Reader(self._spa, self._threads, self._bad) as reader:
            for slots in windows:
                self._open(slots)
                for batch in references(self._spa, self._note_unreadable):
                    for part in _parts(batch):
                        self._batch(part, reader)
                reader.finish()
                self._shared.close()
                if report.compared:
                    ledger.close()
                self._first = False
        report.windows = len(windows)
        report.over, report.over_count = self._shared.over, self._shared.over_count
        report.under, report.under_count = self._shared.under, self._shared.under_count
        if report.compared:
            report.checkpoint_bytes, report.removing_bytes = ledger.checkpoint_bytes, ledger.removing_bytes
            report.notes += ledger.notes
            try:
                report.allocated = sum(one.allocated for one in self._spa.space.vdevs)
            except PoolError as error:
                self._note_unreadable("sums of the space maps", error)
            self._mappings()
            self._name_users()
        report.unreadable, report.seconds = self._unreadable, time.monotonic() - started
        return report

    def _windows(self) -> list[I64Array]:
        space = self._ledger.space
        weights = self._shared.weights(space) if self._shared.any else None
        if self.report.compared:
            return space.windows(self._limit, weights, ROWS_MAX)
        # Nothing but the tables of shared blocks has to be held.
        return space.windows(1 << 62, weights, ROWS_MAX)

    def _open(self, slots: I64Array) -> None:
        if self.report.compared:
            self._ledger.open(slots)
        else:
            self._ledger.space.open(slots)
        for bps in self._shared.open(self._ledger.space):
            if self.report.compared:
                found = held(self._spa.zio, bps, lambda row, error: None)
                more = found.pick((found.copy > 0) & (found.copy < PIECE))
                self._ledger.claim(more.vdev, more.start, more.end, np.ones(len(more), dtype=bool))

    def _note_unreadable(self, what: str, error: PoolError) -> None:
        text = f"{what}: {error}"
        # Each window's walk meets it anew.
        if text not in self._told and len(self._told) < NAMED_MAX:
            self._told.add(text)
            self._unreadable.append(text)

    # --- blocks -------------------------------------------------------------------------------------------------------

    def _batch(self, batch: References, reader: _Reader) -> None:
        report, space = self.report, self._ledger.space
        if batch.kind == Kind.LOG_CLONE:
            self._shared.judge(batch.bps, counted_only=True)
            return
        verdict = self._shared.judge(batch.bps)
        slots = space.slots_of(*first_address(verdict.bps))
        mine = space.in_window(slots)
        if self._first:
            mine |= space.in_none(slots)
        counted = verdict.bps if mine.all() else verdict.bps[mine]
        report.stats.add(counted, deferred=batch.kind == Kind.DEFERRED)
        asizes = blkptr.dva_asize(counted).sum(axis=1)
        asizes[blkptr.is_embedded(counted)] = 0
        report.dedup_bytes += int(asizes[verdict.dedup[mine]].sum())
        report.dedup_blocks += int(verdict.dedup[mine].sum())
        report.clone_bytes += int(asizes[verdict.clone[mine]].sum())
        report.clone_blocks += int(verdict.clone[mine].sum())
        if report.compared:
            self._claim(batch, verdict.bps, ~verdict.again, verdict.loose)
        wanted = mine & self._wanted(batch)
        if wanted.any():
            reader.read(batch, np.flatnonzero(wanted))
        self._progress(int(asizes.sum()))

    def _claim(self, batch: References, bps: BpArray, which: BoolArray, loose: BoolArray) -> None:
        which = which & ~blkptr.is_embedded(bps)
        rows = np.flatnonzero(which)

        def unreadable(row: int, error: PoolError) -> None:
            self._note_unreadable(batch.place(int(rows[row])), error)

        found = held(self._spa.zio, bps if len(rows) == len(bps) else bps[rows], unreadable)
        found.start[found.end - found.start > HELD_MAX] = -1
        if not loose.any():
            self._ledger.claim(found.vdev, found.start, found.end)
            return
        owner = rows[found.row]
        # Whose first address is in the window is known not to have been met before.
        known = self._ledger.space.in_window(self._ledger.space.slots_of(*first_address(bps)))
        shared = loose[owner] & ~((found.copy == 0) & known[owner])
        self._ledger.claim(found.vdev, found.start, found.end, shared)

    def _wanted(self, batch: References) -> BoolArray:
        """Which blocks are to be read."""
        if self._read == "none" or batch.kind not in (Kind.TREE, Kind.LOG_DATA):
            return np.zeros(len(batch), dtype=bool)
        kind = blkptr.object_type(batch.bps).astype(np.intp)
        result: BoolArray = ~blkptr.is_embedded(batch.bps) & (kind != ObjectType.INTENT_LOG)
        if self._read == "metadata":
            result &= METADATA[kind] | (blkptr.level(batch.bps) > 0)
        return result

    def _bad(self, batch: References, rows: I64Array, status: StatusArray) -> None:
        """Blocks that could not be read."""
        for at in np.flatnonzero(status).tolist():
            row, code = int(rows[at]), int(status[at])
            self.report.bad_by_status[code] += 1
            if len(self.report.bad) >= NAMED_MAX:
                continue
            place = (batch.objset, int(batch.object[row]), int(batch.level[row]), int(batch.blkid[row]))
            text = str(error_for(code, batch.bps[row]))
            self.report.bad.append(BadBlock(*place, code, batch.place(row), text))

    # --- afterwards ---------------------------------------------------------------------------------------------------

    def _mappings(self) -> None:
        """Compare what of removed vdevs is referred to with what the pool counts."""
        spa = self._spa
        for number, mapped in self._ledger.mapped.items():
            try:
                found = list(mapped.mismatches(mapped.counted(spa.mos, spa.directory)))
                if mapped.precise(spa.mos):
                    self.report.mappings[number] = found
                elif found:
                    self.report.imprecise[number] = sum(abs(one.found - one.counted) for one in found)
            except PoolError as error:
                self._note_unreadable(f"obsolete counts of {mapped.vdev.name}", error)

    def _name_users(self) -> None:
        """Walk once more, to name the blocks whose ranges are used wrongly."""
        segments = [
            one for fault in (Fault.SHARED, Fault.FREE, Fault.NOWHERE, Fault.MAP) for one in self.report.faults[fault]
        ]
        if not segments:
            return
        table = np.array([(one.vdev, one.offset, one.offset + one.size) for one in segments], dtype=np.int64)
        order = np.lexsort((table[:, 1], table[:, 0]))
        table, segments = table[order], [segments[at] for at in order.tolist()]
        for batch in references(self._spa, lambda what, error: None):
            if batch.kind == Kind.LOG_CLONE:
                continue
            for part in _parts(batch):
                for at, row in _meeting(table, held(self._spa.zio, part.bps, lambda row, error: None)):
                    users, place = segments[at].users, part.place(row)
                    if len(users) < USERS_MAX and place not in users:
                        users.append(place)


def _parts(batch: References) -> list[References]:
    """A batch in pieces of bounded size."""
    if len(batch) <= BATCH:
        return [batch]
    result = []
    for at in range(0, len(batch), BATCH):
        cut = slice(at, at + BATCH)
        columns = (batch.bps[cut], batch.object[cut], batch.level[cut], batch.blkid[cut])
        result.append(References(batch.kind, batch.name, batch.objset, *columns))
    return result


def _meeting(table: I64Array, found: Held) -> list[tuple[int, int]]:
    """(row of the table, row of the batch) of every meeting of a range in the table with one of a block.

    Rows of the table (vdev, start, end) are sorted and do not overlap.
    """
    result = []
    for vdev in np.unique(table[:, 0]).tolist():
        base = int(np.searchsorted(table[:, 0], vdev))
        here = table[table[:, 0] == vdev]
        mine = np.flatnonzero(found.vdev == vdev)
        first = np.searchsorted(here[:, 2], found.start[mine], side="right")
        last = np.searchsorted(here[:, 1], found.end[mine], side="left")
        for at in np.flatnonzero(first < last).tolist():
            result += [(base + index, int(found.row[mine[at]])) for index in range(int(first[at]), int(last[at]))]
    return result


class _Reader:
    """Reads blocks in worker threads, a bounded number of batches at a time."""

    def __init__(self, spa: Spa, threads: int, bad: Callable[[References, I64Array, StatusArray], None]) -> None:
        self._zio = spa.zio
        self._bad = bad
        self._threads = threads
        self._workers = ThreadPoolExecutor(threads, "blocks")
        self._pending: deque[tuple[References, I64Array, Future[StatusArray]]] = deque()

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *reason: object) -> None:
        for item in self._pending:
            item[2].cancel()
        self._workers.shutdown()

    def read(self, batch: References, rows: I64Array) -> None:
        """Read some blocks of a batch."""
        sizes = np.cumsum(blkptr.psize(batch.bps[rows]).astype(np.int64))
        group = np.maximum(sizes // READ_BYTES, np.arange(len(rows)) // READ_BLOCKS)
        for part in np.split(rows, np.flatnonzero(np.diff(group)) + 1):
            self._pending.append((batch, part, self._workers.submit(self._status, batch.bps[part])))
            while len(self._pending) > 2 * self._threads:
                self._collect()

    def finish(self) -> None:
        """Wait for everything."""
        while self._pending:
            self._collect()

    def _status(self, bps: BpArray) -> StatusArray:
        return self._zio.read(bps, stored=True, errors="collect").status

    def _collect(self) -> None:
        batch, rows, future = self._pending.popleft()
        status = future.result()
        if status.any():
            self._bad(batch, rows, status)


#: Error numbers by which OpenZFS's tools know an outcome: EIO, ECKSUM (EBADE), ENXIO, EINVAL, ENOTSUP.
ERRNO = {
    Status.UNREADABLE: 5,
    Status.CHECKSUM: 52,
    Status.DECOMPRESS: 52,
    Status.BAD_POINTER: 22,
    Status.UNSUPPORTED: 95,
    Status.MISSING: 6,
}
