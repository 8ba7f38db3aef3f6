"""Verifying: damage is found exactly where it is, all of it and nothing else, as OpenZFS's own scrub found it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable

import numpy as np
import pytest
from golden import is_pool, params
from spoiling import Column, Home, addresses, columns, contents, every_block
from uberblock.pool import Pool, import_pool
from uberblock.pool.errors import ChecksumError, PoolError
from uberblock.pool.ondisk import blkptr
from uberblock.pool.ondisk import gang as ondisk_gang
from uberblock.pool.spa.logblocks import log_parts
from uberblock.pool.spa.references import LOG_LEVEL, Kind, references
from uberblock.pool.spa.verify import VerifyReport
from uberblock.pool.zio import gang

DAMAGED = ["damaged", "damaged-mirror"]
ALL = [kind for kind in params() if is_pool(kind if isinstance(kind, str) else kind.values[0])]
HEALTHY = [kind for kind in ALL if (kind if isinstance(kind, str) else kind.values[0]) not in DAMAGED]

Place = tuple[int, int, int, str]  # guid, offset, length, kind


def places(report: VerifyReport) -> set[Place]:
    return {(p.guid, p.offset, p.length, p.kind) for block in report.damaged for p in block.places}


def homes(report: VerifyReport) -> set[Home]:
    return {Home(b.dataset, b.objset, b.object, b.level, b.blkid) for b in report.damaged}


def spoil(disk, offset: int, length: int = 1) -> None:
    """Change bytes of a device."""
    disk.write(offset, bytes(byte ^ 0xFF for byte in disk.read(offset, length)))


def sector_of(pool: Pool, column: Column, offset: int) -> tuple[int, int]:
    """The sector around a place on a device: offset, length."""
    size = 1 << pool.tree.leaves[column.disk].top.ashift
    return offset // size * size, size


# ---- nothing where nothing is --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", HEALTHY)
def test_healthy_pools_are_clean(pools, kind: str) -> None:
    with import_pool(search=pools(kind).dir) as pool:
        report = pool.verify()
        assert report.clean and report.complete and not report.damaged and not report.errors_by_vdev
        assert bool(report.unchecked) == (kind == "degraded")
        assert report.blocks > 100 and report.bytes > 400_000
        assert not any(leaf.read_errors or leaf.checksum_errors for leaf in pool.tree.leaves)


# ---- what OpenZFS found --------------------------------------------------------------------------------------


def checksum_errors(status: str) -> dict[str, int]:
    """Leaf -> CKSUM of a status report."""
    rows = re.findall(r"^\s+ub/(\w+)\s+ONLINE\s+0\s+0\s+(\d+)$", status, re.MULTILINE)
    return {f"{name}.img": int(count) for name, count in rows if int(count)}


@pytest.mark.parametrize("kind", params(["damaged-mirror"]))
def test_a_mirror_against_its_other_side(pools, kind: str) -> None:
    """As many blocks as OpenZFS counted; each reported sector differs from the other side, and none was left out."""
    golden = pools(kind)
    with import_pool(search=golden.dir) as pool:
        report = pool.verify()
        blocks = [(columns(pool, bp, k), bp) for _, bp in every_block(pool) for k in addresses(bp)]
        sector = 1 << pool.tree.tops[0].ashift
        names = {leaf.guid: leaf.name for leaf in pool.tree.leaves}
    assert report.errors_by_vdev == checksum_errors(golden.manifest["after_scrub"]) == {"d0.img": 20}
    assert report.damaged_blocks == 20 and report.lost_blocks == 0
    bad, good = (image.read_bytes() for image in golden.images)
    differing = set()
    for found, bp in blocks:
        column = found[0]
        for at in range(column.offset, column.offset + int(blkptr.psize(bp)), sector):
            end = min(at + sector, column.offset + int(blkptr.psize(bp)))
            if bad[at:end] != good[at:end]:
                differing.add(at)
    assert all(names[guid] == "d0.img" for guid, _, _, _ in places(report))
    assert {at for _, start, size, _ in places(report) for at in range(start, start + size, sector)} == differing
    assert {kind for *_, kind in places(report)} == {"checksum"}


@pytest.mark.parametrize("kind", params(["damaged"]))
def test_a_raidz_against_what_its_other_disks_say(pools, kind: str) -> None:
    """Every sector of both damaged disks, compared with what follows from the four sound ones alone."""
    golden = pools(kind)
    hurt = {entry["disk"]: [tuple(span) for span in entry["ranges"]] for entry in golden.manifest["damage"]}
    sound = [image for number, image in enumerate(golden.images) if number not in hurt]
    wrong: dict[int, set[int]] = {}
    allocated: dict[int, list[tuple[int, int]]] = {}
    with import_pool(search=golden.dir) as pool, import_pool(search=sound) as reduced:
        report = pool.verify()
        blocks = every_block(pool)
        data = reduced.spa.zio.read(np.array([bp for _, bp in blocks]), stored=True)
        disks = {leaf.guid: leaf.device for leaf in pool.tree.leaves}
        for i, (_, bp) in enumerate(blocks):
            for k in addresses(bp):
                for column, right in contents(pool, bp, k, bytes(data.block(i))):
                    allocated.setdefault(column.guid, []).append((column.offset, column.stored))
                    found = disks[column.guid].read(column.offset, column.stored)
                    for at in range(0, column.stored, 512):
                        if found[at : at + 512] != right[at : at + 512]:
                            wrong.setdefault(column.guid, set()).add(column.offset + at)
        guids = {number: pool.tree.leaves[number].guid for number in hurt}
        assert [leaf.name for leaf in pool.tree.leaves] == [image.name for image in golden.images]
    reported: dict[int, set[int]] = {}
    for guid, start, size, _ in places(report):
        reported.setdefault(guid, set()).update(range(start, start + size, 512))
    assert reported == wrong and set(wrong) == set(guids.values())
    # Every range that was overwritten, still is, and touches a block is among them.
    hits = 0
    for number, spans in hurt.items():
        content = golden.images[number].read_bytes()
        for start, size in spans:
            uniform = content[start : start + size] == content[start : start + 1] * size
            for offset, stored in allocated[guids[number]]:
                low, high = max(offset, start), min(offset + stored, start + size)
                if uniform and content[start] and high - low >= 512:
                    hits += 1
                    assert any(at // 512 * 512 in wrong[guids[number]] for at in range(low, high, 512))
    assert hits > 20


@pytest.mark.parametrize("kind", params(["damaged"]))
def test_a_raidz_as_openzfs_counts(pools, kind: str) -> None:
    """OpenZFS counted on a pool it had imported: that rewrites some of the pool's own metadata first, and no data."""
    golden = pools(kind)
    with import_pool(search=golden.dir) as pool:
        report = pool.verify()
    counted = checksum_errors(golden.manifest["after_scrub"])
    assert set(counted) == set(report.errors_by_vdev) == {"d1.img", "d2.img"}
    for name, count in counted.items():
        everywhere = sum(1 for block in report.damaged for p in block.places if p.vdev == name)
        in_data = sum(1 for block in report.damaged if block.objset for p in block.places if p.vdev == name)
        assert in_data <= count <= everywhere == report.errors_by_vdev[name]
    repaired = re.search(r"repaired ([\d.]+)K", golden.manifest["after_scrub"])
    assert repaired is not None
    total = sum(p.length for block in report.damaged for p in block.places)
    assert sum(p.length for block in report.damaged if block.objset for p in block.places) <= float(repaired[1]) * 1024
    assert float(repaired[1]) * 1024 <= total


