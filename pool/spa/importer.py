"""Importing: from devices and their labels to an open pool.

1. Open the devices, read all uberblocks, take the best one (or the best not beyond a txg).
2. With the vdev tree that the labels tell (not trusted), read the pool's own configuration in the MOS.
3. With the tree of that configuration (trusted), check everything: devices, guid sum, features, what is missing.
4. If something of that cannot be read and rewinding was asked for: the same with an older uberblock.

Reading changes nothing on disk, so a pool may be read while another host has it; what is read may then be gone.

Source: OpenZFS, spa.c (``spa_load_impl`` and what it calls).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..device.base import Device
from ..device.cachemode import CacheMode
from ..dmu.objset import Objset
from ..errors import (
    CorruptError,
    DeviceBusyError,
    DeviceError,
    MissingDeviceError,
    NotFoundError,
    PoolError,
    UnsupportedError,
    UnsupportedFeatureError,
)
from ..ondisk import features, uberblock
from ..ondisk.label import STATE_ACTIVE
from ..ondisk.nvlist import NVList
from ..ondisk.uberblock import Uberblock
from ..vdev.raidz import RaidzVdev
from ..vdev.state import VdevAux, VdevState
from ..vdev.tree import VdevTree, build
from ..zio.reader import Zio
from . import mos as metadata
from .checkpoint import checkpoint_uberblock
from .config import Candidate
from .dtl import load_dtls
from .members import Member
from .mos import Directory
from .removal import load_mappings
from .scan import in_parallel
from .spa import Spa
from .spares import aux_devices
from .uberblocks import FoundUberblock, Rings, fetch

DEFER_TXGS = 2  # blocks freed this long ago may still be read: nothing has reused them

#: What an older uberblock may be free of.
REWINDABLE = (CorruptError, DeviceError, NotFoundError)


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How a pool is opened. Fields: arguments of ``import_pool``; ``keep_paths``: labels keep the paths they have."""

    txg: int | None = None
    rewind: bool = False
    extreme: bool = False
    checkpoint: bool = False
    missing_log: bool = False
    missing_ok: bool = False
    cache_bytes: int = 64 << 20
    threads: int = 1
    altroot: str = ""
    keep_paths: bool = False
    cache: CacheMode = "writeback"


def load(candidate: Candidate, *, readonly: bool = True, options: ImportOptions | None = None) -> Spa:
    """Open a pool.

    Args:
        candidate: what ``scan`` found.
        readonly: never write to the devices; otherwise they are opened for writing, and ``open_for_writing`` goes on.
        options: see ``import_pool`` for what each means.

    Raises:
        MissingDeviceError: more is missing than redundancy makes up for.
        UnsupportedFeatureError, UnsupportedError: the pool needs what is not known here.
        CorruptError: it is damaged; the message says what can be tried.
        DeviceBusyError: somebody writes to it.
    """
    work = _Import(candidate, options or ImportOptions(), readonly)
    try:
        work.open_devices()
        return work.run()
    except BaseException:
        work.close()
        raise


