"""Packed name-value lists: the form of labels, configuration, history, and the headers of send streams.

Two encodings exist. XDR is big-endian whoever wrote it; native is the writer's memory, in the writer's byte
order. Both begin with four bytes: encoding, byte order of the writer, two zeros. Decoding keeps the order of
pairs and the type of each, so that encoding again gives the same bytes.

Source: OpenZFS, nvpair.c; RFC 4506 for XDR.
"""

from __future__ import annotations

import struct
from typing import Any

from ..errors import CorruptError, LimitError, UsageError
from .nvpair import (
    ARRAYS,
    BYTES_ARRAYS,
    NARROW,
    SCALARS,
    UNIQUE_NAME,
    UNIQUE_NAME_TYPE,
    NVList,
    NvType,
    align8,
    decoded_size,
    element_count,
    raw_name,
    raw_text,
)

__all__ = ["UNIQUE_NAME", "UNIQUE_NAME_TYPE", "NVList", "NvType", "decode", "decode_prefix", "encode"]

MAX_DEPTH = 20  # what OpenZFS's kernel decodes
MAX_BYTES = 64 << 20  # of one packed list
MAX_PAIRS = 1 << 20  # in one packed list, nested ones included

ENCODE_NATIVE = 0
ENCODE_XDR = 1

HEADER = struct.Struct("<BBH")  # 0 encoding, 1 byte order (1 little), 2 reserved
assert HEADER.size == 4
NATIVE_PAIR = "ihhii"  # 0 size, 4 name size with NUL, 6 reserved, 8 elements, 12 type; then the name
assert struct.calcsize("<" + NATIVE_PAIR) == 16
NATIVE_LIST = "iIQIi"  # 0 version, 4 flags, 8 pointer (zero), 16 flag, 20 padding
assert struct.calcsize("<" + NATIVE_LIST) == 24

T = NvType


def decode(buffer: Any, *, limit: int = MAX_BYTES) -> NVList:
    """Unpack one list; bytes after its end are ignored.

    Args:
        buffer: bytes-like, beginning with the four header bytes. Native lists of either byte order are read.
        limit: most bytes to look at.

    Raises:
        CorruptError: the bytes are not a packed nvlist. LimitError: nesting, size or number of pairs.
    """
    return decode_prefix(buffer, limit=limit)[0]


def decode_prefix(buffer: Any, *, limit: int = MAX_BYTES) -> tuple[NVList, int]:
    """Unpack the list at the start of ``buffer``; gives it and the bytes it took. Errors: as ``decode``."""
    data = memoryview(buffer).cast("B")
    if len(data) > limit:
        data = data[:limit]
    if len(data) < 12:
        raise CorruptError("a packed nvlist ends within its header", length=len(data))
    encoding, endian, reserved = HEADER.unpack_from(data)
    if encoding not in (ENCODE_NATIVE, ENCODE_XDR) or endian > 1 or reserved:
        raise CorruptError("no packed nvlist: unknown encoding", header=bytes(data[:4]).hex())
    reader: _Reader
    if encoding == ENCODE_XDR:
        reader = _XdrReader(data, ">")
    else:
        reader = _NativeReader(data, "<" if endian else ">")
    result = reader.top()
    return result, reader.at


