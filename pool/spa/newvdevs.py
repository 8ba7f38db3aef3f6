"""Making the vdevs of a new pool: open or create every device, check them all, then give guids, sizes and a tree.

Nothing is written here but new files, and these are removed again when anything is refused. Devices are opened
exclusively before they are looked at, so that what was checked is what will be used.

Source: OpenZFS, vdev.c (``vdev_open``, ``vdev_metaslab_set_size``), vdev_draid.c (``vdev_draid_spare_create``),
spa.c (``spa_create``); zpool_vdev.c for the order of the checks.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..device.base import Device
from ..device.file import FileDevice, sector_sizes
from ..env import Env
from ..errors import DeviceBusyError, DeviceError
from ..ondisk import label
from ..ondisk.nvlist import NVList, NvType
from ..vdev.config import MAX_ASHIFT, MIN_ASHIFT
from ..vdev.leaf import LeafVdev
from ..vdev.root import RootVdev
from ..vdev.tree import VdevTree, build
from .inuse import complaint
from .replication import Level, Member, check_replication
from .vdevspec import Place, PoolSpec, SpecError, VdevSpec

TXG_INITIAL = 4  # a new pool's first txg
DEFAULT_ASHIFT = 12
MAX_AUTO_ASHIFT = 14  # larger physical sectors are not followed by themselves
DISK_ROOT = "/dev"
#: Files whose bare names begin so are not made: somebody meant a group, and no such group exists.
GROUP_WORDS = ("mirror", "raidz", "draid")

# Metaslabs: 512 MiB each, but 16 to 200 of them, but 16 MiB to 16 GiB, but not above 131072 of them.
_DEFAULT_SHIFT = 29
_MIN_COUNT, _DEFAULT_COUNT, _MAX_COUNT = 16, 200, 1 << 17
_MIN_SHIFT, _MAX_SHIFT = 24, 34

LeafType = Literal["auto", "file", "disk"]


@dataclass(frozen=True, slots=True)
class NewOptions:
    """How devices are made or taken.

    Attributes:
        size: bytes of files that do not exist yet; None: every file must be there.
        ashift: log2 of the sector size of new top-level vdevs; 0: 12, or more if a device has larger sectors.
        force: use what only looks as if it were in use, and mix what should not be mixed.
        leaf_type: the type leaves are given. ``auto``: what they are. Images that will be written to disks are to be
            ``disk``, since the kernel opens a ``file`` vdev only where a file is.
        label_paths: path of a device -> the path that labels say it has; without it, the path itself.
        listed: guids of spare and cache devices of known pools -> the pool's name.
        current: redundancy of the pool that vdevs are added to.
        first_id: id of the first new top-level vdev; create_txg: the txg in which they are born.
    """

    size: int | None = None
    ashift: int = 0
    force: bool = False
    leaf_type: LeafType = "auto"
    label_paths: Mapping[str, str] = field(default_factory=dict)
    listed: Mapping[int, str] = field(default_factory=dict)
    current: Sequence[Level] = ()
    first_id: int = 0
    create_txg: int = TXG_INITIAL


@dataclass(slots=True)
class Opened:
    """A device of the new pool. ``owned``: opened here; ``created``: made here."""

    path: str
    kind: str  # disk or file
    device: Device
    owned: bool
    created: bool = False


@dataclass(slots=True)
class NewVdevs:
    """What was made.

    Attributes:
        tree: the vdevs of a new pool, as they will be: root, new top-level vdevs, leaves with their devices.
        spares, cache: leaves beside the tree, distributed spares behind the others.
        biases: id of a special or dedup vdev -> its class, which belongs into its top ZAP.
        opened: every device, in the order of the specification.
    """

    tree: VdevTree
    spares: list[LeafVdev]
    cache: list[LeafVdev]
    biases: dict[int, str]
    opened: list[Opened] = field(repr=False)

    @property
    def owned(self) -> list[Device]:
        """The devices that whoever takes this over has to close."""
        return [one.device for one in self.opened if one.owned]

    @property
    def feature_counts(self) -> dict[str, int]:
        """Guids of features that these vdevs activate -> how often."""
        draids = sum(top.type == "draid" for top in self.tree.tops)
        counts = {"org.openzfs:draid": draids, "org.zfsonlinux:allocation_classes": len(self.biases)}
        return {guid: count for guid, count in counts.items() if count}

    def discard(self) -> None:
        """Close what was opened and remove the files that were made."""
        _undo(self.opened)


def _undo(opened: Sequence[Opened]) -> None:
    for one in opened:
        if one.owned:
            one.device.close()
        if one.created:
            with contextlib.suppress(OSError):
                Path(one.path).unlink()


def new_vdevs(spec: PoolSpec, env: Env, options: NewOptions | None = None, *, guid: int | None = None) -> NewVdevs:
    """Open, make and check everything a pool is to be made of.

    Args:
        guid: of the root vdev, which is the pool's; None: a new one.

    Raises:
        SpecError: what was asked for is refused; ``lines`` has every complaint.
        DeviceError: a device cannot be opened or made.
    """
    options = options or NewOptions()
    _check_ashift(options.ashift)
    _check_twice(spec.places, options)
    opened: list[Opened] = []
    try:
        for place in spec.places:
            opened.append(_open(place, env, options))
        _check_sizes(opened)
        _check_in_use(spec, opened, options)
        if not options.force:
            check_replication(_members(spec, opened), options.current)
        return _build(spec, opened, env, options, guid)
    except BaseException:
        _undo(opened)
        raise


# --- opening ------------------------------------------------------------------------------------------------------


def resolve(place: str, *, may_create: bool = False) -> str:
    """The absolute path of what was named: a path, or a short name of something in ``/dev``.

    Raises:
        SpecError: there is nothing of that name.
    """
    path = Path(place)
    if not path.is_absolute() and "/" not in place:
        disk = Path(DISK_ROOT) / place
        if disk.exists():
            return str(disk)
    # Symbolic links are kept: they are mostly more lasting names than what they point to.
    absolute = os.path.abspath(path)  # noqa: PTH100
    if may_create or Path(absolute).exists():
        return absolute
    if "/" in place:
        raise SpecError(f"cannot resolve path {place!r}")
    advice = "must be a full path or shorthand device name"
    raise SpecError(f"cannot open {place!r}: no such device in {DISK_ROOT}", advice)


def _open(place: Place, env: Env, options: NewOptions) -> Opened:
    if isinstance(place, Device):
        if place.readonly:
            raise SpecError(f"cannot use {place.name!r}: it is read-only")
        return Opened(place.name, _kind(place, options), place, owned=False)
    path = resolve(place, may_create=True)
    created = False
    try:
        device = env.open_device(path, False)
    except DeviceBusyError:
        raise SpecError(f"{path} is in use", "close what has it open") from None
    except DeviceError as error:
        if error.errno != errno.ENOENT:
            raise SpecError(_cannot_use(path, error)) from error
        if options.size is None:
            hint = "to make files that do not exist, give their size (--size 1G)"
            if "/" in place:
                raise SpecError(f"cannot resolve path {place!r}", hint) from error
            hint = f"must be a full path or shorthand device name; {hint}"
            raise SpecError(f"cannot open {place!r}: no such device in {DISK_ROOT}", hint) from error
        if place.startswith(GROUP_WORDS):
            advice = f"groups have a parity of 1 to 3; for a file of this name write ./{place}"
            raise SpecError(f"cannot open {place!r}: no such device in {DISK_ROOT}", advice) from None
        if options.size < label.MIN_DEVICE:
            raise _too_small() from None
        env.create_file(path, options.size)
        created = True
        try:
            device = env.open_device(path, False)
        except DeviceError:
            Path(path).unlink()
            raise
    return Opened(path, _kind(device, options), device, owned=True, created=created)


def _cannot_use(path: str, error: DeviceError) -> str:
    if error.errno in (None, errno.EISDIR):
        return f"cannot use {path!r}: must be a block device or regular file"
    return f"cannot open {path!r}: {os.strerror(error.errno)}"


def _kind(device: Device, options: NewOptions) -> str:
    if options.leaf_type != "auto":
        return options.leaf_type
    return "disk" if isinstance(device, FileDevice) and device.block else "file"


# --- checks -------------------------------------------------------------------------------------------------------


def _check_ashift(ashift: int) -> None:
    if ashift and not MIN_ASHIFT <= ashift <= MAX_ASHIFT:
        raise SpecError(
            f"invalid 'ashift={ashift}' property: only values between {MIN_ASHIFT} and {MAX_ASHIFT} are allowed."
        )


def _check_twice(places: Sequence[Place], options: NewOptions) -> None:
    seen: set[int | str | tuple[int, int]] = set()
    for place in places:
        if isinstance(place, Device):
            identity: int | str | tuple[int, int] = id(place)
        else:
            real = os.path.realpath(resolve(place, may_create=True))
            try:
                found = Path(real).stat()
                identity = (found.st_dev, found.st_ino)
            except OSError:
                identity = real
        if identity in seen:
            raise SpecError("one or more vdevs refer to the same device", device=getattr(place, "name", place))
        seen.add(identity)


def _too_small() -> SpecError:
    return SpecError(f"one or more devices is less than the minimum size ({label.MIN_DEVICE >> 20}M)")


def _check_sizes(opened: Sequence[Opened]) -> None:
    for one in opened:
        if label.usable_size(one.device.size) < label.MIN_DEVICE:
            error = _too_small()
            error.where = {"device": one.path, "size": one.device.size}
            raise error


def _check_in_use(spec: PoolSpec, opened: Sequence[Opened], options: NewOptions) -> None:
    spares = range(len(opened) - len(spec.spares) - len(spec.cache), len(opened) - len(spec.cache))
    found = []
    for place, one in enumerate(opened):
        if not one.created:
            said = complaint(one.device, one.path, force=options.force, spare=place in spares, listed=options.listed)
            if said:
                found.append(said)
    if found:
        raise SpecError.of(found, overridable=not options.force)


def _members(spec: PoolSpec, opened: Sequence[Opened]) -> list[tuple[VdevSpec, list[Member]]]:
    result, at = [], 0
    for top in spec.tops:
        mine = opened[at : at + len(top.places)]
        result.append((top, [Member(one.kind, one.device.size) for one in mine]))
        at += len(top.places)
    return result


# --- numbers ------------------------------------------------------------------------------------------------------


def choose_ashift(devices: Sequence[Device], wanted: int = 0) -> int:
    """The ashift of a top-level vdev on these devices.

    Args:
        wanted: 0: 12, or what the devices' sectors ask for if that is more.

    Raises:
        SpecError: a device has larger sectors than wanted.
    """
    logical = physical = MIN_ASHIFT
    for device in devices:
        sizes = sector_sizes(device)
        logical = max(logical, sizes[0].bit_length() - 1)
        physical = max(physical, sizes[1].bit_length() - 1)
    if wanted:
        if wanted < logical:
            raise SpecError(f"ashift {wanted} is too small for sectors of {1 << logical} bytes", ashift=wanted)
        return wanted
    chosen = max(DEFAULT_ASHIFT, logical)
    return max(chosen, physical) if physical <= MAX_AUTO_ASHIFT else chosen


def large_enough(asize: int) -> bool:
    """A top-level vdev has room for a pool: as much as the smallest device. Source: OpenZFS, vdev.c (``vdev_open``)."""
    return asize >= label.data_size(label.MIN_DEVICE)


def metaslab_shift(asize: int) -> int:
    """log2 of the metaslab size of a new top-level vdev with ``asize`` bytes."""
    count = asize >> _DEFAULT_SHIFT
    if count < _MIN_COUNT:
        shift = (asize // _MIN_COUNT).bit_length()
    elif count > _DEFAULT_COUNT:
        shift = (asize // _DEFAULT_COUNT).bit_length()
    else:
        shift = _DEFAULT_SHIFT
    if shift < _MIN_SHIFT:
        return _MIN_SHIFT
    if shift > _MAX_SHIFT:
        shift = _MAX_SHIFT
        if asize >> shift > _MAX_COUNT:
            shift = (asize // _MAX_COUNT).bit_length()
    return shift


# --- the tree -----------------------------------------------------------------------------------------------------


class _Maker:
    """Gives guids and writes nvlists."""

    def __init__(self, env: Env, options: NewOptions) -> None:
        self.env = env
        self.options = options
        self.taken: set[int] = set()
        self.devices: dict[int, Device] = {}

    def guid(self) -> int:
        guid = self.env.guid(self.taken)
        self.taken.add(guid)
        return guid

    def leaf(self, one: Opened) -> NVList:
        """Pairs of a leaf, its id and what only top-level vdevs have left out."""
        path = self.options.label_paths.get(one.path, one.path)
        config = NVList({"type": one.kind, "id": 0, "guid": self.guid(), "path": path})
        if one.kind == "disk":
            config["whole_disk"] = 0
        self.devices[config["guid"]] = one.device
        return config

    def top(self, spec: VdevSpec, place: int, mine: Sequence[Opened]) -> NVList:
        if spec.kind == "leaf":
            config = self.leaf(mine[0])
            config["id"] = place
        else:
            config = NVList({"type": spec.kind, "id": place, "guid": self.guid()})
        if spec.nparity:
            config["nparity"] = spec.nparity
        if spec.kind == "draid":
            config |= {"draid_ndata": spec.ndata, "draid_nspares": spec.nspares, "draid_ngroups": spec.ngroups}
        ashift = choose_ashift([one.device for one in mine], self.options.ashift)
        config |= {"metaslab_array": 0, "metaslab_shift": 0, "ashift": ashift, "asize": 0}
        config["is_log"] = int(spec.cls == "log")
        config["create_txg"] = self.options.create_txg
        if spec.kind != "leaf":
            children = [self.leaf(one) for one in mine]
            for number, child in enumerate(children):
                child["id"] = number
                child["create_txg"] = self.options.create_txg
            config.add("children", children, NvType.NVLIST_ARRAY)
        return config

    def spare(self, one: Opened) -> NVList:
        config = self.leaf(one)
        config["is_spare"] = 1
        config["ashift"] = choose_ashift([one.device], self.options.ashift)
        return config

    def cache(self, one: Opened) -> NVList:
        config = self.leaf(one)
        config["ashift"] = choose_ashift([one.device], self.options.ashift)
        return config

    def distributed(self, top: NVList, number: int, top_id: int) -> NVList:
        """A distributed spare of a draid."""
        config = NVList({"type": "dspare", "guid": self.guid()})
        config["path"] = f"draid{top['nparity']}-{top_id}-{number}"
        config |= {"top_guid": top["guid"], "spareid": number, "whole_disk": 1, "is_spare": 1}
        config["ashift"] = top["ashift"]
        return config


def _build(
    spec: PoolSpec, opened: list[Opened], env: Env, options: NewOptions, guid: int | None
) -> NewVdevs:
    maker = _Maker(env, options)
    root = NVList({"type": "root", "id": 0, "guid": maker.guid() if guid is None else guid})
    maker.taken.add(root["guid"])
    root["create_txg"] = options.create_txg
    tops: list[NVList] = []
    biases: dict[int, str] = {}
    at = 0
    for place, top in enumerate(spec.tops):
        config = maker.top(top, place, opened[at : at + len(top.places)])
        at += len(top.places)
        if top.cls in ("special", "dedup"):
            biases[options.first_id + place] = top.cls
        tops.append(config)
    root.add("children", tops, NvType.NVLIST_ARRAY)
    if tops:
        _size(root, opened)
    spares = [maker.spare(one) for one in opened[at : at + len(spec.spares)]]
    caches = [maker.cache(one) for one in opened[at + len(spec.spares) :]]
    for place, config in enumerate(tops):
        number = options.first_id + place
        spares += [maker.distributed(config, index, number) for index in range(config.get("draid_nspares", 0))]
    tree = build(root, maker.devices) if tops else _no_tops(root)
    return NewVdevs(
        tree,
        [tree.aux(config, maker.devices) for config in spares],
        [tree.aux(config, maker.devices) for config in caches],
        biases,
        opened,
    )


def _no_tops(root: NVList) -> VdevTree:
    """A tree for spare and cache devices alone, which may be added to a pool."""
    tree = VdevTree()
    tree.root = RootVdev(tree, root, None, 0)
    return tree


def _size(root: NVList, opened: Sequence[Opened]) -> None:
    """Give each top-level vdev its address space: what its smallest leaf allows."""
    at = 0
    for top, config in zip(build(root, {}).tops, root.nvlists("children")):
        count = max(1, len(top.children))
        smallest = min(label.data_size(one.device.size) for one in opened[at : at + count])
        at += count
        asize = top.space(smallest)
        if not large_enough(asize):  # a draid may keep more back than it has
            raise _too_small()
        shift = metaslab_shift(asize)
        # An allocator needs a second metaslab; so much space gives at least two.
        assert asize >> shift >= 2
        config["asize"], config["metaslab_shift"] = asize, shift
