"""Pages of crash states: writes are called what they are, fates are the state's, and nothing breaks out."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser

import numpy as np
import pytest
from uberblock.pool import import_pool
from uberblock.pool.lab.checker import SYNCED
from uberblock.pool.lab.crash import CrashState, States, Survivor
from uberblock.pool.lab.journal import CHANGES, Journal, Kind
from uberblock.pool.lab.naming import label_place, names_of
from uberblock.pool.lab.page import Verdict, page
from uberblock.pool.lab.simdisk import SimDisk
from uberblock.pool.lab.syncrun import SyncOptions, record_sync
from uberblock.pool.lab.timeline import strip
from uberblock.pool.lab.workload import Run, RunOptions, record
from uberblock.pool.ondisk import blkptr, label, uberblock
from uberblock.pool.spa.references import references


@cache
def plain(layout: str = "single") -> Run:
    return record(RunOptions(layout=layout, seed=3, txgs=2, steps=8))


def test_places_of_labels() -> None:
    size = 64 << 20
    assert label_place(size, 5 << 20, 4096) is None
    ub = uberblock.Uberblock(5000, 77, 1, 1, bytes(128))
    for index in range(label.LABELS):
        at = label.offset(size, index)
        found = label_place(size, at + label.RING_OFFSET + 4096, 4096, uberblock.encode(ub).ljust(4096, b"\0"))
        assert found is not None and found.what == "uberblock" and "txg 77" in found.text and f"L{index}" in found.text
        other = label_place(size, at + label.RING_OFFSET, 4096, bytes(4096))
        assert other is not None and other.what == "label"
        config = label_place(size, at + label.CONFIG_OFFSET, label.CONFIG_SIZE)
        assert config is not None and config.text.endswith("configuration")
    boot = label_place(size, label.BOOT_AREA_OFFSET, 512)
    assert boot is not None and boot.what == "label"


def test_names_against_pointers_on_one_disk() -> None:
    """On a single disk an address is a place: what a tree points to has a name, what none points to is given up."""
    run = plain()
    names = names_of(run.journal)
    states = States(run.journal)
    referred: set[int] = set()  # places on the disk, of any acknowledged txg
    for number, mark in run.journal.marks():
        if mark.text != SYNCED:
            continue
        disks = states.disks(CrashState(number, "all"))
        for disk in disks:
            disk.readonly = True
        with import_pool(None, disks, threads=1) as pool:
            for batch in references(pool.spa, lambda what, error: pytest.fail(what)):
                bps = batch.bps[~blkptr.is_embedded(batch.bps)]
                used = blkptr.dva_asize(bps) > 0
                referred |= set((blkptr.dva_offset(bps)[used].astype(np.int64) + label.DATA_START).tolist())
    last = run.disks[0].size - label.END_SIZE
    kinds = {number: name.what for number, name in names.items()}
    for number, name in names.items():
        event = run.journal.events[number]
        if label.DATA_START <= event.offset < last and event.kind == Kind.WRITE and name.what == "given up":
            later = any(
                run.journal.events[other].offset == event.offset and other > number and kinds[other] != "given up"
                for other in names
            )
            assert later or event.offset not in referred, f"event {number} at {event.offset:#x}"
    assert {"data", "metadata", "label", "uberblock", "given up"} == set(kinds.values())


def test_content_of_a_file_is_called_data() -> None:
    """The bytes that a file was given are found in writes called data, and in no others."""
    journal = Journal()
    from uberblock.pool.env import Env
    from uberblock.pool.poolcreate import create_pool

    disk = SimDisk(64 << 20, "d0", journal)
    pool = create_pool("lab", [disk], env=Env.fixed(1), txg_seconds=0)
    pool.set("lab", "compression", "off")
    journal.mark(SYNCED, txg=pool.sync())
    secret = bytes(range(256)) * 64
    pool.fs("lab").write_bytes("/a", secret)
    journal.mark(SYNCED, txg=pool.sync())
    pool.abandon()
    names = names_of(journal)
    holding = [number for number in names if secret[:4096] in journal.events[number].data]
    assert holding and all(names[number].what == "data" for number in holding)
    assert sum(name.what == "data" for name in names.values()) == len(holding)


def test_copies_and_parity_have_names_too() -> None:
    """A raidz write of a block is named on every disk it touches."""
    run = plain("raidz1")
    names = names_of(run.journal)
    disks = {run.journal.events[number].disk for number, name in names.items() if name.what == "metadata"}
    assert disks == {0, 1, 2}


def test_log_blocks() -> None:
    run = record_sync(SyncOptions(layout="log", seed=1, txgs=2, steps=6))
    names = names_of(run.journal)
    logs = [number for number, name in names.items() if name.what == "log"]
    assert logs and {run.journal.events[number].disk for number in logs} == {1}  # the log device
    assert all(name.what in ("log", "label", "uberblock") for number, name in names.items()
               if run.journal.events[number].disk == 1)  # fmt: skip


def test_a_tree_that_cannot_be_read_is_not_guessed() -> None:
    """Nothing is called given up where it cannot be known."""
    run = plain()
    journal = Journal()
    journal.disks = run.journal.disks
    broken = next(number for number, name in names_of(run.journal).items() if "mos, object" in name.text)
    for number, event in enumerate(run.journal.events):
        data = bytes(len(event.data)) if number >= broken and event.offset >= label.DATA_START else event.data
        journal.add(type(event)(event.kind, event.disk, event.offset, event.length, data, event.begin, event.text,
                                event.facts))  # fmt: skip
    found = names_of(journal)
    assert not any(name.what == "given up" for number, name in found.items() if number > broken)
    assert any(name.text.startswith("not known") for name in found.values())


def test_fates_are_those_of_the_state() -> None:
    run = plain("mirror")
    states = States(run.journal)
    ends = [number for number, event in enumerate(run.journal.events) if event.kind == Kind.FLUSH_END]
    cut = next(end for end in ends[len(ends) // 2 :] if states.move(end) or len(states.pending) > 5)
    pending = [one.number for one in states.pending]
    large = next(one.number for one in states.pending if one.event.length >= 1024)
    lost = next(number for number in pending if number != large)
    kept = tuple(Survivor(number, 1 if number == large else -1) for number in pending if number != lost)
    found = strip(states, CrashState(cut, "only", kept))
    fates = {one.number: one.fate for one in found.writes}
    assert {number for number, fate in fates.items() if fate == "kept"} == set(pending) - {large, lost}
    assert fates[large] == "torn" and fates[lost] == "lost"
    assert all((fate == "after") == (number >= cut) for number, fate in fates.items())
    assert set(fates) == {
        number for number in range(found.start, found.end) if run.journal.events[number].kind in CHANGES
    }


class Outline(HTMLParser):
    """Counts what opens and closes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "input", "br", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "rect":
            assert self.open.pop() == tag


