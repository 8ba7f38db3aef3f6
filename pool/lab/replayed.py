"""What is left of acknowledged requests after a crash behind a layer that may lie: the logs that wait are replayed.

On honest disks a request is there as a whole or not at all. Where a flush was ignored a log may end anywhere, within a
request too; then every byte of a file must still be one that a file of the dataset had at that place at some time.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..env import Env
from ..errors import PoolError
from ..pool import import_pool
from ..poolcreate import open_pool
from ..spa.logs import waiting_logs
from .model import Tree, differences
from .promises import Promises
from .readable import survey
from .simdisk import SimDisk


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of requests.

    Attributes:
        gone: requests that had returned and are not there.
        partial: datasets in which a log ended within a request.
        failed: why the logs could not be replayed, or what is lost afterwards.
        wrong: what nothing excuses.
    """

    gone: int = 0
    partial: int = 0
    failed: str = ""
    wrong: tuple[str, ...] = ()


NOTHING = Replayed()


def replay(disks: Sequence[SimDisk], promises: Promises, asked: Collection[int], kept: Collection[int]) -> Replayed:
    """Open disks for writing (copies of them), replay what waits, and hold the outcome against what was promised.

    Args:
        disks: of a pool that opens whole.
        asked, kept: numbers of the requests that had been made, and had returned.
    """
    copies = [disk.twin() for disk in disks]
    with import_pool(None, list(disks), threads=1) as pool:
        txg, waiting = pool.txg, waiting_logs(pool.spa)
    try:
        if waiting:
            with open_pool(None, copies, env=Env.fixed(txg), txg_seconds=0, threads=1, force=True):
                pass
            for copy in copies:
                copy.reopen()
        with import_pool(None, list(copies), threads=1) as pool:
            found = survey(pool)
    except PoolError as error:
        return Replayed(failed=str(error))
    base = promises.at(txg)
    if found.content is None or base is None:
        return Replayed(failed=f"lost after replay: {found.why}")
    wrong = [found.space] if found.space else []
    gone = partial = 0
    for name in sorted({*base, *found.content}):
        if name not in base or name not in found.content:
            wrong.append(f"{name}: {'missing' if name in base else 'should not be there'}")
            continue
        since = [one for one in promises.kept if one.dataset == name and one.txg > txg and one.number in asked]
        tree = found.content[name]
        best = next((at for at in reversed(range(len(since))) if not promises.differs(since[at], tree)), -1)
        gone += sum(one.number in kept for one in since[best + 1 :])
        if best < 0 and differences({name: base[name]}, {name: tree}):
            partial += 1
            wrong += _never_so(promises, name, tree)
    return Replayed(gone, partial, wrong=tuple(wrong))


def gone_with(promises: Promises, txg: int, kept: Collection[int]) -> int:
    """Requests that had returned and are gone where a pool is opened at a txg and no log is replayed."""
    return sum(one.txg > txg and one.number in kept for one in promises.kept)


def _never_so(promises: Promises, dataset: str, tree: Tree) -> Iterator[str]:
    """Bytes that no file of the dataset ever had at that place."""
    past = promises.contents_of(dataset)
    for path, facts in tree.items():
        if facts["type"] not in ("file", "volume"):
            continue
        data = np.frombuffer(facts["data"], np.uint8)
        right = data == 0  # a hole that nothing had filled yet
        for other in past:
            common = min(len(other), len(data))
            right[:common] |= np.frombuffer(other, np.uint8, common) == data[:common]
        if not right.all():
            yield f"{dataset}:/{path}: {int((~right).sum())} bytes were never so"
