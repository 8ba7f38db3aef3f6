"""The pools that are made: every kind and class of vdev, both sector sizes, and every property that governs writing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

#: What a dataset is filled with: a few files of each kind; names that every dataset can have; names, numbers and depths
#: out of the ordinary; what a random workload leaves.
Filling = Literal["sample", "plain", "full", "churn", "volume"]


@dataclass(frozen=True)
class Dataset:
    """A dataset of a case: last part of its name, what is in it, words for ``zfs create``."""

    name: str
    filling: Filling
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A pool.

    Attributes:
        words: the layout, a dot for each disk.
        options: words for ``zpool create`` before the pool's name.
        how: ``create``: by ``zpool create``, labels of type file; ``mkfs``: by ``mkfs``, labels of type disk.
        steps: of each random workload. threads: each has one of its own, and txgs are written meanwhile.
    """

    name: str
    words: str
    options: tuple[str, ...] = ()
    size: str = "128M"
    datasets: tuple[Dataset, ...] = ()
    how: Literal["create", "mkfs"] = "create"
    steps: int = 150
    threads: bool = False
    images: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "images", self.words.split().count("."))


def _usual() -> tuple[Dataset, ...]:
    return (
        Dataset("sample", "sample", ("-o", "acltype=posix")),
        Dataset("churn", "churn"),
        Dataset("v", "volume", ("-V", "5M", "-o", "compression=lz4")),
    )


SPECIAL = ("-O", "special_small_blocks=16K")
LAYOUTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "single": (".", ()),
    "single9": (".", ("-o", "ashift=9")),
    "stripe": (". .", ()),
    "mirror": ("mirror . .", ()),
    "mirror9": ("mirror . . .", ("-o", "ashift=9")),
    "mirrors": ("mirror . . mirror . .", ()),
    "raidz1": ("raidz1 . . .", ()),
    "raidz1-9": ("raidz1 . . .", ("-o", "ashift=9")),
    "raidz2": ("raidz2 . . . . .", ()),
    "raidz3": ("raidz3 . . . . .", ("-o", "ashift=9")),
    "draid1": ("draid1:2d:5c:1s . . . . .", ()),
    "draid2": ("draid2:3d:8c:2s . . . . . . . .", ("-o", "ashift=9")),
    "log": (". log .", ()),
    "mirrored-log": ("mirror . . log mirror . .", ()),
    "special": (". special .", SPECIAL),
    "special-mirror": ("mirror . . special mirror . . log . cache . spare .", SPECIAL),
    "classes": (". special . dedup . log .", SPECIAL),
    "cache-spare": ("raidz1 . . . cache . spare .", ("-o", "autoreplace=on")),
}  # fmt: skip


def _properties() -> tuple[Dataset, ...]:
    """A dataset for every value of the properties that say how blocks and files are written."""
    found: list[Dataset] = [Dataset("full", "full", ("-o", "acltype=posix"))]

    def add(prop: str, values: str, filling: Filling = "sample") -> None:
        for value in values.split():
            found.append(Dataset(f"{prop}-{value}", filling, ("-o", f"{prop}={value}")))

    add("recordsize", "512 4K 32K 1M 16M")
    add("compression", "off lz4 lzjb zle gzip-1 gzip-9 zstd-1 zstd-19 zstd-fast-10")
    add("checksum", "off fletcher2 fletcher4 sha256 sha512 skein edonr blake3")
    add("copies", "2 3")
    add("dnodesize", "legacy auto 1k 2k 16k")
    add("xattr", "dir sa")
    add("acltype", "off posix nfsv4")
    add("redundant_metadata", "all most some none")
    add("atime", "off on")
    add("readonly", "on")
    add("casesensitivity", "insensitive mixed")
    add("normalization", "formD formKC", "plain")
    add("utf8only", "on", "plain")
    for size, block in (("3M", "4K"), ("8M", "16K"), ("8M", "128K"), ("16M", "1M")):
        found.append(Dataset(f"v{block}", "volume", ("-V", size, "-b", block, "-s")))
    found.append(Dataset("vfull", "volume", ("-V", "6M", "-o", "checksum=sha512", "-o", "compression=zstd")))
    found.append(Dataset("limited", "sample", ("-o", "quota=90M", "-o", "refreservation=20M", "-o", "reservation=30M")))
    return tuple(found)


def cases() -> list[Case]:
    """All of them."""
    found = [Case(f"k-{name}", words, options, datasets=_usual()) for name, (words, options) in LAYOUTS.items()]
    found.append(Case("k-properties", "mirror . .", size="2G", datasets=_properties(), steps=0))
    found.append(Case("k-churned", "raidz2 . . . .", size="256M", datasets=_usual(), steps=2500))
    busy = tuple(Dataset(f"churn{number}", "churn") for number in range(3))
    found += [
        Case(f"k-threads-{name}", LAYOUTS[name][0], size="256M", datasets=busy, steps=1500, threads=True)
        for name in ("single", "raidz1", "special-mirror")
    ]
    fill = (Dataset("full", "full", ("acltype=posix", "dnodesize=auto")), Dataset("sample", "sample", ("copies=2",)))
    for name in ("single", "raidz1-9", "special-mirror", "draid1"):
        words, options = LAYOUTS[name]
        found.append(Case(f"m-{name}", words, options, datasets=fill, how="mkfs"))
    return found
