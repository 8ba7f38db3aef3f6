"""One crash state as an HTML page: a timeline to point at, and the verdict in words.

One file, nothing from the network: its own style for light and dark screens, shapes in SVG, a few lines of script that
zoom and scroll to the crash. Every text is escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from .crash import CrashState, States
from .timeline import Strip, count_fates, draw, strip

#: Pending writes listed below the timeline.
LISTED_MAX = 1000
KINDS = {
    "data": "what users keep: files, volumes",
    "metadata": "dnodes, pointers, directories, the MOS, space maps",
    "log": "blocks of an intent log",
    "label": "configuration, boot block, boot area",
    "uberblock": "the root of a txg, in a ring of each label",
    "given up": "nothing refers to it where the next txg was acknowledged",
    "unnamed": "not told: see the tip of each",
}
FATES = {
    "durable": "durable before the crash",
    "kept": "pending, survives",
    "torn": "pending, torn",
    "lost": "pending, lost",
    "after": "after the crash, never happens",
}

STYLE = """
:root{color-scheme:light dark;--bg:#fff;--fg:#1d2733;--dim:#5b6875;--line:#d5dbe1;--soft:#f3f5f7;--data:#1f6fd0;
--metadata:#8658c9;--log:#128a6a;--label:#ad7b00;--uberblock:#e0560b;--given-up:#a3adb7;--unnamed:#d8a0b8;--good:#23813a;
--bad:#cf2b2b;--flush:#2b91a833;--flushline:#2b91a8}
@media(prefers-color-scheme:dark){:root{--bg:#14191f;--fg:#e5eaef;--dim:#9aa7b4;--line:#37424d;--soft:#1d242c;
--data:#5aa2f5;--metadata:#b08cf0;--log:#3cc79d;--label:#dcae3c;--uberblock:#ff8a47;--given-up:#66717c;
--unnamed:#a06a82;--good:#4cc46a;--bad:#ff6b6b;--flush:#4fc0d833;--flushline:#4fc0d8}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1500px;padding:24px;background:var(--bg);color:var(--fg);
font:17px/1.45 system-ui,sans-serif}h1{font-size:27px;margin:0 0 4px}h2{font-size:20px;margin:28px 0 8px}
.sub{color:var(--dim);margin:0 0 18px}code{font:15px ui-monospace,monospace}
.verdict{border-left:6px solid var(--good);background:var(--soft);padding:10px 16px;border-radius:4px}
.verdict.bad{border-color:var(--bad)}.verdict.loss{border-color:var(--label)}
.verdict p{margin:4px 0}.verdict b{font-size:19px}
.timeline{display:flex;border:1px solid var(--line);border-radius:6px;overflow:hidden}
.heads{flex:0 0 92px;border-right:1px solid var(--line);background:var(--soft);padding-top:24px}
.heads div{display:flex;align-items:center;padding:0 10px;color:var(--dim);
overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.scroll{overflow-x:auto;flex:1}.strip{position:relative;padding-top:24px;min-width:100%}
.band{position:relative;height:34px;border-bottom:1px solid var(--line)}
.lane{display:block;height:56px;border-bottom:1px solid var(--line)}
.span{position:absolute;top:3px;bottom:3px;border-radius:4px;overflow:clip;border:1px solid var(--line);
background:var(--soft)}.span b{position:sticky;left:8px;padding:0 8px;font-weight:600;font-size:15px;white-space:nowrap}
.span.done{border-color:var(--good)}.span.done b{color:var(--good)}.span.lost{border-color:var(--bad)}
.span.lost b{color:var(--bad)}.span.open{border-style:dashed}
.span.open b{color:var(--dim)}.request b{padding:0 2px;font-size:12px}
.crash{position:absolute;top:0;bottom:0;width:0;border-left:3px solid var(--bad);pointer-events:none}
.crash span{position:absolute;top:0;left:4px;color:var(--bad);font-weight:700;font-size:15px;white-space:nowrap}
.flush{fill:var(--flush);stroke:var(--flushline);stroke-width:1;vector-effect:non-scaling-stroke}
.ignored{fill:none;stroke:var(--bad);stroke-width:2;stroke-dasharray:4 3;vector-effect:non-scaling-stroke}
.back{fill:var(--flushline);opacity:.35}.gone{opacity:.3}
.data{fill:var(--data);stroke:var(--data);stroke-width:0}
.metadata{fill:var(--metadata);stroke:var(--metadata);stroke-width:0}
.log{fill:var(--log);stroke:var(--log);stroke-width:0}
.label{fill:var(--label);stroke:var(--label);stroke-width:0}
.uberblock{fill:var(--uberblock);stroke:var(--uberblock);stroke-width:0}
.given-up{fill:var(--given-up);stroke:var(--given-up);stroke-width:0}
.unnamed{fill:var(--unnamed);stroke:var(--unnamed);stroke-width:0}
.w.lost{fill-opacity:.1;stroke-width:1;vector-effect:non-scaling-stroke}
.w.after{opacity:.22}.missing{fill:var(--bg);stroke:var(--bad);stroke-width:1;vector-effect:non-scaling-stroke}
.mark.kept{fill:var(--good)}.mark.torn{fill:var(--label)}.mark.lost{fill:var(--bad)}
.tools{display:flex;gap:14px;align-items:center;margin:8px 0;color:var(--dim)}
.legend{display:flex;flex-wrap:wrap;gap:6px 22px;margin:10px 0;padding:0;list-style:none;font-size:15px}
.legend svg{width:16px;height:16px;margin-right:6px;vertical-align:-2px}
table{border-collapse:collapse;font-size:15px}
th,td{padding:4px 12px;border-bottom:1px solid var(--line);text-align:left}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}th{color:var(--dim);font-weight:600}
.list{max-height:420px;overflow:auto;border:1px solid var(--line);border-radius:6px}.list table{width:100%}
td.lost{color:var(--bad)}td.kept{color:var(--good)}td.torn{color:var(--label)}
"""

SCRIPT = """
const s=document.getElementById('strip'),v=document.getElementById('scroll'),z=document.getElementById('zoom'),
c=document.getElementById('crash');
function go(){const k=c.offsetLeft-v.scrollLeft;s.style.width=s.dataset.width*z.value+'px';
v.scrollLeft=c.offsetLeft-k}
z.oninput=go;v.scrollLeft=c.offsetLeft-v.clientWidth*.7;
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says of a crash state.

    Attributes:
        mood: nothing is wrong; something acknowledged is gone, as a layer that lies may have it; something is wrong.
        lines: in words; the first is the sum of it.
        txg: at which the pool opens whole; -1: at none.
    """

    mood: Literal["good", "loss", "bad"]
    lines: Sequence[str]
    txg: int


def page(states: States, state: CrashState, title: str, facts: Sequence[str], verdict: Verdict) -> str:
    """The page of one crash state.

    Args:
        states: of the run's journal. state: which.
        title, facts: of the run, in words.
        verdict: of the check.

    Raises:
        ValueError: the journal has no such state.
    """
    found = strip(states, state)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="sub">{"<br>".join(map(escape, facts))}<br>crash state <code>{escape(str(state))}</code></p>',
        f'<div class="verdict {verdict.mood}"><p><b>{escape(verdict.lines[0])}</b></p>',
        *(f"<p>{escape(line)}</p>" for line in verdict.lines[1:]),
        "</div>",
        f"<h2>Events {found.start} to {found.end} of {len(found.journal)}</h2>",
        f"<p>{escape(_sentence(found))}</p>",
        '<div class="tools"><label>zoom <input id="zoom" type="range" min="0.2" max="4" step="0.1" value="1"></label>'
        "<span>scroll sideways; hold the pointer over anything to read what it is</span></div>",
        draw(found, verdict.txg),
        _legend(),
        "<h2>What became of the writes</h2>",
        _sums(found),
        "<h2>Writes that were pending</h2>",
        _pending(found),
        f"<script>{SCRIPT}</script></body></html>\n",
    ]
    return "\n".join(parts)


def _sentence(found: Strip) -> str:
    fates = [one.fate for one in found.writes]
    pending = sum(fate in ("kept", "torn", "lost") for fate in fates)
    words = (
        f"The power fails before event {found.cut}. {pending} writes were pending, covered by no flush: "
        f"{fates.count('kept')} survive, {fates.count('torn')} are torn, {fates.count('lost')} are lost. "
    )
    if found.reordered:
        words += "The survivors reached the disks in another order than they were written. "
    return words + (
        f"Txg {found.synced} was the last one acknowledged." if found.synced >= 0 else "No txg had been acknowledged."
    )


def _legend() -> str:
    def swatch(inside: str, text: str) -> str:
        return f'<li><svg viewBox="0 0 16 16">{inside}</svg>{escape(text)}</li>'

    full = '<rect x="2" width="12" height="16" class="{}"/>'
    items = [swatch(full.format(kind.replace(" ", "-")), kind) for kind in KINDS]
    items += [
        swatch('<rect x="1" y="1" width="14" height="14" class="flush"/>', "flush, from begin to end"),
        swatch('<rect x="3" y="1" width="10" height="14" class="ignored"/>', "flush that is ignored"),
        swatch('<rect x="2" width="12" height="16" class="back"/>', "written back unasked"),
        swatch('<rect y="11" width="16" height="5" class="mark kept"/>', "pending, survives"),
        swatch('<rect y="11" width="16" height="5" class="mark torn"/>', "torn"),
        swatch('<rect y="11" width="16" height="5" class="mark lost"/>', "lost"),
    ]
    return f'<ul class="legend">{"".join(items)}</ul>'


def _sums(found: Strip) -> str:
    sums = count_fates(found)
    head = "".join(f'<th class="n">{escape(text)}</th>' for text in FATES.values())
    rows = "".join(
        f"<tr><td>{escape(kind)}</td>"
        + "".join(f'<td class="n">{dict(sums[kind]).get(fate, 0)}</td>' for fate in FATES)  # type: ignore[call-overload]
        + f"<td>{escape(text)}</td></tr>"
        for kind, text in KINDS.items()
        if kind in sums
    )
    return f"<table><tr><th>kind</th>{head}<th></th></tr>{rows}</table>"


def _pending(found: Strip) -> str:
    pending = [one for one in found.writes if one.fate in ("kept", "torn", "lost")]
    if not pending:
        return "<p>None: a flush had covered all of them.</p>"
    rows = "".join(
        f'<tr><td class="n">{one.number}</td><td>{escape(found.journal.disks[one.event.disk].name)}</td>'
        f'<td class="n">{one.event.offset:#x}</td><td class="n">{one.event.length}</td><td>{escape(one.name.what)}</td>'
        f'<td>{escape(one.name.text)}</td><td class="{one.fate}">{escape(one.words)}</td></tr>'
        for one in pending[:LISTED_MAX]
    )
    more = f"<p>and {len(pending) - LISTED_MAX} more</p>" if len(pending) > LISTED_MAX else ""
    return (
        '<div class="list"><table><tr><th class="n">event</th><th>disk</th><th class="n">offset</th>'
        f'<th class="n">bytes</th><th>kind</th><th>what</th><th>fate</th></tr>{rows}</table></div>{more}'
    )
