"""Runs batches of kernel jobs over layouts, on whatever devices the vdev tree has.

Files, block devices and memory are read by the kernel itself. Columns on any other kind of device (overlays, faulty
and remote ones) are first fetched by ``Device.readv`` into a staging buffer, which the kernel then takes for a device.
Read errors are counted on the leaf they came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Lock
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from uberblock.kernels import blockio

from ..device.base import Device
from ..vdev.layout import COLUMN, GROUP, Bools, Layout
from ..vdev.tree import VdevTree
from .status import RETRY, StatusArray

JOB = np.dtype(blockio.JOB_FIELDS)
assert JOB.itemsize == 64
assert np.dtype(blockio.COLUMN_FIELDS) == COLUMN and np.dtype(blockio.GROUP_FIELDS) == GROUP

JobArray = NDArray[Any]
FaultArray = NDArray[np.uint8]

#: Less than this is not worth another thread, in bytes.
SLICE_MIN = 1 << 20

_Entry = tuple[int, int] | memoryview | NDArray[np.uint8] | None


class Runner:
    """Kernel calls on behalf of one ``Zio``."""

    def __init__(self, tree: VdevTree, threads: int) -> None:
        self.tree = tree
        self.threads = max(1, threads)
        self._executor: ThreadPoolExecutor | None = None
        self._lock = Lock()

    @property
    def executor(self) -> ThreadPoolExecutor | None:
        """Threads for independent work, or None when there is to be only one."""
        with self._lock:
            if self._executor is None and self.threads > 1:
                self._executor = ThreadPoolExecutor(self.threads, thread_name_prefix="zio")
            return self._executor

    def close(self) -> None:
        """Let the threads go."""
        with self._lock:
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.shutdown()

    def run(
        self, layout: Layout, jobs: JobArray, out: Any, salt: bytes, *, count: bool = True
    ) -> tuple[StatusArray, FaultArray]:
        """Run one job for each block of the layout.

        Args:
            layout: where the blocks lie.
            jobs: one ``JOB`` for each of its blocks; their groups are filled in here.
            out: writable buffer for the results.
            salt: of the pool.
            count: add failed reads to the leaves' counters.

        Returns:
            status for each job, fault for each column.
        """
        jobs["first"] = layout.blocks[:-1]
        jobs["ngroups"] = np.diff(layout.blocks)
        devices: list[_Entry] = [_direct(leaf.device) for leaf in self.tree.leaves]
        columns, entries = self._stage(layout, devices, parity=False, scrub=_scrubs(jobs))
        status, faults = self._call(columns, layout.groups, jobs, entries, out, salt)
        failed = np.flatnonzero(RETRY[status])
        if columns is not layout.columns and len(failed):
            # Parity may help, and was not fetched the first time.
            columns, entries = self._stage(layout, devices, parity=True, scrub=_scrubs(jobs))
            again = jobs[failed]
            status[failed], more = self._call(columns, layout.groups, again, entries, out, salt)
            faults = np.maximum(faults, more)
        self.tree.io.read(layout.columns, _scrubs(jobs) or (_rebuilt(layout, faults) if faults.any() else False))
        if count:
            self._count(layout, faults)
        return status, faults

    def run_memory(self, data: Any, layout: Layout, jobs: JobArray, out: Any) -> StatusArray:
        """The same for blocks whose bytes are in memory already; the layout's only leaf is 0."""
        jobs["first"] = layout.blocks[:-1]
        jobs["ngroups"] = np.diff(layout.blocks)
        status, _ = self._call(layout.columns, layout.groups, jobs, [data], out, b"")
        return status

    def _call(
        self, columns: Any, groups: Any, jobs: JobArray, entries: Sequence[_Entry], out: Any, salt: bytes
    ) -> tuple[StatusArray, FaultArray]:
        status = np.zeros(len(jobs), dtype=np.uint8)
        faults = np.zeros(len(columns), dtype=np.uint8)

        def part(span: tuple[int, int]) -> None:
            a, b = span
            blockio.read(columns, groups, jobs[a:b], entries, out, status[a:b], faults, salt=salt)

        spans = slices(jobs["psize"], self.threads)
        executor = self.executor if len(spans) > 1 else None
        if executor is None:
            for span in spans:
                part(span)
        else:
            list(executor.map(part, spans))
        return status, faults

    def _stage(
        self, layout: Layout, devices: list[_Entry], *, parity: bool, scrub: bool
    ) -> tuple[Any, list[_Entry]]:
        """Columns and devices for the kernel, once what it cannot read itself has been fetched."""
        indirect = np.array([entry is None for entry in devices] + [False], dtype=bool)
        present = np.array([leaf.device is not None for leaf in self.tree.leaves] + [False], dtype=bool)
        columns = layout.columns
        leaf = columns["leaf"]
        fetch = (leaf >= 0) & indirect[leaf] & present[leaf] & (columns["stored"] != 0)
        if not fetch.any():
            return columns, devices
        columns = columns.copy()
        wanted = fetch & ((columns["parity"] < 0) | parity | scrub)
        columns["leaf"][fetch & ~wanted] = -1
        lengths = columns["stored" if scrub else "length"][wanted].astype(np.int64)
        place = np.cumsum(lengths) - lengths
        staging = np.empty(int(lengths.sum()), dtype=np.uint8)
        leaves, offsets = leaf[wanted], columns["offset"][wanted]
        failed = np.zeros(len(leaves), dtype=bool)
        for number in np.unique(leaves).tolist():
            at = leaves == number
            device = cast(Device, self.tree.leaves[number].device)
            failed[at] = device.readv(offsets[at], lengths[at], staging, place[at]) != 0
        # What failed goes to a device that cannot be read, so that it shows up as a failed read.
        columns["leaf"][wanted] = np.where(failed, len(devices) + 1, len(devices))
        columns["offset"][wanted] = place
        return columns, [*devices, staging, None]

    def _count(self, layout: Layout, faults: FaultArray) -> None:
        leaves = layout.columns["leaf"][faults == blockio.FAULT_READ]
        if not len(leaves):
            return
        with self._lock:
            for number in leaves[leaves >= 0].tolist():
                self.tree.leaves[number].read_errors += 1

    def count_wrong(self, leaf: int) -> None:
        """Count a checksum error on a leaf; -1: on none."""
        if leaf >= 0:
            with self._lock:
                self.tree.leaves[leaf].checksum_errors += 1


