"""What was promised between txgs: a model of what an intent log must bring back, and of what it may.

A request to make something durable (fsync, or each change with ``sync=always``) is a promise once it has returned, and
may already hold before. What is promised of a dataset: all names as they are, and of the objects asked for everything
else, too. Of other objects each may be as it was at any moment since it was last part of a promise, but no newer than
the request: what belongs together in one object stays together.

Nothing here is shared with the code it is held against.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from .checker import SYNCED, Found
from .journal import Event
from .model import Facts, History, Tree, differences

#: Marks with the fact ``number``: a request was made, and has returned.
ASKED, KEPT = "asked", "kept"
#: Facts of a file that only its own changes change.
OWN = ("size", "data", "mode", "xattrs")


@dataclass(frozen=True, slots=True)
class Promise:
    """A request that was served by a log.

    Attributes:
        number: of the request. dataset: which. txg: open at that time. step: when, in steps of the run.
        tree: the dataset's content. nodes: by path, which file it is.
        asked: files asked for; None: all.
    """

    number: int
    dataset: str
    txg: int
    step: int
    tree: Tree
    nodes: Mapping[str, int]
    asked: frozenset[int] | None


@dataclass(slots=True)
class _Past:
    """What a file has been: (step, own facts), and the step of the last promise or txg that it was part of."""

    states: list[tuple[int, Facts]] = field(default_factory=list)
    sure: int = 0

    def between(self, since: int, until: int) -> Iterator[Facts]:
        """What it was at ``since``, and has become until ``until``."""
        for place, (step, facts) in enumerate(self.states):
            later = self.states[place + 1][0] if place + 1 < len(self.states) else until + 1
            if step <= until and later > since:
                yield facts


class Promises(History):
    """The contents of txgs, and what was promised between them."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Promise] = []
        self._allowed: dict[int, dict[int, list[Facts]]] = {}  # promise -> file -> what it may be
        self._past: dict[tuple[str, int], _Past] = {}

    def note(self, step: int, dataset: str, tree: Tree, nodes: Mapping[str, int]) -> None:
        """After a step: what a dataset holds."""
        for path, number in nodes.items():
            past = self._past.setdefault((dataset, number), _Past())
            own = {fact: tree[path][fact] for fact in OWN if fact in tree[path]}
            if not past.states or past.states[-1][1] != own:
                past.states.append((step, own))

    def contents_of(self, dataset: str) -> list[bytes]:
        """All contents that files of a dataset, or a volume, ever had after a step."""
        found = (own["data"] for (name, _), past in self._past.items() if name == dataset
                 for _, own in past.states if "data" in own)  # fmt: skip
        return list(dict.fromkeys(found))

    def sure(self, step: int, dataset: str, numbers: Iterable[int] | None = None) -> None:
        """These files, or all of a dataset, are durable as they are at this step."""
        for (name, number), past in self._past.items():
            if name == dataset and (numbers is None or number in numbers):
                past.sure = step

    def promise(self, one: Promise) -> None:
        """A request is served."""
        others = one.nodes.values() if one.asked is not None else ()
        self._allowed[one.number] = {
            number: list(self._past[one.dataset, number].between(self._past[one.dataset, number].sure, one.step))
            for number in others
            if number not in (one.asked or ())
        }
        self.kept.append(one)
        self.sure(one.step, one.dataset, one.asked)

    def differs(self, one: Promise, found: Tree) -> list[str]:
        """How a dataset is not as was promised."""
        expected = one.tree
        if one.asked is not None:
            expected = {path: self._nearest(one, path, facts, found.get(path)) for path, facts in expected.items()}
        return differences({one.dataset: expected}, {one.dataset: found})

    def _nearest(self, one: Promise, path: str, facts: Facts, found: Facts | None) -> Facts:
        """What a file may be that fits what was found; or what it was."""
        allowed = self._allowed[one.number].get(one.nodes[path], ())
        if found is not None:
            for own in allowed:
                if all(found.get(fact) == value for fact, value in own.items()):
                    return {**facts, **own}
        return facts


def judge_promises(found: Found, history: History, marks: Iterable[Event]) -> list[str]:
    """``checker.judge`` where logs were written: each dataset is as a txg left it, or as a log promises.

    Args:
        found: the txg the pool opened at, and what it held after its logs were replayed.
        history: ``Promises``. marks: those below the cut.
    """
    assert isinstance(history, Promises)
    marks = list(marks)
    sure = max((mark.facts["txg"] for mark in marks if mark.text == SYNCED), default=-1)
    if found.txg < 0:
        return list(found.problems) if sure >= 0 else []
    lines = list(found.problems)
    base = history.at(found.txg)
    if found.txg < sure:
        lines.append(f"went back to txg {found.txg}; txg {sure} had been acknowledged")
    elif history.place(found.txg) > history.place(sure) + 1:
        lines.append(f"is at txg {found.txg}, which had not begun: txg {sure} was the last acknowledged one")
    if base is None:
        return [*lines, f"is at txg {found.txg}, before anything was committed"]
    asked = {mark.facts["number"] for mark in marks if mark.text == ASKED}
    kept = {mark.facts["number"] for mark in marks if mark.text == KEPT}
    for dataset in sorted({*base, *found.content}):
        if dataset not in base or dataset not in found.content:
            lines.append(f"{dataset}: {'missing' if dataset in base else 'should not be there'}")
            continue
        lines += _dataset_differs(history, dataset, base[dataset], found, asked, kept)
    return lines


def _dataset_differs(
    history: Promises, dataset: str, base: Tree, found: Found, asked: Collection[int], kept: Collection[int]
) -> list[str]:
    tree = found.content[dataset]
    since = [one for one in history.kept if one.dataset == dataset and one.txg > found.txg and one.number in asked]
    owed = max((place for place, one in enumerate(since) if one.number in kept), default=-1)
    if owed < 0:
        first = differences({dataset: base}, {dataset: tree})
    else:
        first = history.differs(since[owed], tree)
    if not first or any(not history.differs(one, tree) for one in since[owed + 1 :]):
        return []
    promised = f"request {since[owed].number}" if owed >= 0 else f"txg {found.txg}"
    return [f"{dataset} is neither as {promised} left it nor as anything asked for later", *first]
