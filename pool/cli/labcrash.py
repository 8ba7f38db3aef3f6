"""``uberblock lab crash``: crash states of recorded runs, each imported and verified."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from ..device.cachemode import CACHE_MODES
from ..errors import UsageError
from ..lab.crash import CrashState, States, parse
from ..lab.explore import Explorer, Report, explore
from ..lab.layouts import LAYOUTS
from ..lab.losing import bears_loss, explorer_of, record_losing
from ..lab.save import save
from ..lab.syncrun import SyncOptions, record_sync, sync_explorer
from ..lab.workload import Run, RunOptions, choose, record
from .labpage import crash_page
from .limits import natural, output_file, positive, sector
from .main import Parser
from .progress import progress

EPILOG = """\
A run makes a pool on simulated disks, changes it for some txgs, and exports it; everything follows from the seed. Its
crash states are what a power cut may leave: any subset of the writes that no flush had made durable, whole or torn.
Each is imported, every block verified, all space accounted for, and the content held against a model. What is wrong is
printed with the words that show it again. Exit status 1: something was.

With --sync files, file systems and volumes are asked to be durable now and then (fsync), or with "always" every change
is. Crash states are then imported for writing, intent logs replayed, and what had been acknowledged has to be there.

examples:
  uberblock lab crash --seed 1 --states 10000
  uberblock lab crash --sync standard --layout log --states 10000
  uberblock lab crash --lose gone --states 10000
  uberblock lab crash --layout raidz2 --txgs 10 --states 100000 --processes 0
  uberblock lab crash --layout "mirror . . log ." --seed 3 --state "@812 random 17" --save STATE
  zdb -e -p STATE -bcc lab
  uberblock lab crash --layout mirror --states 500 --html crash.html          to be shown on a screen
