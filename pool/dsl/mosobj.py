"""Objects of the MOS, read with the checks that every reader of the DSL needs.

Object numbers in the MOS come from disk; each is read once, and what is there has to be of the kind that was meant.
Names are text: bytes that are not UTF-8 keep their place as lone surrogates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from ..dmu.dnode import Dnode
from ..dmu.objset import Objset
from ..dmu.zap import Zap, ZapEntry
from ..errors import CorruptError, NotFoundError, PoolError
from ..ondisk.dmutypes import ObjectType, Swap, type_info, type_is_valid

#: Told of a dataset that cannot be read: its name, and why.
Damaged = Callable[[str, PoolError], None]
P = ParamSpec("P")
T = TypeVar("T")


def attempt(
    damaged: Damaged | None, name: str, work: Callable[P, T], *args: P.args, **options: P.kwargs
) -> T | None:
    """Do some reading; if it fails, tell ``damaged`` and give None. Without ``damaged`` the error is raised."""
    try:
        return work(*args, **options)
    except PoolError as error:
        if damaged is None:
            raise
        damaged(name, error)
        return None


def text_of(raw: bytes) -> str:
    """Text of bytes read from disk; whatever is not UTF-8 survives the way back through ``bytes_of``."""
    return raw.decode("utf-8", "surrogateescape")


def bytes_of(text: str) -> bytes:
    """The bytes that ``text_of`` made text of."""
    return text.encode("utf-8", "surrogateescape")


def object_of(mos: Objset, number: int, what: str) -> Dnode:
    """The dnode of an object that something else names.

    Raises:
        CorruptError: there is no such object.
    """
    try:
        return mos.dnode(number)
    except NotFoundError:
        raise CorruptError(
            f"object {number} of {mos.name or 'an object set'} is missing ({what})", "the pool is damaged"
        ) from None


def object_with_bonus(mos: Objset, number: int, bonustype: ObjectType, what: str) -> Dnode:
    """The dnode of an object that is known by the type of its bonus buffer.

    Raises:
        CorruptError: there is no such object, or it is something else.
    """
    dnode = object_of(mos, number, what)
    if dnode.bonustype != bonustype:
        raise CorruptError(
            f"object {number} of the MOS is not a {what}", "the pool is damaged", bonus_type=dnode.bonustype
        )
    return dnode


def is_zap(dnode: Dnode) -> bool:
    """Its type says that its data is a ZAP (of a directory or dataset: that it has further entries)."""
    return type_is_valid(dnode.type) and type_info(dnode.type).swap == Swap.ZAP


def zap_of(mos: Objset, number: int, what: str) -> Zap:
    """The ZAP with that object number.

    Raises:
        CorruptError: there is no such object, or it is no ZAP.
    """
    dnode = object_of(mos, number, what)
    if not is_zap(dnode):
        raise CorruptError(
            f"object {number} of the MOS is not a ZAP ({what})", "the pool is damaged", type=dnode.type
        )
    return Zap(dnode)


def entries(mos: Objset, number: int, what: str) -> Iterator[tuple[str, ZapEntry]]:
    """Name and entry of everything in a ZAP; nothing for object 0."""
    if number == 0:
        return
    for entry in zap_of(mos, number, what).items():
        yield text_of(entry.name), entry


def numbers(mos: Objset, number: int, what: str) -> dict[str, int]:
    """Name -> number of a ZAP whose entries hold one number each; empty for object 0.

    Raises:
        CorruptError: an entry holds something else.
    """
    return {name: one_number(entry, f"{name!r} in {what}") for name, entry in entries(mos, number, what)}


def one_number(entry: ZapEntry, what: str) -> int:
    """The single 64-bit number of an entry.

    Raises:
        CorruptError: the entry holds something else.
    """
    if entry.integer_size != 8 or len(entry.values) != 1:
        raise CorruptError(
            f"{what} holds {len(entry.values)} values of {entry.integer_size} bytes, not a number"
        )
    return entry.values[0]


def byte_string(entry: ZapEntry, what: str) -> bytes:
    """The bytes of an entry of one-byte values.

    Raises:
        CorruptError: the entry holds something else.
    """
    if entry.integer_size != 1:
        raise CorruptError(f"{what} holds values of {entry.integer_size} bytes, not a byte string")
    return bytes(entry.values)
