"""A damaged pool against a model: whatever is read without an error has to be right.

A pool of which blocks are lost gives errors; it must not give other bytes than it ever held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..dsl.dataset import DslDataset
from ..errors import PoolError
from ..pool import Pool
from ..spa.blocks import BlockCheck
from ..spa.verify import verify
from ..vfs import Vfs
from ..zpl import directory
from ..zpl.file import ObjectFile, ZplFile
from ..zpl.znode import Znode
from ..zvol import Zvol
from .checker import observe
from .model import Content, Facts, Tree


@dataclass(frozen=True, slots=True)
class Survey:
    """What a look at everything in a pool found.

    Attributes:
        lost: blocks whose data is lost, and trees that cannot be entered. why: the first of them.
        mended: damaged blocks that redundancy makes good.
        space: what is wrong with the accounts of space, unless something is lost; empty: nothing.
        content: of the pool; None: something is lost.
    """

    lost: int
    why: str = ""
    mended: int = 0
    space: str = ""
    content: Content | None = None


def survey(pool: Pool) -> Survey:
    """Verify every block, account for all space, and read all content, as far as nothing is lost."""
    report = verify(pool.spa, threads=1)
    lost = report.lost_blocks + report.unreadable_trees
    if lost:
        why = report.unreadable[0] if report.unreadable else next(one.path for one in report.damaged if one.lost)
        return Survey(lost, why)
    space = BlockCheck(pool.spa, threads=1).run()
    wrong = not space.balanced or space.unreadable
    text = f"space: {space.found} bytes are referred to, {space.allocated} allocated" if wrong else ""
    return Survey(0, mended=report.damaged_blocks, space=text, content=observe(pool))


def readable_differences(pool: Pool, expected: Content) -> Iterator[str]:
    """How what can be read of a damaged pool differs from what it should be; what cannot be read is passed over."""
    try:
        datasets = list(pool.datasets())
    except PoolError:
        return
    for dataset in datasets:
        item = dataset.dsl
        assert isinstance(item, DslDataset)
        if dataset.name not in expected:
            yield f"{dataset.name}: should not be there"
            continue
        tree = expected[dataset.name]
        try:
            if item.head_kind == "volume":
                yield from _data_differs(Zvol(item.objset()).open(), tree["."]["data"], dataset.name)
            else:
                yield from _files_differ(Vfs.of(item), tree, dataset.name)
        except PoolError:
            continue


def _files_differ(vfs: Vfs, tree: Tree, name: str) -> Iterator[str]:
    hidden: list[str] = []  # what could not be walked
    seen: set[str] = set()
    for path, znode in vfs.tree("/", damaged=lambda path, error: hidden.append(path)):
        seen.add(path)
        if path not in tree:
            yield f"{name}:/{path}: should not be there"
            continue
        facts = tree[path]
        if znode.type != facts["type"]:
            yield f"{name}:/{path}: is a {znode.type}, not a {facts['type']}"
            continue
        yield from _facts_differ(_readers(vfs, znode), facts, f"{name}:/{path}")
        if znode.type == "file":
            yield from _data_differs(ZplFile(znode, path), facts["data"], f"{name}:/{path}")
    if not hidden:
        yield from (f"{name}:/{path}: missing" for path in sorted(tree.keys() - seen))


def _readers(vfs: Vfs, znode: Znode) -> dict[str, Callable[[], object]]:
    """What a file's facts are read by, each by itself."""
    result: dict[str, Callable[[], object]] = {
        "mode": lambda: znode.mode & 0o7777,
        "xattrs": lambda: vfs.xattrs_of(znode),
    }
    if znode.type != "dir":
        result["size"] = lambda: znode.size
    if znode.type == "symlink":
        result["target"] = lambda: directory.text(znode.target())
    return result


def _facts_differ(reads: dict[str, Callable[[], object]], facts: Facts, name: str) -> Iterator[str]:
    for fact, get in reads.items():
        try:
            found = get()
        except PoolError:
            continue
        if fact in facts and found != facts[fact]:
            yield f"{name}: {fact} is {found!r:.80}, not {facts[fact]!r:.80}"


def _data_differs(file: ObjectFile, expected: bytes, name: str) -> Iterator[str]:
    """Bytes that are read without an error and are not what they should be."""
    data = bytearray(file.size)
    should = bytearray(expected)

    def damaged(offset: int, length: int, error: PoolError) -> None:
        for one in (data, should):
            end = min(offset + length, len(one))
            one[offset:end] = bytes(max(0, end - offset))

    try:
        file.pread(data, 0, damaged=damaged)
    except PoolError:
        return
    if data != should:
        yield f"{name}: wrong bytes"
