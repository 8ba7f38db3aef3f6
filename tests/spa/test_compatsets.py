"""Sets of features by name: the built-in ones against the files OpenZFS ships, and files of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import cannot_run
from uberblock.pool.errors import UsageError
from uberblock.pool.ondisk.features import BY_NAME
from uberblock.pool.spa.compatsets import SETS, SHIPPED_FOLDER, load


@pytest.mark.judge
def test_built_in_sets_are_those_openzfs_ships() -> None:
    files = sorted(Path(SHIPPED_FOLDER).glob("*"))
    if not files:
        cannot_run(f"OpenZFS's compatibility files are not in {SHIPPED_FOLDER}")
    for file in files:
        if file.name.startswith("openzfs-2") and file.name not in SETS:
            continue  # of a release newer than this package
        shipped = load(file.name)
        assert not shipped.warnings
        assert shipped.features == load(file.name, folders=()).features, file.name


def test_some_sets_by_heart() -> None:
    assert SETS["zol-0.6.1"] == {"async_destroy", "empty_bpobj", "lz4_compress"}
    assert len(SETS["openzfs-2.2"]) == 39 and len(SETS["openzfs-2.3"]) == 44 and len(SETS["openzfs-2.4"]) == 47
    assert SETS["openzfs-2.0-linux"] - SETS["openzfs-2.0-freebsd"] == {"edonr"}
    assert SETS["2018"] == SETS["zol-0.6.5"]
    order = ["zol-0.6.1", "zol-0.6.4", "zol-0.6.5", "zol-0.7", "zol-0.8", "openzfs-2.0-linux", "openzfs-2.1-linux"]
    order += ["openzfs-2.2", "openzfs-2.3", "openzfs-2.4"]
    for older, newer in zip(order, order[1:]):  # noqa: RUF007
        assert SETS[older] < SETS[newer]


def test_dependencies_are_in_every_set() -> None:
    for name, names in SETS.items():
        for feature in names:
            assert set(BY_NAME[feature].depends) <= names, (name, feature)


def test_special_values() -> None:
    assert load("").features is None and load("off").features is None
    assert load("legacy").features == frozenset()
    assert load("zol-0.8,openzfs-2.0-freebsd", ()).features == SETS["zol-0.8"] - {"edonr"}
    for value in (",", "nosuch", "zol-0.8,nosuch", "legacy,zol-0.8", "../nosuch", "a\0b"):
        with pytest.raises(UsageError):
            load(value)


def test_files(tmp_path: Path) -> None:
    local, shipped = tmp_path / "local", tmp_path / "shipped"
    local.mkdir()
    shipped.mkdir()
    folders = (local, shipped)
    (shipped / "ours").write_text("# a comment\nlz4_compress, sha512\tskein # more\n\nnew_thing\n")
    found = load("ours", folders)
    assert found.features == {"lz4_compress", "sha512", "skein"} and found.warnings == ("new_thing",)
    (local / "ours").write_text("lz4_compress\n")
    assert load("ours", folders).features == {"lz4_compress"}, "the local file comes first"
    assert load("ours,zol-0.6.1", folders).features == {"lz4_compress"}
    (local / "zol-0.6.1").write_text("skein\n")
    assert load("zol-0.6.1", folders).features == {"skein"}, "and before what is built in"
    for content, text in (
        (b"lz4_compress", "could not read/parse"),
        (b"", "could not read/parse"),
        (b"#" * 16384 + b"\n", "could not read/parse"),
        (b"new_thing\n", "invalid feature name"),
    ):
        (local / "ours").write_bytes(content)
        with pytest.raises(UsageError, match=text):
            load("ours", folders)
    (local / "folder").mkdir()
    with pytest.raises(UsageError, match="could not read/parse"):
        load("folder", folders)
