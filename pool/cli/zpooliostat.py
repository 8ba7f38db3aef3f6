"""``uberblock zpool iostat``: how busy pools are, in the shape of zpool-iostat(8)."""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from ..dsl.nicenum import nicenum
from ..errors import CorruptError, NotFoundError, UsageError
from ..serve.control import ask
from ..spa.iostat import VdevIo
from ..vdev.iostats import LeafIo
from .access import add_open_options, open_pool, pool_names, search_path
from .known import known_guid
from .main import Parser
from .output import Numbers, add_format_options, print_json, visible

EPILOG = """\
A pool that a process of yours has open for writing is asked what that process does with it. Any other is opened
read-only, and what opening took is what there is to see.

examples:
  uberblock zpool iostat -d images/ tank          since the pool was opened
  uberblock zpool iostat -v tank 1                each vdev, once a second, until interrupted
  uberblock zpool iostat -Hp -y tank 5 12         twelve lines for a script, each of five seconds
"""
TITLES = ("capacity", "operations", "bandwidth")
COLUMNS = ("alloc", "free", "read", "write", "read", "write")
WIDTH, NAME_WIDTH = 5, 10
#: Lines after which the header stands again.
REPEAT = 20


@dataclass(frozen=True)
class Sample:
    """What a pool's vdevs did up to a moment. ``seconds``: since it was opened."""

    seconds: float
    vdevs: list[VdevIo]


class Source(Protocol):
    """Where samples come from."""

    name: str

    def sample(self) -> Sample:
        """What there is to say now."""


class Live:
    """A pool that another process has open."""

    def __init__(self, guid: int) -> None:
        self._guid = guid
        self.name = self.sample().vdevs[0].name

    def sample(self) -> Sample:
        """Ask that process. Raises: NotFoundError: it has let go of the pool."""
        found = ask(self._guid, "iostat")
        try:
            sample = Sample(float(found["seconds"]), [VdevIo.from_json(one) for one in found["vdevs"]])
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptError("the process that has the pool open gave figures that make no sense") from error
        if not sample.vdevs:
            raise CorruptError("the process that has the pool open named no vdevs")
        return sample


class Here:
    """A pool that this process has open."""

    def __init__(self, pool: Any) -> None:
        self._pool = pool
        self.name = pool.name

    def sample(self) -> Sample:
        """What this process did with it."""
        return Sample(self._pool.tree.io.seconds, self._pool.iostat())


def run(argv: Sequence[str]) -> int:
    """Run ``zpool iostat``; gives the exit status."""
    parser = Parser("zpool iostat", "Shows what pools and their vdevs read and write.", EPILOG)
    add_open_options(parser)
    add_format_options(parser)
    parser.add_argument("-v", dest="verbose", action="store_true", help="every vdev too")
    parser.add_argument("-y", dest="skip", action="store_true", help="leave out the report since the pool was opened")
    parser.add_argument("-n", dest="once", action="store_true", help="headers once only")
    parser.add_argument("-g", dest="guids", action="store_true", help="guids in place of vdev names")
    stamp = "a time stamp before each report: seconds since 1970 (u), or as date(1) has it (d)"
    parser.add_argument("--stamp", choices=("u", "d"), help=stamp)
    parser.add_argument("words", nargs="*", default=[], metavar="POOL... [INTERVAL [COUNT]]")
    args = parser.parse_args(argv)
    names, interval, count = split_words(args.words)
    if args.skip and interval is None:
        raise UsageError("-y leaves nothing to report without an interval", "zpool iostat -y POOL SECONDS")
    with ExitStack() as stack:
        sources = [stack.enter_context(_source(args, name)) for name in pool_names(args, names)]
        if not sources:
            print("no pools available")
            return 0
        shown = (one for source in sources for one in _shown(source.sample(), args))
        width = max([NAME_WIDTH, *(len(_name(one, args)) for one in shown)])
        before: list[Sample | None] = [None] * len(sources)
        printed = 0
        for number in itertools.count():
            if number and interval is not None:
                time.sleep(interval)
            now = [source.sample() for source in sources]
            if number or not args.skip:
                reports = [rates(a, b) for a, b in zip(before, now)]
                if args.json:
                    _print_json(args, reports)
                else:
                    if not args.scripted and (printed == 0 or (not args.once and printed >= REPEAT)):
                        _print_header(width, args.verbose)
                        printed = 0
                    printed += _print(args, reports, width)
            before = list(now)
            done = number + 1 - bool(args.skip)
            if interval is None or (count is not None and done >= count):
                return 0
    return 0


