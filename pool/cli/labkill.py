"""``uberblock lab kill``: a real process on a real pool, killed at random moments."""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from ..device.cachemode import CACHE_MODES
from ..lab.judges import zdb_complaints
from ..lab.kill import POOL, KillOptions, KillReport, default_workload, kill_rounds, prepare
from ..lab.layouts import LAYOUTS
from ..lab.userwork import UserWorkload
from .limits import at_least, positive, seconds
from .main import Parser
from .progress import progress

EPILOG = """\
A pool is made on files: a dot in the layout is one in DIR, others are named by their paths; what a file held is gone.
A process works on the pool and says over a pipe what it has been promised; at a random moment it is killed with
SIGKILL, sometimes while it still replays what the one before had left. Then the pool is imported, checked, and
exported, or left as it is. And again. At the end zdb judges the pool, if it is there.

WORKLOAD is a file as for "lab powercut"; its run has to go on where the pool is (it may ask for acknowledged), and what
it acknowledges is numbers, text or lists. Without one, a log grows and files replace each other. The seed gives the
same share of each process's time, but no clock runs twice alike. Exit status 1: something was wrong.

examples:
  uberblock lab kill --rounds 100
  uberblock lab kill examples/powercut/append.py --layout raidz1 --seed 7 --whole
  uberblock lab kill --layout "mirror /fast/a.img /slow/b.img log /fast/log.img"
"""


def run(argv: Sequence[str]) -> int:
    """Run ``lab kill``; gives the exit status."""
    parser = Parser("lab kill", "Kill a process that works on a pool, again and again.", EPILOG)
    parser.add_argument("workload", type=Path, nargs="?", metavar="WORKLOAD", help="a Python file")
    known = ", ".join(LAYOUTS)
    parser.add_argument(
        "--layout", default="single", metavar="WORDS", help=f"one of {known}, or vdevs in zpool create's words"
    )
    parser.add_argument("--rounds", type=positive, default=20, metavar="N", help="processes (default 20)")
    parser.add_argument(
        "--seconds", type=seconds(zero=False), default=1.0, metavar="S", help="that one works at most (default 1)"
    )
    parser.add_argument(
        "--txg", type=seconds(zero=True), default=0.2, metavar="S", help="seconds between txgs (default 0.2)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default 1)")
    parser.add_argument("--size", type=at_least(64), default=256, metavar="MIB", help="of each file (default 256)")
    parser.add_argument("--cache", default="writeback", choices=CACHE_MODES, help="how files are opened")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="where the files are made, and kept")
    parser.add_argument("--whole", action="store_true", help="verify every block and account for all space each time")
    parser.add_argument("-j", "--json", action="store_true", help="print JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    args = parser.parse_args(argv)
    workload = default_workload() if args.workload is None else UserWorkload(args.workload)
    folder = args.dir or Path(tempfile.mkdtemp(prefix="lab-kill."))
    folder.mkdir(parents=True, exist_ok=True)
    report, complaints = KillReport(), list[str]()
    try:
        report, complaints = _kill(args, workload, folder)
    finally:
        if args.dir is None and not (report.wrong or complaints):
            shutil.rmtree(folder)
    wrong = report.wrong + complaints
    if args.json:
        print(json.dumps({**asdict(report), "seed": args.seed, "layout": args.layout, "zdb": complaints}, indent=2))
    else:
        killed = report.rounds - report.ended
        print(
            f"{report.rounds} processes, {killed} killed ({report.early} before their pool was open);"
            f" {report.acknowledged} acknowledgements, {report.replayed} log records replayed; {len(wrong)} wrong"
        )
        print("\n".join(wrong[:50]), end="\n" if wrong else "")
        if wrong:
            print(f"the files of DIR are in {folder}; layout {args.layout}, seed {args.seed}")
    return int(bool(wrong))


def _kill(args: Namespace, workload: UserWorkload, folder: Path) -> tuple[KillReport, list[str]]:
    numbers = itertools.count()
    words = [
        str(folder / f"d{next(numbers)}.img") if word == "." else word
        for word in LAYOUTS.get(args.layout, args.layout).split()
    ]
    places = prepare(words, args.size << 20, workload)
    options = KillOptions(args.rounds, args.seed, args.seconds, args.txg, args.cache, args.whole)
    with progress("rounds", args.rounds, quiet=args.quiet or args.json, unit="rounds") as advance:
        report = kill_rounds(workload, places, options, advance)
    zdb = shutil.which("zdb", path="/usr/sbin:/sbin:/usr/bin:/usr/local/sbin")
    return report, zdb_complaints(zdb, map(Path, places), POOL) if zdb else []
