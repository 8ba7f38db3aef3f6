"""Everything a reader can do with a pool, done once: for pools whose bytes are hostile.

Whatever is on the disks, only errors of this package may come out, in bounded time and memory.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from uberblock.pool import find_pools, import_pool
from uberblock.pool.device.base import Device
from uberblock.pool.errors import PoolError

SECONDS = 30
DATASETS = 8
ENTRIES = 60
FILES = 20
BYTES = 1 << 20


class TooLongError(BaseException):
    """Something hangs. Not an Exception, so that nothing in between can swallow it."""


@contextmanager
def time_limit(seconds: int = SECONDS) -> Iterator[None]:
    """Raise ``TooLongError`` in the main thread after ``seconds``."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TooLongError(f"more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def attempt(work: Callable[[], Any], errors: list[str]) -> Any:
    """Do something; note an error of this package, let everything else through."""
    try:
        return work()
    except PoolError as error:
        text = str(error)
        assert text and "\n" not in text, f"an error message must be one line: {text!r}"
        errors.append(f"{type(error).__name__}: {text}")
        return None


def exercise(device: Device, *, thorough: bool = True) -> list[str]:
    """Find, open and read everything; gives the errors that came out, in order.

    Not thorough: without the trees of old txgs, and only some datasets and files of large pools.
    """
    errors: list[str] = []
    with time_limit():
        if not attempt(lambda: find_pools([device]), errors):
            return errors
        pool = attempt(lambda: import_pool(search=[device]), errors)
        if pool is None:
            return errors
        with pool:
            attempt(pool.spa.status, errors)
            attempt(lambda: list(pool.spa.properties().items()), errors)
            attempt(pool.spa.history, errors)
            if thorough:
                attempt(pool.spa.txgs, errors)
            attempt(lambda: pool.spa.space.vdevs, errors)
            attempt(lambda: pool.verify(threads=1), errors)
            datasets = attempt(lambda: list(pool.datasets()), errors) or []
            for dataset in datasets if thorough else datasets[:: max(1, len(datasets) // DATASETS)]:
                attempt(lambda dataset=dataset: dataset.properties(), errors)
                if dataset.type in ("filesystem", "snapshot"):
                    _read_files(pool, dataset.name, errors, thorough)
                elif dataset.type == "volume":
                    attempt(lambda dataset=dataset: pool.volume(dataset.name).open().read(BYTES), errors)
    return errors


def _read_files(pool: Any, name: str, errors: list[str], thorough: bool) -> None:
    vfs = attempt(lambda: pool.fs(name), errors)
    if vfs is None:
        return
    left = FILES
    paths = []
    for folder, folders, files in attempt(lambda: list(vfs.walk("/")), errors) or []:
        paths += [f"{folder.rstrip('/')}/{entry}" for entry in (*folders, *files)]
    for path in paths if thorough else paths[:: max(1, len(paths) // ENTRIES)]:
        st = attempt(lambda path=path: vfs.stat(path), errors)
        attempt(lambda path=path: vfs.xattrs(path), errors)
        if st is not None and st.mode & 0o170000 == 0o100000 and left:
            left -= 1
            attempt(lambda path=path: vfs.open(path).read(BYTES), errors)