# ---- damage of our own making --------------------------------------------------------------------------------


class Spoiler:
    """An open pool on devices that can be spoiled, and what verify has to find."""

    def __init__(self, pool: Pool, disks, seed: str) -> None:
        self.pool = pool
        self.rng = random.Random(seed)
        self.disks = {leaf.guid: self._disk(leaf, disks) for leaf in pool.tree.leaves if leaf.device is not None}
        self.blocks = every_block(pool)
        self.rng.shuffle(self.blocks)
        self.used: set[int] = set()
        self.expected: set[Place] = set()
        self.homes: set[Home] = set()

    @staticmethod
    def _disk(leaf, disks):
        return next(disk for disk in disks if disk is leaf.device)

    def plain(self) -> Iterable[tuple[Home, object]]:
        """Blocks not spoiled so far; gangs, and the pool's own few blocks that everything hangs on, left out."""
        for number, (home, bp) in enumerate(self.blocks):
            if number not in self.used and home.objset and home.level >= 0 and not bool(blkptr.is_gang(bp)):
                self.used.add(number)
                yield home, bp

    def column(self, home: Home, column: Column, at: int, kind: str) -> None:
        """Spoil a byte of a column; that sector must be reported."""
        spoil(self.disks[column.guid], column.offset + at)
        start, size = sector_of(self.pool, column, column.offset + at)
        self.expected.add((column.guid, start, size, kind))
        self.homes.add(home)

    def check(self, *, lost: int = 0) -> VerifyReport:
        """Verify anew, with nothing remembered."""
        self.pool.spa.zio.cache.clear()
        report = self.pool.verify()
        assert places(report) == self.expected
        assert homes(report) == self.homes
        assert report.lost_blocks == lost and not report.unreadable
        return report


