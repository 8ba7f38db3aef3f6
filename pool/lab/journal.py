"""What was done to simulated disks, in one order over all of them.

Writes and discards with what they carried, the beginning and the end of every flush, and marks that a workload leaves
("txg 12 is on disk", "fsync of a.txt has returned"). An event's number is its place in the list; the power may fail
before any of them, which is called a cut: events below the cut had happened, the others had not.

What a disk guarantees: once a flush has ended, every write that it had taken before that flush began is durable. Writes
taken later may be there or not, in part (by sectors) or whole, whatever their order.

The same seed gives the same journal: ``digest`` says so in one line.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from .pages import Pages

SECTOR = 512


class Kind(IntEnum):
    """What an event is."""

    WRITE = 0
    DISCARD = 1
    FLUSH_BEGIN = 2
    FLUSH_END = 3
    FLUSH_LOST = 4  # answered, and nothing was done
    MARK = 5
    WRITTEN_BACK = 6  # a disk emptied part of its cache unasked


CHANGES = (Kind.WRITE, Kind.DISCARD)
#: Events that make durable what a disk had taken before ``begin``.
SETTLING = (Kind.FLUSH_END, Kind.WRITTEN_BACK)


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        kind: what it is.
        disk: number of the disk; -1: none (a mark).
        offset, length: range in bytes, of writes and discards.
        data: what was written.
        begin: of the end of a flush, the number of its beginning; of ``WRITTEN_BACK``, the event before which all that
            the disk had taken is durable.
        text, facts: of a mark.
    """

    kind: Kind
    disk: int = -1
    offset: int = 0
    length: int = 0
    data: bytes = b""
    begin: int = -1
    text: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.kind == Kind.MARK:
            facts = " ".join(f"{name}={value}" for name, value in self.facts.items())
            return f"mark {self.text} {facts}".rstrip()
        where = f" {self.offset:#x}+{self.length:#x}" if self.kind in CHANGES else ""
        return f"disk {self.disk} {self.kind.name.lower().replace('_', ' ')}{where}"


@dataclass(slots=True)
class DiskInfo:
    """A disk that takes part.

    Attributes:
        name: of the disk.
        initial: what was on it, durably, before the first event.
        sector: bytes that are written whole or not at all.
    """

    name: str
    initial: Pages
    sector: int = SECTOR


class Journal:
    """The events of a run over any number of disks.

    Attributes:
        disks: what takes part.
        events: all of them, in order.
    """

    def __init__(self) -> None:
        self.disks: list[DiskInfo] = []
        self.events: list[Event] = []
        self.lock = threading.RLock()  # held while an event is noted and its bytes change, so that both have one order

    def __len__(self) -> int:
        return len(self.events)

    def attach(self, name: str, content: Pages, sector: int = SECTOR) -> int:
        """A disk takes part from now on; gives its number. Its content is durable."""
        with self.lock:
            self.disks.append(DiskInfo(name, content.fork(), sector))
            return len(self.disks) - 1

    def add(self, event: Event) -> int:
        """Append an event; gives its number."""
        with self.lock:
            self.events.append(event)
            return len(self.events) - 1

    def write(self, disk: int, offset: int, data: bytes) -> int:
        """A disk has taken a write."""
        return self.add(Event(Kind.WRITE, disk, offset, len(data), data))

    def discard(self, disk: int, offset: int, length: int) -> int:
        """A disk has taken a discard."""
        return self.add(Event(Kind.DISCARD, disk, offset, length))

    def flush_begin(self, disk: int) -> int:
        """A flush has begun; gives what ``flush_end`` wants."""
        return self.add(Event(Kind.FLUSH_BEGIN, disk))

    def flush_end(self, begin: int) -> int:
        """That flush has gone well."""
        return self.add(Event(Kind.FLUSH_END, self.events[begin].disk, begin=begin))

    def flush_lost(self, disk: int) -> int:
        """A flush was answered without anything being done."""
        return self.add(Event(Kind.FLUSH_LOST, disk))

    def written_back(self, disk: int, before: int) -> int:
        """A disk has put on stable storage what it had taken before that event, without having been asked."""
        return self.add(Event(Kind.WRITTEN_BACK, disk, begin=before))

    def mark(self, text: str, **facts: Any) -> int:
        """Leave a mark: this much of a workload has been done and acknowledged."""
        return self.add(Event(Kind.MARK, text=text, facts=facts))

    def marks(self, cut: int | None = None) -> Iterator[tuple[int, Event]]:
        """(number, mark) of every mark below a cut."""
        for number, event in enumerate(self.events[:cut]):
            if event.kind == Kind.MARK:
                yield number, event

    def bytes_written(self) -> int:
        """Bytes of all writes."""
        return sum(event.length for event in self.events if event.kind == Kind.WRITE)

    def digest(self) -> str:
        """A hash of everything that happened to the disks: equal for equal runs."""
        result = hashlib.sha256()
        for disk in self.disks:
            result.update(f"{disk.name} {disk.initial.size} {disk.sector}\n".encode())
            for number, page in disk.initial.used():
                result.update(number.to_bytes(8, "little") + page)
        for event in self.events:
            if event.kind != Kind.MARK:
                fields = (event.kind, event.disk, event.offset, event.length, event.begin)
                result.update(repr(tuple(map(int, fields))).encode())
                result.update(event.data)
        return result.hexdigest()
