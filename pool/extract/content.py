"""The bytes of a file on their way out: the ranges that hold data, in pieces, and what to do with damaged ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from ..errors import CorruptError, PoolError
from ..zpl.batch import BATCH_BYTES, Pieces, cost, read_small
from ..zpl.directory import is_name, printable, raw
from ..zpl.file import ObjectFile
from ..zpl.znode import Znode

PIECE = 8 << 20  # bytes read at a time
BATCH_FILES = 512  # looked at together, so that the small ones of them are read together


class Progress(Protocol):
    """Called with the bytes done since the last call."""

    def __call__(self, done: int, /) -> object: ...


#: Called with a sentence for each thing that could not be copied as it is.
Report = Callable[[str], None]


class Told(list[str]):
    """A sentence for everything that was not copied as it is.

    ``damaged`` tells content that could not be read from what the target merely has no place for.
    """

    def __init__(self, failures: list[str], notes: list[str]) -> None:
        super().__init__([*failures, *notes])
        self.damaged = bool(failures)


def no_progress(done: int, /) -> None:
    """Tell nobody."""


def check_name(name: str) -> None:
    """Refuse a name that could lead elsewhere. Raises: CorruptError."""
    if not is_name(raw(name)):
        raise CorruptError("a directory holds a name that no file can have", name=printable(name))


def ranges(file: ObjectFile, sparse: bool = True) -> Iterator[tuple[int, int]]:
    """(offset, length) of what has to be copied: data, or, if not ``sparse``, everything. Raises: CorruptError."""
    if sparse:
        yield from file.data_ranges()
    elif file.size:
        yield 0, file.size


def ahead(found: Iterable[tuple[str, Znode]]) -> Iterator[tuple[str, Znode, Pieces | None]]:
    """Files with their content read ahead in batches, where they are small: path, file, content."""
    batch: list[tuple[str, Znode]] = []
    small: dict[int, ObjectFile] = {}
    size = 0
    for path, znode in found:
        batch.append((path, znode))
        if znode.type == "file" and znode.object not in small:
            file = ObjectFile(znode.dnode, znode.size)
            taken = cost(file)
            if taken is not None:
                small[znode.object] = file
                size += taken
        if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
            yield from _with_content(batch, small)
            batch, small, size = [], {}, 0
    yield from _with_content(batch, small)


def _with_content(
    batch: list[tuple[str, Znode]], small: dict[int, ObjectFile]
) -> Iterator[tuple[str, Znode, Pieces | None]]:
    contents = dict(zip(small, read_small(list(small.values()))))
    for path, znode in batch:
        content = contents.pop(znode.object, None)
        # What could not be read is tried again by itself, where going on after damage is known.
        yield path, znode, content if isinstance(content, list) else None


class Copier:
    """Reads content in pieces into one buffer.

    Args:
        keep_going: what cannot be read becomes zeros and is reported, rather than raised.
    """

    def __init__(self, keep_going: bool, report: Report, progress: Progress = no_progress) -> None:
        self.keep_going = keep_going
        self.report = report
        self.progress = progress
        self._buffer = bytearray()

    def ranges(self, file: ObjectFile, name: str, sparse: bool = True) -> Iterator[tuple[int, int]]:
        """As the function of this name; when going on, all that follows is copied where ranges cannot be told."""
        at = 0
        try:
            for start, length in ranges(file, sparse):
                yield start, length
                at = start + length
        except PoolError as error:
            if not self.keep_going:
                raise
            self.report(f"{printable(name)}: {error}")
            if at < file.size <= 1 << 40:
                yield at, file.size - at

    def pieces(self, file: ObjectFile, start: int, length: int, name: str) -> Iterator[tuple[int, memoryview]]:
        """(offset, bytes) of one range. The bytes are good until the next piece."""
        size = min(PIECE, max(length, 1))
        if len(self._buffer) < size:
            self._buffer = bytearray(size)
        at, end = start, start + length
        while at < end:
            view = memoryview(self._buffer)[: min(PIECE, end - at)]
            self._read(file, view, at, name)
            yield at, view
            self.progress(len(view))
            at += len(view)

    def _read(self, file: ObjectFile, view: memoryview, at: int, name: str) -> None:
        if not self.keep_going:
            done = file.pread(view, at)
        else:

            def damaged(offset: int, length: int, error: PoolError) -> None:
                what = f"{length} bytes at {offset} are lost and were written as zeros"
                self.report(f"{printable(name)}: {what}: {error}")

            done = file.pread(view, at, damaged=damaged)
        if done != len(view):
            raise CorruptError("a file ended too early", path=printable(name), offset=at)
