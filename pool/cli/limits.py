"""Words of the command line that have limits, refused before any work is done: numbers, files to be written."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable
from pathlib import Path


def at_least(least: int) -> Callable[[str], int]:
    """A whole number from ``least`` on, as argparse's ``type``.

    Raises:
        argparse.ArgumentTypeError: (when called) it is none.
    """

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is too small; at least {least}")
        return value

    return number


natural = at_least(0)
positive = at_least(1)


def seconds(*, zero: bool) -> Callable[[str], float]:
    """Seconds, with fractions, as argparse's ``type``; ``zero``: none at all will do.

    Raises:
        argparse.ArgumentTypeError: (when called) it is no such time.
    """

    def time(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < 0 or not (value or zero):
            raise argparse.ArgumentTypeError(f"{text!r} is no time{'' if zero else ' above 0'}")
        return value

    return time


def sector(text: str) -> int:
    """Bytes of a sector, as argparse's ``type``.

    Raises:
        argparse.ArgumentTypeError: it is not a power of two from 512 to 65536.
    """
    value = at_least(512)(text)
    if value > 1 << 16 or value & (value - 1):
        raise argparse.ArgumentTypeError(f"{value} is not a power of two from 512 to 65536")
    return value


def output_file(text: str) -> Path:
    """A file that is written when the work is done, as argparse's ``type``.

    Raises:
        argparse.ArgumentTypeError: it could not be.
    """
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder")
    place = path if path.exists() else path.parent
    if not os.access(place, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} cannot be written")
    return path
