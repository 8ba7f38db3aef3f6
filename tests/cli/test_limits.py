"""What the command line takes of numbers, and of files that are written at the end: refused before the work begins."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

import pytest
from uberblock.pool.cli.limits import at_least, natural, output_file, positive, seconds, sector
from uberblock.pool.cli.main import main


def test_whole_numbers() -> None:
    assert natural("0") == 0 and positive("1") == 1 and at_least(64)("64") == 64
    for limit, text in ((natural, "-1"), (positive, "0"), (at_least(64), "63"), (natural, "1.5"), (natural, "x")):
        with pytest.raises(ArgumentTypeError):
            limit(text)


def test_seconds() -> None:
    assert seconds(zero=True)("0") == 0 and seconds(zero=False)("0.25") == 0.25
    for zero, text in ((True, "-1"), (False, "0"), (True, "nan"), (True, "inf"), (True, "soon")):
        with pytest.raises(ArgumentTypeError):
            seconds(zero=zero)(text)


def test_sectors() -> None:
    assert [sector(text) for text in ("512", "4096", "65536")] == [512, 4096, 65536]
    for text in ("7", "0", "513", "131072", "-512"):
        with pytest.raises(ArgumentTypeError):
            sector(text)


def test_files_to_be_written(tmp_path: Path) -> None:
    assert output_file(str(tmp_path / "page.html")) == tmp_path / "page.html"
    for path in (tmp_path, tmp_path / "nowhere" / "page.html"):
        with pytest.raises(ArgumentTypeError):
            output_file(str(path))


@pytest.mark.parametrize(
    "words",
    [
        "crash --processes -1", "crash --sector 7", "crash --states -5", "crash --txgs 0",
        "crash --html /nowhere/a.html",
        "kill --seconds nan", "kill --rounds 0", "kill --size 63", "bounded --count -1", "churn --steps 0",
        "churn --gang -1", "lies --behind 0", "lies --svg /nowhere/a.svg", "writehole --writes 0",
        "writehole --cases -1",
        "powercut work.py --txg -1",
    ],
)  # fmt: skip
def test_the_laboratory_refuses(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the option's name, in one line, before it begins."""
    assert main(["lab", *words.split()]) == 2
    said = capsys.readouterr().err
    assert words.split()[-2] in said and said.count("\n") <= 2
