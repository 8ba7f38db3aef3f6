"""Changes that wait in memory until somebody asks for them to be durable, or their txg is on disk.

The changes of one outermost transaction are a group: all of them go into the log together or none. A group that only
changes one object waits until that object is asked for; any other is part of every request. Order is kept.

Source: OpenZFS, zil.c (itxgs, sync and async lists).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..dmu.mutable import MutableDnode
    from ..zpl.oplog import Encoder


@dataclass(slots=True)
class Told:
    """A change that is told by what it was called with. ``object``: it changes only this one; 0: names."""

    encode: Encoder
    args: tuple[object, ...]
    object: int


@dataclass(slots=True)
class Written:
    """Bytes that were written to an object. What is logged is what is there when it is asked for.

    ``size``: of the object's content, after this.
    """

    dn: MutableDnode
    offset: int
    length: int
    size: int

    @property
    def object(self) -> int:
        """The object's number."""
        return self.dn.number


Itx = Told | Written


@dataclass(slots=True)
class Group:
    """What one transaction changed.

    ``alone``: the only object it changes, if that is all it does; else 0.
    """

    order: int
    txg: int
    itxs: list[Itx]
    alone: int


@dataclass(slots=True)
class ItxQueue:
    """Groups that are neither on disk nor in the log."""

    _names: list[Group] = field(default_factory=list)
    _files: dict[int, list[Group]] = field(default_factory=dict)
    _order: int = 0
    _newest: int = 0  # txg
    _synced: int = 0  # what waits is newer

    def add(self, txg: int, itxs: list[Itx], synced: int) -> None:
        """A transaction has ended.

        Args:
            txg: that it belongs to. synced: the last one on disk: what waits of it is forgotten.
        """
        if txg != self._newest:
            self._newest = txg
            self.forget(synced)
        alone = itxs[0].object
        if len(itxs) > 1 and any(itx.object != alone for itx in itxs):
            alone = 0
        self._order += 1
        group = Group(self._order, txg, itxs, alone)
        (self._files.setdefault(alone, []) if alone else self._names).append(group)

    def forget(self, synced: int) -> None:
        """Everything up to this txg is on disk."""
        if synced == self._synced:
            return
        self._synced = synced
        self._names = [group for group in self._names if group.txg > synced]
        kept = ((number, [group for group in some if group.txg > synced]) for number, some in self._files.items())
        self._files = {number: some for number, some in kept if some}

    def take(self, objects: Collection[int] | None, synced: int) -> list[Group]:
        """Groups that make these objects durable, in order; they do not wait any more.

        What is logged of a write is its object's present content, so with any write to an object all that waits of it
        is taken.

        Args:
            objects: numbers; None: everything.
        """
        self.forget(synced)
        if not self._names and objects is not None and len(objects) == 1:
            return self._files.pop(next(iter(objects)), [])
        found, self._names = self._names, []
        wanted = set(self._files) if objects is None else set(objects)
        wanted.update(itx.object for group in found for itx in group.itxs if itx.object)
        for number in wanted:
            found += self._files.pop(number, ())
        return sorted(found, key=attrgetter("order"))

    def clear(self) -> None:
        """Nothing waits any more."""
        self._names, self._files = [], {}