class _Reader:
    """A position in packed bytes; every step forward is checked against their end."""

    def __init__(self, data: memoryview, order: str) -> None:
        self.data = data
        self.end = len(data)
        self.order = order
        self.at = HEADER.size
        self.pairs = 0

    def top(self) -> NVList:
        return self.nested(0)

    def nested(self, depth: int) -> NVList:
        """A list that begins with its own version and flags."""
        version, nvflag = self.unpack("iI")
        return self.body(version, nvflag, depth + 1)

    def body(self, version: int, nvflag: int, depth: int) -> NVList:
        raise NotImplementedError

    def unpack(self, letters: str) -> tuple[Any, ...]:
        form = self.order + letters
        size = struct.calcsize(form)
        if size > self.end - self.at:
            raise CorruptError("a packed nvlist ends too early", position=self.at, wanted=size)
        values = struct.unpack_from(form, self.data, self.at)
        self.at += size
        return values

    def take(self, size: int) -> bytes:
        if size > self.end - self.at:
            raise CorruptError("a packed nvlist ends too early", position=self.at, wanted=size)
        chunk = bytes(self.data[self.at : self.at + size])
        self.at += size
        return chunk

    def new_list(self, version: int, nvflag: int, depth: int) -> NVList:
        if version != 0:
            raise CorruptError("nvlist of an unknown version", version=version, position=self.at)
        if depth > MAX_DEPTH:
            raise LimitError(f"nvlists nested more than {MAX_DEPTH} deep", position=self.at)
        return NVList(nvflag=nvflag)

    def store(self, into: NVList, name: str, kind: NvType, value: Any) -> None:
        if name in into:
            raise CorruptError(f"the name {name!r} occurs twice in an nvlist", position=self.at)
        into[name] = value
        into.types[name] = kind

    def count(self, more: int = 1) -> None:
        self.pairs += more
        if self.pairs > MAX_PAIRS:
            raise LimitError(f"more than {MAX_PAIRS} pairs in one packed nvlist", position=self.at)

    def kind(self, number: int) -> NvType:
        try:
            return NvType(number)
        except ValueError:
            raise CorruptError("nvpair of an unknown type", type=number, position=self.at) from None


def _text(raw: bytes) -> str:
    if b"\0" in raw:
        raise CorruptError("a string in an nvlist has a NUL byte inside", string=repr(raw[:40]))
    return raw.decode("utf-8", "surrogateescape")


class _XdrReader(_Reader):
    def body(self, version: int, nvflag: int, depth: int) -> NVList:
        result = self.new_list(version, nvflag, depth)
        while True:
            start = self.at
            encoded, decoded = self.unpack("ii")
            if encoded == 0 and decoded == 0:
                return result
            self.count()
            if encoded < 20 or encoded > self.end - start or decoded <= 0:
                raise CorruptError("nvpair of an impossible size", size=encoded, position=start)
            name = self.string()
            number, elements = self.unpack("ii")
            kind = self.kind(number)
            self.store(result, name, kind, self.value(kind, elements, depth))
            if self.at != start + encoded:
                raise CorruptError(
                    f"the nvpair {name!r} is not as long as it says", size=encoded, position=start
                )

    def string(self) -> str:
        (length,) = self.unpack("I")
        raw = self.take((length + 3) & ~3)
        return _text(raw[:length])

    def value(self, kind: NvType, elements: int, depth: int) -> Any:
        single = kind in SCALARS or kind in (T.STRING, T.NVLIST)
        if elements < 0 or (single and elements != 1) or (kind == T.BOOLEAN and elements != 0):
            raise CorruptError("nvpair with an impossible element count", count=elements, position=self.at)
        if kind == T.BOOLEAN:
            return True
        if kind in SCALARS:
            (value,) = self.unpack(SCALARS[kind][1])
            return NARROW[kind](value) if kind in NARROW else value
        if kind == T.STRING:
            return self.string()
        if kind == T.NVLIST:
            return self.nested(depth)
        if kind == T.BYTE_ARRAY:
            return self.take((elements + 3) & ~3)[:elements]
        if elements > (self.end - self.at) // 4:
            raise CorruptError("nvpair with more elements than bytes", count=elements, position=self.at)
        if kind == T.STRING_ARRAY:
            self.count(elements)
            return [self.string() for _ in range(elements)]
        if kind == T.NVLIST_ARRAY:
            self.count(elements)
            return [self.nested(depth) for _ in range(elements)]
        return self.array(kind, elements)

    def array(self, kind: NvType, elements: int) -> Any:
        (again,) = self.unpack("I")
        if again != elements:
            raise CorruptError(
                "nvpair with two element counts", first=elements, second=again, position=self.at
            )
        element = ARRAYS[kind]
        values: Any = self.unpack(f"{elements}{SCALARS[element][1]}")
        if element in NARROW:
            values = [NARROW[element](v) for v in values]
        return bytes(values) if kind in BYTES_ARRAYS else list(values)


