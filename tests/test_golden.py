"""Every pool of the collection reads as it did with OpenZFS, entry by entry, and reading changes no byte of it."""

from __future__ import annotations

import pytest
from golden import compare_all, compare_some, dataset_differences, digest_of, is_pool, params
from uberblock.pool import Volume, find_pools, import_pool
from uberblock.pool.errors import KeyUnavailableError, NotFoundError

KINDS = [kind for kind in params() if is_pool(kind if isinstance(kind, str) else kind.values[0])]

#: What is in their logs counts in their manifests (which show them replayed); their snapshots are as they were.
LOGGED = {"zil", "zil-slog"}


@pytest.mark.parametrize("kind", KINDS)
def test_manifest(pools, kind: str) -> None:
    golden = pools(kind)
    with import_pool(search=golden.dir, keys=golden.manifest["keys"]) as pool:
        assert pool.name == golden.manifest["pool"]
        assert pool.notes == []
        outcome = compare_all(pool, golden.manifest["datasets"], only_snapshots=kind in LOGGED)
        assert outcome.all_right, outcome
        assert not any(leaf.read_errors for leaf in pool.tree.leaves)


@pytest.mark.parametrize("kind", params(["checkpoint"]))
def test_the_checkpoint(pools, kind: str) -> None:
    golden = pools(kind)
    with import_pool(search=golden.dir, checkpoint=True) as pool:
        outcome = compare_all(pool, golden.manifest["checkpoint"]["datasets"])
        assert outcome.all_right, outcome
        assert pool.verify().clean


@pytest.mark.parametrize("kind", params(["rewind"]))
def test_earlier_txgs(pools, kind: str) -> None:
    """What ``import -T`` shows for each txg, also for txgs without an uberblock of their own."""
    golden = pools(kind)
    rewinds = {int(txg): datasets for txg, datasets in golden.manifest["rewinds"].items()}
    assert len(rewinds) > 5
    held = sorted(rewinds)
    for txg in held:
        with import_pool(search=golden.dir, txg=txg) as pool:
            assert pool.txg == txg
            outcome = compare_all(pool, rewinds[txg])
            assert outcome.all_right, outcome
    between = next(txg + 1 for txg in held if txg + 1 not in rewinds)
    with import_pool(search=golden.dir, txg=between) as pool:
        assert pool.txg == between - 1
        assert dataset_differences(pool, rewinds[between - 1]) == []
    with pytest.raises(NotFoundError):
        import_pool(search=golden.dir, txg=1)


@pytest.mark.parametrize("kind", params(["encrypted"]))
def test_without_keys(pools, kind: str) -> None:
    """All names are there, what is not encrypted reads right, and nothing encrypted gives a byte."""
    golden = pools(kind)
    locked = {name for name, one in golden.manifest["datasets"].items() if one["properties"].get("encryption") != "off"}
    open_ones = {name: one for name, one in golden.manifest["datasets"].items() if name not in locked}
    with import_pool(search=golden.dir) as pool:
        assert dataset_differences(pool, golden.manifest["datasets"]) == []
        chosen = [(name, list(one.get("tree", ()))) for name, one in open_ones.items() if one["type"] != "bookmark"]
        outcome = compare_some(pool, open_ones, chosen)
        assert outcome.all_right, outcome
        for name in locked:
            dataset = pool.dataset(name)
            if dataset.type == "bookmark":
                continue
            with pytest.raises(KeyUnavailableError):
                dataset.open() if isinstance(dataset, Volume) else dataset.fs().listdir("/")


READ_THOROUGHLY = ["rewind", "version28", "damaged", "encrypted", "raidz-expansion", "degraded", "zil"]


@pytest.mark.parametrize("kind", params(READ_THOROUGHLY))
def test_reading_changes_no_byte(pools, kind: str) -> None:
    """Not one bit of any image, whatever is asked for; damaged pools and logs that wait for replay included."""
    golden = pools(kind)
    assert [found.name for found in find_pools(golden.dir)] == [golden.manifest["pool"]]
    with import_pool(search=golden.dir, keys=golden.manifest["keys"]) as pool:
        compare_all(pool, golden.manifest["datasets"])
        pool.verify()
        pool.txgs("all")
        pool.status(), pool.properties(), pool.history(), pool.errors()
    expected = {disk["file"]: disk["sha256"] for disk in golden.manifest["disks"]}
    assert {image.name: digest_of(image) for image in golden.images} == expected
