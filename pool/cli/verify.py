"""``uberblock verify``: read every copy and every parity column of every block, and name what is damaged."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..dsl.nicenum import nicebytes
from .access import add_open_options, open_pool
from .limits import positive
from .main import Parser
from .output import visible
from .progress import progress

if TYPE_CHECKING:
    from ..spa.verify import DamagedBlock, VerifyReport

DESCRIPTION = """\
Reads every block the pool refers to: every copy, every mirror side, every raidz and draid column with its parity, and
checks them all. Each damaged block is printed with the ranges of the devices that are bad and the files it belongs to.
Nothing is written. It sees what 'zdb -cc' does not: damage that redundancy still hides.
"""
EPILOG = """\
examples:
  uberblock verify -d images/ tank
  uberblock verify -j -d images/ tank > report.json
  uberblock verify --missing-ok -d images/ tank       what is lost with the devices that are missing

exit status:
  0  everything is whole
  1  damage was found (or the pool could not be opened)
  2  wrong use
"""


def run(name: str, argv: Sequence[str]) -> int:
    """Run the command; gives its exit status."""
    parser = Parser(name, DESCRIPTION, EPILOG)
    add_open_options(parser)
    parser.add_argument("-j", "--json", action="store_true", help="print the report as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--threads", type=positive, default=os.cpu_count() or 1, metavar="N",
                        help="worker threads (default: one a CPU)")  # fmt: skip
    parser.add_argument("pool", metavar="POOL")
    args = parser.parse_args(argv)
    with open_pool(args, args.pool, whole=True) as pool:
        total = pool.allocated
        with progress(f"verifying {pool.name}", total, quiet=args.quiet) as advance:
            report = pool.verify(threads=args.threads, progress=advance)
    if args.json:
        print(json.dumps(_document(report), indent=2))
    else:
        _print(report)
    return 0 if report.clean else 1


def _document(report: VerifyReport) -> dict[str, object]:
    fields = asdict(report)
    fields["clean"] = report.clean
    fields["complete"] = report.complete
    return fields


def _print_block(block: DamagedBlock) -> None:
    verdict = "LOST" if block.lost else "damaged"
    print(f"{verdict}: {visible(block.path)} (dataset {visible(block.dataset)}, object {block.object}, "
          f"level {block.level}, block {block.blkid})")  # fmt: skip
    for path in block.also:
        print(f"    also {visible(path)}")
    for place in block.places:
        print(f"    {place.vdev}: {place.length} bytes at {place.offset}: {place.kind}")


def _print(report: VerifyReport) -> None:
    for block in report.damaged:
        _print_block(block)
    for line in report.unreadable:
        print(f"unreadable: {visible(line)}")
    if not report.complete:
        blocks, trees = report.damaged_blocks - len(report.damaged), report.unreadable_trees - len(report.unreadable)
        print(f"... and {blocks} more damaged blocks, {trees} more subtrees that cannot be entered")
    rate = report.bytes / report.seconds if report.seconds else 0.0
    print(
        f"verified {report.blocks} blocks, {nicebytes(report.bytes)} in {report.seconds:.2f} seconds "
        f"({nicebytes(int(rate))}/s)"
    )
    for vdev, reason in report.unchecked.items():
        print(f"not checked: {vdev}, {reason}")
    if report.clean:
        print("no damage found" if not report.unchecked else "no damage found in what was checked")
        return
    for vdev, count in sorted(report.errors_by_vdev.items()):
        print(f"{vdev}: {count} damaged columns or copies")
    whole = report.damaged_blocks - report.lost_blocks
    print(f"{report.damaged_blocks} damaged blocks: {whole} still readable, {report.lost_blocks} lost")
    if report.lost_blocks:
        lost = {path for block in report.damaged if block.lost for path in (block.path, *block.also)}
        print(f"data is lost in {len(lost)}{'' if report.complete else ' or more'} files, volumes or other objects")
        print("Restore the files named above as LOST from a backup; everything else can still be copied out.")
    else:
        print("All data is still readable. A scrub by OpenZFS repairs this damage.")
