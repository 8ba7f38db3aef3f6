"""Understanding what somebody wants a property to be: from the words of ``zfs set`` to what is stored.

``setting`` knows the table of properties and what each may hold; nothing here looks at a pool, except to ask whether
a feature is enabled. Numbers are written as ``zfs`` takes them: 128K, 1.5G, 0x200; ``none`` is 0 where that means
"no limit".

Source: OpenZFS, libzfs_util.c (``zprop_parse_value``, ``zfs_nicestrtonum``), libzfs_dataset.c
(``zfs_valid_proplist``), zfs_ioctl.c (``zfs_check_settable``), zfsprops(7).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import UnsupportedError, UnsupportedFeatureError, UsageError
from .proptable import UINT64_MAX, Attr, Form, Kind, Property, Types, find, is_user_property

MIN_BLOCK, OLD_MAX_BLOCK, MAX_BLOCK = 512, 128 << 10, 16 << 20
#: Bytes of text and of a name, the NUL at the end included. Source: zfs.h (ZAP_MAXVALUELEN, ZAP_MAXNAMELEN).
MAX_TEXT, MAX_NAME = 8192, 256
_USER_NAME = re.compile(r"[a-z0-9_\-.+]*:[a-z0-9_\-.+:]*")
_HOLDER = re.compile("(user|group|project)(obj)?(quota|used)@.*")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([BKMGTPEZ])?(I?B)?", re.IGNORECASE)
_UNITS = "BKMGTPEZ"

#: Properties that live outside of the properties ZAPs, given at creation only.
FIXED = ("utf8only", "normalization", "casesensitivity")
#: Where 0 has to be said as ``none``.
QUOTAS = ("quota", "refquota")
#: What has to be counted from the moment it is limited, which is not done here.
NOT_WRITTEN = {
    "filesystem_limit": "limits on the number of datasets",
    "snapshot_limit": "limits on the number of datasets",
    "mlslabel": "sensitivity labels",
}
CHECKSUM_FEATURES = {11: "sha512", 12: "skein", 13: "edonr", 14: "blake3"}
LZ4, ZSTD = 15, 16
LEVEL_SHIFT = 7

#: Asks whether the pool has a feature enabled, by its short name.
Enabled = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Setting:
    """A property as it is to be stored: a number or text."""

    name: str
    value: int | str
    prop: Property | None = None  # None: a property of the user's own


def parse_size(text: str, name: str = "value") -> int:
    """A size or count in the words of ``zfs``: digits with an optional fraction, and K, M, G, T, P, E or Z behind.

    Raises:
        UsageError: it is none, or does not fit into 64 bits.
    """
    plain = text.strip()
    try:
        if plain.lower().startswith("0x"):
            value = int(plain, 16)
        else:
            match = _SIZE.fullmatch(plain)
            if match is None or (match[3] and (match[2] or "B").upper() == "B"):
                raise ValueError
            shift = 10 * _UNITS.index((match[2] or "B").upper())
            value = int(match[1]) << shift if match[1].isdecimal() else int(float(match[1]) * (1 << shift))
    except ValueError:
        raise UsageError(f"{name}: {text!r} is no number", "write sizes like 512, 128K, 1.5G") from None
    if value > UINT64_MAX:
        raise UsageError(f"{name}: {text!r} does not fit into 64 bits")
    return value


def setting(
    name: str, value: int | str, types: Types, *, enabled: Enabled = lambda _: True, creating: bool = False
) -> Setting:
    """Understand a property and its value, and refuse what OpenZFS refuses.

    Args:
        name: of the property, long or short.
        value: as the command line has it; a number is taken as the number that is stored.
        types: FILESYSTEM or VOLUME: what it is to be set on.
        enabled: tells whether the pool has a feature enabled.
        creating: the dataset is being created: what can be set only then may be set.

    Raises:
        UsageError: unknown, read-only, not for this type of dataset, or no value it can have.
        UnsupportedFeatureError: the value needs a feature that is not enabled. UnsupportedError: not written here.
    """
    prop = find(name)
    if prop is None:
        return _users_own(name, value)
    _check_settable(prop, types, creating)
    number = value if isinstance(value, int) or prop.kind is Kind.STRING else _number(prop, value)
    if isinstance(number, int) and prop.kind is Kind.STRING:
        raise UsageError(f"{prop.name} holds text", f"values: {prop.hint}", value=value)
    if isinstance(number, int):
        _check_number(prop, number)
        _check_features(prop, number, enabled)
    else:
        _check_text(prop, number)
    _check_written(prop, number)
    return Setting(prop.name, number, prop)


def check_inheritable(name: str) -> str:
    """The whole name of a property that can be taken back with ``inherit``.

    Raises:
        UsageError: it is unknown, read-only or not inherited.
    """
    prop = find(name)
    if prop is None:
        return _users_own(name, "").name
    if prop.attr is Attr.READONLY or not prop.visible:
        raise UsageError(f"{prop.name} is read-only")
    if prop.set_once:
        raise UsageError(f"{prop.name} is fixed when a dataset is created")
    if not prop.inheritable:
        none = prop.form in (Form.QUOTA, Form.LIMIT)
        raise UsageError(f"{prop.name} is not inherited", f"use 'zfs set {prop.name}={'none' if none else '...'}'")
    return prop.name


def _users_own(name: str, value: int | str) -> Setting:
    if _HOLDER.fullmatch(name):
        raise UnsupportedError(f"quotas of users, groups and projects are not set yet: {name}")
    if not is_user_property(name):
        raise UsageError(f"no dataset property is called {name!r}", "names of your own contain a colon")
    if not _USER_NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be a property", "names of your own have a-z, 0-9 and any of : - . + _")
    if len(name) >= MAX_NAME:
        raise UsageError("the name of a property is too long", name=name[:80])
    text = str(value)
    if len(text.encode("utf-8", "surrogateescape")) >= MAX_TEXT:
        raise UsageError(f"the value of {name} is too long", bytes=len(text))
    return Setting(name, text)


def _check_settable(prop: Property, types: Types, creating: bool) -> None:
    if prop.attr is Attr.READONLY or (not prop.visible and prop.attr is not Attr.INHERIT):
        raise UsageError(f"{prop.name} is read-only")
    if not (prop.types | prop.also) & types:
        kind = "volumes" if types & Types.VOLUME else "file systems"
        raise UsageError(f"{prop.name} does not apply to {kind}")
    if prop.set_once and not creating:
        raise UsageError(f"{prop.name} can be set only when the dataset is created")


def _number(prop: Property, text: str) -> int:
    """The number behind a word, or behind digits."""
    if prop.kind is Kind.INDEX:
        number = prop.value_of(text)
        if number is None:
            raise UsageError(f"{prop.name} cannot be {text!r}", f"values: {prop.hint}")
        return number
    if text == "none":
        if prop.form is Form.LIMIT:
            return UINT64_MAX
        if prop.form is not Form.QUOTA:
            raise UsageError(f"{prop.name} cannot be 'none'", f"values: {prop.hint}")
        return 0
    number = parse_size(text, prop.name)
    if prop.name in QUOTAS and not number:
        raise UsageError(f"{prop.name} cannot be 0", "'none' means that there is no limit")
    return number


def _check_number(prop: Property, number: int) -> None:
    if not 0 <= number <= UINT64_MAX:
        raise UsageError(f"{prop.name} does not fit into 64 bits", value=number)
    if prop.kind is Kind.INDEX and prop.text_of(number) is None and not (prop.name == "dnodesize" and number == 512):
        raise UsageError(f"{prop.name} has no value that is stored as {number}", f"values: {prop.hint}")
    power = number & (number - 1) == 0
    if prop.name in ("recordsize", "volblocksize"):
        if not (power and MIN_BLOCK <= number <= MAX_BLOCK):
            raise UsageError(f"{prop.name} is a power of two from 512 to 16M", value=number)
    elif prop.name == "special_small_blocks":
        if number and not (power and MIN_BLOCK <= number <= MAX_BLOCK):
            raise UsageError(f"{prop.name} is 0 or a power of two from 512 to 16M", value=number)
    elif prop.name == "version" and number != 5:
        raise UsageError("file systems are of version 5 here", version=number)
    elif prop.name == "volsize" and not number:
        raise UsageError("a volume cannot have the size 0")


def _check_features(prop: Property, number: int, enabled: Enabled) -> None:
    needed = needs(prop.name, number)
    if needed and not enabled(needed):
        shown = prop.text_of(number) or str(number)
        raise UnsupportedFeatureError(
            f"{prop.name}={shown} needs the feature {needed}, which the pool does not have enabled",
            f"zpool set feature@{needed}=enabled POOL", features=(needed,),
        )  # fmt: skip


def needs(name: str, number: int) -> str:
    """The feature (short name) that a value of a property needs; empty: none."""
    if name in ("recordsize", "volblocksize") and number > OLD_MAX_BLOCK:
        return "large_blocks"
    if name == "compression":
        return {LZ4: "lz4_compress", ZSTD: "zstd_compress"}.get(number & ((1 << LEVEL_SHIFT) - 1), "")
    if name == "checksum":
        return CHECKSUM_FEATURES.get(number, "")
    if name == "dnodesize" and number:
        return "large_dnode"
    if name == "special_small_blocks" and number:
        return "allocation_classes"
    return "longname" if name == "longname" and number else ""


def _check_text(prop: Property, text: str) -> None:
    if len(text.encode("utf-8", "surrogateescape")) >= MAX_TEXT:
        raise UsageError(f"the value of {prop.name} is too long", bytes=len(text))
    if prop.name == "mountpoint" and text not in ("none", "legacy"):
        if not text.startswith("/"):
            raise UsageError("a mountpoint is an absolute path, 'none' or 'legacy'", value=text)
        if "\0" in text or len(text) >= 1024:
            raise UsageError("no path can be like this mountpoint", value=text[:80])
    elif prop.name in ("sharenfs", "sharesmb") and not text:
        raise UsageError(f"{prop.name} cannot be empty", f"values: {prop.hint}")


def _check_written(prop: Property, value: int | str) -> None:
    """Raises: UnsupportedError: what the value asks for is not written here."""
    if prop.name in NOT_WRITTEN and value not in (UINT64_MAX, "none"):
        raise UnsupportedError(f"{prop.name} is not set yet: {NOT_WRITTEN[prop.name]}")
    if prop.name.startswith("default") and prop.name.endswith("quota"):
        raise UnsupportedError(f"quotas of users, groups and projects are not set yet: {prop.name}")
    if prop.name == "dedup" and value != prop.default:
        raise UnsupportedError("blocks are not deduplicated when written", "leave dedup off")
    if prop.name == "encryption" and value != prop.default:
        raise UnsupportedError("encrypted datasets are not written", "leave encryption off")
    if prop.name in ("keyformat", "pbkdf2iters", "pbkdf2salt") and value:
        raise UnsupportedError(f"encrypted datasets are not written: {prop.name}")
    if prop.name == "keylocation" and value != "none":
        raise UsageError("keylocation can be set on encryption roots only")
