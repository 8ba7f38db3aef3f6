"""What a pointer must satisfy because of where it stands."""

from __future__ import annotations

import numpy as np
import pytest
from uberblock.pool.ondisk import bpcheck
from uberblock.pool.ondisk.blkptr import BLKPTR

EMBEDDED = 1 << 39


def pointer(**change: int) -> np.ndarray:
    bp = np.zeros(1, dtype=BLKPTR)
    facts = {"lsize": 7, "psize": 7, "compress": 2, "checksum": 7, "kind": 19, "level": 1, "birth": 50, "flags": 0}
    facts.update(change)
    bp["prop"] = (
        facts["lsize"]
        | facts["psize"] << 16
        | facts["compress"] << 32
        | facts["checksum"] << 40
        | facts["kind"] << 48
        | facts["level"] << 56
        | facts["flags"]
    )
    bp["birth"] = facts["birth"]
    bp["dva"][0, 0] = (8, 8)
    return bp


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({}, "fine"),
        ({"kind": 54}, "type"),
        ({"level": 2}, "level"),
        ({"lsize": 8}, "logical size"),
        ({"lsize": 4095, "psize": 0, "flags": EMBEDDED}, "embedded"),
        ({"birth": 3}, "first txg"),
        ({"birth": 101}, "after the block"),
    ],
)
def test_every_rule(change: dict[str, int], text: str) -> None:
    code = int(bpcheck.problems(pointer(**change), level=1, lsize=4096, max_birth=100)[0])
    assert text in bpcheck.TEXT[code]
    assert (code == 0) == (not change)


def test_holes_and_what_is_not_asked() -> None:
    hole = pointer(level=5, birth=1)
    hole["dva"] = 0
    assert bpcheck.problems(hole, level=0, lsize=512, max_birth=0).tolist() == [0]
    assert bpcheck.problems(pointer(level=9, lsize=0, birth=1 << 40)).tolist() == [0]
    assert bpcheck.problems(np.zeros(0, dtype=BLKPTR)).tolist() == []
    several = np.concatenate([pointer(), pointer(level=0)])
    assert bpcheck.problems(several, level=[1, 0], lsize=[0, 4096]).tolist() == [0, 0]


def test_redacted_blocks_have_no_size() -> None:
    redacted = pointer(flags=EMBEDDED, level=0, checksum=2, lsize=1)
    assert bpcheck.problems(redacted, level=0, lsize=131072).tolist() == [0]


def test_pointers_to_one_block() -> None:
    bps = np.concatenate([pointer(), pointer(birth=60), pointer(), pointer(flags=EMBEDDED), pointer(flags=EMBEDDED)])
    bps["dva"][1, 0, 1] = 16
    holes = np.zeros(2, dtype=BLKPTR)
    assert bpcheck.repeated(np.concatenate([bps, holes])).tolist() == [False, False, True, *[False] * 4]
    assert bpcheck.repeated(bps[:1]).tolist() == [False]
