"""A file system's attributes: which there are, how each layout places them, and where that is in a buffer.

The header of a buffer fixes where its attributes lie, and most files of a file system share a handful of headers. So
what a header means is worked out once, compiled to one ``struct`` and kept: reading the usual fields of a file is then
one look-up and one unpacking.

Source: OpenZFS, sa.c, zfs_sa.c. Layout of the bytes: ``ondisk/sa.py``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from ..dmu.objset import Objset
from ..dmu.zap import Zap
from ..errors import CorruptError, LimitError
from ..ondisk import sa
from ..ondisk.dmutypes import ObjectType
from ..ondisk.sa import Attribute

MAX_LAYOUTS = sa.MAX_LAYOUT_NUMBER + 1
MAX_PLANS = 4096  # kept at a time; a hostile pool could make every header different

#: Fields of ``Fields``, in its order: attribute, letter(s) of struct, bytes. Times are seconds and nanoseconds.
_CORE = (
    ("ZPL_MODE", "Q"),
    ("ZPL_SIZE", "Q"),
    ("ZPL_GEN", "Q"),
    ("ZPL_UID", "Q"),
    ("ZPL_GID", "Q"),
    ("ZPL_PARENT", "Q"),
    ("ZPL_FLAGS", "Q"),
    ("ZPL_LINKS", "Q"),
    ("ZPL_ATIME", "qQ"),
    ("ZPL_MTIME", "qQ"),
    ("ZPL_CTIME", "qQ"),
    ("ZPL_CRTIME", "qQ"),
    ("ZPL_XATTR", "Q"),
    ("ZPL_RDEV", "Q"),
    ("ZPL_PROJID", "Q"),
)
_REQUIRED = frozenset(name for name, _ in _CORE[:12])


class Fields(NamedTuple):
    """The usual attributes of a file; None where the buffer does not have it."""

    mode: int
    size: int
    gen: int
    uid: int
    gid: int
    parent: int
    flags: int
    links: int
    atime_s: int
    atime_n: int
    mtime_s: int
    mtime_n: int
    ctime_s: int
    ctime_n: int
    crtime_s: int
    crtime_n: int
    xattr: int | None
    rdev: int | None
    projid: int | None


assert len(Fields._fields) == sum(len(letters) for _, letters in _CORE)


class Plan:
    """What one header means: where its attributes are, and a fast way to the usual ones."""

    __slots__ = ("_pick", "_unpack", "end", "lacks", "order", "places")

    def __init__(self, order: str, places: dict[int, tuple[int, int]], numbers: Mapping[str, int]) -> None:
        self.order = order
        self.places = places
        self.end = max((at + length for at, length in places.values()), default=0)
        self.lacks = sorted(name for name in _REQUIRED if numbers.get(name) not in places)
        self._unpack, self._pick = _compile(order, places, numbers)

    def fields(self, buffer: Any) -> Fields:
        """The usual attributes of a buffer that has this header. Raises: CorruptError if one of them is not there."""
        if self.lacks:
            raise CorruptError(f"a file lacks the attribute {self.lacks[0]}")
        return Fields._make(self._pick((*self._unpack(buffer), None)))


def _compile(
    order: str, places: dict[int, tuple[int, int]], numbers: Mapping[str, int]
) -> tuple[Callable[[Any], tuple[Any, ...]], Callable[[tuple[Any, ...]], tuple[Any, ...]]]:
    """An unpacking of the usual attributes in one go, and the order in which ``Fields`` wants them."""
    found = []
    for name, letters in _CORE:
        place = places.get(numbers.get(name, -1))
        if place is not None:
            at, length = place
            if length != 8 * len(letters):
                raise CorruptError(f"the attribute {name} is registered with a wrong length", length=length)
            found.append((at, name, letters))
    form, position, index = order, 0, {}
    count = 0
    for at, name, letters in sorted(found):
        form += f"{at - position}x{letters}"
        position = at + 8 * len(letters)
        index[name] = count
        count += len(letters)
    picks = [
        index[name] + k if name in index else count for name, letters in _CORE for k in range(len(letters))
    ]
    return struct.Struct(form).unpack_from, itemgetter(*picks)


class SaTable:
    """Registry and layouts of one file system.

    Args:
        registry: attributes by number.
        layouts: attribute numbers by layout number.
    """

    def __init__(self, registry: Mapping[int, Attribute], layouts: Mapping[int, Sequence[int]]) -> None:
        self.registry = dict(registry)
        self.layouts = {sa.EMPTY_LAYOUT: (), **{n: tuple(attrs) for n, attrs in layouts.items()}}
        self.numbers = {attribute.name: attribute.number for attribute in registry.values()}
        self._plans: dict[bytes, Plan] = {}
        self._sizes: dict[bytes, int] = {}

    @classmethod
    def load(cls, objset: Objset, master: int) -> SaTable:
        """Read registry and layouts from the SA master node, object ``master``.

        Raises:
            CorruptError, LimitError: they are not what they must be.
        """
        node = Zap(objset.dnode(master))
        heads = {entry.name: entry.values[0] for entry in node.items() if len(entry.values) == 1}
        registry = _read_registry(objset, heads.get(b"REGISTRY", 0))
        return cls(registry, _read_layouts(objset, heads.get(b"LAYOUTS", 0)))

    def plan(self, buffer: bytes) -> Plan:
        """What the header of this buffer means. Raises: CorruptError, LimitError."""
        size = self._sizes.get(buffer[:8])
        plan = self._plans.get(buffer[:size]) if size else None
        if plan is None:
            plan = self._new_plan(buffer)
        if plan.end > len(buffer):
            raise CorruptError("system attributes are cut off", needed=plan.end, length=len(buffer))
        return plan

    def _new_plan(self, buffer: bytes) -> Plan:
        header = sa.decode_header(buffer)
        layout = self.layouts.get(header.layout)
        if layout is None:
            raise CorruptError("system attributes of a layout that is not registered", layout=header.layout)
        plan = Plan(header.order, sa.locate(buffer, header, layout, self.registry), self.numbers)
        if len(self._plans) >= MAX_PLANS:
            self._plans.clear()
            self._sizes.clear()
        self._plans[bytes(buffer[: header.size])] = plan
        self._sizes[bytes(buffer[:8])] = header.size
        return plan

    def get(self, buffer: bytes, name: str) -> tuple[bytes, str] | None:
        """An attribute's bytes and their byte order; None if the buffer does not have it. Raises: as ``plan``."""
        plan = self.plan(buffer)
        place = plan.places.get(self.numbers.get(name, -1))
        return None if place is None else (bytes(buffer[place[0] : place[0] + place[1]]), plan.order)

    def names(self, buffer: bytes) -> list[str]:
        """Names of a buffer's attributes, in layout order."""
        return [self.registry[number].name for number in self.plan(buffer).places]


