"""How fast data gets into a pool and out again, beside OpenZFS's own code.

    python -m bench.ingest [--realzfs PROGRAM] [--mib 512] [--rounds 3] [--folder /dev/shm] [--threads N]
                           [--text] [--layouts NAMES] [--json FILE]

Incompressible data is written to one file through the file interface and synced; then the pool is opened anew and the
file read with every checksum verified. PROGRAM drives OpenZFS's storage engine in user space (commands create, dataset,
write, read, export, each with a line of seconds and CPU seconds): it writes as much to one object. Both run in turn,
round by round, on files of the same folder; medians are compared. CPU seconds stand beside, as they bear a busy
machine. Small files are made, rewritten and removed in transactions of 256.

``--text``: in place of noise, text of which lz4 leaves 60 %, into datasets with compression=lz4; PROGRAM's own text is
as compressible (words of 8 of 16 letters, every second pair of words seen shortly before).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from uberblock.pool import create_pool, import_pool

LAYOUTS = {
    "file": ("file", 1),
    "mirror": ("mirror", 2),
    "raidz2 of 6": ("raidz2", 6),
    "raidz3 of 8": ("raidz3", 8),
}
CHUNK = 16 << 20
BATCH = 256


@dataclass(frozen=True)
class Speed:
    """MiB/s (or files/s) by the clock and by CPU time."""

    wall: float
    cpu: float


def words_of(folder: Path, kind: str, count: int) -> list[str]:
    """The words of ``zpool create``."""
    files = [str(folder / f"d{number}") for number in range(count)]
    return files if kind == "file" else [kind, *files]


def content(text: bool) -> np.ndarray:
    """A chunk of noise, or of text of which lz4 leaves 60 %."""
    if not text:
        return np.frombuffer(os.urandom(CHUNK), dtype=np.uint8)
    letters = np.frombuffer(b"etaoinshrdlu cmf", dtype=np.uint8)
    rows = letters[np.random.default_rng(1).integers(0, 16, (CHUNK // 512, 16, 4, 8))].reshape(-1, 16, 32)
    # Of every four words two are those of half a KiB before.
    rows[1:, :, 16:] = rows[0, :, 16:]
    return rows.reshape(-1)


def ours(
    folder: Path, kind: str, count: int, record: int, mib: int, threads: int, text: bool
) -> tuple[Speed, Speed]:
    """Write and read with this package."""
    size = (mib * 2 << 20) // max(1, count - {"raidz2": 2, "raidz3": 3, "mirror": 1}.get(kind, 0)) + (256 << 20)
    data = content(text)
    properties = {"recordsize": record, "compression": "lz4" if text else "off"}
    words = words_of(folder, kind, count)
    with create_pool("ours", words, size=size, threads=threads, dataset_properties=properties) as pool:  # type: ignore[arg-type]
        before = time.perf_counter(), time.process_time()
        with pool.fs().open("/file", "wb") as file:
            for _ in range(mib * 1024 * 1024 // CHUNK):
                file.write(data)
        pool.sync()
        write = rate(mib, *before)
    with import_pool("ours", [str(folder)], threads=threads) as reader:
        out = bytearray(CHUNK)
        before = time.perf_counter(), time.process_time()
        with reader.fs("ours").open("/file") as file:
            while file.readinto(out):
                pass
        return write, rate(mib, *before)


def rate(amount: float, wall: float, cpu: float) -> Speed:
    """Amounts a second since these times."""
    return Speed(amount / (time.perf_counter() - wall), amount / max(time.process_time() - cpu, 1e-9))


def theirs(
    program: str, folder: Path, kind: str, count: int, record: int, mib: int, text: bool
) -> tuple[Speed, Speed]:
    """The same with OpenZFS's code."""
    size = f"{(mib * 2) // max(1, count - 1) + 512}M"
    chain = ["create", "-s", size, "-a", "12", "theirs", *words_of(folder, kind, count), ","]
    chain += ["dataset", "-t", "other", "-o", f"recordsize={record}", "theirs/x", ","]
    kind_of_data = ["-c", "lz4", "-p", "text"] if text else ["-c", "off", "-p", "random"]
    chain += ["write", "-m", str(mib), "-r", str(record), *kind_of_data, "theirs/x", ","]
    chain += ["arcflush", "theirs", ",", "read", "-n", "theirs/x"]
    said = subprocess.run([program, *chain], capture_output=True, text=True, check=True).stdout
    return phase(said, r"write\+sync", mib), phase(said, "read", mib)


def phase(text: str, name: str, mib: int) -> Speed:
    """Seconds and CPU seconds of one line of the program."""
    found = re.search(rf"^{name}\s+([\d.]+) s .*cpu\s+([\d.]+) s", text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"the program did not say how long {name} took:\n{text}")
    return Speed(mib / float(found[1]), mib / float(found[2]))


