"""Status reports against what OpenZFS shows for the same images, and for pools that are not well."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from uberblock.pool import import_pool
from uberblock.pool.spa import scanstate
from uberblock.pool.spa.errorlog import DataError
from uberblock.pool.spa.scanstate import ScanState, scan_line


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def facts(report: str) -> list[str]:
    """A report without its prose and without the places of devices."""
    lines, skipping = [], False
    for line in report.replace("/dev/ub/", "").replace(".img", "").rstrip().splitlines():
        if line.startswith(("status:", "action:", "   see:")):
            skipping = True
        elif not (skipping and line.startswith("\t")):
            skipping = False
            lines.append(" ".join(line.split()))
    return lines


def test_as_openzfs_shows_it(pools, every_kind: str) -> None:
    golden = pools(every_kind)
    expected = golden.manifest["status"]
    with import_pool(search=golden.dir) as pool:
        status = pool.status()
        assert facts(str(status)) == facts(expected)
        limited = golden.manifest["properties"]["compatibility"] != "off"
        assert (status.condition is not None) == ("\nstatus:" in expected), limited


def test_a_degraded_pool(pools) -> None:
    with import_pool(search=pools("mirror").images[0]) as pool:
        status = pool.status()
        assert status.state == "DEGRADED" and not status.healthy
        assert status.condition.see.endswith("ZFS-8000-2Q")
        rows = {row.name: row for row in status.rows}
        assert rows["d1"].note == "cannot open" and rows["d1"].state == "UNAVAIL"
        assert rows["mirror-0"].state == "DEGRADED" and rows["mirror-0"].depth == 1
        assert "see: https://" in str(status)


def test_classes_and_what_lies_beside_the_tree(pools) -> None:
    images = pools("classes").images
    with import_pool(search=images) as pool:
        sections = {row.section: [] for row in pool.status().rows}
        for row in pool.status().rows:
            sections[row.section].append((row.name, row.state))
        assert sections["special"][1] == ("mirror-2", "ONLINE")
        assert sections["logs"][1] == ("d2.img", "ONLINE")
        assert sections["cache"][1] == ("d3.img", "ONLINE")
        assert sections["spares"][1] == ("d6.img", "AVAIL")
    with import_pool(search=[*images[:3], *images[4:6]]) as pool:
        rows = {row.name: row for row in pool.status().rows}
        assert (rows["d3"].state, rows["d6"].state, rows["d6"].note) == ("UNAVAIL", "UNAVAIL", "cannot open")


def scan(func: int, state: int, flags: int = 0, **more: int) -> ScanState:
    fields = dict.fromkeys(ScanState.__slots__, 0) | {"func": func, "state": state, "flags": flags} | more
    return ScanState(**fields)


def test_scan_lines() -> None:
    assert scan_line(None) == "" and scan_line(scan(1, 0)) == ""
    done = scan(1, 2, start_time=100, end_time=100 + 90061, processed=1536, errors=2)
    assert scan_line(done) == "scrub repaired 1.50K in 1 days 01:01:01 with 2 errors on Fri Jan  2 01:02:41 1970"
    assert scan_line(scan(2, 2)).startswith("resilvered 0B in 00:00:00 with 0 errors on")
    assert scan_line(scan(2, 3)).startswith("resilver canceled on")
    running = scan_line(scan(1, 1, to_examine=1000, examined=250))
    assert running.startswith("scrub in progress since") and "25.00% done" in running
    assert "scrub paused since" in scan_line(scan(1, 1, scanstate.FLAG_PAUSED))


def test_rebuilds() -> None:
    done = scanstate.Rebuild("draid1-0", 3, 0, 61, 1 << 20, 1 << 20, 0)
    assert str(done) == "resilvered (draid1-0) 1M in 00:01:01 with 0 errors on Thu Jan  1 00:01:01 1970"
    assert "in progress" in str(scanstate.Rebuild("mirror-0", 1, 0, 0, 512, 1024, 0))
    assert "canceled" in str(scanstate.Rebuild("mirror-0", 2, 0, 0, 512, 1024, 0))


def test_names_of_damaged_files(pools, monkeypatch: pytest.MonkeyPatch) -> None:
    golden = pools("version28")
    with import_pool(search=golden.dir) as pool:
        name, tree = next((n, d["tree"]) for n, d in golden.manifest["datasets"].items() if len(d.get("tree", ())) > 3)
        path, entry = next((p, e) for p, e in tree.items() if "sha256" in e)
        status = pool.status()
        number = pool.dataset(name).dsl.obj
        errors = [
            DataError(number, entry["object"], 0, 0),
            DataError(number, entry["object"], 0, 1),
            DataError(0, 5, 0, 0),
        ]
        monkeypatch.setitem(status.__dict__, "errors", errors)
        assert status.error_paths() == [f"{name}:/{path}", "<metadata>:<0x5>"]
        assert status.condition.message == "ZFS-8000-72" and "3 data errors" in str(status)


def test_impossible_times_do_not_stop_a_report() -> None:
    assert scanstate.date((1 << 64) - 1)


def test_damaged_files_by_name(pools) -> None:
    """With ``files`` each damaged file is named once, whatever the number of its blocks; without, they are counted."""
    from uberblock.pool.spa.errorlog import DataError

    golden = pools("mirror")
    with import_pool(search=golden.dir) as pool:
        status = pool.status()
        home = pool.dataset("tank/home")
        path, entry = next((p, e) for p, e in golden.manifest["datasets"]["tank/home"]["tree"].items() if "sha256" in e)
        status.__dict__["errors"] = [DataError(home.dsl.obj, entry["object"], 0, block) for block in range(3)]
        assert status.lines()[-1] == "errors: 3 data errors, use '-v' for a list"
        assert status.lines(files=True)[-1].strip() == f"tank/home:/{path}"
        assert status.condition.message == "ZFS-8000-8A"


def test_counts_of_errors_are_short_unless_exact(pools) -> None:
    with import_pool(search=pools("mirror").dir) as pool:
        pool.tree.leaves[0].checksum_errors = 123456
        status = pool.status()
        assert any(line.endswith("121K") for line in status.lines())
        assert any(line.endswith("123456") for line in status.lines(exact=True))
        assert [row.name for row in status.rows if row.troubled] == ["d0.img"]
