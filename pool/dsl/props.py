"""Properties of datasets as ``zfs get`` shows them: value, the same for people, and where it comes from.

Values are looked up in the properties ZAPs from the dataset upwards, or worked out (``figures``). In a ZAP, suffixes
tell entries of one property apart: ``$recvd`` came with a stream, ``$inherit`` hides that, ``$iuv`` holds a newer
value than old software understands.

Source: OpenZFS, dsl_prop.c, libzfs_dataset.c (``zfs_prop_get``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..errors import CorruptError, UsageError
from .accounting import written_since
from .bookmark import Bookmark
from .dataset import DslDataset
from .figures import bookmark_figure, figure
from .nicenum import nicebytes, nicedate, nicenum, niceratio
from .proptable import (
    LISTED_RELEASE,
    PROPERTIES,
    UINT64_MAX,
    Attr,
    Form,
    Kind,
    Property,
    Types,
    find,
    is_user_property,
)

RECEIVED = "$recvd"
INHERIT = "$inherit"
NEWER_INDEX = "$iuv"
NOTHING = "-"

#: Settings whose value, where it is not the default, always counts as set on the dataset itself.
LOCAL_UNLESS_DEFAULT = frozenset(
    {
        "canmount",
        "volsize",
        "quota",
        "refquota",
        "reservation",
        "refreservation",
        "filesystem_limit",
        "snapshot_limit",
        "filesystem_count",
        "snapshot_count",
    }
)


class Origin(Enum):
    """Where a value comes from."""

    NONE = "-"
    DEFAULT = "default"
    LOCAL = "local"
    INHERITED = "inherited"
    RECEIVED = "received"


@dataclass(frozen=True, slots=True)
class PropertyValue:
    """One property of one dataset."""

    name: str
    raw: int | str | None  # None: the dataset has no such value
    text: str  # for people
    exact: str  # as ``zfs get -p``
    origin: Origin = Origin.NONE
    inherited_from: str = ""
    received: str | None = None  # the value that came with a stream, in force or not

    @property
    def is_set(self) -> bool:
        """There is a value."""
        return self.raw is not None

    @property
    def source(self) -> str:
        """Where the value comes from, in the words of ``zfs get``."""
        return (
            f"inherited from {self.inherited_from}" if self.origin is Origin.INHERITED else self.origin.value
        )


@dataclass(frozen=True, slots=True)
class _Found:
    """A value before it is made text: where it was found."""

    raw: int | str | None
    origin: Origin = Origin.NONE
    dataset: str = ""  # it is inherited from


def _nothing(name: str) -> PropertyValue:
    return PropertyValue(name, None, NOTHING, NOTHING)


def types_of(item: DslDataset | Bookmark) -> Types:
    """The type of dataset, for asking the table."""
    if isinstance(item, Bookmark):
        return Types.BOOKMARK
    return Types[item.kind.upper()]


def applies(prop: Property, item: DslDataset | Bookmark) -> bool:
    """The property exists for this type of dataset; for a snapshot, also for the type of its head."""
    types = prop.types | prop.also
    if not types & types_of(item):
        return False
    if isinstance(item, Bookmark) or not item.is_snapshot or prop.kind is Kind.STRING:
        return True
    return types == Types.SNAPSHOT or bool(types & Types[item.head_kind.upper()])


def get(item: DslDataset | Bookmark, name: str) -> PropertyValue:
    """One property of a dataset, snapshot or bookmark.

    Args:
        name: of a native property (its short form will do), of a user property, or ``written@snapshot`` and
            ``written#bookmark`` for what was written since then.

    Raises:
        UsageError: there is no property of that name.
        CorruptError: what is stored is not of the property's kind.
    """
    if name.startswith(("written@", "written#")):
        return _written(item, name)
    prop = find(name)
    if prop is None:
        if not is_user_property(name):
            raise UsageError(f"no dataset property is called {name!r}", "names of your own contain a colon")
        return _user_value(item, name)
    if not applies(prop, item):
        return _nothing(prop.name)
    found = _Found(bookmark_figure(item, prop.name)) if isinstance(item, Bookmark) else _value(item, prop)
    raw = found.raw
    if raw is None or (raw == 0 and prop.form in (Form.DATE_SECONDS, Form.NANOSECONDS)):
        return _nothing(prop.name)
    if prop.name == "mountpoint" and isinstance(item, DslDataset):
        raw = _mountpoint(item, str(raw), found)
    came = None if isinstance(item, Bookmark) else received(item, prop.name)
    return PropertyValue(
        prop.name,
        raw,
        _text(prop, raw),
        _exact(prop, raw),
        found.origin,
        found.dataset,
        None if came is None else _exact(prop, came),
    )


def get_all(item: DslDataset | Bookmark) -> list[PropertyValue]:
    """All properties that have a value, as ``zfs get all`` lists them: native ones in its order, then the user's.

    Native properties of later releases than 2.3 are listed only where they are set, not where they are inherited.
    """
    found = []
    for prop in PROPERTIES:
        if not prop.visible or not applies(prop, item):
            continue
        later = prop.since > LISTED_RELEASE or not prop.types & types_of(item)
        if later and prop.attr is Attr.READONLY:
            continue
        value = get(item, prop.name)
        if value.is_set and not (later and (value.raw == prop.default or value.origin is Origin.INHERITED)):
            found.append(value)
    if isinstance(item, DslDataset):
        found += [get(item, name) for name in user_properties(item)]
    return found


def user_properties(dataset: DslDataset) -> list[str]:
    """Names of the user properties a dataset has, inherited ones included."""
    names: set[str] = set()
    for _, stored, _ in _levels(dataset):
        names.update(key.partition("$")[0] for key in stored)
    return sorted(
        name for name in names if is_user_property(name) and _stored(dataset, name, None) is not None
    )


def set_here(dataset: DslDataset) -> list[str]:
    """Names of the properties whose value is the dataset's own: local or received."""
    own = (Origin.LOCAL, Origin.RECEIVED)
    return [value.name for value in get_all(dataset) if value.origin in own]


