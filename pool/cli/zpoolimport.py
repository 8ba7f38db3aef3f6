"""``uberblock zpool import``: what pools are here, how they are, and what they could be opened at.

Nothing is imported for longer than the command runs: each pool is opened read-only, looked at, and closed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import NotFoundError, PoolError, UnsupportedFeatureError
from .access import add_open_options, open_pool, search_path
from .main import Parser
from .output import print_json, print_table

if TYPE_CHECKING:
    from ..spa.config import Candidate
    from ..spa.status import Status

DESCRIPTION = """\
Without a pool's name: lists the pools found, with their states and what can be done. With a name: opens it read-only
and shows how it is; nothing stays imported, since every command of this program finds its pool by itself.
"""


def run(argv: Sequence[str]) -> int:
    """Run ``zpool import``; gives the exit status."""
    parser = Parser("zpool import", DESCRIPTION)
    add_open_options(parser)
    parser.add_argument("-D", dest="destroyed", action="store_true", help="list destroyed pools (only)")
    parser.add_argument("-f", dest="force", action="store_true", help="accepted: reading never disturbs another host")
    parser.add_argument("-o", dest="options", action="append", metavar="readonly=on", help="accepted: always so")
    parser.add_argument("--txgs", action="store_true", help="list every uberblock, and whether its tree is intact")
    parser.add_argument("-j", "--json", dest="json", action="store_true", help="print JSON")
    parser.add_argument("pool", nargs="?", metavar="POOL|GUID")
    args = parser.parse_args(argv)
    if args.txgs:
        return _txgs(args)
    if args.pool is not None:
        with open_pool(args, args.pool) as pool:
            print(pool.status())
            for note in pool.notes:
                print(f"  note: {note}")
        return 0
    return _list(args)


def _found(args: argparse.Namespace) -> list[Candidate]:
    from .. import find_pools
    from ..ondisk.label import STATE_DESTROYED

    return [c for c in find_pools(search_path(args.search)) if (c.state == STATE_DESTROYED) == args.destroyed]


def _list(args: argparse.Namespace) -> int:
    candidates = _found(args)
    reports = [_report(candidate, args) for candidate in candidates]
    if args.json:
        print_json("zpool import", {"pools": {str(r["guid"]): r for r in reports}})
        return 0 if reports else 1
    if not reports:
        raise NotFoundError(
            "no pools available to import in " + ", ".join(search_path(args.search)),
            "name folders, images or devices with -d",
        )
    print("\n\n".join("\n".join(_lines(report)) for report in reports))
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
        txg=args.txg, rewind=args.rewind, missing_log=args.missing_log, missing_ok=args.missing_ok
    )
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
    if report["label_state"] == "ACTIVE":
        host = f" by {candidate.hostname}" if candidate.hostname else ""
        text += f" It was last used{host} and not exported: it is read as of its last transaction group."
    if report["state"] == "DEGRADED":
        text += " The fault tolerance of the pool is compromised."
    return text


def _rows(status: Status) -> list[dict[str, Any]]:
    return [{"name": r.name, "state": r.state, "note": r.note, "depth": r.depth} for r in status.rows]


def _untrusted_rows(candidate: Candidate) -> list[dict[str, Any]]:
    """What the labels tell of a pool that cannot be opened."""
    rows: list[dict[str, Any]] = [{"name": candidate.name, "state": "UNAVAIL", "note": "", "depth": 0}]

    def below(config: Any, depth: int) -> None:
        for child in config.get("children") or ():
            kind = child.get("type", "?")
            leaf = kind in ("file", "disk")
            present = child.get("guid") in candidate.members
            name = str(child.get("path") or child.get("guid")) if leaf else f"{kind}-{child.get('id', 0)}"
            state = ("ONLINE" if present else "UNAVAIL") if leaf or kind == "missing" else ""
            rows.append({"name": name, "state": state, "note": "" if present or not leaf else "cannot open",
                         "depth": depth})  # fmt: skip
            if depth < 16:
                below(child, depth + 1)

    below(candidate.config.get("vdev_tree", {}), 1)
    return rows


def _lines(report: dict[str, Any]) -> list[str]:
    lines = [f"   pool: {report['name']}", f"     id: {report['guid']}", f"  state: {report['state']}"]
    if report["label_state"] == "DESTROYED":
        lines[-1] += " (DESTROYED)"
    for name in ("status", "action", "see"):
        if report.get(name):
            lines.append(f"{name:>7}: {report[name]}")
    lines += [f"   note: {note}" for note in report.get("notes", ())]
    lines += [" config:", ""]
    width = max(2 * row["depth"] + len(row["name"]) for row in report["config"])
    for row in report["config"]:
        name = "  " * row["depth"] + row["name"]
        lines.append(f"\t{name:<{width}}  {row['state']}  {row['note']}".rstrip())
    return lines


# --- txgs ---------------------------------------------------------------------------------------------------------


def _txgs(args: argparse.Namespace) -> int:
    names = [args.pool] if args.pool else [str(c.guid) for c in _found(args)]
    documents: dict[str, Any] = {}
    for name in names:
        with open_pool(args, name) as pool:
            found = pool.txgs()
            if args.json:
                documents[pool.name] = [
                    {"txg": t.txg, "timestamp": t.timestamp, "intact": t.intact, "problem": t.problem} for t in found
                ]
                continue
            print(f"pool {pool.name}: uberblocks still in the rings, newest first; open one with -T TXG")
            rows = [
                [str(t.txg), time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(t.timestamp)),
                 "intact" if t.intact else "damaged", t.problem]
                for t in found
            ]  # fmt: skip
            print_table(["TXG", "WRITTEN", "TREE", ""], rows, right=(0,))
    if args.json:
        print_json("zpool import --txgs", {"pools": documents})
    return 0