def split_words(words: Sequence[str]) -> tuple[list[str], float | None, int | None]:
    """Names of pools, the interval in seconds, how many reports.

    Raises:
        UsageError: an interval or a count that makes no sense.
    """
    names = list(words)
    numbers: list[str] = []
    while names and len(numbers) < 2 and names[-1].replace(".", "", 1).isdecimal() and len(names[-1]) < 15:
        numbers.insert(0, names.pop())
    if not numbers:
        return names, None, None
    interval = float(numbers[0])
    if interval <= 0 or (len(numbers) > 1 and (not numbers[1].isdecimal() or int(numbers[1]) < 1)):
        raise UsageError("an interval and a count are positive numbers", "zpool iostat POOL 5 10")
    return names, interval, int(numbers[1]) if len(numbers) > 1 else None


@contextmanager
def _source(args: argparse.Namespace, name: str) -> Iterator[Source]:
    if name.isdecimal():
        guid: int | None = int(name)
    else:
        guid = (None if args.search else known_guid(name)) or _found_guid(args, name)
    if guid is not None:
        try:
            yield Live(guid)
            return
        except NotFoundError:
            pass
    with open_pool(args, name, whole=True) as pool:
        yield Here(pool)


def _found_guid(args: argparse.Namespace, name: str) -> int | None:
    from .. import find_pools

    found = [candidate.guid for candidate in find_pools(search_path(args.search, name)) if candidate.name == name]
    return found[0] if len(found) == 1 else None


def rates(before: Sample | None, now: Sample) -> list[VdevIo]:
    """What was done a second, between two samples, or since the pool was opened."""
    seconds = now.seconds - (before.seconds if before is not None else 0)
    past = {one.guid: one.io for one in before.vdevs if one.io is not None} if before is not None else {}

    def rate(one: VdevIo) -> VdevIo:
        if one.io is None:
            return one
        done = one.io - past.get(one.guid, LeafIo())
        return replace(one, io=LeafIo(*(round(n / seconds) if seconds > 0 else 0 for n in done.values())))

    return [rate(one) for one in now.vdevs]


# --- printing -----------------------------------------------------------------------------------------------------


def _shown(sample: Sample, args: argparse.Namespace) -> list[VdevIo]:
    return sample.vdevs if args.verbose else sample.vdevs[:1]


def _name(one: VdevIo, args: argparse.Namespace) -> str:
    text = str(one.guid) if args.guids and one.depth and one.io is not None else one.name
    return visible("  " * one.depth + text)


def _print_header(width: int, verbose: bool) -> None:
    group = 2 * WIDTH + 2
    print(" " * width + "  " + "  ".join(title.center(group) for title in TITLES).rstrip())
    print("pool".ljust(width) + "  " + "  ".join(title.rjust(WIDTH) for title in COLUMNS))
    _print_rule(width)


def _print_rule(width: int) -> None:
    print("-" * width + "  " + "  ".join("-" * WIDTH for _ in COLUMNS))


def _print(args: argparse.Namespace, reports: list[list[VdevIo]], width: int) -> int:
    """Print one report of each pool; gives the number of lines."""
    if args.stamp:
        now = time.time()
        print(int(now) if args.stamp == "u" else time.strftime("%c", time.localtime(now)))
    lines = 0
    for report in reports:
        for one in report if args.verbose else report[:1]:
            cells = _cells(one, args)
            if args.scripted:
                print("\t".join([visible(str(one.guid) if args.guids and one.depth else one.name), *cells]), flush=True)
            else:
                print(_name(one, args).ljust(width) + "  " + "  ".join(cell.rjust(WIDTH) for cell in cells), flush=True)
            lines += 1
        if args.verbose and not args.scripted:
            _print_rule(width)
            lines += 1
    return lines


def _cells(one: VdevIo, args: argparse.Namespace) -> list[str]:
    text = str if args.exact else nicenum
    space = [text(size) if size is not None else "-" for size in (one.allocated, one.free)]
    if one.io is None:
        return [*space, "-", "-", "-", "-"]
    figures = (one.io.reads, one.io.writes, one.io.read_bytes, one.io.write_bytes)
    return [*space, *(text(figure) for figure in figures)]


def _print_json(args: argparse.Namespace, reports: list[list[VdevIo]]) -> None:
    numbers = Numbers(args)

    def document(one: VdevIo) -> dict[str, Any]:
        found: dict[str, Any] = {"name": one.name, "guid": numbers.count(one.guid)}
        if one.allocated is not None and one.free is not None:
            found |= {"alloc": numbers.size(one.allocated), "free": numbers.size(one.free)}
        if one.io is not None:
            found |= {
                "read_ops": numbers.size(one.io.reads), "write_ops": numbers.size(one.io.writes),
                "read_bytes": numbers.size(one.io.read_bytes), "write_bytes": numbers.size(one.io.write_bytes),
                "flushes": numbers.size(one.io.flushes),
            }  # fmt: skip
        return found

    pools = {}
    for report in reports:
        pools[report[0].name] = document(report[0])
        if args.verbose:
            pools[report[0].name]["vdevs"] = [document(one) for one in report[1:] if one.io is not None]
    print_json("zpool iostat", {"pools": pools})
