"""All blocks of a pool against zdb: counts, leaks, and exactly what was provoked, nothing else."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import HERE, pool_kinds
from forge import Forger, Source
from uberblock.pool import import_pool
from uberblock.pool.device.file import FileDevice
from uberblock.pool.device.overlay import OverlayDevice
from uberblock.pool.ondisk import blkptr, label
from uberblock.pool.spa import blocks, references, shared
from uberblock.pool.spa.blocks import BlockCheck, BlockReport
from uberblock.pool.spa.findings import Fault
from uberblock.pool.spa.metaslabs import VdevMaps, allocations
from uberblock.pool.zio.status import Status

FEW = ["mirror", "block-cloning", "removal", "draid", "checkpoint", "ganging", "dedup-legacy", "version28"]
UNFINISHED = ["destroying", "clone-gone", "removing", "removed-twice", "copies"]
#: What zdb 2.3.2 shows of the unfinished pools: pointers, bytes logical, physical, allocated, deduplicated.
SHOWN = {
    "destroying": (12535, 11082240, 6500864, 6656000, 0),
    "clone-gone": (339, 7263744, 3219968, 3343872, 0),
    "removing": (884, 843940864, 839088640, 839524352, 0),
    "removed-twice": (1239, 15669760, 11611648, 11736064, 0),
    "copies": (332, 6149120, 3213312, 8578560, 8323072),
}


def check(where: Any, name: str | None = None, **options: Any) -> BlockReport:
    with import_pool(name, search=where) as pool:
        return BlockCheck(pool.spa, **options).run()


def figures(report: BlockReport) -> dict[str, int]:
    total = report.total
    return {
        "bp count": total.count, "ganged count": total.gangs, "bp logical": total.lsize, "bp physical": total.psize,
        "bp allocated": total.asize, "bp deduped": report.dedup_bytes, "bp cloned": report.clone_bytes,
        "ref>1": report.dedup_blocks, "count": report.clone_blocks, "same vdev": total.same_vdev,
        "same metaslab": total.same_metaslab, "embedded": int(report.stats.embedded[0].sum()),
    }  # fmt: skip


def shown(text: str) -> dict[str, int]:
    patterns = {
        "ref>1": r"ref>1:\s+(\d+)", "count": r"bp cloned:.*count:\s+(\d+)", "embedded": r"bps of type 0:\s+(\d+)",
        "same vdev": r"on same vdev: (\d+)", "same metaslab": r"in same metaslab: (\d+)",
    }  # fmt: skip
    names = ("bp count", "ganged count", "bp logical", "bp physical", "bp allocated", "bp deduped", "bp cloned")
    patterns |= {name: rf"{name}:\s+(\d+)" for name in names}
    found = {name: re.search(pattern, text) for name, pattern in patterns.items()}
    return {name: int(match[1]) if match else 0 for name, match in found.items()}


def zdb(program: str, folder: Path, name: str) -> str:
    command = [program, "-e", "-p", str(folder), "-bcc", name]
    return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout


def compare(program: str, folder: Path, name: str) -> None:
    report = check(folder, name, read="all")
    text = zdb(program, folder, name)
    assert figures(report) == shown(text)
    assert ("No leaks" in text) == report.balanced
    assert report.balanced and report.readable, (report.unreadable, report.notes)
    assert not report.under_count


# --- against zdb ------------------------------------------------------------------------------------------------------


@pytest.mark.judge
@pytest.mark.parametrize("kind", FEW)
def test_a_few_pools_are_as_zdb_counts(pools, judge, kind: str) -> None:
    golden = pools(kind)
    compare(judge("zdb"), golden.dir, golden.manifest["pool"])


@pytest.mark.judge
@pytest.mark.pools
@pytest.mark.skipif("UBERBLOCK_ALL_POOLS" not in os.environ, reason="UBERBLOCK_ALL_POOLS is not set")
@pytest.mark.parametrize("kind", sorted(set(pool_kinds()) - set(FEW)))
def test_all_pools_are_as_zdb_counts(pools, judge, kind: str) -> None:
    """In longer runs: cli/test_zdb_blocks.py has what zdb prints of every pool, and verify reads everything."""
    golden = pools(kind)
    compare(judge("zdb"), golden.dir, golden.manifest["pool"])


FOLDERS = [Path(word) for word in os.environ.get("UBERBLOCK_MORE_POOLS", "").split(os.pathsep) if word]


@pytest.mark.judge
@pytest.mark.pools
@pytest.mark.parametrize("folder", [f for base in FOLDERS for f in sorted(base.iterdir()) if f.is_dir()], ids=str)
def test_further_pools_are_as_zdb_counts(judge, folder: Path) -> None:
    """Pools that lie in folders below those of UBERBLOCK_MORE_POOLS: made by ztest, or by old versions."""
    from uberblock.pool import find_pools
    from uberblock.pool.errors import UnsupportedFeatureError

    candidates = find_pools(folder)
    if not candidates:
        pytest.skip("no pool lies here")
    (candidate,) = candidates
    try:
        compare(judge("zdb"), folder, candidate.name)
    except UnsupportedFeatureError:
        assert "999" in folder.name


# --- pools stopped in the middle of something -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folders: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name)
            with tarfile.open(HERE / "data" / "unfinished" / f"{name}.tar.xz") as archive:
                archive.extractall(folders[name], filter="data")
        return folders[name]

    return get


@pytest.mark.parametrize("name", UNFINISHED)
@pytest.mark.parametrize("units", [None, 1 << 15])
def test_unfinished_pools_balance(unfinished, name: str, units: int | None) -> None:
    report = check(unfinished(name), read="all", window_units=units)
    total = report.total
    assert (total.count, total.lsize, total.psize, total.asize, report.dedup_bytes) == SHOWN[name]
    assert report.balanced and report.readable and not report.under_count
    assert (report.windows > 1) == (units is not None)
    if name == "removing":
        assert report.removing_bytes == 334589952
    if name == "removed-twice":
        assert report.mappings == {1: [], 2: []}


@pytest.mark.judge
@pytest.mark.pools
@pytest.mark.parametrize("name", UNFINISHED)
def test_unfinished_pools_are_as_zdb_counts(unfinished, judge, name: str) -> None:
    compare(judge("zdb"), unfinished(name), name)


# --- windows ----------------------------------------------------------------------------------------------------------


def same(one: BlockReport, other: BlockReport) -> None:
    assert figures(one) == figures(other)
    for fault in Fault:
        assert list(one.faults[fault]) == list(other.faults[fault])
    assert np.array_equal(one.stats.sizes, other.stats.sizes)
    assert (one.found, one.allocated, one.balanced) == (other.found, other.allocated, other.balanced)
    assert sorted(map(str, one.over + one.under)) == sorted(map(str, other.over + other.under))


@pytest.mark.parametrize("kind", ["removal", "ganging", "block-cloning", "dedup", "classes", "draid"])
def test_many_windows_show_what_one_does(pools, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    golden = pools(kind)
    one = check(golden.dir, sectors=True)
    monkeypatch.setattr(blocks, "BATCH", 100)
    monkeypatch.setattr(shared, "ROWS_MAX", 20)
    many = check(golden.dir, window_units=1, sectors=True)
    assert one.windows == 1 < many.windows
    same(one, many)
    assert one.stats.sectors(None) == many.stats.sectors(None)


def test_without_space_maps(pools) -> None:
    golden = pools("dedup")
    one, other = check(golden.dir), check(golden.dir, compare=False)
    assert figures(one) == figures(other)
    assert not other.compared and other.balanced and not other.allocated


# --- what was provoked ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source(pools) -> Iterator[Callable[[str], Source]]:
    found: dict[str, Source] = {}

    def get(kind: str) -> Source:
        if kind not in found:
            found[kind] = Source(pools(kind).images)
        return found[kind]

    yield get
    for one in found.values():
        one.close()


@pytest.fixture
def forge(source) -> Iterator[Callable[[str], Forger]]:
    made: list[Forger] = []

    def get(kind: str) -> Forger:
        made.append(Forger(source(kind)))
        return made[-1]

    yield get
    for one in made:
        one.close()


Row = tuple[str, int, int, int]


def rows(report: BlockReport) -> set[Row]:
    return {(f.name, s.vdev, s.offset, s.size) for f, found in report.faults.items() for s in found}


def forged(forger: Forger, **options: Any) -> BlockReport:
    return check(forger.devices, **options)


def nothing(data: bytearray) -> None:
    """No change: rewriting a block moves it, and all above it, to space that no map knows."""


def gap(forger: Forger, size: int) -> int:
    """An offset where as much is free, in the first metaslab."""
    (found,) = allocations(forger.spa.mos, forger.spa.directory, [forger.spa.tree.tops[0]])
    free = found.metaslabs[0].free()
    at = int(np.flatnonzero(free.sizes >= size)[0])
    return int(free.starts[at])


def put_entry(offset: int, size: int, ashift: int, free: bool) -> Callable[[bytearray], None]:
    """Put an entry in place of the first word, which only says in which txg the following were written."""
    word = offset >> ashift << 16 | int(free) << 15 | (size >> ashift) - 1

    def change(data: bytearray) -> None:
        assert struct.unpack_from("<Q", data)[0] >> 62 == 2
        struct.pack_into("<Q", data, 0, word)

    return change


@pytest.mark.parametrize("units", [None, 1 << 15])
def test_a_leak_is_found(forge, units: int | None) -> None:
    forger = forge("rewind")
    number = VdevMaps(forger.spa.mos, forger.spa.tree.tops[0]).objects[0]
    forger.change_block(forger.spa.mos, number, 0, 0, nothing)
    before = rows(forged(forger))
    forger = forge("rewind")
    offset = gap(forger, 1536)
    forger.change_block(forger.spa.mos, number, 0, 0, put_entry(offset, 1536, 9, free=False))
    report = forged(forger, window_units=units)
    assert rows(report) == before | {("LEAKED", 0, offset, 1536)}
    (note,) = report.notes
    assert "header" in note and not report.balanced and report.readable


@pytest.mark.parametrize("units", [None, 1 << 15])
def test_used_space_that_is_free_is_found(forge, units: int | None) -> None:
    forger = forge("rewind")
    mos = forger.spa.mos
    number = VdevMaps(mos, forger.spa.tree.tops[0]).objects[0]
    forger.change_block(mos, number, 0, 0, nothing)
    before = rows(forged(forger))
    forger = forge("rewind")
    # The middle of a file's block of 128 KiB.
    name, _, dnode = large_file(forger)
    bp = dnode.bps(0, 1)[0]
    offset = int(blkptr.dva_offset(bp)[0]) + 1024
    assert offset < 1 << 24
    forger.change_block(mos, number, 0, 0, put_entry(offset, 512, 9, free=True))
    report = forged(forger, window_units=units)
    assert rows(report) == before | {("FREE", 0, offset, 512)}
    (segment,) = report.faults[Fault.FREE]
    assert segment.users == [f"{name}, object {dnode.number}, level 0 block 0"]


def large_file(forger: Forger, nth: int = 0) -> tuple[str, Any, Any]:
    """(dataset's name, object set, dnode) of a file with a plain first block of several sectors."""
    found = []
    for dataset in forger.spa.dsl.datasets(snapshots=False):
        objset = dataset.objset()
        for dnode in objset.objects():
            bp = dnode.bps(0, 1)[0]
            plain = ~blkptr.is_hole(bp) & ~blkptr.is_embedded(bp) & ~blkptr.is_gang(bp)
            if dnode.type == 19 and bool(plain) and int(blkptr.psize(bp)) >= 4096 and dnode.nlevels == 1:
                found.append((dataset.name, objset, dnode))
    return found[nth]


def test_space_used_twice_is_found(forge) -> None:
    forger = forge("rewind")
    name, objset, one = large_file(forger, 0)
    _, _, other = large_file(forger, 1)
    forger.change_pointer(objset, one.number, 0, 0, nothing)
    before = rows(forged(forger))
    forger = forge("rewind")
    bp, lost = np.array(other.bps(0, 1)[0]), np.array(one.bps(0, 1)[0])
    words = bp["dva"].tobytes()
    forger.change_pointer(objset, one.number, 0, 0, lambda raw: raw.__setitem__(slice(0, 48), words))
    report = forged(forger)
    offset, size = int(blkptr.dva_offset(bp)[0]), int(blkptr.dva_asize(bp)[0])
    gone = ("LEAKED", 0, int(blkptr.dva_offset(lost)[0]), int(blkptr.dva_asize(lost)[0]))
    found = rows(report)
    assert ("SHARED", 0, offset, size) in found
    # The lost block may lie beside others that the forging itself has lost.
    assert covered(found, "LEAKED") == covered(before | {gone}, "LEAKED")
    assert {row for row in found if row[0] not in ("LEAKED", "SHARED")} == {r for r in before if r[0] != "LEAKED"}
    (segment,) = report.faults[Fault.SHARED]
    assert sorted(segment.users) == sorted(f"{name}, object {d.number}, level 0 block 0" for d in (one, other))


def covered(found: set[Row], fault: str) -> set[int]:
    return {sector for kind, _, offset, size in found if kind == fault for sector in range(offset, offset + size, 512)}


def test_a_block_beyond_the_vdev_is_found(forge) -> None:
    forger = forge("rewind")
    name, objset, dnode = large_file(forger)
    beyond = struct.pack("<2Q", 8, 1 << 40)
    forger.change_pointer(objset, dnode.number, 0, 0, lambda raw: raw.__setitem__(slice(0, 16), beyond))
    report = forged(forger, read="all")
    place = f"{name}, object {dnode.number}, level 0 block 0"
    assert [s.users for s in report.faults[Fault.NOWHERE] if s.offset == 1 << 49] == [[place]]
    assert [(bad.place, bad.status) for bad in report.bad] == [(place, Status.BAD_POINTER)]


def first_shared(forger: Forger, dedup: bool) -> tuple[Any, Any, Any]:
    """(object set, dnode, pointer) of a file's block that is shared, and younger than the snapshot before it."""
    counted: dict[int, int] = {}
    for rows_, _, offsets in shared.SharedBlocks(forger.spa, unexpected)._read():
        counted |= dict(zip(offsets.tolist(), rows_["refs"].tolist()))
    for dataset in forger.spa.dsl.datasets():
        objset = dataset.objset()
        for dnode in objset.objects():
            bp = dnode.bps(0, 1)[0]
            young = int(bp["birth"]) > dataset.phys.prev_snap_txg
            right = dnode.type == 19 and dnode.nlevels == 1 and bool(blkptr.is_dedup(bp)) == dedup
            if young and right and counted.get(int(blkptr.dva_offset(bp)[0]), 0) > 1:
                return objset, dnode, np.array(bp)
    raise AssertionError("nothing is shared")


def unexpected(what: str, error: Exception) -> None:
    raise AssertionError(f"{what}: {error}")


@pytest.mark.parametrize("kind", ["dedup", "dedup-legacy", "block-cloning"])
@pytest.mark.parametrize("units", [None, 1 << 15])
def test_references_are_counted(forge, kind: str, units: int | None) -> None:
    forger = forge(kind)
    objset, dnode, bp = first_shared(forger, kind != "block-cloning")
    hole = bytes(blkptr.BLKPTR_SIZE)
    forger.change_pointer(objset, dnode.number, 0, 0, lambda raw: raw.__setitem__(slice(None), hole))
    report = forged(forger, window_units=units)
    (miscount,) = report.under
    assert miscount.offset == int(blkptr.dva_offset(bp)[0]) and miscount.found == miscount.counted - 1
    assert not report.over and not report.faults[Fault.SHARED]


@pytest.mark.parametrize("kind", ["dedup", "block-cloning"])
def test_references_beyond_those_counted(forge, kind: str) -> None:
    forger = forge(kind)
    objset, dnode, bp = first_shared(forger, kind != "block-cloning")
    size = int(blkptr.lsize(bp))
    other = next(
        d for d in objset.objects()
        if d.type == 19 and d.nlevels == 1 and d.datablksz == size and d.number != dnode.number
        and d.bps(0, 1)[0]["dva"].tobytes() != bp["dva"].tobytes()
    )  # fmt: skip
    forger.change_pointer(objset, other.number, 0, 0, lambda raw: raw.__setitem__(slice(None), bp.tobytes()))
    report = forged(forger)
    assert [(one.offset, one.found - one.counted) for one in report.over] == [(int(blkptr.dva_offset(bp)[0]), 1)]
    assert not report.balanced and not report.faults[Fault.SHARED]


# --- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(pools) -> Iterator[tuple[OverlayDevice, Any]]:
    golden = pools("rewind")
    with OverlayDevice(FileDevice(golden.images[0])) as device:
        yield device, golden


def spoil(device: OverlayDevice, bp: Any) -> None:
    for copy in range(3):
        size = int(blkptr.dva_asize(bp)[copy])
        if size:
            device.write(label.DATA_START + int(blkptr.dva_offset(bp)[copy]), b"\xa5" * size)


def test_lost_data_is_named(damaged) -> None:
    device, golden = damaged
    with import_pool(search=golden.dir) as pool:
        (dataset,) = pool.spa.dsl.datasets(snapshots=False)
        dnode = next(d for d in dataset.objset().objects() if d.type == 19 and d.used_bytes > 4096)
        spoil(device, dnode.bps(0, 1)[0])
    for reading in ("none", "metadata"):
        assert check([device], read=reading).readable
    report = check([device], read="all")
    (bad,) = report.bad
    assert (bad.objset, bad.object, bad.level, bad.blkid) == (dataset.obj, dnode.number, 0, 0)
    assert bad.status == Status.CHECKSUM and report.bad_by_status == {Status.CHECKSUM: 1}
    assert report.balanced and not report.readable


def test_below_lost_metadata_everything_counts_as_leaked(damaged) -> None:
    device, golden = damaged
    with import_pool(search=golden.dir) as pool:
        (dataset,) = pool.spa.dsl.datasets(snapshots=False)
        spoil(device, dataset.bp[0])
        beside = check(golden.dir)
    report = check([device], read="metadata")
    assert not report.readable and not report.balanced
    assert any(dataset.name in text for text in report.unreadable)
    assert [bad.place for bad in report.bad] == [f"{dataset.name}, object set"]
    lost = beside.total.asize - report.total.asize
    assert report.faults[Fault.LEAKED].bytes == lost == report.allocated - report.found > 0


def test_progress_adds_up(pools) -> None:
    done: list[int] = []
    report = check(pools("rewind").dir, progress=done.append, window_units=1 << 15)
    assert sum(done) == report.total.asize and report.windows > 1


def test_ranges_beyond_a_limit_are_counted(forge, monkeypatch: pytest.MonkeyPatch) -> None:
    forger = forge("rewind")
    forger.change_block(forger.spa.mos, 0, 0, 0, nothing)
    whole = forged(forger).faults[Fault.LEAKED]
    monkeypatch.setattr("uberblock.pool.spa.findings.KEPT", 1)
    monkeypatch.setattr("uberblock.pool.spa.findings.Segments.__init__.__defaults__", (1,))
    few = forged(forger).faults[Fault.LEAKED]
    assert (few.count, few.bytes) == (whole.count, whole.bytes) and len(list(few)) == 1 and not few.complete


def test_references_name_their_place() -> None:
    one = np.zeros(1, dtype=np.int64)
    batch = references.References(references.Kind.TREE, "tank", 5, np.zeros(1, blkptr.BLKPTR), one + 7, one, one - 1)
    assert batch.place(0) == "tank, object 7, spill block"
