"""Runs in which a disk is lost: every crash state is whole with the disk and without it, and engines that do not write
down what it missed are found out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from uberblock.pool.cli.lab import run as lab
from uberblock.pool.errors import UsageError
from uberblock.pool.lab.losing import LosingRecorder, explorer_of, record_losing
from uberblock.pool.lab.workload import RunOptions, choose
from uberblock.pool.spa.engine import Engine
from uberblock.pool.vdev.leaf import LeafVdev


@pytest.mark.parametrize(("layout", "seed"), [("mirror", 28), ("raidz1", 2), ("draid1", 2)])
def test_every_crash_state_is_whole(layout: str, seed: int) -> None:
    run, lost = record_losing(RunOptions(layout=layout, seed=seed, txgs=2, steps=5))
    faults = [line for line in run.steps if line.startswith(f"d{lost}: ")]
    assert any("whole" not in line for line in faults)
    for gone in (False, True):
        report = explorer_of(run, lost, gone=gone).run(choose(run, 150))
        print(layout, gone, faults, report)
        assert report.states == 150 and not report.wrong, f"{gone}: {report}"


def test_the_disk_lacks_something_in_the_end() -> None:
    """The runs do lose writes: a disk that was only ever whole would prove nothing."""
    recorder = LosingRecorder(RunOptions(layout="raidz1", seed=2, txgs=3))
    recorder.record()
    leaf = next(leaf for leaf in recorder.pool.tree.leaves if leaf.path.endswith(f"d{recorder.lost}"))
    assert leaf.dtl
    assert any(line.endswith("away") or "vanishes" in line for line in recorder.run.steps)


def test_a_layout_that_bears_nothing() -> None:
    with pytest.raises(UsageError, match="no disk"):
        LosingRecorder(RunOptions(layout="stripe"))


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["crash", "--layout", "mirror", "--seed", "28", "--txgs", "1", "--steps", "3", "--lose", "gone", "-q"]
    assert lab("lab", [*words, "--states", "40"]) == 0
    assert "0 violations" in capsys.readouterr().out
    assert lab("lab", [*words, "--state", "@400 all"]) == 0
    assert "is the one that is lost" in capsys.readouterr().out


def forget(patch: pytest.MonkeyPatch) -> None:
    """What a leaf missed is not noted."""
    patch.setattr(LeafVdev, "miss", lambda self, txg: None)


def too_late(patch: pytest.MonkeyPatch) -> None:
    """What the last flush of a txg lost is in the next one only."""
    patch.setattr(Engine, "_flush_tree", lambda self: self.writer.flush())


@pytest.mark.parametrize("breaking", [forget, too_late])
def test_canary(breaking: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        breaking(patch)
        run, lost = record_losing(RunOptions(layout="mirror", seed=28, txgs=2, steps=4))
    report = explorer_of(run, lost, gone=False).run(choose(run, 200), stop_after=1)
    assert report.wrong == 1, "the laboratory is blind"
    assert "damaged" in str(report.violations[0])
