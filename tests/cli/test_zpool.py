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


def lines_of(text):
    """Lines of a table without what depends on where devices are, and on what an import for writing allocates."""
    return [re.sub(r"/dev/ub/(d\d)", r"\1", line).rstrip() for line in text.splitlines() if line.strip()]


def test_list_is_laid_out_as_openzfs_does(run, pools):
    """The header's columns have OpenZFS's widths: numbers at least five wide, HEALTH eight, flush right."""
    expected = lines_of(pools("classes").manifest["list"])[0].split("NAME")[1].lstrip()
    result = run("zpool", "list", "-d", pools("classes").dir)
    assert result.lines[0].split("NAME")[1].lstrip() == expected
    assert result.lines[1].endswith("1.00x    ONLINE  -")
    verbose = run("zpool", "list", "-v", "-d", pools("classes").dir)
    assert [line.split()[0].removesuffix(".img") for line in verbose.lines] == [
        line.split()[0] for line in lines_of(pools("classes").manifest["list"])
    ]
    log = next(line for line in verbose.lines if "d2.img" in line)
    assert log.split()[1] == "64M" and log.endswith("ONLINE")


def test_vdevs_by_guid_and_path(run, pools):
    pool = pools("names")
    paths = run("zpool", "status", "-P", "-d", pool.dir)
    assert f"  {pool.images[0]} " in paths.out
    guids = re.findall(r"^\t +(\d+)  ONLINE", run("zpool", "status", "-g", "-d", pool.dir).out, re.M)
    assert guids and all(int(guid) > 1 << 32 for guid in guids)
    assert str(pool.images[0]) in run("zpool", "list", "-vHP", "-d", pool.dir).out


def test_status_as_json(run, pools, tmp_path):
    folder = pools("classes").copy(tmp_path / "pool")
    (folder / "d1.img").unlink()
    words = ("zpool", "status", "-d", folder, "-j")
    found = json.loads(run(*words).out)["pools"]["tank-classes"]
    assert found["state"] == "DEGRADED" and found["msgid"] == "ZFS-8000-2Q" and found["error_count"] == "0"
    assert {"special", "logs", "l2cache", "spares"} <= set(found)
    mirror = found["vdevs"]["tank-classes"]["vdevs"]["mirror-0"]
    assert (mirror["vdev_type"], mirror["class"], mirror["total_space"]) == ("mirror", "normal", "80M")
    gone = mirror["vdevs"]["d1"]
    assert gone["state"] == "UNAVAIL" and "phys_space" not in gone and gone["path"] == "/dev/ub/d1"
    exact = json.loads(run(*words, "--json-int").out)["pools"]["tank-classes"]
    assert exact["vdevs"]["tank-classes"]["vdevs"]["mirror-0"]["total_space"] == 80 << 20
    flat = json.loads(run(*words, "--json-flat-vdevs", "--json-pool-key-guid").out)["pools"]
    ((guid, pool),) = flat.items()
    assert guid == pool["pool_guid"] and pool["vdevs"]["d0.img"]["parent"] == "mirror-0"


def test_status_of_troubled_vdevs_only(run, pools, tmp_path):
    folder = pools("damaged").copy(tmp_path / "pool")
    (folder / "d1.img").unlink()
    rows = run("zpool", "status", "-e", "-d", folder, "tank-damaged").out
    assert "raidz2-0" in rows and "  d1 " in rows and "d0.img" not in rows
    assert run("zpool", "status", "-x", "-d", folder, "tank-damaged").out.startswith("  pool: ")
    healthy = run("zpool", "status", "-x", "-d", pools("names").dir, "tank-names")
    assert healthy.out == "pool 'tank-names' is healthy\n"
    assert run("zpool", "status", "-x", "-d", pools("names").dir).out == "all pools are healthy\n"


def test_json_numbers_are_for_people_unless_exact(run, pools):
    pool = pools("names")
    size = int(pool.manifest["properties"]["size"])
    for words, value in (((), f"{size >> 20}M"), (("-p",), str(size)), (("--json-int",), size)):
        for command in (("list", "-o", "name,size"), ("get", "size")):
            document = json.loads(run("zpool", *command, "-j", *words, "-d", pool.dir).out)["pools"]["tank-names"]
            assert document["properties"]["size"]["value"] == value
            assert document["type"] == "POOL" and document["zpl_version"] in ("5", 5)


def test_list_with_vdevs_as_json(run, pools):
    document = json.loads(run("zpool", "list", "-vj", "-d", pools("classes").dir).out)["pools"]["tank-classes"]
    leaf = document["vdevs"]["mirror-0"]["vdevs"]["d0.img"]
    assert leaf["properties"]["size"]["value"] == "96M" and document["logs"]["d2.img"]["class"] == "log"


def test_one_pool_that_is_not_there_does_not_hide_the_others(run, pools):
    result = run("zpool", "status", "-d", pools("names").dir, "nosuch", "tank-names")
    assert result.status == 1 and result.err.count("\n") == 1 and "  pool: tank-names" in result.out


def test_properties_in_openzfs_order(run, pools):
    names = run("zpool", "get", "-Ho", "property", "-d", pools("names").dir, "all").lines
    assert names[:5] == ["size", "capacity", "altroot", "health", "guid"]
    assert run("zpool", "get", "-Ho", "property", "-d", pools("names").dir, "frag,cap").lines == [
        "fragmentation", "capacity",
    ]  # fmt: skip


