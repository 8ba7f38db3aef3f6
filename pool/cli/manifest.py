"""``uberblock manifest``: a JSON line for each file, directory, link and volume, or the comparison with such lines."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from .access import add_open_options, open_pool
from .main import Parser
from .progress import progress

DESCRIPTION = """\
Prints JSON Lines: one object for each file, directory and link of every filesystem and snapshot below the one named
(dataset, path, type, size, mode, uid, gid, nlink, mtime_ns, sha256, target, xattr ...), and one for each volume
(dataset, type, sha256). With --check the pool is compared with a file of such lines.
"""
EPILOG = """\
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

    with open_pool(args, args.dataset) as pool:
        target = args.dataset if args.dataset != pool.name else None
        with progress("reading", None, quiet=args.quiet, unit="files") as advance:
            found = entries(pool, target, progress=advance)
            if args.check is None:
                for entry in found:
                    print(json.dumps(entry, ensure_ascii=True))
                return 0
            if args.check == "-":
                reference = read_manifest(sys.stdin.read())
            else:
                reference = read_manifest(Path(args.check).read_text())
            result = compare(found, reference, below=target)
    for line in result.differences[:SHOWN]:
        print(line)
    if len(result.differences) > SHOWN:
        print(f"... and {len(result.differences) - SHOWN} more differences")
    print(f"compared {result.compared} entries: {len(result.differences) or 'no'} differences")
    return 1 if result.differences else 0
