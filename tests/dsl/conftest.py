"""Pools written by OpenZFS, opened as far as their datasets, and a MOS made by hand for what no real pool shows."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from uberblock.pool.dsl import mosobj
from uberblock.pool.dsl.pool import DslPool
from uberblock.pool.errors import NotFoundError
from uberblock.pool.ondisk import dsl
from uberblock.pool.ondisk.dmutypes import ObjectType
from uberblock.pool.ondisk.zap import ZapEntry
from uberblock.pool.spa.importer import ImportOptions, load
from uberblock.pool.spa.scan import scan
from uberblock.pool.spa.spa import Spa


@dataclass(frozen=True)
class Opened:
    """An open pool and what OpenZFS says is in it."""

    spa: Spa
    manifest: dict[str, Any]

    @property
    def dsl(self) -> DslPool:
        return self.spa.dsl

    @property
    def untouched(self) -> bool:
        """OpenZFS had it read-only when it described it: the images hold exactly what was described."""
        return bool(self.manifest["properties"]["readonly"] == "on")

    def load_keys(self) -> None:
        """Load all keys."""
        for name, key in self.manifest.get("keys", {}).items():
            root = self.dsl.keys.root_of(self.dsl.directory_of(name))
            assert root is not None
            hexadecimal = self.dsl.keys.key_object(root).keyformat == 2  # type: ignore[union-attr]
            self.dsl.keys.load(name, **{"hex" if hexadecimal else "passphrase": key})


Opener = Callable[..., Opened]


@pytest.fixture(scope="module")
def open_kind(pools: Callable[[str], Any]) -> Iterator[Opener]:
    """``open_kind("mirror")``: that kind of pool, opened once a module; options as for the importer."""
    with ExitStack() as stack:
        found: dict[tuple[Any, ...], Opened] = {}

        def get(kind: str, **options: Any) -> Opened:
            key = (kind, *sorted(options.items()))
            if key not in found:
                golden = pools(kind)
                (candidate,) = scan([str(golden.dir)])
                altroot = golden.manifest["properties"]["altroot"]
                spa = load(candidate, options=ImportOptions(altroot=altroot, **options))
                stack.callback(spa.close)
                found[key] = Opened(spa, golden.manifest)
            return found[key]

        yield get


# -- a MOS made by hand, for what no real pool shows ----------------------------------------------------------------

Value = int | str | bytes | tuple[int, ...]


class FakeDnode:
    """What the DSL looks at of a dnode."""

    def __init__(self, number: int, type: int, bonustype: int = 0, bonus: bytes = b"") -> None:
        self.number = number
        self.type = type
        self.bonustype = bonustype
        self.bonus = bonus
        self.order = "<"
        self.spill = None
        self.size = 0
        self.zap: dict[str, Value] = {}


class FakeZap:
    """A ZAP whose entries are simply there."""

    def __init__(self, dnode: FakeDnode) -> None:
        self._entries = [self._entry(name, value) for name, value in dnode.zap.items()]

    @staticmethod
    def _entry(name: str, value: Value) -> ZapEntry:
        if isinstance(value, str):
            value = value.encode() + b"\0"
        if isinstance(value, bytes):
            return ZapEntry(name.encode(), 1, tuple(value))
        return ZapEntry(name.encode(), 8, (value,) if isinstance(value, int) else value)

    def items(self) -> Iterator[ZapEntry]:
        return iter(self._entries)

    def __contains__(self, name: str) -> bool:
        return any(entry.name == name.encode() for entry in self._entries)

    def get_int(self, name: str) -> int:
        return next(entry.value for entry in self._entries if entry.name == name.encode())


class FakeMos:
    """Objects by number; number 1 is the object directory and 2 the root directory."""

    name = "mos"
    zio = None

    def __init__(self) -> None:
        self.objects: dict[int, FakeDnode] = {}
        self.zap(1, {"root_dataset": 2}, ObjectType.OBJECT_DIRECTORY)

    def dnode(self, number: int) -> FakeDnode:
        if number not in self.objects:
            raise NotFoundError("no such object", object=number)
        return self.objects[number]

    def zap(self, number: int, entries: Mapping[str, Value], type: int = ObjectType.ZAP_METADATA) -> int:
        dnode = self.objects.setdefault(number, FakeDnode(number, type))
        dnode.type = type
        dnode.zap = dict(entries)
        return number

    def directory(
        self,
        number: int,
        *,
        children: Mapping[str, int] | None = None,
        props: Mapping[str, Value] | None = None,
        fields: Mapping[str, Value] | None = None,
        **phys: Any,
    ) -> int:
        """A directory whose ZAPs have the numbers 1000 and 2000 above its own."""
        self.zap(number + 1000, children or {}, ObjectType.DSL_DIR_CHILD_MAP)
        self.zap(number + 2000, props or {}, ObjectType.DSL_PROPS)
        phys = {"child_dir_zapobj": number + 1000, "props_zapobj": number + 2000, **phys}
        kind = ObjectType.DSL_DIR if fields is None else ObjectType.ZAP_METADATA
        self.objects[number] = FakeDnode(number, kind, ObjectType.DSL_DIR, dsl.encode_dir(dsl.DirPhys(**phys)))
        self.objects[number].zap = dict(fields or {})
        return number

    def dataset(
        self,
        number: int,
        *,
        snapshots: Mapping[str, int] | None = None,
        fields: Mapping[str, Value] | None = None,
        **phys: Any,
    ) -> int:
        """A dataset; its snapshots' names and its deadlist have the numbers 3000 and 4000 above its own."""
        if snapshots is not None:
            phys["snapnames_zapobj"] = self.zap(number + 3000, snapshots, ObjectType.DSL_DS_SNAP_MAP)
        phys = {"deadlist_obj": number + 4000, **phys}
        if phys["deadlist_obj"] not in self.objects:
            self.deadlist(phys["deadlist_obj"], {})
        kind = ObjectType.DSL_DATASET if fields is None else ObjectType.ZAP_METADATA
        packed = dsl.encode_dataset(dsl.DatasetPhys(**phys))
        self.objects[number] = FakeDnode(number, kind, ObjectType.DSL_DATASET, packed)
        self.objects[number].zap = dict(fields or {})
        return number

    def deadlist(self, number: int, entries: Mapping[str, Value], total: tuple[int, int, int] = (0, 0, 0)) -> int:
        """A deadlist of the newer form."""
        packed = dsl.encode_deadlist(dsl.DeadlistPhys(*total))
        self.objects[number] = FakeDnode(number, ObjectType.DEADLIST, ObjectType.DEADLIST_HDR, packed)
        self.objects[number].zap = dict(entries)
        return number

    def bpobj(self, number: int, used: int, comp: int, uncomp: int) -> int:
        """A list of blocks of which only the sums count."""
        packed = struct.pack("<7Q", 0, used, comp, uncomp, 0, 0, 0)
        self.objects[number] = FakeDnode(number, ObjectType.BPOBJ, ObjectType.BPOBJ_HDR, packed)
        return number

    def open(self) -> DslPool:
        mos: Any = self
        return DslPool(mos, "tank")


@pytest.fixture
def mos(monkeypatch: pytest.MonkeyPatch) -> FakeMos:
    """An empty MOS: only the object directory is there."""
    monkeypatch.setattr(mosobj, "Zap", FakeZap)
    return FakeMos()
