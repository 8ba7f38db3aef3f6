"""Putting candidate pools together from labels."""

from __future__ import annotations

from uberblock.pool.ondisk.label import Label
from uberblock.pool.ondisk.nvlist import NVList
from uberblock.pool.spa.config import MAX_TOPS, assemble
from uberblock.pool.spa.members import Member, Source, counts, member_of


def member(guid: int, *, top: int = 0, txg: int = 10, slot: int = 0, verified: bool = True, **more: object) -> Member:
    config = NVList(
        {
            "version": 5000,
            "name": "tank",
            "state": 0,
            "txg": txg,
            "pool_guid": 99,
            "guid": guid,
            "top_guid": top or guid,
            "vdev_children": 3,
            "vdev_tree": NVList({"type": "disk", "id": slot, "guid": guid}),
        }
    )
    for name, value in more.items():
        config.add(name, value)
    labels = [Label(n, n * 262144, config, verified) for n in range(4)]
    found = member_of(Source(f"d{guid}"), labels, 1 << 30)
    assert found is not None
    return found


def shape(members: list[Member]) -> list[tuple[str, int]]:
    (found,) = assemble(members)
    return [(c["type"], c["guid"]) for c in found.config["vdev_tree"]["children"]]


def test_slots_holes_and_what_is_missing() -> None:
    assert shape([member(5, slot=2), member(6, hole_array=[1])]) == [("disk", 6), ("missing", 0), ("disk", 5)]
    assert shape([member(5, slot=2, hole_array=[1]), member(6)]) == [("disk", 6), ("hole", 0), ("disk", 5)]


def test_the_newest_label_counts() -> None:
    old, new = member(5, txg=10, name="old"), member(6, slot=1, txg=20, name="new", vdev_children=2)
    (found,) = assemble([old, new])
    assert (found.name, found.txg, len(found.config["vdev_tree"]["children"])) == ("new", 20, 2)
    assert shape([member(5, txg=10), member(6, txg=20), member(7, slot=2, txg=15)])[0] == ("disk", 6)


def test_wrong_checksums_count_only_where_nothing_else_is() -> None:
    bad = member(6, txg=50, verified=False, name="bad")
    (found,) = assemble([member(5, txg=10), bad])
    assert (found.name, found.txg) == ("tank", 10)
    (found,) = assemble([bad])
    assert found.name == "bad"


def test_hostile_figures() -> None:
    for value in (0, MAX_TOPS + 1, (1 << 64) - 1, "many"):
        (found,) = assemble([member(5, slot=1, vdev_children=value)])
        assert len(found.config["vdev_tree"]["children"]) <= 2 and found.notes
    assert shape([member(5, slot=(1 << 64) - 1)]) == [("missing", 0)] * 3
    (found,) = assemble([member(5, vdev_tree=7, hostname=3, version="x", hostid=-0.5)])
    assert (found.hostname, found.version, found.hostid) == ("", 0, 0) and found.notes


def test_pools_and_spares_are_kept_apart() -> None:
    spare = member(8, state=3, txg=0)
    found = assemble([member(5), spare, member(6, pool_guid=98, name="zebra")])
    assert [(c.name, c.guid, list(c.spares)) for c in found] == [("tank", 99, [8]), ("zebra", 98, [8])]


def test_what_counts_as_a_label() -> None:
    good = {"guid": 1, "state": 0, "txg": 1, "pool_guid": 1, "top_guid": 1}
    assert counts(Label(0, 0, NVList(good), True))
    assert counts(Label(0, 0, NVList({"guid": 1, "state": 4}), True))
    for name in good:
        less = {k: v for k, v in good.items() if k != name}
        assert not counts(Label(0, 0, NVList(less), True))
        assert not counts(Label(0, 0, NVList(good | {name: "text"}), True))
    assert not counts(Label(0, 0, NVList(good | {"state": 5}), True))
    assert not counts(Label(0, 0, None, False))


def test_labels_of_two_devices_on_one() -> None:
    one, two = NVList(member(5).config), NVList(member(6).config)
    labels = [Label(0, 0, one, True), Label(1, 1, two, True), Label(2, 2, one, True), Label(3, 3, two, False)]
    found = member_of(Source("d"), labels, 1 << 30)
    assert found is not None and found.guid == 5 and found.copies == 2
