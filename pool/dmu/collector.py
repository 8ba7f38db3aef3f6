"""Python's collector of cycles, held off while many objects are made that stay.

It looks at all containers there are each time their number has grown by a quarter. While a txg of a hundred thousand
files is written, every object gets a new dnode and a new tree, and nothing of that is garbage: looking for some takes
longer than the rest.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

_lock = Lock()
_pauses = 0
_was_on = False


@contextmanager
def paused() -> Iterator[None]:
    """No collection begins by itself inside, in any thread; several pauses may overlap."""
    global _pauses, _was_on
    with _lock:
        if not _pauses:
            _was_on = gc.isenabled()
            gc.disable()
        _pauses += 1
    try:
        yield
    finally:
        with _lock:
            _pauses -= 1
            if not _pauses and _was_on:
                gc.enable()
