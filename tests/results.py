"""Runs over the collection of pools and prints what reads right, as Markdown.

    python tests/results.py > docs/results.md

It does what test_golden.py, spa/test_verify.py and test_losses.py do, and counts. A minute or two on two processors.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from conftest import GoldenPool, pool_kinds, unpack
from golden import Outcome, compare_all, is_pool
from losses import LOGGED, REDUNDANT, WAYS, LosingPool, pick
from uberblock.pool import Pool, import_pool

LOGS = {"zil", *LOGGED}
COMBINATIONS = 24  # of lost disks; of more than these a sample is taken, another one for each way

HEAD = """\
# What was proven, and where to see it again

Made by `python tests/results.py`, which imports every pool of a collection written by OpenZFS 2.3 and holds it against
what OpenZFS itself showed of it.

- *entries*: files, directories, links and volumes compared, with attributes, extended attributes and checksums of all
  content (`tests/test_golden.py`).
- *verify*: every copy and every parity column of every block read and checked (`tests/spa/test_verify.py`). Damage is
  counted in columns and copies of blocks. On `damaged-mirror` OpenZFS's scrub counted the same 20; on `damaged` it
  counted 48 and 40, all there was left after an import that rewrites part of the pool's own metadata. Each sector
  named differs from what the sound disks say, and no other does.
- *lost disks*: combinations of disks that redundancy makes up for, each lost in four ways (not there; cut off behind
  the first labels; garbage between good labels; labels gone) and in a mixture of them: how often names, attributes and
  contents of a sample read right (`tests/test_losses.py`).

| pool | vdevs | state | entries | verify | lost disks |
|---|---|---|---|---|---|"""

TAIL = """
Opened for reading, a pool's logs are not replayed: of `zil` and `zil-slog` snapshots are compared here; opened for
writing, all but the encrypted dataset are as OpenZFS's own replay leaves them (`tests/zil/test_replay.py`). `degraded` lacks one disk for good and
another is stale; `damaged` has as much damage as its parity bears, so that only the damaged disks can be lost.

Beyond redundancy: a pool with one disk more gone is refused with the names of what is missing. With `--missing-ok` it
opens if its own metadata can still be read from what is left (a pool that lost one of several top-level vdevs), and
what cannot be read is told file by file. No wrong byte came out in any combination.

Held against OpenZFS's own programs (`tests/judges/`): the pool images of its test suite (versions 1 to 15 and 5000,
x86 and SPARC, mirrors, raidz, a spare in use, encryption of the first releases) open, verify clean and list the same
datasets and objects as zdb does, and version 999 is refused by its number; pools that ztest has just made (of mirrors,
raidz2, draid, a raidz being expanded; never exported) verify clean, and all sums over their blocks are those of zdb;
what `uberblock zdb` prints of labels, uberblocks and configuration (`-l -u -C`), datasets, objects and feature counts
(`-d -dd`), blocks (`-b`) and metaslabs (`-m`) is what zdb prints, line by line, but for intent logs (`-i` shows these,
in another form), and for how much of an allocation class is used (zdb leaves the space map logs out).

## Pools written here

The other way round: pools that this package has made, and changed in every way it can.

| judge | what it is asked | command |
|---|---|---|
| `zdb -bcc -d -y` | every block, all space, objects, metaslabs, after random changes of single disks, stripes, mirrors, raidz, draid and every class, near-full and with gangs | `uberblock lab churn --zdb zdb` |
| Linux's OpenZFS 2.3.2, in a virtual machine | import, read everything (content, attributes, ACLs, links, volumes), scrub, change every dataset, export; then we read that, change it, and it imports again | `python -m tests.kernelrun --vm COMMAND --again` |
| OpenZFS's engine in user space | import a copy for writing, scrub without a repair, space of datasets equal to that of blocks | the same, with `--judge` |
| GRUB's reader | datasets with what it can read, on a disk, mirror, raidz1 and raidz2 | `tests/judges/test_grub.py` |
| OpenZFS's engine, in turn with this package | import for writing, write, rewrite, snapshot, scrub without a repair, export; then we write on, and it again. It sends our file systems into a pool of its own, which holds what was written | `tests/judges/test_exchange.py` |
| OpenZFS's engine, on pools written while they lacked disks, or while one failed | import with the disks back, resilver what their DTLs say, scrub without an error or a repair; then others are taken away and the content is what was written: mirrors, raidz1 to 3, draid1, special | `tests/judges/test_resilver.py` |
| `zdb`, on pools that OpenZFS wrote | opened for writing here, changed and destroyed dataset by dataset, closed | `tests/judges/test_opened.py` |

