"""``uberblock lab powercut``: a user's own workload, and whether it survives power cuts."""

from __future__ import annotations

import json
import shlex
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from ..device.cachemode import CACHE_MODES
from ..errors import UsageError
from ..lab.crash import parse
from ..lab.explore import Report, explore
from ..lab.layouts import LAYOUTS
from ..lab.save import save
from ..lab.userwork import UserExplorer, UserOptions, UserRun, UserWorkload, acknowledged, record_user
from .limits import natural, positive
from .main import Parser
from .progress import progress

EPILOG = """\
WORKLOAD is a Python file with two or three functions:

    def setup(fs):                      # what is there before (optional); it is durable when run begins
        fs.write_bytes("/balance", b"100")

    def run(fs, acknowledge):           # the work, and what somebody is told
        for number in range(20):
            fs.write_bytes("/balance.new", b"%d" % number)
            fs.fsync("/balance.new")
            fs.rename("/balance.new", "/balance")
            fs.fsync("/")
            acknowledge(number)

    def check(fs, acknowledged):        # after a crash: what must hold
        balance = int(fs.read_bytes("/balance"))
        assert not acknowledged or balance >= acknowledged[-1], f"{balance} after {acknowledged[-1]} was promised"

fs has the calls of os and pathlib (open, write_bytes, rename, fsync, syncfs, transaction ...); a function may also ask
for pool. The work is recorded on simulated disks. Then the power fails: crash states keep any subset of the writes that
no flush had made durable, whole or torn. Each is imported, its intent log replayed, and check is called. A state with
which check is not content is shrunk to the writes that matter, and printed with the words that show it again. Exit
status 1: there is one.

examples:
  uberblock lab powercut work.py
  uberblock lab powercut work.py --sync disabled --layout raidz1 --states 20000 --processes 0
  uberblock lab powercut work.py --state "@812 lose 797,803" --save STATE && zdb -e -p STATE -d lab

There are workloads to begin with in examples/powercut.
"""


def run(argv: Sequence[str]) -> int:
    """Run ``lab powercut``; gives the exit status."""
    parser = Parser("lab powercut", "Cut the power while a workload of yours runs, at every moment.", EPILOG)
    parser.add_argument("workload", type=Path, metavar="WORKLOAD", help="a Python file")
    parser.add_argument("--layout", default="single", metavar="WORDS", help=f"one of {', '.join(LAYOUTS)}, or vdevs")
    parser.add_argument("--sync", default="standard", choices=("standard", "always", "disabled"), help="property")
    parser.add_argument("--logbias", default="latency", choices=("latency", "throughput"), help="property")
    parser.add_argument("--recordsize", default="128K", metavar="SIZE", help="property")
    parser.add_argument("--cache", default="writeback", choices=CACHE_MODES, help="of the disks")
    parser.add_argument("--txg", type=natural, default=25, help="a txg after so many changes (default 25; 0: none)")
    parser.add_argument("--seed", type=int, default=1, help="of the choice of states (default 1)")
    parser.add_argument("--states", type=positive, default=2000, metavar="N", help="crash states (default 2000)")
    parser.add_argument("--processes", type=natural, default=1, metavar="N", help="that share them; 0: one a processor")
    parser.add_argument("--stop", type=natural, default=0, metavar="N", help="end after so many findings")
    parser.add_argument("--whole", action="store_true", help="verify every block and account for all space, too")
    parser.add_argument("--state", metavar="LINE", help="look at this one state of the run")
    parser.add_argument("--save", type=Path, metavar="DIR", help="with --state: write its disks there as images")
    parser.add_argument("-j", "--json", action="store_true", help="print JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    args = parser.parse_args(argv)
    if args.save is not None and not args.state:
        raise UsageError("lab powercut: --save needs --state", "it was printed with the finding")
    found = record_user(
        UserWorkload(args.workload),
        UserOptions(
            layout=args.layout, seed=args.seed, sync=args.sync, logbias=args.logbias, recordsize=args.recordsize,
            txg=args.txg, cache=args.cache,
        ),
    )  # fmt: skip
    if args.state:
        return _one_state(args, found)
    states = found.choose(args.states)
    explorer = UserExplorer(found, whole=args.whole)
    with progress("crash states", len(states), quiet=args.quiet or args.json, unit="states") as advance:
        report = explore(
            explorer, states, processes=args.processes, stop_after=args.stop or None, progress=advance
        )
    _tell(args, found, report)
    return int(bool(report.wrong or found.failed))


def _one_state(args: Namespace, found: UserRun) -> int:
    explorer = UserExplorer(found, whole=args.whole, memo=False)
    try:
        state = parse(args.state)
        explorer.states.move(state.cut)
        pending = explorer.states.pending
        kept = {one.number for one in explorer.states.survivors(state)}
        wrong = explorer.wrong(state)
    except ValueError as error:
        raise UsageError(f"lab powercut: {error}", "a state is looked at with the options that found it") from None
    promised = acknowledged(found.journal, state.cut)
    paths = [] if args.save is None else save(explorer.states, state, args.save)
    if args.json:
        document = {
            "state": str(state), "acknowledged": len(promised), "wrong": wrong, "saved": [str(path) for path in paths],
            "pending": [{"event": number, "what": str(event), "kept": number in kept} for number, event in pending],
        }  # fmt: skip
        print(json.dumps(document, indent=2))
        return int(bool(wrong))
    print(f"the power fails at event {state.cut} of {len(found.journal)}; {len(pending)} writes are pending:")
    for number, event in pending:
        print(f"    {number}: {event}, {'kept' if number in kept else 'lost'}")
    print(f"acknowledged so far: {', '.join(map(repr, promised[-5:])) or 'nothing'}")
    print("\n".join(wrong) if wrong else "check is content")
    for path in paths:
        print(path)
    return int(bool(wrong))


def _tell(args: Namespace, found: UserRun, report: Report) -> None:
    promised = len(acknowledged(found.journal, len(found.journal)))
    if args.json:
        document = {
            "workload": str(args.workload), "layout": args.layout, "sync": args.sync, "seed": args.seed,
            "events": len(found.journal), "digest": found.journal.digest(), "acknowledged": promised,
            "failed": found.failed, "states": report.states, "checked": report.checked, "wrong": report.wrong,
            "seconds": round(report.seconds, 3),
            "findings": [
                {"state": str(one.state), "wrong": one.wrong, "shrunk": str(one.shrunk) if one.shrunk else None}
                for one in report.violations
            ],
        }  # fmt: skip
        print(json.dumps(document, indent=2))
        return
    what = f"{args.workload.name} on {args.layout}, sync={args.sync}"
    print(f"{what}: {len(found.journal)} events, {promised} acknowledged")
    if found.failed:
        print(found.failed)
    print(report)
    if report.violations:
        line = report.violations[0].shrunk or report.violations[0].state
        print(f'again: uberblock lab powercut {shlex.quote(str(args.workload))}{_again(args)} --state "{line}"')


def _again(args: Namespace) -> str:
    usual = (
        ("layout", "single"), ("sync", "standard"), ("logbias", "latency"), ("recordsize", "128K"),
        ("cache", "writeback"), ("txg", 25), ("seed", 1),
    )  # fmt: skip
    words = [f' --{name} "{getattr(args, name)}"' for name, value in usual if getattr(args, name) != value]
    return "".join(words) + (" --whole" if args.whole else "")
