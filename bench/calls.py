"""What a call of the raidz kernels from Python costs besides the work.

    python -m bench.calls

The same work is called from Python and, through its address, from C, in turn; the difference is what buffers, checks,
the interpreter and the ordering of stores at the end cost. Microseconds of CPU time, best slices.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import repeat

from uberblock.kernels import raidz

from . import arena, machine, table, turns
from .peers_ours import Ours
from .stripes import Stripes, Task

BLOCK = 4096
ROUNDS = 25
TIMES = 100  # calls between two looks at the clock
SLICE_NS = 1_000_000


def calls(task: Task, stripes: Stripes) -> dict[str, Callable[[], object]]:
    """The ways to have the task done from Python."""
    columns = [stripes.column(0, c) for c in range(task.width)]
    views = [c.data for c in columns]
    p = task.nparity
    stack = stripes.arena[: task.width * stripes.block].reshape(1, task.width, stripes.block)
    if task.targets:
        missing = task.missing
        return {
            "arrays": lambda: raidz.reconstruct(columns, p, missing),
            "memoryviews": lambda: raidz.reconstruct(views, p, missing),
            "batch of one": lambda: raidz.reconstruct_many(stack, p, missing),
        }
    data, parity, seen, made = columns[p:], columns[:p], views[p:], views[:p]
    few, room = stack[:, p:], stack[:, :p]
    return {
        "arrays": lambda: raidz.generate(data, parity),
        "memoryviews": lambda: raidz.generate(seen, made),
        "batch of one": lambda: raidz.generate_many(few, room),
    }


def often(call: Callable[[], object]) -> Callable[[int], None]:
    def run(_: int) -> None:
        for _again in repeat(None, TIMES):
            call()

    return run


def main() -> None:
    machine.pin()
    memory = arena.make(4 << 20)
    lines = []
    for task in (Task(4, 1), Task(8, 2), Task(8, 3), Task(8, 3, (3, 7)), Task(8, 3, (3, 7, 10))):
        stripes = Stripes(memory, task.width, BLOCK, 1)
        run = Ours(raidz.implementation()).run(task, stripes)
        assert run is not None
        work = turns.Contender("work", run)
        people = [turns.Contender(name, turns.python(often(call), 1)) for name, call in calls(task, stripes).items()]
        turns.measure([work, *people], ROUNDS, SLICE_NS)
        extra = [f"{(c.best / TIMES - work.best) / 1000:.2f}" for c in people]
        lines.append([task.title, f"{work.best / 1000:.2f}", *extra])
    head = [f"{BLOCK >> 10} KiB columns", "work, us", "besides: arrays", "memoryviews", "batch of one"]
    print(table.grid(head, lines, markdown=True))


if __name__ == "__main__":
    main()
