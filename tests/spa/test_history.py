"""The history of real pools."""

from __future__ import annotations

import subprocess

import pytest
from uberblock.pool import import_pool
from uberblock.pool.errors import CorruptError
from uberblock.pool.ondisk.nvlist import NVList
from uberblock.pool.spa.history import HistoryRecord, record_of


def test_history_of_every_pool(pools, every_kind: str) -> None:
    golden = pools(every_kind)
    with import_pool(search=golden.dir) as pool:
        records = pool.history()
        commands = [r for r in records if r.kind == "command"]
        assert commands[0].text.startswith("zpool create") and golden.manifest["pool"] in commands[0].text
        assert [r.time for r in records] == sorted(r.time for r in records)
        assert {r.kind for r in records} <= {"command", "internal", "ioctl"}
        assert all(str(r) for r in records) and len(pool.history_lines()) == len(records)


@pytest.mark.judge
def test_as_zdb_lists_it(pools, judge) -> None:
    golden = pools("mirror")
    command = [judge("zdb"), "-e", "-p", str(golden.dir), "-h", golden.manifest["pool"]]
    report = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    with import_pool(search=golden.dir) as pool:
        for record in pool.history():
            if record.kind == "command":
                assert record.text in report


def test_records_of_all_kinds() -> None:
    internal = {
        "internal_name": "snapshot",
        "history internal str": "x=1",
        "history txg": 7,
        "dsname": "a@b",
        "dsid": 5,
    }
    assert str(record_of(NVList(internal))).endswith("[txg:7] snapshot a@b (5) x=1")
    assert record_of(NVList({"ioctl": "destroy", "history who": 0})).who == 0
    assert record_of(NVList({})).kind == "unknown"
    with pytest.raises(CorruptError):
        record_of(NVList({"history command": 7}))


@pytest.mark.parametrize("seconds", [1 << 40, 1 << 56, (1 << 64) - 1])
def test_impossible_times(seconds: int) -> None:
    """A record from the year 2,283,417,093 ended ``zpool history`` in an OSError."""
    assert "zpool create" in str(HistoryRecord(time=seconds, kind="command", text="zpool create"))
