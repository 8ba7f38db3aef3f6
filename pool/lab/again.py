"""Crashes in the recovery from a crash: an import for writing is recorded, and every crash state of it recovered.

Whatever a power cut leaves of a recovery, the next one must come to the same content: claiming and replaying may begin
again as often as they like.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..env import Env
from ..poolcreate import open_pool
from .crash import CrashState, Plan, States, enumerate_states, sample
from .journal import Journal
from .model import Content, differences
from .pages import Pages
from .simdisk import SimDisk
from .syncrun import recover


@dataclass(frozen=True, slots=True)
class Recovery:
    """A recovery that was recorded.

    ``content``: what it comes to. ``problems``: what is wrong with it even without a crash.
    """

    journal: Journal
    content: Content
    problems: tuple[str, ...]

    def states(self, count: int, seed: int) -> list[CrashState]:
        """About so many of its crash states, of all kinds."""
        return sample(list(enumerate_states(self.journal, Plan(seed=seed, random_sets=4))), count, seed)

    def wrong(self, states: Sequence[CrashState]) -> Iterator[tuple[CrashState, list[str]]]:
        """Crash states from which another recovery comes to something else, and to what."""
        builder = States(self.journal)
        for state in states:
            found = recover(builder.disks(state))
            lines = [line for line in found.problems if line not in self.problems]
            lines += differences(self.content, found.content)
            if lines:
                yield state, lines

    def left(self, state: CrashState) -> list[Pages]:
        """What a crash leaves on the disks."""
        return States(self.journal).build(state)


def record_recovery(contents: Sequence[Pages], names: Sequence[str], seed: int) -> Recovery:
    """Import a crashed pool for writing, replay its logs, and export it, on recorded disks.

    Args:
        contents: of the disks. seed: of the chance that an import needs.
    """
    journal = Journal()
    found = recover([SimDisk(content.fork(), name) for content, name in zip(contents, names)])
    disks = [SimDisk(content.fork(), name, journal) for content, name in zip(contents, names)]
    with open_pool(None, disks, env=Env.fixed(seed), txg_seconds=0, threads=1, force=True, dirty_max=0):
        pass
    return Recovery(journal, found.content, found.problems)
