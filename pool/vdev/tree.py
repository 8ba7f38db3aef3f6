"""The tree of vdevs of a pool, and the questions asked of it: where blocks lie, and how well it is.

Built from the configuration (a label's or the MOS's) and from devices by guid. All numbers come from a
disk, so all are checked: types in places where they cannot be, counts, depth, sizes, children out of order,
guids that occur twice.

Source: OpenZFS, vdev.c.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..device.base import Device
from ..errors import CorruptError, LimitError, UnsupportedError
from . import config as conf
from .config import VdevConfig
from .draid import DraidVdev, DspareVdev
from .dtl import Dtl
from .hole import HoleVdev, MissingVdev
from .indirect import IndirectVdev, Pieces
from .iostats import IoStats
from .layout import U64, Bools, Layout
from .leaf import LeafVdev
from .mirror import MirrorVdev
from .raidz import RaidzVdev
from .root import RootVdev
from .striped import StripedVdev
from .vdev import Vdev, Way

MAX_BLOCK = 16 << 20

_KINDS: dict[str, type[Vdev]] = {
    "disk": LeafVdev,
    "file": LeafVdev,
    "mirror": MirrorVdev,
    "replacing": MirrorVdev,
    "spare": MirrorVdev,
    "raidz": RaidzVdev,
    "draid": DraidVdev,
    "dspare": DspareVdev,
    "indirect": IndirectVdev,
    "hole": HoleVdev,
    "missing": MissingVdev,
    "root": RootVdev,
}
_TOP_ONLY = ("hole", "missing", "indirect")
_CHILDLESS = (LeafVdev, HoleVdev, MissingVdev, IndirectVdev)


class VdevTree:
    """All vdevs of a pool.

    Attributes:
        root: the pool itself.
        tops: top-level vdevs by id, holes and missing ones included: what a DVA's vdev number means.
        leaves: all leaves in order of the tree: what COLUMN.leaf means.
        io: what the leaves have read and written.
    """

    def __init__(self) -> None:
        self.root: Vdev
        self.tops: list[Vdev] = []
        self.leaves: list[LeafVdev] = []
        self.by_guid: dict[int, Vdev] = {}
        self.io = IoStats()
        self._stale: bool | None = None

    def __repr__(self) -> str:
        return f"<VdevTree {[top.name for top in self.tops]} {self.root.state_text}>"

    def changed(self) -> None:
        """Forget what was derived from the leaves' DTLs and states."""
        self._stale = None

    def aux(self, config: VdevConfig, devices: Mapping[int, Device]) -> LeafVdev:
        """A leaf beside the tree: a spare or a cache device, as the pool's lists of these describe it.

        Raises: as ``build``.
        """
        kind = _KINDS.get(str(config.get("type")))
        if kind is None or not issubclass(kind, LeafVdev):
            raise UnsupportedError("this cannot be a spare or cache device", vdev=conf.describe(config))
        leaf = kind(self, config, None, conf.integer(config, "id", 0, conf.MAX_VDEVS, default=0))
        leaf.open(devices.get(leaf.guid))
        return leaf

    def walk(self) -> Iterator[Vdev]:
        """All vdevs, parents first."""
        yield from self.root.walk()

    def propagate_states(self) -> None:
        """Set the states of all vdevs above the leaves from those below them."""
        for vdev in reversed(list(self.walk())):
            vdev.update_state()

    def missing(self) -> Dtl:
        """The txgs that any leaf lacks: a resilver is needed if there are any."""
        result = Dtl()
        for leaf in self.leaves:
            result |= leaf.dtl
        return result

    # --- where blocks lie ---

    def ways(self, top_id: int, *, scrub: bool = False) -> int:
        """In how many ways a block on a top-level vdev can be read.

        Args:
            scrub: count the ways that visit every leaf. Otherwise the better half comes first, and after it,
                if any leaf lacks anything, all ways once more with stale leaves read too.
        """
        base = self._top(top_id).ways(scrub)
        return base if scrub or not self._any_stale() else 2 * base

    def layout(
        self,
        top_id: int,
        way: int,
        offsets: ArrayLike,
        psizes: ArrayLike,
        births: ArrayLike,
        *,
        scrub: bool = False,
        stale: bool = False,
    ) -> Layout:
        """Where blocks lie on the leaves of a top-level vdev, read in one way.

        Args:
            top_id: number of the vdev in a DVA.
            way: 0 to ``ways(top_id, scrub=scrub)`` - 1.
            offsets, psizes: in bytes, as in DVA and block pointer.
            births: txgs in which the DVAs were written (physical birth).
            scrub: ``way`` counts the ways that visit every leaf.
            stale: in these, leaves too whose DTL says that they lack the block: all that a write goes to.

        Raises:
            CorruptError: a block that cannot lie there (``check`` tells which can); the message names vdev
            and offset.
        """
        top = self._top(top_id)
        at, sizes, txgs = _words(offsets), _words(psizes), _words(births)
        if not len(at) == len(sizes) == len(txgs):
            raise ValueError("offsets, psizes and births differ in number")
        base = top.ways(scrub)
        if not 0 <= way < (base if scrub else 2 * base):
            raise ValueError(f"{top.name} has no way {way}")
        good = self._fits(top, at, sizes, txgs)
        if not good.all():
            first = int(np.argmin(good))
            raise CorruptError(
                "a block cannot lie where its pointer says",
                vdev=top.name,
                offset=int(at[first]),
                size=int(sizes[first]),
            )
        choice = Way(way % base, scrub, stale=stale or way >= base)
        return top.layout(choice, at, sizes, txgs)

    def check(
        self, top_id: int, offsets: ArrayLike, asizes: ArrayLike, psizes: ArrayLike, births: ArrayLike
    ) -> Bools:
        """Which blocks can lie where their pointers say: a mask.

        Args:
            asizes: allocated bytes, as in the DVAs.
            psizes, births: as for ``layout``, which takes every block this lets through.
        """
        at, allocated, sizes, txgs = (_words(values) for values in (offsets, asizes, psizes, births))
        if not 0 <= top_id < len(self.tops):
            return np.zeros(len(at), bool)
        top = self.tops[top_id]
        room = np.uint64(top.asize)
        result: Bools = self._fits(top, at, sizes, txgs)
        result &= (at <= room) & (allocated <= room - np.minimum(at, room))
        result[result] = top.asizes(sizes[result], txgs[result]) <= allocated[result]
        return result

    def asizes(self, top_id: int, psizes: ArrayLike, births: ArrayLike) -> U64:
        """Allocated bytes of blocks on a top-level vdev."""
        return self._top(top_id).asizes(_words(psizes), _words(births))

    def remap(self, top_id: int, offsets: ArrayLike, sizes: ArrayLike, births: ArrayLike) -> Pieces:
        """Ranges of a removed vdev as pieces of vdevs that are still there.

        Raises:
            CorruptError: the vdev has not been removed, or a range is not mapped.
        """
        top = self._top(top_id)
        at, lengths = _words(offsets), _words(sizes)
        room = np.uint64(top.asize)
        inside = (at <= room) & (lengths <= room - np.minimum(at, room)) & (lengths > 0)
        if not isinstance(top, IndirectVdev) or not inside.all():
            raise CorruptError("no ranges of a removed vdev", vdev=top.name)
        pieces, good = top.follow(at, lengths, _words(births))
        if not good.all():
            offset = int(at[int(np.argmin(good))])
            raise CorruptError("a range of a removed vdev is not mapped", vdev=top.name, offset=offset)
        return pieces

    def _fits(self, top: Vdev, offsets: U64, psizes: U64, births: U64) -> Bools:
        if top.asize == 0:
            return np.zeros(len(offsets), bool)
        good: Bools = (psizes > 0) & (psizes <= MAX_BLOCK) & (offsets < top.asize)
        good &= offsets % np.uint64(top.stripe()) == 0
        needed = top.asizes(psizes[good], births[good])
        good[good] = needed <= np.uint64(top.asize) - offsets[good]
        good[good] = top.holds(offsets[good], psizes[good], births[good])
        return good

    def _top(self, top_id: int) -> Vdev:
        if not 0 <= top_id < len(self.tops):
            raise CorruptError("a block pointer names a vdev that does not exist", vdev=top_id)
        return self.tops[top_id]

    def _any_stale(self) -> bool:
        if self._stale is None:
            self._stale = any(leaf.dtl and leaf.readable for leaf in self.leaves)
        return self._stale