@dataclass(slots=True)
class _Import:
    candidate: Candidate
    options: ImportOptions
    readonly: bool = True
    members: dict[int, Member] = field(default_factory=dict)
    devices: dict[int, Device] = field(default_factory=dict)
    owned: list[Device] = field(default_factory=list)
    rings: Rings = field(default_factory=Rings)
    notes: list[str] = field(default_factory=list)

    def close(self) -> None:
        for device in self.owned:
            device.close()

    def open_devices(self) -> None:
        """Open every device that was found, and read its uberblocks."""
        self.notes += self.candidate.notes
        for member in self.candidate.best():
            try:
                device = member.source.open(self.readonly, self.options.cache)
            except DeviceBusyError as error:
                raise DeviceBusyError(
                    f"the pool {self.candidate.name!r} is open for writing elsewhere",
                    "close it there first",
                    device=member.source.name,
                ) from error
            except DeviceError as error:
                self.notes.append(str(error))
                continue
            self.members[member.guid] = member
            self.devices[member.guid] = device
            if member.source.device is None:
                self.owned.append(device)
        if self.options.cache == "unsafe" and not self.readonly:
            self.notes.append("cache mode unsafe: flushes are ignored, and a power cut may cost the whole pool")
        members = list(self.members.values())
        fetched = in_parallel(lambda member: fetch(member.size, self.devices[member.guid]), members)
        for member, rings in zip(members, fetched):
            self.rings.add(member, rings)

    def run(self) -> Spa:
        """Try uberblocks until one opens the pool."""
        newest = self.rings.best()
        if newest is None:
            raise CorruptError(
                f"no valid uberblock on any device of the pool {self.candidate.name!r}",
                "look for further devices of the pool",
                devices=len(self.devices),
            )
        limit, failure = self.options.txg, None
        while True:
            found = self.rings.best(limit)
            if found is None or (failure and not self._may_try(found, newest)):
                raise self._no_uberblock(failure, found)
            self._check_reflow(found, newest)
            try:
                spa = self.attempt(found, newest)
                break
            except REWINDABLE as error:
                failure = failure or error
                limit = found.txg - 1
                if not (self.options.rewind or self.options.extreme):
                    raise self._advise(error, found) from error
        if failure is not None:
            self.notes.append(f"went back from txg {newest.txg} to {found.txg}: {failure.what}")
        if self._may_be_in_use(newest.uberblock):
            host = self.candidate.hostname or "another host"
            self.notes.append(f"multihost is on and the pool not exported: {host} may be writing to it at this moment")
        return self._checkpointed(spa, found, newest) if self.options.checkpoint else spa

    def _may_be_in_use(self, root: Uberblock) -> bool:
        """Somebody may be using the pool, as far as its last uberblock tells. To whoever reads, a warning."""
        return root.multihost and self.candidate.state == STATE_ACTIVE

    def _may_try(self, found: FoundUberblock, newest: FoundUberblock) -> bool:
        return self.options.extreme or found.txg >= newest.txg - DEFER_TXGS

    def _no_uberblock(self, failure: PoolError | None, found: FoundUberblock | None) -> PoolError:
        if failure is None:
            oldest = self.rings.distinct()[-1][0].txg
            return NotFoundError(
                f"the pool {self.candidate.name!r} has no uberblock of txg {self.options.txg} or before",
                f"the oldest is of txg {oldest}",
            )
        if found is not None:
            failure.advice = f"the next older uberblock is of txg {found.txg}; try an extreme rewind to reach it"
        return failure

    def _advise(self, error: PoolError, found: FoundUberblock) -> PoolError:
        older = self.rings.best(found.txg - 1)
        if older is not None and self.options.txg is None and not isinstance(error, NotFoundError):
            error.advice = f"try rewinding: the uberblock before is of txg {older.txg}"
        if isinstance(error, NotFoundError):
            return CorruptError(f"the pool {self.candidate.name!r} is damaged: {error.what}", "try rewinding")
        error.where = {"pool": self.candidate.name, **error.where}
        return error

    def _check_reflow(self, found: FoundUberblock, newest: FoundUberblock) -> None:
        if found.uberblock.reflow_info != newest.uberblock.reflow_info:
            raise UnsupportedError(
                "a raidz vdev was being expanded since then, so that blocks are no longer where they were",
                "take a newer txg",
                txg=found.txg,
                newest=newest.txg,
            )

    # --- one uberblock ------------------------------------------------------------------------------------------

    def attempt(self, found: FoundUberblock, newest: FoundUberblock) -> Spa:
        """Open the pool with this uberblock."""
        label = self._label_for(found)
        check_version(found.uberblock.version, self.candidate.name)
        wanted = label.get("features_for_read")
        if isinstance(wanted, NVList):
            features.check_label(wanted)
        config = self._pool_config(found.uberblock)
        spa = self._open(found, newest, found.uberblock, config)
        if (self.options.rewind or self.options.extreme) and not self.options.missing_ok:
            from .txgs import check_tree

            check_tree(spa, since=0 if self.options.extreme else max(0, found.txg - DEFER_TXGS - 1))
        return spa

    def _checkpointed(self, spa: Spa, found: FoundUberblock, newest: FoundUberblock) -> Spa:
        """The pool as its checkpoint keeps it."""
        before = checkpoint_uberblock(spa.directory)
        mos = Objset(spa.zio, before.rootbp, name="mos")
        config = read_config(mos, Directory(mos))
        spa.zio.close()
        return self._open(found, newest, before, config)

    def _label_for(self, found: FoundUberblock) -> NVList:
        """The configuration that goes with an uberblock: of the same device, not newer."""
        one = found.member.newest_label(found.txg)
        return one.config if one is not None and one.config is not None else found.member.config

    def _pool_config(self, root: Uberblock) -> NVList:
        """The configuration in the MOS, read through the tree of the labels."""
        tree = self._untrusted_tree()
        set_reflow(tree, root)
        zio = Zio(tree, cache_bytes=1 << 20)
        try:
            mos = Objset(zio, root.rootbp, name="mos")
            return read_config(mos, Directory(mos))
        except MissingDeviceError as error:
            raise self._missing(tree, error) from error
        finally:
            zio.close()

    def _untrusted_tree(self) -> VdevTree:
        config = self.candidate.config.nvlist("vdev_tree")
        try:
            return build(config, self.devices)
        except PoolError as error:
            failure = error
        # A label that says nonsense must not keep the others from being used.
        tops = config.nvlists("children")
        empty = [NVList({"type": "missing", "id": place, "guid": 0}) for place in range(len(tops))]
        usable = list(empty)
        for place, top in enumerate(tops):
            try:
                build(NVList({**config, "children": [*empty[:place], top, *empty[place + 1 :]]}), self.devices)
            except PoolError as error:
                self.notes.append(f"the label's description of top-level vdev {place} is not used: {error}")
                continue
            usable[place] = top
        if all(top["type"] == "missing" for top in usable):
            raise failure
        return build(NVList({**config, "children": usable}), self.devices)

    def _open(self, found: FoundUberblock, newest: FoundUberblock, root: Uberblock, config: NVList) -> Spa:
        """Open the pool with its own configuration, and check it."""
        tree = build(self._described(config), self.devices)
        self._check_labels(tree, root)
        set_reflow(tree, root)
        self._check_missing(tree)
        self._check_guids(tree, root)
        zio = Zio(tree, cache_bytes=self.options.cache_bytes, threads=self.options.threads)
        try:
            mos = Objset(zio, root.rootbp, name="mos")
            directory = Directory(mos)
            zio.salt = directory.octets(metadata.SALT)
            removal = load_mappings(tree, mos, directory)
            report = read_features(mos, directory, root.version)
            load_dtls(tree, mos)
            return Spa(
                candidate=self.candidate,
                config=config,
                tree=tree,
                zio=zio,
                mos=mos,
                directory=directory,
                features=report,
                found=found,
                uberblock=root,
                newest_txg=newest.txg,
                rings=self.rings,
                removal=removal,
                spares=aux_devices(mos, directory, "spares", tree, self.candidate.spares),
                l2cache=aux_devices(mos, directory, "l2cache", tree, self.candidate.spares),
                owned=self.owned,
                notes=self.notes,
                altroot=self.options.altroot,
                readonly=self.readonly,
            )
        except BaseException:
            zio.close()
            raise

    def _described(self, config: NVList) -> NVList:
        """The vdev tree of a configuration, with the paths where the devices were found."""
        root = config.nvlist("vdev_tree").copy()
        todo = [root]
        while todo:
            vdev = todo.pop()
            todo += vdev.nvlists("children")
            member = self.members.get(vdev.u64("guid", 0))
            if member is not None:
                if not self.options.keep_paths:
                    vdev["path"] = member.source.name
                vdev.pop("not_present", None)
                if self.options.missing_ok:  # whatever an administrator took away may be what is left
                    for word in ("offline", "faulted", "degraded", "removed"):
                        vdev.pop(word, None)
        return root

    def _check_labels(self, tree: VdevTree, root: Uberblock) -> None:
        """Refuse devices whose labels do not vouch for them."""
        any_txg = self.options.txg is not None or self.options.extreme or self.options.checkpoint
        for leaf in tree.leaves:
            member = self.members.get(leaf.guid)
            if member is None or leaf.state not in (VdevState.HEALTHY, VdevState.DEGRADED):
                continue
            if member.newest_label(None if any_txg else root.txg) is None and not self.options.missing_ok:
                leaf.set_state(VdevState.CANT_OPEN, VdevAux.BAD_LABEL)
        tree.propagate_states()

    def _check_missing(self, tree: VdevTree) -> None:
        if self.options.missing_ok:
            return
        if not tree.root.readable:
            raise self._missing(tree, None)
        logs = [top for top in tree.tops if top.is_log and not top.readable]
        if logs and not self.options.missing_log:
            raise MissingDeviceError(
                f"the pool {self.candidate.name!r} lacks a log device: {_complaints(tree)}",
                "records in it would be lost; to open the pool without them, allow missing log devices",
            )

    def _missing(self, tree: VdevTree, cause: PoolError | None) -> MissingDeviceError:
        what = f"the pool {self.candidate.name!r} lacks devices: {_complaints(tree)}"
        if cause is not None:
            what += f" ({cause.what})"
        advice = "search where the missing devices are too"
        if not self.options.missing_ok:
            advice += ", or open it all the same (--missing-ok, missing_ok=True)"
        return MissingDeviceError(what, advice)

    def _check_guids(self, tree: VdevTree, root: Uberblock) -> None:
        total = sum(vdev.guid for vdev in tree.walk()) % (1 << 64)
        if total != root.guid_sum and not self.options.missing_ok:
            raise CorruptError(
                "the guids of the pool's vdevs do not add up to what the uberblock says: devices are missing",
                "search where the missing devices are too",
                found=total,
                expected=root.guid_sum,
            )


