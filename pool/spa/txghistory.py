"""What became of the last txgs: how long each was open, waited, and took to be written, and what it wrote.

Source: OpenZFS, spa_stats.c (the kstat ``txgs``), of which the columns are kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
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
        state: ``O`` open, ``S`` being written, ``C`` committed.
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
        self._closed: tuple[TxgRecord, float] | None = None  # what is being written, and since when
        self._io = LeafIo()

    def closed(self, txg: int, why: str, *, dirty: int, asked: float) -> None:
        """A txg is closed, and the next one is open.

        Args:
            asked: when somebody wanted it closed, as ``time.monotonic`` has it.
        """
        now = monotonic()
        # Another thread may have written the txg that this one asked for first: then it waited before this one opened.
        asked = max(asked, self._opened)
        record = TxgRecord(
            txg, self._birth, "S", why, dirty, 0, 0, 0, 0, 0, open=asked - self._opened, quiesce=now - asked, sync=0.0
        )
        self._closed = (record, now)
        self._birth, self._opened = self._clock(), now

    def done(self, txg: int, io: LeafIo) -> None:
        """It is on disk.

        Args:
            io: what all devices have done since the pool was opened.
        """
        assert self._closed is not None and self._closed[0].txg == txg
        self._done.append(self._written(*self._closed, "C", io))
        self._closed, self._io = None, io

    def _written(self, record: TxgRecord, since: float, state: str, io: LeafIo) -> TxgRecord:
        reads, read_bytes, writes, write_bytes, flushes = (io - self._io).values()
        return replace(
            record, state=state, sync=monotonic() - since, reads=reads, read_bytes=read_bytes, writes=writes,
            write_bytes=write_bytes, flushes=flushes,
        )  # fmt: skip

    def records(self, txg: int, dirty: int, io: LeafIo) -> list[TxgRecord]:
        """All that are remembered, the one that is being written, and the open one last.

        Args:
            txg: the open one. dirty: as of a txg that is closed. io: as for ``done``.
        """
        closed = self._closed
        found = [*self._done] if closed is None else [*self._done, self._written(*closed, "S", io)]
        more = (io - self._io).values() if closed is None else (0, 0, 0, 0, 0)
        opened = TxgRecord(
            txg, self._birth, "O", "", dirty, *more, open=monotonic() - self._opened, quiesce=0.0, sync=0.0
        )
        return [*found, opened]
