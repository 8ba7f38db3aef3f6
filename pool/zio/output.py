"""Moves the bytes of new blocks onto devices: kernel calls, devices the kernel cannot reach, failures, flushes.

Files, block devices and memory are written by the kernel itself. For any other kind of device (simulated, faulty and
remote ones) the kernel lays the columns out in a staging buffer, and ``Device.writev`` takes them from there: the same
bytes at the same places.

A failed write is counted on its leaf, and the leaf's DTL says from then on that it lacks the txg; so does that of a
leaf that is not there. It is an error only where it leaves a block without a copy that the redundancy makes whole. A
failed flush makes everything doubtful that the leaf got since the last good one. A leaf that failed is looked at once
in each txg (``vdev/probe.py``), and let go of if its device does not work and others have all it may have.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Container, Iterable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from uberblock.kernels import blockio, blockwrite

from ..device.base import Device, read_only_error
from ..errors import CorruptError, DeviceError, PoolError, UnsupportedError
from ..vdev.labels import LabelFailure, in_memory
from ..vdev.layout import U64
from ..vdev.leaf import DATA_START, LeafVdev
from ..vdev.probe import give_up, probe
from ..vdev.state import VdevState
from ..vdev.tree import VdevTree
from ..vdev.vdev import Vdev
from .emit import Places, emission, whole
from .runner import JOB, JobArray, slices

_Entry = tuple[int, int] | memoryview | NDArray[np.uint8] | None


class Output:
    """The writing side of the devices of one pool.

    Attributes:
        dirty: leaf's index -> txgs it was written in since its last good flush.
        lost: a flush failed that redundancy does not bear: nothing that was written since the last full one is sure.
        failures: how many such flushes there were, those of log devices included, which no txg depends on.
    """

    def __init__(self, tree: VdevTree, threads: int) -> None:
        self.tree = tree
        self.threads = max(1, threads)
        self.dirty: dict[int, set[int]] = {}
        self.lost: PoolError | None = None
        self.failures = 0
        self._writes: dict[int, int] = {}  # leaf's index -> how often it was written to
        self._lock = threading.Lock()  # of what is known of the leaves
        self._probed: set[int] = set()  # leaves that failed since the last flush, but work
        self._executor: ThreadPoolExecutor | None = None
        self._flushers: ThreadPoolExecutor | None = None

    @property
    def executor(self) -> ThreadPoolExecutor | None:
        """Threads for independent work, or None when there is to be only one."""
        if self._executor is None and self.threads > 1:
            self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="zio-write")
        return self._executor

    def close(self) -> None:
        """Let the threads go."""
        both, self._executor, self._flushers = (self._executor, self._flushers), None, None
        for executor in both:
            if executor is not None:
                executor.shutdown()

    # ---- writing ----------------------------------------------------------------------------------------------------

    def write(self, places: Places, jobs: JobArray, sources: Sequence[Any], txg: int, salt: bytes) -> None:
        """Write blocks everywhere they belong; the jobs receive their checksums.

        Args:
            places: (n, copies, 3), see ``emit``.
            jobs: n of ``JOB`` with psize, checksum, flags, ``reserved`` (index of the source) and ``dest`` (offset
                in it); groups are filled in here.
            sources: buffers with the stored bytes.
            txg: in which they are born.
            salt: of the pool.

        Raises:
            DeviceError: a block has no copy left that the redundancy makes whole.
            MissingDeviceError, UnsupportedError: nothing was written.
        """
        psizes = jobs["psize"].astype(np.uint64)
        plan = emission(self.tree, places, psizes, txg)
        jobs["first"] = plan.first[:-1]
        jobs["ngroups"] = np.diff(plan.first)
        columns = plan.layout.columns
        written = np.flatnonzero(np.bincount(columns["leaf"][columns["leaf"] >= 0], minlength=1)).tolist()
        devices = self._devices(written)
        indirect = [number for number in written if devices[number] is None]
        errors = np.zeros(len(columns), np.int32)
        if indirect:
            self._staged(columns, plan.layout.groups, jobs, devices, indirect, sources, errors, salt)
        else:
            self._call(columns, plan.layout.groups, jobs, devices, sources, errors, salt)
        self.tree.io.written(columns)
        with self._lock:
            for number in written:
                self.dirty.setdefault(number, set()).add(txg)
                self._writes[number] = self._writes.get(number, 0) + 1
            self._absent(plan.tops, txg)
            if errors.any():
                self._note(places, psizes, txg, columns, errors)

    def _devices(self, written: list[int]) -> list[_Entry]:
        entries: list[_Entry] = [None] * len(self.tree.leaves)
        for number in written:
            device = self.tree.leaves[number].device
            if device is None:
                continue
            if device.readonly:
                raise read_only_error(device)
            descriptor = device.fileno()
            entries[number] = device.view() if descriptor is None else (descriptor, device.size)
        return entries

    def _call(
        self,
        columns: Any,
        groups: Any,
        jobs: JobArray,
        devices: list[_Entry],
        sources: Sequence[Any],
        errors: NDArray[np.int32],
        salt: bytes,
    ) -> None:
        status = np.zeros(len(jobs), np.uint8)

        def part(span: tuple[int, int]) -> None:
            a, b = span
            blockwrite.write(columns, groups, jobs[a:b], devices, sources, status[a:b], errors, salt=salt)

        spans = slices(jobs["psize"], self.threads)
        executor = self.executor if len(spans) > 1 else None
        if executor is None:
            for span in spans:
                part(span)
        else:
            _do_all(part, spans, executor)
        if status.any():
            bad = int(status[np.argmax(status != 0)])
            if bad == blockio.JOB_UNSUPPORTED:
                raise UnsupportedError("blocks with a checksum of this kind are not written here")
            raise CorruptError("a layout for writing makes no sense")

    def _staged(
        self,
        columns: Any,
        groups: Any,
        jobs: JobArray,
        devices: list[_Entry],
        indirect: list[int],
        sources: Sequence[Any],
        errors: NDArray[np.int32],
        salt: bytes,
    ) -> None:
        """As ``_call``, where some devices are to be reached through ``writev`` only."""
        leaf = columns["leaf"].copy()
        staged = np.isin(leaf, indirect) & (columns["stored"] != 0)
        lengths = columns["stored"][staged].astype(np.int64)
        place = np.cumsum(lengths) - lengths
        staging = np.empty(int(lengths.sum()), np.uint8)
        moved = columns.copy()
        moved["leaf"][staged] = len(devices)
        moved["offset"][staged] = place
        self._call(moved, groups, jobs, [*devices, staging], sources, errors, salt)
        leaves, offsets = leaf[staged], columns["offset"][staged]
        codes = np.zeros(len(leaves), np.int32)
        for number in indirect:
            at = leaves == number
            device = cast(Device, self.tree.leaves[number].device)
            codes[at] = device.writev(offsets[at], lengths[at], staging, place[at])
        errors[staged] = codes

    def write_plain(self, top_id: int, offset: int, content: bytearray, txg: int) -> bool:
        """Write one block to a disk, or to all sides of a mirror, without the cost of what only other vdevs need.

        Args:
            top_id, offset: where, as in a pointer.
            content: its stored bytes.
            txg: that it belongs to.

        Returns:
            whether it was done; if not, ``write`` does it, or says why it cannot.
        """
        top = self.tree.tops[top_id]
        leaves = top.children if top.type == "mirror" else [top]
        if top.state is not VdevState.HEALTHY or not all(isinstance(leaf, LeafVdev) for leaf in leaves):
            return False
        size = len(content)
        for leaf in cast(list[LeafVdev], leaves):
            device = leaf.device
            if device is None or device.readonly:
                return False
            at = offset + DATA_START
            try:
                descriptor = device.fileno()
                if descriptor is None:
                    device.write(at, content)
                elif at + size > device.size or os.pwrite(descriptor, memoryview(content), at) != size:
                    return False
            except (OSError, PoolError):
                return False
            self.tree.io.count(leaf.index, writes=1, size=size)
            with self._lock:
                self.dirty.setdefault(leaf.index, set()).add(txg)
                self._writes[leaf.index] = self._writes.get(leaf.index, 0) + 1
        return True

    def write_durable(self, top_id: int, offset: int, content: bytearray, txg: int) -> bool:
        """Write one block to a disk, and flush that, in one step.

        Args: as for ``write_plain``.

        Returns:
            False: the vdev or its device has no such step, or the write failed: it is yet to be done.

        Raises:
            DeviceError: as ``flush`` of this vdev.
        """
        leaf = self.tree.tops[top_id]
        if not isinstance(leaf, LeafVdev) or leaf.state is not VdevState.HEALTHY or leaf.device is None:
            return False
        number = leaf.index
        with self._lock:
            if self.lost is not None:
                raise self.lost
            was_dirty = number in self.dirty
            txgs = self.dirty.setdefault(number, set())
            txgs.add(txg)
            dirty = set(txgs)
            before = self._writes[number] = self._writes.get(number, 0) + 1
        error: PoolError | None = None
        try:
            if not leaf.device.write_durable(offset + DATA_START, content):
                with self._lock:
                    if not was_dirty and self._writes[number] == before:
                        self.dirty.pop(number, None)
                return False
        except DeviceError as caught:
            error = caught
        self.tree.io.count(number, writes=1, size=len(content), flushes=1)
        with self._lock:
            if self._writes[number] == before:
                self.dirty.pop(number, None)
            if error is not None:
                self._not_flushed({number: error}, {number: dirty}, logs=True)
        return True

    def occupy(self, places: Places, psizes: U64, txg: int) -> None:
        """Blocks will be written here soon, one by one, with a flush after each; see ``Device.occupy``."""
        columns = emission(self.tree, places, psizes, txg).layout.columns
        columns = columns[(columns["leaf"] >= 0) & (columns["stored"] != 0)]
        columns = columns[np.lexsort((columns["offset"], columns["leaf"]))]
        leaf, start = columns["leaf"].astype(np.int64), columns["offset"].astype(np.int64)
        end = start + columns["stored"].astype(np.int64)
        first = np.ones(len(leaf), bool)
        first[1:] = (leaf[1:] != leaf[:-1]) | (start[1:] != end[:-1])
        runs = np.flatnonzero(first)
        ends = end[np.append(runs[1:], len(leaf)) - 1]
        for number, at, until in zip(leaf[runs].tolist(), start[runs].tolist(), ends.tolist()):
            device = self.tree.leaves[number].device
            if device is not None:
                device.occupy(at, until - at)

    # ---- failures ---------------------------------------------------------------------------------------------------

    def _absent(self, tops: list[int], txg: int) -> None:
        """Leaves of these vdevs that are not there miss this txg."""
        for number in tops:
            top = self.tree.tops[number]
            if top.state is VdevState.HEALTHY:
                continue
            for leaf in top.leaves():
                if leaf.virtual:
                    # A distributed spare lies on all children but those it stands for.
                    others = [child for child in top.children if leaf not in child.leaves()]
                    if leaf.readable and all(child.readable for child in others):
                        continue
                elif leaf.readable:
                    continue
                leaf.miss(txg)

    def _note(self, places: Places, psizes: U64, txg: int, columns: Any, errors: NDArray[np.int32]) -> None:
        """Count failed writes, and judge what they did."""
        wrong = np.flatnonzero(errors)
        leaves, offsets = columns["leaf"][wrong].astype(np.int64), columns["offset"][wrong].astype(np.uint64)
        good = whole(self.tree, places, psizes, txg, leaves, offsets)
        for number, count in zip(*(part.tolist() for part in np.unique(leaves, return_counts=True))):
            leaf = self.tree.leaves[number]
            leaf.write_errors += count
            self._missed(leaf, [txg])
            self._look_at(leaf)
        if good.all():
            return
        first = int(np.argmin(good))
        leaf = self.tree.leaves[int(leaves[0])]
        error = DeviceError(
            "a block cannot be written to enough devices",
            "check the devices and their cables",
            vdev=self.tree.tops[int(places[first, 0, 0])].name,
            offset=int(places[first, 0, 1]),
            device=leaf.name,
            txg=txg,
        )
        error.errno = int(errors[wrong[0]])
        raise error

    def _missed(self, leaf: LeafVdev, txgs: Iterable[int]) -> None:
        """A leaf lacks something of these txgs, and with it perhaps distributed spares that lie on it too."""
        for one in (leaf, *(other for other in leaf.top.leaves() if other.virtual)):
            for txg in txgs:
                one.miss(txg)

    def _look_at(self, leaf: LeafVdev) -> None:
        """A leaf failed: see whether its device still works, and let go of it if not."""
        if leaf.index in self._probed or not leaf.readable:
            return
        code = probe(leaf)
        if code and give_up(leaf, code):
            self._missed(leaf, self.dirty.pop(leaf.index, ()))
        else:
            self._probed.add(leaf.index)

    def doubt(self, failures: Iterable[LabelFailure]) -> None:
        """Take note of labels that could not be written or flushed."""
        with self._lock:
            for failure in failures:
                failure.leaf.write_errors += len(failure.errors)
                self._look_at(failure.leaf)

    def flush(self, tops: Container[int] | None = None) -> None:
        """Make everything written durable, on all devices at the same time; see ``ZioWriter.flush``.

        A leaf stays dirty until its flush has ended well: two threads may flush at once, and neither may rely on what
        the other has only begun.

        Args:
            tops: only on these top-level vdevs; None: on all.
        """
        with self._lock:
            if self.lost is not None:
                raise self.lost
            dirty = {n: set(txgs) for n, txgs in self.dirty.items() if tops is None or self._top_of(n) in tops}
            before = {number: self._writes[number] for number in dirty}
            if tops is None:
                self._probed.clear()
        numbers = sorted(dirty)
        if not numbers:
            return
        if len(numbers) == 1 or any(in_memory(self.tree.leaves[number]) for number in numbers):
            results = [self._flush_one(number) for number in numbers]
        else:
            if self._flushers is None:
                self._flushers = ThreadPoolExecutor(32, thread_name_prefix="zio-flush")
            results = list(self._flushers.map(self._flush_one, numbers))
        errors = {number: error for number, error in zip(numbers, results) if error is not None}
        with self._lock:
            for number in numbers:
                if self._writes[number] == before[number]:
                    self.dirty.pop(number, None)
            if errors:
                self._not_flushed(errors, dirty, logs=tops is not None)

    def _top_of(self, number: int) -> int:
        return self.tree.leaves[number].top.id

    def _not_flushed(self, errors: dict[int, PoolError], dirty: dict[int, set[int]], *, logs: bool) -> None:
        """What leaves got since their last good flush they may have lost.

        Args:
            logs: what log devices have lost matters, too.
        """
        for number in errors:
            leaf = self.tree.leaves[number]
            leaf.write_errors += 1
            self._missed(leaf, dirty[number])
        for number, error in errors.items():
            top = self.tree.leaves[number].top
            if any(_is_lost(top, txg) for txg in dirty[number]):
                self.failures += 1
                if not top.is_log:
                    self.lost = error
                if logs or not top.is_log:
                    raise error
        for number in errors:
            self._look_at(self.tree.leaves[number])

    def _flush_one(self, number: int) -> PoolError | None:
        device = self.tree.leaves[number].device
        if device is None:
            return DeviceError("a device is gone", device=self.tree.leaves[number].name)
        self.tree.io.count(number, flushes=1)
        try:
            device.flush()
        except PoolError as error:
            return error
        return None


def _do_all(part: Callable[[tuple[int, int]], None], spans: Sequence[tuple[int, int]], executor: Executor) -> None:
    """Do all parts at the same time, one of them here; raises what the first that failed has raised.

    Whoever is told that a write failed gives its room to others: by then nothing may be written there any more.
    """
    others: list[Future[None]] = []
    try:
        for span in spans[1:]:
            others.append(executor.submit(part, span))  # one by one: what has begun is known
        part(spans[0])
        for other in others:
            other.result()
    except BaseException:
        for other in others:
            other.cancel()
        wait(others)
        raise


def _is_lost(vdev: Vdev, txg: int) -> bool:
    """Whether a vdev may be unable to give back something that was written to it in a txg."""
    if isinstance(vdev, LeafVdev):
        return not vdev.readable or txg in vdev.dtl
    return sum(_is_lost(child, txg) for child in vdev.children) > vdev.tolerated()


def new_jobs(count: int) -> JobArray:
    """Jobs to be filled in."""
    return np.zeros(count, JOB)
