"""``uberblock lab lies``: what cache modes and disks that ignore flushes cost when the power fails."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..lab.bars import svg_bars, text_bar
from ..lab.crash import parse
from ..lab.layers import BEHIND, LAYERS, record_layer
from ..lab.layouts import LAYOUTS, words_of
from ..lab.lies import Liar, Outcome, Tally, compare
from ..lab.page import Verdict
from ..lab.save import save
from ..lab.syncrun import SyncOptions
from ..lab.workload import RunOptions
from .labpage import write_page, write_text
from .limits import natural, output_file, positive
from .main import Parser
from .output import print_table
from .progress import progress

EPILOG = """\
The same workload runs through each layer, and Pool.sync() is what it is promised by; with --sync also fsync and its
like, and logs that wait are replayed where the pool opens plainly (whoever rewinds opens a txg as it was). Then the
power fails, at the same moments for each. The crash states are imported: plainly, and if something is lost with a
rewind, then with an extreme one. Beside that every txg that is still in the uberblock rings is tried: a rewind has to
find the newest of which nothing is lost. Whatever is read without an error must be what the model holds at that txg.

A disk that lies writes back by itself what is older than some txgs (--behind); a host does so after half a minute.

Exit status 1: wrong bytes were read, a whole txg was not found, or something was lost though no disk lies.

examples:
  uberblock lab lies
  uberblock lab lies --layout raidz1 --states 200 --svg lies.svg
  uberblock lab lies --layout mirrored-log --sync standard
  uberblock lab lies --layers unsafe,ignored --behind 2 --cases 3
  uberblock lab lies --case "unsafe @1053 none" --save STATE --html case.html
