"""Verify a pool: read every block it refers to, every copy and every parity column, and name what is damaged.

Every tree is walked; of a snapshot's and a clone's only the blocks born after the snapshot before it, since the older
ones belong to that one too. So every block is read once; blocks that deduplication or cloning let appear many times are
skipped while they are still in a table of recent ones. Intent logs are followed as well, with the data in place that
their records point to. What only waits to be freed is not looked at.

The walk runs in the calling thread and hands batches of block pointers to worker threads (if there is to be more than
one), a bounded number at a time: memory does not grow with the pool. Nothing is written; what a scrub by OpenZFS would
repair is only reported.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..dmu.seen import SeenBlocks
from ..dmu.traverse import I64Array
from ..errors import PoolError
from ..ondisk import blkptr
from ..ondisk.blkptr import BpArray
from ..vdev.state import VdevState
from ..zil import chain
from ..zio.scrub import Damage, ScrubResult
from .bookmarks import PathFinder
from .holders import Holders
from .logblocks import LogPart, log_parts
from .references import LOG_LEVEL, Kind, references

if TYPE_CHECKING:
    from ..zil.chain import LogBlock
    from .spa import Spa

BATCH_BYTES = 8 << 20
BATCH_BLOCKS = 2048
#: Damaged blocks kept with all their places; beyond it they are only counted, and the report says so.
MAX_DAMAGED = 10_000
STATUS_LOST = 2

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class DamagedPlace:
    """A range of one device that does not hold what it should: ``kind`` says how that was seen.

    It is of whole sectors where the right bytes are known, else of a whole column or copy.
    """

    vdev: str
    guid: int
    offset: int
    length: int
    kind: str


@dataclass(frozen=True, slots=True)
class DamagedBlock:
    """A block with damage: where it belongs, whether its data is lost, and the ranges that are bad.

    ``also`` names the same file in later snapshots, the head and clones that share the block (64 at most).
    """

    dataset: str
    objset: int
    object: int
    level: int
    blkid: int
    lost: bool
    path: str
    places: tuple[DamagedPlace, ...]
    also: tuple[str, ...] = ()


@dataclass(slots=True)
class VerifyReport:
    """What was read and what was found.

    ``bytes`` counts allocated bytes (all copies and parity), ``errors_by_vdev`` the damaged columns and copies of
    blocks on each leaf (as OpenZFS counts checksum errors), ``unreadable`` the subtrees that could not be entered
    because their metadata is lost (``unreadable_trees`` of them; the lists are cut at ``MAX_DAMAGED``, and
    ``complete`` says whether that happened), ``unchecked`` the leaves of which some or all could not be looked at,
    and why.
    """

    pool: str
    blocks: int = 0
    bytes: int = 0
    damaged_blocks: int = 0
    lost_blocks: int = 0
    unreadable_trees: int = 0
    damaged: list[DamagedBlock] = field(default_factory=list)
    errors_by_vdev: dict[str, int] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    unchecked: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """No damage anywhere."""
        return self.damaged_blocks == 0 and not self.unreadable

    @property
    def complete(self) -> bool:
        """Every damaged block is in ``damaged``, and every subtree that cannot be entered in ``unreadable``."""
        return len(self.damaged) == self.damaged_blocks and len(self.unreadable) == self.unreadable_trees


@dataclass(frozen=True, slots=True)
class _Where:
    """Where block pointers stand: arrays with an element for each."""

    dataset: str
    objset: int
    object: I64Array
    level: I64Array
    blkid: I64Array


@dataclass(slots=True)
class _Batch:
    """Block pointers of one objset on their way to a worker, or ones that were met before."""

    where: _Where
    todo: BpArray
    index: I64Array
    repeated: bool = False
    log: LogBlock | None = None  # the one block there is, of an intent log


class Verifier:
    """One run over one pool."""

    def __init__(self, spa: Spa, *, threads: int = 2, progress: Progress | None = None) -> None:
        self._spa = spa
        self._threads = max(1, threads)
        self._progress = progress or (lambda done: None)
        self._seen = SeenBlocks()
        self._paths = PathFinder(spa)
        self._holders = Holders(spa)
        self._noted: set[str] = set()
        self._known: dict[tuple[int, int, int], tuple[bool, tuple[DamagedPlace, ...]]] = {}
        self.report = VerifyReport(spa.name)

    def run(self) -> VerifyReport:
        """Read everything; gives the report. Only a pool that cannot be walked at all raises."""
        started = time.monotonic()
        self.report.unchecked = unchecked_leaves(self._spa)
        pending: deque[tuple[_Batch, Future[ScrubResult] | None]] = deque()
        if self._threads == 1:
            for batch in self._batches():
                self._collect(batch, None if batch.repeated else _done(self._scrub(batch)))
            self.report.seconds = time.monotonic() - started
            return self.report
        with ThreadPoolExecutor(self._threads, "verify") as workers:
            try:
                for batch in self._batches():
                    # What was met before waits in line, so that by its turn it is known whether it is damaged.
                    future = None if batch.repeated else workers.submit(self._scrub, batch)
                    pending.append((batch, future))
                    if len(pending) > 2 * self._threads:
                        self._collect(*pending.popleft())
                while pending:
                    self._collect(*pending.popleft())
            finally:
                for _, future in pending:
                    if future is not None:
                        future.cancel()
        self.report.seconds = time.monotonic() - started
        return self.report

    # --- walking ------------------------------------------------------------------------------------------------

    def _batches(self) -> Iterator[_Batch]:
        for batch in references(self._spa, self._note):
            if batch.kind == Kind.TREE:
                where = _Where(batch.name, batch.objset, batch.object, batch.level, batch.blkid)
                yield from self._split(where, batch.bps)
        for part in log_parts(self._spa, self._note):
            yield from self._log(part)

    def _note(self, what: str, error: PoolError) -> None:
        line = f"{what}: {error}"
        if line in self._noted:
            return
        self.report.unreadable_trees += 1
        if len(self.report.unreadable) < MAX_DAMAGED:
            self.report.unreadable.append(line)
            self._noted.add(line)

    def _split(self, where: _Where, bps: BpArray) -> Iterator[_Batch]:
        """Cut a visit into batches of bounded size; embedded blocks fall out, ones met before are set apart."""
        self.report.blocks += len(bps)
        repeated = self._seen.add(bps)
        index = np.flatnonzero(~(repeated | blkptr.is_embedded(bps)))
        if len(index):
            sizes = blkptr.dva_asize(bps[index]).sum(axis=1)
            group = np.cumsum(sizes) // np.uint64(BATCH_BYTES)
            group = np.maximum(group, np.arange(len(index), dtype=np.uint64) // np.uint64(BATCH_BLOCKS))
            for part in np.split(index, np.flatnonzero(np.diff(group)) + 1):
                yield _Batch(where, bps[part], part)
        # After those: what repeats may do so within the visit.
        again = np.flatnonzero(repeated)
        if len(again):
            yield _Batch(where, bps[again], again, repeated=True)

    def _log(self, part: LogPart) -> Iterator[_Batch]:
        """A block of an intent log, and the data that its records point to."""
        one = np.zeros(1, dtype=np.int64)
        where = _Where(part.name, part.objset, one, one + LOG_LEVEL, one + part.block.seq)
        self.report.blocks += 1
        yield _Batch(where, np.array(part.block.bp).reshape(1), one, log=part.block)
        if len(part.data):
            objects = np.array(part.objects, dtype=np.int64)
            levels = np.full(len(objects), LOG_LEVEL, dtype=np.int64)
            yield from self._split(_Where(part.name, part.objset, objects, levels, objects * 0), part.data)

    def _scrub(self, batch: _Batch) -> ScrubResult:
        if batch.log is None:
            return self._spa.zio.scrub(batch.todo)
        bp = batch.log.bp
        return self._spa.zio.scrub_sealed(bp, batch.log.size, lambda data: chain.link_of(bp, data) is not None)

    # --- results ------------------------------------------------------------------------------------------------

    def _collect(self, batch: _Batch, future: Future[ScrubResult] | None) -> None:
        if future is None:
            self._repeat(batch)
            return
        result = future.result()
        done = int(blkptr.dva_asize(batch.todo).sum())
        self.report.bytes += done
        self._progress(done)
        places: dict[int, list[Damage]] = {}
        for damage in result.damage:
            places.setdefault(damage.index, []).append(damage)
        for at in np.flatnonzero(result.status):
            damages = places.get(int(at), ())
            found = tuple(self._place(damage) for damage in damages)
            lost = int(result.status[at]) == STATUS_LOST
            if len(self._known) < MAX_DAMAGED:
                self._known[self._identity(batch.todo[at])] = (lost, found)
            counts = self.report.errors_by_vdev
            for leaf, _ in {(damage.leaf, damage.column) for damage in damages}:
                name = self._spa.tree.leaves[leaf].name
                counts[name] = counts.get(name, 0) + 1
            self._report(batch.where, int(batch.index[at]), batch.todo[at], lost, found)

    def _repeat(self, batch: _Batch) -> None:
        """Blocks met again: a damaged one belongs to this file too."""
        if not self._known:
            return
        for bp, at in zip(batch.todo, batch.index.tolist()):
            known = self._known.get(self._identity(bp))
            if known is not None:
                self._report(batch.where, at, bp, *known)

    def _report(self, where: _Where, at: int, bp: BpArray, lost: bool, places: tuple[DamagedPlace, ...]) -> None:
        self.report.damaged_blocks += 1
        self.report.lost_blocks += lost
        if len(self.report.damaged) >= MAX_DAMAGED:
            return
        objset, number = where.objset, int(where.object[at])
        level, blkid = int(where.level[at]), int(where.blkid[at])
        path = self._paths.path(objset, number)
        if level == LOG_LEVEL and not number:
            path = f"{where.dataset}:<intent log>"
        others = self._holders.after(objset, number, level, blkid, bp)
        also = tuple(self._paths.path(other, number) for other in others)
        self.report.damaged.append(DamagedBlock(where.dataset, objset, number, level, blkid, lost, path, places, also))

    def _place(self, damage: Damage) -> DamagedPlace:
        leaf = self._spa.tree.leaves[damage.leaf]
        return DamagedPlace(leaf.name, leaf.guid, damage.offset, damage.length, damage.kind)

    @staticmethod
    def _identity(bp: BpArray) -> tuple[int, int, int]:
        return int(bp["dva"][0, 0]), int(bp["dva"][0, 1]), int(blkptr.physical_birth(bp))


def _done(result: ScrubResult) -> Future[ScrubResult]:
    """A result that is there already."""
    future: Future[ScrubResult] = Future()
    future.set_result(result)
    return future


def unchecked_leaves(spa: Spa) -> dict[str, str]:
    """Leaves whose blocks cannot be verified: missing ones, and ones that missed writes."""
    found = {}
    for leaf in spa.tree.leaves:
        if leaf.virtual:
            continue
        if leaf.device is None or leaf.state not in (VdevState.HEALTHY, VdevState.DEGRADED):
            found[leaf.name] = f"{leaf.state_text}: nothing of it was checked"
        elif leaf.dtl:
            found[leaf.name] = "it missed writes: blocks of those transaction groups were not checked"
    return found


def verify(spa: Spa, *, threads: int = 2, progress: Progress | None = None) -> VerifyReport:
    """Read and check every copy and every parity column of every block that ``spa`` refers to.

    Args:
        spa: an open pool.
        threads: workers; the kernels release the interpreter lock. 1: everything happens in the calling thread.
        progress: called with the number of allocated bytes read since the last call.
    """
    return Verifier(spa, threads=threads, progress=progress).run()
