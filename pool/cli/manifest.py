"""``uberblock manifest``: a JSON line for each file, directory, link and volume, or the comparison with such lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from .access import add_open_options, open_pool
from .main import Parser
from .output import visible
from .progress import progress

if TYPE_CHECKING:
    from ..manifest.entries import Entry

DESCRIPTION = """\
Prints JSON Lines: one object for each file, directory and link of every filesystem and snapshot below the one named
(dataset, path, type, size, mode, uid, gid, nlink, mtime_ns, sha256, target, xattr ...), and one for each volume
(dataset, type, sha256). With --check the pool is compared with a file of such lines.
"""
EPILOG = """\
examples:
  uberblock manifest -d images/ tank > tank.jsonl             everything in the pool
  uberblock manifest -d images/ tank/home@monday              one snapshot
  uberblock manifest --check tank.jsonl -d images/ tank       is it all still there?

What cannot be read has "error" in place of what is not known; all that has "sha256" is whole.

exit status:
  0  printed, or equal
  1  different, or something could not be read
  2  wrong use
"""
SHOWN = 100


def run(name: str, argv: Sequence[str]) -> int:
    """Run the command; gives its exit status."""
    parser = Parser(name, DESCRIPTION, EPILOG)
    add_open_options(parser)
    parser.add_argument("--check", metavar="FILE", help="compare with this manifest ('-': standard input)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    parser.add_argument("dataset", metavar="POOL[/DATASET[@SNAPSHOT]]")
    args = parser.parse_args(argv)
    from ..manifest import compare, entries, read_manifest
    from ..vfs import is_path

    if is_path(args.dataset):
        raise UsageError(f"{args.dataset!r} is a path", "a manifest is of a pool, a dataset or a snapshot")
    with open_pool(args, args.dataset) as pool:
        name = pool.full_name(args.dataset)
        target = name if name != pool.name else None
        with progress("reading", None, quiet=args.quiet or (args.check is None and sys.stdout.isatty()),
                      unit="entries") as advance:  # fmt: skip
            found = entries(pool, target, progress=advance)
            if args.check is None:
                return _print(found)
            if args.check == "-":
                reference = read_manifest(sys.stdin.read())
            else:
                reference = read_manifest(Path(args.check).read_text())
            result = compare(found, reference, below=target)
    for line in result.differences[:SHOWN]:
        print(visible(line))
    if len(result.differences) > SHOWN:
        print(f"... and {len(result.differences) - SHOWN} more differences")
    print(f"compared {result.compared} entries: {len(result.differences) or 'no'} differences")
    return 1 if result.differences else 0


def _print(found: Iterator[Entry]) -> int:
    """Print the lines; those with errors are counted, and make the exit status 1."""
    unreadable = total = 0
    for entry in found:
        print(json.dumps(entry, ensure_ascii=True))
        total += 1
        unreadable += "error" in entry
    if not unreadable:
        return 0
    sys.stdout.flush()
    print(f"uberblock: {unreadable} of {total} entries could not be read whole; they have \"error\"", file=sys.stderr)
    return 1
