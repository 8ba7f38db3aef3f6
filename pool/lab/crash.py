"""What a power cut may leave behind: every legal content of the disks, each named by one short line.

A state is a cut (the number of events that had happened) and what became of the pending writes, those that no flush
had made durable. Per disk any subset of them survives, each whole or torn at sectors, in any order. Lines::

    @120 all                every write that was taken is there
    @120 none               only what flushes had made durable
    @120 lose 113,117       all pending writes but these
    @120 only 113,115:h3    these and no others, applied in this order; of 115 the first three sectors
    @120 tear 113:t2        all; of 113 what comes after the first two sectors
    @120 tear 113:x5        all; of 113 only sectors 0 and 2
    @120 random 7           a set drawn with seed 7: some kept, some torn, perhaps reordered

``States`` builds the disks' contents for a line. It keeps the durable content up to a cut and only adds the survivors
to a fork of it, so that going through states in order costs microseconds each, whatever the size of the disks.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .journal import CHANGES, SETTLING, Event, Journal, Kind
from .pages import Pages, split
from .simdisk import SimDisk

#: No write has more.
SECTORS_MAX = 1 << 20
WORDS = ("all", "none", "lose", "only", "tear", "random")


class Survivor(NamedTuple):
    """A pending write and the sectors of it that survive, as bits. A negative number: all from its lowest bit on."""

    number: int
    sectors: int = -1


@dataclass(frozen=True, slots=True)
class CrashState:
    """A cut and what became of the writes pending there; ``str`` of it is its line."""

    cut: int
    word: str
    survivors: tuple[Survivor, ...] = ()
    seed: int = 0

    def __str__(self) -> str:
        rest = ""
        if self.word == "random":
            rest = f" {self.seed}"
        elif self.survivors or self.word in ("lose", "only", "tear"):
            rest = " " + (",".join(_piece(one) for one in self.survivors) or "-")
        return f"@{self.cut} {self.word}{rest}"


def parse(line: str) -> CrashState:
    """A state from its line.

    Raises:
        ValueError: it is not one.
    """
    words = line.split()
    try:
        if len(words) not in (2, 3) or words[0][0] != "@" or words[1] not in WORDS:
            raise ValueError
        if (len(words) == 3) is (words[1] in ("all", "none")):
            raise ValueError
        cut = int(words[0][1:])
        if words[1] == "random":
            return CrashState(cut, "random", seed=int(words[2]))
        pieces = words[2].split(",") if len(words) == 3 and words[2] != "-" else []
        return CrashState(cut, words[1], tuple(map(_parse_piece, pieces)))
    except (ValueError, IndexError):
        raise ValueError(f"{line!r} names no crash state") from None


def _piece(one: Survivor) -> str:
    if one.sectors == -1:
        return str(one.number)
    if one.sectors < 0:
        return f"{one.number}:t{(-one.sectors).bit_length() - 1}"
    if one.sectors and one.sectors & (one.sectors + 1) == 0:
        return f"{one.number}:h{one.sectors.bit_length()}"
    return f"{one.number}:x{one.sectors:x}"


def _parse_piece(text: str) -> Survivor:
    number, colon, part = text.partition(":")
    if not colon:
        return Survivor(int(number))
    if part[:1] == "h":
        return Survivor(int(number), (1 << _count(part[1:])) - 1)
    if part[:1] == "t":
        return Survivor(int(number), -1 << _count(part[1:]))
    if part[:1] == "x":
        return Survivor(int(number), int(part[1:], 16))
    raise ValueError(text)


def _count(text: str) -> int:
    if not 0 < int(text) <= SECTORS_MAX:
        raise ValueError(text)
    return int(text)


class Pending(NamedTuple):
    """A write or discard that no flush covers: its number in the journal, and the event."""

    number: int
    event: Event


def sectors_of(journal: Journal, event: Event) -> int:
    """How many sectors a write touches."""
    size = journal.disks[event.disk].sector
    return (event.offset + event.length - 1) // size - event.offset // size + 1


class States:
    """Builds crash states of one journal.

    Attributes:
        journal: the events.
        cut: where it stands.
        durable: content of every disk that flushes below the cut have made durable.
        pending: writes and discards below the cut that may be lost, in order, over all disks.
        moves: changes whenever ``durable`` does.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.moves = 0
        self._parts: dict[int, dict[int, bytes] | None] = {}  # pending writes as whole pages
        self._rewind()

    def _rewind(self) -> None:
        self.cut = 0
        self.durable = [disk.initial.fork() for disk in self.journal.disks]
        self.pending: list[Pending] = []
        self.moves += 1

    def move(self, cut: int) -> None:
        """Stand at a cut. Going forward costs what lies between; going back starts from the beginning.

        Raises:
            ValueError: the journal has no such place.
        """
        events = self.journal.events
        if not 0 <= cut <= len(events):
            raise ValueError(f"the journal has {len(events)} events and no cut {cut}")
        if cut < self.cut:
            self._rewind()
        for number in range(self.cut, cut):
            event = events[number]
            if event.kind in CHANGES:
                self.pending.append(Pending(number, event))
            elif event.kind in SETTLING:
                self._settle(event)
        self.cut = cut

    def _settle(self, flush: Event) -> None:
        """What the disk had taken before the flush began is durable; the last write of each sector wins."""
        left: list[Pending] = []
        covered: list[Pending] = []
        for one in self.pending:
            done = one.event.disk == flush.disk and one.number < flush.begin
            (covered if done else left).append(one)
        for one in covered:
            whole = self._whole(one.number, one.event)
            if whole is not None:
                self.durable[flush.disk].put(whole)
            else:
                _apply(self.durable[flush.disk], one.event)
            self._parts.pop(one.number, None)
        if covered:
            self.moves += 1
        self.pending = left

    def survivors(self, state: CrashState) -> list[Survivor]:
        """What a state keeps of the pending writes, in the order it is applied.

        Raises:
            ValueError: it names a write that is not pending at its cut, or sectors that the write has not.
        """
        self.move(state.cut)
        there = {one.number: one.event for one in self.pending}
        for one in state.survivors:
            if one.number not in there:
                raise ValueError(f"{state}: event {one.number} is no pending write")
            if (one.sectors >> sectors_of(self.journal, there[one.number])) not in (0, -1):
                raise ValueError(f"{state}: event {one.number} has fewer sectors")
        match state.word:
            case "all":
                return [Survivor(number) for number in there]
            case "none":
                return []
            case "only":
                return list(state.survivors)
            case "lose":
                lost = {one.number for one in state.survivors}
                return [Survivor(number) for number in there if number not in lost]
            case "tear":
                torn = {one.number: one for one in state.survivors}
                return [torn.get(number, Survivor(number)) for number in there]
            case _:
                return self._draw(random.Random(f"{state.cut}/{state.seed}"))

    def _draw(self, rng: random.Random) -> list[Survivor]:
        """A random set: how much of it survives, tears and is reordered differs from seed to seed."""
        keep, tear = rng.choice((0.1, 0.5, 0.9)), rng.choice((0.0, 0.1, 0.5))
        kept = []
        for number, event in self.pending:
            if rng.random() >= keep:
                continue
            count = sectors_of(self.journal, event)
            whole = event.kind != Kind.WRITE or count < 2 or rng.random() >= tear
            kept.append(Survivor(number, -1 if whole else some_sectors(rng, count)))
        if rng.random() < 0.5:
            rng.shuffle(kept)
        return kept

    def explicit(self, state: CrashState) -> CrashState:
        """The same state as a list of what survives: what shrinking starts from."""
        return CrashState(state.cut, "only", tuple(self.survivors(state)))

    def build(self, state: CrashState) -> list[Pages]:
        """The disks' contents; forks, so they stay as they are whatever is done next.

        Raises:
            ValueError: as ``survivors``.
        """
        kept = self.survivors(state)
        result = [content.fork() for content in self.durable]
        for number, sectors in kept:
            event = self.journal.events[number]
            whole = self._whole(number, event) if sectors == -1 else None
            if whole is not None:
                result[event.disk].put(whole)
            else:
                _apply(result[event.disk], event, sectors, self.journal.disks[event.disk].sector)
        return result

    def _whole(self, number: int, event: Event) -> dict[int, bytes] | None:
        """A write as pages, made once: states that keep it then share the very same pages."""
        if number not in self._parts:
            self._parts[number] = split(event.offset, event.data) if event.kind == Kind.WRITE else None
        return self._parts[number]

    def disks(self, state: CrashState, journal: Journal | None = None) -> list[SimDisk]:
        """The disks as they are when the power is back; with a journal, a crash during recovery can follow."""
        infos = self.journal.disks
        return [
            SimDisk(content, info.name, journal, sector=info.sector) for content, info in zip(self.build(state), infos)
        ]

    def acknowledged(self, cut: int) -> list[Event]:
        """The marks below a cut."""
        return [mark for _, mark in self.journal.marks(cut)]


