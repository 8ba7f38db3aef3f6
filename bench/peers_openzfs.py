"""OpenZFS's own vector code, called inside its user-space library (libzpool).

Facts used: each implementation is a table ``vdev_raidz_NAME_impl`` of function pointers (start, end, 3 generators,
7 rebuilds, "is it supported here"); they work on a row of columns, whose data handles come from ``abd_get_from_buf``.
Where the fields of rows and columns lie was found out for Debian's libzpool 2.3; with another layout the check before
a measurement fails, and the peer is left out.

A rebuild there makes data columns only; parity that is lost too is made by a generation afterwards.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from weakref import WeakValueDictionary

import numpy as np

from . import peers_isal, roofline, turns
from .stripes import Stripes, Task, pointers

NAMES = ("avx512bw", "avx512f", "avx2", "ssse3", "sse2", "scalar")
ROW_HEAD = 56  # width (int32) at 0 and 4, number of parities at 20
COLUMN = 288
COLUMN_SIZE = 4  # uint32, bytes
COLUMN_DATA = 248  # the handle
GENERATE, REBUILD, SUPPORTED = 2, 5, 12  # places in the table of an implementation
#: Set of parities used (bits P 1, Q 2, R 4) -> place among the rebuilds.
REBUILDS = {1: 0, 2: 1, 4: 2, 3: 3, 5: 4, 6: 5, 7: 6}
MAX_ROWS = 40_000


class Rows:
    """Rows of the library for stripes; whoever measures with them keeps them, and the last one lets go of them.

    Attributes:
        bytes: (stripes, bytes of a row) uint8.
    """

    def __init__(self, handles: Handles, stripes: Stripes, nparity: int) -> None:
        self._free = handles.free
        self._made: list[int] = []
        self.bytes = np.zeros((stripes.count, ROW_HEAD + COLUMN * stripes.width), np.uint8)
        heads = self.bytes[:, :24].copy().view(np.int32)
        heads[:, [0, 1]] = stripes.width
        heads[:, 5] = nparity
        self.bytes[:, :24] = heads.view(np.uint8)
        for row, addresses in zip(self.bytes, stripes.address.tolist(), strict=True):
            for c, address in enumerate(addresses):
                column = row[ROW_HEAD + COLUMN * c :][:COLUMN]
                made = handles.handle(address, stripes.block)
                self._made.append(made)
                column[:4].view(np.int32)[0] = c
                column[COLUMN_SIZE : COLUMN_SIZE + 4].view(np.uint32)[0] = stripes.block
                column[COLUMN_DATA : COLUMN_DATA + 8].view(np.uint64)[0] = made

    def __del__(self) -> None:
        for handle in self._made:
            self._free(handle)


class Handles:
    """Makes rows; the same ones for the same stripes, for making them is not what is measured."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self.handle = library.abd_get_from_buf
        self.handle.restype = ctypes.c_void_p
        self.handle.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        self.free = library.abd_free
        self.free.argtypes = [ctypes.c_void_p]
        self._kept: WeakValueDictionary[tuple[object, ...], Rows] = WeakValueDictionary()

    def of(self, stripes: Stripes, nparity: int) -> Rows:
        key = (stripes.arena.ctypes.data, stripes.width, stripes.block, stripes.count, stripes.skew, nparity)
        rows = self._kept.get(key)
        if rows is None:
            rows = self._kept[key] = Rows(self, stripes, nparity)
        return rows


class Implementation:
    def __init__(self, name: str, table: list[int], handles: Handles) -> None:
        self.label = f"OpenZFS {name}"
        self.table = table
        self.handles = handles

    def run(self, task: Task, stripes: Stripes) -> turns.Run | None:
        if stripes.count > MAX_ROWS:
            return None
        kept = self.handles.of(stripes, task.nparity)
        rows = kept.bytes
        row = pointers(rows)
        generate = self.table[GENERATE + task.nparity - 1]
        targets = [c for c in task.targets if c >= task.nparity]
        if not targets:
            if task.targets and task.targets != tuple(range(task.nparity)):
                return None if not generate else turns.function(generate, turns.rows(len(rows), row), kept)
            return turns.function(generate, turns.rows(len(rows), row), kept)
        used = sum(1 << c for c in task.sources if c < task.nparity)
        rebuild = self.table[REBUILD + REBUILDS[used]]
        numbers = np.array([*targets, 0, 0, 0], np.int32)
        keep = (kept, numbers)
        if len(targets) == len(task.targets):
            return turns.function(rebuild, turns.rows(len(rows), row, numbers.ctypes.data), keep)
        words = turns.rows(len(rows), rebuild, row, numbers.ctypes.data, generate, row, 0)
        return turns.function(roofline.address("rig_both"), words, keep)


def peers(path: str | None, names: tuple[str, ...] = NAMES) -> list[Implementation]:
    """The implementations that this machine can run, of the library at ``path`` or the installed one."""
    found = path or ctypes.util.find_library("zpool")
    if not found:
        return []
    library = ctypes.CDLL(found)
    if hasattr(library, "abd_init"):
        library.abd_init()
    handles = Handles(library)
    result = []
    for name in names:
        symbol = f"vdev_raidz_{name}_impl"
        if not hasattr(library, symbol):
            continue
        words = (ctypes.c_size_t * (SUPPORTED + 1)).from_address(peers_isal.address(library, symbol))
        if not ctypes.CFUNCTYPE(ctypes.c_int)(words[SUPPORTED])():
            continue
        if words[0]:
            ctypes.CFUNCTYPE(None)(words[0])()
        result.append(Implementation(name, list(words), handles))
    return result
