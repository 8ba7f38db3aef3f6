"""The power fails anywhere while labels and uberblocks are written: what a scan then finds is one pool, old or new.

The rule that is tested: L0 and L2, flush, uberblock, flush, L1 and L3, flush. Whatever survives of writes not yet
flushed, the newest uberblock found has, on the device where it was found, a label that is not newer and says what the
configuration was in its txg. The same test with the uberblock first shows that it can fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from uberblock.pool.env import Env
from uberblock.pool.lab.crash import Plan, States, enumerate_states
from uberblock.pool.lab.journal import Journal
from uberblock.pool.lab.simdisk import SimDisk
from uberblock.pool.ondisk import label
from uberblock.pool.ondisk.uberblock import Uberblock
from uberblock.pool.spa import poolconfig
from uberblock.pool.spa.newvdevs import NewOptions, NewVdevs, new_vdevs
from uberblock.pool.spa.poolconfig import PoolFacts
from uberblock.pool.spa.scan import scan_all
from uberblock.pool.spa.uberblocks import FoundUberblock, Rings
from uberblock.pool.spa.vdevspec import parse
from uberblock.pool.vdev import labels

MIB = 1 << 20
PLAN = Plan(torn=2, random_sets=12, exhaustive=4)
RIGHT = ("half", "uberblock", "other half")
WRONG = ("uberblock", "half", "other half")


def make(journal: Journal) -> NewVdevs:
    disks = [SimDisk(64 * MIB, f"disk{n}", journal) for n in range(2)]
    return new_vdevs(parse(["mirror", *disks]), Env.fixed(3), NewOptions(force=True))


def begin(new: NewVdevs, facts: PoolFacts) -> None:
    leaves = new.tree.leaves
    assert not labels.write_provisional(leaves, poolconfig.label_maker(facts, 0, create_txg=4))
    assert not labels.flush(leaves)


def sync(new: NewVdevs, facts: PoolFacts, txg: int, order: Sequence[str], journal: Journal) -> None:
    """The last part of a txg whose configuration changed."""
    leaves, config_of = new.tree.leaves, poolconfig.label_maker(facts, txg)
    ub = Uberblock(5000, txg, poolconfig.guid_sum(new.tree), 1000 + txg, bytes(128), 5000)
    steps: dict[str, Callable[[], object]] = {
        "half": lambda: labels.write_labels(leaves, config_of, labels.FIRST_HALF),
        "uberblock": lambda: labels.write_uberblock(leaves, ub),
        "other half": lambda: labels.write_labels(leaves, config_of, labels.SECOND_HALF),
    }
    for step in order:
        assert not steps[step]()
        assert not labels.flush(leaves)
        if step == "uberblock":
            journal.mark("on disk", txg=txg)


def newest(disks: Sequence[SimDisk]) -> FoundUberblock | None:
    """The newest uberblock on the devices of the one pool that is found; None: no pool is found."""
    found = scan_all(disks)
    assert len(found.candidates) <= 1
    rings = Rings()
    for member in found.members:
        assert member.source.device is not None
        rings.read(member, member.source.device)
    return rings.best()


def wrong_states(journal: Journal, start: int, names: dict[int, str]) -> list[str]:
    """Crash states that break the rule, as lines. ``names``: what the pool was called in each txg."""
    states, wrong = States(journal), []
    for state in enumerate_states(journal, PLAN, start=start):
        promised = max((event.facts["txg"] for _, event in journal.marks(state.cut)), default=0)
        best = newest(states.disks(state))
        if best is None:
            if promised:
                wrong.append(f"{state}: no pool")
            continue
        one = best.member.newest_label(best.txg)
        name = one.config.get("name") if one is not None and one.config is not None else None
        if best.txg < promised or name != names[best.txg]:
            wrong.append(f"{state}: txg {best.txg}, label {one and one.txg}, name {name}")
    return wrong


@pytest.mark.parametrize(("order", "good"), [(RIGHT, True), (WRONG, False)])
def test_a_changed_configuration(order: Sequence[str], good: bool) -> None:
    journal = Journal()
    new = make(journal)
    facts = PoolFacts("tank", new.tree.root.guid)
    begin(new, facts)
    sync(new, facts, 4, RIGHT, journal)
    start = len(journal.events)
    sync(new, replace(facts, name="renamed"), 5, order, journal)
    wrong = wrong_states(journal, start, {4: "tank", 5: "renamed"})
    assert (not wrong) is good, wrong[:3]


def test_a_new_pool_on_disks_of_an_old_one() -> None:
    """Until the first uberblock is on disk there is no new pool; once provisional labels are, no old one either."""
    journal = Journal()
    old = make(journal)
    old_facts = PoolFacts("old", old.tree.root.guid, state=label.STATE_DESTROYED)
    begin(old, old_facts)
    for txg in range(1000, 1040):
        sync(old, old_facts, txg, ("uberblock",), Journal())
    sync(old, old_facts, 1040, RIGHT, Journal())
    disks = [leaf.device for leaf in old.tree.leaves]
    new = new_vdevs(parse(["mirror", *disks]), Env.fixed(4), NewOptions())
    facts = PoolFacts("tank", new.tree.root.guid)
    begin(new, facts)
    start = len(journal.events)
    assert newest(disks) is None  # type: ignore[arg-type]
    sync(new, facts, 4, RIGHT, journal)
    wrong = wrong_states(journal, start, {4: "tank"})
    assert not wrong, wrong[:3]
    best = newest(disks)  # type: ignore[arg-type]
    assert best is not None and best.txg == 4


def test_one_disk_dies_between_the_halves() -> None:
    """What reached only the other one is enough."""
    journal = Journal()
    new = make(journal)
    facts = PoolFacts("tank", new.tree.root.guid)
    begin(new, facts)
    sync(new, facts, 4, RIGHT, journal)
    leaves, config_of = new.tree.leaves, poolconfig.label_maker(facts, 5)
    assert not labels.write_labels(leaves, config_of, labels.FIRST_HALF)
    assert leaves[0].device is not None
    leaves[0].device.close()
    (flushed,) = labels.flush(leaves)
    ub = Uberblock(5000, 5, poolconfig.guid_sum(new.tree), 1005, bytes(128), 5000)
    (failed,) = labels.write_uberblock(leaves, ub)
    assert flushed.leaf is failed.leaf is leaves[0] and failed.lost
    assert labels.good_writes(leaves, [failed]) == {0: 1}
    best = newest([leaves[1].device])  # type: ignore[list-item]
    assert best is not None and best.txg == 5
    label_of = best.member.newest_label(5)
    assert label_of is not None and label_of.txg == 5
