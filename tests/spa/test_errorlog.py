"""The two forms of the error log, and hostile entries."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from uberblock.pool import import_pool
from uberblock.pool.dmu.zap import ZapEntry
from uberblock.pool.errors import CorruptError
from uberblock.pool.spa import errorlog
from uberblock.pool.spa.errorlog import DataError


class Zaps:
    """ZAPs by object number, in place of a MOS."""

    def __init__(self, zaps: dict[int, dict[str, int]]) -> None:
        self.zaps = zaps

    def entries(self, mos: object, number: int, what: str):
        for name, value in self.zaps[number].items():
            yield name, ZapEntry(name.encode(), 8, (value,))


def logged(monkeypatch: pytest.MonkeyPatch, zaps: dict[int, dict[str, int]], state: str) -> list[DataError]:
    monkeypatch.setattr(errorlog, "entries", Zaps(zaps).entries)
    directory = SimpleNamespace(number=lambda name, default: {"errlog_last": 1, "errlog_scrub": 2}[name])
    features = SimpleNamespace(state=lambda name: state)
    return errorlog.read_errors(SimpleNamespace(mos=None, directory=directory, features=features))


def test_old_form(monkeypatch) -> None:
    zaps = {1: {"15:2:0:1f": 0, "0:3:1:0": 0}, 2: {"15:2:0:1f": 0}}
    found = logged(monkeypatch, zaps, "enabled")
    assert found == [DataError(0, 3, 1, 0), DataError(0x15, 2, 0, 0x1F)]
    assert [str(e) for e in found] == ["<metadata>:<0x3>", "<0x15>:<0x2>"]


def test_new_form(monkeypatch) -> None:
    found = logged(monkeypatch, {1: {"32": 7}, 2: {}, 7: {"2:0:1f:9": 0}}, "active")
    assert found == [DataError(0x32, 2, 0, 0x1F, 9)]


@pytest.mark.parametrize("name", ["", "1:2:3", "1:2:3:4:5", "x:2:3:4", "::::"])
def test_entries_that_make_no_sense(monkeypatch, name: str) -> None:
    with pytest.raises(CorruptError):
        logged(monkeypatch, {1: {name: 0}, 2: {}}, "enabled")
    with pytest.raises(CorruptError):
        logged(monkeypatch, {1: {"32": 7}, 2: {}, 7: {name: 0}}, "active")


def test_pools_without_errors(pools) -> None:
    for kind in ("mirror", "version28"):
        with import_pool(search=pools(kind).dir) as pool:
            assert pool.errors() == []
