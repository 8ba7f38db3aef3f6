"""Commands that make and change pools, datasets and properties."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from uberblock.pool.env import Env
from uberblock.pool.poolcreate import create_pool, open_pool

Run = Callable[..., "object"]


@pytest.fixture
def tank(run, tmp_path: Path) -> Path:
    """A folder with a pool of three files, which commands find by its name."""
    words = ["-o", "comment=first", "-O", "compression=zstd", "--size", "64M"]
    images = [tmp_path / f"{letter}.img" for letter in "abc"]
    result = run("zpool", "create", *words, "tank", "raidz1", *images)
    assert (result.status, result.err) == (0, "")
    return tmp_path


def test_the_life_of_a_pool(run, tank: Path) -> None:
    assert run("zpool", "list", "-H", "-o", "name,health").out == "tank\tONLINE\n"
    assert run("zfs", "create", "-p", "-o", "recordsize=1M", "tank/a/b").status == 0
    assert run("zfs", "create", "-p", "tank/a/b").status == 0
    assert run("zfs", "create", "tank/a/b").status == 1
    assert run("zfs", "create", "-s", "-V", "10000K", "-b", "32K", "tank/v").status == 0
    got = run("zfs", "get", "-Hp", "-o", "value", "recordsize,compression", "tank/a/b").lines
    assert got == ["1048576", "zstd"]
    assert run("zfs", "get", "-Hp", "-o", "value", "volsize", "tank/v").lines == [str(10016 << 10)]
    assert run("zfs", "set", "quota=10M", "atime=off", "x:y=z", "tank/a").status == 0
    assert run("zfs", "get", "-H", "-o", "value,source", "quota,atime,x:y", "tank/a").lines == [
        "10M\tlocal", "off\tlocal", "z\tlocal",
    ]  # fmt: skip
    assert run("zfs", "inherit", "-r", "x:y", "tank").status == 0
    assert run("zfs", "inherit", "atime", "tank/a").status == 0
    assert run("zfs", "get", "-H", "-o", "source", "atime", "tank/a").out == "default\n"
    assert run("zpool", "set", "feature@longname=enabled", "tank").status == 0
    assert run("zpool", "get", "-H", "-o", "value", "feature@longname", "tank").out == "enabled\n"
    result = run("zfs", "destroy", "tank/a")
    assert result.status == 1 and "-r" in result.err
    assert run("zfs", "destroy", "-rnv", "tank/a").out == "would destroy tank/a/b\nwould destroy tank/a\n"
    assert run("zfs", "destroy", "-r", "tank/a").status == 0
    assert run("zfs", "list", "-H", "-o", "name").out == "tank\ntank/v\n"
    commands = [line.partition(" ")[2] for line in run("zpool", "history", "tank").lines[1:] if line]
    assert commands[0].startswith("uberblock zpool create -o comment=first")
    assert commands[1] == "uberblock zfs create -p -o recordsize=1M tank/a/b"
    assert commands[-1] == "uberblock zfs destroy -r tank/a"


def test_pools_are_found_by_the_cache_file(run, tank: Path) -> None:
    assert run("zpool", "export", "tank").status == 0
    assert run("zpool", "list", "-H", "-o", "name", "tank").status == 1
    assert run("zpool", "export", "tank").status == 1
    moved = tank / "elsewhere"
    moved.mkdir()
    for image in tank.glob("*.img"):
        image.rename(moved / image.name)
    assert run("zpool", "import", "-d", moved, "tank").status == 0
    assert run("zpool", "list", "-H", "-o", "name", "tank").out == "tank\n"
    assert run("zpool", "destroy", "tank").status == 0
    assert run("zpool", "list", "-H", "-o", "name", "tank").status == 1
    found = json.loads(run("zpool", "import", "-D", "-j", "-d", moved).out)["pools"].values()
    assert [one["name"] for one in found] == ["tank"]


def test_spares_and_caches_are_found_by_the_cache_file(run, tmp_path: Path) -> None:
    """Only the tree's devices were remembered: spares and caches of every pool showed as UNAVAIL."""
    places = [tmp_path / name for name in ("a", "b", "c", "d")]
    words = [places[0], "spare", *places[1:3], "cache", places[3]]
    assert run("zpool", "create", "--size", "64M", "p", *words).status == 0
    shown = run("zpool", "status", "p").out
    assert shown.count("AVAIL") == 2 and "UNAVAIL" not in shown and "cannot open" not in shown
    assert run("zpool", "import", "-d", tmp_path, "p").status == 0
    assert "UNAVAIL" not in run("zpool", "status", "p").out


