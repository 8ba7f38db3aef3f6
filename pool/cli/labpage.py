"""Pages of crash states, written for ``lab crash`` and ``lab lies``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import UsageError
from ..lab.crash import CrashState, States
from ..lab.explore import Explorer
from ..lab.page import Verdict, page
from ..lab.workload import Run


def write_page(
    path: Path, states: States, state: CrashState, title: str, facts: Sequence[str], verdict: Verdict
) -> None:
    """Write the page of a state.

    Raises:
        UsageError: the file cannot be written.
    """
    write_text(path, page(states, state, title, facts, verdict))


def write_text(path: Path, text: str) -> None:
    """Write a page or picture.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error


def crash_page(path: Path, run: Run, explorer: Explorer, state: CrashState, facts: Sequence[str]) -> None:
    """Write the page of a crash state of a recorded run, with what an import and a look at everything say.

    Raises:
        UsageError: the file cannot be written.
    """
    wrong = explorer.wrong(state)
    txg = explorer.found(state).txg
    opens = f"The pool opens at txg {txg}." if txg >= 0 else "No pool can be opened."
    if wrong:
        lines = ["Something is wrong.", opens, *wrong]
    elif txg >= 0:
        checked = "Every block reads with right checksums, all space is accounted for"
        lines = ["Nothing is wrong.", opens, f"{checked}, and the content is what was promised."]
    else:
        lines = ["Nothing is wrong.", opens, "Nothing had been acknowledged before the crash."]
    title = f"A power cut: {run.options.layout}, seed {run.options.seed}"
    write_page(path, explorer.states, state, title, facts, Verdict("bad" if wrong else "good", lines, txg))
