"""Workloads of users: run, cut off at every moment, checked by their own words; and processes that are killed."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from uberblock.pool.cli.main import main
from uberblock.pool.errors import UsageError
from uberblock.pool.lab import kill
from uberblock.pool.lab.crash import parse
from uberblock.pool.lab.kill import KillOptions, default_workload, kill_rounds, prepare
from uberblock.pool.lab.userwork import UserExplorer, UserOptions, UserWorkload, record_user
from uberblock.pool.poolcreate import open_pool

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "powercut"

#: Tells somebody before anything is durable.
EARLY = """
def run(fs, acknowledge):
    for number in range(400):
        fs.write_bytes(f"/f{number}", b"x")
        acknowledge(number)

def check(fs, acknowledged):
    for number in acknowledged:
        assert fs.exists(f"/f{number}"), f"{number} is gone"
"""


def written(tmp_path: Path, text: str) -> UserWorkload:
    path = tmp_path / "work.py"
    path.write_text(text)
    return UserWorkload(path)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("replace", UserOptions(layout="mirror")),
        ("append", UserOptions(layout="mirrored-log")),
        ("accounts", UserOptions(recordsize="4K", layout="raidz1")),
        ("replace_without_fsync", UserOptions(sync="always")),
    ],
)
def test_examples_hold(name: str, options: UserOptions) -> None:
    run = record_user(UserWorkload(EXAMPLES / f"{name}.py"), options)
    assert not run.failed
    report = UserExplorer(run, whole=True).run(run.choose(40))
    assert report.states == 40 and not report.wrong, str(report)


@pytest.mark.parametrize("options", [UserOptions(), UserOptions(sync="disabled")], ids=["standard", "disabled"])
def test_a_forgotten_fsync_is_found(options: UserOptions) -> None:
    name = "replace_without_fsync" if options.sync == "standard" else "replace"
    run = record_user(UserWorkload(EXAMPLES / f"{name}.py"), options)
    report = UserExplorer(run).run(run.choose(200), stop_after=1)
    assert report.wrong and "was promised" in report.violations[0].wrong[0]
    # Its line alone brings it back.
    found = report.violations[0]
    again = UserExplorer(record_user(UserWorkload(EXAMPLES / f"{name}.py"), options), memo=False)
    assert again.wrong(parse(str(found.state))) == list(found.wrong)


def test_remembered_checks_are_those_that_are_made(tmp_path: Path) -> None:
    run = record_user(written(tmp_path, EARLY), UserOptions(txg=40))
    states = run.choose(60)
    remembered, made = UserExplorer(run), UserExplorer(run, memo=False)
    assert [remembered.wrong(state) for state in states] == [made.wrong(state) for state in states]
    assert remembered.report.checked < made.report.checked


def test_what_a_workload_has_to_be(tmp_path: Path) -> None:
    for text, said in (
        ("def run(fs): pass", "no function check"),
        ("def run(fs): pass\ndef check(disk): pass", "wants 'disk'"),
        ("1 / 0", "ZeroDivisionError"),
    ):
        with pytest.raises(UsageError, match=said):
            written(tmp_path, text)
    with pytest.raises(UsageError, match="no Python file"):
        UserWorkload(tmp_path / "missing.py")


def test_a_run_that_fails_says_where(tmp_path: Path) -> None:
    run = record_user(
        written(tmp_path, "def run(fs):\n    fs.mkdir('/a')\n    fs.mkdir('/a')\ndef check(fs): pass"), UserOptions()
    )
    assert "ExistsError" in run.failed and "(line 3)" in run.failed


def test_a_check_that_stumbles_is_a_finding(tmp_path: Path) -> None:
    text = "def run(fs):\n    fs.write_bytes('/n', b'7')\n    fs.fsync('/n')\n"
    text += "def check(fs):\n    int(fs.read_bytes('/n') + b'x')"
    run = record_user(written(tmp_path, text), UserOptions())
    report = UserExplorer(run).run(run.choose(20), stop_after=3)
    said = " ".join(line for one in report.violations for line in one.wrong)
    assert report.wrong and "(line 5)" in said and ("ValueError" in said or "NotFoundError" in said)


def test_powercut_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = str(EXAMPLES / "replace_without_fsync.py")
    assert main(["lab", "powercut", work, "--states", "60", "--stop", "1"]) == 1
    again = capsys.readouterr().out.splitlines()[-1]
    assert again.startswith("again: uberblock lab powercut")
    line = again.split("--state ")[1].strip('"')
    save = tmp_path / "state"
    assert main(["lab", "powercut", work, "--state", line, "--save", str(save)]) == 1
    assert "was promised" in capsys.readouterr().out and (save / "d0.img").exists()
    assert main(["lab", "powercut", work, "--sync", "always", "--states", "20", "-j"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["states"] == 20 and found["findings"] == []
    assert main(["lab", "powercut", work, "--state", line, "-j"]) == 1
    assert "was promised" in json.loads(capsys.readouterr().out)["wrong"][0]
    assert main(["lab", "powercut", work, "--save", str(save)]) == 2


# --- processes ---


def test_processes_are_killed(tmp_path: Path) -> None:
    places = [str(tmp_path / "a.img"), str(tmp_path / "b.img")]
    work = default_workload()
    assert prepare(["mirror", *places], 64 << 20, work) == places
    report = kill_rounds(work, places, KillOptions(rounds=4, seed=3, seconds=0.4, txg_seconds=0.1, whole=True))
    assert report.wrong == [] and report.rounds == 4 and report.acknowledged > 20 and report.ended == 0


def test_a_log_block_on_one_side_of_a_mirror_is_no_damage(tmp_path: Path) -> None:
    """What a process leaves that is killed between two writes; everything else that one side lacks is damage."""
    places = [str(tmp_path / "a.img"), str(tmp_path / "b.img")]
    work = default_workload()
    prepare(["mirror", *places], 64 << 20, work)
    other = tmp_path / "b.img"

    def look() -> list[str]:
        options = KillOptions(rounds=1, seed=1, whole=True)
        return kill._look(work, places, options, random.Random(1), [], kill.KillReport())

    for synced in (False, True):
        pool = open_pool(None, places, txg_seconds=0, force=True)
        pool.fs().write_bytes("/begun", b"")
        pool.fs().fsync("/begun")
        before = other.read_bytes()
        pool.fs().write_bytes("/more", b"more" * 1000)
        pool.fs().fsync("/more")
        if synced:
            pool.sync()
        pool.abandon()
        assert other.read_bytes() != before
        other.write_bytes(before)
        assert any(line.startswith("damaged") for line in look()) == synced


def test_a_lie_to_a_parent_is_found(tmp_path: Path) -> None:
    work = written(tmp_path, EARLY.replace("range(400)", "range(100000)"))
    prepare([str(tmp_path / "a.img")], 64 << 20, work)
    report = kill_rounds(work, [str(tmp_path / "a.img")], KillOptions(rounds=2, seed=1, seconds=0.5, txg_seconds=0.3))
    assert any("is gone" in line for line in report.wrong)


def test_kill_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "kill", "--rounds", "1", "--seconds", "0.2", "--dir", str(tmp_path), "-j"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rounds"] == 1 and found["wrong"] == [] and (tmp_path / "d0.img").exists()
    assert main(["lab", "kill", "--size", "3"]) == 2


@pytest.mark.judge
def test_processes_are_killed_on_files_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside another pool of the same name, which is not touched and which zdb is not asked about."""
    (tmp_path / "other").mkdir()
    names = [str(tmp_path / "other" / name) for name in ("other.img", "a.img", "log.img")]
    prepare(names[:1], 64 << 20, default_workload())
    before = Path(names[0]).read_bytes()
    layout = f"mirror {names[1]} . log {names[2]}"
    words = ["--rounds", "2", "--seconds", "0.3", "--size", "64", "--dir", str(tmp_path / "dir"), "-j"]
    assert main(["lab", "kill", "--layout", layout, *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rounds"] == 2 and found["zdb"] == []
    assert all(Path(name).exists() for name in names) and [p.name for p in (tmp_path / "dir").iterdir()] == ["d0.img"]
    assert Path(names[0]).read_bytes() == before
    for wrong in ("", "mirror .", "mirror"):
        assert main(["lab", "kill", "--layout", wrong, *words]) != 0
        assert "vdev specification" in capsys.readouterr().err
