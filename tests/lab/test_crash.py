"""Crash states: exactly the legal ones, each rebuilt from its line; and a toy commit protocol whose flaw is found."""

from __future__ import annotations

import itertools
import random
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uberblock.pool.lab.crash import CrashState, Plan, States, Survivor, enumerate_states, parse, sample, sectors_of
from uberblock.pool.lab.journal import CHANGES, Journal, Kind
from uberblock.pool.lab.pages import Pages
from uberblock.pool.lab.simdisk import SimDisk

SIZE = 16 << 10


def random_run(seed: int, disks: int = 2, steps: int = 30) -> Journal:
    """Writes, discards and flushes, some flushes with writes between their beginning and their end."""
    rng, journal = random.Random(seed), Journal()
    found = [SimDisk(Pages.of(rng.randbytes(SIZE)), f"d{n}", journal) for n in range(disks)]
    open_flushes: list[int] = []
    for _ in range(steps):
        disk = rng.choice(found)
        step = rng.random()
        if step < 0.7:
            offset = rng.randrange(SIZE - 3000)
            disk.write(offset, rng.randbytes(rng.randrange(1, 3000)))
        elif step < 0.75:
            disk.discard(rng.randrange(8) * 1024, 1024)
        elif step < 0.85:
            disk.flush()
        elif step < 0.93 or not open_flushes:
            open_flushes.append(journal.flush_begin(disk.number))
        else:
            journal.flush_end(open_flushes.pop(0))
    return journal


def guaranteed(journal: Journal, cut: int) -> set[int]:
    """By the definition: writes below the beginning of a flush of their disk that ended below the cut."""
    ends = [event for event in journal.events[:cut] if event.kind == Kind.FLUSH_END]
    return {
        number
        for number, event in enumerate(journal.events[:cut])
        if event.kind in CHANGES and any(end.disk == event.disk and number < end.begin for end in ends)
    }


