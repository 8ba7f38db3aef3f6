from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from uberblock.pool.dsl.proptable import (
    BY_NAME,
    LISTED_RELEASE,
    PROPERTIES,
    Attr,
    Kind,
    Types,
    find,
    for_types,
    is_user_property,
)


def test_kinds_and_defaults_agree() -> None:
    for prop in PROPERTIES:
        if prop.kind is Kind.STRING:
            assert prop.default is None or isinstance(prop.default, str)
        else:
            assert isinstance(prop.default, int)
        assert bool(prop.index) == (prop.kind is Kind.INDEX)
        assert prop.types
        assert not (prop.settable and prop.set_once)


def test_index_values_both_ways() -> None:
    for prop in PROPERTIES:
        for text, number in prop.index:
            assert prop.value_of(text) == number
            shown = prop.text_of(number)
            assert shown is not None and prop.value_of(shown) == number


@pytest.mark.parametrize(
    ("name", "text", "number"),
    [
        ("compression", "gzip-9", 13),
        ("compression", "zstd", 16),
        ("compression", "zstd-3", 400),
        ("compression", "zstd-19", 16 | 19 << 7),
        ("compression", "zstd-fast-1", 16 | 103 << 7),
        ("compression", "zstd-fast-1000", 16 | 123 << 7),
        ("checksum", "blake3", 14),
        ("dedup", "edonr,verify", 269),
        ("normalization", "formKC", 0x60),
        ("dnodesize", "auto", 1),
        ("encryption", "aes-256-gcm", 8),
    ],
)
def test_numbers_on_disk(name: str, text: str, number: int) -> None:
    assert BY_NAME[name].value_of(text) == number


def test_the_first_name_of_a_value_is_shown() -> None:
    assert BY_NAME["compression"].text_of(10) == "gzip"
    assert BY_NAME["compression"].text_of(16 | 103 << 7) == "zstd-fast"
    assert BY_NAME["volmode"].text_of(1) == "full"
    assert BY_NAME["acltype"].text_of(1) == "posix"
    assert BY_NAME["compression"].text_of(77) is None
    assert BY_NAME["compression"].value_of("zip") is None


def test_short_names() -> None:
    assert find("refer") is BY_NAME["referenced"]
    assert find("avail") is BY_NAME["available"]
    assert find("recsize") is BY_NAME["recordsize"]
    assert find("org.example:note") is None
    assert (
        is_user_property("org.example:note")
        and not is_user_property("note")
        and not is_user_property("a:b$recvd")
    )


def test_order_begins_and_ends_as_in_zfs_get_all() -> None:
    names = [prop.name for prop in for_types(Types.FILESYSTEM) if prop.since <= LISTED_RELEASE]
    assert names[:7] == ["type", "creation", "used", "available", "referenced", "compressratio", "mounted"]
    assert names[-4:] == ["snapshots_changed", "prefetch", "direct", "longname"]
    assert names.index("recordsize") + 1 == names.index("mountpoint")


@pytest.mark.parametrize("kind", ["names", "encrypted", "version28"])
def test_the_table_says_what_applies_to_what(pools: Callable[[str], Any], kind: str) -> None:
    """No property of a real pool is missing in the table, and each is shown for the types the table names."""
    for name, described in pools(kind).manifest["datasets"].items():
        properties = described["properties"]
        if "@" in name:
            wanted = Types.SNAPSHOT
        elif "#" in name:
            wanted = Types.BOOKMARK
        else:
            wanted = Types.VOLUME if "volsize" in properties else Types.FILESYSTEM
        native = {key for key in properties if not is_user_property(key)}
        table = {prop.name: prop for prop in for_types(wanted)}
        assert native <= set(table)
        settable = {n for n, p in table.items() if p.attr is not Attr.READONLY and p.since <= LISTED_RELEASE}
        if wanted not in (Types.SNAPSHOT, Types.BOOKMARK):
            assert settable <= native