def received(dataset: DslDataset, name: str) -> int | str | None:
    """The value that came with a stream, whether it is in force or not; None where none came."""
    stored = dataset.stored_properties if dataset.is_snapshot else dataset.dir.stored_properties
    return stored.get(name + RECEIVED)


# -- looking up ---------------------------------------------------------------------------------------------------


def _levels(dataset: DslDataset) -> list[tuple[str, dict[str, int | str], bool]]:
    """Where properties are looked for, nearest first: name, what is stored there, and whether it is inherited."""
    levels: list[tuple[str, dict[str, int | str], bool]] = []
    if dataset.is_snapshot:
        levels.append((dataset.name, dataset.stored_properties, False))
    step = dataset.dir
    inherited = dataset.is_snapshot
    while True:
        levels.append((step.name, step.stored_properties, inherited))
        if step.parent is None:
            return levels
        step = step.parent
        inherited = True


def _stored(dataset: DslDataset, name: str, prop: Property | None) -> _Found | None:
    """The value in force of what is kept in properties ZAPs; ``prop`` is None for user properties."""
    for place, stored, inherited in _levels(dataset):
        if inherited and prop is not None and not prop.inheritable:
            return None
        origin, above = (Origin.INHERITED, place) if inherited else (Origin.LOCAL, "")
        newer = stored.get(name + NEWER_INDEX)
        if isinstance(newer, int) and prop is not None and prop.text_of(newer) is not None:
            return _Found(newer, origin, above)
        if name in stored:
            return _Found(stored[name], origin, above)
        if name + RECEIVED in stored and name + INHERIT not in stored:
            return _Found(stored[name + RECEIVED], origin if inherited else Origin.RECEIVED, above)
    return None


