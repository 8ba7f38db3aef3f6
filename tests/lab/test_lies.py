"""Layers that lie: what they cost is counted, what is read is never wrong, and a broken engine is found out."""

from __future__ import annotations

from functools import cache

import pytest
from uberblock.pool import import_pool
from uberblock.pool.errors import UsageError
from uberblock.pool.lab import lies
from uberblock.pool.lab.crash import CrashState, Survivor, parse
from uberblock.pool.lab.journal import Kind
from uberblock.pool.lab.layers import LAYERS, READY, record_layer
from uberblock.pool.lab.lies import Liar, Tally, compare, look, tally
from uberblock.pool.lab.readable import readable_differences
from uberblock.pool.lab.workload import Run, RunOptions
from uberblock.pool.ondisk import label
from uberblock.pool.spa.importer import _Import
from uberblock.pool.vdev import labels

OPTIONS = RunOptions(layout="mirror", seed=1, txgs=8, steps=3)


@cache
def made(name: str, layout: str = "mirror", behind: int = 6) -> Run:
    return record_layer(RunOptions(layout=layout, seed=1, txgs=8, steps=3), LAYERS[name], behind)


@cache
def tallied(name: str) -> Tally:
    return tally(made(name), LAYERS[name], 16)


def test_every_layer_gets_the_same_writes() -> None:
    writes = {
        name: [(one.disk, one.offset, one.data) for one in made(name).journal.events if one.kind == Kind.WRITE]
        for name in LAYERS
    }
    assert all(one == writes["writeback"] for one in writes.values())
    cuts = [[sum(one.kind == Kind.WRITE for one in made(name).journal.events[: state.cut])
             for state in Liar(made(name)).choose(30, 3)] for name in LAYERS]  # fmt: skip
    assert all(one == cuts[0] for one in cuts), "the power fails at different moments"


@pytest.mark.parametrize("name", ["writeback", "none", "writethrough", "directsync"])
def test_honest_layers_lose_nothing(name: str) -> None:
    found = tally(made(name), LAYERS[name], 4)
    assert not found.broken and not found.losing and found.ways["plain"] == 4 and not found.ignored


@pytest.mark.parametrize("name", ["unsafe", "ignored"])
def test_liars_cost_txgs_and_never_a_byte(name: str) -> None:
    found = tallied(name)
    assert not found.broken, [str(one) for one in found.faults]
    assert found.losing > 3 and found.silent and found.ways["plain"] < 16 and found.ignored and not found.flushes
    assert max(found.back) > 1 and sum(found.back.values()) == sum(found.fell.values())


def test_an_honest_disk_in_a_mirror_keeps_everything() -> None:
    found = tally(made("ignored-one"), LAYERS["ignored-one"], 6)
    assert not found.broken and not found.losing and found.mended


def test_a_cache_that_is_emptied_bounds_the_loss() -> None:
    liar = Liar(made("ignored", behind=1))
    ends = [number for number, mark in liar.run.journal.marks() if number > liar.start and mark.text != READY]
    for end in ends[3:6]:
        found = liar.outcome(parse(f"@{end + 1} none"))
        assert found.opened == "plain" and 1 <= found.back <= 2, str(found)


def test_a_disk_that_lies_beside_none() -> None:
    with pytest.raises(UsageError, match="more than one disk"):
        record_layer(RunOptions(layout="single"), LAYERS["ignored-one"])
    with pytest.raises(UsageError, match="no layer"):
        compare(OPTIONS, 1, ["paper"])


def test_canary_a_rewind_that_goes_too_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole txg that rewinding passes over is noticed."""
    attempt = _Import.attempt

    def picky(self, found, newest):  # type: ignore[no-untyped-def]
        if (self.options.rewind or self.options.extreme) and found.txg > 6:
            raise lies.PoolError("too young for me")
        return attempt(self, found, newest)

    case = next(one for one in tallied("ignored").named if one.opened in ("rewind", "extreme") and one.txg > 6)
    monkeypatch.setattr("uberblock.pool.spa.importer.REWINDABLE", (lies.PoolError,))
    monkeypatch.setattr(_Import, "attempt", picky)
    assert Liar(made("ignored")).outcome(case.state).missed


def test_canary_wrong_bytes_in_a_damaged_pool() -> None:
    """What can be read of a pool with lost blocks is compared: other content of the model would be told."""
    liar = Liar(record_layer(RunOptions(seed=1, txgs=4, steps=14), LAYERS["ignored"]))
    liar.states.move(len(liar.run.journal))
    last = liar.run.disks[0].size - label.END_SIZE
    blocks = [one for one in liar.states.pending if label.DATA_START <= one.event.offset < last]
    content = [Survivor(one.number) for one in blocks if one.event.length >= 8192]  # of files
    state = CrashState(liar.states.cut, "lose", tuple(content))
    first = look(liar.disks(state), liar.run.history)
    assert first.lost, "the state is to have lost blocks"
    assert not first.wrong and not first.whole
    with import_pool(None, liar.disks(state), threads=1) as pool:
        expected = liar.run.history.at(pool.txg)
        assert expected is not None
        other = {
            name: {path: {**facts, "data": b"?" * len(facts.get("data", b""))} for path, facts in tree.items()}
            for name, tree in expected.items()
        }
        assert not list(readable_differences(pool, expected))
        assert any("wrong bytes" in line for line in readable_differences(pool, other))


def test_canary_an_engine_that_acknowledges_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an honest layer a loss is a fault, and is told."""
    with monkeypatch.context() as patch:
        patch.setattr(labels, "flush", lambda leaves: [])
        run = record_layer(OPTIONS, LAYERS["writeback"])
    found = tally(run, LAYERS["writeback"], 12)
    assert found.broken and found.losing, "the laboratory is blind"


def test_labels_do_not_outlive_what_they_lead_to() -> None:
    """Only labels survive of all that is pending: whatever opens is whole or says what is lost."""
    liar = Liar(made("unsafe"))
    liar.states.move(len(liar.run.journal))
    size = liar.run.disks[0].size
    kept = [one.number for one in liar.states.pending
            if one.event.offset < label.DATA_START or one.event.offset >= size - label.END_SIZE]  # fmt: skip
    found = liar.outcome(parse(f"@{liar.states.cut} only {','.join(map(str, kept))}"))
    assert not found.wrong and not found.missed and found.opened != "plain", str(found)
