"""What an image is to be: layout, datasets with their sources, owners, seed and time.

A dataset is asked for in one word:

    NAME[:PROPERTY=VALUE[,PROPERTY=VALUE]...][=SOURCE]

NAME is whole (``tank/home``) or begins with a slash (``/home``); the pool's own name is its root dataset. SOURCE is a
folder, a tar archive (also a compressed one), or ``-``: a tar archive on standard input.

Source: https://reproducible-builds.org/specs/source-date-epoch/.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..dsl.names import check_dataset
from ..dsl.propset import setting
from ..dsl.proptable import Types, find
from ..env import Env
from ..errors import ExistsError, UsageError
from ..spa.compatsets import Compatibility

#: Labels of images say that they were made here, on no host that exists.
HOSTNAME = "localhost"
EPOCH = "SOURCE_DATE_EPOCH"
STDIN = "-"
ID_MAX = 1 << 32  # exclusive
_MAP = re.compile(r"(\d+):(\d+)(?::(\d+))?")
_OWNER = re.compile(r"(\d+):(\d+)")

#: First number in the source, first number in the image, how many.
IdMap = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class DatasetRecipe:
    """A file system of the image: its whole name, its own properties, and the folder or archive that fills it."""

    name: str
    properties: Mapping[str, str] = field(default_factory=dict)
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """All of an image. The same recipe, with a seed and a time, and the same sources give the same bytes.

    Attributes:
        name: of the pool. layout: words of ``zpool create``; the devices are files to be made.
        datasets: in the order in which they are made and filled; the root dataset may be among them.
        size: bytes of each file; None: what the content needs. free: bytes to be free for more than the content.
        ashift: log2 of the sector size; 0: 12.
        properties, dataset_properties: of the pool and of its root dataset. compatibility: a set of features.
        leaf_type: what labels call the devices: ``disk`` for images that become block devices.
        label_paths: that labels say: one template for all images, or one for each.
        seed: all guids and salts follow from it; None: they are random.
        now: seconds since 1970: the only time in the image beside those of files.
        clamp: files that changed after ``now`` are said to have changed then.
        owner: uid and gid of everything. uids, gids: maps, if there is no owner.
        force: replace files that are there.
        threads: that share the work (0: one for each processor, four at most); the bytes do not depend on them.
    """

    name: str
    layout: Sequence[str]
    datasets: Sequence[DatasetRecipe] = ()
    size: int | None = None
    free: int = 0
    ashift: int = 0
    properties: Mapping[str, str] = field(default_factory=dict)
    dataset_properties: Mapping[str, str] = field(default_factory=dict)
    compatibility: Compatibility | None = None
    leaf_type: Literal["disk", "file"] = "file"
    label_paths: Sequence[str] = ()
    seed: str | None = None
    now: int = 0
    clamp: bool = False
    owner: tuple[int, int] | None = None
    uids: Sequence[IdMap] = ()
    gids: Sequence[IdMap] = ()
    force: bool = False
    threads: int = 0

    def env(self) -> Env:
        """The world in which the image is made. Each call begins anew."""
        if self.seed is None:
            return Env(lambda: self.now, secrets.token_bytes, hostname=HOSTNAME)
        digest = hashlib.sha256(f"{self.name}\0{self.seed}".encode("utf-8", "surrogateescape")).digest()
        return Env.fixed(int.from_bytes(digest, "big"), now=self.now, hostname=HOSTNAME)

    @property
    def root(self) -> DatasetRecipe:
        """The root dataset, with all that is said of it."""
        own = next((one for one in self.datasets if one.name == self.name), DatasetRecipe(self.name))
        return DatasetRecipe(self.name, {**self.dataset_properties, **own.properties}, own.source)

    @property
    def below(self) -> list[DatasetRecipe]:
        """All datasets but the root."""
        return [one for one in self.datasets if one.name != self.name]

    def value(self, dataset: str, prop: str) -> int | str:
        """What a property of a dataset will be, in the form that is stored: its own, inherited, or the default."""
        wanted = find(prop)
        assert wanted is not None
        said = {one.name: one.properties for one in (self.root, *self.datasets)} | {self.name: self.root.properties}
        while dataset:
            for name, text in said.get(dataset, {}).items():
                if find(name) is wanted:
                    return setting(name, text, Types.FILESYSTEM, creating=True).value
            dataset = dataset.rpartition("/")[0]
        return wanted.default if wanted.default is not None else 0

    def check(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            UsageError, ExistsError: why.
        """
        names = [one.name for one in self.datasets]
        for name in names:
            check_dataset(name)
            if name != self.name and not name.startswith(self.name + "/"):
                raise UsageError(f"{name!r} is not in the pool {self.name!r}", f"call it {self.name}/NAME, or /NAME")
            if names.count(name) > 1:
                raise ExistsError("a dataset is named twice", dataset=name)
        if [one.source for one in self.datasets].count(STDIN) > 1:
            raise UsageError("standard input can fill one dataset only")
        if self.size is None and any(one.source == STDIN for one in self.datasets):
            raise UsageError("nobody can tell how large standard input will be", "say --size, or name a file")
        for one in self.datasets:
            if one.source not in (None, STDIN) and not Path(one.source or "").exists():
                raise UsageError("there is no such folder or archive", path=one.source)
        if self.owner and (self.uids or self.gids):
            raise UsageError("one owner of everything leaves nothing to map", "leave out the owner or the maps")


