"""Our half of it: making a pool, saying what must be in it, reading what the kernel left, and going on."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelrun.cases import Case, Dataset
from kernelrun.fill import FILLINGS, volume_data
from kernelrun.tree import walk
from uberblock.pool import import_pool
from uberblock.pool.lab.judges import command_complaints, zdb_complaints
from uberblock.pool.lab.model import ModelFs
from uberblock.pool.lab.steps import Workload
from uberblock.pool.manifest import entries
from uberblock.pool.poolcreate import open_pool

Entry = dict[str, Any]
Tree = dict[str, Entry]
ACLS = ("system.posix_acl_access", "system.posix_acl_default")
#: Facts that what was put in says; a directory's size is the file system's own.
FACTS = ("type", "mode", "uid", "gid", "nlink", "size", "mtime_ns", "sha256", "target", "rdev", "xattr")
#: Between two txgs where threads write.
TXG_SECONDS = 0.05


@dataclass
class Made:
    """A pool that was made.

    Attributes:
        images: in the order of the layout.
        kinds: every dataset and what it is.
        trees: what file systems hold, as far as it is known. volumes: checksums of volumes.
        models: of file systems that a workload has changed; what they do not say is not compared.
    """

    case: Case
    folder: Path
    images: list[Path]
    kinds: dict[str, str] = field(default_factory=dict)
    trees: dict[str, Tree] = field(default_factory=dict)
    volumes: dict[str, str] = field(default_factory=dict)
    models: dict[str, ModelFs] = field(default_factory=dict)


# --- making -----------------------------------------------------------------------------------------------------------


def command(*words: object) -> None:
    """A command of the package, as a user would run it.

    Raises:
        RuntimeError: it fails.
    """
    line = [sys.executable, "-m", "uberblock.pool.cli.main", *(str(word) for word in words)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(line[3:])}: status {done.returncode}: {done.stderr.strip()}")


def source(filling: str, work: Path, seed: int) -> Path:
    """The folder with a filling, made when it is needed."""
    top = work / f"source-{filling}-{seed}"
    if not top.exists():
        FILLINGS[filling](top, f"{seed}/{filling}")
    return top


def make(case: Case, work: Path, seed: int) -> Made:
    """Make a pool and fill it; it is exported in the end."""
    folder = work / case.name
    folder.mkdir(parents=True)
    images = [folder / f"{case.name}-d{number}.img" for number in range(case.images)]
    waiting = iter(images)
    words = [str(next(waiting)) if word == "." else word for word in case.words.split()]
    made = Made(case, folder, images, kinds={case.name: "filesystem"})
    state = folder / "state"
    os.environ["XDG_STATE_HOME"] = str(state)  # these pools are nobody's
    if case.how == "mkfs":
        _mkfs(made, words, work, seed)
    else:
        _create(made, words, work, seed)
    return made


def _create(made: Made, words: list[str], work: Path, seed: int) -> None:
    case = made.case
    command("zpool", "create", "--size", case.size, *case.options, case.name, *words)
    for one in case.datasets:
        name = f"{case.name}/{one.name}"
        command("zfs", "create", "-d", made.folder, *one.words, name)
        made.kinds[name] = "volume" if one.filling == "volume" else "filesystem"
        if one.filling in FILLINGS:
            folder = source(one.filling, work, seed)
            readonly = "readonly=on" in one.words
            if readonly:
                command("zfs", "set", "-d", made.folder, "readonly=off", name)
            command("cp", "-d", made.folder, "-r", "-q", f"{folder}/", f"{name}:/")
            if readonly:
                command("zfs", "set", "-d", made.folder, "readonly=on", name)
            made.trees[name] = expected(folder, one)
    with (
        open_pool(case.name, [str(made.folder)], txg_seconds=TXG_SECONDS if case.threads else 0) as pool,
        ThreadPoolExecutor(len(case.datasets) if case.threads else 1) as threads,
    ):
        churning: list[Future[None]] = []
        for one in case.datasets:
            name = f"{case.name}/{one.name}"
            if one.filling == "volume":
                volume = pool.volume(name)
                data = volume_data(volume.size, f"{seed}/{name}")
                volume.open().pwrite(data, 0)  # type: ignore[attr-defined]
                made.volumes[name] = hashlib.sha256(data).hexdigest()
            elif one.filling == "churn":
                model = made.models.setdefault(name, ModelFs())
                rng = random.Random(f"{seed}/{name}")
                churning.append(threads.submit(churn, pool, name, model, rng, case.steps))
                if not case.threads:
                    churning[-1].result()
        for one_churn in churning:
            one_churn.result()


def churn(pool: Any, name: str, model: ModelFs, rng: random.Random, steps: int) -> None:
    """Random changes of one file system."""
    work = Workload(pool, rng, lambda line: None, models={name: model})
    for number in range(steps):
        work._change(name)
        if number % 40 == 39:
            work.sync()


def _mkfs(made: Made, words: list[str], work: Path, seed: int) -> None:
    case = made.case
    datasets: list[str] = []
    for one in case.datasets:
        name, folder = f"{case.name}/{one.name}", source(one.filling, work, seed)
        datasets += ["--dataset", f"/{one.name}:{','.join(one.words)}={folder}"]
        made.kinds[name] = "filesystem"
        made.trees[name] = expected(folder, one)
    options = ["--vdev-type", "disk", "--label-path", "/dev/ub/{stem}", "--seed", str(seed), "--free", "60M", "-q"]
    command("mkfs", *case.options, *options, *datasets, case.name, *words)


def expected(folder: Path, one: Dataset) -> Tree:
    """What a dataset shows that was filled from a folder."""
    tree = walk(folder)
    acls = any("acltype=posix" in word for word in one.words)
    top = tree.pop(".")
    for entry in tree.values():
        _known(entry, acls)
    return tree | {".": {"type": "dir", "nlink": top["nlink"]}}


def _known(entry: Entry, acls: bool) -> None:
    entry.pop("object")
    if entry["type"] == "dir":
        entry.pop("size")
    if not acls and "xattr" in entry:
        entry["xattr"] = {name: value for name, value in entry["xattr"].items() if name not in ACLS}
        if not entry["xattr"]:
            del entry["xattr"]


# --- judging ----------------------------------------------------------------------------------------------------------


def judged(made: Made, zdb: str, judge: str, when: str) -> list[str]:
    """What the judges have against a pool on its images."""
    said = zdb_complaints(zdb, made.folder, made.case.name)
    if judge:
        said += command_complaints(judge, made.folder, made.case.name)
    return [f"{when}: {line}" for line in said]


def readable(made: Made, result: dict[str, Any]) -> list[str]:
    """What is wrong with what the kernel found, and with what we read of what it left."""
    said: list[str] = list(result["problems"])
    if result.get("import", "").strip():
        said.append(f"import said {result['import']!r}")
    for name, found in result.get("before", {}).items():
        if "problem" in found:
            said.append(f"{name}: {found['problem']}")
        elif name in made.trees:
            said += differences(name, made.trees[name], found["tree"])
        elif name in made.models:
            said += differences(name, of_model(made.models[name]), found["tree"])
        elif name in made.volumes and found["volume_sha256"] != made.volumes[name]:
            said.append(f"{name}: the volume's content differs")
    for status in ("scrubbed", "status"):
        text = result.get(status, "")
        if "errors: No known data errors" not in text or "state: ONLINE" not in text:
            said.append(f"{status}: {text}")
    if "with 0 errors" not in result.get("scrubbed", "") or "repaired 0B" not in result["scrubbed"]:
        said.append(f"scrub: {result.get('scrubbed')}")
    return said + left(made, result)


def left(made: Made, result: dict[str, Any]) -> list[str]:
    """What the kernel says is there, against what we read."""
    after: dict[str, Any] = result.get("after") or {}
    found: dict[str, Tree] = {}
    said = []
    with import_pool(made.case.name, [str(made.folder)]) as pool:
        for entry in entries(pool):
            found.setdefault(entry.pop("dataset"), {})[entry.pop("path", "")] = entry
        report = pool.verify()
        if not report.clean:
            said.append(f"verify: {report}")
    for name, facts in after.items():
        if name not in found:
            said.append(f"{name}: not there")
        elif "volume_sha256" in facts:
            if found[name][""].get("sha256") != facts["volume_sha256"]:
                said.append(f"{name}: the volume reads otherwise here")
        elif "tree" in facts:
            # On these others are mounted: the kernel shows what is in those.
            below = {other.rpartition("/")[2] for other in after if other.rpartition("/")[0] == name}
            tree = {path: entry for path, entry in found[name].items() if path not in below}
            said += differences(f"{name} (here)", facts["tree"], tree)
    return said


def differences(name: str, wanted: Tree, found: Tree) -> list[str]:
    """How a tree differs from what it should be; only facts that are wanted count."""
    said = []
    for path in sorted({*wanted, *found}):
        if path not in wanted or path not in found:
            said.append(f"{name}:/{path!r} {'is missing' if path in wanted else 'should not be there'}")
            continue
        for fact in {*FACTS, *wanted[path]}:
            told = fact in wanted[path] or (fact == "xattr" and len(wanted[path]) > 2)
            if told and found[path].get(fact) != wanted[path].get(fact):
                said.append(f"{name}:/{path!r}: {fact} is {found[path].get(fact)!r}, not {wanted[path].get(fact)!r}")
    return said if len(said) <= 8 else [*said[:8], f"{name}: {len(said) - 8} more differences"]


def of_model(model: ModelFs) -> Tree:
    """A model's tree as entries of a manifest."""
    result: Tree = {}
    for path, facts in model.tree().items():
        entry: Entry = {"type": facts["type"], "mode": f"{facts['mode']:04o}", "nlink": facts["nlink"]}
        if "size" in facts:
            entry["size"] = facts["size"]
        if "data" in facts:
            entry["sha256"] = hashlib.sha256(facts["data"]).hexdigest()
        if "target" in facts:
            entry["target"] = facts["target"]
        if facts["xattrs"]:
            entry["xattr"] = {
                key: value.hex() if len(value) <= 64 else
                {"size": len(value), "sha256": hashlib.sha256(value).hexdigest()}
                for key, value in facts["xattrs"].items()
            }  # fmt: skip
        result[path] = entry
    return result