def test_names_of_this_machine_alone(run, tmp_path: Path) -> None:
    """-R, altroot and -t are never on disk; a pool made so is not remembered."""
    create = ["zpool", "create", "-f", "--size", "64M"]
    for words in (["-R", "/mnt"], ["-o", "altroot=/mnt"], ["-t", "short"]):
        assert run(*create, *words, "p", tmp_path / "a").status == 0
        assert run("zpool", "list", "p").status == 1
        assert run("zpool", "list", "-H", "-o", "name,altroot", "-d", tmp_path, "p").out == "p\t-\n"
    assert "absolute" in run(*create, "-R", "mnt", "p", tmp_path / "a").err
    assert "twice" in run(*create, "-R", "/mnt", "-o", "altroot=/mnt", "p", tmp_path / "a").err
    assert "reserved" in run(*create, "-t", "mirror", "p", tmp_path / "a").err
    assert run(*create, "-R", "/mnt", "-o", "cachefile=", "p", tmp_path / "a").status == 0
    assert run("zpool", "list", "p").status == 0


def test_layouts_are_shown_in_the_order_of_zpool(run, tmp_path: Path) -> None:
    words = ["a", "special", "b", "log", "c", "dedup", "d", "cache", "e", "spare", "f"]
    files = [word if word.isalpha() and len(word) > 1 else tmp_path / word for word in words]
    lines = run("zpool", "create", "-n", "--size", "64M", "p", *files).lines
    assert [line.strip() for line in lines if str(tmp_path) not in line][2:] == [
        "p", "dedup", "special", "logs", "cache", "spares",
    ]  # fmt: skip


def test_creating_is_told_and_tried(run, tank: Path) -> None:
    assert run("zfs", "create", "-n", "tank/a").out == ""
    told = run("zfs", "create", "-nv", "-o", "recordsize=1M", "tank/a")
    assert told.lines == ["would create tank/a", "\trecordsize=1M"]
    assert run("zfs", "create", "-nv", "tank/no/a").status == 1
    assert run("zfs", "create", "-nv", "-V", "1T", "tank/v").status == 1  # there is no room to reserve it
    assert run("zfs", "list", "-H", "-o", "name").out == "tank\n"
    assert run("zfs", "create", "-Pps", "-V", "1000K", "-b", "8K", "-o", "x:y=z", "tank/a/v").lines == [
        "create_ancestors\ttank/a/v", "create\ttank/a/v", "property\tvolsize\t1024000",
        "property\tvolblocksize\t8192", "property\tx:y\tz",
    ]  # fmt: skip
    (line,) = [line for line in run("zfs", "create", "-Pn", "-V", "1M", "tank/w").lines if "refreservation" in line]
    assert int(line.rpartition("\t")[2]) > 1 << 20


def test_destroying_all_below_a_pool_keeps_its_root(run, tank: Path) -> None:
    """All datasets were destroyed, and then the command failed at the root dataset."""
    assert run("zfs", "create", "-p", "tank/a/b").status == 0
    assert run("zfs", "destroy", "tank").status == 2
    assert run("zfs", "destroy", "-rnp", "tank").lines == ["destroy\ttank/a/b", "destroy\ttank/a"]
    assert run("zfs", "destroy", "-R", "tank").status == 0
    assert run("zfs", "list", "-H", "-o", "name").out == "tank\n"


