"""System attributes, written: layouts found or registered, attributes placed in the bonus and the spill block.

A buffer holds the attributes of one layout. When all of an object's do not fit into the bonus, it keeps those that end
128 bytes before its end (a pointer goes there) and the others, from the first that does not fit, go to a spill block,
which has a header and a layout of its own. Attributes keep their order; new ones are put behind all others.

Seven attributes come first in every file, where the accounting of space finds them without a layout; sizes, times and
links follow, so that they are always in the bonus.

Values are little-endian bytes, as they lie in a buffer.

Layout: ondisk/sa.py. Source: OpenZFS, sa.c, zfs_sa.c.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..dmu.mutablezap import MutableZap, RandomBytes, create_zap
from ..errors import NotFoundError, UnsupportedError, UsageError
from ..ondisk import sa
from ..ondisk.blkptr import BLKPTR_SIZE
from ..ondisk.dmutypes import ObjectType
from ..ondisk.dnode import FIXED_SIZE, SLOT_SIZE
from ..ondisk.sa import Attribute
from .sa import SaTable

if TYPE_CHECKING:
    from ..dmu.mutable import MutableDnode
    from ..dmu.mutableobjset import MutableObjset

#: The first attributes of every file.
FIXED = ("ZPL_MODE", "ZPL_SIZE", "ZPL_GEN", "ZPL_UID", "ZPL_GID", "ZPL_PARENT", "ZPL_FLAGS")
#: The attributes of a new file, in order; those in OPTIONAL only where they apply. Others follow as they are added.
NEW_FILE = (
    *FIXED, "ZPL_ATIME", "ZPL_MTIME", "ZPL_CTIME", "ZPL_CRTIME", "ZPL_LINKS", "ZPL_PROJID", "ZPL_RDEV",
    "ZPL_DACL_COUNT", "ZPL_DACL_ACES",
)  # fmt: skip
OPTIONAL = ("ZPL_PROJID", "ZPL_RDEV")
REGISTRY = "REGISTRY"
LAYOUTS = "LAYOUTS"
MAX_LENGTH = 0xFFFF  # of an attribute of variable size
SPILL_UNIT = 512


def bonus_capacity(dnode_size: int = SLOT_SIZE, nblkptr: int = 1) -> int:
    """Bytes of system attributes a dnode can hold if there is no spill block."""
    return dnode_size - FIXED_SIZE - nblkptr * BLKPTR_SIZE


@dataclass(frozen=True, slots=True)
class SaImage:
    """Encoded attributes: what goes into the bonus and, unless all fits there, into the spill block."""

    bonus: bytes
    spill: bytes | None


class MutableSaTable(SaTable):
    """Registry and layouts of one file system, to which layouts can be added (inside of transactions).

    Args:
        objset: the file system's objects. master: number of the SA master node.
        random_bytes: where the salts of new ZAPs come from.

    Raises:
        CorruptError, LimitError: they are not what they must be.
    """

    def __init__(self, objset: MutableObjset, master: int, random_bytes: RandomBytes) -> None:
        super().__init__({}, {})
        self.objset = objset
        self._random = random_bytes
        self._master = MutableZap(objset.dnode(master))
        self._zaps: dict[str, MutableZap] = {}
        self._seen: list[tuple[MutableDnode, int]] = []
        self.refresh()

    def refresh(self) -> None:
        """Read all anew if it was changed since: by someone else, or by a transaction that was taken back."""
        if self._seen and all(dnode.version == version for dnode, version in self._seen):
            return
        fresh = SaTable.load(self.objset, self._master.dnode.number)
        self.registry, self.layouts, self.numbers = fresh.registry, fresh.layouts, fresh.numbers
        self._found = {layout: number for number, layout in sorted(self.layouts.items(), reverse=True)}
        self._plans, self._sizes = {}, {}
        self._zaps = {}
        for name in (REGISTRY, LAYOUTS):
            number = self._master.get_int(name, 0)
            if number:
                self._zaps[name] = MutableZap(self.objset.dnode(number))
        self._note()

    def _note(self) -> None:
        dnodes = [self._master.dnode, *(zap.dnode for zap in self._zaps.values())]
        self._seen = [(dnode, dnode.version) for dnode in dnodes]

    def _new_plan(self, buffer: bytes) -> Any:
        with self.objset.tx.steady():  # whoever reads a file may come here while a layout is being registered
            self.refresh()
            return super()._new_plan(buffer)

    # --- registering ----------------------------------------------------------------------------------------------

    def _zap(self, name: str, kind: int) -> MutableZap:
        zap = self._zaps.get(name)
        if zap is None:
            zap = create_zap(self.objset, kind, self._random)
            self._master.update(name, zap.dnode.number)
            self._zaps[name] = zap
        return zap

    def number_of(self, name: str) -> int:
        """The number of an attribute. The first use of one that is not registered registers all that OpenZFS has.

        Raises:
            NotFoundError: there is no such attribute.
        """
        number = self.numbers.get(name)
        if number is None:
            if name not in {known for known, _, _ in sa.STANDARD}:
                raise NotFoundError("there is no such system attribute", attribute=name)
            self._register_all()
            number = self.numbers[name]
        return number

    def _register_all(self) -> None:
        """Register what OpenZFS knows; attributes that are new get the next numbers."""
        self._seen = []  # should this not come to its end, all is read anew
        registry = self._zap(REGISTRY, ObjectType.SA_ATTR_REGISTRATION)
        for name, length, swap in sa.STANDARD:
            if name in self.numbers:
                continue
            attribute = Attribute(max(self.registry, default=-1) + 1, name, length, swap)
            registry.add(name, sa.encode_registration(attribute))
            self.registry[attribute.number] = attribute
            self.numbers[name] = attribute.number
        self._plans, self._sizes = {}, {}
        self._note()

    def layout_for(self, attributes: Sequence[int]) -> int:
        """The number of the layout with these attributes in this order, registered if need be.

        Raises:
            UsageError: there are as many layouts as there can be.
        """
        self.refresh()
        wanted = tuple(attributes)
        number = self._found.get(wanted)
        if number is not None:
            return number
        # OpenZFS takes the number of layouts there are, the two unwritten ones included.
        number = next((n for n in range(2, sa.MAX_LAYOUT_NUMBER + 1) if n not in self.layouts), 0)
        if not number:
            raise UsageError("a file system has no room for another layout of attributes")
        self._seen = []
        self._zap(LAYOUTS, ObjectType.SA_ATTR_LAYOUTS).add(str(number), wanted, 2)
        self.layouts[number] = wanted
        self._found[wanted] = number
        self._note()
        return number

    # --- encoding -------------------------------------------------------------------------------------------------

    def encode(self, values: Mapping[str, bytes], *, capacity: int, spill_size: int = 0) -> SaImage:
        """Attributes as an object holds them.

        Args:
            values: by name, in their order.
            capacity: bytes of the bonus if there is no spill block (``bonus_capacity``).
            spill_size: of the spill block there is already, which never shrinks.

        Raises:
            UsageError: too much, an attribute of a wrong length, or the first seven are not where they must be.
        """
        self.refresh()
        names = list(values)
        if FIXED[0] in values and tuple(names[: len(FIXED)]) != FIXED:
            raise UsageError("the first attributes of a file are out of order", names=", ".join(names[: len(FIXED)]))
        numbers = [self.number_of(name) for name in names]
        by_number = dict(zip(numbers, values.values()))
        kept = self._fitting(numbers, by_number, capacity)
        if kept < min(len(FIXED), len(numbers)):
            raise UsageError("a file's first attributes do not fit into its dnode", capacity=capacity)
        bonus = self._buffer(numbers[:kept], by_number)
        if kept == len(numbers):
            return SaImage(bonus, None)
        spill = self._buffer(numbers[kept:], by_number)
        size = max(-(-len(spill) // SPILL_UNIT) * SPILL_UNIT, spill_size)
        if size > sa.MAX_SA_BYTES:
            raise UsageError("system attributes do not fit into a spill block", bytes=len(spill))
        return SaImage(bonus.ljust(capacity - BLKPTR_SIZE, b"\0"), spill.ljust(size, b"\0"))

    def _fitting(self, numbers: Sequence[int], values: Mapping[int, bytes], capacity: int) -> int:
        """How many attributes stay in the bonus."""
        ends = []
        variable = data = 0
        for number in numbers:
            variable += self.registry[number].length == 0
            data = -(-data // 8) * 8 + len(values[number])
            ends.append(sa.header_size(variable) + data)
        if not ends or ends[-1] <= capacity:
            return len(ends)
        return next(i for i, end in enumerate(ends) if end > capacity - BLKPTR_SIZE)

    def _buffer(self, numbers: Sequence[int], values: Mapping[int, bytes]) -> bytes:
        for number in numbers:
            attribute = self.registry[number]
            if len(values[number]) > (attribute.length or MAX_LENGTH):
                raise UsageError(f"{attribute.name} is too long", bytes=len(values[number]))
        return sa.encode(self.layout_for(numbers), numbers, values, self.registry)

    # --- objects --------------------------------------------------------------------------------------------------

    def read(self, dnode: MutableDnode) -> dict[str, bytes]:
        """An object's attributes in their order.

        Raises:
            UnsupportedError: they were written by a big-endian host. CorruptError: they make no sense.
        """
        values = self._read(dnode.bonus)
        if dnode.has_spill:
            values.update(self._read(dnode.read_spill()[0]))
        return values

    def _read(self, buffer: bytes) -> dict[str, bytes]:
        plan = self.plan(buffer)
        if plan.order != "<":
            raise UnsupportedError("attributes of a big-endian host cannot be changed")
        return {self.registry[n].name: bytes(buffer[at : at + length]) for n, (at, length) in plan.places.items()}

    def store(self, dnode: MutableDnode, values: Mapping[str, bytes]) -> None:
        """Give an object these attributes and no others. Raises: as ``encode``."""
        spill_size = len(dnode.read_spill()[0]) if dnode.has_spill else 0
        image = self.encode(values, capacity=dnode.bonus_capacity, spill_size=spill_size)
        if image.spill is None and dnode.has_spill:
            # First the pointer makes room, then the bonus takes it.
            dnode.set_spill(None)
        dnode.set_bonus(image.bonus, ObjectType.SA)
        if image.spill is not None:
            dnode.set_spill(image.spill)

    def change(self, dnode: MutableDnode, changes: Mapping[str, bytes | None]) -> None:
        """Change some attributes of an object: others of the same length are put in their places, new ones behind all,
        and None removes one (which may be missing).

        Raises:
            as ``encode`` and ``read``.
        """
        if self._patch(dnode, changes):
            return
        values = self.read(dnode)
        for name, value in changes.items():
            if value is None:
                values.pop(name, None)
            else:
                values[name] = value
        self.store(dnode, values)

    def _patch(self, dnode: MutableDnode, changes: Mapping[str, bytes | None]) -> bool:
        """Overwrite values in the bonus; False: some are not there, or of another length."""
        buffer = dnode.bonus
        plan = self.plan(buffer)
        if plan.order != "<":
            return False
        raw = bytearray(buffer)
        for name, value in changes.items():
            place = plan.places.get(self.numbers.get(name, -1))
            if place is None or value is None or place[1] != len(value):
                return False
            raw[place[0] : place[0] + place[1]] = value
        dnode.set_bonus(bytes(raw))
        return True
