"""``zfs list`` and ``zfs get`` against what OpenZFS printed for the same pool."""

from __future__ import annotations

import json


def test_list_in_the_shape_of_zfs(run, pools):
    result = run("zfs", "list", "-d", pools("names").dir, "tank-names")
    assert result.status == 0
    assert result.lines[0].split() == ["NAME", "USED", "AVAIL", "REFER", "MOUNTPOINT"]
    assert len(result.lines) == 2
    assert result.lines[1].split()[0] == "tank-names"


def test_list_gives_everything_in_order(run, pools):
    pool = pools("classes")
    result = run("zfs", "list", "-H", "-d", pool.dir, "-r", "-t", "all", "-o", "name", "tank-classes")
    assert sorted(result.lines) == sorted(pool.manifest["datasets"])
    heads = [name for name in result.lines if "@" not in name and "#" not in name]
    assert heads == sorted(heads)


def test_exact_figures_equal_openzfs(run, pools):
    pool = pools("classes")
    result = run("zfs", "list", "-Hp", "-d", pool.dir, "-r", "-t", "all", "-o", "name,used,referenced", "tank-classes")
    for line in result.lines:
        name, used, referenced = line.split("\t")
        expected = pool.manifest["datasets"][name]["properties"]
        assert (used, referenced) == (expected.get("used", "-"), expected.get("referenced", "-")), name


def test_depth_and_types(run, pools):
    folder = pools("classes").dir
    one = run("zfs", "list", "-H", "-d", folder, "--depth", "1", "-o", "name", "tank-classes").lines
    assert all(name.count("/") <= 1 for name in one) and len(one) > 1
    volumes = run("zfs", "list", "-H", "-d", folder, "-r", "-t", "volume", "-o", "name,type", "tank-classes").lines
    assert volumes and all(line.endswith("\tvolume") for line in volumes)


def test_sorting(run, pools):
    words = ["zfs", "list", "-Hp", "-d", pools("classes").dir, "-r", "-o", "used", "tank-classes"]
    rising = [int(line) for line in run(*words, "-s", "used").lines]
    assert rising == sorted(rising)
    assert [int(line) for line in run(*words, "-S", "used").lines] == rising[::-1]


def test_get_shows_values_and_sources(run, pools):
    result = run("zfs", "get", "-H", "-d", pools("names").dir, "casesensitivity,type,atime", "tank-names")
    rows = [line.split("\t") for line in result.lines]
    assert [row[:2] for row in rows] == [
        ["tank-names", "casesensitivity"], ["tank-names", "type"], ["tank-names", "atime"],
    ]  # fmt: skip
    assert rows[1][2:] == ["filesystem", "-"]
    assert rows[2][2:] == ["off", "local"]


def test_get_only_local_ones(run, pools):
    pool = pools("classes")
    result = run("zfs", "get", "-H", "-d", pool.dir, "-s", "local", "-o", "property", "all", "tank-classes")
    assert sorted(result.lines) == sorted(pool.manifest["datasets"]["tank-classes"]["set_here"])


def test_json(run, pools):
    result = run("zfs", "list", "-j", "--json-int", "-d", pools("names").dir, "-o", "name,used", "tank-names")
    document = json.loads(result.out)
    assert document["output_version"] == {"command": "zfs list", "vers_major": 0, "vers_minor": 1}
    dataset = document["datasets"]["tank-names"]
    assert dataset["type"] == "FILESYSTEM" and dataset["pool"] == "tank-names"
    assert isinstance(dataset["properties"]["used"]["value"], int)
    plain = json.loads(run("zfs", "get", "-j", "-p", "-d", pools("names").dir, "used", "tank-names").out)
    value = plain["datasets"]["tank-names"]["properties"]["used"]
    assert value == {"value": str(dataset["properties"]["used"]["value"]), "source": {"type": "NONE", "data": "-"}}


def test_without_a_name_every_pool_is_listed(run, pools):
    result = run("zfs", "list", "-H", "-o", "name", "-d", pools("names").dir, "-d", pools("rewind").dir)
    assert {"tank-names", "tank-rewind"} <= set(result.lines)


def test_snapshots_of_a_dataset_show_without_r(run, pools):
    """As with zfs: ``zfs list -t snapshot DATASET`` lists the dataset's own snapshots, and no deeper."""
    folder = pools("names").dir
    assert run("zfs", "list", "-H", "-o", "name", "-t", "snap", "-d", folder, "tank-names").lines == ["tank-names@s"]
    got = run("zfs", "get", "-H", "-o", "name,value", "-t", "snapshot", "-d", folder, "type", "tank-names")
    assert got.lines == ["tank-names@s\tsnapshot"]
    one = run("zfs", "list", "-H", "-o", "name", "-d", folder, "tank-names@s")
    assert one.lines == ["tank-names@s"]


def test_columns_for_space_and_all(run, pools):
    folder = pools("names").dir
    space = run("zfs", "list", "-o", "space", "-d", folder, "tank-names")
    assert space.lines[0].split() == ["NAME", "AVAIL", "USED", "USEDSNAP", "USEDDS", "USEDREFRESERV", "USEDCHILD"]
    every = run("zfs", "list", "-o", "all", "-d", folder, "tank-names")
    assert {"RECSIZE", "MOUNTPOINT", "LREFER"} <= set(every.lines[0].split())


def test_dates_stand_left_and_numbers_right(run, pools):
    result = run("zfs", "list", "-o", "name,creation,used,compression", "-d", pools("names").dir, "tank-names")
    header, row = result.lines
    assert header.index("CREATION") == row.index(row.split()[1])
    assert row[: header.index("USED") + 4].endswith(row.split()[-2])
    assert header.index("COMPRESS") == row.rindex(row.split()[-1])


def test_what_has_no_value_comes_last_either_way(run, pools):
    words = ["zfs", "list", "-Hp", "-d", pools("classes").dir, "-r", "-o", "volsize"]
    for option in ("-s", "-S"):
        values = run(*words, option, "volsize", "tank-classes").lines
        assert "-" in values and "-" not in values[: values.index("-")]
        assert set(values[values.index("-") :]) == {"-"}


def test_one_name_that_is_not_there_does_not_hide_the_others(run, pools):
    result = run("zfs", "list", "-Ho", "name", "-d", pools("names").dir, "tank-names/nope", "tank-names/rm")
    assert result.status == 1 and result.err.count("\n") == 1
    assert result.lines == ["tank-names/rm"]


def test_a_pool_by_its_guid(run, pools):
    pool = pools("names")
    guid = pool.manifest["properties"]["guid"]
    assert run("zfs", "list", "-Ho", "name", "-d", pool.dir, f"{guid}/rm").lines == ["tank-names/rm"]
    assert run("ls", "-d", pool.dir, f"{guid}/rm:/").status == 0


def test_space_and_quotas_by_user(run, pools):
    words = ["zfs", "get", "-Hp", "-o", "value,source", "-d", pools("names").dir]
    values = run(*words, "userquota@1000,userused@4711,userquota@4711", "tank-names/quota").lines
    assert values == [f"{5 << 20}\tlocal", "0\tlocal", "0\tlocal"]
    assert run(*words, "userused@root", "tank-names/quota").status == 2
