"""``uberblock lab``: exploring crash states from the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from uberblock.pool.lab.workload import RunOptions, record
from uberblock.pool.zio.writer import ZioWriter

Command = Callable[..., object]
SMALL = ("--txgs", "1", "--steps", "4", "--seed", "2")


def test_exploring(run) -> None:  # type: ignore[no-untyped-def]
    result = run("lab", "crash", "--layout", "mirror", "--states", "60", *SMALL)
    assert result.status == 0, result.err
    assert result.lines[0].startswith("mirror, seed 2: ") and "60 crash states" in result.lines[0]
    assert result.lines[-1].startswith("in all: 60 crash states") and ", 0 violations," in result.lines[-1]


def test_as_json(run) -> None:  # type: ignore[no-untyped-def]
    result = run("lab", "crash", "--layout", "single", "--states", "40", "--json", *SMALL)
    found = json.loads(result.out)
    assert found["states"] == sum(found["by_kind"].values()) == 40 and found["wrong"] == 0
    assert found["digest"] == record(RunOptions(layout="single", seed=2, txgs=1, steps=4)).journal.digest()


def test_a_violation_tells_how_to_see_it_again(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    # The first and the last txg write labels too, and the flush before these hides the flaw.
    words = ["--txgs", "3", "--seed", "2"]
    monkeypatch.setattr(ZioWriter, "flush", lambda self: None)
    result = run("lab", "crash", "--layout", "single", "--states", "1000", "--stop", "1", *words)
    assert result.status == 1
    line = next(line for line in result.lines if line.startswith("again: uberblock "))
    state = line.split('"')[3]
    again = run("lab", "crash", "--layout", "single", *words, "--state", state, "--save", tmp_path / "s")
    assert again.status == 1 and "nothing is wrong" not in again.out
    assert (tmp_path / "s" / "d0.img").stat().st_size == 64 << 20
    assert (tmp_path / "s" / "STATE").read_text().strip() == state


def test_one_state(run) -> None:  # type: ignore[no-untyped-def]
    result = run("lab", "crash", "--layout", "single", *SMALL, "--state", "@0 all")
    assert result.status == 0 and "no pool opens" in result.out and "nothing is wrong" in result.out


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["burn"], "nothing called 'burn'"),
        (["crash", "--state", "@1 all"], "--state needs --layout"),
        (["crash", "--layout", "heap", "--states", "1"], "'heap' is no layout"),
        (["crash", "--layout", "single", *SMALL, "--state", "@1 perhaps"], "names no crash state"),
        (["crash", "--layout", "single", *SMALL, "--state", "@99999999 all"], "no cut 99999999"),
    ],
)
def test_wrong_use(run, words: list[str], text: str) -> None:  # type: ignore[no-untyped-def]
    result = run("lab", *words)
    assert result.status == 2 and text in result.err


def test_help(run) -> None:  # type: ignore[no-untyped-def]
    assert "crash states" in run("lab", "--help").out and run("lab").status == 2


def test_churn(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    words = ["lab", "churn", "--steps", "60", "--every", "30", "--content", "100", "--work", tmp_path]
    result = run(*words, "--layout", "mirror", "--json", "--judge", "true {dir} {pool}")
    found = json.loads(result.out)
    assert result.status == 0 and found["steps"] == 60 and found["wrong"] == [] and not list(tmp_path.iterdir())
    result = run(*words, "--layout", "single", "--judge", "sh -c 'echo FAIL {pool}'")
    assert result.status == 1 and "FAIL churn" in result.out and "the images are in" in result.out
    assert run("lab", "churn", "--steps", "0").status == 2
    assert run("lab", "churn", "--layout", "heap").status == 2
    assert run("lab", "churn", "--zdb", "no-such-program").status == 2
    assert "in turn" in run("lab", "churn", "--help").out


def test_the_write_hole(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    small = ("--states", "25", "--rounds", "4", "--writes", "3", "--layouts")
    pictures = ("--svg", tmp_path / "hole.svg", "--html", tmp_path / "hole.html")
    result = run("lab", "writehole", *small, "raid5,raidz1", *pictures)
    assert (tmp_path / "hole.html").read_text().count("<details") == 8
    assert result.status == 0, result.err
    rows = {line.split()[0]: line.split() for line in result.lines[1:3]}
    assert int(rows["raid5"][5]) > 0 and rows["raidz1"][5] == "0" and rows["raidz1"][-1] == "0.0%"
    assert "raidz1" in (tmp_path / "hole.svg").read_text()
    line = next(line for line in result.lines if line.startswith("again: uberblock lab writehole"))
    words = line.removeprefix("again: uberblock ").split(" --case ")
    again = run(*words[0].split(), "--case", words[1].strip('"'), "--save", tmp_path / "case")
    assert again.status == 1 and "silently wrong" in again.out and (tmp_path / "case" / "CASE.txt").exists()
    found = json.loads(run("lab", "writehole", *small, "raid5", "--json", "--cases", "2").out)
    assert found["layouts"][0]["silently_wrong"] == int(rows["raid5"][5]) and len(found["layouts"][0]["found"]) == 2
    assert run("lab", "writehole", "--layouts", "raid9").status == 2
    assert run("lab", "writehole", "--case", "nonsense").status == 2
    assert run("lab").status == 2 and run("lab", "--help").status == 0 and run("lab", "nothing").status == 2


def test_lies(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    small = ("lab", "lies", "--states", "4", "--txgs", "3", "--steps", "3", "-q")
    result = run(*small, "--layers", "writeback,unsafe", "--svg", tmp_path / "lies.svg")
    assert result.status == 0, result.err
    rows = {line.split()[0]: line.split() for line in result.lines[1:3]}
    assert rows["writeback"][-1] == "0.0%" and rows["writeback"][2] == "0" and rows["unsafe"][1] == "0"
    assert rows["unsafe"][-1] != "0.0%" and rows["unsafe"][-3] == "0"
    assert "unsafe" in (tmp_path / "lies.svg").read_text()
    line = next(line for line in result.lines if line.startswith("again: uberblock lab lies"))
    words, case = line.removeprefix("again: uberblock ").split(" --case ")
    again = run(*words.split(), "--case", case.strip('"'), "--save", tmp_path / "state")
    assert again.status == 0 and "acknowledged" in again.out and (tmp_path / "state" / "d1.img").exists()
    few = ("lab", "lies", "--states", "1", *small[4:])
    found = json.loads(run(*few, "--layers", "unsafe", "--json").out)["layers"][0]
    assert found["states"] == 1 and found["wrong_bytes"] == 0 and sum(found["opened"].values()) == 1
    for wrong in (
        ["--layers", "paper"],
        ["--case", "paper @1 all"],
        ["--case", "unsafe @99999999 all"],
        ["--txgs", "0"],
    ):
        assert run("lab", "lies", *wrong, "-q").status == 2


def test_pages(run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "crash.html"
    words = ("lab", "crash", "--layout", "mirror", *SMALL, "-q", "--html", path)
    result = run(*words, "--states", "60")
    assert result.status == 0, result.err
    state = re.search(r"(@\d+ .*): /", result.err)
    assert state and f"<code>{state[1]}</code>" in path.read_text() and "Nothing is wrong." in path.read_text()
    assert run(*words, "--state", "@0 all").status == 0 and "No pool can be opened." in path.read_text()
    small = ("lab", "lies", "--txgs", "3", "--steps", "3", "-q", "--html", path)
    assert run(*small, "--case", "unsafe @700 none").status == 0 and "unsafe" in path.read_text()
    assert run(*small).status == 2 and run(*small[:-1], tmp_path / "no" / "x", "--case", "none @9 all").status == 2
