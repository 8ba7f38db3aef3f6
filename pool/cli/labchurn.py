"""``uberblock lab churn``: long runs of random changes on image files, judged every so often."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from .limits import at_least, natural, positive
from .main import Parser
from .progress import progress

if TYPE_CHECKING:
    from ..lab.churn import ChurnOptions, ChurnReport, Judge

EPILOG = """\
A run makes a pool on image files and changes it step by step: files, links, attributes, directories, datasets and their
properties, volumes, groups of changes some of which are taken back. It fills the pool until there is no room, goes on
in a full pool, and removes until most is gone, again and again. Every so many steps the pool is exported, or let go of
as in a crash; then every block is verified, all space accounted for, the content held against a model, and every judge
that was named is asked. Half of the crashes come after changes that only intent logs know; these must be there when the
logs have been replayed. Everything follows from the seed. Exit status 1: something is wrong; the images are kept.

examples:
  uberblock lab churn --layout raidz2 --seed 7 --steps 100000
  uberblock lab churn --steps 100000 --zdb zdb                       every layout in turn, zdb is asked too
  uberblock lab churn --layout "mirror . . log ." --ashift 9 --zdb zdb --judge 'my-judge {dir} {pool}'
"""


def run(argv: Sequence[str]) -> int:
    """Run ``lab churn`` with the words after it."""
    args = _parser().parse_args(argv)
    from ..lab.churn import CHURN_LAYOUTS, ChurnOptions

    judges = _judges(args)
    wrong = False
    for layout in [args.layout] if args.layout else list(CHURN_LAYOUTS):
        options = ChurnOptions(
            layout, args.seed, args.steps, args.every, args.size << 20, args.ashift, args.content << 10, args.files,
            args.gang,
        )  # fmt: skip
        wrong |= _one(args, options, judges)
    return 1 if wrong else 0


def _parser() -> Parser:
    from ..lab.churn import CHURN_LAYOUTS

    parser = Parser("lab churn", "Change a pool at random for a long time, and judge it every so often.", EPILOG)
    add = parser.add_argument
    add("--layout", default="", metavar="WORDS",
        help=f"one of {', '.join(CHURN_LAYOUTS)}, or vdevs in zpool create's words, a dot for each disk; without it "
        "all of these in turn")  # fmt: skip
    add("--seed", type=int, default=1, help="what the run follows from (default 1)")
    add("--steps", type=positive, default=100_000, metavar="N", help="changes in all (default 100000)")
    add("--every", type=positive, default=5_000, metavar="N", help="changes between two judgements (default 5000)")
    add("--size", type=at_least(64), default=64, metavar="MIB", help="of each disk (default 64)")
    add("--ashift", type=int, default=12, help="log2 of the pool's sectors (default 12)")
    add("--content", type=positive, default=1024, metavar="KIB", help="of one write, at most (default 1024)")
    add("--files", type=positive, default=300, metavar="N", help="of a dataset, about (default 300)")
    add("--gang", type=natural, default=4, metavar="N",
        help="one in so many blocks of 24 KiB and more finds no room in one piece (default 4; 0: none)")  # fmt: skip
    add("--zdb", metavar="PROGRAM", help="OpenZFS's zdb, to be asked at every judgement")
    add("--judge", action="append", default=[], metavar="COMMAND",
        help="to be asked too (repeatable); {dir} and {pool} are replaced; it prints FAIL or ends with another status "
        "than 0 if something is wrong")  # fmt: skip
    add("--work", type=Path, metavar="DIR", help="where images are made; without it in the folder for temporary files")
    add("--json", action="store_true", help="print one JSON object for each run")
    add("-q", "--quiet", action="store_true", help="no progress")
    return parser


def _judges(args: Namespace) -> list[Judge]:
    from ..lab.judges import command_complaints, zdb_complaints

    found: list[Judge] = []
    if args.zdb:
        program = shutil.which(args.zdb, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if program is None:
            raise UsageError(f"lab churn: there is no program {args.zdb!r}", "leave out --zdb, or give its path")
        found.append(partial(zdb_complaints, program))
    return found + [partial(command_complaints, command) for command in args.judge]


def _one(args: Namespace, options: ChurnOptions, judges: list[Judge]) -> bool:
    """One run; tells whether something is wrong."""
    from ..lab.churn import churn

    if args.work is not None:
        args.work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="churn.", dir=args.work))
    try:
        with progress(options.layout, options.steps, quiet=args.quiet or args.json, unit="steps") as advance:
            report = churn(options, folder, judges=judges, progress=advance)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _tell(args, options, report, folder)
    if not report.wrong:
        shutil.rmtree(folder)
    return bool(report.wrong)


def _tell(args: Namespace, options: ChurnOptions, report: ChurnReport, folder: Path) -> None:
    if args.json:
        names = (
            "steps", "txgs", "imports", "crashes", "replays", "promises", "refusals", "fills", "ganged", "judged",
            "wrong",
        )  # fmt: skip
        record = {"layout": options.layout, "seed": options.seed} | {name: getattr(report, name) for name in names}
        print(json.dumps(record | {"seconds": round(report.seconds, 1), "done": dict(report.done)}), flush=True)
        return
    print(f"{options.layout}, seed {options.seed}: {report}", flush=True)
    if report.wrong:
        for line in report.wrong:
            print(f"  {line}")
        print(f"  the images are in {folder}", flush=True)
