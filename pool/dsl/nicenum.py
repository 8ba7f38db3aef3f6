"""Numbers and dates as OpenZFS's commands print them for people.

Source: OpenZFS, zutil_nicenum.c; date formats from libzfs_dataset.c.
"""

from __future__ import annotations

import time

UNITS = ("", "K", "M", "G", "T", "P", "E")
STEP = 1024
WIDTH = 5  # characters a shortened number may take
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def nicenum(value: int) -> str:
    """A count in at most five characters: ``1023``, ``1.50K``, ``128K``, ``10.0M``."""
    power = 0
    while value >> 10 * (power + 1) and power < len(UNITS) - 1:
        power += 1
    if power == 0 or value % STEP**power == 0:
        return f"{value >> 10 * power}{UNITS[power]}"
    scaled = float(value) / STEP**power
    text = ""
    for digits in (2, 1, 0):
        text = f"{scaled:.{digits}f}{UNITS[power]}"
        if len(text) <= WIDTH:
            break
    return text


def nicebytes(value: int) -> str:
    """A size in bytes: like ``nicenum``, with the unit ``B`` below 1024."""
    return f"{value}B" if value < STEP else nicenum(value)


def niceratio(hundredths: int) -> str:
    """A ratio with two places and no mark: ``1.00``."""
    return f"{hundredths // 100}.{hundredths % 100:02d}"


def nicedate(seconds: int, *, with_seconds: bool = False) -> str:
    """A time in the local time zone: ``Sat Jan  3  9:05 2026``; the digits where there is no such date."""
    try:
        when = time.localtime(seconds)
    except (OverflowError, OSError, ValueError):
        return str(seconds)
    clock = f"{when.tm_hour:2d}:{when.tm_min:02d}"
    if with_seconds:
        clock += f":{when.tm_sec:02d}"
    return f"{DAYS[when.tm_wday]} {MONTHS[when.tm_mon - 1]} {when.tm_mday:2d} {clock} {when.tm_year}"