# --- going on ---------------------------------------------------------------------------------------------------------


def go_on(made: Made, result: dict[str, Any], seed: int) -> None:
    """Change the pool that the kernel left, in every dataset, and hold a few things against what was done."""
    rng = random.Random(f"{seed}/{made.case.name}/again")
    data = rng.randbytes(300_000)
    with open_pool(made.case.name, [str(made.folder)], txg_seconds=0) as pool:
        for name, facts in result["after"].items():
            if "volume_sha256" in facts:
                volume = pool.volume(name).open()
                volume.pwrite(data[:100_000], 4096)  # type: ignore[attr-defined]
                continue
            vfs = pool.fs(name)
            if vfs.filesystem.readonly:
                continue
            _change(vfs)
            vfs.write_bytes("/from us", data)
        pool.sync()
        pool.create_filesystem(f"{made.case.name}/ours").write_bytes("/x", data)
        model = ModelFs()
        pool.create_filesystem(f"{made.case.name}/churned")
        churn(pool, f"{made.case.name}/churned", model, rng, 60)
        if f"{made.case.name}/made-by-the-kernel" in result["after"]:
            pool.destroy(f"{made.case.name}/made-by-the-kernel")
    made.kinds |= {f"{made.case.name}/{name}": "filesystem" for name in ("ours", "churned")}
    with import_pool(made.case.name, [str(made.folder)]) as pool:
        if not pool.verify().clean:
            raise AssertionError(f"verify: {pool.verify()}")
        found: Tree = {}
        for entry in entries(pool, f"{made.case.name}/churned"):
            found[entry["path"]] = entry
        wrong = differences("churned", of_model(model), found)
        if wrong:
            raise AssertionError(json.dumps(wrong))


def _change(vfs: Any) -> None:
    """Change what the kernel made."""
    if not vfs.exists("/kernel"):
        return
    with vfs.open("/kernel/large", "rb+") as file:
        file.seek(70_000)
        file.write(b"ours" * 50_000)
        file.truncate(2_000_000)
    with vfs.open("/kernel/copy", "ab") as file:
        file.write(b"appended")
    vfs.chmod("/kernel/copy", 0o600)
    vfs.setxattr("/kernel/copy", "user.ours", b"o" * 4000)
    vfs.removexattr("/kernel/copy", "user.kernel")
    vfs.rename("/kernel/short", "/kernel/deep/short")
    vfs.unlink("/kernel/hard")
    vfs.rmtree("/kernel/deep")
    for number in range(50):
        vfs.write_bytes(f"/kernel/new{number}", b"n" * number * 100)
