"""The write hole, counted: RAID-5 and RAID-6 have it, mirrors and raidz have not, and each case can be seen again."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from uberblock.pool.errors import UsageError
from uberblock.pool.lab.crash import CrashState
from uberblock.pool.lab.holecase import save_case, story
from uberblock.pool.lab.holepage import hole_page
from uberblock.pool.lab.raid import Geometry, RaidDevice
from uberblock.pool.lab.save import read_image
from uberblock.pool.lab.simdisk import SimDisk
from uberblock.pool.lab.writehole import (
    RECORD,
    SHAPES,
    VOLUME,
    WRITE,
    Case,
    Hole,
    HoleOptions,
    Promise,
    compare,
    content,
    parse_case,
    record,
)  # fmt: skip

SMALL = HoleOptions(records=24, rounds=4, writes=3)


@pytest.fixture(scope="module")
def raid5() -> Hole:
    return Hole(record(SHAPES["raid5"], SMALL))


@pytest.mark.parametrize("name", ["mirror", "raidz1", "raidz2"])
def test_pools_have_no_hole(name: str) -> None:
    (tally,) = compare(SMALL, 14, [name])
    losses = len(SHAPES[name].losses())
    assert tally.states == 14 and tally.cases == 14 * losses
    assert tally.outcomes == {"right": tally.cases} and tally.intact == {"right": 14}


def test_the_page_shows_rows_and_what_became_of_their_writes(raid5: Hole) -> None:
    tallies = [raid5.tally(30), *compare(SMALL, 5, ["raidz1"])]
    case = next(one for one in tallies[0].found if any(raid5.explorer(()).states.survivors(one.state)))
    text = hole_page(["<seed> 1"], tallies, [(case, raid5)], "uberblock lab writehole --case")
    assert "&lt;seed&gt; 1" in text and "<seed>" not in text and "http" not in text
    assert f"{tallies[0].outcomes['wrong']} of {tallies[0].cases + tallies[1].cases} cases end in silently" in text
    assert f"&quot;{case}&quot;" in text and text.count("<details") == 1
    place = Geometry(5, 4).row(case.records[0] * RECORD // Geometry(5, 4).width)
    assert f"d{place.parity[0]}, parity P" in text and f"d{place.data[0]}, data: records" in text
    assert text.count("<b>lost: computed from the others</b>") == len(case.records)
    assert 'class="kept">write ' in text


@pytest.mark.parametrize("name", ["raid5", "raid6"])
def test_raid_has_it(name: str) -> None:
    (tally,) = compare(SMALL, 60, [name])
    assert tally.intact == {"right": 60}, "with all disks there nothing is lost, which is why nobody notices"
    assert tally.outcomes["wrong"] > 20 and not tally.outcomes["error"]
    assert tally.bystanders > 20 and tally.wrong_states > 20
    assert len(tally.found) == tally.outcomes["wrong"]


def test_the_same_workload_on_all() -> None:
    writes = []
    for name in ("raid5", "mirror"):
        run = record(SHAPES[name], SMALL)
        writes.append([dict(mark.facts) for _, mark in run.journal.marks() if mark.text == WRITE])
    assert writes[0] == writes[1] and len(writes[0]) == SMALL.rounds * SMALL.writes


def test_what_was_promised() -> None:
    promise = Promise((1, 0), (3, 0))
    good = [content(0, version) + content(1, 0) for version in (1, 2, 3)]
    torn = content(0, 1)[:1024] + content(0, 3)[1024:] + content(1, 0)
    assert all(promise.broken(data) == [] for data in (*good, torn))
    assert promise.broken(content(0, 0) + content(1, 0)) == [0]
    assert promise.broken(content(0, 4) + content(1, 1)) == [0, 1]
    assert promise.broken(content(0, 1)[:-1] + b"?" + content(1, 0)) == [0]
    assert promise.broken(content(0, 1)[:600]) == [0, 1]


def test_a_case_is_seen_again_from_its_line(raid5: Hole, tmp_path: Path) -> None:
    case = next(one for one in raid5.tally(60).found if one.state.word != "random")
    again = parse_case(str(case))
    assert again == case
    hole = Hole(record(SHAPES["raid5"], SMALL))
    assert hole.outcome(again.state, again.lost) == ("wrong", list(case.records))
    lines = story(again, hole)
    assert any("nobody was writing it" in line for line in lines)
    assert any("bytes that were never written" in line for line in lines)
    paths = save_case(again, hole, tmp_path)
    assert {path.suffix for path in paths} == {".img", ".lost", ".txt", ""}
    # Whoever opens the images without the lost disk reads the same wrong bytes.
    disks = [SimDisk(read_image(tmp_path / f"d{n}.img")) if n not in case.lost else None for n in range(4)]
    read = RaidDevice(disks, Geometry(5, 4)).read(0, SMALL.records * RECORD)
    assert read == (tmp_path / "volume").read_bytes()
    assert hole.promise(case.state.cut).broken(read) == list(case.records)


def test_before_anything_is_written_all_is_as_it_was(raid5: Hole) -> None:
    start = CrashState(raid5.run.start, "all")
    for lost in ((), (0,), (3,)):
        assert raid5.outcome(start, lost) == ("right", [])


def test_looking_without_a_disk_does_not_look_at_it() -> None:
    """The lost disk's labels may be the newest: they must not count."""
    hole = Hole(record(SHAPES["mirror"], SMALL))
    for state in hole.states(12):
        for lost in ((0,), (1,)):
            left = [disk for n, disk in enumerate(hole.explorer(()).states.disks(state)) if n not in lost]
            found = hole.explorer(lost).found(state)
            noisy = [SimDisk(disk.content.fork(), disk.name) for disk in left]
            plain = hole.explorer(lost)._examine(noisy, lambda pool: None)
            assert (found.txg, found.content[VOLUME]) == (plain.txg, plain.content[VOLUME])


@pytest.mark.parametrize("line", ["", "raid5", "raid5 @3 all", "raid7 @3 all without 0", "raid5 @3 all without 9",
                                  "raid5 @3 all without 0,0", "raid5 @x all without 0"])  # fmt: skip
def test_lines_that_name_no_case(line: str) -> None:
    with pytest.raises(ValueError, match="names no case"):
        parse_case(line)


def test_lines_round_trip() -> None:
    rng = random.Random(1)
    for _ in range(20):
        case = Case("raid6", CrashState(rng.randrange(99), "random", seed=rng.randrange(99)), (rng.randrange(5),))
        assert parse_case(str(case)) == case
    assert parse_case("raid5 @3 all without none").lost == ()
    with pytest.raises(UsageError):
        compare(SMALL, 1, ["raid7"])
