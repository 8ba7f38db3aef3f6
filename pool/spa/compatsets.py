"""Named sets of features: what a pool may use so that certain systems can open it (the ``compatibility`` property).

A name means a file in one of two folders, or, where there is no such file, a set built in here: the same that OpenZFS
ships. Several names, joined by commas, mean what all of them allow. ``off`` (or nothing) asks for no set, ``legacy``
for the empty one.

Source: OpenZFS, zpool-features(7); the files in cmd/zpool/compatibility.d of release 2.4 (which features, and which
names mean the same).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..ondisk.features import BY_NAME

MAX_FILE = 16384
LOCAL_FOLDER = "/etc/zfs/compatibility.d"
SHIPPED_FOLDER = "/usr/share/zfs/compatibility.d"
OFF, LEGACY = "off", "legacy"


def _sets() -> dict[str, frozenset[str]]:
    """The built-in sets by name: each is another one and some more."""
    sets: dict[str, frozenset[str]] = {"": frozenset()}

    def define(name: str, base: str, more: str = "", without: str = "") -> None:
        sets[name] = (sets[base] | frozenset(more.split())) - frozenset(without.split())

    define("zol-0.6.1", "", "async_destroy empty_bpobj lz4_compress")
    basic = "bookmarks embedded_data enabled_txg extensible_dataset hole_birth spacemap_histogram"
    define("zol-0.6.4", "zol-0.6.1", basic)
    define("zol-0.6.5", "zol-0.6.4", "filesystem_limits large_blocks")
    define("compat-2018", "zol-0.6.5")
    define("freenas-9.10.2", "zol-0.6.5", "multi_vdev_crash_dump")
    define("compat-2019", "freenas-9.10.2", "sha512 skein")
    define("compat-2020", "compat-2019")
    define("freebsd-11.0", "compat-2019")
    define("freebsd-11.2", "compat-2019", "device_removal obsolete_counts zpool_checkpoint")
    define("freebsd-11.3", "freebsd-11.2", "spacemap_v2")
    define("compat-2021", "freebsd-11.3")
    define("openzfsonosx-1.7.0", "compat-2019", "edonr")
    define("openzfsonosx-1.8.1", "compat-2021", "edonr")
    define("zol-0.7", "compat-2019", "edonr large_dnode userobj_accounting")
    later = "allocation_classes bookmark_v2 encryption large_dnode project_quota resilver_defer userobj_accounting"
    define("zol-0.8", "openzfsonosx-1.8.1", later)
    define("openzfsonosx-1.9.3", "zol-0.8")
    two = "bookmark_written device_rebuild livelist log_spacemap redacted_datasets redaction_bookmarks zstd_compress"
    define("openzfs-2.0-linux", "zol-0.8", two)
    define("openzfs-2.0-freebsd", "openzfs-2.0-linux", without="edonr")
    define("openzfs-2.1-linux", "openzfs-2.0-linux", "draid")
    define("openzfs-2.1-freebsd", "openzfs-2.0-freebsd", "draid")
    define("openzfs-2.2", "openzfs-2.1-linux", "blake3 block_cloning head_errlog vdev_zaps_v2 zilsaxattr")
    define("openzfs-2.3", "openzfs-2.2", "fast_dedup large_microzap longname raidz_expansion redaction_list_spill")
    define("openzfs-2.4", "openzfs-2.3", "block_cloning_endian dynamic_gang_header physical_rewrite")
    # What boot loaders read (in a pool that has only these), by their own releases.
    grub = "async_destroy embedded_data empty_bpobj enabled_txg hole_birth lz4_compress spacemap_histogram"
    harmless = "allocation_classes block_cloning device_rebuild log_spacemap resilver_defer"
    define("grub2-2.06", "", f"{grub} {harmless} spacemap_v2 zpool_checkpoint")
    more = "bookmarks extensible_dataset filesystem_limits large_blocks livelist project_quota userobj_accounting"
    define("grub2-2.12", "grub2-2.06", f"{more} zilsaxattr")
    del sets[""]
    return sets | {alias: sets[name] for alias, name in _ALIASES.items()}


_ALIASES = {
    "2018": "compat-2018", "2019": "compat-2019", "2020": "compat-2020", "2021": "compat-2021",
    "freebsd-11.1": "freebsd-11.0", "freenas-11.0": "freebsd-11.0", "freenas-11.1": "freebsd-11.0",
    "freenas-11.2": "freebsd-11.2", "freenas-11.3": "freebsd-11.3", "freebsd-11.4": "freebsd-11.3",
    "freebsd-12.0": "freebsd-11.3", "freebsd-12.1": "freebsd-11.3", "freebsd-12.2": "freebsd-11.3",
    "freebsd-12.3": "freebsd-11.3", "freebsd-12.4": "freebsd-11.3",
    "freebsd-13.0": "openzfs-2.1-freebsd", "freebsd-13.1": "openzfs-2.1-freebsd",
    "freebsd-13.2": "openzfs-2.1-freebsd", "grub2": "grub2-2.12", "openzfsonosx-1.9.4": "openzfsonosx-1.9.3",
    "truenas-12.0": "openzfs-2.0-freebsd", "ubuntu-18.04": "zol-0.7", "ubuntu-20.04": "zol-0.8",
    "ubuntu-22.04": "openzfs-2.1-linux", "openzfs-2.2-linux": "openzfs-2.2", "openzfs-2.2-freebsd": "openzfs-2.2",
    "openzfs-2.3-linux": "openzfs-2.3", "openzfs-2.3-freebsd": "openzfs-2.3",
    "openzfs-2.4-linux": "openzfs-2.4", "openzfs-2.4-freebsd": "openzfs-2.4",
}  # fmt: skip

#: Built-in sets by name.
SETS: Mapping[str, frozenset[str]] = _sets()
assert all(name in BY_NAME for names in SETS.values() for name in names)


@dataclass(frozen=True, slots=True)
class Compatibility:
    """What a ``compatibility`` property allows: short names of features; None: it asks for no set.

    ``warnings``: words in shipped files that are no features known here.
    """

    features: frozenset[str] | None
    warnings: tuple[str, ...] = ()


def load(value: str, folders: Sequence[str | Path] = (LOCAL_FOLDER, SHIPPED_FOLDER)) -> Compatibility:
    """Understand a ``compatibility`` property.

    Args:
        folders: where files of feature names are looked for; in the first one unknown names are errors.

    Raises:
        UsageError: a name means nothing, or a file is none of its kind.
    """
    if value in ("", OFF):
        return Compatibility(None)
    if value == LEGACY:
        return Compatibility(frozenset())
    allowed = frozenset(BY_NAME)
    warnings: list[str] = []
    names = [name for name in value.split(",") if name]
    if not names:
        raise UsageError("no valid compatibility files specified", value=value)
    for name in names:
        allowed &= _one(name, folders, warnings)
    return Compatibility(allowed, tuple(warnings))


def _one(name: str, folders: Sequence[str | Path], warnings: list[str]) -> frozenset[str]:
    for place, folder in enumerate(folders):
        path = Path(folder) / name
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_FILE + 1)
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise _bad_file(name) from error
        if not data.endswith(b"\n") or len(data) > MAX_FILE:
            raise _bad_file(name)
        words = _words(data.decode("utf-8", "replace"))
        unknown = sorted(word[:32] for word in words if word not in BY_NAME)
        if unknown and place == 0:
            raise UsageError(
                f"invalid feature name(s) in local compatibility files: {' '.join(unknown)}", path=str(path)
            )
        warnings += unknown
        return frozenset(word for word in words if word in BY_NAME)
    if name not in SETS:
        raise _bad_file(name)
    return SETS[name]


def _bad_file(name: str) -> UsageError:
    return UsageError(f"could not read/parse feature file(s): {name}")


def _words(text: str) -> list[str]:
    """Feature names in a file: separated by blanks, commas or ends of lines; ``#`` begins a comment."""
    lines = (line.partition("#")[0].replace(",", " ") for line in text.split("\n"))
    return [word for line in lines for word in line.split()]
