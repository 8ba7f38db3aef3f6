"""The model of a file system against a real one; histories; differences in words."""

from __future__ import annotations

import os
import random
import stat
from pathlib import Path

import pytest
from uberblock.pool.lab.model import NAMED_MAX, History, ModelFs, Tree, differences


def real_tree(top: Path) -> Tree:
    """What the host's file system says, in the model's terms."""
    first: dict[int, str] = {}
    result: Tree = {}
    paths = [top, *sorted(top.rglob("*"))]
    for path in sorted(paths, key=lambda p: p.relative_to(top).as_posix()):
        found, name = path.lstat(), path.relative_to(top).as_posix()
        kind = {stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink", stat.S_IFREG: "file"}[stat.S_IFMT(found.st_mode)]
        facts: dict[str, object] = {"type": kind, "mode": stat.S_IMODE(found.st_mode), "nlink": found.st_nlink}
        if kind == "dir":
            facts["nlink"] = 2 + sum(child.is_dir() and not child.is_symlink() for child in path.iterdir())
        else:
            facts["same"] = first.setdefault(found.st_ino, name)
        if kind == "file":
            facts["size"], facts["data"] = found.st_size, path.read_bytes()
        elif kind == "symlink":
            facts["size"], facts["target"] = found.st_size, os.readlink(path)  # noqa: PTH115
        result[name] = facts
    return result


def step(rng: random.Random, model: ModelFs, top: Path) -> None:
    """One operation on both; either both go well or both fail with the same kind of error."""
    word = rng.choice(["create", "mkdir", "write", "truncate", "rename", "unlink", "rmdir", "link", "symlink", "chmod"])
    old = rng.choice(["", *model.paths()])
    folder = rng.choice(["", *model.paths()])
    new = f"{folder}/{rng.choice('abcd')}" if folder else rng.choice("abcd")
    size, data = rng.randrange(5000), rng.randbytes(rng.randrange(1, 3000))

    def real_write() -> None:
        with (top / old).open("r+b") as file:
            file.seek(size)
            file.write(data)

    def unlink() -> None:
        if (top / old).is_dir() and not (top / old).is_symlink():
            raise IsADirectoryError(old)
        (top / old).unlink()

    real = {
        "create": lambda: os.close(os.open(top / new, os.O_CREAT | os.O_EXCL, 0o644)),
        "mkdir": lambda: (top / new).mkdir(),
        "write": real_write,
        "truncate": lambda: os.truncate(top / old, size),
        "rename": lambda: (top / old).rename(top / new),
        "unlink": unlink,
        "rmdir": lambda: (top / old).rmdir(),
        "link": lambda: os.link(top / old, top / new, follow_symlinks=False),
        "symlink": lambda: (top / new).symlink_to("no/where"),
        "chmod": lambda: (top / old).chmod(0o640),
    }
    mine = {
        "create": lambda: model.create(new),
        "mkdir": lambda: model.mkdir(new),
        "write": lambda: model.write(old, size, data),
        "truncate": lambda: model.truncate(old, size),
        "rename": lambda: model.rename(old, new),
        "unlink": lambda: model.unlink(old),
        "rmdir": lambda: model.rmdir(old),
        "link": lambda: model.link(old, new),
        "symlink": lambda: model.symlink("no/where", new),
        "chmod": lambda: model.chmod(old, 0o640),
    }
    if not old or (word in ("write", "truncate", "chmod") and model.node(old).type != "file"):
        return
    outcomes = []
    for act in (real[word], mine[word]):
        try:
            act()
            outcomes.append("")
        except OSError as error:
            outcomes.append("failed" if word == "link" else str(error.errno or type(error).__name__))
    assert bool(outcomes[0]) == bool(outcomes[1]), (word, old, new, outcomes)


@pytest.mark.parametrize("seed", range(4))
def test_the_model_does_what_the_host_does(seed: int, tmp_path: Path) -> None:
    rng, model = random.Random(seed), ModelFs()
    tmp_path.chmod(0o755)
    before = os.umask(0o022)
    try:
        for name in "ab":
            model.mkdir(name)
            (tmp_path / name).mkdir()
        for _ in range(150):
            step(rng, model, tmp_path)
        expected = {path: {k: v for k, v in facts.items() if k != "xattrs"} for path, facts in model.tree().items()}
        assert differences({"t": expected}, {"t": real_tree(tmp_path)}) == []
        assert len(expected) > 5
    finally:
        os.umask(before)


def test_states_that_were_taken_stay_as_they_were() -> None:
    model = ModelFs()
    model.create("a")
    model.write("a", 5, b"first")
    taken = model.tree()
    model.write("a", 0, b"later")
    model.setxattr("a", "user.x", b"1")
    assert taken["a"]["data"] == bytes(5) + b"first" and taken["a"]["xattrs"] == {}
    assert model.tree()["a"]["data"] == b"laterfirst" and model.tree()["a"]["xattrs"] == {"user.x": b"1"}


def test_history() -> None:
    history = History()
    assert history.at(5) is None
    history.commit(4, {"t": {}})
    history.commit(7, {"t": {}, "t/x": {}})
    with pytest.raises(ValueError):
        history.commit(7, {})
    assert [history.place(txg) for txg in (3, 4, 6, 7, 100)] == [-1, 0, 0, 1, 1]
    found = history.at(6)
    assert found is not None and list(found) == ["t"]


def test_differences_in_words() -> None:
    model = ModelFs()
    model.create("a")
    model.write("a", 0, b"x")
    tree = model.tree()
    assert differences({"t": tree}, {"t": {**tree, ".": {**tree["."], "object": 34}}}) == []
    model.write("a", 0, b"y")
    model.mkdir("d")
    lines = differences({"t": tree, "u": {}}, {"t": model.tree()})
    assert lines[0].startswith("t:/.: nlink is 3, not 2")
    assert lines[1].startswith("t:/a: data is 1 bytes a1fce436") and "not 1 bytes 2d711642" in lines[1]
    assert lines[2:] == ["t:/d: should not be there", "u: missing"]
    many = {str(n): {"type": "file"} for n in range(100)}
    assert differences({"t": many}, {"t": {}})[-1] == f"and {100 - NAMED_MAX} more differences"
