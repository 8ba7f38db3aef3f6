"""What an image is to be, in words."""

from __future__ import annotations

from pathlib import Path

import pytest
from uberblock.pool.errors import ExistsError, UsageError
from uberblock.pool.mkfs import DatasetRecipe, Recipe, parse_dataset
from uberblock.pool.mkfs.recipe import mapped, parse_epoch, parse_map, parse_owner

WORDS = {
    "tank": ("tank", {}, None),
    "/": ("tank", {}, None),
    "/=a:b,c=d": ("tank", {}, "a:b,c=d"),
    "tank/home=src": ("tank/home", {}, "src"),
    "/home:compression=zstd": ("tank/home", {"compression": "zstd"}, None),
    "/h:compression=zstd,recordsize=1M=a=b,c": ("tank/h", {"compression": "zstd", "recordsize": "1M"}, "a=b,c"),
    "/h:org.x:tag=1=-": ("tank/h", {"org.x:tag": "1"}, "-"),
}


@pytest.mark.parametrize("word", WORDS)
def test_datasets(word: str) -> None:
    name, properties, source = WORDS[word]
    assert parse_dataset(word, "tank") == DatasetRecipe(name, properties, source)


@pytest.mark.parametrize("word", ["/=", "/h:compression", "/h:=1", "/h:a=1,a=2", "/h:a=1="])
def test_datasets_that_make_no_sense(word: str) -> None:
    with pytest.raises(UsageError):
        parse_dataset(word, "tank")


def test_owners() -> None:
    assert parse_owner("0:100") == (0, 100)
    assert parse_map("5:7") == (5, 7, 1)
    maps = [parse_map("100000:0:65536"), parse_map("0:9")]
    assert [mapped(number, maps) for number in (100_000, 165_535, 165_536, 0, 1)] == [0, 65_535, 165_536, 9, 1]
    for text in ("root:root", "1", "-1:0", "4294967296:0"):
        with pytest.raises(UsageError):
            parse_owner(text)
    for text in ("1", "1:2:0", "a:b", "4294967295:0:2"):
        with pytest.raises(UsageError):
            parse_map(text)


def test_epoch() -> None:
    assert parse_epoch("1700000000") == 1_700_000_000
    assert parse_epoch(None) is None and parse_epoch("") is None
    with pytest.raises(UsageError):
        parse_epoch("yesterday")


def test_properties_are_inherited() -> None:
    recipe = Recipe(
        "tank", ["a"], dataset_properties={"recordsize": "64K"},
        datasets=[DatasetRecipe("tank/a", {"recsize": "1M"}), DatasetRecipe("tank", {"copies": "2"})],
    )  # fmt: skip
    assert recipe.value("tank/a/b", "recordsize") == 1 << 20
    assert recipe.value("tank/c", "recordsize") == 64 << 10
    assert recipe.value("tank/a", "copies") == 2
    assert recipe.value("tank/a", "dnodesize") == 0


def test_what_contradicts_itself(tmp_path: Path) -> None:
    here = str(tmp_path)

    def check(*datasets: DatasetRecipe, **more: object) -> None:
        Recipe("tank", ["a"], datasets=datasets, **more).check()  # type: ignore[arg-type]

    check(DatasetRecipe("tank/a", {}, here))
    with pytest.raises(UsageError, match="not in the pool"):
        check(DatasetRecipe("other/a"))
    with pytest.raises(ExistsError):
        check(DatasetRecipe("tank/a"), DatasetRecipe("tank/a"))
    with pytest.raises(UsageError, match="no such folder"):
        check(DatasetRecipe("tank/a", {}, here + "/nothing"))
    with pytest.raises(UsageError, match="standard input"):
        check(DatasetRecipe("tank/a", {}, "-"))
    with pytest.raises(UsageError, match="nothing to map"):
        check(owner=(0, 0), uids=[(1, 2, 1)])


def test_chance_follows_from_seed_and_name() -> None:
    def first(name: str, seed: str | None) -> bytes:
        return Recipe(name, ["a"], seed=seed).env().random_bytes(8)

    assert first("a", "1") == first("a", "1")
    assert len({first("a", "1"), first("a", "2"), first("b", "1"), first("a", None), first("a", None)}) == 5
