"""Directories: names and what they stand for.

A directory is a ZAP; an entry's value holds the object number and, since ZPL 2, its type. ``.`` and ``..`` are not
stored. Names are bytes; as text they are UTF-8 with odd bytes as lone surrogates (Python's surrogateescape).

Source: OpenZFS, zfs_dir.c, zfs_znode.h.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from ..dmu.zap import Zap, ZapEntry
from ..errors import CorruptError, NotADirectoryInPoolError, PoolError
from ..errors import printable as printable  # for all who show names
from ..ondisk.dmutypes import ObjectType
from ..ondisk.zplconst import DIRENT_OBJECT_MASK, DIRENT_TYPE_SHIFT, MAX_NAME, Case

if TYPE_CHECKING:
    from .znode import Znode


class DirEntry(NamedTuple):
    """A name in a directory. ``type`` is st_mode's type shifted right by twelve bits; 0: not told (ZPL 1)."""

    name: str
    raw: bytes
    object: int
    type: int


def text(name: bytes) -> str:
    """A name as text."""
    return name.decode("utf-8", "surrogateescape")


def raw(name: str) -> bytes:
    """The bytes of a name."""
    return name.encode("utf-8", "surrogateescape")


def open_zap(directory: Znode) -> Zap:
    """A directory's entries. Raises: NotADirectoryInPoolError; CorruptError."""
    if not directory.is_dir:
        raise NotADirectoryInPoolError("not a directory", dataset=directory.fs.name, object=directory.object)
    if directory.dnode.type != ObjectType.DIRECTORY_CONTENTS:
        raise CorruptError(
            "a directory of a wrong object type", object=directory.object, type=directory.dnode.type
        )
    return Zap(directory.dnode)


def is_name(name: bytes) -> bool:
    """True for what a file can be called: nobody who joins such names to a path ends up elsewhere."""
    return 0 < len(name) <= MAX_NAME and name not in (b".", b"..") and b"/" not in name and b"\0" not in name


def iterate(directory: Znode, *, damaged: Callable[[PoolError], None] | None = None) -> Iterator[DirEntry]:
    """Entries in the order of the ZAP.

    Args:
        directory: where to look.
        damaged: if given, it is told what cannot be an entry, and the rest follows; otherwise that is raised.

    Raises:
        NotADirectoryInPoolError: it is no directory; CorruptError: damaged entries.
    """
    for entry in directory.fs.listed(directory):
        name, values = entry.name, entry.values
        if len(values) != 1 or not is_name(name):
            what = "a directory entry is damaged" if is_name(name) else "a directory holds a name that no file can have"
            error = CorruptError(
                what, dataset=directory.fs.name, object=directory.object, name=printable(text(name))
            )
            if damaged is None:
                raise error
            damaged(error)
            continue
        value = values[0]
        yield DirEntry(text(name), name, value & DIRENT_OBJECT_MASK, value >> DIRENT_TYPE_SHIFT)


def entries(directory: Znode) -> list[DirEntry]:
    """All entries. Raises: as ``iterate``."""
    return list(iterate(directory))


def find(directory: Znode, name: bytes) -> int | None:
    """Object that a name stands for, or None. The file system's case sensitivity and normalization apply.

    Raises:
        NotADirectoryInPoolError: it is no directory; CorruptError: a damaged entry.
    """
    fs = directory.fs
    with fs.steady():
        entry = fs.entries_of(directory).find(name, fold=bool(fs.normflags), match_case=fs.case == Case.MIXED)
    return None if entry is None else object_of(entry)


def object_of(entry: ZapEntry) -> int:
    """The object that an entry of a directory's ZAP stands for.

    Raises:
        CorruptError: it has not one value.
    """
    if len(entry.values) != 1:
        raise CorruptError("a directory entry is damaged", name=printable(text(entry.name)))
    return entry.values[0] & DIRENT_OBJECT_MASK
