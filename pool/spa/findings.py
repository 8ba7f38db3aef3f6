"""What a look at a pool's space finds wrong: ranges of vdevs, a bounded number of them with their places.

However bad a pool is, memory stays bounded: beyond a limit ranges are only counted, and the report says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from ..alloc.bitmap import I64Array

#: Ranges of each kind that are kept.
KEPT = 10_000


class Fault(Enum):
    """What is wrong with a range."""

    LEAKED = "leaked"  # allocated, and nothing refers to it
    SHARED = "used twice"  # more than one block has it
    FREE = "used but free"  # a block has it, and the space maps say that it is free
    NOWHERE = "beyond the vdev"  # a block has it, and there is no such place
    MAP = "contradiction in space maps"  # allocated or freed twice


@dataclass(slots=True)
class Segment:
    """A range of a top-level vdev in bytes; ``users``: blocks that have it, as far as they were looked for."""

    fault: Fault
    vdev: int
    offset: int
    size: int
    users: list[str] = field(default_factory=list)


class Segments:
    """The ranges with one fault.

    Attributes:
        count, bytes: of all there are, kept or not. (A range that is found in parts counts as often.)
    """

    def __init__(self, fault: Fault, kept: int = KEPT) -> None:
        self.fault = fault
        self.kept = kept
        self.count = 0
        self.bytes = 0
        self._found: list[Segment] = []

    def __len__(self) -> int:
        return self.count

    def __bool__(self) -> bool:
        return self.count > 0

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._found)

    @property
    def complete(self) -> bool:
        """All are kept."""
        return len(self._found) == self.count

    def add(self, vdev: I64Array, start: I64Array, end: I64Array) -> None:
        """Take ranges in bytes."""
        self.count += len(vdev)
        self.bytes += int((end - start).sum())
        room = max(self.kept - len(self._found), 0)
        for number, first, last in zip(vdev[:room].tolist(), start[:room].tolist(), end[:room].tolist()):
            before = self._found[-1] if self._found else None
            if before is not None and before.vdev == number and before.offset + before.size == first:
                # Cut by the border of two metaslabs.
                before.size += last - first
                self.count -= 1
                continue
            self._found.append(Segment(self.fault, number, first, last - first))

    def edges(self) -> tuple[I64Array, I64Array, I64Array]:
        """(vdev, start, end) of those that are kept."""
        rows = [(one.vdev, one.offset, one.offset + one.size) for one in self._found]
        table = np.array(rows, dtype=np.int64).reshape(-1, 3)
        return table[:, 0], table[:, 1], table[:, 2]