def _read_registry(objset: Objset, number: int) -> dict[int, Attribute]:
    if number == 0:
        # A file system without any file yet has registered nothing.
        return {}
    dnode = objset.dnode(number)
    if dnode.type != ObjectType.SA_ATTR_REGISTRATION:
        raise CorruptError("the registry of attributes has a wrong type", object=number, type=dnode.type)
    registry: dict[int, Attribute] = {}
    for entry in Zap(dnode).items():
        if len(registry) >= sa.MAX_ATTRIBUTES:
            raise LimitError(f"more than {sa.MAX_ATTRIBUTES} attributes are registered", object=number)
        if len(entry.values) != 1:
            raise CorruptError("a registered attribute has no number", object=number)
        attribute = sa.decode_registration(entry.name.decode("utf-8", "surrogateescape"), entry.values[0])
        if attribute.number in registry:
            raise CorruptError("two attributes are registered with one number", attribute=attribute.number)
        registry[attribute.number] = attribute
    return registry


def _read_layouts(objset: Objset, number: int) -> dict[int, tuple[int, ...]]:
    if number == 0:
        return {}
    dnode = objset.dnode(number)
    if dnode.type != ObjectType.SA_ATTR_LAYOUTS:
        raise CorruptError("the layouts of attributes have a wrong type", object=number, type=dnode.type)
    layouts: dict[int, tuple[int, ...]] = {}
    for entry in Zap(dnode).items():
        if len(layouts) >= MAX_LAYOUTS:
            raise LimitError(f"more than {MAX_LAYOUTS} layouts", object=number)
        if not entry.name.isdigit() or len(entry.name) > 4 or entry.integer_size != 2:
            raise CorruptError("a layout has no number", object=number, name=repr(entry.name))
        layouts[int(entry.name)] = tuple(entry.values)
    return layouts
