"""Writing a file's attributes: into the bonus, and what does not fit there into a spill block.

Each buffer has a layout, the list of its attributes, which is registered in the file system under a number; the same
list is never registered twice. If all attributes fit into the bonus, there is no spill block. Else the first one that
would reach into the room that the spill block's pointer takes goes there, with all that follow.

Source: OpenZFS, sa.c (``sa_build_layouts``, ``sa_find_sizes``, ``sa_find_layout``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ..dmu.mutable import SPILL_MAX, MutableDnode
from ..dmu.mutableobjset import MutableObjset
from ..dmu.mutablezap import MutableZap, create_zap
from ..errors import LimitError, UsageError
from ..ondisk import sa
from ..ondisk.dmutypes import ObjectType
from ..ondisk.sa import Attribute
from .sa import SaTable

REGISTRY = "REGISTRY"
LAYOUTS = "LAYOUTS"
#: The first number that a list of attributes can have: 0 and 1 stand for others. Source: sa_impl.h.
FIRST_LAYOUT = 2
#: Layouts are arrays of 16-bit numbers, which only a fat ZAP can hold; blocks as OpenZFS makes them.
BLOCK = 16 << 10
POINTER = 128
ATTRIBUTE_MAX = 0xFFFF


class SaWriter:
    """Writes attributes of files of one file system.

    Args:
        objset: its object set.
        table: registry and layouts; new ones are added to it.
        master: object of the SA master node.
    """

    def __init__(self, objset: MutableObjset, table: SaTable, master: int) -> None:
        self.objset = objset
        self.table = table
        self._master = master
        self._numbers: dict[tuple[int, ...], int] = {
            tuple(attrs): number for number, attrs in table.layouts.items() if number >= FIRST_LAYOUT
        }

    # --- tables -----------------------------------------------------------------------------------------------------

    def _table_object(self, name: str, kind: int, *, fat: bool) -> MutableZap:
        """The ZAP of registrations or layouts, made when it is first needed."""
        head = MutableZap(self.objset.dnode(self._master))
        number = head.get_int(name, 0)
        if number:
            return MutableZap(self.objset.dnode(number))
        made = create_zap(self.objset, kind, self.objset.random_bytes, block_size=BLOCK if fat else 512)
        head.add(name, made.dnode.number)
        if name == REGISTRY:
            for attribute in self.table.registry.values():
                made.add(attribute.name, sa.encode_registration(attribute))
        return made

    def _registered(self, name: str) -> int:
        """The number of an attribute, registered if it was not."""
        found = self.table.numbers.get(name)
        if found is not None:
            return found
        standard = {one.name: one for one in sa.standard_registry().values()}
        if name not in standard:
            raise UsageError(f"{name} is no attribute that files have")
        number = max(self.table.registry, default=-1) + 1
        attribute = Attribute(number, name, standard[name].length, standard[name].swap)
        zap = self._table_object(REGISTRY, ObjectType.SA_ATTR_REGISTRATION, fat=False)
        zap.add(name, sa.encode_registration(attribute))
        self.table.registry[number] = attribute
        self.table.numbers[name] = number
        self.objset.tx.note(partial(_forget, self.table.registry, number))
        self.objset.tx.note(partial(_forget, self.table.numbers, name))
        return number

    def _layout(self, attributes: tuple[int, ...]) -> int:
        """The number of a list of attributes, registered if it was not."""
        found = self._numbers.get(attributes)
        if found is not None:
            return found
        if not self._numbers:
            self._table_object(REGISTRY, ObjectType.SA_ATTR_REGISTRATION, fat=False)
        number = max(self._numbers.values(), default=FIRST_LAYOUT - 1) + 1
        if number > sa.MAX_LAYOUT_NUMBER:
            raise LimitError("a file system has no room for more kinds of attributes", dataset=self.objset.name)
        zap = self._table_object(LAYOUTS, ObjectType.SA_ATTR_LAYOUTS, fat=True)
        zap.add(str(number), attributes, int_size=2)
        self._numbers[attributes] = number
        self.table.layouts[number] = attributes
        self.objset.tx.note(partial(_forget, self._numbers, attributes))
        self.objset.tx.note(partial(_forget, self.table.layouts, number))
        return number

    # --- a file -----------------------------------------------------------------------------------------------------

    def store(self, dn: MutableDnode, values: Mapping[str, bytes]) -> None:
        """Give an object these attributes and no others.

        Args:
            dn: the object, its bonus of type SA.
            values: as stored, little-endian, in their order.

        Raises:
            LimitError: they are too long.
        """
        for name, value in values.items():
            if len(value) > ATTRIBUTE_MAX:
                raise LimitError(f"the attribute {name} is too long", bytes=len(value), limit=ATTRIBUTE_MAX)
        numbered = {self._registered(name): value for name, value in values.items()}
        order = tuple(numbered)
        capacity = dn.bonus_capacity
        whole = self._size(order, numbered)
        if whole <= capacity:
            if dn.has_spill:
                dn.set_spill(None)
            dn.set_bonus(self._encoded(order, numbered), ObjectType.SA)
            return
        count = self._fitting(order, numbered, capacity - POINTER)
        head, rest = order[:count], order[count:]
        spill = self._encoded(rest, numbered)
        size = -(-len(spill) // 512) * 512
        if size > SPILL_MAX:
            raise LimitError("a file's attributes are too long together", bytes=len(spill))
        if dn.has_spill:
            size = max(size, len(dn.read_spill()[0]))  # an existing one is never made smaller
        dn.set_bonus(self._encoded(head, numbered).ljust(capacity - POINTER, b"\0"), ObjectType.SA)
        dn.set_spill(spill.ljust(size, b"\0"))

    def patch(self, dn: MutableDnode, values: Mapping[str, bytes | None]) -> bool:
        """Overwrite attributes where they lie; False if that is not possible and nothing was done."""
        bonus = dn.bonus
        places = self.table.plan(bonus).places
        found = []
        for name, value in values.items():
            place = places.get(self.table.numbers.get(name, -1))
            if value is None or place is None or place[1] != len(value):
                return False
            found.append((place[0], value))
        data = bytearray(bonus)
        for at, value in found:
            data[at : at + len(value)] = value
        dn.set_bonus(bytes(data))
        return True

    def _encoded(self, order: Sequence[int], numbered: Mapping[int, bytes]) -> bytes:
        return sa.encode(self._layout(tuple(order)), order, numbered, self.table.registry)

    def _size(self, order: Sequence[int], numbered: Mapping[int, bytes]) -> int:
        """Bytes of a buffer with these attributes, up to the end of the last."""
        variable = sum(self.table.registry[number].length == 0 for number in order)
        at = sa.header_size(variable)
        for number in order:
            at = -(-at // 8) * 8 + len(numbered[number])
        return at

    def _fitting(self, order: Sequence[int], numbered: Mapping[int, bytes], room: int) -> int:
        """How many of the first attributes fit into ``room`` bytes; the header is that of all of them."""
        count = 0
        while count < len(order) and self._size(order[: count + 1], numbered) <= room:
            count += 1
        return count


def _forget(table: dict[Any, Any], key: Any) -> None:
    table.pop(key, None)
