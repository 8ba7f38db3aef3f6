"""Images: the same bytes every time, the content of their sources, and no block lost."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from uberblock.pool import find_pools, import_pool
from uberblock.pool.errors import ExistsError, NoSpaceError, UsageError
from uberblock.pool.mkfs import DatasetRecipe, Recipe, make_image, parse_dataset, plan_image
from uberblock.pool.ondisk.label import STATE_EXPORTED
from uberblock.pool.pool import Pool
from uberblock.pool.vfs import Vfs

MIB = 1 << 20
NOW = 1_700_000_000
SPECIAL = "mirror a.img b.img special mirror s.img t.img"
ODD = os.fsencode("odd \udcff\n\u00e4")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that a folder can hold without root."""
    top = tmp_path_factory.mktemp("tree")
    (top / "docs" / "deep").mkdir(parents=True)
    (top / "docs" / "empty").write_bytes(b"")
    (top / "docs" / "text").write_bytes(b"some words, " * 20_000)
    (top / "docs" / "deep" / "noise").write_bytes(hashlib.shake_256(b"1").digest(3 * MIB // 2))
    os.link(top / "docs" / "text", top / "another")
    (top / "link").symlink_to("docs/../nowhere")
    os.mkfifo(top / "pipe")
    (Path(os.fsdecode(os.path.join(os.fsencode(top), ODD)))).write_bytes(b"odd")  # noqa: PTH118
    with (top / "sparse").open("wb") as file:
        file.seek(20 * MIB)
        file.write(b"end")
    for name in range(300):
        (top / "docs" / f"small{name}").write_bytes(b"%d" % name * (name % 40))
    (top / "docs" / "text").chmod(0o4750)
    os.utime(top / "docs" / "text", ns=(1, 1_500_000_000_123_456_789))
    os.utime(top / "docs" / "deep", (NOW + 5000, NOW + 5000))
    return top


def recipe(folder: Path, layout: str = "a.img", **more: object) -> Recipe:
    words = [str(folder / word) if word.endswith(".img") else word for word in layout.split()]
    return Recipe("tank", words, **{"seed": "1", "now": NOW, "clamp": True, **more})  # type: ignore[arg-type]


def sums(folder: Path) -> dict[str, str]:
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in folder.glob("*.img")}


def check_same(vfs: Vfs, top: Path, *, clamp: int | None = None) -> None:
    """Everything of a folder is there, and nothing else."""
    names = [b"", *(os.path.relpath(os.path.join(folder, name), os.fsencode(top))  # noqa: PTH118
                    for folder, folders, files in os.walk(os.fsencode(top)) for name in folders + files)]  # fmt: skip
    assert len(names) == len(list(vfs.tree("/")))
    for name in names:
        real = os.path.join(os.fsencode(top), name)  # noqa: PTH118
        wanted, found = os.lstat(real), vfs.stat("/" + os.fsdecode(name))
        assert (found.mode, found.uid, found.gid) == (wanted.st_mode, wanted.st_uid, wanted.st_gid)
        mtime = wanted.st_mtime_ns if clamp is None else min(wanted.st_mtime_ns, clamp * 10**9)
        assert found.mtime_ns == found.atime_ns == mtime
        if os.path.islink(real):  # noqa: PTH114
            assert vfs.readlink("/" + os.fsdecode(name)) == os.fsdecode(os.readlink(real))  # noqa: PTH115
        elif os.path.isfile(real):  # noqa: PTH113
            assert (found.nlink, found.size) == (wanted.st_nlink, wanted.st_size)
            assert vfs.read_bytes("/" + os.fsdecode(name)) == Path(os.fsdecode(real)).read_bytes()


def opened(folder: Path) -> Pool:
    return import_pool("tank", [str(folder)])


def test_the_same_bytes_and_the_content_of_the_source(tree: Path, tmp_path: Path) -> None:
    """Two images in different folders, made by different numbers of threads, and one with another seed."""
    datasets = [DatasetRecipe("tank", {}, str(tree)), DatasetRecipe("tank/b/c", {"compression": "zstd"}, str(tree))]
    results = []
    for folder, seed, threads in (("one", "1", 1), ("two", "1", 2), ("three", "2", 1)):
        (tmp_path / folder).mkdir()
        work = recipe(tmp_path / folder, SPECIAL, datasets=datasets, seed=seed,
                      threads=threads)  # fmt: skip
        results.append(make_image(work))
    one, two, three = (sums(tmp_path / folder) for folder in ("one", "two", "three"))
    assert one == two
    assert not set(one.values()) & set(three.values())
    assert results[0].guid == results[1].guid != results[2].guid
    assert not results[0].told
    image = (tmp_path / "one" / "a.img").read_bytes()
    assert str(tmp_path).encode() not in image and b"/a.img" in image
    assert results[0].images[0].allocated < results[0].images[0].size // 2
    assert [found.state for found in find_pools([str(tmp_path / "one")])] == [STATE_EXPORTED]
    with opened(tmp_path / "one") as pool:
        for name in ("tank", "tank/b/c"):
            check_same(pool.fs(name), tree, clamp=NOW)
        sparse = pool.fs("tank").stat("/sparse")
        assert sparse.size == 20 * MIB + 3
        assert pool.verify().clean


def archive(tree: Path) -> bytes:
    """The tree as GNU tar writes it, with its holes, an attribute, and an entry that is named twice."""
    raw = subprocess.run(
        ["tar", "--format=pax", "--sparse", "--sort=name", "-C", str(tree), "-cf", "-", "."],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    buffer = io.BytesIO(raw)
    with tarfile.open(fileobj=buffer, mode="a", format=tarfile.PAX_FORMAT) as out:
        for name, content in (("implied/marked", b"first"), ("implied/marked", b"second")):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.uid, member.gid = len(content), 7, 5, 6
            member.pax_headers = {"SCHILY.xattr.user.note": "remember"}
            out.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_archives(tree: Path, tmp_path: Path) -> None:
    """A plain and a compressed archive give what the folder gives, and what only archives have."""
    raw = archive(tree)
    (tmp_path / "t.tar").write_bytes(raw)
    (tmp_path / "t.tar.gz").write_bytes(gzip.compress(raw, 1))
    sources = {"tank/plain": "t.tar", "tank/gz": "t.tar.gz"}
    datasets = [DatasetRecipe(name, {}, str(tmp_path / file)) for name, file in sources.items()]
    make_image(recipe(tmp_path, datasets=datasets))
    with opened(tmp_path) as pool:
        for name in ("tank/plain", "tank/gz"):
            fs = pool.fs(name)
            assert fs.read_bytes("/implied/marked") == b"second" and fs.listdir("/implied") == ["marked"]
            assert fs.xattrs("/implied/marked") == {"user.note": b"remember"}
            found = fs.stat("/implied/marked")
            assert (found.uid, found.gid, found.mtime_ns) == (5, 6, 7 * 10**9)
            assert fs.stat("/implied").mtime_ns == NOW * 10**9
            assert fs.stat("/another").object == fs.stat("/docs/text").object
            assert fs.read_bytes("/sparse") == (tree / "sparse").read_bytes()
            assert fs.read_bytes("/docs/deep/noise") == (tree / "docs/deep/noise").read_bytes()
            assert os.fsdecode(ODD) in fs.listdir("/") and fs.readlink("/link") == "docs/../nowhere"
        assert pool.verify().clean


def test_holes_of_a_source_do_not_matter(tmp_path: Path) -> None:
    """A file that lost its holes gives the same image as one that has them."""
    content = hashlib.shake_256(b"x").digest(300_000)
    made = []
    for name, sparse in (("one", True), ("two", False)):
        source = tmp_path / name / "src"
        source.mkdir(parents=True)
        with (source / "f").open("wb") as file:
            for at in (0, 3 * MIB + 4096):
                file.seek(at) if sparse else file.write(bytes(at - file.tell()))
                file.write(content)
        os.utime(source / "f", (5, 5))
        os.utime(source, (5, 5))
        work = recipe(tmp_path / name, datasets=[DatasetRecipe("tank", {"compression": "off"}, str(source))],
                      size=64 * MIB)  # fmt: skip
        make_image(work)
        made.append(sums(tmp_path / name))
    assert made[0] == made[1]


def test_owners(tree: Path, tmp_path: Path) -> None:
    mine = os.getuid()
    source = [DatasetRecipe("tank", {}, str(tree))]
    for folder, more in (("owner", {"owner": (1, 2)}), ("map", {"uids": [(mine, 70_000, 1)]})):
        (tmp_path / folder).mkdir()
        make_image(recipe(tmp_path / folder, datasets=source, **more))
        with opened(tmp_path / folder) as pool:
            found = {pool.fs("tank").stat(path).uid for path in ("/", "/docs", "/docs/text", "/link", "/pipe")}
            assert found == {1 if folder == "owner" else 70_000}
            assert pool.fs("tank").stat("/").gid == (2 if folder == "owner" else os.getgid())


def test_what_cannot_be_made_leaves_nothing(tree: Path, tmp_path: Path) -> None:
    source = [DatasetRecipe("tank", {}, str(tree))]
    noise = tmp_path / "noise"
    noise.mkdir()
    (noise / "f").write_bytes(os.urandom(40 * MIB))
    with pytest.raises(NoSpaceError):
        make_image(recipe(tmp_path, datasets=[DatasetRecipe("tank", {}, str(noise))], size=64 * MIB))
    assert not (tmp_path / "a.img").exists()
    (tmp_path / "a.img").write_bytes(b"mine")
    with pytest.raises(ExistsError):
        make_image(recipe(tmp_path, datasets=source))
    assert (tmp_path / "a.img").read_bytes() == b"mine"
    with pytest.raises(UsageError):
        make_image(recipe(tmp_path, datasets=[DatasetRecipe("tank", {"recordsize": "3K"})], force=True))
    assert (tmp_path / "a.img").read_bytes() == b"mine"
    make_image(recipe(tmp_path, datasets=source, force=True, size=64 * MIB))
    with opened(tmp_path) as pool:
        assert pool.fs("tank").exists("/docs")


def test_an_estimate_that_is_too_small_is_made_good(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    (source / "f").write_bytes(os.urandom(40 * MIB))
    work = recipe(tmp_path, datasets=[DatasetRecipe("tank", {}, str(source))])
    plan = plan_image(work)
    done: list[int] = []
    result = make_image(work, replace(plan, size=80 * MIB), progress=done.append)
    assert result.images[0].size > 80 * MIB
    assert sum(done) == 40 * MIB


@pytest.mark.judge
@pytest.mark.parametrize("layout", ["a.img", "raidz2 a.img b.img c.img d.img", SPECIAL])
def test_zdb_finds_no_leak(judge: Callable[[str], str], tree: Path, tmp_path: Path, layout: str) -> None:
    work = recipe(tmp_path, layout, datasets=[DatasetRecipe("tank/x", {}, str(tree))], leaf_type="disk")
    make_image(work)
    words = [judge("zdb"), "-e", "-p", str(tmp_path), "-bcc", "tank"]
    out = subprocess.run(words, capture_output=True, text=True, check=False)
    assert out.returncode == 0, out.stderr
    assert "No leaks (block sum matches space maps exactly)" in out.stdout


def test_datasets_may_be_named_in_any_order(tmp_path: Path) -> None:
    """One below another that comes later made that other on its way, which "existed already" then."""
    words = ["tank/a/b:compression=zstd", "tank/a:recordsize=1M,compression=gzip"]
    make_image(recipe(tmp_path, datasets=[parse_dataset(word, "tank") for word in words]))
    with opened(tmp_path) as pool:
        assert pool.dataset("tank/a").get("recordsize").raw == MIB
        assert [pool.dataset(f"tank/{name}").get("compression").text for name in ("a", "a/b")] == ["gzip", "zstd"]