@pytest.fixture
def spoiler(pools, disks):
    opened = []

    def get(kind: str, seed: str) -> Spoiler:
        devices = disks(kind)
        pool = import_pool(search=devices, keys=pools(kind).manifest["keys"])
        opened.append(pool)
        return Spoiler(pool, devices, seed)

    yield get
    for pool in opened:
        pool.close()


PARITY = ["compat-old", "draid", "raidz-expansion", "raidz1", "raidz2", "raidz3", "stripes"]


@pytest.mark.parametrize("kind", params(PARITY))
def test_columns_of_every_sort(spoiler, kind: str) -> None:
    """A byte in a data column, in P, Q and R, each of another block: those sectors, and not one more."""
    work = spoiler(kind, f"{kind} columns")
    found = work.plain()
    wanted = [-1, -1, -1, *range(work.pool.tree.tops[0].nparity)]
    for parity in wanted * 3:
        for home, bp in found:
            choices = [c for c in columns(work.pool, bp, 0) if c.parity == parity and c.length]
            if choices:
                column = work.rng.choice(choices)
                at = work.rng.randrange(column.length)
                work.column(home, column, at, "checksum" if parity < 0 else "parity")
                break
    assert len(work.expected) == 3 * len(wanted)
    report = work.check()
    assert sum(report.errors_by_vdev.values()) == len(work.expected)


@pytest.mark.parametrize("kind", params(PARITY))
def test_as_much_of_a_block_as_parity_bears(spoiler, kind: str) -> None:
    """In one block as many bad columns as there is parity, parity among them: all are named, and none besides."""
    work = spoiler(kind, f"{kind} most")
    nparity = work.pool.tree.tops[0].nparity
    for _ in range(6):
        home, bp = next(iter(work.plain()))
        found = [column for column in columns(work.pool, bp, 0) if column.length]
        # Of an expanded raidz a block may have several rows; each bears that much by itself.
        for column in work.rng.sample(found[: 2 * nparity], nparity):
            at = work.rng.randrange(column.length)
            work.column(home, column, at, "checksum" if column.parity < 0 else "parity")
    work.check()


@pytest.mark.parametrize("kind", params(["draid"]))
def test_padding_of_draid(spoiler, kind: str) -> None:
    """Zeros that fill a draid's row take part in parity: a spoiled one is damage, alone or beside spoiled data."""
    work = spoiler(kind, "padding")
    done = 0
    for home, bp in work.plain():
        padded = [c for c in columns(work.pool, bp, 0) if c.parity < 0 and c.stored > c.length]
        data = [c for c in columns(work.pool, bp, 0) if c.parity < 0 and c.length]
        if not padded:
            continue
        column = work.rng.choice(padded)
        work.column(home, column, work.rng.randrange(column.length, column.stored), "padding")
        if done % 2:
            other = work.rng.choice(data)
            work.column(home, other, work.rng.randrange(other.length), "checksum")
        done += 1
        if done == 6:
            break
    assert done == 6
    work.check()


