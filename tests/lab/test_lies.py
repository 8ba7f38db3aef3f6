"""Layers that lie: what they cost is counted, what is read is never wrong, and a broken engine is found out."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from uberblock.pool import import_pool
from uberblock.pool.errors import UsageError
from uberblock.pool.lab import lies
from uberblock.pool.lab.crash import CrashState, Survivor, parse
from uberblock.pool.lab.journal import Kind
from uberblock.pool.lab.layers import LAYERS, READY, record_layer
from uberblock.pool.lab.lies import Liar, Tally, compare, look, tally
from uberblock.pool.lab.promises import KEPT, Promises
from uberblock.pool.lab.readable import readable_differences
from uberblock.pool.lab.syncrun import SyncOptions
from uberblock.pool.lab.workload import Run, RunOptions
from uberblock.pool.ondisk import label
from uberblock.pool.spa.importer import _Import
from uberblock.pool.vdev import labels
from uberblock.pool.zil.intentlog import IntentLog
from uberblock.pool.zio.output import Output

OPTIONS = RunOptions(layout="mirror", seed=1, txgs=7, steps=3)


@cache  # each takes half a second
def made(name: str, layout: str = "mirror", behind: int = 6) -> Run:
    return record_layer(RunOptions(layout=layout, seed=1, txgs=7, steps=3), LAYERS[name], behind)


@cache
def tallied(name: str) -> Tally:
    return tally(made(name), LAYERS[name], 10)


def test_every_layer_gets_the_same_writes() -> None:
    writes = {
        name: [(one.disk, one.offset, one.data) for one in made(name).journal.events if one.kind == Kind.WRITE]
        for name in LAYERS
    }
    assert all(one == writes["writeback"] for one in writes.values())
    cuts = [[sum(one.kind == Kind.WRITE for one in made(name).journal.events[: state.cut])
             for state in Liar(made(name)).choose(30, 3)] for name in LAYERS]  # fmt: skip
    assert all(one == cuts[0] for one in cuts), "the power fails at different moments"


@pytest.mark.parametrize("name", ["none", "directsync"])
def test_honest_layers_lose_nothing(name: str) -> None:
    found = tally(made(name), LAYERS[name], 3)
    assert not found.broken and not found.losing and found.ways["plain"] == 3 and not found.ignored


@pytest.mark.parametrize("name", ["unsafe", "ignored"])
def test_liars_cost_txgs_and_never_a_byte(name: str) -> None:
    found = tallied(name)
    assert not found.broken, [str(one) for one in found.faults]
    assert found.losing > 2 and found.silent and found.ways["plain"] < 10 and found.ignored and not found.flushes
    assert max(found.back) > 1 and sum(found.back.values()) == sum(found.fell.values())


def test_an_honest_disk_in_a_mirror_keeps_everything() -> None:
    found = tally(made("ignored-one"), LAYERS["ignored-one"], 4)
    assert not found.broken and not found.losing and found.mended


def test_a_cache_that_is_emptied_bounds_the_loss() -> None:
    liar = Liar(made("ignored", behind=1))
    ends = [number for number, mark in liar.run.journal.marks() if number > liar.start and mark.text != READY]
    for end in ends[3:5]:
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
    case = next(one for one in tallied("ignored").named if one.opened in ("rewind", "extreme"))

    def picky(self, found, newest):  # type: ignore[no-untyped-def]
        if (self.options.rewind or self.options.extreme) and found.txg >= case.txg:
            raise lies.PoolError("too young for me")
        return attempt(self, found, newest)

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
    found = tally(run, LAYERS["writeback"], 8)
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


def test_requests_are_kept_by_honest_layers_only() -> None:
    options = SyncOptions(layout="single", seed=1, txgs=2, steps=4)
    for name, count in (("writeback", 3), ("ignored", 6)):
        found = tally(record_layer(options, LAYERS[name]), LAYERS[name], count)
        assert not found.broken, [str(one) for one in found.faults]
        assert bool(found.requests) == (name == "ignored")


def test_a_lost_log_is_counted_by_requests() -> None:
    """The log of the open txg is on a device of its own: without what was written there all its requests are gone."""
    run = record_layer(SyncOptions(layout="log", seed=1, txgs=3, steps=6), LAYERS["ignored"])
    liar = Liar(run)
    history = run.history
    assert isinstance(history, Promises)
    cut = max(number for number, mark in run.journal.marks() if mark.text == KEPT) + 1
    liar.states.move(cut)
    last = run.disks[1].size - label.END_SIZE
    mine = [one for one in liar.states.pending if one.event.disk == 1]
    log = [one.number for one in mine if label.DATA_START <= one.event.offset < last]
    kept = {mark.facts["number"] for _, mark in run.journal.marks(cut) if mark.text == KEPT}
    txg = liar.outcome(CrashState(cut, "all")).txg
    owed = sum(one.txg > txg and one.number in kept for one in history.kept)
    assert owed and not liar.outcome(CrashState(cut, "all")).replayed.gone
    found = liar.outcome(CrashState(cut, "lose", tuple(map(Survivor, log))))
    assert found.opened == "plain" and not found.back and not found.wrong and found.replayed.gone > 0, str(found)
    assert found.replayed.gone <= owed


def test_canary_a_commit_that_does_not_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an honest layer a request that is gone is a fault."""
    store = IntentLog._store

    def lazy(self: IntentLog, ready: Any) -> bool:
        with monkeypatch.context() as patch:
            patch.setattr(self.dataset.objset.writer, "flush", lambda tops=None: None)
            patch.setattr(Output, "write_durable", Output.write_plain)
            return store(self, ready)

    with monkeypatch.context() as patch:
        patch.setattr(IntentLog, "_store", lazy)
        run = record_layer(SyncOptions(layout="single", seed=1, txgs=2, steps=5), LAYERS["writeback"])
    liar, found = Liar(run), Tally(LAYERS["writeback"])
    ends = [number for number, mark in run.journal.marks() if mark.text == KEPT and number > liar.start]
    for end in ends[:3]:
        found.add(liar.outcome(CrashState(end + 1, "none")))
    assert found.broken and found.requests, "the laboratory is blind"
