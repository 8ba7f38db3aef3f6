"""``uberblock zpool``: what can be asked of pools, and done to them, in the shape zpool users know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .access import add_open_options, each_pool
from .main import Parser
from .output import print_json, visible

if TYPE_CHECKING:
    from ..pool import Pool

USAGE = """\
usage: uberblock zpool COMMAND [OPTION]... [POOL]...

commands:
  create      make a pool
  destroy     free a pool's devices for others
  import      the pools found here, with their states and what can be done; --txgs: what a pool can be opened at
  export      let go of a pool
  status      how a pool is, with every vdev
  list        sizes and health; -v: of every vdev
  get, set    properties of pools (get: and vdevs)
  txgs        the last transaction groups of a pool that is being written
  iostat      what pools and their vdevs read and write, now
  history     what was done to a pool
  labelclear  make a device forget its pool

'uberblock zpool COMMAND --help' tells more.
"""


def run(name: str, argv: Sequence[str]) -> int:
    """Run a ``zpool`` command; gives the exit status."""
    from . import zpoolchange

    commands: dict[str, Callable[[Sequence[str]], int]] = {
        "import": _import, "status": _status, "list": _list, "get": _get, "iostat": _iostat, "txgs": _txgs,
        "history": _history,
        "create": zpoolchange.create, "destroy": zpoolchange.destroy, "export": zpoolchange.export,
        "labelclear": zpoolchange.labelclear, "set": zpoolchange.set_,
    }  # fmt: skip
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0 if argv else 2
    command = commands.get(argv[0])
    if command is None:
        raise UsageError(f"there is no command 'zpool {argv[0]}'", "'uberblock zpool --help' lists them")
    return command(argv[1:])


def _import(argv: Sequence[str]) -> int:
    from .zpoolimport import run as run_import

    return run_import(argv)


def _list(argv: Sequence[str]) -> int:
    from .zpoollist import run as run_list

    return run_list(argv)


def _status(argv: Sequence[str]) -> int:
    from .zpoolstatus import run as run_status

    return run_status(argv)


def _get(argv: Sequence[str]) -> int:
    from .zpoolget import run as run_get

    return run_get(argv)


def _iostat(argv: Sequence[str]) -> int:
    from .zpooliostat import run as run_iostat

    return run_iostat(argv)


def _txgs(argv: Sequence[str]) -> int:
    from .zpooltxgs import run as run_txgs

    return run_txgs(argv)


# --- history ------------------------------------------------------------------------------------------------------

HISTORY_EPILOG = """\
examples:
  uberblock zpool history -d images/ tank          the commands that made the pool what it is
  uberblock zpool history -il -d images/ tank      with internal events, and who did it on which host
"""


def _history(argv: Sequence[str]) -> int:
    parser = Parser("zpool history", "Shows what was done to pools, oldest first.", HISTORY_EPILOG)
    add_open_options(parser)
    parser.add_argument("-i", dest="internal", action="store_true", help="internal events too")
    parser.add_argument("-l", dest="long", action="store_true", help="with user, host and zone")
    parser.add_argument("-j", "--json", dest="json", action="store_true", help="print JSON")
    parser.add_argument("pools", nargs="*", default=[], metavar="POOL")
    args = parser.parse_args(argv)
    documents: dict[str, Any] = {}

    def show(pool: Pool) -> None:
        records = [r for r in pool.history() if args.internal or r.kind == "command"]
        if args.json:
            documents[pool.name] = [
                {"time": r.time, "kind": r.kind, "text": r.text, "txg": r.txg, "dataset": r.dataset, "who": r.who,
                 "hostname": r.hostname, "zone": r.zone}
                for r in records
            ]  # fmt: skip
            return
        print(f"History for '{pool.name}':")
        for record in records:
            suffix = ""
            if args.long and record.hostname:
                who = "" if record.who is None else f"user {record.who} "
                suffix = f" [{who}on {record.hostname}{':' + record.zone if record.zone else ''}]"
            print(visible(f"{record}{suffix}"))
        print()

    asked = each_pool(args, args.pools, show)
    if args.json:
        print_json("zpool history", {"pools": documents})
    return asked.status
