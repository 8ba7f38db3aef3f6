"""How fast a small write is on stable storage, beside a bare file's write and ``fdatasync``.

    python -m bench.fsync [--folder DIR] [--count 2000] [--rounds 5] [--layouts] [--slower MS] [--json FILE]

4 KiB are written to a file of a pool and made durable with ``fsync``, again and again: by one writer, and by 4 and 16
threads with a file each; and to a volume, by one. The pool is one file in DIR, which must be on a disk. Beside it
stands what the file system does by itself in the same turn, with a file that grows (as a log does) and with one that is
overwritten. In each round all have their turn; medians are compared. ``python``: microseconds of one request that were
not spent waiting for the disk. ``callers``: how many requests one commit served.

``--layouts``: raidz2 of six files with and without a mirrored log device, and with the log on files in RAM (DIR is not
asked for that), as a fast device beside slow ones.

``--slower``: every flush, those of the bare file too, takes so many milliseconds longer, as on a slower disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from uberblock.pool import create_pool
from uberblock.pool.device.file import FileDevice
from uberblock.pool.poolwrite import WritablePool

SIZE, MIB = 4096, 1 << 20
IN_RAM = Path("/dev/shm")


@dataclass(frozen=True)
class Rate:
    """Requests a second; microseconds of each not spent in fdatasync; requests that one commit served."""

    rate: float
    python: float = 0.0
    callers: float = 0.0


class Waiting:
    """Seconds spent in flushes of files while it is installed, with the write of a log block that goes before one."""

    def __init__(self, slower: float) -> None:
        self.seconds = 0.0
        self.slower = slower
        self._plain = {"flush": FileDevice.flush, "write_durable": FileDevice.write_durable}

    def _timed(self, plain: Callable[..., object]) -> Callable[..., object]:
        def timed(*args: object) -> object:
            before = time.perf_counter()
            try:
                done = plain(*args)
                if self.slower and done is not False:
                    time.sleep(self.slower)
                return done
            finally:
                self.seconds += time.perf_counter() - before

        return timed

    def __enter__(self) -> Waiting:
        for name, plain in self._plain.items():
            setattr(FileDevice, name, self._timed(plain))
        return self

    def __exit__(self, *_: object) -> None:
        for name, plain in self._plain.items():
            setattr(FileDevice, name, plain)


def bare(folder: Path, count: int, slower: float, *, grows: bool) -> Rate:
    """A plain file."""
    path, data = folder / "bare", os.urandom(SIZE)
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        if not grows:
            os.pwrite(fd, os.urandom(SIZE * count), 0)
            os.fsync(fd)
        before = time.perf_counter()
        for number in range(count):
            os.pwrite(fd, data, number * SIZE)
            os.fdatasync(fd)
            if slower:
                time.sleep(slower)
        return Rate(count / (time.perf_counter() - before))
    finally:
        os.close(fd)
        path.unlink()


def pool_rate(pool: WritablePool, count: int, threads: int, slower: float, *, volume: bool = False) -> Rate:
    """Requests by so many threads, each to a file of its own, or to a volume."""
    data, each = os.urandom(SIZE), count // threads
    if volume:
        files: list[Any] = [pool.create_volume("bench/volume", -(-count * SIZE // MIB) * MIB).open()]
    else:
        files = [pool.fs().open(f"/file{number}", "wb") for number in range(threads)]
    files[0].pwrite(data, 0)
    files[0].fsync()
    stats = pool.zil_stats
    callers, commits = stats.callers, stats.commits

    def work(file: Any) -> None:
        for number in range(each):
            file.pwrite(data, number * SIZE)
            file.fsync()

    workers = [threading.Thread(target=work, args=(file,)) for file in files]
    with Waiting(slower) as waiting:
        before = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        seconds = time.perf_counter() - before
    for file in files:
        file.close()
    done = each * threads
    # Flushes of several devices run at the same time: their seconds are not those of a request.
    alone = threads == 1 and len(pool.tree.leaves) == 1
    python = (seconds - waiting.seconds) / done * 1e6 if alone else 0.0
    return Rate(done / seconds, python, (stats.callers - callers) / (stats.commits - commits))


def made(folder: Path, words: list[str], count: int, threads: int, slower: float, *, volume: bool = False) -> Rate:
    """Measure a new pool on files in a folder."""
    with create_pool("bench", words, size=512 << 20) as pool:
        found = pool_rate(pool, count, threads, slower, volume=volume)
    for path in folder.glob("disk*"):
        path.unlink()
    return found


def one_disk(folder: Path, count: int, slower: float) -> dict[str, Rate]:
    """A pool of one file beside the bare file system."""
    found = {
        "bare, grows": bare(folder, count, slower, grows=True),
        "bare, overwritten": bare(folder, count, slower, grows=False),
    }
    for threads in (1, 4, 16):
        name = f"pool, {threads} writer{'s' if threads > 1 else ''}"
        found[name] = made(folder, [str(folder / "disk0")], count, threads, slower)
    found["volume, 1 writer"] = made(folder, [str(folder / "disk0")], count, 1, slower, volume=True)
    return found


def layouts(folder: Path, count: int, slower: float) -> dict[str, Rate]:
    """Log devices beside raidz2."""
    disks = [str(folder / f"disk{number}") for number in range(6)]
    found: dict[str, Rate] = {}
    with tempfile.TemporaryDirectory(dir=IN_RAM) as name:
        logs = {
            "raidz2 of 6": [],
            "raidz2 of 6, mirrored log": ["log", "mirror", str(folder / "disk6"), str(folder / "disk7")],
            "raidz2 of 6, mirrored log in RAM": ["log", "mirror", f"{name}/disk6", f"{name}/disk7"],
        }
        for title, more in logs.items():
            for threads in (1, 16):
                words = ["raidz2", *disks, *more]
                found[f"{title}, {threads}"] = made(folder, words, count, threads, slower)
                for path in Path(name).glob("disk*"):
                    path.unlink()
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.fsync", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk that is measured")
    parser.add_argument("--count", type=int, default=2000, help="requests of one measurement")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layouts", action="store_true", help="log devices beside raidz2")
    parser.add_argument("--slower", type=float, default=0, metavar="MS", help="that every flush takes longer")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bench-fsync.", dir=args.folder))
    rounds = []
    try:
        for _ in range(args.rounds):
            rounds.append((layouts if args.layouts else one_disk)(folder, args.count, args.slower / 1000))
    finally:
        shutil.rmtree(folder)
    first = None
    for name in rounds[0]:
        some = [found[name] for found in rounds]
        rate, python, callers = (
            statistics.median(getattr(one, word) for one in some) for word in ("rate", "python", "callers")
        )
        first = rate if first is None else first
        more = f"   python {python:5.0f} us" if python else ""
        more += f"   callers {callers:5.1f}" if callers else ""
        print(f"{name:34} {rate:8.0f} /s   {rate / first:5.2f} of the first{more}")
    if args.json:
        args.json.write_text(json.dumps([{name: asdict(one) for name, one in found.items()} for found in rounds]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
