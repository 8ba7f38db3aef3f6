"""What the pool remembers of initializing and trimming leaves."""

from __future__ import annotations

import time

import pytest
from uberblock.pool import import_pool
from uberblock.pool.dmu.zap import ZapEntry
from uberblock.pool.spa import leafwork
from uberblock.pool.spa.leafwork import ACTIVE, CANCELED, COMPLETE, NONE, SUSPENDED, LeafWork, leaf_work


def entry(name: str, value: int) -> ZapEntry:
    return ZapEntry(name.encode(), 8, (value,))


def test_leaves_that_were_never_touched(pools) -> None:
    with import_pool(search=pools("classes").dir) as pool:
        for leaf in pool.tree.leaves:
            for kind, work in leaf_work(pool.spa, leaf).items():
                assert (work.kind, work.state, work.offset) == (kind, NONE, 0) and work.size > 1 << 24
                assert work.text(always=False) == ""
                assert work.text(always=True) in ("(uninitialized)", "(untrimmed)")


def test_entries_of_the_leafs_zap(pools, monkeypatch: pytest.MonkeyPatch) -> None:
    with import_pool(search=pools("classes").dir) as pool:
        leaf = pool.tree.leaves[0]
        size = leaf_work(pool.spa, leaf)["trim"].size
        offset, state, when = leafwork.ENTRIES["initialize"]
        found = [entry(offset, size // 4), entry(state, ACTIVE), entry(when, 1), entry("path", 7)]

        def entries(mos, number, what):
            assert number == leaf.config[leafwork.LEAF_ZAP]
            return [(one.name.decode(), one) for one in found]

        monkeypatch.setattr(leafwork, "entries", entries)
        work = leaf_work(pool.spa, leaf)
        assert work["initialize"] == LeafWork("initialize", ACTIVE, size // 4, size, 1)
        assert work["initialize"].percent in (24, 25) and work["initialize"].state_text == "active"
        assert work["trim"].state == NONE


@pytest.mark.parametrize(
    ("state", "always", "expected"),
    [
        (ACTIVE, False, "(trimming)"),
        (ACTIVE, True, "(50% trimmed, started at {when})"),
        (SUSPENDED, False, ""),
        (SUSPENDED, True, "(50% trimmed, suspended, started at {when})"),
        (COMPLETE, True, "(100% trimmed, completed at {when})"),
        (CANCELED, True, "(untrimmed)"),
        (99, True, "(untrimmed)"),
    ],
)
def test_words(state: int, always: bool, expected: str) -> None:
    when = time.strftime("%c", time.localtime(1000))
    assert LeafWork("trim", state, 50, 100, 1000).text(always) == expected.format(when=when)


def test_numbers_that_no_calendar_has() -> None:
    assert "s)" in LeafWork("trim", ACTIVE, 1 << 63, 1, (1 << 64) - 1).text(always=True)
    assert LeafWork("trim", ACTIVE, 1 << 63, 1).percent == 100
    assert LeafWork("initialize", ACTIVE, 5, 0).percent == 0
