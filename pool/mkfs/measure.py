"""How much a source holds: blocks by size, files, directories. Nothing of its content is read from folders.

Sizes are upper bounds: nothing is taken to be compressible. Holes of sparse files count as holes.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from ..errors import CorruptError, UsageError
from ..ingest.folder import data_ranges
from ..ingest.tar import data_of

SECTOR = 512
XATTR_PAX = "SCHILY.xattr."
POINTERS = 1024  # of an indirect block
INDIRECT, POINTER, DNODE_BLOCK, SMALLEST = 128 << 10, 128, 16 << 10, 4096
#: Bytes that a directory entry takes: a fat ZAP's leaves are half empty after they have split.
ENTRY = 192


@dataclass(slots=True)
class Content:
    """What a source holds.

    Attributes:
        data, metadata: bytes of a block -> how many there are.
        files: regular ones, further names not counted; objects: everything with a dnode; size: bytes of content.
    """

    data: Counter[int] = field(default_factory=Counter)
    metadata: Counter[int] = field(default_factory=Counter)
    files: int = 0
    objects: int = 0
    size: int = 0

    def add_file(self, size: int, ranges: Iterable[tuple[int, int]], recordsize: int) -> None:
        """Count a regular file with these ranges of data."""
        self.files += 1
        self.objects += 1
        if size <= recordsize:
            taken = sum(length for _, length in ranges)
            self.size += taken
            if taken:
                self.data[-(-size // SECTOR) * SECTOR] += 1
            return
        last = -1
        blocks = 0
        for start, length in ranges:
            self.size += length
            first, end = max(start // recordsize, last + 1), (start + length - 1) // recordsize
            blocks += max(0, end + 1 - first)
            last = max(last, end)
        self.data[recordsize] += blocks
        whole, rest = divmod(blocks, POINTERS)
        self.metadata[INDIRECT] += whole
        # A sparse file's pointers may lie in as many indirect blocks as there are pointers.
        spread = min(blocks, -(-size // recordsize // POINTERS)) - whole
        if rest:
            self.metadata[max(SMALLEST, rest * POINTER)] += 1
            self.metadata[SMALLEST] += max(0, spread - 1)

    def add_directory(self, entries: int) -> None:
        """Count a directory with so many names."""
        self.objects += 1
        size = max(entries * ENTRY, SECTOR)
        whole, rest = divmod(size, DNODE_BLOCK)
        self.metadata[DNODE_BLOCK] += whole
        self.metadata[max(rest, SECTOR)] += 1

    def add_attributes(self, size: int) -> None:
        """Count extended attributes of one file."""
        if size:
            self.metadata[-(-size // SECTOR) * SECTOR] += 1

    def finish(self, dnodesize: int) -> None:
        """Count the dnodes of everything."""
        self.metadata[DNODE_BLOCK] += -(-self.objects * dnodesize // DNODE_BLOCK) + 2


def measure(source: str, recordsize: int) -> Content:
    """What a folder or tar archive holds.

    Raises:
        OSError: it cannot be read. CorruptError: it is no whole archive. UsageError: it is neither.
    """
    if os.path.isdir(source):  # noqa: PTH112
        return _folder(os.fsencode(source), recordsize)
    if stat.S_ISREG(os.stat(source).st_mode):  # noqa: PTH116
        return _archive(source, recordsize)
    raise UsageError("a source is a folder or a tar archive", path=source)


def _folder(top: bytes, recordsize: int) -> Content:
    found = Content()
    seen: set[tuple[int, int]] = set()
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        with os.scandir(folder) as entries:
            count = 0
            for entry in entries:
                count += 1
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(entry.path)
                    continue
                key = (status.st_dev, status.st_ino)
                if status.st_nlink > 1:
                    if key in seen:
                        continue
                    seen.add(key)
                found.add_attributes(_attributes(entry.path))
                if stat.S_ISREG(status.st_mode):
                    found.add_file(status.st_size, _ranges(entry.path, status), recordsize)
                else:
                    found.objects += 1
        found.add_directory(count)
    return found


def _attributes(path: bytes) -> int:
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return sum(len(name) + len(os.getxattr(path, name, follow_symlinks=False)) + 64 for name in names)
    except OSError:
        return 0  # whoever copies them says so


def _ranges(path: bytes, status: os.stat_result) -> list[tuple[int, int]]:
    if status.st_blocks * SECTOR >= status.st_size:
        return [(0, status.st_size)]
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return list(data_ranges(descriptor, status.st_size))
    finally:
        os.close(descriptor)


def _archive(source: str, recordsize: int) -> Content:
    found = Content()
    names: Counter[str] = Counter()
    try:
        with tarfile.open(source, "r|*", encoding="utf-8", errors="surrogateescape") as archive:
            for member in archive:
                folder, _, name = member.name.strip("/").rpartition("/")
                if name:
                    names[folder] += 1
                if member.isdir():
                    names[member.name.strip("/")] += 0
                elif member.islnk():
                    pass
                elif member.isreg() or member.sparse is not None:
                    found.add_file(member.size, data_of(member), recordsize)
                else:
                    found.objects += 1
                headers = member.pax_headers.items()
                found.add_attributes(sum(len(k) + len(v) + 64 for k, v in headers if k.startswith(XATTR_PAX)))
                archive.members = []  # type: ignore[attr-defined]  # which would grow with every entry
    except (tarfile.TarError, EOFError) as error:
        raise CorruptError(f"no whole tar archive: {error}", path=source) from error
    for count in names.values():
        found.add_directory(count)
    return found