@pytest.mark.parametrize("kind", params(["version28", "checkpoint", "mirror"]))
def test_one_side_of_a_mirror(spoiler, kind: str) -> None:
    work = spoiler(kind, f"{kind} side")
    for _ in range(12):
        home, bp = next(iter(work.plain()))
        column = work.rng.choice(columns(work.pool, bp, 0))
        work.column(home, column, work.rng.randrange(int(blkptr.psize(bp))), "checksum")
    work.check()


@pytest.mark.parametrize("kind", params(["rewind", "encrypted", "single"]))
def test_one_of_several_copies(spoiler, kind: str) -> None:
    """On one disk metadata has two or three copies: a bad one is damage, and nothing is lost."""
    work = spoiler(kind, f"{kind} ditto")
    done = 0
    for home, bp in work.plain():
        if len(addresses(bp)) > 1:
            (column,) = columns(work.pool, bp, work.rng.choice(addresses(bp)))
            work.column(home, column, work.rng.randrange(int(blkptr.psize(bp))), "checksum")
            done += 1
            if done == 8:
                break
    assert done == 8
    work.check()


@pytest.mark.parametrize("kind", params(["encrypted", "single"]))
def test_a_spill_block(spoiler, kind: str) -> None:
    work = spoiler(kind, f"{kind} spill")
    home, bp = next((home, bp) for home, bp in work.plain() if home.blkid == -1)
    (column,) = columns(work.pool, bp, addresses(bp)[-1])
    work.column(home, column, 100, "checksum")
    (block,) = work.check().damaged
    assert (block.level, block.blkid) == (0, -1) and not block.lost and re.match(r"tank[^:]*:/.", block.path)


@pytest.mark.parametrize("kind", params(["ganging"]))
def test_gang_blocks(spoiler, kind: str) -> None:
    """A bad copy of a header and a bad copy of a piece; then all copies of a header, which loses the block."""
    work = spoiler(kind, "gang")
    zio = work.pool.spa.zio
    gangs = [(home, bp) for home, bp in work.blocks if bool(blkptr.is_gang(bp)) and home.objset and home.level == 0]
    copied = [(home, bp) for home, bp in gangs if len(addresses(bp)) > 1]
    home, bp = copied[0]
    (column,) = columns(work.pool, bp, addresses(bp)[0], gang.header(zio, bp).size)
    work.column(home, column, 40, "checksum")
    home, bp = next((home, bp) for home, bp in copied[1:] if len(addresses(gang.header(zio, bp).pointers[0])) > 1)
    child = gang.header(zio, bp).pointers[0]
    column = columns(work.pool, child, addresses(child)[-1])[0]
    work.column(home, column, 0, "checksum")
    work.check()
    # One whose path can be told, and of which nothing else is.
    free = [(home, bp) for home, bp in gangs if home not in work.homes]
    home, bp = next((home, bp) for home, bp in free if home.blkid >= 0 and home.object)
    size = gang.header(zio, bp).size
    assert size >= ondisk_gang.GANG_HEADER_SIZE
    for k in addresses(bp):
        (column,) = columns(work.pool, bp, k, size)
        work.column(home, column, 40, "checksum")
    report = work.check(lost=1)
    (block,) = (block for block in report.damaged if block.lost)
    assert block.path.startswith(home.dataset + ":")


@pytest.mark.parametrize("kind", params(["zil", "zil-slog"]))
def test_data_that_a_log_points_to(spoiler, kind: str) -> None:
    """Written in place and not replayed yet: on a mirror a bad side is damage, without one the record is lost."""
    work = spoiler(kind, f"{kind} data")
    parts = [part for part in log_parts(work.pool.spa, no_errors) if len(part.data)]
    assert parts
    for part in parts[:4]:
        found = columns(work.pool, part.data[0], 0)
        home = Home(part.name, part.objset, part.objects[0], LOG_LEVEL, 0)
        if len(found) > 1:
            work.column(home, work.rng.choice(found), 600, "checksum")
        else:
            spoil(work.disks[found[0].guid], found[0].offset + 600)
            work.expected.add((found[0].guid, found[0].offset, found[0].stored, "checksum"))
            work.homes.add(home)
    report = work.check(lost=0 if kind == "zil-slog" else len(parts[:4]))
    assert all(block.path.startswith(block.dataset + ":<") for block in report.damaged)