"""

LEGEND = """
FLUSHES: that were done. IGNORED: that were answered only. PLAIN, REWIND, EXTREME: what it took to open the pool whole;
NO: nothing did. MENDED: redundancy made something good. SILENT: opens plainly and whole, without txgs that had been
acknowledged. TXGS: that are gone, at least and at most. WRONG: states in which a byte was read that was never so.\
"""


def run(argv: Sequence[str]) -> int:
    """Run ``lab lies``; gives the exit status."""
    args = _parser().parse_args(argv)
    if not args.case and (args.html or args.save):
        raise UsageError("lab lies: --html and --save need --case", "lines of cases are printed below the table")
    words = {"layout": args.layout, "seed": args.seed, "txgs": args.txgs, "steps": args.steps}
    options = SyncOptions(**words, sync=args.sync) if args.sync else RunOptions(**words)
    if args.case:
        return _one(args, options)
    several = words_of(args.layout).count(".") > 1
    layers = args.layers.split(",") if args.layers else [
        one.name for one in LAYERS.values() if several or one.liars != "one"
    ]  # fmt: skip
    with progress("crash states", args.states * len(layers), quiet=args.quiet or args.json, unit="states") as advance:
        tallies = compare(options, args.states, layers, args.behind, advance)
    if args.svg is not None:
        write_text(args.svg, _picture(tallies, args.layout))
    if args.json:
        facts = {"layout": args.layout, "seed": args.seed, "txgs": args.txgs, "behind": args.behind, "sync": args.sync}
        print(json.dumps({**facts, "layers": [_document(one, args.cases) for one in tallies]}, indent=2))
    else:
        _print(tallies, args)
    return int(any(one.broken for one in tallies))


def _parser() -> Parser:
    parser = Parser("lab lies", "Compares cache modes and disks that ignore flushes, by what they lose.", EPILOG)
    add = parser.add_argument
    add("--layout", default="mirror", metavar="WORDS",
        help=f"one of {', '.join(LAYOUTS)}, or vdevs in zpool create's words, a dot for each disk (default mirror)"
        )  # fmt: skip
    add("--seed", type=int, default=1, help="what everything follows from (default 1)")
    add("--states", type=positive, default=40, metavar="N", help="crash states of each layer (default 40)")
    add("--txgs", type=positive, default=12, help="of the workload (default 12)")
    add("--steps", type=positive, default=12, help="changes of a txg, on average (default 12)")
    add("--behind", type=positive, default=BEHIND, metavar="N",
        help=f"txgs that a lying disk keeps in its cache (default {BEHIND})")  # fmt: skip
    add("--sync", choices=("standard", "always"),
        help="property of all datasets; things are asked to be durable between txgs; logs are replayed")  # fmt: skip
    add("--layers", default="", metavar="NAMES", help=f"some of {', '.join(LAYERS)}")
    add("--cases", type=natural, default=1, metavar="N", help="name so many states that lost something (default 1)")
    add("--case", metavar="LINE", help="look at this one: a layer and a state")
    add("--save", type=Path, metavar="DIR", help="with --case: write its disks there as images")
    add("--html", type=output_file, metavar="FILE", help="with --case: write a page with a timeline")
    add("--svg", type=output_file, metavar="FILE", help="draw the result")
    add("-j", "--json", action="store_true", help="print JSON")
    add("-q", "--quiet", action="store_true", help="no progress")
    return parser


def _one(args: Namespace, options: RunOptions) -> int:
    name, _, line = args.case.partition(" ")
    if name not in LAYERS:
        raise UsageError(f"lab lies: {args.case!r} names no case", f"it begins with one of {', '.join(LAYERS)}")
    layer = LAYERS[name]
    print(f"{name}: {layer.words}")
    liar = Liar(record_layer(options, layer, args.behind))
    try:
        state = parse(line)
        found = liar.outcome(state)
    except ValueError as error:
        raise UsageError(f"lab lies: {error}", "a case is looked at with the options that found it") from None
    print(f"{len(liar.states.pending)} writes are pending at event {state.cut} of {len(liar.run.journal)}")
    print(*_story(found), sep="\n")
    if args.html is not None:
        facts = [f"layout {args.layout}, seed {args.seed}, {args.txgs} txgs", f"{name}: {layer.words}"]
        write_page(args.html, liar.states, state, f"A power cut behind a layer: {name}", facts, _verdict(found))
    if args.save is not None:
        print(*save(liar.states, state, args.save), sep="\n")
    return int(bool(found.wrong or found.missed))


def _story(found: Outcome) -> list[str]:
    newest = f"the newest whole txg is {found.newest}" if found.newest >= 0 else "no txg is whole"
    return [str(found), newest + (", and it was not found" if found.missed else ""), *found.wrong]


def _verdict(found: Outcome) -> Verdict:
    """What a page says."""
    if found.wrong or found.missed:
        return Verdict("bad", ["Something is wrong.", *_story(found)], found.txg)
    if found.txg < 0:
        return Verdict("loss", ["The pool cannot be opened whole, and errors say so.", *_story(found)], -1)
    if found.replayed.gone and not found.back:
        return Verdict("loss", [f"{found.replayed.gone} acknowledged requests are gone.", *_story(found)], found.txg)
    if found.back:
        told = ", and nobody is told." if found.opened == "plain" else ", and the import says so."
        return Verdict("loss", [f"{found.back} acknowledged txgs are gone{told}", *_story(found)], found.txg)
    return Verdict("good", ["Nothing that was acknowledged is gone.", *_story(found)], found.txg)


def _print(tallies: Sequence[Tally], args: Namespace) -> None:
    header = ["LAYER", "FLUSHES", "IGNORED", "STATES", "PLAIN", "REWIND", "EXTREME", "NO", "MENDED", "SILENT", "TXGS",
              *(["REQUESTS"] if args.sync else []), "WRONG", "STATES THAT LOST SOMETHING"]  # fmt: skip
    rows = []
    for one in tallies:
        ways = [str(one.ways[way]) for way in ("plain", "rewind", "extreme", "no")]
        requests = [_range(one.requests)] if args.sync else []
        rows.append([
            one.layer.name, str(one.flushes), str(one.ignored), str(one.states), *ways, str(one.mended),
            str(one.silent), _range(one.back), *requests, str(one.wrong), f"{text_bar(one.share)} {one.share:.1%}",
        ])  # fmt: skip
    print_table(header, rows, right=range(1, len(header) - 1))
    print(LEGEND)
    if args.sync:
        print(
            "REQUESTS: fsync and its like that had returned, and what they promised is not there; at least and at most."
        )
    for one in tallies:
        if one.fell:
            fell = ", ".join(f"{txg} ({count})" for txg, count in sorted(one.fell.items()))
            back = ", ".join(f"{txgs} ({count})" for txgs, count in sorted(one.back.items()))
            print(f"{one.layer.name}: acknowledged txgs gone (states): {back}; opened at txg (states): {fell}")
        if one.partial:
            print(f"{one.layer.name}: in {one.partial} states a log ended within a request, or could not be replayed")
        if one.missed:
            print(f"{one.layer.name}: in {one.missed} states a newer whole txg was not found")
        for case in [*one.faults, *one.named][: args.cases]:
            print(f'again: uberblock lab lies{_again(args)} --case "{one.layer.name} {case.state}"')


def _range(back: Counter[int]) -> str:
    if not back:
        return "-"
    return str(min(back)) if min(back) == max(back) else f"{min(back)}-{max(back)}"


def _again(args: Namespace) -> str:
    usual = {"layout": "mirror", "seed": 1, "txgs": 12, "steps": 12, "behind": BEHIND}
    words = [(name, getattr(args, name)) for name in usual if getattr(args, name) != usual[name]]
    words += [("sync", args.sync)] if args.sync else []
    return "".join(f' --{name} "{value}"' if isinstance(value, str) else f" --{name} {value}" for name, value in words)


def _document(one: Tally, cases: int) -> dict[str, Any]:
    return {
        "layer": one.layer.name,
        "flushes": one.flushes,
        "ignored": one.ignored,
        "states": one.states,
        "opened": {way: one.ways[way] for way in ("plain", "rewind", "extreme", "no")},
        "lost_something": one.losing,
        "silently": one.silent,
        "txgs_back": {str(txgs): count for txgs, count in sorted(one.back.items())},
        "opened_at": {str(txg): count for txg, count in sorted(one.fell.items())},
        "requests_gone": {str(count): states for count, states in sorted(one.requests.items())},
        "logs_in_part": one.partial,
        "mended": one.mended,
        "open_with_damage": one.damaged,
        "whole_txg_not_found": one.missed,
        "wrong_bytes": one.wrong,
        "found": [{"case": f"{one.layer.name} {case.state}", "story": _story(case)}
                  for case in [*one.faults, *one.named][:cases]],
    }  # fmt: skip


def _picture(tallies: Sequence[Tally], layout: str) -> str:
    rows = []
    for one in tallies:
        note = f"{one.losing} of {one.states} states"
        note += f", {_range(one.back)} txgs" if one.back else ""
        rows.append((one.layer.name, one.share, note))
    return svg_bars(f"Power cuts that lost what was acknowledged ({layout})", rows)
