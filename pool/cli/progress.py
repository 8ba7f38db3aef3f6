"""A progress bar on stderr: done, rate, time to go. Silent where stderr is no terminal, unless asked for."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Called with the bytes (or steps) done since the last call, and optionally a new total."""

    def __call__(self, done: int, *, total: int | None = None) -> None: ...


@contextmanager
def progress(title: str, total: int | None, *, quiet: bool = False, unit: str = "bytes") -> Iterator[Advance]:
    """Show a bar while the block runs.

    Args:
        title: what is being done.
        total: how much there is, or None while unknown.
        quiet: show nothing.
        unit: ``bytes`` (shown with rate in bytes a second) or another noun for plain counts.
    """
    if quiet or not sys.stderr.isatty():

        def ignore(done: int, *, total: int | None = None) -> None:
            """Nothing to show."""

        yield ignore
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = [TextColumn("{task.description}"), BarColumn()]
    columns += [DownloadColumn(True), TransferSpeedColumn()] if unit == "bytes" else [MofNCompleteColumn()]
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)

        def advance(done: int, *, total: int | None = None) -> None:
            if total is not None:
                bar.update(task, total=total)
            bar.advance(task, done)

        yield advance