@pytest.mark.parametrize("kind", params(["zil"]))
def test_blocks_of_a_log_are_counted(pools, kind: str) -> None:
    with import_pool(search=pools(kind).dir) as pool:
        parts = list(log_parts(pool.spa, no_errors))
        data = sum(len(part.data) for part in parts)
        assert len(parts) > 80 and data > 20
        report = pool.verify()
        in_trees = sum(len(batch) for batch in references(pool.spa, no_errors) if batch.kind == Kind.TREE)
        assert report.clean and report.blocks == in_trees + len(parts) + data


def no_errors(what: str, error: PoolError) -> None:
    raise error


# ---- lost blocks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", params(["rewind", "version28", "raidz-expansion", "draid", "raidz1", "raidz2"]))
def test_lost_blocks_name_their_files(spoiler, kind: str) -> None:
    """More of a file's block than can be made up for is gone: the file is named, it cannot be read, all others can."""
    work = spoiler(kind, f"{kind} lost")
    pool = work.pool
    home, bp, path = next(
        (home, bp, path)
        for home, bp in work.plain()
        if home.level == 0 and home.object and home.blkid >= 0 and "@" not in home.dataset
        for path in [path_of(pool, home)]
        if path
    )
    for k in addresses(bp):
        found = columns(pool, bp, k)
        for column in found:
            spoil(work.disks[column.guid], column.offset, column.length)
    pool.spa.zio.cache.clear()
    report = pool.verify()
    assert homes(report) == {home} and report.lost_blocks == 1
    (block,) = report.damaged
    assert block.lost and block.path == f"{home.dataset}:{path}"
    everywhere = {(c.guid, c.offset) for k in addresses(bp) for c in columns(pool, bp, k)}
    assert {(p.guid, p.offset) for p in block.places} == everywhere
    vfs = pool.fs(home.dataset)
    with pytest.raises(ChecksumError, match=re.escape(path.rsplit("/", 1)[-1])):
        vfs.read_bytes(path)
    others = 0
    for folder, _, files in vfs.walk("/"):
        for name in files:
            other = f"{folder.rstrip('/')}/{name}"
            znode = vfs.znode(other)
            if other != path and znode.type == "file" and znode.size < 1 << 20 and znode.object != home.object:
                vfs.read_bytes(other)
                others += 1
    assert others


def path_of(pool: Pool, home: Home) -> str:
    """Path of a plain file an object is, or nothing."""
    dataset = pool.dataset(home.dataset)
    if dataset.type != "filesystem" or dataset.encrypted:
        return ""
    for path, znode in dataset.fs().tree("/"):
        if znode.object == home.object and znode.type == "file":
            return "/" + path
    return ""


@pytest.mark.parametrize("kind", params(["block-cloning", "dedup", "dedup-legacy"]))
def test_every_file_of_a_shared_block_is_named(spoiler, kind: str) -> None:
    """Clones and duplicates share blocks: what is lost is lost for all of them."""
    work = spoiler(kind, f"{kind} shared")
    pool = work.pool
    owners: dict[bytes, set[str]] = {}
    pointers = {}
    for dataset in pool.datasets(types=["filesystem"]):
        vfs = dataset.fs()
        for path, znode in vfs.tree("/"):
            if znode.type != "file" or not znode.size or znode.size > 1 << 24:
                continue
            bps = znode.dnode.bps(0, znode.dnode.maxblkid + 1)
            for bp in bps[~blkptr.is_hole(bps) & ~blkptr.is_embedded(bps)]:
                key = bp["dva"][0].tobytes()
                pointers[key] = bp
                owners.setdefault(key, set()).add(f"{dataset.name}:/{path}")
    key = max(owners, key=lambda one: len(owners[one]))
    assert len(owners[key]) > 1
    for k in addresses(pointers[key]):
        (column,) = columns(pool, pointers[key], k)
        spoil(work.disks[column.guid], column.offset, 8)
    pool.spa.zio.cache.clear()
    for threads in (1, 4):
        report = pool.verify(threads=threads)
        assert report.lost_blocks and all(block.lost for block in report.damaged)
        named = {path for block in report.damaged for path in (block.path, *block.also)}
        assert {path for path in named if "@" not in path} == owners[key]
        assert len(places(report)) == len(addresses(pointers[key]))
