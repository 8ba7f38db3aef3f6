"""Storing properties of datasets: in their properties ZAP, and, for limits and reservations, where space is charged.

A quota or reservation is kept twice: as a property, for showing, and in the directory's figures, which count. What is
reserved is charged to the directory above as if it were used; what a head has reserved for itself, to its own
directory.

Source: OpenZFS, dsl_prop.c (``dsl_prop_set_sync_impl``), dsl_dir.c (``dsl_dir_set_quota_*``,
``dsl_dir_set_reservation_sync_impl``), dsl_dataset.c (``dsl_dataset_set_refreservation_*``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ..dmu.bpsizes import Sizes
from ..dmu.mutableobjset import MutableObjset
from ..dmu.mutablezap import MutableZap
from ..errors import NoSpaceError
from ..ondisk.dsl import USED_CHILD_RSRV, USED_REFRSRV
from . import charge
from .accounting import PoolSpace, directory_available
from .dataset import DslDataset
from .dir import DslDir
from .props import INHERIT, NEWER_INDEX, RECEIVED
from .propset import Setting

#: Values that software of before does not understand: it finds the default in the old place.
_NEWER = {"redundant_metadata": (2, 3), "snapdir": (2,)}
QUOTA, RESERVATION, REFQUOTA, REFRESERVATION = "quota", "reservation", "refquota", "refreservation"


def store(mos: MutableObjset, directory: int, settings: Iterable[Setting]) -> None:
    """Put properties into a directory's ZAP as local values, and nothing else.

    Args:
        directory: its object.
    """
    zap = MutableZap(mos.dnode(charge.read_dir(mos, directory).props_zapobj))
    for one in settings:
        _put(zap, one)


def _put(zap: MutableZap, one: Setting) -> None:
    _remove(zap, one.name + INHERIT)
    value = one.value
    if one.name in _NEWER:
        _remove(zap, one.name + NEWER_INDEX)
        if value in _NEWER[one.name]:
            zap.update(one.name + NEWER_INDEX, int(value))
            value = int(one.prop.default or 0) if one.prop else 0
    if isinstance(value, str):
        zap.update(one.name, value.encode("utf-8", "surrogateescape") + b"\0", int_size=1)
    else:
        zap.update(one.name, value)


def _remove(zap: MutableZap, name: str) -> bool:
    there = name in zap
    if there:
        zap.remove(name)
    return there


def inherit(mos: MutableObjset, directory: int, name: str, *, received: bool = False) -> None:
    """Take a local value back; one that came with a stream is hidden, or with ``received`` in force again.

    Args:
        directory: its object. name: whole name of a property.
    """
    zap = MutableZap(mos.dnode(charge.read_dir(mos, directory).props_zapobj))
    _remove(zap, name)
    _remove(zap, name + NEWER_INDEX)
    if received:
        _remove(zap, name + INHERIT)
    elif name + RECEIVED in zap and name + INHERIT not in zap:
        zap.add(name + INHERIT, 0)


# --- limits and reservations ------------------------------------------------------------------------------------


def set_quota(mos: MutableObjset, directory: int, quota: int) -> None:
    """What a directory and all below it may use; 0: no limit.

    Raises:
        NoSpaceError: it uses, or has reserved, more.
    """
    phys = charge.read_dir(mos, directory)
    if quota and quota < max(phys.reserved, phys.used_bytes):
        raise NoSpaceError(
            "a quota cannot be below what is used or reserved already", quota=quota, used=phys.used_bytes,
            reserved=phys.reserved,
        )  # fmt: skip
    charge.write_dir(mos, directory, replace(phys, quota=quota))


def set_reservation(mos: MutableObjset, directory: DslDir, amount: int, space: PoolSpace) -> None:
    """What a directory and all below it have for sure; 0: nothing.

    Args:
        space: the pool's figures.

    Raises:
        NoSpaceError: there is not so much, or the quota forbids it.
    """
    phys = charge.read_dir(mos, directory.obj)
    more = max(phys.used_bytes, amount) - max(phys.used_bytes, phys.reserved)
    if amount > phys.reserved:
        if directory.parent is not None:
            room = directory_available(directory.parent, space)
        else:
            room = max(space.usable - phys.used_bytes, 0)
        _check_room(more, room, amount, phys.quota)
    charge.write_dir(mos, directory.obj, replace(phys, reserved=amount))
    if phys.parent_obj and more:
        charge.did_use(mos, phys.parent_obj, USED_CHILD_RSRV, Sizes(more))


def _check_room(more: int, room: int, amount: int, quota: int) -> None:
    if more > room:
        raise NoSpaceError("there is not so much space to reserve", wanted=more, available=room)
    if quota and amount > quota:
        raise NoSpaceError("a reservation cannot be above the quota", reservation=amount, quota=quota)


def check_refquota(mos: MutableObjset, head: int, amount: int) -> None:
    """Raises: NoSpaceError: the dataset refers to more than it should be allowed to."""
    referenced = charge.read_dataset(mos, head).referenced_bytes
    if amount and amount < referenced:
        raise NoSpaceError("a refquota cannot be below what is referenced already", refquota=amount, used=referenced)


def set_refreservation(mos: MutableObjset, head: DslDataset, amount: int, before: int, space: PoolSpace) -> None:
    """What a head has for sure, for itself alone; 0: nothing.

    Args:
        before: what it had so far. space: the pool's figures.

    Raises:
        NoSpaceError: there is not so much, or the quota forbids it.
    """
    phys = charge.read_dataset(mos, head.obj)
    unique = phys.unique_bytes
    if amount > before:
        more = max(unique, amount) - max(unique, before)
        _check_room(more, directory_available(head.dir, space), amount, charge.read_dir(mos, phys.dir_obj).quota)
    delta = max(0, amount - unique) - max(0, before - unique)
    if delta:
        charge.did_use(mos, phys.dir_obj, USED_REFRSRV, Sizes(delta))