def small_files(folder: Path, count: int) -> dict[str, Speed]:
    """A tree of small files that is made, rewritten and removed, each with the txg that says so: files a second."""
    found: dict[str, Speed] = {}
    with create_pool("small", [str(folder / "d0")], size=1 << 30, txg_seconds=0) as pool:
        fs = pool.fs()
        firsts = range(0, count, BATCH)

        def names(first: int) -> list[str]:
            return [f"/d{first}/f{number}" for number in range(first, min(first + BATCH, count))]

        def write(first: int, text: bytes) -> None:
            for number, name in enumerate(names(first), first):
                fs.write_bytes(name, text % number * 100)

        def make(first: int) -> None:
            fs.mkdir(f"/d{first}")
            write(first, b"%d ")

        def remove(first: int) -> None:
            for name in names(first):
                fs.unlink(name)
            fs.rmdir(f"/d{first}")

        for what, change in {"made": make, "rewritten": lambda first: write(first, b"%d, "), "removed": remove}.items():
            before = time.perf_counter(), time.process_time()
            for first in firsts:
                with pool.transaction():
                    change(first)
            pool.sync()
            found[what] = rate(count, *before)
    return found


def median(speeds: list[Speed]) -> Speed:
    """Of both figures by themselves."""
    return Speed(statistics.median(s.wall for s in speeds), statistics.median(s.cpu for s in speeds))


def compare(
    program: str | None, folder: Path, mib: int, rounds: int, threads: int, text: bool, layouts: list[str]
) -> list[dict[str, object]]:
    """Some layouts, and all record sizes."""
    rows: list[dict[str, object]] = []
    for name in layouts:
        kind, count = LAYOUTS[name]
        for record in (128 << 10, 1 << 20):
            found: dict[str, list[Speed]] = {"write": [], "read": [], "their write": [], "their read": []}
            for _ in range(rounds):
                for who in ("", "their ") if program else ("",):
                    with tempfile.TemporaryDirectory(dir=folder) as place:
                        run = theirs(program, Path(place), kind, count, record, mib, text) if who and program else ours(
                            Path(place), kind, count, record, mib, threads, text
                        )  # fmt: skip
                    found[f"{who}write"].append(run[0])
                    found[f"{who}read"].append(run[1])
            for what in ("write", "read"):
                mine = median(found[what])
                row: dict[str, object] = {"pool": name, "record": record, "what": what}
                row |= {"wall": mine.wall, "cpu": mine.cpu}
                if program:
                    other = median(found[f"their {what}"])
                    row |= {"their_wall": other.wall, "their_cpu": other.cpu}
                    row |= {"ratio_wall": mine.wall / other.wall, "ratio_cpu": mine.cpu / other.cpu}
                rows.append(row)
                print(line(row), flush=True)
    return rows


def line(row: dict[str, object]) -> str:
    """One row as text."""
    text = f"{row['pool']:<12} {int(row['record']) >> 10:>5} KiB {row['what']:<6}"  # type: ignore[call-overload]
    text += f" {row['wall']:8.0f} MiB/s {row['cpu']:8.0f} MiB/CPU s"
    if "ratio_wall" in row:
        text += f"   OpenZFS {row['their_wall']:6.0f} {row['their_cpu']:6.0f}"
        text += f"   ratio {row['ratio_wall']:5.2f} by CPU {row['ratio_cpu']:5.2f}"
    return text


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--realzfs", metavar="PROGRAM", default=shutil.which("realzfs"))
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--files", type=int, default=10000, help="small files")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"), help="where pools are made")
    parser.add_argument("--threads", type=int, default=0, help="of ours; 0: one for each processor")
    parser.add_argument("--text", action="store_true", help="compressible data, compressed by lz4")
    parser.add_argument("--layouts", default=",".join(LAYOUTS), help=f"some of {', '.join(LAYOUTS)}")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = compare(
        options.realzfs, options.folder, options.mib, options.rounds, options.threads, options.text,
        options.layouts.split(","),
    )  # fmt: skip
    with tempfile.TemporaryDirectory(dir=options.folder) as place:
        small = small_files(Path(place), options.files)
    for what, speed in small.items():
        print(f"{options.files} small files {what}: {speed.wall:.0f} files/s, {speed.cpu:.0f} by CPU time")
    if options.json:
        figures = {what: [speed.wall, speed.cpu] for what, speed in small.items()}
        options.json.write_text(json.dumps({"rows": rows, "small": figures}, indent=1))


if __name__ == "__main__":
    main()
