"""Sizes of images, and the paths in their labels."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from uberblock.pool.errors import ExistsError, UsageError
from uberblock.pool.mkfs import DatasetRecipe, Recipe, plan_image
from uberblock.pool.mkfs.measure import Content, measure
from uberblock.pool.mkfs.plan import label_paths
from uberblock.pool.spa.vdevspec import SpecError

MIB = 1 << 20
K = 1 << 10


def test_files_are_counted_by_blocks() -> None:
    found = Content()
    found.add_file(0, [(0, 0)], 128 * K)
    found.add_file(700, [(0, 700)], 128 * K)
    found.add_file(300 * K, [(0, 300 * K)], 128 * K)
    found.add_file(10 * MIB, [(127 * K, 2 * K), (130 * K, 1)], 128 * K)
    assert found.data == {1024: 1, 128 * K: 3 + 2}
    assert (found.files, found.size) == (4, 700 + 300 * K + 2 * K + 1)
    found.add_file(1 << 30, [(0, 1 << 30)], 128 * K)
    assert found.metadata[128 * K] == 8


def test_folders_are_measured(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"1" * 5000)
    os.link(tmp_path / "a" / "x", tmp_path / "y")
    (tmp_path / "l").symlink_to("nowhere")
    found = measure(str(tmp_path), 128 * K)
    assert (found.files, found.objects, found.size) == (1, 4, 5000)
    with pytest.raises(UsageError):
        measure("/dev/null", 128 * K)


LAYOUTS = [("a", 1), ("mirror a b", 1), ("raidz1 a b c", 1 / 2), ("a b", 1 / 2), ("raidz2 a b c d", 1 / 2)]


@pytest.mark.parametrize(("layout", "factor"), LAYOUTS)
def test_sizes_follow_content_and_layout(tmp_path: Path, layout: str, factor: float) -> None:
    source = tmp_path / "src"
    source.mkdir()
    with (source / "f").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 3 << 30)
    words = [word if len(word) > 1 else str(tmp_path / word) for word in layout.split()]
    recipe = Recipe("tank", words, datasets=[DatasetRecipe("tank", {}, str(source))])
    plan = plan_image(recipe)
    assert plan.automatic and plan.total == 3 << 30
    assert plan.size % MIB == 0
    assert 1.03 <= plan.size / (factor * (3 << 30)) <= 1.25
    assert not list(tmp_path.glob("?"))


def test_small_pools_have_the_smallest_size(tmp_path: Path) -> None:
    assert plan_image(Recipe("tank", [str(tmp_path / "a")])).size == 64 * MIB


def test_what_cannot_be_planned(tmp_path: Path) -> None:
    here = str(tmp_path)
    with pytest.raises(SpecError):
        plan_image(Recipe("tank", [here + "/a", "mirror", here + "/b", here + "/c"]))
    with pytest.raises(UsageError, match="at least 64 MiB"):
        plan_image(Recipe("tank", [here + "/a"], size=MIB))
    with pytest.raises(UsageError, match="something else"):
        plan_image(Recipe("tank", [here], force=True))
    (tmp_path / "a").touch()
    with pytest.raises(ExistsError):
        plan_image(Recipe("tank", [here + "/a"]))
    plan_image(Recipe("tank", [here + "/a"], force=True))
    for source in (here, here + "/a"):
        with pytest.raises(UsageError, match="itself"):
            plan_image(Recipe("tank", [here + "/a"], datasets=[DatasetRecipe("tank", {}, source)], force=True))


def test_label_paths() -> None:
    def paths(images: list[str], *templates: str) -> list[str]:
        return list(label_paths(Recipe("tank", images, label_paths=templates), images).values())

    images = ["/out/a.img", "/out/b.img"]
    assert paths(images) == ["/a.img", "/b.img"]
    assert paths(images, "/dev/vd{letter}") == ["/dev/vda", "/dev/vdb"]
    assert paths(images, "/x/{stem}-{n}") == ["/x/a-0", "/x/b-1"]
    assert paths(images, "{path}") == images
    assert paths(images, "/1", "/2") == ["/1", "/2"]
    assert paths([f"/{n}" for n in range(28)], "/{letter}")[-1] == "/ab"
    for wrong in (["/same"], ["relative/{n}"], ["/{nothing}"], ["/{"], ["/a", "/b", "/c"]):
        with pytest.raises(UsageError):
            paths(images, *wrong)
