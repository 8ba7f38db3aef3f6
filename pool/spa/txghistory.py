"""What became of the last txgs: how long each was open, waited, and took to be written, and what it wrote.

Source: OpenZFS, spa_stats.c (the kstat ``txgs``), of which the columns are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from time import monotonic
from typing import Any

from ..errors import CorruptError
from ..vdev.iostats import LeafIo

#: Txgs that are remembered. Source: zfs_txg_history.
REMEMBERED = 100


@dataclass(frozen=True, slots=True)
class TxgRecord:
    """One txg.

    Attributes:
        txg: its number. birth: when it was opened, seconds since 1970.
        state: ``O`` open, ``C`` committed.
        why: it was closed: asked, time, dirty, space, log, export.
        dirty: bytes of data that were waiting, or had been written ahead, when it was closed.
        reads, read_bytes, writes, write_bytes, flushes: of all devices, from its opening to its end.
        open, quiesce, sync: seconds it took changes, waited for the changes under way, was written.
    """

    txg: int
    birth: float
    state: str
    why: str
    dirty: int
    reads: int
    read_bytes: int
    writes: int
    write_bytes: int
    flushes: int
    open: float
    quiesce: float
    sync: float

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> TxgRecord:
        """What ``to_json`` made. Raises: CorruptError: something else."""
        try:
            return cls(**found)
        except TypeError as error:
            raise CorruptError("figures of a txg that make no sense") from error


class TxgHistory:
    """The last txgs of one pool.

    Args:
        clock: seconds since 1970.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._done: deque[TxgRecord] = deque(maxlen=REMEMBERED)
        self._birth, self._opened = clock(), monotonic()
        self._io = LeafIo()

    def close(
        self, txg: int, why: str, *, dirty: int, asked: float, closed: float, io: LeafIo
    ) -> None:
        """A txg is on disk, and the next one is open.

        Args:
            asked, closed: when somebody wanted it closed, and when it was, as ``time.monotonic`` has it.
            io: what all devices have done since the pool was opened.
        """
        now = monotonic()
        more = io - self._io
        # Another thread may have written the txg that this one asked for first: then it waited before this one opened.
        asked = max(asked, self._opened)
        self._done.append(
            TxgRecord(
                txg, self._birth, "C", why, dirty, *more.values(),
                open=asked - self._opened, quiesce=closed - asked, sync=now - closed,
            )
        )  # fmt: skip
        self._birth, self._opened, self._io = self._clock(), now, io

    def records(self, txg: int, dirty: int, io: LeafIo) -> list[TxgRecord]:
        """All that are remembered, and the open one last.

        Args:
            txg: the open one. dirty: as of a txg that is closed. io: as for ``close``.
        """
        open_ = TxgRecord(
            txg, self._birth, "O", "", dirty, *(io - self._io).values(), open=monotonic() - self._opened, quiesce=0.0,
            sync=0.0,
        )  # fmt: skip
        return [*self._done, open_]
