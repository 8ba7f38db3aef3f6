"""What blocks that come and go do to the figures of a dataset and of the directories above it.

A block is charged three sizes: *used* (allocated, parity overhead evened out), *compressed* (as stored) and
*uncompressed*. The dataset knows what it refers to and what it alone refers to; a directory knows what it and all below
it use, broken down by why.

Invariant: ``used_bytes`` of a directory is the sum of its five breakdown figures, and the breakdown's CHILD is the sum
of its children's ``used_bytes``.

Source: OpenZFS, dsl_dataset.c (``dsl_dataset_block_born``, ``dsl_dataset_block_kill``), dsl_dir.c
(``dsl_dir_diduse_transfer_space``).
"""

from __future__ import annotations

from dataclasses import replace

from ..dmu.bpsizes import Sizes
from ..dmu.mutableobjset import MutableObjset
from ..ondisk import dsl as ondisk_dsl
from ..ondisk.dsl import USED_CHILD, USED_CHILD_RSRV, USED_HEAD, USED_REFRSRV, USED_SNAP, DatasetPhys, DirPhys

#: Directories nest at most so deep. Source: dsl_dir.c, zfs_namecheck.c.
DEPTH_MAX = 64


def read_dir(mos: MutableObjset, number: int) -> DirPhys:
    """A directory's figures, as they are in the open txg."""
    dn = mos.dnode(number)
    return ondisk_dsl.decode_dir(dn.bonus, dn.order)


def write_dir(mos: MutableObjset, number: int, phys: DirPhys) -> None:
    """Put a directory's figures back."""
    dn = mos.dnode(number)
    dn.set_bonus(ondisk_dsl.encode_dir(phys) + dn.bonus[ondisk_dsl.DIR_SIZE :])


def read_dataset(mos: MutableObjset, number: int) -> DatasetPhys:
    """A dataset's figures, as they are in the open txg."""
    dn = mos.dnode(number)
    return ondisk_dsl.decode_dataset(dn.bonus, dn.order)


def write_dataset(mos: MutableObjset, number: int, phys: DatasetPhys) -> None:
    """Put a dataset's figures back."""
    dn = mos.dnode(number)
    dn.set_bonus(ondisk_dsl.encode_dataset(phys) + dn.bonus[ondisk_dsl.DATASET_SIZE :])


def did_use(mos: MutableObjset, directory: int, kind: int, sizes: Sizes) -> None:
    """A directory uses more, or less, for one reason (a position in the breakdown); those above it follow."""
    phys = read_dir(mos, directory)
    accounted = _accounted(phys, sizes.used)
    write_dir(mos, directory, _changed(phys, sizes.used, sizes, {kind: sizes.used}))
    if phys.parent_obj:
        more = Sizes(accounted, sizes.comp, sizes.uncomp)
        transfer(mos, phys.parent_obj, more, sizes.used, USED_CHILD_RSRV, USED_CHILD)


def transfer(mos: MutableObjset, directory: int, sizes: Sizes, to_new: int, old: int, new: int) -> None:
    """A directory uses ``sizes.used`` more, of which ``to_new`` goes to one reason and the rest comes from another.

    What was reserved is used without the directory growing; above it the same holds for its reservation.
    """
    for _ in range(DEPTH_MAX):
        phys = read_dir(mos, directory)
        accounted = _accounted(phys, sizes.used)
        write_dir(mos, directory, _changed(phys, sizes.used, sizes, {old: sizes.used - to_new, new: to_new}))
        if not phys.parent_obj:
            return
        to_new = sizes.used
        sizes = Sizes(accounted, sizes.comp, sizes.uncomp)
        directory, old, new = phys.parent_obj, USED_CHILD_RSRV, USED_CHILD


def _accounted(phys: DirPhys, more: int) -> int:
    """By how much the directory counts for more in its parent: a reservation counts before it is used."""
    return max(phys.used_bytes + more, phys.reserved) - max(phys.used_bytes, phys.reserved)


def _changed(phys: DirPhys, used: int, sizes: Sizes, breakdown: dict[int, int]) -> DirPhys:
    figures = list(phys.used_breakdown)
    for kind, more in breakdown.items():
        figures[kind] += more
    return replace(
        phys,
        used_bytes=phys.used_bytes + used,
        compressed_bytes=phys.compressed_bytes + sizes.comp,
        uncompressed_bytes=phys.uncompressed_bytes + sizes.uncomp,
        used_breakdown=(figures[0], figures[1], figures[2], figures[3], figures[4]),
    )


def charge_head(
    mos: MutableObjset, phys: DatasetPhys, gained: Sizes, dead: Sizes, *, dead_own: int, refreservation: int
) -> DatasetPhys:
    """Charge a head dataset for a txg's blocks; gives its new figures, and changes those of the directories.

    Args:
        mos: where the directories are.
        phys: its figures before.
        gained: blocks that came into being, less those that were freed.
        dead: blocks it no longer refers to but a snapshot does; dead_own: used bytes of those that its directory, and
            not the origin of a clone, is charged for.
        refreservation: bytes it has reserved for itself.
    """
    alone = phys.unique_bytes + gained.used
    delta = max(alone, refreservation) - max(phys.unique_bytes, refreservation)
    transfer(mos, phys.dir_obj, Sizes(delta, gained.comp, gained.uncomp), gained.used, USED_REFRSRV, USED_HEAD)
    if dead_own:
        directory = read_dir(mos, phys.dir_obj)
        moved = _changed(directory, 0, Sizes(), {USED_HEAD: -dead_own, USED_SNAP: dead_own})
        write_dir(mos, phys.dir_obj, moved)
    return replace(
        phys,
        referenced_bytes=phys.referenced_bytes + gained.used - dead.used,
        compressed_bytes=phys.compressed_bytes + gained.comp - dead.comp,
        uncompressed_bytes=phys.uncompressed_bytes + gained.uncomp - dead.uncomp,
        unique_bytes=alone,
    )


def one_child_less(phys: DatasetPhys) -> DatasetPhys:
    """A snapshot after a clone of it has gone."""
    return replace(phys, num_children=phys.num_children - 1)
