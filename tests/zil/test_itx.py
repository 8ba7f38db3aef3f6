"""What waits for a commit: what is taken when an object is asked for, and in which order."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from uberblock.pool.ondisk import zilencode
from uberblock.pool.zil.itx import Group, ItxQueue, Told, Written


def name() -> Told:
    return Told(zilencode.remove, (), 0)


def of(number: int) -> Told:
    return Told(zilencode.truncate, (number,), number)


def write(number: int) -> Written:
    dn: Any = SimpleNamespace(number=number)
    return Written(dn, 0, 1, 1)


def orders(groups: list[Group]) -> list[int]:
    return [group.order for group in groups]


def test_names_come_with_every_request_and_files_when_asked_for() -> None:
    queue = ItxQueue()
    for itxs in ([write(8)], [name()], [of(9)], [of(8)], [name()]):
        queue.add(5, itxs, 4)
    assert orders(queue.take({8}, 4)) == [1, 2, 4, 5]
    assert orders(queue.take({8}, 4)) == []
    assert orders(queue.take(None, 4)) == [3]


def test_a_file_that_names_come_with_is_taken_as_a_whole() -> None:
    """Of a write the present content is logged, so what else was done to the file has to come along."""
    queue = ItxQueue()
    for itxs in ([write(8)], [of(9)], [name(), write(9)], [write(9)], [write(8)]):
        queue.add(5, itxs, 4)
    assert orders(queue.take({7}, 4)) == [2, 3, 4]
    assert orders(queue.take({8}, 4)) == [1, 5]


def test_changes_of_several_files_are_a_change_of_names() -> None:
    queue = ItxQueue()
    queue.add(5, [write(8), write(9)], 4)
    assert orders(queue.take({1}, 4)) == [1]


def test_what_is_on_disk_is_forgotten() -> None:
    queue = ItxQueue()
    queue.add(5, [name()], 4)
    queue.add(5, [of(8)], 4)
    queue.add(6, [of(8)], 5)
    assert orders(queue.take(None, 5)) == [3]
    queue.add(7, [name()], 6)
    queue.clear()
    assert queue.take(None, 6) == []
