"""Candidate pools: the configuration that labels alone give, before anything of it is believed.

Every label describes one top-level vdev; the newest description of each is put into its slot under a root.
Slots of removed log vdevs are holes, slots of which nothing was found are of type ``missing``.

Source: OpenZFS, libzutil (zutil_import.c).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..errors import CorruptError
from ..ondisk import label
from ..ondisk.nvlist import NVList
from .members import Member

MAX_TOPS = 1 << 16  # top-level vdevs; a block pointer could name 2^24, no pool has thousands
COPIED = (
    "version",
    "name",
    "comment",
    "compatibility",
    "state",
    "txg",
    "pool_guid",
    "errata",
    "hostid",
    "hostname",
)


@dataclass(slots=True, repr=False)
class Candidate:
    """A pool that could be imported, as its labels tell.

    ``members`` has the devices by the guid of their leaf, the best first where one leaf was found twice;
    ``spares`` are the spare and cache devices found anywhere in the same scan, by guid.
    """

    guid: int
    config: NVList = field(repr=False)
    members: dict[int, list[Member]] = field(repr=False)
    spares: dict[int, Member] = field(default_factory=dict, repr=False)
    notes: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<Candidate {self.name} {self.guid} {self.state_name}, {len(self.members)} devices>"

    @property
    def name(self) -> str:
        """Name of the pool."""
        return self.config.string("name", "")

    @property
    def state(self) -> int:
        """``label.STATE_ACTIVE``, ``STATE_EXPORTED`` or ``STATE_DESTROYED``."""
        return self.config.u64("state", 0)

    @property
    def state_name(self) -> str:
        """The state as a word."""
        return label.STATE_NAMES.get(self.state, str(self.state))

    @property
    def txg(self) -> int:
        """Txg of the newest label."""
        return self.config.u64("txg", 0)

    @property
    def version(self) -> int:
        """On-disk version: 5000, or 1 to 28."""
        return self.config.u64("version", 0)

    @property
    def hostid(self) -> int:
        """Host that had the pool last; 0: not known."""
        return self.config.u64("hostid", 0)

    @property
    def hostname(self) -> str:
        """Name of that host."""
        return self.config.string("hostname", "")

    @property
    def paths(self) -> list[str]:
        """What the pool was found on."""
        return sorted(group[0].source.name for group in self.members.values())

    def best(self) -> list[Member]:
        """One member for each leaf."""
        return [group[0] for group in self.members.values()]


def assemble(members: Iterable[Member]) -> list[Candidate]:
    """The pools that these vdevs make up, by name and guid."""
    pools: dict[int, list[Member]] = {}
    spares: dict[int, Member] = {}
    for member in members:
        if member.is_aux:
            known = spares.get(member.guid)
            if known is None or _rank(member) > _rank(known):
                spares[member.guid] = member
        else:
            pools.setdefault(member.pool_guid, []).append(member)
    found = [_candidate(guid, group, spares) for guid, group in pools.items()]
    return sorted(found, key=lambda c: (c.name, c.guid))


def _rank(member: Member) -> tuple[bool, int, int]:
    return (member.verified, member.copies, member.txg)


def _candidate(guid: int, group: list[Member], spares: dict[int, Member]) -> Candidate:
    leaves: dict[int, list[Member]] = {}
    for member in group:
        leaves.setdefault(member.guid, []).append(member)
    notes = []
    for twins in leaves.values():
        twins.sort(key=_rank, reverse=True)
        if len(twins) > 1:
            names = ", ".join(t.source.name for t in twins)
            notes.append(f"the same device was found more than once: {names}; the first is used")
    used = [twins[0] for twins in leaves.values()]
    if any(
        member.verified for member in used
    ):  # a label with a wrong checksum counts only where there is no other
        used = [member for member in used if member.verified]
    newest = max(used, key=lambda m: m.txg)
    config = NVList()
    for name in COPIED:
        if name in newest.config:
            config.add(name, newest.config[name], newest.config.types.get(name))
    config["pool_guid"] = guid
    children = _children(used, newest, notes)
    config.add("vdev_children", len(children))
    config.add("vdev_tree", NVList({"type": "root", "id": 0, "guid": guid, "children": children}))
    if isinstance(newest.config.get("features_for_read"), NVList):
        config.add("features_for_read", newest.config["features_for_read"])
    _drop_mistyped(config)
    return Candidate(guid, config, leaves, spares, notes)


def _drop_mistyped(config: NVList) -> None:
    """Remove what a label gives a wrong type, so that reading the candidate's facts cannot fail."""
    kinds = {"name": str, "hostname": str, "state": int, "txg": int, "version": int, "hostid": int}
    for name, kind in kinds.items():
        if name in config and (not isinstance(config[name], kind) or isinstance(config[name], bool)):
            del config[name]


def _children(used: list[Member], newest: Member, notes: list[str]) -> list[NVList]:
    """The top-level vdevs in their slots."""
    tops: dict[int, Member] = {}
    for member in used:
        known = tops.get(member.top_guid)
        if known is None or member.txg > known.txg:
            tops[member.top_guid] = member
    slots: dict[int, tuple[int, NVList]] = {}
    for member in tops.values():
        try:
            tree = member.config.nvlist("vdev_tree")
            slot = tree.u64("id")
        except CorruptError as error:
            notes.append(f"the label of {member.source.name} is not used: {error.what}")
            continue
        if slot not in slots or member.txg > slots[slot][0]:
            slots[slot] = (member.txg, tree)
    # Labels of old versions do not tell how many there are.
    seen = min(MAX_TOPS, max([slot for slot in slots if slot < MAX_TOPS], default=0) + 1)
    try:
        count = newest.config.u64("vdev_children", seen)
        holes = set(newest.config.u64s("hole_array"))
    except CorruptError as error:
        notes.append(f"the label of {newest.source.name} is incomplete: {error.what}")
        count, holes = seen, set()
    if not 0 < count <= MAX_TOPS:
        notes.append(
            f"the label of {newest.source.name} gives an impossible number of top-level vdevs, {count}"
        )
        count = seen
    children = []
    for slot in range(count):
        if slot in holes:
            children.append(NVList({"type": "hole", "id": slot, "guid": 0}))
        elif slot in slots:
            children.append(slots[slot][1])
        else:
            children.append(NVList({"type": "missing", "id": slot, "guid": 0}))
    return children
