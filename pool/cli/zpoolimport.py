"""``uberblock zpool import``: what pools are here, how they are, and what they could be opened at.

Nothing is imported for longer than the command runs: each pool is opened read-only, looked at, and closed.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import DeviceError, NotFoundError, PoolError, UnsupportedFeatureError
from ..spa.scanstate import date
from .access import add_open_options, each_pool, search_path
from .known import remember
from .main import Parser
from .output import print_json, print_table, visible

if TYPE_CHECKING:
    from ..device.base import Device
    from ..pool import Pool
    from ..spa.config import Candidate
    from ..spa.status import Row, Status

DESCRIPTION = """\
Without a pool's name: lists the pools found, with their states and what can be done. With a name: opens it read-only,
shows how it is, and remembers where it was: from then on other commands find it without -d ('zpool export' ends that).
"""
EPILOG = """\
examples:
  uberblock zpool import -d images/                  the pools in this folder
  uberblock zpool import -d disk1.img -d disk2.img   or in these images
  uberblock zpool import --txgs -d images/ tank      the older states that it could be opened at with -T
  uberblock zpool import -D -d images/               pools that were destroyed
"""
WIDTH = 72


def run(argv: Sequence[str]) -> int:
    """Run ``zpool import``; gives the exit status."""
    parser = Parser("zpool import", DESCRIPTION, EPILOG)
    add_open_options(parser)
    parser.add_argument("-D", dest="destroyed", action="store_true", help="list destroyed pools (only)")
    parser.add_argument("-f", dest="force", action="store_true", help="accepted: reading never disturbs another host")
    parser.add_argument("-N", dest="unmounted", action="store_true", help="accepted: nothing is ever mounted")
    parser.add_argument("-o", dest="options", action="append", metavar="readonly=on", help="accepted: always so")
    parser.add_argument("-a", dest="all", action="store_true", help="open every pool that is found")
    parser.add_argument("--txgs", action="store_true", help="list every uberblock, and whether its tree is intact")
    parser.add_argument("-j", "--json", dest="json", action="store_true", help="print JSON")
    parser.add_argument("pool", nargs="?", metavar="POOL|GUID")
    args = parser.parse_args(argv)
    if args.txgs:
        return _txgs(args)
    if args.json or (args.pool is None and not args.all):
        return _list(args)
    printed = 0

    def show(pool: Pool) -> None:
        nonlocal printed
        remember(pool)
        print(("\n" if printed else "") + str(pool.status()))
        printed += 1
        for note in pool.notes:
            print(f"  note: {note}")

    asked = each_pool(args, [args.pool] if args.pool else [], show)
    if not asked.names:
        raise _nothing(args)
    return asked.status


def _nothing(args: argparse.Namespace) -> NotFoundError:
    kind = "destroyed pools" if args.destroyed else "pools available to import"
    places = search_path(args.search, "")
    shown = ", ".join(places[:4]) + (f" and {len(places) - 4} more" if len(places) > 4 else "")
    if args.pool:
        kind = f"pool {args.pool!r} among the {kind}"
    return NotFoundError(f"no {kind} in {shown or 'no place'}", "name folders, images or devices with -d")


def _found(args: argparse.Namespace) -> list[Candidate]:
    from .. import find_pools
    from ..ondisk.label import STATE_DESTROYED

    return [c for c in find_pools(search_path(args.search, "")) if (c.state == STATE_DESTROYED) == args.destroyed]


def _list(args: argparse.Namespace) -> int:
    candidates = [c for c in _found(args) if args.pool in (None, c.name, str(c.guid))]
    reports = [_report(candidate, args) for candidate in candidates]
    if not reports:
        raise _nothing(args)
    if args.json:
        print_json("zpool import", {"pools": {str(r["guid"]): r for r in reports}})
        return 0
    for number, report in enumerate(reports):
        if number:
            print()
        for line in _lines(report):
            text = line.lstrip("\t")
            print("\t" * (len(line) - len(text)) + visible(text))
    return 0


def _report(candidate: Candidate, args: argparse.Namespace) -> dict[str, Any]:
    """What is to be said of one pool: opened, if that can be done."""
    from ..spa.importer import ImportOptions, load

    report: dict[str, Any] = {
        "name": candidate.name,
        "guid": candidate.guid,
        "label_state": candidate.state_name,
        "hostname": candidate.hostname,
        "paths": candidate.paths,
    }
    options = ImportOptions(
        txg=args.txg, rewind=args.rewind, extreme=args.extreme, checkpoint=args.checkpoint,
        missing_log=args.missing_log, missing_ok=args.missing_ok,
    )  # fmt: skip
    try:
        spa = load(candidate, options=options)
    except PoolError as error:
        state = "UNAVAIL" if not isinstance(error, UnsupportedFeatureError) else "UNAVAIL (features)"
        return report | {"state": state, "status": error.what, "action": error.advice, "error": str(error),
                         "config": _untrusted_rows(candidate)}  # fmt: skip
    try:
        status = spa.status()
        report |= {"state": status.state, "txg": spa.txg, "notes": list(spa.notes), "config": _rows(status)}
        if status.condition is not None:
            report |= {"status": status.condition.status, "see": status.condition.see}
    finally:
        spa.close()
    report["action"] = _action(candidate, report)
    return report


def _action(candidate: Candidate, report: dict[str, Any]) -> str:
    if report["label_state"] == "DESTROYED":
        return "The pool was destroyed, but can still be read by its name or guid."
    text = "The pool can be read using its name or numeric identifier."
    if report["state"] == "UNAVAIL":
        text += " What lies on the missing devices only cannot be read."
    if report["label_state"] == "ACTIVE":
        host = f" by {candidate.hostname}" if candidate.hostname else ""
        text += f" It was last used{host} and not exported: it is read as of its last transaction group."
    if report["state"] == "DEGRADED":
        text += " The fault tolerance of the pool is compromised."
    return text


def _rows(status: Status) -> list[dict[str, Any]]:
    return [_row(row) for row in status.rows]


def _row(row: Row) -> dict[str, Any]:
    return {"name": row.name, "state": row.state, "note": row.note, "depth": row.depth}


def _untrusted_rows(candidate: Candidate) -> list[dict[str, Any]]:
    """The vdevs of a pool that cannot be opened, as its labels tell of them."""
    from ..spa.status import rows_below
    from ..vdev.tree import build

    rows: list[dict[str, Any]] = [{"name": candidate.name, "state": "UNAVAIL", "note": "", "depth": 0}]
    devices: dict[int, Device] = {}
    try:
        for member in candidate.best():
            try:
                devices[member.guid] = member.source.open()
            except DeviceError:
                continue  # it counts as missing, which is what the table then says
        tree = build(candidate.config["vdev_tree"], devices)
        for top in tree.tops:
            rows += [_row(row) for row in rows_below(top, 1, "")]
    except (PoolError, KeyError) as error:
        rows.append({"name": "?", "state": "", "note": f"the labels cannot be understood: {error}", "depth": 1})
    finally:
        for device in devices.values():
            device.close()
    return rows


def _lines(report: dict[str, Any]) -> list[str]:
    lines = [f"   pool: {report['name']}", f"     id: {report['guid']}", f"  state: {report['state']}"]
    if report["label_state"] == "DESTROYED":
        lines[-1] += " (DESTROYED)"
    for name in ("status", "action", "see"):
        if report.get(name):
            first, *rest = textwrap.wrap(report[name], WIDTH, break_long_words=False, break_on_hyphens=False)
            lines += [f"{name:>7}: {first}", *(f"\t {line}" for line in rest)]
    lines += [f"   note: {note}" for note in report.get("notes", ())]
    lines += [" config:", ""]
    width = max(2 * row["depth"] + len(row["name"]) for row in report["config"])
    for row in report["config"]:
        name = "  " * row["depth"] + row["name"]
        lines.append(f"\t{name:<{width}}  {row['state']}  {row['note']}".rstrip())
    return lines


# --- txgs ---------------------------------------------------------------------------------------------------------


def _txgs(args: argparse.Namespace) -> int:
    documents: dict[str, Any] = {}

    def show(pool: Pool) -> None:
        found = pool.txgs()
        if args.json:
            documents[pool.name] = [
                {"txg": t.txg, "timestamp": t.timestamp, "intact": t.intact, "problem": t.problem} for t in found
            ]
            return
        print(f"pool {pool.name}: uberblocks still in the rings, newest first; open one with -T TXG")
        rows = [
            [str(t.txg), date(t.timestamp), "intact" if t.intact else "damaged", t.problem]
            for t in found
        ]  # fmt: skip
        print_table(["TXG", "WRITTEN", "TREE", ""], rows, right=(0,))

    asked = each_pool(args, [args.pool] if args.pool else [str(c.guid) for c in _found(args)], show)
    if not asked.names:
        raise _nothing(args)
    if args.json:
        print_json("zpool import --txgs", {"pools": documents})
    return asked.status