class _NativeReader(_Reader):
    def body(self, version: int, nvflag: int, depth: int) -> NVList:
        result = self.new_list(version, nvflag, depth)
        while True:
            start = self.at
            (size,) = self.unpack("i")
            if size == 0:
                return result
            self.count()
            if size < 24 or size > self.end - start:
                raise CorruptError("nvpair of an impossible size", size=size, position=start)
            name_size, _reserved, elements, number = self.unpack("hhii")
            kind = self.kind(number)
            if name_size < 1 or 16 + name_size > size:
                raise CorruptError("nvpair with an impossible name length", length=name_size, position=start)
            name = self.terminated(start + 16 + name_size)
            self.at = start + align8(16 + name_size)
            value = self.value(kind, elements, start + size)
            if self.at > start + size:
                raise CorruptError(f"the nvpair {name!r} is longer than it says", size=size, position=start)
            self.at = start + size
            if kind in (T.NVLIST, T.NVLIST_ARRAY):  # the nested bodies follow the pair
                nested = [self.body(version, nvflag, depth + 1) for version, nvflag in value]
                value = nested if kind == T.NVLIST_ARRAY else nested[0]
            self.store(result, name, kind, value)

    def terminated(self, end: int) -> str:
        """A string from here up to the NUL that must be its first and at ``end - 1``."""
        raw = self.take(end - self.at)
        if not raw.endswith(b"\0"):
            raise CorruptError("a string in an nvlist is not terminated", position=self.at)
        return _text(raw[:-1])

    def next_string(self, end: int) -> str:
        """The NUL-terminated string at the position, which must end before ``end``."""
        raw = bytes(self.data[self.at : end])
        length = raw.find(b"\0")
        if length < 0:
            raise CorruptError("a string in an nvlist is not terminated", position=self.at)
        self.at += length + 1
        return _text(raw[:length])

    def value(self, kind: NvType, elements: int, end: int) -> Any:
        single = kind in SCALARS or kind in (T.STRING, T.NVLIST)
        if elements < 0 or (single and elements != 1) or (kind == T.BOOLEAN and elements != 0):
            raise CorruptError("nvpair with an impossible element count", count=elements, position=self.at)
        if elements > end - self.at and elements > 0:
            raise CorruptError("nvpair with more elements than bytes", count=elements, position=self.at)
        if kind == T.BOOLEAN:
            return True
        if kind in SCALARS:
            (value,) = self.unpack(SCALARS[kind][0])
            return bool(value) if kind == T.BOOLEAN_VALUE else value
        if kind == T.STRING:
            return self.next_string(end)
        if kind == T.NVLIST:
            return [self.unpack(NATIVE_LIST)[:2]]
        if kind in (T.STRING_ARRAY, T.NVLIST_ARRAY):
            self.take(8 * elements)  # room for pointers
            self.count(elements)
            if kind == T.STRING_ARRAY:
                return self.strings(elements, end)
            return [self.unpack(NATIVE_LIST)[:2] for _ in range(elements)]
        element = ARRAYS[kind]
        values = self.unpack(f"{elements}{SCALARS[element][0]}")
        if kind in BYTES_ARRAYS:
            return bytes(values)
        return [bool(v) for v in values] if element == T.BOOLEAN_VALUE else list(values)

    def strings(self, elements: int, end: int) -> list[str]:
        raw = bytes(self.data[self.at : end]).split(b"\0", elements)
        if len(raw) <= elements:
            raise CorruptError("a string array in an nvlist ends too early", position=self.at)
        self.at = end
        return [_text(part) for part in raw[:elements]]


def encode(nvl: NVList, encoding: str = "xdr", order: str = "<") -> bytes:
    """Pack a list.

    Args:
        encoding: ``xdr`` or ``native``.
        order: byte order of the writer; XDR only notes it in the header.

    Raises:
        UsageError: a value does not fit its type, or a name is too long.
    """
    if encoding not in ("xdr", "native") or order not in ("<", ">"):
        raise UsageError(f"no nvlist encoding {encoding!r} with byte order {order!r}")
    out = bytearray(HEADER.pack(ENCODE_XDR if encoding == "xdr" else ENCODE_NATIVE, order == "<", 0))
    try:
        if encoding == "xdr":
            _xdr_list(out, nvl, 1)
        else:
            out += struct.pack(order + "iI", 0, nvl.nvflag)
            _native_body(out, nvl, order, 1)
    except (struct.error, TypeError, AttributeError) as error:
        raise UsageError("a value does not fit its nvpair type", reason=str(error)) from None
    return bytes(out)


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise UsageError(f"nvlists nested more than {MAX_DEPTH} deep")