def test_a_pool_that_cannot_be_opened_is_shown_by_its_labels(run, pools, tmp_path):
    folder = pools("damaged").copy(tmp_path / "pool")
    for name in ("d0.img", "d3.img", "d5.img"):
        (folder / name).unlink()
    out = run("zpool", "import", "-d", folder).out
    assert re.search(r"^\t  raidz2-0 +UNAVAIL  insufficient replicas$", out, re.M)
    assert re.search(r"^\t    d0 +UNAVAIL  cannot open$", out, re.M)
    assert re.search(r"^\t    d1 +ONLINE$", out, re.M)
    every = run("zpool", "import", "-a", "-d", folder, "-d", pools("names").dir)
    assert every.status == 1 and every.err.count("\n") == 1 and "  pool: tank-names" in every.out


def test_destroyed_pools_are_listed_only_when_asked_for(run, pools, tmp_path):
    from uberblock.pool.device.file import FileDevice
    from uberblock.pool.ondisk import label

    folder = pools("rewind").copy(tmp_path / "pool")
    image = next(folder.glob("*.img"))
    device = FileDevice(image)
    with image.open("r+b") as writer:
        for index in range(4):
            at = label.offset(device.size, index)
            config = label.decode(device.read(at, label.RING_OFFSET), at).config
            config["state"] = label.STATE_DESTROYED
            writer.seek(at + label.CONFIG_OFFSET)
            writer.write(label.encode_config(config, at))
    device.close()
    assert run("zpool", "import", "-d", folder).status == 1
    listed = run("zpool", "import", "-D", "-d", folder)
    assert listed.status == 0 and "state: ONLINE (DESTROYED)" in listed.out
    assert run("zpool", "list", "-d", folder).out == "no pools available\n"
    assert run("zpool", "status", "-d", folder, "tank-rewind").status == 0


def test_every_txg_that_is_called_intact_opens(run, pools):
    for kind in ("rewind", "names", "version28"):
        folder = pools(kind).dir
        document = json.loads(run("zpool", "import", "--txgs", "-j", "-d", folder).out)
        ((name, txgs),) = document["pools"].items()
        assert txgs
        for txg in txgs:
            opened = run("zfs", "list", "-r", "-d", folder, "-T", txg["txg"], name)
            assert (opened.status == 0) >= txg["intact"]
            assert txg["intact"] or txg["problem"]


def test_options_may_stand_anywhere(run, pools):
    folder = pools("names").dir
    first = run("zpool", "get", "-H", "-o", "value", "-d", folder, "guid", "tank-names")
    assert run("zpool", "get", "guid", "-d", folder, "tank-names", "-Ho", "value").out == first.out
    assert run("zfs", "list", "tank-names", "-d", folder, "-Hr").out == run(
        "zfs", "list", "-Hr", "-d", folder, "tank-names"
    ).out


def test_get_of_vdevs(run, pools):
    folder = pools("classes").dir
    words = ("zpool", "get", "-d", folder, "-Hp", "-o", "name,value")
    lines = run(*words, "size", "tank-classes", "mirror-0", "mirror-2", "root").lines
    sizes = dict(line.split("\t") for line in lines)
    assert list(sizes) == ["mirror-0", "mirror-2", "root-0"]
    assert int(sizes["root-0"]) == int(sizes["mirror-0"]) + int(sizes["mirror-2"])
    both = ("-d", folder, "-d", pools("names").dir)
    two = run("zpool", "get", "-Ho", "name", *both, "size", "tank-classes", "tank-names")
    assert two.lines == ["tank-classes", "tank-names"]
    document = json.loads(run("zpool", "get", "-j", "-d", folder, "all", "tank-classes", "all-vdevs").out)
    vdevs = document["pools"]["tank-classes"]["vdevs"]
    assert vdevs["d4.img"]["properties"]["parent"]["value"] == "mirror-2"
    for wrong in (("size", "tank-classes", "d9"), ("color", "tank-classes", "root")):
        result = run("zpool", "get", "-d", folder, *wrong)
        assert result.status == 2 and result.err.count("\n") == 1 and not result.out


def test_status_of_slow_io_initializing_and_trimming(run, pools):
    folder = pools("classes").dir
    lines = [line.split() for line in run("zpool", "status", "-sit", "-d", folder).lines]
    assert ["NAME", "STATE", "READ", "WRITE", "CKSUM", "SLOW"] in lines
    assert ["mirror-0", "ONLINE", "0", "0", "0", "-"] in lines
    assert ["d0.img", "ONLINE", "0", "0", "0", "0", "(uninitialized)", "(untrimmed)"] in lines
    document = json.loads(run("zpool", "status", "-j", "-it", "--json-flat-vdevs", "-d", folder).out)
    leaf = document["pools"]["tank-classes"]["vdevs"]["d0.img"]
    assert (leaf["init_state"], leaf["trim_state"]) == ("VDEV_INITIALIZE_NONE", "VDEV_TRIM_NONE")
    assert "note" not in leaf


def test_status_of_dedup(run, pools):
    assert run("zpool", "status", "-D", "-d", pools("names").dir).lines[-1] == " dedup: no DDT entries"
    # Numbers: zdb -DD of OpenZFS 2.3.2 on the same images.
    text = run("zpool", "status", "-D", "-d", pools("dedup").dir).out
    assert " dedup: DDT entries 156, size 66K on disk, 128K in core\n" in text
    row = r"156   2.07M   2.07M   2.07M      385   5.14M   5.14M   5.14M\n"
    assert re.search(rf"^     2      {row} Total      {row}", text, re.M)
    document = json.loads(run("zpool", "status", "-jp", "-D", "-d", pools("dedup").dir).out)
    assert document["pools"]["tank-dedup"]["dedup_stats"]["histogram"]["2"]["ref_blocks"] == "385"
