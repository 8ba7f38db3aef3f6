"""``zdb -d`` and ``-i``: datasets, objects, what objects hold, and where their blocks lie."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..dmu.dnode import Dnode
from ..dmu.objset import Objset
from ..dmu.zap import Zap
from ..dsl.nicenum import nicenum
from ..errors import KeyUnavailableError, PoolError, UsageError
from ..ondisk import blkptr, dmutypes
from ..ondisk.blkptr import BpArray
from ..ondisk.dmutypes import ObjectType, Swap
from ..ondisk.dsl import DATASET_REMAP_DEADLIST
from .blkptrtext import CHECKSUMS, COMPRESSIONS, blkptr_text, object_type_text, type_text
from .output import print_json

if TYPE_CHECKING:
    from ..dsl.dataset import DslDataset
    from ..spa.spa import Spa

OBJSET_NAMES = {1: "META", 2: "ZPL", 3: "ZVOL", 4: "OTHER"}
DNODE_FLAGS = ((1, "USED_BYTES"), (2, "USERUSED_ACCOUNTED"), (8, "USEROBJUSED_ACCOUNTED"), (4, "SPILL_BLKPTR"))
FILE_TYPES = {
    1: "FIFO", 2: "Character Device", 4: "Directory", 6: "Block Device", 8: "Regular File", 10: "Symbolic Link",
    12: "Socket",
}  # fmt: skip
HEAD = "    Object  lvl   iblk   dblk  dsize  dnsize  lsize   %full  type"
#: A ZAP of a directory with a million entries would fill the terminal: -dddd shows this many, -ddddd all.
ENTRIES_SHOWN = 1000


def print_datasets(spa: Spa, args: argparse.Namespace) -> int:
    """``zdb -d`` for a pool, a dataset or some objects of one; gives the exit status."""
    level = max(args.datasets, 1)
    numbers = [_object_number(word) for word in args.objects]
    whole_pool = args.target.rstrip("/") == spa.name and not args.target.endswith("/")
    failed = False
    documents = []
    for name, number, created, objset, dataset in _objsets(spa, args.target, whole_pool, mos_only=bool(numbers)):
        if isinstance(objset, PoolError):
            print(f"Dataset {name}: cannot be opened: {objset}")
            failed = True
            continue
        if args.json:
            documents.append(_document(name, number, created, objset, numbers, level))
            continue
        print(_dataset_line(name, number, created, objset, dataset, level, _mos_bytes(spa)))
        if args.intent_log or level >= 4:
            _print_log(objset)
        if dataset is not None and DATASET_REMAP_DEADLIST in dataset.fields:
            print("ds_remap_deadlist:")
        if level >= 4 and dataset is not None and not numbers:
            _print_dataset_parts(dataset)
        if level >= 2 or numbers:
            failed |= _print_objects(objset, numbers, max(level, 2))
    if args.json:
        print_json("zdb -d", {"datasets": documents})
    elif whole_pool and not numbers:
        failed |= _print_feature_counts(spa)
    return 2 if failed else 0


def _print_feature_counts(spa: Spa) -> bool:
    """Say whether features are counted rightly; True if one is not."""
    from ..spa.featurecounts import feature_counts

    failed = False
    for one in feature_counts(spa):
        name = "indirect_refcount" if one.name == "obsolete_counts" else one.name
        if one.right:
            print(f"Verified {name} feature refcount of {one.counted} is correct")
        else:
            print(f"{name} feature refcount mismatch: {one.found} consumers != {one.counted} refcount")
            failed = True
    return failed


def _object_number(word: str) -> int:
    try:
        return int(word, 0)
    except ValueError:
        raise UsageError(f"{word!r} is not an object number", "give decimal numbers, or hex with 0x") from None


def _objsets(
    spa: Spa, target: str, whole_pool: bool, *, mos_only: bool
) -> Iterator[tuple[str, int, int, Objset | PoolError, DslDataset | None]]:
    """(name, id, creation txg, objset or why it cannot be had, dataset) of what was asked for."""
    if whole_pool:
        yield "mos", 0, 4, spa.mos, None
        datasets = [] if mos_only else list(spa.dsl.datasets())
    else:
        datasets = [spa.dsl.dataset(target.rstrip("/"))]
    for dataset in datasets:
        created = dataset.phys.creation_txg
        if dataset.is_empty:
            continue
        try:
            yield dataset.name, dataset.obj, created, _open(dataset), dataset
        except PoolError as error:
            yield dataset.name, dataset.obj, created, error, dataset


def _open(dataset: DslDataset) -> Objset:
    try:
        return dataset.objset()
    except KeyUnavailableError:
        # Without its key an encrypted dataset still shows its structure.
        return dataset.objset(raw=True)


def _dataset_line(
    name: str, number: int, created: int, objset: Objset, dataset: DslDataset | None, level: int, mos_bytes: int
) -> str:
    used = dataset.phys.referenced_bytes if dataset is not None else mos_bytes
    kind = OBJSET_NAMES.get(objset.type, str(objset.type))
    root = f", rootbp {blkptr_text(objset.bp)}" if level >= 4 else ""
    return (
        f"Dataset {name} [{kind}], ID {number}, cr_txg {created}, {nicenum(used)}, {objset.object_count} objects{root}"
    )


def _mos_bytes(spa: Spa) -> int:
    """What the pool's own metadata is accounted with."""
    directory = spa.dsl.special().get("$MOS")
    return 0 if directory is None else directory.phys.used_bytes


