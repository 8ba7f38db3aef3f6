"""What is to be done to stripes of columns, for everybody who can: the work of ``bench.parity``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .turns import Run

LETTERS = "PQR"


@dataclass(frozen=True)
class Task:
    """Parity made of ``ndata`` columns, or the columns ``targets`` rebuilt while ``unusable`` ones are not read and
    not rebuilt. Columns are numbered as in raidz: parity first."""

    ndata: int
    nparity: int
    targets: tuple[int, ...] = ()  # none: generate
    unusable: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        return self.ndata + self.nparity

    @property
    def shape(self) -> str:
        return f"{self.ndata}+{self.nparity}"

    @property
    def missing(self) -> tuple[int, ...]:
        return tuple(sorted(self.targets + self.unusable))

    @property
    def written(self) -> int:
        """How many columns it writes."""
        return len(self.targets) or self.nparity

    @property
    def sources(self) -> list[int]:
        """The columns a rebuild reads: all data columns that are left, and the lowest parities to make up n."""
        data = [c for c in range(self.nparity, self.width) if c not in self.missing]
        parity = [c for c in range(self.nparity) if c not in self.missing]
        return data + parity[: self.ndata - len(data)]

    @property
    def title(self) -> str:
        if not self.targets:
            return f"{self.shape} generate"
        names = "".join(LETTERS[c] if c < self.nparity else "d" for c in self.targets)
        via = "".join(LETTERS[c] for c in self.sources if c < self.nparity)
        lost = any(c < self.nparity for c in self.targets)
        return f"{self.shape} rebuild {names}" + (f" by {via}" if via and not lost else "")


def middle(ndata: int, count: int) -> tuple[int, ...]:
    """``count`` data columns spread over the stripe."""
    return {0: (), 1: (ndata // 2,), 2: (1, ndata - 2), 3: (0, ndata // 2, ndata - 1)}[count]


def losses(ndata: int, nparity: int) -> Iterator[Task]:
    """One task for each kind of loss: every set of parities lost and rebuilt beside every number of data columns;
    and data columns rebuilt by every set of parities, the others being unusable."""
    for lost in range(nparity + 1):
        for parities in combinations(range(nparity), lost):
            for count in range(nparity - lost + 1):
                data = tuple(nparity + j for j in middle(ndata, count))
                if parities or data:
                    yield Task(ndata, nparity, parities + data)
                used = [i for i in range(nparity) if i not in parities][:count]
                skipped = tuple(i for i in parities if used and i < used[-1])
                if skipped == parities and parities:  # else a smaller set of them is the same case
                    yield Task(ndata, nparity, data, parities)


def every_loss(ndata: int, nparity: int) -> Iterator[Task]:
    """A rebuild of every combination of columns."""
    for count in range(1, nparity + 1):
        for targets in combinations(range(ndata + nparity), count):
            yield Task(ndata, nparity, targets)


@dataclass
class Stripes:
    """``count`` stripes in an arena, column after column, as a record is cut into them."""

    arena: NDArray[np.uint8]
    width: int
    block: int
    count: int
    skew: int = 0
    address: NDArray[np.uintp] = field(init=False)  # stripe x column

    def __post_init__(self) -> None:
        stride = self.block + self.skew
        number = np.arange(self.count * self.width, dtype=np.uintp).reshape(self.count, self.width)
        self.address = np.uintp(self.arena.ctypes.data) + number * np.uintp(stride)

    def column(self, stripe: int, column: int) -> NDArray[np.uint8]:
        start = (stripe * self.width + column) * (self.block + self.skew)
        return self.arena[start : start + self.block]

    def picked(self, columns: Sequence[int]) -> NDArray[np.uintp]:
        """Addresses of some columns, stripe x column, contiguous."""
        return np.ascontiguousarray(self.address[:, list(columns)])


def pointers(table: NDArray[np.uintp] | NDArray[np.uint8]) -> NDArray[np.uintp]:
    """The address of each row of a table of addresses."""
    return np.uintp(table.ctypes.data) + np.arange(len(table), dtype=np.uintp) * np.uintp(table.strides[0])


class Peer(Protocol):
    """Somebody who can do tasks."""

    label: str

    def run(self, task: Task, stripes: Stripes) -> Run | None:
        """The task ready to run; None: this one cannot do it."""
