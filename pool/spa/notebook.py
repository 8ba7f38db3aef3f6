"""A pool as a notebook shows it: name, state, a bar of its space, and its vdevs.

Everything from the pool is escaped: names in it are not to be trusted.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ..dsl.nicenum import nicebytes
from ..errors import PoolError

if TYPE_CHECKING:
    from .spa import Spa

MAX_ROWS = 200  # vdevs that are shown
COLOURS = {"ONLINE": "#2a7d2a", "AVAIL": "#2a7d2a", "INUSE": "#2a7d2a", "DEGRADED": "#b07000"}
BAD = "#b02020"
CELL = "padding:0 .8em 0 0;text-align:left"


def _state(state: str) -> str:
    return f'<span style="color:{COLOURS.get(state, BAD)}">{escape(state)}</span>'


def _space(spa: Spa) -> str:
    try:
        size, allocated = spa.space.size, spa.space.allocated
    except PoolError:
        return ""  # a pool whose space maps are gone still has a state to show
    percent = 100 * allocated / size if size else 0.0
    bar = f'<progress value="{allocated}" max="{max(size, 1)}"></progress>'
    return f"<div>{bar} {nicebytes(allocated)} of {nicebytes(size)} ({percent:.1f}%)</div>"


def pool_html(spa: Spa) -> str:
    """HTML for ``_repr_html_``; of a closed pool only the name."""
    title = f"<b>{escape(spa.name)}</b>"
    if spa.closed:
        return f"<div>{title} closed</div>"
    status = spa.status()
    lines = []
    for row in status.rows[:MAX_ROWS]:
        name = "&nbsp;" * (4 * row.depth) + escape(row.name)
        cells = (name, _state(row.state) if row.state else "", escape(row.note))
        lines.append("<tr>" + "".join(f'<td style="{CELL}">{cell}</td>' for cell in cells) + "</tr>")
    if len(status.rows) > MAX_ROWS:
        lines.append(f"<tr><td>... and {len(status.rows) - MAX_ROWS} more</td></tr>")
    trouble = f"<div>{escape(status.condition.status)}</div>" if status.condition else ""
    table = f"<table>{''.join(lines)}</table>"
    return f"<div>{title} {_state(status.state)} txg {spa.txg}</div>{_space(spa)}{trouble}{table}"
