"""Dataset directories: the nodes of the tree of names, which carry space accounting and properties.

Every file system and volume has a directory of its own; its snapshots belong to it. Children are found by name in a
ZAP; each child records its parent, which is checked, so that the tree is a tree whatever the disk says.

Source: OpenZFS, dsl_dir.c.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from ..dmu.zap import ZapEntry
from ..errors import CorruptError, LimitError, NotFoundError
from ..ondisk.dmutypes import ObjectType
from ..ondisk.dsl import (
    DIR_CRYPTO_KEY,
    DIR_FILESYSTEM_COUNT,
    DIR_LIVELIST,
    DIR_SNAPSHOT_COUNT,
    DIR_SNAPSHOTS_CHANGED,
    DirPhys,
    decode_dir,
)
from .deadlist import Deadlist
from .mosobj import byte_string, entries, is_zap, numbers, object_with_bonus, one_number

if TYPE_CHECKING:
    from .dataset import DslDataset
    from .pool import DslPool

#: Directories below each other. OpenZFS allows 50, and once allowed what fits in a name of 255 bytes.
DEPTH_MAX = 128
HIDDEN = ("$", "%")  # first characters of names that no user gave


class DslDir:
    """One dataset directory."""

    def __init__(self, pool: DslPool, number: int, name: str, parent: DslDir | None) -> None:
        """Read the directory that is object ``number`` of the MOS.

        Args:
            name: its full name.
            parent: the directory above, None for the root.

        Raises:
            CorruptError: it is not a directory, or belongs to another parent.
            LimitError: too many directories above it.
        """
        self.pool = pool
        self.obj = number
        self.name = name
        self.parent = parent
        self.depth: int = 0 if parent is None else parent.depth + 1
        if self.depth > DEPTH_MAX:
            raise LimitError(f"more than {DEPTH_MAX} datasets below each other", dataset=name)
        dnode = object_with_bonus(pool.mos, number, ObjectType.DSL_DIR, "dataset directory")
        self.zapified = is_zap(dnode)
        self.phys: DirPhys = decode_dir(dnode.bonus, dnode.order)
        expected = 0 if parent is None else parent.obj
        if self.phys.parent_obj != expected:
            raise CorruptError(
                f"{name} names object {self.phys.parent_obj} as its parent, not {expected}",
                "the directory tree is damaged",
                object=number,
            )

    def __repr__(self) -> str:
        return f"<DslDir {self.name} object {self.obj}>"

    @property
    def short_name(self) -> str:
        """The last part of the name."""
        return self.name.rpartition("/")[2]

    @property
    def hidden(self) -> bool:
        """A special directory (``$MOS`` ...) or a temporary clone (``%recv`` ...), or below one."""
        parts = self.name.split("/")[1:]
        return any(part.startswith(HIDDEN) for part in parts)

    @cached_property
    def child_objects(self) -> dict[str, int]:
        """Short name -> object number of all children, hidden ones included.

        Raises:
            CorruptError: one directory appears under two names.
        """
        found = numbers(self.pool.mos, self.phys.child_dir_zapobj, f"children of {self.name}")
        if len(set(found.values())) != len(found):
            raise CorruptError(f"a child of {self.name} has two names", "the directory tree is damaged")
        return found

    @cached_property
    def child_names(self) -> dict[int, str]:
        """Object number -> short name of all children."""
        return {number: name for name, number in self.child_objects.items()}

    def child(self, short_name: str) -> DslDir:
        """The child of that name.

        Raises:
            NotFoundError: there is none.
        """
        number = self.child_objects.get(short_name)
        if number is None:
            raise NotFoundError(f"dataset {self.name}/{short_name} does not exist")
        return self.pool.open_dir(number, f"{self.name}/{short_name}", self)

    def children(self, *, hidden: bool = False) -> list[DslDir]:
        """Children by name; special and temporary ones only on request."""
        names = [name for name in sorted(self.child_objects) if hidden or not name.startswith(HIDDEN)]
        return [self.child(name) for name in names]

    @cached_property
    def head(self) -> DslDataset | None:
        """The dataset itself, as opposed to its snapshots; special directories have none."""
        if self.phys.head_dataset_obj == 0:
            return None
        head = self.pool.open_dataset(self.phys.head_dataset_obj, self)
        if head.is_snapshot:
            raise CorruptError(f"the head of {self.name} is a snapshot", object=head.obj)
        return head

    @cached_property
    def origin(self) -> DslDataset | None:
        """The snapshot this was cloned from; None for what is not a clone."""
        if self.phys.origin_obj == 0:
            return None
        origin = self.pool.dataset_by_object(self.phys.origin_obj)
        return None if origin.dir.hidden else origin

    @cached_property
    def fields(self) -> dict[str, ZapEntry]:
        """Further entries, of directories that have become ZAPs."""
        if not self.zapified:
            return {}
        return dict(entries(self.pool.mos, self.obj, f"entries of {self.name}"))

    def number(self, name: str) -> int | None:
        """The number a further entry holds; None without such an entry."""
        entry = self.fields.get(name)
        return None if entry is None else one_number(entry, f"{name} of {self.name}")

    @property
    def filesystem_count(self) -> int | None:
        """File systems and volumes below, where limits on them are in use."""
        return self.number(DIR_FILESYSTEM_COUNT)

    @property
    def snapshot_count(self) -> int | None:
        """Snapshots here and below, where limits on them are in use."""
        return self.number(DIR_SNAPSHOT_COUNT)

    @property
    def snapshots_changed(self) -> tuple[int, int]:
        """When a snapshot was last made, destroyed or renamed: seconds, nanoseconds; zeros where it is not known."""
        entry = self.fields.get(DIR_SNAPSHOTS_CHANGED)
        if entry is None:
            return (0, 0)
        seconds, nanoseconds = (*entry.values, 0, 0)[:2]
        return (seconds, nanoseconds)

    @property
    def crypto_key_obj(self) -> int | None:
        """Object with the wrapped keys; None for what is not encrypted."""
        return self.number(DIR_CRYPTO_KEY)

    @property
    def livelist(self) -> Deadlist | None:
        """A clone's list of its own blocks."""
        number = self.number(DIR_LIVELIST)
        return None if number is None else Deadlist(self.pool.mos, number, self.pool.dsize)

    @cached_property
    def stored_properties(self) -> dict[str, int | str]:
        """Everything in the properties ZAP, names with their suffixes."""
        return self.pool.read_properties(self.phys.props_zapobj, self.name)

    def clones(self) -> list[DslDataset]:
        """Heads of all clones of this directory's snapshots."""
        found = numbers(self.pool.mos, self.phys.clones, f"clones of {self.name}")
        return [self.pool.dataset_by_object(number) for number in sorted(found.values())]


def property_value(entry: ZapEntry, what: str) -> int | str:
    """A stored property: a number, or text up to the first NUL.

    Raises:
        CorruptError: neither.
    """
    if entry.integer_size == 8:
        return one_number(entry, what)
    return byte_string(entry, what).partition(b"\0")[0].decode("utf-8", "surrogateescape")
