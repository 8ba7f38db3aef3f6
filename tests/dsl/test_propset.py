"""Words of ``zfs set`` to stored values, and what is refused."""

from __future__ import annotations

import pytest
from uberblock.pool.dsl.propset import check_inheritable, parse_size, setting
from uberblock.pool.dsl.proptable import PROPERTIES, Attr, Kind, Types
from uberblock.pool.errors import UnsupportedError, UnsupportedFeatureError, UsageError

FS, VOL = Types.FILESYSTEM, Types.VOLUME


@pytest.mark.parametrize(
    ("text", "value"),
    [("512", 512), ("128K", 128 << 10), ("128k", 128 << 10), ("1.5G", 3 << 29), ("0x200", 512), ("1M", 1 << 20),
     ("2TB", 2 << 40), ("2TiB", 2 << 40), ("7B", 7), (".5K", 512), ("18446744073709551615", (1 << 64) - 1)],
)  # fmt: skip
def test_sizes(text: str, value: int) -> None:
    assert parse_size(text) == value


@pytest.mark.parametrize("text", ["", "K", "1KK", "-1", "1.2.3", "16E0", "0xg", "16Z", "1 2", "3iB", "BB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


@pytest.mark.parametrize(
    ("name", "text", "stored"),
    [("compression", "lz4", 15), ("compression", "zstd-3", 400), ("compression", "gzip", 10), ("compression", "on", 1),
     ("recordsize", "128K", 131072), ("recsize", "16M", 16 << 20), ("quota", "none", 0), ("quota", "10G", 10 << 30),
     ("atime", "off", 0), ("xattr", "sa", 2), ("dnodesize", "auto", 1), ("dnodesize", "4k", 4096), ("copies", "3", 3),
     ("redundant_metadata", "none", 3), ("special_small_blocks", "0", 0), ("mountpoint", "/a b", "/a b"),
     ("checksum", "blake3", 14), ("org.example:note", "ü", "ü"), ("recordsize", 4096, 4096)],
)  # fmt: skip
def test_values_as_they_are_stored(name: str, text: str | int, stored: int | str) -> None:
    assert setting(name, text, FS).value == stored


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [("used", "1", "read-only"), ("nope", "1", "no dataset property"), ("volsize", "1M", "does not apply"),
     ("recordsize", "3K", "power of two"), ("recordsize", "256", "power of two"), ("recordsize", "32M", "power of two"),
     ("quota", "0", "cannot be 0"), ("compression", "lz5", "values: on"), ("mountpoint", "home", "absolute"),
     ("normalization", "formD", "only when"), ("compression", 9999, "no value"), ("A:b", "1", "cannot be a property"),
     ("x:y", "v" * 8192, "too long"), ("reservation", "much", "no number"), ("recordsize", "none", "cannot be 'none'"),
     ("mountpoint", 3, "holds text"), ("version", "4", "version 5"), ("special_small_blocks", "3K", "power of two")],
)  # fmt: skip
def test_refusals(name: str, text: str | int, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        setting(name, text, FS)


@pytest.mark.parametrize(
    ("name", "text", "feature"),
    [("recordsize", "1M", "large_blocks"), ("compression", "zstd-19", "zstd_compress"), ("checksum", "skein", "skein"),
     ("dnodesize", "1k", "large_dnode"), ("longname", "on", "longname"), ("compression", "lz4", "lz4_compress"),
     ("special_small_blocks", "4K", "allocation_classes")],
)  # fmt: skip
def test_values_that_need_a_feature(name: str, text: str, feature: str) -> None:
    assert setting(name, text, FS).value
    with pytest.raises(UnsupportedFeatureError, match=feature):
        setting(name, text, FS, enabled=lambda asked: asked != feature)


@pytest.mark.parametrize("name", ["dedup", "filesystem_limit", "userquota@3", "defaultuserquota"])
def test_what_is_not_written_is_named(name: str) -> None:
    with pytest.raises(UnsupportedError):
        setting(name, "on" if name == "dedup" else "5", FS)


def test_every_settable_property_takes_its_default() -> None:
    for prop in PROPERTIES:
        types = next(kind for kind in (FS, VOL, Types.SNAPSHOT, Types.BOOKMARK) if prop.types & kind)
        if prop.attr is not Attr.READONLY and prop.visible and prop.kind is Kind.INDEX and prop.name != "version":
            word = prop.text_of(int(prop.default or 0))
            assert word is not None
            assert setting(prop.name, word, types, creating=True).value == prop.default


def test_what_can_be_inherited() -> None:
    assert check_inheritable("compress") == "compression"
    assert check_inheritable("a:b") == "a:b"
    for name, words in (("quota", "quota=none"), ("used", "read-only"), ("utf8only", "fixed"), ("nope", "no dataset")):
        with pytest.raises(UsageError, match=words):
            check_inheritable(name)