`tests.kernelrun` makes 23 pools: every kind and class of vdev, sectors of 512 bytes and 4 KiB, made by `zpool create`
(labels of type file) and by `mkfs` (type disk); one has a dataset for every value of the properties that say how blocks
are written. The kernel finds in each exactly what was put in, and its scrub repairs nothing.

Last runs of `lab churn`, with `zdb` at every judgement: 6000 steps each (`--seed 2 --gang 0`) on single, mirror, raidz1,
raidz2, raidz3, draid1, classes and special, 4000 each (`--seed 3`, up to 101 gang blocks) on single, stripe, mirror and
mirrors, 1500 each (`--seed 4`, OpenZFS's engine asked too) on raidz2 and mirrored-log: 67 000 steps, some 4500 txgs, pools
filled 40 times. Nothing was wrong; the first runs had found what is tested in `tests/test_poolwrite.py` and `test_room.py` now. Of
`tests.kernelrun` all 23 pools were run, and 8 of them with `--judge` and `--again`.
"""  # noqa: E501 (rows of a table)


def vdevs(pool: Pool) -> str:
    """Names of the top-level vdevs; a lone disk is none."""
    names = [top.name for top in pool.tree.tops if top.children]
    return ", ".join(names) or "disk"


def entries(pool: Pool, datasets: Any, kind: str) -> str:
    outcome = compare_all(pool, datasets, only_snapshots=kind in LOGS)
    return verdict(outcome)


def verdict(outcome: Outcome) -> str:
    if outcome.all_right:
        return f"{outcome.right} equal"
    return f"**{len(outcome.wrong)} wrong, {len(outcome.unreadable)} unreadable**, {outcome.right} equal"


def verified(pool: Pool) -> str:
    report = pool.verify()
    text = f"{report.blocks} blocks"
    if report.clean:
        return text + (", clean" if not report.unchecked else ", clean in what is there")
    errors = sorted(report.errors_by_vdev.items())
    counts = ", ".join(f"{count} on {name.removesuffix('.img')}" for name, count in errors)
    return f"{text}, {report.damaged_blocks} damaged ({counts}), {report.lost_blocks} lost"


def further(golden: GoldenPool) -> str:
    """The checkpoint, and earlier txgs, where the manifest has them."""
    manifest, found = golden.manifest, []
    if "checkpoint" in manifest:
        with import_pool(search=golden.dir, checkpoint=True) as pool:
            found.append("checkpoint " + verdict(compare_all(pool, manifest["checkpoint"]["datasets"])))
    rewinds = manifest.get("rewinds", {})
    right = 0
    for txg, datasets in rewinds.items():
        with import_pool(search=golden.dir, txg=int(txg)) as pool:
            right += compare_all(pool, datasets).all_right
    if rewinds:
        found.append(f"{right} of {len(rewinds)} earlier txgs equal")
    return "".join("; " + text for text in found)


def lost_disks(golden: GoldenPool, folder: Path) -> str:
    folder.mkdir()
    pool_of = LosingPool(golden, folder)
    tried = right = 0
    for way in (*WAYS, "mixed"):
        losses = [loss for loss in pool_of.bearable if way != "mixed" or len(loss) > 1]
        for loss in pick(losses, COMBINATIONS, golden.kind + way):
            tried += 1
            with pool_of.opened(pool_of.ways(loss, way)) as pool:
                right += pool_of.compare(pool, loss, way).all_right
    most = max(len(loss) for loss in pool_of.bearable)
    text = f"up to {most}: {right} of {tried} right"
    return text if right == tried else f"**{text}**"


def row(golden: GoldenPool, folder: Path) -> str:
    """One line of the table."""
    with import_pool(search=golden.dir, keys=golden.manifest["keys"]) as pool:
        cells = [
            golden.kind, vdevs(pool), pool.health,
            entries(pool, golden.manifest["datasets"], golden.kind) + further(golden),
            verified(pool),
        ]  # fmt: skip
    cells.append(lost_disks(golden, folder) if golden.kind in REDUNDANT else "")
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    started = time.monotonic()
    print(HEAD)
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(temporary)
        for kind in filter(is_pool, pool_kinds()):
            print(row(unpack(kind, base), base / f"{kind}-lost"), flush=True)
    print(TAIL, end="")
    print(f"{time.monotonic() - started:.0f} seconds", file=sys.stderr)


if __name__ == "__main__":
    main()
