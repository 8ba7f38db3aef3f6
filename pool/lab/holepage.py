"""The write hole as an HTML page: how often each layout has it, and cases to be opened and looked at.

As ``page``: one file, nothing from the network, for light and dark screens. Every text is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .holecase import story
from .page import STYLE
from .raid import CHUNK, Geometry
from .timeline import fate_of
from .writehole import RECORD, SHAPES, Case, Hole, Tally

#: Records of a case whose rows are drawn.
ROWS_MAX = 6
ROLES = ("P", "Q")

_STYLE = """
.bar{display:inline-block;width:260px;height:18px;background:var(--soft);border-radius:3px;vertical-align:-3px}
.bar i{display:block;height:18px;background:var(--bad);border-radius:3px}
details{border:1px solid var(--line);border-radius:6px;margin:8px 0;padding:8px 14px}summary{cursor:pointer}
pre{overflow-x:auto;background:var(--soft);padding:10px;border-radius:4px;font-size:14px}
.row td{border:1px solid var(--line);vertical-align:top;min-width:130px}.row td.away{border:2px dashed var(--bad)}
.row p{margin:2px 0}.kept{color:var(--good)}.torn{color:var(--label)}.lost{color:var(--bad)}.quiet{color:var(--dim)}
"""

INTRO = (
    "A RAID-5 or RAID-6 changes data and parity in place, on different disks. When the power fails in between, they do "
    "not agree any more, and nothing says so: as long as all disks are there every record still reads right. Then a "
    "disk is lost, and what is computed from the others is neither the old nor the new content, even of records that "
    "nobody was writing. raidz never changes anything in place: what the last uberblock leads to is whole, and its "
    "checksums would tell."
)


def hole_page(
    facts: Sequence[str], tallies: Sequence[Tally], cases: Sequence[tuple[Case, Hole]], command: str
) -> str:
    """The page.

    Args:
        facts: of the run, in words.
        tallies: of the layouts.
        cases: to be shown, with where they come from.
        command: shows a case again; its line comes behind.

    Raises:
        ValueError: a case does not belong to its run.
    """
    title = "The write hole"
    wrong = sum(one.outcomes["wrong"] for one in tallies)
    mood = "loss" if wrong else "good"
    if any(one.outcomes["wrong"] for one in tallies if not SHAPES[one.shape].level):
        mood = "bad"
    guilty = ", ".join(one.shape for one in tallies if one.outcomes["wrong"]) or "none"
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{title}</title><style>{STYLE}{_STYLE}</style></head><body>",
        f'<h1>{title}</h1><p class="sub">{"<br>".join(map(escape, facts))}</p>',
        f'<div class="verdict {mood}"><p><b>{wrong} of {sum(one.cases for one in tallies)} cases end in silently '
        f"wrong data: {escape(guilty)}.</b></p><p>{escape(INTRO)}</p></div>",
        "<h2>Crash states from which losing a disk gives silently wrong data</h2>",
        _table(tallies),
        "<p>A case is a crash state with one set of disks lost. A bystander is a record that nobody was writing.</p>",
        *(["<h2>Cases</h2>"] if cases else []),
        *(_case(case, hole, command, not number) for number, (case, hole) in enumerate(cases)),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _table(tallies: Sequence[Tally]) -> str:
    heads = ("states", "cases", "right", "error said so", "silently wrong", "of these with a bystander")
    head = "".join(f'<th class="n">{text}</th>' for text in heads)
    rows = ""
    for one in tallies:
        counts = (
            one.states, one.cases, one.outcomes["right"], one.outcomes["error"], one.outcomes["wrong"], one.bystanders,
        )  # fmt: skip
        cells = "".join(f'<td class="n">{count}</td>' for count in counts)
        bar = f'<span class="bar"><i style="width:{one.share:.1%}"></i></span> {one.share:.1%}'
        rows += f"<tr><td>{escape(one.shape)}</td>{cells}<td>{bar}</td></tr>"
    return f"<table><tr><th>layout</th>{head}<th>states with silently wrong data</th></tr>{rows}</table>"


def _case(case: Case, hole: Hole, command: str, opened: bool) -> str:
    lines = story(case, hole)
    lost = ", ".join(f"d{number}" for number in case.lost) or "no disk"
    broken = case.records or hole.outcome(case.state, case.lost)[1]
    count = "one wrong record" if len(broken) == 1 else f"{len(broken)} wrong records"
    what = f"{case.shape}, crash state {case.state}, {lost} lost: {count}"
    rows = "".join(_row(case, hole, record) for record in broken[:ROWS_MAX]) if SHAPES[case.shape].level else ""
    more = f"<p>and {len(broken) - ROWS_MAX} more records</p>" if rows and len(broken) > ROWS_MAX else ""
    first = " open" if opened else ""
    return (
        f"<details{first}><summary>{escape(what)}</summary>{rows}{more}<pre>{escape(chr(10).join(lines))}</pre>"
        f"<p>again: <code>{escape(command)} &quot;{escape(str(case))}&quot;</code></p></details>"
    )


def _row(case: Case, hole: Hole, record: int) -> str:
    """The row of an array that a wrong record lies in, disk by disk, with what became of the writes to it."""
    shape = SHAPES[case.shape]
    number = record * RECORD // Geometry(shape.level, shape.disks).width
    place, at = Geometry(shape.level, shape.disks).row(number), number * CHUNK
    promise = hole.promise(case.state.cut)
    low, high = promise.durable[record], promise.written[record]
    writing = "nobody was writing it" if low == high else f"version {high} was being written over version {low}"
    cells = []
    for disk in range(shape.disks):
        role = f"parity {ROLES[place.parity.index(disk)]}" if disk in place.parity else "data"
        if disk in place.data:
            first = (number * len(place.data) + place.data.index(disk)) * CHUNK // RECORD
            role += f": records {first} to {first + CHUNK // RECORD - 1}" if CHUNK > RECORD else f": record {first}"
        gone = disk in case.lost
        body = "<p><b>lost: computed from the others</b></p>" if gone else ""
        body += "".join(f'<p class="{fate}">{escape(text)}</p>' for fate, text in _fates(case, hole, disk, at))
        body = body or '<p class="quiet">nothing was pending</p>'
        cells.append(f'<td{" class=away" if gone else ""}><p>d{disk}, {escape(role)}</p>{body}</td>')
    head = f"Record {record}: {writing}. Row {number} of the array when the power failed:"
    return f'<p>{escape(head)}</p><table class="row"><tr>{"".join(cells)}</tr></table>'


def _fates(case: Case, hole: Hole, disk: int, at: int) -> list[tuple[str, str]]:
    """What became of the pending writes to a chunk of a disk."""
    states = hole.explorer(()).states
    kept = {one.number: one for one in states.survivors(case.state)}
    pending = {one.number for one in states.pending}
    found: list[tuple[str, str]] = []
    for number, event in states.pending:
        if event.disk == disk and event.offset < at + CHUNK and event.offset + event.length > at:
            fate, words = fate_of(hole.run.journal, number, event, case.state.cut, pending, kept.get(number))
            found.append((fate, f"write {number}: {words}"))
    return found
