"""The vdevs of a pool as ``zpool status`` and ``zpool list`` show them: names (-g, -P, -L), nesting in JSON.

Source: zpool-status(8) and zpool-list(8) of OpenZFS 2.3; keys of its JSON.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import PoolError

if TYPE_CHECKING:
    from ..pool import Pool
    from ..spa.space import VdevSpace
    from ..spa.status import Row
    from .output import Numbers

#: Sections of the table below the vdevs for data: title in the table -> key in JSON, class of the vdevs in it.
SECTIONS = {
    "": ("vdevs", "normal"),
    "dedup": ("dedup", "dedup"),
    "special": ("special", "special"),
    "logs": ("logs", "log"),
    "cache": ("l2cache", "l2cache"),
    "spares": ("spares", "spare"),
}

def add_name_options(parser: argparse.ArgumentParser) -> None:
    """Add -g, -L and -P, which say how vdevs are called."""
    parser.add_argument("-g", dest="guids", action="store_true", help="guids in place of vdev names")
    parser.add_argument("-L", dest="real", action="store_true", help="resolve symbolic links in paths of devices")
    parser.add_argument("-P", dest="paths", action="store_true", help="whole paths of devices, not their last part")


def named(rows: Sequence[Row], args: argparse.Namespace) -> list[Row]:
    """The rows with the names that were asked for; the pool's and the headings' stay."""

    def name(row: Row) -> str:
        if not row.state or row.depth == 0:
            return row.name
        if args.guids:
            return str(row.guid)
        path = str(Path(row.path).resolve()) if args.real and row.path else row.path
        if path and (args.paths or args.real):
            return path if args.paths else path.rpartition("/")[2]
        return row.name

    return [replace(row, name=name(row)) for row in rows]


def _errors(row: Row, number: Callable[[int], int | str]) -> dict[str, Any]:
    if row.read is None or row.write is None or row.checksum is None:
        return {}
    return {
        "read_errors": number(row.read),
        "write_errors": number(row.write),
        "checksum_errors": number(row.checksum),
    }


class Space:
    """Sizes of vdevs for JSON; without them where the space maps cannot be read."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._tops: dict[int, VdevSpace] = {}
        try:
            self._tops = {one.vdev.guid: one for one in pool.spa.space.vdevs}
        except PoolError:
            pass  # the report on the pool's health must not depend on it; sizes are left out

    def of(self, row: Row, numbers: Numbers) -> dict[str, Any]:
        """Allocated, total and deflated space, room needed and bytes of the device, as far as they apply."""
        number = numbers.size
        found: dict[str, Any] = {}
        tops = [self._tops[row.guid]] if row.guid in self._tops else []
        if row.depth == 0:
            tops = [one for one in self._tops.values() if one.cls != "log"]
        if tops:
            found["alloc_space"] = number(sum(one.allocated for one in tops))
            found["total_space"] = number(sum(one.size for one in tops))
            found["def_space"] = number(sum(one.size // 512 * one.deflate for one in tops))
        vdev = self._pool.tree.by_guid.get(row.guid)
        if vdev is not None and row.depth:
            found["rep_dev_size"] = number(vdev.asize)
            device = getattr(vdev, "device", None)
            if device is not None:
                found["phys_space"] = number(device.size)
        return found


def entry(row: Row, numbers: Numbers) -> dict[str, Any]:
    """What a vdev is, as JSON has it."""
    found: dict[str, Any] = {"name": row.name, "vdev_type": row.kind, "guid": numbers.count(row.guid)}
    if row.path:
        found["path"] = row.path
    return found | {"class": SECTIONS.get(row.section, ("", "normal"))[1], "state": row.state}


def health(row: Row, numbers: Numbers, space: Space) -> dict[str, Any]:
    """A vdev with its sizes and errors."""
    found = entry(row, numbers) | space.of(row, numbers) | _errors(row, numbers.size)
    return found | {"note": row.note} if row.note else found


def nested(
    rows: Sequence[Row], make: Callable[[Row], dict[str, Any]], *, flat: bool = False
) -> Iterator[tuple[str, dict[str, Any]]]:
    """For each section its key in JSON and its vdevs by name, children within parents (or flat, naming these)."""
    for section, (key, _) in SECTIONS.items():
        chosen = [row for row in rows if row.section == section and row.state]
        if not chosen:
            continue
        top: dict[str, Any] = {}
        stack: list[tuple[Row, dict[str, Any]]] = []
        for row in chosen:
            made = make(row)
            while stack and stack[-1][0].depth >= row.depth:
                stack.pop()
            if not stack:
                top[row.name] = made
            elif flat:
                made["parent"] = stack[-1][0].name
                top[row.name] = made
            else:
                stack[-1][1].setdefault("vdevs", {})[row.name] = made
            stack.append((row, made))
        yield key, top