def _complaints(tree: VdevTree) -> str:
    """The vdevs that are not as they should be, in a few words."""
    bad = [vdev for vdev in tree.walk() if vdev is not tree.root and not vdev.readable]
    words = [f"{vdev.name} {vdev.state_text}" + (f" ({vdev.aux_text})" if vdev.aux_text else "") for vdev in bad[:20]]
    if len(bad) > 20:
        words.append(f"and {len(bad) - 20} more")
    return ", ".join(words)


def check_version(version: int, pool: str = "") -> None:
    """Refuse an on-disk version that does not exist. ``pool``: its name, for the message.

    Raises:
        UnsupportedFeatureError: neither 1 to 28 nor 5000.
    """
    if not (1 <= version <= uberblock.VERSION_LAST_NUMBERED or version == uberblock.VERSION_FEATURES):
        advice = "a newer version of this package may read it"
        what = f"the pool has the on-disk version {version}, which is not known"
        raise UnsupportedFeatureError(what, advice, pool=pool or None)


def read_config(mos: Objset, directory: Directory) -> NVList:
    """The pool's configuration as the MOS has it.

    Raises:
        CorruptError: it is missing or damaged.
    """
    config = metadata.packed(mos, directory.number(metadata.CONFIG), "the pool's configuration")
    config.nvlist("vdev_tree").nvlists("children")
    return config


def set_reflow(tree: VdevTree, root: Uberblock) -> None:
    """Tell raidz vdevs that are being expanded how far that has come."""
    for top in tree.tops:
        if isinstance(top, RaidzVdev) and top.expanding:
            top.set_reflow(root.reflow_offset, root.reflow_state)


def read_features(mos: Objset, directory: Directory, version: int) -> features.FeatureReport:
    """The pool's features.

    Raises:
        UnsupportedFeatureError: one that is needed for reading is not known.
    """
    if version < uberblock.VERSION_FEATURES:
        return features.FeatureReport()
    directory.number(metadata.FEATURES_FOR_READ)
    read = metadata.refcounts(mos, directory, metadata.FEATURES_FOR_READ)
    write = metadata.refcounts(mos, directory, metadata.FEATURES_FOR_WRITE)
    try:
        return features.check(read, write)
    except UnsupportedFeatureError:
        known = metadata.texts(mos, directory.number(metadata.FEATURE_DESCRIPTIONS, 0), "feature descriptions")
        return features.check(read, write, descriptions=known)
