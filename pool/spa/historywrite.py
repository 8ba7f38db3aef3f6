"""Writing the pool's history: what was done, by whom, and what came of it inside.

Records go to the end of a ring (``ondisk.history``); the oldest ones make room. Everything up to and including the
first command, which made the pool, is kept for good.

Source: OpenZFS, spa_history.c (``spa_history_create_obj``, ``spa_history_write``, ``spa_history_log_sync``).
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from ..dmu.mutable import MutableDnode
from ..dmu.mutablezap import MutableZap
from ..errors import CorruptError, LimitError
from ..ondisk import history as ondisk
from ..ondisk.dmutypes import ObjectType
from ..ondisk.history import HistoryOffsets
from ..ondisk.nvlist import NVList
from .history import HISTORY
from .mos import OBJECT_DIRECTORY
from .space import deflate_ratio

if TYPE_CHECKING:
    from .engine import Engine

BLOCK = 128 << 10
#: The ring takes a thousandth of the pool, within these bounds.
SHARE, LEAST, MOST = 1000, 128 << 10, 1 << 30
#: The place a command was given in. OpenZFS says so wherever it runs on Linux without a container's own name.
ZONE = "linux"


def log_internal(engine: Engine, name: str, text: str, dataset: str = "", number: int = 0) -> None:
    """Record an event, in a transaction.

    Args:
        name: of the event: create, destroy, set ... text: more about it.
        dataset, number: name and object of the dataset it concerns.
    """
    record = NVList()
    if dataset:
        record.add("dsname", dataset)
        record.add("dsid", number)
    record.add("internal_name", name)
    record.add("history internal str", text)
    record.add("history txg", engine.tx.txg)
    _stamp(engine, record)
    append(engine, record)


def log_command(engine: Engine, command: str) -> None:
    """Record a command that somebody gave, in a transaction. The first one is kept for good."""
    record = NVList()
    record.add("history command", command[: ondisk.MAX_RECORD // 64])
    record.add("history zone", ZONE)
    record.add("history who", engine.env.uid)
    _stamp(engine, record)
    append(engine, record)


def _stamp(engine: Engine, record: NVList) -> None:
    record.add("history time", engine.env.now())
    record.add("history hostname", engine.env.hostname)


def append(engine: Engine, record: NVList) -> None:
    """Put a record behind the last one; the oldest ones go if there is no room.

    Raises:
        CorruptError: the history is damaged. LimitError: the record is larger than the ring.
    """
    dn = _object(engine)
    offsets = ondisk.decode_offsets(dn.bonus, dn.order)
    data = ondisk.encode_record(record)
    if len(data) >= offsets.phys_max - offsets.create_length:
        raise LimitError("a record does not fit into the pool's history", bytes=len(data))
    offsets = _make_room(dn, offsets, len(data))
    end = offsets.end + len(data)
    done = 0
    for at, length in offsets.pieces(offsets.end, end):
        dn.write(at, data[done : done + length])
        done += length
    offsets = replace(offsets, end=end)
    if "history command" in record and not offsets.create_length:
        offsets = replace(offsets, create_length=end, begin=end)
    _put_offsets(dn, offsets)


def _put_offsets(dn: MutableDnode, offsets: HistoryOffsets) -> None:
    words = (offsets.create_length, offsets.phys_max, offsets.begin, offsets.end, offsets.records_lost)
    dn.set_bonus(struct.pack("<" + ondisk.OFFSETS, *words))


def _make_room(dn: MutableDnode, offsets: HistoryOffsets, needed: int) -> HistoryOffsets:
    ring = offsets.phys_max - offsets.create_length
    begin, lost = offsets.begin, offsets.records_lost
    while ring - (offsets.end - begin) <= needed:
        raw = b"".join(dn.read(at, length) for at, length in offsets.pieces(begin, begin + ondisk.LENGTH.size))
        (length,) = ondisk.LENGTH.unpack(raw)
        begin += ondisk.LENGTH.size + length
        lost += 1
        if begin > offsets.end:
            raise CorruptError("the pool's history has a record that is longer than all of it", object=dn.number)
    return replace(offsets, begin=begin, records_lost=lost)


def _object(engine: Engine) -> MutableDnode:
    """The history's object, made when it is first needed."""
    mos = engine.mos
    directory = MutableZap(mos.dnode(OBJECT_DIRECTORY))
    number = directory.get_int(HISTORY, 0)
    if number:
        dn = mos.dnode(number)
        if dn.type != ObjectType.SPA_HISTORY:
            raise CorruptError("the pool's history is an object of another kind", object=number, type=dn.type)
        return dn
    dn = mos.allocate(
        ObjectType.SPA_HISTORY,
        block_size=BLOCK,
        bonus_type=ObjectType.SPA_HISTORY_OFFSETS,
        bonus=bytes(ondisk.OFFSETS_SIZE),
    )
    _put_offsets(dn, HistoryOffsets(0, min(max(_pool_size(engine) // SHARE, LEAST), MOST), 0, 0, 0))
    directory.add(HISTORY, dn.number)
    return dn


def _pool_size(engine: Engine) -> int:
    """Bytes of the vdevs for ordinary data, parity not counted."""
    total = 0
    for top in engine.tree.tops:
        shift = top.config.get("metaslab_shift")
        if isinstance(shift, int) and shift and not top.is_log and top.id not in engine.maps.classes:
            total += (top.asize >> shift << shift) // 512 * deflate_ratio(engine.tree, top)
    return total
