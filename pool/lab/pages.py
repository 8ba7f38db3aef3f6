"""Sparse bytes that can be forked: what a simulated disk holds.

Pages of 4 KiB that were never written to read as zeros and take no memory. A fork shares every page with what it was
forked from, and costs nothing until either is written to; pages are immutable, so neither sees the other's writes,
and two contents can be compared by the identity of their pages.

Not safe to write to from several threads at once; reading while another thread writes other ranges is.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..device.base import Buffer, as_bytes

PAGE = 4096
ZERO_PAGE = bytes(PAGE)


def split(offset: int, data: bytes) -> dict[int, bytes] | None:
    """Bytes as whole pages by number, for ``Pages.put``; None if they do not begin and end with pages."""
    if offset % PAGE or len(data) % PAGE:
        return None
    first = offset // PAGE
    parts = [data[at : at + PAGE] for at in range(0, len(data), PAGE)]
    return {first + at: ZERO_PAGE if part == ZERO_PAGE else part for at, part in enumerate(parts)}


class Pages:
    """``size`` bytes, zeros at first.

    Attributes:
        size: in bytes.
        lower: pages by number as they were at the last fork; shared, and never changed.
        own: pages written since then.
    """

    __slots__ = ("lower", "own", "size")

    def __init__(self, size: int, lower: dict[int, bytes] | None = None) -> None:
        if size < 0:
            raise ValueError("a negative size")
        self.size = size
        self.lower: dict[int, bytes] = {} if lower is None else lower
        self.own: dict[int, bytes] = {}

    @classmethod
    def of(cls, content: Buffer) -> Pages:
        """Pages that hold the bytes of a buffer."""
        view = as_bytes(content)
        result = cls(len(view))
        result.write(0, view)
        return result

    def page(self, number: int) -> bytes:
        """One page; of the last one only what lies below ``size`` means anything."""
        found = self.own.get(number)
        if found is None:
            found = self.lower.get(number, ZERO_PAGE)
        return found

    def fork(self) -> Pages:
        """The same content, independent from now on."""
        if self.own:
            # A new dictionary, since others may share the old one.
            self.lower = {**self.lower, **self.own}
            self.own = {}
        return Pages(self.size, self.lower)

    def _check(self, offset: int, length: int) -> None:
        if offset < 0 or length > self.size - offset:
            raise ValueError(f"{length} bytes at {offset} of {self.size}")

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill a buffer from ``offset`` on."""
        length = len(target)
        self._check(offset, length)
        own, lower, at = self.own, self.lower, 0
        while at < length:
            number, start = divmod(offset + at, PAGE)
            count = min(PAGE - start, length - at)
            page = own.get(number)
            if page is None:
                page = lower.get(number, ZERO_PAGE)
            target[at : at + count] = page if count == PAGE else page[start : start + count]
            at += count

    def read(self, offset: int, length: int) -> bytes:
        """``length`` bytes from ``offset`` on."""
        out = bytearray(length)
        self.read_into(offset, memoryview(out))
        return bytes(out)

    def write(self, offset: int, data: Buffer) -> None:
        """Put bytes at ``offset``."""
        if type(data) is bytes:
            number, start = divmod(offset, PAGE)
            end = start + len(data)
            if 0 < end <= PAGE and 0 <= offset <= self.size - len(data):  # within a page, as most small writes are
                before = self.own.get(number) or self.lower.get(number, ZERO_PAGE)
                self._put(number, before[:start] + data + before[end:])
                return
        view = as_bytes(data)
        length = len(view)
        self._check(offset, length)
        at = 0
        while at < length:
            number, start = divmod(offset + at, PAGE)
            count = min(PAGE - start, length - at)
            if count == PAGE:
                page = bytes(view[at : at + PAGE])
            else:
                before = self.page(number)
                page = before[:start] + bytes(view[at : at + count]) + before[start + count :]
            self._put(number, page)
            at += count

    def _put(self, number: int, page: bytes) -> None:
        if page != ZERO_PAGE:
            self.own[number] = page
        elif number in self.own or number in self.lower:
            self.own[number] = ZERO_PAGE

    def put(self, pages: dict[int, bytes]) -> None:
        """Replace whole pages. The caller vouches for their sizes; what is zeros should be ``ZERO_PAGE`` itself."""
        self.own.update(pages)

    def zero(self, offset: int, length: int) -> None:
        """Make a range read as zeros."""
        self._check(offset, length)
        end = offset + length
        while offset < end:
            count = min(PAGE - offset % PAGE, end - offset)
            self.write(offset, ZERO_PAGE[:count])
            offset += count

    def used(self) -> Iterator[tuple[int, bytes]]:
        """(number, page) of every page that is not zeros, ascending."""
        for number in sorted({*self.lower, *self.own}):
            page = self.page(number)
            if page is not ZERO_PAGE and page != ZERO_PAGE:
                yield number, page

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Pages):
            return NotImplemented
        return self.size == other.size and list(self.used()) == list(other.used())

    __hash__ = None  # type: ignore[assignment]
