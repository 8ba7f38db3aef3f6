"""Which vdevs go together."""

from __future__ import annotations

import pytest
from uberblock.pool.spa.importer import load
from uberblock.pool.spa.replication import FUZZ, Level, Member, check_replication, levels_of
from uberblock.pool.spa.scan import scan_all
from uberblock.pool.spa.vdevspec import SpecError, VdevSpec, parse

GIB = 1 << 30


def with_members(words: str, kind: str = "disk") -> list[tuple[VdevSpec, list[Member]]]:
    return [(top, [Member(kind, GIB)] * len(top.places)) for top in parse(words.split()).tops]


@pytest.mark.parametrize(
    "words",
    [
        "a b c",
        "mirror a b mirror c d",
        "raidz2 a b c d raidz2 e f g h",
        "raidz1 a b c raidz1 d e f g",
        "raidz1 a b c mirror d e",
        "mirror a b c raidz2 d e f g",
        "raidz2 a b c d draid2 e f g h i",
        "mirror a b log c",
        "raidz a b c log mirror d e",
        "log a b mirror c d",
    ],
)
def test_these_do(words: str) -> None:
    check_replication(with_members(words))


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("a mirror b c", "both disk and mirror vdevs are present"),
        ("mirror a b mirror c d e", "both 2-way and 3-way mirror vdevs are present"),
        ("raidz1 a b c raidz2 d e f g", "raidz and raidz vdevs with different redundancy, 1 vs. 2 are present"),
        ("raidz1 a b c draid2 d e f g", "raidz and draid vdevs with different redundancy, 1 vs. 2 are present"),
        ("raidz2 a b c d mirror e f", r"with different redundancy, 2 vs. 1 \(2-way\) are present"),
        ("mirror a b c raidz d e", r"raidz and mirror vdevs with different redundancy, 1 vs. 2 \(3-way\)"),
        ("raidz2 a b c d special mirror e f", "different redundancy"),
    ],
)
def test_these_do_not(words: str, text: str) -> None:
    with pytest.raises(SpecError, match=f"mismatched replication level: .*{text}") as caught:
        check_replication(with_members(words))
    assert caught.value.overridable


def test_within_a_group() -> None:
    spec = parse(["raidz", "a", "b", "c"]).tops[0]
    near = [Member("file", GIB), Member("file", GIB + FUZZ), Member("file", GIB)]
    check_replication([(spec, near)])
    with pytest.raises(SpecError, match="raidz contains devices of different sizes"):
        check_replication([(spec, [*near[:2], Member("file", GIB - 1)])])
    with pytest.raises(SpecError, match="raidz contains both files and devices"):
        check_replication([(spec, [*near[:2], Member("disk", GIB)])])


def test_additions() -> None:
    pool = [Level("mirror", 2, 0)]
    check_replication(with_members("mirror a b"), pool)
    check_replication(with_members("raidz a b c"), pool)
    check_replication(with_members("log a"), pool)
    for words, text in (
        ("a", "pool uses mirror and new vdev is disk"),
        ("mirror a b c", "pool uses 2-way mirror and new vdev uses 3-way mirror"),
        ("raidz2 a b c", "pool and new vdev with different redundancy, raidz and mirror vdevs, 2 vs. 1"),
    ):
        with pytest.raises(SpecError, match=text):
            check_replication(with_members(words), pool)
    with pytest.raises(SpecError, match=r"raidz and draid vdevs, 2 vs\. 1"):
        check_replication(with_members("draid a b c"), [Level("raidz", 5, 2)])
    check_replication(with_members("a"), [*pool, Level("raidz", 5, 2)])  # what is mixed may stay mixed


def test_levels_of_a_pool(pools) -> None:
    spa = load(scan_all([pools("classes").dir]).candidates[0])
    assert levels_of(spa.tree) == [Level("mirror", 2, 0)] * 2, "the log does not count"
    spa.close()
    spa = load(scan_all([pools("removal").dir]).candidates[0])
    assert len(levels_of(spa.tree)) == 1, "what was removed does not count"
    spa.close()