def _direct(device: Device | None) -> _Entry:
    """What the kernel can read without the device's help."""
    if device is None:
        return None
    descriptor = device.fileno()
    if descriptor is not None:
        return (descriptor, device.size)
    return device.view()


def _rebuilt(layout: Layout, faults: FaultArray) -> Bools:
    """Columns of groups in which a column was missing or wrong, so that parity was read too."""
    groups = layout.groups
    faulty = np.logical_or.reduceat(faults != 0, groups["first"].astype(np.intp))
    return np.repeat(faulty, groups["ncols"])


def _scrubs(jobs: JobArray) -> bool:
    return bool((jobs["mode"] == blockio.MODE_SCRUB).any())


def slices(sizes: NDArray[Any], threads: int) -> list[tuple[int, int]]:
    """Cut a batch into runs of about equal bytes, at most one for each thread."""
    n = len(sizes)
    if n == 0:
        return []
    total = int(sizes.sum())
    parts = max(1, min(threads, n, total // SLICE_MIN))
    if parts == 1:
        return [(0, n)]
    ends = np.searchsorted(np.cumsum(sizes), [total * (k + 1) // parts for k in range(parts)]) + 1
    edges = [0, *np.minimum(ends, n).tolist()]
    edges[-1] = n
    return [(a, b) for a, b in pairwise(edges) if b > a]
