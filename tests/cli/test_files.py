"""``ls``, ``cat``, ``cp``, ``manifest`` and ``verify``."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

HOME = "tank-damaged/home"


def files_of(pool, dataset):
    return pool.manifest["datasets"][dataset]["tree"]


def test_ls(run, pools):
    pool = pools("damaged")
    top = {path for path in files_of(pool, HOME) if path != "." and "/" not in path}
    assert set(run("ls", "-d", pool.dir, f"{HOME}:/").lines) == top
    entries = json.loads(run("ls", "-j", "-d", pool.dir, f"{HOME}:/").out)["directories"][0]["entries"]
    for entry in entries:
        expected = files_of(pool, HOME)[entry["name"]]
        assert (entry["object"], entry["nlink"], entry["mtime_ns"]) == (
            expected["object"], expected["nlink"], expected["mtime_ns"],
        )  # fmt: skip
    long = run("ls", "-l", "-d", pool.dir, f"{HOME}:/")
    assert all(line[0] in "d-lpscb" for line in long.lines) and len(long.lines) == len(top)


def test_cat(pools):
    pool = pools("damaged")
    program = [sys.executable, "-m", "uberblock.pool.cli.main", "cat", "-d", str(pool.dir)]
    chosen = [(p, e) for p, e in files_of(pool, HOME).items() if e.get("sha256") and 0 < e["size"] < 1 << 20]
    for path, entry in chosen[:: max(1, len(chosen) // 5)]:
        done = subprocess.run([*program, f"{HOME}:/{path}"], capture_output=True, check=True)
        assert hashlib.sha256(done.stdout).hexdigest() == entry["sha256"], path


def test_cat_gives_a_volume(pools):
    pool = pools("damaged")
    name, volume = next((n, d) for n, d in pool.manifest["datasets"].items() if "volume_sha256" in d)
    program = [sys.executable, "-m", "uberblock.pool.cli.main", "cat", "-d", str(pool.dir), name]
    done = subprocess.run(program, capture_output=True, check=True)
    assert hashlib.sha256(done.stdout).hexdigest() == volume["volume_sha256"]


def test_cp_keeps_what_files_are(run, pools, tmp_path):
    pool = pools("damaged")
    out = tmp_path / "out"
    assert run("cp", "-r", "-d", pool.dir, f"{HOME}:/", out).status == 0
    for path, entry in files_of(pool, HOME).items():
        place = os.fsencode(out) + b"/" + os.fsencode(path)
        found = os.lstat(place)
        if entry["type"] in ("char", "block") and os.geteuid() != 0:
            continue
        assert found.st_mtime_ns == entry["mtime_ns"] or (entry["type"] == "dir" and path == "."), path
        if entry["type"] == "file":
            assert found.st_size == entry["size"], path
            assert oct(found.st_mode & 0o7777)[2:].zfill(4) == entry["mode"], path
            if entry.get("sha256") and entry["size"] < 1 << 24:
                content = Path(os.fsdecode(place)).read_bytes()
                assert hashlib.sha256(content).hexdigest() == entry["sha256"], path
            assert found.st_blocks * 512 <= entry["size"] + (1 << 20), f"{path} lost its holes"
        elif entry["type"] == "symlink":
            assert str(Path(os.fsdecode(place)).readlink()) == entry["target"]


def test_cp_to_a_tar_stream(pools):
    pool = pools("names")
    program = [sys.executable, "-m", "uberblock.pool.cli.main", "cp", "-r", "-d", str(pool.dir)]
    name = next(n for n, d in pool.manifest["datasets"].items() if len(d.get("tree", ())) > 20)
    done = subprocess.run([*program, f"{name}:/", "-"], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        members = {m.name.removeprefix("./").rstrip("/"): m for m in archive.getmembers()}
    expected = {path for path, entry in files_of(pool, name).items() if entry["type"] != "socket" and path != "."}
    assert expected <= set(members)


@pytest.mark.parametrize("kind", ["damaged", "names", "version28"])
def test_manifest_agrees_with_openzfs(run, pools, tmp_path, kind):
    pool = pools(kind)
    reference = tmp_path / "manifest.json"
    reference.write_text(json.dumps(pool.manifest))
    result = run("manifest", "-q", "-d", pool.dir, "--check", reference, pool.manifest["pool"])
    assert result.status == 0, result.out


def test_manifest_notices_a_difference(run, pools, tmp_path):
    pool = pools("rewind")
    lines = run("manifest", "-q", "-d", pool.dir, "tank-rewind").lines
    entries = [json.loads(line) for line in lines]
    changed = next(i for i, e in enumerate(entries) if e.get("sha256"))
    entries[changed]["sha256"] = "0" * 64
    reference = tmp_path / "manifest.jsonl"
    reference.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    result = run("manifest", "-q", "-d", pool.dir, "--check", reference, "tank-rewind")
    assert result.status == 1
    assert entries[changed]["path"] in result.out
    reference.write_text("".join(line + "\n" for line in lines[1:]))
    assert run("manifest", "-q", "-d", pool.dir, "--check", reference, "tank-rewind").status == 1


def test_verify_of_a_whole_pool(run, pools):
    result = run("verify", "-q", "-d", pools("names").dir, "tank-names")
    assert result.status == 0
    assert "no damage found" in result.out


def test_verify_names_damage(run, pools):
    result = run("verify", "-q", "-j", "-d", pools("damaged").dir, "tank-damaged")
    assert result.status == 1
    report = json.loads(result.out)
    assert not report["clean"] and report["complete"] and report["lost_blocks"] == 0
    assert set(report["errors_by_vdev"]) == {"d1.img", "d2.img"}
    assert any(block["path"].startswith(f"{HOME}") for block in report["damaged"])
    text = run("verify", "-q", "-d", pools("damaged").dir, "tank-damaged").out
    assert "All data is still readable" in text


def test_ls_of_several_things(run, pools):
    """Each is listed below its name; what is not there is told and does not hide the others."""
    folder = pools("damaged").dir
    result = run("ls", "-d", folder, f"{HOME}:/", f"{HOME}:/nope", f"{HOME}:/links")
    assert result.status == 1 and result.err.count("\n") == 1
    assert f"{HOME}:/:" in result.lines and f"{HOME}:/links:" in result.lines


def test_ls_follows_a_link_to_a_directory(run, pools):
    folder = pools("damaged").dir
    followed = run("ls", "-d", folder, f"{HOME}:/links/self-dir").lines
    assert followed == run("ls", "-d", folder, f"{HOME}:/links").lines
    assert run("ls", "-l", "-d", folder, f"{HOME}:/links/self-dir").out.endswith("/links/self-dir -> .\n")


def test_ls_shows_odd_names_safely(run, pools):
    names = run("ls", "-d", pools("damaged").dir, f"{HOME}:/names").lines
    assert {"latin1-\\xe9\\xff", "new\\x0aline", "tab\\x09here", "with space"} <= set(names)


def test_cp_of_files_links_and_volumes(run, pools, tmp_path):
    pool = pools("damaged")
    odd = "names/latin1-\udce9\udcff"
    for source in (odd, "links/short"):
        assert run("cp", "-q", "-d", pool.dir, f"{HOME}:/{source}", tmp_path).status == 0
    assert os.path.exists(os.fsencode(tmp_path) + b"/latin1-\xe9\xff")  # noqa: PTH110 (not UTF-8)
    assert not (tmp_path / "short").is_symlink()
    assert run("cp", "-rq", "-d", pool.dir, f"{HOME}:/links/short", tmp_path / "link").status == 0
    assert (tmp_path / "link").is_symlink()
    volume = next(n for n, d in pool.manifest["datasets"].items() if "volume_sha256" in d)
    assert run("cp", "-q", "-d", pool.dir, volume, f"{HOME}:/links/target", tmp_path).status == 0
    content = (tmp_path / volume.rpartition("/")[2]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == pool.manifest["datasets"][volume]["volume_sha256"]
    assert (tmp_path / "target").is_file()


def test_cp_of_a_folder_into_a_folder(run, pools, tmp_path):
    """A directory goes into a folder that is there under its own name; with a slash behind it, its content does."""
    folder = pools("damaged").dir
    for source in ("links", "links/"):
        assert run("cp", "-rq", "-d", folder, f"{HOME}:/{source}", tmp_path).status == 0
    assert (tmp_path / "links" / "target").is_file() and (tmp_path / "target").is_file()


def test_cat_goes_on_after_what_is_not_there(pools):
    program = [sys.executable, "-m", "uberblock.pool.cli.main", "cat", "-d", str(pools("damaged").dir)]
    words = [f"{HOME}:/links/target", f"{HOME}:/nope", HOME, f"{HOME}:/links/short"]
    done = subprocess.run([*program, *words], capture_output=True, check=False)
    assert done.stdout == 2 * b"target\n" and done.stderr.count(b"\n") == 2 and done.returncode == 2


def test_manifest_of_a_pool_with_lost_data_says_which(run, pools, tmp_path):
    """With too many devices gone each file has its checksum or an error, and the exit status says so."""
    pool = pools("stripes")
    folder = pool.copy(tmp_path / "pool")
    for name in ("d3.img", "d4.img"):
        (folder / name).unlink()
    result = run("manifest", "-q", "--missing-ok", "-d", folder, "tank-stripes")
    assert result.status == 1 and result.err.count("\n") == 1
    lost = set()
    for entry in map(json.loads, result.lines):
        if "error" in entry:
            lost.add(f"{entry['dataset']}:/{entry.get('path', '')}")
        elif entry["type"] == "file" and "sha256" in entry:
            expected = pool.manifest["datasets"][entry["dataset"]]["tree"][entry["path"]]
            assert entry["sha256"] == expected["sha256"], entry["path"]
    assert lost
    report = json.loads(run("verify", "-qj", "--missing-ok", "-d", folder, "tank-stripes").out)
    named = {block["path"] for block in report["damaged"] if block["lost"]}
    files = {path.partition("/<xattrdir>")[0] for path in named if not path.endswith(">")}
    assert files and files <= lost