@pytest.mark.parametrize("seed", range(6))
def test_states_are_exactly_the_legal_ones(seed: int) -> None:
    journal = random_run(seed)
    states = States(journal)
    for state in enumerate_states(journal, Plan(random_sets=3)):
        sure = guaranteed(journal, state.cut)
        kept = states.survivors(state)
        issued = {n for n, event in enumerate(journal.events[: state.cut]) if event.kind in CHANGES}
        assert {number for number, _ in kept} <= issued - sure
        assert len({number for number, _ in kept}) == len(kept)
        # Byte by byte: what is durable in order, then the survivors in theirs.
        model = [bytearray(disk.initial.read(0, SIZE)) for disk in journal.disks]
        for number, sectors in [*((n, -1) for n in sorted(sure)), *kept]:
            event = journal.events[number]
            data = event.data or bytes(event.length)
            for at in range(event.length):
                if sectors >> ((event.offset + at) // 512 - event.offset // 512) & 1:
                    model[event.disk][event.offset + at] = data[at]
        assert [pages.read(0, SIZE) for pages in states.build(state)] == [bytes(content) for content in model]


def test_every_state_is_rebuilt_from_its_line() -> None:
    journal = random_run(9, steps=40)
    forward, again = States(journal), States(journal)
    found = list(enumerate_states(journal))
    assert len(set(map(str, found))) == len(found) > 300
    assert [state.cut for state in found] == sorted(state.cut for state in found)
    contents = [forward.build(state) for state in found]
    for place in random.Random(1).sample(range(len(found)), 60):
        line = str(found[place])
        assert parse(line) == found[place]
        assert again.build(parse(line)) == contents[place]
        assert again.build(again.explicit(parse(line))) == contents[place]


survivor = st.builds(
    Survivor,
    st.integers(0, 10**6),
    st.one_of(st.just(-1), st.integers(0, 1 << 70), st.integers(1, 2000).map(lambda bits: -1 << bits)),
)
states_ = st.one_of(
    st.builds(CrashState, st.integers(0, 10**6), st.sampled_from(["all", "none"])),
    st.builds(CrashState, st.integers(0, 10**6), st.just("random"), seed=st.integers(0, 10**12)),
    st.builds(
        CrashState,
        st.integers(0, 10**6),
        st.sampled_from(["lose", "only", "tear"]),
        st.lists(survivor, max_size=5).map(tuple),
    ),
)


@given(states_)
def test_lines_round_trip(state: CrashState) -> None:
    assert parse(str(state)) == state


@pytest.mark.parametrize(
    "line",
    [
        "",
        "@5",
        "5 all",
        "@5 all 3",
        "@5 lose",
        "@x all",
        "@5 random",
        "@5 some 3",
        "@5 only 3:q1",
        "@5 only 3:h99999999999",
    ],
)
def test_nonsense_names_no_state(line: str) -> None:
    with pytest.raises(ValueError, match="names no crash state"):
        parse(line)


def test_states_that_do_not_fit_the_journal() -> None:
    journal = Journal()
    disk = SimDisk(8192, journal=journal)
    disk.write(0, b"a" * 1024)
    disk.flush()
    disk.write(1024, b"b" * 1024)
    states = States(journal)
    for line in ("@9 all", "@4 only 0", "@4 lose 2", "@4 tear 3:x4", "@-1 all"):
        with pytest.raises(ValueError):
            states.build(parse(line))
    assert states.build(parse("@4 tear 3:x2"))[0].read(1024, 1024) == bytes(512) + b"b" * 512
    assert states.build(parse("@4 only 3:t1"))[0].read(1024, 1024) == bytes(512) + b"b" * 512
    assert states.build(parse("@4 only 3:h1"))[0].read(1024, 1024) == b"b" * 512 + bytes(512)
    assert states.build(parse("@1 none"))[0].read(0, 1) == b"\0"


def test_a_small_epoch_is_exhaustive() -> None:
    journal = Journal()
    disk = SimDisk(8192, journal=journal)
    for at in range(3):
        disk.write(at * 512, b"xyz"[at : at + 1] * 512)
    disk.flush()
    found = {
        tuple(pages.read(at * 512, 1) for at in range(3))
        for pages in (States(journal).build(state)[0] for state in enumerate_states(journal))
    }
    assert found == set(itertools.product((b"x", b"\0"), (b"y", b"\0"), (b"z", b"\0")))


def test_torn_sectors_are_those_of_the_disk() -> None:
    journal = Journal()
    disk = SimDisk(16384, journal=journal, sector=4096)
    disk.write(2048, b"a" * 8192)
    assert sectors_of(journal, journal.events[0]) == 3
    (left,) = States(journal).build(parse("@1 only 0:x2"))
    assert left.read(0, 16384) == bytes(4096) + b"a" * 4096 + bytes(8192)


def test_sampling() -> None:
    found = list(enumerate_states(random_run(3)))
    some = sample(found, 20, seed=4)
    assert len(some) == 20 and some == sample(found, 20, seed=4) != sample(found, 20, seed=5)
    assert [found.index(one) for one in some] == sorted(found.index(one) for one in some)
    assert sample(found, 10**6, seed=1) == found


# --- a toy protocol: two areas, two headers; the one with the highest number and a right sum counts -------------------

HEAD = struct.Struct("<QII")
AREA = 8192


class Toy:
    """Keeps one value of 8 KiB: writes it to the area not in use, then its header to the slot not in use."""

    def __init__(self, disk: SimDisk, *, flush_before: bool = True, flush_after: bool = True) -> None:
        self.disk, self.number = disk, 0
        self.flush_before, self.flush_after = flush_before, flush_after

    def commit(self, value: bytes) -> None:
        self.number += 1
        area = self.number % 2
        self.disk.write(16384 + area * AREA, value)
        if self.flush_before:
            self.disk.flush()
        body = struct.pack("<QI", self.number, area)
        self.disk.write(area * 4096, body + struct.pack("<I", zlib.crc32(body)))
        if self.flush_after:
            self.disk.flush()


def value_of(number: int) -> bytes:
    return struct.pack("<Q", number) * (AREA // 8)


def load(disk: SimDisk) -> tuple[int, bytes]:
    best = (0, 1)
    for slot in range(2):
        number, area, crc = HEAD.unpack(disk.read(slot * 4096, HEAD.size))
        if number > best[0] and crc == zlib.crc32(struct.pack("<QI", number, area)):
            best = (number, area)
    return best[0], disk.read(16384 + best[1] * AREA, AREA)


def violations(**how: bool) -> list[str]:
    journal = Journal()
    toy = Toy(SimDisk(16384 + 2 * AREA, journal=journal), **how)
    for number in range(1, 6):
        toy.commit(value_of(number))
        journal.mark("committed", number=number)
    states, found = States(journal), []
    for state in enumerate_states(journal):
        number, value = load(states.disks(state)[0])
        sure = max([mark.facts["number"] for mark in states.acknowledged(state.cut)], default=0)
        whole = number == 0 or value == value_of(number)  # 0: nothing was ever committed
        if not whole or not sure <= number <= sure + 1:
            found.append(str(state))
    return found


def test_the_sound_protocol_survives_every_state() -> None:
    assert violations() == []


def test_canary_no_flush_before_the_header() -> None:
    found = violations(flush_before=False)
    assert found
    assert any("lose" in line or "only" in line for line in found)


def test_canary_no_flush_after_the_header() -> None:
    assert violations(flush_after=False)


def test_canary_no_flush_at_all() -> None:
    assert violations(flush_before=False, flush_after=False)


def test_a_crash_during_recovery_goes_on_from_the_state() -> None:
    journal = Journal()
    Toy(SimDisk(16384 + 2 * AREA, journal=journal)).commit(value_of(1))
    second = Journal()
    (disk,) = States(journal).disks(CrashState(len(journal), "none"), second)
    toy = Toy(disk)
    toy.number = load(disk)[0]
    toy.commit(value_of(2))
    seen = {load(States(second).disks(state)[0])[0] for state in enumerate_states(second)}
    assert seen == {1, 2}