def _apply(content: Pages, event: Event, sectors: int = -1, size: int = 0) -> None:
    if event.kind == Kind.DISCARD:
        content.zero(event.offset, event.length)
    elif sectors == -1:
        content.write(event.offset, event.data)
    else:
        view, first = memoryview(event.data), event.offset // size
        for index in range((event.offset + event.length - 1) // size - first + 1):
            if sectors >> index & 1:
                start = max((first + index) * size - event.offset, 0)
                end = min((first + index + 1) * size - event.offset, event.length)
                content.write(event.offset + start, view[start:end])


def some_sectors(rng: random.Random, count: int) -> int:
    """Some but not all of ``count`` sectors: the first ones, the last ones, or any."""
    kind, at = rng.randrange(3), rng.randrange(1, count)
    if kind == 2:
        return rng.randrange(1, (1 << count) - 1)
    return (1 << at) - 1 if kind == 0 else -1 << at


# --- enumerating ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """Which states are tried at each boundary (just before something becomes durable, and at the very end).

    Attributes:
        prefixes: also one state after every single write: a disk that keeps order.
        singles: every single loss and every single survivor.
        torn: ways in which each write alone is torn.
        random_sets: random sets.
        exhaustive: all subsets where no more writes than this are pending.
        seed: of the random sets and tears.
    """

    prefixes: bool = True
    singles: bool = True
    torn: int = 2
    random_sets: int = 32
    exhaustive: int = 4
    seed: int = 0


def enumerate_states(
    journal: Journal, plan: Plan | None = None, start: int = 0, end: int | None = None
) -> Iterator[CrashState]:
    """Crash states in the order of their cuts, none twice.

    Args:
        journal: the events.
        plan: which.
        start, end: only cuts in this range (both included).
    """
    how = plan or Plan()
    last = len(journal.events) if end is None else min(end, len(journal.events))
    states, fresh = States(journal), True  # fresh: no state has had the last write yet
    for cut in range(start, last + 1):
        fresh |= cut > 0 and journal.events[cut - 1].kind in CHANGES
        boundary = cut == last or journal.events[cut].kind in SETTLING
        if fresh and (how.prefixes or boundary):
            fresh = False
            yield CrashState(cut, "all")
        if boundary:
            states.move(cut)
            yield from _at_boundary(states, how)


def _at_boundary(states: States, how: Plan) -> Iterator[CrashState]:
    cut, numbers = states.cut, [one.number for one in states.pending]
    count = len(numbers)
    if not count:
        return
    yield CrashState(cut, "none")
    if count <= how.exhaustive:
        # All and none have been had.
        for bits in range(1, (1 << count) - 1):
            kept = [Survivor(number) for place, number in enumerate(numbers) if bits >> place & 1]
            yield CrashState(cut, "only", tuple(kept))
    elif how.singles:
        for number in numbers:
            yield CrashState(cut, "lose", (Survivor(number),))
            yield CrashState(cut, "only", (Survivor(number),))
    rng = random.Random(f"{how.seed}/{cut}")
    for number, event in states.pending:
        sectors = sectors_of(states.journal, event)
        if event.kind == Kind.WRITE and sectors > 1:
            for torn in sorted({some_sectors(rng, sectors) for _ in range(how.torn)}):
                yield CrashState(cut, "tear", (Survivor(number, torn),))
    if count > 1:
        for index in range(how.random_sets):
            yield CrashState(cut, "random", seed=how.seed * 1_000_003 + index)


def sample(items: Sequence[CrashState], count: int, seed: int) -> list[CrashState]:
    """``count`` of the states (all, if there are no more), in their order."""
    if len(items) <= count:
        return list(items)
    chosen = random.Random(seed).sample(range(len(items)), count)
    return [items[place] for place in sorted(chosen)]