def build(config: VdevConfig, devices: Mapping[int, Device]) -> VdevTree:
    """The tree that a configuration describes, with its states.

    Args:
        config: nvlist of the root vdev.
        devices: what was found, by guid of the leaf.

    Raises:
        CorruptError, LimitError: the configuration breaks a rule. UnsupportedError: a kind of vdev not
        known here.
    """
    if config.get("type") != "root":
        raise CorruptError("the topmost vdev is no root", vdev=conf.describe(config))
    tree = VdevTree()
    _Builder(tree).add(config, None, 0, 1)
    for leaf in tree.leaves:
        leaf.open(devices.get(leaf.guid))
    tree.propagate_states()
    return tree


class _Builder:
    """Makes vdevs of nvlists and puts them into a tree."""

    def __init__(self, tree: VdevTree) -> None:
        self.tree = tree
        self.count = 0
        self.spares: set[tuple[int, int]] = set()

    def add(self, config: VdevConfig, parent: Vdev | None, number: int, depth: int) -> Vdev:
        """One vdev and all below it."""
        self.count += 1
        if depth > conf.MAX_DEPTH or self.count > conf.MAX_VDEVS:
            raise LimitError("a vdev tree is too deep or too large", vdev=conf.describe(config))
        vdev = self._kind(config, parent)(self.tree, config, parent, number)
        if parent is None:
            self.tree.root = vdev
        elif parent is self.tree.root:
            self.tree.tops.append(vdev)
        self._register(vdev)
        vdev.inherit()
        most = conf.MAX_VDEVS if parent is None else conf.MAX_CHILDREN
        for place, child in enumerate(conf.children(config, most)):
            vdev.children.append(self.add(child, vdev, place, depth + 1))
        if bool(vdev.children) is isinstance(vdev, _CHILDLESS):
            raise CorruptError(f"a {vdev.type} vdev with {len(vdev.children)} children", vdev=vdev.name)
        if isinstance(vdev, StripedVdev):
            vdev.finish()
        return vdev

    def _kind(self, config: VdevConfig, parent: Vdev | None) -> type[Vdev]:
        word: Any = config.get("type")
        kind = _KINDS.get(word) if isinstance(word, str) else None
        if kind is None:
            kind_text = f"vdevs of type {str(word)[:40]!r} are not known"
            raise UnsupportedError(kind_text, vdev=conf.describe(config))
        top = parent is not None and parent.parent is None
        if (kind is RootVdev) is not (parent is None) or (word in _TOP_ONLY and not top):
            raise CorruptError(f"a {word} vdev where none can be", vdev=conf.describe(config))
        return kind

    def _register(self, vdev: Vdev) -> None:
        if isinstance(vdev, LeafVdev):
            vdev.index = len(self.tree.leaves)
            self.tree.leaves.append(vdev)
        if isinstance(vdev, DspareVdev):
            spare = (vdev.top_guid, vdev.spare_id)
            if spare in self.spares:
                raise CorruptError("a distributed spare is in use twice", vdev=vdev.name)
            self.spares.add(spare)
        if vdev.guid == 0 and isinstance(vdev, (HoleVdev, MissingVdev)):
            return
        if vdev.guid == 0 or vdev.guid in self.tree.by_guid:
            raise CorruptError("two vdevs have one guid, or one has none", vdev=vdev.name, guid=vdev.guid)
        self.tree.by_guid[vdev.guid] = vdev


def _words(values: ArrayLike) -> U64:
    return np.ascontiguousarray(values).astype(np.uint64, copy=False)