def test_dry_runs_make_nothing(run, tmp_path: Path) -> None:
    images = [tmp_path / f"{letter}.img" for letter in "abcde"]
    words = ["t", "mirror", *images[:2], "log", images[2], "special", images[3], "cache", images[4]]
    result = run("zpool", "create", "-f", "-n", "--size", "64M", *words)
    assert [line.strip() for line in result.lines[2:]] == [
        "t", "mirror", str(images[0]), str(images[1]), "special", str(images[3]), "logs", str(images[2]), "cache",
        str(images[4]),
    ]  # fmt: skip
    assert not list(tmp_path.glob("*.img"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create", "--size", "64M", "log", "y.img"], "reserved"),
        (["create", "--size", "64M", "t", "mirror", "y.img"], "at least 2"),
        (["create", "--size", "1M", "t", "y.img"], "64"),
        (["create", "--size", "64M", "-o", "nope=1", "t", "y.img"], "no pool property"),
        (["create", "--size", "64M", "-O", "recordsize=3K", "t", "y.img"], "power of two"),
        (["create", "--size", "64M", "-o", "ashift", "t", "y.img"], "PROPERTY=VALUE"),
        (["create", "--size", "64M", "-d", "-O", "checksum=skein", "t", "y.img"], "needs the feature skein"),
        (["create", "t", "./nothing.img"], "cannot resolve"),
        (["set", "size=1", "tank"], "read-only"),
        (["set", "failmode=maybe", "tank"], "wait"),
        (["labelclear", "a.img"], "exported pool"),
        (["create", "--size", "64M", "t", "a.img"], "part of exported pool 'tank'"),
    ],
)
def test_refusals(run, tank: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str) -> None:
    monkeypatch.chdir(tank)
    result = run("zpool", *words)
    assert result.status in (1, 2)
    assert said in result.err
    assert "Traceback" not in result.err
    assert sorted(path.name for path in tank.glob("*.img")) == ["a.img", "b.img", "c.img"]


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["set", "used=1", "tank"], 2), (["set", "tank"], 2), (["set", "a=b"], 2), (["set", "quota=1", "tank/no"], 1),
        (["inherit", "quota", "tank"], 2), (["create", "tank"], 2), (["create", "-s", "tank/x"], 2),
        (["destroy", "tank"], 2), (["destroy", "tank@x"], 2), (["create", "tank/a/b"], 1), (["nope"], 2),
    ],
)  # fmt: skip
def test_wrong_use(run, tank: Path, words: list[str], status: int) -> None:
    result = run("zfs", *words)
    assert result.status == status
    assert len(result.err.splitlines()) == 1


def test_an_all_or_nothing_set(run, tank: Path) -> None:
    assert run("zfs", "set", "atime=off", "quota=1K", "tank").status == 1
    assert run("zfs", "get", "-H", "-o", "value", "atime", "tank").out == "on\n"


def test_labelclear(run, tank: Path) -> None:
    assert run("zpool", "labelclear", "-f", tank / "a.img").status == 0
    assert run("zpool", "labelclear", "-f", tank / "a.img").status == 1
    assert run("zpool", "status", "tank").out.count("UNAVAIL") >= 1


@pytest.mark.parametrize(
    "words",
    [["zpool", name] for name in ("create", "destroy", "export", "labelclear", "set")]
    + [["zfs", name] for name in ("create", "destroy", "set", "inherit")]
    + [[name] for name in ("cp", "mkdir", "rm", "mv", "ln")],
)
def test_help_teaches(run, words: list[str]) -> None:
    result = run(*words, "--help")
    assert result.status == 0
    assert "example" in result.out and f"uberblock {' '.join(words)}" in result.out


def test_a_pool_that_another_machine_did_not_export(run, tmp_path: Path) -> None:
    """Two writers at the same time destroy a pool."""
    env = Env.fixed(3, hostname="elsewhere", hostid=0x1234)
    create_pool("tank", [str(tmp_path / "a.img")], size=64 << 20, env=env, txg_seconds=0).close()
    open_pool("tank", [str(tmp_path)], env=env, txg_seconds=0).abandon()  # nothing written: it counts as exported
    assert run("zfs", "set", "x:y=1", "-d", tmp_path, "tank").status == 0
    pool = open_pool("tank", [str(tmp_path)], env=env, txg_seconds=0)
    pool.create_filesystem("tank/a")
    pool.sync()
    pool.abandon()
    result = run("zfs", "set", "x:y=1", "-d", tmp_path, "tank")
    assert result.status == 1 and "elsewhere" in result.err
    assert run("zfs", "list", "-d", tmp_path).status == 0
    assert run("zpool", "export", "-d", tmp_path, "tank").status == 1
    assert run("zpool", "export", "-f", "-d", tmp_path, "tank").status == 0
    assert run("zfs", "set", "x:y=1", "-d", tmp_path, "tank").status == 0


@pytest.mark.judge
def test_zdb_finds_what_commands_made(run, judge: Callable[[str], str], tank: Path) -> None:
    assert run("zfs", "create", "-o", "recordsize=1M", "tank/a").status == 0
    assert run("zfs", "create", "-V", "4M", "tank/v").status == 0
    assert run("cp", "-r", Path(__file__).parent, "tank/a:/").status == 0
    assert run("rm", "tank/a:/cli/conftest.py").status == 0
    assert run("zfs", "destroy", "tank/v").status == 0
    done = subprocess.run([judge("zdb"), "-e", "-p", tank, "-bcc", "tank"], capture_output=True, text=True, check=True)
    assert "No leaks" in done.stdout
