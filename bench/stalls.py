"""How long a small write may take while txgs are written.

    python -m bench.stalls [--folder DIR] [--seconds 10] [--rounds 3] [--json FILE]

One thread makes small files as fast as it can, so that every txg, one a second, has some thousands of them to write.
Another writes 4 KiB to a file of its own every millisecond and notes how long each write took. Both are threads of one
interpreter: a few milliseconds are each other's turns. ``lock held`` is how it would be if nothing could be changed
while a txg is written: the same code, with the lock held by whoever writes it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from uberblock.pool import create_pool
from uberblock.pool.spa.engine import Engine

SIZE = 4096


@contextmanager
def lock_held() -> Iterator[None]:
    """Nothing changes while a txg is written."""
    plain = Engine.sync

    def sync(self: Engine, why: str = "asked") -> int:
        with self.tx.lock:
            return plain(self, why)

    Engine.sync = sync  # type: ignore[method-assign]
    try:
        yield
    finally:
        Engine.sync = plain  # type: ignore[method-assign]


def measure(folder: Path, seconds: float) -> dict[str, float]:
    """Milliseconds of the second thread's writes, and files a second of the first."""
    took: list[float] = []
    files = 0
    with create_pool("bench", [str(folder / "disk")], size=4 << 30, txg_seconds=1.0) as pool:
        fs = pool.fs()
        end = time.monotonic() + seconds

        def make() -> None:
            nonlocal files
            while time.monotonic() < end:
                if files % 1000 == 0:
                    fs.mkdir(f"/d{files // 1000}")
                fs.write_bytes(f"/d{files // 1000}/f{files}", b"content " * 100)
                files += 1

        maker = threading.Thread(target=make)
        maker.start()
        with fs.open("/small", "wb") as file:
            number = 0
            while time.monotonic() < end:
                before = time.perf_counter()
                file.pwrite(bytes(SIZE), number % 1000 * SIZE)
                took.append(time.perf_counter() - before)
                number += 1
                time.sleep(0.001)
        maker.join()
        syncs = [one.sync for one in pool.txg_history() if one.state == "C"]
    (folder / "disk").unlink()
    took.sort()
    return {
        "median": took[len(took) // 2] * 1e3,
        "99 %": took[len(took) * 99 // 100] * 1e3,
        "99.9 %": took[len(took) * 999 // 1000] * 1e3,
        "longest": took[-1] * 1e3,
        "a txg takes": statistics.median(syncs) * 1e3,
        "files/s": files / seconds,
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rounds: dict[str, list[dict[str, float]]] = {"lock held": [], "as it is": []}
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        for _ in range(args.rounds):
            with lock_held():
                rounds["lock held"].append(measure(Path(name), args.seconds))
            rounds["as it is"].append(measure(Path(name), args.seconds))
    found = {
        way: {key: statistics.median(one[key] for one in some) for key in some[0]} for way, some in rounds.items()
    }
    names = list(next(iter(found.values())))
    print(f"{'milliseconds of a write':<24}" + "".join(f"{name:>12}" for name in names))
    for way, row in found.items():
        print(f"{way:<24}" + "".join(f"{row[name]:>12.2f}" for name in names))
    if args.json:
        args.json.write_text(json.dumps({"rounds": rounds, "medians": found}, indent=1))


if __name__ == "__main__":
    main()