def _document(
    name: str, number: int, created: int, objset: Objset, numbers: list[int], level: int
) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": name, "id": number, "createtxg": created, "type": OBJSET_NAMES.get(objset.type, str(objset.type)),
        "objects": objset.object_count, "rootbp": blkptr_text(objset.bp),
    }  # fmt: skip
    if level >= 2 or numbers:
        document["dnodes"] = [_facts(dnode, level) for dnode in _dnodes(objset, numbers)]
    return document


def _dnodes(objset: Objset, numbers: list[int]) -> Iterator[Dnode]:
    if numbers:
        yield from (objset.dnode(number) for number in numbers)
        return
    yield objset.meta
    yield from (d for d in (objset.userused, objset.groupused, objset.projectused) if d is not None and d.type)
    yield from objset.objects()


def _facts(dnode: Dnode, level: int) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "object": dnode.number, "type": type_text(dnode.type), "levels": dnode.nlevels,
        "indirect_block": 1 << dnode.indblkshift, "data_block": dnode.datablksz, "used": dnode.used_bytes,
        "dnode_size": _dnode_bytes(dnode), "size": dnode.size, "bonus_type": type_text(dnode.bonustype),
        "bonus_length": dnode.bonuslen, "flags": dnode.flags, "maxblkid": dnode.maxblkid,
        "blkptr": [blkptr_text(bp) for bp in dnode.blkptr],
    }  # fmt: skip
    if level >= 4 and dmutypes.type_info(dnode.type).swap == Swap.ZAP:
        facts["entries"] = {text: list(value) for text, value in _zap_entries(dnode)}
    return facts


# --- objects ------------------------------------------------------------------------------------------------------


def _print_objects(objset: Objset, numbers: list[int], level: int) -> bool:
    """Print objects; True if one of them could not be read."""
    failed = False
    slots = last = 0
    if level < 4:
        print(f"\n{HEAD}")
    for dnode in _dnodes(objset, numbers):
        if dnode.number > 0:
            slots += dnode.extra_slots + 1
            last = dnode.number + dnode.extra_slots
        if level >= 4:
            print(f"\n{HEAD}")
        print(_dnode_line(dnode))
        if level < 4:
            continue
        if dnode.bonustype:
            print(f"{'':45}{nicenum(dnode.bonuslen):>5}   bonus  {object_type_text(dnode.bonustype)}")
        try:
            for line in _details(dnode, level):
                print(line)
        except PoolError as error:
            print(f"\t(cannot be shown: {error})")
            failed = True
    if last and not numbers:
        print(f"\n    Dnode slots:\n\tTotal used:    {slots:>10}\n\tMax used:      {last:>10}")
        print(f"\tPercent empty: {100.0 * (last - slots) / last:>10.6f}")
    print()
    return failed


def _dnode_line(dnode: Dnode) -> str:
    per_block = 32 if dnode.number == 0 else 1
    full = 100.0 * _fill(dnode) * dnode.datablksz / per_block / dnode.size if dnode.size else 0.0
    # A checksum or compression of its own: OpenZFS shows it behind the type.
    own = f" (K={CHECKSUMS.get(dnode.checksum, dnode.checksum)})" if dnode.checksum else ""
    own += f" (Z={COMPRESSIONS.get(dnode.compress, dnode.compress)})" if dnode.compress else ""
    return (
        f"    {dnode.number:>6}  {dnode.nlevels:>3}  {nicenum(1 << dnode.indblkshift):>5}"
        f"  {nicenum(dnode.datablksz):>5}  {nicenum(_sectors(dnode.used_bytes)):>5}  {nicenum(_dnode_bytes(dnode)):>6}"
        f"  {nicenum(dnode.size):>5}  {full:6.2f}  {object_type_text(dnode.type)}{own}"
    )


