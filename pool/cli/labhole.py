"""``uberblock lab writehole``: how often a crash and a lost disk give silently wrong data, layout by layout."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..lab.bars import svg_bars, text_bar
from ..lab.holecase import save_case, story
from ..lab.holepage import hole_page
from ..lab.writehole import RECORD, SHAPES, Case, Hole, HoleOptions, Tally, compare, parse_case, record
from .labpage import write_text
from .limits import natural, output_file, positive
from .main import Parser
from .output import print_table
from .progress import progress

#: Cases of each layout in a page, unless it is said how many.
SHOWN = 8
EPILOG = """\
The same workload (records of 4 KiB overwritten at random, with flushes) runs on each layout. Then the power fails:
crash states are built, disks are lost (each one, and on raid6 and raidz2 also each two), and all records are read. A
record is silently wrong if any 512 bytes of it are neither what was last flushed nor anything written since, and no
error says so. RAID-5 and RAID-6 are the textbook's: left-symmetric, changed in place, no journal.

examples:
  uberblock lab writehole --states 500 --svg hole.svg
  uberblock lab writehole --html hole.html                            the table, and cases with the rows they struck
  uberblock lab writehole --cases 3                                   lines of cases, to be looked at
  uberblock lab writehole --case "raid5 @169 only 161 without 2" --save CASE
"""


def run(argv: Sequence[str]) -> int:
    """Run ``lab writehole``; gives the exit status."""
    parser = Parser("lab writehole", "Shows the write hole of RAID-5 and RAID-6, and what raidz does instead.", EPILOG)
    parser.add_argument("--seed", type=int, default=1, help="what everything follows from (default 1)")
    parser.add_argument("--states", type=positive, default=200, metavar="N", help="crash states of each (default 200)")
    parser.add_argument("--rounds", type=positive, default=12, help="of the workload, each with a flush (default 12)")
    parser.add_argument("--writes", type=positive, default=5, help="records overwritten in a round (default 5)")
    parser.add_argument("--layouts", default=",".join(SHAPES), metavar="NAMES", help=f"some of {', '.join(SHAPES)}")
    parser.add_argument(
        "--cases", type=natural, metavar="N",
        help=f"name so many silently wrong cases of each (default 1; {SHOWN} in a page)",
    )  # fmt: skip
    parser.add_argument("--case", metavar="LINE", help="look at this one")
    parser.add_argument("--save", type=Path, metavar="DIR", help="with --case: its disks, the volume as read, and why")
    parser.add_argument("--svg", type=output_file, metavar="FILE", help="draw the result")
    parser.add_argument(
        "--html", type=output_file, metavar="FILE", help="write a page with the result, and cases to look at"
    )
    parser.add_argument("-j", "--json", action="store_true", help="print JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    args = parser.parse_args(argv)
    options = HoleOptions(seed=args.seed, rounds=args.rounds, writes=args.writes)
    if args.case:
        return _one(args, options)
    shapes = args.layouts.split(",")
    with progress("crash states", args.states * len(shapes), quiet=args.quiet, unit="states") as advance:
        tallies = compare(options, args.states, shapes, advance)
    if args.svg is not None:
        write_text(args.svg, _picture(tallies))
    if args.html is not None:
        write_text(args.html, _page(args, options, tallies))
    args.cases = 1 if args.cases is None else args.cases
    if args.json:
        print(json.dumps({"seed": args.seed, "layouts": [_document(one, args.cases) for one in tallies]}, indent=2))
    else:
        _print(tallies, args)
    # Mirrors and raidz promise that there is none.
    return int(any(one.outcomes["wrong"] for one in tallies if not SHAPES[one.shape].level))


def _page(args: Namespace, options: HoleOptions, tallies: Sequence[Tally]) -> str:
    shown = SHOWN if args.cases is None else args.cases
    cases: list[tuple[Case, Hole]] = []
    for one in tallies:
        if one.found[:shown]:
            hole = Hole(record(SHAPES[one.shape], options))
            cases += [(case, hole) for case in one.found[:shown]]
    facts = [
        f"seed {options.seed}; {options.records} records of {RECORD} bytes, {options.rounds} rounds, in each "
        f"{options.writes} records overwritten and a flush; the same writes on every layout"
    ]
    return hole_page(facts, tallies, cases, _again(args))


def _one(args: Namespace, options: HoleOptions) -> int:
    try:
        case = parse_case(args.case)
        hole = Hole(record(SHAPES[case.shape], options))
        print("\n".join(story(case, hole)))
    except ValueError as error:
        raise UsageError(f"lab writehole: {error}", "a case is looked at with the options that found it") from None
    if args.save is not None:
        print(*save_case(case, hole, args.save), sep="\n")
    return int(hole.outcome(case.state, case.lost)[0] == "wrong")


def _print(tallies: Sequence[Tally], args: Namespace) -> None:
    header = ["LAYOUT", "STATES", "CASES", "RIGHT", "ERROR", "WRONG", "BYSTANDER", "STATES WITH WRONG DATA"]
    rows = [
        [
            one.shape, str(one.states), str(one.cases), str(one.outcomes["right"]), str(one.outcomes["error"]),
            str(one.outcomes["wrong"]), str(one.bystanders), f"{text_bar(one.share)} {one.share:.1%}",
        ]
        for one in tallies
    ]  # fmt: skip
    print_table(header, rows, right=range(1, 7))
    print("\nSTATES: crash states. CASES: each of them with each loss of disks. WRONG: some record is silently wrong;")
    print("BYSTANDER: one that nobody was writing. ERROR: the volume cannot be read, and an error says so.")
    for one in tallies:
        if one.intact["right"] != one.states:
            print(f"{one.shape}: with all disks there, {one.states - one.intact['right']} states are not right")
        for case in one.found[: args.cases]:
            print(f'again: {_again(args)} "{case}"')


def _again(args: Namespace) -> str:
    words = (("seed", 1), ("rounds", 12), ("writes", 5))
    changed = "".join(f" --{name} {getattr(args, name)}" for name, usual in words if getattr(args, name) != usual)
    return f"uberblock lab writehole{changed} --case"


def _document(one: Tally, cases: int) -> dict[str, Any]:
    return {
        "layout": one.shape,
        "states": one.states,
        "cases": one.cases,
        "right": one.outcomes["right"],
        "error": one.outcomes["error"],
        "silently_wrong": one.outcomes["wrong"],
        "bystanders": one.bystanders,
        "states_with_silently_wrong": one.wrong_states,
        "all_disks_there": dict(one.intact),
        "found": [{"case": str(case), "records": list(case.records)} for case in one.found[:cases]],
    }


def _picture(tallies: Sequence[Tally]) -> str:
    title = "Crash states from which losing a disk gives silently wrong data"
    return svg_bars(title, [(one.shape, one.share, f"{one.wrong_states} of {one.states} states") for one in tallies])