def _user_value(item: DslDataset | Bookmark, name: str) -> PropertyValue:
    found = None if isinstance(item, Bookmark) else _stored(item, name, None)
    if found is None or isinstance(item, Bookmark):
        return _nothing(name)
    came = received(item, name)
    text = str(found.raw)
    return PropertyValue(
        name, found.raw, text, text, found.origin, found.dataset, None if came is None else str(came)
    )


def _value(dataset: DslDataset, prop: Property) -> _Found:
    """A native property's value and where it comes from."""
    worked_out = figure(dataset, prop.name)
    if worked_out is not None:
        if prop.attr is not Attr.READONLY and worked_out == prop.default and prop.name not in _MASTER_NODE:
            return _Found(worked_out, Origin.DEFAULT)
        return _Found(worked_out, Origin.LOCAL if prop.name in LOCAL_UNLESS_DEFAULT else Origin.NONE)
    found = _stored(dataset, prop.name, prop)
    if found is None:
        if prop.default is None or (prop.attr is Attr.READONLY and prop.form is not Form.LIMIT):
            return _Found(None)
        return _Found(prop.default, Origin.DEFAULT)
    if isinstance(found.raw, str) != (prop.kind is Kind.STRING):
        raise CorruptError(f"property {prop.name} of {dataset.name} is stored as something else than it is")
    return found


#: Values a file system was created with: OpenZFS names no source for them.
_MASTER_NODE = frozenset({"version", "utf8only", "normalization", "casesensitivity"})


def _written(item: DslDataset | Bookmark, name: str) -> PropertyValue:
    if isinstance(item, Bookmark):
        return _nothing(name)
    mark, short_name = name[len("written")], name[len("written") + 1 :]
    full = short_name if "/" in short_name or mark in short_name else f"{item.dir.name}{mark}{short_name}"
    earlier = item.pool.find(full)
    figures = earlier.phys if isinstance(earlier, Bookmark) else earlier.as_bookmark()
    value = written_since(item, figures)
    if value is None:
        return _nothing(name)
    return PropertyValue(name, value, nicebytes(value), str(value))


# -- showing ------------------------------------------------------------------------------------------------------


def _mountpoint(dataset: DslDataset, stored: str, found: _Found) -> str:
    """The folder a file system goes to: what is inherited continues with the rest of the name, below the altroot."""
    if not stored.startswith("/"):
        return stored  # none, legacy
    relative = ""
    if found.origin in (Origin.DEFAULT, Origin.INHERITED):
        relative = dataset.name[len(found.dataset) :].removeprefix("/")
    altroot = "" if dataset.pool.altroot == "/" else dataset.pool.altroot
    if stored == "/" and (altroot or relative):
        stored = ""
    return f"{altroot}{stored}/{relative}" if relative else f"{altroot}{stored}"


def _exact(prop: Property, raw: int | str) -> str:
    if isinstance(raw, str):
        return raw
    if prop.kind is Kind.INDEX:
        # A value of a later release has no name here: the number says more than nothing.
        return prop.text_of(raw) or str(raw)
    if prop.form is Form.RATIO:
        return niceratio(raw)
    if prop.form is Form.LIMIT and raw == UINT64_MAX:
        return "none"
    return str(raw)


def _text(prop: Property, raw: int | str) -> str:
    if isinstance(raw, str) or prop.kind is Kind.INDEX:
        return _exact(prop, raw)
    match prop.form:
        case Form.BYTES:
            return nicebytes(raw)
        case Form.QUOTA:
            return nicebytes(raw) if raw else "none"
        case Form.LIMIT:
            return "none" if raw == UINT64_MAX else nicenum(raw)
        case Form.RATIO:
            return niceratio(raw) + "x"
        case Form.DATE:
            return nicedate(raw)
        case Form.DATE_SECONDS:
            return nicedate(raw, with_seconds=True)
        case Form.COUNT:
            return nicenum(raw)
    return str(raw)
