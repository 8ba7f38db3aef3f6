"""The package zfec as a peer, where it is installed: another Reed-Solomon code, so that only speed compares."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from . import turns
from .stripes import Stripes, Task

MAX_STRIPES = 4096


class Zfec:
    label = "zfec (another code)"
    other_code = True  # its bytes are not raidz's

    def __init__(self, module: Any) -> None:
        self.module = module

    def run(self, task: Task, stripes: Stripes) -> turns.Run | None:
        if task.targets:
            return None
        encoder = self.module.Encoder(task.ndata, task.width)
        parity = list(range(task.ndata, task.width))
        data = range(task.nparity, task.width)
        count = min(stripes.count, MAX_STRIPES)
        blocks = [[stripes.column(s, c) for c in data] for s in range(count)]
        return turns.python(lambda i: encoder.encode(blocks[i], parity), count)


def peers() -> list[Zfec]:
    try:
        return [Zfec(import_module("zfec"))]
    except ImportError:
        return []
