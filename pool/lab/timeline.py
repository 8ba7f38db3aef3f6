"""The events around a crash as a strip: one lane for each disk, bands of txgs and requests above them.

Positions are event numbers; the strip is as wide as it is told to be, so shapes (SVG) stretch and texts (HTML, placed
in percent) do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from .checker import SYNCED
from .crash import CrashState, States, Survivor, sectors_of
from .journal import CHANGES, SETTLING, Event, Journal, Kind
from .naming import Name, names_of
from .promises import ASKED, KEPT

Fate = Literal["durable", "kept", "torn", "lost", "after"]
LANE, STEP = 56, 7  # height of a lane, width of an event, before zooming
#: Events on either side of the crash, at most.
BEFORE_MAX, AFTER_MAX = 4000, 400


@dataclass(frozen=True, slots=True)
class Shown:
    """A write or discard on the strip: its number, the event, what it was, what became of it, and that in words."""

    number: int
    event: Event
    name: Name
    fate: Fate
    words: str


@dataclass(frozen=True, slots=True)
class Strip:
    """What is shown of a run.

    Attributes:
        journal: of the run. cut: where the power fails. start, end: the part that is shown.
        writes: in it. synced: the last txg acknowledged before the cut; -1: none.
        reordered: survivors reached the disks in another order than they were written.
    """

    journal: Journal
    cut: int
    start: int
    end: int
    writes: tuple[Shown, ...]
    synced: int
    reordered: bool

    def x(self, number: int) -> int:
        """Where an event begins."""
        return (number - self.start) * STEP

    @property
    def width(self) -> int:
        """Of the strip before zooming."""
        return max(1, self.end - self.start) * STEP

    def percent(self, number: int) -> str:
        """Where an event begins, in percent of the width."""
        return f"{100 * (number - self.start) / max(1, self.end - self.start):.4f}%"


def strip(states: States, state: CrashState) -> Strip:
    """The events around a crash, each write named, and what the state leaves of it.

    Raises:
        ValueError: as ``States.survivors``.
    """
    survivors = states.survivors(state)
    journal, cut = states.journal, state.cut
    pending = {one.number for one in states.pending}
    kept = {one.number: one for one in survivors}
    start, end = _window(journal, cut, min(pending, default=cut))
    names = names_of(journal, start, end)
    shown = []
    for number in range(start, end):
        event = journal.events[number]
        if event.kind in CHANGES:
            fate, words = fate_of(journal, number, event, cut, pending, kept.get(number))
            shown.append(Shown(number, event, names[number], fate, words))
    synced = max((mark.facts["txg"] for _, mark in journal.marks(cut) if mark.text == SYNCED), default=-1)
    return Strip(journal, cut, start, end, tuple(shown), synced, survivors != sorted(survivors))


def _window(journal: Journal, cut: int, oldest: int) -> tuple[int, int]:
    """From the acknowledgement before the last one, or the oldest pending write, to the next one."""
    marks = [number for number, mark in journal.marks() if mark.text == SYNCED]
    before = [number for number in marks if number < cut]
    start = min(before[-2] if len(before) > 1 else 0, oldest)
    end = next((number + 1 for number in marks if number >= cut), len(journal))
    return max(start, cut - BEFORE_MAX), min(end, cut + AFTER_MAX, len(journal))


def fate_of(
    journal: Journal, number: int, event: Event, cut: int, pending: set[int], kept: Survivor | None
) -> tuple[Fate, str]:
    """What became of a write at a cut, and that in words. ``kept``: of it, if anything is."""
    if number >= cut:
        return "after", "comes after the crash, and never happens"
    if number not in pending:
        return "durable", "durable before the crash"
    if kept is None:
        return "lost", "pending, and lost"
    if kept.sectors == -1:
        return "kept", "pending, and survives"
    count = sectors_of(journal, event)
    there = (kept.sectors & (1 << count) - 1).bit_count()
    return "torn", f"pending, and torn: {there} of {count} sectors survive"


# --- drawing ----------------------------------------------------------------------------------------------------------


def draw(found: Strip, opened: int) -> str:
    """The strip as HTML: lanes with their names at the left, and what scrolls.

    Args:
        opened: the txg at which the pool opens after the crash; -1: at none.
    """
    journal = found.journal
    names = ["txgs", *(["requests"] if _requests(found) else []), *(disk.name for disk in journal.disks)]
    heads = "".join(
        f'<div class="{"lane" if at >= len(names) - len(journal.disks) else "band"}">{escape(name)}</div>'
        for at, name in enumerate(names)
    )
    lanes = "".join(_lane(found, disk) for disk in range(len(journal.disks)))
    requests = _requests(found)
    body = [
        f'<div class="band">{_txgs(found, opened)}</div>',
        f'<div class="band">{requests}</div>' if requests else "",
        lanes,
        f'<div class="crash" id="crash" style="left:{found.percent(found.cut)}"><span>power fails</span></div>',
    ]
    return (
        f'<div class="timeline"><div class="heads">{heads}</div><div class="scroll" id="scroll">'
        f'<div class="strip" id="strip" data-width="{found.width}" style="width:{found.width}px">{"".join(body)}</div>'
        "</div></div>"
    )


def _band(found: Strip, start: int, end: int, text: str, title: str, kind: str) -> str:
    start, end = max(start, found.start), min(end, found.end)
    share = f"{100 * (end - start) / max(1, found.end - found.start):.4f}%"
    return (
        f'<div class="span {kind}" style="left:{found.percent(start)};width:{share}" title="{escape(title)}">'
        f"<b>{escape(text)}</b></div>"
    )


def _txgs(found: Strip, opened: int) -> str:
    """A band for what lies between two acknowledgements."""
    parts, since = [], 0
    for number, mark in found.journal.marks():
        if mark.text != SYNCED:
            continue
        txg = mark.facts["txg"]
        if number >= found.start and since < found.end:
            done, gone = number < found.cut, number < found.cut and txg > opened
            text = f"txg {txg} {'acknowledged, and gone' if gone else 'acknowledged' if done else 'not acknowledged'}"
            title = f"{text}: events {since} to {number}"
            kind = "txg lost" if gone else "txg done" if done else "txg open"
            parts.append(_band(found, since, number + 1, text, title, kind))
        since = number + 1
    if since < found.end:
        parts.append(_band(found, since, found.end, "", "no txg is acknowledged any more", "txg open"))
    return "".join(parts)


def _requests(found: Strip) -> str:
    """A band for each request to make something durable, up to the return of the call."""
    asked: dict[int, int] = {}
    parts = []
    for number, mark in found.journal.marks():
        if mark.text == ASKED:
            asked[mark.facts["number"]] = number
        elif mark.text == KEPT:
            start = asked.get(mark.facts["number"], number)
            if number >= found.start and start < found.end:
                which, done = mark.facts["number"], number < found.cut
                title = f"request {which}, events {start} to {number}: " + (
                    "acknowledged, served by the log" if done else "not acknowledged before the crash"
                )
                parts.append(
                    _band(found, start, number + 1, f"{which}", title, "request done" if done else "request open")
                )
    return "".join(parts)


def _lane(found: Strip, disk: int) -> str:
    parts = [*_flushes(found, disk)]
    for one in found.writes:
        if one.event.disk == disk:
            parts.append(_write(found, one))
    return (
        f'<svg class="lane" viewBox="0 0 {found.width} {LANE}" width="100%" height="{LANE}" preserveAspectRatio="none">'
        f"{''.join(parts)}</svg>"
    )


def _flushes(found: Strip, disk: int) -> Sequence[str]:
    parts = []
    for number in range(found.start, found.end):
        event = found.journal.events[number]
        if event.disk != disk:
            continue
        gone = " gone" if number >= found.cut else ""
        if event.kind in SETTLING:
            begin = max(event.begin, found.start)
            if event.kind == Kind.WRITTEN_BACK:
                title = f"event {number}: what was written before event {event.begin} is durable, unasked"
                parts.append(_rect(found.x(number), 0, STEP - 1, LANE, f"back{gone}", title))
                continue
            title = f"flush, events {event.begin} to {number}: what the disk had before {event.begin} is durable"
            wide = found.x(number + 1) - found.x(begin) - 1
            parts.append(_rect(found.x(begin), 0, wide, LANE, f"flush{gone}", title))
        elif event.kind == Kind.FLUSH_BEGIN and not _ends(found, number):
            wide = found.x(found.end) - found.x(number)
            title = f"flush, begun at event {number}, not ended"
            parts.append(_rect(found.x(number), 0, wide, LANE, f"flush{gone}", title))
        elif event.kind == Kind.FLUSH_LOST:
            title = f"event {number}: a flush that is answered, and nothing is done"
            parts.append(_rect(found.x(number), 0, STEP - 1, LANE, f"ignored{gone}", title))
    return parts


def _ends(found: Strip, begin: int) -> bool:
    events = found.journal.events
    return any(events[at].begin == begin and events[at].kind == Kind.FLUSH_END for at in range(begin, found.end))


def _write(found: Strip, one: Shown) -> str:
    """A bar: as high as the write is long (by powers of two), filled as far as it survives."""
    tall = min(LANE - 16, 8 + 4 * max(0, one.event.length.bit_length() - 9))
    x, y = found.x(one.number), LANE - 6 - tall
    word = "discard" if one.event.kind == Kind.DISCARD else "write"
    title = (
        f"event {one.number}: {word} of {one.event.length} bytes at {one.event.offset:#x}\n"
        f"{one.name.what}: {one.name.text}\n{one.words}"
    )
    kind = one.name.what.replace(" ", "-")
    filled = f"{_rect(x, y, STEP - 1, tall, f'w {kind} {one.fate}', title)}"
    if one.fate == "torn":
        filled += _rect(x, y, STEP - 1, tall // 2, "missing", title)
    if one.fate in ("kept", "torn", "lost"):
        filled += _rect(x, LANE - 5, STEP - 1, 5, f"mark {one.fate}", title)
    return filled


def _rect(x: int, y: int, width: int, height: int, kind: str, title: str) -> str:
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" class="{kind}"><title>{escape(title)}</title></rect>'
    )


def count_fates(found: Strip) -> Mapping[str, Mapping[Fate, int]]:
    """How many writes of each kind met which fate."""
    result: dict[str, dict[Fate, int]] = {}
    for one in found.writes:
        row = result.setdefault(one.name.what, {})
        row[one.fate] = row.get(one.fate, 0) + 1
    return result