def _dnode_bytes(dnode: Dnode) -> int:
    return (dnode.extra_slots + 1) * 512


def _sectors(used: int) -> int:
    """Bytes in whole units of 512, rounded to the nearest, as lists of objects have them."""
    return (used + 256) // 512 * 512


def _fill(dnode: Dnode) -> int:
    total = 0
    for bp in dnode.blkptr:
        if bool(blkptr.is_embedded(bp)):
            total += 1
        elif not bool(blkptr.is_hole(bp)):
            total += int(bp["fill"]) & 0xFFFFFFFF if bool(blkptr.is_crypt(bp)) else int(bp["fill"])
    return total


def _details(dnode: Dnode, level: int) -> Iterator[str]:
    flags = [text for bit, text in DNODE_FLAGS if dnode.flags & bit]
    yield f"\tdnode flags: {' '.join(flags)} "
    yield f"\tdnode maxblkid: {dnode.maxblkid}"
    if dnode.objset.type == 2 and dnode.bonustype in (ObjectType.SA, ObjectType.ZNODE):
        yield from _znode_lines(dnode)
    if dmutypes.type_info(dnode.type).swap == Swap.ZAP:
        yield from _zap_lines(dnode, level)
    elif dnode.bonustype in (ObjectType.DSL_DIR, ObjectType.DSL_DATASET):
        yield from _dsl_lines(dnode)
    if level >= 5:
        yield "Indirect blocks:"
        yield from _tree_lines(dnode, every_copy=level >= 6)


def _znode_lines(dnode: Dnode) -> Iterator[str]:
    from ..zpl.filesystem import Filesystem

    if dnode.objset.locked:
        yield "\t(encrypted)"
        return
    filesystem = Filesystem(dnode.objset)
    node = filesystem.znode(dnode.number)
    try:
        yield f"\tpath\t{filesystem.path_of(dnode.number)}"
    except PoolError as error:
        yield f"\tpath\t??? ({error.what})"
    yield f"\tuid     {node.uid}"
    yield f"\tgid     {node.gid}"
    for name in ("atime", "mtime", "ctime", "crtime"):
        yield f"\t{name}\t{_time(getattr(node, name))}"
    yield f"\tgen\t{node.gen}"
    yield f"\tmode\t{node.mode:o}"
    yield f"\tsize\t{node.size}"
    yield f"\tparent\t{node.parent}"
    yield f"\tlinks\t{node.nlink}"
    yield f"\tpflags\t{node.flags:x}"
    if node.projid is not None:
        yield f"\tprojid\t{node.projid}"


