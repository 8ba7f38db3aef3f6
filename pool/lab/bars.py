"""Bars: shares of a whole, as text and as a picture (SVG)."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

_BLOCKS = " ▏▎▍▌▋▊▉█"
_ROW, _LEFT, _WIDE, _RIGHT = 34, 90, 420, 190


def text_bar(share: float, width: int = 24) -> str:
    """A bar of so many characters for a share from 0 to 1; what is not 0 is seen."""
    eighths = round(share * width * 8)
    if share > 0:
        eighths = max(1, eighths)
    whole, part = divmod(eighths, 8)
    return ("█" * whole + (_BLOCKS[part] if part else "")).ljust(width)


def svg_bars(title: str, rows: Sequence[tuple[str, float, str]]) -> str:
    """Bars as an SVG document.

    Args:
        title: above them.
        rows: name, share from 0 to 1, what stands behind the bar.
    """
    height = 50 + _ROW * len(rows)
    width = _LEFT + _WIDE + _RIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="15">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="10" y="28" font-size="17" font-weight="600" fill="#1d2733">{escape(title)}</text>',
    ]
    for number, (name, share, note) in enumerate(rows):
        y = 46 + number * _ROW
        length = max(share * _WIDE, 2 if share > 0 else 0)
        parts += [
            f'<text x="{_LEFT - 10}" y="{y + 17}" text-anchor="end" fill="#1d2733">{escape(name)}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{_WIDE}" height="24" rx="3" fill="#eef1f4"/>',
            f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="24" rx="3" fill="#c8372d"/>',
            f'<text x="{_LEFT + _WIDE + 10}" y="{y + 17}" fill="#1d2733">{escape(note)}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"
