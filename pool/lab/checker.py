"""Judging one crash state: import it, verify everything, account for all space, read all content.

``examine`` only says what it found; ``judge`` holds that against what had been promised when the power failed:

- the pool opens, read-only, without changing a byte;
- every copy and every parity column of every block is right;
- the space maps call allocated exactly what is referred to;
- the content is exactly that of one committed txg: the last one that was acknowledged, or the one in commit. With it,
  groups of changes are there whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from ..dsl.dataset import DslDataset
from ..errors import PoolError
from ..pool import Pool, import_pool
from ..spa.blocks import BlockCheck, BlockReport
from ..spa.scan import Place
from ..spa.verify import VerifyReport, verify
from ..vfs import Vfs
from ..zpl import directory
from ..zpl.file import ZplFile
from ..zvol import Zvol
from .journal import Event
from .model import Content, Facts, History, Tree, differences

#: A mark with this text and the fact ``txg`` says that a txg was acknowledged: it is on stable storage.
SYNCED = "synced"
#: Things of one kind that are named; the rest is counted.
NAMED_MAX = 5


@dataclass(frozen=True, slots=True)
class Found:
    """What a check found. ``txg`` -1: the pool cannot be opened. ``problems``: what is wrong whatever was promised."""

    txg: int
    problems: tuple[str, ...]
    content: Content = field(default_factory=dict, repr=False)
    ganged: int = 0  # gang blocks
    _compared: dict[int, tuple[str, ...]] = field(default_factory=dict, repr=False, compare=False)

    def differs(self, history: History) -> tuple[str, ...]:
        """How the content differs from what was committed at this txg; worked out once for each commit."""
        place = history.place(self.txg)
        if place not in self._compared:
            expected = history.at(self.txg)
            if expected is None:
                self._compared[place] = (f"is at txg {self.txg}, before anything was committed",)
            else:
                self._compared[place] = tuple(differences(expected, self.content))
        return self._compared[place]


#: Gives what is known of an open pool already, or None.
Met = Callable[[Pool], Found | None]


def examine(disks: Sequence[Place], met: Met = lambda pool: None) -> Found:
    """Import a pool from disks, read-only, and look at everything.

    Args:
        disks: of the pool, or images; the same bytes give the same result.
        met: asked with the open pool whether what a look at it would find is known already.
    """
    try:
        pool = import_pool(None, list(disks), threads=1)
    except PoolError as error:
        return Found(-1, (f"cannot be opened: {error}",))
    with pool:
        before = met(pool)
        return look(pool) if before is None else before


def look(pool: Pool) -> Found:
    """Look at everything in an open pool."""
    blocks = BlockCheck(pool.spa, threads=1).run()
    problems = [*_verified(verify(pool.spa, threads=1)), *_accounted(blocks)]
    content: Content = {}
    try:
        content = observe(pool)
    except PoolError as error:
        problems.append(f"content cannot be read: {error}")
    return Found(pool.txg, tuple(problems), content, blocks.total.gangs)


def _verified(report: VerifyReport) -> list[str]:
    lines = [f"damaged{' and lost' if one.lost else ''}: {one.path}" for one in report.damaged[:NAMED_MAX]]
    lines += [f"unreadable: {line}" for line in report.unreadable[:NAMED_MAX]]
    lines += [f"unchecked: {vdev}, {why}" for vdev, why in report.unchecked.items()]
    hidden = report.damaged_blocks + report.unreadable_trees - len(lines)
    return [*lines, f"and {hidden} more damaged blocks and trees"] if hidden > 0 else lines


def _accounted(report: BlockReport) -> list[str]:
    if report.balanced and not report.unreadable:
        return []
    lines = [f"space: {line}" for line in [*report.notes, *report.unreadable][:NAMED_MAX]]
    for fault, segments in report.faults.items():
        for one in list(segments)[:NAMED_MAX]:
            users = f", used by {'; '.join(one.users)}" if one.users else ""
            lines.append(f"space {fault.name.lower()}: vdev {one.vdev} {one.offset:#x}+{one.size:#x}{users}")
    lines += [f"references: {one}" for one in report.over[:NAMED_MAX]]
    lines.append(f"space: {report.found} bytes are referred to, {report.allocated} allocated")
    return lines


def judge(found: Found, history: History, marks: Iterable[Event]) -> list[str]:
    """What is wrong with a state, in words; empty: nothing.

    Args:
        found: what ``examine`` said.
        history: what was committed, txg by txg.
        marks: those below the cut; ``SYNCED`` ones tell what was acknowledged.
    """
    sure = max((mark.facts["txg"] for mark in marks if mark.text == SYNCED), default=-1)
    if found.txg < 0:
        # Before a pool was ever on disk there is nothing to open.
        return list(found.problems) if sure >= 0 else []
    lines = list(found.problems)
    if found.txg < sure:
        lines.append(f"went back to txg {found.txg}; txg {sure} had been acknowledged")
    elif history.place(found.txg) > history.place(sure) + 1:
        lines.append(f"is at txg {found.txg}, which had not begun: txg {sure} was the last acknowledged one")
    return [*lines, *found.differs(history)]


# --- reading everything -----------------------------------------------------------------------------------------------


def observe(pool: Pool) -> Content:
    """All content of a pool, in a model's terms.

    Raises:
        PoolError: something cannot be read.
    """
    result: Content = {}
    for dataset in pool.datasets():
        item = dataset.dsl
        assert isinstance(item, DslDataset)
        result[dataset.name] = _volume(item) if item.head_kind == "volume" else _files(Vfs.of(item))
    return result


def _volume(item: DslDataset) -> Tree:
    volume = Zvol(item.objset())
    return {".": {"type": "volume", "size": volume.size, "data": volume.open().readall()}}


def _files(vfs: Vfs) -> Tree:
    result: Tree = {}
    first: dict[int, str] = {}
    for path, znode in sorted(vfs.tree("/"), key=lambda pair: pair[0]):
        facts: dict[str, object] = {
            "type": znode.type,
            "mode": znode.mode & 0o7777,
            "nlink": vfs.nlink(znode),
            "uid": znode.uid,
            "gid": znode.gid,
            "object": znode.object,
            "xattrs": vfs.xattrs_of(znode),
        }
        if znode.type != "dir":
            facts["size"] = znode.size
            facts["same"] = first.setdefault(znode.object, path)
        if znode.type == "file":
            facts["data"] = ZplFile(znode, path).readall()
        elif znode.type == "symlink":
            facts["target"] = directory.text(znode.target())
        frozen: Facts = facts
        result[path] = frozen
    return result