def parse_dataset(word: str, pool: str) -> DatasetRecipe:
    """Understand what asks for a dataset.

    Raises:
        UsageError: it makes no sense.
    """
    cut = min((at for at in (word.find(":"), word.find("=")) if at >= 0), default=len(word))
    name, rest = word[:cut], word[cut:]
    name = pool + name if name.startswith("/") and name != "/" else pool if name == "/" else name
    if not rest.startswith(":"):
        return DatasetRecipe(name, {}, _source(rest[1:], word) if rest else None)
    properties: dict[str, str] = {}
    rest = rest[1:]
    while rest:
        prop, equals, behind = rest.partition("=")
        if not equals or not prop:
            raise UsageError(f"a property needs a value: {rest!r}", "NAME:PROPERTY=VALUE,...=SOURCE", word=word)
        end = min((at for at in (behind.find(","), behind.find("=")) if at >= 0), default=len(behind))
        if prop in properties:
            raise UsageError(f"the property {prop} is given twice", word=word)
        properties[prop] = behind[:end]
        if behind[end : end + 1] == "=":
            return DatasetRecipe(name, properties, _source(behind[end + 1 :], word))
        rest = behind[end + 1 :]
    return DatasetRecipe(name, properties)


def _source(text: str, word: str) -> str:
    if not text:
        raise UsageError("a source is missing behind the equals sign", word=word)
    return text


def parse_owner(text: str) -> tuple[int, int]:
    """UID:GID. Raises: UsageError."""
    match = _OWNER.fullmatch(text)
    if match is None or max(int(match[1]), int(match[2])) >= ID_MAX:
        raise UsageError(f"an owner is UID:GID, two numbers, not {text!r}")
    return int(match[1]), int(match[2])


def parse_map(text: str) -> IdMap:
    """FROM:TO[:COUNT]. Raises: UsageError."""
    match = _MAP.fullmatch(text)
    if match is None:
        raise UsageError(f"a map is FROM:TO or FROM:TO:COUNT, not {text!r}")
    first, to, count = int(match[1]), int(match[2]), int(match[3] or 1)
    if not count or max(first, to) + count > ID_MAX:
        raise UsageError(f"this maps numbers that nobody can have: {text!r}")
    return first, to, count


def mapped(number: int, maps: Sequence[IdMap]) -> int:
    """A uid or gid as it will be: the first map that has it counts."""
    for first, to, count in maps:
        if first <= number < first + count:
            return to + number - first
    return number


def parse_epoch(text: str | None) -> int | None:
    """The value of SOURCE_DATE_EPOCH; None where it is not set. Raises: UsageError."""
    if not text:
        return None
    if not re.fullmatch(r"\d{1,11}", text):
        raise UsageError(f"{EPOCH} is to be whole seconds since 1970, not {text!r}")
    return int(text)
