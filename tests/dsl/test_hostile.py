"""Numbers read from disk may be anything: what comes out is an answer or one of our errors, and it comes out."""

from __future__ import annotations

import random
from typing import Any

import pytest
from uberblock.pool.dsl import props
from uberblock.pool.dsl.delegation import grants
from uberblock.pool.dsl.pool import DslPool
from uberblock.pool.errors import PoolError

from .conftest import FakeMos

ROUNDS = 100
HUGE = (1 << 64) - 1
KEY_FIELD = "com.datto:crypto_key_obj"
Plan = dict[int, tuple[str, dict[str, Any]]]


def sound() -> Plan:
    """tank, tank/a with snapshots s and t, tank/c cloned from s, the hidden empty snapshot, and what they need."""
    keys = {"DSL_CRYPTO_SUITE": 8, "DSL_CRYPTO_GUID": 1, "DSL_CRYPTO_ROOT_DDOBJ": 3, "keyformat": 1}
    return {
        2: (
            "directory",
            {"children": {"a": 3, "c": 4, "$ORIGIN": 5}, "head_dataset_obj": 20, "deleg_zapobj": 60},
        ),
        3: (
            "directory",
            {
                "parent_obj": 2,
                "head_dataset_obj": 30,
                "origin_obj": 51,
                "fields": {KEY_FIELD: 70, "com.ixsystems:snapshots_changed": (5, 6)},
                "props": {"atime": 0, "org.example:x$recvd": "came", "quota": 5},
                "clones": 61,
            },
        ),
        4: ("directory", {"parent_obj": 2, "head_dataset_obj": 40, "origin_obj": 31, "quota": 7, "flags": 1}),
        5: ("directory", {"parent_obj": 2, "head_dataset_obj": 50}),
        20: ("dataset", {"dir_obj": 2, "snapshots": {}, "prev_snap_obj": 51, "prev_snap_txg": 1}),
        30: (
            "dataset",
            {"dir_obj": 3, "snapshots": {"s": 31, "t": 32}, "prev_snap_obj": 32, "prev_snap_txg": 9}
            | {"fields": {"com.delphix:bookmarks": 62, "com.delphix:resume_toguid": 3}, "deadlist_obj": 80},
        ),
        31: (
            "dataset",
            {"dir_obj": 3, "num_children": 2, "creation_txg": 5, "prev_snap_obj": 51, "prev_snap_txg": 1}
            | {"next_clones_obj": 63, "userrefs_obj": 64},
        ),
        32: (
            "dataset",
            {"dir_obj": 3, "num_children": 1, "creation_txg": 9, "prev_snap_obj": 31, "prev_snap_txg": 5},
        ),
        40: ("dataset", {"dir_obj": 4, "snapshots": {}, "prev_snap_obj": 31, "prev_snap_txg": 5}),
        50: (
            "dataset",
            {"dir_obj": 5, "snapshots": {"$ORIGIN": 51}, "prev_snap_obj": 51, "prev_snap_txg": 1},
        ),
        51: ("dataset", {"dir_obj": 5, "num_children": 4, "creation_txg": 1}),
        60: ("zap", {"entries": {"ul$1000": 65}}),
        61: ("zap", {"entries": {"28": 40}}),
        62: ("zap", {"entries": {"mark": (1, 5, 100, 0, 1, 2, 3, 4, 5, 6, 7, 8)}}),
        63: ("zap", {"entries": {"28": 40}}),
        64: ("zap", {"entries": {"tag": 100}}),
        65: ("zap", {"entries": {"mount": 0}}),
        70: ("zap", {"entries": keys | {"DSL_CRYPTO_IV": bytes(12), "DSL_CRYPTO_MAC": bytes(16)}}),
        80: ("deadlist", {"entries": {"0": 81, "5": 82}, "total": (3, 3, 3)}),
        81: ("bpobj", {"used": 1, "comp": 1, "uncomp": 1}),
        82: ("bpobj", {"used": 2, "comp": 2, "uncomp": 2}),
    }


def junk(rng: random.Random, plan: Plan) -> Any:
    """A value for any place; often the number of another object."""
    return rng.choice([rng.choice(list(plan)), rng.choice(list(plan)), 0, 1, 9, 99, 1 << 63, HUGE])


def spoil(plan: Plan, rng: random.Random) -> None:
    """Change one number, name or kind somewhere."""
    number = rng.choice(list(plan))
    given = plan[number][1]
    name = rng.choice(list(given))
    value = given[name]
    if isinstance(value, dict):
        if value and rng.random() < 0.8:
            key = rng.choice(list(value))
            value[key] = rng.choice([junk(rng, plan), (1, 2), (), b"\xff\xfe", "text", HUGE])
        else:
            value[rng.choice(["a", "%recv", "s", "0", "zz", KEY_FIELD, "a:b", "mountpoint"])] = junk(
                rng, plan
            )
    elif isinstance(value, tuple):
        given[name] = tuple(junk(rng, plan) for _ in value)
    elif rng.random() < 0.9:
        given[name] = junk(rng, plan)
    else:
        plan[number] = ("zap", {"entries": {}})


def make(plan: Plan) -> FakeMos:
    mos = FakeMos()
    for number, (method, given) in sorted(plan.items(), key=lambda item: item[1][0] == "dataset"):
        if method == "bpobj":
            given = {name: min(value, HUGE) for name, value in given.items()}
        getattr(mos, method)(number, **given)
    return mos


def look_at(dsl: DslPool, told: list[PoolError]) -> int:
    """Ask for everything there is to ask for; gives how many datasets were found."""
    seen = 0
    for item in dsl.everything(damaged=lambda _, error: told.append(error)):
        seen += 1
        assert repr(item)
        for work in (
            lambda item: props.get_all(item),
            lambda item: grants(getattr(item, "dataset", item).dir),
        ):
            try:
                work(item)
            except PoolError as error:
                told.append(error)
    for number in range(100):
        for find in (dsl.dir_by_object, dsl.dataset_by_object):
            try:
                assert isinstance(find(number).name, str)
            except PoolError as error:
                told.append(error)
    return seen


def test_the_sound_one(mos: FakeMos) -> None:
    told: list[PoolError] = []
    dsl = make(sound()).open()
    names = [item.name for item in dsl.everything()]
    assert names == ["tank", "tank/a", "tank/a@s", "tank/a@t", "tank/a#mark", "tank/c"]
    assert dsl.dataset("tank/c").dir.origin is dsl.dataset("tank/a@s")
    assert look_at(dsl, told) == 6


@pytest.mark.parametrize("changes", [1, 2, 5])
def test_spoiled(mos: FakeMos, changes: int) -> None:
    seen = 0
    for seed in range(ROUNDS):
        rng = random.Random(seed * 10 + changes)
        plan = sound()
        for _ in range(changes):
            spoil(plan, rng)
        told: list[PoolError] = []
        try:
            seen += look_at(make(plan).open(), told)
        except PoolError as error:
            told.append(error)
        assert all(str(error) for error in told)
    assert seen > ROUNDS  # most of it was still found
