"""The pool's history, read from its ring.

Source: OpenZFS, spa_history.c; the text form follows ``zpool history -il``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import CorruptError
from ..ondisk import history as ondisk
from ..ondisk.dmutypes import ObjectType
from ..ondisk.nvlist import NVList

if TYPE_CHECKING:
    from .spa import Spa

HISTORY = "history"
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """One record. ``kind`` is ``command``, ``internal``, ``ioctl`` or ``unknown``."""

    time: int  # seconds since 1970
    kind: str
    text: str
    txg: int = 0
    dataset: str = ""
    dataset_id: int = 0
    who: int | None = None
    hostname: str = ""
    zone: str = ""
    raw: NVList = field(default_factory=NVList, repr=False)

    def __str__(self) -> str:
        stamp = _stamp(self.time)
        if self.kind == "internal":
            where = f" {self.dataset} ({self.dataset_id})" if self.dataset else ""
            return (
                f"{stamp} [txg:{self.txg}] {self.text.partition(' ')[0]}{where} {self.text.partition(' ')[2]}".rstrip()
            )
        return f"{stamp} {self.text}"


def _stamp(seconds: int) -> str:
    """A time as ``zpool history`` shows it, in the local time zone."""
    try:
        return time.strftime("%Y-%m-%d.%H:%M:%S", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return f"@{seconds}"  # no calendar has it


def read_history(spa: Spa) -> list[HistoryRecord]:
    """All records, oldest first; empty for a pool without history.

    Raises:
        CorruptError and others: the history is damaged.
    """
    number = spa.directory.number(HISTORY, 0)
    if not number:
        return []
    dnode = spa.mos.dnode(number)
    if dnode.type != ObjectType.SPA_HISTORY:
        raise CorruptError("the pool's history is an object of another kind", object=number, type=dnode.type)
    offsets = ondisk.decode_offsets(dnode.bonus, dnode.order)
    found: list[HistoryRecord] = []
    rest = bytearray()
    for at, length in offsets.all_pieces():
        for part in range(at, at + length, CHUNK):
            rest += dnode.read(part, min(CHUNK, at + length - part))
            records, used = ondisk.split_records(rest)
            found += map(record_of, records)
            del rest[:used]
    if rest:
        raise CorruptError("the pool's history ends within a record", object=number)
    return found


def record_of(entry: NVList) -> HistoryRecord:
    """A record by its pairs.

    Raises:
        CorruptError: a pair of a wrong type.
    """
    if "history command" in entry:
        kind, text = "command", entry.string("history command")
    elif "ioctl" in entry:
        kind, text = "ioctl", "ioctl " + entry.string("ioctl")
    elif "internal_name" in entry or "history internal str" in entry:
        kind = "internal"
        text = f"{entry.string('internal_name', '')} {entry.string('history internal str', '')}".strip()
    else:
        kind, text = "unknown", ""
    return HistoryRecord(
        time=entry.u64("history time", 0),
        kind=kind,
        text=text,
        txg=entry.u64("history txg", 0),
        dataset=entry.string("dsname", ""),
        dataset_id=entry.u64("dsid", 0),
        who=entry.u64("history who", 0) if "history who" in entry else None,
        hostname=entry.string("history hostname", ""),
        zone=entry.string("history zone", ""),
        raw=entry,
    )
