"""Pools that lack devices, or lose some while they are written: they go on, and what each leaf missed is in its DTL."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest
from uberblock.pool import Pool, import_pool
from uberblock.pool.env import Env
from uberblock.pool.errors import MissingDeviceError, PoolError, UsageError
from uberblock.pool.lab.faults import FailingFlush, Fault, FaultyDevice, Vanished, WriteError
from uberblock.pool.lab.layouts import make_disks
from uberblock.pool.lab.simdisk import SimDisk
from uberblock.pool.ondisk import label
from uberblock.pool.ondisk.dmutypes import ObjectType
from uberblock.pool.ondisk.features import BY_NAME
from uberblock.pool.ondisk.nvlist import NVList
from uberblock.pool.ondisk.spacemap import FULL_HEADER_SIZE
from uberblock.pool.poolcreate import create_pool, open_pool
from uberblock.pool.poolwrite import WritablePool
from uberblock.pool.spa.blocks import BlockCheck
from uberblock.pool.spa.verify import verify
from uberblock.pool.vdev.leaf import LeafVdev

#: Layout -> disks that may be lost together.
BEARABLE = {
    "mirror": [0],
    "raidz1": [2],
    "raidz2": [0, 3],
    "raidz3": [1, 2, 4],
    "draid1": [1],
    "mirror . . special mirror . . log mirror . .": [1, 3, 4],
}


class Trial:
    """A pool on simulated disks, with files whose content is known."""

    def __init__(self, layout: str, seed: int = 1) -> None:
        self.rng = random.Random(seed)
        self.env = Env.fixed(seed)
        self.disks, words = make_disks(layout, None)
        self.files: dict[str, bytes] = {}
        with create_pool("lab", words, env=self.env, txg_seconds=0) as pool:
            self.change(pool)

    def open(self, lost: Iterable[int] = (), faults: dict[int, list[Fault]] | None = None) -> WritablePool:
        found = [number for number in range(len(self.disks)) if number not in lost]
        wrapped = [FaultyDevice(self.disks[n], (faults or {}).get(n, [])) for n in found]
        return open_pool("lab", wrapped, env=self.env, txg_seconds=0)

    def change(self, pool: WritablePool, count: int = 4) -> int:
        """Write some files, overwrite some and remove one; gives the txg."""
        for _ in range(count):
            name, data = f"f{self.rng.randrange(12)}", self.rng.randbytes(self.rng.choice((100, 20000, 300_000)))
            pool.fs().write_bytes(name, data)
            self.files[name] = data
        name = self.rng.choice(sorted(self.files))
        pool.fs().unlink(name)
        del self.files[name]
        return pool.sync()

    def reader(self, lost: Iterable[int] = ()) -> Pool:
        disks = [SimDisk(d.content.fork(), d.name, readonly=True) for n, d in enumerate(self.disks) if n not in lost]
        return import_pool("lab", disks)

    def check(self, lost: Iterable[int] = ()) -> None:
        """All content is right, no block is damaged, no space is lost."""
        with self.reader(lost) as pool:
            fs = pool.fs("lab")
            assert {name: fs.read_bytes(name) for name in fs.listdir("/")} == self.files
            report = verify(pool.spa, threads=1)
            assert not report.damaged_blocks and not report.unreadable
            assert BlockCheck(pool.spa, threads=1).run().balanced


def leaf_of(pool: Pool, disk: SimDisk) -> LeafVdev:
    """A disk's leaf, which may be without it."""
    for leaf in pool.tree.leaves:
        if leaf.path.rpartition("/")[2] == disk.name:
            return leaf
    raise AssertionError(disk.name)


def said_of(trial: Trial, disk: SimDisk) -> list[NVList]:
    """What the labels of other disks say of one."""
    found = []
    for other in trial.disks:
        at = label.offset(other.size, 0)
        config = label.decode(other.content.read(at, label.LABEL_SIZE), at, 0).config
        assert config is not None
        inside = leaves_in(config.nvlist("vdev_tree"))
        found += [inside[disk.name]] if other is not disk and disk.name in inside else []
    return found


def leaves_in(config: NVList) -> dict[str, NVList]:
    """The leaves of a configuration by the name of their disk."""
    below = config.nvlists("children")
    if not below:
        return {config.string("path").rpartition("/")[2]: config}
    return {name: leaf for child in below for name, leaf in leaves_in(child).items()}


