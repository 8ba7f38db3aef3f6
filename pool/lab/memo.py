"""Checks that need not be repeated: what a check read decides what it found.

A check is a function of the bytes it reads. So a crash state in which every byte that an earlier check read has the
same value would be judged the same, whatever lies in the rest of its disks; most crash states of a pool are of that
sort, as the writes that were lost went to space that nothing refers to yet. Looking that up takes microseconds.

Labels are the exception: every import reads them all, and each set of surviving uberblock writes leaves other rings.
What an import takes from them (the configuration, the uberblock, whether each device's label vouches for it) is worked
out anew for every content of the labels, by the importer's own code, and stands for them.

Bytes are compared in sectors of 512 bytes: blocks that share a page with other blocks do not disturb each other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from ..ondisk import label
from ..spa.config import assemble
from ..spa.members import Member, Source
from ..spa.scan import examine
from ..spa.uberblocks import Rings, fetch
from .pages import PAGE, ZERO_PAGE, Pages
from .simdisk import SimDisk

SECTOR = 512
WHOLE = (1 << PAGE // SECTOR) - 1
#: Sets of read bytes kept for one uberblock, and uberblocks kept; the oldest go first.
GROUPS_MAX = 16
FRONTS_MAX = 128
#: Contents of the rings for which the uberblock is remembered.
CHOSEN_MAX = 4096
#: Labels of one disk that are kept as they were read, with the rings: half a megabyte each.
LABELLED_MAX = 512

Place = tuple[int, int]  # disk, page
_Labelled = list[tuple[Member, list["memoryview | str"]]]
T = TypeVar("T")


class ReadSet:
    """Which sectors a check has read, labels left out.

    ``disks`` are watched as long as it exists.
    """

    def __init__(self, disks: Sequence[SimDisk]) -> None:
        self._ranges: list[tuple[int, int, int]] = []
        self._sizes = [disk.size for disk in disks]
        for number, disk in enumerate(disks):
            disk.watcher = self._watcher(number)

    def _watcher(self, disk: int) -> Callable[[int, int], None]:
        # Several threads may read at once; appending is safe.
        return lambda offset, length: self._ranges.append((disk, offset, length))

    def places(self) -> dict[Place, int]:
        """The pages, and of each the sectors as bits."""
        result: dict[Place, int] = {}
        for disk, offset, length in set(self._ranges):
            first, last = label.BOOT_AREA_OFFSET, label.usable_size(self._sizes[disk]) - label.END_SIZE
            start, end = max(offset, first) // SECTOR, -(-min(offset + length, last) // SECTOR)
            while start < end:
                page, at = divmod(start, PAGE // SECTOR)
                count = min(end - start, PAGE // SECTOR - at)
                place = (disk, page)
                result[place] = result.get(place, 0) | ((1 << count) - 1) << at
                start += count
        return result


class _View:
    """The values of chosen sectors, quickly for contents that are forks of one and the same.

    Args:
        places: pages, and of each the sectors as bits.
    """

    def __init__(self, places: Mapping[Place, int]) -> None:
        self._places = sorted(places)
        self._masks = [places[place] for place in self._places]
        self._at: dict[int, dict[int, int]] = {}
        for at, (disk, page) in enumerate(self._places):
            self._at.setdefault(disk, {})[page] = at
        self._lowers: list[dict[int, bytes]] = []  # kept, so that their identities are not given out again
        self._base: tuple[bytes, ...] = ()

    def value(self, contents: Sequence[Pages]) -> tuple[bytes, ...]:
        """The bytes at the places, page by page."""
        if len(self._lowers) != len(contents) or any(a is not b.lower for a, b in zip(self._lowers, contents)):
            self._lowers = [content.lower for content in contents]
            lowers = [self._lowers[disk].get(page, ZERO_PAGE) for disk, page in self._places]
            self._base = tuple(map(_sectors, lowers, self._masks))
        changed: list[bytes] | None = None
        for disk, at in self._at.items():
            own = contents[disk].own
            for page in own.keys() & at.keys():
                place = at[page]
                value = _sectors(own[page], self._masks[place])
                if value != self._base[place]:
                    changed = list(self._base) if changed is None else changed
                    changed[place] = value
        return self._base if changed is None else tuple(changed)


def _sectors(page: bytes, mask: int) -> bytes:
    if mask == WHOLE:
        return page
    return b"".join([page[at * SECTOR : (at + 1) * SECTOR] for at in range(PAGE // SECTOR) if mask >> at & 1])


class _Group(Generic[T]):
    """Checks that read the same sectors."""

    def __init__(self, places: dict[Place, int]) -> None:
        self.places = places
        self.view = _View(places)
        self.found: dict[Hashable, T] = {}


class Memo(Generic[T]):
    """Outcomes of checks by what the checks read.

    Args:
        sizes: of the disks, in bytes.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self._labels = [_View(_label_places(disk, size)) for disk, size in enumerate(sizes)]
        self._fronts: dict[Hashable, list[_Group[T]]] = {}
        self._chosen: dict[Hashable, Hashable] = {}
        self._labelled: dict[tuple[int, Hashable], _Labelled] = {}

    def front(self, contents: Sequence[Pages]) -> Hashable:
        """What labels and uberblock rings come down to."""
        key = tuple(view.value(contents) for view in self._labels)
        best = self._chosen.get(key)
        if best is None:
            _make_room(self._chosen, CHOSEN_MAX)
            best = self._chosen[key] = _front([self._look(at, one, contents[at]) for at, one in enumerate(key)])
        return best

    def _look(self, disk: int, value: Hashable, content: Pages) -> _Labelled:
        """The vdevs on one disk, and their uberblock rings; remembered for each content of its labels."""
        found = self._labelled.get((disk, value))
        if found is None:
            _make_room(self._labelled, LABELLED_MAX)
            device = SimDisk(content, f"disk {disk}", readonly=True)
            members = examine(Source(device.name, device=device))
            # Of a vdev in a partition of the disk nothing is known here, and simulated disks have none.
            found = self._labelled[disk, value] = [(one, fetch(one.size, device)) for one in members]
        return found

    def find(self, front: Hashable, contents: Sequence[Pages]) -> tuple[T, Mapping[Place, int]] | None:
        """The outcome of an earlier check that would go the same way, and what it read.

        Args:
            front: what stands for the labels.
            contents: of the disks.
        """
        for group in self._fronts.get(front, ()):
            found = group.found.get(group.view.value(contents))
            if found is not None:
                return found, group.places
        return None

    def add(self, front: Hashable, contents: Sequence[Pages], places: Mapping[Place, int], outcome: T) -> None:
        """Remember what a check of these contents found, which read these places."""
        groups = self._fronts.setdefault(front, [])
        group = next((one for one in groups if one.places == places), None)
        if group is None:
            group = _Group(dict(places))
            groups.append(group)
            del groups[:-GROUPS_MAX]
        group.found[group.view.value(contents)] = outcome
        while len(self._fronts) > FRONTS_MAX:
            self._fronts.pop(next(iter(self._fronts)))


