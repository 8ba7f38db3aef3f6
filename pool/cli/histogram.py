"""Histograms as zdb prints them: a line of stars for each bucket."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 40


def histogram_lines(counts: Sequence[int], first: int = 0) -> list[str]:
    """Lines for the buckets from the first to the last that holds anything.

    Args:
        counts: of each bucket.
        first: number of the first bucket.
    """
    filled = [index for index, count in enumerate(counts) if count]
    if not filled:
        return []
    most = max(*counts, WIDTH)
    return [
        f"\t\t\t{index + first:>3}: {counts[index]:>6} {'*' * -(-counts[index] * WIDTH // most)}"
        for index in range(filled[0], filled[-1] + 1)
    ]
