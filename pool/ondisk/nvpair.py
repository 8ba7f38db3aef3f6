"""Name-value pairs in memory: the types, the list that keeps their order, and the sizes OpenZFS gives them.

Python values: boolean ``True``; boolean value ``bool``; integers and hrtime ``int``; double ``float``;
string ``str`` (bytes that are not UTF-8 as lone surrogates); byte and uint8 arrays ``bytes``; nvlist
``NVList``; every other array a ``list``. A name occurs once in a list.

Source: OpenZFS, nvpair.h.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from ..errors import CorruptError, UsageError

MAX_NAME = 32766

UNIQUE_NAME = 1
UNIQUE_NAME_TYPE = 2


class NvType(IntEnum):
    """Type of a pair, numbered as on disk."""

    BOOLEAN = 1
    BYTE = 2
    INT16 = 3
    UINT16 = 4
    INT32 = 5
    UINT32 = 6
    INT64 = 7
    UINT64 = 8
    STRING = 9
    BYTE_ARRAY = 10
    INT16_ARRAY = 11
    UINT16_ARRAY = 12
    INT32_ARRAY = 13
    UINT32_ARRAY = 14
    INT64_ARRAY = 15
    UINT64_ARRAY = 16
    STRING_ARRAY = 17
    HRTIME = 18
    NVLIST = 19
    NVLIST_ARRAY = 20
    BOOLEAN_VALUE = 21
    INT8 = 22
    UINT8 = 23
    BOOLEAN_ARRAY = 24
    INT8_ARRAY = 25
    UINT8_ARRAY = 26
    DOUBLE = 27


T = NvType

# Fixed-size values: struct letter in native form, struct letter in XDR.
SCALARS: dict[NvType, tuple[str, str]] = {
    T.BYTE: ("B", "i"),
    T.INT16: ("h", "i"),
    T.UINT16: ("H", "I"),
    T.INT32: ("i", "i"),
    T.UINT32: ("I", "I"),
    T.INT64: ("q", "q"),
    T.UINT64: ("Q", "Q"),
    T.HRTIME: ("q", "q"),
    T.BOOLEAN_VALUE: ("i", "i"),
    T.INT8: ("b", "i"),
    T.UINT8: ("B", "i"),
    T.DOUBLE: ("d", "d"),
}

ARRAYS: dict[NvType, NvType] = {
    T.BYTE_ARRAY: T.BYTE,
    T.INT16_ARRAY: T.INT16,
    T.UINT16_ARRAY: T.UINT16,
    T.INT32_ARRAY: T.INT32,
    T.UINT32_ARRAY: T.UINT32,
    T.INT64_ARRAY: T.INT64,
    T.UINT64_ARRAY: T.UINT64,
    T.BOOLEAN_ARRAY: T.BOOLEAN_VALUE,
    T.INT8_ARRAY: T.INT8,
    T.UINT8_ARRAY: T.UINT8,
}

_INFERRED: dict[type, NvType] = {
    bool: T.BOOLEAN_VALUE,
    int: T.UINT64,
    str: T.STRING,
    bytes: T.BYTE_ARRAY,
    float: T.DOUBLE,
}
BYTES_ARRAYS = (T.BYTE_ARRAY, T.UINT8_ARRAY)


def _sign8(value: int) -> int:
    return ((value & 0xFF) ^ 0x80) - 0x80


# XDR widens small integers to 32 bits; these take the value back out of what was stored.
NARROW: dict[NvType, Callable[[int], Any]] = {
    T.BYTE: lambda v: v & 0xFF,
    T.UINT8: lambda v: v & 0xFF,
    T.INT8: _sign8,
    T.INT16: lambda v: ((v & 0xFFFF) ^ 0x8000) - 0x8000,
    T.UINT16: lambda v: v & 0xFFFF,
    T.BOOLEAN_VALUE: bool,
}


class NVList(dict[str, Any]):
    """A list of pairs in order, with the on-disk type of each.

    ``types[name]`` is the pair's type; a pair set without one gets the type its Python value suggests
    (``int``: uint64). Assigning to an existing name keeps its place and type; ``add`` moves it to the end, as
    OpenZFS does. The getters (``u64``, ``string`` ...) check presence and type and raise ``CorruptError``:
    they are for lists that come from a disk.
    """

    __slots__ = ("nvflag", "types")

    def __init__(self, pairs: Any = (), /, *, nvflag: int = UNIQUE_NAME) -> None:
        super().__init__(pairs)
        self.nvflag = nvflag
        self.types: dict[str, NvType] = dict(pairs.types) if isinstance(pairs, NVList) else {}

    def add(self, name: str, value: Any, type: NvType | None = None) -> None:
        """Append a pair; a pair of this name is removed first."""
        self.pop(name, None)
        self[name] = value
        if type is not None:
            self.types[name] = type

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self.types.pop(name, None)

    def pop(self, name: str, *default: Any) -> Any:
        """Remove a pair and give its value (or ``default``)."""
        self.types.pop(name, None)
        return super().pop(name, *default)

    def copy(self) -> NVList:
        """A copy of this list; nested lists are copied too."""
        twin = NVList(self, nvflag=self.nvflag)
        for name, value in self.items():
            if isinstance(value, NVList):
                twin[name] = value.copy()
            elif isinstance(value, list):
                twin[name] = [v.copy() if isinstance(v, NVList) else v for v in value]
        return twin

    def type_of(self, name: str) -> NvType:
        """Type under which a pair is written.

        Raises:
            UsageError: none was given and the value does not suggest one.
        """
        known = self.types.get(name)
        if known is not None:
            return known
        value = self[name]
        if isinstance(value, NVList):
            return T.NVLIST
        if isinstance(value, (list, tuple)) and value:
            kinds = {NVList: T.NVLIST_ARRAY, str: T.STRING_ARRAY, bool: T.BOOLEAN_ARRAY, int: T.UINT64_ARRAY}
            found = kinds.get(type(value[0]))
        else:
            found = _INFERRED.get(type(value))
        if found is None:
            raise UsageError(f"the value of {name!r} needs an explicit nvpair type", value=repr(value)[:60])
        return found

    def u64(self, name: str, default: int | None = None) -> int:
        """An integer pair; absent: ``default``, or CorruptError if that is None."""
        value: int = self._typed(name, int, default, "an integer")
        return value

    def string(self, name: str, default: str | None = None) -> str:
        """A string pair."""
        value: str = self._typed(name, str, default, "a string")
        return value

    def nvlist(self, name: str, default: NVList | None = None) -> NVList:
        """A nested list."""
        value: NVList = self._typed(name, NVList, default, "an nvlist")
        return value

    def nvlists(self, name: str) -> list[NVList]:
        """An array of nested lists; absent: empty."""
        found: list[NVList] = self._array(name, NVList, "an nvlist array")
        return found

    def u64s(self, name: str) -> list[int]:
        """An array of integers; absent: empty."""
        found: list[int] = self._array(name, int, "an integer array")
        return found

    def flag(self, name: str) -> bool:
        """True if a boolean pair is there, or an integer or boolean value that is not 0."""
        value = self.get(name, False)
        if not isinstance(value, (bool, int)):
            raise CorruptError(f"the pair {name!r} of an nvlist is not a flag")
        return bool(value)

    def _typed(self, name: str, kind: type, default: Any, text: str) -> Any:
        value = self.get(name)
        if value is None:
            if default is None:
                raise CorruptError(f"an nvlist lacks the pair {name!r}")
            return default
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise CorruptError(f"the pair {name!r} of an nvlist is not {text}")
        return value

    def _array(self, name: str, kind: type, text: str) -> Any:
        value = self.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(v, kind) for v in value):
            raise CorruptError(f"the pair {name!r} of an nvlist is not {text}")
        return value


def raw_text(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    if b"\0" in raw:
        raise UsageError("a string for an nvlist has a NUL byte inside", string=repr(text[:40]))
    return raw


def raw_name(name: str) -> bytes:
    raw = raw_text(name)
    if len(raw) > MAX_NAME:
        raise UsageError(f"an nvpair name is longer than {MAX_NAME} bytes", length=len(raw))
    return raw


def align8(size: int) -> int:
    return (size + 7) & ~7


def element_count(kind: NvType, value: Any) -> int:
    """Number of elements as stored: 0 for a boolean, 1 for other single values."""
    if kind == T.BOOLEAN:
        return 0
    return len(value) if kind in ARRAYS or kind in (T.STRING_ARRAY, T.NVLIST_ARRAY) else 1


def decoded_size(name: str, kind: NvType, value: Any) -> int:
    """Bytes the pair takes in OpenZFS's memory, nested content not counted: stored in every pair."""
    elements = element_count(kind, value)
    if kind == T.BOOLEAN:
        size = 0
    elif kind == T.STRING:
        size = len(raw_text(value)) + 1
    elif kind == T.STRING_ARRAY:
        size = 8 * elements + sum(len(raw_text(v)) + 1 for v in value)
    elif kind == T.NVLIST:
        size = 24
    elif kind == T.NVLIST_ARRAY:
        size = 32 * elements
    else:
        size = elements * struct.calcsize("<" + SCALARS[ARRAYS.get(kind, kind)][0])
    return align8(16 + len(raw_name(name)) + 1) + align8(size)