def _label_places(disk: int, size: int) -> dict[Place, int]:
    """The pages of a disk's labels."""
    first = [label.offset(size, index) // PAGE for index in range(label.LABELS)]
    return {(disk, page): WHOLE for start in first for page in range(start, start + label.LABEL_SIZE // PAGE)}


def _make_room(known: dict[Any, Any], most: int) -> None:
    if len(known) >= most:
        known.pop(next(iter(known)))


def _front(disks: Sequence[_Labelled]) -> Hashable:
    """All that an import takes from labels, as its own code finds it: see ``spa.importer``."""
    fetched = {id(member): rings for disk in disks for member, rings in disk}
    result: list[Hashable] = []
    for pool in assemble(member for disk in disks for member, _ in disk):
        rings, members = Rings(), pool.best()
        for member in members:
            rings.add(member, fetched[id(member)])
        best = rings.best()
        result += [pool.guid, repr(pool.config), tuple(pool.notes), repr(sorted(pool.spares))]
        if best is not None:
            one = best.member.newest_label(best.txg)
            config = best.member.config if one is None else one.config
            result += [best.uberblock, best.member.guid, repr(config)]
        for member in members:
            stale = best is None or member.newest_label(best.uberblock.txg) is None
            result.append((member.guid, member.size, member.source.name, stale))
    return tuple(result)
