"""``zpool import``, ``status``, ``list``, ``get`` and ``history``."""

from __future__ import annotations

import json
import re


def test_import_lists_what_is_there(run, pools):
    result = run("zpool", "import", "-d", pools("names").dir, "-d", pools("damaged").dir)
    assert result.status == 0
    found = re.findall(r"^ +pool: (\S+)\n +id: (\d+)\n +state: (\S+)", result.out, re.M)
    assert [name for name, _, _ in found] == ["tank-damaged", "tank-names"]
    assert {state for _, _, state in found} == {"ONLINE"}
    document = json.loads(run("zpool", "import", "-j", "-d", pools("names").dir).out)
    assert {pool["name"] for pool in document["pools"].values()} == {"tank-names"}


def test_import_by_name_and_guid(run, pools):
    folder = pools("names").dir
    guid = run("zpool", "get", "-H", "-o", "value", "-d", folder, "guid", "tank-names").out.strip()
    assert "state: ONLINE" in run("zpool", "import", "-d", folder, guid).out
    assert "state: ONLINE" in run("zpool", "import", "-d", folder, "tank-names").out


def test_too_few_devices_are_reported_not_hidden(run, pools, tmp_path):
    folder = pools("damaged").copy(tmp_path / "pool")
    for name in ("d0.img", "d3.img", "d5.img"):
        (folder / name).unlink()
    result = run("zpool", "import", "-d", folder)
    assert "state: UNAVAIL" in result.out
    opened = run("zpool", "status", "-d", folder, "tank-damaged")
    assert opened.status == 1 and opened.err.count("\n") == 1


def test_status_has_the_table(run, pools):
    result = run("zpool", "status", "-d", pools("classes").dir, "tank-classes")
    assert re.search(r"NAME +STATE +READ WRITE CKSUM", result.out)
    sections = re.findall(r"^\t(special|logs|cache|spares)$", result.out, re.M)
    assert sections == ["special", "logs", "cache", "spares"]
    assert "errors: No known data errors" in result.out


def test_status_of_a_degraded_pool(run, pools, tmp_path):
    folder = pools("damaged").copy(tmp_path / "pool")
    (folder / "d1.img").unlink()
    text = run("zpool", "status", "-d", folder, "tank-damaged").out
    assert " state: DEGRADED" in text
    assert "status: " in text and "action: " in text
    assert re.search(r"UNAVAIL +0 +0 +0  (cannot open|was )", text)
    document = json.loads(run("zpool", "status", "-j", "-d", folder, "tank-damaged").out)
    vdevs = document["pools"]["tank-damaged"]["vdevs"]["tank-damaged"]["vdevs"]["raidz2-0"]["vdevs"]
    assert sorted(v["state"] for v in vdevs.values()) == ["ONLINE"] * 5 + ["UNAVAIL"]


def test_list(run, pools):
    pool = pools("classes")
    result = run("zpool", "list", "-v", "-d", pool.dir, "tank-classes")
    header = ["NAME", "SIZE", "ALLOC", "FREE", "CKPOINT", "EXPANDSZ", "FRAG", "CAP", "DEDUP", "HEALTH", "ALTROOT"]
    assert result.lines[0].split() == header
    assert any(line.split()[0] == "mirror-0" for line in result.lines)
    exact = run("zpool", "list", "-Hp", "-o", "name,size,allocated", "-d", pool.dir, "tank-classes").out
    expected = pool.manifest["properties"]
    assert exact.split() == ["tank-classes", expected["size"], exact.split()[2]]


def test_get(run, pools):
    pool = pools("names")
    words = ["zpool", "get", "-Hp", "-o", "property,value", "-d", pool.dir]
    values = dict(line.split("\t") for line in run(*words, "all", "tank-names").lines)
    for name in ("guid", "size", "ashift", "failmode", "dedupratio", "listsnapshots"):
        assert values[name] == pool.manifest["properties"][name], name
    for name, state in pool.manifest["features"].items():
        assert values[f"feature@{name}"] == state, name


def test_history(run, pools):
    result = run("zpool", "history", "-d", pools("names").dir, "tank-names")
    assert result.lines[0] == "History for 'tank-names':"
    assert re.match(r"\d{4}-\d\d-\d\d\.\d\d:\d\d:\d\d zpool create ", result.lines[1])
    internal = run("zpool", "history", "-i", "-l", "-d", pools("names").dir, "tank-names")
    assert len(internal.lines) > len(result.lines)
    assert "[txg:" in internal.out and "on ublab" in internal.out


def test_txgs_can_be_opened(run, pools):
    pool = pools("rewind")
    document = json.loads(run("zpool", "import", "--txgs", "-j", "-d", pool.dir, "tank-rewind").out)
    found = document["pools"]["tank-rewind"]
    assert len(found) > 10
    assert [t["txg"] for t in found] == sorted((t["txg"] for t in found), reverse=True)
    intact = [t["txg"] for t in found if t["intact"]]
    assert intact and found[0]["intact"]
    for txg in (intact[0], intact[-1]):
        result = run("zpool", "status", "-j", "--json-int", "-d", pool.dir, "-T", txg, "tank-rewind")
        assert json.loads(result.out)["pools"]["tank-rewind"]["txg"] == txg
