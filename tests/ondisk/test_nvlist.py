"""Packed nvlists: real labels byte for byte, round trips of anything, hostile bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError, LimitError, PoolError, UsageError
from uberblock.pool.ondisk import nvlist, nvpair
from uberblock.pool.ondisk.nvlist import NVList, NvType

T = NvType

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12)
NAMES = st.text("abcdefgh:._ é", min_size=1, max_size=9)


def _ints(bits: int, signed: bool) -> st.SearchStrategy[int]:
    low = -(1 << (bits - 1)) if signed else 0
    return st.integers(low, (1 << (bits - signed)) - 1)


SCALARS = {
    T.BYTE: _ints(8, False),
    T.INT8: _ints(8, True),
    T.UINT8: _ints(8, False),
    T.INT16: _ints(16, True),
    T.UINT16: _ints(16, False),
    T.INT32: _ints(32, True),
    T.UINT32: _ints(32, False),
    T.INT64: _ints(64, True),
    T.UINT64: _ints(64, False),
    T.HRTIME: _ints(64, True),
    T.BOOLEAN_VALUE: st.booleans(),
    T.DOUBLE: st.floats(allow_nan=False),
    T.STRING: TEXT,
    T.BOOLEAN: st.just(True),
    T.BYTE_ARRAY: st.binary(max_size=9),
    T.UINT8_ARRAY: st.binary(max_size=9),
    T.STRING_ARRAY: st.lists(TEXT, max_size=4),
}
for _array, _element in nvpair.ARRAYS.items():
    if _array not in SCALARS:
        SCALARS[_array] = st.lists(SCALARS[_element], max_size=5)


@st.composite
def lists(draw: st.DrawFn, depth: int = 3) -> NVList:
    result = NVList(nvflag=draw(st.sampled_from([0, 1, 2])))
    for name in draw(st.lists(NAMES, unique=True, max_size=5)):
        kinds = list(SCALARS) + ([T.NVLIST, T.NVLIST_ARRAY] if depth else [])
        kind = draw(st.sampled_from(kinds))
        if kind == T.NVLIST:
            value = draw(lists(depth - 1))
        elif kind == T.NVLIST_ARRAY:
            value = draw(st.lists(lists(depth - 1), max_size=3))
        else:
            value = draw(SCALARS[kind])
        result.add(name, value, kind)
    return result


def same(a: NVList, b: NVList) -> bool:
    if list(a.items()) != list(b.items()) or a.types != b.types or a.nvflag != b.nvflag:
        return False
    pairs = [(a[n], b[n]) for n in a]
    flat = [(x, y) for x, y in pairs if isinstance(x, NVList)]
    flat += [(x, y) for p, q in pairs if isinstance(p, list) for x, y in zip(p, q) if isinstance(x, NVList)]
    return all(same(x, y) for x, y in flat)


@given(lists(), st.sampled_from(["xdr", "native"]), st.sampled_from(["<", ">"]), st.binary(max_size=9))
@settings(max_examples=150, deadline=None)
def test_round_trip(nvl: NVList, encoding: str, order: str, tail: bytes) -> None:
    packed = nvlist.encode(nvl, encoding, order)
    back, used = nvlist.decode_prefix(packed + tail)
    assert same(back, nvl)
    assert used == len(packed)
    assert nvlist.encode(back, encoding, order) == packed


@given(lists(2), st.sampled_from(["xdr", "native"]), st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_give_our_errors(nvl: NVList, encoding: str, data: st.DataObject) -> None:
    packed = bytearray(nvlist.encode(nvl, encoding))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(packed)))
    for bad in (bytes(packed), bytes(packed[:cut])):
        try:
            nvlist.decode(bad)
        except CorruptError:
            pass


@given(st.binary(max_size=200), st.sampled_from([b"\1\1\0\0", b"\0\1\0\0", b"\0\0\0\0"]))
@settings(max_examples=150, deadline=None)
def test_any_bytes_give_our_errors(tail: bytes, head: bytes) -> None:
    try:
        nvlist.decode(head + bytes(4) + b"\0\0\0\1" + tail)
    except CorruptError:
        pass


def test_labels_are_encoded_again_to_the_same_bytes(pools) -> None:
    for kind in ("mirror", "raidz-expansion", "draid", "removal", "classes", "version28"):
        for image in pools(kind).images:
            with image.open("rb") as stream:
                region = stream.read(131072)[16384 : 131072 - 40]
            config, used = nvlist.decode_prefix(region)
            assert not any(region[used:]), "zeros follow the end"
            assert nvlist.encode(config) == region[:used]
            assert config.u64("version") in (28, 5000)


def test_the_example_of_the_format() -> None:
    packed = nvlist.encode(NVList({"version": 5000}))
    pair = "00000024 00000020 00000007 76657273696f6e00 00000008 00000001 0000000000001388"
    assert packed == bytes.fromhex("01010000 00000000 00000001" + pair + "0000000000000000")


def test_order_and_replacement() -> None:
    nvl = NVList({"a": 1, "b": 2})
    nvl["a"] = 3
    assert list(nvl) == ["a", "b"]
    nvl.add("a", 4)
    assert list(nvl) == ["b", "a"]


def test_getters_check_presence_and_type() -> None:
    nvl = NVList({"n": 1, "s": "x", "l": NVList(), "a": [NVList()], "u": [1, 2], "f": True})
    assert (nvl.u64("n"), nvl.string("s"), nvl.u64s("u"), nvl.flag("f"), nvl.flag("g")) == (
        1,
        "x",
        [1, 2],
        True,
        False,
    )
    assert nvl.u64("missing", 7) == 7
    assert nvl.nvlists("a") == [NVList()]
    for bad in (
        lambda: nvl.u64("s"),
        lambda: nvl.u64("f"),
        lambda: nvl.string("n"),
        lambda: nvl.nvlist("n"),
        lambda: nvl.u64("missing"),
        lambda: nvl.nvlists("u"),
        lambda: nvl.u64s("a"),
        lambda: nvl.flag("s"),
    ):
        with pytest.raises(CorruptError):
            bad()


def test_strings_that_are_not_utf8_survive() -> None:
    nvl = NVList({"path": b"/x/\xff\xfe".decode("utf-8", "surrogateescape")})
    for encoding in ("xdr", "native"):
        assert same(nvlist.decode(nvlist.encode(nvl, encoding)), NVList_typed(nvl, T.STRING))


def NVList_typed(nvl: NVList, kind: NvType) -> NVList:
    result = NVList(nvl)
    result.types = dict.fromkeys(nvl, kind)
    return result


@pytest.mark.parametrize("encoding", ["xdr", "native"])
def test_nesting_is_limited(encoding: str) -> None:
    nvl = NVList({"end": 1})
    for _ in range(nvlist.MAX_DEPTH - 1):
        nvl = NVList({"deeper": nvl})
    assert nvlist.decode(nvlist.encode(nvl, encoding))
    with pytest.raises(UsageError):
        nvlist.encode(NVList({"deeper": nvl}), encoding)


def test_endless_nesting_is_refused() -> None:
    pair = (
        struct.pack(">ii", 0x7FFF, 48)
        + struct.pack(">I", 1)
        + b"a\0\0\0"
        + struct.pack(">iiiI", T.NVLIST, 1, 0, 1)
    )
    with pytest.raises(LimitError):
        nvlist.decode(b"\1\1\0\0" + struct.pack(">iI", 0, 1) + pair * 2000)


@pytest.mark.parametrize(
    "kind", [T.UINT64_ARRAY, T.STRING_ARRAY, T.NVLIST_ARRAY, T.BYTE_ARRAY, T.BOOLEAN_ARRAY]
)
def test_counts_beyond_the_bytes_are_refused(kind: NvType) -> None:
    count = 0x7FFFFFF0
    xdr = (
        struct.pack(">ii", 64, 48)
        + struct.pack(">I", 1)
        + b"a\0\0\0"
        + struct.pack(">iiI", kind, count, count)
    )
    native = struct.pack("<ihhii", 64, 2, 0, count, kind) + b"a\0" + bytes(46)
    for head, body in (
        (b"\1\1\0\0" + struct.pack(">iI", 0, 1), xdr),
        (b"\0\1\0\0" + struct.pack("<iI", 0, 1), native),
    ):
        with pytest.raises(CorruptError):
            nvlist.decode(head + body + bytes(64))


def test_a_name_twice_is_refused() -> None:
    one = nvlist.encode(NVList({"a": 1}))
    pair = one[12:-8]
    with pytest.raises(CorruptError, match="twice"):
        nvlist.decode(one[:12] + pair + pair + bytes(8))


def test_values_that_do_not_fit_are_refused() -> None:
    for value, kind in (
        (1 << 64, T.UINT64),
        (-1, T.UINT64),
        ("x", T.UINT32),
        (300, T.BYTE),
        (1, T.STRING),
        (1, T.NVLIST),
    ):
        nvl = NVList()
        nvl.add("a", value, kind)
        for encoding in ("xdr", "native"):
            with pytest.raises(UsageError):
                nvlist.encode(nvl, encoding)
    with pytest.raises(PoolError):
        nvlist.encode(NVList({"a": []}))
