"""What bench.parity measures: the right work, and all kinds of it."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from uberblock.kernels import raidz

from bench import gf256, parity, peers_isal, peers_ours, table, turns
from bench.native import find_compiler
from bench.stripes import Stripes, Task, every_loss, losses

from . import gf256_model as model


def test_losses_are_all_kinds_once() -> None:
    kinds = list(losses(8, 3))
    assert len(set(kinds)) == len(kinds)
    whole = {
        (tuple(c for c in t.targets if c < 3), sum(c >= 3 for c in t.targets)) for t in kinds if not t.unusable
    }
    parities = [s for k in range(4) for s in combinations(range(3), k)]
    assert whole == {(s, d) for s in parities for d in range(4 - len(s)) if s or d}
    used = {"".join("PQR"[c] for c in t.sources if c < 3) for t in kinds if all(c >= 3 for c in t.targets)}
    assert used == {"P", "Q", "R", "PQ", "PR", "QR", "PQR"}


def test_every_loss() -> None:
    assert sum(1 for _ in every_loss(8, 3)) == 11 + 55 + 165


@pytest.mark.parametrize("task", [*losses(5, 3), *losses(4, 2), *losses(3, 1)], ids=lambda t: t.title)
def test_sources_suffice(task: Task) -> None:
    """The matrix for peers rebuilds what the plain model has made."""
    rng = np.random.default_rng(1)
    data = [rng.integers(0, 256, 16, np.uint8) for _ in range(task.ndata)]
    columns = [*model.parity(data, task.nparity), *data]
    rows = gf256.rebuilding(task.ndata, task.nparity, task.sources, task.targets)
    assert not set(task.sources) & set(task.missing)
    for row, target in zip(rows, task.targets, strict=True):
        made = [0] * 16
        for weight, source in zip(row, task.sources, strict=True):
            made = [a ^ gf256.multiply(weight, int(b)) for a, b in zip(made, columns[source], strict=True)]
        assert bytes(made) == columns[target].tobytes()


def test_dependent_rows() -> None:
    with pytest.raises(ValueError, match="not independent"):
        gf256.inverse([[1, 2], [2, 4]])


@pytest.mark.skipif(find_compiler() is None, reason="the benchmarks need a C compiler")
@pytest.mark.parametrize("task", [Task(8, 2), Task(8, 3, (0, 4)), Task(8, 3, (5,), (0,))], ids=lambda t: t.title)
def test_contenders_are_checked(task: Task) -> None:
    """Ours, and ISA-L if it is here, give raidz's bytes; somebody who does not is found out."""
    memory = np.zeros(task.width * 4096 + 4096, np.uint8)
    memory = memory[-memory.ctypes.data % 4096 :][: task.width * 4096]
    memory[:] = np.random.default_rng(2).integers(0, 256, memory.size, np.uint8)

    class Idle:
        label = "does nothing"

        def run(self, task: Task, stripes: Stripes) -> turns.Run | None:
            return turns.python(lambda _: None, 1)

    for peer in [peers_ours.Ours(raidz.implementation()), *peers_isal.peers([])]:
        if peer.run(task, Stripes(memory, task.width, 4096, 1)) is not None:
            assert parity.is_right(peer, task, memory), peer.label
    assert not parity.is_right(Idle(), task, memory)


def test_turns_go_round() -> None:
    """A slice begins where the one before it stopped."""
    seen: list[int] = []
    people = [turns.Contender(name, turns.python(seen.append, 5)) for name in "ab"]
    turns.measure(people, 3, slice_ns=1)
    assert seen == [0, 1, 2, 3, 4, 0]
    assert all(len(p.times) == 3 for p in people)


def test_ratios() -> None:
    figures = {"us": 6.0, "a": 3.0, "b": 4.0}
    cells = [table.Cell("r", "c", who, who == "us", best, best / 2, 10.0) for who, best in figures.items()]
    assert table.ratio(cells) == 1.5
    assert "1.50" in table.ratios(cells)
    assert "(60 %)" in table.ratios(cells)
    assert table.ratio(cells[1:]) is None
    assert table.geometric_mean([1.0, 4.0]) == pytest.approx(2.0)


def test_results_are_kept(tmp_path: Path) -> None:
    cells = [table.Cell("r", "c", "us", True, 1.0, 2.0)]
    table.save(tmp_path / "x.json", cells, {"processor": "p"}, {"n": 1})
    assert table.read(tmp_path / "x.json") == (cells, {"processor": "p"}, {"n": 1})
