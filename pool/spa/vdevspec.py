"""What a new pool (or an addition to one) is to be made of: the words of ``zpool create``, and what they mean.

    [TYPE] DEVICE...  [special|dedup [TYPE] DEVICE...]  [log [mirror] DEVICE...]  [cache DEVICE...]  [spare DEVICE...]

with TYPE one of ``mirror``, ``raidz`` (``raidz1`` to ``raidz3``), ``draid[P][:<D>d][:<C>c][:<S>s]``; a DEVICE without
a TYPE before it is a top-level vdev of its own. Groups cannot be nested: the words of a group end where the next group
begins.

Source: OpenZFS, zpool(8) and zpoolconcepts(7); zpool_vdev.c for what is refused, and in which words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..device.base import Device
from ..errors import UnsupportedError, UsageError
from ..vdev.draid import MAX_SPARES

MAX_PARITY = 3
MAX_CHILDREN = 255  # of raidz and draid
MAX_MIRROR = 255  # OpenZFS names no bound; a label could not hold many more
DRAID_DATA = 8  # data columns of a draid group, unless said otherwise

#: Where blocks of a top-level vdev may come from: any, or only those of a class.
AllocClassName = Literal["normal", "log", "special", "dedup"]
VdevKind = Literal["leaf", "mirror", "raidz", "draid"]
#: A path, a short name, or a device that is open already.
Place = str | Device

_CLASSES = ("log", "special", "dedup")
_AUX = ("spare", "cache")
_PARITY = re.compile(r"(raidz|draid)([1-3]?)((?::.*)?)")
_DRAID_PART = re.compile(r"(\d+)([cdsw])", re.IGNORECASE)
_FAILURE_WORDS = ("fgroup", "failure_group", "fdomain", "failure_domain")


class SpecError(UsageError):
    """What was asked for cannot be, or should not be, made.

    Attributes:
        lines: each thing that is wrong, in OpenZFS's words.
        overridable: ``-f`` lets it pass.
    """

    exit_status = 1

    def __init__(self, what: str, advice: str = "", *, overridable: bool = False, **where: object) -> None:
        super().__init__(what, advice, **where)
        self.lines: tuple[str, ...] = (what,)
        self.overridable = overridable

    @classmethod
    def of(cls, lines: Sequence[str], *, overridable: bool) -> SpecError:
        """One error for several complaints."""
        advice = "use '-f' to override" if overridable else ""
        error = cls(f"invalid vdev specification: {'; '.join(lines)}", advice, overridable=overridable)
        error.lines = tuple(lines)
        return error

    def report(self, *, force: bool = False) -> str:
        """The complaints as ``zpool`` prints them."""
        if len(self.lines) == 1 and self.lines[0] == self.what:
            return "\n".join([self.what, self.advice] if self.advice else [self.what])
        head = "the following errors must be manually repaired:"
        if self.overridable and not force:
            head = "use '-f' to override the following errors:"
        return "\n".join(["invalid vdev specification", head, *self.lines])


@dataclass(frozen=True, slots=True)
class VdevSpec:
    """A top-level vdev to be.

    Attributes:
        places: its leaves.
        nparity: parity columns of a raidz or draid.
        ndata, nspares: data columns of a group and distributed spares of a draid.
    """

    kind: VdevKind
    places: tuple[Place, ...] = field(repr=False)
    cls: AllocClassName = "normal"
    nparity: int = 0
    ndata: int = 0
    nspares: int = 0

    @property
    def ngroups(self) -> int:
        """Groups in a slice of a draid: as few as fill whole rows."""
        width = self.ndata + self.nparity
        return math.lcm(width, len(self.places) - self.nspares) // width


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """Everything a pool is to be made of, or that is to be added to one."""

    tops: tuple[VdevSpec, ...] = ()
    spares: tuple[Place, ...] = ()
    cache: tuple[Place, ...] = ()

    @property
    def places(self) -> list[Place]:
        """Every device named."""
        return [*(place for top in self.tops for place in top.places), *self.spares, *self.cache]


def parse(words: Sequence[Place]) -> PoolSpec:
    """Understand the words after a pool's name.

    Args:
        words: as typed; a ``Device`` may stand wherever a path may.

    Raises:
        SpecError: they make no sense. UnsupportedError: draid failure domains.
    """
    return _Parser(list(words)).run()


def parse_for_create(words: Sequence[Place]) -> PoolSpec:
    """As ``parse``; a new pool needs a vdev that data can go to, beside log, cache and spare devices.

    Raises: as ``parse``.
    """
    spec = parse(words)
    if not any(top.cls == "normal" for top in spec.tops):
        raise _invalid("at least one general top-level vdev must be specified")
    return spec


def _invalid(text: str) -> SpecError:
    return SpecError(f"invalid vdev specification: {text}")


def group_type(word: Place) -> str | None:
    """``mirror``, ``raidz``, ``draid``, ``log``, ``special`` ... if a word begins a group; None: it names a device."""
    if not isinstance(word, str):
        return None
    if word in ("mirror", *_CLASSES, *_AUX):
        return word
    match = _PARITY.fullmatch(word)
    return match[1] if match and (match[1] == "draid" or not match[3]) else None


class _Parser:
    def __init__(self, words: list[Place]) -> None:
        self.words = words
        self.at = 0
        self.cls: AllocClassName = "normal"
        self.tops: list[VdevSpec] = []
        self.aux: dict[str, tuple[Place, ...]] = {}
        self.seen_log = False
        self.in_spare = False

    def run(self) -> PoolSpec:
        while self.at < len(self.words):
            word = self.words[self.at]
            group = group_type(word)
            self.at += 1
            if group is None:
                self._check_device(word)
                self.tops.append(VdevSpec("leaf", (word,), self.cls))
            elif group in _CLASSES:
                self._enter_class(group)
            elif group in _AUX:
                self._aux(group)
            else:
                self._group(group, str(word))
        if not self.tops and not self.aux:
            raise _invalid("at least one toplevel vdev must be specified")
        if self.seen_log and not any(top.cls == "log" for top in self.tops):
            raise _invalid("log requires at least 1 device")
        return PoolSpec(tuple(self.tops), self.aux.get("spare", ()), self.aux.get("cache", ()))

    def _enter_class(self, group: str) -> None:
        if group == "log":
            if self.seen_log:
                raise _invalid("'log' can be specified only once")
            self.seen_log = True
            self.cls = "log"
        else:
            self.cls = "special" if group == "special" else "dedup"

    def _aux(self, group: str) -> None:
        if group in self.aux:
            raise _invalid(f"{group!r} can be specified only once")
        self.cls = "normal"
        places = self._places()
        if not places:
            raise _invalid(f"{group} requires at least 1 devices")
        self.aux[group] = places

    def _group(self, group: str, word: str) -> None:
        if self.cls != "normal" and group != "mirror":  # zpool's rule; pools that have such vdevs do work
            raise _invalid(f"unsupported {self.cls!r} device: {group}")
        places = self._places()
        nparity = _parity(word) if group != "mirror" else 0
        least = 2 if group == "mirror" else nparity + 1
        most = MAX_MIRROR if group == "mirror" else MAX_CHILDREN
        if len(places) < least:
            raise _invalid(f"{word} requires at least {least} devices")
        if len(places) > most:
            raise _invalid(f"{word} supports no more than {most} devices")
        if group == "mirror":
            self.tops.append(VdevSpec("mirror", places, self.cls))
        elif group == "raidz":
            self.tops.append(VdevSpec("raidz", places, self.cls, nparity))
        else:
            self.tops.append(_draid(word, places, self.cls, nparity))

    def _places(self) -> tuple[Place, ...]:
        start = self.at
        while self.at < len(self.words) and group_type(self.words[self.at]) is None:
            self._check_device(self.words[self.at])
            self.at += 1
        return tuple(self.words[start : self.at])

    def _check_device(self, word: Place) -> None:
        if isinstance(word, str) and word in _FAILURE_WORDS:
            raise UnsupportedError("draid with failure domains is not supported", word=word)
        if word == "":
            raise SpecError("cannot open '': no such device")
        if isinstance(word, str) and "\0" in word:
            raise SpecError("a device's path has a NUL byte inside", path=repr(word))


def _parity(word: str) -> int:
    match = _PARITY.fullmatch(word)
    return int(match[2] or 1) if match else 0


def _draid(word: str, places: tuple[Place, ...], cls: AllocClassName, nparity: int) -> VdevSpec:
    """A draid's shape from the word that describes it and the number of devices behind it."""
    count = len(places)
    ndata, nspares = -1, 0
    for part in word.split(":")[1:]:
        match = _DRAID_PART.fullmatch(part)
        if match is None or len(match[1]) > 9:
            raise SpecError(f"invalid dRAID syntax; expected [:<number><c|d|s>] not {word!r}")
        value, letter = int(match[1]), match[2].lower()
        if letter in "cw":
            if letter == "c" and 0 < value < count and count % value == 0:
                raise UnsupportedError("draid with failure domains is not supported", spec=word, devices=count)
            if value != count:
                raise SpecError(f"invalid number of dRAID disks; {value} required but {count} provided")
        elif letter == "d":
            ndata = value
        else:
            nspares = value
    room = count - nspares - nparity
    if ndata < 0:
        if room <= 0:
            raise SpecError(
                f"requested number of distributed spares {nspares} and parity level {nparity} "
                "leaves no disks available for data"
            )
        ndata = min(room, DRAID_DATA)
    if ndata == 0 or ndata > room:
        raise SpecError(
            f"requested number of dRAID data disks {ndata} per group is too high, "
            f"at most {max(0, room)} disks are available for data"
        )
    if nspares > MAX_SPARES:
        raise SpecError(f"invalid number of dRAID spares {nspares}; additional disks would be required")
    return VdevSpec("draid", places, cls, nparity, ndata, nspares)
