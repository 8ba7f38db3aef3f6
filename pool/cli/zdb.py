"""``uberblock zdb``: the structures on disk, with the switches zdb's users know."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from .access import add_open_options, open_pool
from .main import Parser
from .nvtext import nvlist_lines, plain
from .output import print_json

DESCRIPTION = """\
Shows what lies on disk, with zdb's switches. Pools are found below -p DIR (zdb's own word for it), --search DIR or,
as everywhere, -d DIR: a lone -d before an existing path names where to search; otherwise -d means what it means in
zdb, datasets and objects, more of them with every further d.
"""
EPILOG = """\
examples:
  uberblock zdb -l images/d0.img                  labels of a device (-ll: all four, -u: with every uberblock)
  uberblock zdb -p images -C tank                 the pool's configuration
  uberblock zdb -p images -dd tank/home           its objects, one a line
  uberblock zdb -p images -dddd tank/home 34      one object with all it holds
  uberblock zdb -p images -b tank                 all block pointers, and whether the space maps agree
  uberblock zdb -p images -cc tank                the same, and read every block

exit status (as zdb):
  0  done
  1  the pool or device could not be opened
  2  wrong use, no valid label, or an inconsistency was found (also space that leaks, of which zdb only prints a line)
  3  blocks that cannot be read
"""


def build_parser() -> Parser:
    """All switches."""
    parser = Parser("zdb", DESCRIPTION, EPILOG, short_help=False)
    add_open_options(parser, short="-p")
    parser.add_argument("-e", dest="exported", action="store_true", help="accepted: pools are always found by search")
    parser.add_argument("-l", dest="label", action="count", default=0, help="labels of DEVICE; twice: each of the four")
    parser.add_argument("-q", dest="quiet", action="store_true", help="with -l: only the exit status")
    parser.add_argument("-u", dest="uberblock", action="count", default=0, help="uberblock")
    parser.add_argument("-C", dest="config", action="count", default=0, help="configuration")
    parser.add_argument("-d", dest="datasets", action="count", default=0, help="datasets; more: objects, content")
    parser.add_argument("-b", dest="blocks", action="count", default=0, help="block statistics and leaks")
    parser.add_argument("-c", dest="checksums", action="count", default=0, help="also read metadata; twice: all data")
    parser.add_argument("-L", dest="no_leaks", action="store_true", help="with -b: no comparison with space maps")
    parser.add_argument("-i", dest="intent_log", action="count", default=0, help="intent logs")
    parser.add_argument("-m", dest="metaslabs", action="count", default=0, help="metaslabs; more: space map entries")
    parser.add_argument("-h", dest="history", action="store_true", help="history")
    parser.add_argument("-j", "--json", dest="json", action="store_true", help="print JSON")
    parser.add_argument("target", nargs="?", metavar="POOL[/DATASET] | DEVICE")
    parser.add_argument("objects", nargs="*", metavar="OBJECT")
    return parser


def run(name: str, argv: Sequence[str]) -> int:
    """Run ``zdb``; gives the exit status."""
    args = build_parser().parse_args(_search_words(argv))
    if args.target is None:
        raise UsageError("zdb needs the name of a pool, or with -l a device", "'uberblock zdb --help' shows examples")
    if args.label:
        from .zdblabels import print_labels

        return print_labels(
            args.target, uberblocks_too=args.uberblock > 0, all_copies=args.label > 1, json=args.json, quiet=args.quiet
        )
    if not any((args.uberblock, args.config, args.datasets, args.blocks, args.checksums, args.intent_log,
                args.metaslabs, args.history)):  # fmt: skip
        args.uberblock = args.config = args.datasets = 1
    return _pool(args)


def _search_words(argv: Sequence[str]) -> list[str]:
    """The words with each ``-d PATH`` turned into ``--search PATH``: zdb's own -d takes no argument."""
    words = list(argv)
    for index in range(len(words) - 1):
        if words[index] == "-d" and Path(words[index + 1]).exists():
            words[index] = "--search"
    return words


def _pool(args: argparse.Namespace) -> int:
    status = 0
    with open_pool(args, args.target) as pool:
        spa = pool.spa
        if args.config:
            if args.json:
                print_json("zdb -C", {"config": plain(spa.config)})
            else:
                print("\nMOS Configuration:")
                print("\n".join(nvlist_lines(spa.config, 8)))
        if args.uberblock:
            from ..spa.checkpoint import checkpoint_uberblock, has_checkpoint
            from .zdblabels import uberblock_document, uberblock_lines

            if args.json:
                print_json("zdb -u", {"uberblock": uberblock_document(spa.uberblock)})
            else:
                print("\nUberblock:")
                print("\n".join(uberblock_lines(spa.uberblock)))
                if has_checkpoint(spa.directory):
                    print("\n\nCheckpointed uberblock found:")
                    print("\n".join(uberblock_lines(checkpoint_uberblock(spa.directory))))
        if args.history:
            for line in pool.history_lines():
                print(line)
        if args.datasets or args.intent_log:
            from .zdbobjects import print_datasets

            status = max(status, print_datasets(spa, args))
        if args.metaslabs:
            from .zdbspace import print_metaslabs

            print_metaslabs(spa, args.metaslabs, args.json)
        if args.blocks or args.checksums:
            from .zdbblocks import print_blocks

            status = max(status, print_blocks(spa, args))
    sys.stdout.flush()
    return status
