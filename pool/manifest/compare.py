"""Comparing a pool with a manifest.

Two forms are read: JSON Lines, one entry each, and one JSON document with ``datasets``, each with a ``tree`` of paths
(or ``volume_sha256``), which is how the collections made with OpenZFS itself are written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import UsageError
from ..zpl.directory import printable

Entry = dict[str, Any]
Key = tuple[str, str]
_NAMES = ("dataset", "path")

#: Not compared where one side does not tell it: copies of a file system have other numbers, older manifests lack some.
_OPTIONAL = frozenset({"object"})
_VOLUME = ("type", "sha256", "large", "error")


@dataclass(slots=True)
class Comparison:
    """What came of it: a sentence for each difference, and how many entries were compared."""

    differences: list[str] = field(default_factory=list)
    compared: int = 0

    def __iter__(self) -> Iterator[str]:
        return iter(self.differences)

    def __len__(self) -> int:
        return len(self.differences)


def read_manifest(text: str) -> list[Entry]:
    """The entries of a manifest in either form.

    Raises:
        UsageError: the text is neither.
    """
    try:
        document = json.loads(text)
    except ValueError:
        return _lines(text)
    if isinstance(document, dict) and isinstance(document.get("datasets"), dict):
        return list(_golden(document["datasets"]))
    return _lines(text)


def _lines(text: str) -> list[Entry]:
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise UsageError(f"line {number} of the manifest is no JSON: {error}") from None
        if not isinstance(entry, dict) or not isinstance(entry.get("dataset"), str):
            raise UsageError(f"line {number} of the manifest names no dataset")
        found.append(entry)
    return found


def _golden(datasets: Mapping[str, Any]) -> Iterator[Entry]:
    for name, dataset in datasets.items():
        if not isinstance(dataset, dict):
            raise UsageError(f"the manifest does not describe {name}")
        if "volume_sha256" in dataset:
            yield {"dataset": name, "type": "volume", "sha256": dataset["volume_sha256"]}
        for path, facts in dataset.get("tree", {}).items():
            yield {"dataset": name, "path": path, **facts}


def compare(entries: Iterable[Entry], reference: Iterable[Entry], *, below: str | None = None) -> Comparison:
    """Compare entries with a manifest.

    Args:
        entries: of a pool, as ``manifest.entries`` gives them.
        reference: as ``read_manifest`` gives them.
        below: what the entries cover, if not everything: entries of the manifest elsewhere do not count as missing.
    """
    result = Comparison()
    expected: dict[Key, Entry] = {_key(entry): entry for entry in reference if _covers(below, entry["dataset"])}
    for entry in entries:
        key = _key(entry)
        other = expected.pop(key, None)
        result.compared += 1
        if other is None:
            what = f": {entry['error']}" if "error" in entry else " is not in the manifest"
            result.differences.append(_shown(key) + what)
            continue
        result.differences += (f"{_shown(key)}: {text}" for text in _differences(entry, other))
    result.differences += (f"{_shown(key)} is missing" for key in expected)
    return result


def _key(entry: Entry) -> Key:
    return entry["dataset"], entry.get("path", "")


def _shown(key: Key) -> str:
    dataset, path = key
    text = f"{dataset}:{'/' if path == '.' else '/' + path}" if path else dataset
    return printable(text)


def _covers(below: str | None, dataset: str) -> bool:
    return below is None or dataset == below or ("@" not in below and dataset.startswith((below + "/", below + "@")))


def _differences(entry: Entry, other: Entry) -> Iterator[str]:
    names = _VOLUME if entry.get("type") == "volume" else dict.fromkeys((*entry, *other))
    for name in names:
        if name in _NAMES or entry.get(name) == other.get(name):
            continue
        if name in _OPTIONAL and (name not in entry or name not in other):
            continue
        if name == "error":
            yield str(entry.get(name) or "the manifest could not read it")
        elif "error" not in entry or name in entry:
            yield f"{name} is {_short(entry.get(name))}, in the manifest {_short(other.get(name))}"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True) if value is not None else "absent"
    return text if len(text) <= 120 else text[:117] + "..."
