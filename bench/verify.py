"""How fast ``uberblock verify`` and import are, beside zdb and beside a scrub by OpenZFS's own code.

    python -m bench.verify --realzfs PROGRAM [--mib 1024] [--rounds 3] [--json FILE]
    python -m bench.verify --dir DIR --pool NAME [--realzfs PROGRAM]

The first form makes pools (one disk, raidz2 of six, raidz2 with 8 KiB records) with PROGRAM, which drives OpenZFS's
storage engine in user space (commands create, dataset, write, import, scrub, export, with a line of seconds and CPU
seconds after each). The second measures a pool that exists; it must be exported. Programs run in turn, round by round,
and medians are compared, so that a machine whose speed drifts does not favour anybody. Figures are of whole processes;
beside OpenZFS's scrub, which its program times alone, stands our verification alone ("verify step").
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

UBERBLOCK = [sys.executable, "-m", "uberblock.pool.cli.main"]


@dataclass(frozen=True)
class Run:
    """Seconds of one run, its CPU seconds, and the largest memory of a child so far in MiB."""

    wall: float
    cpu: float
    rss_mib: float = 0.0


def timed(*words: str) -> Run:
    """Run a program to its end; whole-process figures."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status")
        try:
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        except OSError:
            break
        peak = max(peak, int(found[1]) if found else 0)
        time.sleep(0.02)
    process.wait()
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode not in (0, 1):
        raise SystemExit(f"{words[0]} ended with status {process.returncode}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(wall, cpu, peak / 1024)


def scrub(realzfs: str, folder: Path, pool: str) -> Run:
    """A scrub by OpenZFS's engine: the seconds it reports for that step."""
    words = [realzfs, "-d", str(folder), "import", pool, ",", "scrub", pool, ",", "export", pool]
    output = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    line = next(line for line in output.splitlines() if line.startswith("scrub ") and "cpu" in line)
    numbers = re.search(r"scrub\s+([\d.]+) s.*cpu\s+([\d.]+) s", line)
    assert numbers is not None
    return Run(float(numbers[1]), float(numbers[2]))


def verify_report(folder: Path, pool: str) -> dict[str, float]:
    """What verify says of itself: bytes read, seconds of the verification alone."""
    words = [*UBERBLOCK, "verify", "-q", "-j", "-d", str(folder), pool]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def verify_step(folder: Path, pool: str) -> Run:
    """The verification alone; its CPU seconds are those of the process less those of opening a pool."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = verify_report(folder, pool)
    between = resource.getrusage(resource.RUSAGE_CHILDREN)
    timed(*UBERBLOCK, "zdb", "-p", str(folder), "-C", pool)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    whole = between.ru_utime + between.ru_stime - before.ru_utime - before.ru_stime
    opening = after.ru_utime + after.ru_stime - between.ru_utime - between.ru_stime
    return Run(report["seconds"], max(0.0, whole - opening))


def measure(folder: Path, pool: str, realzfs: str | None, rounds: int) -> dict[str, list[Run]]:
    """All programs, in turn, ``rounds`` times after a warm-up."""
    zdb = shutil.which("zdb", path="/usr/sbin:/sbin:/usr/bin") or "zdb"
    programs: dict[str, Callable[[], Run]] = {
        "uberblock verify": lambda: timed(*UBERBLOCK, "verify", "-q", "-d", str(folder), pool),
        "zdb -cc": lambda: timed(zdb, "-e", "-p", str(folder), "-cc", pool),
        "uberblock zdb -C": lambda: timed(*UBERBLOCK, "zdb", "-p", str(folder), "-C", pool),
        "zdb -C": lambda: timed(zdb, "-e", "-p", str(folder), "-C", pool),
    }
    if realzfs:
        # Last: it imports and exports the pool, and so writes to it.
        programs["verify step"] = lambda: verify_step(folder, pool)
        programs["OpenZFS scrub"] = lambda: scrub(realzfs, folder, pool)
    runs: dict[str, list[Run]] = {name: [] for name in programs}
    for round_ in range(rounds + 1):
        for name, program in programs.items():
            result = program()
            if round_:
                runs[name].append(result)
    return runs


def make_pools(realzfs: str, base: Path, mib: int) -> list[tuple[str, Path]]:
    """Pools with random data, written by OpenZFS's engine."""
    shapes = [
        ("bench-single", [], 1, 131072),
        ("bench-raidz2", ["raidz2"], 6, 131072),
        ("bench-8k", ["raidz2"], 6, 8192),
    ]
    made = []
    for name, vdev, disks, record in shapes:
        folder = base / name
        folder.mkdir(parents=True)
        size = f"{max(128, mib * (3 if record < 131072 else 2) // disks + 128)}M"
        images = [str(folder / f"d{i}.img") for i in range(disks)]
        words = [realzfs, "-q", "create", "-s", size, name, *vdev, *images, ",", "dataset", f"{name}/a", ",", "write",
                 "-m", str(mib if record >= 131072 else mib // 2), "-r", str(record), "-p", "random", f"{name}/a", ",",
                 "export", name]  # fmt: skip
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        made.append((name, folder))
    return made


def report(name: str, folder: Path, runs: dict[str, list[Run]]) -> dict[str, object]:
    """Print a table for one pool; gives the figures."""
    size = int(verify_report(folder, name)["bytes"])
    print(f"\n{name}: {size / 1e6:.0f} MB allocated")
    print(f"{'program':<20} {'wall s':>8} {'cpu s':>8} {'MB/s':>8} {'MB/cpu s':>9} {'MiB rss':>8}")
    rows: dict[str, object] = {"bytes": size}
    for program, results in runs.items():
        wall = statistics.median(r.wall for r in results)
        cpu = statistics.median(r.cpu for r in results)
        rss = max(r.rss_mib for r in results)
        whole = "-C" not in program
        rate = f"{size / wall / 1e6:8.0f} {size / cpu / 1e6:9.0f}" if whole else f"{'':8} {'':9}"
        print(f"{program:<20} {wall:8.3f} {cpu:8.3f} {rate} {rss or float('nan'):8.0f}")
        rows[program] = {"wall_s": wall, "cpu_s": cpu, "rss_mib": rss}
    pairs = (
        ("uberblock verify", "zdb -cc"),
        ("verify step", "OpenZFS scrub"),
        ("uberblock zdb -C", "zdb -C"),
    )
    for ours, theirs in pairs:
        if theirs in runs:
            ratio = statistics.median(r.wall for r in runs[theirs]) / statistics.median(r.wall for r in runs[ours])
            print(f"{ours} is {ratio:.2f} times as fast as {theirs}")
            rows[f"{ours} / {theirs}"] = ratio
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--realzfs", help="program that drives OpenZFS's engine in user space")
    parser.add_argument("--dir", type=Path, help="folder of an exported pool's images")
    parser.add_argument("--pool", help="its name")
    parser.add_argument("--mib", type=int, default=1024, help="data to write into each pool that is made")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures there")
    args = parser.parse_args()
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as temporary:
        if args.dir:
            targets = [(args.pool, args.dir)]
        elif args.realzfs:
            targets = make_pools(args.realzfs, Path(temporary), args.mib)
        else:
            parser.error("give --realzfs, or --dir and --pool")
        for name, folder in targets:
            figures[name] = report(name, folder, measure(folder, name, args.realzfs, args.rounds))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
