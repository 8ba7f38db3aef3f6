"""The words of ``zpool create``: what they mean, and what is refused in OpenZFS's words."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.device.memory import MemoryDevice
from uberblock.pool.errors import UnsupportedError
from uberblock.pool.spa.vdevspec import SpecError, group_type, parse, parse_for_create

LOOKALIKES = ["raidz0", "raidz4", "raidz01", "raidz1x", "raidz1:2d", "mirror-0", "logs", "draid0", "draid4", "draidx"]
WORDS = ["mirror", "raidz", "raidz3", "draid2:1s", "log", "special", "dedup", "spare", "cache", *"abcdefg"]


def shape(words: str) -> list[tuple[str, str, int, int]]:
    """(kind, class, number of leaves, parity) of each top-level vdev."""
    return [(top.kind, top.cls, len(top.places), top.nparity) for top in parse(words.split()).tops]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a", [("leaf", "normal", 1, 0)]),
        ("a b", [("leaf", "normal", 1, 0), ("leaf", "normal", 1, 0)]),
        ("mirror a b mirror c d", [("mirror", "normal", 2, 0)] * 2),
        ("mirror a b c", [("mirror", "normal", 3, 0)]),
        ("raidz a b", [("raidz", "normal", 2, 1)]),
        ("raidz1 a b c", [("raidz", "normal", 3, 1)]),
        ("raidz2 a b c raidz3 d e f g", [("raidz", "normal", 3, 2), ("raidz", "normal", 4, 3)]),
        ("mirror a b log c d", [("mirror", "normal", 2, 0), ("leaf", "log", 1, 0), ("leaf", "log", 1, 0)]),
        ("a log mirror c d", [("leaf", "normal", 1, 0), ("mirror", "log", 2, 0)]),
        ("raidz a b special mirror c d", [("raidz", "normal", 2, 1), ("mirror", "special", 2, 0)]),
        ("a dedup mirror b c d", [("leaf", "normal", 1, 0), ("mirror", "dedup", 3, 0)]),
        ("special mirror a b cache c mirror d e", [("mirror", "special", 2, 0), ("mirror", "normal", 2, 0)]),
        ("draid a b c", [("draid", "normal", 3, 1)]),
    ],
)
def test_what_words_mean(words: str, expected: list[tuple[str, str, int, int]]) -> None:
    assert shape(words) == expected


def test_spares_and_caches() -> None:
    spec = parse(["mirror", "a", "b", "spare", "c", "d", "cache", "e"])
    assert spec.spares == ("c", "d") and spec.cache == ("e",)
    assert spec.places == ["a", "b", "c", "d", "e"]
    assert parse(["spare", "a"]).tops == ()


def test_devices_may_stand_for_paths() -> None:
    device = MemoryDevice(10, "mirror")
    (top,) = parse(["mirror", device, "x"]).tops
    assert top.places == (device, "x")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("", "at least one toplevel vdev must be specified"),
        ("mirror a", "mirror requires at least 2 devices"),
        ("mirror raidz a b", "mirror requires at least 2 devices"),
        ("raidz2 a b", "raidz2 requires at least 3 devices"),
        ("raidz mirror a b", "raidz requires at least 2 devices"),
        ("draid3 a b c", "draid3 requires at least 4 devices"),
        ("raidz " + "x " * 256, "raidz supports no more than 255 devices"),
        ("a log raidz b c", "unsupported 'log' device: raidz"),
        ("a log draid b c", "unsupported 'log' device: draid"),
        ("raidz a b special raidz c d", "unsupported 'special' device: raidz"),
        ("raidz a b dedup raidz c d", "unsupported 'dedup' device: raidz"),
        ("raidz a b dedup draid c d e", "unsupported 'dedup' device: draid"),
        ("a log b log c", "'log' can be specified only once"),
        ("a spare b spare c", "'spare' can be specified only once"),
        ("a cache b cache c", "'cache' can be specified only once"),
        ("a spare", "spare requires at least 1 devices"),
        ("a cache mirror b c", "cache requires at least 1 devices"),
        ("a log", "log requires at least 1 device"),
        ("a log cache b", "log requires at least 1 device"),
    ],
)
def test_refused(words: str, text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(words.split())
    assert str(caught.value) == caught.value.report() == f"invalid vdev specification: {text}"
    assert caught.value.exit_status == 1 and not caught.value.overridable


def test_advice_is_reported() -> None:
    """It was lost on the command line."""
    assert SpecError("cannot open 'x'", "give a path").report() == "cannot open 'x'\ngive a path"


@pytest.mark.parametrize(
    "words", ["log a", "cache a", "spare a", "special a", "dedup mirror a b", "log mirror a b cache c"]
)
def test_a_pool_needs_room_for_data(words: str) -> None:
    assert parse(words.split())
    with pytest.raises(SpecError, match="at least one general top-level vdev"):
        parse_for_create(words.split())


def test_words_that_only_look_like_groups() -> None:
    for word in LOOKALIKES:
        assert group_type(word) is None
    assert group_type(MemoryDevice(1, "mirror")) is None
    assert group_type("draid2:4d") == "draid"


@pytest.mark.parametrize(
    ("word", "count", "ndata", "nspares", "ngroups"),
    [
        ("draid", 3, 2, 0, 1),
        ("draid", 20, 8, 0, 20),
        ("draid1:3d:9c:1s", 9, 3, 1, 2),
        ("draid2:4d:11c:2s", 11, 4, 2, 3),
        ("draid2:3d:2s:9c", 9, 3, 2, 7),
        ("draid:2d:5c:0s", 5, 2, 0, 5),
        ("draid2:4D:9C:1S:9w", 9, 4, 1, 4),
    ],
)
def test_draid(word: str, count: int, ndata: int, nspares: int, ngroups: int) -> None:
    (top,) = parse([word, *(f"d{n}" for n in range(count))]).tops
    assert (top.ndata, top.nspares, top.ngroups) == (ndata, nspares, ngroups)


@pytest.mark.parametrize(
    ("word", "count", "text"),
    [
        ("draid:3x", 5, "invalid dRAID syntax"),
        ("draid:d", 5, "invalid dRAID syntax"),
        ("draid:", 5, "invalid dRAID syntax"),
        ("draid:99999999999999d", 5, "invalid dRAID syntax"),
        ("draid:6c", 5, "invalid number of dRAID disks; 6 required but 5 provided"),
        ("draid:0c", 5, "invalid number of dRAID disks"),
        ("draid:5d", 5, "requested number of dRAID data disks 5 per group is too high, at most 4"),
        ("draid:0d", 5, "data disks 0 per group is too high"),
        ("draid:4d:1s", 5, "data disks 4 per group is too high, at most 3"),
        ("draid:4s", 5, "leaves no disks available for data"),
        ("draid:1d:101s", 120, "invalid number of dRAID spares 101"),
    ],
)
def test_draid_refused(word: str, count: int, text: str) -> None:
    with pytest.raises(SpecError, match=text):
        parse([word, *(f"d{n}" for n in range(count))])


def test_failure_domains_are_said_to_be_missing() -> None:
    for words in (["draid:5c", *"abcdefghij"], ["draid", "fgroup", "a", "b", "fgroup", "c", "d"]):
        with pytest.raises(UnsupportedError, match="failure domains"):
            parse(words)


@given(
    st.lists(
        st.sampled_from(WORDS),
        max_size=14,
    )
)
def test_every_device_named_has_one_place(words: list[str]) -> None:
    try:
        spec = parse(words)
    except SpecError:
        return
    assert sorted(map(str, spec.places)) == sorted(word for word in words if group_type(word) is None)
    for top in spec.tops:
        assert top.cls != "log" or top.kind in ("leaf", "mirror")
        if top.kind == "draid":
            width, disks = top.ndata + top.nparity, len(top.places) - top.nspares
            assert width <= disks and top.ngroups * width % disks == 0
            assert top.ngroups == math.lcm(width, disks) // width


def test_odd_words() -> None:
    for word in ("", "a\0b"):
        with pytest.raises(SpecError):
            parse([word])


def test_reports_of_several_complaints() -> None:
    error = SpecError.of(["a is odd", "b too"], overridable=True)
    assert error.report() == (
        "invalid vdev specification\nuse '-f' to override the following errors:\na is odd\nb too"
    )
    assert "must be manually repaired" in error.report(force=True)
    assert "a is odd; b too" in str(error)
