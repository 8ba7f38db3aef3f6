"""Every decoder of bytes, fed for a moment with what looks like its format, from a fixed seed."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import search
from fuzz.targets import TARGETS

RUNS = 400
FOUND = Path(__file__).resolve().parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_decoder(name: str) -> None:
    target = TARGETS[name]
    understood = [target.run(data) for data in target.seeds()]
    assert any(understood), "no seed is understood"
    for path in sorted((FOUND / name).glob("*")):
        target.run(path.read_bytes())
    assert search.by_mutation(target, seed=1, runs=RUNS) == RUNS


def test_a_failure_is_told_with_its_input() -> None:
    class Broken:
        name = "broken"
        longest = 100

        @staticmethod
        def seeds() -> list[bytes]:
            return [b"fine"]

        @staticmethod
        def run(data: bytes) -> bool:
            return data[4] == 0

    with pytest.raises(search.Failure, match="broken on 66696e65: IndexError"):
        search.by_mutation(Broken, seed=1, runs=10)
