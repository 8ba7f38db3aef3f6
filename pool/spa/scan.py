"""Finding pools: look at files, devices and folders, read their labels, and put pools together from them.

Nothing but regular files and block devices is ever opened. Whatever has no verified label of its own is
looked at for a partition table, so that images of whole disks work. Reading takes no locks; opening a pool
does.

Source: OpenZFS, libzutil (zutil_import.c) for what counts as a label.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ..device.base import Device
from ..errors import NotFoundError
from ..ondisk import eck, label
from ..ondisk.label import Label
from .config import Candidate, assemble
from .members import Member, Source, member_of
from .partitions import Read, partitions

MAX_THREADS = 16
THREADS_FROM = 8  # fewer sources than this are faster read one after another
SMALLEST = label.LABEL_SIZE  # less cannot hold even one label

T = TypeVar("T")
R = TypeVar("R")
Place = str | os.PathLike[str] | Device


@dataclass(slots=True)
class ScanResult:
    """What was found, and what could not be looked at (path -> reason)."""

    candidates: list[Candidate]
    members: list[Member] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)


def scan(search: Iterable[Place]) -> list[Candidate]:
    """The pools found in these folders (what lies in them, not deeper), files, devices and ``Device``
    objects.

    Raises:
        NotFoundError: a place in ``search`` does not exist.
    """
    return scan_all(search).candidates


def scan_all(search: Iterable[Place]) -> ScanResult:
    """As ``scan``, with everything that was seen on the way."""
    unreadable: dict[str, str] = {}
    sources = list(_sources(search, unreadable))

    def look(source: Source) -> list[Member]:
        try:
            return examine(source)
        except OSError as error:
            unreadable[source.name] = error.strerror or str(error)
            return []

    members = [member for group in in_parallel(look, sources) for member in group]
    return ScanResult(assemble(members), members, unreadable)


def in_parallel(work: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Do something that waits for devices for each item, for many items in threads; results in their order."""
    if len(items) < THREADS_FROM:
        return [work(item) for item in items]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(MAX_THREADS, len(items))) as workers:
        return list(workers.map(work, items))


def _sources(search: Iterable[Place], unreadable: dict[str, str]) -> Iterator[Source]:
    """Everything worth opening, each file and device once however many names it has."""
    seen: set[tuple[int, ...]] = set()
    for place in search:
        if isinstance(place, Device):
            yield Source(place.name, device=place)
            continue
        path = os.fspath(place)
        try:
            names = _names(path)
        except FileNotFoundError:
            raise NotFoundError("there is nothing to search at this path", path=path) from None
        except OSError as error:
            unreadable[path] = error.strerror or str(error)
            continue
        for name in names:
            try:
                found = Path(name).stat()
            except OSError as error:
                unreadable[name] = error.strerror or str(error)
                continue
            if stat.S_ISBLK(found.st_mode):
                identity: tuple[int, ...] = (found.st_rdev,)
            elif stat.S_ISREG(found.st_mode) and found.st_size >= SMALLEST:
                identity = (found.st_dev, found.st_ino)
            else:
                continue
            if identity not in seen:
                seen.add(identity)
                yield Source(name)


def _names(path: str) -> list[str]:
    if not Path(path).is_dir():
        Path(path).stat()
        return [path]
    with os.scandir(path) as entries:
        return sorted(entry.path for entry in entries)


def examine(source: Source) -> list[Member]:
    """The vdevs on one source: none, itself, or several in its partitions.

    Raises:
        OSError: it cannot be opened or read.
    """
    if source.device is not None:
        return _examine(
            source, lambda at, length: _device_read(source.device, at, length), source.device.size
        )
    # A named pipe put in place of the file since it was looked at must not make this wait.
    fd = os.open(source.name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
            return []
        return _examine(source, lambda at, length: os.pread(fd, length, at), os.lseek(fd, 0, os.SEEK_END))
    finally:
        os.close(fd)


def _device_read(device: Any, at: int, length: int) -> bytes:
    data: bytes = device.read(at, max(0, min(length, device.size - at)))
    return data


def _examine(source: Source, read: Read, size: int) -> list[Member]:
    labels = read_labels(read, size)
    whole = member_of(source, labels, size)
    if whole is not None and any(one.verified for one in labels):
        return [whole]
    found = []
    for part in partitions(read, size):
        inner = Source(
            f"{source.name}-part{part.number}", source.device, source.name, part.start, part.length
        )
        member = member_of(inner, read_labels(_shifted(read, part.start), part.length), part.length)
        if member is not None:
            found.append(member)
    return found or ([whole] if whole is not None else [])


def _shifted(read: Read, start: int) -> Callable[[int, int], bytes]:
    return lambda at, length: read(start + at, length)


def read_labels(read: Read, size: int) -> list[Label]:
    """The four labels of a device of ``size`` bytes, good or bad; none if no label was ever there.

    Only the ends of the four places are read until one of them looks like a label: most files have none.
    """
    places = [label.offset(size, index) for index in range(label.LABELS)]
    places = [at for at in places if at >= 0]
    if len(set(places)) < len(places) or not any(_looks_like_label(read, at) for at in places):
        return []
    result: list[Label] = []
    before = b""
    for index, at in enumerate(places):
        try:
            region = read(at + label.CONFIG_OFFSET, label.CONFIG_SIZE)
        except OSError as error:
            result.append(Label(index, at, None, False, error.strerror or str(error)))
            continue
        same = bool(before) and region[: -eck.ECK_SIZE] == before[: -eck.ECK_SIZE]
        result.append(label.decode_config(region, at, index, result[-1].config if same else None))
        before = region if result[-1].config is not None else b""
    return result


def _looks_like_label(read: Read, at: int) -> bool:
    try:
        end = read(at + label.RING_OFFSET - eck.ECK_SIZE, eck.ECK_SIZE)
    except OSError:
        return False
    return eck.order_of(end) is not None
