"""System attribute buffers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.errors import CorruptError, LimitError, PoolError, UsageError
from uberblock.pool.ondisk import sa

REGISTRY = sa.standard_registry()
LAYOUT = (5, 6, 4, 12, 13, 7, 11, 0, 1, 2, 3, 8, 21, 16, 19)


def values(layout: tuple[int, ...], variable: bytes = b"variable") -> dict[int, bytes]:
    return {n: bytes([n]) * REGISTRY[n].length or variable for n in layout}


def test_registration() -> None:
    attribute = sa.decode_registration("ZPL_DACL_ACES", 19 | 4 << 16)
    assert (attribute.number, attribute.length, attribute.swap) == (19, 0, sa.SaSwap.ACL)
    assert sa.decode_registration("ZPL_MTIME", 0x10000001).length == 16
    for entry in REGISTRY.values():
        assert sa.decode_registration(entry.name, sa.encode_registration(entry)) == entry


def test_a_root_directory_with_three_entries_and_a_project_takes_176_bytes() -> None:
    buffer = sa.encode(2, LAYOUT, values(LAYOUT, b"\1" * 24), REGISTRY)
    assert len(buffer) == 176
    assert buffer[:8].hex() == "5a502f0002041800"
    header = sa.decode_header(buffer)
    assert header == sa.SaHeader("<", 2, 8)
    places = sa.locate(buffer, header, LAYOUT, REGISTRY)
    # What accounting relies on: mode, size, gen, uid, gid, parent, flags first, the project id 128 behind the header.
    assert [places[n] for n in (5, 6, 4, 12, 13, 7, 11)] == [(8 + 8 * n, 8) for n in range(7)]
    assert places[21] == (8 + 128, 8)
    assert places[19] == (152, 24)


@pytest.mark.parametrize(("count", "size"), [(0, 8), (1, 8), (2, 16), (5, 16), (6, 24)])
def test_header_size(count: int, size: int) -> None:
    assert sa.header_size(count) == size


@given(
    order=st.sampled_from("<>"),
    lengths=st.lists(st.integers(0, 300), min_size=0, max_size=8),
    fixed=st.lists(st.sampled_from([n for n in REGISTRY if REGISTRY[n].length]), unique=True, max_size=10),
)
def test_round_trip(order: str, lengths: list[int], fixed: list[int]) -> None:
    registry = dict(REGISTRY)
    layout = list(fixed)
    content = values(tuple(fixed))
    for k, length in enumerate(lengths):
        number = 100 + k
        registry[number] = sa.Attribute(number, f"V{k}", 0, 3)
        layout.insert(k * 2 % (len(layout) + 1), number)
        content[number] = bytes(range(256))[:length] * (1 if length <= 256 else 2)
        content[number] = content[number][:length]
    buffer = sa.encode(7, layout, content, registry, order)
    header = sa.decode_header(buffer) if len(buffer) >= 8 else None
    assert header is not None
    assert (header.order, header.layout) == (order, 7)
    places = sa.locate(buffer, header, layout, registry)
    assert {n: buffer[at : at + length] for n, (at, length) in places.items()} == content


@given(st.binary(max_size=64), st.booleans())
def test_hostile_bytes(tail: bytes, swapped: bool) -> None:
    buffer = struct.pack(">I" if swapped else "<I", sa.SA_MAGIC) + tail
    try:
        places = sa.locate(buffer, sa.decode_header(buffer), LAYOUT, REGISTRY)
    except PoolError:
        return
    assert all(at + length <= len(buffer) for at, length in places.values())


def test_what_is_refused() -> None:
    good = sa.encode(2, LAYOUT, values(LAYOUT), REGISTRY)
    header = sa.decode_header(good)
    with pytest.raises(CorruptError, match="magic"):
        sa.decode_header(b"\0" * 8)
    with pytest.raises(CorruptError, match="within their header"):
        sa.decode_header(good[:7])
    with pytest.raises(CorruptError, match="header size"):
        sa.decode_header(good[:4] + b"\xff\xff" + good[6:])
    with pytest.raises(CorruptError, match="outside"):
        sa.locate(good[:-1], header, LAYOUT, REGISTRY)
    with pytest.raises(CorruptError, match="not registered"):
        sa.locate(good, header, (77,), REGISTRY)
    with pytest.raises(CorruptError, match="lacks lengths"):
        sa.locate(good, header, (19, 20), REGISTRY)
    with pytest.raises(LimitError):
        sa.locate(good, header, (5,) * 257, REGISTRY)
    with pytest.raises(UsageError):
        sa.encode(1024, (), {}, REGISTRY)
    with pytest.raises(UsageError):
        sa.encode(2, (5,), {5: b"short"}, REGISTRY)
    with pytest.raises(UsageError):
        sa.encode(2, (20,), {20: bytes(65536)}, REGISTRY)
