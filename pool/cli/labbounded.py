"""``uberblock lab bounded``: all workloads of a few operations, and all crash states of each."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ..errors import UsageError
from ..lab.bounded import OPERATIONS, REQUESTS, Bounded, BoundedRuns, workloads
from ..lab.layouts import LAYOUTS
from ..lab.syncrun import SyncOptions
from .limits import natural
from .main import Parser
from .progress import progress

EPILOG = f"""\
A file system has two files (a, b) and a directory with one below it (d/f). Each workload does one, two or three of
these operations, as far as they can be done, and then asks for something to be durable. Every crash state of it is
recovered: what was there before, what was asked for, and nothing else. Exit status 1: something is wrong.

operations: {", ".join(OPERATIONS)}
requests:   {", ".join(REQUESTS)}

examples:
  uberblock lab bounded                                              all workloads of one operation
  uberblock lab bounded --length 2 --processes 0                     all of two: 1680, for most of an hour
  uberblock lab bounded --length 3 --count 200 --layout mirrored-log
  uberblock lab bounded --workload "rename a over b; fsync b"
"""


def run(argv: Sequence[str]) -> int:
    """Run ``lab bounded``; gives the exit status."""
    parser = Parser("lab bounded", "Every workload of a few operations, with the power cut at every moment.", EPILOG)
    parser.add_argument("--length", type=int, default=1, choices=(1, 2, 3), help="operations (default 1)")
    parser.add_argument("--count", type=natural, default=0, metavar="N", help="a sample of so many; 0: all")
    parser.add_argument("--layout", default="single", metavar="WORDS", help=f"one of {', '.join(LAYOUTS)}, or vdevs")
    parser.add_argument("--sync", default="standard", choices=("standard", "always"), help="property")
    parser.add_argument("--logbias", default="latency", choices=("latency", "throughput"), help="property")
    parser.add_argument("--seed", type=int, default=1, help="of the sample, and of the pool's chance (default 1)")
    parser.add_argument("--processes", type=natural, default=1, metavar="N", help="that share them; 0: one a processor")
    parser.add_argument("--workload", metavar="LINE", help="this one: operations; a request")
    parser.add_argument("-j", "--json", action="store_true", help="print JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    args = parser.parse_args(argv)
    try:
        chosen = [Bounded.parse(args.workload)] if args.workload else workloads(args.length, args.count, args.seed)
    except ValueError as error:
        raise UsageError(f"lab bounded: {error}", "lab bounded --help names operations and requests") from None
    options = SyncOptions(layout=args.layout, seed=args.seed, sync=args.sync, logbias=args.logbias)
    runs = BoundedRuns(options)
    with progress("workloads", len(chosen), quiet=args.quiet or args.json, unit="workloads") as advance:
        for work, lines in runs.explore_all(chosen, args.processes):
            if not args.json:
                print("".join(f"{work}\n{line}\n" for line in lines), end="")
            advance(1)
    if args.json:
        wrong = [{"workload": str(work), "wrong": line} for work, line in runs.wrong]
        found = {"workloads": len(chosen), "states": runs.report.states, "checked": runs.report.checked, "wrong": wrong}
        print(json.dumps({**found, "layout": args.layout, "sync": args.sync, "seed": args.seed}, indent=2))
    else:
        print(f"{len(chosen)} workloads on {args.layout}, sync={args.sync}: {runs.report}")
        for work, _ in runs.wrong[:1]:
            print(f'again: uberblock lab bounded --layout "{args.layout}" --sync {args.sync} --workload "{work}"')
    return int(bool(runs.wrong))