def _xdr_string(raw: bytes) -> bytes:
    return struct.pack(">I", len(raw)) + raw + bytes(-len(raw) % 4)


def _xdr_list(out: bytearray, nvl: NVList, depth: int) -> None:
    _check_depth(depth)
    out += struct.pack(">iI", 0, nvl.nvflag)
    for name, value in nvl.items():
        kind = nvl.type_of(name)
        start = len(out)
        out += struct.pack(">ii", 0, decoded_size(name, kind, value)) + _xdr_string(raw_name(name))
        out += struct.pack(">ii", kind, element_count(kind, value))
        _xdr_value(out, kind, value, depth)
        struct.pack_into(">i", out, start, len(out) - start)
    out += bytes(8)


def _xdr_value(out: bytearray, kind: NvType, value: Any, depth: int) -> None:
    if kind in SCALARS:
        out += _xdr_numbers(kind, [value])
    elif kind == T.STRING:
        out += _xdr_string(raw_text(value))
    elif kind == T.NVLIST:
        _xdr_list(out, value, depth + 1)
    elif kind == T.NVLIST_ARRAY:
        for nested in value:
            _xdr_list(out, nested, depth + 1)
    elif kind == T.STRING_ARRAY:
        for text in value:
            out += _xdr_string(raw_text(text))
    elif kind == T.BYTE_ARRAY:
        out += bytes(value) + bytes(-len(value) % 4)
    elif kind in ARRAYS:
        out += struct.pack(">I", len(value)) + _xdr_numbers(ARRAYS[kind], value)


def _xdr_numbers(kind: NvType, values: Any) -> bytes:
    """Numbers in XDR. All 8-bit ones pass through a signed char on their way to 32 bits."""
    native, wide = SCALARS[kind]
    packed = struct.pack(f"<{len(values)}{native}", *values)  # range check
    if native in "Bb":
        values = struct.unpack(f"<{len(values)}b", packed)
    return struct.pack(f">{len(values)}{wide}", *values)


def _native_body(out: bytearray, nvl: NVList, order: str, depth: int) -> None:
    _check_depth(depth)
    for name, value in nvl.items():
        kind = nvl.type_of(name)
        raw = raw_name(name) + b"\0"
        size = decoded_size(name, kind, value)
        start = len(out)
        out += struct.pack(order + NATIVE_PAIR, size, len(raw), 0, element_count(kind, value), kind) + raw
        out += bytes(-(16 + len(raw)) % 8)
        nested = _native_value(out, kind, value, order)
        out += bytes(start + size - len(out))
        for child in nested:
            _native_body(out, child, order, depth + 1)
    out += bytes(4)


def _native_value(out: bytearray, kind: NvType, value: Any, order: str) -> list[NVList]:
    """Append the value inside the pair; gives the lists whose bodies follow the pair."""
    if kind in SCALARS:
        out += struct.pack(order + SCALARS[kind][0], value)
    elif kind == T.STRING:
        out += raw_text(value) + b"\0"
    elif kind in ARRAYS:
        out += struct.pack(f"{order}{len(value)}{SCALARS[ARRAYS[kind]][0]}", *value)
    elif kind == T.STRING_ARRAY:
        out += bytes(8 * len(value)) + b"".join(raw_text(text) + b"\0" for text in value)
    elif kind in (T.NVLIST, T.NVLIST_ARRAY):
        nested: list[NVList] = [value] if kind == T.NVLIST else list(value)
        if kind == T.NVLIST_ARRAY:
            out += bytes(8 * len(nested))
        for child in nested:
            out += struct.pack(order + NATIVE_LIST, 0, child.nvflag, 0, 0, 0)
        return nested
    return []
