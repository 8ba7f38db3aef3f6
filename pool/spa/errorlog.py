"""The pool's list of damaged data: blocks that could not be read since the scrub before last.

Old form: a ZAP with names ``objset:object:level:blkid``, all in hex. New form (feature head_errlog): a ZAP head
dataset -> ZAP with names ``object:level:blkid:birth``; the block is damaged in the head and in each snapshot or
clone that still refers to it.

Source: OpenZFS, spa_errlog.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..dsl.mosobj import entries, one_number
from ..errors import CorruptError, LimitError

if TYPE_CHECKING:
    from .spa import Spa

LAST = "errlog_last"
SCRUB = "errlog_scrub"
MAX_ERRORS = 1 << 20
HEAD_ERRLOG = "head_errlog"


@dataclass(frozen=True, slots=True)
class DataError:
    """A block that could not be read.

    ``dataset`` is the object number of the dataset (in the new form: of its head), 0 for the MOS; ``birth`` is
    known in the new form only.
    """

    dataset: int
    object: int
    level: int
    blkid: int
    birth: int = 0

    def __str__(self) -> str:
        if self.dataset == 0:
            return f"<metadata>:<0x{self.object:x}>"
        return f"<0x{self.dataset:x}>:<0x{self.object:x}>"


def read_errors(spa: Spa) -> list[DataError]:
    """Everything in both logs, each block once, in order.

    Raises:
        CorruptError: a log is damaged. LimitError: it is absurdly long.
    """
    found: set[DataError] = set()
    seen = 0
    for name in (LAST, SCRUB):
        number = spa.directory.number(name, 0)
        if not number:
            continue
        by_head = spa.features.state(HEAD_ERRLOG) == "active"
        for error in _by_head(spa, number) if by_head else _by_objset(spa, number):
            found.add(error)
            seen += 1
            if seen > MAX_ERRORS:
                raise LimitError("the pool's error log is too long", limit=MAX_ERRORS)
    return sorted(found, key=lambda e: (e.dataset, e.object, e.level, e.blkid, e.birth))


def _by_objset(spa: Spa, number: int) -> Iterator[DataError]:
    for name, _ in entries(spa.mos, number, "the error log"):
        objset, obj, level, blkid = _fields(name)
        yield DataError(objset, obj, level, blkid)


def _by_head(spa: Spa, number: int) -> Iterator[DataError]:
    for name, entry in entries(spa.mos, number, "the error log"):
        try:
            head = int(name, 16)
        except ValueError:
            raise CorruptError("an entry of the error log names no dataset", name=name) from None
        for inner, _ in entries(spa.mos, one_number(entry, "an entry of the error log"), "the error log"):
            obj, level, blkid, birth = _fields(inner)
            yield DataError(head, obj, level, blkid, birth)


def _fields(name: str) -> tuple[int, int, int, int]:
    try:
        first, second, third, fourth = (int(part, 16) for part in name.split(":"))
    except ValueError:
        raise CorruptError("an entry of the error log is not of the form it must have", name=name) from None
    return first, second, third, fourth