@pytest.mark.parametrize("layout", list(BEARABLE))
def test_a_pool_that_lacks_devices_is_written(layout: str) -> None:
    lost = BEARABLE[layout]
    trial = Trial(layout)
    pool = trial.open(lost)
    assert pool.health == "DEGRADED"
    first = pool.engine.tx.txg
    for _ in range(3):
        trial.change(pool)
    pool.close()
    last = pool.txg
    kept = {disk.name for number, disk in enumerate(trial.disks) if number not in lost}
    for number in lost:
        said = said_of(trial, trial.disks[number])
        assert any(one.get("not_present") == 1 for one in said)
    trial.check(lost)
    trial.check()  # the stale disks are back: they are not trusted
    with trial.reader() as reader:
        for number in lost:
            leaf = leaf_of(reader, trial.disks[number])
            if leaf.top.is_log:
                continue
            ranges = leaf.dtl.ranges()
            assert first == ranges[0][0] and last <= ranges[-1][1] <= last + 1
            assert leaf.state_text == "ONLINE"
        assert not any(leaf.dtl for leaf in reader.tree.leaves if leaf.path.rpartition("/")[2] in kept)
        check_counted(reader)


def check_counted(pool: Pool) -> None:
    """Space maps and logs with histograms are counted, each once."""
    maps = [dnode for dnode in pool.spa.mos.objects() if dnode.type == ObjectType.SPACE_MAP]
    full = sum(len(dnode.bonus) >= FULL_HEADER_SIZE for dnode in maps)
    assert pool.spa.features.refcounts[BY_NAME["spacemap_histogram"].guid] == full > 1


def test_a_stale_disk_keeps_its_log_until_a_resilver() -> None:
    trial = Trial("mirror")
    with trial.open([1]) as pool:
        trial.change(pool)
    with trial.reader() as reader:
        before = leaf_of(reader, trial.disks[1]).dtl
    with trial.open() as pool:  # it is back, and gets what is written now
        leaf = leaf_of(pool, trial.disks[1])
        assert leaf.dtl == before and leaf.state_text == "ONLINE"
        last = trial.change(pool)
        assert leaf.dtl == before
    assert not any("not_present" in one for one in said_of(trial, trial.disks[1]))
    trial.check()
    with trial.reader() as reader:
        leaf = leaf_of(reader, trial.disks[1])
        assert leaf.dtl == before and last not in leaf.dtl
    with trial.open() as pool:  # as after a resilver: the log is empty, and its object goes
        leaf = leaf_of(pool, trial.disks[1])
        number = leaf.config.u64("DTL")
        leaf.set_dtl([], [])
        trial.change(pool)
        assert "DTL" not in leaf.config
    with trial.reader() as reader:
        assert number not in {dnode.number for dnode in reader.spa.mos.objects()}
        check_counted(reader)


FAULTS: dict[str, Callable[[], Fault]] = {
    "vanishes": lambda: Vanished(after=30),
    "does not write": lambda: WriteError(after=30),
    "does not flush": lambda: FailingFlush(after=3),
    "does not write once": lambda: WriteError(after=40, times=1),
    "does not flush once": lambda: FailingFlush(after=4, times=1),
}


@pytest.mark.parametrize(
    ("layout", "kind"),
    [*(("raidz1", kind) for kind in FAULTS), ("mirror", "does not flush"), ("draid1", "vanishes")],
)
def test_a_disk_that_fails_while_the_pool_is_written(layout: str, kind: str) -> None:
    trial = Trial(layout)
    broken = BEARABLE[layout][0]
    pool = trial.open(faults={broken: [FAULTS[kind]()]})
    leaf = leaf_of(pool, trial.disks[broken])
    for _ in range(4):
        trial.change(pool)
        with trial.reader() as reader:  # what a crash now would leave: the log of this txg is in this txg
            assert leaf_of(reader, trial.disks[broken]).dtl == leaf.dtl
    trial.check([broken])
    assert leaf.write_errors > 0 and leaf.dtl
    if kind.endswith("once"):
        assert leaf.state_text == "ONLINE" and len(leaf.dtl.ranges()) == 1
    else:
        assert leaf.state_text == ("REMOVED" if kind == "vanishes" else "FAULTED")
        assert pool.health == "DEGRADED" and pool.status().condition.name in ("device errors", "faulted device")
        assert any(leaf.path in note for note in pool.notes)
    pool.abandon()
    (said, *_) = said_of(trial, trial.disks[broken])
    assert said.get("removed", 0) == (kind == "vanishes")
    assert ("aux_state" in said) == (leaf.state_text == "FAULTED")
    trial.check()
    with trial.open() as pool:  # it is back
        assert pool.health == "ONLINE" and leaf_of(pool, trial.disks[broken]).dtl
        trial.change(pool)
        assert pool.health == "ONLINE"
    trial.check()


def test_more_failures_than_redundancy_bears_suspend_the_pool() -> None:
    trial = Trial("raidz1")
    with trial.open() as pool:
        trial.change(pool)
    with pytest.raises(MissingDeviceError):
        trial.open([0, 1])
    pool = trial.open([0], {1: [Vanished(after=25)]})
    kept = dict(trial.files)
    with pytest.raises(PoolError):
        for _ in range(20):
            trial.change(pool)
            kept = dict(trial.files)
    with pytest.raises(UsageError, match="suspended"):
        pool.sync()
    pool.abandon()
    trial.files = kept
    trial.check()
