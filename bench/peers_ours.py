"""Our raidz kernels, as the extension module has them, called from C like everybody else."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import numpy as np
from uberblock.kernels import raidz

from . import turns
from .stripes import Stripes, Task, pointers


def function(name: str) -> int:
    """Address of a C function that the module offers in a capsule (its type is in raidz_impl.h)."""
    get: Callable[[object, bytes], int | None] = ctypes.pythonapi.PyCapsule_GetPointer
    ctypes.pythonapi.PyCapsule_GetPointer.restype = ctypes.c_void_p
    ctypes.pythonapi.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    found = get(getattr(raidz, name), f"uberblock.kernels.raidz.{name}".encode())
    assert found is not None
    return found


class Ours:
    def __init__(self, kernel: str) -> None:
        self.kernel = kernel
        self.label = f"ours, {kernel}"

    def run(self, task: Task, stripes: Stripes) -> turns.Run | None:
        if not task.targets:
            parity, data = np.split(stripes.address, [task.nparity], axis=1)
            data, parity = np.ascontiguousarray(data), np.ascontiguousarray(parity)
            lengths = np.full(task.ndata, stripes.block, np.uintp)
            words = turns.rows(
                stripes.count, task.ndata, task.nparity, pointers(data), lengths.ctypes.data, pointers(parity),
                stripes.block,
            )  # fmt: skip
            return turns.function(function("_generate"), words, (data, parity, lengths))
        columns = stripes.address.copy()
        columns[:, list(task.unusable)] = 0
        lengths = np.full(task.width, stripes.block, np.uintp)
        missing = np.array(task.missing, np.uint32)
        words = turns.rows(
            stripes.count, task.width, task.nparity, pointers(columns), lengths.ctypes.data, missing.ctypes.data,
            len(missing),
        )  # fmt: skip
        return turns.function(function("_reconstruct"), words, (columns, lengths, missing))
