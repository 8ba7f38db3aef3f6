"""Content by whole records, without those that are zero: the same for the same bytes, however their source keeps holes.

A file copied from elsewhere may have lost its holes, or have got others. What is written here does not depend on that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

Pieces = Iterable[tuple[int, bytes | memoryview]]


def whole_records(pieces: Pieces, size: int, record: int, most: int) -> Iterator[tuple[int, memoryview]]:
    """Pieces of content put together to runs of whole records that are not zero.

    Args:
        pieces: offset and content, in order; what is between them is zero.
        size: of the file; nothing lies behind it. record: bytes of a block of it.
        most: bytes of a run, unless a record is larger.

    Yields:
        Offset and content, good until the next one is asked for. Only the end of
        the file is the end of no whole record.
    """
    wide = max(most // record, 1) * record
    buffer = bytearray()
    window = end = 0
    for offset, piece in pieces:
        view = memoryview(piece)
        done = 0
        while done < len(view):
            at = offset + done
            if at >= window + wide:
                yield from _runs(buffer, window, end, record)
                window, end, buffer = at // wide * wide, 0, bytearray()
            take = min(len(view) - done, window + wide - at)
            if at == window and not end and (take == wide or at + take == size):
                # Nothing else is in this window: it need not be put together.
                yield from _runs(view[done : done + take], window, take, record)
                window += wide
            else:
                end = min(-(-(at - window + take) // record) * record, max(size, at + take) - window)
                buffer.extend(bytes(max(0, end - len(buffer))))
                buffer[at - window : at - window + take] = view[done : done + take]
            done += take
    yield from _runs(buffer, window, end, record)


def _runs(buffer: bytearray | memoryview, window: int, end: int, record: int) -> Iterator[tuple[int, memoryview]]:
    """Runs of records of a window that are not zero; ``end`` bytes of it are known."""
    view = memoryview(buffer)[:end]
    whole = end // record
    rows = np.frombuffer(view[: whole * record], np.uint8).reshape(whole, record)
    used: list[bool] = np.any(rows, axis=1).tolist()
    if end % record:
        used.append(bool(np.any(np.frombuffer(view[whole * record :], np.uint8))))
    first = 0
    while first < len(used):
        if not used[first]:
            first += 1
            continue
        last = first
        while last + 1 < len(used) and used[last + 1]:
            last += 1
        yield window + first * record, view[first * record : (last + 1) * record]
        first = last + 1
