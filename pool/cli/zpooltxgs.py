"""``uberblock zpool txgs``: the last txgs of a pool that is being written, and what its intent logs did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..dsl.nicenum import nicenum
from ..errors import CorruptError, NotFoundError
from ..serve.control import ask
from ..spa.txghistory import TxgRecord
from .access import add_open_options, search_path
from .known import known_guid
from .limits import natural
from .main import Parser
from .output import add_format_options, print_json, print_table

EPILOG = """\
Only a process that has a pool open for writing knows; it is asked over a socket that only its user can reach. The last
hundred txgs are remembered. OPEN, QUIESCE, SYNC: how long a txg took changes, waited for those under way, and was
written. WHY it was closed: asked (sync), time, dirty (enough waited), space (freed space was needed), log (a request
that an intent log could not serve), export.

With -l the counters of the intent logs follow: requests to make something durable, and commits, each of which serves
all who wait; those that waited for a txg instead; records and blocks written, and bytes by the kind of device.

examples:
  uberblock zpool txgs tank
  uberblock zpool txgs -l -n 20 tank
  uberblock zpool txgs -Hp tank | awk '{ print $1, $NF }'
"""
HEADER = ["TXG", "STATE", "WHY", "DIRTY", "WRITES", "WRITTEN", "READS", "READ", "FLUSHES", "OPEN", "QUIESCE", "SYNC"]
_TITLES = {
    "callers": "requests", "commits": "commits", "callers_per_commit": "requests a commit",
    "idle": "with nothing to do", "txgs": "by writing a txg", "failures": "because of a failure",
    "records": "records", "blocks": "log blocks", "copied": "bytes copied", "indirect": "bytes by reference",
    "bytes_log": "bytes on log devices", "bytes_normal": "bytes on other devices",
}  # fmt: skip


def run(argv: Sequence[str]) -> int:
    """Run ``zpool txgs``; gives the exit status."""
    parser = Parser("zpool txgs", "Shows the last txgs of a pool that a process of yours is writing.", EPILOG)
    add_open_options(parser)
    add_format_options(parser)
    parser.add_argument("-n", dest="count", type=natural, default=0, metavar="N", help="only the last N")
    parser.add_argument("-l", dest="logs", action="store_true", help="what the intent logs did, too")
    parser.add_argument("pool", metavar="POOL")
    args = parser.parse_args(argv)
    guid = int(args.pool) if args.pool.isdecimal() else (None if args.search else known_guid(args.pool))
    found = ask(guid or _guid(args.pool, args.search), "txgs")
    try:
        records = [TxgRecord.from_json(one) for one in found["txgs"]][-args.count :]
        logs: dict[str, int | float] = {str(name): value for name, value in found["zil"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise CorruptError("the process that has the pool open gave figures that make no sense") from error
    if args.json:
        print_json("zpool txgs", {"pool": args.pool, "txgs": [one.to_json() for one in records], "zil": logs})
        return 0
    print_table(HEADER, [_row(one, args.exact) for one in records], scripted=args.scripted, right=range(3, len(HEADER)))
    if args.logs:
        if not args.scripted:
            print()
        rows = [(_TITLES.get(name, name), json.dumps(value)) for name, value in logs.items()]
        print_table(["INTENT LOGS", ""], rows, scripted=args.scripted, right=[1])
    return 0


def _guid(name: str, search: Any) -> int:
    from .. import find_pools

    found = {candidate.guid for candidate in find_pools(search_path(search, name)) if candidate.name == name}
    if len(found) != 1:
        raise NotFoundError(f"no pool {name!r} is found" if not found else f"several pools are called {name!r}")
    return found.pop()


def _row(one: TxgRecord, exact: bool) -> list[str]:
    def size(value: int) -> str:
        return str(value) if exact else nicenum(value)

    def seconds(value: float) -> str:
        return str(round(value * 1e9)) if exact else f"{value:.3f}s" if value >= 1 else f"{value * 1e3:.1f}ms"

    return [
        str(one.txg), one.state, one.why or "-", size(one.dirty), size(one.writes), size(one.write_bytes),
        size(one.reads), size(one.read_bytes), str(one.flushes), seconds(one.open), seconds(one.quiesce),
        seconds(one.sync),
    ]  # fmt: skip