def _time(nanoseconds: int) -> str:
    try:
        return time.ctime(nanoseconds // 10**9)
    except (OverflowError, OSError, ValueError):
        return f"{nanoseconds // 10**9} seconds"


def _zap_entries(dnode: Dnode) -> Iterator[tuple[str, tuple[int, ...]]]:
    for entry in Zap(dnode).items():
        yield entry.name.decode("utf-8", "surrogateescape"), entry.values


def _zap_lines(dnode: Dnode, level: int) -> Iterator[str]:
    zap = Zap(dnode)
    entries = 0
    lines: list[str] = []
    for entry in zap.items():
        entries += 1
        if level >= 5 or entries <= ENTRIES_SHOWN:
            lines.append(f"\t\t{_entry_name(entry)} = {_entry_value(entry, dnode.type)}")
    kind = "microzap" if zap.is_micro else "fatzap"
    yield f"\t{kind}: {dnode.datablksz if zap.is_micro else dnode.size} bytes, {entries} entries\n"
    yield from lines
    if len(lines) < entries:
        yield f"\t\t... {entries - len(lines)} more (-ddddd shows all)"


def _entry_name(entry: Any) -> str:
    words = getattr(entry, "key_words", None)
    if words:
        return "[" + " ".join(f"{word:x}" for word in words) + "]"
    text: str = entry.name.decode("utf-8", "backslashreplace")
    return text


def _entry_value(entry: Any, kind: int) -> str:
    if entry.integer_size == 1:
        raw = bytes(entry.values)
        text = raw.rstrip(b"\0")
        return text.decode() if text.isascii() and text.decode().isprintable() else raw.hex()
    if kind == ObjectType.DIRECTORY_CONTENTS and len(entry.values) == 1:
        value = entry.values[0]
        return f"{value & (1 << 48) - 1} (type: {FILE_TYPES.get(value >> 60, 'not specified')})"
    words = " ".join(str(value) for value in entry.values)
    return f"[ {words} ]" if kind == ObjectType.SA_ATTR_LAYOUTS else words


def _dsl_lines(dnode: Dnode) -> Iterator[str]:
    from dataclasses import fields, is_dataclass

    from ..ondisk.dsl import decode_dataset, decode_dir

    decode = decode_dir if dnode.bonustype == ObjectType.DSL_DIR else decode_dataset
    phys = decode(dnode.bonus, dnode.order)
    assert is_dataclass(phys)
    for field in fields(phys):
        value = getattr(phys, field.name)
        shown = blkptr_text(blkptr.from_bytes(value)[0]) if field.name == "bp" else value
        yield f"\t\t{field.name} = {shown}"


# --- block trees ----------------------------------------------------------------------------------------------------


def _short(bp: BpArray, places: int) -> str:
    """A block pointer as zdb's lists of indirect blocks show it, with its first ``places`` places."""
    lsize, birth = int(blkptr.lsize(bp)), int(bp["birth"])
    if bool(blkptr.is_embedded(bp)):
        return f"EMBEDDED et={int(blkptr.checksum(bp))} {lsize:x}L/{int(blkptr.psize(bp)):x}P B={birth}"
    if bool(blkptr.is_hole(bp)):
        return f"{lsize:x}L B={birth}"
    vdevs, offsets, asizes = blkptr.dva_vdev(bp), blkptr.dva_offset(bp), blkptr.dva_asize(bp)
    dvas = " ".join(f"{int(vdevs[i])}:{int(offsets[i]):x}:{int(asizes[i]):x}" for i in range(places) if int(asizes[i]))
    words = ":".join(f"{int(word):016x}" for word in bp["cksum"])
    fill = int(bp["fill"]) & 0xFFFFFFFF if bool(blkptr.is_crypt(bp)) else int(bp["fill"])
    psize = int(blkptr.psize(bp))
    return f"{dvas} {lsize:x}L/{psize:x}P F={fill} B={birth}/{int(blkptr.physical_birth(bp))} cksum={words}"


def _tree_lines(dnode: Dnode, *, every_copy: bool) -> Iterator[str]:
    places = 3 if every_copy else 1
    top, shift = dnode.nlevels - 1, dnode.indblkshift - 7

    def lines(level: int, first: int, pointers: BpArray) -> Iterator[str]:
        span = dnode.datablksz << shift * level
        for index, bp in enumerate(pointers):
            if bool(blkptr.is_hole(bp)) and int(bp["birth"]) == 0:
                continue
            blkid = first + index
            indent = " " * (top - level)
            mark = f"{indent}L{level}" + " " * level
            yield f"{blkid * span:>16x} {mark} {_short(bp, places)}"
            if level and not bool(blkptr.is_hole(bp)):
                below = dnode.pointers(level - 1, blkid << shift, 1 << shift)
                yield from lines(level - 1, blkid << shift, below)

    yield from lines(top, 0, dnode.blkptr)


# --- a dataset's other parts ------------------------------------------------------------------------------------------


def _print_log(objset: Objset) -> None:
    from .zdblogs import log_lines

    for line in log_lines(objset):
        print(line)


def _print_dataset_parts(dataset: DslDataset) -> None:
    deadlist = dataset.deadlist
    entries = deadlist.entries
    print(f"\n    Deadlist: {nicenum(deadlist.used)} ({nicenum(deadlist.compressed)}/"
          f"{nicenum(deadlist.uncompressed)} comp), {len(entries)} entries\n")  # fmt: skip
    for mintxg, number in entries.items():
        print(f"mintxg {mintxg} -> obj {number}")
    for mark in dataset.bookmarks() if not dataset.is_snapshot else ():
        phys = mark.phys
        print(f"\t#{mark.short_name}: {{guid: {phys.guid:x} creation_txg: {phys.creation_txg} "
              f"creation_time: {phys.creation_time} redaction_obj: {phys.redaction_obj}}}")  # fmt: skip
