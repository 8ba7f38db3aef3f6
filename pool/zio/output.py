"""Moves the bytes of new blocks onto devices: kernel calls, devices the kernel cannot reach, failures, flushes.

Files, block devices and memory are written by the kernel itself. For any other kind of device (simulated, faulty and
remote ones) the kernel lays the columns out in a staging buffer, and ``Device.writev`` takes them from there: the same
bytes at the same places.

A failed write is counted on its leaf and remembered for its DTL. It is an error only where it leaves a block without a
copy that the redundancy makes whole. A failed flush makes everything doubtful that the leaf got since the last good
one.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from uberblock.kernels import blockio, blockwrite

from ..device.base import Device, read_only_error
from ..errors import CorruptError, DeviceError, PoolError, UnsupportedError
from ..vdev.layout import U64
from ..vdev.tree import VdevTree
from ..vdev.vdev import Vdev
from .emit import Places, emission, whole
from .runner import JOB, JobArray, slices

_Entry = tuple[int, int] | memoryview | NDArray[np.uint8] | None


class Output:
    """The writing side of the devices of one pool.

    Attributes:
        failed: leaf's index -> txgs of which it lacks something.
        dirty: leaf's index -> txgs it was written in since its last good flush.
    """

    def __init__(self, tree: VdevTree, threads: int) -> None:
        self.tree = tree
        self.threads = max(1, threads)
        self.failed: dict[int, set[int]] = {}
        self.dirty: dict[int, set[int]] = {}
        self._suspect: set[int] = set()  # leaves with a failed write since the last good flush of all
        self._executor: ThreadPoolExecutor | None = None

    @property
    def executor(self) -> ThreadPoolExecutor | None:
        """Threads for independent work, or None when there is to be only one."""
        if self._executor is None and self.threads > 1:
            self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="zio-write")
        return self._executor

    def close(self) -> None:
        """Let the threads go."""
        executor, self._executor = self._executor, None
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
        for number in written:
            self.dirty.setdefault(number, set()).add(txg)
        indirect = [number for number in written if devices[number] is None]
        errors = np.zeros(len(columns), np.int32)
        if indirect:
            self._staged(columns, plan.layout.groups, jobs, devices, indirect, sources, errors, salt)
        else:
            self._call(columns, plan.layout.groups, jobs, devices, sources, errors, salt)
        self.tree.io.written(columns)
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
        list(map(part, spans) if executor is None else executor.map(part, spans))
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

    # ---- failures ---------------------------------------------------------------------------------------------------

    def _absent(self, tops: list[int], txg: int) -> None:
        """Leaves of these vdevs that are not there miss this txg."""
        for number in tops:
            for leaf in self.tree.tops[number].leaves():
                if not leaf.readable and not leaf.virtual:
                    self.failed.setdefault(leaf.index, set()).add(txg)

    def _note(self, places: Places, psizes: U64, txg: int, columns: Any, errors: NDArray[np.int32]) -> None:
        """Count failed writes, and judge what they did."""
        wrong = np.flatnonzero(errors)
        leaves, offsets = columns["leaf"][wrong].astype(np.int64), columns["offset"][wrong].astype(np.uint64)
        for number, count in zip(*(part.tolist() for part in np.unique(leaves, return_counts=True))):
            self.tree.leaves[number].write_errors += count
            self.failed.setdefault(number, set()).add(txg)
            self._suspect.add(number)
        good = whole(self.tree, places, psizes, txg, leaves, offsets)
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

    def flush(self) -> None:
        """Make everything written durable, on all devices at the same time; see ``ZioWriter.flush``."""
        numbers = sorted(self.dirty)
        if not numbers:
            return
        if len(numbers) == 1:
            results = [self._flush_one(numbers[0])]
        else:
            with ThreadPoolExecutor(min(len(numbers), 32), thread_name_prefix="zio-flush") as threads:
                results = list(threads.map(self._flush_one, numbers))
        errors = {number: error for number, error in zip(numbers, results) if error is not None}
        for number in numbers:
            txgs = self.dirty.pop(number)
            if number in errors:
                self.tree.leaves[number].write_errors += 1
                self.failed.setdefault(number, set()).update(txgs)
        lost = {*errors, *self._suspect}
        self._suspect.clear()
        if not errors:
            return
        for top in self.tree.tops:
            if any(leaf.index in errors for leaf in top.leaves()) and _is_lost(top, lost):
                raise errors[next(leaf.index for leaf in top.leaves() if leaf.index in errors)]

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


def _is_lost(vdev: Vdev, lost: set[int]) -> bool:
    """Whether a vdev cannot give back what was written, if these leaves have not kept it."""
    leaves = vdev.leaves()
    if not vdev.children:
        return leaves[0].index in lost or not leaves[0].readable
    return sum(_is_lost(child, lost) for child in vdev.children) > vdev.tolerated()


def new_jobs(count: int) -> JobArray:
    """Jobs to be filled in."""
    return np.zeros(count, JOB)
