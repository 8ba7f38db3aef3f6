"""Long runs in short: pools of some layouts are changed, filled, crashed, imported, and judged; a flaw is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from uberblock.pool.alloc.allocator import Allocator
from uberblock.pool.lab.churn import CHURN_LAYOUTS, Churn, ChurnOptions, churn
from uberblock.pool.lab.judges import command_complaints, zdb_complaints
from uberblock.pool.poolcreate import open_pool
from uberblock.pool.zil.intentlog import IntentLog

SMALL = ChurnOptions(steps=240, every=120, content=300 << 10, files=60)


@pytest.mark.judge
@pytest.mark.parametrize(("layout", "ashift"), [("classes", 12), ("raidz2", 9)])
def test_nothing_is_wrong(judge, tmp_path: Path, layout: str, ashift: int) -> None:  # type: ignore[no-untyped-def]
    options = replace(SMALL, layout=layout, ashift=ashift, seed=5)
    run = Churn(options, tmp_path)
    report = run.run()
    assert report.wrong == [] and report.steps == SMALL.steps and report.judged == 2
    assert zdb_complaints(judge("zdb"), tmp_path, "churn") == []


def test_space_that_is_lost_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = Allocator.free

    def careless(self: Allocator, vdevs: Any, offsets: Any, asizes: Any, *, txg: int) -> None:
        keep = offsets % 16384 != 0
        free(self, vdevs[keep], offsets[keep], asizes[keep], txg=txg)

    monkeypatch.setattr(Allocator, "free", careless)
    report = churn(SMALL, tmp_path)
    assert any("leaked" in line for line in report.wrong)


def test_content_that_is_lost_is_found(tmp_path: Path) -> None:
    run = Churn(SMALL, tmp_path)
    run.sync()
    run.models["churn"].create("never made")
    run.pool.close()
    assert any("never made: missing" in line for line in run.judge())


@pytest.mark.parametrize("layout", ["raidz1", "log"])
def test_what_was_promised_is_there_after_a_crash(tmp_path: Path, layout: str) -> None:
    run = Churn(replace(SMALL, layout=layout, steps=150, every=15, seed=4), tmp_path)
    report = run.run()
    assert report.wrong == [] and report.replays >= 2 and report.promises >= 5


def test_a_promise_that_is_not_kept_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IntentLog, "commit", lambda self, *_: None)
    report = churn(replace(SMALL, steps=150, every=15, seed=4), tmp_path)
    assert report.replays >= 1 and any("missing" in line or "data" in line for line in report.wrong)


def test_a_full_pool_is_drained(tmp_path: Path) -> None:
    """What fills the pool is refused in the end; removing is not, and what was removed can be written again."""
    options = ChurnOptions(steps=10_000, content=4 << 20, files=400)
    run = Churn(options, tmp_path)
    run._turn("growing", 1000)
    while run._phase != "shrinking":
        run._one()
    assert run.report.fills == 1 and run.report.refusals >= 5
    while run._phase == "shrinking":
        run._one()
    run.sync()
    data = run.rng.randbytes(1 << 20)
    run.pool.fs().write_bytes("/again", data)
    run.models["churn"].create("again")
    run.models["churn"].write("again", 0, data)
    run.pool.close()
    assert run.judge() == []
    open_pool("churn", [str(path) for path in run.images], txg_seconds=0).close()


def test_judges(tmp_path: Path) -> None:
    assert command_complaints("true", tmp_path, "x") == []
    assert command_complaints("false", tmp_path, "x") == ["false: status 1: "]
    assert "d0" not in CHURN_LAYOUTS
