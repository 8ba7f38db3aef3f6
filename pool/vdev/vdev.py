"""What all vdevs have in common: identity, state, children, and the questions a tree asks them.

A vdev's address space is a line of ``asize`` bytes. Two kinds of vdev answer where it lies. *Plain* ones
(leaves, and mirrors, replacements and spares over plain ones) keep the bytes at offset x at offset x of
each of their leaves: they only have to ``pick`` a leaf. The others (raidz, draid, removed vdevs, mirrors
over those) lay blocks out in columns.

There is more than one *way* to read a block on a vdev with redundant copies. Ways are counted from 0, the
best first; what a way means for a block depends on which leaves have it (their DTLs against its birth).

Source: OpenZFS, vdev.c, vdev_impl.h, vdev_mirror.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import CorruptError
from . import config as conf
from .config import VdevConfig
from .dtl import Dtl, in_more_than
from .layout import U64, Bools, Layout, single
from .state import VdevAux, VdevState, aux_text, state_text

if TYPE_CHECKING:
    from .leaf import LeafVdev
    from .tree import VdevTree

I32 = NDArray[np.int32]

#: For each block a leaf (index into VdevTree.leaves, or -1) and a byte offset on that leaf's device.
Picked = tuple[I32, U64]


@dataclass(frozen=True)
class Way:
    """One way of reading.

    Attributes:
        number: which one.
        scrub: the ways together visit every leaf that should have the block; without it, better leaves come
            first.
        stale: also read leaves whose DTL says that they lack the block: the last resort, since a DTL says
            what may be missing, and a checksum tells.
    """

    number: int
    scrub: bool = False
    stale: bool = False

    def numbered(self, number: int) -> Way:
        """The same with another number."""
        return Way(number, self.scrub, self.stale)


class Vdev:
    """A node of the tree.

    Attributes:
        type: OpenZFS's word for the kind.
        id: position among its siblings; guid: as in the configuration.
        ashift: log2 of the sector size, of the top-level vdev it belongs to.
        asize: bytes of the address space; of vdevs below the top: those that are used.
        nparity: parity columns; 0 without parity.
        config: the nvlist it was built from.
    """

    plain = False

    def __init__(self, tree: VdevTree, config: VdevConfig, parent: Vdev | None, number: int) -> None:
        self.tree = tree
        self.config = config
        self.parent = parent
        self.id = number
        self.type = conf.text(config, "type")
        self.guid = conf.integer(config, "guid", 0, (1 << 64) - 1)
        self.nparity = 0
        self.children: list[Vdev] = []
        self.state = VdevState.UNKNOWN
        self.aux = VdevAux.NONE
        self.read_errors = 0
        self.write_errors = 0
        self.checksum_errors = 0
        self.is_log = conf.flag(config, "is_log")
        self.ashift = 0
        self.asize = 0

    def inherit(self) -> None:
        """Take the address space from the configuration (top level) or from the parent."""
        if self.is_top:
            self.ashift = conf.integer(self.config, "ashift", conf.MIN_ASHIFT, conf.MAX_ASHIFT)
            self.asize = conf.integer(self.config, "asize", 0, conf.MAX_ASIZE)
        elif self.parent is not None:
            self.ashift = self.parent.ashift
            self.asize = self.parent.child_asize()

    # --- place in the tree ---

    @property
    def is_top(self) -> bool:
        """A child of the root."""
        return self.parent is not None and self.parent.parent is None

    @property
    def top(self) -> Vdev:
        """The top-level vdev it belongs to."""
        vdev = self
        while vdev.parent is not None and vdev.parent.parent is not None:
            vdev = vdev.parent
        return vdev

    @property
    def name(self) -> str:
        """What OpenZFS's tools call it."""
        return f"{self.type}-{self.id}"

    def walk(self) -> Iterator[Vdev]:
        """This vdev and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()

    def leaves(self) -> list[LeafVdev]:
        """The leaves below, in order."""
        return [leaf for child in self.children for leaf in child.leaves()]

    def __repr__(self) -> str:
        return f"<{self.name} {self.state_text}>"

    # --- state ---

    @property
    def readable(self) -> bool:
        """Bytes can be read from it."""
        return self.state >= VdevState.DEGRADED

    @property
    def state_text(self) -> str:
        """Its state as a status report prints it."""
        return state_text(self.state, self.aux)

    @property
    def aux_text(self) -> str:
        """The reason for its state, as a status report prints it."""
        return aux_text(self.aux)

    def set_state(self, state: VdevState, aux: VdevAux = VdevAux.NONE) -> None:
        """Set its own state; parents follow with ``VdevTree.propagate_states``."""
        self.state, self.aux = state, aux

    def update_state(self) -> None:
        """Take the state that follows from the children's."""
        broken = sum(not child.readable for child in self.children)
        if broken > self.tolerated():
            offline = all(child.state is VdevState.OFFLINE for child in self.children)
            self.set_state(VdevState.CANT_OPEN, VdevAux.CHILDREN_OFFLINE if offline else VdevAux.NO_REPLICAS)
        elif all(child.state is VdevState.HEALTHY for child in self.children):
            self.set_state(VdevState.HEALTHY)
        else:
            self.set_state(VdevState.DEGRADED)

    def tolerated(self) -> int:
        """How many children may be missing without losing data."""
        return self.nparity

    def missing(self) -> Dtl:
        """The txgs whose data it lacks: of a leaf its DTL, of others what follows from the children's."""
        return in_more_than([child.missing() for child in self.children], self.tolerated())

    def outage(self, without: Vdev | None = None) -> Dtl:
        """The txgs whose data it cannot give at present: as ``missing``, and all of what cannot be read.

        Args:
            without: as if this leaf could not be read either.
        """
        return in_more_than([child.outage(without) for child in self.children], self.tolerated())

    # --- address space ---

    def child_asize(self) -> int:
        """Bytes of the address space that each child must have."""
        return self.asize

    def asizes(self, psizes: U64, births: U64) -> U64:
        """Allocated bytes for blocks of ``psizes`` bytes written in txgs ``births``."""
        sector = np.uint64((1 << self.ashift) - 1)
        result: U64 = (psizes + sector) & ~sector
        return result

    def psizes(self, asizes: U64, births: U64) -> U64:
        """The largest block that fits into an allocation."""
        result: U64 = asizes & ~np.uint64((1 << self.ashift) - 1)
        return result

    def space(self, child_asize: int) -> int:
        """Bytes of its address space when the smallest child has ``child_asize`` bytes."""
        return child_asize

    def stripe(self) -> int:
        """Offsets of blocks are multiples of so many bytes."""
        return 1 << self.ashift

    def holds(self, offsets: U64, psizes: U64, births: U64) -> Bools:
        """Which blocks, all within its address space, can be there."""
        return np.ones(len(offsets), bool)

    def ways(self, scrub: bool) -> int:
        """In how many ways a block can be read, apart from reading stale leaves."""
        raise self._no_bytes()

    def layout(self, way: Way, offsets: U64, psizes: U64, births: U64) -> Layout:
        """Where blocks lie. Offsets and sizes are within bounds: ``VdevTree.layout`` has checked them."""
        if not self.plain:
            raise self._no_bytes()
        leaf, at = self.pick(way, offsets, births)
        return single(leaf, at, Vdev.asizes(self, psizes, births))

    def pick(self, way: Way, offsets: U64, births: U64) -> Picked:
        """Of a plain vdev: the leaf to read each block from. -1: none has it in this way."""
        raise self._no_bytes()

    def locate(self, offsets: U64, births: U64, stale: bool, depth: int = 0) -> Picked:
        """Of a leaf: itself and the offset on its device; -1 for blocks it cannot give.

        Args:
            stale: pretend that the DTL is empty.
            depth: how many distributed spares led here.
        """
        raise self._no_bytes()

    def _no_bytes(self) -> CorruptError:
        return CorruptError("no block can lie here", vdev=self.name)