"""


def run(argv: Sequence[str]) -> int:
    """Run ``lab crash``; gives the exit status."""
    args = _parser().parse_args(argv)
    return _one_state(args) if args.state else _explore(args)


def _parser() -> Parser:
    parser = Parser("lab crash", "Explore the crash states of pools on simulated disks.", EPILOG)
    known = ", ".join(LAYOUTS)
    parser.add_argument(
        "--layout",
        default="",
        metavar="WORDS",
        help=f"one of {known}, or vdevs in zpool create's words, a dot for each disk; without it all of these in turn",
    )
    parser.add_argument("--seed", type=int, default=1, help="what the run follows from (default 1)")
    parser.add_argument("--txgs", type=positive, default=6, help="txgs of a run (default 6)")
    parser.add_argument("--steps", type=positive, default=12, help="changes of a txg, on average (default 12)")
    parser.add_argument("--sector", type=sector, default=512, help="bytes that are written whole or not (default 512)")
    parser.add_argument("--cache", default="writeback", choices=CACHE_MODES, help="of the disks")
    parser.add_argument(
        "--lose", choices=("back", "gone"),
        help="one disk is away now and then, vanishes, or fails; in the crash states it is back as it is, or gone",
    )  # fmt: skip
    parser.add_argument(
        "--sync", choices=("standard", "always", "disabled"),
        help="property of all datasets; things are asked to be durable, and crash states are recovered from their logs",
    )  # fmt: skip
    parser.add_argument("--logbias", default="latency", choices=("latency", "throughput"), help="property, with --sync")
    parser.add_argument("--states", type=positive, default=10_000, metavar="N", help="states to check (default 10000)")
    parser.add_argument("--processes", type=natural, default=1, metavar="N", help="that share them; 0: one a processor")
    parser.add_argument("--stop", type=natural, default=0, metavar="N", help="end after so many violations")
    parser.add_argument("--state", metavar="LINE", help="check this one state of the run, say everything found")
    parser.add_argument("--save", type=Path, metavar="DIR", help="with --state: write its disks there as images")
    parser.add_argument(
        "--html", type=output_file, metavar="FILE",
        help="write a page with a timeline: of --state, or else of the first violation or of a state with much to see",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object for each run")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    return parser


def _options(args: Namespace, layout: str, seed: int) -> RunOptions:
    words = {
        "layout": layout, "seed": seed, "txgs": args.txgs, "steps": args.steps, "sector": args.sector,
        "cache": args.cache,
    }  # fmt: skip
    if args.sync and args.lose:
        raise UsageError("lab crash: --sync and --lose are two kinds of runs", "take one of them")
    try:
        if args.sync:
            return SyncOptions(**words, sync=args.sync, logbias=args.logbias)
        return RunOptions(**words)
    except ValueError as error:
        raise UsageError(f"lab crash: {error}") from None


def _recorded(args: Namespace, options: RunOptions, *, memo: bool = True) -> tuple[Run, Explorer, str]:
    """A run, an explorer of its crash states, and the disk that is lost in it, if one is."""
    if isinstance(options, SyncOptions):
        found = record_sync(options)
        return found, sync_explorer(found, memo=memo), ""
    if args.lose is None:
        found = record(options)
        return found, Explorer(found.journal, found.history, memo=memo), ""
    found, lost = record_losing(options)
    return found, explorer_of(found, lost, gone=args.lose == "gone", memo=memo), found.disks[lost].name


def _one_state(args: Namespace) -> int:
    if not args.layout:
        raise UsageError("lab crash: --state needs --layout", "it was printed with the state")
    try:
        state = parse(args.state)
    except ValueError as error:
        raise UsageError(f"lab crash: {error}") from None
    found, explorer, lost = _recorded(args, _options(args, args.layout, args.seed), memo=False)
    try:
        wrong = explorer.wrong(state)
    except ValueError as error:
        raise UsageError(f"lab crash: {error}", "is it a state of this run?") from None
    explorer.states.move(state.cut)
    print(f"{len(explorer.states.pending)} writes are pending at event {state.cut} of {len(found.journal)}")
    if lost:
        print(f"{lost} is the one that is lost")
    print(f"the pool opens at txg {explorer.found(state).txg}" if explorer.found(state).txg >= 0 else "no pool opens")
    print("\n".join(wrong) if wrong else "nothing is wrong")
    if args.save is not None:
        for path in save(explorer.states, state, args.save):
            print(path)
    if args.html is not None:
        _page(args, found, explorer, state, lost)
    return 1 if wrong else 0


def _page(args: Namespace, run: Run, explorer: Explorer, state: CrashState, lost: str) -> None:
    facts = [
        f"layout {run.options.layout}, seed {run.options.seed}, {run.options.txgs} txgs, disks {run.options.cache}"
    ]
    if args.sync:
        facts.append(f"sync={args.sync}, logbias={args.logbias}: crash states are recovered from their intent logs")
    if lost:
        facts.append(f"the disk {lost} is lost now and then, and is {args.lose} in the crash state")
    crash_page(args.html, run, explorer, state, facts)
    print(f"page of {run.options.layout}, seed {run.options.seed}, {state}: {args.html}", file=sys.stderr)


def _worth_showing(run: Run, states: Sequence[CrashState], report: Report) -> CrashState:
    """The first violation, or the state in which much is lost and much survives."""
    if report.violations:
        return report.violations[0].shrunk or report.violations[0].state
    builder = States(run.journal)

    def mixed(state: CrashState) -> tuple[int, int]:
        kept = builder.survivors(state)
        lost, torn = len(builder.pending) - len(kept), sum(one.sectors != -1 for one in kept)
        return min(lost, len(kept) - torn), torn

    return max(states, key=mixed)


def _explore(args: Namespace) -> int:
    """Runs with one seed after the other, over the layouts, until enough states were checked."""
    layouts = [args.layout] if args.layout else [one for one in LAYOUTS if args.lose is None or bears_loss(one)]
    total, seed, shown = Report(), args.seed, False
    with progress("crash states", args.states, quiet=args.quiet or args.json, unit="states") as advance:
        while total.states < args.states and not (args.stop and total.wrong >= args.stop):
            for layout in layouts:
                # Shared out evenly over the layouts of a round, and never one state of a run only.
                share = min(args.states - total.states, max(500, args.states // len(layouts)))
                if share <= 0:
                    break
                options = _options(args, layout, seed)
                found, explorer, lost = _recorded(args, options)
                states = choose(found, share)
                part = explore(
                    explorer, states, processes=args.processes, stop_after=args.stop or None, progress=advance
                )
                _tell(args, options, found, part)
                if args.html is not None and (not shown or (part.violations and not total.violations)):
                    _page(args, found, explorer, _worth_showing(found, states, part), lost)
                    shown = True
                total.add(part)
                total.seconds += part.seconds
            seed += 1
    if not args.json:
        print(f"in all: {replace(total, violations=[])!s}")
    return 1 if total.wrong else 0


def _tell(args: Namespace, options: RunOptions, found: Run, report: Report) -> None:
    if args.json:
        record_ = {
            "layout": options.layout,
            "seed": options.seed,
            "txgs": options.txgs,
            "sync": args.sync,
            "events": len(found.journal),
            "digest": found.journal.digest(),
            "states": report.states,
            "checked": report.checked,
            "wrong": report.wrong,
            "by_kind": dict(report.by_word),
            "seconds": round(report.seconds, 3),
            "violations": [
                {"state": str(one.state), "wrong": one.wrong, "shrunk": str(one.shrunk) if one.shrunk else None}
                for one in report.violations
            ],
        }
        print(json.dumps(record_))
        return
    print(f"{options.layout}, seed {options.seed}: {len(found.journal)} events; {report}")
    if report.violations:
        defaults = asdict(RunOptions())
        more = "".join(
            f" --{name} {value}"
            for name, value in asdict(options).items()
            if name in ("steps", "sector", "cache", "logbias") and value != defaults.get(name, "latency")
        )
        more += f" --sync {args.sync}" if args.sync else ""
        more += f" --lose {args.lose}" if args.lose else ""
        line = report.violations[0].shrunk or report.violations[0].state
        print(
            f'again: uberblock lab crash --layout "{options.layout}" --seed {options.seed} --txgs {options.txgs}{more} '
            f'--state "{line}"'
        )