def test_the_page_is_whole_and_escaped() -> None:
    run = plain("mirror")
    states = States(run.journal)
    ends = [number for number, event in enumerate(run.journal.events) if event.kind == Kind.FLUSH_END]
    nasty = '<script>alert("x")</script>&'
    text = page(states, CrashState(ends[-3], "random", seed=4), nasty, [nasty], Verdict("bad", [nasty, nasty], 3))
    outline = Outline()
    outline.feed(text)
    assert not outline.open and nasty not in text and text.count("alert(&quot;x&quot;)") >= 4
    assert sum(tag == "script" for tag, _ in outline.seen) == 1
    # Nothing comes from anywhere else.
    assert not re.search(r"(src|href)=|https?:|url\(|@import", text)
    lanes = [attrs for tag, attrs in outline.seen if tag == "svg" and attrs.get("class") == "lane"]
    assert len(lanes) == 2


def test_acknowledged_txgs_that_are_gone_are_shown_so() -> None:
    run = plain("mirror")
    states = States(run.journal)
    last = [(number, mark.facts["txg"]) for number, mark in run.journal.marks() if mark.text == SYNCED][-2]
    state = CrashState(last[0] + 1, "all")
    gone = f"txg {last[1]} acknowledged, and gone"
    assert gone in page(states, state, "t", [], Verdict("loss", ["x"], last[1] - 1))
    assert gone not in page(states, state, "t", [], Verdict("good", ["x"], last[1]))
