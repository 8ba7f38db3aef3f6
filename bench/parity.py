"""How fast raidz parity is made and lost columns are rebuilt, on one core, beside every peer on this machine.

    python -m bench.parity [--json FILE] [--plot FILE.svg] [--isal LIBRARY ...] [--zpool LIBRARY]
    python -m bench.parity --losses all --shapes 8+3 --blocks 16384     every combination of lost columns
    python -m bench.parity --kernels avx2,ssse3,scalar                  instruction sets of ours side by side

Peers are called if they are there: OpenZFS's own vector code (libzpool) and ISA-L, both from C and on the same
stripes, and zfec from Python; the table says which were found. Each is checked first: what does not give raidz's bytes
is not measured (zfec's code is another one, so that only its speed compares).
Contenders take turns in slices of a millisecond of CPU time. Figures are GB/s (10^9) of data columns. ``cache``: one
stripe again and again. ``stream``: stripes in turn out of an arena that no cache holds. The limit of memory is
min(read, copy n/(n+k)) for k columns written, both measured in the same turns, on as many bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from uberblock.kernels import raidz

from . import arena, machine, peers_isal, peers_openzfs, peers_zfec, plot, roofline, table, turns
from .peers_ours import Ours
from .stripes import Peer, Stripes, Task, every_loss, losses

SHAPES = "8+1,8+2,8+3,4+2,10+2,16+3"
BLOCKS = "4096,16384,131072,1048576"
ARENA_BYTES = 384 << 20
SLICE_NS = 1_000_000
CHECKED_BLOCK = 4096


def is_right(peer: Peer, task: Task, memory: NDArray[np.uint8]) -> bool:
    """Does the peer do the task, and give raidz's bytes? The plain C kernel says what these are."""
    stripes = Stripes(memory, task.width, CHECKED_BLOCK, 1)
    columns = [stripes.column(0, c) for c in range(task.width)]
    before = raidz.implementation()
    raidz.select("scalar")
    raidz.generate(columns[task.nparity :], columns[: task.nparity])
    raidz.select(before)
    run = peer.run(task, stripes)
    if run is None:
        return False
    kept = [c.copy() for c in columns]
    for c in task.missing if task.targets else range(task.nparity):
        columns[c][:] = 0xA5
    run(0, 1)
    wanted = task.targets or range(task.nparity)
    good = all(np.array_equal(columns[c], kept[c]) for c in wanted)
    for column, old in zip(columns, kept, strict=True):
        column[:] = old
    return good


class Parity:
    """The measurement: who takes part, in which memory."""

    def __init__(self, kernels: Sequence[str], peers: Sequence[Peer], memory: NDArray[np.uint8], rounds: int) -> None:
        self.kernels = kernels
        self.people: list[Peer] = [*(Ours(name) for name in kernels), *peers]
        self.memory = memory
        self.rounds = rounds

    def contenders(self, task: Task, stripes: Stripes) -> Iterator[turns.Contender]:
        for person in self.people:
            ours = isinstance(person, Ours)
            may = getattr(person, "other_code", False) or is_right(person, task, self.memory)
            run = person.run(task, stripes) if may else None
            if run is None:
                continue
            ready = (lambda name=person.kernel: raidz.select(name)) if isinstance(person, Ours) else turns.nothing
            yield turns.Contender(person.label, run, ours, ready)

    def cell(self, task: Task, block: int, stream: bool, skew: int) -> list[table.Cell]:
        stripe_bytes = task.width * (block + skew)
        count = self.memory.size // stripe_bytes if stream else 1
        stripes = Stripes(self.memory, task.width, block, count, skew)
        taking_part = list(self.contenders(task, stripes))
        read = len(task.sources) if task.targets else task.ndata
        memory, piece = roofline.contenders(self.memory, self.memory.size if stream else (read + task.written) * block)
        turns.measure(taking_part + memory, self.rounds, SLICE_NS, warm=not stream)
        raidz.select()
        limit = roofline.of(memory, piece).of(task.ndata, task.ndata * task.written / read)
        column = f"{block >> 10} KiB {'stream' if stream else 'cache'}"
        return table.cells_of(taking_part, task.title, column, task.ndata * block, limit)


def tasks(shape: str, kinds: str) -> Iterable[Task]:
    ndata, nparity = map(int, shape.split("+"))
    if kinds == "none" or kinds == "kinds":
        yield Task(ndata, nparity)
    if kinds == "kinds":
        yield from losses(ndata, nparity)
    if kinds == "all":
        yield from every_loss(ndata, nparity)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.parity", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--shapes", default=SHAPES)
    parser.add_argument("--blocks", default=BLOCKS, help="bytes of a column")
    parser.add_argument("--modes", default="cache,stream")
    parser.add_argument("--losses", choices=("none", "kinds", "all"), default="kinds")
    parser.add_argument("--kernels", default="", help="ours; default: the one in use. 'all': all that run here")
    parser.add_argument("--isal", action="append", default=[], help="path of a libisal; may be repeated")
    parser.add_argument("--zpool", help="path of a libzpool")
    parser.add_argument("--openzfs", default="avx512bw,avx512f,avx2", help="its implementations to measure")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--skew", type=int, default=0, help="bytes between columns")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="picture of generation; needs matplotlib")
    parser.add_argument("--markdown", action="store_true")
    return parser.parse_args()


def summary(cells: Sequence[table.Cell]) -> str:
    """Geometric means of the ratios, and the cells that lose."""
    places = dict.fromkeys((c.row, c.column) for c in cells)
    found = {place: table.ratio(table.at(cells, *place)) for place in places}
    ratios = {place: value for place, value in found.items() if value is not None}
    lines = []
    for kind in ("generate", "rebuild"):
        for mode in ("cache", "stream"):
            values = [v for (row, column), v in ratios.items() if kind in row and mode in column]
            if values:
                behind = sum(v < 1 for v in values)
                lines.append(
                    f"{kind}, {mode}: geometric mean {table.geometric_mean(values):.2f} times the best peer, "
                    f"least {min(values):.2f}, {behind} of {len(values)} cells below 1"
                )
    return "\n".join(lines)


def main() -> None:
    options = arguments()
    core = machine.pin()
    about = machine.describe() | {"pinned to core": str(core)}
    memory = arena.make(ARENA_BYTES)
    kernels = {"": [raidz.implementation()], "all": list(raidz.implementations())}.get(options.kernels)
    peers: list[Peer] = []
    if not options.no_peers:
        peers += peers_isal.peers(options.isal)
        peers += peers_openzfs.peers(options.zpool, tuple(options.openzfs.split(",")))
        peers += peers_zfec.peers()
    race = Parity(kernels or options.kernels.split(","), peers, memory, options.rounds)
    about["contenders"] = ", ".join(person.label for person in race.people)
    print("\n".join(f"{name}: {text}" for name, text in about.items()), flush=True)

    cells: list[table.Cell] = []
    for shape in options.shapes.split(","):
        for task in tasks(shape, options.losses):
            for mode in options.modes.split(","):
                for block in map(int, options.blocks.split(",")):
                    cells += race.cell(task, block, mode == "stream", options.skew)
            print("\n" + table.figures(cells, task.title, options.markdown), flush=True)
            if options.json:
                table.save(options.json, cells, about)
    print("\n" + table.ratios(cells, options.markdown))
    print("\n" + summary(cells))
    if options.plot:
        plot.draw([c for c in cells if "generate" in c.row], options.plot, about["processor"])


if __name__ == "__main__":
    main()
